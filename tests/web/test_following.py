"""A person follows what they asked for: the real engine underneath, pages read as a browser gets them."""

import io
import re
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from portal.core import clock as portal_clock
from portal.core import rls
from portal.core.models import OutboxMessage
from rights.actions import fulfil, review, submit, watch
from rights.actions.packages import expire_packages, package_path
from rights.kernel.states import Kind, State
from rights.models import Notice, Package, Request
from tests.business import TODAY, Business

AsRole = Callable[[str], AbstractContextManager[None]]
Travel = Callable[[datetime], None]


@pytest.fixture
def portal(business: Business, django_as: AsRole, clock: Travel) -> "Portal":
    return Portal(business, django_as, clock)


class Portal:
    """What a test does beside the pages: file, decide, work, let time pass."""

    def __init__(self, business: Business, django_as: AsRole, travel: Travel) -> None:
        self.business, self.django_as, self.travel = business, django_as, travel

    def user(self, key: str) -> User:
        with self.django_as("owner"):
            found = User.objects.find_by("account_no", self.business.account(key).login)
        assert found is not None
        return found

    def client(self, user: User) -> Client:
        client = Client()
        rls.acting_as(user.pk, staff=False)
        client.force_login(user, backend="accounts.standin.AccountBackend")
        rls.reset()
        return client

    def file(self, user: User, kind: Kind, **details: Any) -> Request:
        """Filed and worked as far as it goes by itself."""
        now = portal_clock.now()
        with self.django_as("worker"):
            draft = submit.start_draft(subject=user, filed_by=user, kind=kind, details=details, now=now)
            filed = submit.submit(request_id=draft.pk, now=now)
        return self.work(filed)

    def work(self, item: Request) -> Request:
        with self.django_as("worker"):
            fulfil.advance(request_id=item.pk, now=portal_clock.now() + timedelta(seconds=5))
            return Request.objects.select_related("subject", "filed_by").get(pk=item.pk)

    def approve(self, item: Request, **lines: str) -> Request:
        now = portal_clock.now()
        named = {key.replace("__", "."): value for key, value in lines.items()}
        with self.django_as("worker"):
            reviewer = _reviewer()
            plan = review.live_plan(item, now=now)
            review.approve(item, reviewer=reviewer, key="OK.PURPOSE_END", text="", lines=named, plan=plan, now=now)
        return self.work(item)

    def ask(self, item: Request, text: str, *, missing: bool = False) -> None:
        with self.django_as("worker"):
            review.ask(item, reviewer=_reviewer(), text=text, missing=missing, now=portal_clock.now())

    def refuse(self, item: Request, key: str, text: str) -> None:
        with self.django_as("worker"):
            review.refuse(item, reviewer=_reviewer(), key=key, text=text, now=portal_clock.now())


def _reviewer() -> User:
    return User.objects.filter(role="support").order_by("created_at")[0]


def page(client: Client, name: str, *args: Any, status: int = 200) -> str:
    answer = client.get(reverse(f"rights:{name}", args=args))
    assert answer.status_code == status, answer.content.decode()[:2000]
    return answer.content.decode()


def words(html: str) -> str:
    """What is read, without the marks, in one line."""
    main = html.split("<main", 1)[-1].split("</main>", 1)[0]
    main = re.sub(r"</?(?:a|b|span|time)\b[^>]*>", "", main)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main))


CHEN = "chen-ruolan"


def test_a_deletion_is_followed_from_review_to_deferral(portal: Portal) -> None:
    """The worked example's first days: a case worker has it, then only the loan is in the way."""
    chen = portal.user(CHEN)
    client = portal.client(chen)
    item = portal.file(chen, Kind.DELETION, entities=[])
    assert item.state == State.REVIEW

    seen = words(page(client, "request", item.pk))
    assert "受理人" in seen
    assert "12 月 8 日" in seen
    assert "星期二" in seen
    assert reverse("rights:withdraw", args=[item.pk]) in page(client, "request", item.pk)
    assert reverse("rights:request", args=[item.pk]) in page(client, "requests")

    item = portal.approve(item, wallet__family_payment="keep", wealth__holding="refer")
    assert item.state == State.DEFERRED
    html = page(client, "request", item.pk)
    seen = words(html)
    assert "还有贷款未还清" in seen
    assert "¥4,260.00" in seen
    assert "/systems/" in html
    assert "已暂缓" in seen
    assert reverse("rights:withdraw", args=[item.pk]) not in html
    assert "1,225 条" in seen, "1,200 + 6 + 3 + 1 + 15 are gone"
    assert "2031-11-06" in seen or "2031-11-05" in seen
    assert seen.index("从 11 月 23 日起") < seen.index("经过"), "whose turn it is stands first"

    seen = words(page(client, "held"))
    assert "50 条" in seen
    assert "AML-5-TXN" in seen

    receipt = page(client, "receipt", item.pk)
    assert re.search(r"<span>[0-9a-f]{8}</span>", receipt)
    assert receipt.count('class="r-on"') == 64
    assert chen.display_name not in receipt


