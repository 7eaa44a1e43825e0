"""Statements built once for all people: building and compiling one takes longer than running it for one person."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.sql import Executable

from rights.connectors.base import Policy
from rights.connectors.sqlgraph import Graph
from rights.connectors.sqlreach import Reach

KEPT = 256
"""How many statements a process keeps; policies change with the day, so yesterday's fall out by themselves."""
T = TypeVar("T")


class Unhashed(Generic[T]):
    """Carries a value past a cache's key: what stands beside it there says all that matters of it."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unhashed)


def run(
    connection: Connection,
    reach: Reach,
    build: Callable[[], Executable],
    *key: Hashable,
    policies: Iterable[Policy] = (),
    values: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> CursorResult[*tuple[Any, ...]]:
    """Run what `build` makes with the seed's values, and `values` for binds of its own.

    `key` and the policies have to say all that `build` depends on beside the seed and the graph.
    """
    make = Unhashed(build)
    # SQLAlchemy keeps what it compiled of the very same statement.
    statement = build() if reach.shape is None else _build(reach.graph, reach.shape, (*key, *policies), make)
    return connection.execute(statement, {**reach.values, **(values or {})}, execution_options=options or {})


@lru_cache(maxsize=KEPT)
def _build(graph: Graph, shape: Hashable, key: Hashable, build: Unhashed[Callable[[], Executable]]) -> Executable:
    return build.value()
