"""What the SQL connector makes of schemas of every shape. Expected counts are read off the rows each test writes."""

import gc
import socket
import threading
import weakref
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from urllib.parse import quote

import psycopg
import pytest

from portal.core.clock import SHANGHAI
from rights.connectors.base import Refused, Unavailable
from rights.connectors.registry import connect
from rights.kernel.plan import Fate
from rights.kernel.retention import Count, Rule, last_day
from rights.kernel.states import Kind
from rights.planning import Matter
from tests.rights.zoo import NOW, Collections, Zoo, Zoos
from tests.stack import Stack

ME = {"account_no": "7"}
TODAY = date(2026, 11, 23)
pytestmark = pytest.mark.each_server

# --- keys and names


def test_rows_with_composite_keys_go_and_their_neighbours_stay(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """
        CREATE TABLE bill (branch int, number int, account text, PRIMARY KEY (branch, number));
        CREATE TABLE item (branch int, number int, position int, PRIMARY KEY (position, number, branch),
            FOREIGN KEY (branch, number) REFERENCES bill (branch, number));
        INSERT INTO bill VALUES (1, 1, '7'), (1, 2, '8'), (2, 1, '8'), (2, 2, '7');
        INSERT INTO item SELECT branch, number, p FROM bill, generate_series(1, 3) p;
        """,
        {
            "bill": {"fields": ["branch", "number", "account, is account_no"]},
            "item": {"fields": ["branch, <- bill.branch", "number, <- bill.number", "position"]},
        },
    )
    # Single references lead from a branch or a number to other people's items: those are reached, and are shared.
    assert zoo.fates(ME)["bill", "person"] == 2


def test_a_composite_key_of_its_own_identity_is_erased_exactly(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """
        CREATE TABLE ride (city text, day date, account text, PRIMARY KEY (city, day, account));
        INSERT INTO ride VALUES ('重庆', '2026-01-01', '7'), ('重庆', '2026-01-01', '8'), ('北京', '2026-01-01', '7');
        """,
        {"ride": {"fields": ["city", "day", "account, is account_no"]}},
    )
    assert zoo.erase(ME) == {"ride": 2}
    assert zoo.sql("SELECT account FROM zoo.ride") == [("8",)]


def test_reserved_mixed_case_and_chinese_names_are_names_like_others(make_zoo: Zoos) -> None:
    long = "a_column_whose_name_is_as_long_as_postgresql_lets_a_name_be_"
    zoo = make_zoo(
        f"""
        CREATE TABLE "用户" ("编号" int PRIMARY KEY, "Account No" text, "{long}1" int, "{long}2" int);
        CREATE TABLE "Order" ("select" int PRIMARY KEY, "用户编号" int REFERENCES "用户" ("编号"), "Group" text);
        CREATE TABLE "order" ("select" int PRIMARY KEY, "from" int, "%s" text, "a""b" text,
            CONSTRAINT "to Order" FOREIGN KEY ("from") REFERENCES "Order" ("select"));
        INSERT INTO "用户" VALUES (1, '7', 1, 2), (2, '8', 1, 2);
        INSERT INTO "Order" VALUES (1, 1, 'x'), (2, 1, 'x'), (3, 2, 'x');
        INSERT INTO "order" ("select", "from") VALUES (1, 1), (2, 3);
        """,
        {
            "用户": {"fields": ["编号", "Account No, is account_no", f"{long}1", f"{long}2"]},
            "Order": {"fields": ["select", "用户编号, <- 用户.编号", "Group"]},
            "order": {"fields": ["select", "from, <- Order.select", "%s", 'a"b']},
        },
    )
    assert zoo.erase(ME) == {"order": 1, "Order": 2, "用户": 1}
    assert zoo.sql('SELECT "select" FROM zoo."order"') == [(2,)]


@pytest.mark.postgresql
def test_a_schema_with_an_odd_name_is_reached(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """CREATE SCHEMA "Group By"; CREATE TABLE "Group By".t (id int PRIMARY KEY, account text);
        INSERT INTO "Group By".t VALUES (1, '7'), (2, '8')""",
        {"t": {"fields": ["id", "account, is account_no"]}},
    )
    zoo.data_map = replace(
        zoo.data_map,
        digest="odd-schema",
        systems={"zoo": replace(zoo.data_map.systems["zoo"], schema="Group By")},
    )
    assert zoo.fates(ME) == {("t", "erase"): 1}


# --- identities


