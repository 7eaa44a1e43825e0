"""A fee is for a further copy alone, told before it is owed, and the clock stands until it is answered."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from portal.core.clock import SHANGHAI
from rights.actions import fees, review
from rights.actions.review import CannotDecide
from rights.actions.submit import take_back
from rights.kernel.states import Kind
from rights.models import Fee, Package, Request
from rights.queries import due_of, open_fee
from rights.transitions import StaleRequest
from tests.rights.shop import NOW, Shop, State

pytestmark = pytest.mark.role("worker")

DAY = timedelta(days=1)
AMOUNT = Decimal("12.50")


def at(month: int, day: int, *, hour: int = 9) -> datetime:
    return datetime(2026 if month > 6 else 2027, month, day, hour, tzinfo=SHANGHAI)


@pytest.fixture
def again(shop: Shop) -> Request:
    """The same copy asked for a second time, on 11-23 at noon, in review."""
    shop.add_customer(1)
    assert shop.file(Kind.ACCESS).state == State.CLOSED
    return shop.file(Kind.ACCESS, now=NOW + timedelta(hours=2))


def quote(
    shop: Shop, request: Request, *, now: datetime, amount: Decimal = AMOUNT, reason: str = "制作与邮寄"
) -> Request:
    fees.quote_fee(shop.look(request), reviewer=shop.reviewer, amount=amount, reason=reason, now=now)
    return shop.look(request)


def test_the_days_until_an_answer_do_not_count(shop: Shop, again: Request) -> None:
    """Ready on 11-23: due 12-08. Quoted 11-26 and accepted 12-01: five days more, as with a question (case 4)."""
    again = quote(shop, again, now=at(11, 26))
    assert due_of(again, now=at(11, 30)).paused
    assert due_of(again, now=at(11, 30)).on == date(2026, 12, 12)
    fees.accept_fee(again, actor=shop.person, now=at(12, 1))
    assert due_of(shop.look(again), now=at(12, 1)).on == date(2026, 12, 13)
    assert shop.advance(again, now=at(12, 1)).state == State.CLOSED
    assert Package.objects.filter(request=again).exists()


def test_a_question_and_a_fee_add_their_days(shop: Shop, again: Request) -> None:
    review.ask(again, reviewer=shop.reviewer, text="哪种格式", now=at(11, 24))
    review.answer(shop.look(again), text="都行", actor=shop.person, now=at(11, 26))
    again = quote(shop, again, now=at(11, 27))
    fees.accept_fee(again, actor=shop.person, now=at(11, 30))
    # 12-08, two days for the question and three for the fee.
    assert due_of(shop.look(again), now=at(11, 30)).on == date(2026, 12, 13)


def test_a_waived_fee_makes_the_copy_for_nothing(shop: Shop, again: Request) -> None:
    again = quote(shop, again, now=at(11, 26))
    fees.waive_fee(again, reviewer=shop.reviewer, now=at(11, 28))
    done = shop.advance(again, now=at(11, 28))
    assert (done.state, done.closing_key) == (State.CLOSED, "OK.ACCESS")
    assert done.notices.filter(kind="fee_waived").count() == 1
    assert due_of(done, now=at(12, 31)).on == date(2026, 12, 10)


def test_declining_ends_the_request_and_owes_nothing(shop: Shop, again: Request) -> None:
    again = quote(shop, again, now=at(11, 26))
    fees.decline_fee(again, actor=shop.person, now=at(11, 27))
    shop.tick(at(11, 28))
    again = shop.look(again)
    assert (again.state, again.closing_key) == (State.CLOSED, "FEE.DECLINED")
    assert not Package.objects.filter(request=again).exists()
    words = again.notices.get(kind="fee_declined").body
    for part in ("不产生费用", "重新申请", "申诉", "监管"):
        assert part in words


def test_no_answer_ends_it_after_the_policys_thirty_days(shop: Shop, again: Request) -> None:
    """Quoted on 11-26: the last day for an answer is 12-26."""
    quote(shop, again, now=at(11, 26))
    shop.tick(at(12, 26, hour=23))
    assert shop.look(again).state == State.WAITING
    shop.tick(at(12, 27, hour=0))
    shop.tick(at(12, 28))
    again = shop.look(again)
    assert (again.state, again.closing_key) == (State.CLOSED, "FEE.UNANSWERED")
    assert again.notices.filter(kind="fee_lapsed").count() == 1
    assert shop.events(again).count("fee_lapsed") == 1
    assert again.breached_at is None, "the clock stood"
    assert shop.file(Kind.ACCESS, now=at(12, 28)).state == State.REVIEW, "it may be filed anew"


def test_a_fee_is_answered_once(shop: Shop, again: Request) -> None:
    again = quote(shop, again, now=at(11, 26))

    def answer(accept: bool) -> bool:
        try:
            act = fees.accept_fee if accept else fees.decline_fee
            act(shop.look(again), actor=shop.person, now=at(11, 27))
        except StaleRequest:
            return False
        return True

    assert sorted(shop.in_threads(lambda: answer(True), lambda: answer(False))) == [False, True]
    for accept in (True, False):
        assert not answer(accept)
    with pytest.raises(StaleRequest):
        fees.waive_fee(shop.look(again), reviewer=shop.reviewer, now=at(11, 27))
    fee = Fee.objects.get(request=again)
    assert [fee.accepted_at, fee.declined_at, fee.waived_at, fee.lapsed_at].count(None) == 3


def test_the_first_copy_is_free(shop: Shop) -> None:
    shop.add_customer(1)
    shop.sql("INSERT INTO shop.parcel VALUES (1, 1, NULL, '2020-06-01')")
    first = shop.file(Kind.DELETION)
    assert first.state == State.REVIEW
    with pytest.raises(CannotDecide, match=r"free|免费"):
        quote(shop, first, now=NOW)
    assert not Fee.objects.exists()
    assert shop.look(first).state == State.REVIEW


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "10000", "NaN", "Infinity"])
def test_an_amount_that_is_none_is_not_quoted(shop: Shop, again: Request, amount: str) -> None:
    with pytest.raises(CannotDecide):
        quote(shop, again, now=NOW, amount=Decimal(amount))
    assert not Fee.objects.exists()
    assert shop.look(again).state == State.REVIEW


def test_a_fee_without_a_reason_is_not_quoted(shop: Shop, again: Request) -> None:
    with pytest.raises(CannotDecide):
        quote(shop, again, now=NOW, reason="  ")
    assert not Fee.objects.exists()


def test_a_fee_is_quoted_once(shop: Shop, again: Request) -> None:
    quote(shop, again, now=NOW)
    with pytest.raises(StaleRequest):
        quote(shop, again, now=NOW)
    assert Fee.objects.count() == 1


def test_a_fee_is_quoted_and_waived_by_who_has_the_case_and_never_in_their_own(shop: Shop, again: Request) -> None:
    review.claim(again, reviewer=shop.second, now=NOW)
    with pytest.raises(StaleRequest):
        quote(shop, again, now=NOW)
    fees.quote_fee(shop.look(again), reviewer=shop.second, amount=AMOUNT, reason="制作", now=NOW)
    with pytest.raises(StaleRequest):
        fees.waive_fee(shop.look(again), reviewer=shop.reviewer, now=NOW)
    with shop.as_("owner"):
        Request.objects.filter(pk=again.pk).update(filed_by=shop.second)
    with pytest.raises(CannotDecide):
        fees.waive_fee(shop.look(again), reviewer=shop.second, now=NOW)
    assert open_fee(shop.look(again)) is not None


def test_what_was_taken_back_owes_nothing(shop: Shop, again: Request) -> None:

    again = quote(shop, again, now=NOW)
    take_back(again, actor=shop.person, now=NOW + DAY)
    assert open_fee(shop.look(again)) is None
    with pytest.raises(StaleRequest):
        fees.accept_fee(shop.look(again), actor=shop.person, now=NOW + DAY)
    assert shop.tick(NOW + 40 * DAY)["fees"] == 0
