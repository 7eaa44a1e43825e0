"""Pictures of every page that links lead to, for each kind of visitor, and of requests in every state that a page tells
apart, in both languages: `make shots` puts them into shots/. A page that scrolls sideways fails."""

import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from accounts import totp
from accounts.models import User
from portal.core import clock
from rights.actions import consents, fees, gates, review, submit
from rights.actions.appeals import claim_appeal, decide_appeal, file_appeal
from rights.actions.thread import Handed, post_message
from rights.kernel.plan import Fate
from rights.kernel.states import Kind, State
from rights.models import Gate, Request
from tests.business import TODAY, Business
from tests.conftest import Clock
from tests.stack import Stack, django_as
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHOTS = Path(__file__).resolve().parent.parent / "shots"
WIDTHS = (360, 1280)
MOST = 40
VISITORS = {"nobody": None, "person": "880001", "support": "990001", "supervisor": "990003", "admin": "990004"}
LANGUAGES = {"zh": "zh-hans", "en": "en"}
AGENT, FORMER, PRINCIPAL, STAFF = "gao-wenbo", "song-lihua", "zheng-guodong", "support-zhao"
SUPERVISOR, AUDITOR = "supervisor-sun", "auditor-wu"
EVERYTHING = "tang-jiayi"
FEES = {"chen-ruolan": "quoted", "zhou-mingyuan": "accepted", "lin-xiaoyun": "waived", "luo-zihan": "declined"}
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


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
    wide: list[str] = []
    while todo and len(seen) < MOST:
        address = todo.pop(0)
        shape = re.sub(
            r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{3,}|(?<=/desk/systems/)[^/]+", "n", address.removeprefix(live).split("?")[0]
        )
        if shape in seen:
            continue
        seen.add(shape)
        name = re.sub(r"[^a-z0-9]+", "-", shape.lower()).strip("-") or "start"
        wide += take_pictures(page, address, folder, name)
        links = page.locator("a[href]").evaluate_all("links => links.filter(a => !a.download).map(a => a.href)")
        todo += [link.split("#")[0] for link in links if link.startswith(f"{live}/") and is_page(link)]
    assert not wide


@pytest.mark.browser
def test_pictures_of_states(
    open_page: "Callable[..., Page]", business: Business, stack: Stack, live: str, clock: Clock
) -> None:
    """A fee, a proof, a question, a deferral and every ending, as who asked and as staff see them."""
    shutil.rmtree(SHOTS / "states", ignore_errors=True)
    states = States(business, stack, clock)
    requests = states.make()
    pages = [(who, name, f"/requests/{pk}/") for name, (who, pk) in requests.items()]
    pages += [(who, f"{name}-receipt", f"/requests/{pk}/receipt/") for name, (who, pk) in requests.items()
              if name in {"erased", "held"}]  # fmt: skip
    pages += [(FORMER, "unproved-of-me", f"/requests/{requests['unproved'][1]}/")]
    pages += [(PRINCIPAL, "unproved-of-me-lapsed", f"/requests/{requests['unproved-lapsed'][1]}/")]
    pages += [(AGENT, "no-authority", f"/rights/deletion/?for={states.user(PRINCIPAL).pk}")]
    pages += [(who, f"list-{who}", "/requests/") for who in (AGENT, "zhou-mingyuan")]
    pages += [(who, f"notices-{who}", "/notices/") for who in (AGENT, FORMER, "chen-ruolan")]
    pages += [(STAFF, f"desk-{name}", f"/desk/cases/{pk}/") for name, (who, pk) in requests.items()]
    pages += [(STAFF, f"queue-{view}", f"/desk/?view={view}") for view in ("todo", "waiting", "unproved", "closed")]
    assert not list(take_all(pages, open_page=open_page, business=business, stack=stack, live=live, folder="states"))


