"""What the workers run. A task names a row and nothing more; whoever it wakes reads the facts."""

from uuid import UUID

from celery import shared_task

from portal.core import clock
from rights.actions import consents, fulfil, watch
from rights.models import Request
from rights.transitions import ADVANCE, wake_worker


@shared_task(name=ADVANCE)
def advance(request_id: str) -> None:
    """Take one request as far as it goes now."""
    fulfil.advance(request_id=UUID(request_id), now=clock.now())


@shared_task(name="rights.tasks.tick")
def tick() -> dict[str, int]:
    """What beat asks for: find what is due and wake a worker for each."""
    return watch.tick(now=clock.now(), dispatch=_hand_over)


@shared_task(name=consents.SETTLE)
def settle_consents(user_id: str) -> None:
    """Carry what one person said to whoever has to know."""
    consents.settle(user=UUID(user_id), now=clock.now())


def _hand_over(request: Request) -> None:
    wake_worker(request, now=clock.now())
