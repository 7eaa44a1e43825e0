"""The 15-day clock: facts in, dates out.

Days are days of Asia/Shanghai. The first day is not counted (Civil Code art. 201), the last day ends at 24:00
(art. 203). Lateness is derived from the facts and never stored.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")
LIMIT_DAYS = 15
EXTENSION_DAYS = 15
MAX_RUNNING_DAYS = 30
WARNING_DAYS = (5, 1)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pause:
    """The clock stands from the day of a specific question to the day of its answer (None: still open)."""

    asked_on: date
    answered_on: date | None = None

    def days(self, today: date) -> int:
        """Whole days this pause adds, as of `today` where it is still open."""
        return max(0, ((self.answered_on or today) - self.asked_on).days)


@dataclass(frozen=True)
class ClockFacts:
    """`started_on` is the day the request was complete, or the day we learnt that its blocker had cleared."""

    started_on: date
    pauses: tuple[Pause, ...] = ()
    extended: bool = False
    limit_days: int = LIMIT_DAYS


def local_day(moment: datetime) -> date:
    """The Shanghai day of an aware moment; a naive one raises ValueError, as its day would be a guess."""
    if moment.tzinfo is None:
        raise ValueError("A moment without a time zone has no day.")
    return moment.astimezone(SHANGHAI).date()


def due_on(facts: ClockFacts, *, today: date) -> date:
    """The last day of the limit: at most 30 running days in all, pauses not counted."""
    running = facts.limit_days + (EXTENSION_DAYS if facts.extended else 0)
    paused = sum(pause.days(today) for pause in facts.pauses)
    return facts.started_on + timedelta(days=min(running, MAX_RUNNING_DAYS) + paused)


def late_from(due: date) -> datetime:
    """The first moment after the limit: 24:00 Shanghai time of the due day."""
    return datetime.combine(due + DAY, time(), tzinfo=SHANGHAI)


def warning_days(due: date) -> tuple[date, ...]:
    """The days on which staff are warned, the earlier first."""
    return tuple(due - timedelta(days=days) for days in WARNING_DAYS)


def roll_over(due: date, *, days_off: Collection[date] = (), make_up_days: Collection[date] = ()) -> date:
    """The legally rolled date: the next working day (Civil Code art. 203); the portal's own limit does not roll."""
    while due in days_off or (due.weekday() >= 5 and due not in make_up_days):
        due += DAY
    return due


def days_left(due: date, *, today: date) -> int:
    """Whole days until the due day, 0 on it, negative once late."""
    return (due - today).days
