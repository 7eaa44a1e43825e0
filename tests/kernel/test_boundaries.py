"""What dates come to just beside the cases that the law's tables name."""

from datetime import date

import pytest

from rights.kernel.calendar import Calendar, UnknownYear, Year
from rights.kernel.clock import ClockFacts, Pause, due_on, roll_over
from rights.kernel.handling import PROOF_DAYS
from rights.kernel.retention import Count, Rule, cutoff, duration_months
from rights.kernel.states import OPEN_STATES, State, require_move

DAY = date(2026, 11, 23)


def test_an_extension_is_of_fifteen_days_where_the_cap_of_thirty_is_not_reached() -> None:
    assert due_on(ClockFacts(DAY, extended=True, limit_days=10), today=DAY) == date(2026, 12, 18)


def test_an_answer_before_its_question_adds_nothing() -> None:
    assert Pause(DAY, date(2026, 11, 20)).days(DAY) == 0


def test_a_question_stands_for_the_days_until_its_answer_and_until_today_while_it_is_open() -> None:
    asked = date(2026, 11, 26)  # the clock's case 4
    assert Pause(asked, date(2026, 12, 1)).days(date(2026, 12, 20)) == 5
    assert Pause(asked).days(date(2026, 12, 4)) == 8


def test_working_days_are_counted_up_to_the_last_day_there_may_be() -> None:
    """From Friday 2026-11-20: Monday the 23rd is the third day, Tuesday the fourth, Wednesday the fifth."""
    known, friday = Calendar({2026: Year(frozenset(), frozenset())}), date(2026, 11, 20)
    assert known.span_of(2, after=friday, at_most=6) == 4
    assert known.span_of(2, after=friday, at_most=5) == 4
    assert known.span_of(2, after=friday, at_most=4) == 4
    assert known.span_of(3, after=friday, at_most=4) == 4


def test_a_span_that_is_full_before_the_new_year_asks_nothing_of_it() -> None:
    """The thirtieth day after 2026-12-02 is New Year's Day: the limit ends there whether or not it is worked."""
    known, start = Calendar({2026: Year(frozenset(), frozenset())}), date(2026, 12, 2)
    assert known.span_of(25, after=start, at_most=30) == 30
    assert due_on(ClockFacts(start, limit_days=25, working_days=True), today=start, calendar=known) == date(2027, 1, 1)
    with pytest.raises(UnknownYear, match="2027"):
        known.span_of(25, after=start, at_most=31)


def test_a_proof_that_never_comes_closes_its_request_on_day_30() -> None:
    assert PROOF_DAYS == 30  # decisions, rows 27 and 33


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


def test_no_corresponding_day_in_a_short_month_leaves_the_next_months_first_the_earliest_held() -> None:
    """Held for a month: a 28 February is over on 28 March, a 1 March on 1 April."""
    assert cutoff(Rule("SHORT", ("TXN",), "P1M", ""), today=date(2027, 3, 31)) == date(2027, 3, 1)


def test_all_there_is_is_held_by_what_a_rule_held_when_time_began() -> None:
    """A rule in force since ever succeeded another on the first day there is."""
    for count in Count:
        assert cutoff(Rule("OLD", ("TXN",), "P5Y", "", count=count), today=date.min) == date.min


def test_a_duration_of_a_hundred_years_is_the_longest() -> None:
    assert duration_months("P100Y") == duration_months("P99Y12M") == 1200
    for longer in ("P100Y1M", "P99Y13M"):
        with pytest.raises(ValueError, match="longer than 100 years"):
            duration_months(longer)


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
