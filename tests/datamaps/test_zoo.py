"""The zoo: a folder for each trap, with a schema, a map of it and what has to come out, worked out by hand.

`expected.yml` of a sound map has `keys` (by table, the columns that are compared) and `subjects`, each with its plan as
of 2026-11-23 and the rows that are `left` once everything that may go has gone; subjects are erased one after another.
`ended` is the day a relationship with a company ended. A faulty map has `faults`, and every one of them is listed.
`warnings` are listed in full in either case. A map over several systems has a `schema.<system>.sql` for each.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
import yaml
from psycopg.sql import SQL, Identifier

from rights.actions.datamap import Report, check_map
from rights.connectors import sql
from rights.connectors.base import Key
from rights.connectors.registry import connect
from rights.datamap import DataMap, FaultyMap, read_folder
from rights.datamap.parse import parse_mentioned
from rights.kernel.plan import Fate, Plan
from rights.kernel.retention import Rule
from rights.kernel.states import Kind
from rights.planning import Matter, find_first, make_plan, open_reading
from rights.queries import active_rules
from rights.survey import shape, survey
from tests.rights.zoo import NOW
from tests.stack import Stack

ZOO = Path(__file__).parent / "zoo"
TRAPS = sorted(path.name for path in ZOO.iterdir() if (path / "expected.yml").is_file())
HELD = ("first_release", "last_release", "rule")
PATIENCE = 10


class Told(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def reason(self) -> str: ...


@dataclass(frozen=True)
class Cage:
    """One trap with its databases."""

    folder: Path
    urls: dict[str, str] = field(repr=False)
    expected: dict[str, Any]

    def rows(self, data_map: DataMap, table: str) -> list[tuple[Any, ...]]:
        """The stated columns of a table's rows, in their order. The table may be one that the map does not plan."""
        system, _, name = table.partition(".")
        columns = SQL(", ").join(map(Identifier, self.expected["keys"][table]))
        query = SQL("SELECT {} FROM {}").format(columns, Identifier(data_map.systems[system].schema, name))
        with psycopg.connect(self.urls[system]) as connection:
            return sorted(connection.execute(query).fetchall(), key=repr)

    def everything(self) -> dict[str, list[Any]]:
        """Every row of every table, to see that nothing has changed."""
        tables = (
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2"
        )
        found = {}
        for system, url in self.urls.items():
            with psycopg.connect(url) as connection:
                for schema, table in connection.execute(tables).fetchall():
                    query = SQL("SELECT to_jsonb(t) FROM {} t ORDER BY to_jsonb(t)").format(Identifier(schema, table))
                    found[f"{system}.{schema}.{table}"] = connection.execute(query).fetchall()
        return found


@pytest.fixture
def cage(request: pytest.FixtureRequest, stack: Stack, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cage]:
    folder = ZOO / request.param
    expected = yaml.safe_load((folder / "expected.yml").read_text(encoding="utf-8"))
    governance = yaml.safe_load((folder / "governance.yml").read_text(encoding="utf-8"))
    urls = {}
    with ExitStack() as exits:
        for system in governance["systems"]:
            own = folder / f"schema.{system}.sql"
            tables = (own if own.is_file() else folder / "schema.sql").read_text(encoding="utf-8")
            urls[system] = stack.make_database(f"zoo_{request.param}_{system}")
            with psycopg.connect(urls[system], autocommit=True) as connection:
                connection.execute(tables.encode())
            monkeypatch.setenv(f"SYSTEM_{system.upper()}_URL", urls[system])
            exits.callback(close, urls[system])
        yield Cage(folder, urls, expected)


def close(url: str) -> None:
    sql._engine(url).dispose()


@pytest.mark.parametrize("cage", TRAPS, ids=TRAPS, indirect=True)
def test_what_the_zoo_says_comes_out(cage: Cage) -> None:
    before = cage.everything()
    try:
        data_map, report = read_and_check(cage.folder)
    except FaultyMap as faulty:
        require_told("faults", cage.expected, faulty.faults)
        return
    # A check tries masks on real rows, and leaves none of them changed.
    assert cage.everything() == before
    require_told("faults", cage.expected, report.faults)
    require_told("warnings", cage.expected, report.warnings)
    rules = active_rules()
    for item in cage.expected.get("subjects", ()):
        assert plan_of(item, data_map, rules) == expected_plan(item, data_map), item["subject"]
    require_same_of_everybody(cage.expected.get("subjects", ()), data_map, rules)
    for item in cage.expected.get("subjects", ()):
        erase(matter_of(item), data_map, rules)
        left = {table: cage.rows(data_map, table) for table in cage.expected["keys"]}
        assert left == {table: expected_rows(item["left"][table]) for table in cage.expected["keys"]}, item["subject"]


