"""Nothing due passes in silence: what a tick finds it does once, however many ticks there are or were missed.

The days are those of the clock table: ready on 2026-11-23 is due on 2026-12-08, warned of on 12-03 and 12-07, late from
2026-12-09 00:00 in Shanghai.
"""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import OneTimeCode, SignInAttempt, User
from portal.core import keyring
from portal.core.clock import SHANGHAI
from portal.core.heartbeat import last_beat
from portal.core.models import OutboxMessage
from rights.actions import review, upkeep, watch
from rights.actions.datamap import store_documents
from rights.actions.hold import schedule_releases
from rights.actions.packages import package_path
from rights.actions.vaults import open_vault
from rights.kernel.states import Kind
from rights.models import Hold, Notice, Package, Request, SubjectVault
from rights.queries import due_of, queue
from tests.rights.shop import DATASET, DOCUMENTS, GOVERNANCE, NOW, Shop, State

pytestmark = pytest.mark.role("worker")


def at(month: int, day: int, *, year: int = 2026, hour: int = 9, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=SHANGHAI)


@pytest.fixture
def waiting(shop: Shop) -> Request:
    """A deletion that waits for its reviewer."""
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_visits(1)
    return shop.file()


def warnings(request: Request) -> list[tuple[date, int]]:
    found = request.events.filter(kind="warned").order_by("at")
    return [(event.at.astimezone(SHANGHAI).date(), event.body["days"]) for event in found]


# --- deadlines


def test_a_case_is_warned_of_five_days_and_one_day_before_its_limit_once_each(shop: Shop, waiting: Request) -> None:
    for day in range(24, 31):
        shop.tick(at(11, day))
    for day in range(1, 9):
        shop.tick(at(12, day))
        shop.tick(at(12, day, hour=20))
    assert warnings(waiting) == [(date(2026, 12, 3), 5), (date(2026, 12, 7), 1)]
    told = Notice.objects.filter(request=waiting, kind="due_soon")
    assert {notice.user for notice in told} == {shop.second}, "nobody has the case, so its supervisor is told"
    assert told.count() == 2


def test_who_has_the_case_is_warned_and_nobody_else(shop: Shop, waiting: Request) -> None:
    review.claim(waiting, reviewer=shop.reviewer, now=NOW)
    shop.tick(at(12, 3))
    assert [notice.user for notice in Notice.objects.filter(kind="due_soon")] == [shop.reviewer]


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        ([at(12, 5), at(12, 6)], [(date(2026, 12, 5), 5)]),
        ([at(12, 5), at(12, 8)], [(date(2026, 12, 5), 5), (date(2026, 12, 8), 1)]),
        ([at(12, 8), at(12, 8, hour=20)], [(date(2026, 12, 8), 1)]),  # one day is left: that five were says nothing
        ([at(12, 20), at(12, 21)], []),  # late: that is another fact
    ],
)
def test_a_warning_that_missed_ticks_owed_is_given_by_the_next_one_once(
    shop: Shop, waiting: Request, ticks: list[datetime], expected: list[tuple[date, int]]
) -> None:
    for moment in ticks:
        shop.tick(moment)
    assert warnings(waiting) == expected


def test_two_ticks_at_once_warn_once(shop: Shop, waiting: Request) -> None:
    shop.in_threads(*[lambda: watch.watch_deadlines(now=at(12, 3))] * 4)
    assert warnings(waiting) == [(date(2026, 12, 3), 5)]


def test_a_breach_begins_at_midnight_in_shanghai_and_is_recorded_once(shop: Shop, waiting: Request) -> None:
    shop.tick(at(12, 8, hour=23, minute=59))
    assert shop.look(waiting).breached_at is None
    for _ in range(3):
        shop.tick(at(12, 9, hour=0))
    shop.tick(at(12, 20))
    request = shop.look(waiting)
    assert request.breached_at == at(12, 9, hour=0)
    assert shop.events(request).count("breached") == 1
    assert request.state == State.REVIEW, "the case stays open"


