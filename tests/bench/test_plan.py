"""Plans against hand-written SQL of the same counts, in the same run. Prints ratios, asserts no time."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rights.datamap import DataMap, parse_documents, read_folder
from rights.kernel.retention import Rule
from rights.kernel.states import Kind
from rights.planning import Matter, make_plan
from rights.queries import active_rules
from rights.survey import survey
from tests.rights.zoo import RULES, Zoos

pytestmark = pytest.mark.slow
NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
CUTOFF = date(2021, 11, 23)
DATAMAP = Path(__file__).resolve().parents[1] / "datamaps" / "pkdd99"
CLIENTS = 200
MILLION = 1_000_000
ROUNDS = 5
BY_HAND = """
WITH owned AS (SELECT account_id FROM pkdd99.disp WHERE client_id = %(client)s AND type = 'OWNER')
SELECT 'trans', date >= %(cutoff)s, count(*), min(date), max(date) FROM pkdd99.trans
 WHERE account_id IN (SELECT account_id FROM owned) GROUP BY 2
UNION ALL SELECT 'loan', ends_on >= %(cutoff)s, count(*), min(ends_on), max(ends_on) FROM pkdd99.loan
 WHERE account_id IN (SELECT account_id FROM owned) GROUP BY 2
UNION ALL SELECT 'order', true, count(*), NULL, NULL FROM pkdd99."order"
 WHERE account_id IN (SELECT account_id FROM owned)
UNION ALL SELECT 'card', true, count(*), NULL, NULL FROM pkdd99.card
 WHERE disp_id IN (SELECT disp_id FROM pkdd99.disp WHERE client_id = %(client)s)
UNION ALL SELECT 'disp', true, count(*), NULL, NULL FROM pkdd99.disp WHERE client_id = %(client)s
UNION ALL SELECT 'client', true, count(*), NULL, NULL FROM pkdd99.client WHERE client_id = %(client)s
UNION ALL SELECT 'account', true, count(*), NULL, NULL FROM owned
"""
ALL_BY_HAND = """
WITH owned AS (SELECT client_id, account_id FROM pkdd99.disp WHERE type = 'OWNER'),
owners AS (SELECT account_id, count(DISTINCT client_id) > 1 AS shared FROM owned GROUP BY 1),
loans AS (SELECT client_id, loan_id, status, ends_on, shared
            FROM pkdd99.loan JOIN owned USING (account_id) JOIN owners USING (account_id)),
late AS (SELECT DISTINCT client_id FROM loans WHERE status IN ('B', 'C', 'D'))
SELECT 'trans' AS c, client_id, false AS blocked, date >= %(cutoff)s AS held, shared, count(*), min(date), max(date)
  FROM pkdd99.trans JOIN owned USING (account_id) JOIN owners USING (account_id) GROUP BY 2, 4, 5
UNION ALL SELECT 'loan', client_id, late.client_id IS NOT NULL, ends_on >= %(cutoff)s, shared, count(*), min(ends_on),
       max(ends_on)
  FROM loans LEFT JOIN late USING (client_id) GROUP BY 2, 3, 4, 5
UNION ALL SELECT 'order', client_id, false, false, shared, count(*), NULL, NULL
  FROM pkdd99."order" JOIN owned USING (account_id) JOIN owners USING (account_id) GROUP BY 2, 5
UNION ALL SELECT 'card', client_id, false, false, false, count(*), NULL, NULL
  FROM pkdd99.card JOIN pkdd99.disp USING (disp_id) GROUP BY 2
UNION ALL SELECT 'disp', client_id, late.client_id IS NOT NULL, true, false, count(*), NULL, NULL
  FROM pkdd99.disp LEFT JOIN late USING (client_id) GROUP BY 2, 3
UNION ALL SELECT 'client', client_id, late.client_id IS NOT NULL, true, false, count(*), NULL, NULL
  FROM pkdd99.client LEFT JOIN late USING (client_id) GROUP BY 2, 3
UNION ALL SELECT 'account', client_id, late.client_id IS NOT NULL, true, shared, count(*), NULL, NULL
  FROM owned JOIN owners USING (account_id) LEFT JOIN late USING (client_id) GROUP BY 2, 3, 5
