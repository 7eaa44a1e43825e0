"""A checked data map as values. Collections are named `dataset.collection`, fields by their column."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

BASES = ("consent", "contract", "law", "interest")
"""Legal bases of a collection (PIPL art. 13)."""
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
    backup_days: int = 0
    """After how many days what was erased is gone from its backups too; 0: not stated."""


@dataclass(frozen=True)
class Field:
    name: str
    categories: tuple[str, ...] = ()
    identity: str | None = None
    primary_key: bool = False


@dataclass(frozen=True)
class Edge:
    """The walk from one collection's field to another's, for rows of the first that meet `when`."""

    source: str
    source_field: str
    target: str
    target_field: str
    when: tuple[Predicate, ...] = ()


@dataclass(frozen=True)
class ClassClause:
    """A retention class that holds for the rows meeting `when` (empty: all)."""

    data_class: str
    when: tuple[Predicate, ...] = ()


@dataclass(frozen=True)
class Collection:
    """One planned collection. `trigger` None: no column starts the period, so a hold has no end yet."""

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
    legal_basis: str = ""
    anonymised: bool = False
    derived: bool = False
    restrict: bool = False
    passed: str | None = None
    """Where it stays written that a check was passed, once its face image is gone: `dataset.collection.field`."""

    @property
    def basis_kind(self) -> str:
        """On what the collection rests: as stated, else consent where it has one, contract, law or an interest."""
        if self.legal_basis:
            return self.legal_basis
        if self.consent:
            return "consent"
        if self.while_relationship:
            return "contract"
        return "interest" if self.data_class in {"none", "FILE"} else "law"

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
    """A fact that stands in the way: of deleting what `blocks` names at its entity, and of a cancellation.

    `blocks` names retention classes or single collections. `waivable`: the person may expressly give it up.
    """

    key: str
    condition: Condition
    entities: tuple[str, ...]
    label: Text
    blocks: tuple[str, ...] = ()
    cancel: str = "defer"
    show: tuple[str, ...] = ()
    fix: Text | None = None
    fix_url: str = ""
    waivable: bool = False


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

    def edges_into(self, collection: str) -> tuple[Edge, ...]:
        return tuple(edge for edge in self.edges if edge.target == collection)

    @cached_property
    def _by_system(self) -> dict[str, tuple[Collection, ...]]:
        found: dict[str, list[Collection]] = {}
        for collection in self.collections.values():
            found.setdefault(collection.system, []).append(collection)
        return {system: tuple(items) for system, items in found.items()}
