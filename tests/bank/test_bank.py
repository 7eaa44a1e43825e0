"""A real bank as an eighth system: what its README says of each table, counted by SQL that shares nothing with us."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from accounts.identities import set_identity
from accounts.models import User
from rights.actions import fulfil, hold, review
from rights.actions.datamap import load_map
from rights.actions.submit import start_draft, submit
from rights.kernel.states import Kind, State
from rights.models import Hold, Request
from tests.unpacking import open_package, read_manifest, read_tables

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
DATAMAP = Path(__file__).resolve().parents[1] / "datamaps" / "pkdd99"
Connection = psycopg.Connection[tuple[Any, ...]]
As = Callable[[str], AbstractContextManager[None]]

OWNED = "SELECT account_id FROM pkdd99.disp WHERE client_id = %(client)s AND type = 'OWNER'"
MINE = {
    "client": "client_id = %(client)s",
    "disp": "client_id = %(client)s",
    "account": f"account_id IN ({OWNED})",
    "loan": f"account_id IN ({OWNED})",
    "order": f"account_id IN ({OWNED})",
    "trans": f"account_id IN ({OWNED})",
    "card": "disp_id IN (SELECT disp_id FROM pkdd99.disp WHERE client_id = %(client)s)",
}
# As of 2026-11-23, five years: a transaction of 2021-11-23 is held through today, one of the day before has lapsed.
FIRST_HELD = date(2021, 11, 23)


def count(bank: Connection, table: str, client: int, extra: str = "true") -> int:
    query = f'SELECT count(*) FROM pkdd99."{table}" WHERE {MINE[table]} AND {extra}'
    row = bank.execute(query.encode(), {"client": client}).fetchone()
    assert row is not None
    return int(row[0])


def counts(bank: Connection, client: int) -> dict[str, int]:
    return {table: count(bank, table, client) for table in MINE}


def totals(bank: Connection) -> dict[str, int]:
    rows = {}
    for table in MINE:
        row = bank.execute(f'SELECT count(*) FROM pkdd99."{table}"'.encode()).fetchone()
        assert row is not None
        rows[table] = int(row[0])
    return rows


@pytest.fixture
def ask(db: None, bank: Connection, django_as: As) -> Callable[[Kind, int], Request]:
    """File and, where a person has to, approve a request of a client of the bank; worked to where it stops."""

    def ask(kind: Kind, client: int) -> Request:
        with django_as("owner"):
            load_map(folder=DATAMAP, name="pkdd99", now=NOW)
            user = User.objects.create_user(account_no=f"9{client:05}", password=None, display_name="Klient", now=NOW)
            set_identity(user=user, kind="client_id", value=str(client), verified_at=NOW)
            reviewer = User.objects.create_user(
                account_no=f"8{client:05}", password=None, display_name="Reviewer", role="support", now=NOW
            )
        with django_as("worker"):
            draft = start_draft(subject=user, filed_by=user, kind=kind, details={}, now=NOW)
            request = submit(request_id=draft.pk, now=NOW)
            fulfil.advance(request_id=request.pk, now=NOW)
            request.refresh_from_db()
            if request.state == State.REVIEW:
                plan = review.live_plan(request, now=NOW)
                review.approve(request, reviewer=reviewer, key="HOLD.AML", text="", lines={}, plan=plan, now=NOW)
                fulfil.advance(request_id=request.pk, now=NOW + timedelta(minutes=15))
            request.refresh_from_db()
        return request

    return ask


def client_where(bank: Connection, condition: str) -> int:
    """The first client for whom the condition holds, so that a test names what it needs and not a number."""
    row = bank.execute(f"SELECT min(client_id) FROM pkdd99.client c WHERE {condition}".encode()).fetchone()
    assert row is not None
    assert row[0] is not None
    return int(row[0])


OWNS_LOAN = (
    "EXISTS (SELECT 1 FROM pkdd99.loan l JOIN pkdd99.disp d USING (account_id)"
    " WHERE d.client_id = c.client_id AND d.type = 'OWNER' AND l.status IN ({}))"
)
HAS_BOTH_KINDS_OF_TRANSACTIONS = (
    "EXISTS (SELECT 1 FROM pkdd99.trans t JOIN pkdd99.disp d USING (account_id) WHERE d.client_id = c.client_id"
    " AND d.type = 'OWNER' GROUP BY 1 HAVING min(t.date) < '2021-11-23' AND max(t.date) >= '2021-11-23')"
)


def test_a_deletion_does_to_each_table_what_the_readme_says(
    bank: Connection, ask: Callable[[Kind, int], Request]
) -> None:
    client = client_where(bank, f"{OWNS_LOAN.format(chr(39) + 'A' + chr(39))} AND {HAS_BOTH_KINDS_OF_TRANSACTIONS}")
    before, all_before = counts(bank, client), totals(bank)
    held = count(bank, "trans", client, f"date >= '{FIRST_HELD}'")

    request = ask(Kind.DELETION, client)

    assert request.state == State.CLOSED
    assert before["order"] + before["card"] > 0
    assert counts(bank, client) == {**before, "order": 0, "card": 0, "trans": held}
    gone = before["order"] + before["card"] + before["trans"] - held
    assert sum(all_before.values()) - sum(totals(bank).values()) == gone, "somebody else's rows are gone"


def test_held_records_carry_their_last_day_and_go_the_day_after(
    bank: Connection, ask: Callable[[Kind, int], Request], django_as: As
) -> None:
    client = client_where(bank, HAS_BOTH_KINDS_OF_TRANSACTIONS)
    request = ask(Kind.DELETION, client)
    with django_as("worker"):
        first = Hold.objects.filter(request=request, collection="pkdd99.trans").order_by("last_day").first()
        assert first is not None
        assert first.last_day is not None
        expected = bank.execute(
            f"SELECT (min(date) + interval '5 years')::date FROM pkdd99.trans WHERE {MINE['trans']}".encode(),
            {"client": client},
        ).fetchone()
        assert (first.last_day,) == expected
        last_morning = datetime.combine(first.last_day, NOW.timetz())
        before = count(bank, "trans", client)
        assert hold.schedule_releases(now=last_morning) == []
        next_morning = last_morning + timedelta(days=1)
        assert hold.schedule_releases(now=next_morning) == [request]
        fulfil.advance(request_id=request.pk, now=next_morning)
    assert count(bank, "trans", client) == before - first.count


@pytest.mark.parametrize("status", ["B", "C", "D"])
def test_an_outstanding_loan_blocks_loan_and_identity_and_nothing_else(
    bank: Connection, ask: Callable[[Kind, int], Request], status: str
) -> None:
    client = client_where(bank, OWNS_LOAN.format(f"'{status}'"))
    before = counts(bank, client)
    held = count(bank, "trans", client, f"date >= '{FIRST_HELD}'")

    request = ask(Kind.DELETION, client)

    assert request.state == State.DEFERRED
    assert counts(bank, client) == {**before, "order": 0, "card": 0, "trans": held}


def test_a_disponents_request_touches_no_record_of_the_account(
    bank: Connection, ask: Callable[[Kind, int], Request]
) -> None:
    client = client_where(
        bank,
        "EXISTS (SELECT 1 FROM pkdd99.disp d WHERE d.client_id = c.client_id AND d.type = 'DISPONENT')"
        " AND NOT EXISTS (SELECT 1 FROM pkdd99.disp d WHERE d.client_id = c.client_id AND d.type = 'OWNER')",
    )
    before = totals(bank)
    request = ask(Kind.DELETION, client)
    assert request.state == State.CLOSED
    assert totals(bank) == {**before, "card": before["card"] - count(bank, "card", client)}


def test_an_access_package_holds_exactly_the_clients_rows(
    bank: Connection, ask: Callable[[Kind, int], Request], django_as: As
) -> None:
    client = client_where(bank, HAS_BOTH_KINDS_OF_TRANSACTIONS)

    request = ask(Kind.ACCESS, client)

    with django_as("worker"):
        package = open_package(request)
    with package as archive:
        manifest = read_manifest(archive)
        tables = read_tables(archive)
        rows = {name: tables[f"pkdd99.{name}"] for name in MINE}
        as_json = archive.read("data/pkdd99.trans.jsonl").decode().splitlines()
    assert {name: len(found) for name, found in rows.items()} == counts(bank, client)
    assert len(as_json) == len(rows["trans"])
    expected = bank.execute(
        f"SELECT trans_id FROM pkdd99.trans WHERE {MINE['trans']} ORDER BY 1".encode(), {"client": client}
    ).fetchall()
    assert [int(row["trans_id"]) for row in rows["trans"]] == [number for (number,) in expected]
    columns = {
        resource["name"]: {field["name"] for field in resource["schema"]["fields"]}
        for resource in manifest["resources"]
        if resource["type"] == "table"
    }
    for name in MINE:
        live = bank.execute(
            b"SELECT column_name FROM information_schema.columns WHERE table_schema = 'pkdd99' AND table_name = %s",
            [name],
        ).fetchall()
        assert columns[f"pkdd99.{name}"] == {column for (column,) in live}
