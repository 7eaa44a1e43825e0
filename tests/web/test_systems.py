"""The desk's page of the systems, the banner of every desk page, and what a person sees while erasures are stopped."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from accounts import totp
from portal.core import clock as portal_clock
from portal.core.models import LedgerEntry
from rights.actions import gates
from rights.kernel.plan import Fate
from rights.kernel.states import Kind, State
from rights.models import Gate, Request, Step
from tests.browser.test_phone import fits, sign_in
from tests.business import TODAY, Business
from tests.conftest import Clock
from tests.web.test_desk import Desk, case_url, see, words
from tests.web.test_following import Portal, page
from tests.web.test_following import words as person_words

if TYPE_CHECKING:
    from playwright.sync_api import Page

AsRole = Callable[[str], AbstractContextManager[None]]
PERSON = "song-lihua"
STAFF = {"support": "support-zhao", "supervisor": "supervisor-sun", "admin": "admin-li", "auditor": "auditor-wu"}


@pytest.fixture
def desk(business: Business, django_as: AsRole, clock: Clock) -> Desk:
    return Desk(business, django_as, clock)


def act_url(key: str, act: str) -> str:
    return f"/desk/systems/{key}/{act}/"


def gate(desk: Desk, key: str = "loan") -> Gate | None:
    with desk.django_as("worker"):
        return Gate.objects.select_related("stopped_by").filter(pk=key).first()


def rows(html: str) -> dict[str, str]:
    """By the name of a system, what its row says."""
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html, re.DOTALL)
    return {unescape(name): words(rest) for name, rest in found}


def stop(desk: Desk, key: str, reason: str = "The backup failed", *, by: str = "support-zhao") -> None:
    user = desk.user(by)
    with desk.django_as("worker"):
        gates.stop_erasures(system=key, reason=reason, by=user, now=portal_clock.now())


# --- the page


def test_every_system_has_a_row_that_says_in_words_how_it_is(desk: Desk) -> None:
    now = portal_clock.now()
    with desk.django_as("worker"):
        Gate.objects.create(system="insurance", failures=6, closed_until=now + timedelta(minutes=4))
        Gate.objects.create(system="wealth", failures=2)
        Gate.objects.create(system="micoin", shadow=True, at_once=1, per_minute=60)
    stop(desk, "loan")
    found = rows(see(desk.staff("auditor-wu"), "/desk/systems/"))
    assert len(found) == 8, "seven companies' systems and all of them"
    by_label = {name.lower(): text for name, text in found.items()}
    assert next(iter(by_label)) == "all systems"
    assert "Not stopped as a whole" in by_label["all systems"]

    def row(part: str) -> str:
        return next(text for name, text in by_label.items() if part in name)

    assert "Erasures stopped Since 2026-11-23 09:00 , by 赵宁, because: The backup failed" in row("loan")
    assert "Left alone until 09:04 after 6 failures in a row" in row("insurance")
    assert "Is being tried again after 2 failures in a row" in row("wealth")
    coin = row("coin")
    for said in (
        "Shadow mode what would be done is only counted",
        "at most 1 step at once",
        "at most 60 steps a minute",
    ):
        assert said in coin
    assert "Works" not in coin
    assert "Works 0 wait · 0 failed" in row("wallet")


def test_a_stop_of_all_is_in_every_row(desk: Desk) -> None:
    stop(desk, Gate.EVERY)
    found = rows(see(desk.staff("auditor-wu"), "/desk/systems/"))
    assert sum("with those of all systems" in text for text in found.values()) == 7
    assert not any("Works" in text for text in found.values())


def test_what_waits_and_what_failed_is_counted_with_as_many_queries_for_seven_systems_as_for_one(desk: Desk) -> None:
    item = desk.file(PERSON, Kind.DELETION, entities=[])
    client = desk.staff("supervisor-sun")

    def queries() -> int:
        with CaptureQueriesContext(connections["default"]) as seen:
            see(client, "/desk/systems/")
        return len(seen)

    before = queries()
    now = portal_clock.now()
    with desk.django_as("worker"):
        Step.objects.bulk_create(
            Step(
                request=item, verb="erase", system=system, collection=f"{system}.x", ordinal=number, round=1,
                state=state, not_before=now,
            )
            for number, (system, state) in enumerate(
                [("loan", "ready")] * 3 + [("loan", "dead")] + [("wallet", "ready")] + [("wealth", "done")]
            )
        )  # fmt: skip
        Gate.objects.bulk_create(Gate(system=key, failures=1) for key in ("loan", "wallet", "wealth", "insurance"))
    assert queries() == before
    found = rows(see(client, "/desk/systems/"))
    assert "4 wait · 1 failed" in found["All systems"]
    loan = next(text for name, text in found.items() if "loan" in name.lower())
    wallet = next(text for name, text in found.items() if "wallet" in name.lower())
    assert "3 wait · 1 failed" in loan
    assert "1 waits · 0 failed" in wallet


@pytest.mark.parametrize(
    ("role", "stops", "resumes"),
    [("support", True, False), ("supervisor", True, True), ("admin", True, True), ("auditor", False, False)],
)
def test_each_role_sees_the_buttons_that_it_may_use_and_no_others(
    desk: Desk, role: str, stops: bool, resumes: bool
) -> None:
    stop(desk, "loan", by="support-qian")
    client = desk.staff(STAFF[role])
    html = see(client, "/desk/systems/")
    assert (act_url("wallet", "stop") in html) is stops
    assert (act_url(Gate.EVERY, "stop") in html) is stops
    assert (act_url("loan", "resume") in html) is resumes
    assert act_url("loan", "stop") not in html
    assert client.get(act_url("wallet", "stop")).status_code == (200 if stops else 403)
    assert client.get(act_url("loan", "resume")).status_code == (200 if resumes else 403)
    client.post(act_url("wallet", "stop"), {"reason": "Audit"})
    client.post(act_url("loan", "resume"))
    assert bool(wallet := gate(desk, "wallet")) is stops
    assert not wallet or wallet.reason == "Audit"
    loan = gate(desk)
    assert loan
    assert (loan.stopped_at is None) is resumes


def test_a_person_finds_no_such_page(desk: Desk) -> None:
    portal = Portal(desk.business, desk.django_as, desk.travel)
    client = portal.client(portal.user(PERSON))
    for url in ("/desk/systems/", act_url("loan", "stop"), act_url("loan", "resume")):
        assert client.get(url).status_code == 403
        assert client.post(url, {"reason": "x"}).status_code in {403, 405}
    assert gate(desk) is None


# --- stopping and going on


def test_a_stop_says_first_what_will_happen_and_needs_a_reason(desk: Desk) -> None:
    client = desk.staff("support-zhao")
    text = words(see(client, act_url("loan", "stop")))
    for said in (
        "from the next batch on", "What people see: their request waits; the clock goes on.",
        "You cannot take this back yourself",
    ):  # fmt: skip
        assert said in text
    assert gate(desk) is None, "a page that is looked at stops nothing"
    for reason in ("", "   "):
        answer = client.post(act_url("loan", "stop"), {"reason": reason})
        assert answer.status_code == 422
        assert "Write why nothing is to be erased." in words(answer.content.decode())
    answer = client.post(act_url("loan", "stop"), {"reason": "x" * 301})
    assert answer.status_code == 422
    assert "x" * 301 in answer.content.decode(), "what was written is kept"
    assert gate(desk) is None
    answer = client.post(act_url("loan", "stop"), {"reason": "The <b>backup</b> failed"})
    assert answer["Location"] == "/desk/systems/"
    stopped = gate(desk)
    assert stopped
    assert (stopped.stopped_by, stopped.reason) == (desk.user("support-zhao"), "The <b>backup</b> failed")
    html = see(client, "/desk/systems/")
    assert "<b>backup</b>" not in html
    assert "Nothing more is erased, from the next batch on." in words(html)


def test_all_are_stopped_at_once(desk: Desk) -> None:
    client = desk.staff("supervisor-sun")
    text = words(see(client, act_url(Gate.EVERY, "stop")))
    assert "Stop all erasures" in text
    assert "in any system" in text
    assert "You cannot take this back" not in text
    client.post(act_url(Gate.EVERY, "stop"), {"reason": "Audit"})
    with desk.django_as("worker"):
        assert gates.erasing_stopped("loan")


def test_a_second_click_stops_nothing_anew_and_one_resumes_once(desk: Desk) -> None:
    client, other = desk.staff("supervisor-sun"), desk.staff("support-zhao")
    client.post(act_url("loan", "stop"), {"reason": "The backup failed"})
    answer = other.post(act_url("loan", "stop"), {"reason": "Another reason"}, follow=True)
    assert "stopped there already: The backup failed" in words(answer.content.decode())
    stopped = gate(desk)
    assert stopped
    assert (stopped.reason, stopped.stopped_by) == ("The backup failed", desk.user("supervisor-sun"))
    assert other.get(act_url("loan", "stop"))["Location"] == "/desk/systems/"
    client.post(act_url("loan", "resume"))
    answer = client.post(act_url("loan", "resume"), follow=True)
    assert "Erasures are not stopped there." in words(answer.content.decode())
    assert client.get(act_url("loan", "resume"))["Location"] == "/desk/systems/"
    with desk.django_as("worker"):
        kinds = LedgerEntry.objects.filter(chain=stopped.chain).order_by("seq").values_list("kind", flat=True)
        assert list(kinds) == ["erasures_stopped", "erasures_resumed"]


def test_what_stays_stopped_is_said_before_erasures_go_on(desk: Desk) -> None:
    stop(desk, Gate.EVERY, "Audit")
    stop(desk, "loan")
    client = desk.staff("admin-li")
    text = words(see(client, act_url(Gate.EVERY, "resume")))
    assert "by 赵宁, because: Audit" in text
    assert re.search(r"These stay stopped: [^.]*[Ll]oan", text)
    text = words(see(client, act_url("loan", "resume")))
    assert "All systems are stopped as well" in text
    assert "is erased from now on" not in text


@pytest.mark.parametrize("key", ["nothing", "loan'--", "贷款"])
def test_a_system_that_is_not_there_is_not_found(desk: Desk, key: str) -> None:
    client = desk.staff("admin-li")
    for act in ("stop", "resume"):
        assert client.get(act_url(key, act)).status_code == 404
        assert client.post(act_url(key, act), {"reason": "x"}).status_code == 404
    assert gate(desk, key) is None


@pytest.mark.browser
def test_erasures_are_stopped_and_resumed_on_a_small_phone_without_javascript(
    open_page: "Callable[..., Page]", business: Business, owner_sql: Callable[..., list[tuple[Any, ...]]]
) -> None:
    screen = open_page(width=360, height=740, javascript=False)
    login = business.account("supervisor-sun").login
    sign_in(screen, login)
    code = totp.show_code(login, now=portal_clock.now())
    screen.locator("input[name=code]").fill(str(code))
    screen.locator("form", has=screen.locator("input[name=code]")).get_by_role("button").click()
    main = screen.get_by_role("main")

    screen.get_by_role("link", name="系统", exact=True).click()
    assert fits(screen)
    main.get_by_role("link", name="停止删除 贷款系统").click()
    assert "从下一批起，贷款系统不再删除任何内容。" in main.inner_text()
    assert fits(screen)
    main.get_by_role("button", name="停止删除").click()
    assert "请写明为什么停止删除。" in main.inner_text()
    assert fits(screen)
    main.locator("textarea").fill("昨夜的备份没有完成")
    main.get_by_role("button", name="停止删除").click()
    assert "从下一批起不再删除。" in main.inner_text()
    assert "昨夜的备份没有完成" in screen.locator("aside.halts").inner_text()
    assert fits(screen)
    stopped = "SELECT system, reason FROM rights_gate WHERE stopped_at IS NOT NULL"
    assert owner_sql(stopped) == [("loan", "昨夜的备份没有完成")]

    main.get_by_role("link", name="恢复删除 贷款系统").click()
    assert fits(screen)
    main.get_by_role("button", name="恢复删除").click()
    assert "删除已恢复。" in main.inner_text()
    assert screen.locator("aside.halts").count() == 0
    assert owner_sql(stopped) == []


# --- the banner


def test_every_desk_page_says_what_is_stopped_by_whom_since_when_and_why(desk: Desk) -> None:
    item = desk.file(PERSON, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    pages = ("/desk/", "/desk/?view=closed", case_url(item), "/desk/systems/", act_url("wallet", "stop"))
    for url in pages:
        assert "Stopped erasures" not in see(client, url)
    stop(desk, Gate.EVERY, "Audit & backup", by="supervisor-sun")
    stop(desk, "loan")
    for url in pages:
        html = see(client, url)
        banner = re.search(r'<aside class="halts".*?</aside>', html, re.DOTALL)
        assert banner, url
        text = words(banner[0])
        assert "Erasures are stopped in all systems. Since 2026-11-23 09:00 , by 孙越, because: Audit & backup" in text
        assert "by 赵宁, because: The backup failed" in text


# --- the person


@pytest.fixture
def portal(desk: Desk) -> Portal:
    return Portal(desk.business, desk.django_as, desk.travel)


def file_and_approve(portal: Portal) -> Request:
    item = portal.file(portal.user(PERSON), Kind.DELETION, entities=[])
    assert item.state == State.REVIEW
    plan = item.plan or {}
    lines = {line["collection"]: "keep" for line in plan["lines"] if line["fate"] == Fate.PERSON.value}
    return portal.approve(item, **{key.replace(".", "__"): value for key, value in lines.items()})


def test_a_person_reads_that_deletions_are_paused_and_that_the_date_stands(desk: Desk, portal: Portal) -> None:
    stop(desk, Gate.EVERY, "An internal matter")
    item = file_and_approve(portal)
    assert item.state == State.ACTING
    client = portal.client(portal.user(PERSON))
    for language, said in (
        ("zh-hans", ("我们暂时停止了删除。", "到期日不变", "我们暂停了", "12 月 8 日")),
        ("en", ("We have paused deletions for now.", "Its date stands.", "Paused by us", "8 December 2026")),
    ):
        client.cookies["language"] = language
        text = person_words(page(client, "request", item.pk))
        for part in said:
            assert part in text, part
        for hidden in ("internal matter", "Erasures are stopped", "赵宁", "暂时连不上", "Cannot be reached"):
            assert hidden not in text, hidden

    supervisor = desk.user("supervisor-sun")
    with desk.django_as("worker"):
        gates.resume_erasures(system=Gate.EVERY, by=supervisor, now=portal_clock.now())
    item = portal.work(item)
    assert item.state == State.CLOSED
    assert "paused" not in person_words(page(client, "request", item.pk))


def test_staff_read_on_the_case_why_its_steps_wait(desk: Desk, portal: Portal) -> None:
    stop(desk, Gate.EVERY, "The backup failed")
    item = file_and_approve(portal)
    text = words(see(desk.staff("support-zhao"), case_url(item)))
    assert "by 赵宁, because: The backup failed" in text
    assert "Paused by us Erasures are stopped; why is said above." in text
    assert "Cannot be reached" not in text


def test_a_request_that_waits_for_something_else_too_does_not_say_so(desk: Desk, portal: Portal) -> None:
    stop(desk, Gate.EVERY)
    item = file_and_approve(portal)
    with desk.django_as("worker"):
        first = item.steps.filter(state="ready").latest("ordinal")
        Step.objects.filter(pk=first.pk).update(error="The system cannot be reached.", not_before=TODAY)
    client = portal.client(portal.user(PERSON))
    client.cookies["language"] = "en"
    text = person_words(page(client, "request", item.pk))
    assert "We have paused deletions for now." not in text
    assert "Paused by us" in text
