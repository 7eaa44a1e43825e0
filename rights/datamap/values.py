"""A checked data map as values. Collections are named `dataset.collection`, fields by their column."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

OPERATORS = frozenset({"eq", "ne", "gt", "ge", "lt", "le", "in", "is_null", "not_null"})


@dataclass(frozen=True)
class Text:
    """A text for people in both languages of the product."""

    zh: str
    en: str

    def __call__(self, language: str) -> str:
        return self.en if language.startswith("en") else self.zh


@dataclass(frozen=True)
class Predicate:
    """`field op value`; the value may be `@today`, the day the plan is made for."""

    field: str
    op: str
    value: Any = None


@dataclass(frozen=True)
class Condition:
    """Rows of a collection that meet all predicates."""

    collection: str
    when: tuple[Predicate, ...]


@dataclass(frozen=True)
class Entity:
    """A controller. Its relationship with a person runs while such a row exists for them."""

    key: str
    name: Text
    service: Text
    relationship: Condition | None = None


@dataclass(frozen=True)
class System:
    key: str
    schema: str
    entity: str
    label: Text


@dataclass(frozen=True)
class Field:
    name: str
    categories: tuple[str, ...] = ()
    identity: str | None = None
    primary_key: bool = False


@dataclass(frozen=True)
class Edge:
    """The walk from one collection's fields to another's, for rows of the first that meet `when`.

    Several fields are compared together, as a composite key is.
    """

    source: str
    source_fields: tuple[str, ...]
    target: str
    target_fields: tuple[str, ...]
    when: tuple[Predicate, ...] = ()


@dataclass(frozen=True)
class ClassClause:
    """A retention class that holds for the rows meeting `when` (empty: all)."""

    data_class: str
    when: tuple[Predicate, ...] = ()


@dataclass(frozen=True)
class Collection:
    """One planned collection.

    `trigger` is a column, `dataset.collection.field` of a row it hangs on, or `relationship:<entity>` where the portal
    keeps the day; None: nothing starts the period, so a hold has no end yet.
    """

    key: str
    system: str
    entity: str
    name: str
    label: Text
    purpose: Text
    classes: tuple[ClassClause, ...]
    fields: tuple[Field, ...]
    products: tuple[str, ...] = ()
    trigger: str | None = None
    cutoff: str | None = None
    mask: Mapping[str, Any] = field(default_factory=dict)
    basis: Text | None = None
    while_relationship: bool = False
    consent: str | None = None
    third_party: tuple[str, ...] = ()
    confidential: bool = False
    close: Mapping[str, Any] = field(default_factory=dict)
    erase_key: str = "OK.PURPOSE_END"
    recipients: tuple[Text, ...] = ()
    source: Text | None = None
    shared_goes_to_person: bool = True
    key_fields: tuple[str, ...] = ()

    @property
    def trigger_column(self) -> str | None:
        """The collection's own column that starts the period, if one does."""
        return self.trigger if self.trigger and not self.trigger_source and not self.trigger_entity else None

    @property
    def trigger_source(self) -> tuple[str, str] | None:
        """(collection, field) where the trigger stands in another collection's row."""
        if not self.trigger or self.trigger_entity or any(item.name == self.trigger for item in self.fields):
            return None
        source, _, name = self.trigger.rpartition(".")
        return (source, name) if source else None

    @property
    def trigger_entity(self) -> str | None:
        """The entity whose relationship's end, kept by the portal, starts the period."""
        kind, _, entity = (self.trigger or "").partition(":")
        return entity if kind == "relationship" and entity else None

    @property
    def data_class(self) -> str:
        return self.classes[0].data_class if self.classes else "none"

    @property
    def sensitive(self) -> bool:
        """Whether a field is of a kind that PIPL art. 28 calls sensitive."""
        return any(category.startswith(SENSITIVE) for item in self.fields for category in item.categories)


SENSITIVE = (
    "user.biometric",
    "user.health_and_medical",
    "user.financial.credit_card",
    "user.financial.bank_account",
    "user.location",
    "user.government_id",
    "user.demographic.race_ethnicity",
    "user.device.telemetry",
)


@dataclass(frozen=True)
class Blocker:
    """A fact that stands in the way: for deletion of its entity's `blocks` classes, and of a cancellation."""

    key: str
    condition: Condition
    entities: tuple[str, ...]
    label: Text
    blocks: tuple[str, ...] = ()
    cancel: str = "defer"
    show: tuple[str, ...] = ()
    fix: Text | None = None
    fix_url: str = ""


@dataclass(frozen=True)
class Consent:
    """A purpose that rests on consent; the flag lives in the rows of `collection` that meet `match`."""

    key: str
    label: Text
    kind: str
    consequence: Text
    collection: str
    match: Mapping[str, Any]
    given: Mapping[str, Any]
    withdraw: Mapping[str, Any]
    immediate: bool = False


@dataclass(frozen=True)
class Correction:
    """Something that can be corrected, wherever the group keeps it. `kind`: contact or identity."""

    key: str
    label: Text
    kind: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DataMap:
    """Everything the engine may act on, in the order the governance states it."""

    digest: str
    entities: Mapping[str, Entity]
    systems: Mapping[str, System]
    collections: Mapping[str, Collection]
    edges: tuple[Edge, ...]
    blockers: Mapping[str, Blocker]
    consents: Mapping[str, Consent]
    corrections: Mapping[str, Correction]

    def of_system(self, system: str) -> tuple[Collection, ...]:
        return self._by_system.get(system, ())

    @cached_property
    def edges_between_systems(self) -> tuple[Edge, ...]:
        return tuple(
            edge for edge in self.edges if self.collections[edge.source].system != self.collections[edge.target].system
        )

    @cached_property
    def _by_system(self) -> dict[str, tuple[Collection, ...]]:
        found: dict[str, list[Collection]] = {}
        for collection in self.collections.values():
            found.setdefault(collection.system, []).append(collection)
        return {system: tuple(items) for system, items in found.items()}
