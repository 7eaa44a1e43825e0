"""What dates come to just beside the cases that the law's tables name."""

from datetime import date

from rights.kernel.clock import ClockFacts, Pause, due_on, roll_over
from rights.kernel.retention import Count, Rule, cutoff
from rights.kernel.states import OPEN_STATES, State, require_move

DAY = date(2026, 11, 23)


def test_an_extension_is_of_fifteen_days_where_the_cap_of_thirty_is_not_reached() -> None:
    assert due_on(ClockFacts(DAY, extended=True, limit_days=10), today=DAY) == date(2026, 12, 18)


def test_an_answer_before_its_question_adds_nothing() -> None:
    assert Pause(DAY, date(2026, 11, 20)).days(DAY) == 0


def test_a_friday_is_a_working_day() -> None:
    friday = date(2026, 11, 27)
    assert roll_over(friday) == friday


def test_a_first_version_goes_by_its_code_and_a_later_one_says_which() -> None:
    rule = Rule("AML-5-KYC", ("KYC",), "P5Y", "")
    assert rule.label == "AML-5-KYC"
    assert Rule("AML-5-KYC", ("KYC",), "P5Y", "", version=2).label == "AML-5-KYC v2"
    assert rule.active


def test_the_cutoff_is_the_earliest_day_whose_hold_runs_through_today_and_no_other() -> None:
    five_years = Rule("AML-5-TXN", ("TXN",), "P5Y", "")
    assert cutoff(five_years, today=DAY) == date(2021, 11, 23)
    assert cutoff(five_years, today=date(2029, 3, 1)) == date(2024, 3, 1)  # a 29 February was over the day before
    fiscal = Rule("ACC-30", ("ACCT",), "P30Y", "", count=Count.NEXT_JANUARY)
    assert cutoff(fiscal, today=date(2050, 12, 31)) == date(2020, 1, 1)
    assert cutoff(fiscal, today=date(2051, 1, 1)) == date(2021, 1, 1)


def test_a_draft_and_a_closed_request_are_not_open() -> None:
    assert not OPEN_STATES & {State.DRAFT, State.CLOSED}


def test_the_moves_that_a_request_makes_on_its_way_are_allowed() -> None:
    way = {
        State.DRAFT: (State.CHECKING, State.CLOSED),  # submitted; given up
        State.CHECKING: (
            State.REVIEW,  # a person has to look
            State.WAITING,  # something is missing
            State.ACTING,  # it goes through by itself
            State.DEFERRED,  # all of it is blocked
            State.CLOSED,  # nothing is held, or taken back
        ),
        State.REVIEW: (State.WAITING, State.ACTING, State.DEFERRED, State.CLOSED),  # asked, approved, blocked, refused
        State.WAITING: (State.CHECKING, State.REVIEW, State.CLOSED),  # proved; answered; never answered
        State.ACTING: (
            State.REVIEW,
            State.DEFERRED,
            State.CLOSED,
        ),  # more than was approved; only blocked is left; done
        State.DEFERRED: (State.REVIEW, State.ACTING, State.CLOSED),  # cleared; cleared and approved; taken back
    }
    for before, after in ((before, after) for before, found in way.items() for after in found):
        require_move(before, after)
