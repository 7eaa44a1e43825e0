"""A case as the desk shows it: facts of the request, the plan and the systems, put into words for a reviewer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count
from django.urls import reverse
from django.utils import translation
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from accounts.authority import is_over
from accounts.identities import get_identities
from accounts.masks import mask_id_number
from accounts.models import Authority, Identity, User
from accounts.permissions import can
from rights.actions.gates import is_stopped
from rights.actions.submit import closes_on
from rights.datamap import DataMap
from rights.kernel.clock import Pause, local_day
from rights.kernel.decisions import REASONS, Outcome
from rights.kernel.plan import GOING, STAYING, BlockerFact, Fate, Line, Plan
from rights.kernel.states import Kind, State
from rights.models import Event, Request, Step
from rights.queries import Due, clock_facts, due_if_any, due_of, load_calendar, open_fee, submitted_requests
from rights.templatetags.look import day_text, gap, iso_moment, listed, on_text
from rights.web.present import listed_parties, shown_values
from rights.wording import cite

EVENTS_SHOWN = 100
STEPS_SHOWN = 200
EARLIER_SHOWN = 10


# --- words


def kind_word(kind: str) -> str:
    """What a request of this kind is called on the desk. An unknown kind raises KeyError."""
    return {
        Kind.ACCESS: _("Copy"),
        Kind.CORRECTION: _("Correction"),
        Kind.DELETION: _("Deletion"),
        Kind.WITHDRAWAL: _("Withdrawal of consent"),
        Kind.CANCELLATION: _("Cancellation"),
    }[Kind(kind)]


def matter_of_case(request: Request, data_map: DataMap) -> str:
    """Kind and scope in a few words: what of whom, or how many of it."""
    language = get_language() or "zh-hans"
    details: Mapping[str, Any] = request.details
    kind = Kind(request.kind)
    if kind is Kind.CORRECTION:
        named = [data_map.corrections.get(item["correction"]) for item in details.get("items", ())]
        scope = [item.label(language) for item in named if item]
    elif kind is Kind.WITHDRAWAL:
        purposes = [data_map.consents.get(key) for key in details.get("purposes", ())]
        scope = [item.label(language) for item in purposes if item]
    else:
        keys = list(details.get("entities", ()))
        everything = not keys or set(keys) >= set(data_map.entities)
        scope = (
            [_("everything")]
            if everything
            else [data_map.entities[key].service(language) for key in keys if key in data_map.entities]
        )
    scope = list(dict.fromkeys(scope))
    words = scope[0] if scope else ""
    if len(scope) > 1:
        words = ngettext("%(first)s and %(n)s more", "%(first)s and %(n)s more", len(scope) - 1) % {
            "first": scope[0], "n": len(scope) - 1,
        }  # fmt: skip
    return f"{kind_word(kind)} · {words}" if words else kind_word(kind)


def reason_words(key: str, data_map: DataMap) -> str:
    """Why a case came to the desk, in a few words."""
    known = {
        "POLICY.DELETION": _("every deletion is looked at"),
        "POLICY.CANCELLATION": _("every cancellation is looked at"),
        "SHARED.OWNERS": _("joint records"),
        "HOLD.NO_RULE": _("no rule in force"),
        "NEED.EVIDENCE": _("proof of identity"),
        "OK.MINOR": _("a child's data"),
        "DECEASED.REVIEW": _("a relative of somebody who died"),
        "REPEAT.FEE_OR_REFUSE": _("the same copy again"),
        "REPEAT.ABUSE": _("asked many times"),
        "AGENT.UNAUTHORISED": _("no valid authority"),
        "ID.UNVERIFIED": _("identity not proved"),
        "SYSTEM.UNKNOWN": _("a system does not answer"),
        "POLICY.ACCESS": _("every copy is looked at"),
        "POLICY.CORRECTION": _("every correction is looked at"),
        "POLICY.WITHDRAWAL": _("every withdrawal is looked at"),
    }
    if key in known:
        return known[key]
    if key in data_map.blockers:
        return data_map.blockers[key].label(get_language() or "zh-hans")
    return key


def fact_words(fact: BlockerFact) -> str:
    """What a business system says of the fact in the way: contract L2, ¥4,260.00."""
    return ("；" if _chinese() else "; ").join(text for text in shown_values(fact) if text)


def outcome_words(line: Line, data_map: DataMap) -> str:
    """What becomes of a line's records."""
    match line.fate:
        case Fate.ERASE:
            return _("erased")
        case Fate.MASK:
            return _("blanked out")
        case Fate.BLOCKED:
            return ", ".join(reason_words(key, data_map) for key in line.blockers) or _("waits")
        case Fate.PERSON:
            return _("you decide")
        case Fate.HOLD if line.last_release and line.first_release != line.last_release:
            return _("one by one until %(day)s") % {"day": line.last_release.isoformat()}
        case Fate.HOLD if line.last_release:
            return _("kept until %(day)s") % {"day": line.last_release.isoformat()}
        case Fate.HOLD:
            return _("the period has not begun")
        case Fate.KEEP:
            return _("in use")
        case Fate.RESTRICT:
            return _("only stored from now on")
        case Fate.REFUSE:
            return _("not covered: %(reason)s") % {"reason": reason_words(line.key, data_map)}
        case _:
            return _("not known")