@pytest.mark.parametrize(
    ("column", "rows", "identity", "found"),
    [
        ("text", ["7", "007", "7 "], "7", 1),
        ("text", ["7", "007"], "007", 1),
        ("varchar(10)", ["7", "8"], "7", 1),
        ("char(8)", ["A7", "A8"], "A7", 1),
        ("integer", [7, 8], "7", 1),
        ("integer", [7, 8], "007", 0),
        ("integer", [7, 8], "+7", 0),
        ("integer", [7, 8], " 7", 0),
        ("integer", [7, 8], "seven", 0),
        ("integer", [7, 8], "²", 0),
        ("integer", [7, 8], "٧", 0),
        ("integer", [7, 8], "7000000000", 0),
        ("smallint", [7, 8], "70000", 0),
        ("bigint", [7000000000, 8], "7000000000", 1),
        ("bigint", [7, 8], "99999999999999999999", 0),
        ("numeric(20)", [7, 8], "7", 1),
        ("numeric(20)", [7, 8], "007", 0),
        ("numeric(20)", [7, 8], "7.0", 0),
        ("numeric(20)", [7, 8], "7E0", 0),
        ("numeric(20)", [7, 8], "NaN", 0),
        ("numeric(20)", [7, 8], "sNaN", 0),
        (
            "uuid",
            ["0b2f7d0e-6f4e-4c62-9d0a-111111111111", "0b2f7d0e-6f4e-4c62-9d0a-222222222222"],
            "0b2f7d0e-6f4e-4c62-9d0a-111111111111",
            1,
        ),
        ("uuid", ["0b2f7d0e-6f4e-4c62-9d0a-111111111111"], "7", 0),
        ("uuid", ["0b2f7d0e-6f4e-4c62-9d0a-111111111111"], "0b2f7d0e6f4e4c629d0a111111111111", 0),
        ("date", ["2026-11-23"], "7", 0),
        ("boolean", [True], "7", 0),
        ("bytea", [b"7"], "7", 0),
    ],
)
def test_an_identity_finds_only_what_is_written_as_it_is(
    make_zoo: Zoos, column: str, rows: Sequence[object], identity: str, found: int
) -> None:
    """007 is not 7, and what no such column can hold finds nothing instead of failing the whole system."""
    zoo = make_zoo(
        f"CREATE TABLE t (id serial PRIMARY KEY, account {column})",
        {"t": {"fields": ["id", "account, is account_no"]}},
    )
    for row in rows:
        zoo.sql("INSERT INTO zoo.t (account) VALUES (%s)", [row])
    assert zoo.fates({"account_no": identity}) == ({("t", "erase"): found} if found else {})


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("column", "rows", "identity", "found"),
    [
        ("account_text", ["7", "007"], "7", 1),
        ("account_number", [7, 8], "7", 1),
        ("account_number", [7, 8], "007", 0),
        ("account_kind", ["7", "8"], "7", 1),
    ],
)
def test_a_domain_is_compared_as_what_it_stands_on(
    make_zoo: Zoos, column: str, rows: Sequence[object], identity: str, found: int
) -> None:
    zoo = make_zoo(
        "CREATE DOMAIN account_text AS text; CREATE DOMAIN account_number AS integer;"
        "CREATE TYPE account_kind AS ENUM ('7', '8');"
        f"CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account {column})",
        {"t": {"fields": ["id", "account, is account_no"]}},
    )
    for row in rows:
        zoo.sql("INSERT INTO zoo.t (account) VALUES (%s)", [row])
    assert zoo.fates({"account_no": identity}) == ({("t", "erase"): found} if found else {})


def test_several_identity_columns_mean_any_of_them(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE t (id int PRIMARY KEY, account text, id_card text);
        INSERT INTO t VALUES (1, '7', 'X1'), (2, NULL, 'X1'), (3, '7', NULL), (4, NULL, NULL), (5, '8', 'X2')""",
        {"t": {"fields": ["id", "account, is account_no", "id_card, is id_number"]}},
    )
    assert zoo.fates({"account_no": "7", "id_number": "X1"}) == {("t", "erase"): 3}


def test_a_person_without_any_identity_of_a_system_has_no_rows_there(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account text); INSERT INTO t VALUES (1, NULL), (2, '')",
        {"t": {"fields": ["id", "account, is account_no"]}},
    )
    assert zoo.fates({"id_number": "X1"}) == {}


# --- ways to a row


def test_a_null_reference_leads_nowhere(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE customer (id int PRIMARY KEY, account text, card int UNIQUE);
        CREATE TABLE note (id int PRIMARY KEY, customer int REFERENCES customer);
        CREATE TABLE swipe (id int PRIMARY KEY, card int);
        INSERT INTO customer VALUES (1, '7', NULL), (2, '8', 5);
        INSERT INTO note VALUES (1, 1), (2, NULL), (3, 2);
        INSERT INTO swipe VALUES (1, NULL), (2, 5)""",
        {
            "customer": {"fields": ["id", "account, is account_no", "card"]},
            "note": {"fields": ["id", "customer, <- customer.id"]},
            "swipe": {"fields": ["id", "card, <- customer.card"]},
        },
    )
    assert zoo.fates(ME) == {("customer", "erase"): 1, ("note", "erase"): 1}


