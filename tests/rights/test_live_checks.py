"""What a live database says against a map, each time in a real schema: the fault, where it is, and what to do."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from rights.actions.datamap import check_map
from rights.connectors.base import Unavailable
from rights.connectors.registry import check_system
from rights.connectors.sqlcheck import Finding, check_edges
from rights.datamap.parse import parse_mentioned
from tests.rights.zoo import Collections, Zoo, make_map
from tests.stack import Stack

PERSON = "CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, name text, born date);"
FIELDS = ["id, pk", "account, is account_no", "name", "born"]
ME: Collections = {"person": {"fields": FIELDS}}
CHILD = ["id, pk", "person, <- person.id"]
Zoos = Callable[..., Zoo]


@pytest.fixture(scope="module")
def ground(stack: Stack) -> str:
    """One database for all tests here: a check keeps no connection, so that a schema can be made anew for each."""
    return stack.make_database("rights_live_checks")


@pytest.fixture
def make_zoo(ground: str, monkeypatch: pytest.MonkeyPatch) -> Zoos:
    def make(tables: str, collections: Collections, **sections: Any) -> Zoo:
        with psycopg.connect(ground, autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning; DROP SCHEMA IF EXISTS zoo, other CASCADE")
            connection.execute(f"CREATE SCHEMA zoo; SET search_path = zoo; {tables}".encode())
        monkeypatch.setenv("SYSTEM_ZOO_URL", ground)
        return Zoo(ground, make_map(collections, **sections))

    return make


def ask(zoo: Zoo) -> list[Finding]:
    live, found = check_system("zoo", zoo.data_map, dataset_file="datasets/zoo.yml")
    return [*found, *check_edges(zoo.data_map, {"zoo": live})]


def faults(zoo: Zoo) -> list[Finding]:
    return [finding for finding in ask(zoo) if finding.severity == "fault"]


def only_fault(zoo: Zoo) -> Finding:
    (found,) = faults(zoo)
    return found


def warnings(zoo: Zoo) -> list[Finding]:
    return [finding for finding in ask(zoo) if finding.severity == "warning"]


def masked(*fields: str, **how: object) -> Collections:
    """A person's table whose erasure masks; `how` maps a field to its strategy."""
    return {"person": {"fields": [*FIELDS, *fields], "erase": {"method": "mask", "fields": how}}}


# --- a map that is true to its database


def test_a_sound_map_has_no_finding(make_zoo: Zoos) -> None:
    tables = (
        PERSON
        + "CREATE TABLE visit (id int PRIMARY KEY, person int REFERENCES person); CREATE INDEX ON visit (person);"
    )
    assert ask(make_zoo(tables, {**ME, "visit": {"fields": CHILD}})) == []


