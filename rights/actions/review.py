"""What a reviewer does with a case, and what a person answers."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from portal.core import rows
from portal.core.ledger import commit_to
from rights.actions.submit import matter_of
from rights.kernel.decisions import REASONS, REFUSALS
from rights.kernel.plan import Fate, Plan
from rights.kernel.states import OPEN_STATES, Kind, State
from rights.models import Decision, Question, Request, Step
from rights.notices import notify
from rights.planning import make_plan
from rights.queries import Law, due_of, is_barred, knows_parties
from rights.transitions import StaleRequest, move, record

LINE_DECISIONS = ("keep", "erase", "refer")


class CannotDecide(Exception):
    """The decision is incomplete or not this reviewer's; `str()` says what is missing."""


def claim(request: Request, *, reviewer: User, now: datetime) -> None:
    """Take a case that nobody has, or that is mine already. Raises StaleRequest where somebody else took it."""
    taken = Request.objects.filter(pk=request.pk, reviewer__isnull=True).update(reviewer=reviewer)
    if taken:
        record(request, event="claimed", now=now, actor=reviewer)
    elif not Request.objects.filter(pk=request.pk, reviewer=reviewer).exists():
        raise StaleRequest(_("Somebody else has taken this case."))
    request.reviewer = reviewer


def release(request: Request, *, reviewer: User, now: datetime) -> None:
    """Give a case back to the queue."""
    if Request.objects.filter(pk=request.pk, reviewer=reviewer).update(reviewer=None):
        record(request, event="released_case", now=now, actor=reviewer)


def live_plan(request: Request, *, now: datetime) -> Plan:
    """What would happen if the case were approved now."""
    law = Law()
    return make_plan(matter_of(request), data_map=law.data_map, rules=law.rules, now=now)


def approve(
    request: Request, *, reviewer: User, key: str, text: str, lines: Mapping[str, str], plan: Plan, now: datetime
) -> None:
    """Approve the plan the reviewer saw, blocked lines included for the day they clear.

    `lines` settles each collection that needs a person: keep, erase or refer. Raises CannotDecide where one is missing,
    StaleRequest where the case moved on meanwhile. Nothing is done before the undo period is over.
    """
    require_own(request, reviewer)
    require_state(request, State.REVIEW, State.DEFERRED)
    for line in plan.of(Fate.PERSON):
        if lines.get(line.collection) not in LINE_DECISIONS:
            raise CannotDecide(_("Decide what becomes of %(what)s.") % {"what": line.collection})
    if key not in REASONS:
        raise CannotDecide(_("Choose a reason."))
    undo_until, law = now + timedelta(seconds=settings.UNDO_SECONDS), Law()
    with transaction.atomic():
        _write_decision(
            request, reviewer=reviewer, outcome="approve", key=key, text=text, lines=lines, law=law, now=now
        )
        approved = make_allowed(plan, lines).to_json()
        if State(request.state) is State.DEFERRED:
            # What stands in the way still does; the approval waits with the request for the day it clears.
            changed = Request.objects.filter(pk=request.pk, state=State.DEFERRED, approved_at__isnull=True).update(
                approved_plan=approved, approved_at=now
            )
            if not changed:
                raise StaleRequest(_("The case has moved on."))
        else:
            move(
                request,
                to=State.ACTING,
                event="approved",
                now=now,
                actor=reviewer,
                body={"key": key},
                law=law,
                approved_plan=approved,
                approved_at=now,
                act_after=undo_until,
            )
        due = due_of(request, now=now, calendar=law.calendar).on.isoformat()
        notify(user=request.subject, request=request, kind="approved", params={"due": due}, now=now)


def make_allowed(plan: Plan, lines: Mapping[str, str]) -> Plan:
    """The plan as approved: a person's line decided to go goes."""
    data = plan.to_json()
    for line in data["lines"]:
        if line["fate"] == Fate.PERSON and lines.get(line["collection"]) == "erase":
            line["fate"] = Fate.ERASE.value
    return Plan.from_json(data)


def undo(request: Request, *, reviewer: User, now: datetime) -> None:
    """Take an approval back while its undo period runs. Raises CannotDecide afterwards."""
    if State(request.state) is State.DEFERRED and request.approved_at:
        # Approved for the day its blocker clears, which has not come.
        if not Request.objects.filter(pk=request.pk, state=State.DEFERRED, approved_at__isnull=False).update(
            approved_plan=None, approved_at=None
        ):
            raise StaleRequest(_("The case has moved on."))
        record(request, event="undone", now=now, actor=reviewer)
        return
    if request.round or request.act_after is None or now >= request.act_after:
        raise CannotDecide(_("The undo period is over; the changes have begun."))
    move(
        request,
        to=State.REVIEW,
        event="undone",
        now=now,
        actor=reviewer,
        approved_plan=None,
        approved_at=None,
        act_after=None,
    )


