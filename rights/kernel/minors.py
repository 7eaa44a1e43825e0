"""Who is a child. Data of somebody under fourteen is sensitive, and a guardian decides about it (PIPL arts. 28, 31); a
child's case comes first."""

import re
from datetime import date

ADULT_ENOUGH = 14
_BIRTHDAY = slice(6, 14)  # GB 11643: positions 7 to 14 of the citizen identification number


def birthday_of(id_number: str) -> date | None:
    """The day of birth in an ID number; None where it holds none."""
    if not re.fullmatch(r"\d{17}[\dX]", id_number, re.ASCII):
        return None
    try:
        return date.fromisoformat(id_number[_BIRTHDAY])
    except ValueError:
        return None


def is_under_fourteen(id_number: str, *, today: date) -> bool:
    """Whether `today` lies before the 14th birthday. Without a birthday nobody is taken for a child."""
    born = birthday_of(id_number)
    if born is None:
        return False
    # As tuples: who was born on 29 February has a birthday in a year without one too.
    return (today.year, today.month, today.day) < (born.year + ADULT_ENOUGH, born.month, born.day)