def test_a_row_that_two_ways_lead_to_counts_once(make_zoo: Zoos) -> None:
    """A prototype that used UNION ALL counted five addresses where there are two."""
    zoo = make_zoo(
        """CREATE TABLE customer (id int PRIMARY KEY, account text, home int);
        CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customer, billing int, shipping int);
        CREATE TABLE address (id int PRIMARY KEY, city text);
        INSERT INTO address VALUES (1, 'a'), (2, 'b'), (3, 'c');
        INSERT INTO customer VALUES (1, '7', 1), (2, '8', 3);
        INSERT INTO orders VALUES (1, 1, 1, 2), (2, 1, 2, 2), (3, 2, 3, 3)""",
        {
            "customer": {"fields": ["id", "account, is account_no", "home, -> address.id"]},
            "orders": {
                "fields": ["id", "customer, <- customer.id", "billing, -> address.id", "shipping, -> address.id"]
            },
            "address": {"fields": ["id", "city"]},
        },
    )
    assert zoo.fates(ME) == {("customer", "erase"): 1, ("orders", "erase"): 2, ("address", "erase"): 2}


PARCEL = """
CREATE TABLE customer (id int PRIMARY KEY, account text);
CREATE TABLE parcel (id int PRIMARY KEY, sender int REFERENCES customer, receiver int REFERENCES customer);
CREATE TABLE track (id int PRIMARY KEY, parcel int REFERENCES parcel);
INSERT INTO customer VALUES (1, '7'), (2, '8');
INSERT INTO parcel VALUES (1, 1, 2), (2, 2, 1), (3, 1, 1), (4, 1, NULL), (5, 2, 2);
INSERT INTO track SELECT id * 10, id FROM parcel;
"""
PARCEL_MAP: Collections = {
    "customer": {"fields": ["id", "account, is account_no"]},
    "parcel": {"fields": ["id", "sender, <- customer.id", "receiver, <- customer.id"]},
    "track": {"fields": ["id", "parcel, <- parcel.id"]},
}


def test_a_row_that_refers_to_two_people_goes_to_a_person_with_all_below_it(make_zoo: Zoos) -> None:
    zoo = make_zoo(PARCEL, PARCEL_MAP)
    # 1 and 2 are between the two; 3 and 4 are mine alone; 5 is not mine. The customer is kept by what is undecided.
    assert zoo.fates(ME) == {
        ("customer", "person"): 1,
        ("parcel", "erase"): 2,
        ("parcel", "person"): 2,
        ("track", "erase"): 2,
        ("track", "person"): 2,
    }
    assert zoo.erase(ME) == {"track": 2, "parcel": 2}


def test_a_row_with_two_identity_columns_of_two_people_goes_to_a_person(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE transfer (id int PRIMARY KEY, payer text, payee text);
        INSERT INTO transfer VALUES (1, '7', '8'), (2, '8', '7'), (3, '7', '7'), (4, '7', NULL), (5, '8', '9')""",
        {"transfer": {"fields": ["id", "payer, is account_no", "payee, is account_no"]}},
    )
    assert zoo.fates(ME) == {("transfer", "erase"): 2, ("transfer", "person"): 2}


def test_a_join_table_shares_a_row_only_through_the_edges_that_count(make_zoo: Zoos) -> None:
    """Who may only use an account does not own it: the predicate stands on the edge."""
    zoo = make_zoo(
        """CREATE TABLE account (id int PRIMARY KEY);
        CREATE TABLE disp (id int PRIMARY KEY, account int REFERENCES account, client text, type text);
        CREATE TABLE trans (id int PRIMARY KEY, account int REFERENCES account);
        INSERT INTO account VALUES (1), (2), (3), (4);
        INSERT INTO disp VALUES (1, 1, '7', 'OWNER'), (2, 1, '8', 'USER'),
            (3, 2, '7', 'OWNER'), (4, 2, '8', 'OWNER'), (5, 3, '7', 'USER'), (6, 3, '8', 'OWNER'),
            (7, 4, '7', 'OWNER');
        INSERT INTO trans SELECT n, 1 + n % 4 FROM generate_series(1, 40) n;""",
        {
            "disp": {"fields": ["id", "client, is account_no", "account, -> account.id", "type"]},
            "account": {"fields": ["id"]},
            "trans": {"fields": ["id", "account, <- account.id"]},
        },
        edges=[
            {
                "from": "zoo.disp.account",
                "to": "zoo.account.id",
                "when": [{"field": "type", "op": "eq", "value": "OWNER"}],
            }
        ],
    )
    fates = zoo.fates(ME)
    # Accounts 1 and 4 are mine, 2 is ours, 3 is theirs; each has ten transactions.
    assert fates["trans", "erase"] == 20
    assert fates["trans", "person"] == 10
    assert sum(count for (name, _), count in fates.items() if name == "account") == 3
    assert sum(count for (name, _), count in fates.items() if name == "disp") == 4


def test_an_edge_that_is_not_followed_leads_nowhere(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE product (id int PRIMARY KEY, seller text);
        CREATE TABLE orders (id int PRIMARY KEY, account text, product int);
        INSERT INTO product VALUES (1, '8'); INSERT INTO orders VALUES (1, '7', 1)""",
        {
            "orders": {"fields": ["id", "account, is account_no", "product, -> product.id"]},
            "product": {"fields": ["id", "seller, is account_no"]},
        },
        edges=[{"from": "zoo.orders.product", "to": "zoo.product.id", "follow": False}],
    )
    assert zoo.fates(ME) == {("orders", "erase"): 1}