def test_a_breach_is_told_to_the_person_and_puts_the_case_first(shop: Shop, waiting: Request) -> None:
    second = shop.file()
    Request.objects.filter(pk=second.pk).update(started_on=date(2026, 11, 1), breached_at=at(11, 20))
    shop.tick(at(12, 9))
    notice = Notice.objects.get(request=waiting, kind="breached")
    assert notice.user == shop.person
    assert "2026-12-08" in notice.body
    assert "投诉" in notice.body, "the way to complain"
    assert queue("todo", reviewer=shop.reviewer).first() == waiting


def test_two_ticks_at_once_record_a_breach_once(shop: Shop, waiting: Request) -> None:
    shop.in_threads(*[lambda: watch.watch_deadlines(now=at(12, 9))] * 4)
    assert shop.events(waiting).count("breached") == 1
    assert Notice.objects.filter(kind="breached").count() == 1


def test_a_case_that_waits_for_the_persons_answer_is_not_late(shop: Shop, waiting: Request) -> None:
    """Clock table, case 4: asked 11-26, answered 12-01, due 12-13."""
    review.ask(waiting, reviewer=shop.reviewer, text="哪一笔?", now=at(11, 26))
    shop.tick(at(12, 20))
    request = shop.look(waiting)
    assert (request.breached_at, warnings(request)) == (None, [])
    review.answer(request, text="第一笔", actor=shop.person, now=at(12, 1))
    assert due_of(shop.look(request), now=at(12, 1)).on == date(2026, 12, 13)
    for day in range(2, 16):
        shop.tick(at(12, day))
    assert warnings(request) == [(date(2026, 12, 8), 5), (date(2026, 12, 12), 1)]
    assert shop.look(request).breached_at == at(12, 14)


def test_a_deferred_case_is_not_late(shop: Shop) -> None:
    shop.add_customer(1)
    shop.add_loan(4260)
    request = shop.file(Kind.CANCELLATION, entities=["shop"])
    assert request.state == State.DEFERRED
    shop.tick(at(12, 20))
    assert shop.look(request).breached_at is None
    assert warnings(request) == []


def test_what_was_late_when_the_person_was_asked_stays_late_though_no_tick_saw_it(shop: Shop, waiting: Request) -> None:
    """Due on 12-08. Asked on 12-10, two days after it: the pause does not take the breach back."""
    review.ask(waiting, reviewer=shop.reviewer, text="哪一笔?", now=at(12, 10))
    shop.tick(at(12, 11))
    request = shop.look(waiting)
    assert request.breached_at == at(12, 11)
    assert due_of(request, now=at(12, 20)).days_left == -2
    with pytest.raises(review.CannotDecide):
        review.extend(request, reviewer=shop.reviewer, reason="x", now=at(12, 12))


def test_what_was_late_when_it_closed_is_a_breach_though_no_tick_saw_it_open(shop: Shop, waiting: Request) -> None:
    review.refuse(waiting, reviewer=shop.reviewer, key="GROUND.PUBLIC", text="已公开", now=at(12, 9))
    for day in (20, 21):
        shop.tick(at(12, day))
    request = shop.look(waiting)
    assert request.breached_at == at(12, 20)
    assert shop.events(request).count("breached") == 1
    notice = Notice.objects.get(request=request, kind="closed_late")
    assert notice.user == shop.person
    assert "2026-12-08" in notice.body
    assert "投诉" in notice.body


def test_what_closed_on_its_last_day_is_no_breach(shop: Shop, waiting: Request) -> None:
    review.refuse(
        waiting, reviewer=shop.reviewer, key="GROUND.PUBLIC", text="已公开", now=at(12, 8, hour=23, minute=59)
    )
    shop.tick(at(12, 9, hour=0))
    assert shop.look(waiting).breached_at is None


def test_a_breach_tells_whoever_watches_over_the_desk(shop: Shop, waiting: Request) -> None:
    with shop.as_("owner"):
        admin = User.objects.create_user(account_no="900009", password=None, display_name="x", role="admin", now=NOW)
    shop.tick(at(12, 9))
    told = Notice.objects.filter(request=waiting, kind="case_late")
    assert {notice.user for notice in told} == {admin, shop.second}


def test_after_a_breach_nobody_is_warned_that_the_limit_comes_near(shop: Shop, waiting: Request) -> None:
    shop.tick(at(12, 10))
    assert warnings(waiting) == []


