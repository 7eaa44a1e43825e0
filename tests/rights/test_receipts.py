"""Receipts: what they state, that everything in them counts, and what still checks years later."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portal.core import keyring, ledger, rls, verify_receipt
from portal.core.clock import SHANGHAI
from portal.core.verify_receipt import canonical
from rights import receipts
from rights.actions import fulfil, review, submit
from rights.kernel.states import Kind
from rights.models import Receipt, Request, StatusSecret
from tests.rights.sessions import on_the_web
from tests.rights.shop import NOW, Shop, State

As = Callable[[str], AbstractContextManager[None]]
pytestmark = pytest.mark.role("worker")

LATER = NOW + timedelta(minutes=15)
HELD_FROM = date(2023, 3, 1)  # a payment of this day is held through 2028-03-01 (AML-5-TXN)
LETTER = "我们同意。\r\n先删能删的。"
SCRIPT = Path(verify_receipt.__file__)


@pytest.fixture
def done(shop: Shop) -> Request:
    """A deletion: two old orders, one held, three visits, and a customer who left in 2020; approved and carried out."""
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(date(2020, 5, 5), date(2020, 5, 5), HELD_FROM)
    shop.add_visits(3)
    filed = shop.file()
    reviewer, now = shop.reviewer, NOW
    review.approve(
        filed, reviewer=reviewer, key="OK.PURPOSE_END", text=LETTER, lines={},
        plan=review.live_plan(filed, now=now), now=now,
    )  # fmt: skip
    return shop.advance(shop.look(filed), now=LATER)


@pytest.fixture
def keys() -> Iterator[None]:
    """The keyring as it was, for tests that rotate keys."""
    path = Path(settings.DATA_DIR) / "keyring.json"
    before = path.read_bytes()
    yield
    path.write_bytes(before)


def told(request: Request, event: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(request.receipts.filter(event=event).latest("seq").fields)
    return fields


def file_of(request: Request, event: str, *, secret: str = "") -> bytes:
    receipt = request.receipts.filter(event=event).latest("seq")
    return canonical(receipts.hand_out(receipt, now=LATER, secret=secret))


def checkpoint() -> None:
    assert ledger.checkpoint(now=LATER)


def codes(text: bytes, **given_: Any) -> list[str]:
    return [fault.code for fault in verify_receipt.check(text, keyring.verify_keys(), **given_).faults]


# --- what they state


def test_a_submission_states_the_reference_the_due_day_and_what_was_shown(shop: Shop, done: Request) -> None:
    fields = told(done, "submission")
    assert fields["@type"] == "dpv:RightExerciseActivity"
    assert (fields["reference"], fields["right"], fields["status"]) == (done.reference, "deletion", "acknowledged")
    assert (fields["time"], fields["due"]) == ("2026-11-23T02:00:00+00:00", "2026-12-08")
    assert {(line["collection"], line["act"]): line["count"] for line in fields["records"]} == {
        ("shop.customer", "hold"): 1, ("shop.orders", "erase"): 2,
        ("shop.orders", "hold"): 1, ("shop.visit", "erase"): 3,
    }  # fmt: skip
    held = next(line for line in fields["records"] if (line["collection"], line["act"]) == ("shop.orders", "hold"))
    assert (held["first_day"], held["last_day"]) == ("2028-03-01", "2028-03-01")


def test_a_decision_states_its_reason_and_stands_for_the_letter(shop: Shop, done: Request) -> None:
    fields = told(done, "decision")
    assert (fields["status"], fields["decided_by"]) == ("accepted", "person")
    assert [reason["key"] for reason in fields["justification"]] == ["OK.PURPOSE_END"]
    text = file_of(done, "decision")
    assert "同意" not in text.decode()
    for letter in (LETTER, "我们同意。\n先删能删的。", " 我们同意。\n先删能删的。\n"):
        assert codes(text, letter=letter) == []
    assert codes(text, letter="我们不同意。") == ["text"]
    assert codes(file_of(done, "submission"), letter=LETTER) == ["no_text"]


def test_a_fulfilment_states_what_was_done_and_a_hold_what_is_kept(shop: Shop, done: Request) -> None:
    assert done.state == State.CLOSED
    fields = told(done, "fulfilment")
    assert fields["status"] == "fulfilled"
    assert {line["collection"]: (line["act"], line["count"]) for line in fields["records"]} == {
        "shop.orders": ("erase", 2),
        "shop.visit": ("erase", 3),
    }
    kept = {line["collection"]: line for line in told(done, "hold")["records"]}
    assert kept["shop.orders"]["count"] == 1
    assert kept["shop.orders"]["last_day"] == "2028-03-01"
    assert "AML-5-TXN" in kept["shop.orders"]["rule"]


def test_a_release_is_told_when_its_day_is_over(shop: Shop, done: Request) -> None:
    shop.tick(datetime(2028, 3, 2, 9, tzinfo=SHANGHAI))
    fields = [json.loads(receipt.fields) for receipt in done.receipts.filter(event="release").order_by("seq")]
    assert {line["collection"]: line["count"] for item in fields for line in item["records"]} == {
        "shop.orders": 1,
        "shop.customer": 1,
    }
    assert all(item["time"].startswith("2028-03-02") for item in fields)


def test_a_refusal_and_an_extension_are_decisions(shop: Shop) -> None:
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    filed = shop.file()
    review.extend(filed, reviewer=shop.reviewer, reason="要先和另一家公司核对。", now=NOW)
    assert told(filed, "decision")["status"] == "delayed"
    assert told(filed, "decision")["due"] == "2026-12-23"
    review.refuse(filed, reviewer=shop.reviewer, key="NA.ANONYMISED", text="已无法对应到你。", now=NOW)
    assert told(filed, "decision")["status"] == "rejected"


def test_what_nobody_decided_says_so(shop: Shop) -> None:
    shop.add_customer(1)
    assert told(shop.file(Kind.ACCESS), "decision") | {"decided_by": "policy", "status": "accepted"} == told(
        Request.objects.get(), "decision"
    )


def test_no_receipt_names_anybody(shop: Shop, done: Request) -> None:
    person = done.subject
    for receipt in done.receipts.all():
        text = canonical(receipts.hand_out(receipt, now=LATER)).decode()
        for name in (person.display_name, person.account_no, str(person.pk)):
            assert name
            assert name not in text


def test_a_web_process_draws_up_the_receipt_of_what_it_files(shop: Shop) -> None:
    shop.add_customer(1)
    with on_the_web(shop, shop.person):
        draft = submit.start_draft(subject=shop.person, filed_by=shop.person, kind=Kind.ACCESS, details={}, now=NOW)
        filed = submit.submit(request_id=draft.pk, now=NOW)
        text = file_of(filed, "submission")
    assert codes(text) == []
    with on_the_web(shop, shop.other):
        assert not Receipt.objects.exists()


# --- the signed entry at once, its proof after the next checkpoint


def test_a_receipt_is_genuine_at_once_and_proved_after_the_next_checkpoint(shop: Shop, done: Request) -> None:
    early = file_of(done, "fulfilment")
    report = verify_receipt.check(early, keyring.verify_keys())
    assert report.genuine
    assert not report.proved
    assert receipts.check(early).inclusion is None
    checkpoint()
    report = verify_receipt.check(file_of(done, "fulfilment"), keyring.verify_keys(), heads=receipts.find_head)
    assert report.proved
    assert report.head
    assert report.head["number"] == 1
    with shop.as_("owner"):
        assert ledger.verify().sound


def test_one_that_was_handed_out_early_is_completed(shop: Shop, done: Request) -> None:
    early = file_of(done, "hold")
    checkpoint()
    with shop.as_("web"):
        rls.reset()
        checked = receipts.check(early)
    assert checked.completed
    assert verify_receipt.check(canonical(checked.completed), keyring.verify_keys()).proved
    assert receipts.check(canonical(checked.completed)).completed is None


def test_one_whose_entry_the_ledger_lost_is_told(shop: Shop, done: Request, owner_sql: Callable[..., Any]) -> None:
    text = file_of(done, "fulfilment")
    owner_sql(
        f"SET session_replication_role = replica; DELETE FROM core_ledgerentry WHERE chain = '{done.pk}'",
        role="superuser",
    )
    assert receipts.check(text).lost


# --- nothing in it can be changed


def test_an_altered_field_is_named(shop: Shop, done: Request) -> None:
    document = json.loads(file_of(done, "fulfilment"))
    document["records"][0]["count"] += 1
    found = verify_receipt.check(canonical(document), keyring.verify_keys()).faults
    assert [(fault.code, fault.about) for fault in found] == [("field", "records"), ("signature", "")]
    del document["records"]
    document["due"] = "2020-01-01"
    found = verify_receipt.check(canonical(document), keyring.verify_keys()).faults
    assert {(fault.code, fault.about) for fault in found} >= {("removed", "records"), ("added", "due")}


def test_an_altered_field_with_its_digest_made_to_fit_is_refused(shop: Shop, done: Request) -> None:
    document = json.loads(file_of(done, "fulfilment"))
    document["reference"] = "DSR-000000-AAAAA"
    fields = {name: value for name, value in document.items() if name not in verify_receipt.BESIDE}
    document["digests"] = verify_receipt.digest_fields(fields, salt=document["salt"])
    assert codes(canonical(document)) == ["entry", "signature"]
    document["entry"]["commitments"]["receipt.fulfilment"] = verify_receipt.digest_digests(document["digests"])
    assert codes(canonical(document)) == ["signature"]


def test_an_entry_forged_by_who_has_the_signing_key_does_not_lead_to_the_head(shop: Shop, done: Request) -> None:
    checkpoint()
    document = json.loads(file_of(done, "fulfilment"))
    document["reference"] = "DSR-000000-AAAAA"
    fields = {name: value for name, value in document.items() if name not in verify_receipt.BESIDE}
    document["digests"] = verify_receipt.digest_fields(fields, salt=document["salt"])
    document["entry"]["commitments"]["receipt.fulfilment"] = verify_receipt.digest_digests(document["digests"])
    proofs = document.pop("proof")
    document["proof"] = [receipts._sign(document, now=LATER), proofs[1]]
    assert codes(canonical(document)) == ["path"]
    without = canonical({**document, "proof": document["proof"][:1]})
    assert codes(without) == []
    assert receipts.check(without).lost, "the ledger itself says otherwise"


def test_a_receipt_of_another_portals_key_is_refused(shop: Shop, done: Request) -> None:
    """Signed well, by somebody else: under their own name, and under ours."""
    document = json.loads(file_of(done, "fulfilment"))
    other = Ed25519PrivateKey.generate()
    name = verify_receipt.name_key(other.public_key().public_bytes_raw())
    for claimed, code in ((name, "key"), (keyring.signing_key_id(), "signature")):
        options = {**document["proof"][0], "verificationMethod": f"did:web:elsewhere.example#{claimed}"}
        signature = other.sign(verify_receipt.signed_bytes(document, options))
        forged = {**document, "proof": [{**options, "proofValue": verify_receipt.encode_multibase(signature)}]}
        assert codes(canonical(forged)) == [code]


def test_a_head_of_another_portals_key_is_refused(shop: Shop, done: Request) -> None:
    checkpoint()
    document = json.loads(file_of(done, "fulfilment"))
    other = Ed25519PrivateKey.generate()
    head = {**document["proof"][1]["head"], "key": verify_receipt.name_key(other.public_key().public_bytes_raw())}
    del head["signature"]
    document["proof"][1]["head"] = {**head, "signature": other.sign(canonical(head)).hex()}
    assert codes(canonical(document)) == ["head_key"]


def test_a_head_that_differs_from_the_kept_one_is_told(shop: Shop, done: Request) -> None:
    """A portal that signs two heads of one number shows one of them to each."""
    checkpoint()
    text = file_of(done, "fulfilment")
    head = json.loads(text)["proof"][1]["head"]
    assert codes(text, heads={1: head}.get) == []
    assert codes(text, heads={1: {**head, "at": "2020-01-01T00:00:00+00:00"}}.get) == ["head_differs"]
    assert codes(text, heads={2: head}.get) == ["head_missing"]


@pytest.fixture
def whole(shop: Shop, done: Request) -> bytes:
    """With everything a receipt can have: a secret and a proof."""
    checkpoint()
    text = file_of(done, "hold", secret="AAAAA-BBBBB-CCCCC-DDDDD-EEEEE")
    assert verify_receipt.check(text, keyring.verify_keys()).proved
    return text


@hypothesis_settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(data=st.data())
def test_a_changed_byte_anywhere_is_refused(whole: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
    assert codes(whole[:place] + bytes([other]) + whole[place + 1 :])


def test_a_flipped_bit_of_every_byte_is_refused(whole: bytes) -> None:
    public = keyring.verify_keys()
    for place, value in enumerate(whole):
        for bit in (0x01, 0x20):  # the least one, and the one between capitals and small letters
            altered = whole[:place] + bytes([value ^ bit]) + whole[place + 1 :]
            assert verify_receipt.check(altered, public).faults, f"{place}: {whole[place - 20 : place + 20]!r}"


@pytest.mark.parametrize("cut", [1, 2, 100])
def test_a_receipt_cut_short_or_with_more_after_it_is_refused(whole: bytes, cut: int) -> None:
    assert codes(whole[:-cut])
    assert codes(whole + b"{}" * cut)


def test_other_spacing_is_not_an_alteration(whole: bytes) -> None:
    """Editors and mail programs set JSON anew; nothing that it states changes by that."""
    assert codes(json.dumps(json.loads(whole), indent=2).encode() + b"\r\n") == []


# --- years later


def test_receipts_still_check_after_their_key_was_rotated_and_retired(shop: Shop, done: Request, keys: None) -> None:
    checkpoint()
    text = file_of(done, "fulfilment")
    old, number = keyring.signing_key_id(), keyring.current_version("sign")
    before = set(verify_receipt.read_keys(json.dumps(receipts.publish_keys()).encode()))
    keyring.rotate("sign")
    keyring.retire("sign", number)
    assert keyring.signing_key_id() != old
    assert codes(text) == []
    assert codes(file_of(done, "fulfilment")) == []
    published = verify_receipt.read_keys(json.dumps(receipts.publish_keys()).encode())
    assert old in before
    assert set(published) == before | {keyring.signing_key_id()}


def run(*arguments: Path | str) -> tuple[int, str]:
    """The script as anybody runs it: the one file, elsewhere, without the portal on its path."""
    ended = subprocess.run(
        [sys.executable, "-I", *map(str, arguments)], capture_output=True, text=True, check=False, cwd="/"
    )
    assert not ended.stderr, ended.stderr
    return ended.returncode, ended.stdout


def test_the_script_alone_checks_a_receipt_against_exported_files(
    shop: Shop, done: Request, tmp_path: Path, keys: None
) -> None:
    early = tmp_path / "early.json"
    early.write_bytes(file_of(done, "decision"))
    checkpoint()
    script, receipt, letter, public = (tmp_path / name for name in ("check.py", "r.json", "letter.txt", "did.json"))
    script.write_bytes(SCRIPT.read_bytes())
    receipt.write_bytes(file_of(done, "decision"))
    letter.write_text(LETTER)
    keyring.rotate("sign")
    public.write_text(json.dumps(receipts.publish_keys()))
    heads = ledger.heads_folder()

    assert run(script, early, "--keys", public) == (3, run(script, early, "--keys", public)[1])
    code, said = run(script, receipt, "--keys", public, "--heads", heads, "--text", letter)
    assert code == 0, said
    assert said.startswith("GENUINE\n")
    assert str(done.reference) in said
    assert "under head 1 " in said
    assert "the same as the copy you keep" in said
    assert run(script, receipt, "--keys", public, "--heads", heads / "000001.json")[0] == 0

    letter.write_text("别的话")
    assert run(script, receipt, "--keys", public, "--text", letter)[0] == 1
    altered = tmp_path / "altered.json"
    altered.write_bytes(receipt.read_bytes().replace(b"deletion", b"cancelling"))
    code, said = run(script, altered, "--keys", public)
    assert code == 1
    assert "“right” was altered" in said
    assert "“right”一项被改过" in run(script, altered, "--keys", public, "--lang", "zh")[1]
    public.write_text(json.dumps({"verificationMethod": []}))
    assert "not issued here" in run(script, receipt, "--keys", public)[1]
    for missing in ((tmp_path / "none.json", "--keys", receipt), (receipt, "--keys", receipt)):
        assert run(script, *missing)[0] == 2


# --- the secret


def test_the_secret_shows_what_is_held_without_an_account(shop: Shop, done: Request) -> None:
    with on_the_web(shop, shop.person):
        secret = receipts.make_secret(done, now=LATER)
    with shop.as_("web"):
        rls.reset()
        status = receipts.find_held(secret.lower().replace("-", " "))
        assert status
        assert status.reference == done.reference
        held = {(hold.collection, hold.last_day): hold.count for hold in status.holds if hold.released_at is None}
        assert held[("shop.orders", date(2028, 3, 1))] == 1
        assert receipts.find_held("AAAAA-BBBBB-CCCCC-DDDDD-EEEEE") is None
        assert receipts.find_held("") is None
        assert not StatusSecret.objects.exists()
    assert secret not in StatusSecret.objects.get().digest
    assert sha256(secret.encode()).hexdigest() not in StatusSecret.objects.get().digest

    shop.tick(datetime(2028, 3, 2, 9, tzinfo=SHANGHAI))
    with shop.as_("web"):
        rls.reset()
        status = receipts.find_held(secret)
        assert status
        assert all(hold.released_at for hold in status.holds)


def test_a_secret_ends_with_the_next_one_and_when_it_is_revoked(shop: Shop, done: Request) -> None:
    with on_the_web(shop, shop.person):
        first = receipts.make_secret(done, now=LATER)
        second = receipts.make_secret(done, now=LATER)
        assert receipts.find_held(first) is None
        assert receipts.find_held(second)
        assert receipts.revoke_secret(done, now=LATER)
        assert not receipts.revoke_secret(done, now=LATER)
        assert receipts.find_held(second) is None


def test_nobody_else_makes_or_ends_a_secret(shop: Shop, done: Request) -> None:
    with on_the_web(shop, shop.person):
        secret = receipts.make_secret(done, now=LATER)
    with on_the_web(shop, shop.other):
        assert not receipts.revoke_secret(done, now=LATER)
    with on_the_web(shop, shop.person):
        assert receipts.find_held(secret)


def test_a_secret_opens_after_the_index_key_was_rotated(shop: Shop, done: Request, keys: None) -> None:
    with on_the_web(shop, shop.person):
        secret = receipts.make_secret(done, now=LATER)
        keyring.rotate("index")
        assert receipts.find_held(secret)


def test_receipts_are_written_once_however_often_a_worker_comes_back(shop: Shop, done: Request) -> None:
    before = done.receipts.count()
    fulfil.advance(request_id=done.pk, now=LATER)
    shop.tick(LATER)
    assert done.receipts.count() == before
    assert [receipt.event for receipt in done.receipts.order_by("seq", "event")] == [
        "submission", "decision", "fulfilment", "hold",
    ]  # fmt: skip
