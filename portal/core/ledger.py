"""The ledger: what happened, in an order that cannot be changed without it showing.

Three layers. Entries form one hash chain per matter, so that unrelated matters never wait for each other. A checkpoint
numbers the entries that are new and adds them to one Merkle tree (RFC 6962, see `merkle`). Its head, signed with
Ed25519, is exported to a file outside the database: whoever edits the database afterwards cannot make it agree again.
That an entry is under a head is proved by a few hashes (`prove`), which anybody can check without the ledger.

An entry holds no personal data. What must be provable about a text is committed to: `commit_to` gives a salt and a
digest, the digest goes into the entry, the salt stays beside the text and is erased with it.

Restored from a dump into another cluster, transaction numbers start again; the checkpointer notices and falls back to
looking for what has no number yet. A long write transaction anywhere in the cluster delays a checkpoint, never makes it
wrong.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidSignature
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils.dateparse import parse_datetime

from portal.core import keyring, rows
from portal.core.merkle import HEIGHT, Tree, fold, leaf_hash, prove_consistency, prove_inclusion
from portal.core.models import LedgerEntry, LedgerHead, LedgerLeaf, LedgerNode, canonical_json
from portal.core.verify_receipt import root_of

log = structlog.get_logger(__name__)

Json: TypeAlias = str | int | bool | Sequence["Json"] | Mapping[str, "Json"] | None

START = bytes(32)
"""What the first entry of a chain, and the first head, name as their predecessor."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHECKPOINT_LOCK = 0x6C6564676572  # "ledger"
_BATCH = 10_000


@dataclass(frozen=True)
class Commitment:
    """A digest that can stand in the ledger, and the salt without which it says nothing."""

    salt: str
    digest: str


def commit_to(text: str) -> Commitment:
    """Commit to `text`. Keep the salt with the text, put the digest into an entry's `commitments`."""
    salt = secrets.token_hex(16)
    return Commitment(salt=salt, digest=_commitment(salt, text))


def opens(text: str, *, salt: str, digest: str) -> bool:
    """Whether `digest` was made from `text` and `salt`."""
    return hmac.compare_digest(_commitment(salt, text), digest)


def _commitment(salt: str, text: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + text.encode()).hexdigest()


# --- appending


def append(
    *,
    chain: UUID,
    kind: str,
    body: Mapping[str, Json],
    now: datetime,
    commitments: Mapping[str, str] | None = None,
) -> LedgerEntry:
    """Add an entry to the end of `chain`, in the transaction of the step it records: both happen or neither."""
    # No savepoint: whoever cannot write down what it did has to undo all of it.
    with transaction.atomic(savepoint=False):
        entry = next_entry(chain=chain, kind=kind, body=body, now=now, commitments=commitments)
        rows.add(entry)
    return entry


def next_entry(
    *,
    chain: UUID,
    kind: str,
    body: Mapping[str, Json],
    now: datetime,
    commitments: Mapping[str, str] | None = None,
) -> LedgerEntry:
    """The entry that comes next in `chain`, for the caller to add (`rows.add`) beside whatever goes with it.

    Inside a transaction: the lock that keeps its place is on this chain alone and lasts until that ends. The web role
    reads and writes the chain it names and no other (`app.chain`).
    """
    commitments = dict(commitments or {})
    if wrong := [name for name, digest in commitments.items() if not _DIGEST.fullmatch(digest)]:
        raise ValueError(f"Commitments are digests made by commit_to, never texts: {', '.join(wrong)}.")
    body_text, commitments_text = canonical_json(body), canonical_json(commitments)
    seq, previous = _lock_chain(chain)
    digest = hashlib.sha256(
        entry_message(
            chain=str(chain), seq=seq, at=micros(now), kind=kind, previous=previous.hex(),
            commitments=commitments_text, body=body_text,
        )
    ).digest()  # fmt: skip
    return LedgerEntry(
        chain=chain,
        seq=seq,
        kind=kind,
        at=now,
        body=dict(body),
        commitments=commitments,
        previous=previous,
        hash=digest,
    )


