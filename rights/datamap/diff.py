"""What a changed map would change, the weightiest first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from rights.datamap.values import ClassClause, Condition, DataMap, Edge, Field, Predicate, Text

# What decides over records stands before what people read of them.
_SECTIONS = (
    "collections",
    "edges",
    "blockers",
    "consents",
    "corrections",
    "systems",
    "asked",
    "recipients",
    "entities",
    "permissions",
)
_WHATS = ("removed", "changed", "added")
_WEIGHTY = (
    "system", "schema", "entity", "classes", "trigger", "mask", "restrict", "register", "flag", "while_relationship",
    "consent", "legal_basis", "shared_goes_to_person", "confidential", "third_party", "anonymised", "derived",
    "key_fields", "cutoff", "close", "condition", "entities", "blocks", "cancel", "when", "collection", "match",
    "given", "withdraw", "give", "signal", "immediate", "relationship", "backup_days", "fields",
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One difference. `field` is empty where the whole of a key is added or removed; so are the texts then."""

    section: str
    key: str
    what: str
    field: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        place = f"{self.section}.{self.key}"
        if not self.field:
            return f"{place}: {self.what}"
        return f"{place}: {self.field}: {self.before or '(none)'} → {self.after or '(none)'}"


def diff_maps(before: DataMap | None, after: DataMap) -> tuple[Change, ...]:
    """Every difference between two maps (`before` None: there was none), in the order of what it may do to records.

    Collections come before edges, blockers and the rest; within each, what is removed before what is changed and added.
    """
    return tuple(sorted(_changes(before, after), key=_weight))


def _changes(before: DataMap | None, after: DataMap) -> Iterator[Change]:
    for section in _SECTIONS:
        old, new = _items(before, section), _items(after, section)
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in new:
                yield Change(section, key, "removed")
            elif key not in old:
                yield Change(section, key, "added")
            elif old[key] != new[key]:
                yield from _changes_within(section, key, old[key], new[key])


def _items(data_map: DataMap | None, section: str) -> Mapping[str, Any]:
    if data_map is None:
        return {}
    items = getattr(data_map, section)
    return {_edge_key(edge): edge for edge in items} if section == "edges" else items


def _changes_within(section: str, key: str, old: Any, new: Any) -> Iterator[Change]:
    for field in fields(old):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if was == now:
            continue
        if field.name == "fields" and section == "collections":
            yield from _field_changes(section, key, was, now)
        else:
            yield Change(section, key, "changed", field.name, _show(was), _show(now))


def _field_changes(section: str, key: str, old: tuple[Field, ...], new: tuple[Field, ...]) -> Iterator[Change]:
    """A collection's fields one by one: two lists of forty names tell nobody what has changed."""
    was, now = {field.name: field for field in old}, {field.name: field for field in new}
    for name in [*was, *(name for name in now if name not in was)]:
        if was.get(name) != now.get(name):
            yield Change(section, key, "changed", f"fields.{name}", _show(was.get(name)), _show(now.get(name)))


def _weight(change: Change) -> tuple[int, int, str, int, str]:
    field = change.field.partition(".")[0]
    weight = _WEIGHTY.index(field) if field in _WEIGHTY else len(_WEIGHTY)
    return _SECTIONS.index(change.section), _WHATS.index(change.what), change.key, weight, change.field


def _edge_key(edge: Edge) -> str:
    sides = ((edge.source, edge.source_fields), (edge.target, edge.target_fields))
    return " → ".join(", ".join(f"{collection}.{name}" for name in names) for collection, names in sides)


def _show(value: Any) -> str:
    match value:
        case None | "":
            return ""
        case bool():
            return "yes" if value else "no"
        case Text(zh, en):
            return zh if zh == en else f"{zh} / {en}"
        case Predicate(name, op, operand):
            return f"{name} {op}" if operand is None else f"{name} {op} {_show(operand)}"
        case Condition(collection, when):
            return f"{collection} where {_show(when)}" if when else collection
        case ClassClause(data_class, when):
            return f"{data_class} where {_show(when)}" if when else data_class
        case Field():
            marks = [f"identity {value.identity}"] if value.identity else []
            marks += ["primary key"] if value.primary_key else []
            return (
                f"{value.name} ({', '.join([*marks, *value.categories])})" if marks or value.categories else value.name
            )
        case tuple() | list():
            return ", ".join(_show(item) for item in value)
        case Mapping():
            return ", ".join(f"{name}: {'null' if item is None else _show(item)}" for name, item in value.items())
        case _:
            return str(value)
