"""Rows as the text of a file, written by the database itself: COPY, so that a million rows cost no object a row here.

Redaction and the form of each value are part of the statement. SQLAlchemy compiles it as it does any other; only how
the cursor is asked differs (the event `do_execute`). COPY takes no parameters: written into its text, a person's
identities would stand in the server's list of what runs and in its log. They are settings of the transaction instead.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from rights.connectors.base import BLOCK, Form

_FORMATS: Mapping[Form, str] = {
    "csv": "FORMAT csv, HEADER, ENCODING 'UTF8'",
    # A line as it is: JSON text has neither of these two characters, so nothing in it is ever quoted.
    "json": "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02', ENCODING 'UTF8'",
}
_KINDS: tuple[tuple[type[sa.types.TypeEngine[Any]], str], ...] = (
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.Numeric, "number"),
    (sa.DateTime, "datetime"),
    (sa.Date, "date"),
)
_PLACE = re.compile(r"%%|%\(([^)]+)\)s(::)?")
"""In a compiled statement: a percent sign, or a parameter's place, mostly with its type after it."""


_PLAINLY = (
    "set_config('DateStyle', 'ISO', true), set_config('TimeZone', 'Asia/Shanghai', true),"
    " set_config('IntervalStyle', 'iso_8601', true), set_config('extra_float_digits', '1', true)"
)
"""Dates, times and spans as ISO 8601 in Beijing time, whatever the server's habit."""


@dataclass
class Copy:
    """Where the rows of one statement go, how long that may take, and how many there were."""

    form: Form
    write: Callable[[bytes], object]
    seconds: float
    rows: int = 0


def copy_out(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """An engine's `do_execute`: run what has the option `portal_copy` as COPY, leave the rest to the dialect."""
    copy: Copy | None = context.execution_options.get("portal_copy") if context else None
    if copy is None:
        return False
    block = bytearray()
    # By a cursor of its own: SQLAlchemy would take what COPY says of its columns for rows to be fetched.
    with cursor.connection.cursor() as reader:
        bound = _bind(reader, statement, parameters, context, seconds=copy.seconds)
        with reader.copy(f"COPY ({bound}) TO STDOUT ({_FORMATS[copy.form]})", parameters) as rows:
            for row in rows:
                block += row
                if len(block) >= BLOCK:
                    copy.write(bytes(block))
                    block.clear()
        copy.rows = reader.rowcount
    if block:
        copy.write(bytes(block))
    return True


def _bind(cursor: Any, statement: str, parameters: Mapping[str, Any], context: Any, *, seconds: float) -> str:
    """The statement with its parameters as settings of the transaction, which are made with those of every file.

    A setting is stable: the planner reads it as it does a constant, and an index serves. What has no type that can be
    named, or no value, stays a parameter.
    """
    settings: dict[str, str] = {}

    def place(found: re.Match[str]) -> str:
        name, typed = found.groups()
        type_ = "" if typed or name is None else _type_of(name, context)
        if name is None or type_ is None or parameters[name] is None:
            return found[0]
        setting = settings.setdefault(name, f"portal.bound_{len(settings)}")
        return f"current_setting('{setting}')::{type_}"

    bound = _PLACE.sub(place, statement)
    chosen = [f"set_config('{setting}', %s::text, true)" for setting in ("statement_timeout", *settings.values())]
    values = [str(int(seconds * 1000)), *(parameters[name] for name in settings)]
    cursor.execute(f"SELECT {_PLAINLY}, {', '.join(chosen)}", values)
    return bound


def _type_of(name: str, context: Any) -> str | None:
    """What PostgreSQL calls a parameter's type, without bounds: a cast must neither cut nor round a value."""
    bind = context.compiled.binds.get(name)
    if bind is None or isinstance(bind.type, sa.types.NullType):
        return None
    if isinstance(bind.type, sa.Numeric):
        return "NUMERIC"
    type_ = str(context.dialect.type_compiler_instance.process(bind.type))
    return None if "(" in type_ else type_


def kind_of(type_: sa.types.TypeEngine[Any]) -> str:
    """A column's type as Table Schema names it."""
    return next((kind for known, kind in _KINDS if isinstance(type_, known)), "string")


def write_values(columns: Sequence[sa.Column[Any]], form: Form) -> list[sa.ColumnElement[Any]]:
    """What is selected so that each value is written as people and programs read it."""
    return [_written(column, form).label(column.name) for column in columns]


def _written(column: sa.Column[Any], form: Form) -> sa.ColumnElement[Any]:
    if isinstance(column.type, sa.LargeBinary):
        return sa.func.encode(column, "hex")
    if isinstance(column.type, sa.Boolean) and form == "csv":
        return sa.cast(column, sa.Text)  # true and false, where COPY writes t and f
    return column


def write_rows(rows: sa.Select[Any], form: Form) -> sa.Select[Any]:
    """The rows as COPY is to write them: as they are, or each as one JSON object on one line."""
    if form == "csv":
        return rows
    row = rows.subquery("row")
    line: sa.ColumnElement[Any] = sa.cast(sa.func.row_to_json(row.table_valued()), sa.Text)
    if any(_may_span_lines(column.type) for column in row.columns):
        line = sa.func.translate(line, "\n\r", "  ")  # outside of strings, where JSON escapes them
    return sa.select(line)


def _may_span_lines(type_: sa.types.TypeEngine[Any]) -> bool:
    """Whether a value may hold JSON as it was typed, line breaks and all."""
    return isinstance(type_, sa.ARRAY | sa.types.NullType) or (
        isinstance(type_, sa.JSON) and not isinstance(type_, JSONB)
    )
