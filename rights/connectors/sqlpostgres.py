"""PostgreSQL, as a `Dialect`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.engine import URL, Connection, CursorResult, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.selectable import CTE

from rights.connectors import sqlcopy
from rights.connectors.base import Form, Numbers
from rights.connectors.sqldialect import CANONICAL_INTEGER, CANONICAL_UUID, Changing, Trouble
from rights.datamap import Mask

_AWAY = frozenset({"08", "53", "57"})
"""SQLSTATE classes of a server that is away, full or stopping."""
_LATE = frozenset({"40001", "40P01", "55P03", "57014"})
"""Two that ran into each other, which may be tried again, and what was stopped as it took too long."""
_LIMITS = sa.text("SELECT set_config('statement_timeout', :timeout, true), set_config('row_security', 'off', true)")
_READ_ONLY = "25006"
"""For a while, as a rule: the other server takes over, or the maintenance ends."""
_OBSTACLES = sa.text("""
SELECT named.name FROM (
    SELECT tgrelid, tgname::text FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 24 <> 0
    UNION ALL SELECT ev_class, rulename::text FROM pg_rewrite WHERE ev_type IN ('2', '4')) named (relation, name)
JOIN pg_class c ON c.oid = named.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relname = :table ORDER BY 1
""")
"""Triggers (8 and 16: of DELETE and UPDATE) and rules (2 and 4: of UPDATE and DELETE) of a table."""


class PostgreSQL:
    name = "PostgreSQL"
    changes_by_walk = True
    unmaskable: Mapping[Mask, str] = {}
    parallel_streams = True

    def open_engine(self, address: URL, *, connect_seconds: int, **options: Any) -> Engine:
        arguments = {"connect_timeout": connect_seconds, "application_name": "privacy-portal"}
        engine = sa.create_engine(address.set(drivername="postgresql+psycopg"), connect_args=arguments, **options)
        sa.event.listen(engine, "do_execute", sqlcopy.copy_out)
        return engine

    @contextmanager
    def read(self, connection: Connection, *, seconds: float) -> Iterator[Connection]:
        connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            self.limit(connection, seconds=seconds)
            yield connection

    @contextmanager
    def act(self, connection: Connection, *, seconds: float) -> Iterator[Connection]:
        # A pooled connection may come back from a read-only snapshot. Whether it writes is left to the server: a
        # database that was made read-only, or a standby, must say so and not be overruled.
        connection = connection.execution_options(isolation_level="READ COMMITTED", postgresql_readonly=None)
        with connection.begin():
            self.limit(connection, seconds=seconds)
            yield connection

    def limit(self, connection: Connection, *, seconds: float) -> None:
        """A policy on their tables must be an error here, too, and not a false absence."""
        connection.execute(_LIMITS, {"timeout": str(int(seconds * 1000))})

    def let_stream(self, connection: Connection, *, seconds: float) -> None:
        """Each page that a cursor is asked for is a statement of its own."""

    def prepare_trial(self, connection: Connection) -> None:
        connection.execute(sa.text("SET LOCAL lock_timeout = 500"))
        connection.execute(sa.text("SET CONSTRAINTS ALL IMMEDIATE"))

    def prepare_survey(self, connection: Connection) -> None:
        # The server's default would sort on disk.
        connection.execute(sa.text("SET LOCAL work_mem = '64MB'"))
        connection.execute(sa.text("SET LOCAL cursor_tuple_fraction = 1"))

    def find_obstacles(self, connection: Connection, table: sa.Table) -> list[str]:
        return list(connection.execute(_OBSTACLES, {"schema": table.schema, "table": table.name}).scalars())

    def explain(self, error: DBAPIError) -> Trouble:
        state = getattr(error.orig, "sqlstate", None) or ""
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None) or ""
        gone = isinstance(error, OperationalError) and (not state or state[:2] in _AWAY)
        return Trouble(
            state,
            "SQLSTATE",
            constraint,
            away=gone,
            late=state in _LATE,
            read_only=state == _READ_ONLY,
            shut=not state or state[:2] in {"28", "3D"},
            remedy=_remedy(error) if state == "42501" else "",
        )

    def settle(self, connection: Connection, tables: Sequence[sa.Table]) -> list[str]:
        for column in (column for table in tables for column in table.columns):
            while isinstance(column.type, DOMAIN):
                column.type = column.type.data_type  # compared and parsed as what it stands on
        return []

    # --- values of ours

    def key_in(
        self, columns: Sequence[ColumnElement[Any]], keys: Sequence[Sequence[Any]] | None, *, bind: str, name: str
    ) -> ColumnElement[bool]:
        arrays = [
            sa.bindparam(None, [key[i] for key in keys], type_=_array_of(column.type))
            if keys is not None
            else sa.bindparam(f"{bind}_{i}", type_=_array_of(column.type))
            for i, column in enumerate(columns)
        ]
        if len(columns) == 1:
            return columns[0] == sa.any_(arrays[0])
        named = [sa.column(f"k{i}", column.type) for i, column in enumerate(columns)]
        given = sa.func.unnest(*arrays).table_valued(*named).render_derived(name)
        return sa.tuple_(*columns).in_(sa.select(*(given.c[f"k{i}"] for i in range(len(columns)))))

    def bound_keys(
        self, columns: Sequence[ColumnElement[Any]], keys: Sequence[Sequence[Any]], *, bind: str
    ) -> dict[str, Any]:
        if isinstance(keys, Numbers):
            return {f"{bind}_0": keys.text}
        return {f"{bind}_{i}": [key[i] for key in keys] for i in range(len(columns))}

    def one_of(self, column: ColumnElement[Any], *, bind: str) -> ColumnElement[bool]:
        return column == sa.any_(sa.bindparam(bind, type_=_array_of(column.type)))

    def given(
        self, columns: Mapping[str, sa.types.TypeEngine[Any]], rows: Sequence[Sequence[Any]], *, name: str
    ) -> sa.Select[Any]:
        """One array a column."""
        arrays = [
            sa.bindparam(None, [row[i] for row in rows], type_=_array_of(type_))
            for i, type_ in enumerate(columns.values())
        ]
        named = [sa.column(each, type_) for each, type_ in columns.items()]
        given = sa.func.unnest(*arrays).table_valued(*named).render_derived(name)
        return sa.select(*(given.c[each] for each in columns))

    # --- comparisons

    def compared(self, type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
        return _unbounded(type_)

    def same(self, column: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[bool]:
        return column == value

    def as_subject(self, column: ColumnElement[Any], type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
        return column if type(column.type) is type(type_) else sa.cast(column, type_)

    def converted(self, column: ColumnElement[Any], type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
        """By patterns and not by `pg_input_is_valid`, which PostgreSQL 15 lacks."""
        have = column.type
        if isinstance(type_, sa.String) and not isinstance(have, sa.String):
            return sa.cast(column, sa.Text)
        if isinstance(have, sa.String) and isinstance(type_, sa.Integer | sa.Numeric):
            return sa.case((column.regexp_match(f"{CANONICAL_INTEGER}$"), sa.cast(column, sa.BigInteger)), else_=None)
        if isinstance(have, sa.String) and isinstance(type_, sa.Uuid):
            return sa.case((column.regexp_match(f"{CANONICAL_UUID}$"), sa.cast(column, type_)), else_=None)
        return column

    def by_bytes(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        return text.collate("C")

    # --- statements

    def stored(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return column

    def select_by(
        self,
        labels: Sequence[ColumnElement[Any]],
        ways: Sequence[ColumnElement[bool]],
        chosen: Sequence[ColumnElement[bool]],
    ) -> sa.Select[Any] | sa.CompoundSelect[Any]:
        return sa.select(*labels).where(sa.or_(*ways) if ways else sa.false(), *chosen)

    def led_by(self, columns: Sequence[ColumnElement[Any]], keys: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
        if len(columns) == 1:
            array = sa.func.array(sa.select(keys[0]).scalar_subquery(), type_=sa.ARRAY(columns[0].type))
            return columns[0] == sa.any_(array)
        return sa.tuple_(*columns).in_(sa.select(*keys))

    def go_round(self, keys: CTE, steps: Sequence[sa.Select[Any]], *, name: str) -> CTE:
        """All steps side by side in one LATERAL, as mutual recursion is refused; UNION ends it where the data goes
        round."""
        onward = (steps[0] if len(steps) == 1 else sa.union_all(*steps)).lateral(name)
        return keys.union(sa.select(*onward.c).select_from(keys.join(onward, sa.true())))

    def empty(self, type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
        return sa.cast(sa.null(), type_)

    def change_found(
        self, statement: Changing, columns: Sequence[ColumnElement[Any]], found: sa.Select[Any]
    ) -> Changing:
        return statement.where(sa.tuple_(*columns).in_(found))

    def change_chosen(
        self, statement: Changing, columns: Sequence[ColumnElement[Any]], *, bind: str, name: str
    ) -> Changing:
        return statement.where(self.key_in(columns, None, bind=bind, name=name))

    # --- files

    def shown(self, columns: Sequence[sa.Column[Any]], form: Form) -> list[ColumnElement[Any]]:
        return sqlcopy.write_values(columns, form)

    def lines(self, rows: sa.Select[Any], form: Form) -> sa.Select[Any]:
        return sqlcopy.write_rows(rows, form)

    def copy(
        self,
        connection: Connection,
        run: Callable[..., CursorResult[*tuple[Any, ...]]],
        columns: Sequence[sa.Column[Any]],
        *,
        form: Form,
        write: Callable[[bytes], object],
        seconds: float,
    ) -> int:
        copy = sqlcopy.Copy(form, write, seconds)
        run(portal_copy=copy).close()
        return copy.rows


def _remedy(error: DBAPIError) -> str:
    """What the owner of a database can do where the portal's role may not."""
    # The message itself is in the server's language; where it was raised is not.
    if getattr(getattr(error.orig, "diag", None), "source_function", None) == "check_enable_rls":
        return (
            ": a row-level policy hides rows from the portal's role, and what is hidden is not absent. Give the role"
            " BYPASSRLS, then try again"
        )
    return ": the portal's role may not do this. Grant it what manage.py datamap grants lists, then try again"


class _Numbers(sa.TypeDecorator[Any]):
    """An array of numbers as its text: what adapts each of a million costs as much as erasing them."""

    impl = sa.ARRAY
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], str]:
        return lambda numbers: f"{{{numbers if isinstance(numbers, str) else ','.join(map(str, numbers))}}}"


class _Blanked(sa.types.UserDefinedType[str]):
    """CHAR without its length, which compares as CHAR does: blanks at the end say nothing."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "BPCHAR"


def _unbounded(type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """The type in which a value is compared with a column of this one, as it is: cast to VARCHAR(3) or NUMERIC(9, 2)
    PostgreSQL would cut or round it, and it would be somebody else's."""
    if isinstance(type_, sa.CHAR):
        return _Blanked()
    if isinstance(type_, sa.VARCHAR) and type_.length:
        return sa.Text()
    return sa.Numeric() if isinstance(type_, sa.NUMERIC) and type_.precision else type_


def _array_of(type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    return _Numbers(type_) if isinstance(type_, sa.Integer) else sa.ARRAY(_unbounded(type_))
