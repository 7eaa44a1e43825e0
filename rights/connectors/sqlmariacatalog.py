"""A schema of a live MariaDB as it is, in the form of `sqlcatalog`: there a schema is a database.

What the portal's role may do is asked of the server itself: `information_schema.columns` says it of reading and
changing, whether by the role's own rights or another's, and EXPLAIN of a DELETE that deletes nothing of deleting.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SAWarning

from rights.connectors.sqlcatalog import (
    LOOK_SECONDS,
    LiveColumn,
    LiveIndex,
    LiveReference,
    LiveSchema,
    LiveTable,
    TableName,
)
from rights.connectors.sqlmariadb import MariaDB, settled, unworkable

_SCHEMAS = """
SELECT schema_name, CURRENT_USER() FROM information_schema.schemata
WHERE schema_name NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys') ORDER BY 1
"""
_TABLES = """
SELECT table_name, table_type, engine FROM information_schema.tables
WHERE table_schema = :schema AND table_type <> 'SEQUENCE' ORDER BY 1
"""
_COLUMNS = """
SELECT table_name, column_name, is_nullable = 'YES',
    is_generated = 'ALWAYS' OR extra LIKE '%GENERATED%', FIND_IN_SET('select', privileges) > 0,
    FIND_IN_SET('update', privileges) > 0, character_set_name, collation_name
FROM information_schema.columns WHERE table_schema = :schema ORDER BY table_name, ordinal_position
"""
_INDEXES = """
SELECT s.table_schema, s.table_name, s.index_name, s.non_unique = 0, IF(s.sub_part IS NULL, s.column_name, NULL)
FROM information_schema.statistics s
WHERE s.index_type IN ('BTREE', 'HASH') AND (s.table_schema = :schema OR EXISTS (
    SELECT 1 FROM information_schema.key_column_usage k WHERE k.referenced_table_schema = :schema
    AND (k.table_schema, k.table_name) = (s.table_schema, s.table_name)))
ORDER BY s.table_schema, s.table_name, s.index_name, s.seq_in_index
"""
_REFERENCES = """
SELECT k.constraint_name, k.table_schema, k.table_name, k.referenced_table_schema, k.referenced_table_name,
    r.delete_rule, k.column_name, k.referenced_column_name
FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r
    ON (r.constraint_schema, r.constraint_name, r.table_name) = (k.constraint_schema, k.constraint_name, k.table_name)
