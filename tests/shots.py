"""Pictures of every page in every state, in both languages: `make shots` puts them into shots/, and the few that the
README shows into docs/. A page that scrolls sideways fails."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.tour import LANGUAGES, WIDTHS, Tour
from tests.business import Business
from tests.conftest import Clock
from tests.pages import ROWS, States
from tests.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHOTS = Path(__file__).resolve().parent.parent / "shots"


@pytest.mark.browser
def test_pictures(open_page: "Callable[..., Page]", business: Business, stack: Stack, live: str, clock: Clock) -> None:
    made = States(business, stack, clock).make()
    tour = Tour(open_page, business=business, stack=stack, live=live, made=made)
    shutil.rmtree(SHOTS, ignore_errors=True)
    wide = [
        each
        for place, language in LANGUAGES.items()
        for row in ROWS
        for each in take_pictures(tour.show(row, language), SHOTS / place, row.name)
    ]
    assert not wide


def take_pictures(page: "Page", folder: Path, name: str) -> Iterator[str]:
    """One for each width. Gives those that are wider than the screen."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            yield f"{folder.name}/{name}-{width}"
