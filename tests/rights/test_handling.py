"""The handling policy is set by two administrators, one version at a time, and what it says is what happens."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import IntegrityError

from accounts.models import User
from rights.actions.handling import CannotSet, approve_policy, propose_policy
from rights.kernel.handling import SHIPPED, UnfitPolicy
from rights.kernel.states import Kind
from rights.models import PolicyVersion
from rights.queries import policy_in_force
from tests.rights.sessions import on_the_web
from tests.rights.shop import NOW, Shop, State

pytestmark = pytest.mark.role("worker")

SMALL = {"through": {"deletion": {"without": ["person", "blocked"], "fewer_than": 3}}}


@pytest.fixture
def admins(shop: Shop) -> tuple[User, User]:
    with shop.as_("owner"):
        first, second = (
            User.objects.create_user(account_no=number, password=None, display_name="管理员", role="admin", now=NOW)
            for number in ("910001", "910002")
        )
    return first, second


def enforce(shop: Shop, admins: tuple[User, User], rules: dict[str, Any]) -> PolicyVersion:
    with on_the_web(shop, admins[0]):
        version = propose_policy(rules=rules, basis="试行", proposer=admins[0], now=NOW)
        return approve_policy(version=version.version, approver=admins[1], now=NOW)


def test_until_somebody_sets_one_the_shipped_policy_is_in_force(shop: Shop) -> None:
    assert policy_in_force() == SHIPPED


def test_a_proposal_changes_nothing_before_another_administrator_approves(
    shop: Shop, admins: tuple[User, User]
) -> None:
    with on_the_web(shop, admins[0]):
        version = propose_policy(rules=SMALL, basis="试行", proposer=admins[0], now=NOW)
        assert policy_in_force() == SHIPPED
        with pytest.raises(CannotSet):
            approve_policy(version=version.version, approver=admins[0], now=NOW)
        assert policy_in_force() == SHIPPED
        approve_policy(version=version.version, approver=admins[1], now=NOW)
        assert policy_in_force().to_json()["through"] == {
            "deletion": {"fewer_than": 3, "without": ["blocked", "person"]}
        }


def test_one_is_in_force_and_those_before_are_kept(shop: Shop, admins: tuple[User, User]) -> None:
    first = enforce(shop, admins, SMALL)
    second = enforce(shop, admins, {"repeats": 5})
    first.refresh_from_db()
    assert (first.in_force, first.ended_at, first.rules["through"]) == (
        False, NOW, {"deletion": {"without": ["blocked", "person"], "fewer_than": 3}},
    )  # fmt: skip
    assert [item.version for item in PolicyVersion.objects.filter(in_force=True)] == [second.version] == [2]
    assert policy_in_force().repeats == 5


def test_a_version_is_approved_once_and_none_is_revived(shop: Shop, admins: tuple[User, User]) -> None:
    with on_the_web(shop, admins[0]):
        old = propose_policy(rules={"repeats": 4}, basis="甲", proposer=admins[0], now=NOW)
        new = propose_policy(rules={"repeats": 5}, basis="乙", proposer=admins[0], now=NOW)
        approve_policy(version=new.version, approver=admins[1], now=NOW)
        for version in (old.version, new.version, 99):
            with pytest.raises(CannotSet):
                approve_policy(version=version, approver=admins[1], now=NOW)
    assert policy_in_force().repeats == 5


@pytest.mark.parametrize("role", ["support", "supervisor", "auditor", "subject"])
def test_only_administrators_set_it(shop: Shop, admins: tuple[User, User], role: str) -> None:
    with shop.as_("owner"):
        user = User.objects.create_user(account_no="920001", password=None, display_name="某", role=role, now=NOW)
    with on_the_web(shop, admins[0]):
        with pytest.raises(CannotSet):
            propose_policy(rules=SMALL, basis="试行", proposer=user, now=NOW)
        version = propose_policy(rules=SMALL, basis="试行", proposer=admins[0], now=NOW)
        with pytest.raises(CannotSet):
            approve_policy(version=version.version, approver=user, now=NOW)
    assert policy_in_force() == SHIPPED


def test_a_faulty_policy_is_not_kept(shop: Shop, admins: tuple[User, User]) -> None:
    with on_the_web(shop, admins[0]):
        with pytest.raises(UnfitPolicy, match=r"through\.erasure"):
            propose_policy(rules={"through": {"erasure": {}}}, basis="试行", proposer=admins[0], now=NOW)
        with pytest.raises(CannotSet):
            propose_policy(rules=SMALL, basis=" ", proposer=admins[0], now=NOW)
    assert not PolicyVersion.objects.exists()


def test_the_database_itself_wants_four_eyes_and_one_in_force(shop: Shop, admins: tuple[User, User]) -> None:
    enforce(shop, admins, SMALL)
    row = {"rules": {}, "basis": "x", "proposed_at": NOW, "approved_at": NOW, "in_force": True}
    with on_the_web(shop, admins[0]):
        with pytest.raises(IntegrityError, match="policy_one_in_force"):
            PolicyVersion.objects.create(version=7, proposed_by=admins[0], approved_by=admins[1], **row)
        with pytest.raises(IntegrityError, match="policy_four_eyes"):
            PolicyVersion.objects.create(
                version=8, proposed_by=admins[0], approved_by=admins[0], **{**row, "in_force": False}
            )


# --- what it says is what happens


def test_a_small_deletion_goes_through_and_a_larger_one_is_looked_at(shop: Shop, admins: tuple[User, User]) -> None:
    enforce(shop, admins, SMALL)
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(date(2020, 6, 1))
    small = shop.file(Kind.DELETION)
    assert (small.state, small.review_reasons) == (State.CLOSED, [])
    assert shop.count("orders") == shop.count("customer") == 0

    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(date(2020, 6, 1), date(2020, 6, 2))
    large = shop.file(Kind.DELETION, now=NOW + timedelta(days=1))
    assert (large.state, large.review_reasons) == (State.REVIEW, ["POLICY.DELETION"])
    assert shop.count("orders") == 2


def test_a_blocked_line_needs_a_person_where_the_policy_says_so(shop: Shop, admins: tuple[User, User]) -> None:
    enforce(shop, admins, SMALL)
    shop.add_customer(1)
    shop.add_loan(100)
    assert shop.file(Kind.DELETION).review_reasons == ["POLICY.DELETION"]


def test_a_policy_can_have_every_copy_looked_at(shop: Shop, admins: tuple[User, User]) -> None:
    enforce(shop, admins, {"through": {}})
    shop.add_customer(1)
    copy = shop.file(Kind.ACCESS)
    assert (copy.state, copy.review_reasons) == (State.REVIEW, ["POLICY.ACCESS"])
