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
    own: bool = False
    """Whether it is the portal itself, whose rows go by rules of its own and never by a person's request."""


@dataclass(frozen=True)
class Party:
    """Somebody who is asked to act, as we cannot look into what they hold: a system of ours, or a recipient of data.

    `kind`: manual (a task for staff), opendsr or webhook. `acts`: what they can be asked for, of erase, correct and
    stop. `days`: within how many days they answer. `identities`: kind of identity → what they call it. `options`: how
    their protocol is spoken.
    """

    key: str
    name: Text
    kind: str = "manual"
    entity: str = ""
    acts: tuple[str, ...] = ("erase", "correct", "stop")
    days: int = 10
    instructions: Text | None = None
    identities: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Field:
    name: str
    categories: tuple[str, ...] = ()
    identity: str | None = None
    primary_key: bool = False


@dataclass(frozen=True)
class Mentioned:
    """What a dataset names, whether the governance plans it or not: by collection its fields, and the file it is in."""

    file: str
    fields: dict[str, frozenset[str]]


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


PSEUDONYM_DIGITS = 24
"""How much of a digest a pseudonym shows, in hexadecimal digits: of a thousand million, no two are expected alike."""


@dataclass(frozen=True)
class Mask:
    """What becomes of a field whose record stays. `kind` and `value` as governance states them:

    null; constant: the value that is written; hash: sha256; pseudonym: its name; format: phone or resident_id; date:
    year or month, of which the first day is left.
    """

    kind: str
    value: Any = None

    def __str__(self) -> str:
        return self.kind if self.kind == "null" else f"{self.kind}: {self.value}"

    @property
    def is_keyed(self) -> bool:
        """Whether what it writes is derived under a key of ours, so that nobody else can try values out."""
        return self.kind in {"pseudonym", "format"}

    @property
    def keeps_apart(self) -> bool:
        """Whether values that differ still differ when they are masked."""
        return self.kind in {"hash", "pseudonym"}

    @property
    def length(self) -> int:
        """How many characters it writes into a text; 0 where it is no text of a length of its own."""
        match self.kind, self.value:
            case "hash", _:
                return len("sha256:") + 64
            case "pseudonym", name:
                return len(f"{name}:") + PSEUDONYM_DIGITS
            case "format", form:
                return 11 if form == "phone" else 18
        return 0


@dataclass(frozen=True)
class Collection:
    """One planned collection.

    `trigger` is a column or `dataset.collection.field` of a row that a record hangs on; with `trigger_entity` the
    period starts when the relationship with that company ends, a day the portal keeps; neither: nothing starts it, so a
    hold has no end yet. `key_fields`: what governance says names a record, where the database does not. `restrict`: the
    records are not erased, only no longer used. `register`: it is stated that which records may only be stored is
    written down, for their system to ask; `flag`: the values that mark those there as well. `anonymised`: nobody's any
    more; `derived`: worked out from other collections. `passed`: the `dataset.collection.field` where it stays written
    that a check was passed, once its image is gone. `own`: rows of the portal
    itself.
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
    trigger_entity: str | None = None
    cutoff: str | None = None
    mask: Mapping[str, Mask] = field(default_factory=dict)
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
    restrict: bool = False
    register: bool = False
    flag: Mapping[str, Any] = field(default_factory=dict)
    anonymised: bool = False
    derived: bool = False
    legal_basis: str | None = None
    passed: str | None = None
    own: bool = False

    @property
    def is_registered(self) -> bool:
        """Whether its system can ask which records may only be stored: where nothing is stated, for what is hard to
        erase."""
        return self.register or self.restrict

    @property
    def trigger_column(self) -> str | None:
        """The collection's own column that starts the period, if one does."""
        return None if self.trigger_source else self.trigger

    @property
    def trigger_source(self) -> tuple[str, str] | None:
        """(collection, field) where the trigger stands in another collection's row."""
        if not self.trigger or any(item.name == self.trigger for item in self.fields):
            return None
        source, _, name = self.trigger.rpartition(".")
        return (source, name) if source else None

    @property
    def basis_kind(self) -> str:
        """What the processing rests on: consent, contract, law or interest; as stated, else as the rest tells."""
        classes = {clause.data_class for clause in self.classes}
        if self.legal_basis:
            return self.legal_basis
        if self.consent or "CONS" in classes:
            return "consent"
        if self.while_relationship:
            return "contract"
        return "law" if classes & RETAINED else "contract"

    @property
    def data_class(self) -> str:
        return self.classes[0].data_class if self.classes else "none"

    @property
    def guessable(self) -> frozenset[str]:
        """Fields whose values somebody could try out one by one, all phone numbers for example."""
        return frozenset(
            item.name for item in self.fields if any(category.startswith(GUESSABLE) for category in item.categories)
        )

    @property
    def sensitive(self) -> bool:
        """Whether a field is of a kind that PIPL art. 28 calls sensitive."""
        return any(category.startswith(SENSITIVE) for item in self.fields for category in item.categories)


