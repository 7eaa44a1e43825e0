"""Reads a data map's documents into values, or names each fault by file, key, reason and remedy."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml
from fideslang.models import DatasetCollection as FidesCollection

from rights.datamap import datasets, rules, shape
from rights.datamap.documents import Lines, load_yaml, without_collecting
from rights.datamap.edges import make_edges
from rights.datamap.faults import Fault, FaultyMap, suggest_one_of
from rights.datamap.values import (
    Blocker,
    ClassClause,
    Collection,
    Condition,
    Consent,
    Correction,
    DataMap,
    Edge,
    Entity,
    Mask,
    Mentioned,
    Party,
    Permission,
    Predicate,
    System,
    Text,
)
from rights.kernel.decisions import REASONS

GOVERNANCE = "governance.yml"
T = TypeVar("T")


def read_folder(folder: Path) -> dict[str, str]:
    """The documents of a map's folder by relative name. Raises FaultyMap where it holds no map."""
    if not (folder / GOVERNANCE).is_file():
        missing = Fault(str(folder), GOVERNANCE, "is not there.", "Write it beside datasets/, or name another folder.")
        raise FaultyMap([missing])
    names = [folder / GOVERNANCE, *sorted((folder / "datasets").glob("*.yml"))]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in names}


def parse_documents(documents: Mapping[str, str]) -> DataMap:
    """A map from its documents (name → YAML text). Raises FaultyMap with every fault found."""
    with without_collecting():
        return _Parser(documents).parse()


def parse_mentioned(documents: Mapping[str, str]) -> tuple[DataMap, dict[str, Mentioned]]:
    """A map, and by dataset what its documents mention beyond it. Raises FaultyMap."""
    parser = _Parser(documents)
    return parser.parse(), parser.mentioned()