def _chinese() -> bool:
    return (get_language() or "zh").startswith("zh")


# --- the queue


@dataclass(frozen=True)
class QueueRow:
    """One line of the queue; see templates/desk/queue.html."""

    url: str
    ref: str
    days_left: int | None
    paused: bool
    paused_days: int
    deferred: bool
    closed: bool
    due: date | None
    rolled_due: date | None
    since: str
    matter: str
    person: str
    stuck: str
    seen: str
    seen_text: str
    viewer: str
    owner: str
    claim_url: str
    mine: bool


def present_rows(requests: Sequence[Request], *, reviewer: User, data_map: DataMap, now: datetime) -> list[QueueRow]:
    """The rows of one page: four queries for all of them, whatever their number."""
    calendar = load_calendar()
    keys = [request.pk for request in requests]
    steps: dict[Any, dict[str, int]] = {}
    for row in Step.objects.filter(request__in=keys).values("request", "state").annotate(n=Count("pk")):
        steps.setdefault(row["request"], {})[row["state"]] = row["n"]
    looked_at = set(
        Event.objects.filter(request__in=keys, kind__in=("claimed", "decided", "asked")).values_list(
            "request", flat=True
        )
    )
    return [
        _present_row(
            request,
            due=due_if_any(request, now=now, calendar=calendar),
            reviewer=reviewer,
            data_map=data_map,
            steps=steps.get(request.pk, {}),
            seen=request.pk in looked_at,
            now=now,
        )
        for request in requests
    ]


def _present_row(
    request: Request,
    *,
    due: Due | None,
    reviewer: User,
    data_map: DataMap,
    steps: Mapping[str, int],
    seen: bool,
    now: datetime,
) -> QueueRow:
    closed = request.state == State.CLOSED
    runs = due if due and not closed and not due.deferred else None
    owner = request.reviewer
    free = owner is None and not closed and can(reviewer, "request.claim")
    return QueueRow(
        url=reverse("desk:case", args=[request.pk]),
        ref=request.reference or "",
        days_left=runs.days_left if runs else None,
        paused=bool(due and due.paused),
        paused_days=_paused_days(request, now=now),
        deferred=bool(due and due.deferred),
        closed=closed,
        due=runs.on if runs else None,
        rolled_due=runs.rolled if runs else None,
        since=_since(request),
        matter=matter_of_case(request, data_map),
        person=request.subject.masked_name,
        stuck=where_stuck(request, data_map=data_map, steps=steps),
        seen="ok" if seen else "un",
        seen_text=_("taken up") if seen else _("not yet"),
        viewer="",
        owner="" if owner is None else _("you") if owner.pk == reviewer.pk else owner.display_name,
        claim_url=reverse("desk:claim", args=[request.pk]) if free else "",
        mine=owner is not None and owner.pk == reviewer.pk,
    )


def _since(request: Request) -> str:
    if request.state == State.CLOSED and request.closed_at:
        return _("closed %(day)s") % {"day": local_day(request.closed_at).isoformat()}
    if request.state == State.DEFERRED and request.deferred_at:
        return _("since %(day)s") % {"day": local_day(request.deferred_at).isoformat()}
    if request.state == State.WAITING and request.lacks_proof and request.received_at:
        return _("ends on %(day)s without a proof") % {"day": closes_on(request.received_at).isoformat()}
    return ""