"""
As = Callable[[str], AbstractContextManager[None]]
Bank = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def data_map() -> DataMap:
    return parse_documents(read_folder(DATAMAP))


@pytest.fixture
def rules(db: None, django_as: As) -> tuple[Rule, ...]:
    with django_as("worker"):
        return active_rules()


def best(act: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    """Seconds of the best of some rounds, after one that warms."""
    act()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        act()
        times.append(time.perf_counter() - begun)
    return min(times)


def test_one_clients_plan_against_sql_by_hand(
    bank: Bank, data_map: DataMap, rules: tuple[Rule, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    def plan() -> None:
        for client in range(2, CLIENTS + 2):
            matter = Matter(kind=Kind.DELETION, identities={"client_id": str(client)})
            assert not make_plan(matter, data_map=data_map, rules=rules, now=NOW, wait=30).unknown

    def by_hand() -> None:
        for client in range(2, CLIENTS + 2):
            bank.execute(BY_HAND.encode(), {"client": client, "cutoff": CUTOFF}).fetchall()

    floor, ours = best(by_hand, rounds=1) / CLIENTS, best(plan, rounds=1) / CLIENTS
    with capsys.disabled():
        print(f"\nplan of one client: {ours * 1000:.1f} ms, {ours / floor:.1f} x SQL by hand")


def test_all_clients_plans_against_sql_by_hand(
    bank: Bank, data_map: DataMap, rules: tuple[Rule, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    bank.execute("ANALYZE")

    def lines() -> list[str]:
        return list(survey(kind=Kind.DELETION, identity="client_id", data_map=data_map, rules=rules, now=NOW))

    floor = best(lambda: bank.execute(ALL_BY_HAND.encode(), {"cutoff": CUTOFF}).fetchall())
    ours = best(lines)
    with capsys.disabled():
        print(
            f"\nplans of {len(lines())} clients as JSON lines: {ours * 1000:.0f} ms,"
            f" {ours / floor:.2f} x one SQL by hand ({floor * 1000:.0f} ms)"
        )


@pytest.mark.parametrize("account", [{"class": "KYC"}, {}], ids=["kept whatever hangs on it", "kept for its children"])
def test_a_person_with_a_million_transactions_against_the_bare_aggregate(
    account: dict[str, str], make_zoo: Zoos, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = make_zoo(
        f"""
        CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE);
        CREATE TABLE account (id int PRIMARY KEY, person int REFERENCES person);
        CREATE TABLE trans (id int PRIMARY KEY, account int NOT NULL REFERENCES account, day date NOT NULL, note text);
        INSERT INTO person SELECT n, n::text FROM generate_series(1, 1000) n;
        INSERT INTO account SELECT n, (n + 1) / 2 FROM generate_series(1, 2000) n;
        INSERT INTO trans SELECT n, CASE WHEN n <= {MILLION} THEN 13 + n % 2 ELSE n % 2000 + 1 END,
               date '2019-01-01' + n % 2800, 'note' FROM generate_series(1, {MILLION} * 5 / 4) n;
        CREATE INDEX ON account (person); CREATE INDEX ON trans (account); ANALYZE;
        """,
        {
            "person": {"fields": ["id", "account, is account_no"], "class": "KYC"},
            "account": {"fields": ["id", "person, <- person.id"], **account},
            "trans": {"fields": ["id", "account, <- account.id", "day"], "class": "TXN", "trigger": "day"},
        },
    )
    by_hand = """
    SELECT day >= %s AS held, count(*), min(day), max(day) FROM zoo.trans WHERE account = ANY (
        ARRAY(SELECT a.id FROM zoo.account a JOIN zoo.person p ON p.id = a.person WHERE p.account = '7')) GROUP BY 1
    """
    floor = best(lambda: zoo.sql(by_hand, [CUTOFF]))
    ours = best(lambda: zoo.plan({"account_no": "7"}, wait=60))
    plan = zoo.plan({"account_no": "7"}, wait=60)
    with capsys.disabled():
        print(
            f"\nplan of a person with {plan.total} records: {ours * 1000:.0f} ms,"
            f" {ours / floor:.2f} x the bare aggregate ({floor * 1000:.0f} ms); {len(RULES)} rules"
        )
