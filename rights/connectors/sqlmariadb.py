"""MariaDB, as a `Dialect`: from 10.6 on, which has JSON_TABLE.

Keys of ours come as one JSON text. A walk (CTEs) cannot stand before DELETE or UPDATE there, so the rows that it finds
are joined as a table. Its equality of text may pass over a letter's case and a space at the end: its own references
are followed by it, but a person is only who is written exactly so.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL, Connection, CursorResult, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import CTE, FromClause

from rights.connectors.base import Form
from rights.connectors.rowtext import write_clock, write_rows
from rights.connectors.sqldialect import (
    CANONICAL_INTEGER,
    CANONICAL_UUID,
    Changing,
    Trouble,
    bool_or,
    first_of_month,
    first_of_year,
    greatest,
    hmac_hex,
    is_written,
    months_after,
    months_after_next_january,
    number_of_hex,
    sha256_hex,
    subquery_of,
)
from rights.connectors.sqltypes import BINARY
from rights.datamap import Mask

OLDEST = (10, 6)
FETCHED = 2_000
"""How many rows of an export are fetched at once."""
_ZONE = timezone(timedelta(hours=8))
_SESSION = (
    # A day is one of Shanghai; TIMESTAMP columns are told in the session's zone.
    "SET SESSION time_zone = '+08:00', "
    # What does not fit a column must be an error, never cut off. A day 0000-00-00 that is there may be read.
    "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    # What is refused is told in English, whatever the server's language: only the name of a constraint is read of it.
    "lc_messages = 'en_US', "
    # A stream of keys is read as slowly as each of them is acted on.
    "net_write_timeout = 3600, group_concat_max_len = 1048576"
)
_AWAY = frozenset({1021, 1040, 1041, 1042, 1043, 1053, 1077, 1078, 1080, 1114, 1129, 1130, 1135, 1152,
                   1158, 1159, 1160, 1161, 1184, 1203, 1226, 1927, 2002, 2003, 2005, 2006, 2012, 2013, 2014, 2027, 2055,
                   3159, 4052})  # fmt: skip
"""Error numbers of a server that is away, full, stopping or lets nobody in: trying again later may help."""
_LATE = frozenset({1205, 1213, 1317, 1969, 3024})
"""Waited for a lock, ran into somebody else (deadlock), was interrupted, took too long."""
_SHUT = frozenset({1044, 1045, 1049, 1130, 1698, 1820, 1862, 4151})
"""The role, its password, its host or the database is not known, or the account is locked."""
_READ_ONLY = frozenset({1290, 1792, 1836})
_NOT_ALLOWED = frozenset({1142, 1143, 1227, 1356, 1370})
_CONSTRAINT = re.compile(r"CONSTRAINT `((?:[^`]|``)+)`")
"""In whatever language the message is, this is the table's own definition."""
_REPEATED = re.compile(r"for key '([^']+)'\Z")
_BREAKS_CONSTRAINT = frozenset({1216, 1217, 1451, 1452, 1557, 1761, 1762, 4025})
_REPEATS = frozenset({1062, 1169, 1586})
_TRIGGERS = sa.text("""
SELECT trigger_name FROM information_schema.triggers
WHERE event_object_schema = :schema AND event_object_table = :table AND event_manipulation <> 'INSERT' ORDER BY 1
""")


