"""Working days, year by year as the authorities announce them. A year that is not known is never guessed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType

SATURDAY = 5
DAY = timedelta(days=1)


class UnknownYear(LookupError):
    """A working day was asked for in a year whose days off are not known."""

    def __init__(self, year: int) -> None:
        super().__init__(f"The days off of {year} are not known.")
        self.year = year


def is_weekend(day: date) -> bool:
    return day.weekday() >= SATURDAY


@dataclass(frozen=True)
class Year:
    """The days off of one year, and the weekend days that are worked to make up for them."""

    days_off: frozenset[date]
    make_up: frozenset[date]


@dataclass(frozen=True)
class Calendar:
    """The years that are known."""

    years: Mapping[int, Year] = field(default_factory=lambda: MappingProxyType({}))

    def is_working(self, day: date) -> bool:
        """Raises UnknownYear."""
        year = self.years.get(day.year)
        if year is None:
            raise UnknownYear(day.year)
        return day not in year.days_off and (not is_weekend(day) or day in year.make_up)

    def span_of(self, count: int, *, after: date, at_most: int) -> int:
        """In how many days the `count`-th working day after `after` comes, but no more than `at_most`.

        Raises UnknownYear where a day before that lies in a year that is not known.
        """
        day, left = after, count
        for passed in range(1, at_most):
            day += DAY
            left -= self.is_working(day)
            if left == 0:
                return passed
        return at_most


NO_CALENDAR = Calendar()
