"""Compiles a data map's graph to set-based SQL: which rows are the person's, and what becomes of each.

One CTE per collection, `reach`, holds the person's rows and the columns anything needs of them; `fate` adds what
becomes of each row. A person with a million rows costs a query, never a loop. Names are never built from strings:
SQLAlchemy quotes them, and every label is numbered, as PostgreSQL cuts names at 63 bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import NoReferencedTableError
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.selectable import CTE

from rights.connectors.base import Policy, Seed
from rights.datamap import Collection, DataMap, Predicate
from rights.kernel.clock import SHANGHAI
from rights.kernel.plan import Fate
from rights.kernel.retention import Count, Rule, duration_months

OUTSIDE, BLOCKED, HOLD, HOLD_OPEN, KEEP, PERSON, GO, MASKED, RESTRICTED, REFUSED = range(10)
"""Fates as small numbers. OUTSIDE rows are not the request's (too new, confidential) but still keep their parents;
MASKED ones were masked before: there is nothing left to do about them."""

FIXED = {
    Fate.BLOCKED: BLOCKED, Fate.KEEP: KEEP, Fate.PERSON: PERSON, Fate.RESTRICT: RESTRICTED, Fate.REFUSE: REFUSED,
}  # fmt: skip
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


class Graph:
    """The collections of one system, bound to its reflected tables."""

    def __init__(self, *, system: str, data_map: DataMap, tables: Mapping[str, sa.Table]) -> None:
        self.system = system
        self.map = data_map
        self.tables = tables
        self.collections = {item.key: item for item in data_map.of_system(system)}

    @cached_property
    def parents(self) -> list[tuple[str, str, list[tuple[str, str]]]]:
        """Foreign keys between collections: (child, parent, [(child column, parent column)])."""
        by_table = {table.key: key for key, table in self.tables.items()}
        found = []
        for child, table in self.tables.items():
            for constraint in sorted(table.foreign_key_constraints, key=lambda item: str(item.name)):
                try:
                    parent = by_table.get(constraint.referred_table.key)
                except NoReferencedTableError:
                    continue  # a key to a table that the map does not plan
                if parent and parent != child:
                    pairs = [(element.parent.name, element.column.name) for element in constraint.elements]
                    found.append((child, parent, pairs))
        return found

    @cached_property
    def children_first(self) -> list[str]:
        """An order in which a row's foreign-key children come before it; a circle of keys falls back to the walk's."""
        sorter: TopologicalSorter[str] = TopologicalSorter({key: [] for key in self.collections})
        for child, parent, _ in self.parents:
            sorter.add(parent, child)
        try:
            return list(sorter.static_order())
        except CycleError:
            return list(reversed(self.collections))

    def key_columns(self, collection: str) -> list[str]:
        table = self.tables[collection]
        stated = [field.name for field in self.collections[collection].fields if field.primary_key]
        return [column.name for column in table.primary_key.columns] or stated

    @cached_property
    def needed(self) -> dict[str, list[str]]:
        """By collection, the columns that any later part of a statement asks of its reached rows."""
        columns: dict[str, set[str]] = {key: set(self.key_columns(key)) for key in self.collections}
        for edge in self.map.edges:
            if edge.source in columns and edge.target in columns:
                columns[edge.source] |= {edge.source_field, *(predicate.field for predicate in edge.when)}
                columns[edge.target].add(edge.target_field)
        for child, parent, pairs in self.parents:
            for child_column, parent_column in pairs:
                columns[child].add(child_column)
                columns[parent].add(parent_column)
        for key, item in self.collections.items():
            columns[key] |= {name for name in (item.trigger, item.cutoff) if name}
            columns[key] |= {predicate.field for clause in item.classes for predicate in clause.when}
            columns[key] |= {field.name for field in item.fields if field.identity} | set(item.mask)
        conditions = [blocker.condition for blocker in self.map.blockers.values()]
        conditions += [entity.relationship for entity in self.map.entities.values() if entity.relationship]
        for condition in conditions:
            if condition.collection in columns:
                columns[condition.collection] |= {predicate.field for predicate in condition.when}
        return {key: sorted(names) for key, names in columns.items()}


class Statements:
    """The statements for one person against one graph; CTEs are made once and shared."""

    def __init__(self, graph: Graph, seed: Seed) -> None:
        self.graph = graph
        self.seed = seed
        self._reach: dict[str, CTE] = {}
        self._owned: dict[str, CTE] = {}
        self._number = 0

    def column(self, source: Any, collection: str, name: str) -> ColumnElement[Any]:
        """A needed column of a reach or fate CTE."""
        found: ColumnElement[Any] = source.c[f"c{self.graph.needed[collection].index(name)}"]
        return found

    def reach(self, collection: str) -> CTE:
        """The person's rows of a collection, each once."""
        if collection not in self._reach:
            ways = [self._select(collection, way) for way in self._ways(collection)]
            if not ways:
                ways = [self._select(collection, sa.false())]
            body = ways[0] if len(ways) == 1 else sa.union(*ways)
            self._reach[collection] = body.cte(self._name("r"))
        return self._reach[collection]

    def fates(self, policies: Mapping[str, Policy]) -> dict[str, CTE]:
        """By collection, the reached rows with their fate `f`, the trigger `t` and the last day held `u`."""
        found: dict[str, CTE] = {}
        for collection in self.graph.children_first:
            if collection in policies:
                found[collection] = self._fate(policies[collection], found, policies)
        return found

    def where(self, source: Any, collection: str, predicates: Sequence[Predicate]) -> list[ColumnElement[bool]]:
        """Predicates on a reach CTE's rows."""
        return [self._compare(self.column(source, collection, item.field), item, collection) for item in predicates]

    def keys_of(self, source: Any, collection: str) -> list[ColumnElement[Any]]:
        return [self.column(source, collection, name) for name in self.graph.key_columns(collection)]

    def key_in(self, collection: str, keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
        """That a table's row is one of `keys`."""
        columns = [self.graph.tables[collection].c[name] for name in self.graph.key_columns(collection)]
        if len(columns) == 1:
            return columns[0] == sa.any_(sa.bindparam(None, [key[0] for key in keys], type_=sa.ARRAY(columns[0].type)))
        return sa.tuple_(*columns).in_(keys)

    def in_reach(self, collection: str) -> ColumnElement[bool]:
        """That a table's row is one of the person's."""
        reach = self.reach(collection)
        columns = [self.graph.tables[collection].c[name] for name in self.graph.key_columns(collection)]
        return sa.tuple_(*columns).in_(sa.select(*self.keys_of(reach, collection)))

    def _name(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}{self._number}"

    def _select(self, collection: str, condition: ColumnElement[bool]) -> sa.Select[Any]:
        table = self.graph.tables[collection]
        labels = [table.c[name].label(f"c{i}") for i, name in enumerate(self.graph.needed[collection])]
        return sa.select(*labels).where(condition)

    def _identity_fields(self, collection: str) -> list[tuple[str, Any]]:
        """Identity columns with the person's value, parsed to the column's type; unparsable ones reach nothing."""
        found = []
        table = self.graph.tables[collection]
        for field in self.graph.collections[collection].fields:
            value = self.seed.identities.get(field.identity or "")
            if value is not None:
                typed = parse_identity(value, table.c[field.name].type)
                if typed is not None:
                    found.append((field.name, typed))
        return found

    def _ways(self, collection: str) -> list[ColumnElement[bool]]:
        table = self.graph.tables[collection]
        ways: list[ColumnElement[bool]] = [table.c[name] == value for name, value in self._identity_fields(collection)]
        for edge in self.graph.map.edges_into(collection):
            if edge.source not in self.graph.collections:
                continue
            source = self.reach(edge.source)
            keys = sa.select(self.column(source, edge.source, edge.source_field)).where(
                *self.where(source, edge.source, edge.when)
            )
            ways.append(table.c[edge.target_field].in_(keys))
        return ways

    def _is_unique(self, collection: str, column: str) -> bool:
        return self.graph.key_columns(collection) == [column]

    def _may_be_shared(self, collection: str) -> bool:
        """Whether a row of the collection can be reached from two people at all."""
        identities = [field for field in self.graph.collections[collection].fields if field.identity]
        kinds = [field.identity for field in identities]
        edges = [edge for edge in self.graph.map.edges_into(collection) if edge.source in self.graph.collections]
        if len(edges) + len(set(kinds)) > 1 or len(kinds) > len(set(kinds)):
            return True
        return any(
            not self._is_unique(edge.source, edge.source_field) or self._may_be_shared(edge.source) for edge in edges
        )

    def _others(self, reach: CTE, collection: str) -> ColumnElement[bool]:
        """That a row also belongs to somebody else: an identity or a way in that is not this person's."""
        found: list[ColumnElement[bool]] = []
        identities = self._identity_fields(collection)
        for name, value in identities:
            column = self.column(reach, collection, name)
            found.append(sa.and_(column.is_not(None), column != value))
        for edge in self.graph.map.edges_into(collection):
            if edge.source not in self.graph.collections:
                continue
            target = self.column(reach, collection, edge.target_field)
            theirs = self.graph.tables[edge.source].alias(self._name("o"))
            mine = self.reach(edge.source)
            is_mine = sa.exists(
                sa.select(sa.literal(1)).where(
                    *(
                        theirs.c[name] == self.column(mine, edge.source, name)
                        for name in self.graph.key_columns(edge.source)
                    )
                )
            )
            predicates = [self._compare(theirs.c[item.field], item, edge.source) for item in edge.when]
            found.append(
                sa.exists(
                    sa.select(sa.literal(1))
                    .select_from(theirs)
                    .where(theirs.c[edge.source_field] == target, *predicates, ~is_mine)
                )
            )
            if self._may_be_shared(edge.source):
                parent = self._own(edge.source)
                found.append(
                    sa.exists(
                        sa.select(sa.literal(1)).where(
                            self.column(parent, edge.source, edge.source_field) == target,
                            parent.c.s,
                            *self.where(parent, edge.source, edge.when),
                        )
                    )
                )
        return sa.or_(*found) if found else sa.false()

    def _own(self, collection: str) -> CTE:
        """The reached rows with `s`: whether somebody else owns the row too."""
        if collection not in self._owned:
            reach = self.reach(collection)
            shared = self._others(reach, collection) if self._may_be_shared(collection) else sa.false()
            self._owned[collection] = sa.select(*reach.c, shared.label("s")).cte(self._name("w"))
        return self._owned[collection]

    def _fate(self, policy: Policy, found: Mapping[str, CTE], policies: Mapping[str, Policy]) -> CTE:
        item = self.graph.collections[policy.collection]
        own = self._own(item.key)
        trigger = self._trigger(own, item, policy)
        going = sa.literal(GO) if policy.otherwise in {Fate.ERASE, Fate.MASK} else sa.literal(FIXED[policy.otherwise])
        cases: list[tuple[Any, Any]] = []
        if item.mask and policy.otherwise is Fate.MASK:
            columns = [(self.column(own, item.key, name), how) for name, how in item.mask.items()]
            cases.append(
                (sa.and_(*(column.is_not_distinct_from(mask_value(column, how)) for column, how in columns)), MASKED)
            )
        if outside := self._outside(own, item):
            cases.append((sa.or_(*outside), OUTSIDE))
        until: ColumnElement[Any] = sa.null().cast(sa.Date)
        if policy.fixed is not None:
            cases.append((sa.true(), FIXED[policy.fixed]))
        else:
            held = [term for term in policy.terms if term.rule]
            open_terms = [sa.and_(sa.true(), trigger.is_(None), *self.where(own, item.key, t.when)) for t in held]
            dated = [sa.and_(sa.true(), trigger >= term.cutoff, *self.where(own, item.key, term.when)) for term in held]
            fixed = [(sa.and_(sa.true(), *self.where(own, item.key, t.when)), t.until) for t in policy.terms if t.until]
            unruled = [
                sa.and_(sa.true(), *self.where(own, item.key, term.when))
                for term in policy.terms
                if term.rule is None and term.until is None
            ]
            if open_terms:
                cases.append((sa.or_(*open_terms), HOLD_OPEN))
            if held or fixed:
                cases.append((sa.or_(*dated, *(condition for condition, _ in fixed)), HOLD))
                days = [
                    sa.case((condition, release_day(trigger, term.rule)), else_=None)
                    for condition, term in zip(dated, held, strict=True)
                    if term.rule
                ]
                days += [sa.case((condition, sa.literal(day, sa.Date)), else_=None) for condition, day in fixed]
                until = sa.func.greatest(*days) if len(days) > 1 else days[0]
            if unruled:
                cases.append((sa.or_(*unruled), PERSON))
            if item.shared_goes_to_person and not policy.ignore_shared:
                cases.append((own.c.s, PERSON))
        fate = sa.case(*cases, else_=going) if cases else going
        base = sa.select(*own.c, fate.label("f"), trigger.label("t"), until.label("u")).subquery(self._name("b"))
        return self._with_children(item.key, base, found, policies)

    def _with_children(
        self, collection: str, base: Any, found: Mapping[str, CTE], policies: Mapping[str, Policy]
    ) -> CTE:
        """A row that a staying row refers to stays with it: dated as the last of them, or as long as they.

        Where the staying row is masked, or is none of the person's, a person decides: the database would refuse to
        erase the parent, or take that row with it.
        """
        joined = base
        blocked: list[ColumnElement[bool]] = []
        open_: list[ColumnElement[bool]] = []
        person: list[ColumnElement[bool]] = []
        last: list[ColumnElement[Any]] = []
        for child, parent, pairs in self.graph.parents:
            if parent != collection or child not in found:
                continue
            rows = found[child]
            undecided = [PERSON, MASKED, *([GO] if self._keeps_link(policies[child], pairs) else [])]
            links = [self.column(rows, child, child_column) for child_column, _ in pairs]
            summary = (
                sa.select(
                    *(link.label(f"p{i}") for i, link in enumerate(links)),
                    sa.func.bool_or(rows.c.f == BLOCKED).label("b"),
                    sa.func.bool_or(rows.c.f.in_([OUTSIDE, HOLD_OPEN, KEEP, RESTRICTED, REFUSED])).label("o"),
                    sa.func.bool_or(rows.c.f.in_(undecided)).label("h"),
                    sa.func.max(sa.case((rows.c.f == HOLD, rows.c.u), else_=None)).label("u"),
                )
                .where(sa.or_(rows.c.f != GO, rows.c.f.in_(undecided)))
                .group_by(*links)
                .subquery(self._name("s"))
            )
            condition = sa.and_(
                *(
                    summary.c[f"p{i}"] == self.column(base, collection, parent_column)
                    for i, (_, parent_column) in enumerate(pairs)
                )
            )
            joined = joined.outerjoin(summary, condition)
            blocked.append(sa.func.coalesce(summary.c.b, sa.false()))
            open_.append(sa.func.coalesce(summary.c.o, sa.false()))
            person.append(sa.func.coalesce(summary.c.h, sa.false()))
            last.append(summary.c.u)
            if not self._reaches_all(collection, child, pairs):
                person.append(self._has_stranger(base, collection, child, pairs))
        columns = [base.c[column.name] for column in base.c if column.name not in {"f", "u"}]
        if not last:
            return sa.select(*columns, base.c.f, base.c.u).cte(self._name("f"))
        latest = sa.func.greatest(*last, sa.null().cast(sa.Date))
        goes = sa.case(
            (sa.or_(*blocked), BLOCKED),
            (sa.or_(*open_), HOLD_OPEN),
            (latest.is_not(None), HOLD),
            (sa.or_(*person), PERSON),
            else_=GO,
        )
        held = sa.case((sa.or_(*open_), HOLD_OPEN), else_=HOLD)
        fate = sa.case((base.c.f == GO, goes), (base.c.f == HOLD, held), else_=base.c.f)
        until = sa.case((fate == HOLD, sa.func.greatest(base.c.u, latest)), else_=None)
        return sa.select(*columns, fate.label("f"), until.label("u")).select_from(joined).cte(self._name("f"))

    def _keeps_link(self, policy: Policy, pairs: Sequence[tuple[str, str]]) -> bool:
        """Whether a row that is masked goes on referring to its parent."""
        mask = self.graph.collections[policy.collection].mask
        return policy.otherwise is Fate.MASK and not any(column in mask for column, _ in pairs)

    def _reaches_all(self, parent: str, child: str, pairs: Sequence[tuple[str, str]]) -> bool:
        """Whether every row that refers to the person's parent is the person's as well, by the walk itself."""
        return any(
            edge.source == parent and not edge.when and [(edge.target_field, edge.source_field)] == list(pairs)
            for edge in self.graph.map.edges_into(child)
        )

    def _has_stranger(
        self, base: Any, parent: str, child: str, pairs: Sequence[tuple[str, str]]
    ) -> ColumnElement[bool]:
        """That a row which is not the person's refers to the parent."""
        table = self.graph.tables[child].alias(self._name("x"))
        mine = self.reach(child)
        is_mine = sa.exists(
            sa.select(sa.literal(1)).where(
                *(table.c[name] == self.column(mine, child, name) for name in self.graph.key_columns(child))
            )
        )
        links = [table.c[theirs] == self.column(base, parent, ours) for theirs, ours in pairs]
        return sa.exists(sa.select(sa.literal(1)).select_from(table).where(*links, ~is_mine))

    def _trigger(self, own: CTE, item: Collection, policy: Policy) -> ColumnElement[Any]:
        """The day that starts the period, as a Shanghai day; empty where the period has not begun."""
        if not item.trigger:
            return sa.cast(sa.literal(policy.trigger_default, sa.Date), sa.Date)
        day = as_day(self.column(own, item.key, item.trigger))
        if policy.trigger_default is None:
            return day
        return sa.func.coalesce(day, sa.cast(sa.literal(policy.trigger_default, sa.Date), sa.Date))

    def _outside(self, own: CTE, item: Collection) -> list[ColumnElement[bool]]:
        """What is not the request's: confidential rows, and rows that came after it."""
        if item.confidential:
            return [sa.true()]
        if not item.cutoff or self.seed.scope_cutoff is None:
            return []
        column = self.column(own, item.key, item.cutoff)
        bound: object = self.seed.scope_cutoff
        if isinstance(column.type, sa.Date):
            bound = self.seed.scope_cutoff.astimezone(SHANGHAI).date()
        elif isinstance(column.type, sa.DateTime) and not column.type.timezone:
            bound = self.seed.scope_cutoff.astimezone(SHANGHAI).replace(tzinfo=None)
        return [column > bound]

    def _compare(self, column: ColumnElement[Any], item: Predicate, collection: str) -> ColumnElement[bool]:
        value = self.seed.today if item.value == "@today" else item.value
        if isinstance(column.type, sa.DateTime) and isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time(), tzinfo=SHANGHAI)
        if isinstance(value, int) and not isinstance(value, bool) and isinstance(column.type, sa.String):
            value = str(value)
        return _OPS[item.op](column, value)


