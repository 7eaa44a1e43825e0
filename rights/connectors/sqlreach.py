"""Whose rows they are: compiles the walk from an identity to set-based SQL.

One CTE per collection, `reach`, holds a person's rows and the columns that anything needs of them; `own` adds whether
somebody else owns the row too. A person with a million rows costs a query, never a loop, and so do all persons at once:
then the seed is a set of identities and every CTE carries the subject it speaks of in a column `j`. Names are never
built from strings: SQLAlchemy quotes them, and every label is numbered, as PostgreSQL cuts names at 63 bytes.

Parents' keys are made distinct before the children are read, never the children's rows: that costs a large person a
multiple.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.selectable import CTE, FromClause

from rights.connectors.base import Links, Seed
from rights.connectors.sqldialect import Changing, bool_or
from rights.connectors.sqlgraph import Graph
from rights.connectors.sqltypes import BINARY, integer_range
from rights.datamap import Edge, Predicate
from rights.kernel.clock import SHANGHAI

BIND = "portal_"
"""Begins the names of what a statement is asked with: SQLAlchemy would take a column's own name for a value to set."""
_OPS: dict[str, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]] = {
    "eq": lambda column, value: column == value,
    "ne": lambda column, value: column != value,
    "gt": lambda column, value: column > value,
    "ge": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "le": lambda column, value: column <= value,
    "in": lambda column, value: column.in_(value),
    "is_null": lambda column, _: column.is_(None),
    "not_null": lambda column, _: column.is_not(None),
}


@dataclass(frozen=True)
class InPlace:
    """A table's own columns under the names that they have in a CTE of its reached rows."""

    c: Mapping[str, ColumnElement[Any]]


