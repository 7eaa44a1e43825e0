"""The clock's cases are those of the law as the domain table states them, each with its number there."""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rights.kernel.calendar import Calendar, UnknownYear, Year
from rights.kernel.clock import (
    SHANGHAI,
    ClockFacts,
    Pause,
    days_left,
    days_paused,
    due_on,
    late_from,
    local_day,
    missing_year,
    roll_over,
    start_on,
    warning_days,
)

READY = date(2026, 11, 23)
DAY = timedelta(days=1)


def due(facts: ClockFacts) -> date:
    return due_on(facts, today=date(2026, 12, 1))


def calendar(*years: int, days_off: Collection[date] = (), make_up: Collection[date] = ()) -> Calendar:
    return Calendar(
        {
            year: Year(
                frozenset(day for day in days_off if day.year == year),
                frozenset(day for day in make_up if day.year == year),
            )
            for year in years
        }
    )


def test_case_1_fifteen_days_without_the_first_end_at_midnight_in_shanghai() -> None:
    assert due(ClockFacts(READY)) == date(2026, 12, 8)
    assert late_from(date(2026, 12, 8)) == datetime(2026, 12, 9, tzinfo=SHANGHAI)


def test_case_2_a_moment_late_in_utc_is_the_next_day_in_shanghai() -> None:
    assert due(ClockFacts(local_day(datetime(2026, 11, 23, 16, 30, tzinfo=UTC)))) == date(2026, 12, 9)


@pytest.mark.parametrize("known", [calendar(), calendar(2026)], ids=["no calendar", "a calendar"])
def test_case_3_the_portals_limit_stays_on_a_saturday_and_the_legal_one_rolls_to_monday(known: Calendar) -> None:
    own = due(ClockFacts(date(2026, 11, 6)))
    assert own == date(2026, 11, 21)
    assert roll_over(own, calendar=known) == date(2026, 11, 23)


def test_case_4_a_question_adds_the_days_until_its_answer() -> None:
    assert due(ClockFacts(READY, pauses=(Pause(date(2026, 11, 26), date(2026, 12, 1)),))) == date(2026, 12, 13)


def test_case_5_warnings_come_five_days_and_one_day_before() -> None:
    assert warning_days(date(2026, 12, 8)) == (date(2026, 12, 3), date(2026, 12, 7))


def test_case_6_a_cleared_blocker_starts_a_fresh_limit() -> None:
    assert due(ClockFacts(date(2026, 12, 18))) == date(2027, 1, 2)


def test_one_extension_makes_thirty_days_and_never_more() -> None:
    assert due(ClockFacts(READY, extended=True)) == READY + timedelta(days=30)
    assert due(ClockFacts(READY, extended=True, limit_days=25)) == READY + timedelta(days=30)


def test_an_extension_and_a_question_add_up() -> None:
    pauses = (Pause(date(2026, 11, 26), date(2026, 12, 1)),)
    assert due(ClockFacts(READY, pauses, extended=True)) == date(2026, 12, 28)  # 12-23 and five days


def test_a_naive_moment_is_refused_as_its_day_would_be_a_guess() -> None:
    with pytest.raises(ValueError, match="time zone"):
        local_day(datetime(2026, 11, 23))  # noqa: DTZ001 - the point of the test


def test_days_left_is_zero_on_the_day_and_negative_once_late() -> None:
    assert days_left(date(2026, 12, 8), today=date(2026, 12, 8)) == 0
    assert days_left(date(2026, 12, 8), today=date(2026, 12, 10)) == -2


# --- what is missing is asked for within three days


@pytest.mark.parametrize(
    ("missing", "today", "expected"),
    [
        ([], date(2026, 11, 30), READY),
        ([Pause(READY, date(2026, 11, 28))], date(2026, 11, 30), date(2026, 11, 28)),
        ([Pause(date(2026, 11, 26), date(2026, 12, 1))], date(2026, 12, 2), date(2026, 12, 1)),  # the third day
        ([Pause(date(2026, 11, 27), date(2026, 12, 1))], date(2026, 12, 2), READY),  # the fourth: too late
        ([Pause(date(2026, 11, 24))], date(2026, 12, 24), date(2026, 12, 24)),  # still open: nothing has started
        ([Pause(date(2026, 11, 27))], date(2026, 12, 24), READY),
        (
            [Pause(date(2026, 11, 24), date(2026, 11, 25)), Pause(date(2026, 11, 26), date(2026, 11, 30))],
            date(2026, 12, 2),
            date(2026, 11, 30),
        ),
    ],
)
def test_the_clock_starts_with_what_was_missing_if_it_was_asked_for_in_time_and_else_at_receipt(
    missing: list[Pause], today: date, expected: date
) -> None:
    assert start_on(received_on=READY, missing=missing, today=today) == expected


