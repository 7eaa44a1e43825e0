"""The consent centre: what a person said last is what holds, what was said stays as it was said, and no is as easy as
yes. The real engine underneath, pages read as a browser gets them."""

import io
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accounts.models import User
from portal.core import clock as portal_clock
from portal.core import ledger
from portal.core.models import OutboxMessage
from rights.actions import consents, watch
from rights.connectors.base import Unavailable
from rights.kernel.states import Kind, State
from rights.models import ConsentEvent, Handover, Notice, Request
from tests.business import Business
from tests.web.test_following import CHEN, Portal, page, words

AsRole = Callable[[str], AbstractContextManager[None]]
Connect = Callable[[str], AbstractContextManager["psycopg.Connection[Any]"]]
Travel = Callable[[datetime], None]
GPC = {"HTTP_SEC_GPC": "1"}
MARKETING, ASKED, ALL = "feng-siqi", "luo-zihan", "tang-jiayi"
"""Who agreed to marketing alone; who is asked by the new policy; who agreed to everything."""


@pytest.fixture
def portal(business: Business, django_as: AsRole, clock: Travel) -> Portal:
    return Portal(business, django_as, clock)


def post(client: Client, name: str, **fields: str) -> HttpResponse:
    return client.post(reverse(f"rights:{name}"), fields)  # type: ignore[return-value]


def settle(portal: Portal) -> int:
    with portal.django_as("worker"):
        return consents.settle(now=portal_clock.now())


def flag(portal: Portal, key: str, purpose: str) -> bool:
    """What the platform's own register says."""
    ((granted,),) = portal.business.sql(
        "platform",
        "SELECT granted FROM platform.consent JOIN platform.profile USING (profile_id)"
        " WHERE account_no = %s AND purpose = %s",
        [portal.business.account(key).login, purpose],
    )
    return bool(granted)


def withdrawals(portal: Portal, user: User) -> list[Request]:
    with portal.django_as("worker"):
        return list(Request.objects.filter(subject=user, kind=Kind.WITHDRAWAL).order_by("created_at"))


def events(portal: Portal, user: User, purpose: str) -> list[tuple[bool, str]]:
    with portal.django_as("worker"):
        found = ConsentEvent.objects.filter(user=user, purpose=purpose).order_by("id")
        return list(found.values_list("given", "source"))


def use(html: str, purpose: str) -> str:
    """The part of the centre that tells of one use."""
    return html.split(f'<li class="pl" id="use-{purpose}">', 1)[1].split("</div></li>", 1)[0]


# --- ending and giving


def test_marketing_is_off_two_taps_from_home_and_each_channel_by_itself(portal: Portal) -> None:
    person = portal.user(MARKETING)
    client = portal.client(person)
    assert f'href="{reverse("rights:consents")}"' in page(client, "home")  # the first tap
    html = page(client, "consents")
    assert "不再给你发营销短信" in words(use(html, "marketing_sms")), "what follows is told before"
    answer = post(client, "consent_end", purpose="marketing_sms")  # the second
    assert answer.status_code == 302
    shown = use(page(client, "consents"), "marketing_sms")
    assert "已关闭" in shown
    assert "正在通知" in shown, "it holds before any worker has come by"
    assert "已打开" in use(page(client, "consents"), "marketing_push")
    (filed,) = withdrawals(portal, person)
    assert portal.work(filed).state == State.CLOSED
    assert (flag(portal, MARKETING, "marketing_sms"), flag(portal, MARKETING, "marketing_push")) == (False, True)
    assert events(portal, person, "marketing_sms") == [(False, "portal")]
    assert "正在通知" not in use(page(client, "consents"), "marketing_sms")


def test_a_second_tap_and_a_post_again_change_nothing(portal: Portal) -> None:
    person = portal.user(MARKETING)
    client = portal.client(person)
    for _ in range(2):
        assert post(client, "consent_end", purpose="marketing_sms").status_code == 302
    (filed,) = withdrawals(portal, person)
    portal.work(filed)
    post(client, "consent_end", purpose="marketing_sms")
    assert len(withdrawals(portal, person)) == 1
    for _ in range(2):
        post(client, "consent_give", purpose="marketing_sms")
    assert events(portal, person, "marketing_sms") == [(False, "portal"), (True, "portal")]
    settle(portal)
    post(client, "consent_give", purpose="marketing_sms")
    assert len(events(portal, person, "marketing_sms")) == 2