def _paused_days(request: Request, *, now: datetime) -> int:
    if request.state != State.WAITING or request.lacks_proof:
        return 0
    open_pauses = [pause for pause in clock_facts(request).pauses if pause.answered_on is None]
    return max((pause.days(local_day(now)) for pause in open_pauses), default=0)


def where_stuck(request: Request, *, data_map: DataMap, steps: Mapping[str, int]) -> str:
    """Whom or what a request waits for, in words."""
    dead, done, total = steps.get(Step.State.DEAD, 0), steps.get(Step.State.DONE, 0), sum(steps.values())
    if dead:
        return ngettext("%(n)s step failed", "%(n)s steps failed", dead) % {"n": dead}
    match State(request.state):
        case State.REVIEW:
            return listed(reason_words(key, data_map) for key in request.review_reasons) or _("to be decided")
        case State.WAITING if request.lacks_proof:
            return listed(reason_words(key, data_map) for key in request.review_reasons)
        case State.WAITING if fee := open_fee(request):
            return _("waits for an answer to the fee of ¥%(amount)s") % {"amount": fee.amount}
        case State.WAITING:
            return _("waits for the person's answer")
        case State.DEFERRED:
            facts = listed(reason_words(key, data_map) for key in _deferral_keys(request))
            return f"{facts} · {_('approved beforehand')}" if request.approved_at else facts
        case State.CHECKING:
            return _("being checked")
        case State.ACTING if request.act_after:
            return _("starts soon")
        case State.ACTING:
            return _("%(done)s of %(total)s steps done") % {"done": done, "total": total}
        case _:
            return closing_words(request)


def _deferral_keys(request: Request) -> list[str]:
    """The facts that an open deferral waits for, as the plan of that moment names them."""
    lines = (request.plan or {}).get("lines", ())
    return sorted({key for line in lines for key in line["blockers"]})


def closing_words(request: Request) -> str:
    """How a closed request came out, in a few words."""
    key = request.closing_key
    if key == "WITHDRAWN":
        return _("taken back by the person")
    if key in {"AGENT.UNAUTHORISED", "ID.UNVERIFIED"}:
        return _("never proved")
    if key in {"FEE.DECLINED", "FEE.UNANSWERED"}:
        return _("fee not accepted")
    if key in REASONS and REASONS[key].outcome in {Outcome.REFUSE, Outcome.PERSON}:
        return _("refused (%(key)s)") % {"key": key}
    return _("done")


# --- the case


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
        paused_days=_paused_days(request, now=now),
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
    return ("，" if _chinese() else ", ").join(words)


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


def system_label(key: str, data_map: DataMap, language: str) -> str:
    if key in data_map.asked:
        return data_map.entities[data_map.asked[key].entity].service(language)
    return data_map.systems[key].label(language) if key in data_map.systems else key


def collection_label(key: str, data_map: DataMap, language: str) -> str:
    return data_map.label_of(key, language)


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


# --- steps and events


@dataclass(frozen=True)
class StepRow:
    company: str
    data: str
    state: str
    kind: str
    done: int
    total: int
    note: str
    url: str
    link: str
    retry_url: str


def present_steps(request: Request, *, data_map: DataMap, now: datetime) -> list[StepRow]:
    """How far each system is; a failed step says why and can be tried again."""
    language = get_language() or "zh-hans"
    found = request.steps.order_by("round", "ordinal").exclude(verb__in=["release", "ask"], state=Step.State.DONE)
    return [_present_step(step, request, data_map, language, now=now) for step in found[:STEPS_SHOWN]]


_DONE_STATES = {"hold": "held", "erase": "erased", "mask": "erased", "release": "erased"}


def _present_step(step: Step, request: Request, data_map: DataMap, language: str, *, now: datetime) -> StepRow:
    note = ""
    match step.state:
        case Step.State.DONE:
            state = _DONE_STATES.get(step.verb, "done")
            note = ngettext("%(n)s record", "%(n)s records", step.done) % {"n": f"{step.done:,}"} if step.done else ""
        case Step.State.RUNNING:
            state = "acting"
        case Step.State.DEAD:
            state, note = "failed", step.error
        case _ if is_stopped(step):
            state, note = "halted", _("Erasures are stopped; why is said above.")
        case _ if step.error:
            state = "unreachable"
            note = _("again on %(at)s · %(error)s") % {"at": iso_moment(step.not_before), "error": step.error}
        case _:
            state = "queued"
    language_kind = "deletion" if step.verb in {"erase", "mask", "hold", "release"} else request.kind
    return StepRow(
        company=system_label(step.system, data_map, language),
        data=_step_name(step, data_map, language),
        state=state,
        kind=language_kind,
        done=step.done,
        total=step.expected,
        note=note,
        url="",
        link="",
        retry_url=reverse("desk:retry", args=[step.pk]) if step.state == Step.State.DEAD else "",
    )


