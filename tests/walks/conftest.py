"""Walks go through pages, with real worker and beat processes; the business databases are looked at directly."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from portal.core.clock import SHANGHAI
from tests.business import Business
from tests.conftest import Clock
from tests.waiting import wait_until
from tests.walks.visitor import Visitor

Sql = Callable[..., list[tuple[Any, ...]]]


class Town:
    """The running portal, its companies' systems and its clock, for one walk."""

    def __init__(self, *, base_url: str, business: Business, owner_sql: Sql, clock: Clock) -> None:
        self.base_url = base_url
        self.business = business
        self.sql = owner_sql
        self.clock = clock

    def visitor(self, key: str) -> Visitor:
        """Somebody of the demo, signed in."""
        visitor = Visitor(self.base_url)
        visitor.sign_in(self.business.account(key).login)
        return visitor

    def travel(self, year: int, month: int, day: int, hour: int = 9, minute: int = 0) -> None:
        self.clock(datetime(year, month, day, hour, minute, tzinfo=SHANGHAI))

    def state(self, request_id: str) -> str:
        return str(self.sql("SELECT state FROM rights_request WHERE id = %s", [request_id])[0][0])

    def wait_for(self, request_id: str, state: str, *, seconds: float = 40) -> None:
        """Until worker and beat have brought the request there by themselves."""
        wait_until(
            lambda: self.state(request_id) == state,
            seconds=seconds,
            what=f"{state}; it is {self.state(request_id)}; steps: "
            + str(
                self.sql(
                    "SELECT verb, collection, state, error FROM rights_step WHERE request_id = %s AND state <> 'done'",
                    [request_id],
                )
            ),
        )

    def wait_gone(self, system: str, table: str, where: str, *, seconds: float = 40) -> None:
        wait_until(
            lambda: self.business.count(system, table, where) == 0, seconds=seconds, what=f"{table} without {where}"
        )

    def holds(self, request_id: str) -> dict[tuple[str, date | None], int]:
        """What is held now: (collection, last day) → count."""
        rows = self.sql(
            "SELECT collection, last_day, sum(count) FROM rights_hold"
            " WHERE request_id = %s AND released_at IS NULL GROUP BY 1, 2",
            [request_id],
        )
        return {(collection, last_day): int(count) for collection, last_day, count in rows}

    def steps(self, request_id: str) -> dict[tuple[str, str], int]:
        """What was done: (verb, collection) → records."""
        rows = self.sql(
            "SELECT verb, collection, sum(done) FROM rights_step WHERE request_id = %s AND state = 'done' GROUP BY 1, 2",
            [request_id],
        )
        return {(verb, collection): int(done) for verb, collection, done in rows}

    def notices(self, request_id: str) -> list[str]:
        """The kinds of notices that were really sent, in their order."""
        rows = self.sql(
            "SELECT kind FROM rights_notice WHERE request_id = %s AND sent_at IS NOT NULL AND NOT second_contact"
            " ORDER BY created_at, id",
            [request_id],
        )
        return [kind for (kind,) in rows]


@pytest.fixture
def town(live: str, business: Business, owner_sql: Sql, clock: Clock) -> Town:
    return Town(base_url=live, business=business, owner_sql=owner_sql, clock=clock)
