"""A data map's graph bound to the reflected tables of one system: its edges, its foreign keys and what follows of both.

Nothing here is about a person: one graph serves every plan of a map.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

import sqlalchemy as sa
from sqlalchemy.exc import NoReferencedTableError

from rights.connectors.sqldialect import Dialect
from rights.datamap import Collection, DataMap, Edge


@dataclass(frozen=True)
class ForeignKey:
    """`pairs`: (the child's column, the parent's column), in the order of the constraint."""

    child: str
    parent: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Origin:
    """Where a trigger is read that another row holds: rows of `table` whose `columns` equal the record's `links`."""

    table: sa.Table
    field: str
    links: tuple[str, ...]
    columns: tuple[str, ...]


class Graph:
    """The collections of one system, bound to its reflected tables."""

    def __init__(self, *, system: str, data_map: DataMap, tables: Mapping[str, sa.Table], dialect: Dialect) -> None:
        self.system = system
        self.dialect = dialect
        self.map = data_map
        self.tables = tables
        self.collections: dict[str, Collection] = {item.key: item for item in data_map.of_system(system)}
        self._into: dict[str, list[Edge]] = {key: [] for key in self.collections}
        self._from: dict[str, list[Edge]] = {key: [] for key in self.collections}
        for edge in data_map.edges:
            if edge.target in self._into:
                self._into[edge.target].append(edge)
            if edge.source in self._from:
                self._from[edge.source].append(edge)

    @cached_property
    def identity_columns(self) -> list[tuple[str, str, str]]:
        """(collection, column, kind) of what names a person."""
        return [
            (key, field.name, field.identity)
            for key, item in self.collections.items()
            for field in item.fields
            if field.identity
        ]

    def edges_into(self, collection: str) -> list[Edge]:
        """The ways into a collection, from this system and from others."""
        return self._into[collection]

    def edges_from(self, collection: str) -> list[Edge]:
        return self._from[collection]

    def is_local(self, edge: Edge) -> bool:
        return edge.source in self.collections and edge.target in self.collections

    @cached_property
    def circles(self) -> dict[str, frozenset[str]]:
        """By collection, those that it leads to and that lead back to it; empty for one that is in no circle."""
        leads = self._leads
        beyond = {key: _reachable(leads, leads[key]) for key in self.collections}
        return {
            key: frozenset(other for other in beyond[key] if key in beyond[other])
            if key in beyond[key]
            else frozenset()
            for key in self.collections
        }

    @cached_property
    def foreign_keys(self) -> list[ForeignKey]:
        """Foreign keys between collections, of a table to itself included."""
        by_table = {table.key: key for key, table in self.tables.items()}
        found = []
        for child, table in self.tables.items():
            for constraint in sorted(table.foreign_key_constraints, key=lambda item: str(item.name)):
                try:
                    parent = by_table.get(constraint.referred_table.key)
                except NoReferencedTableError:
                    continue  # a key to a table that the map does not plan
                if parent:
                    pairs = tuple((element.parent.name, element.column.name) for element in constraint.elements)
                    found.append(ForeignKey(child, parent, pairs))
        return found

    def keys_to(self, parent: str) -> list[ForeignKey]:
        """The foreign keys of other collections that refer to a collection."""
        return [key for key in self.foreign_keys if key.parent == parent and key.child != parent]

    def keys_to_itself(self, collection: str) -> list[ForeignKey]:
        return [key for key in self.foreign_keys if key.parent == key.child == collection]

    @cached_property
    def erase_order(self) -> list[str]:
        """An order in which a row's foreign-key children come before it, and where they allow it what it leads to.

        Where references go round, foreign keys alone decide; where those do too, the walk's order backwards.
        """
        parents: dict[str, set[str]] = {key: set() for key in self.collections}
        for link in self.foreign_keys:
            if link.parent != link.child:
                parents[link.child].add(link.parent)
        leads = {key: {target for target in self._leads[key] if target != key} for key in self.collections}
        before: dict[str, set[str]] = {key: set() for key in self.collections}
        for child, above in parents.items():
            for parent in above:
                before[parent].add(child)
        with_walk = {key: set(earlier) for key, earlier in before.items()}
        for key in self.collections:
            later = _reachable(parents, parents[key])
            # What must go after it is passed over, not what that leads to in its turn.
            frontier, seen = list(leads[key]), set()
            while frontier:
                target = frontier.pop()
                if target in seen or target == key:
                    continue
                seen.add(target)
                if target in later:
                    frontier.extend(leads[target])
                else:
                    with_walk[key].add(target)
        for order in (with_walk, before):
            try:
                return list(TopologicalSorter(order).static_order())
            except CycleError:
                continue
        return list(reversed(self.collections))

    @cached_property
    def found_first(self) -> frozenset[str]:
        """Collections led to, at however many removes, by rows that go before them, or by another database's."""
        place = {key: number for number, key in enumerate(self.erase_order)}
        from_elsewhere = {key for key, edges in self._into.items() if not all(map(self.is_local, edges))}
        upward = {
            link.child
            for link in self.foreign_keys
            for edge in self._from[link.child]
            if link.parent == link.child == edge.target
            and set(zip(edge.source_fields, edge.target_fields, strict=True)) == set(link.pairs)
        }
        behind = {
            target
            for key in self.collections
            for target in _reachable(self._leads, self._leads[key])
            if place[key] < place[target]
        }
        return frozenset(upward | behind | _reachable(self._leads, from_elsewhere))

    @cached_property
    def _leads(self) -> dict[str, set[str]]:
        return {
            key: {edge.target for edge in self._from[key] if edge.target in self.collections}
            for key in self.collections
        }

    def key_columns(self, collection: str) -> list[str]:
        """The columns that name a row: the database's primary key, else what the map states."""
        table = self.tables[collection]
        item = self.collections[collection]
        stated = list(item.key_fields) or [field.name for field in item.fields if field.primary_key]
        return [column.name for column in table.primary_key.columns] or stated

    def has_numbered_key(self, collection: str) -> bool:
        """Whether one whole number names a row."""
        types = [self.tables[collection].c[name].type for name in self.key_columns(collection)]
        return len(types) == 1 and isinstance(types[0], sa.Integer)

    def is_leaf(self, collection: str) -> bool:
        """Whether nothing is found through its rows, and nothing hangs on them: each is judged by itself."""
        return not (self._from[collection] or self.circles[collection]) and all(
            key.parent != collection for key in self.foreign_keys
        )

    def is_judged_alone(self, collection: str) -> bool:
        """Whether what becomes of a row that is the person's follows from its own columns."""
        item = self.collections[collection]
        return self.is_leaf(collection) and not self.may_be_shared(collection) and not self.origin(item)

    def names_a_row(self, collection: str, columns: Iterable[str]) -> bool:
        """Whether these columns hold the whole key, so that a value of them is at most one row's."""
        return set(self.key_columns(collection)) <= set(columns)

    def origin(self, item: Collection) -> Origin | None:
        """Where the trigger is read if another row holds it: through a foreign key, else through an edge."""
        if not item.trigger_source:
            return None
        source, field = item.trigger_source
        for key in self.foreign_keys:
            if (key.child, key.parent) == (item.key, source):
                ours, theirs = zip(*key.pairs, strict=True)
                return Origin(self.tables[source], field, ours, theirs)
        for edge in self.map.edges:
            if (edge.source, edge.target) == (source, item.key):
                return Origin(self.tables[source], field, edge.target_fields, edge.source_fields)
            if (edge.source, edge.target) == (item.key, source):
                return Origin(self.tables[source], field, edge.source_fields, edge.target_fields)
        return None

    @cached_property
    def needed(self) -> dict[str, list[str]]:
        """By collection, the columns that any later part of a statement asks of its reached rows."""
        columns: dict[str, set[str]] = {key: set(self.key_columns(key)) for key in self.collections}
        for edge in self.map.edges:
            if edge.source in columns:
                columns[edge.source] |= {*edge.source_fields, *(predicate.field for predicate in edge.when)}
            if edge.target in columns:
                columns[edge.target].update(edge.target_fields)
        for key in self.foreign_keys:
            columns[key.child].update(ours for ours, _ in key.pairs)
            columns[key.parent].update(theirs for _, theirs in key.pairs)
        for name, item in self.collections.items():
            columns[name] |= {column for column in (item.trigger_column, item.cutoff) if column}
            columns[name] |= {predicate.field for clause in item.classes for predicate in clause.when}
            columns[name] |= {field.name for field in item.fields if field.identity} | set(item.mask)
            if origin := self.origin(item):
                columns[name].update(origin.links)
        conditions = [blocker.condition for blocker in self.map.blockers.values()]
        conditions += [entity.relationship for entity in self.map.entities.values() if entity.relationship]
        for condition in conditions:
            if condition.collection in columns:
                columns[condition.collection] |= {predicate.field for predicate in condition.when}
        return {key: sorted(names) for key, names in columns.items()}

    def may_be_shared(self, collection: str) -> bool:
        """Whether a row of the collection can be reached from two people at all."""
        return self._shareable[collection]

    @cached_property
    def _shareable(self) -> dict[str, bool]:
        found: dict[str, bool] = {}

        def look(key: str) -> bool:
            if key not in found:
                found[key] = True  # in a circle, until it is known better
                found[key] = self._is_shareable(key, look)
            return found[key]

        return {key: look(key) for key in self.collections}

    def _is_shareable(self, key: str, look: Callable[[str], bool]) -> bool:
        kinds = [field.identity for field in self.collections[key].fields if field.identity]
        edges = self._into[key]
        if self.circles[key] or len(edges) + len(set(kinds)) > 1 or len(kinds) > len(set(kinds)):
            return True
        return any(
            edge.source not in self.collections
            or not self.names_a_row(edge.source, edge.source_fields)
            or look(edge.source)
            for edge in edges
        )


def _reachable(leads: Mapping[str, set[str]], start: Iterable[str]) -> set[str]:
    found: set[str] = set()
    frontier = list(start)
    while frontier:
        key = frontier.pop()
        if key not in found:
            found.add(key)
            frontier.extend(leads[key])
    return found
