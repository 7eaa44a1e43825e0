"""Carrying a request through: each record goes once, whoever dies or stalls on the way, and only what was approved."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import yaml

from portal.core.clock import SHANGHAI
from rights.actions import erasing, fulfil, packages, review, work
from rights.actions.datamap import store_documents
from rights.actions.submit import CannotSubmit, submit, take_back
from rights.actions.work import LEASE
from rights.connectors.base import Unavailable
from rights.connectors.sql import SqlConnector, SqlSnapshot
from rights.kernel.clock import local_day
from rights.kernel.states import Kind
from rights.models import Batch, Gate, Request, Step
from rights.queries import due_of, queue
from rights.transitions import StaleRequest
from tests.rights.shop import DOCUMENTS, GOVERNANCE, NOW, Shop, State
from tests.unpacking import open_package

pytestmark = pytest.mark.role("worker")

LATER = NOW + timedelta(minutes=15)  # the undo period is over
LAPSED = date(2020, 5, 5)


class Killed(BaseException):
    """Stands for a worker that dies: nothing may catch it and tidy up."""


@pytest.fixture
def approved(shop: Shop) -> Request:
    """A deletion of three orders, five visits and the customer file, approved and not begun; and a neighbour."""
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_customer(2, closed_on=date(2020, 1, 31), of=shop.other)
    shop.add_orders(LAPSED, LAPSED, LAPSED)
    shop.add_orders(LAPSED, customer=2)
    shop.add_visits(5)
    shop.sql("INSERT INTO shop.visit VALUES (100, 2, 'neighbour')")
    return shop.approve(shop.file(), now=NOW)


def all_gone(shop: Shop) -> bool:
    mine = sum(shop.count(table, "customer_id = 1") for table in ("customer", "orders", "visit"))
    theirs = [shop.count(table, "customer_id = 2") for table in ("customer", "orders", "visit")]
    assert theirs == [1, 1, 1]
    return mine == 0


def done(request: Request) -> dict[str, int]:
    return {step.collection: step.done for step in request.steps.filter(verb__in=["erase", "mask"])}


ALL = {"shop.customer": 1, "shop.orders": 3, "shop.visit": 5}


def die_at(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, *, when: str, nth: int = 1, error: type = Killed
) -> None:
    """Make the nth call of a connector's method end the worker, before or after it has had its effect."""
    real: Callable[..., Any] = getattr(owner, method)
    calls = 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and when == "before":
            raise error("before")
        answer = real(*args, **kwargs)
        if calls == nth and when == "after":
            raise error("after")
        return answer

    monkeypatch.setattr(owner, method, dying)


def test_an_approved_deletion_does_each_thing_once_and_closes(shop: Shop, approved: Request) -> None:
    request = shop.advance(approved, now=LATER)
    assert request.state == State.CLOSED
    assert all_gone(shop)
    assert done(request) == ALL
    assert shop.events(request).count("step_done") == request.steps.count()


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("owner", "method"), [(SqlSnapshot, "page_keys"), (SqlConnector, "erase"), (SqlConnector, "find_present")]
)
def test_a_worker_that_dies_anywhere_leaves_nothing_that_the_next_one_does_not_finish(
    shop: Shop, approved: Request, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, when: str, nth: int
) -> None:
    monkeypatch.setattr(erasing, "FIRST_BATCH", 2)
    monkeypatch.setattr(work, "LARGEST_BATCH", 2)
    monkeypatch.setattr(work, "SMALLEST_BATCH", 2)
    with monkeypatch.context() as patch:
        die_at(patch, owner, method, when=when, nth=nth)
        with pytest.raises(Killed):
            fulfil.advance(request_id=approved.pk, now=LATER)
    assert shop.look(approved).state == State.ACTING

    request = shop.advance(approved, now=LATER + LEASE + timedelta(minutes=1))

    assert request.state == State.CLOSED
    assert all_gone(shop)
    assert done(request) == ALL
    batches = Batch.objects.filter(step__request=request)
    assert not batches.filter(closed_at__isnull=True).exists()
    assert not batches.filter(keys__isnull=False).exists()
    assert sum(batch.gone or 0 for batch in batches) == 9


