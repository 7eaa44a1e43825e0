"""What the portal forgets of its own rows, for everybody alike and whoever asks: proof is kept as long as the law asks
to keep it, and no longer. The ledger stays; it holds no personal data.
"""

from datetime import datetime, time, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from portal.core import ledger
from portal.core.clock import SHANGHAI
from rights.kernel.clock import local_day
from rights.kernel.retention import Rule, cutoff
from rights.kernel.states import State
from rights.models import (
    Appeal,
    Batch,
    ConsentEvent,
    Event,
    Handover,
    Hold,
    Notice,
    Package,
    RelationshipEnd,
    Request,
    RetentionException,
    Step,
)

PAGE = 100
DRAFTS_KEPT = timedelta(days=30)
PROOF = Rule("PORTAL-3", data_classes=("none",), duration="P3Y", citation="个人信息保护法第 56 条")
"""How a case is kept once nothing happens in it any more: as a record of processing, for three years (PIPL 56; it is
also with whoever processed to prove that they did so rightly, 69). A reading of the law."""


def forget_own_rows(*, now: datetime) -> int:
    """A page of each kind of row that is past its time; how many it was."""
    moment = datetime.combine(cutoff(PROOF, today=local_day(now)), time(), tzinfo=SHANGHAI)
    found = list(_forgettable(quiet_since=moment).values_list("pk", flat=True)[:PAGE])
    forgotten = sum(_forget(pk, quiet_since=moment, now=now) for pk in found)
    drafts = Request.objects.filter(state=State.DRAFT, created_at__lt=now - DRAFTS_KEPT)
    loose = Notice.objects.filter(request=None, created_at__lt=moment, sent_at__isnull=False)
    for rows in (drafts, loose):
        forgotten += rows.filter(pk__in=list(rows.values_list("pk", flat=True)[:PAGE])).delete()[0]
    return forgotten


def _forgettable(*, quiet_since: datetime) -> QuerySet[Request]:
    """Closed, with nothing in its timeline since (a release years later counts), and nothing of it goes on: no step, no
    hold, no file, no letter or notice to be sent, no exception.

    One that ended a service of which the portal alone knows the day stays, as records are dated by that day.
    """
    of_it = {"request": OuterRef("pk")}
    excepted = RetentionException.objects.filter(approved_at__isnull=False, ended_at__isnull=True)
    going_on = (
        Event.objects.filter(**of_it, at__gte=quiet_since),
        Notice.objects.filter(**of_it, sent_at__isnull=True),
        Step.objects.filter(**of_it).exclude(state=Step.State.DONE),
        Batch.objects.filter(step__request=OuterRef("pk"), erased__isnull=False),
        Hold.objects.filter(**of_it, released_at__isnull=True),
        Package.objects.filter(**of_it, data_key__isnull=False),
        Handover.objects.filter(**of_it, state=Handover.State.READY),
        RelationshipEnd.objects.filter(**of_it),
        Appeal.objects.filter(**of_it, decided_at__isnull=True),
        RetentionException.objects.filter(**of_it),
        excepted.filter(subject=OuterRef("subject"), request=None),
    )
    closed = Request.objects.filter(state=State.CLOSED, closed_at__lt=quiet_since)
    return closed.filter(*(~Q(Exists(rows)) for rows in going_on)).order_by("closed_at", "pk")


def _forget(pk: UUID, *, quiet_since: datetime, now: datetime) -> bool:
    """One request with all that hangs on it, or nothing. What the person agreed to and took back by it stays."""
    with transaction.atomic():
        locked = Request.objects.select_for_update(of=("self",), skip_locked=True).filter(pk=pk).first()
        if locked is None or not _forgettable(quiet_since=quiet_since).filter(pk=pk).exists():
            return False
        with connection.cursor() as cursor:
            # A worker only adds to what a hold said before; this call takes holds that are over, with their history.
            cursor.execute("SELECT forget_holds(%s)", [pk])
        ConsentEvent.objects.filter(request=locked).update(request=None)
        locked.delete()
        ledger.append(chain=pk, kind="forgotten", body={"rule": PROOF.label}, now=now)
    return True