class Reach:
    """The rows of one seed against one graph; CTEs are made once and shared."""

    def __init__(self, graph: Graph, seed: Seed, *, only: str | None = None) -> None:
        """`only`: a collection of which the rows asked about are the `bound_keys`."""
        self.graph = graph
        self.dialect = graph.dialect
        self.seed = seed
        self.only = only
        self.many = seed.everybody is not None
        self._reach: dict[str, CTE] = {}
        self._own: dict[str, CTE] = {}
        self._marked: dict[str, CTE] = {}
        self._ways: dict[Edge, CTE] = {}
        self._circles: dict[frozenset[str], CTE] = {}
        self._number = 0
        self._named = self._bind_identities()

    # --- what a statement is asked with

    @property
    def values(self) -> dict[str, Any]:
        """What this seed gives the statements of its shape."""
        values: dict[str, Any] = {bind.key: value for bind, value in self._named.values()}
        everybody, moment = self.seed.everybody, self.seed.scope_cutoff
        if everybody and everybody.values is not None:
            values[f"{BIND}subjects"] = list(everybody.values)
        if moment is not None:
            local = moment.astimezone(SHANGHAI)
            days = {"day": local.date(), "local": local.replace(tzinfo=None), "moment": moment}
            values |= {f"{BIND}scope_{name}": value for name, value in days.items()}
        return values

    @property
    def shape(self) -> Hashable | None:
        """What makes two seeds' statements the same but for `values`; None where it takes too much to say."""
        seed = self.seed
        if seed.links or seed.anchors or seed.found:
            return None
        everybody = seed.everybody
        asked = everybody and (everybody.kind, everybody.as_text, everybody.values is None)
        return tuple(self._named), asked, seed.today, seed.scope_cutoff is None

    def scope(self, type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
        """The moment that bounds the request, as a column of this type holds it."""
        if isinstance(type_, sa.Date):
            return sa.bindparam(f"{BIND}scope_day", type_=type_)
        aware = not isinstance(type_, sa.DateTime) or type_.timezone
        return sa.bindparam(f"{BIND}scope_{'moment' if aware else 'local'}", type_=type_)

    def _bind_identities(self) -> dict[tuple[str, str], tuple[sa.BindParameter[Any], Any]]:
        """By collection and identity column, the person's value in the column's type; what it cannot be is left out."""
        found = {}
        for number, (collection, name, kind) in enumerate(self.graph.identity_columns):
            value = self.seed.identities.get(kind)
            if value is not None:
                type_ = self.graph.tables[collection].c[name].type
                typed = parse_identity(value, type_)
                if typed is not None:
                    found[collection, name] = (
                        sa.bindparam(f"{BIND}identity_{number}", type_=self.dialect.compared(type_)),
                        typed,
                    )
        return found

    # --- columns

    def column(self, source: Any, collection: str, name: str) -> ColumnElement[Any]:
        """A needed column of a reach, own or fate CTE."""
        found: ColumnElement[Any] = source.c[f"c{self.graph.needed[collection].index(name)}"]
        return found

    def columns(self, source: Any, collection: str, names: Iterable[str]) -> list[ColumnElement[Any]]:
        return [self.column(source, collection, name) for name in names]

    def keys_of(self, source: Any, collection: str) -> list[ColumnElement[Any]]:
        return self.columns(source, collection, self.graph.key_columns(collection))

    def subject(self, source: Any) -> list[ColumnElement[Any]]:
        """The subject column where there are many; as a list, to go with others."""
        return [source.c.j] if self.many else []

    def same_subject(self, one: Any, other: Any) -> list[ColumnElement[bool]]:
        return [one.c.j == other.c.j] if self.many else []

    def where(self, source: Any, collection: str, predicates: Sequence[Predicate]) -> list[ColumnElement[bool]]:
        """Predicates on a reach CTE's rows."""
        return [self.compare(self.column(source, collection, item.field), item) for item in predicates]

    def compare(self, column: ColumnElement[Any], item: Predicate) -> ColumnElement[bool]:
        value = self.seed.today if item.value == "@today" else item.value
        if isinstance(column.type, sa.Date | sa.DateTime) and isinstance(value, str):
            value = datetime.fromisoformat(value) if len(value) > len("2026-11-23") else date.fromisoformat(value)
        if isinstance(column.type, sa.DateTime) and isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time(), tzinfo=SHANGHAI)
        if isinstance(value, int) and not isinstance(value, bool) and isinstance(column.type, sa.String):
            value = str(value)
        return _OPS[item.op](column, value)

    def name(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}{self._number}"

    # --- rows by key

    def key_in(self, collection: str, keys: Sequence[tuple[Any, ...]] | None = None) -> ColumnElement[bool]:
        """That a table's row is one of `keys`; without them, of those that `bound_keys` gives when it runs."""
        return self.dialect.key_in(self.table_keys(collection), keys, bind=f"{BIND}key", name=self.name("k"))

    def bound_keys(self, collection: str, keys: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        return self.dialect.bound_keys(self.table_keys(collection), keys, bind=f"{BIND}key")

    def change_chosen(self, statement: Changing, collection: str) -> Changing:
        """The statement for the rows that `bound_keys` gives when it runs."""
        return self.dialect.change_chosen(
            statement, self.table_keys(collection), bind=f"{BIND}key", name=self.name("k")
        )

    def in_reach(self, collection: str) -> ColumnElement[bool]:
        """That a table's row is one of the person's."""
        return sa.tuple_(*self.table_keys(collection)).in_(self.found(collection))

    def found(self, collection: str) -> sa.Select[Any]:
        """The keys of the person's rows."""
        return sa.select(*self.keys_of(self.reach(collection), collection))

    def is_found(self, collection: str) -> ColumnElement[bool]:
        """That a row of the table itself is the person's; not of a collection in a circle."""
        return sa.or_(sa.false(), *self._found_by(collection, self._ways_in(collection)))

    def in_place(self, collection: str) -> "InPlace":
        """The table itself in the place of `own`; of a collection that is never somebody else's too."""
        table = self.graph.tables[collection]
        names = enumerate(self.graph.needed[collection])
        columns = [(f"c{i}", self.dialect.stored(table.c[name])) for i, name in names]
        return InPlace({**dict(columns), "s": sa.false()})

    def table_keys(self, collection: str) -> list[ColumnElement[Any]]:
        return [self.graph.tables[collection].c[name] for name in self.graph.key_columns(collection)]

    # --- the walk

    def reach(self, collection: str) -> CTE:
        """The rows of a collection, each once (for each subject)."""
        if collection not in self._reach:
            circle = self.graph.circles[collection]
            body = (
                self._from_circle(collection, circle) if circle else self._rows(collection, self._ways_in(collection))
            )
            self._reach[collection] = body.cte(self.name("r"))
        return self._reach[collection]

    def _ways_in(self, collection: str) -> list[Edge]:
        """The edges that lead in from outside the collection's own circle."""
        circle = self.graph.circles[collection]
        return [edge for edge in self.graph.edges_into(collection) if edge.source not in circle]

    def _rows(self, collection: str, ways: Sequence[Edge]) -> sa.Select[Any] | sa.CompoundSelect[Any]:
        return self._select(collection, self.graph.needed[collection], ways)

    def _select(
        self, collection: str, names: Sequence[str], ways: Sequence[Edge]
    ) -> sa.Select[Any] | sa.CompoundSelect[Any]:
        """The rows that an identity names or a way leads to, with the columns `names` as c0, c1, …"""
        labels = self._labels(collection, names)
        if self.many:
            return self._select_many(collection, labels, ways)
        chosen = [self.key_in(collection)] if collection == self.only else []
        return self.dialect.select_by(labels, self._found_by(collection, ways), chosen)

    def _found_by(self, collection: str, ways: Sequence[Edge]) -> list[ColumnElement[bool]]:
        """Each way a row of the table is the person's: an identity names it, an edge leads to it, or it was found."""
        table = self.graph.tables[collection]
        found = [self.dialect.same(column, value) for column, value in self.identities(collection)]
        found += [self._led(table, edge) for edge in ways]
        if keys := self.seed.found.get(collection):
            found.append(self.key_in(collection, keys))
        return found

    def _labels(self, collection: str, names: Sequence[str]) -> list[ColumnElement[Any]]:
        """A table's columns as c0, c1, …; its key as it is, so that the row is found again by it."""
        table, keys = self.graph.tables[collection], self.graph.key_columns(collection)
        return [
            (table.c[name] if name in keys else self.dialect.stored(table.c[name])).label(f"c{i}")
            for i, name in enumerate(names)
        ]

    def _select_many(
        self, collection: str, labels: Sequence[ColumnElement[Any]], ways: Sequence[Edge]
    ) -> sa.Select[Any] | sa.CompoundSelect[Any]:
        table = self.graph.tables[collection]
        parts: list[sa.Select[Any]] = []
        for column in self._subject_columns(collection):
            part = sa.select(*labels, self._as_subject(column).label("j")).where(column.is_not(None))
            if self.seed.everybody and self.seed.everybody.values is not None:
                part = part.where(self.dialect.one_of(self._as_subject(column), bind=f"{BIND}subjects"))
            parts.append(part)
        for edge in ways:
            way = self._way(edge)
            parts.append(sa.select(*labels, way.c.j).join(way, self._meets(table, edge, way)))
        if not parts:
            return sa.select(*labels, sa.cast(sa.null(), self._subject_type).label("j")).where(sa.false())
        return parts[0] if len(parts) == 1 else sa.union(*parts)

    def _meets(self, table: FromClause, edge: Edge, way: CTE) -> ColumnElement[bool]:
        return sa.and_(*(table.c[name] == way.c[f"v{i}"] for i, name in enumerate(edge.target_fields)))

    def _led(self, table: FromClause, edge: Edge) -> ColumnElement[bool]:
        """That an edge leads to a table's row: its key compared with the parents' distinct ones."""
        way = self._way(edge)
        values = [way.c[f"v{i}"] for i in range(len(edge.target_fields))]
        return self.dialect.led_by([table.c[name] for name in edge.target_fields], values)

    def _way(self, edge: Edge) -> CTE:
        """An edge's distinct keys v0, v1, … in the types of the columns they are compared with."""
        if edge not in self._ways:
            if edge.source not in self.graph.collections:
                body: Any = self._linked(edge)
            else:
                source = self.reach(edge.source)
                body = sa.select(*self._values(source, edge), *self.subject(source)).where(
                    *self.where(source, edge.source, edge.when)
                )
                if not self.graph.names_a_row(edge.source, edge.source_fields):
                    body = body.distinct()
            self._ways[edge] = body.cte(self.name("w"))
        return self._ways[edge]

    def _values(self, source: Any, edge: Edge) -> list[ColumnElement[Any]]:
        """The edge's columns of its source's rows, as their target columns would hold them."""
        target = self.graph.tables.get(edge.target)
        columns = self.columns(source, edge.source, edge.source_fields)
        types = (
            [target.c[name].type for name in edge.target_fields] if target is not None else [c.type for c in columns]
        )
        return [
            self.dialect.converted(column, type_).label(f"v{i}")
            for i, (column, type_) in enumerate(zip(columns, types, strict=True))
        ]

    def _linked(self, edge: Edge) -> Any:
        """Keys read in another database: v0, v1, … and s (somebody else's row has the key too)."""
        table = self.graph.tables[edge.target]
        types = [table.c[name].type for name in edge.target_fields]
        links = self.seed.links.get(edge, Links())
        rows = []
        for values, shared in zip(links.values, links.shared, strict=True):
            typed = [typed_value(value, type_) for value, type_ in zip(values, types, strict=True)]
            if None not in typed:
                rows.append((*typed, shared))
        return self.given({**{f"v{i}": type_ for i, type_ in enumerate(types)}, "s": sa.Boolean()}, rows)

    def given(self, columns: Mapping[str, sa.types.TypeEngine[Any]], rows: Sequence[tuple[Any, ...]]) -> Any:
        """Rows of ours as a select."""
        return self.dialect.given(columns, rows, name=self.name("g"))

    # --- circles

    def _from_circle(self, collection: str, circle: frozenset[str]) -> sa.Select[Any]:
        """A collection's rows from its circle's keys."""
        keys = self._circle(circle)
        labels = self._labels(collection, self.graph.needed[collection])
        mine = (
            sa.select(*self._slots(keys, circle)[collection], *self.subject(keys))
            .where(keys.c.g == sorted(circle).index(collection))
            .distinct()
            .subquery(self.name("m"))
        )
        condition = [
            column == mine.c[str(slot.key)]
            for column, slot in zip(self.table_keys(collection), self._slots(keys, circle)[collection], strict=True)
        ]
        return sa.select(*labels, *self.subject(mine)).join(mine, sa.and_(*condition))

    def _slots(self, source: Any, circle: frozenset[str]) -> dict[str, list[ColumnElement[Any]]]:
        """By collection of a circle, the columns of the circle's CTE that hold its keys."""
        return {
            key: [source.c[f"k{number}_{i}"] for i in range(len(self.graph.key_columns(key)))]
            for number, key in enumerate(sorted(circle))
        }

    def _circle(self, circle: frozenset[str]) -> CTE:
        """The keys of all rows of a circle of edges, tagged by collection (`g`).

        One recursive CTE walks all the circle's edges (`Dialect.go_round`), until there is nothing new.
        """
        if circle not in self._circles:
            order = sorted(circle)
            bases = []
            for key in order:
                rows = self._select(key, self.graph.key_columns(key), self._ways_in(key)).subquery(self.name("b"))
                bases.append(self._tagged(circle, key, [rows.c[f"c{i}"] for i in range(self._width(key))], rows))
            base = (bases[0] if len(bases) == 1 else sa.union(*bases)).subquery(self.name("b"))
            keys = sa.select(base).cte(self.name("y"), recursive=True)
            steps = [
                self._step(keys, circle, edge)
                for key in order
                for edge in self.graph.edges_into(key)
                if edge.source in circle
            ]
            self._circles[circle] = self.dialect.go_round(keys, steps, name=self.name("n"))
        return self._circles[circle]

    def _width(self, collection: str) -> int:
        return len(self.graph.key_columns(collection))

    def _tagged(
        self, circle: frozenset[str], collection: str, keys: Sequence[ColumnElement[Any]], rows: Any
    ) -> sa.Select[Any]:
        columns: list[ColumnElement[Any]] = [sa.literal(sorted(circle).index(collection), sa.Integer).label("g")]
        for number, key in enumerate(sorted(circle)):
            for i, column in enumerate(self.table_keys(key)):
                value = keys[i] if key == collection else self.dialect.empty(column.type)
                columns.append(value.label(f"k{number}_{i}"))
        return sa.select(*columns, *self.subject(rows))

    def _step(self, keys: CTE, circle: frozenset[str], edge: Edge) -> sa.Select[Any]:
        """One edge of a circle from the rows found last."""
        source = self.graph.tables[edge.source].alias(self.name("a"))
        target = self.graph.tables[edge.target].alias(self.name("b"))
        named = zip(self.graph.key_columns(edge.source), self._slots(keys, circle)[edge.source], strict=True)
        pairs = zip(edge.source_fields, edge.target_fields, strict=True)
        return (
            self._tagged(circle, edge.target, [target.c[name] for name in self.graph.key_columns(edge.target)], keys)
            .select_from(
                source.join(
                    target,
                    sa.and_(*(target.c[t] == self.dialect.converted(source.c[s], target.c[t].type) for s, t in pairs)),
                )
            )
            .where(
                keys.c.g == sorted(circle).index(edge.source),
                *(source.c[name] == slot for name, slot in named),
                *(self.compare(source.c[item.field], item) for item in edge.when),
            )
            .correlate(keys)
        )

    # --- identities

    def identities(self, collection: str) -> list[tuple[sa.Column[Any], Any]]:
        """Identity columns with the person's value; one that the column cannot hold reaches nothing."""
        table = self.graph.tables[collection]
        return [(table.c[name], bind) for (key, name), (bind, _) in self._named.items() if key == collection]

    def _subject_columns(self, collection: str) -> list[ColumnElement[Any]]:
        wanted = self.seed.everybody.kind if self.seed.everybody else None
        table = self.graph.tables[collection]
        return [table.c[name] for key, name, kind in self.graph.identity_columns if (key, kind) == (collection, wanted)]

    @cached_property
    def _subject_type(self) -> sa.types.TypeEngine[Any]:
        """The type of the subject column: the identity's own where all its columns agree, else text."""
        types = [column.type for key in self.graph.collections for column in self._subject_columns(key)]
        alike = len({type(type_) for type_ in types}) == 1 and isinstance(types[0], sa.Integer)
        return types[0] if alike and self.seed.everybody and not self.seed.everybody.as_text else sa.Text()

    def _as_subject(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        type_ = self._subject_type
        return self.dialect.as_subject(column, type_)

    def everyone(self) -> FromClause:
        """All subjects, as `j`: whoever is reached at all is named by an identity of theirs."""
        named = [self.reach(key) for key in self.graph.collections if self._subject_columns(key)]
        return sa.union(*(sa.select(rows.c.j) for rows in named)).subquery("everyone")

    def has_identity(self, collection: str) -> bool:
        """Whether the seed itself leads to the collection, without any edge."""
        return bool(self._subject_columns(collection) if self.many else self.identities(collection))

    # --- what is somebody else's too

    def own(self, collection: str) -> CTE:
        """The reached rows with `s`: whether somebody else owns the row too."""
        if collection not in self._own:
            circle = self.graph.circles[collection]
            marked = self._mark(collection)
            if circle:
                # Who shares one row of a circle may reach all of it: a person decides about the whole.
                others = [self._mark(key) for key in sorted(circle)]
                shared = sa.or_(
                    *(
                        sa.exists(sa.select(other.c.s).where(other.c.s, *self.same_subject(other, marked)))
                        for other in others
                    )
                )
                columns = [column for column in marked.c if column.name != "s"]
                marked = sa.select(*columns, shared.label("s")).cte(self.name("o"))
            self._own[collection] = marked
        return self._own[collection]

    def _mark(self, collection: str) -> CTE:
        """The reached rows with `s`, without what a circle adds."""
        if collection not in self._marked:
            reach = self.reach(collection)
            source: FromClause = reach
            found: list[ColumnElement[bool]] = []
            if self.graph.may_be_shared(collection):
                found += self._other_identities(reach, collection)
                for edge in self.graph.edges_into(collection):
                    shared = self._shared(edge)
                    if shared is None:
                        continue
                    targets = self.columns(reach, collection, edge.target_fields)
                    pairs = [target == shared.c[f"v{i}"] for i, target in enumerate(targets)]
                    source = source.outerjoin(shared, sa.and_(*pairs, *self.same_subject(shared, reach)))
                    found.append(shared.c.v0.is_not(None))
                found += self._unlinked(reach, collection)
            s = sa.or_(*found) if found else sa.false()
            self._marked[collection] = sa.select(*reach.c, s.label("s")).select_from(source).cte(self.name("o"))
        return self._marked[collection]

    def _other_identities(self, reach: CTE, collection: str) -> list[ColumnElement[bool]]:
        if self.many:
            mine = [(column.name, reach.c.j) for column in self._subject_columns(collection)]
        else:
            mine = [(column.name, value) for column, value in self.identities(collection)]
        found = []
        for name, value in mine:
            column = self.column(reach, collection, name)
            same = self._as_subject(column) == value if self.many else self.dialect.same(column, value)
            found.append(sa.and_(column.is_not(None), ~same))
        return found

    def _unlinked(self, reach: CTE, collection: str) -> list[ColumnElement[bool]]:
        """A row found by another way whose key in another database is not this person's: somebody else's there."""
        edges = self.graph.edges_into(collection)
        if len(edges) == 1 and not self.has_identity(collection):
            return []
        found = []
        for edge in edges:
            if edge.source in self.graph.collections:
                continue
            way = self._way(edge)
            targets = self.columns(reach, collection, edge.target_fields)
            pairs = [target == way.c[f"v{i}"] for i, target in enumerate(targets)]
            mine = sa.exists(sa.select(sa.literal(1)).where(*pairs))
            found.append(sa.and_(*(target.is_not(None) for target in targets), ~mine))
        return found

    def _shared(self, edge: Edge) -> FromClause | None:
        """The edge's keys, among the person's, that lead to somebody else's row as well; None: there are none."""
        if edge.source not in self.graph.collections:
            way = self._way(edge)
            return (
                sa.select(*(way.c[f"v{i}"] for i in range(len(edge.target_fields))))
                .where(way.c.s)
                .subquery(self.name("h"))
            )
        alone = len(self.graph.edges_into(edge.target)) == 1 and not (
            edge.target in self.seed.found or (edge.target in self.graph.collections and self.has_identity(edge.target))
        )
        strangers = not (alone and self.graph.names_a_row(edge.source, edge.source_fields))
        inherits = self.graph.may_be_shared(edge.source) and edge.source not in self.graph.circles.get(
            edge.target, frozenset()
        )
        if strangers:
            return self._shared_by_strangers(edge, alone=alone, inherits=inherits).subquery(self.name("h"))
        if not inherits:
            return None
        return self._inherited(edge).distinct().subquery(self.name("h"))

    def _inherited(self, edge: Edge) -> sa.Select[Any]:
        owned = self.own(edge.source)
        return sa.select(*self._values(owned, edge), *self.subject(owned)).where(
            owned.c.s, *self.where(owned, edge.source, edge.when)
        )

    def _candidates(self, edge: Edge, *, alone: bool) -> FromClause:
        """The keys to ask about: what the edge itself brought, or what the target's rows hold, however found."""
        if alone:
            return self._way(edge)
        reach = self.reach(edge.target)
        labels = [
            column.label(f"v{i}") for i, column in enumerate(self.columns(reach, edge.target, edge.target_fields))
        ]
        return sa.select(*labels, *self.subject(reach)).distinct().subquery(self.name("q"))

    def _shared_by_strangers(
        self, edge: Edge, *, alone: bool, inherits: bool
    ) -> sa.Select[Any] | sa.CompoundSelect[Any]:
        theirs = self.graph.tables[edge.source].alias(self.name("t"))
        asked = self._candidates(edge, alone=alone)
        target = self.graph.tables.get(edge.target)
        values = []
        for i, name in enumerate(edge.source_fields):
            type_ = target.c[edge.target_fields[i]].type if target is not None else theirs.c[name].type
            values.append(self.dialect.converted(theirs.c[name], type_))
        mine = self.own(edge.source) if inherits and self.many else self.reach(edge.source)
        same = sa.and_(
            *(theirs.c[name] == self.column(mine, edge.source, name) for name in self.graph.key_columns(edge.source))
        )
        predicates = [self.compare(theirs.c[item.field], item) for item in edge.when]
        if not self.many:
            among = sa.tuple_(*values).in_(sa.select(*(asked.c[f"v{i}"] for i in range(len(values)))))
            strangers = (
                sa.select(*(value.label(f"v{i}") for i, value in enumerate(values)))
                .where(among, *predicates, ~sa.exists(sa.select(sa.literal(1)).select_from(mine).where(same)))
                .distinct()
            )
            return sa.union(strangers, self._inherited(edge)) if inherits else strangers
        # Of all owners of the rows behind a key: more than one, one who is nobody we know, or not the one who asks.
        owner = self.orderable(mine.c.j)
        summary = (
            sa.select(
                *(value.label(f"v{i}") for i, value in enumerate(values)),
                sa.func.min(owner).label("a"),
                sa.func.max(owner).label("z"),
                bool_or(mine.c.j.is_(None)).label("n"),
                (sa.func.coalesce(bool_or(mine.c.s), sa.false()) if inherits else sa.false()).label("s"),
            )
            .select_from(theirs.outerjoin(mine, same))
            .where(*predicates)
            .group_by(*values)
            .subquery(self.name("z"))
        )
        me = self.orderable(asked.c.j)
        return (
            sa.select(*(asked.c[f"v{i}"] for i in range(len(values))), asked.c.j)
            .join(summary, sa.and_(*(asked.c[f"v{i}"] == summary.c[f"v{i}"] for i in range(len(values)))))
            .where(sa.or_(summary.c.n, summary.c.s, summary.c.a != me, summary.c.z != me))
            .distinct()
        )

    def orderable(self, subject: ColumnElement[Any]) -> ColumnElement[Any]:
        """Subjects as what has a minimum."""
        return subject if isinstance(subject.type, sa.Integer | sa.Numeric | sa.String) else sa.cast(subject, sa.Text)

    def links(self, edge: Edge) -> sa.Select[Any]:
        """An edge's keys for another database: v0, v1, … and whether somebody else's row has them too."""
        way = self._way(edge)
        values = [way.c[f"v{i}"] for i in range(len(edge.source_fields))]
        shared = self._shared_link(edge)
        if shared is None:
            return sa.select(*values, sa.false().label("s"))
        pairs = [value == shared.c[f"v{i}"] for i, value in enumerate(values)]
        joined = way.outerjoin(shared, sa.and_(*pairs))
        return sa.select(*values, shared.c.v0.is_not(None).label("s")).select_from(joined)

    def _shared_link(self, edge: Edge) -> FromClause | None:
        inherits = self.graph.may_be_shared(edge.source)
        if not self.graph.names_a_row(edge.source, edge.source_fields):
            return self._shared_by_strangers(edge, alone=True, inherits=inherits).subquery(self.name("h"))
        return self._inherited(edge).distinct().subquery(self.name("h")) if inherits else None


def typed_value(value: Any, type_: sa.types.TypeEngine[Any]) -> Any | None:
    """A key of another database as this column's type; None where it is no such value."""
    if value is None:
        return None
    if isinstance(type_, sa.String):
        return str(value)
    if isinstance(value, Decimal):
        text = format(value, "f")  # 5.00 is 5, as it is within one database
        value = text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, str) or isinstance(type_, sa.Integer | sa.Numeric | sa.Uuid):
        return parse_identity(str(value), type_)
    return value


def parse_identity(value: str, type_: sa.types.TypeEngine[Any]) -> Any | None:
    """An identity as the column's type, or None where it is no such value: 007 is not 7."""
    if isinstance(type_, sa.Integer):
        return _parse_integer(value, type_)
    if isinstance(type_, sa.Numeric):
        try:
            number = Decimal(value)
        except InvalidOperation:
            return None
        return number if number.is_finite() and format(number.normalize(), "f") == value else None
    if isinstance(type_, sa.Uuid):
        try:
            found = UUID(value)
        except ValueError:
            return None
        return found if str(found) == value.lower() else None
    # A type that is not known is compared as it comes: an error of that database is better than a false absence.
    return None if isinstance(type_, (sa.Date, sa.DateTime, sa.Time, sa.Boolean, *BINARY)) else value


def _parse_integer(value: str, type_: sa.Integer) -> int | None:
    """A number that the column can hold, written as the column would write it."""
    try:
        number = int(value)
    except ValueError:
        return None
    low, high = integer_range(type_)
    return number if str(number) == value and low <= number <= high else None
