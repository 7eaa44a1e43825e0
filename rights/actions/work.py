"""A claimed step at work: what it acts with, and the ways in which it does not come to its end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from rights.connectors.base import Snapshot
from rights.datamap import DataMap
from rights.kernel.retention import Rule
from rights.models import Request, Step
from rights.planning import Matter, Reading, open_reading, with_facts

LEASE = timedelta(seconds=settings.LEASE_SECONDS)
READ_AGAIN_SECONDS = 1.0
"""For so long facts, rules and exceptions are taken as they were read. Whether erasures are stopped is asked always."""


class LostLease(Exception):
    """Another worker has taken the step over; this one must not write any more."""


class Postponed(Exception):
    """Nothing is wrong, but it is not the time: a fact has come in the way of a release."""


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
        if not Step.objects.filter(pk=self.step.pk, fence=self.step.fence, state=Step.State.RUNNING).update(
            **{"lease_until": self.moment() + LEASE, **fields}
        ):
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
