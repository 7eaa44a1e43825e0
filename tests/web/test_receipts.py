"""Receipts on the pages: a person keeps them, anybody checks them, and a code shows years later what is still kept."""

import io
import json
import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from portal.core import clock as portal_clock
from portal.core import keyring, ledger, verify_receipt
from rights.actions import fulfil, watch
from rights.kernel.states import Kind
from rights.models import Request
from tests.business import TODAY, Business
from tests.web.test_following import Portal, page, words

AsRole = Callable[[str], AbstractContextManager[None]]
CHEN = "chen-ruolan"
LETTER = "这一项没有要求你提供，我们也没有保存。"
NEW_NAME = [{"correction": "name", "old": "陈若兰", "new": "陈若岚"}]


@pytest.fixture
def portal(business: Business, django_as: AsRole, clock: Callable[[datetime], None]) -> Portal:
    return Portal(business, django_as, clock)


@pytest.fixture
def item(portal: Portal) -> Request:
    """The worked example up to its deferral: parts erased, parts kept, the loan in the way."""
    filed = portal.file(portal.user(CHEN), Kind.DELETION, entities=[])
    return portal.approve(filed, wallet__family_payment="keep", wealth__holding="refer")


@pytest.fixture
def mine(portal: Portal, item: Request) -> Client:
    return portal.client(item.subject)


def seal(portal: Portal) -> None:
    with portal.django_as("worker"):
        assert ledger.checkpoint(now=portal_clock.now())


def number(portal: Portal, item: Request, event: str) -> Any:
    with portal.django_as("worker"):
        return item.receipts.filter(event=event).latest("seq").pk


def download(portal: Portal, mine: Client, item: Request, event: str) -> bytes:
    answer = mine.get(reverse("rights:receipt_file", args=[item.pk, number(portal, item, event)]))
    assert answer["Content-Type"] == "application/ld+json"
    assert f"receipt-{item.reference}-{event}.jsonld" in answer["Content-Disposition"]
    return bytes(answer.content)


def send(text: bytes, *, client: Client | None = None, **fields: str) -> Any:
    """As somebody who is not signed in uploads it."""
    file = io.BytesIO(text)
    file.name = "receipt.jsonld"
    return (client or Client()).post("/verify/", {"file": file, **fields})


# ---- for the person ------------------------------------------------------------------------------------------------


def test_a_request_lists_its_receipts_to_read_and_to_keep(portal: Portal, item: Request, mine: Client) -> None:
    html = page(mine, "request", item.pk)
    for title in ("收到申请的回执", "决定的回执", "办理结果的回执", "依法保留的回执"):
        assert title in html
    place = [item.pk, number(portal, item, "fulfilment")]
    seen = words(page(mine, "signed_receipt", *place))
    assert str(item.reference) in seen
    assert "完成了一部分" in seen
    assert "1,225" in seen, "1,200 + 6 + 3 + 1 + 15 are gone"
    assert "账本每隔几秒封存一次" in seen
    seal(portal)
    assert "账本第 1 号签名状态之下" in words(page(mine, "signed_receipt", *place))
    report = verify_receipt.check(download(portal, mine, item, "fulfilment"), keyring.verify_keys())
    assert report.proved
    assert report.document["reference"] == item.reference
    assert sum(line["count"] for line in report.document["records"]) == 1225


def test_every_receipt_reads_in_both_languages(portal: Portal, item: Request, mine: Client) -> None:
    with portal.django_as("worker"):
        found = list(item.receipts.values_list("pk", flat=True))
    assert len(found) == 4
    for pk in found:
        address = reverse("rights:signed_receipt", args=[item.pk, pk])
        mine.cookies["language"] = "en"
        english = words(mine.get(address).content.decode())
        assert not re.search(r"[\u4e00-\u9fff]", english), english
        mine.cookies["language"] = "zh-hans"
        chinese = words(mine.get(address).content.decode())
        assert "Receipt" not in chinese


def test_nobody_else_gets_them(portal: Portal, item: Request) -> None:
    stranger = portal.client(portal.user("song-lihua"))
    place = [item.pk, number(portal, item, "hold")]
    for name in ("signed_receipt", "receipt_file"):
        assert stranger.get(reverse(f"rights:{name}", args=place)).status_code == 404
        assert Client().get(reverse(f"rights:{name}", args=place)).status_code == 302
    assert stranger.post(reverse("rights:receipt_secret", args=place)).status_code == 404