def _step_name(step: Step, data_map: DataMap, language: str) -> str:
    if step.collection == "package":
        return verb_word(step.verb)
    return collection_label(step.collection, data_map, language)


def verb_word(verb: str) -> str:
    words = {
        "export": _("package"),
        "supplement": _("package, what was missing"),
        "correct": _("correction"),
        "consent": _("consent"),
        "close": _("closing"),
        "erase": _("erasure"),
        "mask": _("blanking"),
        "hold": _("hold"),
        "restrict": _("storage only"),
        "release": _("release"),
        "ask": _("asked of others"),
    }
    return words.get(verb, verb)


@dataclass(frozen=True)
class EventRow:
    at: datetime
    text: str
    who: str
    now: bool
    url: str = ""
    link: str = ""


def present_events(request: Request, data_map: DataMap) -> list[EventRow]:
    """The timeline for staff, newest first, with the texts that were exchanged."""
    questions = {question.asked_at: question for question in request.questions.all()}
    answers = {question.answered_at: question for question in request.questions.all() if question.answered_at}
    decisions = {decision.decided_at: decision for decision in request.decisions.all()}
    rows: list[EventRow] = []
    for event in request.events.select_related("actor").order_by("-at", "-pk")[:EVENTS_SHOWN]:
        text = event_words(event, data_map)
        if event.kind == "asked" and event.at in questions:
            if questions[event.at].missing:
                text = _("asked the person for what was missing")
            text = _joined(text, questions[event.at].text)
        elif event.kind == "answered" and event.at in answers:
            text = _joined(text, answers[event.at].answer)
        elif event.kind == "decided" and event.at in decisions:
            text = _joined(text, decisions[event.at].text)
        actor = event.actor
        if actor is not None and actor.is_staff_role:
            text = f"{actor.display_name} · {text}"
        rows.append(EventRow(at=event.at, text=text, who="", now=not rows))
    return rows


def _joined(lead: str, text: str) -> str:
    return f"{lead}{'：' if _chinese() else ': '}{text}" if text else lead


def event_words(event: Event, data_map: DataMap) -> str:
    """One moment of a case in words; a kind without words of its own is shown by its key."""
    language = get_language() or "zh-hans"
    body: Mapping[str, Any] = event.body
    where = collection_label(str(body.get("collection", "")), data_map, language)
    words = {
        "submitted": _("received"),
        "to_review": _("came to the desk"),
        "accepted": _("goes on by itself"),
        "approved": _("approved"),
        "decided": {"approve": _("decided to approve"), "refuse": _("decided to refuse")}.get(
            str(body.get("outcome")), _("decided")
        ),
        "refused": _("refused"),
        "proof_asked": _("received, waits for a proof"),
        "proved": _("proof accepted"),
        "proof_lapsed": _("ended without a proof"),
        "fee_quoted": _("quoted a fee of ¥%(amount)s") % {"amount": body.get("amount", "")},
        "fee_accepted": _("the person accepted the fee"),
        "fee_waived": _("waived the fee"),
        "fee_declined": _("the person declined the fee"),
        "fee_lapsed": _("the fee was not answered"),
        "asked": _("asked the person"),
        "answered": _("the person answered"),
        "deferred": _("put off"),
        "unblocked": _("nothing is in the way any more"),
        "started": _("the changes began"),
        "step_done": "",
        "step_dead": _("failed: %(where)s") % {"where": where},
        "retried": _("tried again: %(where)s") % {"where": where},
        "plan_changed": _("the plan changed, back to the desk"),
        "claimed": _("claimed it"),
        "released_case": _("gave it back"),
        "extended": _("extended until %(day)s") % {"day": body["until"]} if "until" in body else _("extended"),
        "warned": _("due soon"),
        "breached": _("overdue"),
        "check_owed": _("what blocks it was not checked in time"),
        "told": _("passed on"),
        "told_again": _("passed on again"),
        "confirmed": _("confirmed by them"),
        "returned": _("returned"),
        "handover_late": _("no answer in time"),
        "supplement_late": _("a part of the package is missing past its date"),
        "evidence": _("filed evidence"),
        "taken_back": _("taken back by the person"),
        "undone": _("took the decision back"),
        "package_fetched": _("a package was fetched"),
        "package_revoked": _("a package was destroyed before its day"),
        "handed_over": _("a copy for somebody else was made"),
        "closed": _("closed"),
    }
    if event.kind == "step_done":
        verb = verb_word(str(body.get("verb", "")))
        return _("%(verb)s done: %(where)s, %(n)s") % {
            "verb": verb, "where": where, "n": f"{int(body.get('count', 0)):,}",
        }  # fmt: skip
    text = words.get(event.kind, event.kind)
    if "party" in body:
        return f"{text} · {body['name']['en' if language.startswith('en') else 'zh']}"
    if event.kind == "deferred" and body.get("blockers"):
        return _joined(text, listed(reason_words(str(key), data_map) for key in body["blockers"]))
    return text


