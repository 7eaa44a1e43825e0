"""Reads a data map's documents into values, or names each fault by file, key, reason and remedy."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml
from fideslang.models import Dataset, FidesDatasetReference, FidesMeta
from fideslang.models import DatasetCollection as FidesCollection
from pydantic import ValidationError

from rights.datamap.edges import make_edges
from rights.datamap.values import (
    OPERATORS,
    Blocker,
    ClassClause,
    Collection,
    Condition,
    Consent,
    Correction,
    DataMap,
    Edge,
    Entity,
    Field,
    Predicate,
    System,
    Text,
)
from rights.kernel.decisions import REASONS

CLASSES = frozenset({"KYC", "TXN", "LOAN", "ACCT", "INS", "INS-LONG", "FUND", "CONS", "LOG", "FILE", "none"})
_COLLECTION_KEYS = frozenset(
    {
        "label",
        "purpose",
        "product",
        "class",
        "trigger",
        "cutoff",
        "erase",
        "basis",
        "while",
        "consent",
        "recipients",
        "third_party",
        "confidential",
        "close",
        "key",
        "shared",
        "source",
    }
)
_TOP_KEYS = frozenset({"version", "entities", "systems", "edges", "collections", "blockers", "consents", "corrections"})
_BLOCKER_KEYS = frozenset({"in", "when", "blocks", "cancel", "show", "label", "fix", "entities"})
_CONSENT_KEYS = frozenset({"label", "kind", "consequence", "in", "match", "given", "withdraw", "immediate"})
_ENTITY_KEYS = frozenset({"name", "service", "relationship"})
_SYSTEM_KEYS = frozenset({"schema", "entity", "label"})
_CORRECTION_KEYS = frozenset({"label", "kind", "fields"})
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
GOVERNANCE = "governance.yml"
T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a map. `remedy` says what to do about it."""

    file: str
    key: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.reason} {self.remedy}"


class FaultyMap(ValueError):
    """The map has faults; nothing of it was used."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


def read_folder(folder: Path) -> dict[str, str]:
    """The documents of a map's folder by relative name. Raises FaultyMap where it holds no map."""
    if not (folder / GOVERNANCE).is_file():
        missing = Fault(str(folder), GOVERNANCE, "is not there.", "Write it beside datasets/, or name another folder.")
        raise FaultyMap([missing])
    names = [folder / GOVERNANCE, *sorted((folder / "datasets").glob("*.yml"))]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in names}


def parse_documents(documents: Mapping[str, str]) -> DataMap:
    """A map from its documents (name → YAML text). Raises FaultyMap with every fault found."""
    return _Parser(documents).parse()


