"""Exceptions to retention: two people, a preview, an end of their own, and nothing that a law still holds let go."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, transaction

from portal.core import ledger
from portal.core.clock import SHANGHAI
from rights.actions import exceptions, hold
from rights.actions.exceptions import ExceptionRefused
from rights.actions.retention import StalePreview
from rights.kernel.retention import Bound, Effect
from rights.models import Hold, Notice, Request, RetentionException, Step
from rights.queries import exemptions_of
from tests.rights.rulebook import Rulebook
from tests.rights.shop import NOW, Shop, State

pytestmark = pytest.mark.role("worker")

LATER = NOW + timedelta(minutes=15)
TODAY = date(2026, 11, 23)
UNTIL = date(2028, 6, 30)


def at(year: int, month: int, day: int, hour: int = 9) -> datetime:
    return datetime(year, month, day, hour, tzinfo=SHANGHAI)


def plan(shop: Shop, request: Request | None = None) -> dict[str, list[tuple[str, int, str, date | None, str | None]]]:
    """By collection: fate, count, key, last day and rule."""
    found: dict[str, list[tuple[str, int, str, date | None, str | None]]] = {}
    for line in shop.plan(request or shop.file()).lines:
        found.setdefault(line.collection, []).append(
            (line.fate.value, line.count, line.key, line.last_release, line.rule)
        )
    return found


@pytest.fixture
def held(shop: Shop) -> Request:
    """Orders held to 2026-12-01 (two) and 2027-02-10, and the file as long as they."""
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(date(2021, 12, 1), date(2021, 12, 1), date(2022, 2, 10))
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
    assert request.state == State.CLOSED
    return request


# ---- what it does to a plan ----------------------------------------------------------------------------------------


def test_a_suspension_keeps_what_would_go_until_its_day(shop: Shop, rulebook: Rulebook) -> None:
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(date(2020, 5, 5), date(2026, 1, 1))
    shop.add_visits(3)
    row = rulebook.except_(rulebook.draft(subject=shop.person))
    found = plan(shop)
    assert found["shop.visit"] == [("hold", 3, "HOLD.LITIGATION", UNTIL, row.label)]
    # One order is under the law for longer, to 2031-01-01; the other is kept for the claim alone.
    assert found["shop.orders"] == [("hold", 2, "HOLD.AML", date(2031, 1, 1), f"AML-5-TXN/{row.label}")]


@pytest.mark.parametrize("scope", ["subject", "request", "collection", "data_class", "entity"])
def test_its_scope_is_what_it_names_and_nothing_else(shop: Shop, rulebook: Rulebook, scope: str) -> None:
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_visits(3)
    shop.add_orders(date(2020, 5, 5))
    mine = shop.file()
    other = shop.file()
    named: dict[str, Any] = {
        "subject": shop.person, "request": mine, "collection": "shop.visit", "data_class": "CONS", "entity": "shop"
    }  # fmt: skip
    rulebook.except_(rulebook.draft(**{scope: named[scope]}))
    fates = {name: lines[0][0] for name, lines in plan(shop, mine).items()}
    assert fates["shop.visit"] == "hold"
    assert fates["shop.orders"] == ("erase" if scope in {"collection", "data_class"} else "hold")
    assert plan(shop, other)["shop.visit"][0][0] == ("erase" if scope == "request" else "hold")
    with rulebook.as_staff():
        theirs = {
            item.effect for item in exemptions_of(shop.other) if item.covers(
                collection="shop.visit", data_class="CONS", entity="shop")
        }  # fmt: skip
    assert bool(theirs) == (scope not in {"subject", "request"})


def test_a_maximum_ends_an_exception_before_its_day(shop: Shop, rulebook: Rulebook) -> None:
    """Six years and no longer: the order of 2020-12-01 stays to 2026-12-01, that of 2020-05-05 goes now."""
    shop.add_customer(1)
    shop.add_orders(date(2020, 5, 5), date(2020, 12, 1), date(2026, 1, 1))
    rulebook.activate(rulebook.propose("MOST", bound=Bound.MAXIMUM, duration="P6Y"))
    rulebook.except_(rulebook.draft(collection="shop.orders"))
    found = plan(shop)["shop.orders"]
    assert [(fate, count) for fate, count, *_ in found] == [("erase", 1), ("hold", 2)]
    matter_plan = shop.plan(shop.file(), now=at(2026, 12, 2))
    orders = {line.fate.value: line.count for line in matter_plan.lines if line.collection == "shop.orders"}
    assert orders == {"erase": 2, "hold": 1}


# ---- what it does to what is held ----------------------------------------------------------------------------------


def test_a_suspended_hold_is_not_released_and_goes_on_after_the_end(
    shop: Shop, rulebook: Rulebook, held: Request
) -> None:
    row = rulebook.except_(rulebook.draft(subject=shop.person))
    assert exceptions.carry_out(now=LATER) == 3
    assert exceptions.carry_out(now=LATER) == 0
    assert {day for _, day in shop.held(held)} == {UNTIL}
    assert set(Hold.objects.values_list("rule", "key")) == {(row.label, "HOLD.LITIGATION")}
    assert Notice.objects.get(kind="redated").params["until"] == "2028-06-30"
    shop.tick(at(2027, 2, 11))
    assert shop.count("orders") == 3
    shop.tick(at(2028, 6, 30))
    assert shop.count("orders") == 3
    shop.tick(at(2028, 7, 1))
    assert (shop.count("orders"), shop.count("customer"), shop.held(held)) == (0, 0, {})
    row.refresh_from_db()
    assert row.state(date(2028, 7, 1)) == "ended"
    kinds = [entry.kind for entry in ledger.read_chain(row.pk)]
    assert kinds == ["exception_proposed", "exception_approved", "exception_ended"]


def test_a_suspension_stops_a_release_even_before_a_tick_has_carried_it_out(
    shop: Shop, rulebook: Rulebook, held: Request
) -> None:
    rulebook.except_(rulebook.draft(request=held), now=at(2026, 12, 2))
    assert hold.schedule_releases(now=at(2026, 12, 2)) == []
    assert not Step.objects.filter(verb="release").exists()


def test_a_release_that_was_scheduled_before_the_suspension_erases_nothing(
    shop: Shop, rulebook: Rulebook, held: Request
) -> None:
    assert hold.schedule_releases(now=at(2026, 12, 2)) == [held]
    rulebook.except_(rulebook.draft(data_class="TXN"), now=at(2026, 12, 2))
    shop.advance(held, now=at(2026, 12, 2))
    assert shop.count("orders") == 3
    assert {day for name, day in shop.held(held) if name == "shop.orders"} == {UNTIL}


def test_a_hold_that_lasts_longer_by_law_keeps_its_rule_and_day(shop: Shop, rulebook: Rulebook, held: Request) -> None:
    rulebook.except_(rulebook.draft(subject=shop.person, expires_on=date(2026, 12, 31)))
    exceptions.carry_out(now=LATER)
    assert shop.held(held)["shop.orders", date(2027, 2, 10)] == 1
    assert shop.held(held)["shop.orders", date(2026, 12, 31)] == 2
    assert Hold.objects.get(last_day=date(2027, 2, 10), collection="shop.orders").rule == "AML-5-TXN"


def test_a_confidential_matter_looks_like_any_legal_hold(shop: Shop, rulebook: Rulebook, held: Request) -> None:
    row = rulebook.except_(rulebook.draft(subject=shop.person, confidential=True))
    exceptions.carry_out(now=LATER)
    assert (row.label, row.key) == ("", "")
    assert {day for _, day in shop.held(held)} == {UNTIL}
    assert set(Hold.objects.values_list("rule", "key")) == {("AML-5-TXN", "HOLD.AML"), ("AML-5-KYC", "HOLD.AML")}
    # Nor does reading the systems again, or a fresh plan, say anything else.
    shop.add_visits(1)
    found = plan(shop)
    assert found["shop.orders"] == [("hold", 3, "HOLD.AML", UNTIL, "AML-5-TXN")]
    assert found["shop.visit"] == [("hold", 1, "HOLD.LAW", UNTIL, None)]


def test_the_web_role_reads_neither_why_nor_that_it_is_confidential(
    shop: Shop,
    rulebook: Rulebook,
    as_role: Callable[[str], AbstractContextManager[psycopg.Connection[Any]]],
) -> None:
    rulebook.except_(rulebook.draft(subject=shop.person, confidential=True))
    rulebook.except_(rulebook.draft(subject=shop.other))
    with as_role("web") as connection:
        connection.execute("SELECT set_config('app.user', %s, false)", [str(shop.person.pk)])
        seen = connection.execute("SELECT subject_id, until FROM rights_retentionexception").fetchall()
        assert seen == [(shop.person.pk, UNTIL)]
        for column in ("confidential", "basis", "evidence", "proposed_by_id"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(f"SELECT {column} FROM rights_retentionexception".encode())


# ---- four eyes and previews ----------------------------------------------------------------------------------------


def test_the_preview_counts_people_records_holds_and_open_cases(shop: Shop, rulebook: Rulebook, held: Request) -> None:
    shop.add_visits(4)
    shop.file()
    with rulebook.as_staff():
        row = exceptions.propose(rulebook.draft(subject=shop.person), actor=rulebook.first, now=NOW)
        seen = exceptions.preview(row, now=NOW)
        wide = exceptions.propose(rulebook.draft(entity="shop"), actor=rulebook.first, now=NOW)
        everybody = exceptions.preview(wide, now=NOW)
    assert (seen.subjects, seen.holds, seen.records, seen.open_cases, seen.unknown) == (1, 3, 4, 1, ())
    # Four visits that would go, three orders and the file that get a later day.
    assert seen.plan_records == 8
    assert (everybody.subjects, everybody.holds, everybody.records, everybody.open_cases) == (1, 3, 4, 1)


def test_an_approval_on_a_preview_that_is_no_longer_true_is_refused(
    shop: Shop, rulebook: Rulebook, held: Request
) -> None:
    with rulebook.as_staff():
        row = exceptions.propose(rulebook.draft(entity="shop"), actor=rulebook.first, now=NOW)
        seen = exceptions.preview(row, now=NOW)
    shop.file()
    with rulebook.as_staff(), pytest.raises(StalePreview, match=r"open_cases: 0 → 1"):
        exceptions.approve(row, actor=rulebook.second, seen=seen, now=NOW)
    row.refresh_from_db()
    assert row.state(TODAY) == "proposed"


def test_nobody_approves_what_they_proposed(shop: Shop, rulebook: Rulebook) -> None:
    with rulebook.as_staff():
        row = exceptions.propose(rulebook.draft(entity="shop"), actor=rulebook.first, now=NOW)
        seen = exceptions.preview(row, now=NOW)
        with pytest.raises(ExceptionRefused, match="another"):
            exceptions.approve(row, actor=rulebook.first, seen=seen, now=NOW)
        with pytest.raises(ExceptionRefused, match="administrators"):
            exceptions.approve(row, actor=shop.reviewer, seen=seen, now=NOW)
        with pytest.raises(IntegrityError, match="exception_four_eyes"), transaction.atomic():
            RetentionException.objects.filter(pk=row.pk).update(approved_by=rulebook.first, approved_at=NOW)
        exceptions.approve(row, actor=rulebook.second, seen=seen, now=NOW)
        with pytest.raises(ExceptionRefused, match="open proposal"):
            exceptions.approve(row, actor=rulebook.second, seen=seen, now=NOW)


def test_a_confidential_one_is_for_those_it_was_opened_to(shop: Shop, rulebook: Rulebook) -> None:
    with shop.as_("owner"):
        rulebook.second.confidential = False
        rulebook.second.save(update_fields=["confidential"])
    draft = rulebook.draft(subject=shop.person, confidential=True)
    with rulebook.as_staff():
        row = exceptions.propose(draft, actor=rulebook.first, now=NOW)
        seen = exceptions.preview(row, now=NOW)
        with pytest.raises(ExceptionRefused, match="Confidential"):
            exceptions.approve(row, actor=rulebook.second, seen=seen, now=NOW)


def test_what_an_exception_says_never_changes(
    shop: Shop, rulebook: Rulebook, as_role: Callable[[str], AbstractContextManager[psycopg.Connection[Any]]]
) -> None:
    rulebook.except_(rulebook.draft(entity="shop"))
    for statement in (
        "UPDATE rights_retentionexception SET expires_on = '2040-01-01'",
        "UPDATE rights_retentionexception SET approved_by_id = NULL, approved_at = NULL",
        "DELETE FROM rights_retentionexception",
    ):
        with as_role("staff") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_the_evidence_is_sealed_and_committed_to(shop: Shop, rulebook: Rulebook) -> None:
    row = rulebook.except_(rulebook.draft(entity="shop"))
    with shop.stack.connect("superuser") as connection:
        ((stored,),) = connection.execute("SELECT evidence FROM rights_retentionexception").fetchall()
    assert "民初".encode() not in bytes(stored)
    first = ledger.read_chain(row.pk)[0]
    assert ledger.opens("（2026）京 01 民初 1 号", salt=row.evidence_salt, digest=first.commitments["evidence"])


def test_those_who_made_it_are_warned_a_week_before_its_end_once(shop: Shop, rulebook: Rulebook) -> None:
    rulebook.except_(rulebook.draft(entity="shop"))
    shop.tick(at(2028, 6, 22))
    assert not Notice.objects.filter(kind="exception_ending").exists()
    shop.tick(at(2028, 6, 23))
    shop.tick(at(2028, 6, 24))
    told = Notice.objects.filter(kind="exception_ending")
    assert {notice.user for notice in told} == {rulebook.first, rulebook.second}
    assert told.count() == 2


# ---- early release -------------------------------------------------------------------------------------------------


def test_what_a_law_still_holds_is_not_released_early_and_the_rule_is_named(
    shop: Shop, rulebook: Rulebook, held: Request
) -> None:
    of_one: dict[str, Any] = {"subject": shop.person, "collection": "shop.orders"}
    for scope in (of_one, {"request": held, **of_one}, {"collection": "shop.orders"}):
        with pytest.raises(ExceptionRefused, match=r"AML-5-TXN.*2027-02-10"):
            rulebook.except_(rulebook.draft(Effect.RELEASE, **scope))
    with pytest.raises(ExceptionRefused, match=r"AML-5-TXN.*2031-11-23"):
        rulebook.except_(rulebook.draft(Effect.RELEASE, data_class="LOAN"))
    assert not RetentionException.objects.exists()


def test_a_law_that_came_between_proposal_and_approval_refuses_the_release(shop: Shop, rulebook: Rulebook) -> None:
    with rulebook.as_staff():
        row = exceptions.propose(rulebook.draft(Effect.RELEASE, collection="shop.visit"), actor=rulebook.first, now=NOW)
        seen = exceptions.preview(row, now=NOW)
    rulebook.activate(rulebook.propose("NEW", data_classes=("CONS",), duration="P1Y"))
    with rulebook.as_staff(), pytest.raises(ExceptionRefused, match=r"NEW.*2027-11-23"):
        exceptions.approve(row, actor=rulebook.second, seen=seen, now=NOW)


def test_an_early_release_ends_a_longer_end_and_never_a_suspension(shop: Shop, rulebook: Rulebook) -> None:
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_visits(2)
    rulebook.except_(rulebook.draft(Effect.EXTEND, collection="shop.visit"))
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
    assert shop.held(request)["shop.visit", UNTIL] == 2
    assert Hold.objects.get(collection="shop.visit").key == "HOLD.EXTENDED"
    rulebook.except_(rulebook.draft(Effect.RELEASE, collection="shop.visit"))
    shop.tick(at(2026, 11, 24))
    assert shop.count("visit") == 0
    shop.add_visits(2)
    rulebook.except_(rulebook.draft(Effect.SUSPEND, collection="shop.visit"))
    assert plan(shop)["shop.visit"][0][0] == "hold"


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "Name whom"),
        ({"collection": "shop.nowhere"}, "shop.nowhere"),
        ({"data_class": "KYZ"}, "KYZ"),
        ({"entity": "bank"}, "bank"),
        ({"entity": "shop", "basis": " "}, "rests"),
        ({"entity": "shop", "evidence": ""}, "evidence"),
        ({"entity": "shop", "expires_on": date(2026, 11, 22)}, "expired already"),
        ({"entity": "shop", "until": date(2028, 7, 1)}, "longer than it lasts"),
        ({"entity": "shop", "until": date(2026, 11, 22)}, "is past"),
    ],
)
def test_a_faulty_exception_is_refused_and_says_why(
    shop: Shop, rulebook: Rulebook, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ExceptionRefused, match=says):
        rulebook.except_(rulebook.draft(**fields))
    assert not RetentionException.objects.exists()


def test_a_case_of_somebody_else_is_refused(shop: Shop, rulebook: Rulebook) -> None:
    with pytest.raises(ExceptionRefused, match="another person"):
        rulebook.except_(rulebook.draft(request=shop.file(), subject=shop.other))


def test_a_system_that_cannot_be_asked_is_no_leave_to_release(
    shop: Shop, rulebook: Rulebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYSTEM_SHOP_URL")
    with pytest.raises(ExceptionRefused, match="cannot be asked"):
        rulebook.except_(rulebook.draft(Effect.RELEASE, subject=shop.person))
