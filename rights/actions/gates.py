"""The gates of the business systems: who may act on a system now, and who opens and closes them.

A worker asks at each claim, and while it erases before each batch. Everything is in PostgreSQL: a gate that is closed
is closed for all workers at once, and stays so when they are killed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.permissions import can
from portal.core import ledger, rows
from rights.kernel.states import State
from rights.models import Gate, Step
from rights.transitions import wake_worker

ERASING = frozenset({"erase", "mask", "release"})
"""What the switch stops, and the asking of others to erase. What only ends a use, or writes down what is held, goes on:
it can be taken back."""
CHANGING = ERASING | {"close", "consent", "correct"}
"""What a system in shadow mode is spared."""
TRUSTED = 5
"""After so many failures in a row a system is left alone for a while; then one step tries again for all."""
REST, LONGEST_REST = timedelta(seconds=30), timedelta(minutes=15)
MINUTE = timedelta(minutes=1)
FULL = timedelta(seconds=2)
_JITTER = SystemRandom()


class CannotSet(Exception):
    """A gate that this person cannot set so; `str()` says why."""


@dataclass(frozen=True)
class Shut:
    """Not now: look again then. `reason` is for the desk; without one, what the step says already stands."""

    until: datetime
    reason: str


@dataclass(frozen=True)
class Entry:
    """The step is ours. `shadow`: the system is counted only; `was_failing`: it had not answered before."""

    shadow: bool
    was_failing: bool
    is_limited: bool


def claim(step: Step, *, lease: timedelta, now: datetime) -> Entry | Shut | None:
    """Take a step, if it is due and its gates let it through; None where it is not due, or somebody else has it.

    `step` then has its new fencing token.
    """
    if step.state == Step.State.READY and step.not_before > now:
        return None  # it waits for its day, which no gate that is shut brings forward
    gates = _gates_of(step.system)
    mine = gates.get(step.system)
    if mine is None or not (mine.is_limited or mine.closed_until):
        shut = _stop(gates, step, now=now)
        return shut or _take(step, mine, lease=lease, now=now)
    with transaction.atomic():
        # The lock makes one of two workers see what the other took.
        gates[step.system] = mine = Gate.objects.select_for_update().get(pk=step.system)
        shut = _stop(gates, step, now=now) or _rest(mine, now=now) or _full(mine, now=now)
        if shut:
            return shut
        entry = _take(step, mine, lease=lease, now=now)
        if entry and mine.closed_until:
            # This one tries for all; the others wait until it is known how it went.
            Gate.objects.filter(pk=mine.pk).update(closed_until=now + lease)
    return entry


def _take(step: Step, gate: Gate | None, *, lease: timedelta, now: datetime) -> Entry | None:
    """Conditional on the token and what goes with it: then nobody took it since it was read. Its day may have been
    brought forward meanwhile, as `wake_next` does, or put off by a gate, which was asked here too."""
    if step.state == Step.State.RUNNING and step.lease_until and step.lease_until >= now:
        return None
    names = ("pk", "fence", "attempts", "state", "lease_until")
    read = {name: getattr(step, name) for name in names}
    taken = {
        "state": Step.State.RUNNING,
        "fence": step.fence + 1,
        "attempts": step.attempts + 1,
        "lease_until": now + lease,
        "started_at": now,
    }
    if not rows.change(Step, read, **taken):
        return None
    for name, value in taken.items():
        setattr(step, name, value)
    return Entry(
        shadow=bool(gate and gate.shadow),
        was_failing=bool(gate and gate.failures),
        is_limited=bool(gate and gate.is_limited),
    )


def is_stopped(step: Step) -> bool:
    """Whether a step waits because the erasures are stopped. It says so itself: the person's role reads no gates."""
    return step.state == Step.State.READY and step.error.startswith(_STOPPED)


def erasing_stopped(system: str) -> str:
    """Why nothing of a system is erased now; empty where it may be."""
    return next((_told(gate) for gate in _gates_of(system).values() if gate.stopped_at), "")


def tell_answered(system: str) -> None:
    """A step on the system came to an end: whatever it was, the system answers."""
    Gate.objects.filter(pk=system, failures__gt=0).update(failures=0, closed_until=None)


def tell_failed(system: str, *, now: datetime) -> None:
    """The system did not answer. Too often in a row, and it is left alone, twice as long each time."""
    with transaction.atomic():
        gate = _lock(system)
        gate.failures += 1
        if gate.failures >= TRUSTED:
            rest = min(REST * 2 ** min(gate.failures - TRUSTED, 10), LONGEST_REST)
            gate.closed_until = now + rest * _JITTER.uniform(0.8, 1.2)
        gate.save(update_fields=["failures", "closed_until"])


def wake_next(system: str, *, now: datetime) -> None:
    """A place has come free on a limited system: the next that waits for it need not wait for a tick."""
    if not Gate.objects.filter(pk=system).exclude(at_once=None).exists():
        return
    waiting = Step.objects.filter(system=system, state=Step.State.READY, not_before__lte=now + FULL)
    first = (
        waiting.exclude(request__state=State.REVIEW)
        .select_related("request")
        .order_by("request__priority", "request__started_on")
        .first()
    )
    if first:
        Step.objects.filter(pk=first.pk, state=Step.State.READY).update(not_before=now)
        wake_worker(first.request, now=now)


# --- who sets them


def may_stop(user: User) -> bool:
    return can(user, "request.decide") or can(user, "console.edit")