def read_and_check(folder: Path) -> tuple[DataMap, Report]:
    """As `manage.py datamap check` does it. Raises FaultyMap."""
    data_map, mentioned = parse_mentioned(read_folder(folder))
    return data_map, check_map(data_map, mentioned)


def require_told(kind: str, expected: dict[str, Any], told: "tuple[Told, ...]") -> None:
    """Each as stated (the whole key, a part of the reason), and no other."""
    left = list(told)
    for item in expected.get(kind, ()):
        found = [one for one in left if one.key == item["key"] and item["reason"] in one.reason]
        assert found, f"{item} is not among {[str(one) for one in told]}"
        left.remove(found[0])
    assert left == [], [str(one) for one in left]


def matter_of(item: dict[str, Any]) -> Matter:
    return Matter(kind=Kind.DELETION, identities=item["subject"], ended=item.get("ended", {}))


def read_plan(matter: Matter, data_map: DataMap, rules: tuple[Rule, ...]) -> Plan:
    plan = make_plan(matter, data_map=data_map, rules=rules, now=NOW, wait=PATIENCE)
    assert plan.unknown == ()
    return plan


def plan_of(item: dict[str, Any], data_map: DataMap, rules: tuple[Rule, ...]) -> dict[str, dict[str, Any]]:
    """By collection what `expected.yml` can state: each fate with a count, and of held records the dates it names."""
    plan = read_plan(matter_of(item), data_map, rules)
    found: dict[str, dict[str, Any]] = {}
    for key, said in shape(plan, item["subject"], data_map)["collections"].items():
        counts = {line.fate.value: line.count for line in plan.lines if line.collection == key and line.count}
        # The line of a survey says the same of the fates that it has.
        assert {fate: said[fate] for fate in counts if fate in said} == {
            fate: count for fate, count in counts.items() if fate in said
        }
        asked = {*item["plan"][key], *(["last_release"] if "hold" in counts else [])}
        found[key] = {**counts, **{name: said[name] for name in HELD if name in asked}}
    return found


def require_same_of_everybody(items: list[dict[str, Any]], data_map: DataMap, rules: tuple[Rule, ...]) -> None:
    """The survey of all subjects has the same line for each, where there is one: it knows people by one identity, and
    nothing of what the portal keeps.
    """
    asked = [item for item in items if len(item["subject"]) == 1 and "ended" not in item]
    if data_map.edges_between_systems:
        return
    for identity in {name for item in asked for name in item["subject"]}:
        lines = map(json.loads, survey(kind=Kind.DELETION, identity=identity, data_map=data_map, rules=rules, now=NOW))
        told = {line["subject"][identity]: line for line in lines}
        for item in asked:
            if identity in item["subject"]:
                alone = shape(read_plan(matter_of(item), data_map, rules), item["subject"], data_map)
                assert told[item["subject"][identity]] == alone


def expected_plan(item: dict[str, Any], data_map: DataMap) -> dict[str, dict[str, Any]]:
    assert set(item["plan"]) == set(data_map.collections)
    return {
        key: {name: value.isoformat() if isinstance(value, date) else value for name, value in said.items()}
        for key, said in item["plan"].items()
    }


def expected_rows(rows: list[Any]) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) if isinstance(row, list) else (row,) for row in rows), key=repr)


def erase(matter: Matter, data_map: DataMap, rules: tuple[Rule, ...]) -> None:
    """Erase what the plan lets go as its steps do: what other rows lead to is found first, then system by system."""
    systems = dict.fromkeys(line.system for line in read_plan(matter, data_map, rules).lines)
    found: dict[str, tuple[Key, ...]] = {}
    for system in systems:
        order = connect(system, data_map).erase_order()
        found |= find_first(matter, system=system, data_map=data_map, rules=rules, now=NOW, among=order)
    for system in systems:
        connector = connect(system, data_map)
        for collection in connector.erase_order():
            known = replace(matter, found={collection: found[collection]} if found.get(collection) else {})
            keys: list[Key] | None = None
            while keys is None or keys:
                with open_reading(known, system=system, data_map=data_map, rules=rules, now=NOW) as (snapshot, reading):
                    keys = snapshot.find_keys(reading.policies, collection, limit=100)
                if keys:
                    gone = connector.erase(reading.seed, reading.policies, collection, keys)
                    assert gone == len(keys), collection
    # What is erased is gone for good: the same plan again lets nothing go.
    assert read_plan(matter, data_map, rules).count(Fate.ERASE, Fate.MASK) == 0
