"""Deletion: each record by its own rule, whatever stands in the way of another."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
import yaml

from portal.core.clock import SHANGHAI
from rights.actions import review
from rights.actions.datamap import store_documents
from rights.actions.review import CannotDecide
from rights.datamap import load_live_map
from rights.kernel.plan import Fate, Plan
from rights.kernel.states import Kind, State
from rights.models import Hold, Notice, Package, Step
from rights.notices import render_notice
from rights.queries import backups_clear
from tests.decisions.office import Office, fates, keys
from tests.rights.shop import DOCUMENTS, GOVERNANCE, NOW, Shop

pytestmark = pytest.mark.role("worker")

LATER = NOW + timedelta(minutes=15)
LAPSED = date(2020, 5, 5)  # its five years were over on 2025-05-06


def restate(shop: Shop, collection: str = "shop.visit", **changed: Any) -> None:
    """The shop's map with a collection stated otherwise."""
    _load(shop, "collections", collection, changed)


def restate_consent(shop: Shop, **changed: Any) -> None:
    _load(shop, "consents", "recommendation", changed)


def _load(shop: Shop, section: str, key: str, changed: dict[str, Any]) -> None:
    governance = yaml.safe_load(GOVERNANCE)
    governance[section][key] |= changed
    documents = {**DOCUMENTS, "governance.yml": yaml.safe_dump(governance, allow_unicode=True)}
    with shop.as_("owner"):
        store_documents(documents, name="shop", now=NOW)


def plan_of(shop: Shop, **details: Any) -> Plan:
    request = shop.file(**details)
    assert request.plan
    return Plan.from_json(request.plan)


def test_block_loan_defers_the_loan_and_the_customer_file_and_nothing_else(shop: Shop) -> None:
    shop.add_customer()
    shop.add_loan(500)
    shop.add_orders(LAPSED, date(2024, 5, 5))
    shop.add_visits(3)
    request = shop.file()
    plan = Plan.from_json(request.plan or {})
    assert fates(plan) == {
        "shop.customer": {Fate.BLOCKED: 1},
        "shop.loan": {Fate.BLOCKED: 1},
        "shop.orders": {Fate.ERASE: 1, Fate.HOLD: 1},
        "shop.visit": {Fate.ERASE: 3},
    }
    assert keys(plan, "shop.loan", "shop.customer") == {"shop.customer": {"BLOCK.LOAN"}, "shop.loan": {"BLOCK.LOAN"}}
    request = shop.advance(shop.approve(request, now=NOW), now=LATER)
    assert request.state == State.DEFERRED
    assert [shop.count(table) for table in ("customer", "loan", "orders", "visit")] == [1, 1, 1, 0]
    assert shop.held(request) == {("shop.orders", date(2029, 5, 5)): 1}


def test_block_loan_goes_on_by_itself_once_it_is_repaid(shop: Shop) -> None:
    shop.add_customer()
    shop.add_loan(500)
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
    assert request.state == State.DEFERRED
    shop.sql("UPDATE shop.loan SET balance = 0, settled_on = '2026-11-24'")
    request = shop.advance(request, now=LATER + timedelta(days=1))
    assert request.state == State.CLOSED
    assert shop.held(request) == {("shop.loan", date(2031, 11, 24)): 1, ("shop.customer", None): 1}


def test_hold_aml_keeps_until_five_years_after_the_end(shop: Shop) -> None:
    """Row 9: settled and no longer a customer since 2022-11-23; by AML-5 kept through 2027-11-23."""
    shop.add_customer(closed_on=date(2022, 11, 23))
    shop.add_loan(0, settled_on=date(2022, 11, 23))
    request = shop.file()
    assert keys(Plan.from_json(request.plan or {})) == {"shop.customer": {"HOLD.AML"}, "shop.loan": {"HOLD.AML"}}
    request = shop.advance(shop.approve(request, now=NOW), now=LATER)
    assert request.state == State.CLOSED
    assert shop.held(request) == {("shop.customer", date(2027, 11, 23)): 1, ("shop.loan", date(2027, 11, 23)): 1}
    shop.tick(datetime(2027, 11, 23, 23, 59, tzinfo=SHANGHAI))
    assert (shop.count("customer"), shop.count("loan")) == (1, 1)
    shop.tick(datetime(2027, 11, 24, 0, 1, tzinfo=SHANGHAI))
    assert (shop.count("customer"), shop.count("loan")) == (0, 0)
    assert not shop.held(request)