# --- pauses


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        ([(1, 4), (2, 6)], 5),  # overlapping
        ([(1, 8), (2, 3)], 7),  # one inside the other
        ([(1, 4), (4, 6)], 5),  # one after the other
        ([(1, 4), (1, 4)], 3),
        ([(5, 6), (1, 2)], 2),  # in any order
        ([(3, 3)], 0),  # asked and answered on one day
        ([(3, 1)], 0),  # an answer before its question adds nothing and takes nothing away
    ],
)
def test_a_day_that_two_pauses_share_counts_once(pauses: list[tuple[int, int]], expected: int) -> None:
    found = [Pause(READY + asked * DAY, READY + answered * DAY) for asked, answered in pauses]
    assert days_paused(found, today=READY + 30 * DAY) == expected


def test_an_open_pause_grows_with_the_days_and_the_days_left_stay() -> None:
    facts = ClockFacts(READY, (Pause(date(2026, 11, 26)),))
    left = {days_left(due_on(facts, today=READY + n * DAY), today=READY + n * DAY) for n in range(3, 60)}
    assert left == {12}


# --- working days


SPRING = [date(2026, 2, 15) + n * DAY for n in range(9)]
WORKED = [date(2026, 2, 14), date(2026, 2, 28)]


def test_working_days_skip_weekends_and_holidays_and_count_the_weekends_worked() -> None:
    """By hand, from Tuesday 2026-02-10: 11, 12, 13, Saturday 14 (worked), then 24, 25, 26, 27, Saturday 28 (worked)
    and Monday 2 March make ten."""
    facts = ClockFacts(date(2026, 2, 10), limit_days=10, working_days=True)
    known = calendar(2026, days_off=SPRING, make_up=WORKED)
    assert due_on(facts, today=date(2026, 2, 10), calendar=known) == date(2026, 3, 2)


def test_working_days_of_a_year_that_is_not_known_are_calendar_days_and_it_says_so() -> None:
    """15 working days from 2026-12-21 would end in January 2027."""
    facts = ClockFacts(date(2026, 12, 21), working_days=True)
    known = calendar(2026)
    assert due_on(facts, today=date(2026, 12, 21), calendar=known) == date(2027, 1, 5)
    assert missing_year(facts, calendar=known) == 2027
    assert missing_year(facts, calendar=calendar(2026, 2027)) is None
    assert missing_year(ClockFacts(date(2026, 12, 21)), calendar=calendar()) is None


def test_working_days_that_end_before_the_unknown_year_need_it_not() -> None:
    facts = ClockFacts(date(2026, 12, 21), limit_days=9, working_days=True)
    known = calendar(2026)
    assert (missing_year(facts, calendar=known), due_on(facts, today=READY, calendar=known)) == (
        2027,
        date(2026, 12, 30),
    )
    facts = ClockFacts(date(2026, 12, 21), limit_days=8, working_days=True)
    assert (missing_year(facts, calendar=known), due_on(facts, today=READY, calendar=known)) == (
        None,
        date(2026, 12, 31),
    )


def test_a_limit_in_working_days_is_bounded_by_thirty_running_days_and_then_needs_no_later_year() -> None:
    facts = ClockFacts(date(2026, 12, 1), limit_days=30, working_days=True)
    assert due_on(facts, today=READY, calendar=calendar(2026)) == date(2026, 12, 31)
    extended = ClockFacts(date(2026, 11, 2), limit_days=15, working_days=True, extended=True)
    assert due_on(extended, today=READY, calendar=calendar(2026)) == date(2026, 12, 2)  # 21 days and 15, at most 30


def test_a_calendar_guesses_nothing_about_a_year_it_does_not_know() -> None:
    with pytest.raises(UnknownYear, match="days off of 2027 are not known"):
        calendar(2026).is_working(date(2027, 1, 4))


# --- rolling


def test_a_make_up_working_sunday_does_not_roll_and_a_holiday_does() -> None:
    sunday, monday = date(2026, 11, 22), date(2026, 11, 23)
    assert roll_over(sunday, calendar=calendar(2026, make_up=[sunday])) == sunday
    assert roll_over(sunday, calendar=calendar(2026, days_off=[monday])) == date(2026, 11, 24)


def test_a_limit_before_the_spring_festival_rolls_past_all_of_it() -> None:
    known = calendar(2026, days_off=SPRING, make_up=WORKED)
    assert roll_over(date(2026, 2, 14), calendar=known) == date(2026, 2, 14)  # a Saturday that is worked
    assert roll_over(date(2026, 2, 15), calendar=known) == date(2026, 2, 24)


