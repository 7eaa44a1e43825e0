"""What is not proved waits: nothing is read, no clock runs, and it goes on the moment it is proved."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Q

from accounts.authority import grant_authority
from accounts.identities import set_identity
from accounts.models import Authority
from portal.core.clock import SHANGHAI
from rights.actions import fulfil, proofs, review
from rights.actions.review import CannotDecide
from rights.actions.submit import CannotSubmit, NotAuthorised, start_draft, submit, take_back
from rights.kernel.states import Kind
from rights.models import PolicyVersion, Proof, Request
from rights.queries import due_if_any, due_of, queue
from rights.transitions import StaleRequest
from tests.rights.sessions import on_the_web
from tests.rights.shop import NOW, Shop, State

pytestmark = pytest.mark.role("worker")

DAY = timedelta(days=1)


def file(shop: Shop, kind: Kind = Kind.DELETION, *, now: datetime = NOW, **details: Any) -> Request:
    """Filed by the person for the other one, who gave them nothing."""
    with on_the_web(shop, shop.person):
        draft = start_draft(subject=shop.other, filed_by=shop.person, kind=kind, details=details, now=now)
        request = submit(request_id=draft.pk, now=now)
    fulfil.advance(request_id=request.pk, now=now)
    return shop.look(request)


@pytest.fixture
def unproved(shop: Shop) -> Request:
    shop.add_customer(2, of=shop.other)
    return file(shop)


def confirm(shop: Shop, request: Request, *, now: datetime, note: str = "委托书", **given: Any) -> Request:
    with on_the_web(shop, shop.reviewer):
        proofs.confirm_proof(shop.look(request), reviewer=shop.reviewer, note=note, now=now, **given)
    fulfil.advance(request_id=request.pk, now=now)
    return shop.look(request)


def test_a_confirmed_proof_starts_the_clock_and_the_case(shop: Shop, unproved: Request) -> None:
    """Received on 11-23, proved on 12-01: the day itself does not count, so 15 days end with 12-16."""
    proved = datetime(2026, 12, 1, 16, tzinfo=SHANGHAI)
    seen = confirm(shop, unproved, now=proved)
    assert (seen.state, seen.review_reasons) == (State.REVIEW, ["POLICY.DELETION"])
    assert (seen.received_at, seen.ready_at, seen.started_on) == (NOW, proved, date(2026, 12, 1))
    assert due_of(seen, now=proved).on == date(2026, 12, 16)
    assert seen.plan is not None
    assert sum(line["count"] for line in seen.plan["lines"]) == 1
    assert Proof.objects.get(request=seen).note == "委托书"
    given = Authority.objects.get(agent=shop.person, principal=shop.other, revoked_at=None)
    assert (given.kind, given.scope, given.valid_until) == ("agent", ["deletion"], None)
    for user in (shop.person, shop.other):
        assert seen.notices.filter(user=user, kind="proved").count() == 1


def test_a_request_reaches_to_the_moment_it_was_received(shop: Shop) -> None:
    """And not to the later day of its proof: what came meanwhile is not its own."""
    shop.add_customer(2, closed_on=date(2020, 1, 1), of=shop.other)
    shop.add_orders(date(2020, 1, 1), customer=2)
    request = file(shop)
    shop.add_orders(date(2020, 1, 2), customer=2, made_at=NOW + DAY)
    seen = confirm(shop, request, now=NOW + 2 * DAY)
    assert seen.plan is not None
    assert {line["collection"]: line["count"] for line in seen.plan["lines"] if line["count"]} == {
        "shop.customer": 1, "shop.orders": 1,
    }  # fmt: skip


def test_no_system_is_asked_before_the_proof(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the shop's address broken, whoever asked it would fail or note it as silent."""
    shop.add_customer(2, of=shop.other)
    monkeypatch.setenv("SYSTEM_SHOP_URL", "postgresql://127.0.0.1:1/none")
    request = file(shop)
    assert (request.state, request.plan) == (State.WAITING, None)
    shop.tick(NOW + 8 * DAY)
    assert shop.look(request).plan is None


def test_a_guardian_proved_puts_the_child_first(shop: Shop, unproved: Request) -> None:
    seen = confirm(shop, unproved, now=NOW + DAY, kind=Authority.Kind.GUARDIAN)
    assert (seen.priority, seen.review_reasons) == (1, ["OK.MINOR", "POLICY.DELETION"])


