"""Retention rules as dates: until when a record is held, and which records are still held on a day.

Years and months are counted to the corresponding day, else to the month's last (Civil Code art. 202). The last day
of a hold is the day so found; the record is erasable the day after. Retention is monotone in the trigger: whoever
filters many records compares their trigger with one `cutoff`, and `last_day` of the smallest and the largest trigger
gives the first and the last release.

A successor governs every record whose hold under its predecessor ran on or after the day it took effect; what had
ended before is never revived. That is monotone too, so it stays one cutoff (`governed_cutoff`).
"""

import calendar
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise

DAY = timedelta(days=1)
_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?")


class Count(StrEnum):
    ANNIVERSARY = "anniversary"
    NEXT_JANUARY = "next_january"


class Rank(StrEnum):
    """Internal rules never enter the plan of a person's request."""

    LAW = "law"
    REGULATION = "regulation"
    INTERNAL = "internal"


class Bound(StrEnum):
    """A minimum holds a record through its last day. A maximum lets nothing but a minimum or a blocker hold it longer:
    neither an exception nor an open decision keeps a record past a maximum's last day."""

    MINIMUM = "minimum"
    MAXIMUM = "maximum"


class Effect(StrEnum):
    """What a retention exception does."""

    SUSPEND = "suspend"
    EXTEND = "extend"
    RELEASE = "release"


@dataclass(frozen=True)
class Rule:
    """A retention rule in one version. `entities` empty: all. Source: domain table of retention rules.

    `supersedes` is the code of the rule it succeeds; a later version of a code succeeds the earlier one by itself.
    """

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
    bound: Bound = Bound.MINIMUM
    supersedes: str = ""

    def applies_to(self, *, data_class: str, entity: str) -> bool:
        return data_class in self.data_classes and (not self.entities or entity in self.entities)

    def is_in_force(self, day: date) -> bool:
        return self.effective_from <= day and (self.effective_to is None or day <= self.effective_to)

    def overlaps(self, other: "Rule") -> bool:
        """Whether some record could be under both."""
        same_entities = not self.entities or not other.entities or bool(set(self.entities) & set(other.entities))
        return same_entities and bool(set(self.data_classes) & set(other.data_classes))

    @property
    def label(self) -> str:
        return self.code if self.version == 1 else f"{self.code} v{self.version}"


@dataclass(frozen=True)
class Exemption:
    """An approved exception to the rules, for the records in its scope; an empty scope is everything of the person's.

    `until` is its last day. `label` and `key` are what the person is shown; both are empty where that has to look like
    any other legal hold (a suspicious-transaction matter must not be hinted at).
    """

    effect: Effect
    until: date
    collection: str = ""
    data_class: str = ""
    entity: str = ""
    label: str = ""
    key: str = ""

    def covers(self, *, collection: str, data_class: str, entity: str) -> bool:
        return (
            self.collection in {"", collection} and self.data_class in {"", data_class} and self.entity in {"", entity}
        )


@dataclass(frozen=True)
class Governing:
    """A rule that holds records on a day: exactly those whose trigger is on or after `cutoff`."""

    rule: Rule
    cutoff: date


LONGEST_MONTHS = 100 * 12


@lru_cache(maxsize=256)
def duration_months(duration: str) -> int:
    """Months of an ISO 8601 duration of years and months, such as P5Y or P6M. Raises ValueError for any other."""
    match = _DURATION.fullmatch(duration)
    if not match or not any(int(part or 0) for part in match.groups()):
        raise ValueError(
            f"{duration!r} is not a duration in whole years and months such as P5Y or P6M; no law here counts days."
        )
    years, months = (int(part or 0) for part in match.groups())
    total = years * 12 + months
    if total > LONGEST_MONTHS:
        raise ValueError(f"{duration!r} is longer than 100 years; write a shorter duration.")
    return total


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
    months = duration_months(rule.duration)
    try:
        edge = add_months(today, -months)
    except ValueError:
        return date.min  # before the first year there is: a rule that has been in force since ever holds everything
    if rule.count is Count.NEXT_JANUARY:
        return date(edge.year, 1, 1)  # triggers of one year end together: those of the year before have ended
    # The last day of a month too short to have today's day ends before today, and the next month's first does not.
    return edge if last_day(edge, rule) == today else edge + DAY


def governing(
    rules: Iterable[Rule], *, data_class: str, entity: str, today: date, bound: Bound = Bound.MINIMUM
) -> tuple[Governing, ...]:
    """The active rules of rank law or regulation that decide about a class at a company on a day, each with its cutoff.

    What a rule in force has superseded there is not among them. The latest end of all of them is the end of a hold.
    """
    known = [
        rule
        for rule in rules
        if rule.active
        and rule.bound is bound
        and rule.rank is not Rank.INTERNAL
        and rule.applies_to(data_class=data_class, entity=entity)
    ]
    chains = [chain_of(rule, known) for rule in known if rule.is_in_force(today)]
    superseded = {rule for chain in chains for rule in chain[1:]}
    return tuple(
        Governing(chain[0], governed_cutoff(chain, today=today)) for chain in chains if chain[0] not in superseded
    )


def chain_of(rule: Rule, rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """The rule, its predecessor, that one's predecessor and so on, among `rules`."""
    chain = [rule]
    while (before := predecessor_of(chain[-1], rules)) and before not in chain:
        chain.append(before)
    return tuple(chain)


def predecessor_of(rule: Rule, rules: Sequence[Rule]) -> Rule | None:
    """The version before it, else the last version of the rule that it supersedes."""
    earlier = [other for other in rules if other.code == rule.code and other.version < rule.version]
    named = [other for other in rules if other.code == rule.supersedes]
    return max(earlier or named, key=lambda other: other.version, default=None)


def governed_cutoff(chain: Sequence[Rule], *, today: date) -> date:
    """The earliest trigger still held on `today` under the newest rule of a chain (newest first).

    A record is governed by a successor if its hold under what went before ran on or after the day the successor took
    effect; each such condition is a cutoff of its own, and the latest of them decides.
    """
    edges = [cutoff(chain[0], today=today)]
    edges += [cutoff(before, today=successor.effective_from) for successor, before in pairwise(chain)]
    return max(edges)


def may_end_before(maximum: Rule, minimum: Rule) -> bool:
    """Whether a maximum could end before a minimum for some trigger."""
    # A period that begins with the next January ends up to a year later, and for a trigger on 31 December no later.
    waits = 12 if maximum.count is Count.ANNIVERSARY and minimum.count is Count.NEXT_JANUARY else 0
    return duration_months(maximum.duration) < duration_months(minimum.duration) + waits
