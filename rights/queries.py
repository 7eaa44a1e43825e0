"""What pages, the API and the workers read. Due dates and lateness are derived here from the facts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property

from django.conf import settings
from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery

from accounts.models import User
from portal.core import rows
from rights.datamap import DataMap, load_live_map
from rights.kernel import clock
from rights.kernel.calendar import NO_CALENDAR, Calendar, Year
from rights.kernel.handling import SHIPPED, HandlingPolicy
from rights.kernel.plan import Plan
from rights.kernel.retention import Exemption, Rule
from rights.kernel.states import OPEN_STATES, Kind, State
from rights.models import (
    Appeal,
    CalendarYear,
    Decision,
    Event,
    Fee,
    Gate,
    Hold,
    KindLimit,
    Notice,
    PolicyVersion,
    Question,
    Relation,
    RelationshipEnd,
    Request,
    RetentionException,
    RetentionRule,
    Step,
)

NEARLY_DUE, NOT_PRESSING = 2, 5
OUTLIVING = ("release", "supplement")
"""Steps that go on after their request is closed: what is held is released, what was missing is added."""


@dataclass(frozen=True)
class Due:
    """The limit of one request as of a day. `rolled` is the legally rolled date where it differs.

    `missing_year`: working days count as calendar days, the stricter, for want of that year's calendar.
    """

    on: date
    rolled: date | None
    days_left: int
    started_on: date
    paused: bool
    deferred: bool
    missing_year: int | None = None

    @property
    def was_missed(self) -> bool:
        """The limit ran out while the clock ran, whatever the request waits for now."""
        return self.days_left < 0

    @property
    def is_late(self) -> bool:
        """The limit has run out and the clock runs."""
        return self.was_missed and not self.paused and not self.deferred


def load_calendar() -> Calendar:
    """The years that were imported, of each the newest import."""
    rows = CalendarYear.objects.order_by("id").values_list("year", "days_off", "make_up")
    return Calendar(
        {
            year: Year(frozenset(map(date.fromisoformat, days_off)), frozenset(map(date.fromisoformat, make_up)))
            for year, days_off, make_up in rows
        }
    )


class Law:
    """What holds for every request, as of one look: each part is read when it is first asked for and then stands. Made
    anew for each look, so that nothing outlives what it was read from."""

    @cached_property
    def data_map(self) -> DataMap:
        return load_live_map()

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        return active_rules()

    @cached_property
    def calendar(self) -> Calendar:
        return load_calendar()

    @cached_property
    def policy(self) -> HandlingPolicy:
        return policy_in_force()


@dataclass(frozen=True)
class Limit:
    days: int = clock.LIMIT_DAYS
    working_days: bool = False


def limit_of(kind: Kind, *, on: date) -> Limit:
    """The limit of requests of `kind` filed on a day."""
    row = KindLimit.objects.filter(kind=kind, effective_from__lte=on).order_by("-effective_from", "-id").first()
    return Limit(row.days, row.working_days) if row else Limit()


def due_if_filed(kind: Kind, *, on: date) -> date:
    """The last day of a request that is filed on a day, complete."""
    limit = limit_of(kind, on=on)
    facts = clock.ClockFacts(started_on=on, limit_days=limit.days, working_days=limit.working_days)
    return clock.due_on(facts, today=on, calendar=load_calendar() if limit.working_days else NO_CALENDAR)


def clock_facts(request: Request, *, today: date | None = None) -> clock.ClockFacts:
    """As of a day, which matters while an answer that the clock waits for is still open (default: that answer's start).

    Raises ValueError for a draft and for a request that waits for its proof, which have no clock.
    """
    if request.started_on is None:
        raise ValueError("A draft has no clock, nor a request that waits for its proof.")
    asked, quoted = pauses_of(request)
    questions = [(item.missing, _pause_of(item.asked_at, item.answered_at)) for item in asked]
    questions += [(False, _pause_of(fee.quoted_at, fee.settled_at)) for fee in quoted]
    started_on = request.started_on
    if request.received_at and request.resumed_at is None:
        missing = [pause for is_missing, pause in questions if is_missing]
        received_on = clock.local_day(request.received_at)
        as_of = today or max([received_on, *(pause.asked_on for pause in missing)])
        started_on = max(started_on, clock.start_on(received_on=received_on, missing=missing, today=as_of))
    return clock.ClockFacts(
        started_on=started_on,
        pauses=tuple(pause for _, pause in questions if pause.asked_on >= started_on),
        # One extension of the limit that runs: the fresh one that a cleared blocker starts has its own days.
        extended=request.extended_at is not None
        and clock.local_day(request.extended_at) >= request.started_on
        and (request.resumed_at is None or request.extended_at >= request.resumed_at),
        limit_days=request.limit_days,
        working_days=request.working_days,
    )


def pauses_of(request: Request) -> tuple[Iterable[Question], Iterable[Fee]]:
    """What the clock of a request stood still for: what it was asked, and the fees it was quoted."""
    if {"questions", "fees"} <= getattr(request, "_prefetched_objects_cache", {}).keys():
        return request.questions.all(), request.fees.all()
    return rows.find(Question, request=request.pk), rows.find(Fee, request=request.pk)


def starts_clock(request: Request, *, asked_on: date) -> bool:
    """Whether what a request lacked when it was filed, asked for on a day, lets the clock start with the answer: in
    time for that, and no other clock has started since."""
    if request.received_at is None or request.resumed_at is not None:
        return False
    return asked_on <= last_day_to_ask(request.received_at)


def last_day_to_ask(received_at: datetime) -> date:
    """The last day on which asking for what is missing keeps the clock from having started at receipt."""
    return clock.local_day(received_at) + timedelta(days=clock.ASK_WITHIN_DAYS)


def _pause_of(start: datetime, end: datetime | None) -> clock.Pause:
    return clock.Pause(clock.local_day(start), clock.local_day(end) if end else None)


def place_of(request: Request, *, now: datetime) -> int:
    """A request's place among those that wait for a worker: 0 what is late, 1 a child's, 2 what is nearly due, 5 the
    rest.

    Told by its own columns: a pause or an extension puts it forward sooner than it has to be, which harms nobody.
    """
    last_day = request.started_on and request.started_on + timedelta(days=request.limit_days)
    is_near = last_day is not None and last_day - clock.local_day(now) <= timedelta(days=max(clock.WARNING_DAYS))
    return min(request.priority, NEARLY_DUE if is_near else NOT_PRESSING)


def due_of(request: Request, *, now: datetime, calendar: Calendar | None = None, extended: bool = False) -> Due:
    """The due date of a submitted request; of a deferred or closed one, as it was when the clock stopped.

    `calendar` spares a list of requests its own look at it each. `extended`: as if it were extended now.
    """
    today = clock.local_day(request.deferred_at or request.closed_at or now)
    calendar = load_calendar() if calendar is None else calendar
    facts = clock_facts(request, today=today)
    if extended:
        facts = replace(facts, extended=True)
    on = clock.due_on(facts, today=today, calendar=calendar)
    rolled = clock.roll_over(on, calendar=calendar)
    return Due(
        on=on,
        rolled=rolled if rolled != on else None,
        days_left=clock.days_left(on, today=today),
        started_on=facts.started_on,
        paused=request.state == State.WAITING,
        deferred=request.state == State.DEFERRED,
        missing_year=clock.missing_year(facts, calendar=calendar),
    )


def due_if_any(request: Request, *, now: datetime, calendar: Calendar | None = None) -> Due | None:
    """The same; None where no clock runs yet, as it is still to be proved who asks."""
    return due_of(request, now=now, calendar=calendar) if request.started_on else None


def last_day_to_object(request: Request) -> date | None:
    """The last day on which one may still write about a closed request, or appeal; None while it is open."""
    if State(request.state) is not State.CLOSED or request.closed_at is None:
        return None
    return clock.local_day(request.closed_at) + timedelta(days=settings.APPEAL_DAYS)


def unread_breaches(user: User) -> QuerySet[Notice]:
    return Notice.objects.filter(user=user, kind="breach", read_at=None).order_by("-created_at", "-id")


ENDINGS = ("refused", "closed", "fee_lapsed")
"""Events that end a request by what we did or did not do. What the person ended themselves is no decision of ours; one
that was never proved may be filed anew."""


def contested(request: Request, *, now: datetime) -> Event | None:
    """The ending that may be appealed against now; None where there is none, it was appealed against, or the time is
    over."""
    last = last_day_to_object(request)
    if last is None or clock.local_day(now) > last or request.started_on is None:
        return None
    ended = request.events.filter(body__to=State.CLOSED).order_by("-id").first()
    if ended is None or ended.kind not in ENDINGS or Appeal.objects.filter(event=ended).exists():
        return None
    return ended


def appeal_due(appeal: Appeal) -> date:
    """The last day on which an appeal is to be decided: as for a request, with no pause and no extension."""
    return clock.local_day(appeal.filed_at) + timedelta(days=clock.LIMIT_DAYS)


def is_barred(request: Request, staff: User) -> bool:
    """Whether an appeal of the case is not theirs to decide: they decided it, or are in it, or know who is. The
    database refuses it by the same function."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT is_barred(%s, %s)", [request.pk, staff.pk])
        return bool(cursor.fetchone()[0])