class _Parser:
    def __init__(self, documents: Mapping[str, str]) -> None:
        self.documents = documents
        self.faults: list[Fault] = []
        self.governance: Mapping[str, Any] = {}
        self.fides: dict[str, FidesCollection] = {}
        self.files: dict[str, str] = {}

    def parse(self) -> DataMap:
        raw = {name: self._yaml(name, text) for name, text in sorted(self.documents.items())}
        self.governance = raw.get(GOVERNANCE) or {}
        for key in set(self.governance) - _TOP_KEYS:
            self._fault(
                GOVERNANCE, key, "is not a section of a data map.", f"Use one of {', '.join(sorted(_TOP_KEYS))}."
            )
        for name, content in raw.items():
            if name != GOVERNANCE:
                self._read_datasets(name, content)
        entities = self._each("entities", self._entity)
        systems = self._each("systems", self._system)
        self._require_entities(systems, entities)
        collections = self._each("collections", lambda key, body: self._collection(key, body, systems))
        self._require_relationships(entities, collections)
        edges = self._edges(collections)
        parsed = DataMap(
            digest=self._digest(),
            entities=entities,
            systems=systems,
            collections=collections,
            edges=edges,
            blockers=self._each("blockers", lambda key, body: self._blocker(key, body, collections)),
            consents=self._each("consents", lambda key, body: self._consent(key, body, collections)),
            corrections=self._each("corrections", lambda key, body: self._correction(key, body, collections)),
        )
        self._require_consents(parsed)
        if self.faults:
            raise FaultyMap(self.faults)
        return parsed

    def _digest(self) -> str:
        total = hashlib.sha256()
        for name, text in sorted(self.documents.items()):
            total.update(f"{name}\0{text}\0".encode())
        return total.hexdigest()

    def _fault(self, file: str, key: str, reason: str, remedy: str) -> None:
        self.faults.append(Fault(file, key, reason, remedy))

    def _yaml(self, name: str, text: str) -> Mapping[str, Any]:
        try:
            content = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader, the C one where it is built
        except yaml.YAMLError as error:
            self._fault(name, "(file)", f"is not YAML: {error}.", "Correct the line it names.")
            return {}
        if not isinstance(content, Mapping):
            self._fault(name, "(file)", "holds no mapping.", "Start with a top-level key.")
            return {}
        return content

    def _read_datasets(self, name: str, content: Mapping[str, Any]) -> None:
        for body in content.get("dataset") or ():
            try:
                dataset = Dataset.model_validate(body)
            except ValidationError as error:
                for problem in error.errors():
                    where = ".".join(str(part) for part in problem["loc"])
                    self._fault(name, where, f"{problem['msg']}.", "See the Fides dataset format.")
                continue
            for collection in dataset.collections:
                key = f"{dataset.fides_key}.{collection.name}"
                self.fides[key] = collection
                self.files[key] = name
            self._require_known_meta(name, body)

    def _require_known_meta(self, file: str, dataset: Mapping[str, Any]) -> None:
        """Fides drops a key it does not know: a misspelt identity or reference would silently reach nothing."""
        for collection in dataset.get("collections") or ():
            for field in collection.get("fields") or ():
                where = f"{dataset['fides_key']}.{collection['name']}.{field['name']}"
                meta = field.get("fides_meta") or {}
                self._require_keys(file, where, meta, frozenset(FidesMeta.model_fields))
                for reference in meta.get("references") or ():
                    self._require_keys(file, where, reference, frozenset(FidesDatasetReference.model_fields))

    def _require_keys(self, file: str, where: str, body: Mapping[str, Any], known: frozenset[str]) -> None:
        for unknown in sorted(str(key) for key in set(body) - known):
            self._fault(file, where, f"{unknown} is not known.", f"Use one of {', '.join(sorted(known))}.")

    def _require_known_keys(self, section: str, key: str, body: Mapping[str, Any], known: frozenset[str]) -> None:
        for unknown in sorted(str(name) for name in set(body) - known):
            self._fault(
                GOVERNANCE, f"{section}.{key}.{unknown}", "is not known.", f"Use one of {', '.join(sorted(known))}."
            )

    def _each(self, section: str, make: Callable[[str, Mapping[str, Any]], T]) -> dict[str, T]:
        found = {}
        for key, body in self._section(section).items():
            if not isinstance(body, Mapping):
                self._fault(GOVERNANCE, f"{section}.{key}", "is not a mapping.", "Give it keys of its own.")
                continue
            try:
                found[key] = make(key, body)
            except _Missing as missing:
                where = ".".join(part for part in (section, key, missing.key) if part)
                self._fault(GOVERNANCE, where, missing.reason, missing.remedy)
            except _Dependent:
                continue
            except (AttributeError, TypeError, ValueError):
                # A word where a mapping belongs, a mapping where a list does.
                self._fault(
                    GOVERNANCE, f"{section}.{key}", "is not written as it has to be.", "See the data map's format."
                )
        return found

    def _section(self, section: str) -> Mapping[str, Any]:
        stated = self.governance.get(section) or {}
        if isinstance(stated, Mapping):
            return stated
        if not any(fault.key == section for fault in self.faults):
            self._fault(GOVERNANCE, section, "is not a mapping.", "Give each of its items keys of its own.")
        return {}

    def _entity(self, key: str, body: Mapping[str, Any]) -> Entity:
        self._require_known_keys("entities", key, body, _ENTITY_KEYS)
        name = _text(body, "name")
        relationship = body.get("relationship")
        return Entity(
            key=key,
            name=name,
            service=_text(body, "service") if "service" in body else name,
            relationship=_condition(relationship) if relationship else None,
        )

    def _system(self, key: str, body: Mapping[str, Any]) -> System:
        self._require_known_keys("systems", key, body, _SYSTEM_KEYS)
        entity = str(_need(body, "entity"))
        label = _text(body, "label") if "label" in body else Text(key, key)
        return System(key=key, schema=str(_need(body, "schema")), entity=entity, label=label)

    def _require_entities(self, systems: Mapping[str, System], entities: dict[str, Entity]) -> None:
        for system in systems.values():
            if system.entity not in entities:
                # A map may lean on entities another map describes; alone, the system's own label names it.
                entities[system.entity] = Entity(system.entity, name=system.label, service=system.label)

    def _collection(self, key: str, body: Mapping[str, Any], systems: Mapping[str, System]) -> Collection:
        self._require_known_keys("collections", key, body, _COLLECTION_KEYS)
        fides = self.fides.get(key)
        if fides is None:
            raise _Missing(
                "", "no dataset has this collection.", "Add it to a file under datasets/ or correct the name."
            )
        dataset, _, name = key.partition(".")
        if dataset not in systems:
            raise _Missing("", f"the system {dataset} is not stated.", f"Add systems.{dataset}.")
        fields = tuple(_field(item) for item in fides.fields)
        known = {item.name for item in fields}
        classes = self._classes(key, body)
        basis = body.get("basis")
        if classes[0].data_class == "none" and not basis:
            raise _Missing("basis", "no retention and no basis is stated.", "Say why nothing has to be kept.")
        erase = body.get("erase") or {}
        if erase.get("method") not in {"delete", "mask"}:
            raise _Missing("erase", "says no known method.", "Use {method: delete} or {method: mask, fields: {…}}.")
        _require_mask(erase)
        if body.get("while") not in {None, "relationship"}:
            raise _Missing("while", f"{body['while']} is not known.", "Write while: relationship, or leave it out.")
        if body.get("key") and body["key"] not in REASONS:
            raise _Missing("key", f"{body['key']} has no text.", "Use the key of a reason, such as OK.PURPOSE_END.")
        collection = Collection(
            key=key,
            system=dataset,
            entity=systems[dataset].entity,
            name=name,
            label=_text(body, "label") if "label" in body else Text(name, name),
            purpose=_text(body, "purpose") if "purpose" in body else Text("", ""),
            classes=classes,
            fields=fields,
            products=tuple(str(item) for item in body.get("product") or ()),
            trigger=body.get("trigger"),
            cutoff=body.get("cutoff"),
            mask=dict(erase.get("fields") or {}),
            basis=_as_text(basis) if basis else None,
            while_relationship=body.get("while") == "relationship",
            consent=body.get("consent"),
            third_party=tuple(body.get("third_party") or ()),
            confidential=bool(body.get("confidential")),
            close=dict((body.get("close") or {}).get("set") or {}),
            erase_key=body.get("key") or "OK.PURPOSE_END",
            recipients=tuple(_as_text(item) for item in body.get("recipients") or ()),
            source=_as_text(body["source"]) if body.get("source") else None,
            shared_goes_to_person=body.get("shared", "person") == "person",
        )
        named = {
            collection.trigger_column,
            collection.cutoff,
            *collection.third_party,
            *collection.close,
            *collection.mask,
        }
        named |= {predicate.field for clause in classes for predicate in clause.when}
        for column in sorted(name for name in named - known if name):
            self._fault(
                GOVERNANCE, f"collections.{key}", f"has no field {column}.", "Correct it or add it to the dataset."
            )
        return collection

    def _classes(self, key: str, body: Mapping[str, Any]) -> tuple[ClassClause, ...]:
        stated = _need(body, "class")
        clauses = []
        for item in stated if isinstance(stated, list) else [stated]:
            if isinstance(item, Mapping):
                clauses.append(ClassClause(str(_need(item, "class")), _predicates(item.get("when"))))
            else:
                clauses.append(ClassClause(str(item)))
        for clause in clauses:
            if clause.data_class not in CLASSES:
                raise _Missing(
                    "class", f"{clause.data_class} is not a class.", f"Use one of {', '.join(sorted(CLASSES))}."
                )
        if not clauses:
            raise _Missing("class", "is empty.", "State a class, or none with its basis.")
        return tuple(clauses)

    def _edges(self, collections: Mapping[str, Collection]) -> tuple[Edge, ...]:
        def read_when(where: str, collection: str, stated: Any) -> tuple[Predicate, ...]:
            try:
                return self._known(Condition(collection, _predicates(stated)), collections).when
            except _Missing as missing:
                self._fault(GOVERNANCE, f"{where}.{missing.key}", missing.reason, missing.remedy)
                return ()

        return make_edges(
            fides=self.fides,
            stated=self.governance.get("edges"),
            collections=collections,
            known=self._section("collections"),
            read_when=read_when,
            fault=partial(self._fault, GOVERNANCE),
        )

    def _blocker(self, key: str, body: Mapping[str, Any], collections: Mapping[str, Collection]) -> Blocker:
        self._require_known_keys("blockers", key, body, _BLOCKER_KEYS)
        cancel = body.get("cancel", "defer")
        if cancel not in {"defer", "person", "forfeit"}:
            raise _Missing("cancel", f"{cancel} is not known.", "Write defer, person or forfeit.")
        if key not in REASONS and cancel != "forfeit":
            raise _Missing("", "has no text for people.", "Use the key of a reason, such as BLOCK.PENDING.")
        condition = self._known(_condition(body), collections)
        for data_class in body.get("blocks") or ():
            if data_class not in CLASSES:
                known = ", ".join(sorted(CLASSES))
                raise _Missing("blocks", f"{data_class} is not a class.", f"Use one of {known}.")
        self._require_fields("show", condition.collection, body.get("show") or (), collections)
        fix = body.get("fix")
        return Blocker(
            key=key,
            condition=condition,
            entities=tuple(body.get("entities") or (collections[condition.collection].entity,)),
            label=_text(body, "label") if "label" in body else Text(key, key),
            blocks=tuple(body.get("blocks") or ()),
            cancel=cancel,
            show=tuple(body.get("show") or ()),
            fix=_as_text(fix) if fix else None,
            fix_url=str(fix.get("url", "")) if isinstance(fix, Mapping) else "",
        )

    def _consent(self, key: str, body: Mapping[str, Any], collections: Mapping[str, Collection]) -> Consent:
        self._require_known_keys("consents", key, body, _CONSENT_KEYS)
        collection = self._known(Condition(str(_need(body, "in")), ()), collections).collection
        for name in ("match", "given", "withdraw"):
            self._require_fields(name, collection, body.get(name) or {}, collections)
        return Consent(
            key=key,
            label=_text(body, "label"),
            kind=str(body.get("kind", "optional")),
            consequence=_text(body, "consequence"),
            collection=collection,
            match=dict(body.get("match") or {}),
            given=dict(_need(body, "given")),
            withdraw=dict(_need(body, "withdraw")),
            immediate=bool(body.get("immediate")),
        )

    def _correction(self, key: str, body: Mapping[str, Any], collections: Mapping[str, Collection]) -> Correction:
        self._require_known_keys("corrections", key, body, _CORRECTION_KEYS)
        if body.get("kind", "contact") not in {"contact", "identity"}:
            raise _Missing("kind", f"{body['kind']} is not known.", "Write contact or identity.")
        fields = []
        for name in _need(body, "fields"):
            collection, _, column = str(name).rpartition(".")
            self._known(Condition(collection, (Predicate(column, "not_null"),)), collections)
            fields.append((collection, column))
        return Correction(key, _text(body, "label"), str(body.get("kind", "contact")), tuple(fields))

    def _known(self, condition: Condition, collections: Mapping[str, Collection]) -> Condition:
        collection = collections.get(condition.collection)
        if collection is None and condition.collection in self._section("collections"):
            raise _Dependent
        if collection is None:
            raise _Missing("in", f"{condition.collection} is not a collection of this map.", "Correct the name.")
        columns = {item.name for item in collection.fields}
        for predicate in condition.when:
            if predicate.field not in columns:
                raise _Missing("when", f"{condition.collection} has no field {predicate.field}.", "Correct the name.")
        return condition

    def _require_fields(
        self, key: str, collection: str, names: Iterable[str], collections: Mapping[str, Collection]
    ) -> None:
        known = {item.name for item in collections[collection].fields}
        for name in names:
            if name not in known:
                raise _Missing(key, f"{collection} has no field {name}.", "Correct the name.")

    def _require_relationships(self, entities: Mapping[str, Entity], collections: Mapping[str, Collection]) -> None:
        for entity in entities.values():
            if entity.relationship:
                try:
                    self._known(entity.relationship, collections)
                except _Missing as missing:
                    self._fault(GOVERNANCE, f"entities.{entity.key}.relationship", missing.reason, missing.remedy)
                except _Dependent:
                    continue

    def _require_consents(self, parsed: DataMap) -> None:
        for collection in parsed.collections.values():
            if collection.consent and collection.consent not in self._section("consents"):
                self._fault(
                    GOVERNANCE,
                    f"collections.{collection.key}.consent",
                    f"{collection.consent} is no stated consent.",
                    f"Add consents.{collection.consent}.",
                )


