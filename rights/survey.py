"""The plans of all subjects at once: the same engine, set-based, a line of JSON for each subject.

Subjects whose facts are the same (the same blockers, the same running relationships) share their policies, so a survey
costs a few statements a system and not one a subject.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

from rights.blockers import make_fact, own_blockers, own_relationships, systems_to_ask_first
from rights.connectors.base import CountWriter, Everybody, FateCount, Policy, Snapshot, Subject
from rights.connectors.registry import open_snapshot
from rights.datamap import Collection, DataMap
from rights.kernel.plan import BlockerFact, Fate, Plan
from rights.kernel.retention import Rule
from rights.kernel.states import Kind
from rights.planning import Matter, hold_key, make_line, make_policy, rule_label

PATIENCE = 3600.0
_encode = json.JSONEncoder(ensure_ascii=False).encode
_NUMBERS = (Fate.ERASE, Fate.MASK, Fate.HOLD, Fate.BLOCKED, Fate.PERSON)
_ORDER = (Fate.BLOCKED, Fate.PERSON, Fate.HOLD, Fate.ERASE, Fate.MASK)
"""Of a collection's fates, the first that is there gives the reason."""


class CannotSurvey(ValueError):
    """`str()` says why there is no survey of this map, and what to do."""


@dataclass(frozen=True)
class _Facts:
    """What a system says of everybody: its subjects, and those of each blocker and of each running relationship."""

    subjects: frozenset[Subject]
    blockers: Mapping[str, frozenset[Subject]]
    relationships: Mapping[str, frozenset[Subject]]


def identity_kind(data_map: DataMap) -> str:
    """The one kind of identity by which the map's subjects are told apart. Raises CannotSurvey for several."""
    kinds = sorted(
        {field.identity for item in data_map.collections.values() for field in item.fields if field.identity}
    )
    if len(kinds) != 1:
        raise CannotSurvey(f"The map knows subjects by {', '.join(kinds) or 'nothing'}: name one with --by.")
    return kinds[0]


def survey(
    *, kind: Kind, identity: str, data_map: DataMap, rules: Sequence[Rule], now: datetime, patience: float = PATIENCE
) -> Iterator[str]:
    """A line for each subject, in the order of the identity. Raises ConnectorError where a system does not answer."""
    if data_map.edges_between_systems:
        raise CannotSurvey("The map leads from one database into another: plan one subject at a time, by --subject.")
    systems = [key for key in data_map.business_systems if _knows(data_map, key, identity)]
    if not systems:
        raise CannotSurvey(f"No collection of the map has an identity {identity}.")
    matter = Matter(kind=kind, identities={})
    everybody = Everybody(identity, as_text=len(systems) > 1)
    seed = replace(matter.seed(now=now), everybody=everybody)
    with ExitStack() as stack:
        snapshots = {
            key: stack.enter_context(open_snapshot(key, data_map, seed, patience=patience))[0] for key in systems
        }
        facts = {key: _read_facts(snapshot, key, data_map) for key, snapshot in snapshots.items()}
        streams = []
        absent = [""] * len(systems)
        for number, system in enumerate(systems):
            for chosen, policies, writers in _groups(
                system, facts, matter=matter, data_map=data_map, rules=rules, now=now
            ):
                part = snapshots[system].survey_fates(policies, writers, subjects=chosen)
                streams.append(_placed(part, number))
                absent[number] = ", ".join(writer(()) for writer in writers.values())
        yield from _write(merge(*streams), identity, facts, absent, data_map)


def shape(plan: Plan, subject: Mapping[str, str], data_map: DataMap) -> dict[str, Any]:
    """One person's plan in the form of a survey's line."""
    collections: dict[str, dict[str, Any]] = {}
    for item in data_map.collections.values():
        lines = [line for line in plan.lines if line.collection == item.key]
        told = {fate: sum(line.count for line in lines if line.fate is fate) for fate in Fate}
        held = next((line for line in lines if line.fate is Fate.HOLD), None)
        reasons = {line.fate: line.key for line in lines}
        collections[item.key] = {
            **{str(fate): told[fate] for fate in _NUMBERS},
            "first_release": held.first_release.isoformat() if held and held.first_release else None,
            "last_release": held.last_release.isoformat() if held and held.last_release else None,
            "rule": held.rule if held else None,
            "key": next((reasons[fate] for fate in _ORDER if told[fate]), None),
        }
    return {
        "subject": dict(subject),
        "blockers": list(dict.fromkeys(fact.key for fact in plan.blockers)),
        "collections": collections,
    }


def _knows(data_map: DataMap, system: str, identity: str) -> bool:
    """Whether the walk from that identity comes to the system at all."""
    reached = {
        item.key for item in data_map.collections.values() if any(field.identity == identity for field in item.fields)
    }
    size = -1
    while size != len(reached):
        size = len(reached)
        reached |= {edge.target for edge in data_map.edges if edge.source in reached}
    return any(data_map.collections[key].system == system for key in reached)


def _read_facts(snapshot: Snapshot, system: str, data_map: DataMap) -> _Facts:
    # By the map's own key: two live maps may each have a BLOCK.LOAN.
    own = own_blockers(system, data_map)
    blockers = {key: item for key, item in data_map.blockers.items() if item in own}
    entities = own_relationships(system, data_map)
    found = snapshot.list_subjects(
        [None, *(item.condition for item in blockers.values()), *(entity.relationship for entity in entities)]
    )
    return _Facts(
        subjects=found[0],
        blockers=dict(zip(blockers, found[1:], strict=False)),
        relationships=dict(zip((entity.key for entity in entities), found[1 + len(blockers) :], strict=True)),
    )


