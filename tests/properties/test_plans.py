"""What is true of every plan, whatever the map, the rules and the rows: drawn at random, on a real database.

What is expected is worked out from the drawn rows in plain Python. The same examples are drawn every time.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import cached_property
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from portal.core.clock import SHANGHAI
from rights.connectors import sql
from rights.connectors.base import HeldGroup
from rights.datamap import DataMap
from rights.kernel.plan import Fate, Plan
from rights.kernel.retention import Count, Rule
from rights.kernel.states import Kind
from rights.planning import Matter, make_plan, open_reading
from tests.rights import zoo
from tests.rights.zoo import make_map
from tests.stack import Stack

# Each example costs several statements, so `make test-all` draws more of them. Shrinking one that fails takes minutes:
# add Phase.shrink to see the smallest.
drawn = settings(
    max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "8")),
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

TODAY = date(2026, 11, 23)
MATTER = Matter(kind=Kind.DELETION, identities={"account_no": "7"})

TABLES = """
CREATE SCHEMA zoo; SET search_path = zoo;
CREATE TABLE customer (id int PRIMARY KEY, account_no text NOT NULL, closed_on date);
CREATE TABLE secret (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customer);
CREATE TABLE deal (id int PRIMARY KEY, status text NOT NULL, ended_on date);
CREATE TABLE member (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customer,
    deal_id int NOT NULL REFERENCES deal, left_on date);
CREATE TABLE payment (id int PRIMARY KEY, deal_id int NOT NULL REFERENCES deal, paid_on date, text text);
CREATE TABLE note (id int PRIMARY KEY, payment_id int REFERENCES payment, deal_id int REFERENCES deal, written_on date);
"""
FIELDS = {
    "customer": ["id", "account_no, is account_no", "closed_on"],
    "secret": ["id", "customer_id, <- customer.id"],
    "member": ["id", "customer_id, <- customer.id", "deal_id, -> deal.id", "left_on"],
    "deal": ["id", "status", "ended_on"],
    "payment": ["id", "deal_id, <- deal.id", "paid_on", "text"],
    "note": ["id", "payment_id, <- payment.id", "deal_id, <- deal.id", "written_on"],
}
COLUMNS = {table: [text.partition(",")[0] for text in texts] for table, texts in FIELDS.items()}
TRIGGERS = {
    "customer": "closed_on",
    "member": "left_on",
    "deal": "ended_on",
    "payment": "paid_on",
    "note": "written_on",
}
PARENTS = [
    ("secret", "customer_id", "customer"),
    ("member", "customer_id", "customer"),
    ("member", "deal_id", "deal"),
    ("payment", "deal_id", "deal"),
    ("note", "payment_id", "payment"),
    ("note", "deal_id", "deal"),
]
RULED = ("KYC", "TXN", "INS-LONG")
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Governance:
    """How the collections are governed. Few of them, as each costs a look at the database's tables."""

    classes: Mapping[str, str]
    triggers: Mapping[str, str | None]
    masked: bool
    blocks: tuple[str, ...]

    @cached_property
    def data_map(self) -> DataMap:
        collections: dict[str, dict[str, Any]] = {"secret": {"fields": FIELDS["secret"], "confidential": True}}
        for name, data_class in self.classes.items():
            collections[name] = {"fields": FIELDS[name], "class": data_class, "trigger": self.triggers[name]}
        if self.masked:
            collections["payment"]["erase"] = {"method": "mask", "fields": {"text": "null"}}
        when = [{"field": "status", "op": "eq", "value": "open"}]
        blocks = [name for name in self.blocks if name in self.classes.values()]
        blocker = {"BLOCK.LOAN": {"in": "zoo.deal", "when": when, "blocks": blocks}}
        return make_map(collections, blockers=blocker if blocks else {})


def _govern(seed: int) -> Governance:
    random = Random(seed)
    return Governance(
        classes={name: random.choice(["CONS", "CONS", "TXN", "INS-LONG", "KYC", "FUND"]) for name in TRIGGERS},
        triggers={name: random.choice([column, column, column, None]) for name, column in TRIGGERS.items()},
        masked=seed % 3 == 0,
        blocks=random.choice([(), (), ("TXN",), ("KYC", "TXN")]),
    )


