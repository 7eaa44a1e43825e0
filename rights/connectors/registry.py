"""The one place that knows every connector, and how one database leads into another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy.engine import Connection

from rights.connectors import sqlcatalog, sqlcheck, sqlmariacatalog
from rights.connectors.base import Connector, Links, Partner, Seed, Snapshot
from rights.connectors.manual import ManualTask
from rights.connectors.opendsr import OpenDsrPartner
from rights.connectors.own import OwnSystem, find_faults
from rights.connectors.sql import ANSWER_SECONDS, open_system
from rights.connectors.sqlcatalog import LiveSchema, open_catalog
from rights.connectors.sqlcheck import Finding
from rights.connectors.webhook import WebhookPartner
from rights.datamap import DataMap, Edge, Party
from rights.datamap.parse import GOVERNANCE


def connect(system: str, data_map: DataMap) -> Connector:
    """The connector of a system of the map. Raises Unavailable or Refused."""
    return OwnSystem(system, data_map) if data_map.systems[system].own else open_system(system, data_map)


PARTNERS: dict[str, Callable[[Party], Partner]] = {
    "manual": ManualTask,
    "opendsr": OpenDsrPartner,
    "webhook": WebhookPartner,
}


def reach(party: Party, *, channel: str) -> Partner:
    """The way to somebody who is asked. Reads nothing and connects to nothing yet."""
    return PARTNERS[channel](party)


def channel_for(party: Party, act: str) -> str:
    """How a party is asked for an act: as stated, or by staff where its protocol has no words for the act."""
    return "manual" if party.kind == "opendsr" and act != "erase" else party.kind


@contextmanager
def open_snapshot(
    system: str, data_map: DataMap, seed: Seed, *, patience: float = ANSWER_SECONDS
) -> Iterator[tuple[Snapshot, Seed]]:
    """A snapshot of a system, and the seed with the keys by which other databases lead into it.

    Those are asked first; one that cannot be asked makes this one unknown too. Raises Unavailable or Refused.
    """
    connector = connect(system, data_map)
    linked = add_links(seed, system=system, data_map=data_map, patience=patience)
    with connector.snapshot(linked, patience=patience) as snapshot:
        yield snapshot, linked


def add_links(seed: Seed, *, system: str, data_map: DataMap, patience: float = ANSWER_SECONDS) -> Seed:
    """The seed with the keys that lead into the system; as it is where no other database does."""
    into: dict[str, list[Edge]] = {}
    for edge in data_map.edges_between_systems:
        if data_map.collections[edge.target].system == system:
            into.setdefault(data_map.collections[edge.source].system, []).append(edge)
    if not into:
        return seed
    links: dict[Edge, Links] = {}
    for source, edges in into.items():
        with open_snapshot(source, data_map, seed, patience=patience) as (snapshot, _):
            links |= snapshot.read_links(edges)
    return replace(seed, links=links)


def read_system(system: str, *, schema: str) -> LiveSchema:
    """A system's schema as it is now. Raises Unavailable or Refused."""
    with open_catalog(system) as connection:
        return _read_schema(connection, schema)


def _read_schema(connection: Connection, schema: str) -> LiveSchema:
    if connection.dialect.name == "mariadb":
        return sqlmariacatalog.read_schema(connection, schema)
    return sqlcatalog.read_schema(connection, schema)


def check_system(system: str, data_map: DataMap, *, dataset_file: str) -> tuple[LiveSchema, list[Finding]]:
    """A system's schema, and what it says against the map. Raises Unavailable or Refused."""
    with open_catalog(system) as connection:
        live = _read_schema(connection, data_map.systems[system].schema)
        found = sqlcheck.check_system(connection, live, system=system, data_map=data_map, dataset_file=dataset_file)
        return live, found


def check_own(data_map: DataMap) -> list[Finding]:
    """What the map says of the portal's own rows and the portal does not have."""
    return [Finding("fault", GOVERNANCE, key, reason, remedy) for key, reason, remedy in find_faults(data_map)]
