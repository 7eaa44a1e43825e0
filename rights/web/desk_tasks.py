"""Tasks of the desk: what is asked of systems that no machine can reach and of those who received data."""

from collections.abc import Callable
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.permissions import can, staff_required
from portal.core import clock
from rights.actions import tasks
from rights.actions.files import FileRefused
from rights.actions.review import CannotDecide
from rights.datamap import Party, Text, load_live_map
from rights.kernel.clock import local_day
from rights.models import Evidence, Handover
from rights.queries import QUEUE_PAGE
from rights.transitions import StaleRequest
from rights.web import language_of_page, person_of
from rights.web.files import read_upload, send_file
from rights.web.keyset import read_page
from rights.web.present_handovers import (
    VIEWS,
    corrections_of,
    identities_of,
    is_late,
    present_evidence,
    present_tasks,
    query_tasks,
    task_facts,
)

COUNT_BOUND = 1000


class DoneForm(forms.Form):
    count = forms.IntegerField(
        label=gettext_lazy("How many records it concerned"),
        help_text=gettext_lazy("0 where nothing was found."),
        min_value=0,
        max_value=10**12,
        required=False,
    )
    note = forms.CharField(
        label=gettext_lazy("Note"),
        help_text=gettext_lazy("Kept with the task; the person does not see it."),
        max_length=2000,
        required=False,
        widget=forms.Textarea({"rows": 3}),
    )


class ReturnForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why it cannot be done"),
        help_text=gettext_lazy("Kept with the task; the person does not see it."),
        max_length=2000,
        widget=forms.Textarea({"rows": 3}),
        error_messages={"required": gettext_lazy("Write why it cannot be done.")},
    )


class EvidenceForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy("PDF, PNG or JPEG, up to 5 MB. It is kept encrypted."),
        widget=forms.FileInput({"accept": ".pdf,.png,.jpg,.jpeg"}),
        error_messages={"required": gettext_lazy("Choose a file.")},
    )


@never_cache
@require_safe
@staff_required("request.view")
def show_tasks(request: HttpRequest) -> HttpResponse:
    """A view of the tasks, page by page, the first to be due first."""
    staff, today, view = person_of(request), local_day(clock.now()), request.GET.get("view", "open")
    if view not in VIEWS:
        raise Http404
    order = ("-due_on", "-id") if view == "done" else ("due_on", "id")
    found = query_tasks(view, staff=staff, today=today)
    page = read_page(found, order=order, cursor=request.GET.get("page", ""), size=QUEUE_PAGE)
    here = reverse("desk:tasks")
    return render(
        request,
        "desk/tasks.html",
        {
            "title": _names()[view],
            "count": found.order_by().values("pk")[:COUNT_BOUND].count(),
            "views": [
                {
                    "name": name,
                    "url": f"{here}?view={key}",
                    "current": key == view,
                    "hot": key in {"late", "returned"},
                    "count": query_tasks(key, staff=staff, today=today).order_by().values("pk")[:COUNT_BOUND].count(),
                }
                for key, name in _names().items()
                if key != "done"
            ]
            + [{"name": _names()["done"], "url": f"{here}?view=done", "current": view == "done", "count": None}],
            "rows": present_tasks(page.rows, today=today),
            "previous_url": f"{here}?view={view}&page={page.previous}" if page.previous else "",
            "next_url": f"{here}?view={view}&page={page.next}" if page.next else "",
        },
    )


def _names() -> dict[str, str]:
    return {
        "open": _("Open tasks"),
        "mine": _("Mine"),
        "late": _("Late"),
        "returned": _("Returned"),
        "done": _("Confirmed"),
    }