GOVERNANCES = [_govern(seed) for seed in range(16)]


@dataclass(frozen=True)
class World:
    """Rows, how they are governed, and the rules in force."""

    rows: Rows
    governance: Governance
    rules: tuple[Rule, ...]

    def rule_of(self, name: str) -> Rule | None:
        return next((rule for rule in self.rules if self.governance.classes[name] in rule.data_classes), None)

    def mine(self) -> dict[str, set[int]]:
        """The ids of the rows that are the person's, by table, as the references lead to them."""
        customers = {row["id"] for row in self.rows["customer"] if row["account_no"] == "7"}
        members = [row for row in self.rows["member"] if row["customer_id"] in customers]
        deals = {row["deal_id"] for row in members}
        payments = {row["id"] for row in self.rows["payment"] if row["deal_id"] in deals}
        notes = {row["id"] for row in self.rows["note"] if row["payment_id"] in payments or row["deal_id"] in deals}
        return {
            "customer": customers,
            "member": {row["id"] for row in members},
            "deal": deals,
            "payment": payments,
            "note": notes,
        }


# --- drawing worlds

DAYS = st.one_of(
    st.sampled_from(
        [TODAY, date(2021, 11, 22), date(2021, 11, 23), date(2020, 2, 29), date(2024, 2, 29), date(2021, 2, 28)]
    ),
    st.dates(date(2008, 1, 1), date(2028, 1, 1)),
    st.none(),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    def table(most: int, *, least: int = 0, **columns: st.SearchStrategy[Any]) -> list[dict[str, Any]]:
        drawn = draw(st.lists(st.fixed_dictionaries(columns), min_size=least, max_size=most))
        return [{"id": number, **row} for number, row in enumerate(drawn, 1)]

    def reference(rows: list[dict[str, Any]]) -> st.SearchStrategy[int]:
        return st.integers(1, len(rows)) if rows else st.nothing()

    rows: Rows = {"customer": table(3, least=1, account_no=st.sampled_from(["7", "7", "8"]), closed_on=DAYS)}
    rows["deal"] = table(3, least=1, status=st.sampled_from(["open", "done", "done"]), ended_on=DAYS)
    rows["member"] = table(5, customer_id=reference(rows["customer"]), deal_id=reference(rows["deal"]), left_on=DAYS)
    rows["payment"] = table(5, deal_id=reference(rows["deal"]), paid_on=DAYS, text=st.just("text"))
    optional = {name: st.none() | reference(rows[name]) for name in ("payment", "deal")}
    rows["note"] = table(5, payment_id=optional["payment"], deal_id=optional["deal"], written_on=DAYS)
    rows["secret"] = table(1, customer_id=reference(rows["customer"]))
    return World(
        rows=rows,
        governance=draw(st.sampled_from(GOVERNANCES)),
        rules=tuple(draw(rule(data_class)) for data_class in RULED),
    )


def rule(data_class: str) -> st.SearchStrategy[Rule]:
    return st.builds(
        lambda years, months, count: Rule(data_class, (data_class,), f"P{years}Y{months}M", "", count=count),
        st.integers(0, 12),
        st.integers(1, 11),
        st.sampled_from(Count),
    )


BEHIND_A_LINK = World(
    rows={
        "customer": [{"id": 1, "account_no": "7", "closed_on": None}],
        "secret": [],
        "deal": [{"id": 1, "status": "done", "ended_on": None}],
        "member": [{"id": 1, "customer_id": 1, "deal_id": 1, "left_on": None}],
        "payment": [{"id": 1, "deal_id": 1, "paid_on": date(2025, 1, 1), "text": "text"}],
        "note": [],
    },
    governance=Governance(
        classes={**dict.fromkeys(TRIGGERS, "CONS"), "payment": "TXN"}, triggers=TRIGGERS, masked=False, blocks=()
    ),
    rules=(Rule("TXN", ("TXN",), "P5Y0M", ""),),
)
"""A payment that is held, found only by way of a membership that goes."""


# --- asking the engine


@dataclass
class Place:
    """The database that one drawn world after another is put into."""

    url: str
    connection: "psycopg.Connection[tuple[Any, ...]]"

    def put(self, world: World) -> None:
        with self.connection.transaction():
            for name in ("note", "payment", "member", "deal", "secret", "customer"):
                self.connection.execute(f"DELETE FROM zoo.{name}".encode())
            for name in ("customer", "secret", "deal", "member", "payment", "note"):
                columns = COLUMNS[name]
                places = ", ".join(["%s"] * len(columns))
                self.connection.cursor().executemany(
                    f"INSERT INTO zoo.{name} ({', '.join(columns)}) VALUES ({places})".encode(),
                    [[row[column] for column in columns] for row in world.rows[name]],
                )

    def ids(self, name: str) -> set[int]:
        return {number for (number,) in self.connection.execute(f"SELECT id FROM zoo.{name}".encode())}


def moment(day: date) -> datetime:
    return datetime.combine(day, time(10), tzinfo=SHANGHAI)


def plan_of(world: World, *, day: date = TODAY) -> Plan:
    made = make_plan(MATTER, data_map=world.governance.data_map, rules=world.rules, now=moment(day), wait=30)
    assert made.unknown == ()
    return made


def going_of(world: World, *, day: date = TODAY) -> dict[str, set[int]]:
    """By table, the ids that go (or are masked) on that day."""
    data_map = world.governance.data_map
    with open_reading(MATTER, system="zoo", data_map=data_map, rules=world.rules, now=moment(day)) as (snapshot, read):
        return {
            name: {key[0] for key in snapshot.find_keys(read.policies, f"zoo.{name}", limit=1000)} for name in TRIGGERS
        }


def held_of(world: World, *, day: date = TODAY) -> dict[str, list[HeldGroup]]:
    """By table, the held records by trigger and last day."""
    data_map = world.governance.data_map
    with open_reading(MATTER, system="zoo", data_map=data_map, rules=world.rules, now=moment(day)) as (snapshot, read):
        return {name: snapshot.group_holds(read.policies, f"zoo.{name}") for name in TRIGGERS}


def erase(world: World) -> dict[str, int]:
    """Do what the plan says, as steps do; how many records, by table."""
    return zoo.erase(MATTER, data_map=world.governance.data_map, rules=world.rules, now=moment(TODAY))


@pytest.fixture(scope="module")
def place(stack: Stack, django_db_setup: None) -> Iterator[Place]:
    url = stack.make_database("rights_properties")
    with pytest.MonkeyPatch.context() as patch, psycopg.connect(url, autocommit=True) as connection:
        patch.setenv("SYSTEM_ZOO_URL", url)
        connection.execute(TABLES.encode())
        yield Place(url, connection)
        sql._engine(url).dispose()


# --- dates by hand


def months_later(start: date, months: int) -> date:
    """The corresponding day, else the month's last."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    for day in range(start.day, 27, -1):
        try:
            return date(year, month + 1, day)
        except ValueError:
            continue
    return date(year, month + 1, min(start.day, 28))


def end_of(trigger: date, rule: Rule) -> date:
    """The last day of the period that the rule asks for."""
    years, _, months = rule.duration.removeprefix("P").removesuffix("M").partition("Y")
    length = int(years) * 12 + int(months)
    if rule.count is Count.NEXT_JANUARY:
        return months_later(date(trigger.year + 1, 1, 1), length) - timedelta(days=1)
    return months_later(trigger, length)


# --- the properties


@drawn
@given(world=worlds())
def test_a_plans_parts_add_up_to_the_records_that_exist_and_are_not_confidential(place: Place, world: World) -> None:
    place.put(world)
    totals: dict[str, int] = {}
    for line in plan_of(world).lines:
        totals[line.collection] = totals.get(line.collection, 0) + line.count
    assert totals == {f"zoo.{name}": len(ids) for name, ids in world.mine().items() if ids}


@drawn
@given(world=worlds())
def test_after_erasing_a_plan_has_nothing_to_erase_and_nothing_else_is_gone(place: Place, world: World) -> None:
    place.put(world)
    going = going_of(world)
    erase(world)
    assert plan_of(world).count(Fate.ERASE, Fate.MASK) == 0
    for name in FIELDS:
        was = {row["id"] for row in world.rows[name]}
        assert was - place.ids(name) <= going.get(name, set())


@drawn
@given(world=worlds())
def test_all_that_a_plan_lets_go_is_gone_after_erasing(place: Place, world: World) -> None:
    place.put(world)
    going = going_of(world)
    erase(world)
    for name in TRIGGERS:
        was = {row["id"] for row in world.rows[name]}
        assert was - place.ids(name) == (set() if name == "payment" and world.governance.masked else going[name])


@drawn
@example(world=BEHIND_A_LINK)
@given(world=worlds())
def test_what_is_held_is_still_found_after_the_rest_is_gone(place: Place, world: World) -> None:
    place.put(world)
    held = held_of(world)
    erase(world)
    assert held_of(world) == held


@drawn
@given(world=worlds(), day=st.sampled_from([TODAY, date(2028, 2, 29), date(2031, 6, 1)]))
def test_nothing_is_released_before_its_rules_end(place: Place, world: World, day: date) -> None:
    place.put(world)
    going, held = going_of(world, day=day), held_of(world, day=day)
    for name in TRIGGERS:
        rule, column = world.rule_of(name), world.governance.triggers[name]
        if rule is None:
            continue
        triggers = {row["id"]: row[column] if column else None for row in world.rows[name]}
        for number in going[name]:
            trigger = triggers[number]
            assert trigger is not None
            assert end_of(trigger, rule) < day
        for group in held[name]:
            if group.last_day:
                assert group.last_day >= day
                assert group.trigger_on is not None
                assert group.last_day >= end_of(group.trigger_on, rule)


@drawn
@given(world=worlds())
def test_what_nothing_refers_to_is_held_to_its_own_rules_end(place: Place, world: World) -> None:
    place.put(world)
    rule = world.rule_of("note")
    for group in held_of(world)["note"]:
        assert rule is not None
        assert group.last_day == (end_of(group.trigger_on, rule) if group.trigger_on else None)


@drawn
@given(world=worlds(), more=st.integers(1, 60), day=st.dates(TODAY, date(2035, 1, 1)))
def test_a_longer_rule_never_releases_earlier(place: Place, world: World, more: int, day: date) -> None:
    place.put(world)
    longer = replace(world, rules=tuple(_lengthen(rule, months=more) for rule in world.rules))
    before, after = going_of(world, day=day), going_of(longer, day=day)
    for name in TRIGGERS:
        assert after[name] <= before[name]


def _lengthen(rule: Rule, *, months: int) -> Rule:
    years, _, rest = rule.duration.removeprefix("P").removesuffix("M").partition("Y")
    return replace(rule, duration=f"P{years}Y{int(rest) + months}M")


@drawn
@given(world=worlds())
def test_a_record_that_stays_keeps_the_record_it_refers_to(place: Place, world: World) -> None:
    """Whoever it belongs to, and also where it stays masked."""
    place.put(world)
    going = going_of(world)
    for child, column, parent in PARENTS:
        for row in world.rows[child]:
            if row["id"] not in going.get(child, set()) or (child == "payment" and world.governance.masked):
                assert row[column] not in going[parent]


@drawn
@given(world=worlds())
def test_a_record_is_held_at_least_as_long_as_what_refers_to_it(place: Place, world: World) -> None:
    place.put(world)
    lines = {(line.collection, line.fate): line for line in plan_of(world).lines}
    payments, deals = lines.get(("zoo.payment", Fate.HOLD)), lines.get(("zoo.deal", Fate.HOLD))
    if payments is None or any(name == "zoo.deal" and fate is not Fate.HOLD for name, fate in lines):
        return  # what else a deal comes to has its own end
    assert deals is not None
    if payments.open_ended:
        assert deals.open_ended
    if payments.last_release and not deals.open_ended:
        assert deals.last_release is not None
        assert deals.last_release >= payments.last_release
