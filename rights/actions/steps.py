"""A round of steps from a plan, and how each kind of step acts.

Every write here is conditional on the fencing token, so that a worker stalled past its lease cannot report.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import structlog
from django.db import DatabaseError, connections, transaction
from django.db.models import Max

from portal.core import rows
from rights.actions import gates, packages
from rights.actions.erasing import erase
from rights.actions.handovers import ASK, ask_party, parties_to_ask, tell_recipients
from rights.actions.keys import from_plain, to_plain
from rights.actions.restricting import restrict
from rights.actions.vaults import destroy_if_empty, open_vault, vault_of
from rights.actions.work import BY_HAND, LEASE, LOOK_AGAIN, Postponed, Work, open_working
from rights.connectors.base import Connector, HeldGroup, Key, Policy, Refused, Seed, Unavailable
from rights.connectors.registry import add_links, connect
from rights.consents import list_recipients, recipient_key
from rights.datamap import DataMap
from rights.kernel.clock import local_day
from rights.kernel.plan import GOING, Fate, Plan
from rights.kernel.retention import Exemption, Rule
from rights.kernel.states import Kind
from rights.models import (
    ConsentEvent,
    CorrectionRecord,
    Hold,
    HoldRevision,
    RelationshipEnd,
    Request,
    Step,
)
from rights.notices import notify
from rights.planning import (
    Matter,
    closing_entities,
    find_first,
    group_label,
    hold_key,
    open_reading,
    with_facts,
)
from rights.queries import active_rules, entities_of, exemptions_of, reviewed_collections

log = structlog.get_logger(__name__)

RELATIONSHIP = "relationship:"
"""A close step with this before a company's key writes down in the portal that the relationship ended."""


def make_steps(
    request: Request, *, plan: Plan, matter: Matter, data_map: DataMap, rules: Sequence[Rule], now: datetime
) -> list[Step]:
    """The steps of a round, in their order: first what changes, then children before parents, then the holds."""
    made: list[Step] = []

    def add(verb: str, collection: str, *, expected: int = 0, **params: Any) -> None:
        # A system that is asked is one of its own: nothing else waits for it.
        alone = collection if verb == ASK else "portal"
        system = data_map.collections[collection].system if collection in data_map.collections else alone
        made.append(
            Step(
                request=request,
                verb=verb,
                system=system,
                collection=collection,
                ordinal=len(made),
                round=request.round + 1,
                params=params,
                not_before=now,
                expected=expected,
            )
        )

    for party, act in parties_to_ask(request, plan=plan, matter=matter, data_map=data_map):
        add(ASK, party.key, act=act)
    match matter.kind:
        case Kind.ACCESS:
            # A copy made before an appeal stays what it was; another one is a part of its own.
            earlier = request.packages.aggregate(last=Max("part"))["last"] or 0
            add("export", "package", expected=plan.total, **({"part": earlier + 1} if earlier else {}))
            return made
        case Kind.CORRECTION:
            for item in request.details["items"]:
                for collection, column in data_map.corrections[item["correction"]].fields:
                    add("correct", collection, column=column, old=item["old"], new=item["new"])
            return made
        case Kind.WITHDRAWAL:
            for purpose in sorted(matter.purposes):
                add(
                    "consent",
                    data_map.consents[purpose].collection,
                    purpose=purpose,
                    recipients=recipients_of(purpose, plan=plan, data_map=data_map),
                )
            for received in list_recipients(data_map):
                if received.party.key in (request.details.get("recipients") or ()):
                    name = received.party.name
                    for item in received.refusable:
                        add("stop", item.key, recipient=received.party.key, recipients=[{"zh": name.zh, "en": name.en}])
        case Kind.CANCELLATION:
            closing = closing_entities(matter, data_map)
            for item in data_map.collections.values():
                if item.entity in closing and item.close:
                    add("close", item.key)
            kept_here = {item.trigger_entity for item in data_map.collections.values() if item.trigger_entity}
            for entity in sorted(closing & kept_here):
                add("close", f"{RELATIONSHIP}{entity}")
    going = {line.collection: line for line in plan.of(Fate.ERASE, Fate.MASK)}
    held = {line.collection: line for line in plan.of(Fate.HOLD)}
    restricted = {line.collection: line for line in plan.of(Fate.RESTRICT)}
    for system in dict.fromkeys(line.system for line in plan.lines):
        order = connect(system, data_map).erase_order()
        found = find_first(matter, system=system, data_map=data_map, rules=rules, now=now, among=going)
        for key in order:
            if key in going:
                add(going[key].fate.value, key, expected=going[key].count, **as_params(found.get(key)))
        for key in order:
            if key in held:
                add("hold", key, expected=held[key].count)
            if key in restricted:
                add("restrict", key, expected=restricted[key].count)
    return made