def test_it_is_given_again_as_easily_with_its_version_and_entry(portal: Portal) -> None:
    person = portal.user(MARKETING)
    client = portal.client(person)
    post(client, "consent_end", purpose="marketing_push")
    portal.work(withdrawals(portal, person)[0])
    post(client, "consent_give", purpose="marketing_push")
    assert not flag(portal, MARKETING, "marketing_push")
    assert "已打开" in use(page(client, "consents"), "marketing_push"), "what was said holds before the system has it"
    assert settle(portal) == 1
    assert flag(portal, MARKETING, "marketing_push")
    with portal.django_as("worker"):
        said = ConsentEvent.objects.get(user=person, given=True)
        assert (said.version, said.settled_at is not None) == ("2026-12-15", True)
        (entry,) = ledger.read_chain(said.chain)  # type: ignore[arg-type]
    assert entry.body == {"purpose": "marketing_push", "given": True, "source": "portal", "version": "2026-12-15"}


def test_what_was_said_last_is_what_is_written(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given while the system is away, then withdrawn: whichever worker comes first, the flag ends as withdrawn."""
    person = portal.user(ASKED)
    client = portal.client(person)
    post(client, "consent_give", purpose="marketing_mail")

    def away(*args: object, **kwargs: object) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(consents, "connect", away)
        assert settle(portal) == 0
    assert not flag(portal, ASKED, "marketing_mail")
    portal.travel(portal_clock.now() + timedelta(minutes=5))
    post(client, "consent_end", purpose="marketing_mail")
    settle(portal)
    assert not flag(portal, ASKED, "marketing_mail")
    portal.work(withdrawals(portal, person)[0])
    settle(portal)
    assert not flag(portal, ASKED, "marketing_mail")


def test_while_it_is_being_ended_it_cannot_be_given(portal: Portal) -> None:
    person = portal.user(MARKETING)
    client = portal.client(person)
    post(client, "consent_end", purpose="marketing_sms")
    assert (
        "正在关闭"
        in client.post(reverse("rights:consent_give"), {"purpose": "marketing_sms"}, follow=True).content.decode()
    )
    assert events(portal, person, "marketing_sms") == []


@pytest.mark.slow
def test_to_change_ones_mind_often_is_no_abuse(portal: Portal) -> None:
    """More than three of the same within 30 days are looked at by a person; taking back never is (PIPL 15)."""
    person = portal.user(MARKETING)
    client = portal.client(person)
    for _ in range(5):
        post(client, "consent_end", purpose="marketing_sms")
        assert portal.work(withdrawals(portal, person)[-1]).state == State.CLOSED
        portal.travel(portal_clock.now() + timedelta(minutes=2))
        post(client, "consent_give", purpose="marketing_sms")
        settle(portal)
        portal.travel(portal_clock.now() + timedelta(minutes=2))
    assert flag(portal, MARKETING, "marketing_sms")


def test_what_erases_is_told_with_its_count_before_and_asks_once_more(portal: Portal) -> None:
    client = portal.client(portal.user(CHEN))
    assert "敏感" in use(page(client, "consents"), "face")
    html = client.get(reverse("rights:consent_confirm"), {"purpose": "recommendation", "to": "end"}).content.decode()
    assert "1,200 条" in words(html), "of the worked example: 1,200 visits"
    assert "关闭并删除" in html


def test_what_rests_on_contract_or_law_has_no_switch(portal: Portal) -> None:
    html = page(portal.client(portal.user(CHEN)), "consents")
    needed = html.split('id="needed"', 1)[1]
    assert "借款合同" in needed
    assert "没有同意可以撤回" in needed
    assert "<button" not in needed.split("</section>")[0]
    assert "浏览和使用记录" not in needed, "that rests on consent"


def test_what_there_is_not_is_not_found(portal: Portal) -> None:
    client = portal.client(portal.user(CHEN))
    wrong: tuple[dict[str, str], ...] = (
        {"purpose": "nonsense"},
        {},
        {"recipient": "nobody"},
        {"purpose": "face", "recipient": "duiba"},
        {"recipient": "UnionPay"},  # a contract needs it
    )
    for name in ("consent_end", "consent_give"):
        assert [post(client, name, **fields).status_code for fields in wrong] == [404] * 5


def test_nobody_speaks_for_another_and_nothing_said_is_changed(portal: Portal, as_role: Connect) -> None:
    person, other = portal.user(MARKETING), portal.user(CHEN)
    post(portal.client(person), "consent_end", purpose="marketing_sms")
    portal.work(withdrawals(portal, person)[0])
    add = "INSERT INTO rights_consentevent (user_id, purpose, given, at, source, version) VALUES (%s, 'face', true, %s, 'portal', '')"  # noqa: E501
    with as_role("web") as web:
        web.execute("SELECT set_config('app.user', %s, false)", [str(other.pk)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            web.execute(add, [person.pk, portal_clock.now()])
    for role, statement in (
        ("web", "UPDATE rights_consentevent SET given = true"),
        ("worker", "DELETE FROM rights_consentevent"),
        ("worker", "UPDATE rights_consentevent SET given = true"),
        ("owner", "UPDATE rights_consentevent SET given = true"),
        ("owner", "UPDATE rights_consentevent SET settled_at = NULL"),
    ):
        with as_role(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
    assert Client().get(reverse("rights:consents")).status_code == 302
    assert post(Client(), "consent_end", purpose="face").status_code == 302
    assert not events(portal, other, "face")


# --- recipients


def test_a_recipient_is_stopped_told_and_followed_to_its_confirmation(portal: Portal) -> None:
    """Statistics go on here, and Sensors Data gets nothing of them: only what rests on consent can be stopped."""
    person = portal.user(ASKED)
    client = portal.client(person)
    html = page(client, "consent_sharing")
    assert "神策" in html
    assert post(client, "consent_end", recipient="Sensors Data").status_code == 302
    filed = portal.work(withdrawals(portal, person)[0])
    assert (filed.state, filed.closing_key) == (State.CLOSED, "OK.SHARING_STOPPED")
    assert flag(portal, ASKED, "statistics"), "the use itself is agreed to as before"
    with portal.django_as("worker"):
        told = Handover.objects.get(request=filed)
        assert (told.party, told.act, told.state, told.collections) == (
            "Sensors Data", "stop", "ready", ["platform.statistics_event"]
        )  # fmt: skip
        assert set(filed.steps.values_list("verb", flat=True)) == {"stop"}, "nothing is erased"
    assert "神策" in words(page(client, "request", filed.pk))
    assert 'value="Sensors Data"' in page(client, "consent_sharing").split("consent_give", 1)[0]
    post(client, "consent_give", recipient="Sensors Data")
    assert events(portal, person, "recipient:Sensors Data") == [(False, "portal"), (True, "portal")]


# --- Global Privacy Control


def test_the_signal_ends_profiling_marketing_and_sharing_once(portal: Portal) -> None:
    person = portal.user(ALL)
    client = portal.client(person)
    for header in ("0", "true", "1, 1", "", "ja"):
        client.get(reverse("rights:consents"), HTTP_SEC_GPC=header)
    assert events(portal, person, "signal:gpc") == []
    for _ in range(2):
        assert "你的浏览器要求" in client.get(reverse("rights:consents"), **GPC).content.decode()  # type: ignore[arg-type]
    portal.client(person).get(reverse("rights:home"), **GPC)  # type: ignore[arg-type]  # another device
    assert events(portal, person, "signal:gpc") == [(False, "browser")]
    settle(portal)
    settle(portal)
    (filed,) = withdrawals(portal, person)
    assert set(filed.details["purposes"]) == {"recommendation", "marketing_sms"}, "what was agreed to of it"
    assert {"fabric", "Sensors Data", "duiba"} <= set(filed.details["recipients"])
    assert portal.work(filed).state == State.CLOSED
    assert [flag(portal, ALL, key) for key in ("recommendation", "marketing_sms")] == [False, False]
    # What the person uses and nobody sells stays, the points and their history with it.
    assert [flag(portal, ALL, key) for key in ("points", "sharing_duiba", "face", "statistics")] == [True] * 4
    assert events(portal, person, "recommendation") == [(False, "browser")]
    assert "按浏览器的要求" in use(page(client, "consents"), "recommendation")


def test_an_explicit_yes_goes_before_the_signal_for_that_use(portal: Portal) -> None:
    person = portal.user(MARKETING)
    client = portal.client(person)
    client.get(reverse("rights:consents"), **GPC)  # type: ignore[arg-type]
    settle(portal)
    portal.work(withdrawals(portal, person)[0])
    answer = post(client, "consent_give", purpose="marketing_sms")
    assert answer["Location"].startswith(reverse("rights:consent_confirm"))
    assert events(portal, person, "marketing_sms") == [(False, "browser")]
    asked = client.get(answer["Location"]).content.decode()
    assert "你的浏览器要求我们不要这样做" in asked
    assert 'name="meant" value="1"' in asked
    client.post(reverse("rights:consent_give"), {"purpose": "marketing_sms", "meant": "1"}, **GPC)  # type: ignore[arg-type]
    settle(portal)
    portal.client(person).get(reverse("rights:home"), **GPC)  # type: ignore[arg-type]
    settle(portal)
    assert (flag(portal, MARKETING, "marketing_sms"), flag(portal, MARKETING, "marketing_push")) == (True, False)


def test_the_portal_says_that_it_honours_the_signal(portal: Portal) -> None:
    answer = Client().get("/.well-known/gpc.json")
    assert answer["Content-Type"] == "application/json"
    assert json.loads(answer.content) == {"gpc": True, "lastUpdate": "2026-11-24"}


# --- versions of the policy


def test_only_whom_it_concerns_is_asked_and_silence_changes_nothing(portal: Portal) -> None:
    client = portal.client(portal.user(ASKED))
    assert "隐私政策有变化" in page(client, "home")
    asks = page(client, "consents").split('id="asks"', 1)[1].split("</section>")[0]
    assert "邮件营销" in asks, "new, and not agreed to"
    assert "个性化推荐" in asks, "changed, and agreed to as it was"
    assert flag(portal, ASKED, "recommendation")
    assert not flag(portal, ASKED, "marketing_mail")
    # Agreed to marketing by text message and push alone, and was never asked about the others.
    assert "隐私政策有变化" not in page(portal.client(portal.user(MARKETING)), "home")


def test_no_leaves_what_was_agreed_to_and_yes_is_yes_to_this_version(portal: Portal) -> None:
    person = portal.user(ASKED)
    client = portal.client(person)
    post(client, "consent_answer", purpose="recommendation", version="2026-12-15", answer="no")
    post(client, "consent_answer", purpose="marketing_mail", version="2026-12-15", answer="yes")
    settle(portal)
    assert (flag(portal, ASKED, "recommendation"), flag(portal, ASKED, "marketing_mail")) == (True, True)
    html = page(client, "consents")
    assert 'id="asks"' not in html
    assert "已打开" in use(html, "recommendation")
    assert "没有同意隐私政策 2026-12-15 版" in words(use(html, "recommendation"))
    assert "2026-12-15" in words(use(html, "marketing_mail"))
    assert "隐私政策有变化" not in page(client, "home")
    assert withdrawals(portal, person) == [], "a no ends nothing"


def test_an_answer_to_nothing_is_no_consent(portal: Portal) -> None:
    person = portal.user(ASKED)
    client = portal.client(person)
    for purpose, version, said, status in (
        ("recommendation", "2021-04-30", "yes", 302),  # an older version
        ("statistics", "2026-12-15", "yes", 302),  # nothing was asked
        ("recommendation", "2026-12-15", "maybe", 404),
        ("recommendation", "2026-12-15", "", 404),
        ("nonsense", "2026-12-15", "yes", 404),
    ):
        answer = post(client, "consent_answer", purpose=purpose, version=version, answer=said)
        assert (answer.status_code, events(portal, person, purpose)) == (status, [])


# --- publishing


BREACH = """
reference: "2026-11"
affected: ["880001"]
zh: {happened: 一个合作方的服务器被人进入过, data: 手机号和收货地址, done: 已关闭那台服务器并报告主管部门,
     advice: 当心冒充快递的短信, contact: 010-60606666}
en: {happened: Somebody entered a server of a partner, data: Phone numbers and delivery addresses,
     done: The server is off and the authority is told, advice: Beware of text messages posing as couriers,
     contact: 010-60606666}
"""


def publish(portal: Portal, folder: Path, verb: str, text: str, *, by: str = "990004") -> dict[str, Any]:
    file, out = folder / "file.yml", io.StringIO()
    file.write_text(text, encoding="utf-8")
    with portal.django_as("owner"):
        call_command("publish", verb, str(file), by=by, yes=True, json=True, stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def test_a_breach_is_told_once_to_whom_it_concerns_and_shown_until_read(portal: Portal, tmp_path: Path) -> None:
    assert publish(portal, tmp_path, "breach", BREACH) == {"breach": "2026-11", "new": True, "told": 1}
    assert publish(portal, tmp_path, "breach", BREACH) == {"breach": "2026-11", "new": False, "told": 1}
    chen = portal.user(CHEN)
    client = portal.client(chen)
    assert "安全事件（2026-11）" in page(client, "home")
    assert "安全事件" not in page(portal.client(portal.user(MARKETING)), "home")
    with portal.django_as("worker"):
        watch.send_notices(now=portal_clock.now())
        told = Notice.objects.get(user=chen, kind="breach")
        sent = [item.recipient for item in OutboxMessage.objects.all() if "安全事件" in item.subject]
    assert sent == [chen.email]
    letter = page(client, "notice", told.pk)
    for part in ("发生了什么", "手机号和收货地址", "已关闭那台服务器", "当心冒充快递", "010-60606666"):
        assert part in letter
    assert "安全事件" not in page(client, "home")


POLICY = 'version: "3"\neffective_on: 2027-01-01\nchanges: [{zh: 一, en: one}]\n'
FAULTY = (
    ("breach", BREACH.replace("data: 手机号和收货地址, ", ""), "zh.data: is missing"),
    ("breach", BREACH.replace('["880001"]', '["000000"]'), "no account 000000"),
    ("breach", BREACH.replace('affected: ["880001"]', "affected: some"), "affected: write everybody"),
    ("breach", "a: [", "line 1"),
    ("policy", POLICY.replace("2027-01-01", "tomorrow"), "effective_on: write the day"),
    ("policy", POLICY.replace(", en: one", ""), "changes 1: en is missing"),
    ("policy", POLICY + "asks: [{purpose: x, new: true, zh: 一, en: one}]", "purpose x is no consent of the data map"),
    ("policy", POLICY.replace("2027", "2020"), "write a later day"),
)


def test_a_faulty_file_says_what_is_wrong_and_tells_nobody(portal: Portal, tmp_path: Path) -> None:
    for verb, text, says in FAULTY:
        with pytest.raises(CommandError, match=re.escape(says)):
            publish(portal, tmp_path, verb, text)
    with portal.django_as("worker"):
        assert not Notice.objects.filter(kind__in=["breach", "policy_changed"]).exists()


def test_only_an_administrator_publishes(portal: Portal, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Only an administrator"):
        publish(portal, tmp_path, "breach", BREACH, by="990001")


def test_a_new_version_asks_anew_also_who_said_no_before(portal: Portal, tmp_path: Path) -> None:
    person = portal.user(ASKED)
    client = portal.client(person)
    post(client, "consent_answer", purpose="marketing_mail", version="2026-12-15", answer="no")
    post(client, "consent_answer", purpose="recommendation", version="2026-12-15", answer="yes")
    portal.travel(portal_clock.now() + timedelta(days=30))
    text = 'version: "2027"\neffective_on: 2027-02-01\nchanges: [{zh: 一, en: one}]\n'
    text += "asks: [{purpose: marketing_mail, new: true, zh: 每月一封, en: One a month}]"
    assert publish(portal, tmp_path, "policy", text) == {"policy": "2027", "new": True}
    client = portal.client(person)
    asks = page(client, "consents").split('id="asks"', 1)[1].split("</section>")[0]
    assert "每月一封" in asks
    assert "个性化推荐" not in asks, "agreed to as it is now"
    post(client, "consent_answer", purpose="marketing_mail", version="2026-12-15", answer="yes")
    assert events(portal, person, "marketing_mail") == [(False, "policy")], "the older question is closed"


# --- the phone


def test_each_permission_says_why_for_what_and_where(portal: Portal) -> None:
    client = portal.client(portal.user(CHEN))
    html = page(client, "permissions")
    assert html.count('<li class="pl">') == 11
    camera = html.split("<h3>相机</h3>")[1].split("</li>")[0]
    for part in ("拍照上传", "人脸核验", "不能拍摄", "iOS", "Android", "HarmonyOS", "设置 › 隐私与安全性 › 相机"):
        assert part in camera
    face = html.split("<h3>面容 ID</h3>")[1].split("</li>")[0]
    assert "Android" not in face, "it is asked for on iOS alone"
