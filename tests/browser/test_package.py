"""The pages of a package, opened from a folder on a phone without a network."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rights.actions import fulfil, submit
from rights.kernel.states import Kind, State
from rights.models import Request
from tests.business import TODAY
from tests.unpacking import open_package

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.business import Business

pytestmark = [pytest.mark.browser, pytest.mark.role("worker")]
NARROW = 360


@pytest.fixture
def folder(business: "Business", tmp_path: Path, browser: "Browser") -> Path:
    """The worked example's person's package, unpacked. Her six family payments and three contacts are others' too."""
    from accounts.models import User  # noqa: PLC0415 - settings are not made yet when this file is read

    person = User.objects.find_by("account_no", business.account("chen-ruolan").login)
    assert person
    draft = submit.start_draft(subject=person, filed_by=person, kind=Kind.ACCESS, details={}, now=TODAY)
    fulfil.advance(request_id=submit.submit(request_id=draft.pk, now=TODAY).pk, now=TODAY)
    request = Request.objects.get(pk=draft.pk)
    assert request.state == State.CLOSED
    open_package(request).extractall(tmp_path)
    return tmp_path


@pytest.fixture
def page(folder: Path, browser: "Browser") -> "Page":
    context = browser.new_context(offline=True, viewport={"width": NARROW, "height": 740})
    context.set_default_timeout(10_000)
    return context.new_page()


@pytest.mark.parametrize(
    ("file", "language", "words"),
    [
        ("index.html", "zh-Hans", ("我们持有的关于你的信息", "哪里存着什么", "各公司、各系统的记录数", "条")),
        ("index.en.html", "en", ("What we hold about you", "What is held where", "Records by company", "records")),
    ],
)
def test_the_page_is_read_offline_on_a_small_phone(
    folder: Path, page: "Page", file: str, language: str, words: tuple[str, ...]
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((folder / file).as_uri())
    assert asked == [(folder / file).as_uri()], "the page loads nothing"
    assert "<script" not in page.content()
    assert page.locator("html").get_attribute("lang") == language
    title, heading, picture, unit = words
    assert title in page.get_by_role("heading", level=1).inner_text()
    assert page.get_by_role("heading", name=heading).count() == 1

    # The picture has a name and says in words what it shows: 1,200 visits, one profile and three consents of hers.
    image = page.get_by_role("img", name=re.compile(picture))
    said = image.locator("desc").inner_html()
    assert re.search(rf"1,2\d\d {unit}", said), said
    bars = image.locator("rect").all()
    assert len(bars) == image.locator("g > g").count() > 3
    box = image.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= NARROW

    # Every table opens without a script, and only the table itself scrolls sideways.
    for summary in page.locator("summary").all():
        summary.click()
    region = page.get_by_role("region").first
    assert region.get_attribute("tabindex") == "0"
    assert region.get_by_role("columnheader").count() > 1
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
    small = page.evaluate(
        "[...document.querySelectorAll('main p, main li, main td, main th, main text')]"
        ".filter(e => e.getBoundingClientRect().height && parseFloat(getComputedStyle(e).fontSize) < 12)"
        ".map(e => e.textContent)"
    )
    assert small == []

    # What is linked is there; the other language is one tap away.
    for link in page.get_by_role("link", name=re.compile("CSV|JSON")).all():
        assert (folder / str(link.get_attribute("href"))).is_file()
    other = page.get_by_role("link", name=re.compile("English|中文"))
    other.click()
    assert page.locator("html").get_attribute("lang") != language
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
