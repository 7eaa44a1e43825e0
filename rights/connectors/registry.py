"""The one place that knows every connector, and how one database leads into another."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rights.connectors.base import Connector, Links, Seed, Snapshot
from rights.connectors.sql import ANSWER_SECONDS, open_system
from rights.datamap import DataMap, Edge


def connect(system: str, data_map: DataMap) -> Connector:
    """The connector of a system of the map. Raises Unavailable or Refused."""
    return open_system(system, data_map)


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
