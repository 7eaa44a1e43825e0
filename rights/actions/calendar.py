"""The calendar of working days and the limit of each kind: what an admin imports and sets, never guessed."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import User
from accounts.permissions import can
from rights.kernel.calendar import is_weekend
from rights.kernel.clock import MAX_RUNNING_DAYS, local_day
from rights.kernel.states import Kind
from rights.models import CalendarYear, KindLimit

OFF, WORK = "off", "work"
MOST_DAYS = 62
"""A range of days off longer than this is a slip of the pen."""


class FaultyCalendar(ValueError):
    """A calendar that cannot be imported; `faults` says all that is wrong with it."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class CannotSet(ValueError):
    """A setting that is refused; `str()` says why."""


@dataclass(frozen=True)
class YearData:
    """One year as a file states it, free of faults. Days as ISO texts, in order."""

    year: int
    days_off: list[str]
    make_up: list[str]
    source: str


def read_json(text: str) -> YearData:
    """`{"year": 2026, "source": …, "days_off": [day or {"from": day, "to": day}], "make_up": [day]}`.

    Raises FaultyCalendar.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise FaultyCalendar(
            [_("This is not JSON: line %(line)s, column %(column)s.") % {"line": error.lineno, "column": error.colno}]
        ) from None
    if not isinstance(data, Mapping):
        raise FaultyCalendar([_("The file must be an object with year, source, days_off and make_up.")])
    faults = [
        _("%(key)s is not a key of a calendar: year, source, days_off, make_up.") % {"key": key}
        for key in data
        if key not in {"year", "source", "days_off", "make_up"}
    ]
    for key in ("days_off", "make_up"):
        if not isinstance(data.get(key, []), list):
            raise FaultyCalendar([*faults, _("%(key)s must be a list of days.") % {"key": key}])
    marked = [(item, OFF) for item in data.get("days_off", [])] + [(item, WORK) for item in data.get("make_up", [])]
    days = [(day, kind) for item, kind in marked for day in _days_of(item, faults)]
    return _checked(data.get("year"), source=data.get("source"), days=days, faults=faults)


def read_csv(text: str, *, year: int, source: str) -> YearData:
    """Lines `day,kind` with a header; the kind is off, or work for a weekend day that is worked.

    Raises FaultyCalendar.
    """
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    if not {"day", "kind"} <= set(rows.fieldnames or ()):
        raise FaultyCalendar([_("The first line must name the columns: day,kind.")])
    faults: list[str] = []
    days = []
    for row in rows:
        kind = (row["kind"] or "").strip()
        if kind not in {OFF, WORK}:
            faults.append(
                _("Line %(line)s: the kind is off or work, not %(kind)s.")
                % {"line": rows.line_num, "kind": kind or "?"}
            )
            continue
        days += [(day, kind) for day in _days_of((row["day"] or "").strip(), faults)]
    return _checked(year, source=source, days=days, faults=faults)


def _days_of(item: Any, faults: list[str]) -> list[date]:
    """The days that an entry names; what it does not say goes to `faults`."""
    first, last = (item.get("from"), item.get("to")) if isinstance(item, Mapping) else (item, item)
    ends = []
    for text in (first, last):
        try:
            ends.append(date.fromisoformat(str(text)))
        except ValueError:
            faults.append(_("%(day)s is no day; write it as 2026-10-01.") % {"day": text})
            return []
    span = (ends[1] - ends[0]).days
    if not 0 <= span <= MOST_DAYS:
        faults.append(_("From %(first)s to %(last)s is no period of days off.") % {"first": first, "last": last})
        return []
    return [ends[0] + timedelta(days=number) for number in range(span + 1)]


def _checked(year: Any, *, source: Any, days: list[tuple[date, str]], faults: list[str]) -> YearData:
    if not isinstance(year, int) or isinstance(year, bool) or not 1950 <= year <= 2200:
        raise FaultyCalendar([*faults, _("%(year)s is no year; write it as 2026.") % {"year": year}])
    if not isinstance(source, str) or not source.strip():
        faults.append(_("Say where the days come from: the notice and its date."))
    seen: set[date] = set()
    for day, kind in days:
        told = {"day": day.isoformat(), "year": year}
        if day in seen:
            faults.append(_("%(day)s is named twice.") % told)
        if day.year != year:
            faults.append(_("%(day)s is not in %(year)s.") % told)
        if kind == WORK and not is_weekend(day):
            faults.append(_("%(day)s is no weekend day, so it cannot be a make-up working day.") % told)
        seen.add(day)
    if not any(kind == OFF for _day, kind in days) and not faults:
        faults.append(_("%(year)s has no day off at all; the holidays are missing.") % {"year": year})
    if faults:
        raise FaultyCalendar(faults)
    off, work = (sorted(day.isoformat() for day, kind in days if kind == wanted) for wanted in (OFF, WORK))
    return YearData(year=year, days_off=off, make_up=work, source=str(source).strip())


def import_year(data: YearData, *, imported_by: User, now: datetime) -> CalendarYear:
    """Make `data` what holds for its year; an earlier import of the year stays as a record. Raises CannotSet."""
    _require_admin(imported_by)
    return CalendarYear.objects.create(
        year=data.year,
        days_off=data.days_off,
        make_up=data.make_up,
        source=data.source,
        imported_by=imported_by,
        imported_at=now,
    )


def set_limit(
    kind: Kind, *, days: int, working_days: bool, effective_from: date, set_by: User, now: datetime
) -> KindLimit:
    """Set the limit of requests of `kind` filed from a day on; those filed before keep theirs. Raises CannotSet."""
    _require_admin(set_by)
    if not 1 <= days <= MAX_RUNNING_DAYS:
        raise CannotSet(_("A limit has from 1 to %(most)s days.") % {"most": MAX_RUNNING_DAYS})
    if effective_from < local_day(now):
        raise CannotSet(_("A limit begins today or later: requests keep the limit they were filed under."))
    return KindLimit.objects.create(
        kind=kind, days=days, working_days=working_days, effective_from=effective_from, set_by=set_by, set_at=now
    )


def _require_admin(user: User) -> None:
    if not can(user, "console.edit"):
        raise CannotSet(_("Only an administrator may change this."))
