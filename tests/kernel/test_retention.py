"""Holds end on the corresponding day, else on the month's last (Civil Code art. 202); records go the day after."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rights.kernel.retention import Count, Rule, cutoff, duration_months, last_day

AML_5 = Rule(code="AML-5-TXN", data_classes=("TXN", "LOAN"), duration="P5Y", citation="")
AML_10 = replace(AML_5, code="AML-10-TXN", duration="P10Y")
DAYS = st.dates(date(1995, 1, 1), date(2060, 12, 31))
RULES = st.builds(
    lambda years, months, count: replace(AML_5, duration=f"P{years}Y{months}M", count=count),
    st.integers(0, 30),
    st.integers(1, 11),
    st.sampled_from(Count),
)


def test_the_worked_examples_first_and_last_payment() -> None:
    assert last_day(date(2021, 11, 22), AML_5) == date(2026, 11, 22)
    assert last_day(date(2021, 12, 1), AML_5) == date(2026, 12, 1)
    assert last_day(date(2022, 11, 23), AML_5) == date(2027, 11, 23)


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        # A transaction ended 2021-02-28 is held through 2026-02-28.
        (date(2021, 2, 28), date(2026, 2, 28)),
        # 2029 has no 29 February: the month's last day.
        (date(2024, 2, 29), date(2029, 2, 28)),
        # 28 February corresponds to 28 February, in a leap year too.
        (date(2023, 2, 28), date(2028, 2, 28)),
    ],
)
def test_leap_days_end_on_the_corresponding_day_or_the_months_last(trigger: date, expected: date) -> None:
    assert last_day(trigger, AML_5) == expected


def test_a_month_end_without_a_corresponding_day_is_the_months_last() -> None:
    assert last_day(date(2026, 8, 31), replace(AML_5, duration="P6M")) == date(2027, 2, 28)


def test_a_count_from_next_january_ends_on_a_new_years_eve() -> None:
    # Vouchers of fiscal 2020: thirty years from 1 January 2021 are over when 2050 is.
    assert last_day(date(2020, 5, 17), replace(AML_5, duration="P30Y", count=Count.NEXT_JANUARY)) == date(2050, 12, 31)


@pytest.mark.parametrize("wrong", ["", "P", "5Y", "P5D", "P0Y", "P-5Y", "P5Y2W"])
def test_a_duration_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration_months(wrong)


@given(trigger=DAYS, today=DAYS, rule=RULES)
def test_the_cutoff_says_what_the_last_day_says(trigger: date, today: date, rule: Rule) -> None:
    assert (trigger >= cutoff(rule, today=today)) == (last_day(trigger, rule) >= today)


@given(trigger=DAYS, rule=RULES)
def test_a_record_is_never_released_before_its_period_is_over(trigger: date, rule: Rule) -> None:
    months = (last_day(trigger, rule).year - trigger.year) * 12 + last_day(trigger, rule).month - trigger.month
    assert months >= duration_months(rule.duration)


@given(trigger=DAYS)
def test_a_longer_rule_never_releases_earlier(trigger: date) -> None:
    assert last_day(trigger, AML_10) > last_day(trigger, AML_5)


@given(trigger=DAYS, rule=RULES)
def test_a_later_trigger_is_never_released_earlier(trigger: date, rule: Rule) -> None:
    assert last_day(trigger + timedelta(days=1), rule) >= last_day(trigger, rule)


def test_a_rule_applies_by_class_and_entity() -> None:
    assert AML_5.applies_to(data_class="LOAN", entity="loan")
    assert not AML_5.applies_to(data_class="KYC", entity="loan")
    assert not replace(AML_5, entities=("wallet",)).applies_to(data_class="TXN", entity="loan")