class MariaDB:
    name = "MariaDB"
    changes_by_walk = False
    unmaskable: Mapping[Mask, str] = {Mask("format", "resident_id"): "mask it by a pseudonym, or with null."}
    parallel_streams = False

    def open_engine(self, address: URL, *, connect_seconds: int, **options: Any) -> Engine:
        arguments = {"connect_timeout": connect_seconds, "program_name": "privacy-portal", "init_command": _SESSION}
        address = address.set(drivername="mariadb+pymysql").update_query_dict({"charset": "utf8mb4"})
        return sa.create_engine(address, connect_args=arguments, **options)

    @contextmanager
    def read(self, connection: Connection, *, seconds: float) -> Iterator[Connection]:
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            self._begin(connection, seconds=seconds)
            connection.execute(sa.text("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"))
            yield connection

    @contextmanager
    def act(self, connection: Connection, *, seconds: float) -> Iterator[Connection]:
        connection = connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            self._begin(connection, seconds=seconds)
            yield connection

    def _begin(self, connection: Connection, *, seconds: float) -> None:
        """Settings there are of the session: those that a transaction before this one made for itself go back."""
        connection.execute(sa.text("SET SESSION innodb_lock_wait_timeout = DEFAULT, sort_buffer_size = DEFAULT"))
        self.limit(connection, seconds=seconds)

    def limit(self, connection: Connection, *, seconds: float) -> None:
        """Of the session; each of its transactions begins with one. Waiting for a lock counts."""
        connection.execute(sa.text(f"SET SESSION max_statement_time = {float(seconds):.3f}"))

    def let_stream(self, connection: Connection, *, seconds: float) -> None:
        """A statement there runs until its last row was fetched."""
        self.limit(connection, seconds=seconds)

    def prepare_trial(self, connection: Connection) -> None:
        connection.execute(sa.text("SET SESSION innodb_lock_wait_timeout = 1"))

    def prepare_survey(self, connection: Connection) -> None:
        connection.execute(sa.text("SET SESSION sort_buffer_size = 67108864"))

    def find_obstacles(self, connection: Connection, table: sa.Table) -> list[str]:
        """Triggers that refuse by a signal are told by their error; these may undo."""
        return list(connection.execute(_TRIGGERS, {"schema": table.schema, "table": table.name}).scalars())

    def explain(self, error: DBAPIError) -> Trouble:
        arguments: Sequence[Any] = getattr(error.orig, "args", ()) or ()
        number = arguments[0] if arguments and isinstance(arguments[0], int) else 0
        code = str(number) if number else ""
        said = str(arguments[1]) if len(arguments) > 1 else ""
        if number in _BREAKS_CONSTRAINT and (named := _CONSTRAINT.search(said)):
            return Trouble(code, constraint=named[1].replace("``", "`"))
        if number in _REPEATS:
            # In English the key stands at the end, after the value, which may hold anything.
            key = _REPEATED.search(said)
            return Trouble(code, constraint=key[1] if key else "(unique)")
        remedy = ""
        if number in _NOT_ALLOWED:
            remedy = ": the portal's role may not do this. Grant it what manage.py datamap grants lists, then try again"
        # The driver numbers nothing where it was never connected, or is cut off in the middle of an answer.
        unnumbered = not number and isinstance(error, OperationalError | InterfaceError)
        return Trouble(
            code,
            away=unnumbered or number in _AWAY or number in _SHUT,
            late=number in _LATE,
            read_only=number in _READ_ONLY,
            shut=number in _SHUT,
            remedy=remedy,
        )

    def settle(self, connection: Connection, tables: Sequence[sa.Table]) -> list[str]:
        version = connection.dialect.server_version_info or ()
        if not getattr(connection.dialect, "is_mariadb", False) or version < OLDEST:
            return [f"It is {_version(connection)}; the portal works with MariaDB from 10.6 on."]
        wrong: list[str] = []
        for schema in sorted({table.schema or "" for table in tables}):
            kinds = {name: (kind, engine) for name, kind, engine in _rows(connection, _KINDS, schema)}
            texts = {(table, column): rest for table, column, *rest in _rows(connection, _TEXTS, schema)}
            for table in (table for table in tables if table.schema == schema):
                if why := unworkable(table.name, *kinds.get(table.name, ("unknown", None))):
                    wrong.append(why)
                for column in table.columns:
                    charset, collation = texts.get((table.name, column.name), (None, None))
                    column.type = settled(column.type, charset=charset, collation=collation)
                    if isinstance(column.type, sa.Date | sa.DateTime):
                        column.nullable = True  # a day 0000-00-00 is none
        return wrong

    # --- values of ours

    def key_in(
        self, columns: Sequence[ColumnElement[Any]], keys: Sequence[Sequence[Any]] | None, *, bind: str, name: str
    ) -> ColumnElement[bool]:
        types = {f"k{i}": column.type for i, column in enumerate(columns)}
        value = (
            sa.bindparam(bind, type_=sa.Text()) if keys is None else sa.bindparam(None, _to_json(keys), type_=sa.Text())
        )
        return sa.tuple_(*columns).in_(_json_rows(value, types, name=name))

    def bound_keys(
        self, columns: Sequence[ColumnElement[Any]], keys: Sequence[Sequence[Any]], *, bind: str
    ) -> dict[str, Any]:
        return {bind: _to_json(keys)}

    def one_of(self, column: ColumnElement[Any], *, bind: str) -> ColumnElement[bool]:
        return column.in_(sa.bindparam(bind, expanding=True))

    def given(
        self, columns: Mapping[str, sa.types.TypeEngine[Any]], rows: Sequence[Sequence[Any]], *, name: str
    ) -> sa.Select[Any]:
        return _json_rows(sa.bindparam(None, _to_json(rows), type_=sa.Text()), columns, name=name)

    # --- comparisons

    def compared(self, type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
        return type_

    def same(self, column: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[bool]:
        """By its index, and then byte for byte."""
        if not isinstance(column.type, sa.String) or isinstance(column.type, sa.Enum):
            return column == value
        return sa.and_(column == value, _utf8(column) == _utf8(value))

    def as_subject(self, column: ColumnElement[Any], type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
        if isinstance(type_, sa.String):
            return sa.cast(column, mysql.CHAR(charset="utf8mb4")).collate("utf8mb4_nopad_bin")
        return column

    def converted(self, column: ColumnElement[Any], type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
        have = column.type
        if isinstance(type_, sa.String):
            return _as_text_of(column, type_) if _collation(have) != _collation(type_) else column
        if isinstance(have, sa.String) and isinstance(type_, sa.Integer | sa.Numeric):
            is_number = column.regexp_match(f"{CANONICAL_INTEGER}\\z")
            return sa.case((is_number, sa.cast(column, sa.BigInteger)), else_=None)
        if isinstance(have, sa.String) and isinstance(type_, sa.Uuid):
            return sa.case((column.regexp_match(f"(?-i){CANONICAL_UUID}\\z"), column), else_=None)
        return column

    def by_bytes(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        return _utf8(text)

    # --- statements

    def stored(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """A day 0000-00-00 stands for none, and would read as one that is long over."""
        if isinstance(column.type, sa.Date | sa.DateTime):
            return sa.type_coerce(sa.case((column != sa.literal_column("0"), column), else_=None), column.type)
        return column

    def select_by(
        self,
        labels: Sequence[ColumnElement[Any]],
        ways: Sequence[ColumnElement[bool]],
        chosen: Sequence[ColumnElement[bool]],
    ) -> sa.Select[Any] | sa.CompoundSelect[Any]:
        """One select a way, as OR would read the whole table. The labels have the key, so that UNION keeps each row."""
        parts = [sa.select(*labels).where(way, *chosen) for way in ways or [sa.false()]]
        return parts[0] if len(parts) == 1 else sa.union(*parts)

    def led_by(self, columns: Sequence[ColumnElement[Any]], keys: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
        return sa.tuple_(*columns).in_(sa.select(*keys))

    def go_round(self, keys: CTE, steps: Sequence[sa.Select[Any]], *, name: str) -> CTE:
        return keys.union(*steps)

    def empty(self, type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
        """As wide as any value may be: the first part of a recursive CTE says how wide its columns are."""
        if isinstance(type_, sa.String):
            null: ColumnElement[Any] = sa.cast(sa.null(), mysql.CHAR(type_.length or 16_000))
            return _as_text_of(null, type_)
        return sa.cast(sa.null(), type_)

    def change_found(
        self, statement: Changing, columns: Sequence[ColumnElement[Any]], found: sa.Select[Any]
    ) -> Changing:
        return _join(statement, columns, subquery_of(found))

    def change_chosen(
        self, statement: Changing, columns: Sequence[ColumnElement[Any]], *, bind: str, name: str
    ) -> Changing:
        types = {f"k{i}": column.type for i, column in enumerate(columns)}
        keys = _json_rows(sa.bindparam(bind, type_=sa.Text()), types, name=name)
        return _join(statement, columns, keys.subquery())

    # --- files

    def shown(self, columns: Sequence[sa.Column[Any]], form: Form) -> list[ColumnElement[Any]]:
        return [self.stored(column).label(column.name) for column in columns]

    def lines(self, rows: sa.Select[Any], form: Form) -> sa.Select[Any]:
        return rows

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
        """Row by row, as there is no COPY: fetched as a stream, so that memory stays the same."""
        self.limit(connection, seconds=seconds)
        zoned = [isinstance(column.type, mysql.TIMESTAMP) for column in columns]
        with run(yield_per=FETCHED) as found:
            rows = (list(map(_told, row, zoned)) for row in found)
            return write_rows([column.name for column in columns], rows, form=form, write=write)


def _told(value: Any, zoned: bool) -> Any:
    """A TIMESTAMP is a moment, told in the session's zone; a DATETIME is what somebody's clock showed."""
    return value.replace(tzinfo=_ZONE) if zoned and isinstance(value, datetime) else value


def _join(statement: Changing, columns: Sequence[ColumnElement[Any]], keys: FromClause) -> Changing:
    """The statement for the rows whose columns are one of the keys; IN would read the whole table there."""
    return statement.where(*(column == key for column, key in zip(columns, keys.c, strict=True)))


# --- what a schema has

_KINDS = "SELECT table_name, table_type, engine FROM information_schema.tables WHERE table_schema = :schema"
_TEXTS = """
SELECT table_name, column_name, character_set_name, collation_name FROM information_schema.columns
WHERE table_schema = :schema AND collation_name IS NOT NULL
"""


def unworkable(table: str, kind: str, engine: str | None) -> str:
    """Why a table cannot be worked on, with what to do; empty where it can."""
    if kind == "VIEW":
        return f"{table} is a view: name the table behind it in the map instead."
    if kind == "SYSTEM VERSIONED":
        return (
            f"{table} keeps every row that is deleted as history (system versioning), so that nothing would be erased:"
            f" ALTER TABLE {table} DROP SYSTEM VERSIONING, or keep it out of the map."
        )
    if kind != "BASE TABLE" or engine != "InnoDB":
        return (
            f"{table} is kept by the engine {engine or kind}, which knows no transactions: an act could stop half-way."
            f" ALTER TABLE {table} ENGINE = InnoDB, or keep it out of the map."
        )
    return ""


def settled(type_: sa.types.TypeEngine[Any], *, charset: str | None, collation: str | None) -> sa.types.TypeEngine[Any]:
    """A reflected type as it is compared and parsed."""
    if isinstance(type_, mysql.TIME):
        return _Span(fsp=type_.fsp)
    if isinstance(type_, sa.String) and collation:
        type_.charset, type_.collation = charset, collation  # type: ignore[attr-defined]
    return type_


class _Span(mysql.TIME):
    """A TIME as the span that its driver tells: as a time of day -00:30 would be 23:30, and another record's."""

    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:  # type: ignore[override]
        return None


def _rows(connection: Connection, query: str, schema: str) -> list[Any]:
    return list(connection.execute(sa.text(query), {"schema": schema}))


def _version(connection: Connection) -> str:
    make = "MariaDB" if getattr(connection.dialect, "is_mariadb", False) else "MySQL"
    return f"{make} {'.'.join(map(str, connection.dialect.server_version_info or ()))}"


# --- keys as JSON


def _to_json(rows: Sequence[Sequence[Any]]) -> str:
    return json.dumps([[_plain(value) for value in row] for row in rows], ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int | str) or value is None:
        return value
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return write_clock(value) if isinstance(value, timedelta) else str(value)


def _json_rows(
    value: sa.BindParameter[Any], columns: Mapping[str, sa.types.TypeEngine[Any]], *, name: str
) -> sa.Select[Any]:
    shape = ", ".join(f"{each} {_json_type(type_)} PATH '$[{i}]'" for i, (each, type_) in enumerate(columns.items()))
    function = sa.func.json_table(value, sa.literal_column(f"'$[*]' COLUMNS ({shape})"))
    rows = function.table_valued(*(sa.column(each, type_) for each, type_ in columns.items()), name=name)
    return sa.select(*(_read_back(rows.c[each], type_).label(each) for each, type_ in columns.items()))


def _json_type(type_: sa.types.TypeEngine[Any]) -> str:
    if isinstance(type_, sa.Boolean):
        return "TINYINT"
    if isinstance(type_, sa.Integer):
        return "BIGINT UNSIGNED" if getattr(type_, "unsigned", False) else "BIGINT"
    if isinstance(type_, sa.Numeric) and not isinstance(type_, sa.Float):
        return f"DECIMAL({type_.precision or 65}, {type_.scale or 0})"
    if isinstance(type_, sa.DateTime):
        return f"DATETIME({getattr(type_, 'fsp', None) or 6})"
    if isinstance(type_, sa.Date):
        return "DATE"
    if isinstance(type_, sa.Uuid):
        return "VARCHAR(36)"
    length = getattr(type_, "length", None)
    return (f"VARCHAR({min(2 * length, 16_000)})" if length else "LONGTEXT") + " CHARACTER SET utf8mb4"


def _read_back(column: ColumnElement[Any], type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
    if isinstance(type_, BINARY):
        return sa.type_coerce(sa.func.unhex(column), type_)
    return _as_text_of(column, type_) if isinstance(type_, sa.String) and _collation(type_) else column


# --- text


def _collation(type_: sa.types.TypeEngine[Any]) -> str | None:
    return getattr(type_, "collation", None)


def _as_text_of(column: ColumnElement[Any], type_: sa.String) -> ColumnElement[Any]:
    """As text in another column's own order, so that the two can be compared and its index serves.

    A column of an older character set is compared by widening it instead: no value of ours may lose a letter.
    """
    text = _widened(column)
    own = getattr(type_, "charset", None) == "utf8mb4" and _collation(type_)
    return sa.type_coerce(text.collate(own) if own else text, type_)


def _widened(text: ColumnElement[Any]) -> ColumnElement[Any]:
    return sa.func.convert(text.op("USING")(sa.literal_column("utf8mb4")), type_=sa.String())


def _utf8(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """The bytes of a text, whatever its column's character set."""
    return sa.cast(_widened(text), sa.BINARY)


# --- expressions


@compiles(bool_or, "mariadb")
def _bool_or(element: bool_or, compiler: SQLCompiler, **kw: Any) -> str:
    return f"max({compiler.process(element.clauses, **kw)})"


@compiles(greatest, "mariadb")
def _greatest(element: greatest, compiler: SQLCompiler, **kw: Any) -> str:
    """Theirs is null where one of them is. The first day that a DATE can hold stands for none."""
    none = "DATE'1000-01-01'"
    days = ", ".join(f"COALESCE({compiler.process(day, **kw)}, {none})" for day in element.clauses)
    return f"NULLIF(GREATEST({days}, {none}), {none})"


@compiles(months_after, "mariadb")
def _months_after(element: months_after, compiler: SQLCompiler, **kw: Any) -> str:
    day, months = (compiler.process(each, **kw) for each in element.clauses)
    return f"DATE_ADD({day}, INTERVAL {months} MONTH)"


@compiles(months_after_next_january, "mariadb")
def _months_after_next_january(element: months_after_next_january, compiler: SQLCompiler, **kw: Any) -> str:
    day, months = (compiler.process(each, **kw) for each in element.clauses)
    return f"(MAKEDATE(YEAR({day}) + 1, 1) + INTERVAL {months} MONTH - INTERVAL 1 DAY)"


@compiles(is_written, "mariadb")
def _is_written(element: is_written, compiler: SQLCompiler, **kw: Any) -> str:
    """Its $ would let pass a line break at the end."""
    text, pattern = element.clauses
    shape = sa.func.concat("(?-i)", sa.func.left(pattern, sa.func.char_length(pattern) - 1), "\\z")
    return compiler.process(_widened(text).collate("utf8mb4_bin").regexp_match(shape), **kw)


@compiles(sha256_hex, "mariadb")
def _sha256_hex(element: sha256_hex, compiler: SQLCompiler, **kw: Any) -> str:
    (text,) = (compiler.process(each, **kw) for each in element.clauses)
    return f"SHA2(CONVERT({text} USING utf8mb4), 256)"


@compiles(hmac_hex, "mariadb")
def _hmac_hex(element: hmac_hex, compiler: SQLCompiler, **kw: Any) -> str:
    text, inner, outer = (compiler.process(each, **kw) for each in element.clauses)
    value = f"CAST(CONVERT({text} USING utf8mb4) AS BINARY)"
    return f"SHA2(CONCAT({outer}, UNHEX(SHA2(CONCAT({inner}, {value}), 256))), 256)"


@compiles(number_of_hex, "mariadb")
def _number_of_hex(element: number_of_hex, compiler: SQLCompiler, **kw: Any) -> str:
    (digits,) = (compiler.process(each, **kw) for each in element.clauses)
    return f"CAST(CONV({digits}, 16, 10) AS SIGNED)"


@compiles(first_of_month, "mariadb")
def _first_day(element: first_of_month, compiler: SQLCompiler, **kw: Any) -> str:
    (column,) = (compiler.process(each, **kw) for each in element.clauses)
    day = f"CAST({column} AS DATE)"
    # What of a day is zero is not known: 0000-00-00 and 1990-00-00 have no first day, and are left as they are.
    if isinstance(element, first_of_year):
        kept, rest, known = 4, "-01-01", f"MONTH({day}) + DAYOFMONTH({day})"
    else:
        kept, rest, known = 7, "-01", f"DAYOFMONTH({day})"
    return f"IF({known} = 0, {day}, CAST(CONCAT(LEFT({day}, {kept}), '{rest}') AS DATE))"