def may_resume(user: User) -> bool:
    """Of those who may stop them, who oversees the portal: an auditor sees all and changes nothing."""
    return may_stop(user) and can(user, "console.view")


def stop_erasures(*, system: str, reason: str, by: User, now: datetime) -> None:
    """Erase nothing more of a system (`Gate.EVERY`: of none), from the next batch on. Raises CannotSet, also where they
    are stopped already: who stopped them first and why must stand."""
    _require(may_stop(by))
    reason = reason.strip()
    if not reason:
        raise CannotSet(_("Write why nothing is to be erased: whoever finds it stopped has to know."))
    if len(reason) > Gate.REASON_LENGTH:
        raise CannotSet(_("Write the reason in at most %(n)s characters.") % {"n": Gate.REASON_LENGTH})
    with transaction.atomic():
        gate = _lock(system)
        if gate.stopped_at:
            raise CannotSet(_("Erasures are stopped there already: %(reason)s") % {"reason": gate.reason})
        _set(gate, "erasures_stopped", by=by, now=now, stopped_at=now, stopped_by=by, reason=reason)


def resume_erasures(*, system: str, by: User, now: datetime) -> None:
    """Let erasures go on, and wake what waited. Raises CannotSet."""
    _require(may_resume(by))
    with transaction.atomic():
        gate = Gate.objects.select_for_update().filter(pk=system, stopped_at__isnull=False).first()
        if gate is None:
            raise CannotSet(_("Erasures are not stopped there."))
        _set(gate, "erasures_resumed", by=by, now=now, stopped_at=None, stopped_by=None, reason="")
    stopped_steps(system).filter(not_before__gt=now).update(not_before=now, error="")


def stopped_steps(system: str) -> QuerySet[Step]:
    """What waits for the erasures of a system (`Gate.EVERY`: of any) to go on. What waits for its day, or for a system
    that is away, names no stop."""
    waiting = Step.objects.filter(state=Step.State.READY, error__startswith=_STOPPED)
    return waiting if system == Gate.EVERY else waiting.filter(system=system)


def set_shadow(*, system: str, shadow: bool, by: User, now: datetime) -> None:
    """Let a system be counted only, or take it live. Raises CannotSet."""
    _require(can(by, "console.edit"))
    with transaction.atomic():
        _set(_lock(system), "shadow_begun" if shadow else "shadow_ended", by=by, now=now, shadow=shadow)


def set_limits(*, system: str, at_once: int | None, per_minute: int | None, by: User, now: datetime) -> None:
    """Bound the steps on a system; None: no bound. Raises CannotSet."""
    _require(can(by, "console.edit"))
    for limit in (at_once, per_minute):
        if limit is not None and limit < 1:
            raise CannotSet(_("A limit lets at least one step through; stop the erasures instead."))
    body = {"at_once": at_once, "per_minute": per_minute}
    with transaction.atomic():
        _set(_lock(system), "limits_set", by=by, now=now, body=body, at_once=at_once, per_minute=per_minute)


def _set(
    gate: Gate, event: str, *, by: User, now: datetime, body: Mapping[str, int | None] | None = None, **fields: Any
) -> None:
    """In the caller's transaction, which holds the gate's lock."""
    Gate.objects.filter(pk=gate.pk).update(**fields)
    ledger.append(chain=gate.chain, kind=event, body={"system": gate.pk, "by": str(by.pk), **(body or {})}, now=now)


def _lock(system: str) -> Gate:
    """The gate's row, made where there is none: of two who set it at once, one sees what the other did."""
    Gate.objects.get_or_create(pk=system)
    return Gate.objects.select_for_update().get(pk=system)


def _require(allowed: bool) -> None:
    if not allowed:
        raise CannotSet(_("Your role does not set the gates of the systems."))


# --- one gate


_STOPPED = "Erasures are stopped"


def _gates_of(system: str) -> dict[str, Gate]:
    return {gate.system: gate for gate in rows.find(Gate, system=[Gate.EVERY, system])}


def _told(gate: Gate) -> str:
    where = "everywhere" if gate.system == Gate.EVERY else f"in {gate.system}"
    return f"{_STOPPED} {where}: {gate.reason}"


def _stop(gates: Mapping[str, Gate], step: Step, *, now: datetime) -> Shut | None:
    if step.verb not in ERASING and step.params.get("act") != "erase":
        return None
    stopped = next((gate for gate in gates.values() if gate.stopped_at), None)
    return Shut(now + MINUTE, _told(stopped)) if stopped else None


def _rest(gate: Gate, *, now: datetime) -> Shut | None:
    if gate.closed_until is None or gate.closed_until <= now:
        return None
    return Shut(
        gate.closed_until, f"The system {gate.system} has not answered {gate.failures} times; it is left alone."
    )


def _full(gate: Gate, *, now: datetime) -> Shut | None:
    steps = Step.objects.filter(system=gate.system)
    if gate.at_once is not None and (
        steps.filter(state=Step.State.RUNNING, lease_until__gte=now).count() >= gate.at_once
    ):
        return Shut(now + FULL, "")
    if gate.per_minute is not None:
        begun = steps.filter(started_at__gt=now - MINUTE).order_by("-started_at").values_list("started_at", flat=True)
        if len(latest := list(begun[: gate.per_minute])) == gate.per_minute and latest[-1]:
            return Shut(latest[-1] + MINUTE, "")
    return None
