"""The ways through a data map: its references as edges that lead away from a person.

A reference without a direction is walked away from the identities. Circles are walked until nothing new is found; a
table's reference to itself leads to other people more often than not (a boss, whoever recommended them), so it counts
only where the governance says `follow: true`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from fideslang.models import DatasetCollection

from rights.datamap.values import Collection, Edge, Predicate

Fault = Callable[[str, str, str], None]
"""(key, reason, remedy) of something wrong in the governance."""
ReadPredicates = Callable[[str, str, Any], tuple[Predicate, ...]]
"""(where, collection, the stated predicates) → checked ones; tells its own faults."""


@dataclass(frozen=True)
class _Reference:
    """`is_open`: the map leaves the direction open."""

    edge: Edge
    is_open: bool


References = dict[tuple[tuple[str, ...], tuple[str, ...]], _Reference]
"""By the full names of both sides' fields."""


@dataclass(frozen=True)
class _Statement:
    """What the governance says of one way; `source` and `target` are full names of one or several fields."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    when: Any
    follow: bool | None

    @property
    def label(self) -> str:
        return f"edges {', '.join(self.source)} → {', '.join(self.target)}"


def make_edges(
    *,
    fides: Mapping[str, DatasetCollection],
    stated: Any,
    collections: Mapping[str, Collection],
    known: Iterable[str],
    read_when: ReadPredicates,
    fault: Fault,
) -> tuple[Edge, ...]:
    """The map's edges. `known`: what the governance names, sound or not, so that one fault is not told twice."""
    statements = list(_statements(stated, fault))
    references = _references(fides, collections)
    references = _regroup(references, statements, collections, known=frozenset(known), fault=fault)
    kept = _followed(references, statements, read_when=read_when, fault=fault)
    return _walk(kept, collections, fault=fault)


def _statements(stated: Any, fault: Fault) -> Iterator[_Statement]:
    for item in stated or ():
        if not isinstance(item, Mapping) or "from" not in item or "to" not in item:
            fault("edges", "is not a list of mappings.", "Write {from: …, to: …} for each.")
            continue
        source, target = (_names(item[key]) for key in ("from", "to"))
        if len(source) != len(target) or not source:
            fault(
                f"edges {', '.join(source)} → {', '.join(target)}",
                f"compares {len(source)} fields with {len(target)}.",
                "Name as many fields in from as in to, in the same order.",
            )
            continue
        if any(len({name.rpartition(".")[0] for name in names}) > 1 for names in (source, target)):
            fault(
                f"edges {', '.join(source)} → {', '.join(target)}",
                "takes the fields of one side from several collections.",
                "A composite reference leads from one collection to one other.",
            )
            continue
        yield _Statement(source, target, item.get("when"), item.get("follow"))


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else (str(value),)


def _references(fides: Mapping[str, DatasetCollection], collections: Mapping[str, Collection]) -> References:
    """The datasets' own references between planned collections, by the full names of both sides."""
    found: References = {}
    for key, collection in fides.items():
        if key not in collections:
            continue
        for field in collection.fields:
            for reference in (field.fides_meta.references if field.fides_meta else None) or ():
                other, other_field = _split(f"{reference.dataset}.{reference.field}", collections)
                if other is None:
                    continue
                ways = []
                if reference.direction != "to":
                    ways.append((other, other_field, key, field.name))
                if reference.direction != "from":
                    ways.append((key, field.name, other, other_field))
                for source, source_field, target, target_field in ways:
                    edge = Edge(source, (source_field,), target, (target_field,))
                    names = (f"{source}.{source_field}",), (f"{target}.{target_field}",)
                    before = found.get(names)
                    is_open = reference.direction is None and (before is None or before.is_open)
                    found[names] = _Reference(edge, is_open)
    return found