def knows_parties(request: Request, staff: User) -> bool:
    return Relation.objects.filter(staff=staff, person__in=[request.subject_id, request.filed_by_id]).exists()


def entities_of(request: Request) -> frozenset[str]:
    """The companies that a request is about, after an appeal those whose part was won; none means all."""
    won = (
        request.appeals.filter(outcome=Appeal.Outcome.OVERTURNED).order_by("-decided_at").first()
        if request.reopened
        else None
    )
    return frozenset((won and won.entities) or request.details.get("entities") or ())


def submitted_requests(user: User) -> QuerySet[Request]:
    """A person's requests that were filed and proved, newest first: for them or by them."""
    return (
        Request.objects.filter(Q(subject=user) | Q(filed_by=user), received_at__isnull=False, started_on__isnull=False)
        .order_by("-received_at", "-id")
        .prefetch_related("questions", "fees")
    )


def open_requests() -> QuerySet[Request]:
    return Request.objects.filter(state__in=[state.value for state in OPEN_STATES])


QUEUE_VIEWS = ("todo", "mine", "messages", "appeals", "waiting", "unproved", "deferred", "acting", "failed", "closed")
QUEUE_PAGE = 50


def queue(view: str, *, reviewer: User) -> QuerySet[Request]:
    """A saved view of the desk, by legal urgency. Raises KeyError for a view that does not exist."""
    running = Q(started_on__isnull=False)
    undecided_deferral = Q(state=State.DEFERRED, approved_at__isnull=True)
    chosen = {
        "todo": Q(state=State.REVIEW) | undecided_deferral,
        "mine": Q(running, state__in=[state.value for state in OPEN_STATES], reviewer=reviewer),
        "messages": Q(unanswered_since__isnull=False),
        "appeals": Q(Exists(Appeal.objects.filter(request=OuterRef("pk"), decided_at__isnull=True))),
        "waiting": Q(running, state=State.WAITING),
        "unproved": Q(~running, state=State.WAITING),
        "deferred": Q(state=State.DEFERRED),
        "acting": Q(state__in=[State.ACTING, State.CHECKING]),
        "failed": Q(Exists(Step.objects.filter(request=OuterRef("pk"), state=Step.State.DEAD))),
        "closed": Q(state=State.CLOSED, received_at__isnull=False),
    }[view]
    found = Request.objects.filter(chosen)
    if view == "appeals":
        appeal = Appeal.objects.filter(request=OuterRef("pk"), decided_at__isnull=True)
        found = found.annotate(appealed_at=Subquery(appeal.values("filed_at")))
    return found.order_by(*queue_order(view))