# ---- for anybody ---------------------------------------------------------------------------------------------------


def test_a_genuine_receipt_is_told_so_with_what_it_states(portal: Portal, item: Request, mine: Client) -> None:
    seal(portal)
    text = download(portal, mine, item, "fulfilment")
    for answer in (send(text), Client().post("/verify/", {"receipt": text.decode()})):
        seen = words(answer.content.decode())
        assert answer.status_code == 200
        assert "回执是真的，已记入账本。" in seen
        assert "第 1 号签名状态" in seen
        assert str(item.reference) in seen
        assert "1,225" in seen
        assert "陈" not in seen


def test_one_that_is_not_sealed_yet_is_told_so_and_completed_later(portal: Portal, item: Request, mine: Client) -> None:
    text = download(portal, mine, item, "decision")
    assert "账本还没有封存到它" in words(send(text).content.decode())
    seal(portal)
    answer = send(text)
    assert "回执是真的，已记入账本。" in words(answer.content.decode())
    assert "下载带账本证明的回执" in answer.content.decode()
    whole = Client().post("/verify/", {"receipt": text.decode(), "complete": "1"})
    assert whole["Content-Disposition"].startswith("attachment")
    assert verify_receipt.check(whole.content, keyring.verify_keys()).proved


@pytest.mark.parametrize(
    ("altered", "said"),
    [
        (lambda text: text.replace(b'"deletion"', b'"access"'), "“right”一项被改过。"),
        (lambda text: text.replace(b'"proofValue":"z', b'"proofValue":"z2'), "签名和文件不符"),
        (lambda text: re.sub(rb"#[0-9a-f]{16}", b"#0123456789abcdef", text), "0123456789abcdef 不在这个平台公布"),
        (lambda text: re.sub(rb'"index":\d+', b'"index":99', text), "账本证明不成立"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    portal: Portal, item: Request, mine: Client, altered: Callable[[bytes], bytes], said: str
) -> None:
    seal(portal)
    text = download(portal, mine, item, "submission")
    assert altered(text) != text
    seen = words(send(altered(text)).content.decode())
    assert "回执不是真的，不要采信。" in seen
    assert said in seen
    assert "收到申请的回执" not in seen, "what it states is worth nothing"


def test_what_is_no_receipt_is_said(db: None) -> None:
    for text in (b"hello", b"{}", b"\xff", b"[" * 50_000):
        seen = words(send(text).content.decode())
        assert "这不是本平台的回执。" in seen
        assert "不是真的" not in seen
    answer = Client().post("/verify/", {})
    assert answer.status_code == 422
    assert "请选择文件" in answer.content.decode()
    assert words(Client().get("/verify/").content.decode()).count("核对回执") >= 1


def test_a_letter_is_checked_with_the_receipt_of_its_decision(portal: Portal, item: Request, mine: Client) -> None:
    portal.refuse(portal.file(item.subject, Kind.CORRECTION, items=NEW_NAME), "GROUND.NOT_REQUIRED", LETTER)
    with portal.django_as("worker"):
        refused = Request.objects.get(kind=Kind.CORRECTION)
    text = download(portal, mine, refused, "decision")
    assert "它还对应一段文字" in words(send(text).content.decode())
    assert "这段文字就是回执对应的那一段。" in words(send(text, letter=LETTER).content.decode())
    assert "这段文字不是回执对应的那一段。" in words(send(text, letter="我们什么都删了。").content.decode())


def test_a_body_that_is_too_large_is_refused_unread(db: None) -> None:
    answer = send(b"x" * 400_000)
    assert answer.status_code == 413
    assert "文件太大了" in answer.content.decode()


def test_an_address_that_checks_without_end_is_told_to_wait(db: None) -> None:
    answers = [Client().post("/verify/", {"receipt": "{}"}, REMOTE_ADDR="192.0.2.7").status_code for _ in range(62)]
    assert answers[:60] == [200] * 60
    assert answers[60:] == [429] * 2
    assert Client().post("/verify/", {"receipt": "{}"}, REMOTE_ADDR="192.0.2.8").status_code == 200


def test_keys_heads_and_the_program_are_there_for_everybody(portal: Portal, item: Request) -> None:
    seal(portal)
    with portal.django_as("worker"):
        ledger.append(chain=item.pk, kind="x", body={}, now=portal_clock.now())
    seal(portal)
    anybody = Client()
    published = anybody.get("/.well-known/did.json")
    assert set(verify_receipt.read_keys(published.content)) == set(keyring.verify_keys())
    assert published["Access-Control-Allow-Origin"] == "*"
    exported = json.loads((ledger.heads_folder() / "000001.json").read_text())
    assert anybody.get("/verify/heads/1.json").json() == exported
    assert anybody.get("/verify/heads/9.json").status_code == 404
    proof = anybody.get("/verify/heads/1-2.json").json()
    assert proof["old"] == exported
    assert proof["new"]["number"] == 2
    assert proof["path"]
    assert anybody.get("/verify/heads/2-1.json").status_code == 404
    script = anybody.get("/verify/verify_receipt.py")
    assert script.content == Path(verify_receipt.__file__).read_bytes()


# ---- what is still kept --------------------------------------------------------------------------------------------


def make_code(portal: Portal, mine: Client, item: Request) -> str:
    answer = mine.post(reverse("rights:receipt_secret", args=[item.pk, number(portal, item, "hold")]))
    assert answer["Content-Disposition"].startswith("attachment")
    assert verify_receipt.check(answer.content, keyring.verify_keys()).genuine
    access = json.loads(answer.content)["access"]
    assert access["page"].endswith("/status/")
    return str(access["secret"])


def test_the_code_shows_years_later_what_is_kept_and_what_has_gone(portal: Portal, item: Request, mine: Client) -> None:
    code = make_code(portal, mine, item)
    assert code not in page(mine, "signed_receipt", item.pk, number(portal, item, "hold"))
    anybody = Client()
    seen = words(anybody.post("/status/", {"secret": code.lower()}).content.decode())
    assert str(item.reference) in seen
    assert "AML-5-TXN" in seen
    with portal.django_as("worker"):
        count = sum(item.holds.filter(released_at=None).values_list("count", flat=True))
    assert f"还保留 {count}" in seen
    for secret in (item.subject.display_name, item.subject.masked_name, item.subject.phone, item.subject.masked_phone):
        assert secret not in seen

    portal.travel(TODAY + timedelta(days=14))
    with portal.django_as("worker"):
        now = portal_clock.now()
        watch.tick(now=now, dispatch=lambda request: fulfil.advance(request_id=request.pk, now=now))
    later = words(anybody.post("/status/", {"secret": code}).content.decode())
    assert "到期删除的" in later
    assert f"还保留 {count}" not in later


def test_a_code_is_ended_by_the_person_and_by_the_next_one(portal: Portal, item: Request, mine: Client) -> None:
    first = make_code(portal, mine, item)
    code = make_code(portal, mine, item)
    assert Client().post("/status/", {"secret": first}).status_code == 422
    assert Client().post("/status/", {"secret": code}).status_code == 200
    place = [item.pk, number(portal, item, "hold")]
    answer = mine.post(reverse("rights:receipt_secret", args=place), {"end": "1"}, follow=True)
    assert "查询码已失效。" in answer.content.decode()
    refused = Client().post("/status/", {"secret": code})
    assert refused.status_code == 422
    assert "查不到内容" in refused.content.decode()


def test_only_a_hold_has_a_code(portal: Portal, item: Request, mine: Client) -> None:
    place = [item.pk, number(portal, item, "decision")]
    assert mine.post(reverse("rights:receipt_secret", args=place)).status_code == 404
    assert "查询码" not in page(mine, "signed_receipt", *place)


def test_codes_are_not_guessed_by_trying(db: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    code = "ABCDE-FGHJK-LMNPQ-RSTUV-WXYZ2"
    answers = [Client().post("/status/", {"secret": code}, REMOTE_ADDR="192.0.2.9").status_code for _ in range(22)]
    assert answers == [422] * 20 + [429] * 2
    assert code not in caplog.text


def test_an_address_with_a_code_in_it_opens_nothing(portal: Portal, item: Request, mine: Client) -> None:
    """Addresses are logged on their way; bodies are not."""
    code = make_code(portal, mine, item)
    seen = words(Client().get("/status/", {"secret": code}).content.decode())
    assert str(item.reference) not in seen
    assert "请输入" not in seen
