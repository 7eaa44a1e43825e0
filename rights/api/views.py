"""The calls. Each acts for the signed-in person, by session or token; staff work on the desk's pages."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Q, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import exceptions, serializers, status
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.request import Request as ApiRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import stepup
from accounts.authority import principals_for
from accounts.models import User
from accounts.standin import check_sign_in
from accounts.tokens import VALID, TokenAuthentication, issue_token, revoke_token
from portal.core import clock
from rights.actions import fees, review, submit
from rights.api import serializers as shapes
from rights.api.presenting import describe_due, describe_handover, describe_plan, describe_reason
from rights.kernel.calendar import Calendar
from rights.kernel.states import Kind, State
from rights.models import Event, Notice, Request
from rights.notices import render_notice
from rights.queries import load_calendar, open_fee, stored_plan
from rights.web.forms import clean_value
from rights.web.present_handovers import handovers_of

WITH_CODE = frozenset({Kind.DELETION, Kind.CANCELLATION})
"""What cannot be undone is filed with a one-time code."""

EVENTS_SHOWN = 200
HIDDEN_EVENTS = (
    "claimed",
    "released_case",
    "retried",
    "warned",
    "step_dead",
    "check_owed",
    "handover_late",
    "supplement_late",
    "evidence",
    "told_again",
)
SIGNED_OUT = OpenApiResponse(shapes.Problem, description="Not signed in.")
NOT_FOUND = OpenApiResponse(shapes.Problem, description="There is nothing here, or it is not yours.")
INVALID = OpenApiResponse(shapes.Problem, description="A field is missing, wrong or unknown; `errors` names it.")
CONFLICT = OpenApiResponse(shapes.Problem, description="The request is not in the state that this needs.")
CODE_WRONG = OpenApiResponse(shapes.Problem, description="The code is wrong, used or too old.")
TOO_MANY = OpenApiResponse(shapes.Problem, description="Too many; `Retry-After` says when to try again.")


class IsPerson(BasePermission):
    """A signed-in person. Staff have no requests of their own, and their sight of everybody's must not leak here."""

    message = "Staff work on the desk; here people act for themselves."

    def has_permission(self, request: ApiRequest, view: APIView) -> bool:
        user = request.user
        return bool(user.is_authenticated and not user.is_staff_role)


