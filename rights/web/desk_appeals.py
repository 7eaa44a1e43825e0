"""Appeals at the desk: somebody who has not decided the case takes one and decides it; and who knows somebody in a case
says so."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.permissions import staff_required
from portal.core import clock
from rights.actions import appeals
from rights.actions.review import CannotDecide
from rights.datamap import load_live_map
from rights.models import Appeal, Request
from rights.transitions import StaleRequest
from rights.web import person_of
from rights.web.desk import find_case, is_own_case, show_case
from rights.web.present_appeal import AppealDecisionForm


@require_POST
@staff_required("request.decide")
def claim(request: HttpRequest, pk: UUID) -> HttpResponse:
    item = _others_case(request, pk)
    try:
        appeals.claim_appeal(_open(item), reviewer=person_of(request), now=clock.now())
    except (CannotDecide, StaleRequest) as error:
        messages.error(request, str(error))
    return redirect("desk:case", pk)


@require_POST
@staff_required("request.decide")
def release(request: HttpRequest, pk: UUID) -> HttpResponse:
    item = _others_case(request, pk)
    appeals.release_appeal(_open(item), reviewer=person_of(request))
    return redirect("desk:case", pk)


@require_POST
@staff_required("request.decide")
def decide(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The decision of an appeal. One that was decided meanwhile says so and changes nothing."""
    item, now, reviewer = _others_case(request, pk), clock.now(), person_of(request)
    form = AppealDecisionForm(request.POST, item=item, data_map=load_live_map())
    if not form.is_valid():
        return show_case(request, item, now=now, appeal_form=form, status=422)
    given = form.cleaned_data
    try:
        appeal = _open(item)
        appeals.claim_appeal(appeal, reviewer=reviewer, now=now)
        appeals.decide_appeal(
            appeal, reviewer=reviewer, outcome=given["outcome"], key=given["reason"], text=given["text"],
            entities=given.get("entities") or (), now=now,
        )  # fmt: skip
    except (CannotDecide, StaleRequest) as error:
        form.add_error(None, str(error))
        return show_case(request, find_case(pk), now=now, appeal_form=form, status=409)
    if given["outcome"] == Appeal.Outcome.UPHELD:
        messages.success(request, _("The decision stands. The person is told the reason and what they can still do."))
    else:
        messages.success(request, _("Overturned. The case is yours and waits for a new decision."))
    return redirect("desk:case", pk)


@require_POST
@staff_required("request.claim")
def declare(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Who knows somebody in the case hands it to others, now and later."""
    appeals.declare_relation(find_case(pk), staff=person_of(request), now=clock.now())
    messages.success(request, _("Noted. The cases of these people are for others to decide."))
    return redirect("desk:queue")


def _open(item: Request) -> Appeal:
    return get_object_or_404(item.appeals.select_related("request__subject", "request__filed_by"), decided_at=None)


def _others_case(request: HttpRequest, pk: UUID) -> Request:
    item = find_case(pk)
    if is_own_case(item, person_of(request)):
        raise PermissionDenied
    return item