def test_hold_aml_is_over_five_years_after_the_end(shop: Shop) -> None:
    """Row 10: both ended on 2020-11-23, so the period was over on 2025-11-23."""
    shop.add_customer(closed_on=date(2020, 11, 23))
    shop.add_loan(0, settled_on=date(2020, 11, 23))
    request = shop.file()
    assert keys(Plan.from_json(request.plan or {})) == {
        "shop.customer": {"OK.PERIOD_OVER"}, "shop.loan": {"OK.PERIOD_OVER"}
    }  # fmt: skip
    request = shop.advance(shop.approve(request, now=NOW), now=LATER)
    assert (request.state, shop.count("customer"), shop.count("loan")) == (State.CLOSED, 0, 0)
    assert not Hold.objects.filter(request=request).exists()


@pytest.mark.parametrize(("ended", "fate"), [(date(2021, 11, 23), Fate.HOLD), (date(2021, 11, 22), Fate.ERASE)])
def test_hold_aml_turns_on_one_day(shop: Shop, ended: date, fate: Fate) -> None:
    """Held through the corresponding day and erasable on the next: on 2026-11-23 the first is held, the second not."""
    shop.add_customer(closed_on=ended)
    assert fates(plan_of(shop)) == {"shop.customer": {fate: 1}}


def test_hold_relation_active_has_no_end_while_the_account_is_open(shop: Shop) -> None:
    """Row 11: settling a loan begins the loan's period, not that of the customer file."""
    shop.add_customer()
    shop.add_loan(0, settled_on=date(2022, 11, 23))
    request = shop.file()
    assert keys(Plan.from_json(request.plan or {}), "shop.customer") == {"shop.customer": {"HOLD.RELATION_ACTIVE"}}
    request = shop.advance(shop.approve(request, now=NOW), now=LATER)
    assert shop.held(request) == {("shop.customer", None): 1, ("shop.loan", date(2027, 11, 23)): 1}
    hold = Hold.objects.get(request=request, collection="shop.customer")
    assert hold.key == "HOLD.RELATION_ACTIVE"


def test_ok_purpose_end_for_installed_apps_and_contacts(office: Office) -> None:
    plan = office.plan("zhou-mingyuan")
    assert keys(plan, "loan.app_list", "loan.contact") == {
        "loan.app_list": {"OK.PURPOSE_END"}, "loan.contact": {"OK.PURPOSE_END"}
    }  # fmt: skip
    request = office.approve(office.file("zhou-mingyuan", Kind.DELETION))
    assert request.state == State.DEFERRED  # his loan still runs
    mine = "customer_id IN (SELECT customer_id FROM loan.customer WHERE account_no = %s)"
    login = office.business.account("zhou-mingyuan").login
    for table, left in (("app_list", 0), ("contact", 0), ("loan", 1)):
        assert office.business.count("loan", f"loan.{table}", mine, [login]) == left


def test_ok_biometric_erased_leaves_that_a_check_was_passed(office: Office) -> None:
    login = office.business.account("chen-ruolan").login
    checked = office.business.sql("loan", "SELECT face_checked_on FROM loan.customer WHERE account_no = %s", [login])
    assert checked[0][0] is not None
    assert keys(office.plan("chen-ruolan"), "loan.face") == {"loan.face": {"OK.BIOMETRIC_ERASED"}}
    office.approve(office.file("chen-ruolan", Kind.DELETION))
    mine = "customer_id IN (SELECT customer_id FROM loan.customer WHERE account_no = %s)"
    assert office.business.count("loan", "loan.face", mine, [login]) == 0
    assert office.business.sql("loan", "SELECT face_checked_on FROM loan.customer WHERE account_no = %s", [login]) == (
        checked
    )


def test_ok_biometric_erased_has_a_place_where_the_passed_check_stays(office: Office) -> None:
    """Of every face image that was taken for a check, the map says where its outcome stays."""
    faces = {key: item.passed for key, item in office.data_map.collections.items() if key.endswith("face")}
    assert {key for key, passed in faces.items() if not passed} == {"platform.risk_face"}  # no check, a suspicion