def refuse(request: Request, *, reviewer: User, key: str, text: str, now: datetime) -> None:
    """Refuse with a reason from the table. Raises CannotDecide for another key or without a text."""
    require_own(request, reviewer)
    require_state(request, State.REVIEW, State.WAITING, State.DEFERRED)
    refusable = key in REFUSALS or key.startswith("REPEAT.")
    if not refusable or (key == "GROUND.UNREALISTIC" and Kind(request.kind) not in {Kind.ACCESS, Kind.CORRECTION}):
        # Effort limits in which form somebody gets their data, never whether it is erased (PIPL art. 47).
        raise CannotDecide(_("Choose a reason for refusing."))
    if not text.strip():
        raise CannotDecide(_("Write what the person is told."))
    with transaction.atomic():
        _write_decision(request, reviewer=reviewer, outcome="refuse", key=key, text=text, lines={}, now=now)
        move(
            request,
            to=State.CLOSED,
            event="refused",
            now=now,
            actor=reviewer,
            body={"key": key},
            closed_at=now,
            closing_key=key,
            check_after=None,
        )
        notify(user=request.subject, request=request, kind="refused", now=now)


def ask(request: Request, *, reviewer: User, text: str, now: datetime, missing: bool = False) -> Question:
    """Ask the person one specific thing; the clock stands until they answer.

    `missing`: for what the request lacked when it was filed; asked within 3 days of receipt, the answer starts the
    clock. Asked later it only stands, as the clock started at receipt.
    """
    require_own(request, reviewer)
    require_state(request, State.CHECKING, State.REVIEW)
    if not text.strip():
        raise CannotDecide(_("Write the question."))
    with transaction.atomic():
        question = Question.objects.create(
            request=request, asked_by=reviewer, text=text.strip(), asked_at=now, missing=missing
        )
        not_ready: dict[str, Any] = {"ready_at": None} if missing else {}
        move(request, to=State.WAITING, event="asked", now=now, actor=reviewer, **not_ready)
        notify(user=request.subject, request=request, kind="question", once=str(question.pk), now=now)
    return question


def answer(request: Request, *, text: str, actor: User, now: datetime) -> None:
    """The person's answer; the clock goes on. A second answer to the same question is refused with StaleRequest."""
    if not text.strip():
        raise CannotDecide(_("Write your answer."))
    with transaction.atomic():
        question = request.questions.select_for_update().filter(answered_at__isnull=True).order_by("asked_at").first()
        if question is None:
            raise StaleRequest(_("This question was answered already."))
        Question.objects.filter(pk=question.pk).update(answered_at=now)
        question.answer, question.answered_at = text.strip(), now
        question.save(update_fields=["answer", "answered_at"])
        move(request, to=State.REVIEW, event="answered", now=now, actor=actor)


def extend(request: Request, *, reviewer: User, reason: str, now: datetime) -> None:
    """Extend once by 15 days, with a reason, before the deadline."""
    require_own(request, reviewer)
    require_state(request, *OPEN_STATES)
    if not reason.strip():
        raise CannotDecide(_("An extension needs a reason."))
    if State(request.state) is State.DEFERRED:
        raise CannotDecide(_("Its clock does not run while it is put off; there is nothing to extend."))
    if request.started_on is None:
        raise CannotDecide(_("No limit runs before it is proved who asks."))
    if due_of(request, now=now).was_missed:
        raise CannotDecide(_("The deadline has passed; it can no longer be extended."))
    with transaction.atomic():
        if not Request.objects.filter(pk=request.pk, extended_at__isnull=True).update(extended_at=now):
            raise CannotDecide(_("It was extended once already."))
        request.extended_at = now
        _write_decision(request, reviewer=reviewer, outcome="extend", key="", text=reason.strip(), lines={}, now=now)
        due = due_of(request, now=now).on.isoformat()
        record(request, event="extended", now=now, actor=reviewer, body={"until": due})
        notify(user=request.subject, request=request, kind="extended", params={"due": due}, now=now)


def retry_step(step: Step, *, reviewer: User, now: datetime) -> None:
    """Try a dead step again, now."""
    if Step.objects.filter(pk=step.pk, state=Step.State.DEAD).update(
        state=Step.State.READY, not_before=now, attempts=0, error=""
    ):
        record(step.request, event="retried", now=now, actor=reviewer, body={"collection": step.collection})


def require_state(request: Request, *states: State) -> None:
    """What was decided is not decided again, and what is being done is not refused any more."""
    if State(request.state) not in states:
        raise StaleRequest(_("The case has moved on."))


def require_own(request: Request, reviewer: User) -> None:
    if reviewer in {request.subject, request.filed_by}:
        raise CannotDecide(_("Nobody decides their own case."))
    if knows_parties(request, reviewer):
        raise CannotDecide(_("You have declared that you know who is in this case."))
    if request.reopened and is_barred(request, reviewer):
        raise CannotDecide(_("Its earlier decision was overturned, so somebody else decides it now."))
    if request.reviewer_id not in {None, reviewer.pk}:
        raise StaleRequest(_("Somebody else has taken this case."))


def _write_decision(
    request: Request,
    *,
    reviewer: User,
    outcome: str,
    key: str,
    text: str,
    lines: Mapping[str, str],
    now: datetime,
    law: Law | None = None,
) -> None:
    commitment = commit_to(text)
    decision = Decision(
        request=request,
        reviewer=reviewer,
        outcome=outcome,
        key=key,
        text=text,
        text_salt=commitment.salt,
        lines=dict(lines),
        decided_at=now,
    )
    rows.add(decision)
    record(
        request,
        event="decided",
        now=now,
        actor=reviewer,
        body={"outcome": outcome, "key": key, "lines": dict(lines)},
        commitments={"text": commitment.digest},
        law=law,
    )
