"""Pictures of every page that links lead to, for each kind of visitor: `make shots` puts them into shots/."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accounts import totp
from portal.core import clock
from tests.business import Business
from tests.stack import Stack, django_as

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHOTS = Path(__file__).resolve().parent.parent / "shots"
WIDTHS = (360, 1280)
MOST = 40
VISITORS = {"nobody": None, "person": "880001", "support": "990001", "supervisor": "990003", "admin": "990004"}


@pytest.mark.browser
@pytest.mark.parametrize("visitor", VISITORS)
def test_pictures(visitor: str, open_page: "Callable[..., Page]", business: Business, stack: Stack, live: str) -> None:
    folder = SHOTS / visitor
    shutil.rmtree(folder, ignore_errors=True)
    page = open_page()
    if login := VISITORS[visitor]:
        sign_in(page, login, stack)
    todo = [page.url if login else f"{live}/"]
    seen: set[str] = set()
    while todo and len(seen) < MOST:
        address = todo.pop(0)
        shape = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{3,}", "n", address.removeprefix(live).split("?")[0])
        if shape in seen:
            continue
        seen.add(shape)
        answer = page.goto(address)
        assert answer is not None
        assert answer.status < 500, address
        name = re.sub(r"[^a-z0-9]+", "-", shape.lower()).strip("-") or "start"
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)
        links = page.locator("a[href]").evaluate_all("links => links.filter(a => !a.download).map(a => a.href)")
        todo += [link.split("#")[0] for link in links if link.startswith(f"{live}/") and is_page(link)]


def is_page(link: str) -> bool:
    return not re.search(r"/(static|api|download|package)/|\.\w{2,4}$", link)


def sign_in(page: "Page", login: str, stack: Stack) -> None:
    page.goto("/sign-in/")
    page.locator("#id_login").fill(login)
    page.locator("#id_password").fill("demo-portal")
    page.locator("#id_password").press("Enter")
    if page.locator("#id_code").count():
        with django_as(stack, "owner"):
            code = totp.show_code(login, now=clock.now())
        page.locator("#id_code").fill(str(code))
        page.locator("#id_code").press("Enter")
    page.wait_for_url(lambda url: "/sign-in" not in url)
