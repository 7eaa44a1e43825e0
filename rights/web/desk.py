"""The desk: staff take a case, decide it with a reason, and watch it being carried out."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.identities import get_identities
from accounts.models import User
from accounts.permissions import can, staff_required
from portal.core import clock
from rights.actions import review
from rights.actions.submit import closes_on
from rights.datamap import DataMap, load_live_map
from rights.kernel.clock import local_day
from rights.kernel.handling import REMINDER_DAYS
from rights.kernel.plan import Plan
from rights.kernel.states import Kind, State
from rights.models import Handover, Request, Step
from rights.queries import (
    due_of,
    is_barred,
    knows_parties,
    last_day_to_ask,
    open_fee,
    starts_clock,
    stored_plan,
)
from rights.templatetags.look import listed
from rights.transitions import StaleRequest
from rights.web import person_of
from rights.web.desk_extras import extras_of
from rights.web.desk_forms import APPROVALS, DecisionForm, outcome_choices, persons_of
from rights.web.desk_seen import seal_version, what_changed
from rights.web.letters import approval_letter, extended_due, refusal_letter
from rights.web.present_appeal import AppealDecisionForm, present_appeal
from rights.web.present_case import (
    present_case_plan,
    present_earlier,
    present_head,
    present_judgements,
    present_person,
    recipients_of,
    verification_words,
)
from rights.web.present_handovers import present_tasks
from rights.web.present_request import present_asked
from rights.web.present_timeline import present_events, present_steps
from rights.web.thread import MessageForm, Thread, present_thread

# --- one case


@never_cache
@require_safe
@staff_required("request.view")
def case(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Who asks, what would happen, the decision."""
    item = find_case(pk)
    return show_case(request, item, now=clock.now())


def find_case(pk: UUID) -> Request:
    """A submitted request; drafts are nobody's business but their writer's."""
    return get_object_or_404(
        Request.objects.select_related("subject", "filed_by", "reviewer").prefetch_related("questions", "fees"),
        pk=pk,
        received_at__isnull=False,
    )


def _plan_of(item: Request, *, now: datetime) -> Plan | None:
    """What would happen now while it is to be decided; afterwards what was decided."""
    return review.live_plan(item, now=now) if _is_open_for_decision(item) else stored_plan(item)


def _is_open_for_decision(item: Request) -> bool:
    state = State(item.state)
    return state is State.REVIEW or (state is State.DEFERRED and item.approved_at is None)


def _lock_of(item: Request, *, reviewer: User) -> str:
    """Why this reviewer cannot decide the case now; empty where they can."""
    if not can(reviewer, "request.decide"):
        return _("Your role looks at cases and does not decide them.")
    if is_own_case(item, reviewer):
        return _("Nobody decides their own case.")
    if knows_parties(item, reviewer):
        return _("You have declared that you know who is in this case.")
    if item.reopened and is_barred(item, reviewer):
        return _("Its earlier decision was overturned, so somebody else decides it now.")
    if not _is_open_for_decision(item):
        return _state_words(item)
    if item.reviewer_id not in {None, reviewer.pk}:
        name = item.reviewer.display_name if item.reviewer else ""
        return _("This case belongs to %(name)s.") % {"name": name}
    return ""


def _state_words(item: Request) -> str:
    match State(item.state):
        case State.WAITING if item.lacks_proof and item.received_at:
            text = _(
                "It waits for a proof: nothing was looked up and no clock runs. Who filed it is reminded on days "
                "%(days)s; unproved, it ends by itself on %(day)s."
            )
            days = listed(str(day) for day in REMINDER_DAYS)
            return text % {"days": days, "day": closes_on(item.received_at).isoformat()}
        case State.WAITING if fee := open_fee(item):
            text = _("A fee was quoted. The clock stands until the person answers; unanswered it ends after %(day)s.")
            return text % {"day": fee.answer_by.isoformat()}
        case State.WAITING:
            return _("The person has been asked. The clock stands until they answer.")
        case State.DEFERRED:
            return _("It was approved beforehand and goes on by itself once nothing is in the way.")
        case State.ACTING:
            return _("It is being carried out.")
        case State.CLOSED:
            return _("It is closed.")
        case _:
            return _("It is being checked and comes to the desk if a person is needed.")


