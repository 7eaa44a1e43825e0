"""What a business system asks before it uses a record: whether it may only be stored (PIPL art. 47).

The system shows a secret of its own, SYSTEM_<NAME>_TOKEN, and is told of its own records alone.
"""

import hmac

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.permissions import AllowAny
from rest_framework.request import Request as ApiRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.core import clock
from portal.core.systems import Unset, system_setting
from rights.actions.restrictions import is_restricted
from rights.api import serializers as shapes
from rights.api.views import INVALID, NOT_FOUND, SIGNED_OUT, read_query
from rights.datamap import load_live_map


class SystemToken(BaseAuthentication):
    """The secret that a system shows; whose it is, only what it asks about can tell."""

    def authenticate(self, request: ApiRequest) -> tuple[AnonymousUser, str]:
        scheme, _space, token = get_authorization_header(request).decode("latin-1").partition(" ")
        return AnonymousUser(), token.strip() if scheme.lower() == "bearer" else ""

    def authenticate_header(self, request: ApiRequest) -> str:
        return "Bearer"


class SystemTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document names it."""

    target_class = "rights.api.restrictions.SystemToken"
    name = "systemToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A secret of the system: SYSTEM_<NAME>_TOKEN."}


class RestrictedQuery(shapes.Strict):
    collection = serializers.CharField(max_length=160, help_text="As the data map names it: dataset.collection.")
    key = serializers.ListField(
        child=serializers.CharField(max_length=200), min_length=1, max_length=16,
        help_text=(
            "The record's key, its parts in order; a moment as 2026-11-23T02:00:00+00:00, in UTC; bytes in "
            "hexadecimal, as 00ff; true or false."
        ),
    )  # fmt: skip


class RestrictedAnswer(serializers.Serializer[object]):
    collection = serializers.CharField(max_length=160, help_text="What was asked about.")
    restricted = serializers.BooleanField(help_text="Whether the record may only be stored.")
    as_of = serializers.DateTimeField(help_text="When this was so.")


class RestrictedView(APIView):
    authentication_classes = (SystemToken,)
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="is_restricted",
        tags=["Systems"],
        summary="Whether a record may only be stored",
        description=(
            "For a business system, about its own records: true where a deletion has left the record held for a while, "
            "or hard to erase. It is not to be used then, only stored."
        ),
        parameters=[RestrictedQuery],
        responses={200: RestrictedAnswer, 400: INVALID, 401: SIGNED_OUT, 404: NOT_FOUND},
    )
    def get(self, request: ApiRequest) -> Response:
        asked = read_query(RestrictedQuery, request, lists=["key"])
        item = load_live_map().collections.get(asked["collection"])
        if item is None or not _is_from(str(request.auth), item.system):
            raise exceptions.NotAuthenticated
        if not item.is_registered:
            raise exceptions.NotFound(_("The data map keeps no register of this collection: state restrict there."))
        found = {
            "collection": item.key,
            "restricted": is_restricted(item.key, asked["key"]),
            "as_of": clock.now(),
        }
        return Response(RestrictedAnswer(found).data, headers={"Cache-Control": "no-store"})


def _is_from(token: str, system: str) -> bool:
    try:
        return hmac.compare_digest(token.encode(), system_setting(system, "TOKEN").encode())
    except Unset:
        return False
