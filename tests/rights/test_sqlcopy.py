"""COPY takes no parameters: whom it is asked about must be found all the same, and stand in no server's list or log."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ENUM, INET

from rights.connectors import sqlcopy
from rights.kernel.states import Kind
from tests.rights.shop import Shop
from tests.stack import Stack

TABLE = """
CREATE TYPE grade AS ENUM ('low ''x''', 'high');
CREATE TABLE thing (
    n integer, long bigint, ratio numeric(12, 2), name text, short varchar(20), level grade, address inet, code uuid,
    day date, moment timestamptz, local timestamp, real_number double precision, flag boolean, raw bytea);
INSERT INTO thing VALUES (
    7, 9007199254740993, 10.05, 'O''Brien, 50%% {"a": \\1}', '100001', 'low ''x''', '10.0.0.1',
    '0b1f9d0e-0000-4000-8000-000000000001', '2026-11-23', '2026-11-23 02:03:04.000005+00', '2026-11-23 10:03:04.5',
    0.1, true, '\\x00ff');
"""
VALUES: dict[str, tuple[sa.types.TypeEngine[Any], Any]] = {
    "n": (sa.Integer(), 7),
    "long": (sa.BigInteger(), 9007199254740993),
    "ratio": (sa.Numeric(12, 2), Decimal("10.05")),
    "name": (sa.Text(), 'O\'Brien, 50% {"a": \\1}'),
    "short": (sa.String(20), "100001"),
    "level": (ENUM(name="grade", create_type=False), "low 'x'"),
    "address": (INET(), "10.0.0.1"),
    "code": (sa.Uuid(), UUID("0b1f9d0e-0000-4000-8000-000000000001")),
    "day": (sa.Date(), date(2026, 11, 23)),
    "moment": (sa.DateTime(timezone=True), datetime(2026, 11, 23, 2, 3, 4, 5, tzinfo=UTC)),
    "local": (sa.DateTime(), datetime(2026, 11, 23, 10, 3, 4, 500000)),  # noqa: DTZ001 - a column without a zone
    "real_number": (sa.Float(), 0.1),
    "flag": (sa.Boolean(), True),
    "raw": (sa.LargeBinary(), b"\x00\xff"),
}


@pytest.fixture(scope="module")
def engine(stack: Stack) -> Iterator[sa.Engine]:
    url = stack.make_database("rights_sqlcopy")
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    sa.event.listen(engine, "do_execute", sqlcopy.copy_out)
    with engine.begin() as connection:
        connection.exec_driver_sql(TABLE)
    yield engine
    engine.dispose()


def things() -> sa.Select[Any]:
    number: sa.ColumnClause[int] = sa.column("n", sa.Integer())
    return sa.select(number).select_from(sa.table("thing"))


def copied(connection: sa.Connection, statement: sa.Select[Any], values: dict[str, Any]) -> tuple[list[str], str]:
    """The lines that COPY wrote, and what the server says that this connection ran."""
    blocks: list[bytes] = []
    copy = sqlcopy.Copy("csv", blocks.append, seconds=60)
    connection.execute(statement, values, execution_options={"portal_copy": copy}).close()
    with connection.engine.connect() as other:
        pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        shown = other.execute(sa.text("SELECT query FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid}).scalar_one()
    lines = b"".join(blocks).decode().splitlines()[1:]
    assert copy.rows == len(lines)
    return lines, str(shown)


@pytest.mark.parametrize("name", VALUES)
def test_a_value_of_each_type_is_found_and_shown_to_nobody(engine: sa.Engine, name: str) -> None:
    type_, value = VALUES[name]
    statement = things().where(sa.column(name, type_) == sa.bindparam("who", type_=type_))
    with engine.begin() as connection:
        lines, shown = copied(connection, statement, {"who": value})
        assert lines == ["7"]
        assert shown.startswith("COPY (SELECT n")
        assert "portal.bound_0" in shown
        assert repr(str(value))[1:-1] not in shown.replace("bound_0", "")
        assert copied(connection, statement, {"who": None})[0] == [], "what is not known is nobody's"


def test_a_value_is_neither_cut_nor_rounded_to_what_the_column_holds(engine: sa.Engine) -> None:
    """10.054 is not 10.05: a cast to the column's own numeric(12, 2) would make it so."""
    type_: sa.Numeric[Decimal] = sa.Numeric(12, 2)
    statement = things().where(sa.column("ratio", type_) == sa.bindparam("who", type_=type_))
    with engine.begin() as connection:
        assert copied(connection, statement, {"who": Decimal("10.054")})[0] == []


def test_many_keys_and_signs_of_percent_pass(engine: sa.Engine) -> None:
    keys = sa.bindparam("who", type_=sa.ARRAY(sa.Text()))
    percent = sa.text("n % 4 = 3 AND name LIKE '%50|% {%' ESCAPE '|'")
    statement = things().where(sa.column("short") == sa.any_(keys), percent)
    with engine.begin() as connection:
        lines, shown = copied(connection, statement, {"who": ["", "a,b", 'q"', "100001", *map(str, range(5000))]})
        assert lines == ["7"]
        assert "100001" not in shown
        assert "4999" not in shown


def test_what_was_asked_ends_with_the_transaction(engine: sa.Engine) -> None:
    type_, value = VALUES["short"]
    statement = things()
    with engine.connect() as connection:
        with connection.begin():
            copied(connection, statement.where(sa.column("short") == sa.bindparam("who", type_=type_)), {"who": value})
            assert connection.execute(sa.text("SELECT current_setting('portal.bound_0')")).scalar() == value
        assert not connection.execute(sa.text("SELECT current_setting('portal.bound_0', true)")).scalar()


@pytest.mark.role("worker")
def test_a_database_that_is_read_shows_nobody_whom_it_is_asked_about(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While rows pass, as whoever watches that server sees it."""
    shop.add_customer(1)
    shop.add_visits(20_000)
    shown: list[str] = []
    real = sqlcopy._bind

    def look(*asked: Any, seconds: float) -> str:
        statement = real(*asked, seconds=seconds)
        shown.extend(
            text for (text,) in shop.sql("SELECT query FROM pg_stat_activity WHERE query LIKE '%portal.bound%'")
        )
        return statement

    monkeypatch.setattr(sqlcopy, "_bind", look)
    request = shop.file(Kind.ACCESS)
    assert request.packages.get().rows == 20_001
    assert any(re.search(r"set_config\('portal\.bound_0', \$\d", text) for text in shown)
    assert not [text for text in shown if shop.person.account_no in text]