# --- what was missing


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        # Filed on 11-23. Asked for within three days, the answer of 12-01 starts the clock; later, it only stood.
        (at(11, 26), date(2026, 12, 16)),
        (at(11, 27), date(2026, 12, 12)),
    ],
)
def test_the_clock_starts_when_what_was_missing_has_come_if_it_was_asked_for_in_time(
    shop: Shop, waiting: Request, asked: datetime, due: date
) -> None:
    assert waiting.ready_at == NOW
    review.ask(waiting, reviewer=shop.reviewer, text="哪一笔?", missing=True, now=asked)
    assert shop.look(waiting).ready_at is None
    shop.tick(at(11, 30))
    review.answer(shop.look(waiting), text="第一笔", actor=shop.person, now=at(12, 1))
    assert due_of(shop.look(waiting), now=at(12, 1)).on == due
    last = at(due.month, due.day)
    shop.tick(last)
    assert shop.look(waiting).breached_at is None
    shop.tick(last + timedelta(days=1))
    assert shop.look(waiting).breached_at == last + timedelta(days=1)


def test_while_what_was_missing_has_not_come_nothing_is_due(shop: Shop, waiting: Request) -> None:
    review.ask(waiting, reviewer=shop.reviewer, text="哪一笔?", missing=True, now=at(11, 24))
    for day in range(1, 31):
        shop.tick(at(12, day))
    request = shop.look(waiting)
    assert (request.breached_at, warnings(request)) == (None, [])
    assert due_of(request, now=at(12, 30)).days_left == 15


# --- the extension


def test_an_extension_on_the_day_a_fresh_limit_starts_lengthens_the_old_one_only(shop: Shop) -> None:
    """Extended at 09:00 and deferred; the loan is repaid at noon: the fresh limit has 15 days, not 30."""
    shop.add_customer(1)
    shop.add_orders(date(2020, 1, 1))
    request = shop.file()
    review.extend(request, reviewer=shop.reviewer, reason="x", now=at(12, 1))
    assert due_of(shop.look(request), now=at(12, 1)).on == date(2026, 12, 23)
    shop.add_loan(100)
    shop.sql("UPDATE shop.customer SET closed_on = '2020-01-31'")
    request = shop.advance(shop.approve(shop.look(request), now=at(12, 1)), now=at(12, 1, hour=10))
    assert request.state == State.DEFERRED
    shop.sql("DELETE FROM shop.loan")
    shop.tick(at(12, 1, hour=20))
    request = shop.look(request)
    assert request.resumed_at == at(12, 1, hour=20)
    assert due_of(request, now=at(12, 1, hour=20)).on == date(2026, 12, 16)


def test_a_case_that_is_put_off_is_not_extended(shop: Shop) -> None:
    shop.add_customer(1)
    shop.add_loan(4260)
    request = shop.file(Kind.CANCELLATION, entities=["shop"])
    with pytest.raises(review.CannotDecide):
        review.extend(request, reviewer=shop.reviewer, reason="x", now=at(11, 24))
    assert shop.look(request).extended_at is None


# --- a deferral


@pytest.fixture
def deferred(shop: Shop) -> Request:
    """Put off on 2026-11-25 for a loan (clock table, case 6)."""
    shop.add_customer(1)
    shop.add_loan(4260)
    request = shop.file(Kind.CANCELLATION, now=at(11, 25), entities=["shop"])
    assert request.state == State.DEFERRED
    return request


def test_case_6_a_fresh_limit_starts_on_the_day_we_learn_that_the_loan_is_repaid(shop: Shop, deferred: Request) -> None:
    assert Notice.objects.filter(request=deferred, kind="deferred").count() == 1
    for day in range(1, 23):
        shop.tick(at(11, 25) + timedelta(days=day))
    shop.sql("DELETE FROM shop.loan")
    shop.tick(at(12, 18))
    request = shop.look(deferred)
    assert request.state == State.REVIEW
    assert due_of(request, now=at(12, 18)).on == date(2027, 1, 2)
    assert not Notice.objects.filter(kind="check_owed").exists(), "it was looked at each day"


