"""How many taps from the first page to done, typing apart, on a phone without JavaScript."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_phone import newest_code, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.business import Business

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Hand:
    """Taps, and counts them."""

    def __init__(self, open_page: Callable[..., "Page"], business: "Business", key: str) -> None:
        self.open_page, self.page, self.taps = open_page, open_page(width=360, height=740, javascript=False), 0
        sign_in(self.page, business.account(key).login)
        self.main = self.page.get_by_role("main")

    def tap(self, what: "Locator") -> None:
        what.first.click()
        self.taps += 1

    def button(self, words: str) -> "Locator":
        return self.main.get_by_role("button", name=re.compile(words))

    def link(self, words: str) -> "Locator":
        return self.main.get_by_role("link", name=re.compile(words))

    def prove(self) -> None:
        """Agree to what cannot be undone, and confirm with the code, which is typed."""
        self.tap(self.main.get_by_role("checkbox"))
        self.tap(self.button("下一步"))
        self.page.locator("input[name=code]").fill(newest_code(self.open_page))
        self.tap(self.page.locator("form", has=self.page.locator("input[name=code]")).get_by_role("button"))

    def is_received(self) -> bool:
        return bool(re.search(r"DSR-\d{6}-\w{5}", self.main.inner_text()))


def test_a_copy_is_asked_for_in_four(open_page: Callable[..., "Page"], business: "Business") -> None:
    hand = Hand(open_page, business, "chen-ruolan")
    hand.tap(hand.link("^查阅"))
    hand.tap(hand.button("全部公司"))
    hand.tap(hand.button("^提交"))
    assert hand.is_received()
    assert hand.taps <= 4


def test_why_something_is_kept_is_seen_in_two(open_page: Callable[..., "Page"], business: "Business") -> None:
    hand = Hand(open_page, business, "chen-ruolan")
    hand.tap(hand.page.locator("table.map tbody", has=hand.page.locator("svg.hold")).locator("a.co"))
    hand.tap(hand.page.locator(".fs.hold summary"))
    assert "法" in hand.page.locator("details[open] .why").first.inner_text()
    assert hand.taps <= 2


def test_one_companys_data_is_deleted_in_seven(open_page: Callable[..., "Page"], business: "Business") -> None:
    hand = Hand(open_page, business, "chen-ruolan")
    hand.tap(hand.page.locator("table.map a"))
    hand.tap(hand.button("申请删除|仍要申请"))
    hand.prove()
    assert hand.is_received()
    assert hand.taps <= 7


def test_one_service_is_cancelled_in_seven(open_page: Callable[..., "Page"], business: "Business") -> None:
    hand = Hand(open_page, business, "chen-ruolan")
    hand.tap(hand.link("^注销"))
    hand.tap(hand.link("先看会怎样"))
    hand.tap(hand.button("^只注销"))
    hand.prove()
    assert hand.is_received()
    assert hand.taps <= 7