def test_na_anonymised_is_refused_and_not_handed_out(shop: Shop) -> None:
    restate(shop, anonymised=True)
    shop.add_customer()
    shop.add_visits(5)
    request = shop.file()
    (line,) = (item for item in Plan.from_json(request.plan or {}).lines if item.collection == "shop.visit")
    assert (line.fate, line.count, line.key) == (Fate.REFUSE, 5, "NA.ANONYMISED")
    request = shop.advance(shop.approve(request, now=NOW), now=LATER)
    assert (request.state, shop.count("visit")) == (State.CLOSED, 5)
    access = shop.file(Kind.ACCESS, now=LATER)
    package = Package.objects.get(request=access)
    assert package.data_key
    assert "shop.visit" not in {line.collection for line in Plan.from_json(access.plan or {}).lines}


def test_hold_backup_says_when_the_backups_are_clear(shop: Shop) -> None:
    _load(shop, "systems", "shop", {"backup_days": 30})
    shop.add_customer()
    shop.add_visits(2)
    request = shop.file()
    plan = Plan.from_json(request.plan or {})
    assert plan.backups == (("shop", 30),)
    assert plan.backups_clear_on(date(2026, 12, 8)) == (("shop", date(2027, 1, 7)),)
    request = shop.advance(shop.approve(request, now=NOW), now=LATER)
    # Erased on 2026-11-23; thirty days later is 2026-12-23.
    assert backups_clear(request, load_live_map()) == {"shop": date(2026, 12, 23)}
    told = Notice.objects.filter(request=request, user=request.subject, created_at=LATER)
    (letter,) = told.exclude(kind="approved")
    assert letter.kind == "closed", "one letter says both"
    for language, words in (
        ("zh-hans", "删除的信息在备份里已隔离、不再使用，最迟在 2026-12-23 清除。"),
        ("en", "The copies of what was erased are isolated in our backups, unused, and cleared by 2026-12-23. "),
    ):
        assert words in render_notice(letter, language)[1]


def test_hold_backup_is_silent_where_nothing_goes(shop: Shop) -> None:
    _load(shop, "systems", "shop", {"backup_days": 30})
    shop.add_customer()
    request = shop.file()
    assert Plan.from_json(request.plan or {}).backups == ()
    request = shop.advance(shop.approve(request, now=NOW), now=LATER)
    letter = Notice.objects.get(request=request, kind="closed")
    for language, words in (("zh-hans", "备份"), ("en", "backups")):
        body = render_notice(letter, language)[1]
        assert words not in body
        assert "{" not in body


def test_hold_technical_restricts_and_never_refuses(shop: Shop) -> None:
    restate(shop, erase={"method": "restrict"})
    shop.add_customer()
    shop.add_visits(4)
    request = shop.file()
    (line,) = (item for item in Plan.from_json(request.plan or {}).lines if item.collection == "shop.visit")
    assert (line.fate, line.count, line.key) == (Fate.RESTRICT, 4, "HOLD.TECHNICAL")
    with pytest.raises(CannotDecide):
        review.refuse(request, reviewer=shop.reviewer, key="GROUND.UNREALISTIC", text="太费事", now=NOW)
    request = shop.advance(shop.approve(request, now=NOW), now=LATER)
    assert (request.state, shop.count("visit")) == (State.CLOSED, 4)
    hold = Hold.objects.get(request=request, collection="shop.visit")
    assert (hold.key, hold.last_day, hold.count, hold.released_at) == ("HOLD.TECHNICAL", None, 4, None)


def test_hold_technical_ends_the_day_it_can_be_erased(shop: Shop) -> None:
    restate(shop, erase={"method": "restrict"})
    shop.add_customer()
    shop.add_visits(4)
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
    shop.tick(LATER + timedelta(days=1, hours=1))
    assert (shop.count("visit"), shop.held(request)["shop.visit", None]) == (4, 4)
    restate(shop)
    shop.tick(LATER + timedelta(days=2, hours=2))
    assert shop.count("visit") == 0
    assert ("shop.visit", None) not in shop.held(request)
    assert not Step.objects.filter(request=request, state=Step.State.DEAD).exists()
