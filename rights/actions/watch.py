"""What a tick does: whatever is due by the facts, whether or not an earlier tick missed it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from accounts.models import User
from portal.core import ledger, outbox
from portal.core.models import beat
from rights.actions.fees import lapse_fees
from rights.actions.hold import report_orphans, schedule_releases
from rights.actions.proofs import watch_proofs
from rights.actions.steps import package_path
from rights.actions.upkeep import keep_up
from rights.kernel.clock import LIMIT_DAYS, WARNING_DAYS, local_day
from rights.kernel.states import State
from rights.models import Event, Notice, Package, Request, Step
from rights.notices import notify, render_notice
from rights.queries import due_of, open_requests
from rights.transitions import record

log = structlog.get_logger(__name__)

PAGE = 500
HEARTBEAT = "tick"


def tick(*, now: datetime, dispatch: Callable[[Request], None]) -> dict[str, int]:
    """One tick. `dispatch` hands a request to a worker, or advances it at once. The numbers say what was found."""
    parts: dict[str, Callable[[], int]] = {
        "released": lambda: len(schedule_releases(now=now)),
        "orphaned": lambda: report_orphans(now=now),
        "proofs": lambda: watch_proofs(now=now),
        "fees": lambda: lapse_fees(now=now),
        "advanced": lambda: _dispatch_due(dispatch, now=now),
        "warned": lambda: watch_deadlines(now=now),
        "sent": lambda: send_notices(now=now),
        "expired": lambda: expire_packages(now=now),
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
    """Requests that a worker should look at now: freshly filed, waiting time over, steps due or all done."""
    steps = Step.objects.filter(request=OuterRef("pk"))
    behind_a_dead_one = Step.objects.filter(
        request=OuterRef("request"), system=OuterRef("system"), state=Step.State.DEAD
    ).exclude(verb="release")
    # A dead step waits for a person, who tries it again; a release waits for nobody.
    open_steps = steps.exclude(state=Step.State.DONE).exclude(verb="release")
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
        pk__in=Step.objects.filter(verb="release", not_before__lte=now)
        .filter(Q(state=Step.State.READY) | Q(state=Step.State.RUNNING, lease_until__lt=now))
        .values("request_id")
    )
    found = [*acting.order_by("priority", "started_on", "id")[:PAGE], *releasing[:PAGE]]
    return list({request.pk: request for request in found}.values())


def watch_deadlines(*, now: datetime) -> int:
    """Warn 5 days and 1 day before, and record a breach once. A missed tick's warnings are sent by this one."""
    today = local_day(now)
    near = today - timedelta(days=LIMIT_DAYS - max(WARNING_DAYS))
    found = 0
    candidates = open_requests().filter(started_on__lte=near).exclude(state__in=[State.WAITING, State.DEFERRED])
    for request in (
        candidates.select_related("subject", "reviewer").prefetch_related("questions", "fees").iterator(PAGE)
    ):
        due = due_of(request, now=now)
        found += _warn(request, days_left=due.days_left, due=due.on.isoformat(), now=now)
        if due.is_late and request.breached_at is None:
            found += _record_breach(request, due=due.on.isoformat(), now=now)
    return found


def _warn(request: Request, *, days_left: int, due: str, now: datetime) -> int:
    """The nearest warning that is due and was not given; an earlier one missed by then says nothing new."""
    days = next((days for days in sorted(WARNING_DAYS) if days_left <= days), None)
    if days is None or days_left < 0:
        return 0
    marker = {"days": days, "due": due}
    with transaction.atomic():
        # The lock makes one of two ticks see the other's warning.
        Request.objects.select_for_update(of=("self",)).only("pk").get(pk=request.pk)
        if Event.objects.filter(request=request, kind="warned", body=marker).exists():
            return 0
        record(request, event="warned", now=now, body=marker)
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


def _record_breach(request: Request, *, due: str, now: datetime) -> int:
    """A breach is a permanent fact: recorded once, the person told with the complaint route, the case first."""
    with transaction.atomic():
        if not Request.objects.filter(pk=request.pk, breached_at__isnull=True).update(breached_at=now, priority=0):
            return 0
        record(request, event="breached", now=now, body={"due": due})
        notify(user=request.subject, request=request, kind="breached", params={"due": due}, now=now)
        for user in _supervisors():
            notify(user=user, request=request, kind="due_soon", params={"due": due}, once=f"late:{user.pk}", now=now)
    return 1


def _supervisors() -> list[User]:
    return list(User.objects.filter(role__in=["supervisor", "admin"], is_active=True))


def send_notices(*, now: datetime) -> int:
    """Send what is unsent, each in a transaction of its own with its mark, so that none is sent twice.

    One that cannot be sent now is left for the next tick and keeps none of the others.
    """
    sent = 0
    for pk in (
        Notice.objects.filter(sent_at__isnull=True).order_by("created_at", "id").values_list("pk", flat=True)[:PAGE]
    ):
        try:
            sent += _send(pk, now=now)
        except Exception as error:  # noqa: BLE001 - whatever a mail server or a text raises
            log.error("notice_not_sent", notice=pk, error=type(error).__name__)
    return sent


def _send(pk: int, *, now: datetime) -> int:
    with transaction.atomic():
        notice = (
            Notice.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("user")
            .filter(pk=pk, sent_at__isnull=True)
            .first()
        )
        if notice is None:
            return 0
        subject, body = render_notice(notice, notice.user.language)
        contact = notice.user.email
        if contact:
            outbox.deliver(channel="email", to=contact, subject=subject, body=body, now=now)
        notice.subject, notice.body, notice.sent_at = subject, body, now
        notice.save(update_fields=["subject", "body", "sent_at"])
    return 1


def expire_packages(*, now: datetime) -> int:
    """Destroy the keys of packages past their day; without its key a file is noise, and it goes too."""
    expired = Package.objects.filter(expires_at__lt=now, data_key__isnull=False)
    found = list(expired.values_list("request_id", flat=True)[:PAGE])
    Package.objects.filter(request_id__in=found).update(data_key=None)
    for request_id in found:
        package_path(request_id).unlink(missing_ok=True)
    return len(found)
