"""Data map × rules × blockers × records → a plan.

The policies say, before any record is read, what each collection's records come to; the connectors apply them in
SQL. A record comes to the first that applies: confidential, blocked, hold, person, mask or erase.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import structlog
from django.conf import settings

from accounts.models import User
from rights.blockers import blocks_cancellation, read_blockers, read_relationships, systems_to_ask_first
from rights.connectors.base import Anchor, ConnectorError, FateCount, Key, Policy, Seed, Snapshot, Term
from rights.connectors.registry import connect, open_snapshot
from rights.datamap import Collection, DataMap, Edge, Party, Predicate
from rights.kernel.clock import local_day
from rights.kernel.plan import GOING, BlockerFact, Fate, Line, Plan
from rights.kernel.retention import Bound, Effect, Exemption, Rule, cutoff, governing, last_day
from rights.kernel.states import Kind
from rights.models import Request
from rights.queries import exemptions_of, relationship_ends

log = structlog.get_logger(__name__)

ANSWER_SECONDS = settings.ANSWER_SECONDS + 0.5
"""How long a page waits for a business system, its own limit included; one that does not answer reads as unknown."""

WORKER_SECONDS = 60.0
"""How long a worker does: a person with millions of records takes longer than a page may."""

UNRETAINED = frozenset({"none", "CONS", "FILE"})
"""Classes that no retention rule concerns."""


@dataclass(frozen=True)
class Matter:
    """Whose records a request concerns and how far it reaches. Empty `entities`: all companies.

    `decided` is what a reviewer settled for lines that needed a person: collection → erase, keep or refer. `given_up`
    are the blockers whose value the person has expressly given up. `portable`: an access to what can be moved.
    `exemptions` and `ended` (company → the day its relationship ended) are facts that the portal keeps: `with_facts`.
    `found`: rows found before what led to them went.
    """

    kind: Kind
    identities: Mapping[str, str]
    scope_cutoff: datetime | None = None
    entities: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    decided: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    exemptions: tuple[Exemption, ...] = ()
    ended: Mapping[str, date] = field(default_factory=dict)
    given_up: frozenset[str] = frozenset()
    portable: bool = False

    def seed(self, *, now: datetime) -> Seed:
        return Seed(identities=self.identities, today=local_day(now), scope_cutoff=self.scope_cutoff, found=self.found)

    def concerns(self, collection: Collection) -> bool:
        """Whether the request may change or show the collection at all."""
        if self.kind is Kind.CORRECTION or collection.confidential:
            return False
        if collection.own and self.kind is not Kind.ACCESS:
            return False  # what becomes of the portal's rows is no request's to decide: see `actions.upkeep`
        if self.entities and collection.entity not in self.entities:
            return False
        if self.kind is Kind.ACCESS and collection.anonymised:
            return False
        if self.leaves_out(collection):
            return False
        return self.kind is not Kind.WITHDRAWAL or collection.consent in self.purposes

    def leaves_out(self, collection: Collection) -> bool:
        """Whether a portable copy leaves it out: derived data, and what rests on neither consent nor contract."""
        if not self.portable or self.kind is not Kind.ACCESS or collection.confidential:
            return False
        in_scope = not self.entities or collection.entity in self.entities
        return in_scope and (collection.derived or collection.basis_kind not in {"consent", "contract"})


def with_facts(matter: Matter, *, subject: User, request: Request | None = None) -> Matter:
    """The matter with what the portal itself knows: exceptions to retention, and relationships that ended."""
    return replace(
        matter,
        exemptions=exemptions_of(subject, request=request),
        ended=relationship_ends(subject, request=request),
    )


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
    running: set[str] = set()
    unknown: list[str] = []
    pool = ThreadPoolExecutor(max_workers=max(1, len(systems)), thread_name_prefix="plan")
    try:
        asked = {
            key: pool.submit(_plan_system, matter, system=key, data_map=data_map, rules=rules, now=now, patience=wait)
            for key in systems
        }
        for key, answer in asked.items():
            try:
                found, reading = answer.result(timeout=wait)
                lines += found
                blockers += reading.blockers
                # What only a system outside the request knows is in its way all the same.
                blockers += [
                    fact
                    for fact in reading.far
                    if data_map.collections[fact.collection].system not in systems and fact not in blockers
                ]
                running |= reading.relationships
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
        running=tuple(sorted(running)),
        backups=_backups(lines, data_map),
        omitted=tuple(key for key, item in data_map.collections.items() if matter.leaves_out(item)),
        asked=tuple(party.key for party, _act in parties_asked(matter, data_map)),
    )


def parties_asked(matter: Matter, data_map: DataMap) -> list[tuple[Party, str]]:
    """The systems without a connection that the request reaches, each with what it is asked for."""
    acts = {Kind.DELETION: "erase", Kind.CANCELLATION: "erase", Kind.CORRECTION: "correct"}
    act = acts.get(matter.kind, "")
    return [
        (party, act)
        for party in data_map.asked.values()
        if act in party.acts and (not matter.entities or party.entity in matter.entities)
    ]


def is_retained(item: Collection) -> bool:
    """Whether a retention rule concerns any of the collection's classes."""
    return any(clause.data_class not in UNRETAINED for clause in item.classes)