# --- what keeps what

FAMILY = """
CREATE TABLE customer (id int PRIMARY KEY, account text, closed_on date);
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer {rule}, paid_on date, open boolean);
CREATE TABLE item (id int PRIMARY KEY, orders int NOT NULL REFERENCES orders {rule});
INSERT INTO customer VALUES (1, '7', '2020-01-31'), (2, '8', '2020-01-31');
"""
FAMILY_MAP: Collections = {
    "customer": {"fields": ["id", "account, is account_no", "closed_on"], "class": "KYC", "trigger": "closed_on"},
    "orders": {
        "fields": ["id", "customer, <- customer.id", "paid_on", "open"],
        "class": "TXN",
        "trigger": "paid_on",
    },
    "item": {"fields": ["id", "orders, <- orders.id"]},
}


@pytest.mark.parametrize("rule", ["", "ON DELETE CASCADE"])
def test_a_held_child_keeps_its_parent_to_its_own_last_day(make_zoo: Zoos, rule: str) -> None:
    """With a cascading key the parent would have taken the held child with it."""
    zoo = make_zoo(FAMILY.format(rule=rule), FAMILY_MAP)
    zoo.sql(
        "INSERT INTO zoo.orders (id, customer, paid_on)"
        " VALUES (1, 1, '2020-05-05'), (2, 1, '2022-03-01'), (3, 1, '2024-02-29')"
    )
    plan = {(line.collection, line.fate): line for line in zoo.plan(ME).lines}
    customer = plan["zoo.customer", Fate.HOLD]
    # Its own five years ended on 2025-01-31; the order of 2024-02-29 is held through 2029-02-28 (Civil Code 202).
    assert (customer.count, customer.first_release, customer.last_release) == (1, date(2029, 2, 28), date(2029, 2, 28))
    orders = plan["zoo.orders", Fate.HOLD]
    assert (orders.count, orders.first_release, orders.last_release) == (2, date(2027, 3, 1), date(2029, 2, 28))
    assert zoo.erase(ME) == {"orders": 1}
    assert zoo.sql("SELECT id FROM zoo.orders ORDER BY 1") == [(2,), (3,)]


def test_a_child_without_an_end_keeps_its_parent_without_an_end(make_zoo: Zoos) -> None:
    zoo = make_zoo(FAMILY.format(rule=""), FAMILY_MAP)
    zoo.sql("INSERT INTO zoo.orders VALUES (1, 1, NULL, NULL)")
    lines = {line.collection: line for line in zoo.plan(ME).lines}
    assert lines["zoo.customer"].fate is Fate.HOLD
    assert lines["zoo.customer"].open_ended == 1
    assert lines["zoo.customer"].last_release is None


def test_a_blocked_child_keeps_its_parent(make_zoo: Zoos) -> None:
    blocker = {
        "BLOCK.PENDING": {"in": "zoo.orders", "when": [{"field": "open", "op": "eq", "value": True}], "blocks": ["TXN"]}
    }
    zoo = make_zoo(FAMILY.format(rule=""), FAMILY_MAP, blockers=blocker)
    zoo.sql("INSERT INTO zoo.orders VALUES (1, 1, '2020-05-05', true)")
    assert zoo.fates(ME) == {("customer", "blocked"): 1, ("orders", "blocked"): 1}
    assert zoo.erase(ME) == {}


def test_children_go_before_the_parents_they_refer_to(make_zoo: Zoos) -> None:
    zoo = make_zoo(FAMILY.format(rule=""), dict(reversed(FAMILY_MAP.items())))
    zoo.sql("INSERT INTO zoo.orders (id, customer, paid_on) VALUES (1, 1, '2020-05-05'), (2, 2, '2020-05-05')")
    zoo.sql("INSERT INTO zoo.item VALUES (1, 1), (2, 1), (3, 2)")
    order = connect("zoo", zoo.data_map).erase_order()
    assert order.index("zoo.item") < order.index("zoo.orders") < order.index("zoo.customer")
    assert zoo.erase(ME) == {"item": 2, "orders": 1, "customer": 1}
    assert zoo.sql("SELECT count(*) FROM zoo.item") == [(1,)]


