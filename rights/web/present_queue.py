"""The queue of the desk: each case in a line, and where it stands still."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Count
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from accounts.permissions import can
from rights.actions.submit import closes_on
from rights.datamap import DataMap
from rights.kernel.clock import local_day
from rights.kernel.decisions import REASONS, Outcome
from rights.kernel.states import State
from rights.models import Appeal, Event, Request, Step
from rights.queries import Due, appeal_due, clock_facts, due_if_any, load_calendar, open_fee
from rights.templatetags.look import listed
from rights.web.case_words import matter_of_case, reason_words


@dataclass(frozen=True)
class QueueRow:
    """One line of the queue; see templates/desk/queue.html."""

    url: str
    ref: str
    days_left: int | None
    paused: bool
    paused_days: int
    deferred: bool
    closed: bool
    due: date | None
    rolled_due: date | None
    since: str
    matter: str
    message: bool
    appeal: bool
    person: str
    stuck: str
    seen: str
    seen_text: str
    viewer: str
    owner: str
    claim_url: str
    mine: bool


def present_rows(requests: Sequence[Request], *, reviewer: User, data_map: DataMap, now: datetime) -> list[QueueRow]:
    """The rows of one page: five queries for all of them, whatever their number."""
    calendar = load_calendar()
    keys = [request.pk for request in requests]
    steps: dict[Any, dict[str, int]] = {}
    for row in Step.objects.filter(request__in=keys).values("request", "state").annotate(n=Count("pk")):
        steps.setdefault(row["request"], {})[row["state"]] = row["n"]
    looked_at = set(
        Event.objects.filter(request__in=keys, kind__in=("claimed", "decided", "asked")).values_list(
            "request", flat=True
        )
    )
    appeals = {
        appeal.request_id: appeal
        for appeal in Appeal.objects.filter(request__in=keys, decided_at=None).select_related("reviewer")
    }
    return [
        _present_row(
            request,
            due=due_if_any(request, now=now, calendar=calendar),
            reviewer=reviewer,
            data_map=data_map,
            steps=steps.get(request.pk, {}),
            seen=request.pk in looked_at,
            appeal=appeals.get(request.pk),
            now=now,
        )
        for request in requests
    ]


def _present_row(
    request: Request,
    *,
    due: Due | None,
    reviewer: User,
    data_map: DataMap,
    steps: Mapping[str, int],
    seen: bool,
    appeal: Appeal | None,
    now: datetime,
) -> QueueRow:
    closed = request.state == State.CLOSED
    runs = due if due and not closed and not due.deferred else None
    if appeal is not None:
        return _appeal_row(request, appeal, reviewer=reviewer, data_map=data_map, now=now)
    owner = request.reviewer
    free = owner is None and not closed and can(reviewer, "request.claim")
    return QueueRow(
        url=reverse("desk:case", args=[request.pk]),
        ref=request.reference or "",
        days_left=runs.days_left if runs else None,
        paused=bool(due and due.paused),
        paused_days=paused_days(request, now=now),
        deferred=bool(due and due.deferred),
        closed=closed,
        due=runs.on if runs else None,
        rolled_due=runs.rolled if runs else None,
        since=_since(request),
        matter=matter_of_case(request, data_map),
        message=request.unanswered_since is not None,
        appeal=False,
        person=request.subject.masked_name,
        stuck=where_stuck(request, data_map=data_map, steps=steps),
        seen="ok" if seen else "un",
        seen_text=_("taken up") if seen else _("not yet"),
        viewer="",
        owner="" if owner is None else _("you") if owner.pk == reviewer.pk else owner.display_name,
        claim_url=reverse("desk:claim", args=[request.pk]) if free else "",
        mine=owner is not None and owner.pk == reviewer.pk,
    )


def _appeal_row(request: Request, appeal: Appeal, *, reviewer: User, data_map: DataMap, now: datetime) -> QueueRow:
    """A closed case with an appeal goes by the appeal's own clock and owner."""
    due, owner = appeal_due(appeal), appeal.reviewer
    return QueueRow(
        url=reverse("desk:case", args=[request.pk]),
        ref=request.reference or "",
        days_left=(due - local_day(now)).days,
        paused=False,
        paused_days=0,
        deferred=False,
        closed=False,
        due=due,
        rolled_due=None,
        since=_("filed %(day)s") % {"day": local_day(appeal.filed_at).isoformat()},
        matter=matter_of_case(request, data_map),
        message=request.unanswered_since is not None,
        appeal=True,
        person=request.subject.masked_name,
        stuck=closing_words(request),
        seen="ok" if owner else "un",
        seen_text=_("taken up") if owner else _("not yet"),
        viewer="",
        owner="" if owner is None else _("you") if owner.pk == reviewer.pk else owner.display_name,
        claim_url="",
        mine=owner is not None and owner.pk == reviewer.pk,
    )


