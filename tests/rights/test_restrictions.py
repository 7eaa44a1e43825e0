"""What may only be stored (PIPL art. 47): the register that a system asks, and the flag in its own record."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
import yaml
from django.test import Client

from portal.core import keyring
from portal.core.clock import SHANGHAI
from rights.actions import restrictions
from rights.actions.datamap import store_documents
from rights.actions.erasures import replay
from rights.datamap import FaultyMap, load_live_map, parse_documents
from rights.models import Gate, Hold, Request, Restricted
from rights.wording import explain
from tests.conftest import collect_static
from tests.rights.shop import DATASET, DOCUMENTS, GOVERNANCE, NOW, Shop, State

LATER = NOW + timedelta(minutes=30)
TOKEN = "a-secret-of-the-shop-and-no-other-system"
worker = pytest.mark.role("worker")


def documents(**bodies: dict[str, Any]) -> dict[str, str]:
    """The shop's map with a column `locked` in visits and orders, and these of its collections stated otherwise."""
    governance, dataset = yaml.safe_load(GOVERNANCE), yaml.safe_load(DATASET)
    for name, body in bodies.items():
        governance["collections"][f"shop.{name}"] |= body
    for item in dataset["dataset"][0]["collections"]:
        if item["name"] in {"visit", "orders"}:
            item["fields"].append({"name": "locked"})
    return {**DOCUMENTS, "governance.yml": yaml.safe_dump(governance), "datasets/shop.yml": yaml.safe_dump(dataset)}


def load(shop: Shop, **bodies: dict[str, Any]) -> None:
    with shop.as_("owner"):
        store_documents(documents(**bodies), name="shop", now=NOW)


FLAG = {"flag": {"locked": True}}
HARD = {"erase": {"method": "restrict"}}


@pytest.fixture
def locks(shop: Shop) -> Iterator[Shop]:
    """The shop with a customer's three visits, two orders (one of them held until 2031-03-31), and somebody else's."""
    for table in ("visit", "orders"):
        shop.sql(f"ALTER TABLE shop.{table} ADD locked boolean NOT NULL DEFAULT false")
    try:
        shop.add_customer(closed_on=date(2026, 3, 31))
        shop.add_visits(3)
        shop.sql(
            "INSERT INTO shop.orders (order_id, customer_id, paid_on) VALUES (1, 1, '2020-01-31'), (2, 1, '2026-03-31')"
        )
        shop.add_customer(2, of=shop.other)
        shop.sql("INSERT INTO shop.visit VALUES (100, 2, 'x', false)")
        yield shop
    finally:
        for table in ("visit", "orders"):
            shop.sql(f"DELETE FROM shop.{table}; ALTER TABLE shop.{table} DROP locked")


def run(shop: Shop) -> Request:
    return shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)


def locked(shop: Shop, table: str = "visit") -> list[int]:
    return [row[0] for row in shop.sql(f"SELECT {table.rstrip('s')}_id FROM shop.{table} WHERE locked ORDER BY 1")]


def is_restricted(shop: Shop, collection: str, number: str) -> bool:
    """As the web role is told, which reads no row of the register."""
    with shop.as_("web"):
        return restrictions.is_restricted(collection, [number])


# --- the register


@worker
def test_what_is_hard_to_erase_is_in_the_register_and_nothing_else_is(locks: Shop) -> None:
    load(locks, visit=HARD)
    request = run(locks)
    assert request.state == State.CLOSED
    told = [is_restricted(locks, "shop.visit", number) for number in ("1", "2", "3", "100", "01")]
    assert told == [True, True, True, False, False]
    assert not is_restricted(locks, "shop.orders", "1")
    assert Restricted.objects.filter(request=request).count() == 3


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        (b"\x00\xff", "00ff"),
        (True, "true"),
        (timedelta(hours=9, minutes=5), "09:05:00"),
        (datetime(2026, 11, 23, 10, tzinfo=SHANGHAI), "2026-11-23T02:00:00+00:00"),
    ],
)
def test_a_key_that_is_no_text_is_asked_about_in_words(key: object, asked: str) -> None:
    (written,), (found,) = (restrictions.digest_keys([[(part,)]], collection="shop.visit") for part in (key, asked))
    assert written == found


