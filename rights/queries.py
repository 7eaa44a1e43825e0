"""What pages, the API and the workers read. Due dates and lateness are derived here from the facts."""

from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import User
from rights.kernel import clock
from rights.kernel.handling import SHIPPED, HandlingPolicy
from rights.kernel.plan import Plan
from rights.kernel.retention import Rule
from rights.kernel.states import OPEN_STATES, State
from rights.models import Fee, Hold, Notice, PolicyVersion, Request, RetentionRule, Step


@dataclass(frozen=True)
class Due:
    """The limit of one request as of a day. `rolled` is the legally rolled date where it differs."""

    on: date
    rolled: date | None
    days_left: int
    started_on: date
    paused: bool
    deferred: bool

    @property
    def is_late(self) -> bool:
        return self.days_left < 0 and not self.paused and not self.deferred


def clock_facts(request: Request) -> clock.ClockFacts:
    """Raises ValueError for a draft and for a request that waits for its proof, which have no clock."""
    if request.started_on is None:
        raise ValueError("A draft has no clock, nor a request that waits for its proof.")
    stood = [(question.asked_at, question.answered_at) for question in request.questions.all()]
    stood += [(fee.quoted_at, fee.settled_at) for fee in request.fees.all()]
    pauses = tuple(
        clock.Pause(clock.local_day(start), clock.local_day(end) if end else None)
        for start, end in sorted(stood, key=lambda pause: pause[0])
        if clock.local_day(start) >= request.started_on
    )
    return clock.ClockFacts(
        started_on=request.started_on,
        pauses=pauses,
        # One extension of the limit that runs: the fresh one that a cleared blocker starts has its own 15 days.
        extended=request.extended_at is not None and clock.local_day(request.extended_at) >= request.started_on,
        limit_days=request.limit_days,
    )


def due_of(request: Request, *, now: datetime) -> Due:
    """The due date of a submitted request; of a closed one, as it was when it closed."""
    today = clock.local_day(request.closed_at or now)
    facts = clock_facts(request)
    on = clock.due_on(facts, today=today)
    rolled = clock.roll_over(on)
    return Due(
        on=on,
        rolled=rolled if rolled != on else None,
        days_left=clock.days_left(on, today=today),
        started_on=facts.started_on,
        paused=request.state == State.WAITING,
        deferred=request.state == State.DEFERRED,
    )


def due_if_any(request: Request, *, now: datetime) -> Due | None:
    """The same; None where no clock runs yet, as it is still to be proved who asks."""
    return due_of(request, now=now) if request.started_on else None


def submitted_requests(user: User) -> QuerySet[Request]:
    """A person's requests that were filed and proved, newest first: for them or by them."""
    return (
        Request.objects.filter(Q(subject=user) | Q(filed_by=user), received_at__isnull=False, started_on__isnull=False)
        .order_by("-received_at", "-id")
        .prefetch_related("questions", "fees")
    )


def open_requests() -> QuerySet[Request]:
    return Request.objects.filter(state__in=[state.value for state in OPEN_STATES])


QUEUE_VIEWS = ("todo", "mine", "waiting", "unproved", "deferred", "acting", "failed", "closed")
QUEUE_PAGE = 50


def queue(view: str, *, reviewer: User) -> QuerySet[Request]:
    """A saved view of the desk, by legal urgency. Raises KeyError for a view that does not exist."""
    running = Q(started_on__isnull=False)
    undecided_deferral = Q(state=State.DEFERRED, approved_at__isnull=True)
    chosen = {
        "todo": Q(state=State.REVIEW) | undecided_deferral,
        "mine": Q(running, state__in=[state.value for state in OPEN_STATES], reviewer=reviewer),
        "waiting": Q(running, state=State.WAITING),
        "unproved": Q(~running, state=State.WAITING),
        "deferred": Q(state=State.DEFERRED),
        "acting": Q(state__in=[State.ACTING, State.CHECKING]),
        "failed": Q(Exists(Step.objects.filter(request=OuterRef("pk"), state=Step.State.DEAD))),
        "closed": Q(state=State.CLOSED, received_at__isnull=False),
    }[view]
    return Request.objects.filter(chosen).order_by(*queue_order(view))


def queue_order(view: str) -> tuple[str, ...]:
    """By columns that are never null in the view, the last one unique."""
    orders = {"closed": ("-closed_at", "-id"), "unproved": ("received_at", "id")}
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
    return tuple(rule.to_kernel() for rule in RetentionRule.objects.filter(active=True).order_by("code", "version"))


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


def open_steps(request: Request) -> QuerySet[Step]:
    """What a request waits for before it closes; releases live on without it."""
    return request.steps.exclude(state=Step.State.DONE).exclude(verb="release")


def reviewed_collections(request: Request) -> dict[str, str]:
    """What reviewers decided of the lines that needed a person: collection → keep, erase or refer."""
    decided: dict[str, str] = {}
    for item in request.decisions.order_by("decided_at").values_list("lines", flat=True):
        decided.update(item)
    return decided
