"""Pages by the order key: page 1,000 costs what page 1 costs, and a row that arrives meanwhile moves no other."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page. `first` is the number of its first row, as far as the way here tells; cursors are empty at the ends."""

    rows: tuple[M, ...]
    first: int
    previous: str
    next: str


def read_page(query: "QuerySet[M, M]", *, order: Sequence[str], cursor: str, size: int) -> Page[M]:
    """The page that a cursor names. One that was cut or made up gives the first page.

    `order` are names of columns that are never null, the last of them unique; a minus sorts downwards.
    """
    backward, first, values = _read_cursor(cursor, len(order))
    if values is None:
        rows = list(query.order_by(*order)[: size + 1])
    else:
        shown = [_turn(name) for name in order] if backward else list(order)
        try:
            rows = list(query.filter(_beyond(shown, values)).order_by(*shown)[: size + 1])
        except (ValidationError, ValueError, TypeError):
            return read_page(query, order=order, cursor="", size=size)
    more, rows = len(rows) > size, rows[:size]
    if backward:
        rows.reverse()
        first = max(1, first - len(rows))
        has_previous, has_next = more, True
    else:
        has_previous, has_next = values is not None, more
    return Page(
        rows=tuple(rows),
        first=first,
        previous=_write_cursor(True, first, rows[0], order) if rows and has_previous else "",
        next=_write_cursor(False, first + len(rows), rows[-1], order) if rows and has_next else "",
    )


def _beyond(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Rows after these values: later in the first column, or equal there and later in the second, and so on."""
    found, equal = Q(pk__in=()), Q()
    for name, value in zip(order, values, strict=True):
        column = name.removeprefix("-")
        found |= equal & Q(**{f"{column}__{'lt' if name.startswith('-') else 'gt'}": value})
        equal &= Q(**{column: value})
    return found


def _turn(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"


def _write_cursor(backward: bool, first: int, row: Model, order: Sequence[str]) -> str:
    values = [getattr(row, name.removeprefix("-")) for name in order]
    plain = [value.isoformat() if isinstance(value, date) else value for value in values]
    text = json.dumps([backward, first, *plain], default=str, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(text: str, width: int) -> tuple[bool, int, list[Any] | None]:
    try:
        backward, first, *values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if len(values) != width or None in values:
            raise ValueError
        return bool(backward), max(1, int(first)), values
    except (ValueError, TypeError):
        return False, 1, None