# --- the letter


def approval_letter(request: Request, plan: Plan, *, data_map: DataMap, due: date) -> str:
    """The text a person gets with an approval, in their language: what goes, what waits, what stays, and until when."""
    with translation.override(request.subject.language):
        language = request.subject.language
        day = day_text(due)
        if request.kind in {Kind.CORRECTION, Kind.ACCESS}:
            return _("We agreed to your request and finish it by %(day)s, 24:00.") % {"day": day}
        parts = []
        going, blocked = plan.count(*GOING), plan.of(Fate.BLOCKED)
        deferred = State(request.state) is State.DEFERRED
        if request.kind == Kind.CANCELLATION and deferred:
            parts.append(_("We agreed to close the service."))
        elif going:
            parts.append(
                ngettext(
                    "%(n)s record can go; it is gone by %(day)s.",
                    "%(n)s records can go; they are gone by %(day)s.",
                    going,
                )
                % {"n": f"{going:,}", "day": day}
            )
        else:
            parts.append(_("We agreed to your request and finish it by %(day)s, 24:00.") % {"day": day})
        parts += [
            _blocked_words(key, plan, data_map, language=language)
            for key in dict.fromkeys(line.key for line in blocked)
        ]
        if held := plan.count(Fate.HOLD):
            last = plan.last_release
            text = (
                ngettext(
                    "%(n)s record stays by law, at the longest until %(day)s; we erase it ourselves afterwards.",
                    "%(n)s records stay by law, at the longest until %(day)s; we erase them ourselves afterwards.",
                    held,
                )
                if last
                else ngettext("%(n)s record stays by law.", "%(n)s records stay by law.", held)
            )
            parts.append(text % {"n": f"{held:,}", "day": on_text(last)})
        parts.append(_("If you disagree, appeal and someone else reviews it; you may also complain or sue."))
        return ("" if language.startswith("zh") else " ").join(parts)


def _blocked_words(key: str, plan: Plan, data_map: DataMap, *, language: str) -> str:
    """What waits for a fact: the reason's own words where it clears by itself, else how much waits for what."""
    if key in REASONS and REASONS[key].outcome is Outcome.DEFER:
        return REASONS[key].text(language)
    waiting = sum(line.count for line in plan.of(Fate.BLOCKED) if line.key == key)
    what = data_map.blockers[key].label(language) if key in data_map.blockers else key
    text = ngettext(
        "%(n)s record waits until this is settled: %(what)s.",
        "%(n)s records wait until this is settled: %(what)s.",
        waiting,
    )
    return text % {"n": f"{waiting:,}", "what": what}


def refusal_letter(request: Request, *, key: str) -> str:
    """The text of a refusal, in the person's language: the reason, its basis, what can be done about it."""
    with translation.override(request.subject.language):
        reason = REASONS[key]
        parts = [reason.text(request.subject.language)]
        if reason.basis:
            parts.append(_("Basis: %(basis)s.") % {"basis": cite(reason.basis, request.subject.language)})
        parts.append(_("If you disagree, appeal and someone else reviews it; you may also complain or sue."))
        return ("" if request.subject.language.startswith("zh") else " ").join(parts)


def extended_due(request: Request, *, now: datetime) -> date:
    """The limit if it were extended now."""
    return due_of(request, now=now, extended=True).on