@pytest.mark.parametrize("name", ["Straße", "order", "客户", "a.b", 'quo"te', "MixedCase"])
def test_names_of_every_kind_are_found_as_they_are(make_zoo: Zoos, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    tables = f"CREATE TABLE {quoted} (id int PRIMARY KEY, {quoted} text UNIQUE);"
    assert ask(make_zoo(tables, {name: {"fields": ["id, pk", f"{name}, is account_no"]}})) == []


# --- what is not there


def test_a_table_that_is_missing_is_named_with_its_near_names(make_zoo: Zoos) -> None:
    fault = only_fault(
        make_zoo("CREATE TABLE persons (id int PRIMARY KEY);", {"person": {"fields": ["id, pk, is account_no"]}})
    )
    assert (fault.file, fault.key) == ("datasets/zoo.yml", "zoo.person")
    assert "no table person" in fault.reason
    assert fault.remedy == "Did you mean persons?"


def test_a_column_that_is_missing_is_named_with_its_near_names(make_zoo: Zoos) -> None:
    fault = only_fault(make_zoo(PERSON, {"person": {"fields": [*FIELDS, "Nam"]}}))
    assert (fault.file, fault.key) == ("datasets/zoo.yml", "zoo.person.Nam")
    assert "no column Nam" in fault.reason
    assert "name" in fault.remedy


def test_a_schema_that_is_missing_is_one_fault_and_not_one_for_each_table(make_zoo: Zoos) -> None:
    fault = only_fault(make_zoo(PERSON, ME, schema="zo"))
    assert fault.key == "systems.zoo.schema"
    assert fault.remedy == "Did you mean zoo?"


# --- types


@pytest.mark.parametrize("type_", ["date", "timestamptz", "boolean", "bytea", "jsonb", "text[]"])
def test_an_identity_in_a_column_no_identity_can_be_read_as_is_a_fault(make_zoo: Zoos, type_: str) -> None:
    tables = f"CREATE TABLE person (id int PRIMARY KEY, account {type_}, name text, born date);"
    fault = only_fault(make_zoo(tables, ME))
    assert fault.key == "zoo.person.account"
    assert "account_no" in fault.reason


@pytest.mark.parametrize("type_", ["text", "varchar(20)", "bigint", "numeric", "uuid", "plain"])
def test_an_identity_may_be_of_any_type_it_can_be_read_as(make_zoo: Zoos, type_: str) -> None:
    tables = "CREATE DOMAIN plain AS text;" + PERSON.replace("account text", f"account {type_}")
    assert faults(make_zoo(tables, ME)) == []


@pytest.mark.parametrize("role", ["trigger", "cutoff"])
@pytest.mark.parametrize("type_", ["text", "int", "time"])
def test_a_trigger_or_cutoff_that_is_no_day_is_a_fault(make_zoo: Zoos, role: str, type_: str) -> None:
    tables = f"CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, name text, born {type_});"
    fault = only_fault(make_zoo(tables, {"person": {"fields": FIELDS, role: "born"}}))
    assert (fault.file, fault.key) == ("governance.yml", f"collections.zoo.person.{role}")
    assert "gives no day" in fault.reason


@pytest.mark.parametrize("type_", ["date", "timestamp", "timestamptz"])
def test_a_trigger_may_be_a_date_or_a_timestamp(make_zoo: Zoos, type_: str) -> None:
    tables = f"CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, name text, born {type_});"
    assert faults(make_zoo(tables, {"person": {"fields": FIELDS, "trigger": "born", "cutoff": "born"}})) == []


VALUES = "CREATE TYPE mood AS ENUM ('glad', 'sad');"


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("int", "B"), ("int", True), ("int", 2.5), ("smallint", 40000), ("numeric", "much"), ("boolean", "yes"),
        ("boolean", 1), ("date", "soon"), ("date", 5), ("text", "@today"), ("mood", "angry"), ("uuid", "7"),
    ],
)  # fmt: skip
def test_a_predicates_value_that_the_column_cannot_hold_is_a_fault(make_zoo: Zoos, type_: str, value: object) -> None:
    tables = VALUES + f"CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, state {type_});"
    when = [{"field": "state", "op": "eq", "value": value}]
    clauses = [{"class": "TXN", "when": when}, "CONS"]
    fault = only_fault(
        make_zoo(tables, {"person": {"fields": ["id, pk", "account, is account_no", "state"], "class": clauses}})
    )
    assert fault.key == "collections.zoo.person.class"
    assert "state" in fault.reason
    assert repr(value) in fault.reason


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("int", 5), ("smallint", 32767), ("numeric", 2.5), ("boolean", False), ("date", "2026-11-23"),
        ("date", "@today"), ("timestamptz", "@today"), ("text", "B"), ("text", 3), ("mood", "sad"),
        ("uuid", "00000000-0000-0000-0000-000000000007"),
    ],
)  # fmt: skip
def test_a_predicates_value_that_fits_is_none(make_zoo: Zoos, type_: str, value: object) -> None:
    tables = VALUES + f"CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, state {type_});"
    when = [{"field": "state", "op": "eq", "value": value}]
    collections: Collections = {
        "person": {"fields": ["id, pk", "account, is account_no", "state"], "class": [{"class": "CONS", "when": when}]}
    }
    assert faults(make_zoo(tables, collections)) == []


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"blockers": {"BLOCK.LOAN": {"in": "zoo.person", "when": [{"field": "id", "op": "in", "value": [1, "x"]}]}}},
         "blockers.BLOCK.LOAN.when"),
        ({"entities": {"zoo": {"name": "Zoo", "relationship": {"in": "zoo.person", "when": [{"field": "born", "op": "gt", "value": 1}]}}}},  # noqa: E501
         "entities.zoo.relationship"),
        ({"consents": {"mail": {"label": "Mail", "consequence": "None", "in": "zoo.person", "given": {"born": "2020-01-01"}, "withdraw": {"born": "no"}}}},  # noqa: E501
         "consents.mail.withdraw"),
    ],
)  # fmt: skip
def test_every_section_that_states_a_value_is_held_against_its_column(
    make_zoo: Zoos, sections: dict[str, Any], key: str
) -> None:
    assert only_fault(make_zoo(PERSON, ME, **sections)).key == key


def test_what_closing_writes_is_held_against_its_column(make_zoo: Zoos) -> None:
    fault = only_fault(make_zoo(PERSON, {"person": {"fields": FIELDS, "close": {"set": {"name": "@today"}}}}))
    assert fault.key == "collections.zoo.person.close"


@pytest.mark.parametrize(
    ("type_", "sound"),
    [("int", True), ("bigint", True), ("numeric", True), ("text", True), ("uuid", False), ("date", False)],
)
def test_a_reference_between_types_that_cannot_be_compared_is_a_fault(make_zoo: Zoos, type_: str, sound: bool) -> None:
    tables = PERSON + f"CREATE TABLE visit (id int PRIMARY KEY, person {type_}); CREATE INDEX ON visit (person);"
    found = faults(make_zoo(tables, {**ME, "visit": {"fields": CHILD}}))
    assert [finding.key for finding in found] == ([] if sound else ["edges zoo.person.id → zoo.visit.person"])


