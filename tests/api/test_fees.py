"""A quoted fee through the API, and what it says of a request that waits for its proof."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import Authority
from portal.core import clock as portal_clock
from rights.actions import fees
from rights.kernel.states import State
from rights.models import Request
from tests.api.test_api import Api, api, expect_problem
from tests.business import TODAY

__all__ = ["api"]
CHEN, AGENT, PRINCIPAL = "chen-ruolan", "gao-wenbo", "zheng-guodong"


@pytest.mark.parametrize("accept", [True, False])
def test_a_fee_is_shown_and_answered_once(api: Api, accept: bool) -> None:
    caller = api.caller(CHEN)
    api.work(caller.file("access")["id"])
    item = api.work(caller.file("access")["id"])
    assert item.state == State.REVIEW
    assert caller.get(f"requests/{item.pk}/").json()["fee"] is None
    with api.django_as("worker"):
        fees.quote_fee(item, reviewer=api.reviewer(), amount=Decimal("12.50"), reason="寄送", now=portal_clock.now())
    shown = caller.get(f"requests/{item.pk}/").json()
    assert shown["fee"] == {"amount": "12.50", "reason": "寄送", "answer_by": "2026-12-23"}
    assert shown["due"]["paused"] is True

    expect_problem(api.caller(PRINCIPAL).post(f"requests/{item.pk}/fee/", {"accept": True}), 404, "not-found")
    assert caller.post(f"requests/{item.pk}/fee/", {}).status_code == 400
    answer = caller.post(f"requests/{item.pk}/fee/", {"accept": accept})
    assert answer.status_code == 200, answer.content
    assert answer.json()["fee"] is None
    assert answer.json()["state"] == (State.CHECKING if accept else State.CLOSED)  # from there a worker goes on
    if not accept:
        assert answer.json()["outcome"]["key"] == "FEE.DECLINED"
        assert answer.json()["outcome"]["basis"]
    expect_problem(caller.post(f"requests/{item.pk}/fee/", {"accept": True}), 409, "moved-on")


def test_a_request_that_waits_for_its_proof_has_no_date_and_no_plan(api: Api) -> None:
    """An agent drafts a deletion within their scope; it ends before the code is given."""
    agent, caller = api.user(AGENT), api.caller(AGENT)
    principal = api.user(PRINCIPAL)
    with api.django_as("owner"):
        Authority.objects.filter(agent=agent, principal=principal).update(scope=["access", "deletion"])
    drafted = caller.post(
        "requests/", {"kind": "deletion", "subject": str(principal.pk), "details": {"entities": []}}
    ).json()
    code = api.newest_code()
    with api.django_as("owner"):
        Authority.objects.filter(principal=principal).update(valid_until=TODAY - timedelta(days=1))
    answer = caller.post(f"requests/{drafted['id']}/submit/", {"code": code})
    assert answer.status_code == 200, answer.content
    shown = answer.json()
    assert (shown["state"], shown["due"], shown["plan"]) == (State.WAITING, None, None)
    with api.django_as("owner"):
        assert Request.objects.get(pk=drafted["id"]).plan is None


def test_what_an_authority_does_not_cover_reads_nothing(api: Api) -> None:
    caller, principal = api.caller(AGENT), api.user(PRINCIPAL)
    answer = caller.post(
        "requests/",
        {"kind": "cancellation", "subject": str(principal.pk), "details": {"entities": ["loan"], "forfeits": []}},
    )
    expect_problem(answer, 403, "not-authorised")