def _since(request: Request) -> str:
    if request.state == State.CLOSED and request.closed_at:
        return _("closed %(day)s") % {"day": local_day(request.closed_at).isoformat()}
    if request.state == State.DEFERRED and request.deferred_at:
        return _("since %(day)s") % {"day": local_day(request.deferred_at).isoformat()}
    if request.state == State.WAITING and request.lacks_proof and request.received_at:
        return _("ends on %(day)s without a proof") % {"day": closes_on(request.received_at).isoformat()}
    return ""


def paused_days(request: Request, *, now: datetime) -> int:
    if request.state != State.WAITING or request.lacks_proof:
        return 0
    open_pauses = [pause for pause in clock_facts(request).pauses if pause.answered_on is None]
    return max((pause.days(local_day(now)) for pause in open_pauses), default=0)


def where_stuck(request: Request, *, data_map: DataMap, steps: Mapping[str, int]) -> str:
    """Whom or what a request waits for, in words."""
    dead, done, total = steps.get(Step.State.DEAD, 0), steps.get(Step.State.DONE, 0), sum(steps.values())
    if dead:
        return ngettext("%(n)s step failed", "%(n)s steps failed", dead) % {"n": dead}
    match State(request.state):
        case State.REVIEW:
            return listed(reason_words(key, data_map) for key in request.review_reasons) or _("to be decided")
        case State.WAITING if request.lacks_proof:
            return listed(reason_words(key, data_map) for key in request.review_reasons)
        case State.WAITING if fee := open_fee(request):
            return _("waits for an answer to the fee of ¥%(amount)s") % {"amount": fee.amount}
        case State.WAITING:
            return _("waits for the person's answer")
        case State.DEFERRED:
            facts = listed(reason_words(key, data_map) for key in _deferral_keys(request))
            return f"{facts} · {_('approved beforehand')}" if request.approved_at else facts
        case State.CHECKING:
            return _("being checked")
        case State.ACTING if request.act_after:
            return _("starts soon")
        case State.ACTING:
            return _("%(done)s of %(total)s steps done") % {"done": done, "total": total}
        case _:
            return closing_words(request)


def _deferral_keys(request: Request) -> list[str]:
    """The facts that an open deferral waits for, as the plan of that moment names them."""
    lines = (request.plan or {}).get("lines", ())
    return sorted({key for line in lines for key in line["blockers"]})


def closing_words(request: Request) -> str:
    """How a closed request came out, in a few words."""
    key = request.closing_key
    if key == "WITHDRAWN":
        return _("taken back by the person")
    if key in {"AGENT.UNAUTHORISED", "ID.UNVERIFIED"}:
        return _("never proved")
    if key in {"FEE.DECLINED", "FEE.UNANSWERED"}:
        return _("fee not accepted")
    if key in REASONS and REASONS[key].outcome in {Outcome.REFUSE, Outcome.PERSON}:
        return _("refused (%(key)s)") % {"key": key}
    return _("done")