@pytest.mark.browser
def test_pictures_of_systems(
    open_page: "Callable[..., Page]", business: Business, stack: Stack, live: str, clock: Clock
) -> None:
    """Systems in every state, a stop before and after, and who waits for it, as each of them sees it."""
    shutil.rmtree(SHOTS / "systems", ignore_errors=True)
    states = States(business, stack, clock)
    now, support, supervisor = TODAY, states.user(STAFF), states.user(SUPERVISOR)
    with django_as(stack, "worker"):
        gates.stop_erasures(system=Gate.EVERY, reason="昨夜的备份没有完成，核对之前不删除。", by=supervisor, now=now)
        gates.stop_erasures(system="loan", reason="贷款系统正在迁移。", by=support, now=now)
        Gate.objects.create(system="insurance", failures=6, closed_until=now + 12 * HOUR)
        Gate.objects.create(system="wealth", failures=2)
        Gate.objects.create(system="micoin", shadow=True, at_once=2, per_minute=600)
    item = states.approve(FORMER)
    wait_until(lambda: states.is_halted(item), seconds=40, what="no step was stopped")
    pages = [(SUPERVISOR, name, address) for name, address in (
        ("systems", "/desk/systems/"), ("stop-one", "/desk/systems/wallet/stop/"),
        ("resume-one", "/desk/systems/loan/resume/"), ("resume-all", "/desk/systems/*/resume/"), ("queue", "/desk/"),
        ("case", f"/desk/cases/{item.pk}/"),
    )]  # fmt: skip
    pages += [(STAFF, "support-systems", "/desk/systems/"), (STAFF, "support-stop", "/desk/systems/wallet/stop/")]
    pages += [(AUDITOR, "auditor-systems", "/desk/systems/"), (FORMER, "person", f"/requests/{item.pk}/")]
    assert not list(take_all(pages, open_page=open_page, business=business, stack=stack, live=live, folder="systems"))


@pytest.mark.browser
def test_pictures_of_messages_and_appeals(
    open_page: "Callable[..., Page]", business: Business, stack: Stack, live: str, clock: Clock
) -> None:
    """A thread with files, a message that is not taken, an appeal from its question to both of its ends."""
    shutil.rmtree(SHOTS / "messages", ignore_errors=True)
    states = States(business, stack, clock)
    requests = states.make_written()
    page = open_page()
    sign_in(page, business.account("feng-siqi").login, stack)
    page.goto(f"/requests/{requests['written'].pk}/")
    page.locator("#id_message_text").fill("这份是授权书，请看第二页。")
    page.locator("#id_message_attachments").set_input_files(
        files={"name": "授权书.docx", "mimeType": "application/pdf", "buffer": b"PK not a pdf"}
    )
    page.locator("#messages form button").click()
    page.wait_for_load_state()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        (SHOTS / "messages").mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / "messages" / f"refused-file-{width}.png", full_page=True)
    people = {"written": "feng-siqi", "ended": "tang-jiayi", "appealed": "xie-yutong", "upheld": "chen-jianguo",
              "overturned": "lin-xiaoyun"}  # fmt: skip
    pages = [(who, name, f"/requests/{requests[name].pk}/") for name, who in people.items()]
    pages += [("tang-jiayi", "appeal", f"/requests/{requests['ended'].pk}/appeal/")]
    pages += [(SUPERVISOR, f"desk-{name}", f"/desk/cases/{item.pk}/") for name, item in requests.items()]
    pages += [(SUPERVISOR, f"queue-{view}", f"/desk/?view={view}") for view in ("messages", "appeals")]
    assert not list(take_all(pages, open_page=open_page, business=business, stack=stack, live=live, folder="messages"))


@pytest.mark.browser
def test_pictures_of_consents(
    open_page: "Callable[..., Page]", business: Business, stack: Stack, live: str, clock: Clock
) -> None:
    """The centre of somebody who agreed to everything, is asked by a new policy and whose browser sends its signal."""
    shutil.rmtree(SHOTS / "consents", ignore_errors=True)
    States(business, stack, clock).signal(EVERYTHING)
    names = {"home": "", "centre": "consents/", "sharing": "consents/sharing/", "permissions": "consents/permissions/",
             "policies": "consents/policies/", "end": "consents/confirm/?purpose=face&to=end",
             "give": "consents/confirm/?purpose=marketing_sms&to=give"}  # fmt: skip
    pages = [(EVERYTHING, name, f"/{address}") for name, address in names.items()]
    assert not list(take_all(pages, open_page=open_page, business=business, stack=stack, live=live, folder="consents"))


