"""Where an administrator set another limit than 15 days, every page says that one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from portal.core import clock as portal_clock
from portal.core import rls
from rights.actions import fulfil, review
from rights.actions.calendar import import_year, read_json, set_limit
from rights.kernel.states import Kind, State
from tests.business import TODAY, Business
from tests.conftest import Clock
from tests.stack import BASE_DIR
from tests.web.test_desk import Desk, case_url, see
from tests.web.test_desk import words as desk_words
from tests.web.test_for_others import AGENT, FORMER, Browser, words

AsRole = Callable[[str], AbstractContextManager[None]]
CHEN = "chen-ruolan"


@pytest.fixture
def desk(business: Business, django_as: AsRole, clock: Clock) -> Desk:
    """Ten working days for deletions and cancellations that are filed from today on."""
    made = Desk(business, django_as, clock)
    admin = made.user("admin-li")
    year = (BASE_DIR / "rights" / "calendars" / "2026.json").read_text(encoding="utf-8")
    with django_as("owner"):
        import_year(read_json(year), imported_by=admin, now=TODAY)
        for kind in (Kind.DELETION, Kind.CANCELLATION):
            set_limit(kind, days=10, working_days=True, effective_from=TODAY.date(), set_by=admin, now=TODAY)
    return made


@pytest.fixture
def browser_of(business: Business, django_as: AsRole) -> Iterator[Callable[[str], Browser]]:
    def open_browser(key: str) -> Browser:
        browser = Browser(business, django_as, key)
        browser.client.cookies["language"] = "zh-hans"
        return browser

    yield open_browser
    rls.reset()


def test_what_waits_for_a_loan_is_told_the_limit_that_starts_anew(
    desk: Desk, browser_of: Callable[[str], Browser]
) -> None:
    chen = browser_of(CHEN)
    draft = chen.post("start", "cancellation", service="all")["Location"].split("/")[2]
    pages = [words(chen.get("check", draft))]
    item = desk.file(CHEN, Kind.CANCELLATION, entities=["loan"])
    assert item.state == State.DEFERRED
    pages += [words(chen.get("done", item.pk)), words(chen.get("request", item.pk))]
    for page in pages:
        assert "重新计 10 个工作日" in page
        assert "15 天" not in page
    desk.business.sql("loan", "UPDATE loan.loan SET balance = 0, settled_on = '2026-11-23' WHERE contract_no = 'L2'")
    with desk.django_as("worker"):
        fulfil.check_blockers(desk.again(item), fulfil.Look(portal_clock.now()))
    page = words(chen.get("request", item.pk))
    assert "重新计 10 个工作日" in page
    assert "15 天" not in page


def test_the_plan_says_by_when_what_can_go_is_gone(desk: Desk, browser_of: Callable[[str], Browser]) -> None:
    """Ten working days from Monday 11-23, which does not count, end on Monday 12-07."""
    page = words(browser_of(CHEN).get("plan", "deletion"))
    assert "12 月 7 日前" in page
    assert "15 天" not in page


def test_what_waits_for_a_proof_is_told_the_limit_that_starts_then(
    desk: Desk, browser_of: Callable[[str], Browser]
) -> None:
    agent = browser_of(AGENT)
    pk = agent.post("file_unproved", agent.of(FORMER).pk, "deletion")["Location"].split("/")[2]
    page = words(agent.get("request", pk))
    assert "10 个工作日的期限从核实那天起算" in page
    assert "15 天" not in page
    page = desk_words(see(desk.staff("support-zhao"), f"/desk/cases/{pk}/"))
    assert "its limit of 10 working days begins" in page


def test_an_extension_says_until_when(desk: Desk, browser_of: Callable[[str], Browser]) -> None:
    """14 calendar days to 12-07 and 15 more; thirty in all would be 12-23."""
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    with desk.django_as("worker"):
        review.extend(item, reviewer=desk.user("support-zhao"), reason="数量大", now=portal_clock.now())
    assert "期限延长了一次，到 12 月 22 日为止" in words(browser_of(CHEN).get("request", item.pk))
    assert "extended until 2026-12-22" in desk_words(see(desk.staff("support-zhao"), case_url(item)))
