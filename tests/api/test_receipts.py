"""Receipts by program: fetched, checked, completed, and what a look-up code shows."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from portal.core import clock as portal_clock
from portal.core import keyring, ledger, verify_receipt
from rights.actions import review
from rights.models import Request
from tests.api.test_api import CHEN, NOBODY, Api, Caller, api  # noqa: F401 - a fixture


@pytest.fixture
def filed(api: Api) -> tuple[Caller, Request]:  # noqa: F811
    """The worked example up to its deferral, filed by program."""
    caller = api.caller(CHEN)
    draft = caller.post("requests/", {"kind": "deletion", "details": {}}).json()
    caller.post(f"requests/{draft['id']}/submit/", {"code": api.newest_code()})
    item = api.work(draft["id"])
    with api.django_as("worker"):
        now = portal_clock.now()
        review.approve(
            item, reviewer=api.reviewer(), key="OK.PURPOSE_END", text="",
            lines={"wallet.family_payment": "keep", "wealth.holding": "refer"},
            plan=review.live_plan(item, now=now), now=now,
        )  # fmt: skip
    api.travel(portal_clock.now() + timedelta(minutes=1))
    return caller, api.work(draft["id"])


def find(caller: Caller, item: Request, event: str) -> str:
    found = caller.get(f"requests/{item.pk}/receipts/").json()
    return f"requests/{item.pk}/receipts/{next(row['id'] for row in found if row['event'] == event)}/"


def send(path: str, body: Any) -> Any:
    """As anybody, who has not signed in."""
    client = Client(headers={"accept-language": "en"})
    return client.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json")


def seal(api: Api) -> None:  # noqa: F811
    with api.django_as("worker"):
        assert ledger.checkpoint(now=portal_clock.now())


def test_receipts_are_listed_fetched_and_checked_by_anybody(
    api: Api,  # noqa: F811
    filed: tuple[Caller, Request],
) -> None:
    caller, item = filed
    events = [row["event"] for row in caller.get(f"requests/{item.pk}/receipts/").json()]
    assert sorted(events) == ["decision", "fulfilment", "hold", "submission"]
    early = caller.get(find(caller, item, "fulfilment")).json()
    said = send("verify/", {"receipt": early}).json()
    assert (said["genuine"], said["in_ledger"], said["faults"]) == (True, False, [])
    seal(api)
    said = send("verify/", {"receipt": early}).json()
    assert (said["genuine"], said["in_ledger"]) == (True, True)
    whole = {**early, "proof": [*early["proof"], said["inclusion"]]}
    assert verify_receipt.check(verify_receipt.canonical(whole), keyring.verify_keys()).proved
    said = send("verify/", {"receipt": {**whole, "reference": "DSR-000000-AAAAA"}}).json()
    assert not said["genuine"]
    assert said["faults"][0] == {"code": "field", "about": "reference", "text": "The field “reference” was altered."}


@pytest.mark.parametrize("body", [{}, {"receipt": "text"}, {"receipt": {}, "more": 1}])
def test_what_is_not_even_an_object_is_refused_by_name(db: None, body: Any) -> None:
    assert send("verify/", body).status_code == 400


def test_any_object_can_be_checked(db: None) -> None:
    said = send("verify/", {"receipt": {"a": [1.5, None]}}).json()
    assert (said["genuine"], said["faults"][0]["code"]) == (False, "unreadable")


def test_a_look_up_code_shows_what_is_held_until_it_is_ended(filed: tuple[Caller, Request]) -> None:
    caller, item = filed
    assert caller.post(find(caller, item, "decision") + "code/").status_code == 404
    made = caller.post(find(caller, item, "hold") + "code/")
    assert made.status_code == 201
    code = made.json()["access"]["secret"]
    shown = send("status/", {"code": code}).json()
    assert shown["reference"] == item.reference
    assert {hold["rule"] for hold in shown["holds"]} >= {"AML-5-TXN"}
    assert all(hold["released_at"] is None for hold in shown["holds"])
    ended = caller.client.delete(f"/api/v1/{find(caller, item, 'hold')}code/", headers=caller.headers)
    assert ended.status_code == 204
    assert send("status/", {"code": code}).status_code == 404


def test_somebody_elses_receipts_are_not_there(api: Api, filed: tuple[Caller, Request]) -> None:  # noqa: F811
    caller, item = filed
    other = api.caller(NOBODY)
    place = find(caller, item, "hold")
    assert other.get(f"requests/{item.pk}/receipts/").status_code == 404
    assert other.get(place).status_code == 404
    assert other.post(f"{place}code/").status_code == 404