TWO_SYSTEMS = {
    "governance.yml": """
systems: {zoo: {schema: zoo, entity: zoo}, other: {schema: other, entity: zoo}}
collections:
  zoo.person: {class: CONS, erase: {method: delete}}
  other.note: {class: CONS, erase: {method: delete}}
""",
    "datasets/all.yml": """
dataset:
  - fides_key: zoo
    name: Zoo
    collections: [{name: person, fields: [{name: id, fides_meta: {primary_key: true, identity: account_no}}]}]
  - fides_key: other
    name: Other
    collections:
      - name: note
        fields:
          - {name: id, fides_meta: {primary_key: true}}
          - {name: who, fides_meta: {references: [{dataset: zoo, field: person.id, direction: from}]}}
""",
}


@pytest.mark.parametrize(("type_", "sound"), [("bigint", True), ("text", True), ("date", False)])
def test_a_reference_into_another_system_is_held_against_both(
    make_zoo: Zoos, ground: str, monkeypatch: pytest.MonkeyPatch, type_: str, sound: bool
) -> None:
    make_zoo(
        PERSON + f"CREATE SCHEMA other; CREATE TABLE other.note (id int PRIMARY KEY, who {type_});"
        "CREATE INDEX ON other.note (who);",
        ME,
    )
    monkeypatch.setenv("SYSTEM_OTHER_URL", ground)
    report = check_map(*parse_mentioned(TWO_SYSTEMS))
    assert [finding.key for finding in report.findings] == ([] if sound else ["edges zoo.person.id → other.note.who"])


def test_a_column_of_a_type_that_only_the_database_knows_is_let_pass(make_zoo: Zoos) -> None:
    tables = PERSON.replace("name text", "name point").replace("born date", "born xid8")
    assert ask(make_zoo(tables, ME)) == []


# --- keys, views, partitions


def test_a_table_without_any_key_is_a_fault_and_a_stated_key_mends_it(make_zoo: Zoos) -> None:
    tables = "CREATE TABLE person (id int NOT NULL, account text UNIQUE);"
    bare = ["id", "account, is account_no"]
    assert only_fault(make_zoo(tables, {"person": {"fields": bare}})).remedy.endswith("primary_key.")
    stated = make_zoo(tables, {"person": {"fields": ["id, pk", *bare[1:]]}})
    assert faults(stated) == []
    (warning,) = warnings(stated)
    assert "unique" in warning.reason
    stated.sql(warning.remedy)
    assert ask(stated) == []


def test_a_view_needs_a_stated_key(make_zoo: Zoos) -> None:
    tables = "CREATE TABLE base (id int PRIMARY KEY, account text UNIQUE); CREATE VIEW person AS SELECT * FROM base;"
    fault = only_fault(make_zoo(tables, {"person": {"fields": ["id", "account, is account_no"]}}))
    assert "is a view" in fault.reason
    assert faults(make_zoo(tables, {"person": {"fields": ["id, pk", "account, is account_no"]}})) == []


@pytest.mark.parametrize("deep", [False, True])
def test_a_view_beside_its_own_table_is_a_fault(make_zoo: Zoos, deep: bool) -> None:
    tables = PERSON + "CREATE VIEW inner_view AS SELECT id, account FROM person;"
    tables += f"CREATE VIEW face AS SELECT id, account FROM {'inner_view' if deep else 'person'};"
    fault = only_fault(make_zoo(tables, {**ME, "face": {"fields": ["id, pk", "account, is account_no"]}}))
    assert fault.key == "collections.zoo.face"
    assert "twice" in fault.reason


def test_a_materialised_view_is_a_copy_that_nothing_can_be_erased_from(make_zoo: Zoos) -> None:
    tables = PERSON + "CREATE MATERIALIZED VIEW copy AS SELECT id, account FROM person;"
    fault = only_fault(make_zoo(tables, {"copy": {"fields": ["id, pk", "account, is account_no"]}}))
    assert fault.key == "collections.zoo.copy"
    assert "refresh" in fault.remedy


def test_a_view_that_cannot_be_deleted_from_is_a_fault(make_zoo: Zoos) -> None:
    tables = PERSON + "CREATE VIEW face AS SELECT account, min(id) AS id FROM person GROUP BY account;"
    fault = only_fault(make_zoo(tables, {"face": {"fields": ["id, pk", "account, is account_no"]}}))
    assert fault.key == "collections.zoo.face.erase"


PARTS = """
CREATE TABLE person (id int, account text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE person_1 PARTITION OF person FOR VALUES FROM (0) TO (10);
CREATE INDEX ON person (account);
"""


