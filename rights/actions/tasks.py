"""What staff do with a handover: take it, write the letter, do it by hand, file evidence, record the answer, return it.

Whoever settles one is named in it. Nobody works a task of their own case.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from rights.actions.files import take_file
from rights.actions.handovers import OPEN, TELL_DAYS, as_told, ask_of, facts_of, settle
from rights.actions.review import CannotDecide
from rights.connectors.base import Answer, ConnectorError, Outcome
from rights.connectors.registry import reach
from rights.datamap import Text, load_live_map
from rights.kernel.clock import local_day
from rights.models import Evidence, Handover
from rights.transitions import StaleRequest, record

MOST_FILES = 10


def claim_task(handover: Handover, *, staff: User) -> None:
    """Take a task. Raises StaleRequest where somebody else has it or it is settled."""
    _require_other(handover, staff)
    mine = Handover.objects.filter(Q(owner=None) | Q(owner=staff), pk=handover.pk, state__in=OPEN)
    if not mine.update(owner=staff):
        raise StaleRequest(_("Somebody else has taken this task."))


def release_task(handover: Handover, *, staff: User) -> None:
    Handover.objects.filter(pk=handover.pk, owner=staff, state__in=OPEN).update(owner=None)


def record_told(handover: Handover, *, staff: User, now: datetime) -> None:
    """The letter to a recipient is out: their days to answer begin."""
    _require_mine(handover, staff)
    if handover.step_id or handover.channel != "manual":
        raise CannotDecide(_("Only a recipient that is written to is told by hand."))
    days = load_live_map().recipient(Text(handover.name["zh"], handover.name["en"])).days
    with transaction.atomic():
        if not Handover.objects.filter(pk=handover.pk, state=Handover.State.READY).update(
            **as_told(handover, days=days, now=now)
        ):
            raise StaleRequest(_("The task has moved on."))
        record(handover.request, event="told", now=now, actor=staff, body=facts_of(handover))


def complete_task(handover: Handover, *, staff: User, count: int | None, note: str, now: datetime) -> None:
    """It is done, or the recipient has confirmed. `count` 0: nothing was found; None: they did not say."""
    _require_mine(handover, staff)
    if handover.step_id and count is None:
        raise CannotDecide(_("Write how many records it concerned; 0 where nothing was found."))
    if not settle(handover, Answer(Outcome.DONE, count=count), actor=staff, note=note.strip(), now=now):
        raise StaleRequest(_("The task has moved on."))


def return_task(handover: Handover, *, staff: User, reason: str, now: datetime) -> None:
    """It cannot be done, or the recipient refuses. Raises CannotDecide without a reason."""
    _require_mine(handover, staff)
    if not reason.strip():
        raise CannotDecide(_("Write why it cannot be done."))
    answer = Answer(Outcome.NOT_DONE, reason="Returned by staff; the reason is in the task.")
    if not settle(handover, answer, actor=staff, note=reason.strip(), now=now):
        raise StaleRequest(_("The task has moved on."))


def take_back_task(handover: Handover, *, staff: User, now: datetime) -> bool:
    """Ask a partner to drop what it has not begun; whether it did. Raises CannotDecide where it cannot be asked."""
    _require_mine(handover, staff)
    party = load_live_map().party(handover.party)
    if party is None or handover.channel == "manual":
        raise CannotDecide(_("There is nobody to take it back from."))
    from_partner = reach(party, channel=handover.channel)
    try:
        answer = from_partner.take_back(ask_of(handover, party), now=now)
    except ConnectorError as error:
        raise CannotDecide(str(error)) from error
    if answer.outcome is Outcome.PENDING:
        return False
    settle(handover, answer, actor=staff, now=now)
    return answer.outcome is Outcome.NOT_DONE


def ask_again(handover: Handover, *, staff: User, by_letter: bool, now: datetime) -> None:
    """A recipient that returned it is told anew, by letter where the machine's way has failed.

    What a system returned is asked again by the step that waits for it.
    """
    _require_other(handover, staff)
    fields = {"channel": "manual"} if by_letter else {}
    with transaction.atomic():
        if not Handover.objects.filter(pk=handover.pk, step=None, state=Handover.State.RETURNED).update(
            state=Handover.State.READY,
            settled_at=None,
            settled_by=None,
            sent_at=None,
            attempts=0,
            error="",
            not_before=now,
            due_on=local_day(now) + timedelta(days=TELL_DAYS),
            owner=staff,
            **fields,
        ):
            raise StaleRequest(_("The task has moved on."))
        record(handover.request, event="told_again", now=now, actor=staff, body=facts_of(handover))


def file_evidence(handover: Handover, *, staff: User, name: str, content: bytes, now: datetime) -> Evidence:
    """Keep a file, sealed. Raises CannotDecide for one too many, FileRefused where it is not taken."""
    _require_mine(handover, staff)
    taken = take_file(name=name, content=content)
    with transaction.atomic():
        locked = Handover.objects.select_for_update().get(pk=handover.pk)
        if locked.evidence.count() >= MOST_FILES:
            raise CannotDecide(_("A task holds %(n)s files at most.") % {"n": MOST_FILES})
        record(
            handover.request,
            event="evidence",
            now=now,
            actor=staff,
            body=facts_of(handover),
            commitments={"evidence": taken.commitment},
        )
        return Evidence.objects.create(handover=handover, filed_by=staff, filed_at=now, **taken.fields())


def _require_other(handover: Handover, staff: User) -> None:
    if staff.pk in {handover.request.subject_id, handover.request.filed_by_id}:
        raise CannotDecide(_("Nobody decides their own case."))


def _require_mine(handover: Handover, staff: User) -> None:
    _require_other(handover, staff)
    if handover.owner_id != staff.pk:
        raise StaleRequest(_("Take the task first."))
