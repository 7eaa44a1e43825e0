"""The ledger against bare INSERTs of the same rows in the same run, and its verifying and proving. Prints figures and
asserts no time: 100,000 entries verified a second are promised where the machine has nothing else to do."""

import multiprocessing
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection, connections, transaction

from portal.core import ledger
from portal.core.models import LedgerEntry
from tests.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.role("worker")]
NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
SECONDS = 4.0
WRITERS = (1, 8, 32)
ENTRIES = 300_000
CHAIN = 20
BODY: dict[str, ledger.Json] = {"kind": "deletion", "records": 1846, "to": "checking"}
As = Callable[[str], AbstractContextManager[None]]


def rate(work: Callable[[], Callable[[], None]], *, writers: int) -> float:
    """Calls a second of that many processes together. `work` makes, in its process, what is called again and again."""
    forks = multiprocessing.get_context("fork")
    ready, counts = forks.Barrier(writers + 1), forks.Queue()

    def run() -> None:
        act = work()
        act()
        ready.wait()
        ends, count = time.perf_counter() + SECONDS, 0
        while time.perf_counter() < ends:
            act()
            count += 1
        counts.put(count)

    connections.close_all()
    processes = [forks.Process(target=run) for _ in range(writers)]
    for process in processes:
        process.start()
    ready.wait()
    done: int = sum(counts.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    return done / SECONDS


def bare(stack: Stack) -> Callable[[], Callable[[], None]]:
    """The floor: one INSERT of such a row into a table with the same columns and indexes, each committed, no trigger
    and no lock."""

    def work() -> Callable[[], None]:
        link = psycopg.connect(stack.url_of("superuser"), autocommit=True, prepare_threshold=1)
        digest = sha256(b"floor").digest()
        statement = (
            "INSERT INTO bench_floor (chain, seq, kind, at, body, commitments, previous, hash)"
            " VALUES (%s, 1, 'submitted', %s, %s, '{}', %s, %s)"
        )

        def act() -> None:
            link.execute(statement, [uuid4(), NOW, '{"kind":"deletion","records":1846}', digest, digest])

        return act

    return work


def own_chains() -> Callable[[], None]:
    """Each writer appends to chains of its own, as unrelated requests do."""
    state: dict[str, Any] = {"left": 0}

    def act() -> None:
        if not state["left"]:
            state.update(chain=uuid4(), left=CHAIN)
        state["left"] -= 1
        ledger.append(chain=state["chain"], kind="submitted", body=BODY, now=NOW)

    return act


@pytest.mark.parametrize("writers", WRITERS)
def test_appends_against_bare_inserts(
    db: None, stack: Stack, owner_sql: Callable[..., Any], writers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    owner_sql("DROP TABLE IF EXISTS bench_floor", role="superuser")
    owner_sql(
        "CREATE TABLE bench_floor (id bigserial PRIMARY KEY, chain uuid, seq int, kind text, at timestamptz, body text,"
        " commitments text, previous bytea, hash bytea, xid xid8 NOT NULL DEFAULT pg_current_xact_id(),"
        " UNIQUE (chain, seq)); CREATE INDEX ON bench_floor (xid)",
        role="superuser",
    )
    floor = rate(bare(stack), writers=writers)
    ours = rate(own_chains, writers=writers)
    owner_sql("DROP TABLE bench_floor", role="superuser")
    with capsys.disabled():
        print(
            f"\nledger, {writers} writers: {ours:,.0f} appends/s, bare INSERT {floor:,.0f}/s,"
            f" {ours / floor:.2f} of it ({os.cpu_count()} cores)"
        )


@pytest.fixture
def many(db: None, stack: Stack) -> None:
    """A ledger of many entries, written at once and hashed as `append` would."""
    body, rows = '{"kind":"deletion","records":1846,"to":"checking"}', []
    for _ in range(ENTRIES // CHAIN):
        chain, previous = str(uuid4()), ledger.START
        for seq in range(1, CHAIN + 1):
            message = ledger.entry_message(
                chain=chain, seq=seq, at=ledger.micros(NOW), kind="submitted", previous=previous.hex(),
                commitments="{}", body=body,
            )  # fmt: skip
            digest = sha256(message).digest()
            rows.append((chain, seq, "submitted", NOW, body, "{}", previous, digest))
            previous = digest
    with psycopg.connect(stack.url_of("superuser")) as link:
        link.execute("SET session_replication_role = replica")
        link.execute("ALTER TABLE core_ledgerentry ALTER COLUMN xid SET DEFAULT pg_current_xact_id()")
        columns = "chain, seq, kind, at, body, commitments, previous, hash"
        with link.cursor().copy(f"COPY core_ledgerentry ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        link.execute("ALTER TABLE core_ledgerentry ALTER COLUMN xid DROP DEFAULT")
    with psycopg.connect(stack.url_of("superuser"), autocommit=True) as link:
        link.execute("ANALYZE core_ledgerentry")


def read_and_hash() -> float:
    """The floor of verifying: every row read, its body hashed once. Seconds."""
    begun = time.perf_counter()
    with transaction.atomic(), connection.connection.cursor(name="floor", binary=True) as cursor:
        cursor.itersize = 10_000
        cursor.execute("SELECT chain, seq, previous, hash, body FROM core_ledgerentry ORDER BY chain, seq")
        for *_, body in cursor:
            sha256(body.encode()).digest()
    return time.perf_counter() - begun


def test_verifying_and_proving(many: None, django_as: As, capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.perf_counter()
    assert ledger.checkpoint(now=NOW)
    sealed = time.perf_counter() - begun
    chains = list(LedgerEntry.objects.order_by("id").values_list("chain", "seq")[:: ENTRIES // 200])
    begun = time.perf_counter()
    for chain, seq in chains:
        entry = ledger.find_entry(UUID(str(chain)), seq)
        assert entry
        assert ledger.prove(entry)
    proved = (time.perf_counter() - begun) / len(chains)
    with django_as("owner"):
        floor = read_and_hash()
        begun, used = time.perf_counter(), time.process_time()
        report = ledger.verify()
        seconds, busy = time.perf_counter() - begun, time.process_time() - used
    assert report.sound
    assert report.entries == ENTRIES
    with capsys.disabled():
        print(
            f"\nledger of {ENTRIES:,} entries: verify {ENTRIES / seconds:,.0f}/s ({busy / seconds:.0%} computing),"
            f" {seconds / floor:.1f} x reading and hashing each once; one checkpoint over all"
            f" {ENTRIES / sealed:,.0f}/s, a proof {proved * 1000:.1f} ms"
        )
