"""A claimed step at work: what it acts with, and the ways in which it does not come to its end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from portal.core import rows
from rights.connectors.base import Snapshot
from rights.connectors.registry import connect
from rights.datamap import DataMap
from rights.kernel.retention import Rule
from rights.models import Request, Step
from rights.planning import Matter, Reading, open_reading, with_facts

LEASE = timedelta(seconds=settings.LEASE_SECONDS)
FIRST_BATCH, SMALLEST_BATCH, LARGEST_BATCH = 1_000, 50, 20_000
ACT_SECONDS = 0.025
"""How long acting on a batch may take: nobody else who writes the same rows waits much longer than twice that."""
READ_AGAIN_SECONDS = 1.0
"""For so long facts, rules and exceptions are taken as they were read. Whether erasures are stopped is asked always."""

LOOK_AGAIN = timedelta(days=1)
BY_HAND = "Have it done by hand or take the system live, then try again."


class LostLease(Exception):
    """Another worker has taken the step over; this one must not write any more."""


class Postponed(Exception):
    """Nothing is wrong, but it is not the time: a fact has come in the way of a release, or a package waits.

    It is looked at again after `wait`; meanwhile the step says `error`.
    """

    def __init__(self, why: str, *, wait: timedelta = LOOK_AGAIN, error: str = "") -> None:
        super().__init__(why)
        self.wait, self.error = wait, error


class Stopped(Exception):
    """Somebody has stopped the erasures of the system. `str()` says why."""


@dataclass(frozen=True)
class Work:
    """A claimed step with what it needs to act. `moment()` is the caller's now plus the time that has passed.

    `facts_at`: when the facts of the matter were read, by `time.monotonic()`.
    """

    step: Step
    request: Request
    matter: Matter
    data_map: DataMap
    rules: Sequence[Rule]
    now: datetime
    shadow: bool = False
    facts_at: float = -READ_AGAIN_SECONDS
    begun: float = field(default_factory=time.monotonic)

    def moment(self) -> datetime:
        return self.now + timedelta(seconds=time.monotonic() - self.begun)

    def write(self, **fields: Any) -> None:
        """Change the step, if it is still ours, and keep the lease alive."""
        ours = {"pk": self.step.pk, "fence": self.step.fence, "state": Step.State.RUNNING}
        if not rows.change(Step, ours, **{"lease_until": self.moment() + LEASE, **fields}):
            raise LostLease(f"Step {self.step.pk} was taken over.")
        for name, value in fields.items():
            setattr(self.step, name, value)


@contextmanager
def open_working(work: Work) -> Iterator[tuple[Snapshot, Reading]]:
    """The step's system and the policies as they are now."""
    matter = work.matter
    if time.monotonic() - work.facts_at > READ_AGAIN_SECONDS:
        matter = with_facts(matter, subject=work.request.subject, request=work.request)
    with open_reading(matter, system=work.step.system, data_map=work.data_map, rules=work.rules, now=work.now) as (
        snapshot,
        reading,
    ):
        yield snapshot, reading


def next_size(size: int, seconds: float) -> int:
    """A batch that takes about `ACT_SECONDS`, not more than twice the last one."""
    wanted = int(size * min(2.0, ACT_SECONDS / max(seconds, 0.001)))
    return max(SMALLEST_BATCH, min(wanted, LARGEST_BATCH))


def explain_unmoved(work: Work, done: str) -> str:
    """What a system that says yes and does nothing is found out to have, and what to do."""
    step = work.step
    obstacles = connect(step.system, work.data_map).find_obstacles(step.collection)
    has = f" It has {', '.join(obstacles)} there, which may do that." if obstacles else ""
    return (
        f"The system {step.system} reported no error but {done} nothing of {step.collection}.{has} Have whoever runs it"
        " let the portal's role change these records, then try again."
    )