def test_a_check_that_comes_over_a_day_late_raises_an_alarm_once(shop: Shop, deferred: Request, settings: Any) -> None:
    """Looked at on 11-26 at 08:00 and to be looked at again at 14:00; then there are no ticks for two days."""
    settings.CHECK_SECONDS = 6 * 3600
    shop.tick(at(11, 26, hour=8))
    assert shop.look(deferred).check_after == at(11, 26, hour=14)
    assert not Notice.objects.filter(kind="check_owed").exists()
    shop.tick(at(11, 28, hour=8))
    shop.tick(at(11, 28, hour=9))
    assert {notice.user for notice in Notice.objects.filter(kind="check_owed")} == {shop.second}
    assert Notice.objects.filter(kind="check_owed").count() == 1
    assert shop.events(deferred).count("check_owed") == 1


def test_exactly_a_day_late_is_no_alarm(shop: Shop, deferred: Request) -> None:
    due = shop.look(deferred).check_after
    assert due is not None
    assert watch.watch_checks(now=due + timedelta(hours=24)) == 0
    assert watch.watch_checks(now=due + timedelta(hours=24, seconds=1)) == 1


def test_two_ticks_at_once_raise_it_once(shop: Shop, deferred: Request) -> None:
    found = shop.in_threads(*[lambda: watch.watch_checks(now=at(12, 1))] * 4)
    assert sum(found) == 1
    assert Notice.objects.filter(kind="check_owed").count() == 1


def test_a_system_that_is_away_for_over_a_day_raises_the_alarm_though_it_is_asked_again_and_again(
    shop: Shop, deferred: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("SYSTEM_SHOP_URL")
        for hours in range(7, 60, 7):
            shop.tick(at(11, 25) + timedelta(hours=hours))
    assert Notice.objects.filter(kind="check_owed").count() == 1
    shop.tick(at(11, 28))
    assert shop.look(deferred).check_owed_at is None
    assert shop.events(deferred).count("check_owed") == 1


def test_a_case_that_was_late_when_it_was_put_off_is_a_breach(shop: Shop) -> None:
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_loan(4260)
    request = shop.advance(shop.approve(shop.file(), now=at(12, 9)), now=at(12, 9, hour=10))
    assert request.state == State.DEFERRED
    shop.tick(at(12, 10))
    assert shop.look(request).breached_at == at(12, 10)


def test_a_case_that_is_refused_while_it_is_put_off_is_no_breach(shop: Shop, deferred: Request) -> None:
    review.refuse(deferred, reviewer=shop.reviewer, key="GROUND.PUBLIC", text="已公开", now=at(12, 28))
    shop.tick(at(12, 29))
    assert shop.look(deferred).breached_at is None


def test_a_closed_case_is_never_late(shop: Shop, waiting: Request) -> None:
    review.refuse(waiting, reviewer=shop.reviewer, key="GROUND.PUBLIC", text="已公开", now=at(11, 24))
    shop.tick(at(12, 20))
    assert shop.look(waiting).breached_at is None


# --- notices


def test_a_notice_is_sent_once_under_two_ticks_at_once(shop: Shop, waiting: Request) -> None:
    unsent = Notice.objects.filter(sent_at__isnull=True).count()
    assert unsent == 2  # received, and "was this you?" to the other contact
    sent = shop.in_threads(*[lambda: watch.send_notices(now=NOW)] * 4)
    assert sum(sent) == unsent
    shop.tick(NOW + timedelta(minutes=1))
    about = [message for message in OutboxMessage.objects.all() if str(waiting.reference) in message.subject]
    assert len(about) == unsent


def test_a_notice_that_cannot_be_sent_keeps_no_other_one_back(shop: Shop, waiting: Request) -> None:
    broken = Notice.objects.create(user=shop.other, kind="received", dedupe="broken", params={}, created_at=at(11, 1))
    shop.tick(NOW)
    assert list(Notice.objects.filter(sent_at__isnull=True)) == [broken]


def test_a_notice_is_in_the_persons_language_and_names_no_personal_data(shop: Shop, waiting: Request) -> None:
    with shop.as_("owner"):
        User.objects.filter(pk=shop.person.pk).update(language="en")
    shop.tick(NOW)
    bodies = [notice.subject + notice.body for notice in Notice.objects.filter(user=shop.person)]
    assert all("request" in body.lower() for body in bodies)
    assert not any("陈若兰" in body or shop.person.account_no in body for body in bodies)


# --- packages


def test_a_package_is_shredded_when_its_seven_days_are_over(shop: Shop) -> None:
    shop.add_customer(1)
    request = shop.file(Kind.ACCESS)
    path = package_path(request.packages.get().pk)
    shop.tick(NOW + timedelta(days=7))
    assert path.exists()
    assert Package.objects.get().data_key is not None
    done = shop.tick(NOW + timedelta(days=7, seconds=1))
    assert done["expired"] == 1
    assert not path.exists()
    assert Package.objects.get().data_key is None
    assert shop.tick(NOW + timedelta(days=8))["expired"] == 0


# --- holds


@pytest.fixture
def held(shop: Shop) -> Request:
    """A closed deletion that holds orders of 2021-12-01 (twice) and 2022-02-10, and the file as long as they."""
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(date(2021, 12, 1), date(2021, 12, 1), date(2022, 2, 10))
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=NOW + timedelta(minutes=15))
    assert request.state == State.CLOSED
    return request


