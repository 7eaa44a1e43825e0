"""A schema of a live PostgreSQL database as it is: tables, columns, keys and what our role may do with them.

One query per aspect reads the whole schema, never one per table: 500 tables cost as many round trips as one.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.engine import Connection
from sqlalchemy.engine.reflection import ObjectKind, ObjectScope
from sqlalchemy.exc import DBAPIError, SAWarning, SQLAlchemyError
from sqlalchemy.pool import NullPool

from portal.core.systems import UnknownSystem, system_url
from rights.connectors.base import Refused, Unavailable
from rights.connectors.sqlservers import find_dialect

CONNECT_SECONDS = 2
LOOK_SECONDS = 20

TableName = tuple[str, str]
"""(schema, table)."""


@dataclass(frozen=True)
class LiveColumn:
    """`type` is what a domain stands on. `computed`: the database writes it, nobody else can."""

    name: str
    type: sa.types.TypeEngine[Any]
    nullable: bool
    computed: bool
    may_read: bool
    may_change: bool


@dataclass(frozen=True)
class LiveIndex:
    """`columns` has None in the place of an expression."""

    name: str
    columns: tuple[str | None, ...]
    unique: bool
    partial: bool
    nulls_distinct: bool

    def leads_with(self, columns: tuple[str, ...]) -> bool:
        """Whether a look-up by these columns can use the index."""
        return not self.partial and set(self.columns[: len(columns)]) == set(columns)


@dataclass(frozen=True)
class LiveTable:
    """`kind` as in pg_class.relkind: r table, p partitioned, v view, m materialised view, f foreign.

    `under` are the tables that already hold its rows: the partitioned parents of a partition, what a view reads.
    `bound`: a row-level policy binds our role. `may_delete` is the right, `lets_delete` whether a view can do it.
    `unworkable`: why nothing can be planned there, with what to do.
    """

    schema: str
    name: str
    kind: Literal["r", "p", "v", "m", "f"]
    bound: bool
    may_delete: bool
    lets_delete: bool
    lets_change: bool
    columns: Mapping[str, LiveColumn] = field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    indexes: tuple[LiveIndex, ...] = ()
    under: frozenset[TableName] = frozenset()
    is_partition: bool = False
    unworkable: str = ""

    @property
    def is_view(self) -> bool:
        return self.kind in {"v", "m"}


@dataclass(frozen=True)
class LiveReference:
    """A foreign key. `on_delete` as SQL says it. `indexed`: the child's columns can be looked up."""

    name: str
    child: TableName
    columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    on_delete: str
    indexed: bool


@dataclass(frozen=True)
class LiveSchema:
    """`references` are those of the whole database: what is erased here may pull on rows of another schema.

    `read_only`: a standby, or a role or database that was made so.
    """

    name: str
    database: str
    role: str
    exists: bool
    may_use: bool
    read_only: bool
    other_schemas: tuple[str, ...]
    tables: Mapping[str, LiveTable]
    references: tuple[LiveReference, ...]
    make: Literal["postgresql", "mariadb"] = "postgresql"

    @property
    def shows_all(self) -> bool:
        """Whether a role is shown tables and columns that it has no right on."""
        return self.make == "postgresql"

    @cached_property
    def touching(self) -> Mapping[TableName, list[LiveReference]]:
        """By table, the foreign keys from and to it."""
        found: dict[TableName, list[LiveReference]] = {}
        for reference in self.references:
            for table in {reference.child, reference.parent}:
                found.setdefault(table, []).append(reference)
        return found