def queue_order(view: str) -> tuple[str, ...]:
    """By columns that are never null in the view, the last one unique."""
    orders = {
        "closed": ("-closed_at", "-id"),
        "unproved": ("received_at", "id"),
        "messages": ("unanswered_since", "id"),
    }
    return orders.get(view, ("priority", "started_on", "received_at", "id"))


def queue_counts(*, reviewer: User, bound: int = 1000) -> dict[str, int]:
    """By view, how many cases it has, counted up to a bound so that a page never counts a million."""
    return {
        view: queue(view, reviewer=reviewer).order_by().values("pk")[:bound].count()
        for view in QUEUE_VIEWS
        if view != "closed"
    }


def stored_plan(request: Request) -> Plan | None:
    """The approved plan where there is one, else the one made when asking."""
    data = request.approved_plan or request.plan
    return Plan.from_json(data) if data else None


def active_rules() -> tuple[Rule, ...]:
    """Every rule that two admins made active, those that a successor has overtaken included: the kernel says which of
    them governs what on which day."""
    found = RetentionRule.objects.filter(activated_at__isnull=False, withdrawn_at__isnull=True)
    return tuple(rule.to_kernel() for rule in found.order_by("code", "version"))


def exemptions_of(user: User, *, request: Request | None = None) -> tuple[Exemption, ...]:
    """The approved exceptions that touch a person's records: theirs, this case's, and those of everybody."""
    mine = Q(subject=user, request__isnull=True) | Q(subject__isnull=True)
    if request is not None:
        mine |= Q(request=request)
    found = RetentionException.objects.filter(mine, approved_at__isnull=False, ended_at__isnull=True).order_by("id")
    # These columns and no others: the web role may not read why.
    names = ("effect", "until", "collection", "data_class", "entity", "label", "key")
    return tuple(row.to_kernel() for row in found.only("id", *names))


