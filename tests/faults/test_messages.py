"""What a queue may do: deliver a message again and again, to several workers at once, one of which stands still."""

import os
import signal

import psycopg
import pytest
from celery import current_app

from portal.core import clock
from rights.kernel.states import Kind
from rights.models import Step
from rights.transitions import ADVANCE
from tests.faults.crowd import Crowd
from tests.faults.parts import Portal
from tests.faults.test_processes import LIMIT, ask, see_through
from tests.waiting import wait_until

pytestmark = pytest.mark.role("worker")


def deliver(crowd: Crowd, *, times: int) -> None:
    """The same messages, that a request may go on and that it is time to look, once more each."""
    for _ in range(times):
        for request in crowd.requests.values():
            current_app.send_task(ADVANCE, kwargs={"request_id": str(request.pk)}, task_id=f"again-{request.pk}")
        current_app.send_task("rights.tasks.tick", task_id="again")


@pytest.mark.slow
@pytest.mark.parametrize("times", [2, 100])
def test_messages_delivered_again_to_two_workers_from_two_beats(crowd: Crowd, portal: Portal, times: int) -> None:
    portal.have(worker=2, beat=2)
    ask(crowd, rounds=2)
    see_through(crowd, portal, *[lambda: deliver(crowd, times=times)] * 2)


@pytest.mark.parametrize("times", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_a_message_delivered_again_and_again(crowd: Crowd, portal: Portal, times: int) -> None:
    portal.have(worker=2, beat=1)
    ask(crowd)
    one = crowd.requests[1]
    for _ in range(times):
        current_app.send_task(ADVANCE, kwargs={"request_id": str(one.pk)}, task_id=f"again-{one.pk}")
    see_through(crowd, portal)


def test_a_worker_stopped_past_its_lease_and_continued(crowd: Crowd, portal: Portal) -> None:
    """It stands still in the middle of a batch. Another takes the step over and has to wait for the rows."""
    portal.have(worker=1, beat=1)
    (stalled,) = portal.of("worker")
    (person,) = crowd.come([Kind.DELETION], now=clock.now())
    crowd.file([person], now=clock.now())
    running = Step.objects.filter(state=Step.State.RUNNING, verb="erase")
    with psycopg.connect(crowd.shop.url) as other:
        other.execute(b"SELECT FROM shop.visit FOR UPDATE")
        wait_until(lambda: crowd.approve_waiting(now=clock.now()), seconds=LIMIT, what="the case")
        waits = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        wait_until(
            lambda: other.execute(waits.encode()).fetchall(), seconds=LIMIT, what="a batch that waits for its rows"
        )
        os.killpg(stalled.pid, signal.SIGSTOP)
    try:
        portal.have(worker=2)
        wait_until(lambda: running.filter(fence__gte=2).exists(), seconds=LIMIT, what="another worker at the step")
    finally:
        os.killpg(stalled.pid, signal.SIGCONT)
    see_through(crowd, portal)
