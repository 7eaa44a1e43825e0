"""Statements built once for all people: building and compiling one takes longer than running it for one person."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.sql import Executable

from rights.connectors.base import Policy
from rights.connectors.sqlreach import Reach

KEPT = 256
"""How many statements a process keeps; policies change with the day, so yesterday's fall out by themselves."""
_statements: "OrderedDict[Hashable, Executable]" = OrderedDict()
_lock = threading.Lock()


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
    shape = reach.shape
    statement = build() if shape is None else _find((reach.graph, shape, *key, *policies), build)
    return connection.execute(statement, {**reach.values, **(values or {})}, execution_options=options or {})


def _find(key: Hashable, build: Callable[[], Executable]) -> Executable:
    """The very same statement each time, of which SQLAlchemy keeps what it compiled.

    Not by `lru_cache`: that would keep `build` too, and with it the person for whom it was built first.
    """
    with _lock:
        if key in _statements:
            _statements.move_to_end(key)
            return _statements[key]
    statement = build()
    with _lock:
        _statements[key] = statement
        if len(_statements) > KEPT:
            _statements.popitem(last=False)
    return statement
