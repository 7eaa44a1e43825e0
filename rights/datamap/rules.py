"""What a map may not say at once. Each of these would erase too much, keep too much or do nothing, in silence."""

from collections.abc import Iterator, Mapping
from typing import Any

from rights.datamap.values import RETAINED, Blocker, Collection, Consent, DataMap, Party

Wrong = tuple[str, str, str]  # key, reason, remedy


def find_contradictions(item: Collection, stated: Mapping[str, Any]) -> Iterator[Wrong]:
    """What one collection contradicts itself in; `stated` is what governance says of it."""
    classes = {clause.data_class for clause in item.classes}
    if "none" in classes and classes != {"none"}:
        yield "class", "says none and a class at once.", "State none alone, or leave it out of the list."
    if classes == {"none"} and item.trigger and not item.while_relationship:
        yield "trigger", "starts a period, but class none keeps nothing.", "Write trigger: null, or state a class."
    # With a basis of its own beside it, a consent may be withdrawn and the data stays: what a contract needs.
    if item.while_relationship and item.basis_kind == "consent":
        reason = "keeps while in use what a withdrawn consent ends."
        yield "while", reason, "Leave while out, or state the legal_basis that outlasts the consent."
    if item.legal_basis and item.legal_basis != "consent" and "CONS" in classes:
        reason = f"is {item.legal_basis}, but what is of class CONS rests on consent alone."
        yield "legal_basis", reason, "Leave it out, or state another class."
    if item.legal_basis == "consent" and classes & RETAINED:
        reason = "is consent, but the law asks to keep records of its class."
        yield "legal_basis", reason, "Use law or contract, or the class CONS."
    erase = stated["erase"]
    if erase["method"] == "mask" and not item.mask:
        yield "erase", "masks no field.", "State fields: {name: strategy}."
    if erase["method"] != "mask" and item.mask:
        reason = f"says which fields to mask, but the method is {erase['method']}."
        yield "erase.fields", reason, "Use the method mask, or leave fields out."
    keys = {field.name for field in item.fields if field.primary_key}
    if item.key_fields and not keys <= set(item.key_fields):
        missing = ", ".join(sorted(keys - set(item.key_fields)))
        reason = f"leaves out {missing}, which the dataset marks as part of the key."
        yield "primary_key", reason, "Name every field of the key, or correct the dataset."
    yield from _flag(item)
    for name in item.mask:
        if name in keys or name in item.key_fields:
            yield f"erase.fields.{name}", "is part of the key: the record could not be named again.", "Leave it out."
        elif name == item.trigger and classes != {"none"}:
            reason = "starts the retention period, which could not be counted any more."
            yield f"erase.fields.{name}", reason, "Leave it out."


def _flag(item: Collection) -> Iterator[Wrong]:
    """A flag is looked for again after it was set, and setting it may change nothing else."""
    used = {*item.key_fields, *(field.name for field in item.fields if field.primary_key or field.identity)}
    used |= {*item.mask, *item.close, *(name for name in (item.trigger_column, item.cutoff) if name)}
    used |= {predicate.field for clause in item.classes for predicate in clause.when}
    for name, value in item.flag.items():
        where = f"restrict.flag.{name}"
        if name in used:
            reason = "names, dates or judges the record, or is written for another reason."
            yield where, reason, "Give the flag a column of its own."
        elif value is None or (isinstance(value, str) and value.startswith("@")):
            yield where, "is no value that stays the same.", "Write true, a word or a number."


def find_contradictions_of_map(data_map: DataMap, stated: Mapping[str, Any]) -> Iterator[Wrong]:
    """What the parts of a map contradict each other in; `stated` is the governance."""
    for item in data_map.collections.values():
        yield from _trigger(item, data_map)
        yield from _passed(item, data_map)
        yield from _masked_ways(item, data_map)
        yield from _secret_ways(item, data_map)
        entity = data_map.entities[item.entity]
        # An entity that is not stated here is described by another map.
        if item.while_relationship and not entity.relationship and item.entity in (stated.get("entities") or {}):
            reason = f"asks for a relationship with {item.entity}, which states none: nothing would be kept."
            yield f"collections.{item.key}.while", reason, f"State entities.{item.entity}.relationship."
    for blocker in data_map.blockers.values():
        yield from _blocks_nothing(blocker, data_map)
    yield from _consents(tuple(data_map.consents.values()))
    yield from _parties(data_map, stated)


def _trigger(item: Collection, data_map: DataMap) -> Iterator[Wrong]:
    where = f"collections.{item.key}.trigger"
    if item.trigger_entity and item.trigger_entity not in data_map.entities:
        entity = item.trigger_entity
        yield where, f"names the entity {entity}, which is not stated.", f"Add entities.{entity}."
    if item.trigger_source:
        yield from _field_elsewhere(where, *item.trigger_source, data_map)


def _passed(item: Collection, data_map: DataMap) -> Iterator[Wrong]:
    if not item.passed:
        return
    where = f"collections.{item.key}.passed"
    collection, _, column = item.passed.rpartition(".")
    if collection == item.key:
        yield where, "names a field that is erased with it.", "Name the field that still says so once this is erased."
    else:
        yield from _field_elsewhere(where, collection, column, data_map)


