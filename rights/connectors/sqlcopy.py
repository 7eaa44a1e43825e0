"""Rows as the text of a file, written by the database itself: COPY, so that a million rows cost no object a row here.

Redaction and the form of each value are part of the statement. SQLAlchemy compiles it and binds its values as it does
any other; only how the cursor is asked differs (the event `do_execute`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection

from rights.connectors.base import Form

BLOCK = 64 * 1024
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


@dataclass
class Copy:
    """Where the rows of one statement go, and how many there were."""

    form: Form
    write: Callable[[bytes], object]
    rows: int = 0


def copy_out(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """An engine's `do_execute`: run what has the option `portal_copy` as COPY, leave the rest to the dialect."""
    copy: Copy | None = context.execution_options.get("portal_copy") if context else None
    if copy is None:
        return False
    block = bytearray()
    # By a cursor of its own: SQLAlchemy would take what COPY says of its columns for rows to be fetched.
    with cursor.connection.cursor() as reader:
        with reader.copy(f"COPY ({statement}) TO STDOUT ({_FORMATS[copy.form]})", parameters) as rows:
            for row in rows:
                block += row
                if len(block) >= BLOCK:
                    copy.write(bytes(block))
                    block.clear()
        copy.rows = reader.rowcount
    if block:
        copy.write(bytes(block))
    return True


def write_plainly(connection: Connection) -> None:
    """Dates, times and spans as ISO 8601 in Beijing time, whatever the server's habit."""
    connection.execute(
        sa.text(
            "SELECT set_config('DateStyle', 'ISO', true), set_config('TimeZone', 'Asia/Shanghai', true),"
            " set_config('IntervalStyle', 'iso_8601', true), set_config('extra_float_digits', '1', true)"
        )
    )


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
