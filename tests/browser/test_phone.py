"""A person completes a deletion request on a 360 px phone with JavaScript off."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.waiting import wait_until
from tests.walks.visitor import CODE

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.business import Business

pytestmark = pytest.mark.browser


def fits(page: "Page") -> bool:
    """No sideways scrolling. Measured from outside the page, which runs no script of its own."""
    box = page.locator("html").bounding_box()
    widest = max(
        (
            found["x"] + found["width"]
            for found in (item.bounding_box() for item in page.locator("main *").all())
            if found
        ),
        default=0.0,
    )
    return box is not None and widest <= 361


def sign_in(page: "Page", login: str) -> None:
    page.goto("/sign-in/")
    typed = page.locator("form", has=page.locator("input[type=password]"))
    typed.locator("input[name=login]").fill(login)
    typed.locator("input[type=password]").fill("demo-portal")
    typed.get_by_role("button").click()


def test_a_deletion_is_asked_for_on_a_small_phone_without_javascript(
    open_page: Callable[..., "Page"], business: "Business", owner_sql: Callable[..., list[tuple[Any, ...]]]
) -> None:
    account = business.account("song-lihua")
    page = open_page(width=360, height=740, javascript=False)
    sign_in(page, account.login)

    # Home: the right is one tap away.
    assert fits(page)
    page.get_by_role("main").get_by_role("link", name=re.compile("^删除")).click()
    assert fits(page)
    page.get_by_role("main").get_by_role("link", name="先看会怎样").click()
    assert "还没有提交" in page.get_by_role("main").inner_text()
    assert fits(page)

    # The plan, then the answers once more.
    page.get_by_role("button", name=re.compile("申请删除")).click()
    main = page.get_by_role("main").inner_text()
    assert "不能" in main or "无法" in main
    assert fits(page)
    page.get_by_role("checkbox").check()
    page.get_by_role("main").get_by_role("button").click()

    # The code from the phone: a wrong one first.
    code_field = page.locator("input[name=code]")
    code = newest_code(open_page)
    code_field.fill("000000" if code != "000000" else "111111")
    page.locator("form", has=code_field).get_by_role("button").click()
    assert "不对" in page.get_by_role("main").inner_text()
    page.locator("input[name=code]").fill(code)
    page.locator("form", has=page.locator("input[name=code]")).get_by_role("button").click()

    # Received: the reference and the exact day; fifteen days after 2026-11-23, the first not counted.
    done = page.get_by_role("main").inner_text()
    reference = re.search(r"DSR-261123-[A-Z2-9]{5}", done)
    assert reference
    assert "12 月 8 日" in done
    assert fits(page)
    state = "SELECT state FROM rights_request WHERE reference = %s"
    wait_until(lambda: owner_sql(state, [reference.group()]) == [("review",)], what="not in review")
    page.goto("/requests/")
    page.get_by_role("main").get_by_role("link", name=re.compile("删除|看进度")).first.click()
    assert reference.group() in page.get_by_role("main").inner_text()
    assert fits(page)


def newest_code(open_page: Callable[..., "Page"]) -> str:
    phone = open_page(javascript=False)
    phone.goto("/outbox/")
    found = CODE.search(phone.locator("#sent").inner_text())
    assert found
    return found.group(1)
