"""The plans of all subjects at once: the same engine, set-based, a line of JSON for each subject.

Subjects whose facts are the same (the same blockers, the same running relationships) share their policies, so a survey
costs a few statements a system and not one a subject.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import merge
from itertools import groupby
from typing import Any

from rights.blockers import make_fact, own_blockers, own_relationships, systems_to_ask_first
from rights.connectors.base import Everybody, FateCount, Policy, Snapshot, SubjectFates
from rights.connectors.registry import open_snapshot
from rights.datamap import Collection, DataMap
from rights.kernel.plan import BlockerFact, Fate, Plan
from rights.kernel.retention import Rule
from rights.kernel.states import Kind
from rights.planning import Matter, hold_key, make_line, make_policy, rule_label

PATIENCE = 3600.0
_NUMBERS = ("erase", "mask", "hold", "blocked", "person")


class CannotSurvey(ValueError):
    """`str()` says why there is no survey of this map, and what to do."""


@dataclass(frozen=True)
class _Facts:
    """What a system says of everybody: its subjects, and those of each blocker and of each running relationship."""

    subjects: frozenset[str]
    blockers: Mapping[str, frozenset[str]]
    relationships: Mapping[str, frozenset[str]]


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
    systems = [key for key in data_map.systems if _knows(data_map, key, identity)]
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
        absent = {}
        for number, system in enumerate(systems):
            for chosen, policies, words in _groups(
                system, facts, matter=matter, data_map=data_map, rules=rules, now=now
            ):
                part = snapshots[system].survey_fates(policies, words, subjects=chosen)
                streams.append(((_order(subject), subject, number, text) for subject, text in part))
                absent[number] = ", ".join(_zero(key) for key in words)
        yield from _write(merge(*streams), identity, facts, absent, data_map)


def shape(plan: Plan, subject: Mapping[str, str], data_map: DataMap) -> dict[str, Any]:
    """One person's plan in the form of a survey's line."""
    collections: dict[str, dict[str, Any]] = {}
    for item in data_map.collections.values():
        lines = [line for line in plan.lines if line.collection == item.key]
        told = {fate: sum(line.count for line in lines if line.fate is fate) for fate in Fate}
        held = next((line for line in lines if line.fate is Fate.HOLD), None)
        order = (Fate.BLOCKED, Fate.PERSON, Fate.HOLD, Fate.ERASE, Fate.MASK)
        reasons = {line.fate: line.key for line in lines}
        collections[item.key] = {
            **{name: told[Fate(name)] for name in _NUMBERS},
            "first_release": held.first_release.isoformat() if held and held.first_release else None,
            "last_release": held.last_release.isoformat() if held and held.last_release else None,
            "rule": held.rule if held else None,
            "key": next((reasons[fate] for fate in order if told[fate]), None),
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
) -> Iterator[tuple[tuple[str, ...] | None, dict[str, Policy], dict[str, SubjectFates]]]:
    """By what is in the way of a system's records: the subjects (None: all), their policies, and the words for them."""
    entity = data_map.systems[system].entity
    asked = [facts[key] for key in (system, *systems_to_ask_first(system, data_map)) if key in facts]
    blocking = {
        key: subjects
        for fact in asked
        for key, subjects in fact.blockers.items()
        if entity in data_map.blockers[key].entities
    }
    running = frozenset[str]().union(*(fact.relationships.get(entity, frozenset()) for fact in asked))
    groups: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    for subject in facts[system].subjects:
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
        words = {
            item.key: _words(item, policies[item.key], blockers, matter, running=relationships)
            for item in data_map.of_system(system)
            if matter.concerns(item)
        }
        yield tuple(subjects) if len(groups) > 1 else None, policies, words


def _words(
    item: Collection,
    policy: Policy,
    blockers: Sequence[BlockerFact],
    matter: Matter,
    *,
    running: frozenset[str],
) -> SubjectFates:

    def key(fate: Fate) -> str:
        count = FateCount(item.key, fate, 1)
        return json.dumps(make_line(item, count, matter=matter, policy=policy, facts=blockers, running=running).key)

    return SubjectFates(
        name=json.dumps(item.key, ensure_ascii=False),
        blocked=key(Fate.BLOCKED),
        person=key(Fate.PERSON),
        held=json.dumps(hold_key(policy, until=None)),
        open_ended=json.dumps("HOLD.RELATION_ACTIVE"),
        gone=key(Fate.ERASE),
        rule=json.dumps(rule_label(policy)),
    )


def _zero(key: str) -> str:
    nothing = {**dict.fromkeys(_NUMBERS, 0), **dict.fromkeys(("first_release", "last_release", "rule", "key"))}
    return f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(nothing)}"


def _order(subject: str) -> tuple[int, str]:
    """Numbers by their size, as their database sends them; the rest as text."""
    return (len(subject), subject) if subject.isascii() and subject.isdigit() else (0, subject)


def _write(
    rows: Iterator[tuple[Any, str, int, str]],
    identity: str,
    facts: Mapping[str, _Facts],
    absent: Mapping[int, str],
    data_map: DataMap,
) -> Iterator[str]:
    in_the_way = {key: subjects for fact in facts.values() for key, subjects in fact.blockers.items()}
    keys = [key for key in data_map.blockers if key in in_the_way]
    for subject, parts in groupby(rows, key=lambda row: row[1]):
        texts = {**absent, **{number: text for _, _, number, text in parts}}
        blockers = dict.fromkeys(data_map.blockers[key].key for key in keys if subject in in_the_way[key])
        who = json.dumps({identity: subject}, ensure_ascii=False)
        counts = ", ".join(text for _, text in sorted(texts.items()))
        yield f'{{"subject": {who}, "blockers": {json.dumps(list(blockers))}, "collections": {{{counts}}}}}'
