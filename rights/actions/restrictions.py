"""The register of records that may only be stored from now on (PIPL art. 47), by keyed digests.

A system asks whether a record of its own is in it before it uses that."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from portal.core import keyring
from rights.connectors.base import Key
from rights.connectors.rowtext import write_clock
from rights.models import Request, Restricted

PAGE = 50_000
_ADD = "INSERT INTO rights_restricted (request_id, collection, digest) SELECT %s, %s, unnest(%s::bytea[])"


def digest_keys(pages: Iterable[Sequence[Key]], *, collection: str) -> set[bytes]:
    """The digests of keys under the current index key."""
    version = keyring.current_version("index")
    return {digest for page in pages for digest in _digest(page, collection=collection, version=version)}


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
    """Whether a record may only be stored. `key`: its parts in order as text (see `_part`)."""
    digests = [_digest([tuple(key)], collection=collection, version=version)[0] for version in _live()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT is_restricted(%s, %s)", [collection, digests])
        row = cursor.fetchone()
    return bool(row and row[0])


def choose_restricted(keys: Sequence[Key], *, collection: str) -> list[Key]:
    """Those of the keys that are in the register."""
    digests = {
        digest: key
        for version in _live()
        for key, digest in zip(keys, _digest(keys, collection=collection, version=version), strict=True)
    }
    found = Restricted.objects.filter(collection=collection, digest__in=list(digests))
    return list({digests[bytes(digest)]: None for digest in found.values_list("digest", flat=True)})


def _live() -> list[int]:
    """The register keeps the version it was written with."""
    return keyring.live_versions("index")


def _digest(keys: Sequence[Key], *, collection: str, version: int) -> list[bytes]:
    return keyring.digests(f"restricted {collection}", map(_as_text, keys), version=version)


def _as_text(key: Key) -> bytes:
    """The same whether the key was read from the database or asked about in words."""
    return "\0".join(map(_part, key)).encode()


def _part(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case bytes():
            return value.hex()
        case timedelta():
            return write_clock(value)
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
        case _:
            return str(value)
