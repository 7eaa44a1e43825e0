"""An appeal against how a request ended: filed once, decided in 15 days by somebody who has not decided before.

Upheld, the ending stands, with its reason and the ways that are left. Overturned, the request goes back to review, with
a limit of its own, and the reviewer of the appeal decides it anew.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from portal.core.ledger import commit_to
from rights.actions.review import CannotDecide
from rights.kernel.clock import local_day
from rights.kernel.decisions import REASONS
from rights.kernel.states import Kind, State
from rights.models import Appeal, Relation, Request
from rights.notices import notify
from rights.queries import appeal_due, contested, due_of, is_barred, limit_of
from rights.transitions import StaleRequest, move, record

MOST_TEXT = 4000
NARROWED = (Kind.ACCESS, Kind.DELETION)
"""The kinds of which a company's part can be done by itself; a closing of services is overturned whole."""


class CannotAppeal(Exception):
    """The appeal is not taken; `str()` says why."""


def file_appeal(request: Request, *, actor: User, reason: str, now: datetime) -> Appeal:
    """Appeal against how a closed request ended. A second one against the same ending is the first.

    Raises CannotAppeal without a reason, for an ending that cannot be appealed against, or once the time is over.
    """
    reason = reason.replace("\r\n", "\n").strip()
    if not reason:
        raise CannotAppeal(_("Write why you do not agree."))
    if len(reason) > MOST_TEXT:
        raise CannotAppeal(
            _("Write %(n)s characters at most; these are %(all)s.") % {"n": MOST_TEXT, "all": len(reason)}
        )
    with transaction.atomic():
        locked = Request.objects.select_for_update(of=("self",)).get(pk=request.pk)
        if found := locked.appeals.filter(decided_at=None).first():
            return found
        event = contested(locked, now=now)
        if event is None:
            raise CannotAppeal(_("There is no decision here that can be appealed against now."))
        commitment = commit_to(reason)
        appeal = Appeal.objects.create(
            request=locked, event=event, filed_by=actor, reason=reason, reason_salt=commitment.salt, filed_at=now
        )
        record(
            locked,
            event="appealed",
            now=now,
            actor=actor,
            body={"against": event.kind},
            commitments={"reason": commitment.digest},
        )
        params = {"due": appeal_due(appeal).isoformat()}
        notify(
            user=User(pk=locked.subject_id), request=locked, kind="appeal_received", params=params,
            once=str(appeal.pk), now=now,
        )  # fmt: skip
    return appeal


def claim_appeal(appeal: Appeal, *, reviewer: User, now: datetime) -> None:
    """Take an appeal. Raises CannotDecide for who decided before or may not, StaleRequest where somebody has it."""
    _require_other(appeal, reviewer)
    taken = Appeal.objects.filter(pk=appeal.pk, reviewer=None, decided_at=None).update(reviewer=reviewer)
    if taken:
        record(appeal.request, event="appeal_claimed", now=now, actor=reviewer)
    elif not Appeal.objects.filter(pk=appeal.pk, reviewer=reviewer, decided_at=None).exists():
        raise StaleRequest(_("Somebody else has taken this appeal."))


def release_appeal(appeal: Appeal, *, reviewer: User) -> None:
    Appeal.objects.filter(pk=appeal.pk, reviewer=reviewer, decided_at=None).update(reviewer=None)


def decide_appeal(
    appeal: Appeal, *, reviewer: User, outcome: str, key: str, text: str, entities: Iterable[str] = (), now: datetime
) -> None:
    """Decide an appeal; the person is told. `key`: the reason of an upheld ending. `entities`: of an overturned one,
    the companies whose part is done after all; none means all.

    Raises CannotDecide for who may not, without a text or a reason; StaleRequest where it was decided meanwhile.
    """
    _require_other(appeal, reviewer)
    if outcome not in Appeal.Outcome.values:
        raise CannotDecide(_("Choose an outcome."))
    if not text.strip():
        raise CannotDecide(_("Write what the person is told."))
    upheld = outcome == Appeal.Outcome.UPHELD
    if upheld and key not in REASONS:
        raise CannotDecide(_("Choose a reason."))
    commitment = commit_to(text.strip())
    chosen = sorted(set(entities)) if not upheld and Kind(appeal.request.kind) in NARROWED else []
    with transaction.atomic():
        request = Request.objects.select_for_update(of=("self",)).get(pk=appeal.request_id)
        changed = Appeal.objects.filter(pk=appeal.pk, decided_at=None, reviewer=reviewer).update(
            decided_at=now, outcome=outcome, key=key if upheld else "", text_salt=commitment.salt, entities=chosen
        )
        if not changed:
            raise StaleRequest(_("The appeal is not yours, or it was decided meanwhile."))
        appeal.refresh_from_db()
        appeal.text = text.strip()
        appeal.save(update_fields=["text"])
        body = {"outcome": outcome, "key": appeal.key, "lines": {}, "entities": chosen}
        if upheld:
            record(
                request, event="appeal_upheld", now=now, actor=reviewer, body=body,
                commitments={"text": commitment.digest},
            )  # fmt: skip
            notify(user=request.subject, request=request, kind="appeal_upheld", once=str(appeal.pk), now=now)
        else:
            _reopen(request, appeal=appeal, reviewer=reviewer, body=body, digest=commitment.digest, now=now)


def _reopen(
    request: Request, *, appeal: Appeal, reviewer: User, body: Mapping[str, object], digest: str, now: datetime
) -> None:
    """Back to review, as if it were ready today, in the hands of who overturned it."""
    limit = limit_of(Kind(request.kind), on=local_day(now))
    move(
        request,
        to=State.REVIEW,
        event="appeal_overturned",
        now=now,
        actor=reviewer,
        body=body,
        commitments={"text": digest},
        reopened=request.reopened + 1,
        reviewer=reviewer,
        started_on=local_day(now),
        resumed_at=now,
        limit_days=limit.days,
        working_days=limit.working_days,
        closed_at=None,
        closing_key="",
        clock_settled=False,
        approved_plan=None,
        approved_at=None,
        act_after=None,
        check_after=None,
        deferred_at=None,
    )
    request.refresh_from_db()
    params = {"due": due_of(request, now=now).on.isoformat()}
    notify(user=request.subject, request=request, kind="appeal_overturned", params=params, once=str(appeal.pk), now=now)


def declare_relation(request: Request, *, staff: User, now: datetime) -> None:
    """Staff know who the case is about or who filed it: from now on their cases are for others."""
    with transaction.atomic():
        for person in {request.subject_id, request.filed_by_id} - {staff.pk}:
            Relation.objects.get_or_create(staff=staff, person_id=person, defaults={"declared_at": now})
        Request.objects.filter(pk=request.pk, reviewer=staff).update(reviewer=None)
        Appeal.objects.filter(request=request, reviewer=staff, decided_at=None).update(reviewer=None)
        record(request, event="relation_declared", now=now, actor=staff)


def _require_other(appeal: Appeal, reviewer: User) -> None:
    if is_barred(appeal.request, reviewer):
        raise CannotDecide(_("An appeal goes to somebody who has not decided the case and knows nobody in it."))
