"""Withdrawal: at once and without a review; what a contract needs stays and says so; recipients are named."""

import pytest

from rights.kernel.plan import Fate, Plan
from rights.kernel.states import Kind, State
from rights.models import Notice
from rights.notices import render_notice
from tests.decisions.office import Office, fates, keys
from tests.decisions.test_deletion import restate_consent
from tests.rights.shop import Shop

pytestmark = pytest.mark.role("worker")


def granted(office: Office, key: str, purpose: str) -> list[tuple[bool]]:
    return office.business.sql(
        "platform",
        "SELECT granted FROM platform.consent JOIN platform.profile USING (profile_id)"
        " WHERE account_no = %s AND purpose = %s",
        [office.business.account(key).login, purpose],
    )


def closing(request: object) -> list[str]:
    return list(request.events.get(kind="closed").body["keys"])  # type: ignore[attr-defined]


def test_ok_marketing_off_at_once_and_without_a_review(office: Office) -> None:
    request = office.file("feng-siqi", Kind.WITHDRAWAL, purposes=["marketing_sms", "marketing_push"])
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.MARKETING_OFF")
    assert request.review_reasons == []
    assert request.closed_at == request.received_at
    assert granted(office, "feng-siqi", "marketing_sms") == [(False,)]
    assert granted(office, "feng-siqi", "marketing_push") == [(False,)]


def test_ok_marketing_off_though_a_loan_runs_and_a_deletion_waits(office: Office) -> None:
    office.file("zhou-mingyuan", Kind.DELETION)
    request = office.file("zhou-mingyuan", Kind.WITHDRAWAL, purposes=["statistics"])
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.CONSENT_WITHDRAWN")


def test_ok_alt_verify_where_the_service_goes_on(office: Office) -> None:
    login = office.business.account("zhou-mingyuan").login
    mine = "customer_id IN (SELECT customer_id FROM loan.customer WHERE account_no = %s)"
    assert office.business.count("loan", "loan.face", mine, [login]) == 1
    request = office.file("zhou-mingyuan", Kind.WITHDRAWAL, purposes=["face"])
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.ALT_VERIFY")
    assert office.business.count("loan", "loan.face", mine, [login]) == 0
    # The service goes on, and it still knows that he was checked.
    assert office.business.count("loan", "loan.loan", mine, [login]) == 1
    assert office.business.count("loan", "loan.customer", "account_no = %s AND face_checked_on IS NOT NULL", [login])


@pytest.mark.parametrize(
    ("closed_on", "key"), [(None, "OK.ALT_VERIFY"), ("2020-01-31", "OK.BIOMETRIC_ERASED")], ids=["runs", "over"]
)
def test_ok_biometric_erased_when_withdrawn(shop: Shop, closed_on: str | None, key: str) -> None:
    restate_consent(shop, kind="biometric")
    shop.add_customer()
    shop.sql("UPDATE shop.customer SET closed_on = %s", [closed_on])
    shop.add_visits(3)
    request = shop.file(Kind.WITHDRAWAL, purposes=["recommendation"])
    assert (request.state, request.closing_key, shop.count("visit")) == (State.CLOSED, key, 0)


def test_withdraw_contract_leaves_what_a_running_loan_rests_on(office: Office) -> None:
    request = office.file("zhou-mingyuan", Kind.WITHDRAWAL, purposes=["loan_data"])
    assert request.state == State.CLOSED
    plan = Plan.from_json(request.approved_plan or {})
    assert fates(plan) == {"loan.customer": {Fate.KEEP: 1}}
    assert keys(plan) == {"loan.customer": {"WITHDRAW.CONTRACT"}}
    assert "WITHDRAW.CONTRACT" in closing(request)
    assert granted(office, "zhou-mingyuan", "loan_data") == [(False,)]
    assert office.business.count(
        "loan", "loan.customer", "account_no = %s", [office.business.account("zhou-mingyuan").login]
    )


def test_withdraw_contract_ends_with_the_contract(office: Office) -> None:
    """Once nobody is a customer any more the contract keeps nothing; the loans that hang on the file still do."""
    plan = office.plan("lin-xiaoyun", Kind.WITHDRAWAL, purposes=frozenset({"loan_data"}))
    assert keys(plan) == {"loan.customer": {"HOLD.NEEDED"}}


def test_ok_sharing_stopped_names_who_is_to_be_told(office: Office) -> None:
    request = office.file("tang-jiayi", Kind.WITHDRAWAL, purposes=["sharing_duiba"])
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.SHARING_STOPPED")
    (stopped,) = (event for event in request.events.filter(kind="step_done") if event.body["verb"] == "consent")
    assert stopped.body["recipients"] == [{"zh": "兑吧", "en": "Duiba"}]
    notice = Notice.objects.get(request=request, kind="sharing_stopped")
    assert "兑吧" in render_notice(notice, "zh-hans")[1]
    assert "Duiba" in render_notice(notice, "en")[1]
    assert set(request.steps.values_list("verb", flat=True)) == {"consent", "erase"}


def test_ok_sharing_stopped_is_not_said_of_what_nobody_received(office: Office) -> None:
    request = office.file("feng-siqi", Kind.WITHDRAWAL, purposes=["marketing_sms"])
    assert not Notice.objects.filter(request=request, kind="sharing_stopped").exists()


def test_several_purposes_end_with_what_became_of_each(office: Office) -> None:
    request = office.file("tang-jiayi", Kind.WITHDRAWAL, purposes=["sharing_duiba", "marketing_sms", "face"])
    assert request.closing_key == "OK.CONSENT_WITHDRAWN"
    assert set(closing(request)) == {
        "OK.CONSENT_WITHDRAWN", "OK.SHARING_STOPPED", "OK.MARKETING_OFF", "OK.ALT_VERIFY"
    }  # fmt: skip