def test_a_partition_beside_its_parent_is_a_fault(make_zoo: Zoos) -> None:
    both: Collections = {name: {"fields": ["id, pk", "account, is account_no"]} for name in ("person", "person_1")}
    assert only_fault(make_zoo(PARTS, both)).key == "collections.zoo.person_1"
    assert ask(make_zoo(PARTS, {"person": both["person"]})) == []


# --- what the portal's role may do

ROLE = "zoo_reader"


@pytest.fixture
def as_reader(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> "As":
    return As(stack, monkeypatch)


class As:
    """A zoo seen by a role that has exactly what is granted to it."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack, self.monkeypatch = stack, monkeypatch

    def __call__(self, zoo: Zoo, grants: Sequence[str]) -> None:
        if not zoo.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]):
            zoo.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'reader'")
        for grant in grants:
            zoo.sql(grant)
        address = psycopg.conninfo.conninfo_to_dict(zoo.url)
        self.monkeypatch.setenv(
            "SYSTEM_ZOO_URL",
            f"postgresql://{ROLE}:reader@/{address['dbname']}?host={address['host']}&port={address['port']}",
        )


USAGE = f"GRANT USAGE ON SCHEMA zoo TO {ROLE}"


@pytest.mark.parametrize(
    ("grants", "collections", "lacks"),
    [
        (["SELECT"], ME, ["DELETE"]),
        (["DELETE"], ME, ["SELECT"]),
        (["SELECT (id, account, born), DELETE"], ME, ['SELECT ("name")']),
        (["SELECT"], masked(name="null"), ['UPDATE ("name")']),
        (["SELECT, DELETE"], {"person": {"fields": FIELDS, "close": {"set": {"born": "@today"}}}}, ['UPDATE ("born")']),
    ],
)
def test_a_right_that_lacks_is_a_fault_with_the_grant_that_mends_it(
    make_zoo: Zoos, as_reader: As, grants: list[str], collections: Collections, lacks: list[str]
) -> None:
    zoo = make_zoo(PERSON, collections)
    as_reader(zoo, [USAGE, *(f"GRANT {grant} ON zoo.person TO {ROLE}" for grant in grants)])
    fault = only_fault(zoo)
    assert fault.key == "zoo.person"
    assert f"GRANT {', '.join(lacks)} ON" in fault.remedy
    zoo.sql(fault.remedy)
    assert faults(zoo) == []


def test_rights_that_corrections_and_consents_need_are_asked_for(make_zoo: Zoos, as_reader: As) -> None:
    sections: dict[str, Any] = {
        "corrections": {"name": {"label": "Name", "fields": ["zoo.person.name"]}},
        "consents": {
            "mail": {"label": "Mail", "consequence": "None", "in": "zoo.person", "given": {"account": "x"},
                     "withdraw": {"account": "y", "born": "@today"}}
        },
    }  # fmt: skip
    zoo = make_zoo(PERSON, ME, **sections)
    as_reader(zoo, [USAGE, f"GRANT SELECT, DELETE ON zoo.person TO {ROLE}"])
    assert 'UPDATE ("account", "born", "name")' in only_fault(zoo).remedy


def test_a_schema_that_may_not_be_used_is_a_fault(make_zoo: Zoos, as_reader: As) -> None:
    zoo = make_zoo(PERSON, ME)
    as_reader(zoo, [f"GRANT SELECT, DELETE ON zoo.person TO {ROLE}"])
    fault = only_fault(zoo)
    zoo.sql(fault.remedy)
    assert faults(zoo) == []


def test_a_row_level_policy_that_binds_our_role_is_a_fault(make_zoo: Zoos, as_reader: As) -> None:
    """A row that is hidden is not absent; the portal would say that it is gone."""
    zoo = make_zoo(PERSON + "ALTER TABLE person ENABLE ROW LEVEL SECURITY;", ME)
    assert faults(zoo) == [], "the owner is not bound"
    as_reader(zoo, [USAGE, f"GRANT SELECT, DELETE ON zoo.person TO {ROLE}"])
    fault = only_fault(zoo)
    assert "policy" in fault.reason
    try:
        zoo.sql(fault.remedy)
        assert faults(zoo) == []
    finally:
        zoo.sql(f"ALTER ROLE {ROLE} NOBYPASSRLS")


# --- masks


@pytest.mark.parametrize(
    ("column", "how", "said"),
    [
        ("nick text NOT NULL", "null", "may not be null"),
        ("nick needed", "null", "may not be null"),
        ("nick varchar(3)", {"constant": "gone"}, "holds 3 characters"),
        ("nick int", {"constant": "gone"}, "does not fit"),
        ("nick mood", {"constant": "angry"}, "does not fit"),
        ("nick text GENERATED ALWAYS AS (lower(name)) STORED", "null", "computed"),
        ("nick int GENERATED ALWAYS AS IDENTITY", {"constant": 0}, "computed"),
        ("nick text UNIQUE", {"constant": "gone"}, "must be unique"),
        ("nick text, UNIQUE (nick, born)", {"constant": "gone"}, "must be unique"),
        ("nick text UNIQUE NULLS NOT DISTINCT", "null", "must be unique"),
        ("nick varchar(70)", {"hash": "sha256"}, "holds 70 characters, a hash (hash: sha256) has 71"),
        ("nick varchar(29)", {"pseudonym": "guest"}, "has 30"),
        ("nick varchar(10)", {"format": "phone"}, "has 11"),
        ("nick char(17)", {"format": "resident_id"}, "has 18"),
        ("nick bigint", {"format": "phone"}, "bigint, and a number is written as text"),
        ("nick uuid", {"pseudonym": "guest"}, "uuid, and a pseudonym is written as text"),
        ("nick mood", {"hash": "sha256"}, "a hash is written as text"),
        ("nick text", {"date": "year"}, "is of type text, which holds no date"),
        ("nick time", {"date": "month"}, "holds no date"),
        ("nick text UNIQUE", {"format": "phone"}, "must be unique"),
        ("nick date UNIQUE", {"date": "month"}, "must be unique"),
        ("nick text, UNIQUE (nick, name)", {"format": "resident_id"}, "must be unique"),
        ("nick text GENERATED ALWAYS AS (lower(name)) STORED", {"pseudonym": "guest"}, "computed"),
    ],
)
def test_a_mask_that_the_constraints_forbid_is_a_fault(make_zoo: Zoos, column: str, how: object, said: str) -> None:
    tables = VALUES + "CREATE DOMAIN needed AS text NOT NULL;"
    tables += f"CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, name text, born date, {column});"
    fault = only_fault(make_zoo(tables, masked("nick", nick=how)))
    assert (fault.file, fault.key) == ("governance.yml", "collections.zoo.person.erase.nick")
    assert said in fault.reason


@pytest.mark.parametrize(
    ("column", "how"),
    [
        ("nick text", "null"),
        ("nick text NOT NULL", {"constant": "gone"}),
        ("nick varchar(4)", {"constant": "gone"}),
        ("nick char(2)", {"constant": "**"}),
        ("nick mood", {"constant": "sad"}),
        ("nick text UNIQUE", "null"),
        ("nick text, UNIQUE (nick, id)", {"constant": "gone"}),
        ("nick varchar(71) NOT NULL", {"hash": "sha256"}),
        ("nick varchar(30)", {"pseudonym": "guest"}),
        ("nick varchar(11)", {"format": "phone"}),
        ("nick char(18)", {"format": "resident_id"}),
        ("nick date", {"date": "year"}),
        ("nick timestamptz", {"date": "month"}),
        ("nick timestamp(0) NOT NULL", {"date": "month"}),
    ],
)
def test_a_mask_that_fits_is_none(make_zoo: Zoos, column: str, how: object) -> None:
    tables = VALUES
    tables += f"CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, name text, born date, {column});"
    tables += "INSERT INTO person (id, nick) VALUES (1, NULL), (2, NULL);" if "NOT NULL" not in column else ""
    assert ask(make_zoo(tables, masked("nick", nick=how))) == []


@pytest.mark.parametrize("how", [{"pseudonym": "guest"}, {"hash": "sha256"}])
def test_a_unique_field_may_be_masked_if_values_stay_apart_and_who_comes_back_is_warned_of(
    make_zoo: Zoos, how: object
) -> None:
    """A person comes back with the number that was masked: a second time it would be masked as before."""
    tables = "CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, name text, born date, nick text UNIQUE);"
    zoo = make_zoo(tables + "INSERT INTO person (id, nick) VALUES (1, 'a'), (2, 'b');", masked("nick", nick=how))
    assert faults(zoo) == []
    (finding,) = warnings(zoo)
    assert (finding.key, "comes back" in finding.reason) == ("collections.zoo.person.erase.nick", True)


@pytest.mark.parametrize(
    ("category", "how", "warned"),
    [
        ("user.contact.phone_number", {"hash": "sha256"}, True),
        ("user.government_id.national_identification_number", {"hash": "sha256"}, True),
        ("user.name", {"hash": "sha256"}, True),
        ("user.unique_id", {"hash": "sha256"}, False),
        ("user.contact.phone_number", {"pseudonym": "guest"}, False),
        ("user.contact.phone_number", {"format": "phone"}, False),
    ],
)
def test_a_hash_of_what_can_be_guessed_is_warned_of_and_a_pseudonym_named(
    make_zoo: Zoos, category: str, how: object, warned: bool
) -> None:
    tables = "CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, name text, born date, nick text);"
    zoo = make_zoo(tables, masked("nick", nick=how))
    person = zoo.data_map.collections["zoo.person"]
    fields = tuple(replace(item, categories=(category,)) if item.name == "nick" else item for item in person.fields)
    collections = {**zoo.data_map.collections, person.key: replace(person, fields=fields)}
    found = ask(Zoo(zoo.url, replace(zoo.data_map, collections=collections)))
    assert [(finding.severity, finding.remedy) for finding in found] == (
        [("warning", "Write nick: {pseudonym: nick}.")] if warned else []
    )


def test_of_several_masks_the_one_that_the_database_refuses_is_named(make_zoo: Zoos) -> None:
    tables = PERSON + "ALTER TABLE person ADD CONSTRAINT mobile CHECK (name ~ '^1[3-9][0-9]{9}$');"
    how = {"name": {"format": "phone"}, "born": {"date": "year"}}
    zoo = make_zoo(tables + "INSERT INTO person VALUES (1, '1', '13800138000', '1988-02-29');", masked(**how))
    fault = only_fault(zoo)
    assert fault.key == "collections.zoo.person.erase.name"
    assert "format: phone (the constraint mobile)" in fault.reason
    assert zoo.sql("SELECT name, born::text FROM zoo.person") == [("13800138000", "1988-02-29")]


def test_a_mask_of_the_primary_key_is_a_fault(make_zoo: Zoos) -> None:
    """Also where only the database knows that the field is part of the key."""
    erase = {"method": "mask", "fields": {"id": {"constant": 0}}}
    found = faults(make_zoo(PERSON, {"person": {"fields": ["id", "account, is account_no"], "erase": erase}}))
    assert {finding.key for finding in found} == {"collections.zoo.person.erase.id"}
    assert "primary key" in " ".join(finding.reason for finding in found)


CHECKED = "ALTER TABLE person ADD CONSTRAINT has_name CHECK (name <> 'gone');"


@pytest.mark.parametrize(
    "rule",
    [
        CHECKED,
        (
            "CREATE DOMAIN named AS text CONSTRAINT has_name CHECK (value <> 'gone');"
            "ALTER TABLE person ALTER name TYPE named;"
        ),
    ],
)
def test_a_mask_is_tried_on_rows_that_are_there_and_leaves_them_as_they_were(make_zoo: Zoos, rule: str) -> None:
    tables = PERSON + rule + "INSERT INTO person VALUES (1, '1', 'Chen');"
    zoo = make_zoo(tables, masked(name={"constant": "gone"}))
    fault = only_fault(zoo)
    assert fault.key == "collections.zoo.person.erase.name"
    assert "has_name" in fault.reason
    assert faults(make_zoo(tables, masked(name={"constant": "left"}))) == []
    assert zoo.sql("SELECT name FROM zoo.person") == [("Chen",)]


def test_a_mask_is_tried_although_another_collection_is_at_fault(make_zoo: Zoos) -> None:
    tables = PERSON + CHECKED + "INSERT INTO person VALUES (1, '1', 'Chen'); CREATE TABLE visit (person int);"
    zoo = make_zoo(tables, {**masked(name={"constant": "gone"}), "visit": {"fields": ["person, <- person.id"]}})
    assert {finding.key for finding in faults(zoo)} == {"zoo.visit", "collections.zoo.person.erase.name"}


def test_a_trial_that_succeeds_is_rolled_back(make_zoo: Zoos) -> None:
    zoo = make_zoo(PERSON + "INSERT INTO person VALUES (1, '1', 'Chen');", masked(name="null"))
    assert ask(zoo) == []
    assert zoo.sql("SELECT name FROM zoo.person") == [("Chen",)]


def test_rows_that_are_busy_are_a_warning_and_not_waited_for(make_zoo: Zoos) -> None:
    zoo = make_zoo(PERSON + "INSERT INTO person VALUES (1, '1', 'Chen');", masked(name="null"))
    with psycopg.connect(zoo.url) as other:
        other.execute("UPDATE zoo.person SET name = 'Li'")
        (finding,) = ask(zoo)
    assert (finding.severity, finding.key) == ("warning", "collections.zoo.person.erase")
    assert "busy" in finding.reason


# --- flags of what may only be stored


def flagged(column: str, value: object = True) -> tuple[str, Collections]:
    tables = f"CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, name text, born date, {column});"
    body = {"fields": [*FIELDS, "locked"], "erase": {"method": "restrict"}, "restrict": {"flag": {"locked": value}}}
    return tables + "INSERT INTO person (id) VALUES (1);", {"person": body}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("locked boolean", "yes", "is of type boolean, which the constant 'yes' does not fit"),
        ("locked int", True, "is of type integer"),
        ("locked boolean GENERATED ALWAYS AS (id > 3) STORED", True, "is computed by the database"),
        (
            "locked text CONSTRAINT open_only CHECK (locked = 'open')",
            "closed",
            "refuses the flag (the constraint open_only)",
        ),
    ],
)
def test_a_flag_that_the_database_cannot_hold_is_a_fault(make_zoo: Zoos, column: str, value: object, said: str) -> None:
    zoo = make_zoo(*flagged(column, value))
    fault = only_fault(zoo)
    assert fault.key == "collections.zoo.person.restrict"
    assert said in fault.reason


def test_a_flag_needs_the_right_to_write_it_and_leaves_no_trace_of_its_trial(make_zoo: Zoos, as_reader: As) -> None:
    zoo = make_zoo(*flagged("locked boolean"))
    assert ask(zoo) == []
    assert zoo.sql("SELECT locked FROM zoo.person") == [(None,)]
    as_reader(zoo, [USAGE, f"GRANT SELECT ON zoo.person TO {ROLE}"])
    fault = only_fault(zoo)
    assert 'UPDATE ("locked")' in fault.remedy
    zoo.sql(fault.remedy)
    assert faults(zoo) == []


# --- foreign keys

HELD = {"class": "TXN"}


def visits(action: str) -> str:
    return PERSON + (
        f"CREATE TABLE visit (id int PRIMARY KEY, note text, person int REFERENCES person {action});"
        "CREATE INDEX ON visit (person);"
    )


@pytest.mark.parametrize("action", ["ON DELETE CASCADE", "ON DELETE SET NULL", "ON DELETE SET DEFAULT"])
@pytest.mark.parametrize(
    ("governed", "is_fault"),
    [
        (HELD, True),
        ({"class": "none", "basis": "purpose ended", "while": "relationship"}, True),
        ({"class": "CONS", "erase": {"method": "mask", "fields": {"note": "null"}}}, True),
        ({"class": ["CONS", {"class": "INS", "when": []}]}, True),
        ({"class": "CONS"}, False),
        ({"class": "none", "basis": "purpose ended"}, False),
    ],
)
def test_a_key_that_would_take_a_held_record_along_is_a_fault(
    make_zoo: Zoos, action: str, governed: dict[str, Any], is_fault: bool
) -> None:
    zoo = make_zoo(visits(action), {**ME, "visit": {"fields": [*CHILD, "note"], **governed}})
    found = faults(zoo)
    assert [finding.key for finding in found] == (["collections.zoo.person.erase"] if is_fault else [])
    for finding in found:
        assert "zoo.visit" in finding.reason
        zoo.sql(finding.remedy)
        assert faults(zoo) == []


@pytest.mark.parametrize("action", ["", "ON DELETE CASCADE", "ON DELETE SET NULL"])
@pytest.mark.parametrize(
    "parent",
    [
        {},
        {"class": "TXN"},
        {"erase": {"method": "restrict"}},
        {"erase": {"method": "mask", "fields": {"name": "null"}}},
    ],
)
def test_a_key_from_a_confidential_record_to_a_planned_one_is_a_fault(
    make_zoo: Zoos, action: str, parent: dict[str, Any]
) -> None:
    """The planned row would stay for no reason that its plan could say (decisions, row 2: absent without trace)."""
    secret = {"visit": {"fields": [*CHILD, "note"], "confidential": True}}
    zoo = make_zoo(visits(action), {"person": {"fields": FIELDS, **parent}, **secret})
    found = [finding for finding in faults(zoo) if finding.key == "collections.zoo.visit.confidential"]
    (fault,) = found
    assert fault.file == "governance.yml"
    assert "zoo.person" in fault.reason
    zoo.sql(fault.remedy)
    assert faults(zoo) == []


def test_a_key_between_two_confidential_records_shows_nothing(make_zoo: Zoos) -> None:
    secret = {"confidential": True}
    zoo = make_zoo(visits(""), {"person": {"fields": FIELDS, **secret}, "visit": {"fields": CHILD, **secret}})
    assert faults(zoo) == []


def test_a_cascade_towards_a_confidential_record_is_a_fault_of_its_own(make_zoo: Zoos) -> None:
    secret = {"visit": {"fields": CHILD, "confidential": True}}
    keys = {finding.key for finding in faults(make_zoo(visits("ON DELETE CASCADE"), {**ME, **secret}))}
    assert keys == {"collections.zoo.person.erase", "collections.zoo.visit.confidential"}


def test_a_blocker_of_the_childs_class_makes_its_cascade_a_fault(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        visits("ON DELETE CASCADE"),
        {**ME, "visit": {"fields": CHILD}},
        blockers={"BLOCK.LOAN": {"in": "zoo.visit", "blocks": ["CONS"]}},
    )
    assert only_fault(zoo).key == "collections.zoo.person.erase"


def test_a_cascade_from_a_masked_parent_never_runs(make_zoo: Zoos) -> None:
    zoo = make_zoo(visits("ON DELETE CASCADE"), {**masked(name="null"), "visit": {"fields": CHILD, **HELD}})
    assert faults(zoo) == []


def test_a_cascade_through_a_table_outside_the_map_is_followed(make_zoo: Zoos) -> None:
    tables = visits("ON DELETE CASCADE") + (
        "CREATE TABLE note (id int PRIMARY KEY, account text UNIQUE, visit int REFERENCES visit ON DELETE CASCADE);"
        "CREATE INDEX ON note (visit);"
    )
    zoo = make_zoo(tables, {**ME, "note": {"fields": ["id, pk", "account, is account_no"], **HELD}})
    found = faults(zoo)
    assert {finding.key for finding in found} == {"collections.zoo.person.erase"}
    told = " ".join(finding.reason for finding in found)
    assert "zoo.visit" in told
    assert "zoo.note" in told


@pytest.mark.parametrize(
    ("action", "severity"),
    [
        ("ON DELETE CASCADE", "fault"),
        ("ON DELETE SET NULL", "warning"),
        ("", "warning"),
        ("ON DELETE RESTRICT", "warning"),
    ],
)
def test_a_key_from_a_table_outside_the_map_is_told(make_zoo: Zoos, action: str, severity: str) -> None:
    (finding,) = ask(make_zoo(visits(action), ME))
    assert (finding.severity, finding.key) == (severity, "collections.zoo.person.erase")
    assert "zoo.visit" in finding.reason
    assert "Add zoo.visit to the map" in finding.remedy


def test_a_key_from_another_schema_is_told(make_zoo: Zoos) -> None:
    tables = PERSON + (
        "CREATE SCHEMA other;"
        "CREATE TABLE other.note (id int PRIMARY KEY, person int REFERENCES person ON DELETE CASCADE);"
    )
    found = ask(make_zoo(tables, ME))
    assert {(finding.severity, finding.key) for finding in found} == {
        ("fault", "collections.zoo.person.erase"),
        ("warning", "other.note.person"),
    }


def test_a_partition_of_a_mapped_table_is_not_outside_the_map(make_zoo: Zoos) -> None:
    tables = PERSON + (
        "CREATE TABLE visit (id int, person int REFERENCES person, PRIMARY KEY (id)) PARTITION BY RANGE (id);"
        "CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM (0) TO (10); CREATE INDEX ON visit (person);"
        "CREATE TABLE visit_2 PARTITION OF visit FOR VALUES FROM (10) TO (20);"
    )
    assert ask(make_zoo(tables, {**ME, "visit": {"fields": CHILD}})) == []


# --- indexes


def test_an_inbound_key_without_an_index_is_a_warning_whose_remedy_mends_it(make_zoo: Zoos) -> None:
    tables = PERSON + 'CREATE TABLE "Visit" (id int PRIMARY KEY, person int REFERENCES person);'
    zoo = make_zoo(tables, {**ME, "Visit": {"fields": CHILD}})
    (warning,) = ask(zoo)
    assert (warning.severity, warning.key) == ("warning", "zoo.Visit.person")
    assert warning.remedy == 'CREATE INDEX ON "zoo"."Visit" ("person");'
    zoo.sql(warning.remedy)
    assert ask(zoo) == []


@pytest.mark.parametrize(
    ("index", "helps"),
    [
        ("(person, id)", True),
        ("(id, person)", False),
        ("(person) WHERE id > 5", False),
        ("((person + 1))", False),
        ("USING hash (person)", True),
    ],
)
def test_only_an_index_that_can_be_used_for_the_look_up_counts(make_zoo: Zoos, index: str, helps: bool) -> None:
    tables = (
        PERSON
        + f"CREATE TABLE visit (id int PRIMARY KEY, person int REFERENCES person); CREATE INDEX ON visit {index};"
    )
    assert (ask(make_zoo(tables, {**ME, "visit": {"fields": CHILD}})) == []) is helps


def test_what_a_walk_looks_up_without_an_index_is_a_warning(make_zoo: Zoos) -> None:
    tables = (
        "CREATE TABLE person (id int PRIMARY KEY, account text, name text, born date);"
        "CREATE TABLE visit (id int PRIMARY KEY, person int);"
    )
    zoo = make_zoo(tables, {**ME, "visit": {"fields": CHILD}})
    found = ask(zoo)
    assert {(finding.severity, finding.key) for finding in found} == {
        ("warning", "zoo.person.account"),
        ("warning", "zoo.visit.person"),
    }
    for finding in found:
        zoo.sql(finding.remedy)
    assert ask(zoo) == []


# --- a system that does not answer


def test_a_system_that_does_not_answer_says_so_without_its_password(
    make_zoo: Zoos, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = make_zoo(PERSON, ME)
    monkeypatch.setenv("SYSTEM_ZOO_URL", "postgresql://someone:hunter2@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="does not answer") as caught:
        ask(zoo)
    assert "hunter2" not in str(caught.value)
    monkeypatch.delenv("SYSTEM_ZOO_URL")
    with pytest.raises(Unavailable, match="SYSTEM_ZOO_URL"):
        ask(zoo)
