"""What every connector does, and the values it is asked with."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from rights.datamap import Condition, Predicate
from rights.kernel.plan import Fate
from rights.kernel.retention import Rule

Key = tuple[Any, ...]


class ConnectorError(Exception):
    """Something went wrong at a business system. `str()` is safe to show: it holds no value of a record."""


class Unavailable(ConnectorError):
    """The system cannot be reached or did not answer in time; trying again later may help."""


class Refused(ConnectorError):
    """The system refuses the act (a constraint, a missing right); trying again does not help."""


@dataclass(frozen=True)
class Term:
    """A retention clause: rows meeting `when` are held while their trigger is on or after `cutoff`.

    With `until` (an exception) they are held through that day whatever their trigger; `label` and `key` name it. With
    neither rule nor `until` the class has no rule in force, so a person decides about these rows.
    """

    when: tuple[Predicate, ...]
    rule: Rule | None
    cutoff: date | None
    until: date | None = None
    label: str = ""
    key: str = ""


@dataclass(frozen=True)
class Policy:
    """What is to become of a collection's rows, before the rows are known.

    `fixed` is the fate of all rows (blocked, kept); else the terms decide, and `otherwise` what none of them holds.
    `trigger_default` stands in for an empty trigger (a relationship that this very request ends); `ignore_shared`: a
    reviewer has decided that rows go although they are somebody else's too.
    """

    collection: str
    otherwise: Fate = Fate.ERASE
    fixed: Fate | None = None
    terms: tuple[Term, ...] = ()
    trigger_default: date | None = None
    ignore_shared: bool = False


@dataclass(frozen=True)
class Seed:
    """Whose records, and up to which moment of their creation. `identities` maps a kind to its value."""

    identities: Mapping[str, str]
    today: date
    scope_cutoff: datetime | None = None


@dataclass(frozen=True)
class Fact:
    """How many of the person's rows meet a condition, and a few of them for the person to see."""

    condition: Condition
    count: int
    shown: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class FateCount:
    """`open_ended` of the `count` records have no end yet; the dates are the first and last day held."""

    collection: str
    fate: Fate
    count: int
    open_ended: int = 0
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True)
class HeldGroup:
    """Held records of a collection that share a trigger date and a last day (None: open-ended)."""

    trigger_on: date | None
    last_day: date | None
    count: int


class Snapshot(Protocol):
    """One consistent view of a system for one person: facts and fates of one plan agree."""

    def read_facts(self, asked: Sequence[tuple[Condition, tuple[str, ...]]]) -> list[Fact]: ...

    def count_fates(self, policies: Mapping[str, Policy]) -> list[FateCount]: ...

    def group_holds(self, policies: Mapping[str, Policy], collection: str) -> list[HeldGroup]: ...

    def find_keys(self, policies: Mapping[str, Policy], collection: str, *, limit: int) -> list[Key]: ...

    def read_values(self, collection: str, columns: Sequence[str]) -> list[tuple[Any, ...]]: ...

    def stream_rows(self, collection: str, *, redact: Sequence[str]) -> Iterator[Sequence[Any]]:
        """Column names first, then rows, without the columns to redact."""
        ...


class Connector(Protocol):
    """A business system. Every call may raise `Unavailable` or `Refused` and nothing else that is expected."""

    @property
    def system(self) -> str: ...

    def snapshot(self, seed: Seed) -> AbstractContextManager[Snapshot]: ...

    def erase_order(self) -> list[str]:
        """The system's collections, children before the parents they refer to."""
        ...

    def erase(self, seed: Seed, policies: Mapping[str, Policy], collection: str, keys: Sequence[Key]) -> int:
        """Erase or mask those of `keys` that the policies still let go, in one transaction; how many it was."""
        ...

    def count_present(self, collection: str, keys: Sequence[Key]) -> int:
        """How many of `keys` are there as they were (for a mask: not masked yet)."""
        ...

    def correct(self, seed: Seed, collection: str, column: str, *, old: str, new: str) -> int: ...

    def set_fields(
        self, seed: Seed, collection: str, *, match: Mapping[str, Any], values: Mapping[str, Any], now: datetime,
        only_empty: bool = False,
    ) -> int: ...  # fmt: skip

    def check(self) -> None:
        """Raise where the system cannot be reached or does not have what the map says."""
        ...
