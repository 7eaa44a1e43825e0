"""A business database that is down, slow, read-only or full, or goes away before anybody knows whether it did it.

The server is real and of these tests' own. Only a full disk is played, by a trigger that raises what PostgreSQL raises
then (SQLSTATE 53100): filling one needs rights that a test has not everywhere.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta

import psycopg
import pytest

from portal.embedded.place import SOCKET_NAME, SUPERUSER
from rights.actions import fulfil
from rights.connectors import sql
from rights.kernel.states import Kind
from tests.faults.crowd import BYSTANDER, CASES, Crowd
from tests.faults.parts import Server, Wire
from tests.rights.shop import NOW

pytestmark = pytest.mark.role("worker")
LATER = NOW + timedelta(minutes=30)
REVIEWED = {Kind.DELETION, Kind.CANCELLATION}
CHANGED = ("customer", "orders", "visit", "consent")
AWHILE = timedelta(hours=1)
"""Longer than a system that has not answered is left alone."""


def to_the_round(crowd: Crowd) -> None:
    """Somebody with each kind of request, filed, and approved where a person decides."""
    people = crowd.come([*CASES, BYSTANDER], now=NOW)
    asking = [person for person in people if person.kind]
    crowd.file(asking, now=NOW)
    for person in asking:
        if person.kind in REVIEWED:
            fulfil.advance(request_id=crowd.requests[person.number].pk, now=NOW)
    assert crowd.approve_waiting(now=NOW) == 2


def tick(crowd: Crowd, *moments: datetime) -> None:
    for moment in moments:
        crowd.shop.tick(moment)


def finish(crowd: Crowd, *, after: datetime) -> None:
    """The system is well again: whatever waits for it goes on by itself."""
    for hour in range(1, 8):
        crowd.shop.tick(after + hour * AWHILE)
        if not crowd.open_states() and not crowd.unsent():
            break
    crowd.everything_is_true()


@contextmanager
def down(crowd: Crowd, server: Server) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def locked(crowd: Crowd, server: Server) -> Iterator[None]:
    """Somebody else is at the same rows and does not come to an end."""
    with psycopg.connect(crowd.shop.url) as other:
        for table in CHANGED:
            other.execute(f"SELECT FROM shop.{table} FOR UPDATE".encode())
        yield


@contextmanager
def read_only(crowd: Crowd, server: Server) -> Iterator[None]:
    """The address leads to a standby, as during a failover."""
    server.become_standby()
    try:
        yield
    finally:
        server.become_primary()


@contextmanager
def read_only_by_order(crowd: Crowd, server: Server) -> Iterator[None]:
    """Whoever runs the database has said that nothing is to be written for a while."""
    crowd.shop.sql("ALTER DATABASE shop SET default_transaction_read_only = on")
    server.drop_connections()
    yield
    server.sql("ALTER DATABASE shop RESET default_transaction_read_only")
    server.drop_connections()


@contextmanager
def full(crowd: Crowd, server: Server) -> Iterator[None]:
    crowd.shop.sql(
        "CREATE FUNCTION shop.no_space() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    )
    for table in CHANGED:
        crowd.shop.sql(
            f"CREATE TRIGGER no_space BEFORE UPDATE OR DELETE ON shop.{table} EXECUTE FUNCTION shop.no_space()"
        )
    yield
    crowd.shop.sql("DROP FUNCTION shop.no_space() CASCADE")


Trouble = Callable[[Crowd, Server], AbstractContextManager[None]]


@pytest.mark.parametrize("trouble", [down, locked, read_only, read_only_by_order, full])
def test_what_a_system_in_trouble_owes_is_done_when_it_is_well(
    far_crowd: Crowd, server: Server, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "ACT_SECONDS", 1)
    to_the_round(far_crowd)
    with trouble(far_crowd, server):
        tick(far_crowd, LATER, LATER + timedelta(minutes=2))
        assert far_crowd.dead_steps() == []
        assert sum(far_crowd.open_states().values()) > 0
    finish(far_crowd, after=LATER)


def test_a_slow_system_is_waited_for(far_crowd: Crowd) -> None:
    to_the_round(far_crowd)
    far_crowd.shop.sql(
        "CREATE FUNCTION shop.slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;"
        "CREATE TRIGGER slow AFTER DELETE ON shop.visit EXECUTE FUNCTION shop.slow()"
    )
    finish(far_crowd, after=LATER)


# --- it goes away before the commit is known


@pytest.fixture
def wire(far_crowd: Crowd, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The portal reaches the shop by a line that can be cut."""
    wire = Wire(server.place.sockets / SOCKET_NAME)
    password = server.passwords[SUPERUSER]
    address = f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{wire.port}/shop?sslmode=disable&gssencmode=disable"
    monkeypatch.setenv("SYSTEM_SHOP_URL", address)
    yield wire
    wire.close()


@pytest.mark.parametrize(
    ("kind", "arrives"),
    [
        (Kind.DELETION, True),
        *(
            pytest.param(kind, arrives, marks=pytest.mark.slow)
            for kind in CASES
            for arrives in (True, False)
            if kind is not Kind.ACCESS and (kind, arrives) != (Kind.DELETION, True)
        ),
    ],
)
def test_a_line_cut_at_each_commit_before_its_answer(far_crowd: Crowd, wire: Wire, kind: Kind, arrives: bool) -> None:
    cut, last = 0, False
    while not last:
        (person,) = far_crowd.come([kind], now=NOW, alike=11)
        far_crowd.file([person], now=NOW)
        if kind in REVIEWED:
            fulfil.advance(request_id=far_crowd.requests[person.number].pk, now=NOW)
            far_crowd.approve_waiting(now=NOW)
        wire.cut_at(cut + 1, arrives=arrives)
        tick(far_crowd, LATER)
        last = not wire.was_cut
        cut += not last
        wire.mend()
        finish(far_crowd, after=LATER)
    assert cut > 2
