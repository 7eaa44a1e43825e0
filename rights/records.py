"""What the systems say of a person now, outside a plan: the values that can be corrected, and the consents given."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, TypeVar

import structlog
from django.db import DatabaseError, connection

from rights.blockers import read_relationships
from rights.connectors.base import ConnectorError, Seed, Snapshot
from rights.connectors.registry import open_snapshot
from rights.datamap import DataMap, load_live_map
from rights.kernel.clock import SHANGHAI, local_day
from rights.kernel.states import Kind
from rights.planning import ANSWER_SECONDS, Matter, make_plan
from rights.queries import active_rules

log = structlog.get_logger(__name__)

T = TypeVar("T")

WARM_SECONDS = 30.0


@dataclass(frozen=True)
class Present:
    """One distinct value that stands in a system now. `correction` is the key of the map's correction."""

    correction: str
    collection: str
    column: str
    value: str


@dataclass(frozen=True)
class ConsentState:
    """Whether a purpose is agreed to now, and since when where the system says so. A person without a row never agreed
    to it: not listed at all."""

    purpose: str
    given: bool
    since: datetime | None = None


def read_present(
    *, identities: Mapping[str, str], data_map: DataMap, now: datetime
) -> tuple[list[Present], tuple[str, ...]]:
    """The values that can be corrected, in the map's order, and the systems that did not answer."""
    wanted = [
        (correction.key, collection, column)
        for correction in data_map.corrections.values()
        for collection, column in correction.fields
    ]

    def read(system: str, snapshot: Snapshot) -> list[Present]:
        return [
            Present(key, collection, column, str(value))
            for key, collection, column in wanted
            if data_map.collections[collection].system == system
            for value in sorted({row[0] for row in snapshot.read_values(collection, [column])} - {None, ""}, key=str)
        ]

    systems = dict.fromkeys(data_map.collections[collection].system for _, collection, _ in wanted)
    found, unknown = _ask(systems, read, identities=identities, data_map=data_map, now=now)
    order = list(data_map.corrections)
    return sorted(found, key=lambda item: order.index(item.correction)), unknown


def read_consents(
    *, identities: Mapping[str, str], data_map: DataMap, now: datetime
) -> tuple[list[ConsentState], tuple[str, ...]]:
    """The purposes the person was ever asked about, with the present answer, and the systems that did not answer."""
    consents = list(data_map.consents.values())

    def read(system: str, snapshot: Snapshot) -> list[ConsentState]:
        found = []
        for consent in consents:
            if data_map.collections[consent.collection].system != system:
                continue
            dated = [consent.since] if consent.since else []
            columns = [*consent.match, *consent.given, *dated]
            rows: list[dict[str, Any]] = [
                dict(zip(columns, row, strict=True)) for row in snapshot.read_values(consent.collection, columns)
            ]
            mine = [row for row in rows if _meets(row, consent.match)]
            if mine:
                given = [row for row in mine if _meets(row, consent.given)]
                days = [_as_moment(row[name]) for row in given or mine for name in dated if row[name]]
                found.append(ConsentState(consent.key, bool(given), max(days, default=None)))
        return found

    systems = dict.fromkeys(data_map.collections[consent.collection].system for consent in consents)
    return _ask(systems, read, identities=identities, data_map=data_map, now=now)


def read_services(
    *, identities: Mapping[str, str], data_map: DataMap, now: datetime
) -> tuple[list[str], tuple[str, ...]]:
    """The companies whose service the person uses now, in the map's order, and the systems that did not answer."""

    def read(system: str, snapshot: Snapshot) -> list[str]:
        return list(read_relationships(snapshot, system=system, data_map=data_map))

    systems = dict.fromkeys(
        data_map.collections[entity.relationship.collection].system
        for entity in data_map.entities.values()
        if entity.relationship
    )
    found, unknown = _ask(systems, read, identities=identities, data_map=data_map, now=now)
    return [key for key in data_map.entities if key in found], unknown


def warm_systems(*, now: datetime) -> None:
    """Have every live system looked at once. What cannot be asked now is asked by the first who needs it."""
    try:
        nobody = Matter(kind=Kind.DELETION, identities={})
        make_plan(nobody, data_map=load_live_map(), rules=active_rules(), now=now, wait=WARM_SECONDS)
    except DatabaseError as error:
        log.warning("warm_failed", reason=type(error).__name__)
    finally:
        connection.close()


def _as_moment(value: date | datetime) -> datetime:
    """A day begins at midnight, and a moment without a zone is one of Shanghai."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value if value.tzinfo else value.replace(tzinfo=SHANGHAI)


def _meets(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(row[name] == value for name, value in wanted.items())


def _ask(
    systems: Mapping[str, None],
    read: Callable[[str, Snapshot], list[T]],
    *,
    identities: Mapping[str, str],
    data_map: DataMap,
    now: datetime,
) -> tuple[list[T], tuple[str, ...]]:
    seed = Seed(identities=identities, today=local_day(now))

    def one(system: str) -> list[T]:
        with open_snapshot(system, data_map, seed) as (snapshot, _):
            return read(system, snapshot)

    found: list[T] = []
    unknown: list[str] = []
    pool = ThreadPoolExecutor(max_workers=max(1, len(systems)), thread_name_prefix="records")
    try:
        asked = {system: pool.submit(one, system) for system in systems}
        for system, answer in asked.items():
            try:
                found += answer.result(timeout=ANSWER_SECONDS)
            except (ConnectorError, Late):
                unknown.append(system)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return found, tuple(unknown)
