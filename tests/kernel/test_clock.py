"""The clock's cases are those of the law as the domain table states them, each with its number there."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rights.kernel.clock import (
    SHANGHAI,
    ClockFacts,
    Pause,
    days_left,
    due_on,
    late_from,
    local_day,
    roll_over,
    warning_days,
)

READY = date(2026, 11, 23)


def due(facts: ClockFacts) -> date:
    return due_on(facts, today=date(2026, 12, 1))


def test_case_1_fifteen_days_without_the_first_end_at_midnight_in_shanghai() -> None:
    assert due(ClockFacts(READY)) == date(2026, 12, 8)
    assert late_from(date(2026, 12, 8)) == datetime(2026, 12, 9, tzinfo=SHANGHAI)


def test_case_2_a_moment_late_in_utc_is_the_next_day_in_shanghai() -> None:
    assert due(ClockFacts(local_day(datetime(2026, 11, 23, 16, 30, tzinfo=UTC)))) == date(2026, 12, 9)


def test_case_3_the_portals_limit_stays_on_a_saturday_and_the_legal_one_rolls_to_monday() -> None:
    own = due(ClockFacts(date(2026, 11, 6)))
    assert own == date(2026, 11, 21)
    assert roll_over(own) == date(2026, 11, 23)


def test_case_4_a_question_adds_the_days_until_its_answer() -> None:
    assert due(ClockFacts(READY, pauses=(Pause(date(2026, 11, 26), date(2026, 12, 1)),))) == date(2026, 12, 13)


def test_case_5_warnings_come_five_days_and_one_day_before() -> None:
    assert warning_days(date(2026, 12, 8)) == (date(2026, 12, 3), date(2026, 12, 7))


def test_case_6_a_cleared_blocker_starts_a_fresh_limit() -> None:
    assert due(ClockFacts(date(2026, 12, 18))) == date(2027, 1, 2)


def test_one_extension_makes_thirty_days_and_never_more() -> None:
    assert due(ClockFacts(READY, extended=True)) == READY + timedelta(days=30)
    assert due(ClockFacts(READY, extended=True, limit_days=25)) == READY + timedelta(days=30)


def test_a_make_up_working_sunday_does_not_roll_and_a_holiday_does() -> None:
    sunday, monday = date(2026, 11, 22), date(2026, 11, 23)
    assert roll_over(sunday, make_up_days={sunday}) == sunday
    assert roll_over(sunday, days_off={monday}) == date(2026, 11, 24)


def test_a_naive_moment_is_refused_as_its_day_would_be_a_guess() -> None:
    with pytest.raises(ValueError, match="time zone"):
        local_day(datetime(2026, 11, 23))  # noqa: DTZ001 - the point of the test


def test_days_left_is_zero_on_the_day_and_negative_once_late() -> None:
    assert days_left(date(2026, 12, 8), today=date(2026, 12, 8)) == 0
    assert days_left(date(2026, 12, 8), today=date(2026, 12, 10)) == -2


@given(
    start=st.dates(date(2020, 1, 1), date(2040, 1, 1)),
    gaps=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=4),
)
def test_a_pause_never_shortens_the_limit(start: date, gaps: list[tuple[int, int]]) -> None:
    pauses, day = [], start
    for wait, length in gaps:
        asked = day + timedelta(days=wait)
        day = asked + timedelta(days=length)
        pauses.append(Pause(asked, day))
    without = due_on(ClockFacts(start), today=day)
    assert due_on(ClockFacts(start, tuple(pauses)), today=day) == without + timedelta(days=sum(n for _, n in gaps))
