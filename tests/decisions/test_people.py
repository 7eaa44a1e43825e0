"""Rows 4, 25 to 29 and 33 of the decisions: who asks, for whom, and how often. Each test is named by its row's key.

Every request is filed by the web role, as pages do, and worked by the worker.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.authority import grant_authority
from accounts.identities import set_identity
from accounts.models import Authority, User
from portal.core.clock import SHANGHAI
from rights.actions import fees, fulfil, proofs, review
from rights.actions.submit import start_draft, submit
from rights.kernel.decisions import REASONS
from rights.kernel.states import Kind, State
from rights.models import Notice, Package, Request
from rights.queries import due_of, queue
from tests.rights.sessions import on_the_web
from tests.rights.shop import NOW, Shop

DAY = timedelta(days=1)
pytestmark = pytest.mark.role("worker")


def file(shop: Shop, kind: Kind, *, by: User, about: User, now: datetime = NOW, **details: Any) -> Request:
    with on_the_web(shop, by):
        draft = start_draft(subject=about, filed_by=by, kind=kind, details=details, now=now)
        request = submit(request_id=draft.pk, now=now)
    fulfil.advance(request_id=request.pk, now=now)
    return shop.look(request)


def authorise(shop: Shop, kind: str, *scope: str, **given: Any) -> Authority:
    """The person may ask for the other one."""
    with shop.as_("owner"):
        return grant_authority(agent=shop.person, principal=shop.other, kind=kind, scope=scope, now=NOW, **given)


def told(request: Request, user: User) -> list[str]:
    return list(request.notices.filter(user=user).order_by("created_at", "id").values_list("kind", flat=True))


def sent_words(shop: Shop, request: Request, kind: str, *, now: datetime) -> str:
    """What a notice said once it was sent, both languages of it made sure of."""
    shop.tick(now)
    notice = Notice.objects.get(request=request, kind=kind)
    assert notice.sent_at is not None
    return notice.body


def assert_says_why(request: Request, key: str) -> None:
    """Reason and citation in both languages."""
    assert request.closing_key == key
    found = REASONS[key]
    assert found.zh
    assert found.en
    assert found.basis


# --- row 4


@pytest.fixture
def copied(shop: Shop) -> Shop:
    """A person who was given their copy on 11-23."""
    shop.add_customer(1)
    shop.add_orders(date(2026, 1, 5), date(2026, 2, 5))
    first = file(shop, Kind.ACCESS, by=shop.person, about=shop.person)
    assert (first.state, first.review_reasons) == (State.CLOSED, []), "the first copy is free and needs nobody"
    return shop


def test_repeat_fee_or_refuse(copied: Shop) -> None:
    """H: serve, or quote a cost-based fee (the clock stands until it is accepted or waived), or refuse."""
    shop, later = copied, NOW + 30 * DAY
    served, paid, refused = (
        file(shop, Kind.ACCESS, by=shop.person, about=shop.person, now=later + n * timedelta(hours=1)) for n in range(3)
    )
    for request in (served, paid, refused):
        assert request.state == State.REVIEW
        assert request.review_reasons == ["REPEAT.FEE_OR_REFUSE"]
        assert not Package.objects.filter(request=request).exists()

    shop.approve(served, now=later)
    assert shop.advance(served, now=later + timedelta(minutes=15)).state == State.CLOSED
    assert Package.objects.filter(request=served).exists()

    fees.quote_fee(paid, reviewer=shop.reviewer, amount=Decimal("12.50"), reason="刻录与邮寄", now=later + DAY)
    paid = shop.look(paid)
    assert paid.state == State.WAITING
    assert due_of(paid, now=later + 3 * DAY).paused
    words = sent_words(shop, paid, "fee_quoted", now=later + DAY)
    for part in ("12.50", "接受之前不产生任何费用", "申诉", "监管"):
        assert part in words
    with on_the_web(shop, shop.person):
        fees.accept_fee(paid, actor=shop.person, now=later + 5 * DAY)
    assert shop.advance(paid, now=later + 5 * DAY).state == State.CLOSED
    assert Package.objects.filter(request=paid).exists()

    review.refuse(refused, reviewer=shop.reviewer, key="REPEAT.FEE_OR_REFUSE", text="没有变化", now=later)
    refused = shop.look(refused)
    assert_says_why(refused, "REPEAT.FEE_OR_REFUSE")
    words = sent_words(shop, refused, "refused", now=later + 5 * DAY)
    for way in ("申诉", "监管", "起诉"):
        assert way in words
    assert not Package.objects.filter(request=refused).exists()


@pytest.mark.parametrize("change", ["a record more", "a corrected value", "another scope", "another year"])
def test_a_copy_of_something_else_is_no_repetition(copied: Shop, change: str) -> None:
    shop, later, details = copied, NOW + 30 * DAY, dict[str, Any]()
    match change:
        case "a record more":
            shop.add_orders(date(2026, 3, 5))
        case "a corrected value":
            item = {"correction": "phone", "old": "19900000001", "new": "19900000002"}
            fixed = file(shop, Kind.CORRECTION, by=shop.person, about=shop.person, now=later, items=[item])
            assert fixed.state == State.CLOSED
        case "another scope":
            shop.add_visits(1)
        case "another year":
            # 12 months from 2026-11-23 end with 2027-11-23.
            later = datetime(2027, 11, 24, 10, tzinfo=SHANGHAI)
    again = file(shop, Kind.ACCESS, by=shop.person, about=shop.person, now=later + timedelta(hours=1), **details)
    assert (again.state, again.review_reasons) == (State.CLOSED, [])


def test_the_twelfth_month_still_counts(copied: Shop) -> None:
    last = datetime(2027, 11, 23, 9, tzinfo=SHANGHAI)
    again = file(copied, Kind.ACCESS, by=copied.person, about=copied.person, now=last)
    assert again.review_reasons == ["REPEAT.FEE_OR_REFUSE"]


# --- row 25


def test_ok_minor(shop: Shop) -> None:
    """F, first in the queue."""
    shop.add_customer(1)
    shop.add_customer(2, of=shop.other)
    with shop.as_("owner"):
        # Under 14 on 2026-11-23: born 2013-05-21.
        set_identity(user=shop.other, kind="id_number", value="110101201305210018", verified_at=NOW)
    authorise(shop, "guardian", *Kind)
    before = file(shop, Kind.DELETION, by=shop.person, about=shop.person, now=NOW - DAY)
    child = file(shop, Kind.DELETION, by=shop.person, about=shop.other)
    assert child.state == before.state == State.REVIEW
    assert child.review_reasons[0] == "OK.MINOR"
    assert [item.pk for item in queue("todo", reviewer=shop.reviewer)] == [child.pk, before.pk]
    access = file(shop, Kind.ACCESS, by=shop.person, about=shop.other)
    assert (access.state, access.closing_key, access.review_reasons) == (State.CLOSED, "OK.ACCESS", ["OK.MINOR"])


# --- row 26


def test_ok_agent(shop: Shop) -> None:
    """F, the export goes to the principal."""
    shop.add_customer(2, of=shop.other)
    authorise(shop, "agent", "access")
    request = file(shop, Kind.ACCESS, by=shop.person, about=shop.other)
    assert (request.state, request.closing_key, request.review_reasons) == (State.CLOSED, "OK.ACCESS", [])
    assert "package" in told(request, shop.other)
    assert told(request, shop.person) == []
    assert Package.objects.get(request=request).data_key is not None
    with on_the_web(shop, shop.other):
        assert Package.objects.filter(request=request).exists()


# --- row 27


@pytest.mark.parametrize("lacking", ["none", "over", "other scope", "revoked"])
def test_agent_unauthorised(shop: Shop, lacking: str) -> None:
    """Wait for proof, reminders on days 7 and 23, closed on day 30, may be filed anew."""
    shop.add_customer(2, of=shop.other)
    match lacking:
        case "over":
            authorise(shop, "agent", "access", "deletion", valid_until=NOW)
        case "other scope":
            authorise(shop, "agent", "access")
        case "revoked":
            given = authorise(shop, "agent", "deletion")
            with shop.as_("owner"):
                Authority.objects.filter(pk=given.pk).update(revoked_at=NOW)
    request = file(shop, Kind.DELETION, by=shop.person, about=shop.other)
    assert request.state == State.WAITING
    assert request.received_at == NOW
    assert (request.ready_at, request.started_on, request.plan) == (None, None, None)
    assert told(request, shop.person) == ["proof_needed"]
    assert sorted(told(request, shop.other)) == ["filed_for_you", "was_this_you"]

    reminded: list[int] = []
    for day in range(1, 30):
        shop.tick(NOW + day * DAY)
        if request.notices.filter(kind="proof_reminder").count() > len(reminded):
            reminded.append(day)
        assert shop.look(request).state == State.WAITING
    assert reminded == [7, 23]
    assert set(request.notices.filter(kind="proof_reminder").values_list("user", flat=True)) == {shop.person.pk}

    shop.tick(NOW + 30 * DAY)
    closed = shop.look(request)
    assert closed.state == State.CLOSED
    assert_says_why(closed, "AGENT.UNAUTHORISED")
    words = sent_words(shop, closed, "proof_lapsed", now=NOW + 30 * DAY)
    for part in ("随时可以重新申请", "申诉", "监管"):
        assert part in words
    assert closed.breached_at is None
    assert shop.count("customer") == 1
    again = file(shop, Kind.DELETION, by=shop.person, about=shop.other, now=NOW + 31 * DAY)
    assert again.state == State.WAITING


# --- row 28


@pytest.mark.parametrize("kind", [Kind.ACCESS, Kind.DELETION])
def test_deceased_review(shop: Shop, kind: Kind) -> None:
    """H: proofs, own interest, prior wishes are a person's to judge, also where the kind goes by itself."""
    shop.add_customer(2, of=shop.other)
    authorise(shop, "relative", *Kind)
    request = file(shop, kind, by=shop.person, about=shop.other)
    assert request.state == State.REVIEW
    assert "DECEASED.REVIEW" in request.review_reasons
    shop.tick(NOW + DAY)
    assert shop.look(request).state == State.REVIEW


