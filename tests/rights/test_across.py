"""One person in several databases: references, blockers and relationships that lead from one to another."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import count
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
import yaml

from rights.connectors import sql
from rights.connectors.registry import add_links, connect
from rights.connectors.sqlreach import typed_value
from rights.datamap import DataMap, FaultyMap, parse_documents
from rights.datamap.live import join_maps
from rights.kernel.plan import Fate, Plan
from rights.kernel.states import Kind
from rights.planning import Matter, make_plan, open_reading
from rights.survey import shape, survey
from tests.rights.zoo import NOW, RULES
from tests.stack import Stack

ME = {"account_no": "7"}
_numbers = count(1)
Make = Callable[..., DataMap]
CRM = """
    CREATE TABLE customer (id int PRIMARY KEY, account text);
    CREATE TABLE card (id int PRIMARY KEY, customer int REFERENCES customer, code text);
    INSERT INTO customer VALUES (1, '7'), (2, '8');
    INSERT INTO card VALUES (10, 1, '100'), (11, 1, '101'), (12, 1, 'x'), (20, 2, '200');
"""
RIDES = """
    CREATE TABLE ride (id int PRIMARY KEY, card int NOT NULL, day date NOT NULL);
    INSERT INTO ride VALUES (1, 100, '2024-01-31'), (2, 100, '2019-01-01'), (3, 101, '2019-01-01'),
        (4, 200, '2024-01-01'), (5, 999, '2019-01-01');
"""
CRM_SET: list[dict[str, Any]] = [
    {"name": "customer", "fields": [
        {"name": "id", "fides_meta": {"primary_key": True}},
        {"name": "account", "fides_meta": {"identity": "account_no"}}]},
    {"name": "card", "fields": [
        {"name": "id"},
        {"name": "customer", "fides_meta": {
            "references": [{"dataset": "crm", "field": "customer.id", "direction": "from"}]}},
        {"name": "code", "fides_meta": {
            "references": [{"dataset": "metro", "field": "ride.card", "direction": "to"}]}}]},
]  # fmt: skip
RIDE_SET: list[dict[str, Any]] = [{"name": "ride", "fields": [{"name": "id"}, {"name": "card"}, {"name": "day"}]}]
GOVERNANCE: dict[str, Any] = {
    "systems": {"crm": {"schema": "public", "entity": "crm"}, "metro": {"schema": "public", "entity": "metro"}},
    "collections": {
        "crm.customer": {"class": "CONS", "erase": {"method": "delete"}},
        "crm.card": {"class": "CONS", "erase": {"method": "delete"}},
        "metro.ride": {"class": "TXN", "trigger": "day", "erase": {"method": "delete"}},
    },
}


def make_map(crm: list[dict[str, Any]] = CRM_SET, ride: list[dict[str, Any]] = RIDE_SET, **sections: Any) -> DataMap:
    datasets = [
        {"fides_key": "crm", "name": "CRM", "collections": crm},
        {"fides_key": "metro", "name": "Metro", "collections": ride},
    ]
    return parse_documents(
        {
            "governance.yml": yaml.safe_dump({**GOVERNANCE, **sections}),
            "datasets/all.yml": yaml.safe_dump({"dataset": datasets}),
        }
    )


@dataclass
class City:
    """Two databases: customers with their cards, and the rides of the cards."""

    crm: str
    metro: str

    def sql(self, system: str, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(getattr(self, system), autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def city(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[City]:
    number = next(_numbers)
    urls = {}
    for system, tables in (("crm", CRM), ("metro", RIDES)):
        urls[system] = stack.make_database(f"rights_{system}_{number}")
        with psycopg.connect(urls[system], autocommit=True) as connection:
            connection.execute(tables.encode())
        monkeypatch.setenv(f"SYSTEM_{system.upper()}_URL", urls[system])
    yield City(urls["crm"], urls["metro"])
    for url in urls.values():
        sql._engine(url).dispose()


def plan(data_map: DataMap, *, kind: Kind = Kind.DELETION) -> Plan:
    return make_plan(Matter(kind=kind, identities=ME), data_map=data_map, rules=RULES, now=NOW, wait=10)


def fates(found: Plan) -> dict[tuple[str, str], int]:
    return {(line.collection, line.fate.value): line.count for line in found.lines}


def test_a_reference_leads_from_one_database_into_another_as_what_is_written(city: City) -> None:
    found = plan(make_map())
    assert found.unknown == ()
    # Card codes are text here and numbers there; 'x' is nobody's ride, 200 is somebody else's, 999 nobody's.
    assert fates(found)["metro.ride", "hold"] == 1
    assert fates(found)["metro.ride", "erase"] == 2


@pytest.mark.parametrize(
    ("bounded", "theirs", "mine"),
    [
        ("varchar(3)", "abc", "abcdef"),
        ("char(3)", "abc", "abcdef"),
        ("numeric(9, 2)", "1.5", "1.504"),
    ],
)
def test_a_key_that_another_databases_column_cannot_hold_is_nobodys_there(
    city: City, bounded: str, theirs: str, mine: str
) -> None:
    """Cut or rounded to what the column holds it would be somebody else's."""
    city.sql("metro", f"ALTER TABLE ride ALTER card TYPE {bounded} USING '{theirs}'")
    kept = bounded if bounded.startswith("numeric") else "text"
    city.sql("crm", f"ALTER TABLE card ALTER code TYPE {kept.partition('(')[0]} USING '{mine}'")
    city.sql("crm", "UPDATE card SET code = '5' WHERE id <> 10")
    data_map = make_map()
    assert [collection for collection, _ in fates(plan(data_map)) if collection == "metro.ride"] == []
    city.sql("crm", f"UPDATE card SET code = '{theirs}' WHERE id = 10")
    assert fates(plan(data_map))["metro.ride", "erase"] == 3


