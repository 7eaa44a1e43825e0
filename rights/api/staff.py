"""The desk's tasks for programs of the staff: by session, with the second factor, as their pages are."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request as ApiRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import can, is_verified_staff
from portal.core import clock
from rights.actions import tasks
from rights.api import serializers as shapes
from rights.api.views import CONFLICT, INVALID, NOT_FOUND, SIGNED_OUT, language_of, person_of, read_query
from rights.kernel.clock import local_day
from rights.models import Handover
from rights.web.present_handovers import VIEWS, act_word, name_of, query_tasks

MOST = 200


class IsDesk(BasePermission):
    """Staff with their second factor; who only looks on may not act."""

    def has_permission(self, request: ApiRequest, view: APIView) -> bool:
        needed = "request.view" if request.method == "GET" else "request.decide"
        return is_verified_staff(request.user) and can(request.user, needed)


class DeskView(APIView):
    authentication_classes = (SessionAuthentication,)
    permission_classes = (IsDesk,)


class TaskQuery(shapes.Strict):
    view = serializers.ChoiceField(choices=VIEWS, default="open", help_text="Which tasks.")


class TaskItem(shapes.PassedOn):
    id = serializers.UUIDField(help_text="Its number.")
    case = serializers.CharField(max_length=20, help_text="Reference of the request.")
    channel = serializers.ChoiceField(choices=["manual", "opendsr", "webhook"], help_text="How they are asked.")
    owner = serializers.CharField(max_length=200, allow_blank=True, help_text="Who has it; empty: nobody.")
    error = serializers.CharField(max_length=300, allow_blank=True, help_text="What went wrong last.")
    title = serializers.CharField(max_length=300, help_text="What is asked of whom, in words.")


class Done(shapes.Strict):
    count = serializers.IntegerField(
        min_value=0, max_value=2**53, allow_null=True, default=None,
        help_text="How many records it concerned; 0 where nothing was found; of a recipient it may be left out.",
    )  # fmt: skip
    note = serializers.CharField(max_length=2000, default="", allow_blank=True, help_text="Kept with the task.")


class Returned(shapes.Strict):
    reason = serializers.CharField(max_length=2000, help_text="Why it cannot be done; kept with the task.")


def describe(item: Handover) -> dict[str, Any]:
    language = language_of()
    shown = TaskItem(
        {
            "id": item.pk,
            "case": item.request.reference or "",
            "name": name_of(item, language),
            "role": "recipient" if item.step_id is None else "system",
            "act": item.act,
            "progress": item.state,
            "due_on": item.due_on,
            "told_at": item.sent_at,
            "answered_at": item.settled_at,
            "count": item.count,
            "channel": item.channel,
            "owner": item.owner.display_name if item.owner else "",
            "error": item.error,
            "title": f"{act_word(item.act)} · {name_of(item, language)}",
        }
    )
    return dict(shown.data)


def find(pk: UUID) -> Handover:
    return get_object_or_404(Handover.objects.select_related("request", "owner"), pk=pk)


class TasksView(DeskView):
    @extend_schema(
        operation_id="list_tasks",
        tags=["Desk"],
        summary="List the desk's tasks",
        description=f"What is asked of others, the first to be due first; {MOST} at most.",
        parameters=[TaskQuery],
        responses={200: serializers.ListSerializer(child=TaskItem()), 400: INVALID, 401: SIGNED_OUT, 403: SIGNED_OUT},
    )
    def get(self, request: ApiRequest) -> Response:
        view = read_query(TaskQuery, request)["view"]
        found = query_tasks(view, staff=person_of(request), today=local_day(clock.now()))
        return Response([describe(item) for item in found.order_by("due_on", "id")[:MOST]])


class TaskView(DeskView):
    @extend_schema(
        operation_id="show_task",
        tags=["Desk"],
        summary="Show a task",
        description="What is asked of whom, and how far it is. Its files and notes are on the desk's page.",
        responses={200: TaskItem, 401: SIGNED_OUT, 403: SIGNED_OUT, 404: NOT_FOUND},
    )
    def get(self, request: ApiRequest, pk: UUID) -> Response:
        return Response(describe(find(pk)))


_ANSWERS = {200: TaskItem, 400: INVALID, 401: SIGNED_OUT, 403: SIGNED_OUT, 404: NOT_FOUND, 409: CONFLICT}


class ActView(DeskView):
    """One act on a task, answered by the task as it is afterwards."""

    def act(self, request: ApiRequest, pk: UUID, do: Callable[[Handover, User], object]) -> Response:
        do(find(pk), person_of(request))
        return Response(describe(find(pk)))


class ClaimView(ActView):
    @extend_schema(
        operation_id="claim_task",
        tags=["Desk"],
        summary="Take a task",
        description="Whoever has a task works it; 409 where somebody else has.",
        request=None,
        responses=_ANSWERS,
    )
    def post(self, request: ApiRequest, pk: UUID) -> Response:
        return self.act(request, pk, lambda item, staff: tasks.claim_task(item, staff=staff))


class ToldView(ActView):
    @extend_schema(
        operation_id="record_told",
        tags=["Desk"],
        summary="Record that a letter is out",
        description="A recipient that is written to was told today; its days to answer begin.",
        request=None,
        responses=_ANSWERS,
    )
    def post(self, request: ApiRequest, pk: UUID) -> Response:
        return self.act(request, pk, lambda item, staff: tasks.record_told(item, staff=staff, now=clock.now()))


class DoneView(ActView):
    @extend_schema(
        operation_id="complete_task",
        tags=["Desk"],
        summary="Record a task as done",
        description="Under the name of who is signed in; a recipient has confirmed.",
        request=Done,
        responses=_ANSWERS,
    )
    def post(self, request: ApiRequest, pk: UUID) -> Response:
        given = Done(data=request.data)
        given.is_valid(raise_exception=True)
        answers = given.validated_data
        return self.act(
            request,
            pk,
            lambda item, staff: tasks.complete_task(
                item, staff=staff, count=answers["count"], note=answers["note"], now=clock.now()
            ),
        )


class ReturnView(ActView):
    @extend_schema(
        operation_id="return_task",
        tags=["Desk"],
        summary="Return a task",
        description="It cannot be done, or the recipient refuses. What a system returns fails the case's step.",
        request=Returned,
        responses=_ANSWERS,
    )
    def post(self, request: ApiRequest, pk: UUID) -> Response:
        given = Returned(data=request.data)
        given.is_valid(raise_exception=True)
        reason = given.validated_data["reason"]
        return self.act(
            request, pk, lambda item, staff: tasks.return_task(item, staff=staff, reason=reason, now=clock.now())
        )
