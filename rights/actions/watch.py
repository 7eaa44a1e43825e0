"""What a tick does: whatever is due by the facts, whether or not an earlier tick missed it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import DateField, DateTimeField, Exists, ExpressionWrapper, F, OuterRef, Q
from django.db.models.functions import Coalesce

from accounts.models import User
from portal.core import ledger, outbox, rows
from portal.core.models import beat
from rights.actions import consents, exceptions, retention
from rights.actions.fees import lapse_fees
from rights.actions.handovers import watch_handovers
from rights.actions.hold import report_orphans, schedule_releases
from rights.actions.packages import expire_packages, name_systems, sweep_files
from rights.actions.proofs import watch_proofs
from rights.actions.upkeep import keep_up
from rights.actions.work import LEASE
from rights.datamap import load_live_map
from rights.kernel.calendar import DAY, Calendar
from rights.kernel.clock import LIMIT_DAYS, WARNING_DAYS, local_day
from rights.kernel.states import State
from rights.models import Appeal, Event, Notice, Request, Step
from rights.notices import notify, render_notice
from rights.queries import OUTLIVING, appeal_due, due_of, load_calendar, open_requests
from rights.transitions import record

log = structlog.get_logger(__name__)

PAGE = 500
HEARTBEAT = "tick"
LAG = timedelta(hours=24)
SUPPLEMENT_LATE = "supplement_late"
ASK_FROM_MONTH = 10
"""The next year's days off are announced in autumn."""


def tick(*, now: datetime, dispatch: Callable[[Request], None]) -> dict[str, int]:
    """One tick. `dispatch` hands a request to a worker, or advances it at once. The numbers say what was found."""
    parts: dict[str, Callable[[], int]] = {
        # What has gone wrong by now is written down before anything moves on and hides it.
        "warned": lambda: watch_deadlines(now=now),
        "unheard": lambda: watch_appeals(now=now),
        "unchecked": lambda: watch_checks(now=now),
        "lacking": lambda: watch_supplements(now=now),
        "uncharted": lambda: watch_calendar(now=now),
        "redated": lambda: retention.carry_out(now=now) + exceptions.carry_out(now=now),
        "released": lambda: len(schedule_releases(now=now)),
        "orphaned": lambda: report_orphans(now=now),
        "proofs": lambda: watch_proofs(now=now),
        "fees": lambda: lapse_fees(now=now),
        "handed": lambda: watch_handovers(dispatch, now=now),
        "advanced": lambda: _dispatch_due(dispatch, now=now),
        "agreed": lambda: consents.settle(now=now),
        "sent": lambda: send_notices(now=now),
        "expired": lambda: expire_packages(now=now) + sweep_files(),
        "kept_up": lambda: keep_up(now=now),
        "checkpoint": lambda: int(ledger.checkpoint(now=now) is not None),
    }
    done: dict[str, int] = {}
    failures: list[Exception] = []
    for name, part in parts.items():
        try:
            done[name] = part()
        except Exception as error:  # noqa: BLE001 - no deadline may pass because something else went wrong
            log.error("tick_part_failed", part=name, error=type(error).__name__)
            failures.append(error)
    beat(HEARTBEAT, now)
    if failures:
        raise ExceptionGroup("Parts of the tick failed; the others are done.", failures)
    return done


def _dispatch_due(dispatch: Callable[[Request], None], *, now: datetime) -> int:
    due = find_due(now=now)
    # Written before they are handed over: a worker that is quick has come back before a later writing.
    Request.objects.filter(pk__in=[request.pk for request in due]).update(dispatched_at=now)
    failures: list[Exception] = []
    for request in due:
        try:
            dispatch(request)
        except Exception as error:  # noqa: BLE001 - one request's fault is not the others' delay
            log.error("dispatch_failed", request=str(request.pk), error=type(error).__name__)
            failures.append(error)
    if failures:
        raise ExceptionGroup("Requests could not be advanced.", failures)
    return len(due)


def find_due(*, now: datetime) -> list[Request]:
    """Requests that a worker should look at now: freshly filed, waiting time over, steps due or all done.

    Not those that an earlier tick handed over and no worker has come back from, unless so long ago that it was lost.
    """
    steps = Step.objects.filter(request=OuterRef("pk"))
    behind_a_dead_one = Step.objects.filter(
        request=OuterRef("request"), system=OuterRef("system"), state=Step.State.DEAD
    ).exclude(verb__in=OUTLIVING)
    # A dead step waits for a person, who tries it again; a release waits for nobody.
    open_steps = steps.exclude(state=Step.State.DONE).exclude(verb__in=OUTLIVING)
    due_steps = steps.filter(
        Q(~Exists(behind_a_dead_one), state=Step.State.READY, not_before__lte=now)
        | Q(state=Step.State.RUNNING, lease_until__lt=now)
    )
    acting = Request.objects.filter(
        Q(state=State.CHECKING)
        | Q(state=State.ACTING, act_after__lte=now)
        | Q(Exists(due_steps), state=State.ACTING, act_after__isnull=True)
        | Q(~Exists(open_steps), state=State.ACTING, act_after__isnull=True)
        | Q(state=State.DEFERRED, check_after__lte=now)
    )
    releasing = Request.objects.exclude(state=State.ACTING).filter(
        pk__in=Step.objects.filter(verb__in=OUTLIVING, not_before__lte=now)
        .filter(Q(state=Step.State.READY) | Q(state=Step.State.RUNNING, lease_until__lt=now))
        .values("request_id")
    )
    at_hand = Q(dispatched_at__gte=now - LEASE)
    acting, releasing = acting.exclude(at_hand), releasing.exclude(at_hand)
    found = [*acting.order_by("priority", "started_on", "id")[:PAGE], *releasing[:PAGE]]
    return list({request.pk: request for request in found}.values())


