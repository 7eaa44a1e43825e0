"""Erasing a person's million rows by the whole protocol, against the bare DELETE of as many in the same run."""

import os
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from accounts.models import User
from portal.core import clock
from rights.actions import fulfil, review, steps
from rights.actions.datamap import store_documents
from rights.actions.submit import start_draft, submit
from rights.connectors.sql import SqlConnector
from rights.kernel.states import Kind, State
from rights.models import Batch
from tests.bench.test_fulfil import DATASET, GOVERNANCE, As
from tests.stack import Stack

pytestmark = pytest.mark.slow
MILLION = 1_000_000
TABLES = f"""
CREATE SCHEMA quick;
CREATE TABLE quick.person (id int PRIMARY KEY, account text UNIQUE, name text);
CREATE TABLE quick.visit (id int PRIMARY KEY, person int NOT NULL REFERENCES quick.person, page text);
INSERT INTO quick.person SELECT n, (300000 + n)::text, 'name ' || n FROM generate_series(1, 3) n;
INSERT INTO quick.visit SELECT n, n % 3 + 1, 'page ' || n FROM generate_series(1, {MILLION} * 3) n;
CREATE INDEX ON quick.visit (person);
VACUUM ANALYZE quick.visit;
"""


def test_a_million_rows_by_the_protocol_against_the_bare_delete(
    stack: Stack, django_as: As, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = stack.make_database("bench_erase")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in TABLES.strip().split(";\n"):
            connection.execute(statement.rstrip(";").encode())
        begun = time.perf_counter()
        connection.execute("DELETE FROM quick.visit WHERE person = 2")
        floor = time.perf_counter() - begun
        connection.execute("VACUUM quick.visit")
    monkeypatch.setenv("SYSTEM_QUICK_URL", url)
    acting: list[float] = []
    real = SqlConnector.erase

    def timed(self: SqlConnector, *args: Any, **kwargs: Any) -> int:
        begun = time.perf_counter()
        count = real(self, *args, **kwargs)
        acting.append(time.perf_counter() - begun)
        return count

    monkeypatch.setattr(SqlConnector, "erase", timed)
    # The thread that renews a lease signs in as this process does, which is no worker.
    monkeypatch.setattr(steps, "LEASE", timedelta(hours=1))
    with django_as("owner"):
        store_documents({"governance.yml": GOVERNANCE, "datasets/quick.yml": DATASET}, name="quick", now=clock.now())
        person, reviewer = (
            User.objects.create_user(
                account_no=number,
                password=None,
                display_name="人",
                role=role,
                email=f"{number}@m.example",
                now=clock.now(),
            )
            for number, role in (("300001", "subject"), ("900001", "support"))
        )
    with django_as("worker"):
        now = clock.now()
        draft = start_draft(subject=person, filed_by=person, kind=Kind.DELETION, details={}, now=now)
        request = submit(request_id=draft.pk, now=now)
        fulfil.advance(request_id=request.pk, now=now)
        request.refresh_from_db()
        plan = review.live_plan(request, now=now)
        review.approve(request, reviewer=reviewer, key="OK.PURPOSE_END", text="", lines={}, plan=plan, now=now)
        begun = time.perf_counter()
        fulfil.advance(request_id=request.pk, now=now + timedelta(hours=1))
        whole = time.perf_counter() - begun
        request.refresh_from_db()
        assert request.state == State.CLOSED, list(request.steps.values_list("collection", "state", "done", "error"))
        batches = Batch.objects.count()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT person, count(*) FROM quick.visit GROUP BY 1").fetchall() == [(3, MILLION)]
    with capsys.disabled():
        print(
            f"\na million rows in {batches} batches: acting {sum(acting):.1f} s, {sum(acting) / floor:.2f} x the bare"
            f" DELETE ({floor:.1f} s), longest {max(acting) * 1000:.0f} ms; the whole protocol {whole:.1f} s,"
            f" {whole / floor:.2f} x; {os.cpu_count()} cores"
        )