def test_a_request_is_taken_back_once_and_only_before_it_begins(portal: Portal) -> None:
    chen = portal.user(CHEN)
    client = portal.client(chen)
    item = portal.file(chen, Kind.DELETION, entities=["wallet"])
    for _ in range(2):
        answer = client.post(reverse("rights:withdraw", args=[item.pk]))
        assert answer.status_code == 302
    seen = words(page(client, "request", item.pk))
    assert "你在 11 月 23 日撤回了这件申请" in seen
    assert str(item.reference) in words(page(client, "requests"))
    assert portal.business.count("wallet", "wallet.payment", "true") > 40


def test_taking_back_loses_against_a_round_that_started_meanwhile(portal: Portal) -> None:
    """Read before the round, taken back after: the steps would run on a request that says it was taken back."""
    chen = portal.user(CHEN)
    seen = portal.file(chen, Kind.DELETION, entities=["wallet"])
    with portal.django_as("worker"):
        Request.objects.filter(pk=seen.pk).update(round=1)
        with pytest.raises(submit.CannotSubmit):
            submit.take_back(seen, actor=chen, now=portal_clock.now())
        seen.refresh_from_db()
    assert seen.state == State.REVIEW


def test_a_question_is_answered_and_the_clock_goes_on(portal: Portal) -> None:
    chen = portal.user(CHEN)
    client = portal.client(chen)
    item = portal.file(chen, Kind.DELETION, entities=["wallet"])
    portal.ask(item, "旧手机号是否已停用？")
    portal.travel(TODAY + timedelta(days=3))
    seen = words(page(client, "request", item.pk))
    assert "在等你，从 11 月 23 日起" in seen
    assert "旧手机号是否已停用？" in seen
    assert "还不完整" not in seen
    assert "暂停 3 天" in seen

    where = reverse("rights:answer", args=[item.pk])
    assert client.post(where, {"answer": " "}).status_code == 422
    assert client.post(where, {"answer": "已停用。"}).status_code == 302
    assert client.post(where, {"answer": "again"}).status_code == 302
    seen = words(page(client, "request", item.pk))
    assert "已停用。" in seen
    assert "again" not in seen
    assert "12 月 11 日" in seen, "three days did not count"


@pytest.mark.parametrize(("days", "starts"), [(3, True), (4, False)])
def test_what_was_missing_is_said_to_start_the_limit_if_it_was_asked_for_in_time(
    portal: Portal, days: int, starts: bool
) -> None:
    chen = portal.user(CHEN)
    client = portal.client(chen)
    item = portal.file(chen, Kind.DELETION, entities=["wallet"])
    portal.travel(TODAY + timedelta(days=days))
    portal.ask(item, "请补上委托书。", missing=True)
    seen = words(page(client, "request", item.pk))
    assert ("申请还不完整。我们的期限从你回答那天起算，共 15 天。" in seen) == starts
    assert ("我们请你补上缺的内容，期限从你回答那天起算。" in seen) == starts
    with portal.django_as("worker"):
        item.refresh_from_db()
        review.answer(item, text="补上了。", actor=chen, now=portal_clock.now())
    assert ("已回答，期限从这天起算。" in words(page(client, "request", item.pk))) == starts


def test_a_refusal_gives_reason_article_and_ways_out(portal: Portal) -> None:
    chen = portal.user(CHEN)
    client = portal.client(chen)
    item = portal.file(chen, Kind.DELETION, entities=["wallet"])
    portal.refuse(item, "NA.ANONYMISED", "这些统计数据里已没有你。")
    seen = words(page(client, "request", item.pk))
    assert "我们没有同意" in seen
    assert "这些统计数据里已没有你。" in seen
    assert "个人信息保护法第 4、73 条" in seen
    assert "申诉" in seen
    assert "起诉" in seen


def test_a_package_is_handed_out_for_a_fresh_code_and_then_goes(portal: Portal) -> None:
    chen = portal.user(CHEN)
    client = portal.client(chen)
    item = portal.file(chen, Kind.ACCESS)
    assert item.state == State.CLOSED
    where, download = reverse("rights:package", args=[item.pk]), reverse("rights:package_download", args=[item.pk])
    assert reverse("rights:package", args=[item.pk]) in page(client, "request", item.pk)
    seen = words(page(client, "package", item.pk))
    assert "11 月 30 日" in seen
    assert client.post(download, {"code": "000000"}).status_code == 422

    assert client.post(where).status_code == 302
    code = _sent_code(portal)
    assert client.post(download, {"code": "000000" if code != "000000" else "111111"}).status_code == 422
    answer = client.post(download, {"code": code})
    assert answer.status_code == 302
    assert client.post(download, {"code": code}).status_code == 422, "a code counts once"
    file = reverse("rights:package_file", args=[item.pk, 1])
    assert answer["Location"] == file
    answer = client.get(file)
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == f'attachment; filename="access-{item.reference}.zip"'
    assert "no-store" in answer["Cache-Control"]
    body = answer.getvalue()
    assert len(body) == int(answer["Content-Length"])
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        rows = archive.read("data/platform.behaviour.csv").decode().splitlines()
    assert len(rows) == 1201
    with portal.django_as("owner"):
        found = Package.objects.get(request=item)
        assert found.downloads == 1
        assert found.request.events.filter(kind="package_fetched").count() == 1

    portal.travel(TODAY + timedelta(days=8))
    with portal.django_as("worker"):
        expire_packages(now=portal_clock.now())
    assert not package_path(found.pk).exists()
    assert "已经删除" in words(page(client, "package", item.pk))
    assert client.post(download, {"code": code}).status_code == 410
    assert client.get(file).status_code == 410


