"""What is asked of parties that no database connection reaches, and told to those who received the data.

A system that is asked has a step, which waits until it has confirmed. Recipients are told once something was done here
(PIPL art. 47 and 21: they are to delete, correct or stop as well); the request does not wait for their answer, but
their date and alarm go on without it. A machine is asked under a lease with a fencing token, by an id that is the same
at every try, and every answer, asked for or called back, is taken once: the first that settles it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from random import SystemRandom
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from accounts.identities import get_identities
from accounts.models import User
from portal.core.ledger import commit_to
from rights.connectors.base import Answer, Ask, ConnectorError, Outcome, Refused, Unavailable
from rights.connectors.registry import channel_for, reach
from rights.datamap import DataMap, Party, load_live_map
from rights.kernel.clock import local_day
from rights.kernel.plan import Fate, Plan
from rights.models import Handover, Request, Step
from rights.notices import notify
from rights.planning import Matter, parties_asked
from rights.queries import due_of
from rights.transitions import record, wake_worker

log = structlog.get_logger(__name__)
_JITTER = SystemRandom()

ASK = "ask"
"""The verb of a step that waits for a system to confirm."""
TELL_DAYS = 7
"""Within how many days of the act here a recipient is told of it."""
LEASE = timedelta(seconds=60)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=15), timedelta(hours=1)
"""Between tries at a partner that is away; each wait is twice the one before."""
SOONEST_LOOK, LATEST_LOOK = timedelta(minutes=1), timedelta(hours=6)
"""Between looks at a request that a partner has taken: a quarter of the time that it has had it."""
PAGE = 500
OPEN = (Handover.State.READY, Handover.State.SENT)
ACT_OF_VERB = {
    "erase": "erase",
    "mask": "erase",
    "release": "erase",
    "correct": "correct",
    "consent": "stop",
    "stop": "stop",
}
NAMING = {"consent", "stop"}
"""Verbs of steps that name themselves who is to be told, whatever was done."""


# --- systems that are asked


def parties_to_ask(request: Request, *, plan: Plan, matter: Matter, data_map: DataMap) -> list[tuple[Party, str]]:
    """The systems that this round asks, each with the act; each is asked once a request.

    While a fact blocks records of its company a system is not asked: nobody can tell which of its own would be blocked.
    The round that follows once the fact has cleared asks it.
    """
    parties = parties_asked(matter, data_map)
    if not parties:
        return []
    blocked = {line.entity for line in plan.of(Fate.BLOCKED)}
    asked = set(request.steps.filter(verb=ASK).values_list("collection", flat=True))
    return [(party, act) for party, act in parties if party.entity not in blocked and party.key not in asked]


def ask_party(step: Step, *, request: Request, data_map: DataMap, now: datetime) -> int | None:
    """Ask the system of a step; how many records it says it concerned once it has confirmed, None until then.

    A step whose handover was returned is dead until staff try it again; then the system is asked anew.
    """
    party = data_map.asked.get(step.collection)
    if party is None:
        raise Refused(f"The system {step.collection} is not in the data map any more.")
    due = min(local_day(now) + timedelta(days=party.days), max(due_of(request, now=now).on, local_day(now)))
    _make(request, party=party, act=step.params["act"], due_on=due, now=now, step=step)
    handover = Handover.objects.exclude(state=Handover.State.RETURNED).get(step=step)
    _attend(handover, data_map=data_map, now=now)
    handover.refresh_from_db()
    return (handover.count or 0) if handover.state == Handover.State.CONFIRMED else None


# --- recipients that are told


def tell_recipients(
    request: Request, *, data_map: DataMap, steps: Iterable[Step], now: datetime, released: Iterable[str] = ()
) -> bool:
    """Write down who has to be told of what was done so far, each once, and tell those whom a machine can tell now.

    `steps`: those of the request. `released`: collections of which a release has just erased something. Whether the
    request may close: nobody is left whom a machine could still tell in time. A letter is not waited for; its date is
    watched like any other.
    """
    acts = [
        (step, ACT_OF_VERB[step.verb]) for step in steps if step.state == Step.State.DONE and step.verb in ACT_OF_VERB
    ]
    due_on = local_day(now) + timedelta(days=TELL_DAYS)
    touched: dict[tuple[str, str], set[str]] = {}
    parties: dict[str, Party] = {}
    for step, act in acts:
        if step.done or step.verb in NAMING:
            _collect(step.collection, act, _names_of(step, data_map), data_map, touched, parties)
    for collection in released:
        _collect(collection, "erase", _names_in(collection, data_map), data_map, touched, parties)
    if not touched:
        return True
    told: dict[tuple[str, str], list[list[str]]] = {}
    for party, act, collections in request.handovers.filter(step=None).values_list("party", "act", "collections"):
        told.setdefault((party, act), []).append(collections)
    for (key, act), collections in touched.items():
        before = told.get((key, act), [])
        if fresh := sorted(collections.difference(*before)):
            # Numbered by what was read here: of two workers who have read the same, one writes.
            _make(request, party=parties[key], act=act, due_on=due_on, now=now, collections=fresh, ordinal=len(before))
    waiting = request.handovers.filter(step=None, state=Handover.State.READY).exclude(channel="manual")
    for handover in waiting:
        _attend(handover, data_map=data_map, now=now)
    return not waiting.filter(due_on__gte=local_day(now)).exists()


def _collect(
    collection: str,
    act: str,
    found: Iterable[Party],
    data_map: DataMap,
    touched: dict[tuple[str, str], set[str]],
    parties: dict[str, Party],
) -> None:
    for party in found:
        parties[party.key] = party
        touched.setdefault((party.key, act), set()).add(collection)


def _names_of(step: Step, data_map: DataMap) -> list[Party]:
    """Of a withdrawal those whom the step names, as they receive what rests on the consent; else the collection's."""
    if step.verb not in NAMING:
        return _names_in(step.collection, data_map)
    named = {(name["zh"], name["en"]) for name in step.params.get("recipients", ())}
    everybody = dict.fromkeys(name for item in data_map.collections.values() for name in item.recipients)
    return [data_map.recipient(name) for name in everybody if (name.zh, name.en) in named]


