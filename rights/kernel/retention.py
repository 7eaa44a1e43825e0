"""Retention rules as dates: until when a record is held, and which records are still held on a day.

Years and months are counted to the corresponding day, else to the month's last (Civil Code art. 202). The last day
of a hold is the day so found; the record is erasable the day after. Retention is monotone in the trigger: whoever
filters many records compares their trigger with one `cutoff`, and `last_day` of the smallest and the largest trigger
gives the first and the last release.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

DAY = timedelta(days=1)
_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?")


class Count(StrEnum):
    ANNIVERSARY = "anniversary"
    NEXT_JANUARY = "next_january"


class Rank(StrEnum):
    LAW = "law"
    REGULATION = "regulation"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Rule:
    """A minimum retention rule in one version. `entities` empty: all. Source: domain table of retention rules."""

    code: str
    data_classes: tuple[str, ...]
    duration: str
    citation: str
    version: int = 1
    count: Count = Count.ANNIVERSARY
    rank: Rank = Rank.LAW
    effective_from: date = date.min
    effective_to: date | None = None
    entities: tuple[str, ...] = ()
    active: bool = True

    def applies_to(self, *, data_class: str, entity: str) -> bool:
        return data_class in self.data_classes and (not self.entities or entity in self.entities)

    @property
    def label(self) -> str:
        return self.code if self.version == 1 else f"{self.code} v{self.version}"


def duration_months(duration: str) -> int:
    """Months of an ISO 8601 duration of years and months, such as P5Y or P6M. Raises ValueError for any other."""
    match = _DURATION.fullmatch(duration)
    if not match or not any(int(part or 0) for part in match.groups()):
        raise ValueError(f"{duration!r} is not a duration in years and months such as P5Y or P6M.")
    years, months = (int(part or 0) for part in match.groups())
    return years * 12 + months


def add_months(start: date, months: int) -> date:
    """The corresponding day that many months later, else the month's last day."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def last_day(trigger: date, rule: Rule) -> date:
    """The last day on which a record with this trigger is held under the rule."""
    months = duration_months(rule.duration)
    if rule.count is Count.NEXT_JANUARY:
        # The period begins on 1 January itself, so its last day is a 31 December.
        return add_months(date(trigger.year + 1, 1, 1), months) - DAY
    return add_months(trigger, months)


def cutoff(rule: Rule, *, today: date) -> date:
    """The earliest trigger still held on `today`: a record is held exactly if its trigger is on or after it."""
    edge = add_months(today, -duration_months(rule.duration))
    if rule.count is Count.NEXT_JANUARY:
        edge = date(edge.year - 1, 1, 1)
    while last_day(edge, rule) >= today:
        edge -= DAY
    while last_day(edge, rule) < today:
        edge += DAY
    return edge
