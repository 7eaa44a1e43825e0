"""Requests that wait for a proof: of an authority to ask for somebody else, or of who asks (decisions, rows 27 and 33).

Nothing is read of the person and no clock runs before the proof. Who filed is reminded on days 7 and 23; on day 30 the
request is closed and may be filed anew.
"""

from collections.abc import Mapping
from datetime import date, datetime

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.authority import grant_authority, is_over
from accounts.identities import get_identities
from accounts.models import Authority, User
from portal.core.ledger import commit_to
from rights.actions.review import CannotDecide, require_own, require_state
from rights.actions.submit import ONLINE, childs_place, closes_on, missing_proof
from rights.kernel.clock import local_day
from rights.kernel.handling import PROOF_DAYS, reminder_due
from rights.kernel.states import Kind, State
from rights.models import Proof, Request
from rights.notices import notify
from rights.queries import due_of, limit_of
from rights.transitions import StaleRequest, move

log = structlog.get_logger(__name__)
PAGE = 500
UNPROVED = Q(state=State.WAITING, started_on__isnull=True)


def confirm_proof(
    request: Request,
    *,
    reviewer: User,
    note: str,
    now: datetime,
    kind: Authority.Kind = Authority.Kind.AGENT,
    valid_until: datetime | None = None,
) -> None:
    """Staff have seen the proof: the request is ready and its clock starts today.

    For somebody else's request this records an authority of `kind` for what was asked, until `valid_until`. `note` says
    what was seen. Raises CannotDecide without a note or for a day that is past, StaleRequest where nothing waits for a
    proof any more.
    """
    require_own(request, reviewer)
    require_state(request, State.WAITING)
    if not request.lacks_proof:
        raise StaleRequest(_("The case has moved on."))
    if not note.strip():
        raise CannotDecide(_("Write what was seen as proof."))
    if valid_until is not None and valid_until <= now:
        raise CannotDecide(_("The authority would be over already."))
    with transaction.atomic():
        if request.channel == ONLINE and request.filed_by_id != request.subject_id:
            _record_authority(request, kind=kind, valid_until=valid_until, note=note.strip(), now=now)
        commitment = commit_to(note.strip())
        _make_ready(request, actor=reviewer, commitments={"note": commitment.digest}, now=now)
        Proof.objects.create(
            request=request, note=note.strip(), note_salt=commitment.salt, confirmed_by=reviewer, confirmed_at=now
        )


def watch_proofs(*, now: datetime) -> int:
    """Go on with what has been proved meanwhile, remind, and close what never was. How many it concerned.

    A reminder that a missed tick should have sent is sent by this one, once; one that a later one overtook is not.
    """
    found = 0
    for request in (
        Request.objects.filter(UNPROVED).select_related("subject", "filed_by").order_by("received_at")[:PAGE]
    ):
        try:
            found += _watch(request, now=now)
        except StaleRequest:
            continue  # taken back or confirmed at this moment
        except Exception as error:  # noqa: BLE001 - one request's fault is not the others' delay
            log.error("proof_not_watched", request=str(request.pk), error=type(error).__name__)
    return found


def _watch(request: Request, *, now: datetime) -> int:
    if request.received_at is None:
        return 0
    if not missing_proof(request, now=now):
        _make_ready(request, actor=None, commitments={}, now=now)
        return 1
    days = (local_day(now) - local_day(request.received_at)).days
    if days >= PROOF_DAYS:
        _close(request, now=now)
        return 1
    day = reminder_due(days=days)
    if day is None or request.notices.filter(kind="proof_reminder", params__day=str(day)).exists():
        return 0
    params = {"until": closes_on(request.received_at).isoformat(), "day": str(day)}
    notify(user=_asked(request), request=request, kind="proof_reminder", params=params, once=str(day), now=now)
    return 1


def _make_ready(request: Request, *, actor: User | None, commitments: Mapping[str, str], now: datetime) -> None:
    limit = limit_of(Kind(request.kind), on=local_day(now))
    with transaction.atomic():
        move(
            request,
            to=State.CHECKING,
            event="proved",
            now=now,
            actor=actor,
            commitments=commitments,
            ready_at=now,
            started_on=local_day(now),
            limit_days=limit.days,
            working_days=limit.working_days,
            **{"review_reasons": [], **childs_place(request, identities=get_identities(request.subject), now=now)},
        )
        due = due_of(request, now=now).on.isoformat()
        for user in {request.subject, _asked(request)}:
            notify(user=user, request=request, kind="proved", params={"due": due}, once=str(user.pk), now=now)


def _close(request: Request, *, now: datetime) -> None:
    key = request.review_reasons[0]
    with transaction.atomic():
        move(
            request,
            to=State.CLOSED,
            event="proof_lapsed",
            now=now,
            body={"key": key},
            closed_at=now,
            closing_key=key,
        )
        notify(user=_asked(request), request=request, kind="proof_lapsed", now=now)


def _asked(request: Request) -> User:
    """Who has to bring the proof: who filed it; of a letter that staff entered, who wrote it."""
    return request.filed_by if request.channel == ONLINE else request.subject


def _record_authority(
    request: Request, *, kind: Authority.Kind, valid_until: datetime | None, note: str, now: datetime
) -> None:
    """In place of an earlier one, whose scope it keeps while that still runs; there is one at most."""
    held = Authority.objects.select_for_update().filter(
        agent=request.filed_by_id, principal=request.subject_id, revoked_at=None
    )
    earlier, scope = held.first(), {request.kind}
    if earlier and not is_over(earlier, now):
        if earlier.kind != kind or _day(earlier.valid_until) != _day(valid_until):
            # One row cannot run for two terms, and the wider one would stretch what was proved.
            raise CannotDecide(_("Another authority runs for these two, of another kind or term. Have it ended first."))
        scope |= set(earlier.scope)
    held.update(revoked_at=now)
    grant_authority(
        agent=request.filed_by, principal=request.subject, kind=kind, scope=scope, valid_until=valid_until,
        proof_note=note, now=now,
    )  # fmt: skip


def _day(moment: datetime | None) -> date | None:
    return local_day(moment) if moment else None