def _names_in(collection: str, data_map: DataMap) -> list[Party]:
    item = data_map.collections.get(collection)
    return [data_map.recipient(name) for name in item.recipients] if item else []


def _make(
    request: Request,
    *,
    party: Party,
    act: str,
    due_on: date,
    now: datetime,
    step: Step | None = None,
    collections: Sequence[str] = (),
    ordinal: int = 0,
) -> None:
    """Write the handover, unless another worker has or one that is not returned stands for the step already."""
    if step:
        earlier = step.handovers.all()
        if earlier.exclude(state=Handover.State.RETURNED).exists():
            return
        ordinal = earlier.count()
    handover = Handover(
        request=request,
        step=step,
        party=party.key[:160],
        name={"zh": party.name.zh, "en": party.name.en},
        act=act,
        channel=channel_for(party, act),
        collections=list(collections),
        ordinal=ordinal,
        due_on=due_on,
        created_at=now,
        not_before=now,
    )
    Handover.objects.bulk_create([handover], ignore_conflicts=True)


# --- asking a machine


def attend(request_id: UUID, *, now: datetime) -> None:
    """Ask, or look how far, whatever of this request is due for it."""
    for handover in _due(now).filter(request=request_id):
        _attend(handover, data_map=load_live_map(), now=now)


def _due(now: datetime) -> Any:
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    return Handover.objects.filter(free, state__in=OPEN, not_before__lte=now).exclude(channel="manual")