@pytest.mark.parametrize(
    ("value", "type_", "found"),
    [
        (Decimal("5.00"), sa.Integer(), 5),
        (Decimal(500), sa.Integer(), 500),
        (Decimal("5.50"), sa.Integer(), None),
        (Decimal("5.50"), sa.Numeric(9, 2), Decimal("5.5")),
    ],
)
def test_a_decimal_leads_on_by_its_value(value: Decimal, type_: sa.types.TypeEngine[Any], found: object) -> None:
    assert typed_value(value, type_) == found


def test_what_leads_to_held_rows_of_another_database_stays_until_they_go(city: City) -> None:
    found = plan(make_map())
    # Card 100 is the only way to the ride that is held to 2029-01-31; its customer is the only way to the card.
    assert fates(found)["crm.card", "hold"] == 1
    assert fates(found)["crm.card", "erase"] == 2
    assert {line.last_release for line in found.lines if line.fate is Fate.HOLD} == {date(2029, 1, 31)}
    assert fates(found)["crm.customer", "hold"] == 1
    city.sql("metro", "DELETE FROM ride WHERE id = 1")
    assert fates(plan(make_map())) == {
        ("crm.customer", "erase"): 1,
        ("crm.card", "erase"): 3,
        ("metro.ride", "erase"): 2,
    }


def test_what_is_erased_in_the_other_database_is_what_the_plan_says(city: City) -> None:
    data_map = make_map()
    matter = Matter(kind=Kind.DELETION, identities=ME)
    with open_reading(matter, system="metro", data_map=data_map, rules=RULES, now=NOW) as (snapshot, reading):
        keys = snapshot.find_keys(reading.policies, "metro.ride", limit=10)
    assert connect("metro", data_map).erase(reading.seed, reading.policies, "metro.ride", keys) == 2
    assert city.sql("metro", "SELECT id FROM ride ORDER BY 1") == [(1,), (4,), (5,)]