def test_rolling_into_a_year_that_is_not_known_knows_weekends_only() -> None:
    new_year = date(2027, 1, 1)  # a Friday, surely off: but nobody has said so yet
    assert roll_over(new_year, calendar=calendar(2026)) == new_year
    assert roll_over(date(2027, 1, 2), calendar=calendar(2026)) == date(2027, 1, 4)


# --- properties

DATES = st.dates(date(2020, 1, 1), date(2040, 1, 1))
OFFSETS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5)
SETS = st.sets(st.integers(0, 90), max_size=30)


@st.composite
def facts_of(draw: st.DrawFn) -> ClockFacts:
    start = draw(DATES)
    pauses = tuple(Pause(start + asked * DAY, start + (asked + length) * DAY) for asked, length in draw(OFFSETS))
    return ClockFacts(start, pauses, draw(st.booleans()), draw(st.integers(1, 30)), draw(st.booleans()))


@st.composite
def calendars(draw: st.DrawFn, start: date) -> Calendar:
    off = {start + n * DAY for n in draw(SETS)}
    work = {day for n in draw(SETS) if (day := start + n * DAY).weekday() >= 5} - off
    years = draw(st.sampled_from([(), (start.year,), (start.year, start.year + 1)]))
    return calendar(*years, days_off=off, make_up=work)


@given(st.data(), facts_of())
def test_pausing_never_shortens_and_adds_each_day_it_covers_once(data: st.DataObject, facts: ClockFacts) -> None:
    known = data.draw(calendars(facts.started_on))
    today = facts.started_on + 100 * DAY
    without = due_on(
        ClockFacts(facts.started_on, (), facts.extended, facts.limit_days, facts.working_days),
        today=today,
        calendar=known,
    )
    covered = {
        pause.asked_on + n * DAY
        for pause in facts.pauses
        for n in range(((pause.answered_on or today) - pause.asked_on).days)
    }
    assert due_on(facts, today=today, calendar=known) == without + len(covered) * DAY


@given(st.data(), facts_of())
def test_an_extension_never_shortens_and_adds_at_most_fifteen_days(data: st.DataObject, facts: ClockFacts) -> None:
    known = data.draw(calendars(facts.started_on))
    today = facts.started_on
    plain, extended = (
        due_on(
            ClockFacts(facts.started_on, facts.pauses, flag, facts.limit_days, facts.working_days),
            today=today,
            calendar=known,
        )
        for flag in (False, True)
    )
    assert plain <= extended <= plain + 15 * DAY


@given(st.data(), facts_of())
def test_working_days_never_end_before_as_many_calendar_days(data: st.DataObject, facts: ClockFacts) -> None:
    known = data.draw(calendars(facts.started_on))
    today = facts.started_on
    calendar_days, working_days = (
        due_on(
            ClockFacts(facts.started_on, facts.pauses, facts.extended, facts.limit_days, flag),
            today=today,
            calendar=known,
        )
        for flag in (False, True)
    )
    assert working_days >= calendar_days


@given(st.data(), facts_of())
def test_a_limit_is_never_past_thirty_running_days_and_the_pauses(data: st.DataObject, facts: ClockFacts) -> None:
    known = data.draw(calendars(facts.started_on))
    today = facts.started_on + 100 * DAY
    due_day = due_on(facts, today=today, calendar=known)
    paused = sum(((pause.answered_on or today) - pause.asked_on).days for pause in facts.pauses)
    assert facts.started_on < due_day <= facts.started_on + (30 + paused) * DAY


@given(DATES, st.datetimes(datetime(2020, 1, 1), datetime(2040, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_days_left_are_negative_from_the_first_late_moment_on_and_not_before(due_day: date, moment: datetime) -> None:
    assert (days_left(due_day, today=local_day(moment)) < 0) == (moment >= late_from(due_day))


@given(DATES, st.integers(-2, 2))
def test_the_first_late_moment_is_late_and_the_one_before_is_not(due_day: date, seconds: int) -> None:
    moment = late_from(due_day).astimezone(UTC) + timedelta(seconds=seconds)
    assert (days_left(due_day, today=local_day(moment)) < 0) == (seconds >= 0)


@given(st.data(), DATES)
def test_a_limit_never_rolls_back_and_ends_on_a_day_that_is_worked(data: st.DataObject, day: date) -> None:
    known = data.draw(calendars(day))
    rolled = roll_over(day, calendar=known)
    assert rolled >= day
    if rolled.year in known.years:
        assert known.is_working(rolled)