class _Parser:
    def __init__(self, documents: Mapping[str, str]) -> None:
        self.documents = documents
        self.faults: list[Fault] = []
        self.governance: Mapping[str, Any] = {}
        self.sources: dict[str, datasets.Source] = {}
        self.fides: dict[str, FidesCollection] = {}
        self.files: dict[str, str] = {}
        # What governance states and cannot be read: (section, key).
        self.broken: set[tuple[str, str]] = set()

    def parse(self) -> DataMap:
        raw = {name: self._yaml(name, text) for name, text in sorted(self.documents.items())}
        self.governance = self._require_shape(raw.get(GOVERNANCE) or {})
        for name, content in raw.items():
            if name != GOVERNANCE:
                self._read_datasets(name, content)
        self._require_known_to_fides()
        entities = self._each("entities", self._entity)
        reached = self._each("systems", self._system)
        systems = {key: item for key, item in reached.items() if isinstance(item, System)}
        asked = {key: item for key, item in reached.items() if isinstance(item, Party)}
        recipients = self._each("recipients", self._recipient)
        self._require_entities(systems, entities)
        collections = self._each("collections", lambda key, body: self._collection(key, body, systems))
        self._require_relationships(entities, collections)
        is_whole = len(collections) == len(self._section("collections"))
        told = len(self.faults)
        edges = self._edges(collections)
        if not is_whole:
            # What leads to or from a faulty collection is judged once that is mended.
            del self.faults[told:]
        parsed = DataMap(
            digest=self._digest(),
            entities=entities,
            systems=systems,
            collections=collections,
            edges=edges,
            blockers=self._each("blockers", lambda key, body: self._blocker(key, body, collections)),
            consents=self._each("consents", lambda key, body: self._consent(key, body, collections)),
            corrections=self._each("corrections", lambda key, body: self._correction(key, body, collections)),
            unplanned=datasets.explain_unplanned(self.sources, collections, systems),
            asked=asked,
            recipients=recipients,
            permissions=self._each("permissions", _permission),
        )
        self._require_consents(parsed)
        if is_whole:
            self._tell(GOVERNANCE, rules.find_contradictions_of_map(parsed, self.governance))
        if self.faults:
            raise FaultyMap(list(self._find_lines()))
        return parsed

    def mentioned(self) -> dict[str, Mentioned]:
        found: dict[str, Mentioned] = {}
        for key, collection in self.fides.items():
            dataset, _, name = key.partition(".")
            known = found.setdefault(dataset, Mentioned(self.sources[key].file, {}))
            known.fields[name] = frozenset(field.name for field in collection.fields)
        return found

    def _digest(self) -> str:
        total = hashlib.sha256()
        for name, text in sorted(self.documents.items()):
            total.update(f"{name}\0{text}\0".encode())
        return total.hexdigest()

    def _fault(self, file: str, key: str, reason: str, remedy: str, line: int = 0) -> None:
        self.faults.append(Fault(file, key, reason, remedy, line))

    def _tell(self, file: str, wrongs: Iterable[tuple[str, str, str]], prefix: str = "") -> None:
        for key, reason, remedy in wrongs:
            self._fault(file, prefix + key, reason, remedy)

    def _find_lines(self) -> Iterator[Fault]:
        lines: dict[str, Lines] = {}
        unread = {fault.file for fault in self.faults if fault.key == _FILE}
        for fault in self.faults:
            if fault.line or fault.file in unread or fault.file not in self.documents:
                yield fault
                continue
            if fault.file not in lines:
                lines[fault.file] = Lines(self.documents[fault.file])
            yield replace(fault, line=lines[fault.file].find(fault.key))

    def _yaml(self, name: str, text: str) -> Mapping[str, Any]:
        try:
            content, repeated = load_yaml(text)
        except yaml.YAMLError as error:
            self._fault(name, _FILE, f"is not YAML: {error}.", "Correct the line it names.")
            return {}
        for key, first, line in repeated:
            self._fault(name, key, f"is stated twice, first in line {first}; only one would count.", "Keep one.", line)
        if not isinstance(content, Mapping):
            self._fault(name, _FILE, "holds no mapping.", "Start with a top-level key.")
            return {}
        return content

    def _require_shape(self, stated: Mapping[str, Any]) -> Mapping[str, Any]:
        """What governance states, without the sections and edges that are not of the schema's shape."""
        unsound: set[str] = set()
        edges: set[int] = set()
        for violation in shape.find_violations(stated):
            key = self._key(violation.path, stated)
            self._fault(GOVERNANCE, key, violation.reason, violation.remedy)
            match violation.path if violation.breaks else ():
                case ("edges", int(number), *_):
                    edges.add(number)
                case (str(section), item, *_):
                    self.broken.add((section, str(item)))
                case (str(section),):
                    unsound.add(section)
        sound = {key: value for key, value in stated.items() if key not in unsound}
        if edges:
            sound["edges"] = [edge for number, edge in enumerate(stated["edges"]) if number not in edges]
        return sound

    def _key(self, path: tuple[str | int, ...], stated: Mapping[str, Any]) -> str:
        """A path as a key. It ends at the first list, but an edge is named by its ends."""
        match path:
            case ("edges", int(number), *rest):
                edge = stated["edges"][number]
                ends = f" {edge.get('from')} → {edge.get('to')}" if isinstance(edge, Mapping) else ""
                path = (f"edges{ends}", *rest)
        end = next((place for place, part in enumerate(path) if isinstance(part, int)), len(path))
        return ".".join(str(part) for part in path[:end])

    def _read_datasets(self, name: str, content: Mapping[str, Any]) -> None:
        stated = content.get("dataset") or []
        if not isinstance(stated, list):
            self._fault(name, "dataset", "is not a list.", "Write - fides_key: … for each dataset.")
            return
        for words in stated:
            sources, wrongs = datasets.read_dataset(name, words)
            self._tell(name, wrongs)
            before = {source.system: source.file for source in self.sources.values()}
            if sources and (file := before.get(sources[0].system)):
                self._fault(name, sources[0].system, f"is a dataset of {file} already.", "Keep one of them.")
                continue
            for source in sources:
                self.sources[source.key] = source
                self.fides[source.key] = source.model
                self.files[source.key] = name

    def _require_known_to_fides(self) -> None:
        """What governance names is read to the letter; the rest of a dataset is not acted on, so it can do no harm."""
        categories = datasets.fides_categories() | set(self.governance.get("categories") or ())
        told: set[str] = set()
        for key, source in self.sources.items():
            if key not in self._section("collections"):
                continue
            if source.system not in told:
                told.add(source.system)
                self._tell(source.file, datasets.find_unknown_of_dataset(source, categories))
            self._tell(source.file, datasets.find_unknown(source, categories))

    def _each(self, section: str, make: Callable[[str, Mapping[str, Any]], T]) -> dict[str, T]:
        found = {}
        for key, body in self._section(section).items():
            if (section, str(key)) in self.broken:
                continue
            try:
                found[str(key)] = make(str(key), body)
            except _Missing as missing:
                where = ".".join(part for part in (section, str(key), missing.key) if part)
                self._fault(GOVERNANCE, where, missing.reason, missing.remedy)
                self.broken.add((section, str(key)))
            except _Dependent:
                continue
        return found

    def _section(self, section: str) -> Mapping[str, Any]:
        return self.governance.get(section) or {}

    def _entity(self, key: str, body: Mapping[str, Any]) -> Entity:
        name = _as_text(body["name"])
        relationship = body.get("relationship")
        return Entity(
            key=key,
            name=name,
            service=_as_text(body["service"]) if "service" in body else name,
            relationship=_condition(relationship) if relationship else None,
        )

    def _system(self, key: str, body: Mapping[str, Any]) -> System | Party:
        kind = body.get("kind", "sql")
        if kind not in {"sql", "own"}:
            return _party(key, body, name=body.get("label", key), acts=tuple(body.get("acts") or ("erase",)))
        if kind == "sql" and "schema" not in body:
            raise _Missing("schema", "is missing.", "State schema.")
        if kind == "own":
            for name in sorted({"schema", "backup_days"} & set(body)):
                raise _Missing(name, "is for a database of a company, not for the portal itself.", "Leave it out.")
        for name in sorted({"acts", "days", "instructions", "identities", "opendsr"} & set(body)):
            raise _Missing(name, "is for a system that is asked, not for a database.", "Leave it out, or state kind.")
        return System(
            key=key,
            schema=body.get("schema", ""),
            entity=body["entity"],
            label=_as_text(body["label"]) if "label" in body else Text(key, key),
            backup_days=body.get("backup_days", 0),
            own=kind == "own",
        )

    def _recipient(self, key: str, body: Mapping[str, Any]) -> Party:
        return _party(key, body, name=body["name"], acts=("erase", "correct", "stop"))

    def _require_entities(self, systems: Mapping[str, System], entities: dict[str, Entity]) -> None:
        for system in systems.values():
            if system.entity not in entities:
                # A map may lean on entities another map describes; alone, the system's own label names it.
                entities[system.entity] = Entity(system.entity, name=system.label, service=system.label)

    def _collection(self, key: str, body: Mapping[str, Any], systems: Mapping[str, System]) -> Collection:
        source = self.sources.get(key)
        if source is None:
            raise _Missing("", "no dataset has this collection.", datasets.suggest_collection(key, self.sources))
        if source.system not in systems and ("systems", source.system) in self.broken:
            raise _Dependent
        if source.system not in systems:
            raise _Missing("", f"the system {source.system} is not stated.", f"Add systems.{source.system}.")
        if source.is_skipped:
            raise _Missing("", "its dataset says skip_processing.", "Take that away, or leave the collection out.")
        name = source.model.name
        classes = _classes(body["class"])
        basis = body.get("basis")
        if classes[0].data_class == "none" and not basis:
            raise _Missing("basis", "no retention and no basis is stated.", "Say why nothing has to be kept.")
        if body.get("key") and body["key"] not in REASONS:
            raise _Missing("key", f"{body['key']} has no text.", "Use the key of a reason, such as OK.PURPOSE_END.")
        erase, own = body["erase"], systems[source.system].own
        restriction = body.get("restrict")
        if own != (erase["method"] == "own"):
            raise _Missing("erase.method", "own is for a system of that kind, and there the only one.", "Correct it.")
        trigger, trigger_entity = _split_trigger(body.get("trigger"))
        collection = Collection(
            key=key,
            system=source.system,
            entity=systems[source.system].entity,
            name=name,
            label=_as_text(body["label"]) if "label" in body else Text(name, name),
            purpose=_as_text(body["purpose"]) if "purpose" in body else Text("", ""),
            classes=classes,
            fields=source.make_fields(),
            products=tuple(str(item) for item in body.get("product") or ()),
            trigger=trigger,
            trigger_entity=trigger_entity,
            cutoff=body.get("cutoff"),
            mask=_masks(erase, source),
            basis=_as_text(basis) if basis else None,
            while_relationship="while" in body,
            consent=body.get("consent"),
            third_party=tuple(body.get("third_party") or ()),
            confidential=body.get("confidential", False),
            close=dict(body["close"]["set"]) if "close" in body else {},
            erase_key=body.get("key") or "OK.PURPOSE_END",
            recipients=tuple(self._recipient_name(item) for item in body.get("recipients") or ()),
            source=_as_text(body["source"]) if "source" in body else None,
            shared_goes_to_person=body.get("shared", "person") == "person",
            key_fields=tuple(body.get("primary_key") or ()),
            restrict=erase["method"] == "restrict",
            register="restrict" in body,
            flag=dict(restriction["flag"]) if isinstance(restriction, Mapping) else {},
            anonymised=body.get("anonymised", False),
            derived=body.get("derived", False),
            legal_basis=body.get("legal_basis"),
            passed=body.get("passed"),
            own=own,
        )
        known = {item.name for item in collection.fields}
        named = {
            collection.trigger_column,
            collection.cutoff,
            *collection.third_party,
            *collection.close,
            *collection.mask,
            *collection.flag,
        }
        named |= {predicate.field for clause in classes for predicate in clause.when} | {*collection.key_fields}
        for column in sorted(name for name in named - known if name):
            self._fault(
                GOVERNANCE, f"collections.{key}", f"has no field {column}.", "Correct it or add it to the dataset."
            )
        self._tell(GOVERNANCE, rules.find_contradictions(collection, body), f"collections.{key}.")
        return collection

    def _recipient_name(self, stated: Any) -> Text:
        """A recipient stands in a collection by its key or by its name alone."""
        section = self._section("recipients")
        return _as_text(section[stated]["name"] if isinstance(stated, str) and stated in section else stated)

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
        cancel = body.get("cancel", "defer")
        if key not in REASONS and cancel != "forfeit":
            raise _Missing("", "has no text for people.", "Use the key of a reason, such as BLOCK.PENDING.")
        condition = self._known(_condition(body), collections)
        for what in body.get("blocks") or ():
            if what not in shape.CLASSES and what not in self._section("collections"):
                remedy = suggest_one_of(what, shape.CLASSES)
                raise _Missing("blocks", f"{what} is not a class, nor a collection of this map.", remedy)
        if body.get("waivable") and cancel != "defer":
            raise _Missing("waivable", "is for what defers a cancellation.", "Write cancel: defer, or leave it out.")
        self._require_fields("show", condition.collection, body.get("show") or (), collections)
        fix = body.get("fix")
        return Blocker(
            key=key,
            condition=condition,
            entities=tuple(body.get("entities") or (collections[condition.collection].entity,)),
            label=_as_text(body["label"]) if "label" in body else Text(key, key),
            blocks=tuple(body.get("blocks") or ()),
            cancel=cancel,
            show=tuple(body.get("show") or ()),
            fix=_as_text(fix) if fix else None,
            fix_url=fix.get("url", "") if isinstance(fix, Mapping) else "",
            waivable=body.get("waivable", False),
        )

    def _consent(self, key: str, body: Mapping[str, Any], collections: Mapping[str, Collection]) -> Consent:
        collection = self._known(Condition(body["in"], ()), collections).collection
        for name in ("match", "given", "give", "withdraw"):
            self._require_fields(name, collection, body.get(name) or {}, collections)
        self._require_fields("since", collection, [body["since"]] if "since" in body else [], collections)
        return Consent(
            key=key,
            label=_as_text(body["label"]),
            kind=body.get("kind", "optional"),
            consequence=_as_text(body["consequence"]),
            collection=collection,
            match=dict(body.get("match") or {}),
            given=dict(body["given"]),
            withdraw=dict(body["withdraw"]),
            immediate=body.get("immediate", False),
            give=dict(body.get("give") or body["given"]),
            since=body.get("since", ""),
            signal=body.get("signal", ""),
        )

    def _correction(self, key: str, body: Mapping[str, Any], collections: Mapping[str, Collection]) -> Correction:
        fields = []
        for name in body["fields"]:
            collection, _, column = name.rpartition(".")
            self._known(Condition(collection, (Predicate(column, "not_null"),)), collections)
            fields.append((collection, column))
        return Correction(key, _as_text(body["label"]), body.get("kind", "contact"), tuple(fields))

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

    def _require_passed(self, parsed: DataMap) -> None:
        for collection in parsed.collections.values():
            where, _, column = str(collection.passed or "").rpartition(".")
            if not collection.passed or where in set(self._section("collections")) - set(parsed.collections):
                continue
            known = parsed.collections.get(where)
            if where == collection.key or known is None or column not in {field.name for field in known.fields}:
                self._fault(
                    GOVERNANCE,
                    f"collections.{collection.key}.passed",
                    f"{collection.passed} is no field of another collection.",
                    "Name the field that still says so once this is erased.",
                )


