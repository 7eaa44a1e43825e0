"""Data map × rules × blockers × records → a plan.

The policies say, before any record is read, what each collection's records come to; the connectors apply them in
SQL. A record comes to the first that applies: confidential, blocked, hold, person, mask or erase.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from rights.blockers import blocks_cancellation, read_blockers, read_relationships, systems_to_ask_first
from rights.connectors.base import Anchor, ConnectorError, FateCount, Policy, Seed, Snapshot, Term
from rights.connectors.registry import open_snapshot
from rights.datamap import Collection, DataMap, Edge
from rights.kernel.clock import local_day
from rights.kernel.plan import BlockerFact, Fate, Line, Plan
from rights.kernel.retention import Rule, cutoff
from rights.kernel.states import Kind

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 2.5
"""How long a page waits for a business system; one that does not answer reads as unknown."""

WORKER_SECONDS = 60.0
"""How long a worker does: a person with millions of records takes longer than a page may."""

UNRETAINED = frozenset({"none", "CONS", "FILE"})
"""Classes that no retention rule concerns."""


@dataclass(frozen=True)
class Matter:
    """Whose records a request concerns and how far it reaches. Empty `entities`: all companies.

    `decided` is what a reviewer settled for lines that needed a person: collection → erase, keep or refer.
    """

    kind: Kind
    identities: Mapping[str, str]
    scope_cutoff: datetime | None = None
    entities: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    decided: Mapping[str, str] = field(default_factory=dict)

    def seed(self, *, now: datetime) -> Seed:
        return Seed(identities=self.identities, today=local_day(now), scope_cutoff=self.scope_cutoff)

    def concerns(self, collection: Collection) -> bool:
        """Whether the request may change or show the collection at all."""
        if self.kind is Kind.CORRECTION or collection.confidential:
            return False
        if self.entities and collection.entity not in self.entities:
            return False
        return self.kind is not Kind.WITHDRAWAL or collection.consent in self.purposes


@dataclass(frozen=True)
class Reading:
    """One system at one moment: the facts in the way, the policies that follow from them, and whose records they are.

    `far` are the facts in the way that other systems know.
    """

    blockers: tuple[BlockerFact, ...]
    far: tuple[BlockerFact, ...]
    relationships: frozenset[str]
    policies: Mapping[str, Policy]
    seed: Seed


def make_plan(
    matter: Matter, *, data_map: DataMap, rules: Sequence[Rule], now: datetime, wait: float = ANSWER_SECONDS
) -> Plan:
    """The live plan. Systems are asked side by side; one that does not answer in time is named in `unknown`."""
    systems = [key for key in data_map.systems if any(matter.concerns(item) for item in data_map.of_system(key))]
    lines: list[Line] = []
    blockers: list[BlockerFact] = []
    unknown: list[str] = []
    pool = ThreadPoolExecutor(max_workers=max(1, len(systems)), thread_name_prefix="plan")
    try:
        asked = {
            key: pool.submit(_plan_system, matter, system=key, data_map=data_map, rules=rules, now=now, patience=wait)
            for key in systems
        }
        for key, answer in asked.items():
            try:
                found, facts = answer.result(timeout=wait)
                lines += found
                blockers += facts
            except (ConnectorError, Late) as error:
                log.warning("system_unknown", system=key, reason=str(error))
                unknown.append(key)
                lines += [_unknown_line(item) for item in data_map.of_system(key) if matter.concerns(item)]
    finally:
        # A slow system must not hold the page: its thread ends by its own statement timeout.
        pool.shutdown(wait=False, cancel_futures=True)
    order = {key: number for number, key in enumerate(data_map.collections)}
    fates = list(Fate)
    return Plan(
        kind=matter.kind,
        as_of=local_day(now),
        read_at=now,
        lines=tuple(sorted(lines, key=lambda line: (order[line.collection], fates.index(line.fate)))),
        blockers=tuple(blockers),
        unknown=tuple(unknown),
        map_digest=data_map.digest,
        closing=tuple(sorted(closing_entities(matter, data_map))),
    )


def closing_entities(matter: Matter, data_map: DataMap) -> frozenset[str]:
    """The companies whose service the request ends."""
    if matter.kind is not Kind.CANCELLATION:
        return frozenset()
    return matter.entities or frozenset(item.entity for item in data_map.systems.values())


@contextmanager
def open_reading(
    matter: Matter,
    *,
    system: str,
    data_map: DataMap,
    rules: Sequence[Rule],
    now: datetime,
    patience: float = WORKER_SECONDS,
) -> Iterator[tuple[Snapshot, Reading]]:
    """A consistent view of one system with the policies that its own facts give, and those of other systems in its way.

    Raises ConnectorError, also where one of those does not answer: unknown never counts as clear.
    """
    far: list[BlockerFact] = []
    running: frozenset[str] = frozenset()
    for other in systems_to_ask_first(system, data_map):
        with open_snapshot(other, data_map, matter.seed(now=now), patience=patience) as (snapshot, _):
            facts = read_blockers(snapshot, system=other, data_map=data_map)
            far += [fact for fact in facts if fact.concerns(data_map.systems[system].entity)]
            running |= read_relationships(snapshot, system=other, data_map=data_map)
    seed = replace(
        matter.seed(now=now),
        anchors=_read_anchors(matter, system=system, data_map=data_map, rules=rules, now=now, patience=patience),
    )
    with open_snapshot(system, data_map, seed, patience=patience) as (snapshot, seed):
        blockers = read_blockers(snapshot, system=system, data_map=data_map)
        relationships = running | read_relationships(snapshot, system=system, data_map=data_map)
        policies = {
            item.key: make_policy(
                item,
                matter=matter,
                data_map=data_map,
                rules=rules,
                blockers=[*blockers, *far],
                relationships=relationships,
                now=now,
            )
            for item in data_map.of_system(system)
        }
        yield snapshot, Reading(tuple(blockers), tuple(far), relationships, policies, seed)


def _read_anchors(
    matter: Matter, *, system: str, data_map: DataMap, rules: Sequence[Rule], now: datetime, patience: float
) -> dict[Edge, tuple[Anchor, ...]]:
    """What the system's rows lead to in other databases and stay for: without them nobody would find it again."""
    if matter.kind in {Kind.ACCESS, Kind.CORRECTION}:
        return {}
    beyond: dict[str, list[Edge]] = {}
    for edge in data_map.edges_between_systems:
        if data_map.collections[edge.source].system == system:
            beyond.setdefault(data_map.collections[edge.target].system, []).append(edge)
    anchors: dict[Edge, tuple[Anchor, ...]] = {}
    for other, edges in beyond.items():
        with open_reading(matter, system=other, data_map=data_map, rules=rules, now=now, patience=patience) as (
            snapshot,
            reading,
        ):
            anchors |= snapshot.read_anchors(reading.policies, edges)
    return anchors