def recipients_of(purpose: str, *, plan: Plan, data_map: DataMap) -> list[dict[str, str]]:
    """Who received what rests on a consent, by name in both languages: those are to be told that it is withdrawn.

    A consent to sharing is passed on to all of its recipients; what was received before leaves no record here.
    """
    held = {line.collection for line in plan.lines if line.count}
    everybody = data_map.consents[purpose].kind == "sharing"
    names = [
        name
        for item in data_map.collections.values()
        if item.consent == purpose and (everybody or item.key in held)
        for name in item.recipients
    ]
    return [{"zh": name.zh, "en": name.en} for name in dict.fromkeys(names)]


def run_step(work: Work) -> int:
    """Do the step; how many records it concerned. Raises ConnectorError, LostLease or Postponed."""
    actions: dict[str, Callable[[Work], int]] = {
        "export": _pack,
        "supplement": _pack,
        "correct": _correct,
        "consent": _withdraw_consent,
        "stop": _stop_sharing,
        "close": _close,
        "erase": erase,
        "mask": erase,
        "hold": _hold,
        "restrict": _hold,
        "release": _release,
        ASK: _ask,
    }
    if keys := work.step.params.get("keys"):
        found = {work.step.collection: tuple(from_plain(keys))}
        work = replace(work, matter=replace(work.matter, found=found))
    if work.shadow and work.step.verb in gates.CHANGING:
        return _only_count(work)
    with _kept_alive(work):
        return actions[work.step.verb](work)


def _only_count(work: Work) -> int:
    """What a system in shadow mode would have done. Where there is nothing left to do, somebody has done it by hand."""
    step = work.step
    if step.verb not in gates.ERASING:
        raise Refused(
            f"{step.system} is in shadow mode: {step.collection} would have been changed ({step.verb}). Take the system"
            " live, then try again."
        )
    with open_working(work) as (snapshot, reading):
        counts = [count for count in snapshot.count_fates(reading.policies) if count.collection == step.collection]
    going = sum(count.count for count in counts if count.fate in GOING)
    if going:
        raise Refused(
            f"{step.system} is in shadow mode: {going} of {step.collection} would have been erased. {BY_HAND}"
        )
    return 0


