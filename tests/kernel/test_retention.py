"""Holds end on the corresponding day, else on the month's last (Civil Code art. 202); records go the day after."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rights.kernel.retention import (
    Bound,
    Count,
    Effect,
    Exemption,
    Rank,
    Rule,
    chain_of,
    cutoff,
    duration_months,
    governing,
    last_day,
    may_end_before,
    predecessor_of,
)

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


@pytest.mark.parametrize(
    "wrong", ["", "P", "5Y", "P5D", "P30D", "P2W", "P0Y", "P-5Y", "P5Y2W", "PT5M", "p5y", "P101Y", "P5Y "]
)
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


@pytest.mark.parametrize(
    ("classes", "entities", "overlap"),
    [
        (("LOAN", "KYC"), (), True),  # a class in common, and one that names no company is for all
        (("KYC",), (), False),
        (("TXN",), ("loan", "wallet"), True),
        (("TXN",), ("wallet",), False),
        (("KYC",), ("loan",), False),
    ],
)
def test_rules_overlap_where_a_record_of_one_company_could_be_under_both(
    classes: tuple[str, ...], entities: tuple[str, ...], overlap: bool
) -> None:
    some, other = replace(AML_5, entities=("loan",)), replace(AML_5, data_classes=classes, entities=entities)
    assert some.overlaps(other) == overlap
    assert other.overlaps(some) == overlap


def test_rules_for_every_company_overlap_by_class_alone() -> None:
    assert AML_5.overlaps(replace(AML_5, data_classes=("LOAN",)))
    assert not AML_5.overlaps(replace(AML_5, data_classes=("KYC",)))


# ---- successors ---------------------------------------------------------------------------

FIVE = replace(AML_5, effective_from=date(2007, 1, 1))
TEN = replace(FIVE, code="AML-10-TXN", duration="P10Y", supersedes="AML-5-TXN", effective_from=date(2025, 1, 1))


def plain_end(trigger: date, months: int, count: Count) -> date:
    """The end of a period by trying days, which shares nothing with the kernel's way."""
    if count is Count.NEXT_JANUARY:
        year, month = trigger.year + 1 + months // 12, 1 + months % 12
        return date(year, month, 1) - timedelta(days=1)
    year, month = trigger.year, trigger.month
    for _ in range(months):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    day = trigger.day
    while True:
        try:
            return date(year, month, day)
        except ValueError:
            day -= 1


def plain_held(trigger: date, chain: Sequence[tuple[int, Count, date]], today: date) -> bool:
    """The sentence of the domain, record by record, from the oldest rule on: a successor governs what ran on."""
    months, count, _ = chain[0]
    end = plain_end(trigger, months, count)
    for months, count, effective_from in chain[1:]:
        if effective_from <= today and end >= effective_from:
            end = plain_end(trigger, months, count)
    return end >= today


def held_by(rules: Sequence[Rule], *, trigger: date, today: date, entity: str = "loan") -> set[str]:
    found = governing(rules, data_class="TXN", entity=entity, today=today)
    return {each.rule.code for each in found if trigger >= each.cutoff}


@pytest.mark.parametrize(
    ("trigger", "held"),
    [
        # Five years ended the day before the ten-year rule took effect: never revived.
        (date(2019, 12, 31), False),
        # They ran on its first day: governed by it, to 2030-01-01.
        (date(2020, 1, 1), True),
        (date(2016, 11, 23), False),  # within ten years, but its five had ended in 2021
    ],
)
def test_a_successor_governs_what_ran_on_when_it_took_effect_and_revives_nothing(trigger: date, held: bool) -> None:
    assert held_by([FIVE, TEN], trigger=trigger, today=date(2026, 11, 23)) == ({"AML-10-TXN"} if held else set())


def test_before_a_successor_takes_effect_its_predecessor_applies() -> None:
    later = replace(TEN, effective_from=date(2027, 1, 1))
    assert held_by([FIVE, later], trigger=date(2021, 11, 22), today=date(2026, 11, 22)) == {"AML-5-TXN"}
    assert held_by([FIVE, later], trigger=date(2021, 11, 22), today=date(2026, 11, 23)) == set()
    assert held_by([FIVE, later], trigger=date(2022, 1, 1), today=date(2027, 1, 2)) == {"AML-10-TXN"}


