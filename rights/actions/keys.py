"""Keys of records as plain JSON: sealed while a batch is open, digested for the erasure log."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from portal.core import keyring
from rights.connectors.base import Key, Numbers

_SEAL = "rights.batch"
_MICROSECOND = timedelta(microseconds=1)
_TAGS: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "microseconds": (timedelta, lambda span: str(span // _MICROSECOND), lambda text: int(text) * _MICROSECOND),
    "uuid": (UUID, str, UUID),
    "decimal": (Decimal, str, Decimal),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
}


def keys_to_json(keys: Sequence[Key]) -> str:
    """As one text."""
    if isinstance(keys, Numbers):
        return f"[[{keys.text.replace(',', '],[')}]]"
    return json.dumps([to_plain(key) for key in keys], ensure_ascii=False, separators=(",", ":"))


def seal_keys(text: str) -> bytes:
    """Seal what `keys_to_json` made."""
    return keyring.seal(text.encode(), context=_SEAL)


def open_keys(sealed: bytes) -> list[Key]:
    return from_plain(json.loads(keyring.unseal(sealed, context=_SEAL)))


def to_plain(key: Key) -> list[Any]:
    """The same for the same key, in whatever time zone its database tells a moment."""
    return [_tagged(part) for part in key]


def from_plain(keys: Sequence[Sequence[Any]]) -> list[Key]:
    return [tuple(_untagged(part) for part in key) for key in keys]


def _tagged(value: Any) -> Any:
    if isinstance(value, int | str):
        return value
    if isinstance(value, datetime) and value.tzinfo:
        value = value.astimezone(UTC)
    for tag, (kind, write, _) in _TAGS.items():
        if isinstance(value, kind):
            return {tag: write(value)}
    return value


def _untagged(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((tag, text),) = value.items()
    _, _, read = _TAGS[tag]
    return read(text)