class PersonView(APIView):
    """What every call of a person shares."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (TokenAuthentication, SessionAuthentication)
    permission_classes = (IsAuthenticated, IsPerson)


def person_of(request: ApiRequest) -> User:
    user = request.user
    if not isinstance(user, User):
        raise exceptions.NotAuthenticated
    return user


def language_of() -> str:
    return get_language() or "zh-hans"


def read_query(shape: type[shapes.Strict], request: ApiRequest, *, lists: Iterable[str] = ()) -> dict[str, Any]:
    """The query, checked like a body: an unknown name is refused."""
    given = {
        name: request.query_params.getlist(name) if name in set(lists) else request.query_params[name]
        for name in request.query_params
    }
    checked = shape(data=given)
    checked.is_valid(raise_exception=True)
    data: dict[str, Any] = checked.validated_data
    return data


class NewestFirst(CursorPagination):
    """Pages by a cursor. `next` and `previous` are whole addresses; follow them as they are."""

    ordering = ("-created_at", "-id")
    page_size = 20
    max_page_size = 100
    page_size_query_param = "page_size"


def paginate(
    query: "QuerySet[Any, Any]", request: ApiRequest, view: APIView, shape: Callable[[Any], dict[str, Any]]
) -> Response:
    unknown = [name for name in request.query_params if name not in {"cursor", "page_size"}]
    if unknown:
        known = {name: [_("Unknown field. Known are: %(known)s.") % {"known": "cursor, page_size"}] for name in unknown}
        raise serializers.ValidationError(known)
    pages = NewestFirst()
    rows = pages.paginate_queryset(query, request, view) or []
    return pages.get_paginated_response([shape(row) for row in rows])


def page_of(name: str, item: type[serializers.Serializer[Any]]) -> Any:
    """The shape of one page, for the description."""
    return inline_serializer(
        name,
        {
            "next": serializers.URLField(
                allow_null=True, max_length=2000, help_text="The next page; empty at the end."
            ),
            "previous": serializers.URLField(
                allow_null=True, max_length=2000, help_text="The page before; empty at the start."
            ),
            "results": serializers.ListField(child=item(), max_length=100, help_text="The rows, newest first."),
        },
    )


PAGING = [
    OpenApiParameter("cursor", OpenApiTypes.STR, description="Where the page begins; taken from `next` or `previous`."),
    OpenApiParameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        description="Rows on a page.",
    ),
]


# --- tokens


class TokensView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="sign_in",
        tags=["Signing in"],
        summary="Sign in",
        description="Login and password give a token for 12 hours. Wrong tries are throttled by number and address. "
        "Staff sign in on the pages, with their second factor.",
        request=shapes.Credentials,
        responses={201: shapes.Token, 400: INVALID, 401: SIGNED_OUT, 403: SIGNED_OUT, 429: TOO_MANY},
        auth=[],
    )
    def post(self, request: ApiRequest) -> Response:
        given = shapes.Credentials(data=request.data)
        given.is_valid(raise_exception=True)
        now, answers = clock.now(), given.validated_data
        user = check_sign_in(request=request._request, login=answers["login"], password=answers["password"], now=now)
        if user.is_staff_role:
            raise exceptions.PermissionDenied(_("Staff sign in on the pages, with their second factor."))
        token = issue_token(user=user, now=now, name=answers["name"])
        shown = shapes.Token({"token": token, "expires_at": now + VALID})
        return Response(shown.data, status=status.HTTP_201_CREATED)


class CurrentTokenView(PersonView):
    authentication_classes = (TokenAuthentication,)

    @extend_schema(
        operation_id="sign_out",
        tags=["Signing in"],
        summary="Sign out",
        description="Ends the token that the call is made with.",
        request=None,
        responses={204: OpenApiResponse(description="The token no longer works."), 401: SIGNED_OUT},
    )
    def delete(self, request: ApiRequest) -> Response:
        token = request.headers.get("Authorization", "").partition(" ")[2].strip()
        revoke_token(user=person_of(request), token=token, now=clock.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


# --- requests


def mine(user: User) -> "QuerySet[Request, Request]":
    """A person's requests, for them or by them, drafts included."""
    return Request.objects.filter(Q(subject=user) | Q(filed_by=user)).prefetch_related("questions", "fees")


def find_mine(request: ApiRequest, pk: UUID) -> Request:
    user = person_of(request)
    return get_object_or_404(mine(user), pk=pk)


class RequestsView(PersonView):
    @extend_schema(
        operation_id="list_requests",
        tags=["Requests"],
        summary="List my requests",
        description="Drafts included, newest first.",
        parameters=PAGING,
        responses={200: page_of("RequestPage", shapes.RequestItem), 400: INVALID, 401: SIGNED_OUT},
    )
    def get(self, request: ApiRequest) -> Response:
        now, calendar = clock.now(), load_calendar()
        query = mine(person_of(request))
        return paginate(query, request, self, lambda item: describe(item, now=now, calendar=calendar))

    @extend_schema(
        operation_id="file_request",
        tags=["Requests"],
        summary="File a request",
        description="Access, correction and withdrawal are filed by this one call and come back with their reference "
        "and due date.\n\nDeletion and cancellation cannot be undone: this call writes a draft (`state: draft`, "
        "`code_needed: true`) and sends a one-time code to the phone; `POST requests/{id}/submit/` with that code "
        "files it. The clock starts when it is filed. `POST requests/{id}/code/` sends another code.",
        request=shapes.NewRequest,
        responses={
            201: shapes.RequestDetail, 400: INVALID, 401: SIGNED_OUT, 403: SIGNED_OUT, 409: CONFLICT, 429: TOO_MANY,
        },
    )  # fmt: skip
    def post(self, request: ApiRequest) -> Response:
        given = shapes.NewRequest(data=request.data)
        given.is_valid(raise_exception=True)
        user, now = person_of(request), clock.now()
        kind = Kind(given.validated_data["kind"])
        subject = _subject_of(user, given.validated_data.get("subject"), kind=kind)
        details = _complete_details(kind, given.validated_data["details"], subject=subject)
        draft = submit.start_draft(subject=subject, filed_by=user, kind=kind, details=details, now=now)
        if kind in WITH_CODE:
            stepup.issue_code(user=user, action=action_of(draft), now=now)
        else:
            draft = submit.submit(request_id=draft.pk, now=now)
        return Response(describe_whole(draft, user=user, now=now), status=status.HTTP_201_CREATED)


