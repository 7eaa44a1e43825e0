"""Correction: contact data at once, identity data with a proof, and what the law keeps still says what it said."""

import pytest

from rights.actions.submit import CannotSubmit
from rights.kernel.plan import Fate
from rights.kernel.states import Kind, State
from rights.models import CorrectionRecord
from tests.decisions.office import LATER, NOW, Office

pytestmark = pytest.mark.role("worker")


def phone_item(office: Office, key: str, new: str) -> dict[str, str]:
    return {"correction": "phone", "old": office.business.account(key).phone, "new": new}


def test_ok_correct_a_phone_goes_through_without_a_review(office: Office) -> None:
    request = office.file("feng-siqi", Kind.CORRECTION, items=[phone_item(office, "feng-siqi", "15400000001")])
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.CORRECT")
    assert request.review_reasons == []
    account = office.business.account("feng-siqi").login
    assert office.business.sql("platform", "SELECT phone FROM platform.profile WHERE account_no = %s", [account]) == [
        ("15400000001",)
    ]


@pytest.mark.parametrize(("what", "field"), [("name", "name"), ("id_number", "id_number")])
def test_need_evidence_for_a_name_or_an_id_number(office: Office, what: str, field: str) -> None:
    account = office.business.account("lin-xiaoyun")
    old, new = account.identities[field], {"name": "林晓云", "id_number": "99000019850127002X"}[field]
    item = {"correction": what, "old": old, "new": new}
    request = office.file("lin-xiaoyun", Kind.CORRECTION, items=[item])
    assert request.state == State.REVIEW
    assert request.review_reasons == ["NEED.EVIDENCE"]
    assert (
        office.business.count("loan", "loan.customer", f"account_no = %s AND {field} = %s", [account.login, old]) == 1
    )
    request = office.approve(request)
    assert request.state == State.CLOSED
    assert (
        office.business.count("loan", "loan.customer", f"account_no = %s AND {field} = %s", [account.login, new]) == 1
    )


def test_ok_correct_versioned_keeps_the_old_value_of_what_is_held(office: Office) -> None:
    account = office.business.account("lin-xiaoyun")
    held = [line for line in office.plan("lin-xiaoyun").of(Fate.HOLD) if line.collection == "loan.customer"]
    assert [line.count for line in held] == [1]
    request = office.file("lin-xiaoyun", Kind.CORRECTION, items=[phone_item(office, "lin-xiaoyun", "15400000002")])
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.CORRECT_VERSIONED")
    record = CorrectionRecord.objects.get(request=request, collection="loan.customer")
    assert (record.old, record.new, record.rows) == (account.phone, "15400000002", 1)
    # The hold has moved by nothing: it is still kept, until the same day.
    after = [line for line in office.plan("lin-xiaoyun").of(Fate.HOLD) if line.collection == "loan.customer"]
    assert after == held


def test_ok_correct_versioned_while_a_deletion_waits(office: Office) -> None:
    """A blocker and a hold stand in the way of nothing but erasing."""
    office.file("zhou-mingyuan", Kind.DELETION)
    request = office.file(
        "zhou-mingyuan", Kind.CORRECTION, items=[phone_item(office, "zhou-mingyuan", "15400000003")], now=LATER
    )
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.CORRECT_VERSIONED")


def test_ok_correct_needs_something_to_correct(office: Office) -> None:
    with pytest.raises(CannotSubmit):
        office.file("feng-siqi", Kind.CORRECTION, items=[], now=NOW)
