"""The demo's business systems and sign-ins for tests: loaded once a process, put back as they were before each test.

Rows are put back by COPY, with the connections of running workers left alone; making databases anew would cut them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from portal.core import clock
from portal.demo.accounts import DEMO_ACCOUNTS, DemoAccount
from portal.demo.loading import load_demo
from portal.demo.systems import ENTITIES, read_addresses
from tests.stack import KEPT_TABLES, Stack

TODAY = datetime(2026, 11, 23, 9, 0, tzinfo=clock.SHANGHAI)  # the day of the worked example
PEOPLE = 40
# Leaves and heads are made by the next tick, and their exported files are gone.
NOT_KEPT = (*KEPT_TABLES, "core_ledgerleaf", "core_ledgernode", "core_ledgerhead", "django_session")


@dataclass
class Database:
    """One database as it was: the rows of every table, as COPY writes them."""

    url: str
    rows: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def remember(self) -> None:
        with psycopg.connect(self.url) as connection:
            for schema, table in _list_tables(connection):
                with connection.cursor().copy(_copy(schema, table, "TO STDOUT")) as copy:
                    self.rows[schema, table] = b"".join(bytes(part) for part in copy)

    def put_back(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("SET LOCAL session_replication_role = replica")
            for schema, table in self.rows:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, table)))
            for (schema, table), rows in self.rows.items():
                if rows:
                    with connection.cursor().copy(_copy(schema, table, "FROM STDIN")) as copy:
                        copy.write(rows)


@dataclass
class Business:
    """Seven companies' systems with sixteen named people and a small crowd, on the day of the worked example."""

    stack: Stack
    databases: dict[str, Database]
    keyring: bytes
    today: datetime = TODAY

    def put_back(self) -> None:
        """As it was loaded, the keys included: a test may have rotated them."""
        path = self.stack.data_dir / "keyring.json"
        if path.read_bytes() != self.keyring:
            path.write_bytes(self.keyring)
        for database in self.databases.values():
            database.put_back()

    @staticmethod
    def account(key: str) -> DemoAccount:
        return {account.key: account for account in DEMO_ACCOUNTS}[key]

    def url(self, system: str) -> str:
        """Its address as superuser: a test looks at and changes what it likes."""
        return self.databases[system].url

    def sql(self, system: str, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url(system), autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def count(self, system: str, table: str, where: str = "true", parameters: Sequence[object] = ()) -> int:
        return int(self.sql(system, f"SELECT count(*) FROM {table} WHERE {where}", parameters)[0][0])


def load_business(stack: Stack) -> Business:
    """Call as the owner, on an empty portal."""
    load_demo(
        admin_url=stack.addresses.database_url, prefix="portal_", data_dir=stack.data_dir, people=PEOPLE, now=TODAY
    )
    names = {system: psycopg.conninfo.conninfo_to_dict(url)["dbname"] for system, url in _addresses(stack).items()}
    databases = {
        system: Database(psycopg.conninfo.make_conninfo(stack.addresses.superuser_url, dbname=name))
        for system, name in names.items()
    }
    databases["portal"] = Database(stack.addresses.superuser_url)
    for database in databases.values():
        database.remember()
    return Business(stack=stack, databases=databases, keyring=(stack.data_dir / "keyring.json").read_bytes())


def _addresses(stack: Stack) -> dict[str, str]:
    return {system: url for system, url in read_addresses(stack.data_dir).items() if system in ENTITIES}


def _list_tables(connection: "psycopg.Connection[Any]") -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        " AND NOT (schemaname = 'public' AND tablename = ANY(%s))",
        [list(NOT_KEPT)],
    ).fetchall()


def _copy(schema: str, table: str, way: str) -> sql.Composed:
    """Without a list of columns, COPY leaves out the generated ones both ways."""
    return sql.SQL("COPY {} {}").format(sql.Identifier(schema, table), sql.SQL(way))
