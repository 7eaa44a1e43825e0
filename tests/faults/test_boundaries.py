"""Whoever works is killed at every boundary of what it does; the next tick finishes what is left, and everything
happens once."""

from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest

from portal.core.models import Heartbeat
from rights.actions import erasing, fulfil, upkeep, work
from rights.actions.submit import submit
from rights.actions.work import LEASE
from rights.connectors import sql
from rights.kernel.states import Kind
from tests.faults.boundaries import Boundary, kill_myself, run_and_count, run_and_stall, run_and_strike
from tests.faults.crowd import BYSTANDER, CASES, Crowd, Person
from tests.faults.parts import Server
from tests.rights.shop import NOW
from tests.stack import close_connections

pytestmark = pytest.mark.role("worker")
LATER = NOW + timedelta(minutes=30)
AGAIN = LATER + LEASE + timedelta(minutes=1)
MINUTES = 30
Act = Callable[[Crowd, Person], object]
by_kind = pytest.mark.parametrize("kind", CASES)


def to_the_round(crowd: Crowd, person: Person) -> None:
    """Filed, and approved where a person decides: what is left is a worker's."""
    (request,) = crowd.file([person], now=NOW)
    if person.kind in {Kind.DELETION, Kind.CANCELLATION}:
        fulfil.advance(request_id=request.pk, now=NOW)
        assert crowd.approve_waiting(now=NOW) == 1


def advance(crowd: Crowd, person: Person) -> None:
    fulfil.advance(request_id=crowd.requests[person.number].pk, now=LATER)


class Drill:
    """For each boundary somebody comes who has as many records as the others, and who works for them is struck."""

    def __init__(
        self,
        crowd: Crowd,
        kind: Kind,
        *,
        prepare: Act = to_the_round,
        act: Act = advance,
        again: Act = lambda crowd, person: None,
    ) -> None:
        self.crowd, self.kind, self.prepare, self.act, self.again = crowd, kind, prepare, act, again
        crowd.come([BYSTANDER], now=NOW)
        self.boundaries = self._count()

    def _count(self) -> list[Boundary]:
        person = self._next()
        found = run_and_count(lambda: self.act(self.crowd, person))
        self._finish(person, at="nothing was killed")
        return found

    def firsts(self, known: set[Boundary] | None = None) -> list[int]:
        """The first time each function sends each kind of statement, but for those that are `known` already."""
        known, found = set() if known is None else known, []
        for index, boundary in enumerate(self.boundaries):
            if boundary not in known:
                known.add(boundary)
                found.append(index)
        return found

    def run(
        self,
        indexes: Iterable[int],
        *,
        strike: Callable[[], object] = kill_myself,
        mend: Callable[[], object] = lambda: None,
    ) -> None:
        for index in indexes:
            person, at = self._next(), (index, self.boundaries[index])
            struck = run_and_strike(lambda who=person: self.act(self.crowd, who), at=index, strike=strike)  # type: ignore[misc]
            mend()
            assert struck, at
            self._finish(person, at=at)
        self.crowd.everything_is_true()

    def _next(self) -> Person:
        (person,) = self.crowd.come([self.kind], now=NOW, alike=11)
        self.prepare(self.crowd, person)
        return person

    def stall(self, indexes: Iterable[int]) -> None:
        for index in indexes:
            person, at = self._next(), (index, self.boundaries[index])
            with run_and_stall(lambda who=person: self.act(self.crowd, who), at=index):  # type: ignore[misc]
                self.crowd.shop.tick(AGAIN)
            self._finish(person, at=at)
        self.crowd.everything_is_true()

    def _finish(self, person: Person, *, at: object) -> None:
        """Ticks find what was left: nobody says which request it was."""
        self.again(self.crowd, person)
        for minute in range(MINUTES):
            self.crowd.shop.tick(AGAIN + timedelta(minutes=minute))
            if not self.crowd.open_states() and not self.crowd.unsent():
                break
        self.crowd.require_true_of(person, at=at)


