"""Datasets in the Fides format: whatever Fides reads is read, and what governance names is checked to the letter."""

from collections.abc import Collection as Known
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fideslang.default_taxonomy import DEFAULT_TAXONOMY
from fideslang.models import (
    CollectionMeta,
    Dataset,
    DatasetCollection,
    DatasetField,
    DatasetMetadata,
    FidesDatasetReference,
    FidesMeta,
)
from pydantic import ValidationError

from rights.datamap.faults import suggest_one_of
from rights.datamap.values import Field, Unplanned

# Fides has dropped some keys and reads past others, and its own published maps carry them: they do no harm.
_DROPPED = frozenset({"data_qualifier", "data_qualifiers", "retention", "fidesops_meta"})
_DATASET = frozenset(Dataset.model_fields) | _DROPPED | {"third_country_transfers", "joint_controller"}
_COLLECTION = frozenset(DatasetCollection.model_fields) | _DROPPED
_FIELD = frozenset(DatasetField.model_fields) | _DROPPED | {"masking_strategy_override"}
_META = frozenset(FidesMeta.model_fields) | {"data_categories"}
_COLLECTION_META = frozenset(CollectionMeta.model_fields)
_DATASET_META = frozenset(DatasetMetadata.model_fields)
_REFERENCE = frozenset(FidesDatasetReference.model_fields)

_TWICE = "Duplicate entries found: "

Wrong = tuple[str, str, str]  # key, reason, remedy
Words = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """A collection as its dataset states it: the model Fides makes of it, and the words as written."""

    key: str
    file: str
    dataset: Words
    words: Words
    model: DatasetCollection

    @property
    def system(self) -> str:
        return str(self.dataset["fides_key"])

    @property
    def is_skipped(self) -> bool:
        return bool(self.model.fides_meta and self.model.fides_meta.skip_processing)

    def make_fields(self) -> tuple[Field, ...]:
        common = [*(self.model.data_categories or ()), *(self.dataset.get("data_categories") or ())]
        stated = {item["name"]: item for item in self.words["fields"]}
        return tuple(_make_field(item, stated[item.name], common) for item in self.model.fields)

    def masks(self) -> dict[str, Any]:
        """How the dataset itself says that fields are masked, as governance would; None where that has no such way."""
        found = {}
        for item in self.words["fields"]:
            if override := _meta(item).get("masking_strategy_override") or item.get("masking_strategy_override"):
                found[str(item["name"])] = _as_governance(override)
        return found


def read_dataset(file: str, words: Any) -> tuple[list[Source], list[Wrong]]:
    """The collections of one dataset, or what is wrong with it as a Fides dataset."""
    try:
        dataset = Dataset.model_validate(words)
    except ValidationError as error:
        return [], [_tell(problem, words) for problem in error.errors()]
    stated = {item["name"]: item for item in words["collections"]}
    sources = [
        Source(f"{dataset.fides_key}.{item.name}", file, words, stated[item.name], item) for item in dataset.collections
    ]
    return sources, []


def find_unknown(source: Source, categories: Known[str]) -> Iterator[Wrong]:
    """Keys and categories that Fides does not know: it drops them in silence, and a misspelt identity finds nobody."""
    yield from _unknown_keys(source.key, source.words, _COLLECTION)
    yield from _unknown_keys(source.key, _meta(source.words), _COLLECTION_META)
    yield from _unknown_categories(source.key, source.words, categories)
    for where, words in _walk(source.words, source.key):
        meta = _meta(words)
        yield from _unknown_keys(where, words, _FIELD)
        yield from _unknown_keys(where, meta, _META)
        for reference in meta.get("references") or ():
            yield from _unknown_keys(where, reference, _REFERENCE)
        yield from _unknown_categories(where, words, categories)


def find_unknown_of_dataset(source: Source, categories: Known[str]) -> Iterator[Wrong]:
    yield from _unknown_keys(source.system, source.dataset, _DATASET)
    yield from _unknown_keys(source.system, _meta(source.dataset), _DATASET_META)
    yield from _unknown_categories(source.system, source.dataset, categories)


@cache
def fides_categories() -> frozenset[str]:
    return frozenset(str(item.fides_key) for item in DEFAULT_TAXONOMY.data_category)


def suggest_collection(key: str, sources: Iterable[str]) -> str:
    near = suggest_one_of(key, sources, show_all=False)
    return f"{near} Or add it to a file under datasets/."


def explain_unplanned(sources: Mapping[str, Source], planned: Known[str], systems: Known[str]) -> tuple[Unplanned, ...]:
    """Every collection of the datasets that is not planned, and why it is or could not be."""
    left = [source for source in sources.values() if source.key not in planned]
    if not left:
        return ()
    graph = _Graph(sources)
    return tuple(Unplanned(source.key, _explain(source, graph, systems)) for source in left)


def _explain(source: Source, graph: "_Graph", systems: Known[str]) -> str:
    if source.is_skipped:
        return "Its dataset says skip_processing."
    if source.key in graph.flat:
        if source.system in systems:
            return "Governance does not name it."
        return f"Governance names neither it nor the system {source.system}."
    if source.key in graph.nested:
        return "It is reached only through a field inside another field, which no system is asked for."
    if missing := sorted(graph.missing.get(source.key, ())):
        return f"It is reached only from {', '.join(missing)}, which no dataset of the map has."
    if ways := sorted(graph.into.get(source.key, ())):
        return f"It is reached only from {', '.join(ways)}, which no identity leads to."
    return "It has no identity, and no reference leads to it."


