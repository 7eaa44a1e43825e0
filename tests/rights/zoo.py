"""Small schemas of every shape, each in a database of its own, with a map made from a few words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any

import psycopg
import yaml

from portal.core.clock import SHANGHAI
from rights.connectors import sql
from rights.connectors.base import Policy, Snapshot
from rights.connectors.registry import connect
from rights.datamap import DataMap, parse_documents
from rights.kernel.plan import Plan
from rights.kernel.retention import Rule
from rights.kernel.states import Kind
from rights.planning import WORKER_SECONDS, Matter, find_first, make_plan, open_reading
from tests.mariadb import MariaServer, start_mariadb, translate
from tests.stack import Stack

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=SHANGHAI)
RULES = (
    Rule("AML-5-KYC", ("KYC",), "P5Y", "test"),
    Rule("AML-5-TXN", ("TXN", "LOAN"), "P5Y", "test"),
    Rule("INS-5", ("INS",), "P5Y", "test"),
    Rule("INS-10", ("INS-LONG",), "P10Y", "test"),
)
Collections = dict[str, dict[str, Any]]
_numbers = count(1)


def field(text: str) -> dict[str, Any]:
    """`name`, `name pk`, `name is account_no`, `name <- table.column`, `name -> table.column`, joined by commas."""
    name, *parts = (part.strip() for part in text.split(","))
    meta: dict[str, Any] = {}
    for part in parts:
        match part.split():
            case ["pk"]:
                meta["primary_key"] = True
            case ["is", kind]:
                meta["identity"] = kind
            case [("<-" | "->" | "--") as arrow, other]:
                way = {"<-": {"direction": "from"}, "->": {"direction": "to"}, "--": {}}[arrow]
                meta.setdefault("references", []).append({"dataset": "zoo", "field": other, **way})
            case _:
                raise ValueError(part)
    return {"name": name, "fides_meta": meta} if meta else {"name": name}


def make_map(collections: Collections, *, schema: str = "zoo", **sections: Any) -> DataMap:
    """A map of the system `zoo`. A collection has `fields` (see `field`) and its governance; erased by default."""
    dataset = {
        "dataset": [
            {
                "fides_key": "zoo",
                "name": "Zoo",
                "collections": [
                    {"name": name, "fields": [field(text) for text in body["fields"]]}
                    for name, body in collections.items()
                ],
            }
        ]
    }
    governance = {
        "systems": {"zoo": {"schema": schema, "entity": "zoo"}},
        "collections": {
            f"zoo.{name}": {
                "class": "CONS",
                "erase": {"method": "delete"},
                **{key: value for key, value in body.items() if key != "fields"},
            }
            for name, body in collections.items()
        },
        **sections,
    }
    return parse_documents(
        {
            "governance.yml": yaml.safe_dump(governance, allow_unicode=True),
            "datasets/zoo.yml": yaml.safe_dump(dataset, allow_unicode=True),
        }
    )


def erase(
    matter: Matter, *, data_map: DataMap, rules: Sequence[Rule], now: datetime, system: str = "zoo"
) -> dict[str, int]:
    """Do what the plan says as steps do, a thousand rows of each collection; how many by collection."""
    connector = connect(system, data_map)
    order = connector.erase_order()
    found = find_first(matter, system=system, data_map=data_map, rules=rules, now=now, among=order)
    gone = {}
    for collection in order:
        known = replace(matter, found={collection: found[collection]} if found.get(collection) else {})
        with open_reading(known, system=system, data_map=data_map, rules=rules, now=now) as (snapshot, reading):
            keys = snapshot.find_keys(reading.policies, collection, limit=1000)
        if keys:
            count = connector.erase(reading.seed, reading.policies, collection, keys)
            gone[collection.partition(".")[2]] = count
    return gone


@dataclass
class Zoo:
    url: str
    data_map: DataMap

    def sql(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def plan(self, identities: Mapping[str, str], *, now: datetime = NOW, wait: float = 10) -> Plan:
        matter = Matter(kind=Kind.DELETION, identities=identities)
        return make_plan(matter, data_map=self.data_map, rules=RULES, now=now, wait=wait)

    def fates(self, identities: Mapping[str, str]) -> dict[tuple[str, str], int]:
        """(collection without its system, fate) → count."""
        plan = self.plan(identities)
        assert plan.unknown == ()
        return {(line.collection.partition(".")[2], line.fate.value): line.count for line in plan.lines}

    @contextmanager
    def reading(
        self,
        identities: Mapping[str, str],
        *,
        now: datetime = NOW,
        rules: Sequence[Rule] = RULES,
        patience: float = WORKER_SECONDS,
    ) -> Iterator[tuple[Snapshot, Mapping[str, Policy]]]:
        matter = Matter(kind=Kind.DELETION, identities=identities)
        with open_reading(matter, system="zoo", data_map=self.data_map, rules=rules, now=now, patience=patience) as (
            snapshot,
            reading,
        ):
            yield snapshot, reading.policies

    def erase(self, identities: Mapping[str, str]) -> dict[str, int]:
        """Erase what the plan lets go, in the connector's own order; how many by collection."""
        matter = Matter(kind=Kind.DELETION, identities=identities)
        return erase(matter, data_map=self.data_map, rules=RULES, now=NOW)


class Zoos:
    """Makes zoos for one test, and closes their connections after it."""

    def __init__(self, stack: Stack, set_address: Callable[[str, str], None]) -> None:
        self.stack = stack
        self.set_address = set_address
        self.urls: list[str] = []

    def __call__(self, tables: str, collections: Collections, **sections: Any) -> Zoo:
        url = self.stack.make_database(f"rights_zoo_{next(_numbers)}")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA zoo; SET search_path = zoo; {tables}".encode())
        self.set_address("SYSTEM_ZOO_URL", url)
        self.urls.append(url)
        return Zoo(url, make_map(collections, **sections))

    def close(self) -> None:
        for url in self.urls:
            sql._engine(url).dispose()


@dataclass
class MariaZoo(Zoo):
    """The same on MariaDB: what a test writes for PostgreSQL is put into that server's words."""

    server: MariaServer
    role: str

    def sql(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self.server.run(translate(query), parameters, database="zoo")


class MariaZoos(Zoos):
    """A schema is a database there, so each zoo takes the place of the last; each has a role of its own."""

    def __call__(self, tables: str, collections: Collections, **sections: Any) -> MariaZoo:
        server = start_mariadb()
        server.run("DROP DATABASE IF EXISTS zoo; CREATE DATABASE zoo CHARACTER SET utf8mb4")
        role = f"zoo_{next(_numbers)}"
        server.run(f"CREATE USER {role}@localhost IDENTIFIED BY 'secret'; GRANT ALL ON zoo.* TO {role}@localhost")
        url = server.url(role, "secret")
        zoo = MariaZoo(url, make_map(collections, **sections), server, role)
        zoo.sql(tables)
        self.set_address("SYSTEM_ZOO_URL", url)
        self.urls.append(url)
        return zoo
