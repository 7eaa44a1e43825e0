"""What every connector does, and the values it is asked with."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, Protocol, overload
from uuid import UUID

from rights.datamap import Condition, Edge, Predicate
from rights.kernel.plan import Fate
from rights.kernel.retention import Rule

Key = tuple[Any, ...]


class Numbers(Sequence[Key]):
    """Keys that are one whole number each. There may be a million: none is made a tuple before it is asked for."""

    def __init__(self, numbers: list[int]) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Key: ...

    @overload
    def __getitem__(self, place: slice) -> "Numbers": ...

    def __getitem__(self, place: int | slice) -> "Key | Numbers":
        return Numbers(self._numbers[place]) if isinstance(place, slice) else (self._numbers[place],)

    def __iter__(self) -> Iterator[Key]:
        return zip(self._numbers)

    @cached_property
    def text(self) -> str:
        """The numbers with commas between them."""
        return ",".join(map(str, self._numbers))


Subject = int | str
"""Who a row is of, in a survey: a number where all the system's identity columns hold numbers, else text."""


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
class Everybody:
    """All subjects at once, by one kind of identity. `values` None: every one the systems know.

    `as_text`: subjects are compared as text, as several systems may keep them in different types.
    """

    kind: str
    values: tuple[Subject, ...] | None = None
    as_text: bool = False


@dataclass(frozen=True)
class Links:
    """An edge's keys as read in its source's database, and whether somebody else's row there has each of them too."""

    values: tuple[Key, ...] = ()
    shared: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Anchor:
    """Rows of another database that stay for a while and are found only by a key of this one."""

    key: Key
    blocked: bool
    open_ended: bool
    until: date | None


@dataclass(frozen=True)
class Seed:
    """Whose records, and up to which moment of their creation. `identities` maps a kind to its value.

    `links` are the keys by which another database leads into this one, `anchors` what this one leads to elsewhere and
    has to be kept for. `found` are rows that were found before the rows that lead to them went.
    """

    identities: Mapping[str, str]
    today: date
    scope_cutoff: datetime | None = None
    everybody: Everybody | None = None
    links: Mapping[Edge, Links] = field(default_factory=dict)
    anchors: Mapping[Edge, tuple[Anchor, ...]] = field(default_factory=dict)
    found: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)


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


@dataclass(frozen=True)
class Column:
    """A column of exported rows; `kind` is its type as Table Schema names it."""

    name: str
    kind: str


Form = Literal["csv", "json"]
"""How exported rows are written: CSV with a header, or a JSON object a line. Both in UTF-8."""
BLOCK = 64 * 1024
"""How many bytes of exported rows are handed on at once, about."""

CountWriter = Callable[[Sequence[FateCount]], str]
"""What a survey says of one collection of one subject, given its counts; of none where there is nothing."""


class Snapshot(Protocol):
    """One consistent view of a system for one person: facts and fates of one plan agree.

    With a seed of everybody only `list_subjects` and `survey_fates` have an answer.
    """

    def read_facts(self, asked: Sequence[tuple[Condition, tuple[str, ...]]]) -> list[Fact]: ...

    def read_links(self, edges: Sequence[Edge]) -> dict[Edge, Links]:
        """The keys of edges that lead into other databases."""
        ...

    def read_anchors(self, policies: Mapping[str, Policy], edges: Sequence[Edge]) -> dict[Edge, tuple[Anchor, ...]]:
        """By edge from another database, the keys of its rows that stay for a while."""
        ...

    def list_subjects(self, conditions: Sequence[Condition | None]) -> list[frozenset[Subject]]:
        """By condition, who has such a row; None: who has any row."""
        ...

    def count_fates(self, policies: Mapping[str, Policy]) -> list[FateCount]: ...

    def explain(self, policies: Mapping[str, Policy]) -> str:
        """The statement behind `count_fates`, for an engineer to read."""
        ...

    def survey_fates(
        self, policies: Mapping[str, Policy], writers: Mapping[str, CountWriter], *, subjects: Sequence[Subject] | None
    ) -> Iterator[tuple[Subject, str]]:
        """(subject, what the writers of its collections say, with commas), numbers by size, text by its letters.
        Equal counts are written once. `subjects` None: all."""
        ...

    def group_holds(self, policies: Mapping[str, Policy], collection: str) -> list[HeldGroup]: ...

    def find_keys(self, policies: Mapping[str, Policy], collection: str, *, limit: int | None = None) -> list[Key]:
        """The keys of the rows that the policies let go."""
        ...

    def page_keys(self, policies: Mapping[str, Policy], collection: str) -> Generator[Sequence[Key], None, None]:
        """The same in pages, read as they are asked for: there may be millions. While it lasts the snapshot is open."""
        ...

    def stream_restricted(self, policies: Mapping[str, Policy], collection: str) -> Generator[list[Key], None, None]:
        """The keys of the records that may only be stored from now on, in pages."""
        ...

    def find_unflagged(self, policies: Mapping[str, Policy], collection: str, *, limit: int) -> list[Key]:
        """Those of them that their system does not mark yet, in the order of their key."""
        ...

    def read_values(self, collection: str, columns: Sequence[str]) -> list[tuple[Any, ...]]: ...

    def list_columns(self, collection: str, *, redact: Sequence[str]) -> tuple[Column, ...]:
        """The columns that the map describes, without those to redact."""
        ...

    def copy_rows(self, collection: str, *, redact: Sequence[str], form: Form, write: Callable[[bytes], object]) -> int:
        """Hand the person's rows, in the order of their key, to `write` in blocks; how many rows it was."""
        ...