def _subject_of(user: User, pk: UUID | None, *, kind: Kind) -> User:
    """The person themselves, or one whom they may ask for. Nothing is read of anybody else."""
    if pk is None or pk == user.pk:
        return user
    for authority in principals_for(user, clock.now()):
        if authority.principal_id == pk and kind in authority.scope:
            return authority.principal
    raise submit.NotAuthorised("There is no valid authorisation to ask for this person.")


def require_covered(user: User, item: Request) -> None:
    """Raise NotAuthorised where a request is somebody else's and no authority covers it any more."""
    _subject_of(user, item.subject_id, kind=Kind(item.kind))


def _complete_details(kind: Kind, details: dict[str, Any], *, subject: User) -> dict[str, Any]:
    """The answers as the pages would have written them. Raises ValidationError naming the field."""
    found = {name: details.get(name, []) for name in shapes.FIELDS_OF[kind] - shapes.OPTIONAL}
    found |= {name: details[name] for name in shapes.OPTIONAL if details.get(name)}
    if kind is Kind.CORRECTION:
        found["items"] = [_clean_item(item, index) for index, item in enumerate(found["items"])]
    if kind is Kind.CANCELLATION:
        _require_forfeits(found, subject=subject)
    return found


def _clean_item(item: dict[str, str], index: int) -> dict[str, str]:
    try:
        new = clean_value(item["correction"], item["new"])
    except DjangoValidationError as error:
        raise serializers.ValidationError({"details": {f"items[{index}].new": list(error.messages)}}) from error
    return {"correction": item["correction"], "old": item["old"], "new": new}


def _require_forfeits(details: dict[str, Any], *, subject: User) -> None:
    """What lapses with a service must be given up expressly."""
    matter = submit.matter_for(subject, kind=Kind.CANCELLATION, entities=frozenset(details["entities"]))
    seen = submit.preview(matter, now=clock.now())
    lapsing = {
        fact.key for fact in seen.plan.blockers if fact.cancel == "forfeit" and fact.entity in details["entities"]
    }
    if missing := sorted(lapsing - set(details["forfeits"])):
        text = _("This lapses with the service; name it here to give it up: %(keys)s.") % {"keys": ", ".join(missing)}
        raise serializers.ValidationError({"details": {"forfeits": [text]}})


def action_of(draft: Request) -> str:
    """What a code confirms. The pages use the same, so that either may finish what the other began."""
    return f"submit:{draft.pk}"


class RequestView(PersonView):
    @extend_schema(
        operation_id="show_request",
        tags=["Requests"],
        summary="Show a request",
        description="State, due date, plan and what happened.",
        responses={200: shapes.RequestDetail, 401: SIGNED_OUT, 404: NOT_FOUND},
    )
    def get(self, request: ApiRequest, pk: UUID) -> Response:
        found = find_mine(request, pk)
        return Response(describe_whole(found, user=person_of(request), now=clock.now()))


