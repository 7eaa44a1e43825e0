"""The rows of `tests.pages` in a browser: each reader has a profile of their own and signs in once."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from django.template import loader

from accounts import totp
from portal.core import clock
from tests.business import Business
from tests.pages import Row
from tests.stack import Stack, django_as

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTHS = (360, 1280)
THEMES = ("light", "dark")
LANGUAGES = {"zh": "zh-hans", "en": "en"}


class Tour:
    def __init__(
        self, open_page: "Callable[..., Page]", *, business: Business, stack: Stack, live: str, made: Mapping[str, str]
    ) -> None:
        self.open_page, self.business, self.stack, self.live, self.made = open_page, business, stack, live, made
        self.pages: dict[str, Page] = {}

    def show(self, row: Row, language: str) -> "Page":
        """The page of this row, loaded. A server error fails."""
        page = self.pages.get(row.who) or self._sign_in(row.who)
        page.context.add_cookies([{"name": "language", "value": language, "url": self.live}])
        address = row.address.format(**self.made)
        if address.endswith(".html"):  # what Django answers with when nothing else works
            text = loader.render_to_string(address)
            page.route("**/bare/*", lambda route: route.fulfill(body=text, content_type="text/html"))
            address = f"/bare/{address}"
        answer = page.goto(address)
        assert answer is not None
        assert answer.status < 500, address
        page.unroute("**/bare/*")
        if row.send is not None:
            self._send(page, row, row.send)
        return page

    def _send(self, page: "Page", row: Row, typed: Mapping[str, str]) -> None:
        form = page.locator("main form[method=post]")
        for name in (*typed, *row.ticked):
            form = form.filter(has=page.locator(f"[name={name}]"))
        form = form.first
        for name, value in typed.items():
            form.locator(f"[name={name}]").fill(value.format(**self.made))
        for name in row.ticked:
            form.locator(f"[name={name}]").check()
        with page.expect_navigation():
            form.evaluate("form => form.noValidate = true")
            form.locator("button:not([type=button])").first.click()

    def _sign_in(self, who: str) -> "Page":
        self.pages[who] = page = self.open_page()
        if who:
            sign_in(page, self.business.account(who).login, self.stack)
        return page


def sign_in(page: "Page", login: str, stack: Stack) -> None:
    """With both factors, where there are two."""
    page.goto("/sign-in/")
    page.locator("#id_login").fill(login)
    page.locator("#id_password").fill("demo-portal")
    page.locator("#id_password").press("Enter")
    page.wait_for_url(lambda url: not url.endswith("/sign-in/"))
    if page.locator("#id_code").count():
        with django_as(stack, "owner"):
            code = totp.show_code(login, now=clock.now())
        page.locator("#id_code").fill(str(code))
        page.locator("#id_code").press("Enter")
    page.wait_for_url(lambda url: "/sign-in" not in url)