def _split(name: str, collections: Mapping[str, Collection]) -> tuple[str | None, str]:
    """A full name as collection and field; both may hold dots, so the known collections decide, the longest first."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        collection, field = ".".join(parts[:cut]), ".".join(parts[cut:])
        if collection in collections and any(item.name == field for item in collections[collection].fields):
            return collection, field
    for cut in range(len(parts) - 1, 0, -1):
        if ".".join(parts[:cut]) in collections:
            return ".".join(parts[:cut]), ".".join(parts[cut:])
    return None, ""


def _has_field(collection: str | None, field: str, *, collections: Mapping[str, Collection]) -> bool:
    return collection is not None and any(item.name == field for item in collections[collection].fields)


def _regroup(
    references: References,
    statements: Sequence[_Statement],
    collections: Mapping[str, Collection],
    *,
    known: frozenset[str],
    fault: Fault,
) -> References:
    """Composite references take the place of the single ones that Fides makes of them, in either direction."""
    found = dict(references)
    for item in statements:
        if len(item.source) == 1:
            continue
        sides = [[_split(name, collections) for name in names] for names in (item.source, item.target)]
        missing = [
            name
            for name in (*item.source, *item.target)
            if not _has_field(*_split(name, collections), collections=collections)
        ]
        if missing:
            if not any(name.startswith(f"{key}.") for name in missing for key in known - set(collections)):
                fault(item.label, f"names {', '.join(missing)}, which no dataset has.", "Correct the names.")
            continue
        for one, other in zip(item.source, item.target, strict=True):
            found.pop(((one,), (other,)), None)
            found.pop(((other,), (one,)), None)
        edge = Edge(
            str(sides[0][0][0]),
            tuple(field for _, field in sides[0]),
            str(sides[1][0][0]),
            tuple(field for _, field in sides[1]),
        )
        found[item.source, item.target] = _Reference(edge, is_open=False)
    for item in statements:
        if len(item.source) > 1 or (item.source, item.target) in found:
            continue
        both = {_split(name, collections)[0] for name in (*item.source, *item.target)}
        if item.follow is not False or None not in both:
            fault(item.label, "no dataset has this reference.", "Correct the names.")
    return found


def _followed(
    references: References,
    statements: Sequence[_Statement],
    *,
    read_when: ReadPredicates,
    fault: Fault,
) -> list[_Reference]:
    by_names = {(item.source, item.target): item for item in statements}
    found = []
    for names, reference in references.items():
        item, edge = by_names.get(names), reference.edge
        follow = item.follow if item else None
        if follow is False or (edge.source == edge.target and follow is not True):
            continue
        when = read_when(item.label, edge.source, item.when) if item else ()
        made = Edge(edge.source, edge.source_fields, edge.target, edge.target_fields, when)
        # What the governance states has the direction that it states.
        found.append(_Reference(made, reference.is_open and follow is None))
    return found


def _walk(references: Sequence[_Reference], collections: Mapping[str, Collection], *, fault: Fault) -> tuple[Edge, ...]:
    """The edges that lead away from the person. Every collection must be reached; databases lead in no circle."""
    level = {key: 0 for key, item in collections.items() if any(field.identity for field in item.fields)}
    frontier = list(level)
    while frontier:
        reached = []
        for reference in references:
            edge = reference.edge
            if edge.source in frontier and edge.target not in level:
                level[edge.target] = level[edge.source] + 1
                reached.append(edge.target)
        frontier = reached
    for key in collections:
        if key not in level:
            fault(
                f"collections.{key}",
                "cannot be reached from any identity.",
                "Add a reference to its dataset, or an identity field.",
            )
    kept = tuple(
        item.edge
        for item in references
        if item.edge.source in level and (not item.is_open or level[item.edge.source] < level.get(item.edge.target, 0))
    )
    _require_order(kept, collections, fault=fault)
    return kept


def _require_order(edges: Sequence[Edge], collections: Mapping[str, Collection], *, fault: Fault) -> None:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for edge in edges:
        source, target = collections[edge.source].system, collections[edge.target].system
        if source != target:
            sorter.add(target, source)
    try:
        sorter.prepare()
    except CycleError as error:
        fault(
            "edges",
            f"lead in a circle from database to database: {' → '.join(error.args[1])}.",
            "Set follow: false on one of them.",
        )