def test_what_is_held_is_written_down_by_its_last_day(shop: Shop, held: Request) -> None:
    assert shop.held(held) == {
        ("shop.orders", date(2026, 12, 1)): 2,
        ("shop.orders", date(2027, 2, 10)): 1,
        ("shop.customer", date(2027, 2, 10)): 1,
    }


def test_held_records_go_the_day_after_their_last_one_and_the_file_with_the_last_of_them(
    shop: Shop, held: Request
) -> None:
    shop.tick(at(12, 1, hour=23, minute=59))
    assert shop.count("orders") == 3
    shop.tick(at(12, 2, hour=0))
    assert shop.sql("SELECT paid_on FROM shop.orders") == [(date(2022, 2, 10),)]
    assert shop.held(held) == {("shop.orders", date(2027, 2, 10)): 1, ("shop.customer", date(2027, 2, 10)): 1}
    shop.tick(at(2, 10, year=2027))
    assert (shop.count("orders"), shop.count("customer")) == (1, 1)
    shop.tick(at(2, 11, year=2027))
    assert (shop.count("orders"), shop.count("customer")) == (0, 0)
    assert shop.held(held) == {}


def test_a_release_that_ticks_missed_is_done_by_the_next_one_once(shop: Shop, held: Request) -> None:
    shop.tick(at(6, 1, year=2030))
    shop.tick(at(6, 2, year=2030))
    assert (shop.count("orders"), shop.count("customer")) == (0, 0)
    releases = held.steps.filter(verb="release")
    assert {step.collection: step.done for step in releases} == {"shop.orders": 3, "shop.customer": 1}
    assert Notice.objects.filter(kind="released").count() == 2


def test_a_file_that_had_to_wait_for_its_last_order_goes_with_it_the_same_day(shop: Shop, held: Request) -> None:
    """A worker is slow with an earlier day's orders while the file falls due: the file is looked at too early."""
    assert schedule_releases(now=at(12, 2)) == [held]
    assert schedule_releases(now=at(2, 11, year=2027)) == [held]
    shop.advance(held, now=at(12, 2))
    assert [step.collection for step in held.steps.filter(verb="release", state="ready")] == ["shop.customer"]
    for minute in range(3):
        shop.tick(at(2, 11, year=2027, minute=minute))
    assert (shop.count("orders"), shop.count("customer")) == (0, 0)
    assert shop.held(held) == {}


def test_two_ticks_at_once_release_once(shop: Shop, held: Request) -> None:
    shop.in_threads(*[lambda: shop.tick(at(12, 2))] * 3)
    shop.tick(at(12, 2, hour=10))
    assert sum(step.done for step in held.steps.filter(verb="release")) == 2
    assert shop.count("orders") == 1