# The classes whose records a statute asks to keep; see the shipped retention rules.
RETAINED = frozenset({"KYC", "TXN", "LOAN", "ACCT", "INS", "INS-LONG", "FUND", "LOG"})
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

GUESSABLE = (
    "user.contact",
    "user.demographic",
    "user.device.ip_address",
    "user.financial",
    "user.government_id",
    "user.location",
    "user.name",
    "user.payment",
)
"""Data categories of so few possible values that an unkeyed hash of one hides nothing."""


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
    """A purpose that rests on consent; the flag lives in the rows of `collection` that meet `match`.

    `give` and `withdraw` are what giving and taking back write, `since` the field that dates the flag. `signal`: what a
    browser's Global Privacy Control ends, withdraw (the consent) or sharing (that its recipients receive anything).
    """

    key: str
    label: Text
    kind: str
    consequence: Text
    collection: str
    match: Mapping[str, Any]
    given: Mapping[str, Any]
    withdraw: Mapping[str, Any]
    immediate: bool = False
    give: Mapping[str, Any] = field(default_factory=dict)
    since: str = ""
    signal: str = ""


@dataclass(frozen=True)
class Permission:
    """A permission of a phone that the apps ask for. `names`: what each system calls it (ios, android, harmony), where
    the app asks for it there."""

    key: str
    label: Text
    why: Text
    used_by: Text
    without: Text
    names: Mapping[str, Text]


@dataclass(frozen=True)
class Correction:
    """Something that can be corrected, wherever the group keeps it. `kind`: contact or identity."""

    key: str
    label: Text
    kind: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Unplanned:
    """A collection of the datasets that the engine does not act on, and why."""

    collection: str
    reason: str


@dataclass(frozen=True)
class DataMap:
    """Everything the engine may act on, in the order the governance states it; `unplanned` is the rest.

    `asked` are the systems that no connection reaches; `recipients` are those to whom data was given on.
    """

    digest: str
    entities: Mapping[str, Entity]
    systems: Mapping[str, System]
    collections: Mapping[str, Collection]
    edges: tuple[Edge, ...]
    blockers: Mapping[str, Blocker]
    consents: Mapping[str, Consent]
    corrections: Mapping[str, Correction]
    unplanned: tuple[Unplanned, ...] = ()
    asked: Mapping[str, Party] = field(default_factory=dict)
    recipients: Mapping[str, Party] = field(default_factory=dict)
    permissions: Mapping[str, Permission] = field(default_factory=dict)

    def recipient(self, name: Text) -> Party:
        """How the recipient of this name is told; one of whom nothing more is stated gets a letter."""
        return self._by_name.get(name) or Party(name.en, name, identities={"account_no": "account_no"})

    def party(self, key: str) -> Party | None:
        """Whom a key names, where governance states how they are reached."""
        return self.asked.get(key) or self.recipients.get(key)

    @cached_property
    def business_systems(self) -> Mapping[str, System]:
        """The companies' systems, without the portal's own rows: where requests act, and where gates stand."""
        return {key: system for key, system in self.systems.items() if not system.own}

    def of_system(self, system: str) -> tuple[Collection, ...]:
        return self._by_system.get(system, ())

    @cached_property
    def edges_between_systems(self) -> tuple[Edge, ...]:
        return tuple(
            edge for edge in self.edges if self.collections[edge.source].system != self.collections[edge.target].system
        )

    def label_of(self, key: str, language: str) -> str:
        """What a step's collection is called: also a relationship that ends, which is a company's service."""
        kind, _, entity = key.partition(":")
        if kind == "relationship" and entity in self.entities:
            return self.entities[entity].service(language)
        if key in self.collections:
            return self.collections[key].label(language)
        return self.asked[key].name(language) if key in self.asked else key

    @cached_property
    def _by_name(self) -> dict[Text, Party]:
        return {party.name: party for party in self.recipients.values()}

    @cached_property
    def _by_system(self) -> dict[str, tuple[Collection, ...]]:
        found: dict[str, list[Collection]] = {}
        for collection in self.collections.values():
            found.setdefault(collection.system, []).append(collection)
        return {system: tuple(items) for system, items in found.items()}