def make_policy(
    item: Collection,
    *,
    matter: Matter,
    data_map: DataMap,
    rules: Sequence[Rule],
    blockers: Iterable[BlockerFact],
    relationships: frozenset[str],
    now: datetime,
) -> Policy:
    """What a collection's records come to, before they are read."""
    closing = closing_entities(matter, data_map)
    if matter.kind is Kind.ACCESS or not matter.concerns(item):
        return Policy(item.key, fixed=Fate.KEEP)
    if matter.decided.get(item.key) in {"keep", "refer"}:
        return Policy(item.key, otherwise=Fate.PERSON, terms=_terms(item, rules, now=now))
    if blocking_keys(item, matter=matter, blockers=blockers):
        return Policy(item.key, fixed=Fate.BLOCKED)
    if item.while_relationship and item.entity in relationships - closing:
        return Policy(item.key, fixed=Fate.KEEP)
    terms = _terms(item, rules, now=now)
    decided = matter.decided.get(item.key) == "erase"
    if decided:
        terms = tuple(term for term in terms if term.rule or term.until)
    return Policy(
        item.key,
        otherwise=Fate.MASK if item.mask else Fate.ERASE,
        terms=terms,
        trigger_default=local_day(now) if item.entity in closing and item.trigger in item.close else None,
        ignore_shared=decided,
    )


def blocking_keys(item: Collection, *, matter: Matter, blockers: Iterable[BlockerFact]) -> tuple[str, ...]:
    """The facts that block a collection: by class for a deletion, the whole service for a cancellation."""
    blockers = [fact for fact in blockers if fact.concerns(item.entity)]
    if matter.kind is Kind.CANCELLATION:
        return blocks_cancellation(blockers, entity=item.entity)
    if matter.kind is Kind.WITHDRAWAL:
        return ()
    classes = {clause.data_class for clause in item.classes}
    return tuple(fact.key for fact in blockers if classes & set(fact.blocks))


def review_reasons(plan: Plan, *, kind: Kind, needs_evidence: bool) -> list[str]:
    """Why a person has to look at a request before anything is done; empty where the handling policy lets it through.

    Access, withdrawal and contact corrections go by themselves; identity corrections, deletions and cancellations
    do not.
    """
    reasons = sorted({line.key for line in plan.of(Fate.PERSON)}) if kind is not Kind.ACCESS else []
    if kind in {Kind.DELETION, Kind.CANCELLATION}:
        reasons.append(f"POLICY.{kind.upper()}")
        reasons += [fact.key for fact in plan.blockers if fact.cancel == "person"]
    if needs_evidence:
        reasons.append("NEED.EVIDENCE")
    return reasons