def test_a_parent_is_not_erased_under_a_child_that_is_not_the_persons(make_zoo: Zoos) -> None:
    """A cascading key would destroy somebody else's record, which no reference of the map leads to."""
    zoo = make_zoo(
        """CREATE TABLE thread (id int PRIMARY KEY, account text);
        CREATE TABLE message (id int PRIMARY KEY, account text, thread int REFERENCES thread ON DELETE CASCADE);
        INSERT INTO thread VALUES (1, '7'), (2, '7');
        INSERT INTO message VALUES (1, '7', 1), (2, '8', 1), (3, '7', 2);""",
        {
            "thread": {"fields": ["id", "account, is account_no"]},
            "message": {"fields": ["id", "account, is account_no", "thread"]},
        },
    )
    assert zoo.fates(ME) == {("thread", "person"): 1, ("thread", "erase"): 1, ("message", "erase"): 2}
    zoo.erase(ME)
    assert zoo.sql("SELECT id FROM zoo.message") == [(2,)]


# --- dates


@pytest.mark.postgresql
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Shanghai"])
def test_a_moment_belongs_to_its_day_in_shanghai_wherever_the_database_is(make_zoo: Zoos, zone: str) -> None:
    zoo = make_zoo(
        """CREATE TABLE pay (id int PRIMARY KEY, account text, at timestamptz);
        CREATE TABLE local (id int PRIMARY KEY, account text, at timestamp);
        INSERT INTO pay VALUES (1, '7', '2021-11-22 15:59:59.999+00'), (2, '7', '2021-11-22 16:00+00');
        INSERT INTO local VALUES (1, '7', '2021-11-22 23:59:59.999'), (2, '7', '2021-11-23 00:00');""",
        {
            "pay": {"fields": ["id", "account, is account_no", "at"], "class": "TXN", "trigger": "at"},
            "local": {"fields": ["id", "account, is account_no", "at"], "class": "TXN", "trigger": "at"},
        },
    )
    zoo.sql(f"ALTER DATABASE {zoo.url.split('/')[-1].split('?')[0]} SET timezone = '{zone}'")
    # 2021-11-22 was held through 2026-11-22, which is over; 2021-11-23, which begins at 16:00 UTC, is held today.
    plan = zoo.plan(ME)
    assert {(line.collection, line.fate, line.count, line.last_release) for line in plan.lines} == {
        ("zoo.pay", Fate.ERASE, 1, None),
        ("zoo.pay", Fate.HOLD, 1, date(2026, 11, 23)),
        ("zoo.local", Fate.ERASE, 1, None),
        ("zoo.local", Fate.HOLD, 1, date(2026, 11, 23)),
    }


def test_a_class_may_depend_on_the_row_and_the_latest_end_wins(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE policy (id int PRIMARY KEY, account text, years int, ended_on date);
        INSERT INTO policy VALUES (1, '7', 1, '2020-11-23'), (2, '7', 1, '2022-11-23'), (3, '7', 20, '2020-11-23'),
            (4, '7', NULL, '2020-11-23');""",
        {
            "policy": {
                "fields": ["id", "account, is account_no", "years", "ended_on"],
                "trigger": "ended_on",
                "class": ["INS", {"class": "INS-LONG", "when": [{"field": "years", "op": "gt", "value": 1}]}],
            }
        },
    )
    with zoo.reading(ME) as (snapshot, policies):
        groups = snapshot.group_holds(policies, "zoo.policy")
    # A short one of 2022 for five years, the long one of 2020 for ten; the short one of 2020 and the one that does not
    # say how long have lapsed.
    assert [(group.last_day, group.count) for group in groups] == [(date(2027, 11, 23), 1), (date(2030, 11, 23), 1)]
    assert zoo.fates(ME) == {("policy", "erase"): 2, ("policy", "hold"): 2}


def test_rows_of_no_stated_class_are_not_held(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE entry (id int PRIMARY KEY, account text, kind text, day date);
        INSERT INTO entry VALUES (1, '7', 'loan', '2026-01-01'), (2, '7', 'note', '2026-01-01');
        INSERT INTO entry VALUES (3, '7', NULL, NULL)""",
        {
            "entry": {
                "fields": ["id", "account, is account_no", "kind", "day"],
                "trigger": "day",
                "class": [{"class": "LOAN", "when": [{"field": "kind", "op": "in", "value": ["loan", "credit"]}]}],
            }
        },
    )
    assert zoo.fates(ME) == {("entry", "erase"): 2, ("entry", "hold"): 1}


