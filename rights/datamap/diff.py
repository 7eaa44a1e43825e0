"""What changes between two data maps, item by item and field by field."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from rights.datamap.values import DataMap

_SECTIONS = ("collections", "blockers", "consents", "corrections", "systems", "entities")


@dataclass(frozen=True)
class Change:
    """`what` is added, removed or changed; a changed item is told once for each field, with its values as text."""

    section: str
    key: str
    what: str
    field: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        place = f"{self.section}.{self.key}"
        return f"{place}: {self.field}: {self.before} → {self.after}" if self.field else f"{place}: {self.what}"


def diff_maps(before: DataMap, after: DataMap) -> tuple[Change, ...]:
    found = [
        change
        for section in _SECTIONS
        for change in _diff_items(section, getattr(before, section), getattr(after, section))
    ]
    return (*found, *_diff_items("edges", _edges(before), _edges(after)))


def _edges(data_map: DataMap) -> dict[str, Any]:
    return {f"{edge.source}.{edge.source_field} → {edge.target}.{edge.target_field}": edge for edge in data_map.edges}


def _diff_items(section: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for key in [*before, *(key for key in after if key not in before)]:
        if key not in after:
            yield Change(section, key, "removed")
        elif key not in before:
            yield Change(section, key, "added")
        else:
            for field in fields(before[key]):
                old, new = getattr(before[key], field.name), getattr(after[key], field.name)
                if old != new:
                    yield Change(section, key, "changed", field.name, str(old), str(new))