def is_own_case(item: Request, reviewer: User) -> bool:
    """Whether the case is the reviewer's own, also where they filed it from another account."""
    if reviewer.pk in {item.subject_id, item.filed_by_id}:
        return True
    mine = get_identities(reviewer)
    for user in {item.subject, item.filed_by}:
        theirs = get_identities(user)
        if any(mine.get(kind) and mine[kind] == theirs.get(kind) for kind in ("id_number", "phone")):
            return True
    return False


def _off_outcomes(item: Request, plan: Plan | None, *, now: datetime) -> dict[str, str]:
    """Outcomes that cannot be chosen now, each with why."""
    off = {}
    if plan and plan.unknown:
        off["approve"] = _("a system does not answer")
    if State(item.state) is State.DEFERRED:
        off["ask"] = off["extend"] = _("not while it is put off")
    elif item.extended_at:
        off["extend"] = _("extended once already")
    elif due_of(item, now=now).was_missed:
        off["extend"] = _("the deadline has passed")
    return off


def _ask_by(item: Request, *, now: datetime) -> date | None:
    if item.received_at is None or not starts_clock(item, asked_on=local_day(now)):
        return None
    return last_day_to_ask(item.received_at)


def _make_form(item: Request, plan: Plan | None, data_map: DataMap, *, now: datetime, data: Any = None) -> DecisionForm:
    kind = Kind(item.kind)
    letter = approval_letter(item, plan, data_map=data_map, due=due_of(item, now=now).on) if plan else ""
    return DecisionForm(
        data,
        kind=kind,
        persons=persons_of(kind, plan),
        data_map=data_map,
        off=_off_outcomes(item, plan, now=now),
        ask_by=_ask_by(item, now=now),
        initial={"reason": APPROVALS[kind][0], "letter": letter, "version": seal_version(item, plan)},
    )


def show_case(
    request: HttpRequest,
    item: Request,
    *,
    now: datetime,
    plan: Plan | None = None,
    form: DecisionForm | None = None,
    message_form: MessageForm | None = None,
    appeal_form: AppealDecisionForm | None = None,
    status: int = 200,
) -> HttpResponse:
    reviewer, data_map = person_of(request), load_live_map()
    plan = plan or _plan_of(item, now=now)
    locked = _lock_of(item, reviewer=reviewer)
    if not locked and form is None:
        form = _make_form(item, plan, data_map, now=now)
    own = is_own_case(item, reviewer)
    taken_by_other = item.reviewer_id not in {None, reviewer.pk}
    steps = present_steps(item, data_map=data_map, now=now)
    return render(
        request,
        "desk/case.html",
        {
            "case": present_head(item, reviewer=reviewer, plan=plan, data_map=data_map, now=now),
            "today": local_day(now),
            "person": present_person(item, now=now),
            "verified": verification_words(item),
            "asks": present_asked(item, data_map=data_map, language=get_language() or "zh-hans"),
            "earlier": present_earlier(item, data_map),
            "recipients": recipients_of(plan, data_map) if plan else "",
            "plan": present_case_plan(item, plan, data_map) if plan else None,
            "judge": present_judgements(item, plan=plan, data_map=data_map),
            "steps": steps,
            "thread": _thread(request, item, form=message_form, now=now),
            "settle_url": reverse("desk:settle", args=[item.pk]) if item.unanswered_since else "",
            "appeal": present_appeal(item, reviewer=reviewer, own=own, form=appeal_form, data_map=data_map, now=now),
            "relation_url": (
                ""
                if own or not can(reviewer, "request.claim") or knows_parties(item, reviewer)
                else reverse("desk:relation", args=[item.pk])
            ),
            "tasks": present_tasks(_tasks_of(item), today=local_day(now)),
            "asked_parties": _asked_parties(plan, data_map),
            "failed": [step for step in steps if step.retry_url] if can(reviewer, "request.decide") else [],
            "events": present_events(item, data_map),
            "can_decide": not locked,
            "locked": locked,
            "form": form,
            "decide_url": reverse("desk:decide", args=[item.pk]),
            "outcomes": _outcomes(item, form, plan, now=now) if form else [],
            "extras": extras_of(item, reviewer=reviewer, own=own),
            "undo": _undo(item, reviewer=reviewer, now=now),
            "undo_text": _undo_text(item),
            "claim_url": "",
            "take_url": _take_url(item, reviewer) if not taken_by_other else "",
            "release_url": reverse("desk:release", args=[item.pk]) if item.reviewer_id == reviewer.pk else "",
        },
        status=status,
    )