def _backups(lines: Iterable[Line], data_map: DataMap) -> tuple[tuple[str, int], ...]:
    """The systems from which something goes, with the days after which their backups are clear of it."""
    going = {line.system for line in lines if line.fate in GOING and line.count}
    return tuple(
        (key, system.backup_days) for key, system in data_map.systems.items() if key in going and system.backup_days
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


def find_first(
    matter: Matter, *, system: str, data_map: DataMap, rules: Sequence[Rule], now: datetime, among: Iterable[str]
) -> dict[str, tuple[Key, ...]]:
    """Of the collections `among`, the keys of rows that may go and that nobody would find once other rows have gone.

    A row that refers to another and is the only way to it has to go first. Raises ConnectorError.
    """
    wanted = sorted(connect(system, data_map).found_first() & set(among))
    if not wanted:
        return {}
    with open_reading(matter, system=system, data_map=data_map, rules=rules, now=now) as (snapshot, reading):
        return {key: tuple(snapshot.find_keys(reading.policies, key, limit=None)) for key in wanted}


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
    if item.anonymised:
        return Policy(item.key, fixed=Fate.REFUSE)
    today = local_day(now)
    default = _trigger_default(item, matter=matter, closing=closing, today=today)
    terms = _terms(item, rules, exemptions=matter.exemptions, trigger_default=default, today=today)
    if matter.decided.get(item.key) in {"keep", "refer"}:
        return Policy(item.key, otherwise=Fate.PERSON, terms=terms, trigger_default=default)
    if blocking_keys(item, matter=matter, blockers=blockers):
        return Policy(item.key, fixed=Fate.BLOCKED)
    if _is_needed(item, matter=matter) and item.entity in relationships - closing:
        return Policy(item.key, fixed=Fate.KEEP)
    decided = matter.decided.get(item.key) == "erase"
    if decided:
        terms = tuple(term for term in terms if term.rule or term.until)
    return Policy(
        item.key,
        otherwise=Fate.RESTRICT if item.restrict else Fate.MASK if item.mask else Fate.ERASE,
        terms=terms,
        trigger_default=default,
        ignore_shared=decided,
    )


def _trigger_default(item: Collection, *, matter: Matter, closing: frozenset[str], today: date) -> date | None:
    """The day that stands in for a trigger no record has: a relationship that ended, or that this request ends."""
    if item.trigger_entity:
        return matter.ended.get(item.trigger_entity) or (today if item.trigger_entity in closing else None)
    return today if item.entity in closing and item.trigger in item.close else None


def _is_needed(item: Collection, *, matter: Matter) -> bool:
    """Whether a running service keeps the collection: withdrawing a consent leaves what a contract rests on."""
    return item.while_relationship or (matter.kind is Kind.WITHDRAWAL and item.basis_kind == "contract")


def blocking_keys(item: Collection, *, matter: Matter, blockers: Iterable[BlockerFact]) -> tuple[str, ...]:
    """The facts that block a collection: what they name for a deletion, the whole service for a cancellation.

    A cancellation that nothing defers leaves alone what a case needs about which a person decides.
    """
    blockers = [fact for fact in blockers if fact.concerns(item.entity)]
    if matter.kind is Kind.CANCELLATION:
        deferring = blocks_cancellation(blockers, entity=item.entity, given_up=matter.given_up)
        if deferring:
            return deferring
        blockers = [fact for fact in blockers if fact.cancel == "person"]
    if matter.kind is Kind.WITHDRAWAL:
        return ()
    named = {item.key, *(clause.data_class for clause in item.classes)}
    return tuple(fact.key for fact in blockers if named & set(fact.blocks))


def keys_of_blocked(item: Collection, *, matter: Matter, blockers: Sequence[BlockerFact]) -> tuple[str, ...]:
    """The facts that blocked records of a collection name: its own, else those of the blocked rows that hang on it."""
    own = blocking_keys(item, matter=matter, blockers=blockers)
    return own or tuple(fact.key for fact in blockers if fact.blocks and fact.concerns(item.entity))


def _plan_system(
    matter: Matter, *, system: str, data_map: DataMap, rules: Sequence[Rule], now: datetime, patience: float
) -> tuple[list[Line], Reading]:
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
            lines.append(
                make_line(
                    item,
                    count,
                    matter=matter,
                    policy=reading.policies[item.key],
                    facts=facts,
                    running=reading.relationships,
                )
            )
    return lines, reading


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


def make_line(
    item: Collection,
    count: FateCount,
    *,
    matter: Matter,
    policy: Policy,
    facts: Sequence[BlockerFact],
    running: frozenset[str],
) -> Line:
    """A count of a collection's records as a line with its reason.

    `facts`: those of the person, in the way or not; `running`: the companies whose service they use.
    """
    blocked = keys_of_blocked(item, matter=matter, blockers=facts)
    rules = [term.rule for term in policy.terms if term.rule]
    match count.fate:
        case Fate.BLOCKED:
            key = blocked[0] if blocked else "BLOCK.PENDING"
        case Fate.HOLD if count.count <= count.open_ended:
            # A withdrawal leaves what hangs on a record, so the record stays though its service has ended.
            is_needed = matter.kind is Kind.WITHDRAWAL and item.trigger and item.entity not in running
            key = "HOLD.NEEDED" if is_needed else "HOLD.RELATION_ACTIVE"
        case Fate.HOLD:
            key = hold_key(policy, until=count.last)
        case Fate.PERSON:
            undecided = any(term.rule is None and term.until is None for term in policy.terms)
            key = "HOLD.NO_RULE" if undecided else "SHARED.OWNERS"
        case Fate.KEEP if matter.kind is Kind.ACCESS:
            key = "REDACT.THIRD_PARTY" if item.third_party else "OK.PORTABLE" if matter.portable else "OK.ACCESS"
        case Fate.KEEP:
            key = "WITHDRAW.CONTRACT"
        case Fate.RESTRICT:
            key = "HOLD.TECHNICAL"
        case Fate.REFUSE:
            key = "NA.ANONYMISED"
        case _ if _is_forfeited(item, matter=matter, facts=facts):
            key = "OK.FORFEIT_CONFIRMED"
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


def _is_forfeited(item: Collection, *, matter: Matter, facts: Iterable[BlockerFact]) -> bool:
    """Whether a collection's value lapses with the service, as the person has confirmed."""
    return matter.kind is Kind.CANCELLATION and any(
        fact.collection == item.key and fact.cancel == "forfeit" and fact.key in matter.given_up for fact in facts
    )


def rule_label(policy: Policy) -> str | None:
    """The rules and exceptions that hold a collection's records, by their labels."""
    names = (term.rule.label if term.rule else term.label for term in policy.terms if term.rule or term.until)
    return "/".join(dict.fromkeys(name for name in names if name)) or None


def group_label(policy: Policy, *, trigger_on: date | None, until: date | None) -> str | None:
    """The rules and exceptions that give a group of held records its last day; all of them where none does (a parent
    that is kept for its children's sake, or no day yet)."""
    if trigger_on is None or until is None:
        return rule_label(policy)
    deciding = tuple(
        term
        for term in policy.terms
        if until == (term.until or (last_day(trigger_on, term.rule) if term.rule else None))
    )
    return rule_label(replace(policy, terms=deciding)) or rule_label(policy)


def hold_key(policy: Policy, *, until: date | None) -> str:
    """The reason key of a hold that ends on `until`. A parent without a rule of its own is kept for its children's
    sake; an exception that has to look like any other hold has no key of its own."""
    named = [term.key for term in policy.terms if term.until and term.until == until and term.key]
    if named:
        return named[0]
    rules = [term.rule for term in policy.terms if term.rule]
    excepted = any(term.until for term in policy.terms)
    if any(rule.code.startswith("AML") for rule in rules) or not (rules or excepted):
        return "HOLD.AML"
    return "HOLD.LAW"


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


def _terms(
    item: Collection,
    rules: Sequence[Rule],
    *,
    exemptions: Sequence[Exemption],
    trigger_default: date | None,
    today: date,
) -> tuple[Term, ...]:
    """What holds a collection's records: the minimum rules that govern its classes, then exceptions.

    A maximum bounds whatever is no minimum: past its last day neither an exception nor the want of a rule keeps a
    record.
    """
    terms: list[Term] = []
    for clause in item.classes:
        covering = [
            exemption
            for exemption in exemptions
            if exemption.until >= today
            and exemption.covers(collection=item.key, data_class=clause.data_class, entity=item.entity)
        ]
        bounds = _Bounds(item, rules, data_class=clause.data_class, trigger_default=trigger_default, today=today)
        if clause.data_class not in UNRETAINED:
            found = governing(rules, data_class=clause.data_class, entity=item.entity, today=today)
            terms += [Term(clause.when, each.rule, each.cutoff) for each in found]
            if not found and not any(exemption.effect is Effect.RELEASE for exemption in covering):
                terms += [Term((*clause.when, *bound), None, None) for bound in bounds.before_the_end(today)]
        terms += exemption_terms(covering, when=clause.when, bounds=bounds)
    return tuple(terms)


def exemption_terms(covering: Sequence[Exemption], *, when: tuple[Predicate, ...], bounds: "_Bounds") -> list[Term]:
    """What exceptions hold. One that releases early ends longer ends, never a suspension or a rule."""
    released = any(exemption.effect is Effect.RELEASE for exemption in covering)
    terms: list[Term] = []
    for item in covering:
        if item.effect is Effect.SUSPEND or (item.effect is Effect.EXTEND and not released):
            terms += [
                Term((*when, *bound), None, None, until=item.until, label=item.label, key=item.key)
                for bound in bounds.before_the_end(item.until)
            ]
            terms += bounds.cut_short(when, until=item.until)
    return terms


@dataclass(frozen=True)
class _Bounds:
    """The maximum that bounds a class of a collection, as conditions on its records' trigger.

    A record without a trigger has no end yet. Each condition is a list of predicates; several of them mean "or".
    """

    item: Collection
    rules: Sequence[Rule]
    data_class: str
    trigger_default: date | None
    today: date

    def maximum(self) -> Rule | None:
        """The one in force that ends first."""
        found = governing(
            self.rules, data_class=self.data_class, entity=self.item.entity, today=self.today, bound=Bound.MAXIMUM
        )
        return min((each.rule for each in found), key=lambda rule: last_day(self.today, rule), default=None)

    def before_the_end(self, day: date) -> list[tuple[Predicate, ...]]:
        """Records whose maximum is not over on `day`."""
        maximum = self.maximum()
        if maximum is None:
            return [()]
        edge = cutoff(maximum, today=day)
        if self.item.trigger_column is None:
            return [()] if self.trigger_default is None or self.trigger_default >= edge else []
        return [(Predicate(self.item.trigger_column, "ge", edge),), (Predicate(self.item.trigger_column, "is_null"),)]

    def cut_short(self, when: tuple[Predicate, ...], *, until: date) -> list[Term]:
        """Records that an exception until `until` holds only to the end of their maximum, which comes sooner."""
        maximum = self.maximum()
        if maximum is None:
            return []
        first, last = cutoff(maximum, today=self.today), cutoff(maximum, today=until)
        if self.item.trigger_column is None:
            if self.trigger_default is None or not first <= self.trigger_default < last:
                return []
            return [Term(when, maximum, first)]
        return [Term((*when, Predicate(self.item.trigger_column, "lt", last)), maximum, first)]
