"""The stand-in business systems: one database for each entity, with a role that may read and change its rows and no
more."""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import quote, urlencode
from uuid import NAMESPACE_URL, uuid5

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from portal.demo.book import Book, Row
from portal.demo.crowd import write_crowd
from portal.demo.stories import write_stories

ENTITIES = ("platform", "loan", "insurance", "wealth", "wallet", "micoin", "mutualaid")
SCHEMA_DIR = Path(__file__).parent / "schema"
ADDRESSES = "systems.json"


class DemoError(Exception):
    """What keeps the demo from being loaded, in one line for a person."""


@dataclass(frozen=True)
class Loaded:
    """What loading one system did: its rows by table, or `already` where it had been loaded before."""

    system: str
    rows: Mapping[str, int]
    already: bool = False


def create_systems(*, admin_url: str, prefix: str, data_dir: Path) -> dict[str, str]:
    """Make what is missing of the databases `prefix` + entity, and write their addresses to data_dir/systems.json.

    Safe to repeat, also after it was killed half-way. A schema of another version of this code is replaced, rows and
    all, in one transaction.
    """
    known = read_addresses(data_dir)
    addresses = {}
    try:
        with psycopg.connect(admin_url, autocommit=True) as admin:
            for entity in ENTITIES:
                address = known.get(entity, "")
                if not address or not _is_current(address, admin_url=admin_url, prefix=prefix, entity=entity):
                    address = _make(admin, admin_url, prefix=prefix, entity=entity)
                addresses[entity] = address
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda entity: _make_schema(admin_url, prefix=prefix, entity=entity), ENTITIES))
    except psycopg.Error as error:
        raise DemoError(f"The business systems could not be made: {_first_line(error)}") from error
    if {**known, **addresses} != known:
        _write_addresses(data_dir, {**known, **addresses})
    return addresses


def load_systems(*, addresses: Mapping[str, str], people: int, today: date, seed: int = 1) -> list[Loaded]:
    """Fill the systems that are still empty: the named people and so many others. Each system in one transaction, so a
    load that was killed leaves it empty and not half full."""
    missing = [entity for entity in ENTITIES if not _is_loaded(addresses[entity], entity)]
    if not missing:
        return [Loaded(entity, {}, already=True) for entity in ENTITIES]
    book = Book()
    write_stories(book, today=today)
    write_crowd(book, people=people, today=today, seed=seed)
    done = {}
    with ThreadPoolExecutor(2) as pool:
        for result in pool.map(lambda entity: _load(addresses[entity], entity, book, today=today), missing):
            done[result.system] = result
    return [done.get(entity, Loaded(entity, {}, already=True)) for entity in ENTITIES]


def empty_systems(*, addresses: Mapping[str, str]) -> None:
    """Take every row out again, so that `load_systems` fills them afresh. For tests: databases and addresses stay."""
    for entity in ENTITIES:
        with psycopg.connect(addresses[entity]) as connection:
            for name in reversed(_read_tables(connection, entity)):
                connection.execute(sql.SQL("DELETE FROM {}.{}").format(sql.Identifier(entity), sql.Identifier(name)))
            connection.execute("DELETE FROM demo.loaded")


def drop_systems(*, admin_url: str, prefix: str, data_dir: Path) -> None:
    """Remove the databases and roles again. Connections that are open end."""
    try:
        with psycopg.connect(admin_url, autocommit=True) as admin:
            for entity in ENTITIES:
                role = sql.Identifier(_role(prefix, entity))
                if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [_role(prefix, entity)]).fetchone():
                    admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))  # whose connections may be ended
                database = sql.Identifier(prefix + entity)
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
                admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
    except psycopg.Error as error:
        raise DemoError(f"The business systems could not be dropped: {_first_line(error)}") from error
    (data_dir / ADDRESSES).unlink(missing_ok=True)


def read_addresses(data_dir: Path) -> dict[str, str]:
    """The addresses as written, empty where there are none yet."""
    try:
        return {str(key): str(value) for key, value in json.loads((data_dir / ADDRESSES).read_text()).items()}
    except FileNotFoundError:
        return {}


def _role(prefix: str, entity: str) -> str:
    return f"{prefix}{entity}_connector"


def _is_current(address: str, *, admin_url: str, prefix: str, entity: str) -> bool:
    """Whether a known address is that of this server's database of this name, and still answers."""
    password = str(conninfo_to_dict(address).get("password") or "")
    if address != _address(admin_url, prefix=prefix, entity=entity, password=password):
        return False
    try:
        psycopg.connect(address, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _make(admin: psycopg.Connection, admin_url: str, *, prefix: str, entity: str) -> str:
    """The role with a new password, and its database. Returns the system's address."""
    role, database, password = _role(prefix, entity), prefix + entity, token_urlsafe(24)
    if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN NOCREATEDB NOCREATEROLE").format(sql.Identifier(role)))
    admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
    if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(database)))
    return _address(admin_url, prefix=prefix, entity=entity, password=password)


def _address(admin_url: str, *, prefix: str, entity: str, password: str) -> str:
    names = {"dbname": prefix + entity, "user": _role(prefix, entity), "password": password}
    return _as_url({**conninfo_to_dict(admin_url), **names})