def _sent_code(portal: Portal) -> str:
    with portal.django_as("owner"):
        body = OutboxMessage.objects.filter(channel="sms").latest("created_at").body
    found = re.search(r"\d{6}", body)
    assert found
    return found.group()


def test_nobody_follows_somebody_elses_request(portal: Portal) -> None:
    chen = portal.user(CHEN)
    item = portal.file(chen, Kind.ACCESS)
    with portal.django_as("owner"):
        told = Notice.objects.filter(user=chen)[0]
    other = portal.client(portal.user("zhou-mingyuan"))
    for name in ("request", "receipt", "package"):
        page(other, name, item.pk, status=404)
    page(other, "notice", told.pk, status=404)
    for name in ("withdraw", "answer", "package", "package_download"):
        assert other.post(reverse(f"rights:{name}", args=[item.pk]), {"answer": "x"}).status_code == 404
    assert str(item.reference) not in page(other, "requests")
    nobody = Client()
    assert nobody.get(reverse("rights:held")).status_code == 302
    with portal.django_as("owner"):
        staff = _reviewer()
    page(portal.client(staff), "held", status=403)


def test_consents_are_what_the_systems_say_and_what_was_withdrawn(portal: Portal) -> None:
    chen = portal.user(CHEN)
    client = portal.client(chen)
    assert "个性化推荐" in words(page(client, "consents"))
    item = portal.file(chen, Kind.WITHDRAWAL, purposes=["recommendation"])
    assert item.state == State.CLOSED
    html = page(client, "consents")
    given, withdrawn = html.split("已撤回", 1)
    assert "个性化推荐" not in given
    assert "个性化推荐" in withdrawn
    assert "2026-11-23" in withdrawn


def test_notices_are_read_by_opening_them(portal: Portal) -> None:
    chen = portal.user(CHEN)
    client = portal.client(chen)
    portal.file(chen, Kind.WITHDRAWAL, purposes=["recommendation"])
    with portal.django_as("worker"):
        watch.send_notices(now=portal_clock.now())
    html = page(client, "notices")
    assert "有人用你的帐号" not in html, "what went to the second contact is not repeated here"
    unread = html.count('class="unread"')
    assert unread == 2, "received, and done"
    with portal.django_as("owner"):
        told = Notice.objects.filter(user=chen, kind="closed")[0]
    letter = words(page(client, "notice", told.pk))
    assert "已办完" in letter
    assert "备份" in letter, "and by when the backups are clear"
    assert page(client, "notices").count('class="unread"') == 1


def test_display_is_kept_in_cookies_and_leads_back(portal: Portal) -> None:
    client = portal.client(portal.user(CHEN))
    where = reverse("rights:display")
    answer = client.post(where, {"theme": "dark", "contrast": "more", "next": "/held/"})
    assert answer["Location"] == "/held/"
    html = page(client, "held")
    assert 'data-theme="dark"' in html
    assert 'data-contrast="more"' in html
    client.post(where, {"theme": "", "contrast": "", "next": "/"})
    assert "data-theme" not in page(client, "held")
    for elsewhere in ("https://elsewhere.example/", "//elsewhere.example/", "/\\elsewhere.example"):
        assert client.post(where, {"theme": "blue", "next": elsewhere})["Location"] == "/"


def test_pages_for_everybody(portal: Portal) -> None:
    assert "12377" in page(Client(), "channels")
    page(Client(), "styleguide")


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_every_kind_reads_well_from_filing_to_the_end(portal: Portal, language: str) -> None:
    """No raw key, no English in Chinese pages and no Chinese interface in English ones."""
    chen = portal.user(CHEN)
    client = portal.client(chen)
    client.cookies["language"] = language
    items = [
        portal.file(chen, Kind.ACCESS),
        portal.file(chen, Kind.WITHDRAWAL, purposes=["recommendation", "face"]),
        portal.file(chen, Kind.CORRECTION, items=[{"correction": "phone", "old": chen.phone, "new": "19900001234"}]),
        portal.file(chen, Kind.CANCELLATION, entities=["loan"]),
        portal.file(chen, Kind.DELETION, entities=["loan", "wealth"]),
    ]
    for item in items:
        for name in ("request", "receipt"):
            seen = words(page(client, name, item.pk))
            assert not re.search(r"\b(OK|HOLD|BLOCK|SHARED|POLICY)\.[A-Z]", seen), (item.kind, seen)
            assert not re.search(r"\b[a-z]+\.[a-z_]+\b", seen.replace("platform.", "")) or language == "en"
    for name in ("requests", "consents", "notices", "held"):
        page(client, name)