def _attend(handover: Handover, *, data_map: DataMap, now: datetime) -> None:
    if (
        not _due(now)
        .filter(pk=handover.pk, fence=handover.fence)
        .update(fence=F("fence") + 1, attempts=F("attempts") + 1, lease_until=now + LEASE)
    ):
        return
    handover.refresh_from_db()
    party = data_map.party(handover.party)
    try:
        if party is None:
            raise Refused("It is not in the data map any more.")
        partner, ask = reach(party, channel=handover.channel), ask_of(handover, party)
        answer = partner.look(ask, now=now) if handover.state == Handover.State.SENT else partner.ask(ask, now=now)
    except Unavailable as error:
        wait = min(FIRST_WAIT * 2 ** min(handover.attempts - 1, 10), LONGEST_WAIT) * _JITTER.uniform(0.8, 1.2)
        _ours(handover).update(not_before=now + wait, error=str(error)[:300], lease_until=None)
    except ConnectorError as error:
        settle(handover, Answer(Outcome.NOT_DONE, reason=str(error)), now=now)
    else:
        _take(handover, answer, days=party.days, now=now)


def _ours(handover: Handover) -> Any:
    """The row, if no other worker and no callback has changed it since this one claimed it."""
    return Handover.objects.filter(pk=handover.pk, fence=handover.fence, state=handover.state)


def _take(handover: Handover, answer: Answer, *, days: int, now: datetime) -> None:
    if answer.outcome in {Outcome.DONE, Outcome.NOT_DONE}:
        settle(handover, answer, now=now)
        return
    since = handover.sent_at or now
    fields: dict[str, Any] = {
        "not_before": now + min(max((now - since) / 4, SOONEST_LOOK), LATEST_LOOK),
        "lease_until": None,
        "error": "",
        "attempts": 0,
    }
    if handover.state == Handover.State.SENT or answer.outcome is Outcome.BY_HAND:
        _ours(handover).update(**fields)
        return
    with transaction.atomic():
        if _ours(handover).update(**fields, **as_told(handover, days=days, now=now), status_url=answer.status_url):
            record(handover.request, event="told", now=now, body=facts_of(handover))


def as_told(handover: Handover, *, days: int, now: datetime) -> dict[str, Any]:
    """What changes of a handover once it has been passed on. A recipient's days to answer begin then."""
    due_on = handover.due_on if handover.step_id else local_day(now) + timedelta(days=days)
    return {"state": Handover.State.SENT, "sent_at": now, "due_on": due_on}


def ask_of(handover: Handover, party: Party) -> Ask:
    request = handover.request
    known = get_identities(request.subject)
    identities = {theirs: known[kind] for kind, theirs in party.identities.items() if kind in known}
    if not identities:
        raise Refused("None of what it knows a person by is known here.")
    return Ask(
        id=handover.pk,
        act=handover.act,
        reference=request.reference or "",
        identities=identities,
        asked_at=handover.created_at,
        due_on=handover.due_on,
        callback_url=callback_url(party.key),
        values=values_of(request) if handover.act == "correct" else (),
        again=handover.attempts > 1,
        status_url=handover.status_url or "",
    )


def callback_url(party: str) -> str:
    return f"{settings.PUBLIC_URL}/api/v1/callbacks/{party}/"


def values_of(request: Request) -> tuple[Mapping[str, str], ...]:
    """What a correction replaces: each with field, old and new."""
    items = request.details.get("items") or ()
    return tuple({"field": item["correction"], "old": item["old"], "new": item["new"]} for item in items)


# --- what comes of it


def take_callback(party: str, number: UUID, answer: Answer, *, now: datetime) -> bool:
    """Take what a partner said of its own accord, once it is proved to be theirs. Whether the request is known here;
    one that is settled already stays as it is."""
    handover = Handover.objects.select_related("request").filter(pk=number, party=party).first()
    if handover is None or handover.channel == "manual":
        return False
    if answer.outcome in {Outcome.DONE, Outcome.NOT_DONE}:
        settle(handover, answer, now=now)
    return True


