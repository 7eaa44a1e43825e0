"""Plans, companies and requests as the templates want them, in the language of the page."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.masks import mask_email, mask_id_number, mask_name, mask_phone
from rights.consents import ended_names
from rights.datamap import Blocker, Collection, DataMap
from rights.kernel.clock import Pause, local_day
from rights.kernel.decisions import reason
from rights.kernel.plan import GOING, BlockerFact, Fate, Line, Plan
from rights.kernel.states import Kind, State
from rights.models import Request
from rights.queries import active_rules, clock_facts, due_of
from rights.templatetags.look import day_text, limit_text, listed, on_text, records
from rights.wording import cite, ground_words

_AMOUNT = re.compile(r"-?\d+\.\d\d")
SUMMARY_KINDS = 3
KINDS_NAMED = 4

# ---- a plan --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlanLine:
    """One line as parts/line.html shows it."""

    name: str
    count: int
    fate: Fate
    company: str = ""
    text: str = ""
    sensitive: bool = False
    basis: str = ""
    rule: str = ""
    why: str = ""
    first_release: date | None = None
    last_release: date | None = None
    open_ended: int = 0
    facts: tuple[tuple[str, str], ...] = ()
    fix_url: str = ""
    fix_label: str = ""
    warning: str = ""
    ground: str = ""


@dataclass(frozen=True)
class Section:
    """The lines of one fate; `count` is their sum."""

    lines: tuple[PlanLine, ...] = ()

    @property
    def count(self) -> int:
        return sum(line.count for line in self.lines)


@dataclass(frozen=True)
class AskedParty:
    """A system that is asked within `days` days; no number is known of it."""

    name: str
    company: str
    days: int


@dataclass(frozen=True)
class PlanView:
    """A plan in sections, one for each way it may go. What shows add up to the total."""

    going: Section
    waiting: Section
    person: Section
    kept: Section
    in_use: Section
    unknown: tuple[str, ...]
    matters: int
    restricted: Section = Section()
    refused: Section = Section()
    looked_at: tuple[str, ...] = ()
    """Facts that do not defer a cancellation but make a person look at it."""
    backups: tuple[tuple[str, int], ...] = ()
    """Systems from which something goes, with the days that their backups need to be clear of it."""
    asked: tuple[AskedParty, ...] = ()

    @property
    def total(self) -> int:
        return self.going.count + self.sum_waiting + self.sum_kept

    @property
    def sum_waiting(self) -> int:
        return self.waiting.count + self.person.count

    @property
    def sum_kept(self) -> int:
        return self.kept.count + self.in_use.count + self.restricted.count + self.refused.count

    @property
    def last_release(self) -> date | None:
        return max((line.last_release for line in self.kept.lines if line.last_release), default=None)


def present_plan(plan: Plan, data_map: DataMap, *, language: str, today: date) -> PlanView:
    """A plan, live or stored, in words. `today` is the day for which it is shown."""
    citations = {rule.label: rule.citation for rule in active_rules()}

    def of(*fates: Fate) -> Section:
        return Section(
            tuple(
                present_line(line, plan, data_map, language=language, citations=citations)
                for line in plan.of(*fates)
                if line.collection in data_map.collections
            )
        )

    waiting = _blocked_lines(plan, data_map, language=language)
    return PlanView(
        going=of(*GOING),
        waiting=Section(waiting),
        person=of(Fate.PERSON),
        kept=of(Fate.HOLD),
        in_use=of(Fate.KEEP),
        restricted=of(Fate.RESTRICT),
        refused=of(Fate.REFUSE),
        unknown=tuple(data_map.systems[key].label(language) for key in plan.unknown if key in data_map.systems),
        matters=len(waiting),
        backups=tuple(
            (data_map.systems[key].label(language), days) for key, days in plan.backups if key in data_map.systems
        ),
        looked_at=tuple(
            data_map.blockers[fact.key].label(language)
            for fact in plan.blockers
            if fact.cancel == "person" and fact.entity in plan.closing and fact.key in data_map.blockers
        ),
        asked=tuple(
            AskedParty(party.name(language), data_map.entities[party.entity].service(language), party.days)
            for party in map(data_map.asked.get, plan.asked)
            if party
        ),
    )


def present_line(line: Line, plan: Plan, data_map: DataMap, *, language: str, citations: Mapping[str, str]) -> PlanLine:
    """One line in words. `citations`: the law of each rule, by its label."""
    item = data_map.collections[line.collection]
    given = reason(line.key)
    text, why, basis = given.text(language), "", cite(given.basis, language)
    if line.fate is Fate.KEEP or (line.fate in GOING and not item.while_relationship):
        # The map's own words; those of a collection that a service needs are true only while it stays.
        text = item.basis(language) if item.basis else text
    elif line.fate is Fate.HOLD and line.key != "HOLD.RELATION_ACTIVE":
        # The section says what a hold is; the line says what the records are for, and the law on demand.
        text, why = item.purpose(language), text
        basis = _cite_rules(line.rule, citations, language) or basis
    elif line.fate is Fate.HOLD:
        basis = _cite_rules(line.rule, citations, language) or basis
    return PlanLine(
        name=item.label(language),
        count=line.count,
        fate=line.fate,
        company=data_map.entities[line.entity].service(language),
        text=text,
        sensitive=item.sensitive,
        basis=basis,
        rule=line.rule or "",
        why=why,
        first_release=line.first_release,
        last_release=line.last_release,
        open_ended=line.open_ended,
        ground=ground_words(item, language),
        warning=_forfeit_warning(item, plan, data_map, language=language) if line.fate in GOING else "",
    )


def _cite_rules(rules: str | None, citations: Mapping[str, str], language: str) -> str:
    found = [citations[label] for label in (rules or "").split("/") if label in citations]
    return cite("；".join(dict.fromkeys(found)), language)


def _blocked_lines(plan: Plan, data_map: DataMap, *, language: str) -> tuple[PlanLine, ...]:
    """One line per matter: what stands in the way, how many records wait for it, what settles it."""
    lines = []
    order = sorted(plan.of(Fate.BLOCKED), key=lambda line: (line.entity, line.blockers))
    for (entity, keys), group in groupby(order, key=lambda line: (line.entity, line.blockers)):
        waiting = list(group)
        blockers = [data_map.blockers[key] for key in keys if key in data_map.blockers]
        items = [data_map.collections[line.collection] for line in waiting if line.collection in data_map.collections]
        fixed = next((blocker for blocker in blockers if blocker.fix_url), None)
        given = reason(waiting[0].key)
        lines.append(
            PlanLine(
                name=listed(blocker.label(language) for blocker in blockers) or given.text(language),
                count=sum(line.count for line in waiting),
                fate=Fate.BLOCKED,
                company=data_map.entities[entity].service(language),
                text=_("%(kinds)s. %(reason)s")
                % {"kinds": _kinds(items, language=language), "reason": given.text(language)},
                sensitive=any(item.sensitive for item in items),
                basis=cite(given.basis, language),
                facts=tuple(
                    (blocker.label(language), value)
                    for blocker in blockers
                    for fact in plan.blockers
                    if fact.key == blocker.key and fact.entity == entity
                    for value in shown_values(fact)
                ),
                fix_url=fixed.fix_url if fixed else "",
                fix_label=fixed.fix(language) if fixed and fixed.fix else "",
            )
        )
    return tuple(lines)


def listed_parties(names: Iterable[str]) -> str:
    """Names of recipients. Where one names several companies itself, they are parted more strongly."""
    each = list(dict.fromkeys(names))
    if any("、" in name for name in each):
        return "；".join(each)
    return "; ".join(each) if any(", " in name for name in each) else listed(each)


def _kinds(items: Sequence[Collection], *, language: str) -> str:
    """What waits, by name; of many kinds the first few and how many there are."""
    names = listed(item.label(language) for item in items[:KINDS_NAMED])
    if len(items) <= KINDS_NAMED:
        return names
    return _("%(names)s and others, %(n)s kinds in all") % {"names": names, "n": len(items)}


def shown_values(fact: BlockerFact) -> list[str]:
    """What the person sees of a fact, one text per row: "XD880002-1 · ¥12,800.00"."""
    return [" · ".join(_value(text) for text in row.values() if text) for row in fact.shown]


def _value(text: str) -> str:
    return f"¥{float(text):,.2f}" if _AMOUNT.fullmatch(text) else text


# ---- what lapses when a service ends --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Forfeit:
    """Something of value that ends with a service and has to be given up expressly."""

    key: str
    entity: str
    label: str


def present_forfeits(plan: Plan, data_map: DataMap, *, language: str) -> list[Forfeit]:
    """Facts that do not stand in the way but cost the person something: map blockers with `cancel: forfeit`."""
    return [
        Forfeit(fact.key, fact.entity, _forfeit_label(fact, data_map.blockers[fact.key], language=language))
        for fact in plan.blockers
        if fact.cancel == "forfeit" and fact.key in data_map.blockers
    ]


def present_waivable(plan: Plan, data_map: DataMap, *, language: str) -> list[Forfeit]:
    """What defers a cancellation and may be expressly given up instead: map blockers with `waivable: true`."""
    return [
        Forfeit(
            fact.key,
            fact.entity,
            " · ".join([data_map.blockers[fact.key].label(language), *shown_values(fact)]),
        )
        for fact in plan.blockers
        if fact.waivable and fact.key in data_map.blockers
    ]


def _forfeit_label(fact: BlockerFact, blocker: Blocker, *, language: str) -> str:
    # Translators: such as "860 points lapse".
    return _("%(amount)s %(what)s lapse") % {
        "amount": listed(shown_values(fact)) or str(fact.count), "what": blocker.label(language),
    }  # fmt: skip


def _forfeit_warning(item: Collection, plan: Plan, data_map: DataMap, *, language: str) -> str:
    return listed(
        _forfeit_label(fact, data_map.blockers[fact.key], language=language)
        for fact in plan.blockers
        if fact.cancel == "forfeit" and fact.collection == item.key and fact.key in data_map.blockers
    )


# ---- who holds what -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KindMark:
    """One kind of data at one company, by what lasts longest of it."""

    label: str
    count: int
    fate: Fate
    sensitive: bool
    last_year: int | None


@dataclass(frozen=True)
class CompanyView:
    key: str
    name: str
    service: str
    url: str
    count: int
    summary: str
    kinds: tuple[KindMark, ...]
    state: str
    read_at: datetime


# What outlasts what, where records of one kind have several fates.
_LASTING = (
    Fate.BLOCKED, Fate.PERSON, Fate.REFUSE, Fate.RESTRICT, Fate.KEEP, Fate.HOLD, Fate.MASK, Fate.ERASE,
)  # fmt: skip


def present_companies(
    plan: Plan,
    data_map: DataMap,
    *,
    language: str,
    url_of: Callable[[str], str] = lambda entity: "",
    entities: frozenset[str] = frozenset(),
) -> list[CompanyView]:
    """Every company with a system in the map: what it holds, and the last year in which anything of a kind is left.

    `entities`: only these; none means all.
    """
    companies = []
    for key, entity in data_map.entities.items():
        if entities and key not in entities:
            continue
        systems = {system.key for system in data_map.systems.values() if system.entity == key}
        if not systems:
            continue
        lines = [line for line in plan.lines if line.entity == key and line.count]
        kinds = [
            _kind_mark(data_map.collections[collection], list(group), language=language)
            for collection, group in groupby(
                sorted(lines, key=lambda line: line.collection), key=lambda line: line.collection
            )
            if collection in data_map.collections
        ]
        largest = sorted(kinds, key=lambda kind: -kind.count)
        companies.append(
            CompanyView(
                key=key,
                name=entity.name(language),
                service=entity.service(language),
                url=url_of(key) if kinds else "",
                count=sum(kind.count for kind in kinds),
                summary=listed(kind.label for kind in largest[:SUMMARY_KINDS]),
                kinds=tuple(kinds),
                state="unreachable" if systems & set(plan.unknown) and not kinds else "loaded",
                read_at=plan.read_at,
            )
        )
    return companies


def _kind_mark(item: Collection, lines: Sequence[Line], *, language: str) -> KindMark:
    lasting = min(lines, key=lambda line: (_LASTING.index(line.fate), not line.open_ended))
    dated = lasting.fate is Fate.HOLD and not any(line.open_ended for line in lines)
    ends = [line.last_release for line in lines if line.last_release]
    return KindMark(
        label=item.label(language),
        count=sum(line.count for line in lines),
        fate=lasting.fate,
        sensitive=item.sensitive,
        last_year=max(ends).year if dated and ends else None,
    )


def going_kinds(companies: Iterable[CompanyView]) -> int:
    """How many kinds can go now, to the last record."""
    return sum(kind.fate in GOING for company in companies for kind in company.kinds)


# ---- requests -------------------------------------------------------------------------------------------------------


def service_names(entities: Iterable[str], data_map: DataMap, language: str) -> list[str]:
    """The services of these companies, in the map's order."""
    wanted = set(entities)
    return [entity.service(language) for key, entity in data_map.entities.items() if key in wanted]