def test_a_relative_proved_is_still_a_persons_to_judge(shop: Shop) -> None:
    shop.add_customer(2, of=shop.other)
    seen = confirm(shop, file(shop, Kind.ACCESS), now=NOW + DAY, kind=Authority.Kind.RELATIVE)
    assert (seen.state, seen.review_reasons) == (State.REVIEW, ["DECEASED.REVIEW"])


def test_an_authority_that_becomes_valid_is_found_by_the_next_tick(shop: Shop, unproved: Request) -> None:
    shop.tick(NOW + DAY)
    assert shop.look(unproved).state == State.WAITING
    with shop.as_("owner"):
        grant_authority(agent=shop.person, principal=shop.other, kind="agent", scope=["access"], now=NOW)
    shop.tick(NOW + 2 * DAY)
    assert shop.look(unproved).state == State.WAITING, "for something else"
    with shop.as_("owner"):
        Authority.objects.update(scope=["access", "deletion"])
    shop.tick(NOW + 3 * DAY)
    seen = shop.look(unproved)
    assert (seen.state, seen.started_on) == (State.REVIEW, date(2026, 11, 26))


def test_an_identity_that_the_policy_asks_for_is_waited_for(shop: Shop) -> None:
    with shop.as_("owner"):
        PolicyVersion.objects.create(
            version=1, rules={"identity": ["id_number"]}, basis="x", proposed_by=shop.reviewer, proposed_at=NOW,
            approved_by=shop.second, approved_at=NOW, in_force=True,
        )  # fmt: skip
    shop.add_customer(1)
    with on_the_web(shop, shop.person):
        draft = start_draft(subject=shop.person, filed_by=shop.person, kind=Kind.ACCESS, details={}, now=NOW)
        request = submit(request_id=draft.pk, now=NOW)
    assert (request.state, request.review_reasons, request.plan) == (State.WAITING, ["ID.UNVERIFIED"], None)
    with shop.as_("owner"):
        set_identity(user=shop.person, kind="id_number", value="110101199001010015", verified_at=NOW)
    shop.tick(NOW + 4 * DAY)
    seen = shop.look(request)
    assert (seen.state, seen.closing_key, seen.started_on) == (State.CLOSED, "OK.ACCESS", date(2026, 11, 27))
    assert not Authority.objects.exists()


@pytest.mark.parametrize(
    ("ticks", "reminders"),
    [
        ((6,), []),
        ((7, 7, 8), ["7"]),
        ((10, 22), ["7"]),
        ((25,), ["23"]),
        ((7, 23, 24, 29), ["7", "23"]),
        ((40,), []),
    ],
)
def test_reminders_are_caught_up_once(
    shop: Shop, unproved: Request, ticks: tuple[int, ...], reminders: list[str]
) -> None:
    for day in ticks:
        shop.tick(NOW + day * DAY)
    sent = unproved.notices.filter(kind="proof_reminder").order_by("id")
    assert [notice.params["day"] for notice in sent] == reminders
    assert (shop.look(unproved).state == State.CLOSED) == (max(ticks) >= 30)


def test_days_are_days_of_shanghai(shop: Shop) -> None:
    """Filed on 11-23 at 23:30: day 30 is 12-23 there, from its first minute."""
    shop.add_customer(2, of=shop.other)
    request = file(shop, now=datetime(2026, 11, 23, 23, 30, tzinfo=SHANGHAI))
    shop.tick(datetime(2026, 12, 22, 23, 59, tzinfo=SHANGHAI))
    assert shop.look(request).state == State.WAITING
    shop.tick(datetime(2026, 12, 23, 0, 1, tzinfo=SHANGHAI))
    assert shop.look(request).state == State.CLOSED


def test_a_request_without_a_clock_is_neither_late_nor_warned_of(shop: Shop, unproved: Request) -> None:
    shop.tick(NOW + 29 * DAY)
    seen = shop.look(unproved)
    assert due_if_any(seen, now=NOW + 29 * DAY) is None
    assert seen.breached_at is None
    assert not seen.notices.filter(Q(kind="due_soon") | Q(kind="breached")).exists()


def test_the_desk_finds_it_in_a_view_of_its_own(shop: Shop, unproved: Request) -> None:
    views = {view: unproved in queue(view, reviewer=shop.reviewer) for view in ("todo", "mine", "waiting", "unproved")}
    assert views == {"todo": False, "mine": False, "waiting": False, "unproved": True}