GRID_RULES = [
    Rule("R", ("TXN",), "P5Y", "test"),
    Rule("R", ("TXN",), "P6M", "test"),
    Rule("R", ("TXN",), "P1Y3M", "test"),
    Rule("R", ("TXN",), "P10Y", "test"),
    Rule("R", ("TXN",), "P30Y", "test", count=Count.NEXT_JANUARY),
    Rule("R", ("TXN",), "P1M", "test", count=Count.NEXT_JANUARY),
]
GRID = """
CREATE TABLE t (day date PRIMARY KEY, account text);
INSERT INTO t SELECT date '2013-12-31' + n, '7' FROM generate_series(1, 7670) n;
"""
GRID_MAP: Collections = {"t": {"fields": ["day", "account, is account_no"], "class": "TXN", "trigger": "day"}}


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=SHANGHAI)


def test_the_databases_release_days_are_the_kernels_on_every_day_of_twenty_years(make_zoo: Zoos) -> None:
    """Two implementations of Civil Code art. 202, checked against each other, leap days and all."""
    zoo = make_zoo(GRID, GRID_MAP)
    for rule in GRID_RULES:
        with zoo.reading(ME, now=at(date(2014, 1, 1)), rules=[rule]) as (snapshot, policies):
            groups = snapshot.group_holds(policies, "zoo.t")
        assert len(groups) == 7670
        for group in groups:
            assert group.trigger_on is not None
            assert group.last_day == last_day(group.trigger_on, rule), (rule.duration, group.trigger_on)


def test_a_record_is_held_on_exactly_the_days_the_kernel_says(make_zoo: Zoos) -> None:
    zoo = make_zoo(GRID, GRID_MAP)
    boundaries = [
        date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2025, 2, 28), date(2025, 3, 1), date(2028, 2, 29),
        date(2026, 8, 30), date(2026, 8, 31), date(2026, 9, 30), date(2026, 10, 1), date(2026, 12, 31),
        date(2027, 1, 1), TODAY,
    ]  # fmt: skip
    days = [date(2014, 1, 1) + timedelta(days=n) for n in range(7670)]
    for rule in GRID_RULES:
        for today in boundaries:
            with zoo.reading(ME, now=at(today), rules=[rule]) as (snapshot, policies):
                held = {group.trigger_on for group in snapshot.group_holds(policies, "zoo.t")}
            assert held == {day for day in days if last_day(day, rule) >= today}, (rule.duration, today)


# --- masks


def masked_zoo(make_zoo: Zoos) -> Zoo:
    return make_zoo(
        """CREATE TABLE customer (id int PRIMARY KEY, account text);
        CREATE TABLE sale (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer, name text, city text,
            amount numeric NOT NULL);
        INSERT INTO customer VALUES (1, '7'), (2, '8');
        INSERT INTO sale SELECT n, 1 + n % 2, 'name ' || n, NULLIF('c' || n, 'c2'), n FROM generate_series(1, 8) n;""",
        {
            "customer": {"fields": ["id", "account, is account_no"]},
            "sale": {
                "fields": ["id", "customer, <- customer.id", "name", "city", "amount"],
                "erase": {"method": "mask", "fields": {"name": {"constant": "***"}, "city": "null"}},
            },
        },
    )


def test_a_mask_overwrites_the_named_fields_of_the_persons_rows_only(make_zoo: Zoos) -> None:
    zoo = masked_zoo(make_zoo)
    before = zoo.sql("SELECT * FROM zoo.sale WHERE customer = 2 ORDER BY id")
    assert zoo.fates(ME)["sale", "mask"] == 4
    assert zoo.erase(ME)["sale"] == 4
    assert zoo.sql("SELECT id, name, city, amount FROM zoo.sale WHERE customer = 1 ORDER BY id") == [
        (number, "***", None, number) for number in (2, 4, 6, 8)
    ]
    assert zoo.sql("SELECT * FROM zoo.sale WHERE customer = 2 ORDER BY id") == before


def test_what_is_masked_is_not_masked_again(make_zoo: Zoos) -> None:
    zoo = masked_zoo(make_zoo)
    zoo.erase(ME)
    assert ("sale", "mask") not in zoo.fates(ME)
    with zoo.reading(ME) as (snapshot, policies):
        assert snapshot.find_keys(policies, "zoo.sale", limit=10) == []


def test_a_masked_row_that_still_refers_to_its_parent_keeps_it(make_zoo: Zoos) -> None:
    """Erasing the parent would be refused by the key, or take the masked row with it."""
    zoo = masked_zoo(make_zoo)
    assert zoo.fates(ME)["customer", "person"] == 1
    zoo.erase(ME)
    assert zoo.fates(ME) == {("customer", "person"): 1}


# --- when a system does not do as it is asked