class Connector(Protocol):
    """A business system. Every call may raise `Unavailable` or `Refused` and nothing else that is expected."""

    @property
    def system(self) -> str: ...

    def snapshot(self, seed: Seed, *, patience: float = ...) -> AbstractContextManager[Snapshot]:
        """`patience`: after how many seconds a statement counts as not answered."""
        ...

    def find_obstacles(self, collection: str) -> list[str]:
        """The names of what may swallow or undo a change of the collection's records without a word."""
        ...

    def erase_order(self) -> list[str]:
        """The system's collections: children before the parents they refer to, else what a row leads to before it."""
        ...

    def found_first(self) -> frozenset[str]:
        """Collections led to by rows that have to go before them: their keys are found before anything goes."""
        ...

    def erase(self, seed: Seed, policies: Mapping[str, Policy], collection: str, keys: Sequence[Key]) -> int:
        """Erase or mask those of `keys` that the policies still let go, in one transaction; how many it was."""
        ...

    def flag(self, seed: Seed, policies: Mapping[str, Policy], collection: str, keys: Sequence[Key]) -> int:
        """Mark those of `keys` that the policies still only store, in one transaction; how many it was."""
        ...

    def flag_again(self, collection: str, keys: Sequence[Key]) -> int:
        """Mark rows whose mark a restored backup has lost; how many it was."""
        ...

    def find_present(self, collection: str, keys: Sequence[Key]) -> list[Key]:
        """Those of `keys` that are there as they were (for a mask: not masked yet)."""
        ...

    def stream_keys(self, collection: str) -> Iterator[list[Key]]:
        """The keys of all rows that are there as they were, whoever's they are, in pages."""
        ...

    def erase_again(self, collection: str, keys: Sequence[Key]) -> int:
        """Erase or mask rows that a restored backup brought back; how many it was."""
        ...

    def count_rows(self, seed: Seed, collection: str, values: Mapping[str, str | None]) -> int:
        """How many of the person's rows have these values, compared as text; None is an empty field."""
        ...

    def correct(self, seed: Seed, collection: str, column: str, *, old: str, new: str) -> int: ...

    def set_fields(
        self, seed: Seed, collection: str, *, match: Mapping[str, Any], values: Mapping[str, Any], now: datetime,
        only_empty: bool = False,
    ) -> int: ...  # fmt: skip

    def check(self) -> None:
        """Raise where the system cannot be reached or does not have what the map says."""
        ...


# --- those who are asked, as nobody can look into what they hold


@dataclass(frozen=True)
class Ask:
    """One act asked of a party, the same at every try: `id` makes a second one have no second effect.

    `act`: erase, correct or stop. `identities`: what the party calls a kind of identity → its value. `values`: of a
    correction, each with field, old and new. `again`: it may have been asked before, and nobody knows whether it was.
    `status_url`: where the party said that it answers, if it did.
    """

    id: UUID
    act: str
    reference: str
    identities: Mapping[str, str]
    asked_at: datetime
    due_on: date
    callback_url: str
    values: tuple[Mapping[str, str], ...] = ()
    again: bool = False
    status_url: str = ""


class Outcome(StrEnum):
    """What a party says. `BY_HAND`: no machine asks it, a member of staff does."""

    BY_HAND = "by_hand"
    PENDING = "pending"
    DONE = "done"
    NOT_DONE = "not_done"


@dataclass(frozen=True)
class Answer:
    """`count`: how many records it concerned, None where that is not said. `reason`: why it was not done, in the
    party's words; shown to staff alone."""

    outcome: Outcome
    count: int | None = None
    reason: str = ""
    status_url: str = ""


class Partner(Protocol):
    """A party that is asked. Every call may raise `Unavailable` (later may help: also an answer that is not provably
    theirs) or `Refused` (it never will) and nothing else that is expected."""

    def ask(self, ask: Ask, *, now: datetime) -> Answer:
        """Hand the request over. Harmless to repeat."""
        ...

    def look(self, ask: Ask, *, now: datetime) -> Answer:
        """How far a request is that was handed over."""
        ...

    def take_back(self, ask: Ask, *, now: datetime) -> Answer:
        """Ask that a request be dropped that is still pending. `NOT_DONE` once it is dropped, else how far it is."""
        ...

    def read_callback(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> tuple[UUID, Answer]:
        """What the party says of its own accord. Raises Refused for whatever is not provably theirs, unparsed."""
        ...

    def check(self) -> None:
        """Raise where the party cannot be reached, or something is not set."""
        ...
