"""A cost-based fee for a further copy: quoted before anything is owed, then accepted, declined or waived.

The first copy is free (privacy policy, part 5). While the person has not answered the clock stands.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from rights.actions.review import CannotDecide, require_own, require_state
from rights.kernel.clock import local_day
from rights.kernel.states import State
from rights.models import Fee, Request
from rights.notices import notify
from rights.queries import policy_in_force
from rights.transitions import StaleRequest, move

MOST = Decimal("9999.99")
PAGE = 500
OPEN = Q(accepted_at=None, declined_at=None, waived_at=None, lapsed_at=None)


def quote_fee(request: Request, *, reviewer: User, amount: Decimal, reason: str, now: datetime) -> Fee:
    """Quote a fee in CNY for a copy that repeats an earlier one; the person is told and the clock stands.

    Raises CannotDecide where the copy is free, for a second quote, for an amount that is none, or without a reason.
    """
    require_own(request, reviewer)
    require_state(request, State.REVIEW)
    if "REPEAT.FEE_OR_REFUSE" not in request.review_reasons:
        raise CannotDecide(_("This copy is free: a fee is for a further one with nothing changed."))
    if request.fees.exists():
        raise CannotDecide(_("A fee was quoted for this request already."))
    if not amount.is_finite() or not 0 < amount <= MOST or amount != amount.quantize(Decimal("0.01")):
        raise CannotDecide(_("Write an amount from 0.01 to %(most)s yuan.") % {"most": MOST})
    if not reason.strip():
        raise CannotDecide(_("Write what the fee covers."))
    until = local_day(now) + timedelta(days=policy_in_force().fee_days)
    with transaction.atomic():
        fee = Fee.objects.create(
            request=request,
            amount=amount,
            reason=reason.strip(),
            quoted_by=reviewer,
            quoted_at=now,
            answer_by=until,
        )
        told = {"amount": f"{amount:.2f}", "until": until.isoformat()}
        move(request, to=State.WAITING, event="fee_quoted", now=now, actor=reviewer, body=told)
        notify(user=request.subject, request=request, kind="fee_quoted", params=told, now=now)
    return fee


def accept_fee(request: Request, *, actor: User, now: datetime) -> None:
    """The person accepts: the copy is made. Raises StaleRequest where no fee waits any more."""
    with transaction.atomic():
        _settle(request, "accepted_at", now=now)
        _serve(request, event="fee_accepted", actor=actor, now=now)


def waive_fee(request: Request, *, reviewer: User, now: datetime) -> None:
    """Staff waive it: the copy is made for nothing. Raises StaleRequest where no fee waits any more."""
    require_own(request, reviewer)
    with transaction.atomic():
        _settle(request, "waived_at", now=now)
        _serve(request, event="fee_waived", actor=reviewer, now=now)
        notify(user=request.subject, request=request, kind="fee_waived", now=now)


def decline_fee(request: Request, *, actor: User, now: datetime) -> None:
    """The person declines: nothing is owed and nothing made; they may ask anew. Raises StaleRequest as above."""
    with transaction.atomic():
        _settle(request, "declined_at", now=now)
        _close(request, key="FEE.DECLINED", event="fee_declined", actor=actor, now=now)


def lapse_fees(*, now: datetime) -> int:
    """Close what was quoted and not answered by its day. How many."""
    late = Fee.objects.filter(OPEN, answer_by__lt=local_day(now), request__state=State.WAITING)
    found = 0
    for fee in late.select_related("request__subject").order_by("answer_by", "pk")[:PAGE]:
        try:
            with transaction.atomic():
                _settle(fee.request, "lapsed_at", now=now)
                _close(fee.request, key="FEE.UNANSWERED", event="fee_lapsed", actor=None, now=now)
        except StaleRequest:
            continue  # answered at this moment
        found += 1
    return found


def _settle(request: Request, how: str, *, now: datetime) -> None:
    """Once: of two answers at the same moment the second finds none open."""
    if State(request.state) is not State.WAITING or not Fee.objects.filter(OPEN, request=request).update(**{how: now}):
        raise StaleRequest(_("This fee was answered already."))


def _serve(request: Request, *, event: str, actor: User, now: datetime) -> None:
    """Back to where it came from: a worker sees that the fee is settled and goes on."""
    move(request, to=State.CHECKING, event=event, now=now, actor=actor)


def _close(request: Request, *, key: str, event: str, actor: User | None, now: datetime) -> None:
    move(request, to=State.CLOSED, event=event, now=now, actor=actor, body={"key": key}, closed_at=now, closing_key=key)
    kind = {"FEE.DECLINED": "fee_declined", "FEE.UNANSWERED": "fee_lapsed"}[key]
    notify(user=request.subject, request=request, kind=kind, now=now)
