"""Walks go through pages, with real worker and beat processes; the business databases are looked at directly."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from portal.core.clock import SHANGHAI
from tests.business import Business
from tests.conftest import Clock
from tests.waiting import wait_until
from tests.walks.visitor import Page, Visitor

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

    def ask(self, visitor: Visitor, kind: str, answers: Mapping[str, str | Sequence[str]]) -> str:
        """Fill in the form of a kind, check the answers, give the code where one is asked for; the request's id."""
        page = visitor.visit(f"/rights/{kind}/start/")
        page = visitor.send(page, page.form(field=next(iter(answers), "")), answers)
        assert page.path.endswith("/check/"), page.text[:600]
        form = page.form(field="seen")
        page = visitor.send(page, form, {"understood": "on"} if "understood" in form.fields else {})
        if page.path.endswith("/code/"):
            page = visitor.send(page, page.form(field="code"), {"code": visitor.newest_code()})
        assert page.path.endswith("/received/"), page.text[:600]
        return page.path.split("/")[2]

    def decide(self, reviewer: Visitor, request_id: str, answers: Mapping[str, str]) -> Page:
        """Take the case from the desk and decide it."""
        page = reviewer.visit(f"/desk/cases/{request_id}/")
        page = reviewer.send(page, page.form("/claim/"))
        page = reviewer.visit(f"/desk/cases/{request_id}/")
        return reviewer.send(page, page.form("/decide/"), answers)

    def travel(self, year: int, month: int, day: int, hour: int = 9, minute: int = 0) -> None:
        self.clock(datetime(year, month, day, hour, minute, tzinfo=SHANGHAI))

    def state(self, request_id: str) -> str:
        return str(self.sql("SELECT state FROM rights_request WHERE id = %s", [request_id])[0][0])

    def wait_for(self, request_id: str, state: str, *, seconds: float = 40) -> None:
        """Until worker and beat have brought the request there by themselves."""
        wait_until(
            lambda: self.state(request_id) == state,
            seconds=seconds,
            what=lambda: f"{state}; it is {self.state(request_id)}, with open steps {self._open_steps(request_id)}",
        )

    def _open_steps(self, request_id: str) -> list[tuple[Any, ...]]:
        return self.sql(
            "SELECT verb, collection, state, error FROM rights_step WHERE request_id = %s AND state <> 'done'",
            [request_id],
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
            "SELECT verb, collection, sum(done) FROM rights_step"
            " WHERE request_id = %s AND state = 'done' GROUP BY 1, 2",
            [request_id],
        )
        return {(verb, collection): int(done) for verb, collection, done in rows}

    def wait_told(self, request_id: str, expected: list[str]) -> None:
        """Until exactly these kinds of notices were really sent to the person, in this order."""

        def told() -> list[str]:
            rows = self.sql(
                "SELECT n.kind FROM rights_notice n"
                " JOIN rights_request r ON r.id = n.request_id AND r.subject_id = n.user_id"
                " WHERE r.id = %s AND n.sent_at IS NOT NULL AND NOT n.second_contact ORDER BY n.created_at, n.id",
                [request_id],
            )
            return [kind for (kind,) in rows]

        wait_until(lambda: len(told()) >= len(expected), what=lambda: f"{expected}; told were {told()}")
        assert told() == expected
