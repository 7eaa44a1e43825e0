"""The one door through which a request's state is written."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.models import User
from portal.core import ledger, rows
from portal.core.wake import wake
from rights import receipts
from rights.kernel.states import State, require_move
from rights.models import Event, Request
from rights.queries import Law, place_of

ADVANCE = "rights.tasks.advance"


class StaleRequest(Exception):
    """Somebody else moved the request meanwhile; look again before deciding."""


def move(
    request: Request,
    *,
    to: State,
    event: str,
    now: datetime,
    actor: User | None = None,
    body: Mapping[str, Any] | None = None,
    commitments: Mapping[str, str] | None = None,
    law: Law | None = None,
    **fields: Any,
) -> None:
    """Move a request, write what goes with it, and wake a worker.

    The update is conditional on the state that the caller saw, so that of two who decide at once one is refused with
    `StaleRequest`. `body` goes to the timeline and the ledger and holds no personal data; of a text the ledger keeps
    only a commitment (`ledger.commit_to`). Raises IllegalMove for a move that the table does not have.
    """
    before = State(request.state)
    require_move(before, to)
    # No savepoint: whoever could not move it has to undo what should have gone with it.
    with transaction.atomic(savepoint=False):
        if not rows.change(Request, {"pk": request.pk, "state": before}, state=to, **fields):
            raise StaleRequest(f"The request is no longer {before}.")
        request.state = to
        for name, value in fields.items():
            setattr(request, name, value)
        record(
            request,
            event=event,
            now=now,
            actor=actor,
            body={**(body or {}), "to": to.value},
            commitments=commitments,
            law=law,
        )
        wake_worker(request, now=now)


def wake_worker(request: Request, *, now: datetime) -> None:
    """Have a worker look at the request, in its place among those that wait for one."""
    wake(ADVANCE, priority=place_of(request, now=now), request_id=str(request.pk))


def record(
    request: Request,
    *,
    event: str,
    now: datetime,
    actor: User | None = None,
    body: Mapping[str, Any] | None = None,
    commitments: Mapping[str, str] | None = None,
    law: Law | None = None,
) -> None:
    """Write a moment that moves nothing: to the timeline and, as fact and with its receipts, to the ledger.

    `law`: what the caller has read already of what its receipts may tell.
    """
    plain = dict(body or {})
    with transaction.atomic(savepoint=False):
        drafts = receipts.draw_up(request, event=event, body=plain, now=now, law=law or Law())
        digests = {**(commitments or {}), **dict(draft.commitment for draft in drafts)}
        entry = ledger.next_entry(chain=request.pk, kind=event, body=plain, commitments=digests, now=now)
        moment = Event(request=request, kind=event, body=plain, at=now, actor=actor)
        rows.add(moment, entry, *(draft.as_row(request, entry=entry) for draft in drafts))