@never_cache
@require_safe
@staff_required("request.view")
def task(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _show(request, _task(pk))


def _task(pk: UUID) -> Handover:
    found = Handover.objects.select_related("request__subject", "request__filed_by", "owner", "settled_by", "step")
    return get_object_or_404(found, pk=pk)


def _party_of(item: Handover) -> Party:
    """As the map states it now; of one that is no longer in it, what is known from then."""
    return load_live_map().party(item.party) or Party(
        item.party, Text(item.name["zh"], item.name["en"]), identities={"account_no": "account_no"}
    )


def _show(request: HttpRequest, item: Handover, *, form: forms.Form | None = None, status: int = 200) -> HttpResponse:
    """`form`: one that was sent and has to be mended, in the place of its kind."""
    staff, data_map, party, language = person_of(request), load_live_map(), _party_of(item), language_of_page()
    mine = item.owner_id == staff.pk and item.state in {"ready", "sent"}
    works = can(staff, "request.decide")
    by_hand = item.channel == "manual"
    forms_of: dict[str, forms.Form] = {"done": DoneForm(), "return": ReturnForm(), "evidence": EvidenceForm()}
    if form is not None:
        forms_of[next(key for key, empty in forms_of.items() if isinstance(form, type(empty)))] = form
    at = [item.pk]
    return render(
        request,
        "desk/task.html",
        {
            "task": task_facts(item, data_map, language=language, now=clock.now()),
            "late": is_late(item, local_day(clock.now())),
            "instructions": party.instructions(language) if party.instructions else "",
            "identities": identities_of(item, party) if mine and works else [],
            "locked": bool(party.identities) and not mine and item.state in {"ready", "sent"},
            "corrections": corrections_of(item, data_map, language) if mine and works else [],
            "evidence": present_evidence(item),
            "form": form,
            "mine": mine and works,
            "done_form": forms_of["done"],
            "return_form": forms_of["return"],
            "evidence_form": forms_of["evidence"],
            "claim_url": reverse("desk:task_claim", args=at) if _is_free(item) and works else "",
            "release_url": reverse("desk:task_release", args=at) if mine else "",
            "told_url": reverse("desk:task_told", args=at)
            if by_hand and item.state == "ready" and not item.step_id
            else "",
            "done_url": reverse("desk:task_done", args=at),
            "return_url": reverse("desk:task_return", args=at),
            "evidence_url": reverse("desk:task_evidence", args=at),
            "take_back_url": reverse("desk:task_take_back", args=at) if party.kind == "opendsr" and not by_hand else "",
            "again_url": (
                reverse("desk:task_again", args=at) if item.state == "returned" and not item.step_id and works else ""
            ),
            "is_recipient": item.step_id is None,
            "failed_step": item.state == "returned" and item.step is not None and item.step.state == "dead",
            "by_hand": by_hand,
        },
        status=status,
    )


def _is_free(item: Handover) -> bool:
    return item.owner_id is None and item.state in {"ready", "sent"}


# --- acts


def _act(request: HttpRequest, pk: UUID, act: Callable[[Handover, User], object], *, said: str) -> HttpResponse:
    item = _task(pk)
    try:
        act(item, person_of(request))
    except (CannotDecide, StaleRequest) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, said)
    return redirect("desk:task", pk)


@require_POST
@staff_required("request.decide")
def claim(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _act(request, pk, lambda item, staff: tasks.claim_task(item, staff=staff), said=_("The task is yours."))


@require_POST
@staff_required("request.decide")
def release(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _act(request, pk, lambda item, staff: tasks.release_task(item, staff=staff), said=_("You gave it back."))


@require_POST
@staff_required("request.decide")
def told(request: HttpRequest, pk: UUID) -> HttpResponse:
    said = _("Recorded that they were told today.")
    return _act(request, pk, lambda item, staff: tasks.record_told(item, staff=staff, now=clock.now()), said=said)


@require_POST
@staff_required("request.decide")
def done(request: HttpRequest, pk: UUID) -> HttpResponse:
    form = DoneForm(request.POST)
    if not form.is_valid():
        return _show(request, _task(pk), form=form, status=422)
    given = form.cleaned_data

    def act(item: Handover, staff: User) -> None:
        tasks.complete_task(item, staff=staff, count=given["count"], note=given["note"], now=clock.now())

    return _act(request, pk, act, said=_("Recorded as done, under your name."))


@require_POST
@staff_required("request.decide")
def send_back(request: HttpRequest, pk: UUID) -> HttpResponse:
    form = ReturnForm(request.POST)
    if not form.is_valid():
        return _show(request, _task(pk), form=form, status=422)

    def act(item: Handover, staff: User) -> None:
        tasks.return_task(item, staff=staff, reason=form.cleaned_data["reason"], now=clock.now())

    return _act(request, pk, act, said=_("Returned with its reason."))


@require_POST
@staff_required("request.decide")
def take_back(request: HttpRequest, pk: UUID) -> HttpResponse:
    item = _task(pk)
    try:
        dropped = tasks.take_back_task(item, staff=person_of(request), now=clock.now())
    except (CannotDecide, StaleRequest) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("They dropped it.") if dropped else _("They have begun; it goes on."))
    return redirect("desk:task", pk)


@require_POST
@staff_required("request.decide")
def again(request: HttpRequest, pk: UUID) -> HttpResponse:
    by_letter = request.POST.get("how") == "letter"

    def act(item: Handover, staff: User) -> None:
        tasks.ask_again(item, staff=staff, by_letter=by_letter, now=clock.now())

    return _act(request, pk, act, said=_("It is told again."))


@require_POST
@staff_required("request.decide")
def evidence(request: HttpRequest, pk: UUID) -> HttpResponse:
    form = EvidenceForm(request.POST, request.FILES)
    if not form.is_valid():
        return _show(request, _task(pk), form=form, status=422)
    item, file = _task(pk), form.cleaned_data["file"]
    try:
        tasks.file_evidence(item, staff=person_of(request), name=file.name, content=read_upload(file), now=clock.now())
    except (CannotDecide, FileRefused, StaleRequest) as error:
        form.add_error("file", str(error))
        return _show(request, _task(pk), form=form, status=422)
    messages.success(request, _("The file was kept."))
    return redirect("desk:task", pk)


@never_cache
@require_safe
@staff_required("request.view")
def read_evidence(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A file, as a download of the type its own bytes show: nothing of it runs in a page of ours."""
    found = get_object_or_404(Evidence.objects.select_related("handover__request"), pk=pk)
    case, staff = found.handover.request, person_of(request)
    if staff.pk in {case.subject_id, case.filed_by_id}:
        raise PermissionDenied
    return send_file(found)
