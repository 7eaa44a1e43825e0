"""Rows as text, where no database writes them. Expected is what COPY of PostgreSQL writes of the same values."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from rights.connectors import rowtext
from rights.connectors.base import Form

ROW: dict[str, Any] = {
    "n": 1, "amount": Decimal("12345678901234567.89"), "small": Decimal("0E-8"), "yes": True, "note": '"重庆", a\nb',
    "empty": "", "none": None, "raw": b"\x00\xff", "day": date(2026, 1, 2),
    "moment": datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC), "local": datetime(2026, 1, 2, 3, 4, 5, 678000),  # noqa: DTZ001
    "id": UUID(int=7), "span": timedelta(hours=9, milliseconds=500), "set": {"b", "a"}, "body": {"a": [1, None]},
}  # fmt: skip
CSV = (
    '1,12345678901234567.89,0.00000000,true,"""重庆"", a\nb","",,00ff,2026-01-02,2026-01-02 03:04:05+08:00,'
    '2026-01-02 03:04:05.678000,00000000-0000-0000-0000-000000000007,09:00:00.500000,"a,b","{""a"": [1, null]}"\n'
)
JSON = (
    '{"n":1,"amount":12345678901234567.89,"small":0.00000000,"yes":true,"note":"\\"重庆\\", a\\nb","empty":"",'
    '"none":null,"raw":"00ff","day":"2026-01-02","moment":"2026-01-02T03:04:05+08:00","local":"2026-01-02T03:04:05.678000",'
    '"id":"00000000-0000-0000-0000-000000000007","span":"09:00:00.500000","set":"a,b","body":{"a": [1, null]}}\n'
)


@pytest.mark.parametrize(("form", "head", "line"), [("csv", ",".join(ROW) + "\n", CSV), ("json", "", JSON)])
def test_a_row_is_written_as_people_and_programs_read_it(form: Form, head: str, line: str) -> None:
    blocks: list[bytes] = []
    assert rowtext.write_rows(list(ROW), [list(ROW.values())], form=form, write=blocks.append) == 1
    assert b"".join(blocks).decode() == head + line


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(minutes=-30), "-00:30:00"),
        (timedelta(hours=-1, milliseconds=-500), "-01:00:00.500000"),
        (timedelta(hours=838, minutes=59, seconds=59), "838:59:59"),
    ],
)
def test_a_time_may_be_below_zero_or_longer_than_a_day(span: timedelta, text: str) -> None:
    assert rowtext.write_clock(span) == text
