"""Cancellation: deferred whole while something has to be settled, looked at by a person where somebody must decide."""

from datetime import date, timedelta

import pytest

from rights.actions.submit import CannotSubmit
from rights.kernel.plan import Plan
from rights.kernel.states import Kind, State
from rights.models import Request
from tests.decisions.office import NOW, Office, keys
from tests.rights import shop as shops
from tests.rights.shop import Shop

pytestmark = pytest.mark.role("worker")

TOMORROW = NOW + timedelta(days=1, hours=1)
DAY_AFTER = TOMORROW + timedelta(days=1)


def test_ok_cancelled_and_the_periods_start_today(shop: Shop) -> None:
    """Closed on 2026-11-23: kept through 2031-11-23."""
    shop.add_customer()
    shop.add_visits(2)
    request = shop.file(Kind.CANCELLATION, entities=["shop"])
    assert request.state == State.REVIEW
    request = shop.advance(shop.approve(request, now=shops.NOW), now=shops.NOW + timedelta(minutes=15))
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.CANCELLED")
    assert shop.sql("SELECT closed_on FROM shop.customer") == [(date(2026, 11, 23),)]
    assert shop.held(request) == {("shop.customer", date(2031, 11, 23)): 1}
    assert shop.count("visit") == 0


def check_deferral(office: Office, who: str, service: str, *, key: str, deed: str) -> None:
    """Deferred whole, nothing touched, and once the company has settled it on by itself to a fresh limit."""
    request = office.file(who, Kind.CANCELLATION, entities=[service])
    assert request.state == State.DEFERRED
    plan = Plan.from_json(request.plan or {})
    assert {line.fate for line in plan.lines if line.count} == {"blocked"}
    assert {reason for found in keys(plan).values() for reason in found} == {key}
    assert not request.steps.exists()
    blocker = office.data_map.blockers[key]
    assert blocker.fix
    assert blocker.fix_url
    request = office.advance(request, now=TOMORROW)
    assert request.state == State.DEFERRED
    office.settle(who, deed, now=TOMORROW)
    request = office.advance(request, now=DAY_AFTER)
    assert request.state == State.REVIEW
    assert request.started_on == date(2026, 11, 25)
    request = office.approve(request, now=DAY_AFTER + timedelta(hours=1))
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.CANCELLED")


def test_block_loan(office: Office) -> None:
    check_deferral(office, "zhou-mingyuan", "loan", key="BLOCK.LOAN", deed="loan")


def test_block_wealth(office: Office) -> None:
    check_deferral(office, "zheng-guodong", "wealth", key="BLOCK.WEALTH", deed="fund")


def test_block_wallet(office: Office) -> None:
    check_deferral(office, "wu-jing", "wallet", key="BLOCK.WALLET", deed="change")


def test_block_micoin(office: Office) -> None:
    check_deferral(office, "luo-zihan", "micoin", key="BLOCK.MICOIN", deed="micoin")


def test_block_micoin_may_be_waived_expressly(office: Office) -> None:
    request = office.file("luo-zihan", Kind.CANCELLATION, entities=["micoin"], waived=["BLOCK.MICOIN"])
    assert request.state == State.REVIEW
    request = office.approve(request)
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.CANCELLED")
    login = office.business.account("luo-zihan").login
    assert office.business.sql("micoin", "SELECT closed_on FROM micoin.account WHERE account_no = %s", [login]) == [
        (date(2026, 11, 23),)
    ]


@pytest.mark.parametrize(
    ("who", "service", "waived"),
    [("zhou-mingyuan", "loan", "BLOCK.LOAN"), ("wu-jing", "wallet", "BLOCK.WALLET"), ("luo-zihan", "micoin", "NONE")],
)
def test_block_micoin_is_all_that_may_be_waived(office: Office, who: str, service: str, waived: str) -> None:
    with pytest.raises(CannotSubmit):
        office.file(who, Kind.CANCELLATION, entities=[service], waived=[waived])
    assert not Request.objects.exclude(state=State.DRAFT).exists()


def test_block_dispute_is_for_a_person_and_keeps_the_open_file(office: Office) -> None:
    login = office.business.account("xie-yutong").login

    def left(table: str) -> int:
        return office.business.count("platform", f"platform.{table}", "account_no = %s", [login])

    request = office.file("xie-yutong", Kind.CANCELLATION, entities=["platform"])
    assert request.state == State.REVIEW
    assert "BLOCK.DISPUTE" in request.review_reasons
    request = office.approve(request)
    # The service has ended; the file of the open case is needed until it is closed.
    assert (left("profile"), left("complaint")) == (0, 2)
    assert request.state == State.DEFERRED
    request = office.advance(request, now=TOMORROW)
    assert request.state == State.DEFERRED
    office.settle("xie-yutong", "complaint", now=TOMORROW)
    request = office.advance(request, now=DAY_AFTER)
    assert request.state == State.CLOSED
    assert left("complaint") == 0


def test_block_dispute_is_no_matter_of_another_service(office: Office) -> None:
    request = office.file("xie-yutong", Kind.CANCELLATION, entities=["wallet"])
    assert "BLOCK.DISPUTE" not in request.review_reasons


def test_ok_forfeit_confirmed(office: Office) -> None:
    with pytest.raises(CannotSubmit):
        office.file("tang-jiayi", Kind.CANCELLATION, entities=["platform"])
    request = office.file("tang-jiayi", Kind.CANCELLATION, entities=["platform"], forfeits=["FORFEIT.POINTS"])
    plan = Plan.from_json(request.plan or {})
    assert keys(plan, "platform.points") == {"platform.points": {"OK.FORFEIT_CONFIRMED"}}
    assert request.state == State.REVIEW  # points defer nothing
    request = office.approve(request)
    assert request.state == State.CLOSED
    assert request.events.get(kind="closed").body["keys"] == ["OK.CANCELLED", "OK.FORFEIT_CONFIRMED"]
    assert office.business.count("platform", "platform.points") == office.business.count(
        "platform", "platform.points", "profile_id IN (SELECT profile_id FROM platform.profile)"
    )