def test_a_trigger_that_moved_on_in_the_business_postpones_the_release(shop: Shop, held: Request) -> None:
    shop.sql("UPDATE shop.orders SET paid_on = '2022-06-30' WHERE order_id = 1")
    shop.tick(at(12, 2))
    assert shop.sql("SELECT order_id FROM shop.orders ORDER BY 1") == [(1,), (3,)]
    assert shop.held(held) == {
        ("shop.orders", date(2027, 2, 10)): 1,
        ("shop.orders", date(2027, 6, 30)): 1,
        ("shop.customer", date(2027, 2, 10)): 1,
    }
    # The file's own date was that of its last order: it is read again before it goes.
    shop.tick(at(2, 11, year=2027))
    assert (shop.count("orders"), shop.count("customer")) == (1, 1)
    shop.tick(at(7, 1, year=2027))
    assert (shop.count("orders"), shop.count("customer")) == (0, 0)


def test_a_system_that_is_away_on_the_day_is_asked_again(
    shop: Shop, held: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("SYSTEM_SHOP_URL")
        shop.tick(at(12, 2))
    assert shop.count("orders") == 3
    assert Hold.objects.filter(released_at__isnull=True).count() == 3
    shop.tick(at(12, 3))
    assert shop.count("orders") == 1


def test_a_vault_is_destroyed_with_its_last_hold(shop: Shop, held: Request) -> None:
    assert open_vault(SubjectVault.objects.get())["account_no"] == shop.person.account_no
    shop.tick(at(12, 2))
    assert SubjectVault.objects.get(destroyed_at=None).data_key is not None
    shop.tick(at(2, 11, year=2027))
    vault = SubjectVault.objects.exclude(destroyed_at=None).get()
    assert (vault.data_key, vault.identities) == (None, None)
    with pytest.raises(ValueError, match="destroyed"):
        open_vault(vault)


def test_a_vault_lives_on_while_another_request_holds_something(shop: Shop, held: Request) -> None:
    shop.add_orders(date(2026, 1, 1))
    second = shop.advance(shop.approve(shop.file(), now=NOW), now=NOW + timedelta(minutes=15))
    assert shop.held(second)
    shop.tick(at(2, 11, year=2027))
    assert SubjectVault.objects.get().destroyed_at is None


def test_a_returning_customers_newer_records_are_not_touched(shop: Shop, held: Request) -> None:
    """A hold is bounded by the receipt of its request."""
    shop.sql("UPDATE shop.customer SET closed_on = NULL")
    shop.add_orders(date(2021, 12, 1), date(2020, 1, 1), made_at=at(11, 30))
    shop.tick(at(12, 2))
    assert shop.sql("SELECT order_id FROM shop.orders ORDER BY 1") == [(3,), (4,), (5,)]
    shop.tick(at(6, 1, year=2030))
    assert shop.sql("SELECT order_id FROM shop.orders ORDER BY 1") == [(4,), (5,)]
    assert shop.count("customer") == 1


def test_a_period_that_had_not_begun_gets_its_end_once_the_relationship_ends(shop: Shop) -> None:
    """The file of a customer who stays is held without an end; the day the business closes it, five years begin."""
    shop.add_customer(1)
    shop.add_orders(date(2025, 1, 1))
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=NOW + timedelta(minutes=15))
    assert request.state == State.CLOSED
    assert shop.held(request)["shop.customer", None] == 1
    for day in range(1, 20):  # longer than a step may fail
        shop.tick(at(12, day))
    assert shop.held(request)["shop.customer", None] == 1
    assert not request.steps.filter(state="dead").exists()
    shop.sql("UPDATE shop.customer SET closed_on = '2026-12-31'")
    shop.tick(at(1, 2, year=2027))
    assert shop.held(request) == {("shop.orders", date(2030, 1, 1)): 1, ("shop.customer", date(2031, 12, 31)): 1}
    shop.tick(at(12, 31, year=2031))
    assert (shop.count("orders"), shop.count("customer")) == (0, 1)
    shop.tick(at(1, 1, year=2032))
    assert shop.count("customer") == 0
    assert SubjectVault.objects.get().destroyed_at is not None


def test_looking_again_each_day_says_nothing_new_in_the_timeline(shop: Shop) -> None:
    shop.add_customer(1)
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=NOW + timedelta(minutes=15))
    before = shop.events(request)
    for day in range(1, 10):
        shop.tick(at(12, day))
    assert shop.events(request) == before