# --- row 29


def test_repeat_abuse(shop: Shop) -> None:
    """H, then R: more than three of the same within 30 days."""
    shop.add_customer(1)
    item = {"correction": "phone", "old": "19900000001", "new": "19900000002"}

    def ask(moment: datetime) -> Request:
        return file(shop, Kind.CORRECTION, by=shop.person, about=shop.person, now=moment, items=[item])

    assert [ask(NOW + n * DAY).state for n in range(3)] == [State.CLOSED] * 3
    fourth = ask(NOW + 29 * DAY)
    assert (fourth.state, fourth.review_reasons) == (State.REVIEW, ["REPEAT.ABUSE"])
    review.refuse(fourth, reviewer=shop.reviewer, key="REPEAT.ABUSE", text="重复", now=NOW + 29 * DAY)
    fourth = shop.look(fourth)
    assert_says_why(fourth, "REPEAT.ABUSE")
    words = sent_words(shop, fourth, "refused", now=NOW + 29 * DAY)
    for way in ("申诉", "监管", "起诉"):
        assert way in words
    assert ask(NOW + 60 * DAY).state == State.CLOSED


# --- row 33


def test_id_unverified(shop: Shop) -> None:
    """As row 27: a letter that nobody has matched to the person yet."""
    shop.add_customer(1)
    with on_the_web(shop, shop.reviewer):
        draft = start_draft(
            subject=shop.person, filed_by=shop.reviewer, kind=Kind.ACCESS, details={}, now=NOW, channel="letter"
        )
        request = submit(request_id=draft.pk, now=NOW)
    fulfil.advance(request_id=request.pk, now=NOW)
    request = shop.look(request)
    assert (request.state, request.started_on, request.plan) == (State.WAITING, None, None)
    assert "proof_needed" in told(request, shop.person)
    for day in (7, 23, 30):
        assert shop.look(request).state == State.WAITING
        shop.tick(NOW + day * DAY)
    closed = shop.look(request)
    assert closed.state == State.CLOSED
    assert_says_why(closed, "ID.UNVERIFIED")
    assert told(closed, shop.person).count("proof_reminder") == 2
    assert not Package.objects.filter(request=request).exists()


def test_id_unverified_ends_with_the_proof(shop: Shop) -> None:
    shop.add_customer(1)
    with on_the_web(shop, shop.reviewer):
        draft = start_draft(
            subject=shop.person, filed_by=shop.reviewer, kind=Kind.ACCESS, details={}, now=NOW, channel="letter"
        )
        request = submit(request_id=draft.pk, now=NOW)
    with on_the_web(shop, shop.second):
        proofs.confirm_proof(shop.look(request), reviewer=shop.second, note="身份证原件", now=NOW + 3 * DAY)
    request = shop.advance(request, now=NOW + 3 * DAY)
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.ACCESS")
    assert request.ready_at == NOW + 3 * DAY
    assert request.started_on == date(2026, 11, 26)
