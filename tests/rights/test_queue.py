"""What waits for a worker is taken by how it presses, however full the queue is."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from accounts.identities import set_identity
from accounts.models import User
from portal import processes
from rights.actions.submit import start_draft, submit
from rights.kernel.states import Kind, State
from rights.models import Event, Request
from rights.queries import place_of
from rights.transitions import wake_worker
from tests.conftest import Clock
from tests.rights.shop import NOW, Shop
from tests.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.role("worker")

DAY = timedelta(days=1)


@pytest.fixture
def start_worker(stack: Stack) -> Iterator[Callable[[], None]]:
    """A Celery worker that does one thing after another, and nothing that makes a tick."""
    started = []

    def start() -> None:
        (kind,) = (kind for kind in processes.name_kinds(port=stack.port) if kind.name == "worker")
        environment = {**os.environ, "WORKER_CONCURRENCY": "1"}
        started.append(processes.start(kind, environment=environment, log=stack.data_dir / "queue.log"))

    stack.forget_messages()
    yield start
    processes.stop(started)
    stack.forget_messages()


def file(shop: Shop, number: int, *, id_number: str = "") -> Request:
    """A request of a person of its own, handed to the queue and to nobody yet."""
    with shop.as_("owner"):
        person = User.objects.create_user(
            account_no=f"2000{number:02}", password=None, display_name=f"人{number}", now=NOW
        )
        if id_number:
            set_identity(user=person, kind="id_number", value=id_number, verified_at=NOW)
    draft = start_draft(subject=person, filed_by=person, kind=Kind.DELETION, details={}, now=NOW)
    return submit(request_id=draft.pk, now=NOW)


def test_a_full_queue_gives_the_late_the_children_and_the_nearly_due_first(
    shop: Shop, clock: Clock, start_worker: Callable[[], None]
) -> None:
    clock(NOW)
    shop.add_customer(1)
    ordinary = [file(shop, number) for number in range(8)]
    nearly = file(shop, 20)
    Request.objects.filter(pk=nearly.pk).update(started_on=NOW.date() - 12 * DAY)
    child = file(shop, 21, id_number="110101201305210018")  # born 2013-05-21
    late = file(shop, 22)
    Request.objects.filter(pk=late.pk).update(priority=0)  # as a breach does
    for request in (nearly, late):
        request.refresh_from_db()
        wake_worker(request, now=NOW)
    start_worker()
    wait_until(lambda: not Request.objects.filter(state=State.CHECKING).exists(), seconds=60)
    moved = Event.objects.filter(body__has_key="to").exclude(kind="submitted").order_by("id")
    order = list(dict.fromkeys(moved.values_list("request_id", flat=True)))
    assert order == [item.pk for item in (late, child, nearly, *ordinary)]


def test_a_requests_place_is_told_by_its_lateness_its_person_and_its_last_day() -> None:
    """15 days from 2026-11-08 end on 2026-11-23, from 2026-11-13 on 2026-11-28, five days before which staff are
    warned."""

    def place(**facts: object) -> int:
        return place_of(Request(**{"priority": 5, "started_on": NOW.date(), "limit_days": 15, **facts}), now=NOW)

    assert place() == 5
    assert place(started_on=NOW.date() - 10 * DAY) == 2
    assert place(started_on=NOW.date() - 9 * DAY) == 5
    assert place(priority=1, started_on=NOW.date() - 10 * DAY) == 1
    assert place(priority=0) == 0
    assert place(started_on=None) == 5