def read_chain(chain: UUID) -> list[LedgerEntry]:
    """The entries of one chain in their order. For the web role this is the way in: other chains stay out of its
    sight."""
    with transaction.atomic():
        _open_chain(chain)
        return list(LedgerEntry.objects.filter(chain=chain).order_by("seq"))


def entry_message(*, chain: str, seq: int, at: int, kind: str, previous: str, commitments: str, body: str) -> bytes:
    """What is hashed: one line each, none of which can hold a line break. `at` is in microseconds since 1970."""
    return f"portal-entry-1\n{chain}\n{seq}\n{at}\n{kind}\n{previous}\n{commitments}\n{body}".encode()


def _open_chain(chain: UUID) -> None:
    """Name the chain to the policies until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.chain', %s, true)", [str(chain)])


def _lock_chain(chain: UUID) -> tuple[int, bytes]:
    """Name the chain to the policies, wait for whoever else appends to it; the next number and the last hash."""
    key = int.from_bytes(hashlib.sha256(b"chain" + chain.bytes).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        # One way there and back, but two statements: the second must see what whoever held the lock has committed.
        cursor.execute(
            "SELECT set_config('app.chain', %s, true), pg_advisory_xact_lock(%s);"
            "SELECT seq, hash FROM core_ledgerentry WHERE chain = %s ORDER BY seq DESC LIMIT 1",
            [str(chain), key, chain],
        )
        cursor.nextset()
        tail = cursor.fetchone()
    return (tail[0] + 1, bytes(tail[1])) if tail else (1, START)


def micros(moment: datetime) -> int:
    """A moment as it is hashed: microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


# --- the tree and its heads


def head_message(*, number: int, size: int, root: bytes, previous: bytes, at: datetime, key: str) -> bytes:
    """What a head's signature covers."""
    return canonical_json(
        {
            "format": "portal-head-1",
            "number": number,
            "size": size,
            "root": root.hex(),
            "previous": previous.hex(),
            "at": at.astimezone(UTC).isoformat(),
            "key": key,
        }
    ).encode()


def _message_of(head: LedgerHead) -> bytes:
    return head_message(
        number=head.number,
        size=head.size,
        root=bytes(head.root),
        previous=bytes(head.previous),
        at=head.at,
        key=head.key,
    )