def test_a_batch_left_open_is_finished_before_anything_is_looked_for(
    shop: Shop, approved: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        die_at(patch, SqlConnector, "erase", when="after")
        with pytest.raises(Killed):
            fulfil.advance(request_id=approved.pk, now=LATER)
    batch = Batch.objects.get(closed_at__isnull=True)
    with monkeypatch.context() as patch:
        die_at(patch, SqlSnapshot, "page_keys", when="before")
        with pytest.raises(Killed):
            fulfil.advance(request_id=approved.pk, now=LATER + LEASE + timedelta(minutes=1))
    batch.refresh_from_db()
    assert batch.closed_at is not None
    assert batch.gone == batch.count


def test_a_batch_whose_records_may_no_longer_go_is_left_and_no_failure(
    shop: Shop, approved: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between intent and act the worker died, and meanwhile the business wrote a later date."""
    shop.sql("DELETE FROM shop.visit WHERE customer_id = 1")
    with monkeypatch.context() as patch:
        die_at(patch, SqlConnector, "erase", when="before")
        with pytest.raises(Killed):
            fulfil.advance(request_id=approved.pk, now=LATER)
    shop.sql("UPDATE shop.orders SET paid_on = '2026-11-01' WHERE customer_id = 1")
    request = shop.advance(approved, now=LATER + LEASE + timedelta(minutes=1))
    assert request.steps.filter(state="dead").count() == 0
    assert shop.count("orders", "customer_id = 1") == 3
    assert shop.count("customer", "customer_id = 1") == 1
    assert request.state == State.CLOSED
    assert shop.held(request) == {
        ("shop.orders", date(2031, 11, 1)): 3,
        ("shop.customer", date(2031, 11, 1)): 1,
    }


def test_a_step_that_another_worker_holds_is_left_alone_until_its_lease_is_over(
    shop: Shop, approved: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        die_at(patch, SqlConnector, "erase", when="before")
        with pytest.raises(Killed):
            fulfil.advance(request_id=approved.pk, now=LATER)
    running = Step.objects.get(request=approved, state="running")
    assert running.lease_until is not None
    shop.advance(approved, now=running.lease_until - timedelta(seconds=1))
    running.refresh_from_db()
    assert (running.state, running.attempts, shop.count("visit")) == ("running", 1, 6)
    shop.advance(approved, now=running.lease_until + timedelta(seconds=1))
    assert all_gone(shop)


def test_a_stalled_worker_that_wakes_up_may_not_report(
    shop: Shop, approved: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a fencing token a stalled worker reported 200 records for 100."""
    real = SqlConnector.erase
    stalled: list[str] = []

    def stall(self: SqlConnector, seed: Any, policies: Any, collection: str, keys: Any) -> int:
        if not stalled:
            stalled.append(collection)
            # While this one stands still its lease runs out, and another worker does all there is to do.
            fulfil.advance(request_id=approved.pk, now=LATER + LEASE + timedelta(minutes=5))
        return real(self, seed, policies, collection, keys)

    monkeypatch.setattr(SqlConnector, "erase", stall)
    request = shop.advance(approved, now=LATER)
    assert stalled
    assert request.state == State.CLOSED
    assert all_gone(shop)
    assert done(request) == ALL
    told = [event.body["collection"] for event in request.events.filter(kind="step_done")]
    assert sorted(told) == sorted(set(told))


def test_a_stalled_exporter_leaves_the_package_of_the_one_that_finished(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.add_customer(1)
    real = SqlSnapshot.copy_rows
    stalled: list[bool] = []

    def stall(self: SqlSnapshot, collection: str, **asked: Any) -> int:
        if not stalled:
            stalled.append(True)
            fulfil.advance(request_id=Request.objects.get().pk, now=NOW + LEASE + timedelta(minutes=5))
        return real(self, collection, **asked)

    monkeypatch.setattr(SqlSnapshot, "copy_rows", stall)
    packages.sweep_files()
    request = shop.file(Kind.ACCESS)
    assert request.state == State.CLOSED
    assert open_package(request).testzip() is None
    path = packages.package_path(request.packages.get().pk)
    assert packages.sweep_files() == 1, "what the stalled one left behind"
    assert list(path.parent.iterdir()) == [path]


def test_a_system_that_is_away_is_tried_again_later_and_then_done(
    shop: Shop, approved: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        die_at(patch, SqlConnector, "erase", when="before", error=Unavailable)
        shop.advance(approved, now=LATER)
    step = Step.objects.get(request=approved, error__gt="")
    assert step.state == "ready"
    assert step.attempts == 1
    assert LATER < step.not_before <= LATER + timedelta(seconds=3)
    shop.advance(approved, now=LATER)
    step.refresh_from_db()
    assert step.attempts == 1, "it was tried before its time"
    request = shop.advance(approved, now=step.not_before)
    assert request.state == State.CLOSED
    assert all_gone(shop)


def test_the_waits_grow_and_end_on_the_desk_when_nothing_helps(
    shop: Shop, approved: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqlConnector, "erase", refuse_with(Unavailable("away")))
    now, waits = LATER, []
    for attempt in range(1, 9):
        shop.advance(approved, now=now)
        step = Step.objects.get(request=approved, error="away")
        assert step.attempts == attempt
        # A system that fails often is left alone for longer than the step itself would wait.
        rest = Gate.objects.get(pk="shop").closed_until
        again = max(step.not_before, rest or step.not_before)
        waits.append((again - now).total_seconds())
        now = again
    assert step.state == "dead"
    assert all(later > earlier for earlier, later in pairwise(waits[:7]))
    assert list(queue("failed", reviewer=shop.reviewer)) == [approved]
    assert shop.events(approved).count("step_dead") == 1


def refuse_with(error: Exception) -> Callable[..., int]:
    def refuse(*_: Any, **__: Any) -> int:
        raise error

    return refuse


def test_a_refusal_goes_to_the_desk_with_its_reason_and_can_be_tried_again(shop: Shop, approved: Request) -> None:
    shop.sql("CREATE TABLE shop.seen (visit_id bigint CONSTRAINT seen_visit REFERENCES shop.visit)")
    try:
        shop.sql("INSERT INTO shop.seen VALUES (3)")
        request = shop.advance(approved, now=LATER)
        step = shop.step(request, "shop.visit")
        assert step.state == "dead"
        assert "seen_visit" in step.error
        assert request.state == State.ACTING
        assert shop.count("visit", "customer_id = 1") == 5
    finally:
        shop.sql("DROP TABLE shop.seen")
    review.retry_step(step, reviewer=shop.reviewer, now=LATER + timedelta(hours=1))
    request = shop.advance(approved, now=LATER + timedelta(hours=1))
    assert request.state == State.CLOSED
    assert all_gone(shop)
    assert done(request) == ALL


@pytest.mark.parametrize("swallowed", ["true", "OLD.visit_id > 2"])
def test_a_trigger_that_swallows_the_erasure_is_found_out(shop: Shop, approved: Request, swallowed: str) -> None:
    """The system says DELETE and reports no error; looking again tells the truth."""
    shop.sql(
        "CREATE FUNCTION shop.swallow() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF {swallowed} THEN RETURN NULL; END IF; RETURN OLD; END $$"
    )
    shop.sql("CREATE TRIGGER swallow BEFORE DELETE ON shop.visit FOR EACH ROW EXECUTE FUNCTION shop.swallow()")
    try:
        request = shop.advance(approved, now=LATER)
        step = shop.step(request, "shop.visit")
        assert step.state == "dead"
        assert "erased nothing" in step.error
        assert step.done == 5 - shop.count("visit", "customer_id = 1")
        assert request.state == State.ACTING
    finally:
        shop.sql("DROP FUNCTION shop.swallow CASCADE")
    review.retry_step(step, reviewer=shop.reviewer, now=LATER)
    request = shop.advance(approved, now=LATER)
    assert request.state == State.CLOSED
    assert done(request) == ALL


def test_a_plan_that_would_erase_more_than_was_approved_goes_back_to_review(shop: Shop, approved: Request) -> None:
    shop.sql("INSERT INTO shop.visit VALUES (6, 1, 'later')")
    request = shop.advance(approved, now=LATER)
    assert request.state == State.REVIEW
    assert request.approved_plan is None
    assert request.steps.count() == 0
    assert shop.count("visit", "customer_id = 1") == 6
    changed = request.events.get(kind="plan_changed")
    assert changed.body["collections"] == ["shop.visit"]


def test_a_plan_that_erases_less_than_was_approved_goes_on(shop: Shop, approved: Request) -> None:
    shop.sql("DELETE FROM shop.visit WHERE visit_id = 1")
    assert shop.advance(approved, now=LATER).state == State.CLOSED
    assert all_gone(shop)


def test_a_plan_does_not_start_while_a_system_is_unknown(
    shop: Shop, approved: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("SYSTEM_SHOP_URL")
        request = shop.advance(approved, now=LATER)
        assert (request.state, request.round) == (State.ACTING, 0)
    assert request.act_after == LATER + timedelta(minutes=5)
    assert shop.advance(approved, now=LATER + timedelta(minutes=5)).state == State.CLOSED


def test_an_approval_can_be_undone_until_its_period_is_over(shop: Shop, approved: Request) -> None:
    assert approved.act_after is not None
    shop.advance(approved, now=approved.act_after - timedelta(microseconds=1))
    request = shop.look(approved)
    review.undo(request, reviewer=shop.reviewer, now=approved.act_after - timedelta(microseconds=1))
    request = shop.advance(request, now=LATER)
    assert (request.state, request.approved_plan, request.steps.count()) == (State.REVIEW, None, 0)
    assert not all_gone(shop)


def test_an_approval_cannot_be_undone_afterwards(shop: Shop, approved: Request) -> None:
    assert approved.act_after is not None
    with pytest.raises(review.CannotDecide):
        review.undo(approved, reviewer=shop.reviewer, now=approved.act_after)
    shop.advance(approved, now=LATER)
    with pytest.raises((review.CannotDecide, StaleRequest)):
        review.undo(shop.look(approved), reviewer=shop.reviewer, now=NOW)


# --- at the same time


def test_a_draft_that_is_submitted_twice_at_once_is_filed_once(shop: Shop) -> None:
    shop.add_customer(1)
    draft = Request.objects.create(kind=Kind.DELETION, subject=shop.person, filed_by=shop.person, created_at=NOW)
    filed = shop.in_threads(*[lambda: submit(request_id=draft.pk, now=NOW)] * 4)
    assert len({request.reference for request in filed}) == 1
    assert shop.events(shop.look(draft)).count("submitted") == 1
    assert draft.notices.filter(kind="received").count() == 1


def test_workers_that_advance_a_request_at_once_do_everything_once(shop: Shop, approved: Request) -> None:
    def work() -> None:
        fulfil.advance(request_id=approved.pk, now=LATER)

    shop.in_threads(*[work] * 4)
    request = shop.advance(approved, now=LATER + timedelta(minutes=5))
    assert request.state == State.CLOSED
    assert all_gone(shop)
    assert done(request) == ALL
    assert request.round == 1
    events = shop.events(request)
    assert [events.count(kind) for kind in ("started", "closed")] == [1, 1]
    assert events.count("step_done") == request.steps.count()
    assert request.notices.filter(kind="closed").count() == 1


def test_advancing_a_closed_request_again_changes_nothing(shop: Shop, approved: Request) -> None:
    before = shop.advance(approved, now=LATER)
    events = shop.events(before)
    after = shop.advance(approved, now=LATER + timedelta(days=1))
    assert (after.state, after.closed_at, shop.events(after)) == (State.CLOSED, before.closed_at, events)


# --- taking back


def test_a_request_taken_back_in_time_touches_nothing(shop: Shop, approved: Request) -> None:
    take_back(approved, actor=shop.person, now=NOW)
    request = shop.advance(approved, now=LATER)
    assert (request.state, request.closing_key) == (State.CLOSED, "WITHDRAWN")
    assert request.steps.count() == 0
    assert (shop.count("visit"), shop.count("orders")) == (6, 4)
    assert request.notices.filter(kind="withdrawn").count() == 1


def test_a_request_whose_changes_have_begun_cannot_be_taken_back(
    shop: Shop, approved: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        die_at(patch, SqlConnector, "erase", when="before")
        with pytest.raises(Killed):
            fulfil.advance(request_id=approved.pk, now=LATER)
    with pytest.raises(CannotSubmit):
        take_back(shop.look(approved), actor=shop.person, now=LATER)
    with pytest.raises((CannotSubmit, StaleRequest)):
        take_back(approved, actor=shop.person, now=LATER)  # the page was opened before


@pytest.mark.parametrize("attempt", range(3))
def test_taking_back_while_a_worker_starts_is_either_all_or_nothing(
    shop: Shop, approved: Request, attempt: int
) -> None:
    def withdraw() -> bool:
        try:
            take_back(approved, actor=shop.person, now=LATER)
        except (CannotSubmit, StaleRequest):
            return False
        return True

    def work() -> bool:
        fulfil.advance(request_id=approved.pk, now=LATER)
        return True

    taken, _ = shop.in_threads(withdraw, work)
    request = shop.look(approved)
    assert request.state == State.CLOSED
    assert (request.closing_key == "WITHDRAWN") == taken
    assert shop.count("visit", "customer_id = 1") == (5 if taken else 0)
    assert request.steps.exists() != taken


# --- what blocks


def at(month: int, day: int, *, year: int = 2026, hour: int = 9) -> datetime:
    return datetime(year, month, day, hour, tzinfo=SHANGHAI)


@pytest.fixture
def deferred(shop: Shop) -> Request:
    """Approved and acted on 2026-11-25: all but the blocked lines is done."""
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(LAPSED, date(2025, 6, 1))
    shop.add_visits(5)
    shop.add_loan(4260)
    request = shop.approve(shop.file(), now=at(11, 25))
    return shop.advance(request, now=at(11, 25, hour=10))


def test_only_what_is_blocked_waits_and_everything_else_is_done(shop: Shop, deferred: Request) -> None:
    assert deferred.state == State.DEFERRED
    assert [shop.count(table) for table in ("visit", "orders", "loan", "customer")] == [0, 1, 1, 1]
    assert deferred.notices.filter(kind="deferred").count() == 1


def test_a_blocker_that_clears_starts_a_fresh_limit_and_the_rest_goes_on(shop: Shop, deferred: Request) -> None:
    """Clock table, case 6: deferred 11-25, loan repaid 12-18, new due 2027-01-02."""
    shop.sql("UPDATE shop.loan SET balance = 0, settled_on = '2026-12-18'")
    request = shop.advance(deferred, now=at(12, 18, hour=20))
    assert request.state == State.CLOSED
    assert due_of(request, now=at(12, 18)).on == date(2027, 1, 2)
    # The loan is held for five years; the order of 2025 until 2030; the file as long as the last of them.
    assert shop.held(request) == {
        ("shop.orders", date(2030, 6, 1)): 1,
        ("shop.loan", date(2031, 12, 18)): 1,
        ("shop.customer", date(2031, 12, 18)): 1,
    }


def test_an_extension_of_before_does_not_lengthen_the_fresh_limit(shop: Shop, deferred: Request) -> None:
    Request.objects.filter(pk=deferred.pk).update(extended_at=at(11, 24))
    shop.sql("UPDATE shop.loan SET balance = 0, settled_on = '2026-12-18'")
    request = shop.advance(deferred, now=at(12, 18))
    assert due_of(request, now=at(12, 18)).on == date(2027, 1, 2)


def test_a_blocker_that_stays_is_looked_at_again_later(shop: Shop, deferred: Request) -> None:
    request = shop.advance(deferred, now=at(11, 26))
    assert request.state == State.DEFERRED
    assert request.check_after is not None
    assert at(11, 26) < request.check_after <= at(11, 27)


def test_a_deferred_request_does_not_go_on_while_its_system_is_away(
    shop: Shop, deferred: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.sql("UPDATE shop.loan SET balance = 0, settled_on = '2026-12-18'")
    monkeypatch.delenv("SYSTEM_SHOP_URL")
    assert shop.advance(deferred, now=at(12, 18)).state == State.DEFERRED


# --- the other kinds


def test_a_cancellation_is_deferred_whole_and_starts_the_periods_when_it_happens(shop: Shop) -> None:
    """Decisions 18 and 19: with a loan nothing is touched; then the end of the relationship is written."""
    shop.add_customer(1)
    shop.add_visits(5)
    shop.add_loan(100)
    request = shop.file(Kind.CANCELLATION, entities=["shop"])
    assert request.state == State.DEFERRED
    assert (shop.count("visit"), shop.count("customer", "closed_on IS NULL")) == (5, 1)

    shop.sql("UPDATE shop.loan SET balance = 0, settled_on = '2026-12-18'")
    request = shop.advance(request, now=at(12, 18))
    assert request.state == State.REVIEW
    shop.approve(request, now=at(12, 18))
    request = shop.advance(request, now=at(12, 18, hour=20))

    assert request.state == State.CLOSED
    assert shop.sql("SELECT closed_on FROM shop.customer") == [(date(2026, 12, 18),)]
    assert shop.count("visit") == 0
    assert shop.held(request) == {
        ("shop.loan", date(2031, 12, 18)): 1,
        ("shop.customer", date(2031, 12, 18)): 1,
    }


def test_a_withdrawal_writes_the_flag_and_erases_what_rested_on_it_without_review(shop: Shop) -> None:
    shop.add_customer(1)
    shop.add_orders(date(2026, 1, 1))
    shop.add_visits(5)
    shop.sql("INSERT INTO shop.consent VALUES (1, 'recommendation', true), (1, 'other', true)")
    request = shop.file(Kind.WITHDRAWAL, purposes=["recommendation"])
    assert request.state == State.CLOSED
    assert shop.sql("SELECT purpose, granted FROM shop.consent ORDER BY 1") == [
        ("other", True),
        ("recommendation", False),
    ]
    assert (shop.count("visit"), shop.count("orders")) == (0, 1)


def test_a_contact_correction_goes_by_itself_and_an_identity_one_to_a_person(shop: Shop) -> None:
    shop.add_customer(1)
    item = {"correction": "phone", "old": "19900000001", "new": "19900000002"}
    request = shop.file(Kind.CORRECTION, items=[item])
    assert request.state == State.CLOSED
    assert shop.sql("SELECT phone FROM shop.customer") == [("19900000002",)]
    name = {"correction": "name", "old": "陈若兰", "new": "陈若岚"}
    assert shop.file(Kind.CORRECTION, items=[name]).state == State.REVIEW
    assert shop.sql("SELECT name FROM shop.customer") == [("陈若兰",)]


def test_masked_records_are_masked_once_and_the_request_ends(shop: Shop) -> None:
    governance = yaml.safe_load(GOVERNANCE)
    governance["collections"]["shop.visit"]["erase"] = {"method": "mask", "fields": {"page": {"constant": "-"}}}
    with shop.as_("owner"):
        store_documents({**DOCUMENTS, "governance.yml": yaml.safe_dump(governance)}, name="shop", now=NOW)
    shop.add_customer(1)
    shop.add_visits(5)
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
    assert request.state == State.CLOSED
    assert done(request) == {"shop.visit": 5}
    assert shop.count("visit", "page = '-'") == 5


def test_the_day_a_package_ends_is_told_in_shanghai_time(shop: Shop) -> None:
    shop.add_customer(1)
    late = datetime(2026, 11, 24, 0, 30, tzinfo=SHANGHAI)  # still the 23rd in UTC
    request = shop.file(Kind.ACCESS, now=late)
    notice = request.notices.get(kind="package")
    assert notice.params["until"] == "2026-12-01"
    assert local_day(request.packages.get().expires_at) == date(2026, 12, 1)
