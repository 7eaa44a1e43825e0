"""The made-up people's numbers are well-formed and cannot belong to anybody."""

from collections.abc import Callable
from datetime import date
from random import Random

import pytest

from portal.demo.accounts import AUTHORITIES, DEMO_ACCOUNTS, PEOPLE, STAFF
from portal.demo.people import Person, id_check_digit, luhn_digit, make_person

TODAY = date(2026, 11, 23)
CROWD = [make_person(Random(f"1:{number}"), number, today=TODAY) for number in range(1, 12_001, 5)]
EVERYBODY = CROWD + [account.person for account in PEOPLE if account.person]


def test_the_check_digit_is_that_of_the_standards_own_example() -> None:
    # GB 11643-1999, annex: 11010519491231002X and 440524188001010014.
    assert id_check_digit("11010519491231002") == "X"
    assert id_check_digit("44052418800101001") == "4"


def test_every_id_number_has_its_check_digit_and_a_region_that_is_not_assigned() -> None:
    for who in EVERYBODY:
        assert len(who.id_number) == 18
        assert who.id_number[17] == id_check_digit(who.id_number[:17])
        assert who.id_number.startswith("99")
        assert who.id_number[6:14] == f"{who.birth:%Y%m%d}"
        assert int(who.id_number[16]) % 2 == (1 if who.gender == "男" else 0)


def test_every_card_number_passes_luhn_under_the_test_prefix() -> None:
    assert luhn_digit("7992739871") == "3"
    for who in EVERYBODY:
        assert who.card_no.startswith("9999")
        assert len(who.card_no) == 16
        assert who.card_no[-1] == luhn_digit(who.card_no[:-1])


@pytest.mark.parametrize(
    "number",
    [
        lambda who: who.account_no,
        lambda who: who.id_number,
        lambda who: who.phone,
        lambda who: who.card_no,
        lambda who: who.email,
    ],
)
def test_no_number_is_given_twice(number: Callable[[Person], str]) -> None:
    assert len({number(who) for who in EVERYBODY}) == len(EVERYBODY)


def test_phones_are_of_a_range_that_nobody_was_given() -> None:
    assert all(len(account.phone) == 11 and account.phone.startswith("154") for account in DEMO_ACCOUNTS)
    assert all(len(who.phone) == 11 and who.phone.startswith("154") for who in EVERYBODY)


def test_the_same_seed_makes_the_same_person() -> None:
    assert make_person(Random("1:7"), 7, today=TODAY) == make_person(Random("1:7"), 7, today=TODAY)


def test_sixteen_people_and_six_staff_can_sign_in() -> None:
    assert len(PEOPLE) == 16
    assert sorted(account.role for account in STAFF) == [
        "admin",
        "admin",
        "auditor",
        "supervisor",
        "support",
        "support",
    ]
    assert len({account.login for account in DEMO_ACCOUNTS}) == len(DEMO_ACCOUNTS)
    assert all(account.story_zh and account.story_en for account in DEMO_ACCOUNTS)


def test_the_child_is_under_fourteen_and_has_a_guardian() -> None:
    child = next(account for account in PEOPLE if account.key == "shen-yinuo")
    assert child.person
    assert child.person.birth > date(TODAY.year - 14, TODAY.month, TODAY.day)
    assert [stated.kind for stated in AUTHORITIES if stated.principal == child.key] == ["guardian"]