def _field_elsewhere(where: str, collection: str, column: str, data_map: DataMap) -> Iterator[Wrong]:
    other = data_map.collections.get(collection)
    if other is None:
        yield where, f"names {collection or column}, which is not a collection of this map.", "Correct the name."
    elif column not in {field.name for field in other.fields}:
        yield where, f"names {column}, which {collection} does not have.", "Correct it or add it to the dataset."


def _masked_ways(item: Collection, data_map: DataMap) -> Iterator[Wrong]:
    """A masked join column loses the path to what is reached through it, and with it whatever is still held there."""
    onward = [edge for edge in data_map.edges if edge.source == item.key] if item.mask else []
    identities = {field.name for field in item.fields if field.identity}
    for name in item.mask:
        through = sorted({edge.target for edge in onward if name in identities or name in edge.source_fields})
        if through:
            reason = f"leads to {', '.join(through)}, which could not be found any more."
            yield (
                f"collections.{item.key}.erase.fields.{name}",
                reason,
                "Leave it out, or set follow: false on the edge.",
            )


def _secret_ways(item: Collection, data_map: DataMap) -> Iterator[Wrong]:
    """What is found through a confidential record would be shown, and with it that there is one."""
    if not item.confidential:
        return
    through = sorted(
        {edge.target for edge in data_map.edges if edge.source == item.key}
        - {other.key for other in data_map.collections.values() if other.confidential}
    )
    if through:
        names = ", ".join(through)
        yield (
            f"collections.{item.key}.confidential",
            f"leads to {names}, whose records would show that there is a confidential one.",
            "Set follow: false on the edge and reach them another way, or state that they are confidential too.",
        )


def _blocks_nothing(blocker: Blocker, data_map: DataMap) -> Iterator[Wrong]:
    where = f"blockers.{blocker.key}"
    for entity in blocker.entities:
        if entity not in data_map.entities:
            yield f"{where}.entities", f"{entity} is no entity of this map.", f"Correct it, or add entities.{entity}."
    concerned = [item for item in data_map.collections.values() if item.entity in blocker.entities]
    there = {clause.data_class for item in concerned for clause in item.classes} | {item.key for item in concerned}
    for what in blocker.blocks:
        if what not in there:
            reason = f"{what} is no collection, and the class of no collection, of {', '.join(blocker.entities)}."
            yield f"{where}.blocks", reason, "Leave it out, or correct entities."


def _consents(consents: tuple[Consent, ...]) -> Iterator[Wrong]:
    for number, consent in enumerate(consents):
        where = f"consents.{consent.key}"
        if all(consent.withdraw.get(name, value) == value for name, value in consent.given.items()):
            yield f"{where}.withdraw", "leaves it given.", "Write another value to a field of given."
        if any(consent.give.get(name) != value for name, value in consent.given.items()):
            yield f"{where}.give", "does not make it given.", "Write all the values of given."
        for name, value in consent.match.items():
            if consent.withdraw.get(name, value) != value:
                yield f"{where}.withdraw", f"changes {name}, by which its row is found.", f"Leave {name} out."
        for other in consents[:number]:
            if (other.collection, other.match) == (consent.collection, consent.match):
                reason = f"means the same rows as consents.{other.key}: withdrawing one would withdraw the other."
                yield f"{where}.match", reason, "Give each a row of its own."


def _parties(data_map: DataMap, stated: Mapping[str, Any]) -> Iterator[Wrong]:
    """Those who are asked, and whether what is stated of them can be done."""
    for party in data_map.asked.values():
        where = f"systems.{party.key}"
        yield from _protocol(where, party, (stated.get("systems") or {})[party.key])
        if party.entity not in data_map.entities:
            yield f"{where}.entity", f"{party.entity} is not stated.", f"Add entities.{party.entity}."
        if party.kind == "manual" and party.instructions is None:
            yield f"{where}.instructions", "is missing: nobody would know what to do.", "State instructions."
        if "schema" in (stated.get("systems") or {})[party.key]:
            yield f"{where}.schema", f"is for a database, and the kind is {party.kind}.", "Leave it out."
        if party.kind == "opendsr" and set(party.acts) != {"erase"}:
            reason = "names what OpenDSR cannot be asked for."
            yield f"{where}.acts", reason, "Write [erase], or use another kind."
    named = {name for item in data_map.collections.values() for name in item.recipients}
    before: dict[Any, str] = {}
    for party in data_map.recipients.values():
        where = f"recipients.{party.key}"
        yield from _protocol(where, party, (stated.get("recipients") or {})[party.key])
        if party.key in data_map.systems or party.key in data_map.asked:
            yield where, "is the key of a system too, and both have one address.", "Give it another key."
        if party.name in before:
            yield f"{where}.name", f"is the name of recipients.{before[party.name]} too.", "State it once."
        elif party.name not in named:
            reason = "is named by no collection, so it would never be told."
            yield where, reason, f"Write recipients: [{party.key}] where its data comes from."
        before.setdefault(party.name, party.key)


def _protocol(where: str, party: Party, body: Mapping[str, Any]) -> Iterator[Wrong]:
    if "opendsr" in body and party.kind != "opendsr":
        yield f"{where}.opendsr", f"is for the kind opendsr, and the kind is {party.kind}.", "Leave it out."
    if party.kind == "opendsr" and not party.options.get("domain"):
        reason = "states no domain, so no answer could be known to be theirs."
        yield f"{where}.opendsr", reason, "State opendsr: {domain: …}."