def as_day(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A date or timestamp column as a Shanghai day."""
    if isinstance(column.type, sa.DateTime) and column.type.timezone:
        return sa.cast(sa.func.timezone("Asia/Shanghai", column), sa.Date)
    return sa.cast(column, sa.Date)


def release_day(trigger: ColumnElement[Any], rule: Rule) -> ColumnElement[Any]:
    """The last day held, as `kernel.retention.last_day` has it: PostgreSQL adds months by the same rule."""
    months = sa.func.make_interval(0, duration_months(rule.duration))
    if rule.count is Count.NEXT_JANUARY:
        start = sa.func.make_date(sa.cast(sa.extract("year", trigger), sa.Integer) + 1, 1, 1)
        return sa.cast(start + months, sa.Date) - sa.literal(1, sa.Integer)
    return sa.cast(trigger + months, sa.Date)


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
    return None if isinstance(type_, sa.Date | sa.DateTime | sa.Time | sa.Boolean | sa.LargeBinary) else value


def _parse_integer(value: str, type_: sa.Integer) -> int | None:
    """A number that the column can hold, written as the column would write it."""
    try:
        number = int(value)
    except ValueError:
        return None
    bits = 15 if isinstance(type_, sa.SmallInteger) else 63 if isinstance(type_, sa.BigInteger) else 31
    return number if str(number) == value and -(2**bits) <= number < 2**bits else None


def mask_value(column: ColumnElement[Any], stated: Any) -> ColumnElement[Any]:
    """What a masked column holds: the stated constant, or nothing."""
    if isinstance(stated, Mapping):
        return sa.literal(stated["constant"], column.type)
    return sa.null()
