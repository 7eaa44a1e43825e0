"""A thousand requests while something is killed every second: none is lost, and nothing happens twice."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from random import Random

import pytest

from portal.core import clock
from tests.faults.crowd import BYSTANDER, CASES, Crowd
from tests.faults.parts import Portal
from tests.stack import Stack
from tests.waiting import wait_until

pytestmark = [pytest.mark.role("worker"), pytest.mark.slow]
REQUESTS = int(os.environ.get("FAULT_REQUESTS", "1000"))
LIMIT = 3600
EVERY = 1.0
"""Seconds from one kill to the next."""


class Killer:
    """Kills a process of a worker's pool, and each tenth time a worker itself or beat."""

    def __init__(self, portal: Portal) -> None:
        self.portal, self.random = portal, Random(7)
        self.killed = 0
        self._next_at = time.monotonic()

    def look(self) -> None:
        self.portal.look()
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + EVERY
        if self.killed % 10 == 9:
            name = self.random.choice(["worker", "worker", "beat"])
            self.portal.kill(self.random.choice(self.portal.of(name)))
            self.portal.start(name)
            self.killed += 1
        elif pool := [pid for worker in self.portal.of("worker") for pid in self.portal.children(worker)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(pool), signal.SIGKILL)
                self.killed += 1


def test_a_thousand_requests_with_a_kill_every_second(
    crowd: Crowd, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    portal = Portal(stack, WORKER_CONCURRENCY="4")
    try:
        portal.have(worker=2, beat=1)
        carry_through(crowd, portal, say=lambda text: _say(capsys, text))
    finally:
        portal.stop()


def _say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(text)  # noqa: T201


def carry_through(crowd: Crowd, portal: Portal, *, say: Callable[[str], None]) -> None:
    people = crowd.come([*CASES, BYSTANDER] * (REQUESTS // len(CASES)), now=clock.now())
    asking = [person for person in people if person.kind]
    killer, begun = Killer(portal), time.monotonic()

    def is_over() -> bool:
        killer.look()
        for person in asking[len(crowd.requests) :][:5]:
            crowd.file([person], now=clock.now())
        crowd.approve_waiting(now=clock.now(), limit=5)
        return len(crowd.requests) == len(asking) and not crowd.open_states() and not crowd.unsent()

    wait_until(is_over, seconds=LIMIT, what=lambda: f"the end of {crowd.open_states()}, {crowd.dead_steps()}")
    seconds = time.monotonic() - begun
    crowd.everything_is_true()
    assert killer.killed > 10
    say(f"\n{len(asking)} requests done in {seconds:.0f} s with {killer.killed} kills")
