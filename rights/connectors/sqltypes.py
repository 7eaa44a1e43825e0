"""What a column's type can be compared with, hold, and be named by."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import TINYINT
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, JSON

BINARY = (sa.LargeBinary, sa.BINARY, sa.VARBINARY)
"""Types that hold bytes."""


def type_name(type_: sa.types.TypeEngine[Any]) -> str:
    return str(type_).lower()


def _family(type_: sa.types.TypeEngine[Any]) -> str:
    """What can be compared with what: PostgreSQL has an operator within a family and none between two."""
    for family, kinds in (
        ("enum", (sa.Enum,)),
        ("number", (sa.Integer, sa.Numeric)),
        ("text", (sa.String,)),
        ("uuid", (sa.Uuid,)),
        ("day", (sa.Date, sa.DateTime)),
        ("boolean", (sa.Boolean,)),
    ):
        if isinstance(type_, kinds):
            return family
    return type_name(type_)


def are_comparable(one: sa.types.TypeEngine[Any], other: sa.types.TypeEngine[Any]) -> bool:
    if isinstance(one, sa.types.NullType) or isinstance(other, sa.types.NullType):
        return True  # a type SQLAlchemy does not know: the database itself will say
    if isinstance(one, sa.Enum) and isinstance(other, sa.Enum):
        return one.name == other.name
    families = {_family(one), _family(other)}
    # Numbers and UUIDs are compared with text as they are written: see `sqlreach.converted`.
    return len(families) == 1 or ("text" in families and families <= {"text", "number", "uuid"})


def can_identify(type_: sa.types.TypeEngine[Any]) -> bool:
    nameless = (sa.Date, sa.DateTime, sa.Time, sa.Boolean, *BINARY, JSON, ARRAY, INTERVAL)
    return not isinstance(type_, nameless)


def integer_range(type_: sa.Integer) -> tuple[int, int]:
    """The smallest and the largest number that a column can hold."""
    kinds = ((TINYINT, 7), (sa.SmallInteger, 15), (sa.BigInteger, 63))
    bits = next((bits for kind, bits in kinds if isinstance(type_, kind)), 31)
    return (0, 2 ** (bits + 1) - 1) if getattr(type_, "unsigned", False) else (-(2**bits), 2**bits - 1)


def fits(value: Any, type_: sa.types.TypeEngine[Any]) -> bool:
    """Whether a value of the map can be compared with, or written to, a column of the type."""
    if value is None or isinstance(type_, sa.types.NullType):
        return True
    if isinstance(type_, sa.Boolean):
        return isinstance(value, bool)
    if isinstance(value, bool):
        # As MariaDB writes BOOLEAN; such a column may hold other small numbers all the same.
        return isinstance(type_, TINYINT) and type_.display_width == 1
    if isinstance(type_, sa.Date | sa.DateTime):
        return isinstance(value, date) or value in {"@today", "@now"} or _reads_as(datetime.fromisoformat, value)
    if isinstance(value, date) or value in ("@today", "@now"):
        return False
    if isinstance(type_, sa.Integer):
        low, high = integer_range(type_)
        return _reads_as(int, value) and not isinstance(value, float) and low <= int(value) <= high
    if isinstance(type_, sa.Numeric):
        return isinstance(value, int | float) or _reads_as(Decimal, value)
    if isinstance(type_, sa.Enum):
        return value in type_.enums
    if isinstance(type_, sa.Uuid):
        return _reads_as(UUID, value)
    return not isinstance(type_, sa.String) or isinstance(value, str | int)


def _reads_as(read: Callable[[Any], object], value: Any) -> bool:
    try:
        read(value)
    except (ValueError, TypeError, AttributeError, InvalidOperation):
        return False
    return True
