"""The 15-day clock: facts in, dates out.

Days are days of Asia/Shanghai. The first day is not counted (Civil Code art. 201), the last day ends at 24:00
(art. 203). Lateness is derived from the facts and never stored.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from rights.kernel.calendar import DAY, NO_CALENDAR, Calendar, UnknownYear, is_weekend

SHANGHAI = ZoneInfo("Asia/Shanghai")
LIMIT_DAYS = 15
EXTENSION_DAYS = 15
MAX_RUNNING_DAYS = 30
WARNING_DAYS = (5, 1)
ASK_WITHIN_DAYS = 3


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
    """`started_on` is the day the request was complete, or the day we learnt that its blocker had cleared.

    The limit is in calendar days, or in working days where `working_days` says so.
    """

    started_on: date
    pauses: tuple[Pause, ...] = ()
    extended: bool = False
    limit_days: int = LIMIT_DAYS
    working_days: bool = False


def local_day(moment: datetime) -> date:
    """The Shanghai day of an aware moment; a naive one raises ValueError, as its day would be a guess."""
    if moment.tzinfo is None:
        raise ValueError("A moment without a time zone has no day.")
    return moment.astimezone(SHANGHAI).date()


def start_on(*, received_on: date, missing: Iterable[Pause], today: date) -> date:
    """The day from which the limit counts: that on which a request was complete.

    `missing` are the questions for what it lacked. Such a question counts if it was asked within 3 days of receipt; a
    later one changes nothing about the start, which was the receipt. While one is open, nothing has started: today.
    """
    last_day = received_on + ASK_WITHIN_DAYS * DAY
    complete = [question.answered_on or today for question in missing if question.asked_on <= last_day]
    return max([received_on, *complete])


def due_on(facts: ClockFacts, *, today: date, calendar: Calendar = NO_CALENDAR) -> date:
    """The last day of the limit: at most 30 running days in all, pauses not counted.

    Working days that need a year the calendar does not know count as calendar days, which is the stricter.
    """
    span = facts.limit_days
    if facts.working_days and missing_year(facts, calendar=calendar) is None:
        span = _working_span(facts, calendar)
    running = min(span + (EXTENSION_DAYS if facts.extended else 0), MAX_RUNNING_DAYS)
    return facts.started_on + (running + days_paused(facts.pauses, today=today)) * DAY


def missing_year(facts: ClockFacts, *, calendar: Calendar) -> int | None:
    """The year for want of which working days count as calendar days; None where none is wanting."""
    if facts.working_days:
        try:
            _working_span(facts, calendar)
        except UnknownYear as unknown:
            return unknown.year
    return None


def _working_span(facts: ClockFacts, calendar: Calendar) -> int:
    return calendar.span_of(facts.limit_days, after=facts.started_on, at_most=MAX_RUNNING_DAYS)


def days_paused(pauses: Iterable[Pause], *, today: date) -> int:
    """The days on which the clock stood; a day that two pauses share counts once."""
    total, seen_until = 0, date.min
    for pause in sorted(pauses, key=lambda pause: pause.asked_on):
        start, end = max(pause.asked_on, seen_until), pause.answered_on or today
        total += max(0, (end - start).days)
        seen_until = max(seen_until, end)
    return total


def late_from(due: date) -> datetime:
    """The first moment after the limit: 24:00 Shanghai time of the due day."""
    return datetime.combine(due + DAY, time(), tzinfo=SHANGHAI)


def warning_days(due: date) -> tuple[date, ...]:
    """The days on which staff are warned, the earlier first."""
    return tuple(due - timedelta(days=days) for days in WARNING_DAYS)


def roll_over(due: date, *, calendar: Calendar = NO_CALENDAR) -> date:
    """The legally rolled date: the next working day (Civil Code art. 203); the portal's own limit does not roll.

    Of a year that is not known only the weekends are, and no holiday is guessed.
    """
    while not _is_working(due, calendar):
        due += DAY
    return due


def _is_working(day: date, calendar: Calendar) -> bool:
    try:
        return calendar.is_working(day)
    except UnknownYear:
        return not is_weekend(day)


def days_left(due: date, *, today: date) -> int:
    """Whole days until the due day, 0 on it, negative once late."""
    return (due - today).days
