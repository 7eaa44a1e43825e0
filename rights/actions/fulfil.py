"""Carrying an approved request through: rounds of steps, waiting for what blocks, and the end.

Nothing here assumes that it runs once: every move is conditional on what was seen, and whatever a lost worker left
is found by the next tick.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from accounts.models import User
from portal.core import rows
from portal.core.wake import at_work
from rights.actions import gates
from rights.actions.handovers import NAMING, attend, tell_recipients
from rights.actions.steps import make_steps, release_matter, run_step, steps_in_order
from rights.actions.submit import defer, route, stated_matter
from rights.actions.work import LEASE, READ_AGAIN_SECONDS, LostLease, Postponed, Stopped, Work
from rights.connectors.base import ConnectorError, Refused, Unavailable
from rights.datamap import Consent, DataMap
from rights.kernel.clock import local_day
from rights.kernel.plan import GOING, Fate, Plan, exceeds
from rights.kernel.retention import Rule
from rights.kernel.states import Kind, State
from rights.models import Request, Step
from rights.notices import notify
from rights.planning import Matter, is_retained, make_plan, with_facts
from rights.queries import Law, backups_clear, due_of, is_open
from rights.transitions import StaleRequest, move, record

log = structlog.get_logger(__name__)
_JITTER = SystemRandom()

WORKER_WAIT = 30.0
MAX_ATTEMPTS = 8
MAX_ROUNDS = 20


@dataclass
class Look:
    """One look at a request: what does not change while it lasts is read once, facts once a second."""

    now: datetime
    law: Law = field(default_factory=Law)
    _stated: Matter | None = None
    _matter: Matter | None = None
    facts_at: float = 0.0
    """When the facts were read, by `time.monotonic()`."""

    @property
    def data_map(self) -> DataMap:
        return self.law.data_map

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self.law.rules

    def stated(self, request: Request) -> Matter:
        """The matter without the facts that may change: a decision and what it decides about stand."""
        if self._stated is None:
            self._stated = stated_matter(request)
        return self._stated

    def matter(self, request: Request) -> Matter:
        if self._matter is None or time.monotonic() - self.facts_at > READ_AGAIN_SECONDS:
            self.facts_at = time.monotonic()
            self._matter = with_facts(self.stated(request), subject=request.subject, request=request)
        return self._matter


def advance(*, request_id: UUID, now: datetime) -> None:
    """Take a request as far as it goes now. Harmless to call at any time, by any number of workers."""
    attend(request_id, now=now)
    look, was_dispatched = Look(now), False
    try:
        with at_work(request_id=str(request_id)):
            for _ in range(MAX_ROUNDS):
                request = _read(request_id)
                was_dispatched |= request.dispatched_at is not None
                if not _advance_once(request, look):
                    break
    except StaleRequest as stale:
        # Another worker was first; what is left to do is its, or the next tick's.
        log.info("advance_stale", request=str(request_id), reason=str(stale))
    # Only now may a tick hand it over again: a queue that is slow must not fill with what stands in it already. What a
    # tick has handed over meanwhile, its own message comes back from.
    if was_dispatched:
        Request.objects.filter(pk=request_id, dispatched_at__isnull=False).update(dispatched_at=None)


def _read(request_id: UUID) -> Request:
    """The request as it is now, with who it is about and who filed it."""
    (request,) = rows.find(Request, pk=request_id)
    people = {user.pk: user for user in rows.find(User, pk=[request.subject_id, request.filed_by_id])}
    request.subject, request.filed_by = people[request.subject_id], people[request.filed_by_id]
    return request


def _advance_once(request: Request, look: Look) -> bool:
    """One move or step; whether it may be worth looking again."""
    now = look.now
    match State(request.state):
        case State.CHECKING:
            route(request, now=now, law=look.law)
            return request.state not in {State.CHECKING, State.REVIEW}
        case State.ACTING:
            if request.act_after is not None and (now < request.act_after or not start_round(request, look)):
                return False
            run_steps(request, look)
            return finish_round(request, look)
        case State.DEFERRED if request.check_after and now >= request.check_after:
            return run_steps(request, look) or check_blockers(request, look)
        case State.DRAFT:
            return False
        case _:
            # Whatever the request waits for, what it holds is released on its day.
            return run_steps(request, look)


def start_round(request: Request, look: Look) -> bool:
    """Plan again and write the steps. What exceeds the approval goes back to review."""
    data_map, matter, now = look.data_map, look.matter(request), look.now
    fresh = make_plan(matter, data_map=data_map, rules=look.rules, now=now, wait=WORKER_WAIT)
    if fresh.unknown and matter.kind is not Kind.ACCESS:
        Request.objects.filter(pk=request.pk, act_after=request.act_after).update(act_after=now + timedelta(minutes=5))
        return False
    excess = exceeds(fresh, Plan.from_json(request.approved_plan or {}))
    if excess:
        move(
            request,
            to=State.REVIEW,
            event="plan_changed",
            now=now,
            plan=fresh.to_json(),
            approved_plan=None,
            approved_at=None,
            act_after=None,
            body={"collections": [item.collection for item in excess]},
            law=look.law,
        )
        return False
    if matter.kind is Kind.CANCELLATION and fresh.waits:
        defer(request, plan=fresh, now=now, law=look.law, act_after=None)
        return False
    try:
        steps = make_steps(request, plan=fresh, matter=matter, data_map=data_map, rules=look.rules, now=now)
    except ConnectorError as error:
        # It answered a moment ago; the round is planned anew when it does again.
        log.warning("round_postponed", request=str(request.pk), reason=str(error))
        Request.objects.filter(pk=request.pk, act_after=request.act_after).update(act_after=now + timedelta(minutes=5))
        return False
    with transaction.atomic():
        seen = {"pk": request.pk, "state": State.ACTING, "round": request.round, "act_after": request.act_after}
        if not rows.change(Request, seen, round=request.round + 1, act_after=None):
            raise StaleRequest("The round was started by another worker.")
        request.round, request.act_after = request.round + 1, None
        rows.add(*steps)
        record(request, event="started", now=now, body={"steps": len(steps), "round": request.round}, law=look.law)
    return True


def run_steps(request: Request, look: Look) -> bool:
    """Run what may run; whether anything was done."""
    steps = rows.find(Step, request=request.pk)
    done = False
    while True:
        ready = [step for step in steps_in_order(steps, now=look.now) if step.state != Step.State.DEAD]
        if not [step for step in ready if _run_claimed(request, step, look)]:
            return done
        done = True


def _run_claimed(request: Request, step: Step, look: Look) -> bool:
    now = look.now
    entry = gates.claim(step, lease=LEASE, now=now)
    if isinstance(entry, gates.Shut):
        Step.objects.filter(pk=step.pk, fence=step.fence, state=Step.State.READY).update(
            not_before=entry.until, error=(entry.reason or step.error)[:300]
        )
    if not isinstance(entry, gates.Entry):
        return False
    matter = release_matter(request) if step.verb == "release" else look.matter(request)
    if matter is None:
        Step.objects.filter(pk=step.pk, fence=step.fence).update(state=Step.State.DONE, finished_at=now)
        return True
    work = Work(step, request, matter, look.data_map, look.rules, now, shadow=entry.shadow, facts_at=look.facts_at)
    if step.attempts > MAX_ATTEMPTS:
        # Whatever ended the earlier attempts gave no reason: a worker that died each time, or a fault of our own.
        _give_up(work, f"Tried {MAX_ATTEMPTS} times without an end.")
        return False
    try:
        count = run_step(work)
        if entry.was_failing:
            gates.tell_answered(step.system)
        with transaction.atomic():
            work.write(state=Step.State.DONE, done=count, finished_at=work.moment(), error="", lease_until=None)
            record(
                request,
                event="step_done",
                now=work.moment(),
                body={"verb": step.verb, "collection": step.collection, "count": count, **_to_be_told(step)},
                law=look.law,
            )
            if entry.is_limited:
                gates.wake_next(step.system, now=now)
        return True
    except LostLease:
        return False
    except Stopped as stopped:
        _try_later(work, now + gates.MINUTE, reason=str(stopped), attempts=0)
    except Postponed as postponed:
        # Nothing failed: it may wait for years, and its attempts are not counted.
        _try_later(work, now + postponed.wait, reason=postponed.error, attempts=0)
    except Refused as error:
        if entry.was_failing:
            gates.tell_answered(step.system)
        _give_up(work, str(error))
    except Unavailable as error:
        if step.system in work.data_map.systems:
            gates.tell_failed(step.system, now=now)
        if step.attempts >= MAX_ATTEMPTS:
            _give_up(work, str(error))
        else:
            # Jitter, so that a system that comes back is not met by everybody at once.
            wait = min(2**step.attempts, 600) * _JITTER.uniform(0.8, 1.2)
            _try_later(work, now + timedelta(seconds=wait), reason=str(error))
    except ConnectorError as error:
        _give_up(work, str(error))
    return False


def _to_be_told(step: Step) -> dict[str, Any]:
    """Who received what rested on a consent, where it was withdrawn."""
    recipients = step.params.get("recipients")
    return {"recipients": recipients} if recipients else {}


def _try_later(work: Work, moment: datetime, *, reason: str, **fields: Any) -> None:
    Step.objects.filter(pk=work.step.pk, fence=work.step.fence).update(
        state=Step.State.READY, not_before=moment, error=reason[:300], lease_until=None, **fields
    )


def _give_up(work: Work, reason: str) -> None:
    """A person has to look: the step waits on the desk with its reason."""
    with transaction.atomic():
        work.write(state=Step.State.DEAD, error=reason[:300], lease_until=None)
        record(work.request, event="step_dead", now=work.moment(), body={"collection": work.step.collection})


def finish_round(request: Request, look: Look) -> bool:
    """All steps are done: go on with what has come free, wait for what blocks, or close."""
    now = look.now
    steps = rows.find(Step, request=request.pk)
    if any(is_open(step) for step in steps):
        return False
    told = tell_recipients(request, data_map=look.data_map, steps=steps, now=now)
    kind = Kind(request.kind)
    if kind in {Kind.ACCESS, Kind.CORRECTION}:
        if told:
            close(request, plan=None, steps=steps, law=look.law, now=now)
        return False
    fresh = make_plan(look.matter(request), data_map=look.data_map, rules=look.rules, now=now, wait=WORKER_WAIT)
    if fresh.unknown:
        return False
    if (fresh.count(*GOING) or _has_unwritten_holds(request, fresh)) and request.round < MAX_ROUNDS:
        Request.objects.filter(pk=request.pk, state=State.ACTING, round=request.round).update(act_after=now)
        return True
    if fresh.of(Fate.BLOCKED):
        defer(request, plan=fresh, now=now, law=look.law)
    elif told:
        close(request, plan=fresh, steps=steps, law=look.law, now=now)
    return False


def _has_unwritten_holds(request: Request, fresh: Plan) -> bool:
    """Whether something is held now that was to go when the round was planned: the business wrote a later date."""
    if not fresh.of(Fate.HOLD):
        return False
    counted = request.holds.filter(released_at__isnull=True).values_list("collection").annotate(Sum("count"))
    written: dict[str, int] = dict(counted)
    return any(written.get(line.collection, 0) < line.count for line in fresh.of(Fate.HOLD))


def close(request: Request, *, plan: Plan | None, steps: Sequence[Step], law: Law, now: datetime) -> None:
    """Every line is done, held, kept or referred. The holds live on without the request."""
    data_map = law.data_map
    fields: dict[str, Any] = {"plan": plan.to_json()} if plan else {}
    keys = closing_keys(request, plan=plan, data_map=data_map)
    with transaction.atomic():
        move(
            request,
            to=State.CLOSED,
            event="closed",
            now=now,
            closed_at=now,
            closing_key=keys[0],
            check_after=None,
            body={"key": keys[0], "keys": keys, "held": plan.count(Fate.HOLD) if plan else 0},
            law=law,
            **fields,
        )
        if request.kind != Kind.ACCESS:
            cleared = backups_clear(request, data_map, steps=steps)
            params = {"backups": max(cleared.values()).isoformat()} if cleared else {}
            notify(user=request.subject, request=request, kind="closed", params=params, now=now)
        if names := _recipients(steps):
            params = {language: _listed(names, language) for language in ("zh", "en")}
            notify(user=request.subject, request=request, kind="sharing_stopped", params=params, now=now)


def closing_keys(request: Request, *, plan: Plan | None, data_map: DataMap) -> list[str]:
    """The reasons with which a request ends; the first stands for all of them."""
    match Kind(request.kind):
        case Kind.ACCESS:
            return ["OK.PORTABLE" if request.details.get("portable") else "OK.ACCESS"]
        case Kind.CORRECTION:
            touched = request.corrections.filter(rows__gt=0).values_list("collection", flat=True)
            items = [data_map.collections[key] for key in touched if key in data_map.collections]
            # What the law makes us keep must still say what it said.
            return ["OK.CORRECT_VERSIONED" if any(is_retained(item) for item in items) else "OK.CORRECT"]
        case Kind.DELETION:
            return ["OK.PURPOSE_END"]
        case Kind.CANCELLATION:
            return ["OK.CANCELLED", *(["OK.FORFEIT_CONFIRMED"] if request.details.get("forfeits") else [])]
        case Kind.WITHDRAWAL:
            stated = [data_map.consents[key] for key in request.details.get("purposes", ()) if key in data_map.consents]
            found = dict.fromkeys(_withdrawn_key(item, plan=plan, data_map=data_map) for item in stated)
            if request.details.get("recipients"):
                found["OK.SHARING_STOPPED"] = None
            if plan and any(line.key == "WITHDRAW.CONTRACT" for line in plan.of(Fate.KEEP)):
                found["WITHDRAW.CONTRACT"] = None
            return list(found) if len(found) == 1 else list(dict.fromkeys(["OK.CONSENT_WITHDRAWN", *found]))


def _withdrawn_key(consent: Consent, *, plan: Plan | None, data_map: DataMap) -> str:
    match consent.kind:
        case "marketing":
            return "OK.MARKETING_OFF"
        case "sharing":
            return "OK.SHARING_STOPPED"
        case "biometric":
            users = {item.entity for item in data_map.collections.values() if item.consent == consent.key}
            return "OK.ALT_VERIFY" if plan and users & set(plan.running) else "OK.BIOMETRIC_ERASED"
        case _:
            return "OK.CONSENT_WITHDRAWN"


def _recipients(steps: Iterable[Step]) -> list[dict[str, str]]:
    """Who has to be told that a consent was withdrawn, each once."""
    found: list[dict[str, str]] = []
    for step in sorted(steps, key=lambda item: (item.round, item.ordinal)):
        if step.verb not in NAMING:
            continue
        found += [name for name in step.params.get("recipients", ()) if name not in found]
    return found


def _listed(names: Sequence[Mapping[str, str]], language: str) -> str:
    return ("、" if language == "zh" else ", ").join(name[language] for name in names)


def check_blockers(request: Request, look: Look) -> bool:
    """Look again at what a deferred request waits for; when it has cleared, a fresh limit starts today."""
    now = look.now
    fresh = make_plan(look.matter(request), data_map=look.data_map, rules=look.rules, now=now, wait=WORKER_WAIT)
    still = fresh.unknown or fresh.of(Fate.BLOCKED)
    if fresh.unknown or (still and not _came_free(request, fresh)):
        Request.objects.filter(pk=request.pk, state=State.DEFERRED).update(
            check_after=now + timedelta(seconds=settings.CHECK_SECONDS),
            # What a system kept from us is owed from the day on which it should have been known.
            check_owed_at=(request.check_owed_at or request.check_after) if fresh.unknown else None,
        )
        return False
    started: dict[str, Any] = {
        "started_on": local_day(now),
        "check_after": None,
        "check_owed_at": None,
        "deferred_at": None,
        "resumed_at": now,
        "plan": fresh.to_json(),
    }
    with transaction.atomic():
        if request.approved_at:
            move(request, to=State.ACTING, event="unblocked", now=now, law=look.law, act_after=now, **started)
        else:
            move(request, to=State.REVIEW, event="unblocked", now=now, law=look.law, **started)
        due = due_of(request, now=now, calendar=look.law.calendar).on.isoformat()
        notify(
            user=request.subject, request=request, kind="resumed", params={"due": due}, once=str(request.round), now=now
        )
    return bool(request.approved_at)


def _came_free(request: Request, fresh: Plan) -> bool:
    """Whether it can go on while a part stays blocked: of a cancellation, once nothing defers it as a whole."""
    before = Plan.from_json(request.plan) if request.plan else None
    if before and request.kind == Kind.CANCELLATION and (before.waits or fresh.waits):
        return not fresh.waits
    return before is not None and fresh.count(Fate.BLOCKED) < before.count(Fate.BLOCKED)