class _Dependent(Exception):
    """What is read leans on a collection whose own fault is told already."""


class _Missing(Exception):
    """A fault below the key that is being read."""

    def __init__(self, key: str, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.key, self.reason, self.remedy = key, reason, remedy


def _require_mask(erase: Mapping[str, Any]) -> None:
    """A way of masking that is not known would silently empty the field."""
    if erase["method"] != "mask":
        return
    fields = erase.get("fields") or {}
    if not fields:
        raise _Missing("erase", "masks no field.", "State fields: {name: strategy}.")
    for name, strategy in fields.items():
        is_constant = isinstance(strategy, Mapping) and set(strategy) == {"constant"}
        if strategy not in (None, "null") and not is_constant:
            raise _Missing("erase", f"{name}: {strategy} is no way of masking.", 'Use "null" or {constant: …}.')


def _need(body: Mapping[str, Any], key: str) -> Any:
    if key not in body or body[key] is None:
        raise _Missing(key, "is missing.", f"State {key}.")
    return body[key]


def _as_text(value: Any) -> Text:
    if isinstance(value, Mapping) and {"zh", "en"} <= set(value):
        return Text(str(value["zh"]), str(value["en"]))
    if isinstance(value, str):
        return Text(value, value)
    raise _Missing("", "is not a text in both languages.", "Write {zh: …, en: …}.")


def _text(body: Mapping[str, Any], key: str) -> Text:
    try:
        return _as_text(_need(body, key))
    except _Missing as missing:
        raise _Missing(key, missing.reason, missing.remedy) from None


def _condition(body: Mapping[str, Any]) -> Condition:
    return Condition(str(_need(body, "in")), _predicates(body.get("when")))


def _predicates(items: Any) -> tuple[Predicate, ...]:
    found = []
    for item in items or ():
        op = str(item.get("op"))
        if op not in OPERATORS:
            raise _Missing("when", f"{op} is not an operator.", f"Use one of {', '.join(sorted(OPERATORS))}.")
        if op == "in" and not isinstance(item.get("value"), list):
            raise _Missing("when", "the operator in needs a list.", "Write value: [a, b].")
        found.append(Predicate(str(_need(item, "field")), op, item.get("value")))
    return tuple(found)


def _field(item: Any) -> Field:
    meta = item.fides_meta
    return Field(
        name=item.name,
        categories=tuple(str(category) for category in item.data_categories or ()),
        identity=meta.identity if meta else None,
        primary_key=bool(meta and meta.primary_key),
    )
