"""Receipts by program: a person's own, and without signing in their checking and what a look-up code shows."""

from typing import Any
from uuid import UUID

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request as ApiRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.core import clock
from portal.core.throttle import is_too_often
from portal.core.verify_receipt import canonical
from rights.api import serializers as shapes
from rights.api.presenting import describe_reason
from rights.api.views import (
    INVALID,
    NOT_FOUND,
    SIGNED_OUT,
    TOO_MANY,
    PersonView,
    find_mine,
    language_of,
    person_of,
    require_covered,
)
from rights.models import Receipt, Request
from rights.receipts import HOLD, check, find_held, hand_out, make_secret, revoke_secret

TAG = "Receipts"
DOCUMENT = OpenApiResponse(
    {"type": "object", "description": "A signed receipt, JSON-LD."},
    description="The receipt. Keep it as it is: what is signed are its values, not their spacing or order.",
)
CHECKS, TRIES, WINDOW = 60, 20, 60


def _find(request: ApiRequest, pk: UUID, number: UUID) -> tuple[Request, Receipt]:
    item = _find_request(request, pk)
    return item, get_object_or_404(Receipt, request=item, pk=number)


def _find_request(request: ApiRequest, pk: UUID) -> Request:
    item = find_mine(request, pk)
    if not item.lacks_proof:
        require_covered(person_of(request), item)
    return item


class ReceiptsView(PersonView):
    @extend_schema(
        operation_id="list_receipts",
        tags=[TAG],
        summary="List the receipts of a request",
        description="Newest first. There is one for its filing, each decision, what was done, what the law keeps and "
        "each release.",
        responses={200: shapes.ReceiptItem(many=True), 401: SIGNED_OUT, 403: SIGNED_OUT, 404: NOT_FOUND},
    )
    def get(self, request: ApiRequest, pk: UUID) -> Response:
        found = _find_request(request, pk).receipts.order_by("-seq", "-event").defer("fields")
        return Response([dict(shapes.ReceiptItem(receipt).data) for receipt in found])


class ReceiptView(PersonView):
    @extend_schema(
        operation_id="show_receipt",
        tags=[TAG],
        summary="Get a receipt",
        description="Signed at once; it carries the proof that it is in the ledger once a checkpoint covers it, some "
        "seconds later. `verify_receipt.py` at `/verify/` checks it without the portal.",
        responses={200: DOCUMENT, 401: SIGNED_OUT, 403: SIGNED_OUT, 404: NOT_FOUND},
    )
    def get(self, request: ApiRequest, pk: UUID, number: UUID) -> Response:
        _, receipt = _find(request, pk, number)
        return Response(hand_out(receipt, now=clock.now()))


class ReceiptCodeView(PersonView):
    @extend_schema(
        operation_id="make_lookup_code",
        tags=[TAG],
        summary="Get a receipt with a look-up code",
        description="Of a receipt of what the law keeps, for the person themselves. Whoever has the code sees at "
        "`POST status/` what is still held, without an account. It is given this once and ends the one before.",
        request=None,
        responses={201: DOCUMENT, 401: SIGNED_OUT, 403: SIGNED_OUT, 404: NOT_FOUND},
    )
    def post(self, request: ApiRequest, pk: UUID, number: UUID) -> Response:
        item, receipt = self._mine(request, pk, number)
        now = clock.now()
        document = hand_out(receipt, now=now, secret=make_secret(item, now=now))
        return Response(document, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="end_lookup_code",
        tags=[TAG],
        summary="End the look-up code of a request",
        description="From then on it opens nothing. Where none is out this changes nothing.",
        request=None,
        responses={
            204: OpenApiResponse(description="No code opens anything."),
            401: SIGNED_OUT,
            403: SIGNED_OUT,
            404: NOT_FOUND,
        },
    )
    def delete(self, request: ApiRequest, pk: UUID, number: UUID) -> Response:
        item, _receipt = self._mine(request, pk, number)
        revoke_secret(item, now=clock.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _mine(self, request: ApiRequest, pk: UUID, number: UUID) -> tuple[Request, Receipt]:
        item, receipt = _find(request, pk, number)
        if receipt.event != HOLD or item.subject_id != person_of(request).pk:
            raise Http404
        return item, receipt


class VerifyView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="check_receipt",
        tags=[TAG],
        summary="Check a receipt",
        description="Whether this portal issued it, unchanged, and whether it is in the ledger. Nothing is kept.",
        request=shapes.ReceiptToCheck,
        responses={200: shapes.CheckedReceipt, 400: INVALID, 429: TOO_MANY},
        auth=[],
    )
    def post(self, request: ApiRequest) -> Response:
        _throttle(request, "verify", CHECKS)
        given = shapes.ReceiptToCheck(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            text = canonical(given.validated_data["receipt"])
        except (ValueError, RecursionError) as error:
            raise serializers.ValidationError({"receipt": [_("This is not a receipt of this portal.")]}) from error
        checked = check(text, letter=given.validated_data.get("letter") or None)
        report = checked.report
        shown = shapes.CheckedReceipt(
            {
                "genuine": report.genuine and not checked.lost,
                "in_ledger": report.genuine and checked.inclusion is not None,
                "lost": checked.lost,
                "key": report.key,
                "faults": [
                    {"code": fault.code, "about": fault.about, "text": fault.explain(language_of())}
                    for fault in report.faults
                ],
                "inclusion": checked.inclusion,
            }
        )
        return Response(shown.data)


class StatusView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="show_held",
        tags=[TAG],
        summary="What is still held, by look-up code",
        description="For whoever has the code of a receipt. It does not say whose records these are.",
        request=shapes.LookUpCode,
        responses={200: shapes.HeldStatus, 400: INVALID, 404: NOT_FOUND, 429: TOO_MANY},
        auth=[],
    )
    def post(self, request: ApiRequest) -> Response:
        _throttle(request, "status", TRIES)
        given = shapes.LookUpCode(data=request.data)
        given.is_valid(raise_exception=True)
        found = find_held(given.validated_data["code"])
        if found is None:
            raise exceptions.NotFound(_("This code opens nothing: it is mistyped, was replaced, or was ended."))
        holds: list[dict[str, Any]] = [
            {
                "collection": hold.collection,
                "company": hold.entity,
                "count": hold.count,
                "rule": hold.rule,
                "reason": describe_reason(hold.key, language=language_of()),
                "last_day": hold.last_day,
                "released_at": hold.released_at,
            }
            for hold in found.holds
        ]
        shown = shapes.HeldStatus({"reference": found.reference, "received_at": found.received_at, "holds": holds})
        return Response(shown.data)


def _throttle(request: ApiRequest, action: str, times: int) -> None:
    """The pages of the same act count with it."""
    if is_too_often(request._request, action=action, times=times, seconds=WINDOW):
        raise exceptions.Throttled(wait=WINDOW)