@pytest.mark.postgresql
def test_row_level_security_at_the_business_system_is_an_error_and_not_an_absence(
    make_zoo: Zoos, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = make_zoo(
        """CREATE TABLE t (id int PRIMARY KEY, account text); INSERT INTO t VALUES (1, '7');
        ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON t USING (false);""",
        {"t": {"fields": ["id", "account, is account_no"]}},
    )
    zoo.sql("DROP ROLE IF EXISTS zoo_reader")
    zoo.sql("CREATE ROLE zoo_reader LOGIN PASSWORD 'reader'")
    zoo.sql("GRANT USAGE ON SCHEMA zoo TO zoo_reader")
    zoo.sql("GRANT ALL ON zoo.t TO zoo_reader")
    parts = psycopg.conninfo.conninfo_to_dict(zoo.url)
    host = quote(str(parts["host"]), safe="")
    address = f"postgresql://zoo_reader:reader@/{parts['dbname']}?host={host}&port={parts['port']}"
    monkeypatch.setenv("SYSTEM_ZOO_URL", address)
    make_zoo.urls.append(address)
    plan = zoo.plan(ME)
    assert plan.unknown == ("zoo",)
    assert [line.fate for line in plan.lines] == [Fate.UNKNOWN]
    with pytest.raises(Refused), zoo.reading(ME) as (snapshot, policies):
        snapshot.find_keys(policies, "zoo.t", limit=1)


@pytest.mark.postgresql
def test_a_system_that_is_down_reads_as_unknown_and_never_as_clear(
    make_zoo: Zoos, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = make_zoo(FAMILY.format(rule=""), FAMILY_MAP)
    zoo.sql("INSERT INTO zoo.orders VALUES (1, 1, '2020-05-05', NULL)")
    assert zoo.plan(ME).unknown == ()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SYSTEM_ZOO_URL", f"postgresql://zoo:secret@127.0.0.1:{closed.getsockname()[1]}/zoo")
        plan = zoo.plan(ME)
    assert plan.unknown == ("zoo",)
    assert plan.count(*(set(Fate) - {Fate.UNKNOWN})) == 0
    assert {(line.fate, line.key) for line in plan.lines} == {(Fate.UNKNOWN, "SYSTEM.UNKNOWN")}


@pytest.mark.postgresql
def test_a_system_that_goes_away_after_it_was_seen_is_unknown_too(make_zoo: Zoos, stack: Stack) -> None:
    zoo = make_zoo(FAMILY.format(rule=""), FAMILY_MAP)
    assert zoo.plan(ME).unknown == ()
    stack.run_sql(f"DROP DATABASE {zoo.url.split('/')[-1].split('?')[0]} WITH (FORCE)", role="superuser")
    assert zoo.plan(ME).unknown == ("zoo",)
    with pytest.raises(Unavailable), zoo.reading(ME):
        pass


def test_a_system_whose_address_nobody_set_is_unknown(make_zoo: Zoos, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo = make_zoo(FAMILY.format(rule=""), FAMILY_MAP)
    monkeypatch.delenv("SYSTEM_ZOO_URL")
    assert zoo.plan(ME).unknown == ("zoo",)


@pytest.mark.postgresql
def test_a_system_that_answers_too_late_is_unknown_and_ends_by_itself(make_zoo: Zoos) -> None:
    zoo = make_zoo(FAMILY.format(rule=""), FAMILY_MAP)
    assert zoo.plan(ME).unknown == ()
    with psycopg.connect(zoo.url) as locked:
        locked.execute("LOCK TABLE zoo.customer IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable), zoo.reading(ME, patience=0.5) as (snapshot, policies):
            snapshot.find_keys(policies, "zoo.customer", limit=1)
        ended = locked.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
    assert ended == (0,)
    assert zoo.plan(ME).unknown == ()


@pytest.mark.postgresql
def test_a_page_does_not_wait_longer_than_it_is_allowed_to(make_zoo: Zoos) -> None:
    zoo = make_zoo(FAMILY.format(rule=""), FAMILY_MAP)
    zoo.plan(ME)
    with psycopg.connect(zoo.url) as locked:
        locked.execute("LOCK TABLE zoo.customer IN ACCESS EXCLUSIVE MODE")
        assert zoo.plan(ME, wait=0.2).unknown == ("zoo",)


def test_a_refusal_names_the_constraint_and_shows_no_value(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE t (id int PRIMARY KEY, account text);
        CREATE TABLE unmapped (id int CONSTRAINT keeps_customer REFERENCES t);
        INSERT INTO t VALUES (4711, '7'); INSERT INTO unmapped VALUES (4711);""",
        {"t": {"fields": ["id", "account, is account_no"]}},
    )
    with pytest.raises(Refused, match="keeps_customer") as caught:
        zoo.erase(ME)
    assert "4711" not in str(caught.value)
    assert zoo.sql("SELECT count(*) FROM zoo.t") == [(1,)]


@pytest.mark.postgresql
def test_a_missing_right_is_a_refusal_and_no_absence(
    make_zoo: Zoos, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account text); INSERT INTO t VALUES (1, '7')",
        {"t": {"fields": ["id", "account, is account_no"]}},
    )
    zoo.sql("DROP ROLE IF EXISTS zoo_looker")
    zoo.sql("CREATE ROLE zoo_looker LOGIN PASSWORD 'looker'")
    zoo.sql("GRANT USAGE ON SCHEMA zoo TO zoo_looker")
    zoo.sql("GRANT SELECT ON zoo.t TO zoo_looker")
    parts = psycopg.conninfo.conninfo_to_dict(zoo.url)
    host = quote(str(parts["host"]), safe="")
    address = f"postgresql://zoo_looker:looker@/{parts['dbname']}?host={host}&port={parts['port']}"
    monkeypatch.setenv("SYSTEM_ZOO_URL", address)
    make_zoo.urls.append(address)
    with pytest.raises(Refused, match="42501"):
        zoo.erase(ME)


def test_facts_and_fates_of_one_reading_agree_while_others_write(make_zoo: Zoos) -> None:
    """One repeatable-read snapshot a plan: at read committed, two statements of one plan disagreed."""
    zoo = make_zoo(FAMILY.format(rule=""), FAMILY_MAP)
    with zoo.reading(ME) as (snapshot, policies):
        first = len(snapshot.find_keys(policies, "zoo.orders", limit=10))
        writer = threading.Thread(target=zoo.sql, args=["INSERT INTO zoo.orders VALUES (9, 1, '2020-05-05', NULL)"])
        writer.start()
        writer.join()
        assert len(snapshot.find_keys(policies, "zoo.orders", limit=10)) == first == 0
    assert zoo.fates(ME)["orders", "erase"] == 1


def test_a_correction_leaves_a_value_alone_that_changed_meanwhile(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE t (id int PRIMARY KEY, account text, phone text);
        INSERT INTO t VALUES (1, '7', '139'), (2, '7', '138'), (3, '8', '139')""",
        {"t": {"fields": ["id", "account, is account_no", "phone"]}},
    )
    seed = Matter(kind=Kind.CORRECTION, identities=ME).seed(now=NOW)
    connector = connect("zoo", zoo.data_map)
    assert connector.correct(seed, "zoo.t", "phone", old="139", new="137") == 1
    assert connector.correct(seed, "zoo.t", "phone", old="139", new="137") == 0
    assert zoo.sql("SELECT phone FROM zoo.t ORDER BY id") == [("137",), ("138",), ("139",)]


def test_a_letter_s_case_an_accent_and_a_space_at_the_end_can_be_corrected(make_zoo: Zoos) -> None:
    """What is as it was is counted as exactly as it is changed: else the change would be told as none."""
    zoo = make_zoo(
        """CREATE TABLE t (id int PRIMARY KEY, account text, name text, title text);
        INSERT INTO t VALUES (1, '7', 'anna', NULL), (2, '8', 'anna', NULL)""",
        {"t": {"fields": ["id", "account, is account_no", "name", "title"]}},
    )
    seed = Matter(kind=Kind.CORRECTION, identities=ME).seed(now=NOW)
    connector = connect("zoo", zoo.data_map)
    names = ["anna", "Anna", "Änna", "Änna ", "anna"]
    for old, new in pairwise(names):
        assert connector.count_rows(seed, "zoo.t", {"name": old, "title": None}) == 1
        assert connector.correct(seed, "zoo.t", "name", old=old, new=new) == 1
        assert connector.count_rows(seed, "zoo.t", {"name": old, "title": None}) == 0
        # Nor does a statement that was built for an empty field serve one that is not, or the other way round.
        assert connector.count_rows(seed, "zoo.t", {"name": new, "title": "Dr."}) == 0
        assert connector.count_rows(seed, "zoo.t", {"name": None, "title": None}) == 0


def test_no_person_is_kept_with_the_statement_that_was_built_for_them_first(make_zoo: Zoos) -> None:
    """Statements serve everybody after, for as long as the process lives."""
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account text); INSERT INTO t VALUES (1, '7'), (2, '8')",
        {"t": {"fields": ["id", "account, is account_no"]}},
    )
    seeds = []
    for account in ("7", "8"):
        with zoo.reading({"account_no": account}) as (snapshot, policies):
            assert [count.count for count in snapshot.count_fates(policies)] == [1]
            seeds.append(weakref.ref(snapshot.reach))  # type: ignore[attr-defined]
        del snapshot
    gc.collect()
    assert [seed() for seed in seeds] == [None, None]


@pytest.mark.postgresql
def test_a_statement_that_took_too_long_is_not_told_as_a_system_that_is_away(
    make_zoo: Zoos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rights.connectors.sql.ACT_SECONDS", 0.3)
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account text); INSERT INTO t VALUES (1, '7');",
        {"t": {"fields": ["id", "account, is account_no"]}},
    )
    with psycopg.connect(zoo.url) as busy:
        busy.execute("SELECT id FROM zoo.t FOR UPDATE")
        with pytest.raises(Unavailable, match=r"did not answer in time \(57014\)"):
            zoo.erase(ME)