_SCHEMAS = """
SELECT nspname, has_schema_privilege(oid, 'USAGE'), current_user, current_database(),
    pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1
"""
_TABLES = """
SELECT c.relname, c.relkind::text, c.relispartition, c.relrowsecurity AND row_security_active(c.oid),
    has_table_privilege(c.oid, 'DELETE'),
    CASE WHEN c.relkind IN ('v', 'f') THEN pg_relation_is_updatable(c.oid, true) WHEN c.relkind = 'm' THEN 0 ELSE 20 END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1
"""
_RIGHTS = """
SELECT c.relname, a.attname, a.attgenerated <> '' OR a.attidentity = 'a',
    has_column_privilege(c.oid, a.attnum, 'SELECT'), has_column_privilege(c.oid, a.attnum, 'UPDATE')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
"""
# The key of each partition is the parent's own and would count twice.
_REFERENCES = """
SELECT k.conname, cn.nspname, c.relname, pn.nspname, p.relname, k.confdeltype::text,
    ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (n, i)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i),
    ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u (n, i)
          JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 2, 3, 1
"""
# indnullsnotdistinct came with PostgreSQL 15; a business system may be older than ours.
_INDEXES = """
SELECT n.nspname, c.relname, x.relname, i.indisprimary, i.indisunique, i.indpred IS NOT NULL,
    NOT coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
    ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY u (n, i)
          LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.n AND u.n > 0
          ORDER BY u.i LIMIT i.indnkeyatts)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
WHERE i.indisvalid AND m.amname IN ('btree', 'hash') AND (n.nspname = :schema OR i.indrelid IN (
    SELECT k.conrelid FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid
    JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE k.contype = 'f' AND pn.nspname = :schema))
ORDER BY 1, 2, 3
"""
_VIEWS = """
SELECT DISTINCT vn.nspname, v.relname, tn.nspname, t.relname
FROM pg_rewrite r
JOIN pg_class v ON v.oid = r.ev_class JOIN pg_namespace vn ON vn.oid = v.relnamespace
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE v.relkind IN ('v', 'm') AND tn.nspname !~ '^pg_' AND tn.nspname <> 'information_schema'
UNION
SELECT cn.nspname, c.relname, pn.nspname, p.relname FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE c.relkind IN ('r', 'p', 'f')
"""
_DELETE_BIT, _UPDATE_BIT = 16, 4
_ON_DELETE = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