class _Dependent(Exception):
    """What is read leans on a collection or system whose own fault is told already."""


class _Missing(Exception):
    """A fault below the key that is being read."""

    def __init__(self, key: str, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.key, self.reason, self.remedy = key, reason, remedy


_FILE = "(file)"


def _split_trigger(stated: str | None) -> tuple[str | None, str | None]:
    """The field that starts the period, or the company whose relationship's end does (`relationship:<entity>`)."""
    kind, colon, entity = str(stated or "").partition(":")
    return (None, entity) if colon and kind == "relationship" else (stated, None)


def _as_text(value: Any) -> Text:
    return Text(value, value) if isinstance(value, str) else Text(value["zh"], value["en"])


def _permission(key: str, body: Mapping[str, Any]) -> Permission:
    texts = {name: _as_text(body[name]) for name in ("label", "why", "used_by", "without")}
    return Permission(key=key, names={name: _as_text(text) for name, text in body["names"].items()}, **texts)


def _party(key: str, body: Mapping[str, Any], *, name: Any, acts: tuple[str, ...]) -> Party:
    kind = body.get("kind", "manual")
    known_as = {"account_no": "controller_customer_id" if kind == "opendsr" else "account_no"}
    return Party(
        key=key,
        name=_as_text(name),
        kind=kind,
        entity=body.get("entity", ""),
        acts=acts,
        days=body.get("days", 10),
        instructions=_as_text(body["instructions"]) if "instructions" in body else None,
        identities=dict(body.get("identities") or known_as),
        options=dict(body.get("opendsr") or {}),
    )


def _masks(erase: Mapping[str, Any], source: datasets.Source) -> dict[str, Mask]:
    """By field, how it is masked: as stated, else as the dataset says itself."""
    if "fields" in erase or erase["method"] != "mask":
        return {name: _mask(stated) for name, stated in (erase.get("fields") or {}).items()}
    found = source.masks()
    for name in (name for name, stated in found.items() if stated is None):
        reason = f"the dataset masks {name} in a way that is not known here."
        raise _Missing("erase", reason, "State fields: {name: strategy}.")
    return {name: _mask(stated) for name, stated in found.items()}


def _mask(stated: Any) -> Mask:
    if stated is None or isinstance(stated, str):
        return Mask("null")
    ((kind, value),) = stated.items()
    return Mask(kind, value)


def _condition(body: Mapping[str, Any]) -> Condition:
    return Condition(body["in"], _predicates(body.get("when")))


def _classes(stated: Any) -> tuple[ClassClause, ...]:
    return tuple(
        ClassClause(item) if isinstance(item, str) else ClassClause(item["class"], _predicates(item.get("when")))
        for item in (stated if isinstance(stated, list) else [stated])
    )


def _predicates(items: Any) -> tuple[Predicate, ...]:
    found = []
    for item in items or ():
        if item["op"] == "in" and not isinstance(item.get("value"), list):
            raise _Missing("when", "the operator in needs a list.", "Write value: [a, b].")
        value = item.get("value")
        found.append(Predicate(item["field"], item["op"], tuple(value) if isinstance(value, list) else value))
    return tuple(found)
