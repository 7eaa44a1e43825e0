"""What the other tests stand on holds."""

import json
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.core.cache import cache
from django.db import connection

from portal.core import clock
from tests.business import TODAY, Business
from tests.waiting import answers, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page


def current_role() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return str(cursor.fetchone()[0])


def test_a_test_runs_as_the_web_role(db: None) -> None:
    assert current_role() == "portal_web"


@pytest.mark.role("worker")
def test_a_marked_test_runs_as_its_role(db: None) -> None:
    assert current_role() == "portal_worker"


def test_a_block_runs_as_its_role(django_as: Callable[[str], AbstractContextManager[None]]) -> None:
    with django_as("owner"):
        assert current_role() == "portal_owner"
    assert current_role() == "portal_web"


def test_the_cache_is_the_real_one(db: None) -> None:
    cache.set("colour", "green")
    assert cache.get("colour") == "green"


def test_business_systems_are_put_back(business: Business) -> None:
    before = business.count("loan", "loan.loan")
    assert before > 0
    assert clock.now().date() == TODAY.date()
    business.sql("loan", "SET session_replication_role = replica; DELETE FROM loan.loan")
    assert business.count("loan", "loan.loan") == 0
    business.databases["loan"].put_back()
    assert business.count("loan", "loan.loan") == before


def test_sign_ins_are_there_again_after_a_test_that_emptied_the_portal(
    business: Business, as_role: Callable[[str], AbstractContextManager["psycopg.Connection[Any]"]]
) -> None:
    with as_role("owner") as owner:
        row = owner.execute("SELECT count(*) FROM accounts_user").fetchone()
    assert row is not None
    assert row[0] >= 16


def test_the_live_portal_is_ready(live: str) -> None:
    wait_until(lambda: answers(f"{live}/readyz"))  # the clock of the test before may have been another
    with urllib.request.urlopen(f"{live}/readyz") as answer:  # noqa: S310 - our own http address
        assert json.load(answer)["checks"] == {"database": True, "broker": True, "migrations": True, "beat": True}


@pytest.mark.browser
def test_a_browser_opens_the_first_page_without_scripts(open_page: "Callable[..., Page]", business: Business) -> None:
    page = open_page(width=360, javascript=False)
    answer = page.goto("/")
    assert answer is not None
    assert answer.status == 200
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