def test_a_fact_in_the_way_postpones_a_release_and_no_other_one(shop: Shop, held: Request) -> None:
    shop.add_loan(100)  # blocks the file and the loans; not the orders
    for day in range(11, 24):
        shop.tick(at(2, day, year=2027))
    assert (shop.count("orders"), shop.count("customer")) == (0, 1)
    assert not held.steps.filter(state="dead").exists()
    assert shop.held(held) == {("shop.customer", date(2027, 2, 10)): 1}
    shop.sql("DELETE FROM shop.loan")
    shop.tick(at(2, 25, year=2027))
    assert shop.count("customer") == 0
    assert shop.held(held) == {}


# --- held records of two people


@pytest.mark.parametrize(("decision", "left"), [("erase", 0), ("keep", 1)])
def test_what_a_reviewer_decided_about_shared_records_holds_when_their_period_ends(
    shop: Shop, decision: str, left: int
) -> None:
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_customer(2, closed_on=date(2020, 1, 31), of=shop.other)
    shop.sql("INSERT INTO shop.parcel VALUES (1, 1, 2, '2020-06-01'), (2, 1, 2, '2022-01-01')")
    request = shop.approve(shop.file(), now=NOW, lines={"shop.parcel": decision, "shop.customer": "keep"})
    request = shop.advance(request, now=NOW + timedelta(minutes=15))
    assert request.state == State.CLOSED
    assert shop.count("parcel", "parcel_id = 1") == left
    assert shop.held(request)["shop.parcel", date(2027, 1, 1)] == 1
    shop.tick(at(1, 2, year=2027))
    assert shop.count("parcel", "parcel_id = 2") == left
    assert ("shop.parcel", date(2027, 1, 1)) not in shop.held(request)
    assert not request.steps.filter(state="dead").exists()


def test_shared_records_that_nobody_decided_about_stay_held_and_go_to_the_desk(shop: Shop) -> None:
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_customer(2, closed_on=date(2020, 1, 31), of=shop.other)
    shop.sql("INSERT INTO shop.parcel VALUES (2, 1, 2, '2022-01-01')")
    shop.add_orders(date(2022, 3, 1))
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=NOW + timedelta(minutes=15))
    shop.tick(at(1, 2, year=2027))
    assert shop.count("parcel") == 1
    assert ("shop.parcel", date(2027, 1, 1)) in shop.held(request)
    assert list(queue("failed", reviewer=shop.reviewer)) == [request]
    shop.tick(at(3, 2, year=2027))
    assert shop.count("orders") == 0, "what waits for a person keeps nothing else past its day"


# --- the tick itself