def title_of(request: Request, data_map: DataMap, language: str) -> str:
    """What a request is about, short: "Delete: Loans, Wealth"."""
    details = request.details
    entities = set(details.get("entities") or ())
    names = listed(service_names(entities, data_map, language))
    match Kind(request.kind):
        case Kind.ACCESS:
            return _("See and copy: %(what)s") % {"what": names} if names else _("See and copy everything")
        case Kind.DELETION:
            return _("Delete: %(what)s") % {"what": names} if names else _("Delete everything that can go")
        case Kind.CANCELLATION:
            everywhere = entities >= {key for key, entity in data_map.entities.items() if entity.relationship}
            return _("Cancel all services") if everywhere else _("Cancel: %(what)s") % {"what": names}
        case Kind.WITHDRAWAL:
            return _("Stop: %(what)s") % {"what": listed(ended_names(details, data_map, language))}
        case Kind.CORRECTION:
            keys = dict.fromkeys(item["correction"] for item in details.get("items") or ())
            labels = [data_map.corrections[key].label(language) for key in keys if key in data_map.corrections]
            return _("Correct: %(what)s") % {"what": listed(labels)}


@dataclass(frozen=True)
class CaseView:
    """A submitted request: what parts/running.html, done.html and the list of requests show of it."""

    ref: str
    kind: str
    title: str
    url: str
    received_at: datetime
    closed_at: datetime | None
    due: date | None
    rolled_due: date | None
    days_left: int | None
    started_on: date | None
    paused: bool
    paused_days: int
    deferred: bool
    closed: bool
    turn: str
    limit: str
    """How long its limit is, in words: that which starts anew when it goes on after it was put off."""
    immediate: bool = False
    whose: str = ""
    """For whom it was filed, or who filed it; empty where that is the reader."""
    pauses: tuple[Pause, ...] = field(default=())