@pytest.fixture
def _many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step sees goes in several batches."""
    monkeypatch.setattr(erasing, "FIRST_BATCH", 2)
    monkeypatch.setattr(work, "SMALLEST_BATCH", 2)
    monkeypatch.setattr(work, "LARGEST_BATCH", 2)


@pytest.mark.parametrize(
    ("kinds", "least"),
    [pytest.param([Kind.DELETION], 20, id="deletion"), pytest.param(CASES, 30, id="all", marks=pytest.mark.slow)],
)
def test_a_worker_killed_once_in_each_place(crowd: Crowd, kinds: Iterable[Kind], least: int) -> None:
    """The first time each function sends each kind of statement."""
    known: set[Boundary] = set()
    for kind in kinds:
        drill = Drill(crowd, kind)
        drill.run(drill.firsts(known))
    assert len(known) > least, known


@pytest.mark.slow
@pytest.mark.usefixtures("_many_batches")
@by_kind
def test_a_worker_killed_at_every_moment(crowd: Crowd, kind: Kind) -> None:
    drill = Drill(crowd, kind)
    drill.run(range(len(drill.boundaries)))


# --- whoever else works: the web process that files, and the tick


def only_drafted(crowd: Crowd, person: Person) -> None:
    crowd.draft(person, now=NOW)


def file_draft(crowd: Crowd, person: Person) -> None:
    submit(request_id=crowd.requests[person.number].pk, now=NOW)


def finish_filing(crowd: Crowd, person: Person) -> None:
    """They send the form again, as nobody has answered them."""
    file_draft(crowd, person)
    fulfil.advance(request_id=crowd.requests[person.number].pk, now=NOW)
    crowd.approve_waiting(now=NOW)


def test_who_files_killed_once_in_each_place(crowd: Crowd) -> None:
    drill = Drill(crowd, Kind.DELETION, prepare=only_drafted, act=file_draft, again=finish_filing)
    drill.run(drill.firsts())


@pytest.mark.slow
def test_who_files_killed_at_every_moment(crowd: Crowd) -> None:
    drill = Drill(crowd, Kind.DELETION, prepare=only_drafted, act=file_draft, again=finish_filing)
    drill.run(range(len(drill.boundaries)))


def to_the_tick(crowd: Crowd, person: Person) -> None:
    """Done and closed; what is left is a tick's: notices are sent, the ledger gets its head."""
    to_the_round(crowd, person)
    advance(crowd, person)
    with crowd.shop.as_("owner"):
        Heartbeat.objects.filter(name=upkeep.DONE).delete()  # once an hour it does more


def tick(crowd: Crowd, person: Person) -> None:
    crowd.shop.tick(LATER)


@pytest.mark.slow
def test_a_tick_killed_once_in_each_place(crowd: Crowd) -> None:
    crowd.shop.tick(NOW)  # the first one ever writes more
    drill = Drill(crowd, Kind.DELETION, prepare=to_the_tick, act=tick)
    drill.run(drill.firsts())


@pytest.mark.slow
def test_a_tick_killed_at_every_moment(crowd: Crowd) -> None:
    crowd.shop.tick(NOW)
    drill = Drill(crowd, Kind.CANCELLATION, prepare=to_the_round, act=tick)
    drill.run(range(len(drill.boundaries)))


# --- a worker that stands still while another does its work


def lets_others_work(boundary: Boundary) -> bool:
    """Inside a transaction of the portal's own others wait for it: there is nothing to try before it goes on."""
    return boundary[1:] != ("COMMIT", "before")


@pytest.fixture
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for rows that a stalled worker has locked gives up soon and tries again."""
    monkeypatch.setattr(sql, "ACT_SECONDS", 1)


@pytest.mark.usefixtures("_short_waits")
def test_a_worker_stalled_past_its_lease_between_intent_and_record(crowd: Crowd) -> None:
    drill = Drill(crowd, Kind.DELETION)
    acting = {
        ("rights.actions.erasing._open_batch", "COMMIT", "after"),
        ("rights.connectors.sqlprepare.run", "business DELETE", "before"),
        ("rights.connectors.sqlprepare.run", "business DELETE", "after"),
        ("rights.connectors.sqlpostgres.act", "business COMMIT", "before"),
        ("rights.actions.erasing._close_batch", "COMMIT", "after"),
    }
    assert acting <= set(drill.boundaries), drill.boundaries
    drill.stall(at for at in drill.firsts() if drill.boundaries[at] in acting)


@pytest.mark.slow
@pytest.mark.usefixtures("_short_waits")
@by_kind
def test_a_worker_stalled_past_its_lease_once_in_each_place(crowd: Crowd, kind: Kind) -> None:
    drill = Drill(crowd, kind)
    drill.stall(index for index in drill.firsts() if lets_others_work(drill.boundaries[index]))


# --- the servers


@pytest.mark.slow
@pytest.mark.usefixtures("_many_batches")
@by_kind
def test_the_business_server_killed_at_every_moment(far_crowd: Crowd, server: Server, kind: Kind) -> None:
    drill = Drill(far_crowd, kind)
    drill.run(range(len(drill.boundaries)), strike=server.crash, mend=server.start)


def kill_the_portals_database(server: Server, drill: Drill, indexes: Iterable[int]) -> None:
    def mend() -> None:
        server.start()
        close_connections()

    drill.run(indexes, strike=server.crash, mend=mend)


def test_the_portals_database_killed_while_a_batch_is_done(far_portal: Crowd, server: Server) -> None:
    drill = Drill(far_portal, Kind.DELETION)
    places = {
        ("rights.connectors.sqlpostgres.act", "business COMMIT", "before"),
        ("rights.actions.erasing._close_batch", "COMMIT", "before"),
    }
    assert places <= set(drill.boundaries), drill.boundaries
    kill_the_portals_database(server, drill, [at for at in drill.firsts() if drill.boundaries[at] in places])


@pytest.mark.slow
@by_kind
def test_the_portals_database_killed_once_in_each_place(far_portal: Crowd, server: Server, kind: Kind) -> None:
    drill = Drill(far_portal, kind)
    kill_the_portals_database(server, drill, drill.firsts())