def test_the_same_is_not_filed_twice_while_one_waits(shop: Shop, unproved: Request) -> None:
    with pytest.raises(CannotSubmit):
        file(shop)
    assert unproved.notices.filter(user=shop.other).count() == 2
    assert file(shop, Kind.ACCESS).state == State.WAITING


def test_the_person_and_the_filer_can_take_it_back(shop: Shop, unproved: Request) -> None:
    with on_the_web(shop, shop.other):
        take_back(Request.objects.get(pk=unproved.pk), actor=shop.other, now=NOW)
    again = file(shop)
    with on_the_web(shop, shop.person):
        take_back(Request.objects.get(pk=again.pk), actor=shop.person, now=NOW)
    for request in (unproved, again):
        seen = shop.look(request)
        assert (seen.state, seen.closing_key) == (State.CLOSED, "WITHDRAWN")
    with pytest.raises(StaleRequest):
        confirm(shop, unproved, now=NOW)


@pytest.mark.parametrize("given", [{"note": "  "}, {"valid_until": NOW}])
def test_a_confirmation_that_says_nothing_or_is_over_confirms_nothing(
    shop: Shop, unproved: Request, given: dict[str, Any]
) -> None:
    with pytest.raises(CannotDecide):
        confirm(shop, unproved, now=NOW, **given)
    assert shop.look(unproved).started_on is None
    assert not Authority.objects.exists()
    assert not Proof.objects.exists()


def test_nobody_confirms_what_they_filed(shop: Shop) -> None:
    shop.add_customer(1)
    with on_the_web(shop, shop.reviewer):
        draft = start_draft(
            subject=shop.person, filed_by=shop.reviewer, kind=Kind.ACCESS, details={}, now=NOW, channel="letter"
        )
        request = submit(request_id=draft.pk, now=NOW)
    with pytest.raises(CannotDecide):
        confirm(shop, request, now=NOW)
    assert shop.look(request).state == State.WAITING


def test_only_staff_enter_letters_and_only_letters(shop: Shop) -> None:
    for user, channel in ((shop.person, "letter"), (shop.reviewer, "online")):
        with pytest.raises(NotAuthorised):
            start_draft(subject=shop.person, filed_by=user, kind=Kind.ACCESS, details={}, now=NOW, channel=channel)


def test_what_is_proved_is_not_confirmed_again(shop: Shop, unproved: Request) -> None:
    page = shop.look(unproved)
    confirm(shop, unproved, now=NOW)
    with pytest.raises(StaleRequest), on_the_web(shop, shop.second):
        proofs.confirm_proof(page, reviewer=shop.second, note="又一份", now=NOW)
    asked = shop.look(unproved)
    review.ask(asked, reviewer=shop.reviewer, text="?", now=NOW)
    with pytest.raises(StaleRequest), on_the_web(shop, shop.reviewer):
        proofs.confirm_proof(shop.look(unproved), reviewer=shop.reviewer, note="又一份", now=NOW)


def test_an_authority_that_runs_is_widened_in_its_own_terms_alone(shop: Shop) -> None:
    shop.add_customer(2, of=shop.other)
    with shop.as_("owner"):
        grant_authority(
            agent=shop.person, principal=shop.other, kind="agent", scope=["access"], now=NOW, valid_until=NOW + 90 * DAY
        )
    request = file(shop)
    with pytest.raises(CannotDecide):
        confirm(shop, request, now=NOW)
    with pytest.raises(CannotDecide):
        confirm(shop, request, now=NOW, kind=Authority.Kind.RELATIVE, valid_until=NOW + 90 * DAY)
    confirm(shop, request, now=NOW, valid_until=NOW + 90 * DAY)
    given = Authority.objects.get(revoked_at=None)
    assert given.scope == ["access", "deletion"]


def test_an_unproved_case_is_not_extended_and_can_be_refused(shop: Shop, unproved: Request) -> None:
    with pytest.raises(CannotDecide):
        review.extend(unproved, reviewer=shop.reviewer, reason="数量大", now=NOW)
    review.refuse(unproved, reviewer=shop.reviewer, key="GROUND.HARMS_OTHERS", text="伪造", now=NOW)
    assert shop.look(unproved).state == State.CLOSED
