"""A map of 500 collections held against its live database. Prints times and a ratio, asserts none of them."""

import time
from collections.abc import Callable

import psycopg
import pytest
import yaml

from rights.actions.datamap import check_map
from rights.datamap.parse import parse_mentioned
from tests.stack import Stack

pytestmark = pytest.mark.slow
TABLES, COLUMNS = 500, 12
BY_HAND = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'big' AND c.relkind = 'r' AND a.attnum > 0
"""


class _Plain(yaml.CSafeDumper):
    """Without anchors, as people write it."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def schema() -> str:
    columns = ", ".join(f"c{number} text" for number in range(COLUMNS - 3))
    root = f"CREATE TABLE big.t0 (id bigint PRIMARY KEY, account text UNIQUE, made_on date, {columns});"
    rest = (
        f"CREATE TABLE big.t{number} (id bigint PRIMARY KEY, parent bigint REFERENCES big.t{(number - 1) // 10},"
        f" made_on date, {columns}); CREATE INDEX ON big.t{number} (parent);"
        for number in range(1, TABLES)
    )
    return "CREATE SCHEMA big;" + root + "".join(rest)


def documents() -> dict[str, str]:
    collections = []
    for number in range(TABLES):
        way = {"dataset": "big", "field": f"t{(number - 1) // 10}.id", "direction": "from"}
        link = {"name": "parent", "fides_meta": {"references": [way]}}
        first = {"name": "account", "fides_meta": {"identity": "account_no"}}
        fields = [{"name": "id", "fides_meta": {"primary_key": True}}, link if number else first, {"name": "made_on"}]
        fields += [{"name": f"c{each}", "data_categories": ["user.content"]} for each in range(COLUMNS - 3)]
        collections.append({"name": f"t{number}", "fields": fields})
    governed = {"class": "TXN", "trigger": "made_on", "erase": {"method": "delete"}}
    governance = {
        "systems": {"big": {"schema": "big", "entity": "big"}},
        "collections": {f"big.t{number}": governed for number in range(TABLES)},
    }
    dataset = {"dataset": [{"fides_key": "big", "name": "Big", "collections": collections}]}
    return {
        "governance.yml": yaml.dump(governance, Dumper=_Plain),
        "datasets/big.yml": yaml.dump(dataset, Dumper=_Plain),
    }


def test_a_map_of_five_hundred_collections(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = stack.make_database("bench_datamap")
    with psycopg.connect(url) as connection:
        connection.execute(schema().encode())
    monkeypatch.setenv("SYSTEM_BIG_URL", url)
    written = documents()

    def by_hand() -> None:
        for text in written.values():
            yaml.load(text, Loader=yaml.CSafeLoader)
        with psycopg.connect(url) as connection:
            assert len(connection.execute(BY_HAND.encode()).fetchall()) == TABLES * COLUMNS

    def check() -> None:
        report = check_map(*parse_mentioned(written))
        assert report.findings == ()
        assert report.coverage[0].percent == 100

    times = {name: _best_of_three(act) for name, act in (("floor", by_hand), ("check", check))}
    with capsys.disabled():
        ratio = times["check"] / times["floor"]
        print(
            f"\na map of {TABLES} collections against its database: {times['check']:.2f} s,"
            f" {ratio:.1f} x reading its YAML and the columns by hand"
        )


def _best_of_three(act: Callable[[], None]) -> float:
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        act()
        times.append(time.perf_counter() - begun)
    return min(times)