WHERE k.referenced_table_name IS NOT NULL
ORDER BY 2, 3, 1, k.ordinal_position
"""
_VIEWS = "SELECT table_name, is_updatable = 'YES' FROM information_schema.views WHERE table_schema = :schema"


def read_schema(connection: Connection, schema: str) -> LiveSchema:
    """The schema as our role sees it. Its own catalogue knows no snapshot, so it is read as it is at each query."""
    with MariaDB().act(connection, seconds=LOOK_SECONDS) as reading:
        return _Reader(reading, schema).read()


class _Reader:
    def __init__(self, connection: Connection, schema: str) -> None:
        self.connection = connection
        self.schema = schema

    def read(self) -> LiveSchema:
        schemas = self._rows(_SCHEMAS)
        names = [str(name) for name, _ in schemas]
        indexes = self._indexes()
        exists = self.schema in names
        return LiveSchema(
            name=self.schema,
            database=self.schema,
            role=str(schemas[0][1]) if schemas else "",
            exists=exists,
            may_use=exists,  # one that a role may not use is not shown to it
            other_schemas=tuple(name for name in names if name != self.schema),
            tables=self._tables(indexes) if exists else {},
            references=self._references(indexes),
            read_only=self.connection.execute(sa.text("SELECT @@read_only")).scalar_one() not in (0, "0", "OFF"),
            make="mariadb",
        )

    def _rows(self, query: str) -> list[Any]:
        values = {"schema": self.schema} if ":schema" in query else {}
        return [*self.connection.execute(sa.text(query), values).fetchall()]

    def _indexes(self) -> dict[TableName, list[tuple[bool, LiveIndex]]]:
        columns: dict[tuple[str, str, str, bool], list[str | None]] = {}
        for schema, table, name, unique, column in self._rows(_INDEXES):
            columns.setdefault((schema, table, name, bool(unique)), []).append(column)
        found: dict[TableName, list[tuple[bool, LiveIndex]]] = {}
        for (schema, table, name, unique), names in columns.items():
            index = LiveIndex(name, tuple(names), unique, partial=False, nulls_distinct=True)
            found.setdefault((schema, table), []).append((name == "PRIMARY", index))
        return found

    def _tables(self, indexes: Mapping[TableName, list[tuple[bool, LiveIndex]]]) -> dict[str, LiveTable]:
        columns = self._columns()
        views = {name: bool(updatable) for name, updatable in self._rows(_VIEWS)}
        found = {}
        for name, kind, engine in self._rows(_TABLES):
            known = indexes.get((self.schema, name), ())
            primary = [index.columns for is_primary, index in known if is_primary]
            found[name] = LiveTable(
                schema=self.schema,
                name=name,
                kind="v" if kind == "VIEW" else "r",
                bound=False,
                may_delete=self._may_delete(name),
                lets_delete=views.get(name, True),
                lets_change=views.get(name, True),
                columns=columns.get(name, {}),
                primary_key=tuple(column for column in primary[0] if column) if primary else (),
                indexes=tuple(index for _, index in known),
                unworkable=unworkable(name, kind, engine),
            )
        return found

    def _may_delete(self, table: str) -> bool:
        none_of_it = sa.delete(sa.table(table, schema=self.schema)).where(sa.text("1 = 0"))
        try:
            self.connection.exec_driver_sql(f"EXPLAIN {none_of_it.compile(dialect=self.connection.dialect)}", {})
        except DBAPIError as error:
            return (
                not MariaDB().explain(error).remedy
            )  # what else refuses, such as a server that is read-only, is no right
        return True

    def _columns(self) -> dict[str, dict[str, LiveColumn]]:
        types: dict[str, dict[str, sa.types.TypeEngine[Any]] | None] = {}
        found: dict[str, dict[str, LiveColumn]] = {}
        for table, name, nullable, computed, may_read, may_change, charset, collation in self._rows(_COLUMNS):
            if table not in types:
                types[table] = self._types(table)
            known = types[table]
            type_ = settled((known or {}).get(name, sa.types.NullType()), charset=charset, collation=collation)
            found.setdefault(table, {})[name] = LiveColumn(
                name, type_, bool(nullable), bool(computed), bool(may_read and known is not None), bool(may_change)
            )
        return found

    def _types(self, table: str) -> dict[str, sa.types.TypeEngine[Any]] | None:
        """None where our role may not see how the table is defined: then it cannot be worked on either."""
        with warnings.catch_warnings():
            # A type that SQLAlchemy does not know comes as NullType, which every check lets pass.
            warnings.simplefilter("ignore", SAWarning)
            try:
                columns = sa.inspect(self.connection).get_columns(table, schema=self.schema)
            except DBAPIError:
                return None
        return {body["name"]: body["type"] for body in columns}

    def _references(self, indexes: Mapping[TableName, list[tuple[bool, LiveIndex]]]) -> tuple[LiveReference, ...]:
        pairs: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for *named, ours, theirs in self._rows(_REFERENCES):
            pairs.setdefault(tuple(named), []).append((ours, theirs))
        return tuple(
            LiveReference(
                name=name,
                child=(child_schema, child),
                columns=tuple(ours for ours, _ in columns),
                parent=(parent_schema, parent),
                parent_columns=tuple(theirs for _, theirs in columns),
                on_delete=rule,
                indexed=any(
                    index.leads_with(tuple(ours for ours, _ in columns))
                    for _, index in indexes.get((child_schema, child), ())
                ),
            )
            for (name, child_schema, child, parent_schema, parent, rule), columns in pairs.items()
        )