class _Graph:
    """What leads where by the datasets alone. `flat`: reached by columns; `nested`: also through fields in fields."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self.into: dict[str, set[str]] = {}
        self.missing: dict[str, set[str]] = {}
        seeds: dict[bool, set[str]] = {True: set(), False: set()}
        onward: dict[bool, dict[str, set[str]]] = {True: {}, False: {}}
        for source in sources.values():
            columns = {id(field) for field in source.words["fields"]}
            for _, words in _walk(source.words, ""):
                meta = _meta(words)
                is_flat = id(words) in columns
                if meta.get("identity"):
                    seeds[is_flat].add(source.key)
                for reference in meta.get("references") or ():
                    other, rest = self._resolve(f"{reference['dataset']}.{reference['field']}")
                    direction = reference.get("direction")
                    if other is None:
                        if direction != "to":
                            self.missing.setdefault(source.key, set()).add(rest)
                        continue
                    plain = is_flat and rest in {field.name for field in sources[other].model.fields}
                    if direction != "to":
                        self._lead(onward[plain], other, source.key)
                    if direction != "from":
                        self._lead(onward[plain], source.key, other)
        self.flat = _spread(seeds[True], (onward[True],))
        self.nested = _spread(seeds[True] | seeds[False], (onward[True], onward[False]))

    def _lead(self, onward: dict[str, set[str]], source: str, target: str) -> None:
        onward.setdefault(source, set()).add(target)
        if source != target:
            self.into.setdefault(target, set()).add(source)

    def _resolve(self, name: str) -> tuple[str | None, str]:
        """The collection a dotted name begins with and the field that is left; without one, (None, the name)."""
        parts = name.split(".")
        for size in range(len(parts) - 1, 0, -1):
            collection = ".".join(parts[:size])
            if collection in self.sources:
                return collection, ".".join(parts[size:])
        return None, name


def _spread(seeds: Iterable[str], onward: Iterable[Mapping[str, set[str]]]) -> set[str]:
    reached, frontier = set(seeds), set(seeds)
    while frontier:
        frontier = {target for way in onward for source in frontier for target in way.get(source, ())} - reached
        reached |= frontier
    return reached


def _walk(words: Words, path: str) -> Iterator[tuple[str, Words]]:
    """Every field below, with its dotted path; those inside another after it."""
    for field in words.get("fields") or ():
        where = f"{path}.{field['name']}" if path else str(field["name"])
        yield where, field
        yield from _walk(field, where)


def _meta(words: Words) -> Words:
    return words.get("fides_meta") or words.get("fidesops_meta") or {}


def _as_governance(override: Words) -> Any:
    """A masking strategy of Fides in governance's words."""
    options = override.get("configuration") or {}
    match override.get("strategy"):
        case "null_rewrite":
            return "null"
        case "string_rewrite" if "rewrite_value" in options:
            return {"constant": options["rewrite_value"]}
        case "hash" if options.get("algorithm", "SHA-256") == "SHA-256" and not options.get("format_preservation"):
            return {"hash": "sha256"}
    return None


def _make_field(model: DatasetField, words: Words, common: Iterable[str]) -> Field:
    """A field of a table; the categories of what is inside it are its own."""
    categories = dict.fromkeys(_categories(words))
    for _, inner in _walk(words, ""):
        categories |= dict.fromkeys(_categories(inner))
    meta = model.fides_meta
    return Field(
        name=model.name,
        categories=tuple(categories | dict.fromkeys(str(item) for item in common)),
        identity=meta.identity if meta else None,
        primary_key=bool(meta and meta.primary_key),
    )


def _categories(words: Words) -> list[str]:
    return [str(item) for item in (*(words.get("data_categories") or ()), *(_meta(words).get("data_categories") or ()))]


def _unknown_keys(where: str, words: Words, known: frozenset[str]) -> Iterator[Wrong]:
    for name in sorted(str(name) for name in words.keys() - known):
        yield where, f"{name} is not known.", suggest_one_of(name, known)


def _unknown_categories(where: str, words: Words, known: Known[str]) -> Iterator[Wrong]:
    for category in _categories(words):
        if category not in known:
            remedy = suggest_one_of(category, known, show_all=False)
            yield where, f"{category} is no known data category.", f"{remedy} Your own go under categories."


def _tell(problem: Any, words: Any) -> Wrong:
    """A pydantic error with its place by names: `shop.visit.page` where that says `collections.3.fields.1`."""
    path, here = [], words
    if isinstance(words, Mapping) and words.get("fides_key"):
        path.append(str(words["fides_key"]))
    for part in problem["loc"]:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(part, int):
            name = here.get("name") if isinstance(here, Mapping) else None
            path.append(str(name or part))
        elif part not in {"collections", "fields"}:
            path.append(str(part))
    key, message = ".".join(path) or "dataset", problem["msg"].removeprefix("Value error, ").rstrip(".")
    if problem["type"] == "missing":
        name = str(problem["loc"][-1])
        return key if path[-1:] == [name] else f"{key}.{name}", "is missing.", f"State {name}."
    if problem["type"] == "string_type":
        return key, f"{problem['input']} is not a text.", "Write it in quotes: YAML reads a bare no or 1 as a value."
    if message.startswith(_TWICE):
        return key, f"states {message.removeprefix(_TWICE).strip('[]')} more than once.", "Keep one of them."
    return key, f"{message}.", "See the Fides dataset format."