class CodeView(PersonView):
    @extend_schema(
        operation_id="send_code",
        tags=["Requests"],
        summary="Send a code for a draft",
        description="To the phone of the signed-in person; valid for 5 minutes and 5 tries. It ends the one before.",
        request=None,
        responses={
            202: OpenApiResponse(description="The code is on its way."), 401: SIGNED_OUT, 404: NOT_FOUND, 409: CONFLICT,
            429: TOO_MANY,
        },
    )  # fmt: skip
    def post(self, request: ApiRequest, pk: UUID) -> Response:
        draft = find_mine(request, pk)
        if draft.state != State.DRAFT:
            raise submit.CannotSubmit("This request was filed already.")
        stepup.issue_code(user=person_of(request), action=action_of(draft), now=clock.now())
        return Response(status=status.HTTP_202_ACCEPTED)


class SubmitView(PersonView):
    @extend_schema(
        operation_id="submit_request",
        tags=["Requests"],
        summary="File a draft with its code",
        description="Files a deletion or cancellation that `POST requests/` wrote. A second call after it was filed "
        "changes nothing and returns it.",
        request=shapes.Code,
        responses={
            200: shapes.RequestDetail, 400: INVALID, 401: SIGNED_OUT, 404: NOT_FOUND, 409: CONFLICT, 422: CODE_WRONG,
        },
    )  # fmt: skip
    def post(self, request: ApiRequest, pk: UUID) -> Response:
        given = shapes.Code(data=request.data)
        given.is_valid(raise_exception=True)
        draft, user, now = find_mine(request, pk), person_of(request), clock.now()
        if draft.state == State.DRAFT:
            stepup.confirm_code(user=user, action=action_of(draft), code=given.validated_data["code"], now=now)
            draft = submit.submit(request_id=draft.pk, now=now)
        return Response(describe_whole(draft, user=user, now=now))


class WithdrawView(PersonView):
    @extend_schema(
        operation_id="withdraw_request",
        tags=["Requests"],
        summary="Take a request back",
        description="While nothing has begun. Once it was taken back a second call changes nothing.",
        request=None,
        responses={200: shapes.RequestDetail, 401: SIGNED_OUT, 404: NOT_FOUND, 409: CONFLICT},
    )
    def post(self, request: ApiRequest, pk: UUID) -> Response:
        found, user, now = find_mine(request, pk), person_of(request), clock.now()
        if found.closing_key != "WITHDRAWN":
            submit.take_back(found, actor=user, now=now)
        return Response(describe_whole(found, user=user, now=now))


class AnswerView(PersonView):
    @extend_schema(
        operation_id="answer_question",
        tags=["Requests"],
        summary="Answer the open question",
        description="The clock goes on from today.",
        request=shapes.Answer,
        responses={200: shapes.RequestDetail, 400: INVALID, 401: SIGNED_OUT, 404: NOT_FOUND, 409: CONFLICT},
    )
    def post(self, request: ApiRequest, pk: UUID) -> Response:
        given = shapes.Answer(data=request.data)
        given.is_valid(raise_exception=True)
        found, user, now = find_mine(request, pk), person_of(request), clock.now()
        review.answer(found, text=given.validated_data["text"], actor=user, now=now)
        return Response(describe_whole(find_mine(request, pk), user=user, now=now))


class FeeView(PersonView):
    @extend_schema(
        operation_id="answer_fee",
        tags=["Requests"],
        summary="Accept or decline a fee",
        description="For a further copy with nothing changed. Nothing is owed before it is accepted; declining ends "
        "the request, which may be filed anew.",
        request=shapes.FeeAnswer,
        responses={
            200: shapes.RequestDetail, 400: INVALID, 401: SIGNED_OUT, 403: SIGNED_OUT, 404: NOT_FOUND, 409: CONFLICT,
        },
    )  # fmt: skip
    def post(self, request: ApiRequest, pk: UUID) -> Response:
        given = shapes.FeeAnswer(data=request.data)
        given.is_valid(raise_exception=True)
        found, user, now = find_mine(request, pk), person_of(request), clock.now()
        _subject_of(user, found.subject_id, kind=Kind(found.kind))
        answer = fees.accept_fee if given.validated_data["accept"] else fees.decline_fee
        answer(found, actor=user, now=now)
        return Response(describe_whole(find_mine(request, pk), user=user, now=now))