def watch_deadlines(*, now: datetime) -> int:
    """Warn 5 days and 1 day before, and record a breach once. A missed tick's warnings are sent by this one."""
    calendar = load_calendar()
    limit = ExpressionWrapper(F("started_on") + F("limit_days"), output_field=DateField())
    # Whatever lengthens a limit, it never ends before its calendar days are over.
    near = open_requests().alias(limit=limit).filter(limit__lte=local_day(now) + max(WARNING_DAYS) * DAY)
    found = 0
    for request in near.select_related("subject", "reviewer").prefetch_related("questions", "fees").iterator(PAGE):
        due = due_of(request, now=now, calendar=calendar)
        if due.was_missed:
            found += _record_breach(request, due=due.on.isoformat(), now=now)
        elif not due.paused and not due.deferred:
            found += _warn(request, days_left=due.days_left, due=due.on.isoformat(), now=now)
    return found + _settle_closed(calendar, now=now)


def _settle_closed(calendar: Calendar, *, now: datetime) -> int:
    """The last look at the clock of what has closed: what was late when it closed was late, though no tick saw it."""
    # What was never proved had no clock.
    closed = Request.objects.filter(
        state=State.CLOSED, clock_settled=False, received_at__isnull=False, started_on__isnull=False
    )
    found, in_time = 0, []
    for request in (
        closed.select_related("subject", "reviewer").prefetch_related("questions", "fees").order_by("closed_at")[:PAGE]
    ):
        due = due_of(request, now=now, calendar=calendar)
        if not due.was_missed:
            in_time.append(request.pk)
            continue
        with transaction.atomic():
            found += _record_breach(request, due=due.on.isoformat(), now=now)
            Request.objects.filter(pk=request.pk).update(clock_settled=True)
    Request.objects.filter(pk__in=in_time).update(clock_settled=True)
    return found


def _warn(request: Request, *, days_left: int, due: str, now: datetime) -> int:
    """The nearest warning that is due and was not given; an earlier one missed by then says nothing new."""
    days = next((days for days in sorted(WARNING_DAYS) if days_left <= days), None)
    if days is None:
        return 0
    with transaction.atomic():
        if not _record_once(request, event="warned", body={"days": days, "due": due}, now=now):
            return 0
        for user in [request.reviewer] if request.reviewer else _supervisors():
            notify(
                user=user,
                request=request,
                kind="due_soon",
                params={"due": due},
                once=f"{days}:{due}:{user.pk}",
                now=now,
            )
    return 1


def _record_once(request: Request, *, event: str, body: Mapping[str, Any], now: datetime) -> bool:
    """Whether this is new; inside a transaction. The lock makes one of two ticks see what the other wrote."""
    Request.objects.select_for_update(of=("self",)).only("pk").get(pk=request.pk)
    if Event.objects.filter(request=request, kind=event, body=body).exists():
        return False
    record(request, event=event, now=now, body=body)
    return True


def _record_breach(request: Request, *, due: str, now: datetime) -> int:
    """A breach is a permanent fact: recorded once, the person told with the complaint route, the case first."""
    with transaction.atomic():
        if not Request.objects.filter(pk=request.pk, breached_at__isnull=True).update(breached_at=now, priority=0):
            return 0
        record(request, event="breached", now=now, body={"due": due})
        kind = "breached" if request.closed_at is None else "closed_late"
        notify(user=request.subject, request=request, kind=kind, params={"due": due}, now=now)
        for user in _supervisors():
            notify(user=user, request=request, kind="case_late", params={"due": due}, once=str(user.pk), now=now)
    return 1


def watch_appeals(*, now: datetime) -> int:
    """Record, once, an appeal that was not decided in time: the person is told with the ways that are left."""
    limit = ExpressionWrapper(F("filed_at") + LIMIT_DAYS * DAY, output_field=DateTimeField())
    late = Appeal.objects.alias(limit=limit).filter(decided_at=None, breached_at=None, limit__lt=now)
    found = 0
    for appeal in late.select_related("request__subject").order_by("filed_at", "id")[:PAGE]:
        due = appeal_due(appeal)
        if local_day(now) <= due:
            continue
        with transaction.atomic():
            if not Appeal.objects.filter(pk=appeal.pk, breached_at=None).update(breached_at=now):
                continue
            request, params, once = appeal.request, {"due": due.isoformat()}, str(appeal.event_id)
            record(request, event="appeal_breached", now=now, body=params)
            notify(user=request.subject, request=request, kind="appeal_late", params=params, once=once, now=now)
            for user in _supervisors():
                notify(
                    user=user, request=request, kind="appeal_case_late", params=params, once=f"{once}:{user.pk}",
                    now=now,
                )  # fmt: skip
        found += 1
    return found


