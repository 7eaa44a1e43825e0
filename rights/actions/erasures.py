"""The erasure log: what was erased, by keyed digests alone, for as long as a backup may bring it back.

A database that is restored from a backup has again what was erased since. Before it may serve, `replay` erases that
once more. The log names no record: only who holds the portal's key can tell whether a record is in it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from portal.core import keyring, ledger
from rights.actions.keys import to_plain
from rights.actions.restrictions import choose_restricted
from rights.connectors.base import Key, Numbers
from rights.connectors.registry import connect
from rights.datamap import DataMap
from rights.models import Batch, Gate

PAGE = 500
FOREVER = timedelta(days=3650)
"""How long the log keeps what a map states no backup days for: nobody has said when the backups are clear."""


@dataclass(frozen=True)
class Replayed:
    """Of one collection: how many records the log knows, how many of them were there again and were erased, and how
    many that may only be stored were marked again."""

    collection: str
    logged: int
    erased: int
    flagged: int = 0


def log_of(keys: Sequence[Key], *, collection: str) -> dict[str, Any]:
    """What a batch keeps of the keys that went."""
    version = keyring.current_version("index")
    return {"erased": b"".join(_digest(keys, collection=collection, version=version)), "log_key": version}


def replay(system: str, *, data_map: DataMap, since: datetime, now: datetime) -> list[Replayed]:
    """Erase again what a backup made at `since` has brought back. Raises ConnectorError; what it did stays done.

    Children go before their parents, as when they went first. Records that the log does not know are not touched; those
    that may only be stored are marked again.
    """
    connector = connect(system, data_map)
    found = []
    for collection in connector.erase_order():
        logged = _read_log(system, collection, since=since)
        erased = flagged = 0
        if data_map.collections[collection].flag:
            for page in connector.stream_keys(collection):
                kept = choose_restricted(page, collection=collection)
                flagged += connector.flag_again(collection, kept) if kept else 0
        if logged:
            for page in connector.stream_keys(collection):
                back = _find_logged(page, collection=collection, logged=logged)
                erased += connector.erase_again(collection, back) if back else 0
        if logged or flagged:
            found.append(Replayed(collection, sum(map(len, logged.values())), erased, flagged))
    gate, _made = Gate.objects.get_or_create(pk=system)
    ledger.append(
        chain=gate.chain,
        kind="backup_replayed",
        body={
            "system": system,
            "since": since.isoformat(),
            "erased": {item.collection: item.erased for item in found},
        },
        now=now,
    )
    return found


def forget_cleared(*, data_map: DataMap, now: datetime) -> int:
    """Take out of the log what no backup holds any more; how many batches it was."""
    forgotten = 0
    days = {key: timedelta(days=system.backup_days) for key, system in data_map.systems.items() if system.backup_days}
    for system, kept in [*days.items(), (None, FOREVER)]:
        batches = Batch.objects.filter(erased__isnull=False, closed_at__lt=now - kept)
        if system is not None:
            batches = batches.filter(step__system=system)
        chosen = list(batches.values_list("pk", flat=True)[:PAGE])
        forgotten += Batch.objects.filter(pk__in=chosen).update(erased=None)
    return forgotten


def _read_log(system: str, collection: str, *, since: datetime) -> dict[int, set[bytes]]:
    """By the version of the key, the digests of a collection's records that went after the backup was made."""
    logged: dict[int, set[bytes]] = {}
    batches = Batch.objects.filter(
        step__system=system, step__collection=collection, erased__isnull=False, closed_at__gte=since
    )
    for version, joined in batches.values_list("log_key", "erased").iterator(PAGE):
        logged.setdefault(version or 0, set()).update(_split(bytes(joined or b"")))
    return logged


def _split(joined: bytes) -> Iterable[bytes]:
    size = keyring.DIGEST_BYTES
    return (joined[start : start + size] for start in range(0, len(joined), size))


def _find_logged(keys: Sequence[Key], *, collection: str, logged: Mapping[int, set[bytes]]) -> list[Key]:
    """Those of `keys` that the log knows, under whichever version of the key."""
    known: set[Key] = set()
    for version, digests in logged.items():
        found = _digest(keys, collection=collection, version=version)
        known.update(key for key, digest in zip(keys, found, strict=True) if digest in digests)
    return [key for key in keys if key in known]


def _digest(keys: Sequence[Key], *, collection: str, version: int) -> list[bytes]:
    values: Iterable[bytes] = map(_as_bytes, keys)
    if isinstance(keys, Numbers):
        values = f"[{keys.text.replace(',', '],[')}]".encode().split(b",")  # the same, for a million of them
    return keyring.digests(f"erased {collection}", values, version=version)


def _as_bytes(key: Key) -> bytes:
    return json.dumps(to_plain(key), ensure_ascii=False).encode()