def checkpoint(*, now: datetime) -> LedgerHead | None:
    """Number what is new, sign the tree's head and export it. None when nothing is new or another process is at it.

    Ids commit out of order, so "above the last id" would miss a late commit for ever. Taken instead is what lies
    between two marks of the database's own: transactions below the snapshot's xmin are over, and those from the last
    mark on are new.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_CHECKPOINT_LOCK])
            if not cursor.fetchone()[0]:
                return None
        last = LedgerHead.objects.order_by("-number").first()
        head = _next_head(last, now=now)
    _export_missing(upto=head or last)
    return head


def _next_head(last: LedgerHead | None, *, now: datetime) -> LedgerHead | None:
    tree = Tree(last.size, _split(bytes(last.peaks))) if last else Tree()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT pg_snapshot_xmin(snapshot)::text, coalesce(head.upto, '0'::xid8)::text,
                   coalesce(head.upto, '0'::xid8) > pg_snapshot_xmax(snapshot)
            FROM pg_current_snapshot() AS snapshot
            LEFT JOIN (SELECT upto FROM core_ledgerhead ORDER BY number DESC LIMIT 1) AS head ON true
            """
        )
        upto, since, counter_restarted = cursor.fetchone()
        window = "e.xid >= %(since)s::xid8 AND e.xid < %(upto)s::xid8"
        if counter_restarted:
            log.warning("ledger_counter_restarted", since=since, upto=upto)
            window = "true"
        cursor.execute(
            f"""
            INSERT INTO core_ledgerleaf (number, entry_id, hash)
            SELECT %(size)s - 1 + row_number() OVER (ORDER BY e.id), e.id, e.hash FROM core_ledgerentry e
            WHERE {window} AND NOT EXISTS (SELECT FROM core_ledgerleaf l WHERE l.entry_id = e.id)
            """,  # noqa: S608 - both windows are written above
            {"since": since, "upto": upto, "size": tree.size},
        )
        if not cursor.rowcount:
            return None
    for (digest,) in _stream("SELECT hash FROM core_ledgerleaf WHERE number >= %s ORDER BY number", [tree.size]):
        tree.add(bytes(digest))
    _keep_nodes(tree.size)
    head = LedgerHead(
        number=last.number + 1 if last else 1,
        size=tree.size,
        root=tree.root(),
        peaks=b"".join(tree.peaks),
        previous=hashlib.sha256(_message_of(last)).digest() if last else START,
        at=now,
        key=keyring.signing_key_id(),
    )
    head.signature = keyring.signing_key().sign(_message_of(head))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO core_ledgerhead (number, size, root, peaks, previous, at, key, signature, upto)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::xid8)
            """,
            [
                head.number,
                head.size,
                bytes(head.root),
                bytes(head.peaks),
                bytes(head.previous),
                head.at,
                head.key,
                bytes(head.signature),
                upto,
            ],
        )
    head._state.adding = False
    return head


def _split(peaks: bytes) -> list[bytes]:
    return [peaks[start : start + 32] for start in range(0, len(peaks), 32)]


def _keep_nodes(size: int) -> None:
    """Keep the roots of the subtrees that are full by now, so that no proof ever reads the whole tree."""
    level = 1
    while full := size >> HEIGHT * level:
        kept = LedgerNode.objects.filter(level=level).aggregate(last=Max("number"))["last"]
        for start in range(0 if kept is None else kept + 1, full, _BATCH >> HEIGHT):
            LedgerNode.objects.bulk_create(
                LedgerNode(level=level, number=number, hash=fold(_read_nodes(level - 1, number << HEIGHT, 1 << HEIGHT)))
                for number in range(start, min(start + (_BATCH >> HEIGHT), full))
            )
        level += 1


def _read_nodes(level: int, first: int, count: int) -> list[bytes]:
    """As `merkle.Reader`."""
    place = {"number__gte": first, "number__lt": first + count}
    if level:
        found = LedgerNode.objects.filter(level=level, **place).order_by("number").values_list("hash", flat=True)
        return [bytes(digest) for digest in found]
    leaves = LedgerLeaf.objects.filter(**place).order_by("number").values_list("hash", flat=True)
    return [leaf_hash(bytes(digest)) for digest in leaves]


# --- proofs


@dataclass(frozen=True)
class Inclusion:
    """That an entry is leaf `index` of the tree that `head` signs: `path` leads from the leaf to its root."""

    index: int
    path: tuple[bytes, ...]
    head: dict[str, Any]


def find_entry(chain: UUID, seq: int) -> LedgerEntry | None:
    """One entry of a chain. As for `read_chain`, naming its chain is what lets the web role see it."""
    with transaction.atomic():
        _open_chain(chain)
        return LedgerEntry.objects.filter(chain=chain, seq=seq).first()


def prove(entry: LedgerEntry) -> Inclusion | None:
    """The proof that an entry is under the first head that covers it, always the same one; None before the next
    checkpoint. One that does not lead to the head, as a kept node was altered, is an alarm and not handed out."""
    index = LedgerLeaf.objects.filter(entry_id=entry.pk).values_list("number", flat=True).first()
    if index is None:
        return None
    head = LedgerHead.objects.filter(size__gt=index).order_by("size")[0]
    path = prove_inclusion(_read_nodes, index=index, size=head.size)
    if root_of(leaf_hash(bytes(entry.hash)), index=index, size=head.size, path=path) != bytes(head.root).hex():
        log.error("ledger_proof_broken", index=index, head=head.number)
        return None
    return Inclusion(index=index, path=tuple(path), head=export_head(head))


def prove_extension(*, old: int, new: int) -> list[bytes] | None:
    """The proof that the ledger under head `new` begins with all that was under head `old`, by their numbers; None
    where there are no such heads."""
    sizes = dict(LedgerHead.objects.filter(number__in=[old, new]).values_list("number", "size"))
    if old not in sizes or new not in sizes or old > new:
        return None
    return prove_consistency(_read_nodes, old=sizes[old], size=sizes[new])


# --- exported heads


def heads_folder() -> Path:
    """Where signed heads are exported to. Copy it elsewhere: what protects them is that the database's owner cannot
    reach them."""
    return Path(settings.DATA_DIR) / "heads"


def _export_missing(*, upto: LedgerHead | None) -> None:
    """Write every head that has no file yet: a process may have stopped between committing and exporting."""
    if upto is None:
        return
    folder = heads_folder()
    folder.mkdir(parents=True, exist_ok=True)
    number = upto.number
    missing = []
    while number >= 1 and not _head_path(number).exists():
        missing.append(number)
        number -= 1
    for head in LedgerHead.objects.filter(number__in=missing).order_by("number"):
        document = export_head(head)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".head-")
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # made to be shown around
        os.replace(name, _head_path(head.number))


def export_head(head: LedgerHead) -> dict[str, Any]:
    """A head as it is shown around. Its signature covers the canonical JSON of everything else in it."""
    document: dict[str, Any] = json.loads(_message_of(head))
    return document | {"signature": bytes(head.signature).hex()}


def _head_path(number: int) -> Path:
    return heads_folder() / f"{number:06d}.json"


@dataclass(frozen=True)
class ExportedHead:
    number: int
    size: int
    root: str
    message: bytes


def _read_exported(problems: list[str]) -> dict[int, ExportedHead]:
    """The exported heads whose signature holds; what is wrong with the others is added to `problems`."""
    heads: dict[int, ExportedHead] = {}
    keys = keyring.verify_keys()
    for path in sorted(heads_folder().glob("*.json")):
        try:
            document: dict[str, Any] = json.loads(path.read_text())
            at = parse_datetime(document["at"])
            if at is None:
                raise ValueError("at")
            message = head_message(
                number=document["number"],
                size=document["size"],
                root=bytes.fromhex(document["root"]),
                previous=bytes.fromhex(document["previous"]),
                at=at,
                key=document["key"],
            )
            keys[document["key"]].verify(bytes.fromhex(document["signature"]), message)
            if path != _head_path(document["number"]):
                raise ValueError("number")
        except (KeyError, TypeError, ValueError, AttributeError, InvalidSignature):
            problems.append(f"The exported head {path.name} is not one that this ledger signed.")
            continue
        heads[document["number"]] = ExportedHead(document["number"], document["size"], document["root"], message)
    return heads


# --- verifying


@dataclass(frozen=True)
class Report:
    """What `verify` found. `unproven` entries came after the last head: what was removed among them cannot be shown."""

    entries: int
    heads: int
    unproven: int
    problems: list[str]

    @property
    def sound(self) -> bool:
        return not self.problems


_MOST_PROBLEMS = 100


def verify() -> Report:
    """Recompute every hash from what the database holds now, and compare with the heads that were exported.

    Runs over all entries without holding them: memory does not grow with the ledger.
    """
    problems: list[str] = []
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            # One snapshot for all passes: entries go on being added meanwhile.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        exported = _read_exported(problems)
        heads = list(LedgerHead.objects.order_by("number"))
        entries = _verify_chains(problems)
        size = _verify_tree(heads, exported, problems)
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"And {len(problems) - _MOST_PROBLEMS} more."]
    return Report(entries=entries, heads=len(heads), unproven=max(entries - size, 0), problems=problems)


def _verify_chains(problems: list[str]) -> int:
    """Each entry's hash is that of its columns, names its predecessor's, and no number of its chain is missing."""
    count = 0
    before_chain, before_seq, before_hash = "", 0, START
    sha256 = hashlib.sha256
    # The server lays the columns out as `entry_message` does; whether they hash to what was signed is decided here.
    for chain, seq, previous, digest, message in _stream(
        """
        SELECT chain::text, seq, previous, hash,
            'portal-entry-1' || E'\\n' || chain || E'\\n' || seq || E'\\n'
            || (extract(epoch FROM at) * 1000000)::bigint || E'\\n' || kind || E'\\n'
            || encode(previous, 'hex') || E'\\n' || commitments || E'\\n' || body
        FROM core_ledgerentry ORDER BY core_ledgerentry.chain, core_ledgerentry.seq
        """
    ):
        count += 1
        if chain != before_chain:
            before_chain, before_seq, before_hash = chain, 0, START
        if message is None or sha256(message.encode()).digest() != digest:
            problems.append(f"Entry {seq} of {chain} was edited: its hash is not that of what it says.")
        if seq != before_seq + 1:
            gap = f"{before_seq + 1}" if seq == before_seq + 2 else f"{before_seq + 1} to {seq - 1}"
            problems.append(f"Chain {chain} lacks entry {gap}.")
        elif previous != before_hash:
            problems.append(f"Entry {seq} of {chain} does not follow the entry before it.")
        before_seq, before_hash = seq, digest
    return count


def _verify_tree(heads: list[LedgerHead], exported: Mapping[int, ExportedHead], problems: list[str]) -> int:
    """The tree over the entries, in the order they were numbered in, comes to the root of every head. Returns its
    size."""
    roots: dict[int, list[tuple[str, bytes]]] = {}
    keys = keyring.verify_keys()
    previous = START
    for position, head in enumerate(heads, start=1):
        message = _message_of(head)
        try:
            keys[head.key].verify(bytes(head.signature), message)
        except (KeyError, InvalidSignature):
            problems.append(f"Head {head.number} in the database is not one that this ledger signed.")
        if head.number != position or bytes(head.previous) != previous:
            problems.append(f"Head {head.number} in the database does not follow the head before it.")
        previous = hashlib.sha256(message).digest()
        roots.setdefault(head.size, []).append((f"head {head.number}", bytes(head.root)))
        copy = exported.get(head.number)
        if copy is None and head.number != len(heads):  # the newest may be on its way to its file
            problems.append(f"Head {head.number} has no exported copy.")
        elif copy is not None and copy.message != message:
            problems.append(f"Head {head.number} differs from its exported copy.")
    known = {head.number for head in heads}
    for copy in exported.values():
        if copy.number not in known:
            problems.append(f"Head {copy.number} was exported and is gone from the database.")
        roots.setdefault(copy.size, []).append((f"exported head {copy.number}", bytes.fromhex(copy.root)))

    tree = Tree()
    awaited = iter(sorted(roots))
    next_size = next(awaited, None)
    for number, stored, actual in _stream(
        """
        SELECT l.number, l.hash, e.hash
        FROM core_ledgerleaf l LEFT JOIN core_ledgerentry e ON e.id = l.entry_id ORDER BY l.number
        """
    ):
        if number != tree.size:
            problems.append(f"The tree lacks leaf {tree.size}: the leaf after it is {number}.")
            return tree.size
        if actual is None:
            problems.append(f"The entry of leaf {number} was removed.")
            actual = stored
        elif actual != stored:
            problems.append(f"The entry of leaf {number} is not the one that was numbered.")
        tree.add(actual)
        if tree.size == next_size:
            root = tree.root()
            problems += [
                f"The tree of {tree.size} entries does not come to {name}." for name, r in roots[next_size] if r != root
            ]
            next_size = next(awaited, None)
    if next_size is not None:
        promised = max(roots)
        problems.append(f"The tail was removed: heads were signed over {promised} entries, {tree.size} are left.")
    return tree.size


def _stream(query: str, params: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
    """Rows of a query through a server-side cursor, in an open transaction."""
    connection.ensure_connection()
    with connection.connection.cursor(name="ledger", binary=True) as cursor:
        cursor.itersize = _BATCH
        cursor.execute(query, list(params))
        yield from cursor