class States:
    """Requests of the demo's people in every state, made by the same actions that the pages call."""

    def __init__(self, business: Business, stack: Stack, travel: Clock) -> None:
        self.business, self.stack, self.travel = business, stack, travel

    def make(self) -> dict[str, tuple[str, str]]:
        """By name, who follows the request and its id."""
        made: dict[str, tuple[str, Request]] = {}
        self.travel(TODAY - 31 * DAY)
        made["unproved-lapsed"] = AGENT, self.file(AGENT, Kind.DELETION, about=PRINCIPAL)
        made["fee-lapsed"] = "he-jianwei", self.quote("he-jianwei")
        self.travel(TODAY - 8 * DAY)
        made["unproved"] = AGENT, self.file(AGENT, Kind.DELETION, about=FORMER)
        self.travel(TODAY)
        self.wait(State.CLOSED, made["unproved-lapsed"][1], made["fee-lapsed"][1])
        staff = self.user(STAFF)
        for key, name in FEES.items():
            made[f"fee-{name}"] = key, self.quote(key)
        made["repeat"] = "han-zhiqiang", self.ask_again("han-zhiqiang")
        made["unproved-taken-back"] = AGENT, self.file(AGENT, Kind.ACCESS, about=FORMER)
        made["asked"] = "xie-yutong", self.file("xie-yutong", Kind.DELETION)
        made["refused"] = "feng-siqi", self.file("feng-siqi", Kind.DELETION)
        made["review"] = "tang-jiayi", self.file("tang-jiayi", Kind.DELETION)
        made["deferred"] = "zhou-mingyuan", self.file("zhou-mingyuan", Kind.CANCELLATION, entities=("loan",))
        made["extended"] = "chen-jianguo", self.file("chen-jianguo", Kind.DELETION)
        made["erased"] = FORMER, self.approve(FORMER)
        made["held"] = "lin-xiaoyun", self.approve("lin-xiaoyun")
        of, now = {name: request for name, (_, request) in made.items()}, clock.now()
        with django_as(self.stack, "worker"):
            fees.accept_fee(of["fee-accepted"], actor=self.user("zhou-mingyuan"), now=now)
            fees.waive_fee(of["fee-waived"], reviewer=staff, now=now)
            fees.decline_fee(of["fee-declined"], actor=self.user("luo-zihan"), now=now)
            submit.take_back(of["unproved-taken-back"], actor=self.user(AGENT), now=now)
            review.ask(of["asked"], reviewer=staff, text="请写明是哪一份订单，写订单号。", missing=True, now=now)
            review.refuse(
                of["refused"], reviewer=staff, key="GROUND.ANTI_FRAUD", text="正在核查，现在删除会妨碍。", now=now
            )
            review.extend(of["extended"], reviewer=staff, reason="七家公司都要人工核对，数量大。", now=now)
        self.wait(State.CLOSED, *(of[name] for name in ("fee-accepted", "fee-waived", "erased", "held")))
        return {name: (who, str(request.pk)) for name, (who, request) in made.items()}

    def make_written(self) -> dict[str, Request]:
        """By name: one with messages, and endings that were or can be appealed against."""
        self.travel(TODAY)
        staff, other, now = self.user(STAFF), self.user(SUPERVISOR), clock.now()
        made = {"written": self.file("feng-siqi", Kind.DELETION)}
        for key, name in (
            ("tang-jiayi", "ended"), ("xie-yutong", "appealed"), ("chen-jianguo", "upheld"),
            ("lin-xiaoyun", "overturned"),
        ):  # fmt: skip
            made[name] = self.file(key, Kind.DELETION)
        letter = Handed("合同第 2 页扫描件，2024 年 3 月签订，含补充协议和附件清单.pdf", b"%PDF-1.7 a contract")
        with django_as(self.stack, "worker"):
            first = made["written"]
            post_message(
                first, author=first.subject, text="附上借款合同。\n请看第二页。", files=[letter], once=uuid4(), now=now
            )
            post_message(first, author=staff, text="收到，我们在核对。", once=uuid4(), seen=1, now=now + HOUR)
            post_message(first, author=first.subject, text="谢谢。还需要别的吗？", once=uuid4(), now=now + 2 * HOUR)
            for name in ("ended", "appealed", "upheld", "overturned"):
                item = made[name]
                review.refuse(item, reviewer=staff, key="GROUND.ANTI_FRAUD", text="正在核查，现在删除会妨碍。", now=now)
                if name != "ended":
                    item.refresh_from_db()
                    appeal = file_appeal(item, actor=item.subject, reason="核查上周已经结束了，有通知。", now=now)
                if name in {"upheld", "overturned"}:
                    claim_appeal(appeal, reviewer=other, now=now)
                    decide_appeal(
                        appeal,
                        reviewer=other,
                        outcome=name,
                        key="GROUND.ANTI_FRAUD",
                        text="已重新核对全部材料。",
                        now=now,
                    )
        return {name: self.again(item) for name, item in made.items()}

    def user(self, key: str) -> User:
        with django_as(self.stack, "owner"):
            found = User.objects.find_by("account_no", self.business.account(key).login)
        assert found is not None
        return found

    def file(self, key: str, kind: Kind, *, about: str = "", entities: tuple[str, ...] = ()) -> Request:
        filer, now = self.user(key), clock.now()
        with django_as(self.stack, "worker"):
            draft = submit.start_draft(
                subject=self.user(about or key), filed_by=filer, kind=kind, details={"entities": [*entities]}, now=now
            )
            sent = submit.submit(request_id=draft.pk, now=now)
        wait_until(lambda: self.again(sent).state != State.CHECKING, seconds=40, what=f"{kind} of {key} still checked")
        return self.again(sent)

    def ask_again(self, key: str) -> Request:
        """The same copy asked for twice: a person decides what the second costs."""
        self.wait(State.CLOSED, self.file(key, Kind.ACCESS))
        return self.file(key, Kind.ACCESS)

    def quote(self, key: str) -> Request:
        item = self.ask_again(key)
        with django_as(self.stack, "worker"):
            fees.quote_fee(
                item,
                reviewer=self.user(STAFF),
                amount=Decimal("12.50"),
                reason="光盘一张和挂号信",
                now=clock.now(),
            )
        return self.again(item)

    def approve(self, key: str) -> Request:
        item, now = self.file(key, Kind.DELETION), clock.now()
        with django_as(self.stack, "worker"):
            plan = review.live_plan(item, now=now)
            review.approve(
                item, reviewer=self.user(STAFF), key="OK.PERIOD_OVER", text="我们会删除保留期已满的部分。",
                lines={line.collection: "keep" for line in plan.of(Fate.PERSON)}, plan=plan, now=now,
            )  # fmt: skip
        return item

    def again(self, item: Request) -> Request:
        with django_as(self.stack, "worker"):
            return Request.objects.select_related("subject", "filed_by", "reviewer").get(pk=item.pk)

    def signal(self, key: str) -> None:
        user = self.user(key)
        with django_as(self.stack, "worker"):
            consents.note_signal(user, now=clock.now())
            consents.settle(now=clock.now())
            (filed,) = Request.objects.filter(subject=user, kind=Kind.WITHDRAWAL)
        self.wait(State.CLOSED, filed)

    def is_halted(self, item: Request) -> bool:
        with django_as(self.stack, "worker"):
            return any(map(gates.is_stopped, item.steps.all()))

    def wait(self, state: State, *items: Request) -> None:
        """Until the running worker has brought them there."""

        def there() -> bool:
            return all(self.again(item).state == state for item in items)

        wait_until(there, seconds=40, what=lambda: f"{state}; they are {[self.again(item).state for item in items]}")


def take_all(
    pages: Sequence[tuple[str, str, str]],
    *,
    open_page: "Callable[..., Page]",
    business: Business,
    stack: Stack,
    live: str,
    folder: str,
) -> Iterable[str]:
    """Of each page (who reads it, its name, its address), in both languages. Gives those that are too wide."""
    for who in dict.fromkeys(who for who, _, _ in pages):
        page = open_page()
        sign_in(page, business.account(who).login, stack)
        for place, language in LANGUAGES.items():
            page.context.add_cookies([{"name": "language", "value": language, "url": live}])
            for reader, name, address in pages:
                if reader == who:
                    yield from take_pictures(page, address, SHOTS / folder / place, name)


def take_pictures(page: "Page", address: str, folder: Path, name: str) -> Iterable[str]:
    """One for each width. Gives those that are wider than the screen."""
    answer = page.goto(address)
    assert answer is not None
    assert answer.status < 500, address
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            yield f"{folder.name}/{name}-{width}"


def is_page(link: str) -> bool:
    return not re.search(r"/(static|api|download|package)/|\.\w{2,4}$", link)


def sign_in(page: "Page", login: str, stack: Stack) -> None:
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