@worker
def test_a_held_record_is_in_the_register_until_its_day(locks: Shop) -> None:
    """Held for five years from 2026-03-31; the order of 2020 goes at once."""
    load(locks, orders={"restrict": "register"})
    request = run(locks)
    assert locks.held(request)["shop.orders", date(2031, 3, 31)] == 1
    assert (is_restricted(locks, "shop.orders", "1"), is_restricted(locks, "shop.orders", "2")) == (False, True)
    locks.tick(LATER.replace(year=2031, month=4, day=1))
    assert locks.count("orders") == 0
    assert not is_restricted(locks, "shop.orders", "2")
    assert not Restricted.objects.exists()


@worker
def test_a_record_whose_period_has_not_begun_is_in_use_and_not_restricted(locks: Shop) -> None:
    load(locks, customer={"restrict": "register"})
    locks.sql("UPDATE shop.customer SET closed_on = NULL WHERE customer_id = 1")
    request = run(locks)
    assert Hold.objects.get(request=request, collection="shop.customer").last_day is None
    assert not is_restricted(locks, "shop.customer", "1")
    locks.sql("UPDATE shop.customer SET closed_on = '2026-11-20' WHERE customer_id = 1")
    locks.tick(LATER + timedelta(days=2))
    assert is_restricted(locks, "shop.customer", "1")


@worker
def test_the_register_outlives_a_rotation_of_the_index_key(locks: Shop) -> None:
    load(locks, visit=HARD)
    run(locks)
    keyring.rotate("index")
    assert is_restricted(locks, "shop.visit", "2")


# --- asking it


@pytest.fixture(scope="module")
def static_files() -> None:
    collect_static()


@pytest.fixture
def asked(static_files: None, locks: Shop, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("SYSTEM_SHOP_TOKEN", TOKEN)
    with locks.as_("worker"):
        load(locks, visit=HARD)
        run(locks)
    return Client()


def ask(client: Client, token: str = TOKEN, **query: Any) -> Any:
    return client.get("/api/v1/restricted/", query, headers={"Authorization": f"Bearer {token}"} if token else {})


@pytest.mark.role("web")
def test_a_system_asks_of_its_records_whether_they_may_be_used(asked: Client) -> None:
    answer = ask(asked, collection="shop.visit", key="2")
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in ("collection", "restricted")} == {
        "collection": "shop.visit",
        "restricted": True,
    }
    assert ask(asked, collection="shop.visit", key="100").json()["restricted"] is False


