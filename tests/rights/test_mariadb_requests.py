"""Whole requests on a business system that is a MariaDB: by the same protocol, to the same end."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from rights.connectors import sql
from tests.mariadb import MariaServer, start_mariadb, translate
from tests.rights.shop import NOW, TABLES, Shop, State

LATER = NOW + timedelta(minutes=30)


@pytest.fixture
def maria(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[MariaServer]:
    """The shop's system moved to MariaDB; its map stays as it is."""
    server = start_mariadb()
    tables = TABLES.replace("2020-01-01 00:00+08", "2020-01-01 00:00").replace(
        "SCHEMA shop", "SCHEMA shop CHARSET utf8mb4"
    )
    tables = tables.replace("REFERENCES shop.customer", "REFERENCES shop.customer (customer_id)")
    server.run(f"DROP DATABASE IF EXISTS shop; {translate(tables)}")
    server.run("CREATE OR REPLACE USER shop_portal@localhost IDENTIFIED BY 'secret'")
    server.run("GRANT SELECT, UPDATE, DELETE ON shop.* TO shop_portal@localhost")
    url = server.url("shop_portal", "secret")
    monkeypatch.setenv("SYSTEM_SHOP_URL", url)
    yield server
    sql._engine(url).dispose()


def fill(server: MariaServer, shop: Shop) -> None:
    """Closed in 2010; an order that has lapsed, one that is held to 2029-02-28, and 2,500 visits. A stranger's too."""
    server.run("INSERT INTO shop.customer VALUES (1, %s, '陈若兰', '19900000001', '2009-01-01', '2010-01-31')",
               [shop.person.account_no])  # fmt: skip
    server.run("INSERT INTO shop.customer VALUES (2, %s, '别人', '19900000002', '2009-01-01', '2010-01-31')",
               [shop.other.account_no])  # fmt: skip
    server.run("INSERT INTO shop.orders (order_id, customer_id, paid_on) VALUES (1, 1, '2010-01-01'),"
               " (2, 1, '2024-02-29'), (3, 2, '2010-01-01')")  # fmt: skip
    server.run("INSERT INTO shop.visit SELECT seq, 1, concat('page ', seq) FROM seq_1_to_2500", database="shop")
    server.run("INSERT INTO shop.visit VALUES (9999, 2, 'not mine')")


def count(server: MariaServer, table: str, where: str = "true") -> int:
    return int(server.run(f"SELECT count(*) FROM shop.{table} WHERE {where}")[0][0])


@pytest.mark.role("worker")
def test_a_deletion_takes_what_may_go_holds_the_rest_and_lets_it_go_on_its_day(shop: Shop, maria: MariaServer) -> None:
    fill(maria, shop)
    request = shop.approve(shop.file(), now=NOW)
    request = shop.advance(request, now=LATER)
    assert request.state == State.CLOSED, [(step.collection, step.error) for step in request.steps.all()]
    assert maria.run("SELECT order_id FROM shop.orders ORDER BY 1") == [(2,), (3,)]
    assert maria.run("SELECT visit_id FROM shop.visit") == [(9999,)]
    assert count(maria, "customer") == 2  # kept by the order that is held
    assert shop.held(request) == {("shop.orders", date(2029, 2, 28)): 1, ("shop.customer", date(2029, 2, 28)): 1}
    assert shop.step(request, "shop.visit").done == 2500
    shop.tick(NOW.replace(year=2029, month=3, day=2))
    assert maria.run("SELECT customer_id FROM shop.customer") == [(2,)]
    assert maria.run("SELECT order_id FROM shop.orders") == [(3,)]
    assert shop.held(request) == {}