def settle(handover: Handover, answer: Answer, *, now: datetime, actor: User | None = None, note: str = "") -> bool:
    """The end of a handover, by whoever is first; whether it was this call. `note` is sealed; the ledger has a
    commitment to it."""
    done = answer.outcome is Outcome.DONE
    commitment = commit_to(note) if note else None
    sent = {"sent_at": handover.sent_at or now} if done else {}
    with transaction.atomic():
        if not Handover.objects.filter(pk=handover.pk, state__in=OPEN).update(
            state=Handover.State.CONFIRMED if done else Handover.State.RETURNED,
            settled_at=now,
            settled_by=actor,
            count=answer.count,
            error="" if done else answer.reason[:300],
            note=note,
            note_salt=commitment.salt if commitment else "",
            fence=F("fence") + 1,
            lease_until=None,
            **sent,
        ):
            return False
        record(
            handover.request,
            event="confirmed" if done else "returned",
            now=now,
            actor=actor,
            body={**facts_of(handover), **({} if answer.count is None else {"count": answer.count})},
            commitments={"note": commitment.digest} if commitment else None,
        )
        if handover.step_id:
            _move_step(handover, done=done, reason=answer.reason, now=now)
    return True


def _move_step(handover: Handover, *, done: bool, reason: str, now: datetime) -> None:
    """The step goes on at once, or dies with the reason: then a person has to look."""
    waiting = Step.objects.filter(handovers=handover)
    if done:
        waiting.filter(state=Step.State.READY).update(not_before=now)
        wake_worker(handover.request, now=now)
    else:
        # Also one that a worker runs at this moment: it can no longer report.
        waiting.filter(state__in=[Step.State.READY, Step.State.RUNNING]).update(
            state=Step.State.DEAD, error=reason[:300], fence=F("fence") + 1, lease_until=None
        )


def facts_of(handover: Handover) -> dict[str, Any]:
    """What the timeline and the ledger say of it: no personal data."""
    return {"party": handover.party, "name": handover.name, "act": handover.act}


# --- dates


def watch_handovers(dispatch: Callable[[Request], None], *, now: datetime) -> int:
    """Raise the alarms of what is late, and hand to a worker whatever is due. How many it concerned."""
    # A step that was running when its answer came sleeps for a day; its answer is there.
    Step.objects.filter(
        verb=ASK, state=Step.State.READY, not_before__gt=now, handovers__state=Handover.State.CONFIRMED
    ).update(not_before=now)
    late = sum(_raise_alarm(item, now=now) for item in _late(now))
    requests = Request.objects.filter(pk__in=_due(now).order_by("not_before").values("request_id")[:PAGE])
    for request in requests:
        dispatch(request)
    return late + len(requests)


def _late(now: datetime) -> Any:
    never = Q(alarmed_on=None) | Q(alarmed_on__lt=F("due_on"))
    late = Handover.objects.filter(never, state__in=OPEN, due_on__lt=local_day(now))
    return late.select_related("request", "owner").order_by("due_on", "id")[:PAGE]


def _raise_alarm(handover: Handover, *, now: datetime) -> int:
    """Once for each date that passed: whoever has the task, else those who supervise, are told."""
    with transaction.atomic():
        if (
            not Handover.objects.filter(pk=handover.pk, state__in=OPEN)
            .exclude(alarmed_on=handover.due_on)
            .update(alarmed_on=handover.due_on)
        ):
            return 0
        due = handover.due_on.isoformat()
        record(handover.request, event="handover_late", now=now, body={**facts_of(handover), "due": due})
        supervisors = User.objects.filter(role__in=["supervisor", "admin"], is_active=True)
        for user in {*supervisors, *([handover.owner] if handover.owner else [])}:
            notify(
                user=user,
                request=handover.request,
                kind="handover_late",
                params={"due": due, **handover.name},
                once=f"{handover.pk.hex[:12]}:{due}:{user.pk}",
                now=now,
            )
    return 1
