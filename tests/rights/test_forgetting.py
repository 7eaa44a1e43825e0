"""What the portal forgets of its own rows, and when: no day sooner than the law lets it, and nothing that goes on.

Three years from a case in which nothing happened after 2026-11-23 end with 2029-11-23 (民法典 201 to 203), so it goes
the day after.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta

import psycopg
import pytest

from accounts.models import ApiToken
from accounts.tokens import issue_token
from portal.core import ledger
from portal.core.clock import SHANGHAI
from rights.actions.forgetting import forget_own_rows
from rights.actions.packages import expire_packages
from rights.actions.submit import start_draft
from rights.actions.upkeep import keep_up
from rights.kernel.states import Kind, State
from rights.models import (
    Batch,
    ConsentEvent,
    Event,
    Handover,
    Hold,
    HoldRevision,
    Notice,
    Receipt,
    RelationshipEnd,
    Request,
    RetentionException,
    Step,
    SubjectVault,
)
from tests.rights.shop import NOW, Shop

pytestmark = pytest.mark.role("worker")

LAST_MOMENT = datetime(2029, 11, 23, 23, 59, tzinfo=SHANGHAI)
DAY_AFTER = datetime(2029, 11, 24, 0, 0, tzinfo=SHANGHAI)
AsRole = Callable[[str], AbstractContextManager[psycopg.Connection[tuple[object, ...]]]]


@pytest.fixture
def closed(shop: Shop) -> Request:
    """An access request that closed on the day it came; its package is long destroyed."""
    shop.add_customer(1)
    request = shop.file(Kind.ACCESS)
    assert (request.state, request.closed_at) == (State.CLOSED, NOW)
    Notice.objects.filter(request=request).update(sent_at=NOW)
    expire_packages(now=NOW + timedelta(days=8))
    return request


def there(request: Request) -> bool:
    return Request.objects.filter(pk=request.pk).exists()


def test_a_closed_case_is_kept_through_its_last_day_and_gone_the_day_after(closed: Request) -> None:
    told = len(ledger.read_chain(closed.pk))
    forget_own_rows(now=LAST_MOMENT)
    assert there(closed)
    assert forget_own_rows(now=DAY_AFTER) == 1
    for model in (Request, Step, Event, Notice, Receipt):
        assert not model._default_manager.exists()
    chain = ledger.read_chain(closed.pk)
    assert [entry.kind for entry in chain[told:]] == ["forgotten"], "what was proved stays proved"
    assert chain[-1].body == {"rule": "PORTAL-3"}
    ledger.checkpoint(now=DAY_AFTER)
    assert ledger.verify().problems == []


def test_upkeep_does_it(closed: Request) -> None:
    keep_up(now=DAY_AFTER)
    assert not there(closed)


def test_what_was_agreed_to_stays_when_its_case_goes(shop: Shop, closed: Request) -> None:
    ConsentEvent.objects.create(user=shop.person, purpose="recommendation", given=False, at=NOW, request=closed)
    forget_own_rows(now=DAY_AFTER)
    assert ConsentEvent.objects.get().request is None


def test_a_case_that_is_not_closed_stays_however_old_it_is(shop: Shop) -> None:
    shop.add_customer(1)
    request = shop.file()
    assert request.state == State.REVIEW
    forget_own_rows(now=DAY_AFTER + timedelta(days=3650))
    assert there(request)


def add_hold(request: Request, *, released_at: datetime | None = None) -> Hold:
    vault = SubjectVault.objects.create(user=request.subject, created_at=NOW)
    return Hold.objects.create(
        vault=vault, request=request, entity="shop", system="shop", collection="shop.orders", rule="AML-5-TXN",
        key="HOLD.AML", trigger_on=date(2024, 1, 1), last_day=date(2029, 1, 1), count=1, created_at=NOW,
        released_at=released_at,
    )  # fmt: skip


def add_step(request: Request, **facts: object) -> Step:
    return Step.objects.create(
        request=request, verb="release", system="shop", collection="shop.orders", ordinal=900, not_before=NOW, **facts
    )


def add_log(request: Request) -> None:
    step = add_step(request, state=Step.State.DONE)
    Batch.objects.create(step=step, count=1, digest="x", opened_at=NOW, closed_at=NOW, erased=b"x" * 16, log_key=1)


def add_letter(request: Request) -> None:
    Handover.objects.create(
        request=request, party="duiba", name={"zh": "兑吧", "en": "Duiba"}, act="stop", channel="manual",
        due_on=NOW.date(), created_at=NOW, not_before=NOW,
    )  # fmt: skip


def add_exception(shop: Shop, *, of: Request | None, ended_at: datetime | None = None) -> None:
    RetentionException.objects.create(
        effect="suspend", subject=shop.person, request=of, until=date(2031, 1, 1), expires_on=date(2031, 1, 1),
        basis="lawsuit", evidence="x", evidence_salt="x", proposed_by=shop.reviewer, proposed_at=NOW,
        approved_by=shop.second, approved_at=NOW, ended_at=ended_at,
    )  # fmt: skip


@pytest.mark.parametrize(
    "what", ["event", "notice", "hold", "step", "log", "letter", "relationship", "exception", "persons exception"]
)
def test_a_case_of_which_something_goes_on_stays(shop: Shop, closed: Request, what: str) -> None:
    match what:
        case "event":
            Event.objects.create(request=closed, kind="released", at=NOW + timedelta(days=1))
        case "notice":
            Notice.objects.create(user=shop.person, request=closed, kind="x", dedupe="x", created_at=NOW)
        case "hold":
            add_hold(closed)
        case "step":
            add_step(closed)
        case "log":
            add_log(closed)
        case "letter":
            add_letter(closed)
        case "relationship":
            RelationshipEnd.objects.create(user=shop.person, request=closed, entity="shop", ended_on=NOW.date())
        case "exception":
            add_exception(shop, of=closed)
        case _:
            add_exception(shop, of=None)
    forget_own_rows(now=DAY_AFTER)
    assert there(closed)


def test_what_is_over_keeps_nothing(shop: Shop, closed: Request) -> None:
    hold = add_hold(closed, released_at=NOW)
    HoldRevision.objects.create(
        hold=hold, at=NOW, cause="x", old_rule="a", old_key="HOLD.AML", rule="b", key="HOLD.AML"
    )  # fmt: skip
    add_exception(shop, of=None, ended_at=NOW)
    assert forget_own_rows(now=DAY_AFTER) == 1
    assert not there(closed)
    assert not Hold.objects.exists()
    assert not HoldRevision.objects.exists()


def test_the_history_of_a_hold_that_runs_is_nobodys_to_take_away(closed: Request, as_role: AsRole) -> None:
    hold = add_hold(closed)
    HoldRevision.objects.create(hold=hold, at=NOW, cause="x", old_rule="a", old_key="k", rule="b", key="k")
    with as_role("worker") as worker:
        worker.execute("SELECT forget_holds(%s)", [closed.pk])
    assert (Hold.objects.count(), HoldRevision.objects.count()) == (1, 1)
    for role in ("web", "staff"):
        with as_role(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT forget_holds(%s)", [closed.pk])


def test_drafts_and_notices_and_keys_have_their_own_time(shop: Shop) -> None:
    draft = start_draft(subject=shop.person, filed_by=shop.person, kind=Kind.ACCESS, details={}, now=NOW)
    for number, sent_at in enumerate((NOW, None)):
        Notice.objects.create(user=shop.person, kind="x", dedupe=str(number), created_at=NOW, sent_at=sent_at)
    forget_own_rows(now=NOW + timedelta(days=30))
    assert there(draft)
    forget_own_rows(now=NOW + timedelta(days=30, seconds=1))
    assert not there(draft)
    forget_own_rows(now=LAST_MOMENT)
    assert Notice.objects.count() == 2
    forget_own_rows(now=DAY_AFTER)
    assert [notice.sent_at for notice in Notice.objects.all()] == [None], "one that was never sent is still to be sent"
    issue_token(user=shop.person, now=NOW, valid=timedelta(hours=1))
    keep_up(now=NOW + timedelta(hours=24))
    assert ApiToken.objects.count() == 1
    keep_up(now=NOW + timedelta(hours=25))
    assert not ApiToken.objects.exists()