def test_companies_that_a_successor_does_not_name_keep_the_predecessor() -> None:
    some = replace(TEN, entities=("loan",))
    found = {entity: governing([FIVE, some], data_class="TXN", entity=entity, today=date(2026, 11, 23))
             for entity in ("loan", "wallet")}  # fmt: skip
    assert [each.rule for each in found["loan"]] == [some]
    assert [each.rule for each in found["wallet"]] == [FIVE]


def test_a_proposed_successor_and_an_internal_rule_govern_nothing() -> None:
    proposed = replace(TEN, active=False)
    internal = replace(TEN, code="OURS", supersedes="", rank=Rank.INTERNAL)
    found = governing([FIVE, proposed, internal], data_class="TXN", entity="loan", today=date(2026, 11, 23))
    assert [each.rule for each in found] == [FIVE]


def test_a_later_version_succeeds_the_earlier_one_by_itself() -> None:
    second = replace(FIVE, version=2, duration="P7Y", effective_from=date(2026, 1, 1))
    found = governing([FIVE, second], data_class="TXN", entity="loan", today=date(2026, 11, 23))
    assert [(each.rule.label, each.cutoff) for each in found] == [("AML-5-TXN v2", date(2021, 1, 1))]


def test_a_rule_that_has_ended_holds_nothing() -> None:
    ended = replace(FIVE, effective_to=date(2026, 11, 22))
    assert held_by([ended], trigger=date(2026, 1, 1), today=date(2026, 11, 22)) == {"AML-5-TXN"}
    assert held_by([ended], trigger=date(2026, 1, 1), today=date(2026, 11, 23)) == set()


def test_a_rule_governs_from_its_first_day_on() -> None:
    assert held_by([TEN], trigger=date(2020, 1, 1), today=date(2024, 12, 31)) == set()
    assert held_by([TEN], trigger=date(2020, 1, 1), today=date(2025, 1, 1)) == {"AML-10-TXN"}


def test_what_ended_under_the_first_of_three_rules_is_not_revived_by_the_third() -> None:
    """One year from 2000, then ten from 2010, then twenty from 2015: a record of 2008 had ended in 2009, though ten
    years would have reached into the third rule's time."""
    one = replace(FIVE, code="ONE", duration="P1Y", effective_from=date(2000, 1, 1))
    ten = replace(FIVE, code="TEN", duration="P10Y", supersedes="ONE", effective_from=date(2010, 1, 1))
    twenty = replace(FIVE, code="TWENTY", duration="P20Y", supersedes="TEN", effective_from=date(2015, 1, 1))
    rules = [one, ten, twenty]
    assert chain_of(twenty, rules) == (twenty, ten, one)
    assert held_by(rules, trigger=date(2008, 6, 1), today=date(2026, 11, 23)) == set()
    assert held_by(rules, trigger=date(2008, 12, 31), today=date(2026, 11, 23)) == set()
    assert held_by(rules, trigger=date(2009, 1, 1), today=date(2026, 11, 23)) == {"TWENTY"}


def test_a_predecessor_is_the_version_before_or_else_the_last_version_of_the_rule_that_it_names() -> None:
    second, third = replace(FIVE, version=2), replace(FIVE, version=3)
    stranger = replace(FIVE, code="ACC-30", version=9)
    rules = [stranger, FIVE, second, third, TEN]
    assert predecessor_of(third, rules) == second
    assert predecessor_of(FIVE, rules) is None
    assert predecessor_of(TEN, rules) == third
    assert predecessor_of(replace(TEN, version=2), rules) == TEN


def test_rules_that_name_each_other_are_a_chain_with_an_end() -> None:
    odd = replace(FIVE, supersedes=TEN.code)
    assert chain_of(TEN, [odd, TEN]) == (TEN, odd)


def test_the_rule_that_ends_last_is_among_those_that_govern() -> None:
    other = replace(FIVE, code="ACC", duration="P30Y")
    found = governing([FIVE, other], data_class="TXN", entity="loan", today=date(2026, 11, 23))
    assert min(each.cutoff for each in found) == date(1996, 11, 23)


LINKS = st.tuples(
    st.integers(1, 180), st.sampled_from(Count), st.dates(date(2015, 1, 1), date(2035, 12, 31))
)  # fmt: skip
NEAR = st.dates(date(2000, 1, 1), date(2040, 12, 31)) | st.sampled_from(
    [date(2024, 2, 29), date(2023, 2, 28), date(2024, 8, 31), date(2020, 1, 31), date(2019, 12, 31)]
)


