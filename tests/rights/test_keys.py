"""Keys of records as they are sealed while a batch is open, and read again by the worker that finishes it."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from rights.actions.keys import keys_to_json, open_keys, seal_keys


@pytest.mark.parametrize(
    "part",
    [
        7, -(2**63), True, "重庆\0", b"\x00\xff", Decimal("1.50"), UUID(int=7), date(2026, 1, 2), time(9, 5, 0, 500000),
        timedelta(minutes=-30), timedelta(hours=838, microseconds=1), datetime(2026, 1, 2, 3, 4, 5, 678000),  # noqa: DTZ001
        datetime(2026, 1, 2, tzinfo=UTC),
    ],
)  # fmt: skip
def test_a_key_of_any_type_is_the_same_when_it_is_opened_again(part: object) -> None:
    (found,) = open_keys(seal_keys(keys_to_json([(part, 1)])))
    assert found == (part, 1)
    assert type(found[0]) is type(part)