@contextmanager
def open_catalog(system: str) -> Iterator[Connection]:
    """A connection of its own to a system, closed at the end. Raises Unavailable or Refused, without any value."""
    try:
        address = sa.make_url(system_url(system))
    except UnknownSystem as error:
        raise Unavailable(str(error)) from None
    except sa.exc.ArgumentError:
        raise Unavailable(f"The address of the system {system} is not one.") from None
    dialect = find_dialect(address)
    engine = dialect.open_engine(address, connect_seconds=CONNECT_SECONDS, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        trouble = dialect.explain(error)
        if trouble.away or trouble.late or trouble.shut:
            said = trouble.numbered if trouble.code else "no connection"
            raise Unavailable(f"The system {system} does not answer ({said}).") from None
        raise Refused(f"The system {system} refuses to be looked at ({trouble.numbered}).") from None
    except SQLAlchemyError as error:
        raise Refused(f"The system {system} cannot be looked at: {type(error).__name__}.") from None


def read_schema(connection: Connection, schema: str) -> LiveSchema:
    """The schema as our role sees it, in one snapshot."""
    reading = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with reading.begin():
        reading.execute(sa.text(f"SET LOCAL statement_timeout = {LOOK_SECONDS * 1000}"))
        return _Reader(reading, schema).read()


class _Reader:
    def __init__(self, connection: Connection, schema: str) -> None:
        self.connection = connection
        self.schema = schema

    def read(self) -> LiveSchema:
        schemas = self._rows(_SCHEMAS)
        role, database = (str(schemas[0][2]), str(schemas[0][3])) if schemas else ("", "")
        may_use = {str(name): bool(usable) for name, usable, *_ in schemas}
        indexes = self._indexes()
        return LiveSchema(
            name=self.schema,
            database=database,
            role=role,
            exists=self.schema in may_use,
            may_use=may_use.get(self.schema, False),
            read_only=bool(schemas and schemas[0][4]),
            other_schemas=tuple(name for name in may_use if name != self.schema),
            tables=self._tables(indexes),
            references=self._references(indexes),
        )

    def _rows(self, query: str) -> list[Any]:
        return [
            *self.connection.execute(sa.text(query), {"schema": self.schema} if ":schema" in query else {}).fetchall()
        ]

    def _indexes(self) -> dict[TableName, list[tuple[bool, LiveIndex]]]:
        found: dict[TableName, list[tuple[bool, LiveIndex]]] = {}
        for schema, table, name, primary, unique, partial, distinct, columns in self._rows(_INDEXES):
            index = LiveIndex(name, tuple(columns), unique, partial, distinct)
            found.setdefault((schema, table), []).append((primary, index))
        return found

    def _tables(self, indexes: Mapping[TableName, list[tuple[bool, LiveIndex]]]) -> dict[str, LiveTable]:
        columns = self._columns()
        under = self._under()
        found = {}
        for name, kind, is_partition, bound, may_delete, lets in self._rows(_TABLES):
            key = (self.schema, name)
            primary = [index.columns for is_primary, index in indexes.get(key, ()) if is_primary]
            found[name] = LiveTable(
                schema=self.schema,
                name=name,
                kind=kind,
                bound=bound,
                may_delete=may_delete,
                lets_delete=bool(lets & _DELETE_BIT),
                lets_change=bool(lets & _UPDATE_BIT),
                columns=columns.get(name, {}),
                primary_key=tuple(column for column in primary[0] if column) if primary else (),
                indexes=tuple(index for _, index in indexes.get(key, ())),
                under=under.get(key, frozenset()),
                is_partition=is_partition,
            )
        return found

    def _columns(self) -> dict[str, dict[str, LiveColumn]]:
        rights = {(table, column): rest for table, column, *rest in self._rows(_RIGHTS)}
        with warnings.catch_warnings():
            # A type that SQLAlchemy does not know comes as NullType, which every check lets pass.
            warnings.simplefilter("ignore", SAWarning)
            reflected = sa.inspect(self.connection).get_multi_columns(
                schema=self.schema, kind=ObjectKind.ANY, scope=ObjectScope.ANY
            )
        found: dict[str, dict[str, LiveColumn]] = {}
        for (_, table), columns in reflected.items():
            for body in columns:
                computed, may_read, may_change = rights.get((table, body["name"]), (False, False, False))
                type_, nullable = body["type"], body["nullable"]
                while isinstance(type_, DOMAIN):
                    nullable = nullable and not type_.not_null
                    type_ = type_.data_type
                found.setdefault(table, {})[body["name"]] = LiveColumn(
                    body["name"], type_, nullable, computed, may_read, may_change
                )
        return found

    def _under(self) -> dict[TableName, frozenset[TableName]]:
        """By view or partition, every table that it stands on, however deep."""
        direct: dict[TableName, set[TableName]] = {}
        for schema, name, base_schema, base in self._rows(_VIEWS):
            direct.setdefault((schema, name), set()).add((base_schema, base))
        found = {}
        for key in direct:
            seen: set[TableName] = set()
            waiting = list(direct[key])
            while waiting:
                base = waiting.pop()
                if base not in seen:
                    seen.add(base)
                    waiting += direct.get(base, ())
            found[key] = frozenset(seen - {key})
        return found

    def _references(self, indexes: Mapping[TableName, list[tuple[bool, LiveIndex]]]) -> tuple[LiveReference, ...]:
        found = []
        for name, child_schema, child, parent_schema, parent, action, columns, parent_columns in self._rows(
            _REFERENCES
        ):
            reference = LiveReference(
                name=name,
                child=(child_schema, child),
                columns=tuple(columns),
                parent=(parent_schema, parent),
                parent_columns=tuple(parent_columns),
                on_delete=_ON_DELETE[action],
                indexed=False,
            )
            known = indexes.get(reference.child, ())
            indexed = any(index.leads_with(reference.columns) for _, index in known)
            found.append(replace(reference, indexed=indexed))
        return tuple(found)