def watch_checks(*, now: datetime) -> int:
    """Raise an alarm, once, where a fact in the way should have been looked at over 24 hours ago: the fresh limit of
    its request starts when we learn that it has cleared, and somebody waits meanwhile."""
    owed = Coalesce("check_owed_at", "check_after")
    late = Request.objects.filter(state=State.DEFERRED).alias(owed=owed).filter(owed__lt=now - LAG)
    found = 0
    for request in late.order_by("id")[:PAGE]:
        since = request.check_owed_at or request.check_after
        if since is None:
            continue
        body = {"since": since.isoformat()}
        with transaction.atomic():
            if not _record_once(request, event="check_owed", body=body, now=now):
                continue
            params = {"day": local_day(since).isoformat()}
            for user in _supervisors():
                notify(
                    user=user,
                    request=request,
                    kind="check_owed",
                    params=params,
                    once=f"{since.isoformat()}:{user.pk}",
                    now=now,
                )
        found += 1
    return found


def watch_supplements(*, now: datetime) -> int:
    """Raise an alarm, once a request, where a part of a package is still missing when the due date has passed."""
    limit = ExpressionWrapper(F("request__started_on") + F("request__limit_days"), output_field=DateField())
    lacking = Step.objects.filter(verb="supplement").exclude(state=Step.State.DONE).alias(limit=limit)
    told = Event.objects.filter(request=OuterRef("request"), kind=SUPPLEMENT_LATE)
    # Whatever lengthens a limit, it never ends before its calendar days are over.
    late = lacking.filter(~Exists(told), limit__lt=local_day(now)).select_related("request")
    calendar, data_map = load_calendar(), load_live_map()
    found = 0
    for step in late.prefetch_related("request__questions", "request__fees").order_by("id").iterator(PAGE):
        due = due_of(step.request, now=now, calendar=calendar).on
        if due >= local_day(now):
            continue
        with transaction.atomic():
            if not _record_once(step.request, event=SUPPLEMENT_LATE, body={"due": due.isoformat()}, now=now):
                continue
            names = name_systems(step.params["systems"], data_map)
            params = {"due": due.isoformat(), "zh": names.zh, "en": names.en}
            for user in _supervisors():
                notify(user=user, request=step.request, kind=SUPPLEMENT_LATE, params=params, once=str(user.pk), now=now)
        found += 1
    return found


def watch_calendar(*, now: datetime) -> int:
    """Raise an alarm, once a year and admin, for a year whose days off are not known: this one, from October on the
    next, and any that an open request's working days need."""
    calendar, today = load_calendar(), local_day(now)
    wanted = {today.year} | ({today.year + 1} if today.month >= ASK_FROM_MONTH else set())
    for request in open_requests().filter(working_days=True).prefetch_related("questions").iterator(PAGE):
        if year := due_of(request, now=now, calendar=calendar).missing_year:
            wanted.add(year)
    missing = sorted(wanted - set(calendar.years))
    for year in missing:
        for user in _supervisors():
            notify(user=user, kind="calendar_missing", params={"year": str(year)}, once=str(year), now=now)
    return len(missing)


def _supervisors() -> list[User]:
    return list(User.objects.filter(role__in=["supervisor", "admin"], is_active=True))


def send_notices(*, now: datetime) -> int:
    """Send what is unsent, in one transaction with its mark, so that none is sent twice.

    One that cannot be sent now is left for the next tick and keeps none of the others.
    """
    unsent = Notice.objects.filter(sent_at__isnull=True).order_by("created_at", "id").values_list("pk", flat=True)
    waiting, sent = list(unsent[:PAGE]), 0
    for first in range(0, len(waiting), outbox.together()):
        sent += _send(waiting[first : first + outbox.together()], now=now)
    return sent


def _send(keys: Sequence[int], *, now: datetime) -> int:
    sent = 0
    with transaction.atomic():
        ours = Notice.objects.select_for_update(skip_locked=True, of=("self",)).select_related("user")
        for notice in ours.filter(pk__in=keys, sent_at__isnull=True).order_by("created_at", "id"):
            try:
                with transaction.atomic():
                    _deliver(notice, now=now)
                sent += 1
            except Exception as error:  # noqa: BLE001 - whatever a mail server or a text raises
                log.error("notice_not_sent", notice=notice.pk, error=type(error).__name__)
    return sent


def _deliver(notice: Notice, *, now: datetime) -> None:
    subject, body = render_notice(notice, notice.user.language)
    if contact := notice.user.email:
        outbox.deliver(channel="email", to=contact, subject=subject, body=body, now=now)
    rows.change(Notice, {"pk": notice.pk}, subject=subject, body=body, sent_at=now)
