"""The running portal while its parts are killed under it: workers, beat, web, PostgreSQL and Valkey."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from portal.core import clock
from portal.demo.accounts import DEMO_PASSWORD
from rights.kernel.states import Kind, State
from rights.models import Request
from tests.faults.crowd import BYSTANDER, CASES, Crowd
from tests.faults.parts import Broker, Portal, Server
from tests.stack import Stack, close_connections
from tests.waiting import wait_until
from tests.walks.visitor import Visitor

pytestmark = pytest.mark.role("worker")
LIMIT = 600
"""Seconds that a run may take on a machine where others work."""
Strike = Callable[[], object]


def ask(crowd: Crowd, *, rounds: int = 1) -> None:
    """So many people ask for each kind of thing."""
    people = crowd.come([*CASES, BYSTANDER] * rounds, now=clock.now())
    crowd.file([person for person in people if person.kind], now=clock.now())


def see_through(crowd: Crowd, portal: Portal, *strikes: Strike) -> None:
    """Cases are approved as they come, and each strike falls when so many more requests have been closed."""
    count = len(crowd.requests)
    to_come = [(count * place // (len(strikes) + 1), strike) for place, strike in enumerate(strikes, start=1)]

    def is_over() -> bool:
        portal.look()
        crowd.approve_waiting(now=clock.now())
        still = sum(crowd.open_states().values())
        if to_come and still <= count - to_come[0][0]:
            to_come.pop(0)[1]()
        return not still and not crowd.unsent() and not to_come

    wait_until(is_over, seconds=LIMIT, what=lambda: f"the end of {crowd.open_states()}, {crowd.dead_steps()}")
    crowd.everything_is_true()


@pytest.fixture
def broker(stack: Stack) -> Iterator[Broker]:
    made = Broker(stack)
    yield made
    made.start()


def test_workers_and_beat_killed(crowd: Crowd, portal: Portal) -> None:
    """A worker with its pool, a process of a pool alone, and beat: of each kind another takes over."""
    portal.have(worker=2, beat=1)

    def kill_worker() -> None:
        portal.kill(portal.of("worker")[0])
        portal.start("worker")

    def kill_in_pool() -> None:
        for pid in portal.children(portal.of("worker")[0]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_beat() -> None:
        portal.kill(portal.of("beat")[0])
        portal.start("beat")

    ask(crowd, rounds=2)
    see_through(crowd, portal, kill_worker, kill_in_pool, kill_beat)


def test_the_queue_flushed_and_the_broker_killed(crowd: Crowd, portal: Portal, broker: Broker) -> None:
    portal.have(worker=2, beat=1)

    def kill_and_ask() -> None:
        broker.crash()
        (late,) = crowd.come([Kind.DELETION], now=clock.now())
        crowd.file([late], now=clock.now())  # nobody is woken for it, and it is received all the same
        broker.start()

    ask(crowd)
    see_through(crowd, portal, broker.flush, kill_and_ask)


@pytest.mark.slow
def test_a_flushed_queue_stops_nothing(crowd: Crowd, portal: Portal, broker: Broker) -> None:
    """What is announced through it after that still arrives: nobody is restarted."""
    portal.have(worker=1, beat=1)
    broker.flush()
    ask(crowd)
    see_through(crowd, portal)


@pytest.mark.slow
def test_the_portals_database_killed_again_and_again(far_portal: Crowd, server: Server, far_stack: Stack) -> None:
    portal = Portal(far_stack)
    try:
        portal.have(worker=2, beat=1)

        def kill() -> None:
            server.restart()
            close_connections()

        ask(far_portal, rounds=2)
        see_through(far_portal, portal, kill, kill)
    finally:
        portal.stop()


def test_web_killed_in_the_middle_of_filing(crowd: Crowd, portal: Portal, stack: Stack) -> None:
    portal.have(web=1, worker=1, beat=1)
    (person,) = crowd.come([Kind.DELETION], now=clock.now())
    with crowd.shop.as_("owner"):
        person.user.set_password(DEMO_PASSWORD)
        person.user.save()
    visitor = Visitor(stack.base_url)
    visitor.sign_in(person.user.account_no)
    page = visitor.visit("/rights/deletion/start/")
    page = check = visitor.send(page, page.form(field="scope"), {"scope": "everything"})
    form = page.form(field="seen")
    page = visitor.send(page, form, {"understood": "on"} if "understood" in form.fields else {})
    code = {"code": visitor.newest_code()}

    def send_code() -> None:
        with contextlib.suppress(httpx.HTTPError):
            visitor.send(page, page.form(field="code"), code)

    with stack.connect("superuser") as other, other.transaction():
        # Whoever files has written the request and cannot write the notice of it: the transaction is half done.
        other.execute("LOCK TABLE rights_notice IN SHARE ROW EXCLUSIVE MODE")
        sending = threading.Thread(target=send_code)
        sending.start()
        waits = "SELECT pid FROM pg_stat_activity WHERE usename = 'portal_web' AND wait_event_type = 'Lock'"
        wait_until(lambda: stack.run_sql(waits, role="superuser") or not sending.is_alive(), seconds=LIMIT)
        assert sending.is_alive(), "The filing was answered before it was half done."
        portal.kill(portal.of("web")[0])
        sending.join()
    assert set(Request.objects.values_list("state", flat=True)) == {State.DRAFT}

    portal.have(web=1)
    form = check.form(field="seen")
    page = visitor.send(check, form, {"understood": "on"} if "understood" in form.fields else {})
    if page.path.endswith("/code/"):
        page = visitor.send(page, page.form(field="code"), {"code": visitor.newest_code()})
    assert page.path.endswith("/received/"), page.text[:600]
    crowd.requests[person.number] = Request.objects.get()
    see_through(crowd, portal)