def _groups(
    system: str,
    facts: Mapping[str, _Facts],
    *,
    matter: Matter,
    data_map: DataMap,
    rules: Sequence[Rule],
    now: datetime,
) -> Iterator[tuple[tuple[Subject, ...] | None, dict[str, Policy], dict[str, CountWriter]]]:
    """By what is in the way of a system's records: the subjects (None: all), their policies, their writers."""
    entity = data_map.systems[system].entity
    asked = [facts[key] for key in (system, *systems_to_ask_first(system, data_map)) if key in facts]
    blocking = {
        key: subjects
        for fact in asked
        for key, subjects in fact.blockers.items()
        if entity in data_map.blockers[key].entities
    }
    running = frozenset[Subject]().union(*(fact.relationships.get(entity, frozenset()) for fact in asked))
    touched = running.union(*blocking.values()) & facts[system].subjects
    groups: dict[tuple[tuple[str, ...], bool], list[Subject]] = {}
    if untouched := facts[system].subjects - touched:
        groups[(), False] = list(untouched)
    for subject in touched:
        signature = tuple(key for key, subjects in blocking.items() if subject in subjects), subject in running
        groups.setdefault(signature, []).append(subject)
    for (keys, is_running), subjects in groups.items():
        blockers = [make_fact(data_map.blockers[key], data_map, count=1) for key in keys]
        relationships = frozenset({entity} if is_running else ())
        policies = {
            item.key: make_policy(
                item,
                matter=matter,
                data_map=data_map,
                rules=rules,
                blockers=blockers,
                relationships=relationships,
                now=now,
            )
            for item in data_map.of_system(system)
        }
        writers = {
            item.key: _writer(item, policies[item.key], blockers, matter, running=relationships)
            for item in data_map.of_system(system)
            if matter.concerns(item)
        }
        yield tuple(subjects) if len(groups) > 1 else None, policies, writers


def _writer(
    item: Collection,
    policy: Policy,
    blockers: Sequence[BlockerFact],
    matter: Matter,
    *,
    running: frozenset[str],
) -> CountWriter:
    """One member of a line's object, `"collection": {…}`. Its words are made once: only numbers and days differ."""

    def key(fate: Fate) -> str:
        count = FateCount(item.key, fate, 1)
        return _encode(make_line(item, count, matter=matter, policy=policy, facts=blockers, running=running).key)

    in_the_way, undecided = key(Fate.BLOCKED), key(Fate.PERSON)
    held, open_ended = _encode(hold_key(policy, until=None)), _encode("HOLD.RELATION_ACTIVE")
    goes = key(Fate.MASK if policy.otherwise is Fate.MASK else Fate.ERASE)
    rule = _encode(rule_label(policy))
    name = _encode(item.key)

    def write(counts: Sequence[FateCount]) -> str:
        told = {count.fate: count for count in counts}
        erase, mask, hold, blocked, person = (told[fate].count if fate in told else 0 for fate in _NUMBERS)
        first, last = (told[Fate.HOLD].first, told[Fate.HOLD].last) if hold else (None, None)
        reason = _encode(None)
        if blocked:
            reason = in_the_way
        elif person:
            reason = undecided
        elif hold:
            reason = held if last else open_ended
        elif erase or mask:
            reason = goes
        return (
            f'{name}: {{"erase": {erase}, "mask": {mask}, "hold": {hold}, "blocked": {blocked}, "person": {person},'
            f' "first_release": {_day(first)}, "last_release": {_day(last)},'
            f' "rule": {rule if hold else "null"}, "key": {reason}}}'
        )

    return write


def _day(day: date | None) -> str:
    return f'"{day.isoformat()}"' if day else "null"


def _placed(part: Iterator[tuple[Subject, str]], number: int) -> Iterator[tuple[Any, Subject, int, str]]:
    """A system's part of the survey in the order in which all are merged, with the system's number."""
    return ((_order(subject), subject, number, text) for subject, text in part)


def _order(subject: Subject) -> Any:
    """Numbers by their size, as their database sends them; the rest as text."""
    if isinstance(subject, int):
        return subject
    return (len(subject), subject) if subject.isascii() and subject.isdigit() else (0, subject)


def _write(
    rows: Iterator[tuple[Any, Subject, int, str]],
    identity: str,
    facts: Mapping[str, _Facts],
    absent: list[str],
    data_map: DataMap,
) -> Iterator[str]:
    in_the_way = {key: subjects for fact in facts.values() for key, subjects in fact.blockers.items()}
    keys = [key for key in data_map.blockers if key in in_the_way]
    name = _encode(identity)

    @cache
    def told(blocking: tuple[str, ...]) -> str:
        return _encode(list(dict.fromkeys(data_map.blockers[key].key for key in blocking)))

    nobody_waits, waiting = told(()), frozenset[Subject]().union(*in_the_way.values())
    for subject, parts in groupby(rows, key=itemgetter(1)):
        texts = absent.copy()
        for _, _, number, text in parts:
            texts[number] = text
        blockers = nobody_waits
        if subject in waiting:
            blockers = told(tuple(key for key in keys if subject in in_the_way[key]))
        counts = ", ".join([text for text in texts if text])
        yield f'{{"subject": {{{name}: {_encode(str(subject))}}}, "blockers": {blockers}, "collections": {{{counts}}}}}'
