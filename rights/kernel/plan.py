"""A plan as a value: what a request does to each collection, and why. Shown, stored, compared.

One line per collection and fate; the counts of a collection's lines add up to the records that exist and are not
confidential. Release dates are the last day held.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any


class Fate(StrEnum):
    """What becomes of a record. The order is that of the faces: going, waiting, kept."""

    ERASE = "erase"
    MASK = "mask"
    BLOCKED = "blocked"
    PERSON = "person"
    HOLD = "hold"
    RESTRICT = "restrict"
    KEEP = "keep"
    REFUSE = "refuse"
    UNKNOWN = "unknown"


GOING = frozenset({Fate.ERASE, Fate.MASK})
STAYING = frozenset({Fate.HOLD, Fate.KEEP, Fate.RESTRICT, Fate.REFUSE})


@dataclass(frozen=True)
class Line:
    """`count` records of one collection with one fate. `key` names the reason; `blockers` the facts in the way."""

    collection: str
    fate: Fate
    count: int
    key: str
    entity: str
    system: str
    data_class: str = "none"
    rule: str | None = None
    first_release: date | None = None
    last_release: date | None = None
    open_ended: int = 0
    blockers: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlockerFact:
    """A fact read from a business system that stands in the way, with what the person is shown of it.

    `entity` knows it; `entities` are those whose records or service it blocks (empty: its own).
    """

    key: str
    entity: str
    collection: str
    count: int
    cancel: str = "defer"
    blocks: tuple[str, ...] = ()
    shown: tuple[Mapping[str, str], ...] = ()
    entities: tuple[str, ...] = ()
    waivable: bool = False

    def concerns(self, entity: str) -> bool:
        return entity in (self.entities or (self.entity,))


@dataclass(frozen=True)
class Plan:
    """All lines of one request as of a day. `unknown` names systems that could not be asked.

    `running` are the companies whose service the person uses; `backups` the systems from which something goes, with the
    days after which their backups are clear of it; `omitted` the collections that a portable copy leaves out. `asked`
    are systems that nobody can look into: they are asked to act, and no number is known of them.
    """

    kind: str
    as_of: date
    read_at: datetime
    lines: tuple[Line, ...] = ()
    blockers: tuple[BlockerFact, ...] = ()
    unknown: tuple[str, ...] = ()
    map_digest: str = ""
    closing: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    backups: tuple[tuple[str, int], ...] = ()
    omitted: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    def count(self, *fates: Fate) -> int:
        return sum(line.count for line in self.lines if line.fate in fates)

    def of(self, *fates: Fate) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.fate in fates and (line.count or line.fate is Fate.UNKNOWN))

    @property
    def total(self) -> int:
        return sum(line.count for line in self.lines)

    @property
    def last_release(self) -> date | None:
        return max((line.last_release for line in self.lines if line.last_release), default=None)

    @property
    def cancel_blockers(self) -> tuple[BlockerFact, ...]:
        return tuple(fact for fact in self.blockers if fact.cancel == "defer")

    @property
    def waits(self) -> bool:
        """Whether a fact that has to clear first is in the way; one that a person decides about is not such a fact."""
        return any(
            fact.key in line.blockers and fact.concerns(line.entity)
            for line in self.of(Fate.BLOCKED)
            for fact in self.cancel_blockers
        )

    def backups_clear_on(self, gone_on: date) -> tuple[tuple[str, date], ...]:
        """By system, the day on which its backups are clear of what was erased on a day."""
        return tuple((system, gone_on + timedelta(days=days)) for system, days in self.backups)

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan":
        """Raises KeyError or ValueError where the stored form is not a plan's."""
        lines = tuple(
            Line(
                **{
                    **line,
                    "fate": Fate(line["fate"]),
                    "first_release": _day(line["first_release"]),
                    "last_release": _day(line["last_release"]),
                    "blockers": tuple(line["blockers"]),
                }
            )
            for line in data["lines"]
        )
        facts = tuple(
            BlockerFact(**{**fact, **{name: tuple(fact.get(name, ())) for name in ("blocks", "shown", "entities")}})
            for fact in data["blockers"]
        )
        return cls(
            kind=data["kind"],
            as_of=date.fromisoformat(data["as_of"]),
            read_at=datetime.fromisoformat(data["read_at"]),
            lines=lines,
            blockers=facts,
            unknown=tuple(data["unknown"]),
            map_digest=data["map_digest"],
            closing=tuple(data["closing"]),
            # Plans that were stored before these were known have none of them.
            running=tuple(data.get("running", ())),
            backups=tuple((system, days) for system, days in data.get("backups", ())),
            omitted=tuple(data.get("omitted", ())),
            asked=tuple(data.get("asked", ())),
        )


@dataclass(frozen=True)
class Excess:
    """A collection of which a fresh plan would erase more than was approved."""

    collection: str
    approved: int
    fresh: int


def exceeds(fresh: Plan, approved: Plan) -> tuple[Excess, ...]:
    """What a fresh plan erases beyond an approved one.

    Allowed are the records that the approved plan erases, names as blocked (by a fact that may now have cleared) or
    holds (until a day that may now be past); a person's decision was made when the plan was approved.
    """
    found = []
    for collection in sorted({line.collection for line in fresh.lines}):
        goes = _sum(fresh.lines, collection, GOING)
        allowed = _sum(approved.lines, collection, GOING | {Fate.BLOCKED, Fate.HOLD})
        if goes > allowed:
            found.append(Excess(collection=collection, approved=allowed, fresh=goes))
    return tuple(found)


def without(plan: Plan, keep: Callable[[Line], bool]) -> Plan:
    """The plan with only the lines for which `keep` is true."""
    return replace(plan, lines=tuple(line for line in plan.lines if keep(line)))


def _sum(lines: Iterable[Line], collection: str, fates: frozenset[Fate]) -> int:
    return sum(line.count for line in lines if line.collection == collection and line.fate in fates)


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
