"""Receipts on a 360 px phone with JavaScript off: kept by the person, checked by anybody, looked up years later."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rights.kernel.states import Kind
from tests.browser.test_phone import sign_in
from tests.business import Business
from tests.waiting import wait_until
from tests.web.test_following import Portal

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
CHEN = "chen-ruolan"


def fits(page: "Page") -> bool:
    """No sideways scrolling: a picture of the whole page is as wide as the phone. Its width stands in its 16th byte."""
    return int.from_bytes(page.screenshot(full_page=True)[16:20], "big") == 360


def download(page: "Page", name: str) -> bytes:
    with page.expect_download() as found:
        page.get_by_role("main").get_by_text(name, exact=True).click()
    return Path(found.value.path()).read_bytes()


def check(page: "Page", text: bytes, folder: Path) -> str:
    """Upload a receipt to the public page; what it says then."""
    file = folder / "receipt.jsonld"
    file.write_bytes(text)
    page.goto("/verify/")
    assert fits(page)
    page.locator("input[type=file]").set_input_files(file)
    page.locator("form[enctype] button").click()
    assert fits(page)
    return page.get_by_role("main").inner_text()


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        (
            "zh-CN",
            {
                "hold": "依法保留的回执", "file": "下载回执", "code": "下载带查询码的回执",
                "genuine": "回执是真的，已记入账本。", "wrong": "“reference”一项被改过。", "kept": "还保留",
            },
        ),
        pytest.param(
            "en",
            {
                "hold": "Receipt of what the law keeps", "file": "Download the receipt",
                "code": "Download it with a code", "genuine": "Genuine, and in the ledger.",
                "wrong": "The field “reference” was altered.", "kept": "still kept",
            },
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_a_receipt_is_kept_checked_and_looked_up_without_javascript(
    business: Business,
    django_as: Callable[[str], AbstractContextManager[None]],
    clock: Callable[[datetime], None],
    owner_sql: Callable[..., list[tuple[Any, ...]]],
    open_page: "Callable[..., Page]",
    tmp_path: Path,
    locale: str,
    words: dict[str, str],
) -> None:
    portal = Portal(business, django_as, clock)
    item = portal.file(portal.user(CHEN), Kind.DELETION, entities=[])
    portal.approve(item, wallet__family_payment="keep", wealth__holding="refer")
    covered = "SELECT max(l.number) IS NOT NULL FROM core_ledgerleaf l JOIN core_ledgerentry e ON e.id = l.entry_id"
    held = f"{covered} WHERE e.chain = %s AND e.kind = 'deferred'"
    wait_until(lambda: owner_sql(held, [item.pk]) == [(True,)], what="no checkpoint has come")

    page = open_page(width=360, height=740, javascript=False, locale=locale)
    sign_in(page, business.account(CHEN).login)
    page.wait_for_url(lambda url: "/sign-in" not in url)
    if locale == "en":  # signed in, a page speaks the person's language until they choose another
        page.get_by_role("button", name="English").click()
        page.get_by_role("button", name="中文").wait_for()
    page.goto(f"/requests/{item.pk}/")
    page.get_by_role("link", name=re.compile(words["hold"])).click()
    assert fits(page)
    text = download(page, words["file"])
    with_code = download(page, words["code"])
    code = json.loads(with_code)["access"]["secret"]

    anybody = open_page(width=360, height=740, javascript=False, locale=locale)
    for genuine in (text, with_code):
        said = check(anybody, genuine, tmp_path)
        assert words["genuine"] in said
        assert str(item.reference) in said
    assert words["wrong"] in check(anybody, text.replace(str(item.reference).encode(), b"DSR-000000-AAAAA"), tmp_path)

    anybody.goto("/status/")
    assert fits(anybody)
    anybody.locator("input[name=secret]").fill(code)
    anybody.get_by_role("main").get_by_role("button").click()
    said = anybody.get_by_role("main").inner_text()
    assert words["kept"] in said
    assert "AML-5-TXN" in str(anybody.get_by_role("main").text_content())
    assert code not in anybody.url
    assert fits(anybody)