def _thread(request: HttpRequest, item: Request, *, form: MessageForm | None, now: datetime) -> Thread:
    reviewer = person_of(request)
    return present_thread(
        item,
        viewer=reviewer,
        url=reverse("desk:message", args=[item.pk]),
        file_url=lambda file: reverse("desk:attachment", args=[item.pk, file.pk]),
        form=form,
        writes=can(reviewer, "request.decide") and not is_own_case(item, reviewer),
        before=request.GET.get("before", ""),
        now=now,
    )


def _tasks_of(item: Request) -> "QuerySet[Handover, Handover]":
    """What was passed on for the case."""
    found = Handover.objects.filter(request=item).select_related("request__subject", "owner").defer("note")
    return found.order_by("due_on", "id")


def _asked_parties(plan: Plan | None, data_map: DataMap) -> list[str]:
    """The systems that an approval asks, as nobody can count what they hold."""
    language = get_language() or "zh-hans"
    return [data_map.asked[key].name(language) for key in plan.asked if key in data_map.asked] if plan else []


def _take_url(item: Request, reviewer: User) -> str:
    free = item.reviewer_id is None and item.state != State.CLOSED
    return reverse("desk:claim", args=[item.pk]) if free and can(reviewer, "request.claim") else ""


def _outcomes(item: Request, form: DecisionForm, plan: Plan | None, *, now: datetime) -> list[Any]:
    off = _off_outcomes(item, plan, now=now)
    texts = {
        "approve": _("for the day nothing is in the way") if item.state == State.DEFERRED else "",
        "ask": _("the clock stands"),
        "refuse": _("at once; cannot be taken back"),
        "extend": _("until %(day)s") % {"day": extended_due(item, now=now).isoformat()},
    }
    return outcome_choices(chosen=str(form["outcome"].value() or ""), off=off, texts=texts)


def _undo(item: Request, *, reviewer: User, now: datetime) -> dict[str, Any] | None:
    """A decision that can still be taken back: approved by a person, nothing begun."""
    until = item.act_after
    if item.state != State.ACTING or item.round or until is None or now >= until:
        return None
    if not can(reviewer, "request.decide") or not item.decisions.filter(outcome="approve").exists():
        return None
    return {"until": until, "url": reverse("desk:undo", args=[item.pk])}


