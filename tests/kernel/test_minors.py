"""A child is who has not had the 14th birthday, by the birth date in the ID number."""

from datetime import date

import pytest

from rights.kernel.minors import birthday_of, is_under_fourteen

BORN = date(2015, 5, 21)


def id_number(born: date) -> str:
    return f"110105{born:%Y%m%d}002X"


def test_the_birthday_stands_in_the_number() -> None:
    assert birthday_of(id_number(BORN)) == BORN


@pytest.mark.parametrize(
    "value", ["", "880010", "110105150521002", "110105201513210021", "11010520150230002X", "A" * 18]
)
def test_without_a_birthday_nobody_is_a_child(value: str) -> None:
    assert birthday_of(value) is None
    assert not is_under_fourteen(value, today=BORN)


@pytest.mark.parametrize(
    ("born", "today", "child"),
    [
        (BORN, date(2026, 11, 23), True),
        (BORN, date(2029, 5, 20), True),
        (BORN, date(2029, 5, 21), False),
        (date(2012, 2, 29), date(2026, 2, 28), True),
        (date(2012, 2, 29), date(2026, 3, 1), False),
        (date(2012, 12, 31), date(2026, 12, 30), True),
        (date(2013, 1, 1), date(2026, 12, 31), True),
        (date(1984, 12, 2), date(2026, 11, 23), False),
    ],
)
def test_under_fourteen_is_before_the_fourteenth_birthday(born: date, today: date, child: bool) -> None:
    assert is_under_fourteen(id_number(born), today=today) is child