def describe(item: Request, *, now: Any, calendar: Calendar) -> dict[str, Any]:
    """A request as a row of a list."""
    shown = shapes.RequestItem(_facts(item, now=now, calendar=calendar))
    return dict(shown.data)


def _facts(item: Request, *, now: Any, calendar: Calendar | None = None) -> dict[str, Any]:
    return {
        "id": item.pk,
        "reference": item.reference,
        "kind": item.kind,
        "state": item.state,
        "created_at": item.created_at,
        "received_at": item.received_at,
        "closed_at": item.closed_at,
        "due": describe_due(item, now=now, calendar=calendar),
        "code_needed": item.state == State.DRAFT and Kind(item.kind) in WITH_CODE,
    }


def describe_whole(item: Request, *, user: User, now: Any) -> dict[str, Any]:
    """A request with its plan and what happened to it."""
    plan = stored_plan(item)
    open_questions = [question for question in item.questions.all() if question.answered_at is None]
    events = item.events.exclude(kind__in=HIDDEN_EVENTS).order_by("-pk")[:EVENTS_SHOWN]
    shown = shapes.RequestDetail(
        {
            **_facts(item, now=now),
            "outcome": describe_reason(item.closing_key, language=language_of()) if item.closing_key else None,
            "question": open_questions[0] if open_questions else None,
            "fee": open_fee(item),
            "plan": describe_plan(plan, language=language_of()) if plan else None,
            "passed_on": [describe_handover(row, language=language_of()) for row in handovers_of(item)],
            "events": [
                {"kind": event.kind, "at": event.at, "by": _by(event, request=item, user=user)} for event in events
            ],
        }
    )
    return dict(shown.data)


def _by(event: Event, *, request: Request, user: User) -> str:
    """Who did it, without naming staff."""
    if event.actor_id is None:
        return "system"
    if event.actor_id == user.pk:
        return "you"
    return "agent" if event.actor_id in {request.subject_id, request.filed_by_id} else "staff"


# --- plan and notices


class PlanView(PersonView):
    @extend_schema(
        operation_id="preview_plan",
        tags=["Plan"],
        summary="What would happen now",
        description="Asks every system and changes nothing. A system that does not answer is named in `unknown`.",
        parameters=[shapes.PlanQuery],
        responses={200: shapes.Plan, 400: INVALID, 401: SIGNED_OUT},
    )
    def get(self, request: ApiRequest) -> Response:
        asked = read_query(shapes.PlanQuery, request, lists=("entity", "purpose"))
        user, now = person_of(request), clock.now()
        matter = submit.matter_for(
            user,
            kind=Kind(asked["kind"]),
            entities=frozenset(asked.get("entity", ())),
            purposes=frozenset(asked.get("purpose", ())),
        )
        seen = submit.preview(matter, now=now)
        return Response(shapes.Plan(describe_plan(seen.plan, language=language_of())).data)


class NoticesView(PersonView):
    @extend_schema(
        operation_id="list_notices",
        tags=["Notices"],
        summary="List what I was told",
        description="Newest first. Reading them here does not mark them as read.",
        parameters=PAGING,
        responses={200: page_of("NoticePage", shapes.NoticeItem), 400: INVALID, 401: SIGNED_OUT},
    )
    def get(self, request: ApiRequest) -> Response:
        query = Notice.objects.filter(user=person_of(request), second_contact=False)
        return paginate(query, request, self, _describe_notice)


def _describe_notice(notice: Notice) -> dict[str, Any]:
    """As it was sent; what was not sent yet, in the language of the call."""
    subject, body = (notice.subject, notice.body) if notice.sent_at else render_notice(notice, language_of())
    shown = shapes.NoticeItem(
        {
            "id": notice.pk,
            "request_id": notice.request_id,
            "kind": notice.kind,
            "subject": subject,
            "body": body,
            "created_at": notice.created_at,
            "read_at": notice.read_at,
        }
    )
    return dict(shown.data)


class NothingHere(APIView):
    """Every other address under the API: a problem, not a page."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None

    def initial(self, request: ApiRequest, *args: Any, **kwargs: Any) -> None:
        raise Http404