def test_a_fault_in_one_part_of_a_tick_keeps_no_other_part_back(
    shop: Shop, waiting: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> int:
        raise RuntimeError("out of order")

    monkeypatch.setattr(watch, "schedule_releases", fail)
    with pytest.raises(ExceptionGroup):
        shop.tick(at(12, 3))
    assert warnings(waiting) == [(date(2026, 12, 3), 5)]
    assert not Notice.objects.filter(sent_at__isnull=True).exists()
    with pytest.raises(CommandError, match="RuntimeError"):
        call_command("tick", "--as-of", "2026-12-04")


def test_one_request_that_cannot_be_advanced_keeps_no_other_one_back(shop: Shop, waiting: Request) -> None:
    tried: list[Request] = []

    def dispatch(request: Request) -> None:
        tried.append(request)
        raise RuntimeError("out of order")

    shop.add_orders(date(2020, 1, 1))
    requests = [shop.approve(shop.file(), now=NOW), shop.approve(shop.file(), now=NOW)]
    with pytest.raises(ExceptionGroup):
        watch.tick(now=NOW + timedelta(hours=1), dispatch=dispatch)
    assert set(tried) == set(requests)


def test_a_hold_whose_collection_no_map_knows_any_more_stops_nothing(shop: Shop, held: Request) -> None:
    governance = GOVERNANCE.replace("shop.orders: {class", "shop.bills: {class")
    dataset = DATASET.replace("name: orders", "name: bills")
    with shop.as_("owner"):
        store_documents({"governance.yml": governance, "datasets/shop.yml": dataset}, name="shop", now=NOW)
    done = shop.tick(at(12, 2))
    assert done["orphaned"] == 1
    assert Hold.objects.filter(collection="shop.orders", released_at__isnull=True).count() == 2
    with shop.as_("owner"):
        store_documents(DOCUMENTS, name="shop", now=NOW)
    shop.tick(at(12, 3))
    assert shop.count("orders") == 1


def test_releases_that_wait_hide_none_that_come_after_them(
    shop: Shop, held: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is of what can be done; what waits for a fact or a person would fill it for ever."""
    monkeypatch.setattr("rights.actions.hold.PAGE", 1)
    shop.add_orders(date(2022, 3, 1))
    second = shop.advance(shop.approve(shop.file(), now=NOW), now=NOW + timedelta(minutes=15))
    held.steps.filter(verb="hold", collection="shop.orders").update(verb="release", state="dead")
    assert shop.held(second) != {}
    shop.tick(at(3, 2, year=2027))
    shop.tick(at(3, 2, year=2027, hour=10))
    assert shop.count("orders") == 0


def test_a_tick_says_that_it_is_alive(shop: Shop) -> None:
    shop.tick(NOW)
    assert last_beat(watch.HEARTBEAT) == NOW


def test_a_request_with_a_dead_step_is_left_to_the_desk(shop: Shop, waiting: Request) -> None:
    request = shop.approve(waiting, now=NOW)
    shop.sql("CREATE TABLE shop.seen (visit_id bigint CONSTRAINT seen_visit REFERENCES shop.visit)")
    try:
        shop.sql("INSERT INTO shop.seen VALUES (1)")
        shop.tick(NOW + timedelta(hours=1))
    finally:
        shop.sql("DROP TABLE shop.seen")
    assert shop.step(request, "shop.visit").state == "dead"
    assert watch.find_due(now=NOW + timedelta(hours=2)) == []


# --- upkeep


def test_codes_and_sign_in_attempts_that_no_longer_count_are_forgotten(shop: Shop) -> None:
    SignInAttempt.objects.create(key="old", at=NOW - timedelta(minutes=16))
    SignInAttempt.objects.create(key="new", at=NOW - timedelta(minutes=14))
    for number, age in enumerate((timedelta(hours=25), timedelta(hours=23))):
        OneTimeCode.objects.create(
            user=shop.person, action=f"a{number}", digest="x", created_at=NOW - age, expires_at=NOW
        )
    upkeep.keep_up(now=NOW)
    assert list(SignInAttempt.objects.values_list("key", flat=True)) == ["new"]
    assert list(OneTimeCode.objects.values_list("action", flat=True)) == ["a1"]


def test_upkeep_is_done_at_most_once_an_hour(shop: Shop) -> None:
    while upkeep.keep_up(now=NOW):
        pass
    SignInAttempt.objects.create(key="old", at=NOW - timedelta(hours=1))
    assert upkeep.keep_up(now=NOW + timedelta(minutes=59)) == 0
    assert upkeep.keep_up(now=NOW + timedelta(minutes=60)) == 1


def test_a_new_key_reaches_what_older_ones_sealed_and_the_old_one_may_go(
    shop: Shop, held: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indexes, sealed columns and the data keys of vaults and packages alike, a page at a time."""
    shop.file(Kind.ACCESS)
    while upkeep.keep_up(now=NOW):
        pass
    seal, index = keyring.rotate("seal"), keyring.rotate("index")
    monkeypatch.setattr(upkeep, "PAGE", 3)
    pages, later = 0, NOW + timedelta(hours=1)
    while upkeep.keep_up(now=later):
        pages += 1
    assert pages > 1
    assert not User.objects.exclude(account_index__startswith=f"v{index}:").exists()
    keys = [*SubjectVault.objects.values_list("data_key", flat=True), Package.objects.get().data_key]
    assert {keyring.sealed_version(bytes(key or b"")) for key in keys} == {seal}
    keyring.retire("seal", seal - 1)
    assert open_vault(SubjectVault.objects.get())["account_no"] == shop.person.account_no
    assert shop.look(held).plan is not None
    assert Notice.objects.exclude(params={}).first() is not None
