"""A plan of the bank's clients against one hand-written statement with the same counts. Prints ratios, asserts none."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rights.datamap import parse_documents, read_folder
from rights.kernel.states import Kind
from rights.planning import Matter, make_plan
from rights.queries import active_rules

pytestmark = pytest.mark.slow
NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
DATAMAP = Path(__file__).resolve().parents[1] / "datamaps" / "pkdd99"
CLIENTS = 200
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


def test_one_clients_plan_against_sql_by_hand(
    db: None,
    bank: "psycopg.Connection[tuple[Any, ...]]",
    django_as: Callable[[str], AbstractContextManager[None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    data_map = parse_documents(read_folder(DATAMAP))
    with django_as("worker"):
        rules = active_rules()

    def plan(client: int) -> None:
        matter = Matter(kind=Kind.DELETION, identities={"client_id": str(client)})
        assert not make_plan(matter, data_map=data_map, rules=rules, now=NOW, wait=30).unknown

    def by_hand(client: int) -> None:
        bank.execute(BY_HAND.encode(), {"client": client, "cutoff": date(2021, 11, 23)}).fetchall()

    plan(2)
    times = {}
    for name, act in (("by hand", by_hand), ("plan", plan)):
        begun = time.perf_counter()
        for client in range(2, CLIENTS + 2):
            act(client)
        times[name] = (time.perf_counter() - begun) / CLIENTS
    with capsys.disabled():
        floor = times["by hand"]
        print(f"\nplan of one client: {times['plan'] * 1000:.1f} ms, {times['plan'] / floor:.1f} x SQL by hand")