def relationship_ends(user: User, *, request: Request | None = None) -> dict[str, date]:
    """Company → the day its relationship with the person ended, as the portal keeps it.

    The holds of a request go by the end that it met or brought about: a customer who came back and left again does not
    prolong them.
    """
    filed = clock.local_day(request.received_at) if request and request.received_at else None
    found: dict[str, date] = {}
    for end in sorted(rows.find(RelationshipEnd, user=user.pk), key=lambda end: end.ended_on):
        if filed is None or end.entity not in found or found[end.entity] < filed:
            found[end.entity] = end.ended_on
    return found


def policy_in_force() -> HandlingPolicy:
    """What two administrators agreed on last; the shipped one until then."""
    version = PolicyVersion.objects.filter(in_force=True).first()
    return version.to_kernel() if version else SHIPPED


def open_fee(request: Request) -> Fee | None:
    """A fee that waits for the person's answer."""
    if State(request.state) is not State.WAITING:
        return None
    return next((fee for fee in request.fees.all() if fee.settled_at is None), None)


def held_of(user: User) -> QuerySet[Hold]:
    """What is still held of a person, the next to be released first."""
    return Hold.objects.filter(vault__user=user, released_at__isnull=True).order_by("last_day", "collection")


def unread_notices(user: User) -> int:
    return Notice.objects.filter(user=user, read_at__isnull=True, second_contact=False).count()


def is_open(step: Step) -> bool:
    """Whether its request waits for it before it closes; what outlives it goes on without it."""
    return step.state != Step.State.DONE and step.verb not in OUTLIVING


def backups_clear(request: Request, data_map: DataMap, *, steps: Iterable[Step] | None = None) -> dict[str, date]:
    """By system from which something was erased, the day on which its backups are clear of it; where that is stated.

    `steps` spares a look at those of the request.
    """
    found: dict[str, date] = {}
    for step in rows.find(Step, request=request.pk) if steps is None else steps:
        days = data_map.systems[step.system].backup_days if step.system in data_map.systems else 0
        if days and step.finished_at and step.done and step.verb in {"erase", "mask", "release"}:
            day = clock.local_day(step.finished_at) + timedelta(days=days)
            found[step.system] = max(day, found.get(step.system, day))
    return found


SOON = timedelta(minutes=20)
"""Longer than a gate puts off a step, shorter than a release waits that has its day."""


@dataclass(frozen=True)
class SystemState:
    """A system, or all of them (`Gate.EVERY`): its gate, and how many of its steps wait to be done and how many failed.

    `rests_until`: it is left alone until then, as it has not answered too often in a row.
    """

    key: str
    gate: Gate
    rests_until: datetime | None
    waiting: int
    failed: int


def system_states(data_map: DataMap, *, now: datetime) -> dict[str, SystemState]:
    """All systems as one, then each of the live map, then those that only have a gate: it may still be shut.

    Three queries, however many systems there are.
    """
    gates = {gate.system: gate for gate in Gate.objects.select_related("stopped_by").order_by("system")}
    waiting = _steps_by_system(Q(state=Step.State.READY, not_before__lte=now + SOON))
    failed = _steps_by_system(Q(state=Step.State.DEAD))
    # Steps of the portal itself, such as copies, belong to no system and are counted here alone.
    all_waiting, all_failed = sum(waiting.values()), sum(failed.values())
    found = {}
    for key in dict.fromkeys([Gate.EVERY, *data_map.business_systems, *gates]):
        gate = gates.get(key) or Gate(system=key)
        found[key] = SystemState(
            key=key,
            gate=gate,
            rests_until=gate.closed_until if gate.closed_until and gate.closed_until > now else None,
            waiting=all_waiting if key == Gate.EVERY else waiting.get(key, 0),
            failed=all_failed if key == Gate.EVERY else failed.get(key, 0),
        )
    return found


def _steps_by_system(which: Q) -> dict[str, int]:
    return dict(Step.objects.filter(which).order_by().values_list("system").annotate(Count("pk")))


def stopped_gates() -> QuerySet[Gate]:
    """Where nothing is erased now, by whom and why."""
    return Gate.objects.filter(stopped_at__isnull=False).select_related("stopped_by").order_by("system")


def reviewed_collections(request: Request) -> dict[str, str]:
    """What reviewers decided of the lines that needed a person: collection → keep, erase or refer."""
    decided: dict[str, str] = {}
    for item in sorted(rows.find(Decision, request=request.pk), key=lambda item: item.decided_at):
        decided.update(item.lines)
    return decided