def _undo_text(item: Request) -> str:
    if item.state == State.DEFERRED:
        return _("Nothing is changed before the facts in the way have cleared.")
    seconds = settings.UNDO_SECONDS
    if seconds < 60:
        time = ngettext("%(n)s second", "%(n)s seconds", seconds) % {"n": seconds}
    else:
        time = ngettext("%(n)s minute", "%(n)s minutes", seconds // 60) % {"n": seconds // 60}
    return _("An approval can be taken back for %(time)s; nothing is changed before.") % {"time": time}


# --- acts


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required("request.decide")
def decide(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One decision on what the reviewer saw. A page that is out of date is refused and says what changed."""
    if request.method != "POST":
        return redirect("desk:case", pk)
    now, item, reviewer, data_map = clock.now(), find_case(pk), person_of(request), load_live_map()
    if locked := _lock_of(item, reviewer=reviewer):
        messages.error(request, _("Nothing was decided: %(why)s") % {"why": locked})
        return show_case(request, item, now=now, status=409)
    plan = _plan_of(item, now=now)
    form = _make_form(item, plan, data_map, now=now, data=request.POST)
    valid = form.is_valid()
    rests_on_plan = request.POST.get("outcome") == "approve"
    changed = what_changed(request.POST.get("version", ""), item, plan if rests_on_plan else None, data_map)
    if changed:
        form.add_error(None, _("Nothing was decided: the case is not what you saw. Look again and confirm."))
        for words in changed[:20]:
            form.add_error(None, words)
        return _show_again(request, item, form, plan=plan, now=now, status=409)
    if not valid:
        return _show_again(request, item, form, plan=plan, now=now, status=422)
    if _offers_refusal(item, form):
        return _show_again(request, item, form, plan=plan, now=now, status=422)
    try:
        said = _carry_out(item, form, plan=plan, reviewer=reviewer, now=now)
    except (review.CannotDecide, StaleRequest) as error:
        form.add_error(None, str(error) if isinstance(error, review.CannotDecide) else _("The case has moved on."))
        return _show_again(request, find_case(pk), form, plan=plan, now=now, status=409)
    messages.success(request, said)
    return redirect("desk:case", pk)


def _offers_refusal(item: Request, form: DecisionForm) -> bool:
    """A refusal goes out at once: its letter is shown before it is sent. True where it was put in place just now."""
    if form.cleaned_data["outcome"] != "refuse":
        return False
    words = form.cleaned_data["letter"].strip()
    key = form.cleaned_data["reason"]
    drafts = {refusal_letter(item, key=other) for other in form.refusals if other != key}
    if words and words != str(form["letter"].initial or "").strip() and words not in drafts:
        return False
    form.data = _refill(form, letter=refusal_letter(item, key=key))
    form.add_error("letter", _("This is what the person gets. Read it, change it if need be, and confirm once more."))
    return True


def _show_again(
    request: HttpRequest, item: Request, form: DecisionForm, *, plan: Plan | None, now: datetime, status: int
) -> HttpResponse:
    """The page with the reviewer's answers kept and what is true now."""
    form.data = _refill(form, version=seal_version(item, plan))
    return show_case(request, item, now=now, plan=plan, form=form, status=status)


def _refill(form: DecisionForm, **values: str) -> dict[str, str]:
    """What was sent, with other values in place. Not by unpacking: a QueryDict unpacks to lists."""
    return {**{name: str(form.data[name]) for name in form.data}, **values}


def _carry_out(item: Request, form: DecisionForm, *, plan: Plan | None, reviewer: User, now: datetime) -> str:
    """The one act of the domain that the outcome stands for. A case nobody has is the reviewer's from here on."""
    if item.reviewer_id is None:
        review.claim(item, reviewer=reviewer, now=now)
    answers = form.cleaned_data
    letter = answers["letter"].strip()
    match answers["outcome"]:
        case "approve" if plan is not None:
            review.approve(
                item, reviewer=reviewer, key=answers["reason"], text=letter,
                lines=form.lines, plan=plan, now=now,
            )  # fmt: skip
            return _("Approved.")
        case "ask":
            missing = answers.get("missing", False)
            review.ask(item, reviewer=reviewer, text=letter, missing=missing, now=now)
            if missing and starts_clock(item, asked_on=local_day(now)):
                return _("The question was sent. The clock starts with the answer.")
            return _("The question was sent. The clock stands until it is answered.")
        case "refuse":
            review.refuse(item, reviewer=reviewer, key=answers["reason"], text=letter, now=now)
            return _("Refused. The person is told the reason and what they can do.")
        case "extend":
            review.extend(item, reviewer=reviewer, reason=letter, now=now)
            return _("Extended until %(day)s.") % {"day": due_of(item, now=now).on.isoformat()}
        case _:
            raise review.CannotDecide(_("The case has moved on."))


@require_POST
@staff_required("request.claim")
def claim(request: HttpRequest, pk: UUID) -> HttpResponse:
    item, reviewer = find_case(pk), person_of(request)
    if is_own_case(item, reviewer):
        messages.error(request, _("Nobody decides their own case."))
        return redirect("desk:case", pk)
    try:
        review.claim(item, reviewer=reviewer, now=clock.now())
    except StaleRequest as error:
        messages.error(request, str(error))
    return _back(request, pk)


@require_POST
@staff_required("request.claim")
def release(request: HttpRequest, pk: UUID) -> HttpResponse:
    review.release(find_case(pk), reviewer=person_of(request), now=clock.now())
    return redirect("desk:queue")


@require_POST
@staff_required("request.decide")
def undo(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take an approval back before anything was done."""
    item, reviewer = find_case(pk), person_of(request)
    if is_own_case(item, reviewer):
        raise PermissionDenied
    if item.state != State.ACTING:
        messages.error(request, _("There is no decision to take back."))
        return redirect("desk:case", pk)
    try:
        review.undo(item, reviewer=reviewer, now=clock.now())
    except (review.CannotDecide, StaleRequest) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The decision was taken back; nothing was changed."))
    return redirect("desk:case", pk)


@require_POST
@staff_required("request.decide")
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Try a failed step again, now."""
    step = get_object_or_404(Step.objects.select_related("request"), pk=pk)
    review.retry_step(step, reviewer=person_of(request), now=clock.now())
    messages.success(request, _("It is tried again now."))
    return redirect("desk:case", step.request_id)


def _back(request: HttpRequest, pk: UUID) -> HttpResponse:
    """To the page the button was on, else to the case."""
    where = request.META.get("HTTP_REFERER", "")
    if url_has_allowed_host_and_scheme(where, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return redirect(where)
    return redirect("desk:case", pk)