@given(st.lists(LINKS, min_size=1, max_size=3), NEAR, NEAR)
def test_a_chain_of_successors_is_one_cutoff(links: list[tuple[int, Count, date]], trigger: date, today: date) -> None:
    """Each takes effect on or after the one before it, as a proposal has to; longer or shorter, as they come."""
    links = sorted(links, key=lambda link: link[2])
    links[0] = (links[0][0], links[0][1], date(1990, 1, 1))
    rules = [
        replace(FIVE, code=f"R{number}", supersedes=f"R{number - 1}" if number else "", duration=f"P{months}M",
                count=count, effective_from=effective_from)
        for number, (months, count, effective_from) in enumerate(links)
    ]  # fmt: skip
    assert bool(held_by(rules, trigger=trigger, today=today)) == plain_held(trigger, links, today)


@given(trigger=NEAR, today=NEAR)
def test_a_longer_successor_never_releases_earlier(trigger: date, today: date) -> None:
    if held_by([FIVE], trigger=trigger, today=today):
        assert held_by([FIVE, TEN], trigger=trigger, today=today)


@given(trigger=DAYS, rule=RULES)
def test_the_last_day_is_the_one_that_counting_days_gives(trigger: date, rule: Rule) -> None:
    assert last_day(trigger, rule) == plain_end(trigger, duration_months(rule.duration), rule.count)


# ---- maximums and exceptions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maximum", "minimum", "contradicts"),
    [
        (("P5Y", Count.ANNIVERSARY), ("P5Y", Count.ANNIVERSARY), False),
        (("P59M", Count.ANNIVERSARY), ("P5Y", Count.ANNIVERSARY), True),
        # Counted from the next January, five years end up to a year later than the fifth anniversary.
        (("P5Y", Count.ANNIVERSARY), ("P5Y", Count.NEXT_JANUARY), True),
        (("P6Y", Count.ANNIVERSARY), ("P5Y", Count.NEXT_JANUARY), False),
        (("P71M", Count.ANNIVERSARY), ("P5Y", Count.NEXT_JANUARY), True),  # for a trigger on 1 January
        (("P5Y", Count.NEXT_JANUARY), ("P5Y", Count.NEXT_JANUARY), False),
        (("P5Y", Count.NEXT_JANUARY), ("P61M", Count.ANNIVERSARY), True),  # for one on 31 December
        (("P5Y", Count.NEXT_JANUARY), ("P5Y", Count.ANNIVERSARY), False),
    ],
)
def test_a_maximum_contradicts_a_minimum_that_it_could_end_before(
    maximum: tuple[str, Count], minimum: tuple[str, Count], contradicts: bool
) -> None:
    most, least = (replace(FIVE, duration=duration, count=count) for duration, count in (maximum, minimum))
    assert may_end_before(replace(most, bound=Bound.MAXIMUM), least) == contradicts


@given(st.integers(15, 40), st.integers(-14, 14), st.sampled_from(Count), st.sampled_from(Count))
def test_a_maximum_contradicts_a_minimum_if_and_only_if_some_day_of_four_years_says_so(
    months: int, more: int, counted: Count, least_counted: Count
) -> None:
    maximum = replace(FIVE, duration=f"P{months + more}M", count=counted, bound=Bound.MAXIMUM)
    minimum = replace(FIVE, duration=f"P{months}M", count=least_counted)
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(1461)]  # a leap cycle has every kind of day
    contradicts = any(plain_end(day, months + more, counted) < plain_end(day, months, least_counted) for day in days)
    assert may_end_before(maximum, minimum) == contradicts


def test_a_maximum_is_no_minimum() -> None:
    most = replace(FIVE, bound=Bound.MAXIMUM)
    assert governing([most], data_class="TXN", entity="loan", today=date(2026, 11, 23)) == ()


def test_an_exception_covers_what_its_whole_scope_names() -> None:
    wide = Exemption(Effect.SUSPEND, until=date(2030, 1, 1))
    narrow = replace(wide, collection="shop.orders", entity="shop")
    assert wide.covers(collection="shop.orders", data_class="TXN", entity="shop")
    assert narrow.covers(collection="shop.orders", data_class="TXN", entity="shop")
    assert not narrow.covers(collection="shop.orders", data_class="TXN", entity="loan")
    assert not narrow.covers(collection="shop.loan", data_class="TXN", entity="shop")
    of_a_class = replace(wide, data_class="TXN")
    assert of_a_class.covers(collection="shop.orders", data_class="TXN", entity="shop")
    assert not of_a_class.covers(collection="shop.orders", data_class="KYC", entity="shop")
