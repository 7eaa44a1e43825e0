"""A case as the desk shows it: facts of the request, the plan and the systems, put into words for a reviewer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from accounts.authority import is_over
from accounts.identities import get_identities
from accounts.masks import mask_id_number
from accounts.models import Authority, Identity, User
from rights.consents import list_recipients
from rights.datamap import DataMap
from rights.kernel.clock import Pause, local_day
from rights.kernel.decisions import REASONS
from rights.kernel.plan import GOING, STAYING, Fate, Line, Plan
from rights.kernel.states import Kind, State
from rights.models import Request
from rights.queries import Due, clock_facts, due_if_any, submitted_requests
from rights.templatetags.look import gap, listed
from rights.web.case_words import (
    collection_label,
    fact_words,
    is_chinese,
    kind_word,
    matter_of_case,
    outcome_words,
    reason_words,
    system_label,
)
from rights.web.present import listed_parties
from rights.web.present_queue import closing_words, paused_days

EARLIER_SHOWN = 10


@dataclass(frozen=True)
class CaseHead:
    """The head of the case page; see templates/desk/case.html."""

    ref: str
    matter: str
    kind: str
    received_at: datetime | None
    started_on: date | None
    due: date | None
    days_left: int | None
    pauses: tuple[Pause, ...]
    paused: bool
    paused_days: int
    deferred: bool
    closed: bool
    approved: bool
    rolled_due: date | None
    tag: str
    history: str
    queue_url: str
    queue_name: str
    owner: str


def present_head(request: Request, *, reviewer: User, plan: Plan | None, data_map: DataMap, now: datetime) -> CaseHead:
    due = due_if_any(request, now=now)
    pauses = clock_facts(request).pauses if due else ()
    closed = request.state == State.CLOSED
    runs = due if due and not closed and not due.deferred else None
    owner = request.reviewer
    return CaseHead(
        ref=request.reference or "",
        matter=matter_of_case(request, data_map),
        kind=request.kind,
        received_at=request.received_at,
        started_on=due.started_on if due else None,
        due=due.on if due and not due.deferred else None,
        days_left=runs.days_left if runs else None,
        pauses=pauses,
        paused=bool(due and due.paused),
        paused_days=paused_days(request, now=now),
        deferred=bool(due and due.deferred),
        closed=closed,
        approved=request.approved_at is not None,
        rolled_due=runs.rolled if runs else None,
        tag=_("partly possible") if plan and _is_partial(request, plan) else "",
        history=_history(request, due=due, pauses=pauses) if due else "",
        queue_url=reverse("desk:queue") + ("?view=closed" if closed else ""),
        queue_name=_("Queue"),
        owner="" if owner is None else _("you") if owner.pk == reviewer.pk else owner.display_name,
    )


def _is_partial(request: Request, plan: Plan) -> bool:
    return request.kind in {Kind.DELETION, Kind.CANCELLATION} and bool(
        plan.count(*GOING) and plan.count(Fate.HOLD, Fate.BLOCKED, Fate.PERSON, Fate.KEEP)
    )


def _history(request: Request, *, due: Due, pauses: Sequence[Pause]) -> str:
    words = []
    if request.extended_at:
        words.append(_("extended on %(day)s") % {"day": local_day(request.extended_at).isoformat()})
    else:
        words.append(_("never extended"))
    if pauses:
        words.append(ngettext("paused %(n)s time", "paused %(n)s times", len(pauses)) % {"n": len(pauses)})
    else:
        words.append(_("never paused"))
    if due.missing_year:
        text = _("counted in calendar days, as the calendar of %(year)s is missing")
        words.append(text % {"year": due.missing_year})
    if request.breached_at:
        words.append(_("overdue since %(day)s") % {"day": local_day(request.breached_at).isoformat()})
    return ("，" if is_chinese() else ", ").join(words)


@dataclass(frozen=True)
class CasePerson:
    name: str
    id_number: str
    phone: str
    language: str
    authority: str


def present_person(request: Request, *, now: datetime) -> CasePerson:
    """Who asks, masked: enough to talk about them, too little to call them."""
    subject = request.subject
    identities = get_identities(subject)
    return CasePerson(
        name=subject.masked_name,
        id_number=mask_id_number(identities["id_number"]) if "id_number" in identities else "–",
        phone=subject.masked_phone or "–",
        language={"zh-hans": "简体中文", "en": "English"}.get(subject.language, subject.language),
        authority=_authority_words(request, now=now),
    )


def _authority_words(request: Request, *, now: datetime) -> str:
    agent = request.filed_by
    if agent.pk == request.subject_id:
        return ""
    authority = Authority.objects.filter(agent=agent, principal=request.subject).order_by("-created_at").first()
    if authority is None:
        return _("Filed by %(name)s without a recorded authority.") % {"name": agent.masked_name}
    who = {"name": agent.masked_name, "kind": Authority.Kind(authority.kind).label}
    words = [_("Filed by %(name)s as %(kind)s.") % who]
    if authority.valid_until:
        # The moment it ends is no part of it: one that ends at midnight has the day before as its last.
        day = {"day": local_day(authority.valid_until - timedelta.resolution).isoformat()}
        text = _("The authority ended on %(day)s.") if is_over(authority, now) else _("It is valid until %(day)s.")
        words.append(text % day)
    if request.kind not in authority.scope:
        words.append(_("It is for something else: %(kinds)s.") % {"kinds": listed(map(kind_word, authority.scope))})
    return gap().join(words)


def verification_words(request: Request) -> list[str]:
    """How it was made sure that the person is who they say."""
    names = {
        "name": _("name"),
        "id_number": _("ID number"),
        "phone": _("phone"),
        "account_no": _("account number"),
        "client_id": _("client number"),
    }
    words = [
        _("%(what)s verified on %(day)s")
        % {"what": names.get(item.kind, item.kind), "day": local_day(item.verified_at).isoformat()}
        for item in Identity.objects.filter(user=request.subject).order_by("kind")
    ]
    if request.channel == "online":
        agent = request.filed_by if request.filed_by_id != request.subject_id else None
        words.append(
            _("%(name)s, who filed it, signed in with a password") % {"name": agent.masked_name}
            if agent
            else _("signed in with a password")
        )
        # What an agent files for a proof to follow is sent without a code.
        coded = request.kind in {Kind.DELETION, Kind.CANCELLATION} and not (
            agent and request.events.filter(kind="proof_asked").exists()
        )
        if coded and request.received_at:
            words.append(_("one-time code on %(day)s") % {"day": local_day(request.received_at).isoformat()})
    return words


@dataclass(frozen=True)
class Earlier:
    url: str
    title: str
    on: date
    outcome: str


def present_earlier(request: Request, data_map: DataMap) -> list[Earlier]:
    found = submitted_requests(request.subject).exclude(pk=request.pk)[:EARLIER_SHOWN]
    return [
        Earlier(
            url=reverse("desk:case", args=[item.pk]),
            title=matter_of_case(item, data_map),
            on=local_day(item.received_at),
            outcome=closing_words(item) if item.state == State.CLOSED else _("running"),
        )
        for item in found
        if item.received_at
    ]


@dataclass(frozen=True)
class PlanRow:
    system: str
    name: str
    sensitive: bool
    count: int | None
    fate: str
    outcome: str
    basis: str
    before: str
    after: str


@dataclass(frozen=True)
class CasePlan:
    read_at: datetime
    going: int
    waiting: int
    kept: int
    counted: bool
    packed: int
    rules: str
    rows: tuple[PlanRow, ...]
    unknown: tuple[str, ...]


def present_case_plan(request: Request, plan: Plan, data_map: DataMap) -> CasePlan:
    """The plan per system with what is there before and after."""
    language = get_language() or "zh-hans"
    kind = Kind(request.kind)
    packed = kind is Kind.ACCESS
    going, waiting, kept = plan.count(*GOING), plan.count(Fate.BLOCKED, Fate.PERSON), plan.count(*STAYING)
    lines = plan.lines if kind is not Kind.CORRECTION else ()
    return CasePlan(
        read_at=plan.read_at,
        going=going,
        waiting=waiting,
        kept=kept,
        counted=bool(lines) and not packed,
        packed=plan.total if packed else 0,
        rules=listed(sorted({rule for line in plan.lines if line.rule for rule in line.rule.split("/")})),
        rows=(
            *_acts(request, plan, data_map, language),
            *(
                _plan_row(line, kind=kind, data_map=data_map, language=language)
                for line in lines
                if line.count or line.fate is Fate.UNKNOWN
            ),
        ),
        unknown=tuple(
            data_map.systems[key].label(language) if key in data_map.systems else key for key in plan.unknown
        ),
    )


def _plan_row(line: Line, *, kind: Kind, data_map: DataMap, language: str) -> PlanRow:
    item = data_map.collections.get(line.collection)
    number = f"{line.count:,}"
    after = {Fate.ERASE: "0", Fate.MASK: _("%(n)s blanked") % {"n": number}, Fate.HOLD: _("restricted")}
    packed = kind is Kind.ACCESS
    return PlanRow(
        system=system_label(line.system, data_map, language),
        name=collection_label(line.collection, data_map, language),
        sensitive=bool(item and item.sensitive),
        count=None if line.fate is Fate.UNKNOWN else line.count,
        fate="collect" if packed else line.fate.value,
        outcome=_("into the package") if packed else outcome_words(line, data_map),
        basis=f"{line.key} · {line.rule}" if line.rule else line.key,
        before=number,
        after="" if packed else after.get(line.fate, ""),
    )


def _acts(request: Request, plan: Plan, data_map: DataMap, language: str) -> list[PlanRow]:
    """What is written rather than erased: a corrected value, a consent taken back, a relationship that ends."""
    details: Mapping[str, Any] = request.details
    match Kind(request.kind):
        case Kind.CORRECTION:
            # Values are shown whole: a reviewer compares old and new with the proof, letter by letter.
            return [
                _act(
                    key, data_map, language, fate="correct", outcome=_("corrected where it says so"),
                    before=str(item.get("old") or "–"), after=str(item.get("new", "")),
                )
                for item in details.get("items", ())
                if item["correction"] in data_map.corrections
                for key, _column in data_map.corrections[item["correction"]].fields
            ]  # fmt: skip
        case Kind.WITHDRAWAL:
            return [
                _act(
                    data_map.consents[key].collection, data_map, language, fate="stop", outcome=_("stopped"),
                    name=data_map.consents[key].label(language), before=_("agreed"), after=_("withdrawn"),
                )
                for key in details.get("purposes", ())
                if key in data_map.consents
            ] + [
                _act(
                    item.key, data_map, language, fate="stop", outcome=_("stopped"),
                    name=received.party.name(language), before=_("receives"), after=_("stopped"),
                )
                for received in list_recipients(data_map)
                if received.party.key in (details.get("recipients") or ())
                for item in received.refusable
            ]  # fmt: skip
        case Kind.CANCELLATION:
            closing = set(details.get("entities", ())) or set(data_map.entities)
            there = {line.collection for line in plan.lines if line.count or line.fate is Fate.UNKNOWN}
            return [
                _act(
                    item.key, data_map, language, fate="close", outcome=_("relationship ended"),
                    before=_("in force"), after=_("ended"),
                )
                for item in data_map.collections.values()
                if item.entity in closing and item.close and item.key in there
            ]  # fmt: skip
        case _:
            return []


def _act(
    collection: str,
    data_map: DataMap,
    language: str,
    *,
    fate: str,
    outcome: str,
    before: str,
    after: str,
    name: str = "",
) -> PlanRow:
    item = data_map.collections.get(collection)
    return PlanRow(
        system=system_label(item.system, data_map, language) if item else "",
        name=name or collection_label(collection, data_map, language),
        sensitive=False,
        count=None,
        fate=fate,
        outcome=outcome,
        basis="",
        before=before,
        after=after,
    )


def recipients_of(plan: Plan, data_map: DataMap) -> str:
    """Who was given data that goes, and must be told."""
    language = get_language() or "zh-hans"
    names = [
        recipient(language)
        for line in plan.lines
        if line.collection in data_map.collections
        for recipient in data_map.collections[line.collection].recipients
    ]
    return listed_parties(names)


@dataclass(frozen=True)
class Judgement:
    lead: str
    text: str


def present_judgements(request: Request, *, plan: Plan | None, data_map: DataMap) -> list[Judgement]:
    """What stands in the way and what only a person can judge."""
    language = get_language() or "zh-hans"
    found = []
    changed = request.events.filter(kind="plan_changed").order_by("-at", "-pk").first()
    if changed and State(request.state) is State.REVIEW:
        names = listed(collection_label(key, data_map, language) for key in changed.body.get("collections", ()))
        found.append(
            Judgement(
                _("The plan has changed since it was approved."),
                _("More would go now than was approved: %(names)s. Nothing was done.") % {"names": names},
            )
        )
    # What stands in the way of erasing never stands in the way of a copy or a correction.
    for fact in plan.blockers if plan and request.kind not in {Kind.ACCESS, Kind.CORRECTION} else ():
        facts = fact_words(fact)
        label = reason_words(fact.key, data_map)
        company = data_map.entities[fact.entity].name(language) if fact.entity in data_map.entities else fact.entity
        lead = _("In the way: %(what)s.") if fact.cancel == "defer" else _("To be judged: %(what)s.")
        found.append(Judgement(lead % {"what": label}, f"{company} · {facts}" if facts else company))
    for line in plan.of(Fate.PERSON) if plan and request.kind not in {Kind.ACCESS, Kind.CORRECTION} else ():
        name = collection_label(line.collection, data_map, language)
        lead = ngettext("%(name)s, %(n)s record.", "%(name)s, %(n)s records.", line.count) % {
            "name": name, "n": f"{line.count:,}",
        }  # fmt: skip
        found.append(Judgement(lead, REASONS[line.key].text(language) if line.key in REASONS else line.key))
    for key in ("DECEASED.REVIEW", "REPEAT.FEE_OR_REFUSE", "REPEAT.ABUSE"):
        if key in request.review_reasons and State(request.state) is State.REVIEW:
            lead = _("To be judged: %(what)s.") % {"what": reason_words(key, data_map)}
            found.append(Judgement(lead, _how_to_judge(key)))
    if "NEED.EVIDENCE" in request.review_reasons:
        found.append(
            Judgement(
                _("A proof of identity is needed."),
                _("Compare the new value with the proof; ask for it if it is missing."),
            )
        )
    return found


def _how_to_judge(key: str) -> str:
    return {
        "DECEASED.REVIEW": _("Compare the proofs of the death and of the kinship, their own interest, prior wishes."),
        "REPEAT.FEE_OR_REFUSE": _("Serve it, quote what it costs, or refuse: nothing changed since the last copy."),
        "REPEAT.ABUSE": _("Serve it, or refuse it as vexatious with the reason."),
    }[key]
