"""A reviewer decides once, completely, and never their own case; what is asked stands the clock still."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from accounts.models import User
from portal.core.clock import SHANGHAI
from rights.actions import review
from rights.actions.review import CannotDecide
from rights.kernel.decisions import REFUSALS
from rights.kernel.states import Kind
from rights.models import Request
from rights.queries import due_of, queue
from rights.transitions import StaleRequest
from tests.rights.shop import NOW, Shop, State

pytestmark = pytest.mark.role("worker")


def at(month: int, day: int, *, hour: int = 9, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=SHANGHAI)


@pytest.fixture
def case(shop: Shop) -> Request:
    """A deletion in review, with a parcel that belongs to two people."""
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_customer(2, closed_on=date(2020, 1, 31), of=shop.other)
    shop.sql("INSERT INTO shop.parcel VALUES (1, 1, 2, '2020-06-01')")
    return shop.file()


ALL_LINES = {"shop.parcel": "keep", "shop.customer": "keep"}


def approve(case: Request, reviewer: User, *, lines: dict[str, str] | None = None, **given: Any) -> None:
    review.approve(
        case,
        reviewer=reviewer,
        plan=review.live_plan(case, now=NOW),
        **{"key": "OK.PURPOSE_END", "text": "", "lines": ALL_LINES if lines is None else lines, "now": NOW, **given},
    )


def unchanged(shop: Shop, case: Request) -> bool:
    seen = shop.look(case)
    return seen.state == State.REVIEW and seen.approved_plan is None and not seen.decisions.exists()


# --- who


@pytest.mark.parametrize("act", ["approve", "refuse", "ask", "extend"])
@pytest.mark.parametrize("column", ["subject", "filed_by"])
def test_nobody_decides_their_own_case(shop: Shop, case: Request, column: str, act: str) -> None:
    """Staff may be customers, and may file for one."""
    with shop.as_("owner"):
        Request.objects.filter(pk=case.pk).update(**{column: shop.reviewer})
    with pytest.raises(CannotDecide):
        do(act, shop.look(case), shop.reviewer)
    assert unchanged(shop, case)
    assert not case.questions.exists()


@pytest.mark.parametrize("act", ["approve", "refuse", "ask", "extend"])
def test_a_case_that_somebody_has_taken_is_decided_by_them(shop: Shop, case: Request, act: str) -> None:
    review.claim(case, reviewer=shop.second, now=NOW)
    with pytest.raises(StaleRequest):
        do(act, shop.look(case), shop.reviewer)
    assert unchanged(shop, case)
    do(act, shop.look(case), shop.second)


def do(act: str, case: Request, reviewer: User) -> None:
    match act:
        case "approve":
            approve(case, reviewer)
        case "refuse":
            review.refuse(case, reviewer=reviewer, key="GROUND.PUBLIC", text="已公开", now=NOW)
        case "ask":
            review.ask(case, reviewer=reviewer, text="哪一笔?", now=NOW)
        case "extend":
            review.extend(case, reviewer=reviewer, reason="数量大", now=NOW)


def test_a_case_is_taken_by_one_of_two_who_reach_for_it_at_once(shop: Shop, case: Request) -> None:
    def take(reviewer: User) -> bool:
        try:
            review.claim(shop.look(case), reviewer=reviewer, now=NOW)
        except StaleRequest:
            return False
        return True

    assert sorted(shop.in_threads(lambda: take(shop.reviewer), lambda: take(shop.second))) == [False, True]
    assert shop.events(case).count("claimed") == 1


def test_taking_a_case_twice_is_no_second_event_and_giving_it_back_frees_it(shop: Shop, case: Request) -> None:
    review.claim(case, reviewer=shop.reviewer, now=NOW)
    review.claim(case, reviewer=shop.reviewer, now=NOW)
    assert shop.events(case).count("claimed") == 1
    review.release(case, reviewer=shop.second, now=NOW)
    assert shop.look(case).reviewer == shop.reviewer, "somebody else's is not given back"
    review.release(case, reviewer=shop.reviewer, now=NOW)
    review.claim(shop.look(case), reviewer=shop.second, now=NOW)


# --- approving


@pytest.mark.parametrize("lines", [{}, {"shop.parcel": "keep"}, {"shop.parcel": "keep", "shop.customer": "perhaps"}])
def test_every_line_that_needs_a_person_is_decided_before_a_case_is_approved(
    shop: Shop, case: Request, lines: dict[str, str]
) -> None:
    with pytest.raises(CannotDecide):
        approve(case, shop.reviewer, lines=lines)
    assert unchanged(shop, case)


def test_an_approval_needs_a_reason_of_the_table(shop: Shop, case: Request) -> None:
    with pytest.raises(CannotDecide):
        approve(case, shop.reviewer, key="BECAUSE")
    assert unchanged(shop, case)


def test_an_approval_is_written_whole_and_told(shop: Shop, case: Request) -> None:
    approve(case, shop.reviewer, text="另一位寄件人也有份")
    seen = shop.look(case)
    decision = seen.decisions.get()
    assert (seen.state, decision.outcome, decision.lines) == (State.ACTING, "approve", ALL_LINES)
    assert decision.reviewer == shop.reviewer
    assert seen.notices.filter(kind="approved").count() == 1
    assert shop.events(seen)[-2:] == ["decided", "approved"]


def test_of_two_decisions_at_once_one_is_refused(shop: Shop, case: Request) -> None:
    def decide(act: str, reviewer: User) -> bool:
        try:
            do(act, shop.look(case), reviewer)
        except StaleRequest:
            return False
        return True

    done = shop.in_threads(lambda: decide("approve", shop.reviewer), lambda: decide("refuse", shop.second))
    assert sorted(done) == [False, True]
    assert case.decisions.count() == 1
    assert shop.look(case).state == (State.ACTING if done[0] else State.CLOSED)


@pytest.mark.parametrize("act", ["approve", "refuse", "ask"])
def test_a_page_that_was_opened_before_the_case_moved_on_decides_nothing(shop: Shop, case: Request, act: str) -> None:
    stale = shop.look(case)
    approve(case, shop.second)
    with pytest.raises(StaleRequest):
        do(act, stale, shop.second)
    assert case.decisions.count() == 1
    assert not case.questions.exists()
    assert shop.look(case).state == State.ACTING


def test_a_deferred_cancellation_is_approved_for_the_day_it_clears(shop: Shop) -> None:
    shop.add_customer(1)
    shop.add_loan(100)
    case = shop.file(Kind.CANCELLATION, entities=["shop"])
    assert case in queue("todo", reviewer=shop.reviewer)
    case = shop.approve(case, now=NOW)
    assert case.state == State.DEFERRED
    assert case not in queue("todo", reviewer=shop.reviewer)
    shop.sql("UPDATE shop.loan SET balance = 0, settled_on = '2026-12-18'")
    case = shop.advance(case, now=at(12, 18))
    assert case.state == State.CLOSED, "nobody has to look at it twice"
    with pytest.raises(StaleRequest):
        shop.approve(case, now=at(12, 18))


# --- refusing


@pytest.mark.parametrize("key", ["OK.ACCESS", "HOLD.AML", "BLOCK.LOAN", "ACCESS.LEGAL_CONFIDENTIAL", "", "ELSE"])
def test_only_a_ground_for_refusing_refuses(shop: Shop, case: Request, key: str) -> None:
    with pytest.raises(CannotDecide):
        review.refuse(case, reviewer=shop.reviewer, key=key, text="不行", now=NOW)
    assert unchanged(shop, case)


@pytest.mark.parametrize("text", ["", "  \n "])
def test_a_refusal_says_something(shop: Shop, case: Request, text: str) -> None:
    with pytest.raises(CannotDecide):
        review.refuse(case, reviewer=shop.reviewer, key="GROUND.PUBLIC", text=text, now=NOW)
    assert unchanged(shop, case)


def test_technical_effort_is_no_ground_for_refusing_to_erase(shop: Shop, case: Request) -> None:
    """PIPL art. 47: what is hard to erase is restricted, never refused (decisions, row 32)."""
    with pytest.raises(CannotDecide):
        review.refuse(case, reviewer=shop.reviewer, key="GROUND.UNREALISTIC", text="太难", now=NOW)
    assert unchanged(shop, case)


@pytest.mark.parametrize("key", ["GROUND.PUBLIC", "NA.ANONYMISED", "REPEAT.ABUSE"])
def test_a_refusal_closes_the_case_touches_nothing_and_names_the_ways_on(shop: Shop, case: Request, key: str) -> None:
    assert key in {*REFUSALS, "REPEAT.ABUSE"}
    review.refuse(case, reviewer=shop.reviewer, key=key, text="理由", now=NOW)
    shop.tick(NOW + timedelta(hours=1))
    seen = shop.look(case)
    assert (seen.state, seen.closing_key, seen.steps.count()) == (State.CLOSED, key, 0)
    assert shop.count("customer") == 2
    notice = seen.notices.get(kind="refused")
    for way in ("申诉", "监管", "起诉"):
        assert way in notice.body


# --- asking


def test_the_days_until_an_answer_do_not_count(shop: Shop, case: Request) -> None:
    """Clock table, case 4: ready 11-23, asked 11-26, answered 12-01, due 12-13."""
    assert due_of(case, now=NOW).on == date(2026, 12, 8)
    review.ask(case, reviewer=shop.reviewer, text="哪一笔?", now=at(11, 26, hour=18))
    assert case.state == State.WAITING
    assert due_of(shop.look(case), now=at(11, 30)).paused
    review.answer(shop.look(case), text="第一笔", actor=shop.person, now=at(12, 1, hour=8))
    seen = shop.look(case)
    assert seen.state == State.REVIEW
    assert due_of(seen, now=at(12, 1)).on == date(2026, 12, 13)


def test_two_questions_add_their_days(shop: Shop, case: Request) -> None:
    for asked, answered in ((at(11, 24), at(11, 26)), (at(11, 27), at(12, 1))):
        review.ask(shop.look(case), reviewer=shop.reviewer, text="?", now=asked)
        review.answer(shop.look(case), text="!", actor=shop.person, now=answered)
    # Two days and four: 12-08 becomes 12-14.
    assert due_of(shop.look(case), now=at(12, 1)).on == date(2026, 12, 14)


def test_a_question_is_told_at_once_and_is_answered_once(shop: Shop, case: Request) -> None:
    review.ask(case, reviewer=shop.reviewer, text="哪一笔?", now=NOW)
    assert case.notices.filter(kind="question").count() == 1
    page = shop.look(case)
    review.answer(shop.look(case), text="第一笔", actor=shop.person, now=NOW)
    with pytest.raises(StaleRequest):
        review.answer(page, text="第二笔", actor=shop.person, now=NOW)
    assert case.questions.get().answer == "第一笔"


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_question_or_answer_is_none(shop: Shop, case: Request, text: str) -> None:
    with pytest.raises(CannotDecide):
        review.ask(case, reviewer=shop.reviewer, text=text, now=NOW)
    assert unchanged(shop, case)
    review.ask(case, reviewer=shop.reviewer, text="?", now=NOW)
    with pytest.raises(CannotDecide):
        review.answer(shop.look(case), text=text, actor=shop.person, now=NOW)
    assert shop.look(case).state == State.WAITING


# --- extending


def test_a_limit_is_extended_once_by_fifteen_days(shop: Shop, case: Request) -> None:
    review.extend(case, reviewer=shop.reviewer, reason="数量大", now=at(12, 8, hour=23, minute=59))
    # 12-08 and fifteen days.
    assert due_of(shop.look(case), now=at(12, 9)).on == date(2026, 12, 23)
    with pytest.raises(CannotDecide):
        review.extend(shop.look(case), reviewer=shop.reviewer, reason="还要", now=at(12, 9))
    assert due_of(shop.look(case), now=at(12, 9)).on == date(2026, 12, 23)


def test_a_limit_that_has_passed_is_not_extended(shop: Shop, case: Request) -> None:
    with pytest.raises(CannotDecide):
        review.extend(case, reviewer=shop.reviewer, reason="数量大", now=at(12, 9, hour=0))
    assert shop.look(case).extended_at is None


def test_an_extension_needs_a_reason(shop: Shop, case: Request) -> None:
    with pytest.raises(CannotDecide):
        review.extend(case, reviewer=shop.reviewer, reason=" ", now=NOW)
    assert shop.look(case).extended_at is None


def test_a_closed_case_is_not_extended(shop: Shop, case: Request) -> None:
    review.refuse(case, reviewer=shop.reviewer, key="GROUND.PUBLIC", text="已公开", now=NOW)
    with pytest.raises((CannotDecide, StaleRequest)):
        review.extend(shop.look(case), reviewer=shop.reviewer, reason="数量大", now=NOW)
