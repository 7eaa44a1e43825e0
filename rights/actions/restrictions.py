"""The register of records that may only be stored from now on (PIPL art. 47), by keyed digests.

A system asks whether a record of its own is in it before it uses that."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from portal.core import keyring
from rights.connectors.base import Key
from rights.models import Request, Restricted

PAGE = 50_000
_ADD = "INSERT INTO rights_restricted (request_id, collection, digest) SELECT %s, %s, unnest(%s::bytea[])"


def digest_keys(pages: Iterable[Sequence[Key]], *, collection: str) -> set[bytes]:
    """The digests of keys under the current index key."""
    digest = keyring.digester(_kind(collection), version=keyring.current_version("index"))
    return {digest(_as_text(key)) for page in pages for key in page}


def write_register(digests: set[bytes], *, request: Request, collection: str) -> None:
    """Make the register of a request's collection hold exactly these."""
    mine = Restricted.objects.filter(request=request, collection=collection)
    known = {bytes(digest) for digest in mine.values_list("digest", flat=True).iterator(PAGE)}
    for page in _pages(known - digests):
        mine.filter(digest__in=page).delete()
    with connection.cursor() as cursor:
        for page in _pages(digests - known):
            # As one array: there may be a million, and a row for each would take ten times as long.
            cursor.execute(_ADD, [request.pk, collection, page])


def _pages(digests: set[bytes]) -> Iterator[list[bytes]]:
    left = list(digests)
    return (left[start : start + PAGE] for start in range(0, len(left), PAGE))


def is_restricted(collection: str, key: Sequence[str]) -> bool:
    """Whether a record may only be stored. `key`: its parts in order as text, a moment in UTC."""
    text = _as_text(tuple(key))
    with connection.cursor() as cursor:
        cursor.execute("SELECT is_restricted(%s, %s)", [collection, [digest(text) for digest in _live(collection)]])
        row = cursor.fetchone()
    return bool(row and row[0])


def choose_restricted(keys: Sequence[Key], *, collection: str) -> list[Key]:
    """Those of the keys that are in the register."""
    live = _live(collection)
    digests = {digest(_as_text(key)): key for key in keys for digest in live}
    found = Restricted.objects.filter(collection=collection, digest__in=list(digests))
    return list({digests[bytes(digest)]: None for digest in found.values_list("digest", flat=True)})


def _live(collection: str) -> list[Callable[[bytes], bytes]]:
    """How digests are made under every live key: the register keeps the version it was written with."""
    return [keyring.digester(_kind(collection), version=version) for version in keyring.live_versions("index")]


def _kind(collection: str) -> str:
    return f"restricted {collection}"


def _as_text(key: Key) -> bytes:
    """The same whether the key was read from the database or asked about in words."""
    return "\0".join(map(_part, key)).encode()


def _part(value: Any) -> str:
    if isinstance(value, datetime) and value.tzinfo:
        value = value.astimezone(UTC)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