@pytest.mark.role("web")
def test_nobody_else_is_told(asked: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in ("", "wrong", TOKEN[:-1]):
        assert ask(asked, token, collection="shop.visit", key="2").status_code == 401
    assert ask(asked, collection="bank.account", key="2").status_code == 401
    monkeypatch.delenv("SYSTEM_SHOP_TOKEN")
    assert ask(asked, collection="shop.visit", key="2").status_code == 401
    monkeypatch.setenv("SYSTEM_SHOP_TOKEN", "")
    assert ask(asked, "", collection="shop.visit", key="2").status_code == 401


@pytest.mark.role("web")
def test_what_keeps_no_register_is_not_answered_with_no(asked: Client) -> None:
    answer = ask(asked, collection="shop.orders", key="1")
    assert answer.status_code == 404
    assert "restrict" in answer.json()["detail"]
    assert ask(asked, collection="shop.visit").status_code == 400


# --- the flag


@worker
def test_a_flag_is_set_at_the_hold_and_goes_with_the_record(locks: Shop) -> None:
    load(locks, visit={**HARD, "restrict": FLAG}, orders={"restrict": FLAG})
    request = run(locks)
    assert request.state == State.CLOSED
    assert (locked(locks), locked(locks, "orders")) == ([1, 2, 3], [2])
    assert is_restricted(locks, "shop.orders", "2")
    day = LATER.replace(year=2031, month=4, day=1)
    for minute in range(4):  # each tick looks at one release of the three
        locks.tick(day + timedelta(minutes=minute))
    assert (locks.count("orders"), locked(locks)) == (0, [1, 2, 3])


@worker
def test_a_flag_that_was_taken_away_is_set_again_the_next_day(locks: Shop) -> None:
    load(locks, visit={**HARD, "restrict": FLAG})
    run(locks)
    locks.sql("UPDATE shop.visit SET locked = false")
    locks.tick(LATER + timedelta(days=1, hours=1))
    assert locked(locks) == [1, 2, 3]


@worker
def test_a_flag_that_the_system_swallows_is_found_out(locks: Shop) -> None:
    load(locks, visit={**HARD, "restrict": FLAG})
    locks.sql(
        "CREATE FUNCTION shop.swallow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF OLD.visit_id = 2 THEN RETURN NULL; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER swallow BEFORE UPDATE ON shop.visit FOR EACH ROW EXECUTE FUNCTION shop.swallow()"
    )
    try:
        request = run(locks)
        step = locks.step(request, "shop.visit")
        assert (step.verb, step.state) == ("restrict", "dead")
        assert "marked nothing" in step.error
        assert locked(locks) == [1, 3]
    finally:
        locks.sql("DROP FUNCTION shop.swallow CASCADE")


@worker
def test_in_shadow_mode_no_flag_is_set_and_it_is_said(locks: Shop) -> None:
    load(locks, visit={**HARD, "restrict": FLAG})
    locks.sql("DELETE FROM shop.orders")  # nothing is to be erased, so that nothing waits for that
    with locks.as_("owner"):
        gate, _ = Gate.objects.update_or_create(pk="shop", defaults={"shadow": True})
    try:
        request = run(locks)
        step = locks.step(request, "shop.visit")
        assert locked(locks) == []
        assert "shadow mode: 3 of shop.visit would have been marked" in step.error
    finally:
        with locks.as_("owner"):
            gate.delete()


@worker
def test_a_backup_that_came_back_without_the_flag_is_flagged_again(locks: Shop) -> None:
    load(locks, visit={**HARD, "restrict": FLAG})
    run(locks)
    locks.sql("UPDATE shop.visit SET locked = false")
    found = replay("shop", data_map=load_live_map(), since=NOW - timedelta(days=1), now=LATER)
    assert [(done.collection, done.flagged) for done in found if done.flagged] == [("shop.visit", 3)]
    assert locked(locks) == [1, 2, 3]


@worker
def test_a_plan_says_that_the_system_will_mark_them(locks: Shop) -> None:
    load(locks, visit={**HARD, "restrict": FLAG})
    plan = locks.plan(locks.file())
    (sentence,) = (text for text in explain(plan, load_live_map(), "en") if text.startswith("visit"))
    assert "3 are only stored, and their system marks them so" in sentence


# --- maps


@pytest.mark.parametrize(
    ("restrict", "key", "reason"),
    [
        ("flags", "restrict", "not a way of restricting"),
        ({"flag": {}}, "restrict.flag", "is empty"),
        ({"vault": {"table": "x.y"}}, "restrict.vault", "not known"),
        ({"flag": {"locket": True}}, "", "no field locket"),
        ({"flag": {"visit_id": 1}}, "restrict.flag.visit_id", "names, dates or judges"),
        ({"flag": {"locked": None}}, "restrict.flag.locked", "stays the same"),
        ({"flag": {"locked": "@today"}}, "restrict.flag.locked", "stays the same"),
    ],
)
def test_a_flag_that_cannot_be_one_is_a_fault(restrict: Any, key: str, reason: str) -> None:
    with pytest.raises(FaultyMap) as caught:
        parse_documents(documents(visit={"restrict": restrict}))
    where = f"collections.shop.visit.{key}".rstrip(".")
    assert [fault for fault in caught.value.faults if fault.key == where and reason in fault.reason]