def _make_schema(admin_url: str, *, prefix: str, entity: str) -> None:
    """The schema as its file says, with the file's digest as a comment by which the next run knows it."""
    text = (SCHEMA_DIR / f"{entity}.sql").read_text(encoding="utf-8")
    mark = f"demo {sha256(text.encode()).hexdigest()[:16]}"
    name, role = sql.Identifier(entity), sql.Identifier(_role(prefix, entity))
    database = prefix + entity
    with psycopg.connect(admin_url, dbname=database) as owner:
        found = owner.execute(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", [entity]
        ).fetchone()
        if found == (mark,):
            return
        owner.execute(sql.SQL("DROP SCHEMA IF EXISTS {}, demo CASCADE").format(name))
        owner.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        owner.execute(sql.SQL("SET LOCAL search_path TO {}").format(name))
        owner.execute(text.encode())
        owner.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(name, sql.Literal(mark)))
        # Which load filled this database; a schema of its own, so that it is no part of the business system.
        owner.execute("CREATE SCHEMA demo CREATE TABLE loaded (as_of date NOT NULL)")
        owner.execute(
            sql.SQL(
                "REVOKE ALL ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO {role};"
                "GRANT USAGE ON SCHEMA {name}, demo TO {role};"
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {role};"
                "GRANT SELECT, INSERT, DELETE ON demo.loaded TO {role}"
            ).format(database=sql.Identifier(database), name=name, role=role)
        )


def _is_loaded(address: str, entity: str) -> bool:
    try:
        with psycopg.connect(address) as connection:
            return connection.execute("SELECT 1 FROM demo.loaded").fetchone() is not None
    except psycopg.Error as error:
        raise DemoError(f"The business system {entity} does not answer: {_first_line(error)}") from error


def _load(address: str, entity: str, book: Book, *, today: date) -> Loaded:
    rows = book.of_system(entity)
    counts = {}
    with psycopg.connect(address) as connection:
        tables = _read_tables(connection, entity)
        unknown = set(rows) - set(tables)
        if unknown:
            raise DemoError(f"The system {entity} has no table {', '.join(sorted(unknown))}.")
        for name, table in tables.items():
            counts[name] = _copy(connection, entity, name, table, rows.get(name, ()))
        connection.execute("INSERT INTO demo.loaded VALUES (%s)", [today])
    return Loaded(entity, counts)


@dataclass(frozen=True)
class _Table:
    columns: tuple[str, ...]
    types: tuple[str, ...]
    key: str
    key_is_uuid: bool


def _read_tables(connection: psycopg.Connection, schema: str) -> dict[str, _Table]:
    """Tables with their columns, parents before children, as they were created in that order."""
    found = connection.execute(
        """
        SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum),
               array_agg(format_type(a.atttypid, NULL) ORDER BY a.attnum), min(k.attname), min(k.kind) = 'uuid'
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = %s
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN LATERAL (
            SELECT p.attname::text AS attname, format_type(p.atttypid, NULL) AS kind
            FROM pg_index i JOIN pg_attribute p ON p.attrelid = c.oid AND p.attnum = ANY (i.indkey)
            WHERE i.indrelid = c.oid AND i.indisprimary
        ) k ON true
        WHERE c.relkind = 'r'
        GROUP BY c.oid, c.relname ORDER BY c.oid
        """,
        [schema],
    ).fetchall()
    return {name: _Table(tuple(columns), tuple(types), key, is_uuid) for name, columns, types, key, is_uuid in found}


def _copy(
    connection: psycopg.Connection, schema: str, name: str, table: _Table, rows: Iterable[tuple[int, Row]]
) -> int:
    """COPY the rows in. A column that no row names is left to its default; an unknown one is refused."""
    rows = list(rows)
    if not rows:
        return 0
    named = set().union(*(row for _, row in rows))
    if named - set(table.columns):
        raise DemoError(f"{schema}.{name} has no column {', '.join(sorted(named - set(table.columns)))}.")
    columns = [column for column in table.columns if column in named]
    json_columns = {column for column, kind in zip(table.columns, table.types, strict=True) if kind == "jsonb"}
    statement = sql.SQL("COPY {}.{} ({}) FROM STDIN").format(
        sql.Identifier(schema),
        sql.Identifier(name),
        sql.SQL(", ").join(sql.Identifier(column) for column in (table.key, *columns)),
    )
    with connection.cursor().copy(statement) as copy:
        for number, row in rows:
            key: object = uuid5(NAMESPACE_URL, f"{schema}.{name}/{number}") if table.key_is_uuid else number
            copy.write_row(
                (key, *(Jsonb(row.get(column)) if column in json_columns else row.get(column) for column in columns))
            )
    return len(rows)


def _as_url(facts: Mapping[str, object]) -> str:
    """A PostgreSQL URL of libpq's keywords, which reads the same to libpq and to SQLAlchemy."""
    user, password, database = (quote(str(facts[key]), safe="") for key in ("user", "password", "dbname"))
    host = str(facts.get("host") or "")
    port = f":{facts['port']}" if facts.get("port") else ""
    told = {"user", "password", "dbname", "host", "port"}
    rest = {key: str(value) for key, value in facts.items() if key not in told}
    if host.startswith("/"):
        rest |= {"host": host} | ({"port": port[1:]} if port else {})
        host, port = "", ""
    query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    return f"postgresql://{user}:{password}@{host}{port}/{database}{query}"


def _write_addresses(data_dir: Path, addresses: Mapping[str, str]) -> None:
    """Whole or not at all, readable by its owner alone from the first moment."""
    handle, draft = tempfile.mkstemp(dir=data_dir, prefix=f".{ADDRESSES}-")
    with os.fdopen(handle, "w") as file:
        json.dump(addresses, file)
    os.replace(draft, data_dir / ADDRESSES)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