def _plan_system(
    matter: Matter, *, system: str, data_map: DataMap, rules: Sequence[Rule], now: datetime, patience: float
) -> tuple[list[Line], tuple[BlockerFact, ...]]:
    with open_reading(matter, system=system, data_map=data_map, rules=rules, now=now, patience=patience) as (
        snapshot,
        reading,
    ):
        counts = snapshot.count_fates(reading.policies)
    lines = []
    for count in counts:
        item = data_map.collections[count.collection]
        if matter.concerns(item):
            facts = (*reading.blockers, *reading.far)
            # What stays for a blocked row's sake is blocked by that row's facts.
            blocked = blocking_keys(item, matter=matter, blockers=facts) or tuple(
                fact.key for fact in facts if fact.blocks and fact.concerns(item.entity)
            )
            lines.append(make_line(item, count, matter=matter, policy=reading.policies[item.key], blocked=blocked))
    return lines, reading.blockers


def explain_plan(
    matter: Matter, *, data_map: DataMap, rules: Sequence[Rule], now: datetime, patience: float
) -> Iterator[str]:
    """For an engineer: of each system the policies of its collections and the statement that counts them."""
    for system in data_map.systems:
        items = [item for item in data_map.of_system(system) if matter.concerns(item)]
        if not items:
            continue
        try:
            with open_reading(matter, system=system, data_map=data_map, rules=rules, now=now, patience=patience) as (
                snapshot,
                reading,
            ):
                for item in items:
                    yield f"-- {item.key}: {_explain_policy(reading.policies[item.key])}"
                yield snapshot.explain(reading.policies)
        except ConnectorError as error:
            yield f"-- {system}: {error}"


def _explain_policy(policy: Policy) -> str:
    if policy.fixed:
        return f"every record: {policy.fixed}"
    return "; ".join([*map(_explain_term, policy.terms), f"the rest: {policy.otherwise}"])


def _explain_term(term: Term) -> str:
    text = term.rule.label if term.rule else term.label or "no rule in force: a person decides"
    if term.rule:
        text += f" holds from a trigger of {term.cutoff} on ({term.rule.duration}, {term.rule.citation})"
    if term.until:
        text += f" until {term.until}"
    if term.when:
        text += f" where {' and '.join(f'{item.field} {item.op} {item.value}' for item in term.when)}"
    return text


def make_line(item: Collection, count: FateCount, *, matter: Matter, policy: Policy, blocked: tuple[str, ...]) -> Line:
    """A count of a collection's records as a line with its reason. `blocked`: the facts in the collection's way."""
    rules = [term.rule for term in policy.terms if term.rule]
    match count.fate:
        case Fate.BLOCKED:
            key = blocked[0] if blocked else "BLOCK.PENDING"
        case Fate.HOLD if count.count <= count.open_ended:
            key = "HOLD.RELATION_ACTIVE"
        case Fate.HOLD:
            key = hold_key(policy)
        case Fate.PERSON:
            undecided = any(term.rule is None and term.until is None for term in policy.terms)
            key = "HOLD.NO_RULE" if undecided else "SHARED.OWNERS"
        case Fate.KEEP:
            key = "OK.ACCESS" if matter.kind is Kind.ACCESS else "WITHDRAW.CONTRACT"
        case _:
            key = "OK.PERIOD_OVER" if rules else item.erase_key
    line = Line(
        collection=item.key,
        fate=count.fate,
        count=count.count,
        key=key,
        entity=item.entity,
        system=item.system,
        data_class=item.data_class,
        blockers=blocked if count.fate is Fate.BLOCKED else (),
    )
    if count.fate is not Fate.HOLD:
        return line
    return replace(
        line, rule=rule_label(policy), first_release=count.first, last_release=count.last, open_ended=count.open_ended
    )


def rule_label(policy: Policy) -> str | None:
    """The rules that hold a collection's records, by their labels."""
    names = (term.rule.label if term.rule else term.label for term in policy.terms if term.rule or term.until)
    return "/".join(dict.fromkeys(names)) or None


def hold_key(policy: Policy) -> str:
    """The reason key of a dated hold. A parent without a rule of its own is kept for its children's sake."""
    rules = [term.rule for term in policy.terms if term.rule]
    return "HOLD.AML" if not rules or any(rule.code.startswith("AML") for rule in rules) else "HOLD.LAW"


def _unknown_line(item: Collection) -> Line:
    return Line(
        collection=item.key,
        fate=Fate.UNKNOWN,
        count=0,
        key="SYSTEM.UNKNOWN",
        entity=item.entity,
        system=item.system,
        data_class=item.data_class,
    )


def _terms(item: Collection, rules: Sequence[Rule], *, now: datetime) -> tuple[Term, ...]:
    today = local_day(now)
    terms = []
    for clause in item.classes:
        if clause.data_class in UNRETAINED:
            continue
        found = [
            rule
            for rule in rules
            if rule.applies_to(data_class=clause.data_class, entity=item.entity)
            and rule.effective_from <= today
            and (rule.effective_to is None or today <= rule.effective_to)
        ]
        terms += [Term(clause.when, rule, cutoff(rule, today=today)) for rule in found]
        if not found:
            terms.append(Term(clause.when, None, None))
    return tuple(terms)
