"""axe on every page: WCAG 2.2 AA with its target sizes, both languages, a phone and a desk, light and dark; and that no
page scrolls sideways."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import axe_playwright_python
import pytest

from tests.browser.tour import LANGUAGES, THEMES, WIDTHS, Tour
from tests.business import Business
from tests.conftest import Clock
from tests.pages import ROWS, States
from tests.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
MOST_USED = {"home", "plan-deletion", "code", "asked", "case-review"}
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}


@pytest.mark.slow
def test_the_pages_most_used_have_no_violation(
    open_page: "Callable[..., Page]", business: Business, stack: Stack, live: str, clock: Clock
) -> None:
    made = States(business, stack, clock).make_few()
    tour = Tour(open_page, business=business, stack=stack, live=live, made=made)
    assert [
        each for row in ROWS if row.name in MOST_USED for each in judge(tour.show(row, "zh-hans"), row.name, one=True)
    ] == []


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_has_a_violation(
    language: str, open_page: "Callable[..., Page]", business: Business, stack: Stack, live: str, clock: Clock
) -> None:
    made = States(business, stack, clock).make()
    tour = Tour(open_page, business=business, stack=stack, live=live, made=made)
    assert [each for row in ROWS for each in judge(tour.show(row, LANGUAGES[language]), row.name)] == []


def judge(page: "Page", name: str, *, one: bool = False) -> Iterator[str]:
    """What is wrong with the page as it stands: on a phone in daylight, or at each width in each light."""
    page.evaluate(AXE)
    for width, theme in [(WIDTHS[0], THEMES[0])] if one else [(width, theme) for width in WIDTHS for theme in THEMES]:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        found: dict[str, Any] = page.evaluate("rules => axe.run(rules)", RULES)
        for fault in found["violations"]:
            yield from (f"{name} {width} {theme}: {fault['id']} {node['html'][:160]}" for node in fault["nodes"])
        if page.evaluate("document.documentElement.scrollWidth") > width:
            yield f"{name} {width}: scrolls sideways"
