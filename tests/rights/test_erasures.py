"""A backup brings back what was erased since; the guard erases it again before the database may serve."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from io import StringIO
from operator import itemgetter
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command

from portal.core import clock as portal_clock
from portal.core import keyring
from portal.core.models import LedgerEntry
from rights.actions.erasures import forget_cleared, log_of, replay
from rights.actions.keys import from_plain, keys_to_json, to_plain
from rights.connectors.base import Numbers
from rights.datamap import load_live_map
from rights.models import Batch, Gate, Request
from tests.rights.shop import NOW, Shop, State

pytestmark = pytest.mark.role("worker")
LATER = NOW + timedelta(minutes=30)
TABLES = ("customer", "orders", "visit")


@pytest.fixture
def at_that_time() -> Iterator[None]:
    portal_clock.travel_to(LATER + timedelta(days=1))
    yield
    portal_clock.travel_back()


@pytest.fixture
def erased(shop: Shop) -> Request:
    """Made a backup, then erased: five visits and two orders; a customer's file and one order are held."""
    shop.add_customer(closed_on=date(2020, 1, 31))
    shop.add_orders(date(2020, 1, 31), date(2020, 2, 29), date(2026, 3, 31))
    shop.add_visits(5)
    shop.add_customer(2, of=shop.other)
    shop.sql("INSERT INTO shop.visit VALUES (100, 2, 'somebody else''s')")
    for name in TABLES:
        shop.sql(f"DROP TABLE IF EXISTS backup_{name}; CREATE TABLE backup_{name} AS TABLE shop.{name}")
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
    assert request.state == State.CLOSED
    return request


def restore(shop: Shop) -> None:
    for name in reversed(TABLES):
        shop.sql(f"DELETE FROM shop.{name}")
    for name in TABLES:
        shop.sql(f"INSERT INTO shop.{name} SELECT * FROM backup_{name}")


def run(*arguments: str) -> list[dict[str, Any]]:
    out = StringIO()
    call_command("restore_guard", *arguments, "--json", stdout=out)
    found: list[dict[str, Any]] = json.loads(out.getvalue())
    return found


@pytest.mark.usefixtures("at_that_time")
def test_what_a_backup_brings_back_is_erased_again_and_nothing_else(shop: Shop, erased: Request) -> None:
    restore(shop)
    assert (shop.count("visit"), shop.count("orders"), shop.count("customer")) == (6, 3, 2)
    made = (NOW + timedelta(minutes=1)).isoformat()
    assert sorted(run("shop", "--made", made), key=itemgetter("collection")) == [
        {"collection": "shop.orders", "logged": 2, "erased": 2, "flagged": 0},
        {"collection": "shop.visit", "logged": 5, "erased": 5, "flagged": 0},
    ]
    assert shop.sql("SELECT visit_id FROM shop.visit") == [(100,)]
    assert shop.sql("SELECT paid_on FROM shop.orders") == [(date(2026, 3, 31),)]
    assert shop.count("customer") == 2
    # Again, and nothing is left to do.
    assert sum(item["erased"] for item in run("shop", "--made", made)) == 0


def test_a_key_that_came_anew_before_the_backup_is_not_the_one_that_was_erased(shop: Shop, erased: Request) -> None:
    """A shop that numbers anew: the visit with the number of an erased one was there when the backup was made."""
    shop.sql("INSERT INTO shop.visit VALUES (1, 2, 'a new one')")
    done = replay("shop", data_map=load_live_map(), since=LATER + timedelta(hours=1), now=LATER + timedelta(hours=2))
    assert done == []
    assert shop.count("visit", "visit_id = 1") == 1


def test_a_replay_is_in_the_ledger(shop: Shop, erased: Request) -> None:
    restore(shop)
    replay("shop", data_map=load_live_map(), since=NOW, now=LATER)
    entry = LedgerEntry.objects.get(chain=Gate.objects.get(pk="shop").chain)
    assert entry.kind == "backup_replayed"
    assert entry.body["erased"] == {"shop.orders": 2, "shop.visit": 5}


@pytest.mark.usefixtures("at_that_time")
def test_what_is_wrong_is_said_and_the_end_is_not_0(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="no system shopp; it has shop"):
        run("shopp", "--made", "2026-11-20")
    with pytest.raises(CommandError, match="no moment"):
        run("shop", "--made", "yesterday")
    with pytest.raises(CommandError, match="not come yet"):
        run("shop", "--made", "2031-01-01")
    with pytest.raises(CommandError, match="--made"):
        run("shop")
    monkeypatch.setenv("SYSTEM_SHOP_URL", "postgresql://127.0.0.1:1/nothing")
    with pytest.raises(CommandError, match="must not serve yet"):
        run("shop", "--made", "2026-11-20")


def test_the_log_holds_digests_only_and_forgets_when_backups_are_clear(shop: Shop, erased: Request) -> None:
    batches = Batch.objects.filter(step__request=erased)
    assert batches.filter(keys__isnull=False).count() == 0
    assert sum(len(bytes(batch.erased or b"")) for batch in batches) == 7 * keyring.DIGEST_BYTES
    # The shop's map states no backup days, so nobody knows when its backups are clear.
    assert forget_cleared(data_map=load_live_map(), now=LATER + timedelta(days=3000)) == 0
    assert forget_cleared(data_map=load_live_map(), now=LATER + timedelta(days=3651)) == batches.count()
    assert batches.filter(erased__isnull=False).count() == 0


def test_a_digest_is_of_this_collection_and_this_key_under_the_portals_own() -> None:
    one = log_of([(1,)], collection="shop.visit")["erased"]
    version = keyring.current_version("index")
    assert [one] == keyring.digests("erased shop.visit", [b"[1]"], version=version)
    assert one == log_of([(1,)], collection="shop.visit")["erased"]
    assert len({bytes(one), log_of([(2,)], collection="shop.visit")["erased"],
                log_of([(1,)], collection="shop.orders")["erased"],
                log_of([("1",)], collection="shop.visit")["erased"]}) == 4  # fmt: skip


def test_keys_that_are_one_number_each_are_written_as_the_same_keys_one_by_one() -> None:
    keys = [(7,), (-3,), (10**12,)]
    numbers = Numbers([7, -3, 10**12])
    assert (list(numbers), list(numbers[1:]), numbers[0]) == (keys, keys[1:], keys[0])
    assert json.loads(keys_to_json(numbers)) == json.loads(keys_to_json(keys)) == [[7], [-3], [10**12]]
    assert log_of(numbers, collection="shop.visit") == log_of(keys, collection="shop.visit")


def test_a_key_is_the_same_in_every_time_zone_and_comes_back_as_it_was() -> None:
    moment = datetime(2026, 11, 23, 2, tzinfo=UTC)
    there = moment.astimezone(timezone(timedelta(hours=8)))
    assert to_plain((there,)) == to_plain((moment,))
    key = (7, "x", moment, date(2026, 2, 28), Decimal("1.50"), UUID(int=5), b"\x00\xff", None)
    assert from_plain([to_plain(key)]) == [key]