def present_case(request: Request, data_map: DataMap, *, language: str, now: datetime) -> CaseView:
    """A request that was submitted; a draft raises ValueError, as it has no clock."""
    if request.received_at is None:
        raise ValueError("A draft is not a case.")
    due = due_of(request, now=now)
    pauses = clock_facts(request).pauses
    today = local_day(now)
    state = State(request.state)
    return CaseView(
        ref=request.reference or "",
        kind=request.kind,
        title=title_of(request, data_map, language),
        url=reverse("rights:request", args=[request.pk]),
        received_at=request.received_at,
        closed_at=request.closed_at,
        due=due.on,
        rolled_due=due.rolled,
        days_left=due.days_left,
        started_on=due.started_on,
        paused=due.paused,
        paused_days=sum(pause.days(today) for pause in pauses if pause.answered_on is None),
        deferred=due.deferred,
        closed=state is State.CLOSED,
        turn=turn_of(request, data_map, language=language),
        limit=limit_text(request.limit_days, working=request.working_days),
        pauses=pauses,
    )


def turn_of(request: Request, data_map: DataMap, *, language: str) -> str:
    """Whom the request waits for, since when."""
    match State(request.state):
        case State.WAITING:
            asked = [item.asked_at for item in request.questions.all() if item.answered_at is None]
            asked += [item.quoted_at for item in request.fees.all() if item.settled_at is None]
            since = day_text(max(asked)) if asked else ""
            return _("It is your turn, since %(day)s. These days do not count.") % {"day": since}
        case State.DEFERRED:
            matters = _matters_of(request, data_map, language=language)
            if matters:
                return _("Waits for this: %(what)s. Then it goes on by itself.") % {"what": listed(matters)}
            return _("Waits for something that is in the way. Then it goes on by itself.")
        case State.REVIEW:
            return _("It is our turn: a person checks it. There is nothing for you to do.")
        case State.ACTING:
            return _("It is our turn: we are carrying it out. There is nothing for you to do.")
        case State.CLOSED:
            return _("Finished on %(day)s.") % {"day": day_text(request.closed_at)}
        case _:
            return _("It is our turn: we are looking at it. There is nothing for you to do.")


