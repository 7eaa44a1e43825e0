"""Rows as the text of a file, where no database writes them: in the form that COPY of PostgreSQL has (`sqlcopy`)."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from rights.connectors.base import BLOCK, Form
from rights.kernel.clock import SHANGHAI


def write_rows(
    names: Sequence[str], rows: Iterable[Sequence[Any]], *, form: Form, write: Callable[[bytes], object]
) -> int:
    """Hand rows with these columns to `write` in blocks, as they come; how many there were."""
    block = bytearray(_csv_line(names) if form == "csv" else b"")
    count = 0
    for row in rows:
        block += _csv_line(row) if form == "csv" else _json_line(names, row)
        count += 1
        if len(block) >= BLOCK:
            write(bytes(block))
            block.clear()
    if block:
        write(bytes(block))
    return count


def write_clock(span: timedelta) -> str:
    """A time of day, which some drivers tell as a span; it may be below zero, or longer than a day."""
    seconds, rest = divmod(abs(span), timedelta(seconds=1))
    fraction = f".{rest.microseconds:06}" if rest else ""
    sign = "-" if span < timedelta() else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"


def _csv_line(values: Iterable[Any]) -> bytes:
    return (",".join(map(_cell, values)) + "\n").encode()


def _cell(value: Any) -> str:
    """None is bare, and an empty text quoted."""
    if value is None:
        return ""
    plain = _plain(value)
    text = plain if isinstance(plain, str) else _json(plain)
    if isinstance(value, datetime):
        text = text.replace("T", " ")
    quoted = not text or any(sign in text for sign in '",\r\n')
    return '"' + text.replace('"', '""') + '"' if quoted else text


def _json_line(names: Sequence[str], values: Sequence[Any]) -> bytes:
    fields = (f"{_json(name)}:{_json(_plain(value))}" for name, value in zip(names, values, strict=True))
    return ("{" + ",".join(fields) + "}\n").encode()


def _json(value: Any) -> str:
    """A decimal has the digits that it has: as a float it would lose some."""
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """As what JSON has: a text, a number, true, false, none, or made of these. A moment is told in Beijing time."""
    match value:
        case None | str() | bool() | int() | float() | Decimal() | list() | dict():
            return value
        case datetime():
            return (value.astimezone(SHANGHAI) if value.tzinfo else value).isoformat()
        case bytes() | memoryview():
            return value.hex()
        case timedelta():
            return write_clock(value)
        case set() | frozenset():
            return ",".join(sorted(value))
        case _:
            return str(value)  # a day, a time, an id
