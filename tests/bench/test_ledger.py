"""The ledger against bare INSERTs of the same rows in the same run, and its verifying and proving. Prints figures,
asserts no time but the one that is promised: 100,000 entries verified a second."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection, connections
from psycopg import conninfo

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
    """Calls a second of that many threads together. `work` makes, in its thread, what is called again and again."""
    ready = threading.Barrier(writers + 1)
    ends: list[float] = [0.0]
    counts = [0] * writers

    def run(number: int) -> None:
        act = work()
        act()
        ready.wait()
        while time.perf_counter() < ends[0]:
            act()
            counts[number] += 1
        connections.close_all()

    threads = [threading.Thread(target=run, args=[number]) for number in range(writers)]
    for thread in threads:
        thread.start()
    ends[0] = time.perf_counter() + 3600
    ready.wait()
    begun = time.perf_counter()
    ends[0] = begun + SECONDS
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)


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


def own_chains(stack: Stack) -> Callable[[], Callable[[], None]]:
    """Each writer appends to chains of its own, as unrelated requests do."""

    def work() -> Callable[[], None]:
        parts: dict[str, Any] = conninfo.conninfo_to_dict(stack.url_of("worker"))
        wrapper = connections.create_connection("default")
        wrapper.settings_dict = {**wrapper.settings_dict, "USER": parts["user"], "PASSWORD": parts["password"]}
        connections["default"] = wrapper
        state: dict[str, Any] = {"left": 0}

        def act() -> None:
            if not state["left"]:
                state.update(chain=uuid4(), left=CHAIN)
            state["left"] -= 1
            ledger.append(chain=state["chain"], kind="submitted", body=BODY, now=NOW)

        return act

    return work


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
    ours = rate(own_chains(stack), writers=writers)
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
        begun = time.perf_counter()
        report = ledger.verify()
        seconds = time.perf_counter() - begun
    assert report.sound
    assert report.entries == ENTRIES
    with capsys.disabled():
        print(
            f"\nledger of {ENTRIES:,} entries: verify {ENTRIES / seconds:,.0f}/s, one checkpoint over all"
            f" {ENTRIES / sealed:,.0f}/s, a proof {proved * 1000:.1f} ms"
        )
    assert ENTRIES / seconds >= 100_000
    connection.close()