@contextmanager
def _kept_alive(work: Work) -> Iterator[None]:
    """Renew the lease while a step acts: one statement of a business system may take longer than it lasts."""
    over = threading.Event()

    def renew() -> None:
        try:
            while not over.wait(LEASE.total_seconds() / 3):
                mine = Step.objects.filter(pk=work.step.pk, fence=work.step.fence, state=Step.State.RUNNING)
                if not mine.update(lease_until=work.moment() + LEASE):
                    return
        except DatabaseError as error:
            # The lease ends then, and what the step still reports is refused if another has taken it over.
            log.warning("lease_not_renewed", step=work.step.pk, error=type(error).__name__)
        finally:
            connections.close_all()

    thread = threading.Thread(target=renew, name=f"lease-{work.step.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def as_params(keys: Sequence[Key] | None) -> dict[str, Any]:
    """Keys that were found first, as a step's parameters keep them (sealed, with the rest of them)."""
    return {"keys": [to_plain(key) for key in keys]} if keys else {}


def _hold(work: Work, *, gone: int = 0) -> int:
    """Write down what is held; `gone` is how many records a release has just erased."""
    step = work.step
    rules = active_rules()
    matter = with_facts(work.matter, subject=work.request.subject, request=work.request)
    with open_reading(matter, system=step.system, data_map=work.data_map, rules=rules, now=work.now) as (
        snapshot,
        reading,
    ):
        groups = snapshot.group_holds(reading.policies, step.collection)
    policy = reading.policies[step.collection]
    _write_holds(work, groups, policy=policy, gone=gone, by=(rules, matter.exemptions))
    restrict(work)
    if any(group.last_day is None for group in groups) and step.verb != "release":
        _look_again_tomorrow(work)
    return sum(group.count for group in groups)


def _look_again_tomorrow(work: Work) -> None:
    """What has no end yet gets one in the business system, some day: a release step of its own reads it daily."""
    step = work.step
    with transaction.atomic():
        request = Request.objects.select_for_update(of=("self",)).get(pk=work.request.pk)
        waiting = Step.objects.filter(request=request, verb="release", collection=step.collection)
        if waiting.exclude(state=Step.State.DONE).exclude(pk=step.pk).exists():
            return
        last = Step.objects.filter(request=request, round=request.round).aggregate(last=Max("ordinal"))["last"]
        Step.objects.create(
            request=request,
            verb="release",
            system=step.system,
            collection=step.collection,
            ordinal=(last or 0) + 1,
            round=request.round,
            not_before=work.now + LOOK_AGAIN,
        )


def _ask(work: Work) -> int:
    count = ask_party(work.step, request=work.request, data_map=work.data_map, now=work.now)
    if count is None:
        raise Postponed("It has not confirmed yet.")
    return count


def _release(work: Work) -> int:
    """Erase what has lapsed and settle the holds with what the triggers say now."""
    step = work.step
    with open_reading(work.matter, system=step.system, data_map=work.data_map, rules=work.rules, now=work.now) as (
        _,
        reading,
    ):
        if reading.policies[step.collection].fixed is not None:
            raise Postponed("A fact stands in the way of the release.")
    try:
        gone = erase(work)
    except Refused:
        if _others_have_lapsed(work):
            raise Postponed("What refers to these records has not gone yet.") from None
        raise
    if gone:
        tell_recipients(
            work.request,
            data_map=work.data_map,
            steps=rows.find(Step, request=work.request.pk),
            released=[step.collection],
            now=work.moment(),
        )
        _look_at_what_waited(work)
    with open_reading(work.matter, system=step.system, data_map=work.data_map, rules=work.rules, now=work.now) as (
        snapshot,
        reading,
    ):
        counts = snapshot.count_fates(reading.policies)
    fates = {count.fate for count in counts if count.collection == step.collection}
    if Fate.BLOCKED in fates:
        raise Postponed("A fact stands in the way of what refers to these records.")
    if Fate.PERSON in fates and not {"keep", "refer"} & set(work.matter.decided.values()):
        # Their period is over, but they are somebody else's too: they stay held until a person has decided.
        raise Refused(f"Records of {step.collection} whose period is over also belong to somebody else: decide.")
    _hold(work, gone=gone)
    if not _unreleased(work).exists():
        notify(
            user=work.request.subject, request=work.request, kind="released", once=step.collection, now=work.moment()
        )
    for vault in {hold.vault for hold in work.request.holds.filter(collection=step.collection).select_related("vault")}:
        destroy_if_empty(vault, now=work.moment())
    if _unreleased(work).filter(last_day__isnull=True).exists():
        if not gone:
            raise Postponed("Their period has not begun.")
        _look_again_tomorrow(work)
    return gone


def _others_have_lapsed(work: Work) -> bool:
    """Whether more of the person's records are to go from the system today: they may refer to these."""
    lapsed = Hold.objects.filter(
        request__subject=work.request.subject,
        system=work.step.system,
        last_day__lt=local_day(work.now),
        released_at__isnull=True,
    )
    return lapsed.exclude(collection=work.step.collection).exists()


def _look_at_what_waited(work: Work) -> None:
    """What was looked at while these records still referred to it waits for a day; it need not, now that they are gone.

    One that waits for a system that is away says so, and keeps its own time.
    """
    Step.objects.filter(
        request__subject=work.request.subject,
        verb="release",
        state=Step.State.READY,
        error="",
        not_before__gt=work.moment(),
    ).update(not_before=work.moment())


def _unreleased(work: Work) -> Any:
    return Hold.objects.filter(request=work.request, collection=work.step.collection, released_at__isnull=True)


def _write_holds(
    work: Work,
    groups: Sequence[HeldGroup],
    *,
    policy: Policy,
    gone: int,
    by: tuple[tuple[Rule, ...], tuple[Exemption, ...]],
) -> None:
    """Make the holds of this request and collection what the system says, read by these rules and exceptions.

    A hold whose trigger or last day is another one now, or whose period has begun, gets a revision; what is no longer
    there is released, and what is new is added. People who had been told another date are told the new one, once.
    """
    item = work.data_map.collections[work.step.collection]
    with transaction.atomic():
        work.write()
        held = list(_unreleased(work).select_for_update().order_by("id"))
        if by != (active_rules(), exemptions_of(work.request.subject, request=work.request)):
            # A rule or an exception came meanwhile and may have dated these holds: its dates must stand.
            raise Unavailable("The retention rules changed while the holds were read.")
        released, pairs, fresh = match_holds(held, groups, gone=gone, today=local_day(work.now))
        Hold.objects.filter(pk__in=[hold.pk for hold in released]).update(released_at=work.moment())
        moved = [
            revise(hold, group, policy=policy, now=work.moment())
            for hold, group in pairs
            if (hold.trigger_on, hold.last_day, hold.count) != (group.trigger_on, group.last_day, group.count)
        ]
        if fresh:
            vault = vault_of(work.request.subject, identities=work.matter.identities, now=work.now)
            Hold.objects.bulk_create(
                Hold(
                    vault=vault,
                    request=work.request,
                    entity=item.entity,
                    system=item.system,
                    collection=item.key,
                    created_at=work.moment(),
                    **_said_of(group, policy),
                )
                for group in fresh
            )
        begun = work.step.verb == "release" and any(group.last_day for group in fresh)
        if (any(moved) or begun) and any(group.last_day for group in groups):
            until = max(group.last_day for group in groups if group.last_day).isoformat()
            notify(
                user=work.request.subject,
                request=work.request,
                kind="redated",
                params={"until": until},
                once=f"step:{work.step.pk}:{until}",
                now=work.moment(),
            )


def match_holds(
    held: Sequence[Hold], groups: Sequence[HeldGroup], *, gone: int, today: date
) -> tuple[list[Hold], list[tuple[Hold, HeldGroup]], list[HeldGroup]]:
    """Holds that are over, holds with what the system says of them now, and groups that no hold stands for yet.

    A group belongs to the hold with its trigger. A trigger that changed does not say from what: the rest is taken in
    the order in which dates change, first those that had none. `gone` records of lapsed holds were erased; they did
    not move.
    """
    left = {(group.trigger_on, group.last_day): group for group in groups}
    pairs: list[tuple[Hold, HeldGroup]] = []
    rest: list[Hold] = []
    for hold in held:
        same = left.pop((hold.trigger_on, hold.last_day), None)
        if same is None:
            rest.append(hold)
        else:
            pairs.append((hold, same))
    for hold in list(rest):
        by_trigger = next((key for key in left if key[0] == hold.trigger_on and hold.trigger_on is not None), None)
        if by_trigger is not None:
            pairs.append((hold, left.pop(by_trigger)))
            rest.remove(hold)
    over: list[Hold] = []
    for hold in list(rest):
        if hold.last_day and hold.last_day < today and gone >= hold.count:
            gone -= hold.count
            over.append(hold)
            rest.remove(hold)
    rest.sort(key=lambda hold: (hold.last_day is not None, hold.last_day or today))
    for hold in rest:
        key = next((key for key in left if key[1] is not None), next(iter(left), None))
        if key is None:
            over.append(hold)
        else:
            pairs.append((hold, left.pop(key)))
    return over, pairs, list(left.values())


def revise(hold: Hold, group: HeldGroup, *, policy: Policy, now: datetime) -> bool:
    """Give a hold what is true of it now and keep what it said; whether its day is another one."""
    said = _said_of(group, policy)
    changed = hold.last_day != group.last_day
    if changed or hold.trigger_on != group.trigger_on:
        HoldRevision.objects.create(
            hold=hold,
            at=now,
            cause="trigger",
            old_rule=hold.rule,
            old_key=hold.key,
            old_trigger_on=hold.trigger_on,
            old_last_day=hold.last_day,
            **{name: said[name] for name in ("rule", "key", "trigger_on", "last_day")},
        )
    Hold.objects.filter(pk=hold.pk).update(**said)
    return changed


def _open_key(policy: Policy) -> str:
    """Why a hold has no end: it is hard to erase and only stored from now on (PIPL art. 47), or it has not begun."""
    is_technical = policy.otherwise is Fate.RESTRICT and not any(term.rule for term in policy.terms)
    return "HOLD.TECHNICAL" if is_technical else "HOLD.RELATION_ACTIVE"


def _said_of(group: HeldGroup, policy: Policy) -> dict[str, Any]:
    return {
        "rule": group_label(policy, trigger_on=group.trigger_on, until=group.last_day) or "",
        "key": hold_key(policy, until=group.last_day) if group.last_day else _open_key(policy),
        "trigger_on": group.trigger_on,
        "last_day": group.last_day,
        "count": group.count,
    }


def _correct(work: Work) -> int:
    step, params = work.step, work.step.params
    connector = connect(step.system, work.data_map)
    # Written first: were it lost between the two, the old value would be gone from both.
    record, _ = CorrectionRecord.objects.get_or_create(
        request=work.request,
        collection=step.collection,
        field=params["column"],
        defaults={"old": params["old"], "new": params["new"], "rows": 0, "at": work.now},
    )
    seed = add_links(work.matter.seed(now=work.now), system=step.system, data_map=work.data_map)

    def act() -> None:
        connector.correct(seed, step.collection, params["column"], old=params["old"], new=params["new"])

    rows = _change(work, connector, seed, was={params["column"]: params["old"]}, act=act)
    if rows:
        CorrectionRecord.objects.filter(pk=record.pk).update(rows=rows)
    else:
        record.delete()
    return rows


def _change(
    work: Work, connector: Connector, seed: Seed, *, was: Mapping[str, str | None], act: Callable[[], None]
) -> int:
    """Change what is as it `was`; how many records of those seen before no longer are.

    What the system reports of the act would leave out what a worker changed that died before it could say so.
    """
    step = work.step
    if not step.expected:
        work.write(expected=connector.count_rows(seed, step.collection, was))
    act()
    return max(0, step.expected - connector.count_rows(seed, step.collection, was))


def _withdraw_consent(work: Work) -> int:
    consent = work.data_map.consents[work.step.params["purpose"]]
    if work.step.round > 1 and ConsentEvent.objects.filter(request=work.request, purpose=consent.key).exists():
        return 0  # an earlier round ended it, and the person may have agreed again since
    connector = connect(work.step.system, work.data_map)
    rows = connector.set_fields(
        add_links(work.matter.seed(now=work.now), system=work.step.system, data_map=work.data_map),
        consent.collection,
        match=consent.match,
        values=consent.withdraw,
        now=work.now,
    )
    record_ended(consent.key, request=work.request, now=work.now)
    return rows


def _stop_sharing(work: Work) -> int:
    """Nothing changes in the system: the register says from now on that the recipient may not be given anything."""
    record_ended(recipient_key(work.step.params["recipient"]), request=work.request, now=work.now)
    return 0


def record_ended(purpose: str, *, request: Request, now: datetime) -> None:
    """Once, also when the step is done again."""
    ConsentEvent.objects.get_or_create(
        user=request.subject,
        purpose=purpose,
        given=False,
        request=request,
        defaults={"at": now, "settled_at": now, "source": request.details.get("source", ConsentEvent.Source.PORTAL)},
    )


def _close(work: Work) -> int:
    if work.step.collection.startswith(RELATIONSHIP):
        entity = work.step.collection.removeprefix(RELATIONSHIP)
        RelationshipEnd.objects.get_or_create(
            request=work.request,
            entity=entity,
            defaults={"user": work.request.subject, "ended_on": local_day(work.now)},
        )
        return 0
    item = work.data_map.collections[work.step.collection]
    connector = connect(item.system, work.data_map)
    seed = add_links(work.matter.seed(now=work.now), system=item.system, data_map=work.data_map)

    def act() -> None:
        connector.set_fields(seed, item.key, match={}, values=item.close, now=work.now, only_empty=True)

    return _change(work, connector, seed, was=dict.fromkeys(item.close), act=act)


def _pack(work: Work) -> int:
    try:
        return packages.pack(work)
    except Unavailable as error:
        if work.step.attempts < packages.QUICK_TRIES:
            raise
        # It may be away for days, which is no failure of the step.
        raise Postponed(str(error), wait=packages.AWAY, error=str(error)) from None


def release_matter(request: Request) -> Matter | None:
    """The matter of a request's holds, from their vault; None where the vault is gone and nothing can be found."""
    hold = request.holds.select_related("vault").filter(released_at__isnull=True).first()
    if hold is None or hold.vault.destroyed_at:
        return None
    matter = Matter(
        kind=Kind.DELETION,
        identities=open_vault(hold.vault),
        scope_cutoff=request.received_at,
        entities=entities_of(request),
        decided=reviewed_collections(request),
    )
    return with_facts(matter, subject=request.subject, request=request)


def steps_in_order(steps: Sequence[Step], *, now: datetime) -> Iterator[Step]:
    """Steps whose earlier steps on the same system are done: those may run now.

    A release that waits, for its day or for a person, holds up nothing: what has to stay stays by the plan.
    """
    waiting: set[str] = set()
    for step in sorted(steps, key=lambda item: (item.round, item.ordinal)):
        if step.state == Step.State.DONE:
            continue
        if step.system not in waiting:
            yield step
        if step.verb != "release" or (step.not_before <= now and step.state != Step.State.DEAD):
            waiting.add(step.system)
