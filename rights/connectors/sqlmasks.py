"""Masks as SQL: what a masked field holds, and how a masked value is told from one that was there before.

Looks, the fate MASKED and the protocol of acting depend on the second, which is asked without the original and without
a key: every mask has a shape that real values do not have. So a mask is never masked again. An empty value stays empty,
except where a constant is written.

`hash` and `pseudonym` carry a prefix. A phone number becomes 11 digits that begin with 12, where no mobile number is
assigned; a resident identity number 18 characters with a right checksum (GB 11643-1999) in the region 99, which
GB/T 2260 does not assign. A date is equal to its own first day of the month or year.

A keyed mask is HMAC-SHA-256, put together from two SHA-256 (RFC 2104), as not every database has pgcrypto. The key's
two padded blocks are bound when a statement runs; they never stand in its text.
"""

from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from portal.core.keyring import mask_key
from rights.connectors.sqldialect import first_of_month, first_of_year, hmac_hex, is_written, number_of_hex, sha256_hex
from rights.connectors.sqlreach import BIND
from rights.datamap import Mask
from rights.datamap.values import PSEUDONYM_DIGITS

_BLOCK = 64
"""The bytes that SHA-256 takes at once: to this length HMAC pads its key."""
_MASKED_AS = {
    "hash": "^sha256:[0-9a-f]{64}$",
    "phone": "^12[0-9]{9}$",
    "resident_id": "^99[0-9]{15}[0-9Xx]$",
}
_REGIONS, _BIRTHDAYS, _SEQUENCES = 10_000, 36_524, 1_000
"""What an identity number is made of: the rest of its region, a day from 1900 on, and its number on that day. 36,524
days end with 1999."""
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
"""GB 11643-1999: the weights of the first 17 digits, and the last character by their sum modulo 11."""


def is_masked(column: ColumnElement[Any], mask: Mask) -> ColumnElement[bool]:
    """Whether a value is as masking leaves it; never null."""
    match mask.kind:
        case "null":
            return column.is_(None)
        case "constant":
            return column.is_not_distinct_from(sa.literal(mask.value, column.type))
        case "date":
            return sa.or_(column.is_(None), column == _first_day(column, mask.value))
        case "pseudonym":
            pattern = f"^{mask.value}:[0-9a-f]{{{PSEUDONYM_DIGITS}}}$"
        case _:
            pattern = _MASKED_AS[mask.value if mask.kind == "format" else mask.kind]
    return sa.or_(column.is_(None), is_written(_text(column), pattern))


def masked(column: ColumnElement[Any], mask: Mask) -> ColumnElement[Any]:
    """What masking writes over a table's column; a statement with it is run with `mask_values`."""
    match mask.kind:
        case "null":
            return sa.null()
        case "constant":
            return sa.literal(mask.value, column.type)
        case "date":
            return _first_day(column, mask.value)
        case "hash":
            value = "sha256:" + sha256_hex(_text(column))
        case "pseudonym":
            value = f"{mask.value}:" + sa.func.left(_hmac(column, mask), PSEUDONYM_DIGITS)
        case _:
            value = _phone(column, mask) if mask.value == "phone" else _resident_id(column, mask)
    return sa.case((is_masked(column, mask), _text(column)), else_=value)


def mask_values(masks: Iterable[Mask], *, key_of: Callable[[str], bytes] = mask_key) -> dict[str, bytes]:
    """What a statement with these masks is asked with: the two padded blocks of each key."""
    values: dict[str, bytes] = {}
    for mask in masks:
        if mask.is_keyed:
            key = key_of(_name(mask)).ljust(_BLOCK, b"\0")
            values |= {_bind(mask, "inner"): bytes(byte ^ 0x36 for byte in key)}
            values |= {_bind(mask, "outer"): bytes(byte ^ 0x5C for byte in key)}
    return values


def _name(mask: Mask) -> str:
    return f"{mask.kind} {mask.value}"


def _bind(mask: Mask, part: str) -> str:
    return f"{BIND}{mask.kind}_{mask.value}_{part}"


def _hmac(column: ColumnElement[Any], mask: Mask) -> ColumnElement[str]:
    inner, outer = (sa.bindparam(_bind(mask, part), type_=sa.LargeBinary()) for part in ("inner", "outer"))
    return hmac_hex(_text(column), inner, outer)


def _text(column: ColumnElement[Any]) -> ColumnElement[str]:
    return sa.cast(column, sa.Text)


def _number(column: ColumnElement[Any], mask: Mask) -> ColumnElement[int]:
    """60 bits of the keyed digest, as a number that is not negative."""
    return number_of_hex(sa.func.left(_hmac(column, mask), 15, type_=sa.Text()))


def _digits(number: ColumnElement[int], width: int) -> ColumnElement[str]:
    return sa.func.lpad(sa.cast(number, sa.Text), width, "0", type_=sa.Text())


def _phone(column: ColumnElement[Any], mask: Mask) -> ColumnElement[str]:
    return "12" + _digits(_number(column, mask) % 10**9, 9)


def _resident_id(column: ColumnElement[Any], mask: Mask) -> ColumnElement[str]:
    # OFFSET 0 keeps the planner from writing out the digest once for each of the digits made of it.
    drawn = sa.select(_number(column, mask).label("n")).correlate(column.table).offset(0).subquery("drawn")
    n = drawn.c.n
    day = sa.cast("1900-01-01", sa.Date) + sa.cast(n // _REGIONS % _BIRTHDAYS, sa.Integer)
    body = (
        "99"
        + _digits(n % _REGIONS, 4)
        + sa.func.to_char(day, "YYYYMMDD", type_=sa.Text())
        + _digits(n // (_REGIONS * _BIRTHDAYS) % _SEQUENCES, 3)
    )
    written = sa.select(body.label("d")).offset(0).subquery("written")
    total = sum(
        weight * sa.cast(sa.func.substr(written.c.d, place, 1), sa.Integer)
        for place, weight in enumerate(_WEIGHTS, start=1)
    )
    check = sa.func.substr(_CHECKS, total % 11 + 1, 1, type_=sa.Text())
    return sa.select(written.c.d + check).scalar_subquery()


def _first_day(column: ColumnElement[Any], unit: str) -> ColumnElement[Any]:
    """The first day of its year or month, in Shanghai where the value is a moment."""
    return first_of_year(column) if unit == "year" else first_of_month(column)
