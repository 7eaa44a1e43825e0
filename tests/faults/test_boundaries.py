"""A worker killed at every boundary of a deletion: the next one finishes what is left, and everything happens once."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import count

import pytest

from accounts.models import User
from portal.core import ledger
from portal.core.models import OutboxMessage
from rights.actions import fulfil
from rights.actions.work import LEASE
from rights.models import Batch, Notice, Request
from tests.faults.boundaries import Boundary, run_and_count, run_and_die
from tests.rights.shop import NOW, Shop, State

pytestmark = pytest.mark.role("worker")
LATER = NOW + timedelta(minutes=30)
AGAIN = LATER + LEASE + timedelta(minutes=1)
_numbers = count(1)


def next_person(shop: Shop) -> Shop:
    """The shop as somebody else's who has just come: five visits, two orders that may go, one that is held."""
    number = next(_numbers)
    with shop.as_("owner"):
        person = User.objects.create_user(
            account_no=str(400000 + number), password=None, display_name="刘洋", email=f"{number}@f.example", now=NOW
        )
    shop = replace(shop, person=person)
    shop.add_customer(number, closed_on=date(2020, 1, 31))
    shop.add_orders(date(2020, 1, 31), date(2020, 2, 29), date(2026, 3, 31), customer=number)
    first = int(shop.sql("SELECT coalesce(max(visit_id), 0) FROM shop.visit")[0][0])
    shop.sql("INSERT INTO shop.visit SELECT %s + n, %s, 'page' FROM generate_series(1, 5) n", [first, number])
    return shop


def approved(shop: Shop) -> Request:
    return shop.approve(shop.file(), now=NOW)


def advancing(request: Request) -> Callable[[], None]:
    return lambda: fulfil.advance(request_id=request.pk, now=LATER)


def require_done_once(shop: Shop, request: Request, *, at: object) -> None:
    request = shop.look(request)
    assert request.state == State.CLOSED, at
    mine = f"customer_id = (SELECT customer_id FROM shop.customer WHERE account_no = '{shop.person.account_no}')"
    # What is held to 2031-03-31 keeps the customer file, by which alone it is found.
    assert (shop.count("visit", mine), shop.count("orders", mine), shop.count("customer", mine)) == (0, 1, 1), at
    assert shop.held(request) == {("shop.orders", date(2031, 3, 31)): 1, ("shop.customer", date(2031, 3, 31)): 1}, at
    assert {step.state for step in request.steps.all()} == {"done"}, at
    done = {step.collection: step.done for step in request.steps.filter(verb="erase")}
    assert done == {"shop.visit": 5, "shop.orders": 2}, at
    batches = Batch.objects.filter(step__request=request)
    assert not batches.filter(closed_at__isnull=True).exists(), at
    assert sum(batch.gone or 0 for batch in batches) == 7, at
    told = Counter(Notice.objects.filter(request=request).values_list("kind", "user_id", "second_contact"))
    assert told
    assert max(told.values()) == 1, at
    mails = Counter(OutboxMessage.objects.values_list("recipient", "body"))
    assert not mails or max(mails.values()) == 1, at


def run_through(shop: Shop, boundaries: list[tuple[int, Boundary]]) -> int:
    killed = 0
    for index, boundary in boundaries:
        mine = next_person(shop)
        request = approved(mine)
        killed += run_and_die(advancing(request), kill_at=index)
        # A tick finds what was left: nobody says which request it was.
        for minute in range(2):
            shop.tick(AGAIN + timedelta(minutes=minute))
        require_done_once(mine, request, at=(index, boundary))
    assert ledger.verify().problems == []
    return killed


@pytest.fixture
def boundaries(shop: Shop) -> list[Boundary]:
    mine = next_person(shop)
    request = approved(mine)
    found = run_and_count(advancing(request))
    require_done_once(mine, request, at="nothing was killed")
    return found


def test_a_worker_killed_once_in_each_place(shop: Shop, boundaries: list[Boundary]) -> None:
    """The first time each function sends each kind of statement."""
    first: dict[Boundary, int] = {}
    for index, boundary in enumerate(boundaries):
        first.setdefault(boundary, index)
    assert len(first) > 12, first
    assert run_through(shop, [(index, boundary) for boundary, index in first.items()]) == len(first)


@pytest.mark.slow
def test_a_worker_killed_at_every_moment(shop: Shop, boundaries: list[Boundary]) -> None:
    assert run_through(shop, list(enumerate(boundaries))) == len(boundaries)