def _matters_of(request: Request, data_map: DataMap, *, language: str) -> list[str]:
    lines = (request.approved_plan or request.plan or {}).get("lines", [])
    keys = dict.fromkeys(key for line in lines for key in line["blockers"])
    return [data_map.blockers[key].label(language) for key in keys if key in data_map.blockers]


# ---- values and sums in words ---------------------------------------------------------------------------------------


def mask_value(correction: str, value: str) -> str:
    """A recorded value, enough for its owner to know it again."""
    match correction:
        case "phone":
            return mask_phone(value)
        case "email":
            return mask_email(value)
        case "name":
            return mask_name(value)
        case "id_number":
            return mask_id_number(value)
    shown = max(1, min(6, len(value) // 2))
    return value[:shown] + "*" * min(len(value) - shown, 6)


def kept_words(view: PlanView) -> str:
    """ "48 records, the last until 2027-11-23" of what the law keeps; empty where it keeps nothing."""
    if not view.kept.count:
        return ""
    open_ended = any(line.open_ended for line in view.kept.lines)
    if view.last_release is None:
        return _("%(records)s, the period has not begun") % {"records": records(view.kept.count)}
    given = {"records": records(view.kept.count), "day": on_text(view.last_release)}
    if open_ended:
        return _("%(records)s, those with a date until %(day)s at the latest") % given
    return _("%(records)s, the last until %(day)s") % given


def waiting_words(view: PlanView) -> str:
    """ "219 records: A loan is not repaid", and how many a person decides about."""
    parts = [
        _("%(records)s: %(what)s") % {"records": records(line.count), "what": line.name} for line in view.waiting.lines
    ]
    if view.person.count:
        parts.append(
            ngettext("%(n)s record: a person decides", "%(n)s records: a person decides", view.person.count)
            % {"n": f"{view.person.count:,}"}
        )
    return _("; ").join(parts)