def test_a_database_that_leads_into_another_and_is_away_makes_that_one_unknown_too(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSTEM_CRM_URL", "postgresql://127.0.0.1:1/nothing")
    found = plan(make_map())
    assert set(found.unknown) == {"crm", "metro"}
    assert {line.fate.value for line in found.lines} == {"unknown"}


def test_a_key_that_two_people_have_makes_the_other_databases_rows_a_persons_matter(city: City) -> None:
    city.sql("crm", "INSERT INTO card VALUES (21, 2, '101')")
    found = plan(make_map())
    assert fates(found)["metro.ride", "person"] == 1  # ride 3, of card 101
    assert fates(found)["metro.ride", "erase"] == 1


def test_a_row_found_by_its_own_identity_but_led_to_for_somebody_else_goes_to_a_person(city: City) -> None:
    city.sql("metro", "ALTER TABLE ride ADD account text")
    city.sql("metro", "UPDATE ride SET account = '7' WHERE id IN (2, 4)")
    city.sql("metro", "UPDATE ride SET day = '2019-01-01'")
    ride = [
        {
            "name": "ride",
            "fields": [*RIDE_SET[0]["fields"], {"name": "account", "fides_meta": {"identity": "account_no"}}],
        }
    ]
    found = fates(plan(make_map(ride=ride)))
    # Ride 4 bears my account and another's card.
    assert found["metro.ride", "person"] == 1
    assert found["metro.ride", "erase"] == 3


def test_ten_thousand_keys_and_more_lead_on(city: City) -> None:
    city.sql("crm", "INSERT INTO card SELECT n, 1, n::text FROM generate_series(1000, 26000) n")
    city.sql("metro", "INSERT INTO ride SELECT n, n, '2019-01-01' FROM generate_series(1000, 26000) n")
    assert fates(plan(make_map()))["metro.ride", "erase"] == 25_001 + 2


def test_databases_that_lead_into_each_other_are_a_fault() -> None:
    ride = [{"name": "ride", "fields": [
        {"name": "id"}, {"name": "card"},
        {"name": "day", "fides_meta": {"references": [{"dataset": "crm", "field": "customer.id", "direction": "to"}]}},
    ]}]  # fmt: skip
    with pytest.raises(FaultyMap, match="in a circle from database to database") as caught:
        make_map(ride=ride)
    assert "follow: false" in caught.value.faults[-1].remedy


# --- facts in the way that another system knows


def test_a_blocker_reaches_the_entities_it_names_in_their_own_systems(city: City) -> None:
    blockers = {
        "BLOCK.DISPUTE": {
            "in": "crm.card", "when": [{"field": "code", "op": "eq", "value": "x"}], "blocks": ["TXN"],
            "entities": ["metro"],
        }
    }  # fmt: skip
    found = plan(make_map(blockers=blockers))
    assert fates(found)["metro.ride", "blocked"] == 3
    # Nothing blocks the cards themselves; two of them are the only way to a blocked ride.
    assert fates(found)["crm.card", "blocked"] == 2
    assert fates(found)["crm.card", "erase"] == 1
    assert [fact.key for fact in found.blockers] == ["BLOCK.DISPUTE"]
    city.sql("crm", "DELETE FROM card WHERE code = 'x'")
    assert ("metro.ride", "blocked") not in fates(plan(make_map(blockers=blockers)))


def test_a_fact_that_only_a_system_outside_the_request_knows_defers_it(city: City) -> None:
    """One company is asked to close; the dispute in its way is known to another's system."""
    dispute = {
        "in": "crm.card",
        "when": [{"field": "code", "op": "eq", "value": "x"}],
        "blocks": ["TXN"],
        "entities": ["metro"],
    }
    data_map = make_map(blockers={"BLOCK.DISPUTE": dispute})
    matter = Matter(kind=Kind.CANCELLATION, identities=ME, entities=frozenset({"metro"}))
    found = make_plan(matter, data_map=data_map, rules=RULES, now=NOW, wait=10)
    assert {line.collection for line in found.lines} == {"metro.ride"}
    assert [fact.key for fact in found.blockers] == ["BLOCK.DISPUTE"]
    assert found.waits
    city.sql("crm", "DELETE FROM card WHERE code = 'x'")
    assert not make_plan(matter, data_map=data_map, rules=RULES, now=NOW, wait=10).waits


def test_a_system_that_knows_of_blockers_and_is_away_never_counts_as_clear(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    blockers = {"BLOCK.DISPUTE": {"in": "metro.ride", "blocks": ["CONS"], "entities": ["crm"]}}
    monkeypatch.setenv("SYSTEM_METRO_URL", "postgresql://127.0.0.1:1/nothing")
    ride = [{"name": "ride", "fields": [
        {"name": "id"}, {"name": "card", "fides_meta": {"identity": "account_no"}}, {"name": "day"}]}]  # fmt: skip
    crm = [CRM_SET[0], {"name": "card", "fields": [*CRM_SET[1]["fields"][:2], {"name": "code"}]}]
    found = plan(make_map(crm=crm, ride=ride, blockers=blockers))
    assert set(found.unknown) == {"crm", "metro"}


def test_links_are_read_only_where_a_database_is_led_into(city: City) -> None:
    seed = Matter(kind=Kind.DELETION, identities=ME).seed(now=NOW)
    assert add_links(seed, system="crm", data_map=make_map()) is seed
    (links,) = add_links(seed, system="metro", data_map=make_map()).links.values()
    assert sorted(links.values) == [("100",), ("101",), ("x",)]
    assert set(links.shared) == {False}


def test_everybodys_plans_over_two_live_maps_are_the_plans_of_each(city: City) -> None:
    """The maps know the same people as text and as numbers, and each has a BLOCK.LOAN of its own."""
    city.sql("metro", "CREATE TABLE rider (account int PRIMARY KEY, owes boolean); INSERT INTO rider VALUES (8, true)")
    city.sql("metro", "INSERT INTO rider VALUES (10, false), (9, true)")
    city.sql("crm", "INSERT INTO customer VALUES (3, '10'), (4, 'x7')")

    def one(key: str, table: str, fields: list[str], predicate: dict[str, Any]) -> DataMap:
        named = [
            {"name": name, "fides_meta": {"identity": "account_no"} if name == "account" else {}} for name in fields
        ]
        governance = {
            "systems": {key: {"schema": "public", "entity": key}},
            "collections": {f"{key}.{table}": {"class": "CONS", "erase": {"method": "delete"}}},
            "blockers": {"BLOCK.LOAN": {"in": f"{key}.{table}", "when": [predicate], "blocks": ["CONS"]}},
        }
        dataset = [{"fides_key": key, "name": key, "collections": [{"name": table, "fields": named}]}]
        return parse_documents(
            {"governance.yml": yaml.safe_dump(governance), "datasets/a.yml": yaml.safe_dump({"dataset": dataset})}
        )

    both = join_maps(
        [
            one("crm", "customer", ["id", "account"], {"field": "id", "op": "in", "value": [1, 3]}),
            one("metro", "rider", ["account", "owes"], {"field": "owes", "op": "eq", "value": True}),
        ]
    )
    found = [
        json.loads(line)
        for line in survey(kind=Kind.DELETION, identity="account_no", data_map=both, rules=RULES, now=NOW)
    ]
    assert [line["subject"]["account_no"] for line in found] == ["x7", "7", "8", "9", "10"]
    told = {line["subject"]["account_no"]: line for line in found}
    assert {who: line["blockers"] for who, line in told.items() if line["blockers"]} == {
        "7": ["BLOCK.LOAN"],
        "8": ["BLOCK.LOAN"],
        "9": ["BLOCK.LOAN"],
        "10": ["BLOCK.LOAN"],
    }
    counts = {
        who: [
            (line["collections"][key]["erase"], line["collections"][key]["blocked"])
            for key in ("crm.customer", "metro.rider")
        ]
        for who, line in told.items()
    }
    # (may go, is blocked) in each: one company's loan is not in the way of the other's records.
    assert counts == {
        "x7": [(1, 0), (0, 0)],
        "7": [(0, 1), (0, 0)],
        "8": [(1, 0), (0, 1)],
        "9": [(0, 0), (0, 1)],
        "10": [(0, 1), (1, 0)],
    }
    for who, line in told.items():
        matter = Matter(kind=Kind.DELETION, identities={"account_no": who})
        alone = make_plan(matter, data_map=both, rules=RULES, now=NOW, wait=10)
        assert line == shape(alone, line["subject"], both)
