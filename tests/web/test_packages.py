"""The pages of a package as a person, a receiver and staff use them."""

import io
import re
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from portal.core import keyring, sealedfile
from rights.actions.datamap import store_documents
from rights.actions.packages import package_path
from rights.datamap import load_live_map, read_folder
from rights.kernel.clock import local_day
from rights.kernel.decisions import REASONS
from rights.kernel.states import Kind, State
from rights.models import DataMapVersion, Package, Request
from rights.notices import render_notice
from rights.templatetags.look import day_text
from rights.web.downloads import Span, Unsatisfiable, parse_range
from tests.business import TODAY, Business
from tests.web.test_following import CHEN, Portal, Travel, _sent_code, page, words

ANOTHER_CODE = timedelta(minutes=2)
"""After which another code can be sent."""
AsRole = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def portal(business: Business, django_as: AsRole, clock: Travel) -> Portal:
    return Portal(business, django_as, clock)


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client(portal.user(CHEN))


def ask(portal: Portal, **details: Any) -> Request:
    return portal.file(portal.user(CHEN), Kind.ACCESS, **details)


def prove(portal: Portal, client: Client, item: Request) -> str:
    """Give the code; the address of the file."""
    client.post(reverse("rights:package", args=[item.pk]))
    answer = client.post(reverse("rights:package_download", args=[item.pk]), {"code": _sent_code(portal)})
    assert answer.status_code == 302
    return answer["Location"]


def body(answer: HttpResponseBase) -> bytes:
    return b"".join(answer)


def downloads(portal: Portal, item: Request) -> int:
    with portal.django_as("owner"):
        return Package.objects.get(request=item, copy_of=None).downloads


# --- ranges


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=0-9", Span(0, 10)),
        ("bytes=5-", Span(5, 10)),
        ("bytes=5-99", Span(5, 10)),
        ("bytes=-3", Span(7, 10)),
        ("bytes=-99", Span(0, 10)),
        ("bytes=7-3", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("items=0-1", None),
        ("bytes=0-1,3-4", None),
        (f"bytes={'9' * 5000}-", None),
        (f"bytes=0-{'9' * 5000}", None),
        (f"bytes=-{'9' * 5000}", None),
        ("bytes=\u0663-", None),
        ("", None),
    ],
)
def test_a_range_is_read_as_the_standard_says(header: str, span: Span | None) -> None:
    """RFC 9110, 14.1.2 and 14.2: what is invalid, or of several parts, may be answered whole."""
    assert parse_range(header, size=10) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=99-100", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, size=10)


@given(st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_a_range_never_leaves_the_file(size: int, first: int, last: int) -> None:
    try:
        span = parse_range(f"bytes={first}-{last}", size=size)
    except Unsatisfiable:
        assert first >= size
    else:
        assert span == (Span(first, min(last + 1, size)) if first <= last else None)


def test_a_download_that_broke_off_is_taken_up_again(portal: Portal, client: Client) -> None:
    item = ask(portal)
    file = prove(portal, client, item)
    whole = client.get(file)
    content, etag = body(whole), whole["ETag"]
    assert (whole.status_code, whole["Accept-Ranges"], whole["Content-Length"]) == (200, "bytes", str(len(content)))
    middle = len(content) // 3

    rest = client.get(file, headers={"Range": f"bytes={middle}-", "If-Range": etag})
    assert rest.status_code == 206
    assert rest["Content-Range"] == f"bytes {middle}-{len(content) - 1}/{len(content)}"
    assert body(rest) == content[middle:]
    by_day = client.get(file, headers={"Range": f"bytes={middle}-", "If-Range": whole["Last-Modified"]})
    assert by_day.status_code == 206
    last = client.get(file, headers={"Range": "bytes=-10"})
    assert body(last) == content[-10:]
    for changed in ('"another"', f"W/{etag}", "Mon, 01 Jan 2024 00:00:00 GMT"):
        answer = client.get(file, headers={"Range": f"bytes={middle}-", "If-Range": changed})
        assert answer.status_code == 200, "the file is another one, so all of it is sent"
        body(answer)
    endless = client.get(file, headers={"Range": f"bytes={'9' * 5000}-"})
    assert (endless.status_code, body(endless)) == (200, content)
    behind = client.get(file, headers={"Range": f"bytes={len(content)}-"})
    assert (behind.status_code, behind["Content-Range"]) == (416, f"bytes */{len(content)}")
    assert client.get(file, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(file, headers={"If-Match": '"another"'}).status_code == 412
    head = client.head(file)
    assert (head.status_code, head["Content-Length"], body(head)) == (200, str(len(content)), b"")
    assert downloads(portal, item) == 5, "five from the first byte on; none that was taken up again"
    assert downloads(portal, item) == _events(portal, item, "package_fetched")


def _events(portal: Portal, item: Request, kind: str) -> int:
    with portal.django_as("owner"):
        return item.events.filter(kind=kind).count()


def test_two_downloads_at_once_are_both_whole_and_both_counted(portal: Portal, client: Client) -> None:
    item = ask(portal)
    file = prove(portal, client, item)
    one, other = client.get(file), client.get(file)
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for mine, theirs in zip(one, other, strict=True):
        parts[0].append(mine)
        parts[1].append(theirs)
    assert b"".join(parts[0]) == b"".join(parts[1])
    assert zipfile.ZipFile(io.BytesIO(b"".join(parts[0]))).testzip() is None
    assert downloads(portal, item) == 2


def test_the_proof_ends_after_an_hour_and_is_the_sessions_own(portal: Portal, client: Client) -> None:
    item = ask(portal)
    portal.travel(TODAY)  # to make the package took real time
    file = prove(portal, client, item)
    assert portal.client(portal.user(CHEN)).get(file).status_code == 302, "another browser has proved nothing"
    assert portal.client(portal.user("zhou-mingyuan")).get(file).status_code == 404
    portal.travel(TODAY + timedelta(minutes=59))
    body(client.get(file))
    portal.travel(TODAY + timedelta(minutes=61))
    answer = client.get(file)
    assert (answer.status_code, answer["Location"]) == (302, reverse("rights:package", args=[item.pk]))


def test_a_changed_file_is_not_handed_out(portal: Portal, client: Client) -> None:
    item = ask(portal)
    file = prove(portal, client, item)
    with portal.django_as("owner"):
        path = package_path(Package.objects.get(request=item).pk)
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    answer = client.get(file)
    assert answer.status_code == 500
    assert "文件已损坏" in words(answer.content.decode())
    assert "这个验证码不能用" not in words(answer.content.decode()), "the code was right"
    path.write_bytes(raw[:-1])
    assert client.get(file).status_code == 500
    assert downloads(portal, item) == 0


# --- the end


def test_a_person_destroys_their_package(portal: Portal, client: Client) -> None:
    item = ask(portal)
    file = prove(portal, client, item)
    html = page(client, "package", item.pk)
    (where,) = re.findall(r'action="([^"]*/revoke/)"', html)
    assert portal.client(portal.user("zhou-mingyuan")).post(where).status_code == 404
    assert client.post(where).status_code == 302
    assert client.post(where).status_code == 302, "a second tap"
    assert "提前销毁" in words(page(client, "package", item.pk))
    assert client.get(file).status_code == 410
    assert "资料包已在到期前销毁" in words(page(client, "request", item.pk))


def test_a_running_download_stops_when_the_package_is_destroyed(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun ends at the next frame, and never looks whole."""
    monkeypatch.setattr(sealedfile, "FRAME", 4096)
    monkeypatch.setattr(sealedfile, "_STRIDE", 4096 + sealedfile.OVERHEAD)
    item = ask(portal)
    file = prove(portal, client, item)
    answer = client.get(file)
    whole = int(answer["Content-Length"])
    assert whole > 4 * 4096
    blocks = iter(answer)
    received = [next(blocks)]
    (where,) = re.findall(r'action="([^"]*/revoke/)"', page(client, "package", item.pk))
    assert client.post(where).status_code == 302
    with pytest.raises(keyring.SealBroken):
        received.extend(blocks)
    assert len(b"".join(received)) < whole / 2


# --- what is in it, and what is not


def section(html: str, title: str) -> str:
    """What is read under a heading of the page."""
    return words("<main" + html.split(f"<h2>{title}</h2>", 1)[1].split("<h2>", 1)[0])


def test_the_page_has_what_the_request_concerns_and_says_what_it_leaves_out(portal: Portal, client: Client) -> None:
    everything = page(client, "package", ask(portal).pk)
    assert all(name in section(everything, "里面有什么") for name in ("贷款系统", "保险系统", "平台系统"))
    html = page(client, "package", ask(portal, entities=["loan"]).pk)
    inside, left_out = section(html, "里面有什么"), section(html, "这次没有包括的")
    assert "贷款系统" in inside
    for name in ("保险系统", "平台系统"):
        assert name not in inside
    assert REASONS["OMIT.NOT_ASKED"].zh in left_out
    assert "个人信息保护法第 45 条" in left_out
    assert left_out.count(REASONS["OMIT.NOT_ASKED"].zh) == 1, "one reason, said once of all that it concerns"
    with portal.django_as("owner"):
        entities = load_live_map().entities
    assert all((entity.name("zh") in left_out) == (key != "loan") for key, entity in entities.items())


def test_a_portable_copy_says_what_cannot_be_moved_and_nothing_of_what_is_secret(
    portal: Portal, client: Client
) -> None:
    item = ask(portal, portable=True)
    left_out = section(page(client, "package", item.pk), "这次没有包括的")
    with portal.django_as("owner"):
        collections = load_live_map().collections
    assert REASONS["OMIT.DERIVED"].zh in left_out
    assert collections["loan.bureau_report"].label("zh") in left_out
    assert collections["wallet.str_report"].label("zh") not in left_out


def test_a_system_that_is_only_asked_stands_on_the_page_as_left_out(portal: Portal, client: Client) -> None:
    documents = read_folder(Path("portal/demo/datamap"))
    governance = yaml.safe_load(documents["governance.yml"])
    governance["systems"]["archive"] = {
        "kind": "manual", "entity": "loan", "days": 5, "label": {"zh": "纸质档案", "en": "Paper archive"},
        "instructions": {"zh": "销毁档案袋", "en": "Shred the folder"},
    }  # fmt: skip
    with portal.django_as("owner"):
        name = DataMapVersion.objects.get().name
        store_documents(
            {**documents, "governance.yml": yaml.safe_dump(governance, allow_unicode=True)}, name=name, now=TODAY
        )
    html = page(client, "package", ask(portal).pk)
    assert "纸质档案" not in section(html, "里面有什么")
    left_out = section(html, "这次没有包括的")
    assert "纸质档案" in left_out
    assert REASONS["OMIT.NOT_CONNECTED"].zh in left_out


# --- a system that is away


NOWHERE = "postgresql://127.0.0.1:1/none?connect_timeout=1"


def away(patch: pytest.MonkeyPatch, *systems: str) -> None:
    for system in systems:
        patch.setenv(f"SYSTEM_{system.upper()}_URL", NOWHERE)


def test_a_person_follows_what_is_missing_until_it_is_added(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two systems are away: first their answer is waited for, then each is added on the day on which it is back."""
    due = TODAY + timedelta(days=15)
    with monkeypatch.context() as patch:
        away(patch, "loan", "wealth")
        item = ask(portal)
        assert item.state == State.ACTING
        portal.travel(due - timedelta(days=2))
        item = portal.work(item)
        assert item.state == State.ACTING
        seen = words(page(client, "request", item.pk))
        assert "有一个系统没有答复" in seen
        assert "不影响到期日" in seen

        first = due - timedelta(days=1)
        portal.travel(first)
        item = portal.work(item)
        assert item.state == State.CLOSED
        for name in ("request", "package"):
            assert "贷款系统" in words(page(client, name, item.pk))
        seen = words(page(client, "request", item.pk))
        assert "已办完，还缺一部分" in seen
        assert "还缺贷款系统、财富系统。" in seen
        assert "不用再申请" in seen
        assert "向监管部门投诉" in seen
        assert "还缺：贷款系统、财富系统 暂时连不上" in seen
        assert "再试，拿到后告诉你" in seen
        assert "所有公司" not in seen
        assert "排队中" not in seen
        assert "还缺贷款系统、财富系统" in words(page(client, "requests"))
        html = page(client, "package", item.pk)
        left_out = section(html, "这次没有包括的")
        assert "贷款系统、财富系统" in left_out
        assert REASONS["OMIT.UNANSWERED"].zh in left_out
        assert section(html, "里面有什么").count("没有答复") == 2

    second = first + timedelta(days=2)
    portal.travel(second)
    with monkeypatch.context() as patch:
        away(patch, "wealth")
        portal.work(item)
        seen = words(page(client, "request", item.pk))
        assert "已补进资料包：贷款系统" in seen
        assert "还缺：财富系统 暂时连不上" in seen
        with portal.django_as("owner"):
            told = item.notices.get(kind="package_added")
            assert "财富系统还没有答复" in render_notice(told, "zh-hans")[1]
            assert "Wealth system still did not answer" in render_notice(told, "en")[1]
            until = local_day(item.packages.get(part=1).expires_at)
        assert day_text(until) in section(page(client, "request", item.pk), "资料包已备好"), "the part that ends first"
    portal.travel(second + timedelta(days=1))
    portal.work(item)
    seen = words(page(client, "request", item.pk))
    assert "还缺" not in seen
    with portal.django_as("owner"):
        rows = sum(package.rows for package in item.packages.all())
        last = item.notices.filter(kind="package_added").latest("id")
        assert "还没有答复" not in render_notice(last, "zh-hans")[1]
    assert f"{rows:,} 条" in seen, "all parts together are what was handed out"
    assert "这次没有包括的" not in page(client, "package", item.pk)


# --- what went wrong is said as what it is


def test_only_a_code_that_does_not_work_is_called_so(portal: Portal, client: Client) -> None:
    item = ask(portal)
    here, download = (reverse(f"rights:{name}", args=[item.pk]) for name in ("package", "package_download"))
    client.post(here)
    wrong = "000000" if _sent_code(portal) != "000000" else "111111"
    assert "这个验证码不能用" in words(client.post(download, {"code": wrong}).content.decode())
    answer = client.post(here)
    while answer.status_code == 302:
        answer = client.post(here)
    assert answer.status_code == 429
    seen = words(answer.content.decode())
    assert "验证码发得太多了" in seen
    assert "这个验证码不能用" not in seen


# --- a copy for somebody else


def hand_over(portal: Portal, client: Client, item: Request) -> tuple[str, str]:
    """The link and the secret, as the person reads them."""
    here = reverse("rights:handover", args=[item.pk])
    assert client.post(here, {"send": "1"}).status_code == 302
    given = {"receiver": "乙银行", "address": "dpo@b.example", "code": _sent_code(portal)}
    answer = client.post(here, given)
    assert answer.status_code == 200
    html = answer.content.decode()
    link, secret = re.findall(r'<dd class="mono">([^<]+)</dd>', html)
    assert secret not in client.get(here).content.decode(), "shown only once"
    assert "乙银行" in client.get(here).content.decode()
    return link.removeprefix("http://testserver"), secret


def test_only_a_portable_package_is_handed_over_and_only_for_a_code(portal: Portal, client: Client) -> None:
    plain, item = ask(portal), ask(portal, portable=True)
    if item.state != "closed":  # the same copy within a year: a person serves it
        item = portal.approve(item)
    assert reverse("rights:handover", args=[plain.pk]) not in page(client, "package", plain.pk)
    assert client.get(reverse("rights:handover", args=[plain.pk])).status_code == 302
    here = reverse("rights:handover", args=[item.pk])
    assert here in page(client, "package", item.pk)
    client.post(here, {"send": "1"})
    wrong = {"receiver": "乙银行", "address": "dpo@b.example", "code": "000000"}
    if _sent_code(portal) == "000000":
        wrong["code"] = "111111"
    answer = client.post(here, wrong)
    assert answer.status_code == 422
    assert "乙银行" in answer.content.decode(), "what was filled in is kept"
    assert client.post(here, {"receiver": "", "address": "x", "code": "000000"}).status_code == 422
    with portal.django_as("owner"):
        assert not Package.objects.exclude(copy_of=None).exists()


def test_the_receiver_opens_the_copy_once_and_may_take_a_download_up_again(portal: Portal, client: Client) -> None:
    item = ask(portal, portable=True)
    link, secret = hand_over(portal, client, item)
    receiver = Client()
    html = receiver.get(link).content.decode()
    for name in (portal.user(CHEN).display_name, str(item.reference)):
        assert name not in html, "the link alone tells nothing"
    assert receiver.get(f"{link}copy.zip").status_code == 302
    wrong = receiver.post(link, {"secret": "22222 22222 22"})
    assert (wrong.status_code, "4 次" in words(wrong.content.decode())) == (422, True)
    opened = receiver.post(link, {"secret": f" {secret[:4]}-{secret[4:8].upper()} {secret[8:]} "})
    assert opened.status_code == 302
    content = body(receiver.get(opened["Location"]))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
    rest = receiver.get(opened["Location"], headers={"Range": "bytes=100-"})
    assert body(rest) == content[100:]
    with portal.django_as("owner"):
        copy = Package.objects.get(request=item, copy_of__isnull=False)
        assert (copy.downloads, copy.receiver, copy.address) == (1, "乙银行", "dpo@b.example")
        assert item.notices.filter(kind="handover_fetched").count() == 1
    other = Client()
    assert other.post(link, {"secret": secret}).status_code == 410, "one time"
    assert other.get(f"{link}copy.zip").status_code == 302
    portal.travel(TODAY + timedelta(minutes=61))
    assert receiver.get(opened["Location"]).status_code == 302


def test_a_copy_is_destroyed_by_the_person_before_it_was_fetched(portal: Portal, client: Client) -> None:
    item = ask(portal, portable=True)
    link, secret = hand_over(portal, client, item)
    html = page(client, "handover", item.pk)
    (where,) = re.findall(r'action="([^"]*/revoke/)"', html)
    assert client.post(where).status_code == 302
    assert Client().post(link, {"secret": secret}).status_code == 410
    assert "已销毁" in words(page(client, "handover", item.pk))
    portal.travel(TODAY + ANOTHER_CODE)
    with zipfile.ZipFile(io.BytesIO(body(client.get(prove(portal, client, item))))) as archive:
        assert archive.testzip() is None, "the person's own package is as it was"


def test_a_damaged_file_is_told_to_who_copies_it_and_to_who_receives_it(portal: Portal, client: Client) -> None:
    item = ask(portal, portable=True)
    link, secret = hand_over(portal, client, item)
    receiver = Client()
    file = receiver.post(link, {"secret": secret})["Location"]
    with portal.django_as("owner"):
        paths = [package_path(package.pk) for package in Package.objects.filter(request=item)]
    for path in paths:
        path.write_bytes(path.read_bytes()[:-1])
    answer = receiver.get(file)
    assert answer.status_code == 500
    seen = words(answer.content.decode())
    assert "文件已损坏" in seen
    assert "口令" not in seen, "the secret was right, and none is asked for"
    portal.travel(TODAY + ANOTHER_CODE)
    here = reverse("rights:handover", args=[item.pk])
    assert client.post(here, {"send": "1"}).status_code == 302
    answer = client.post(here, {"receiver": "丙公司", "address": "c@c.example", "code": _sent_code(portal)})
    assert answer.status_code == 500
    assert "文件已损坏" in words(answer.content.decode())


@pytest.mark.parametrize("change", [lambda link: link[:-3] + "x/", lambda link: "/received/nothing/"])
def test_a_link_that_was_not_made_here_leads_nowhere(
    portal: Portal, client: Client, change: Callable[[str], str]
) -> None:
    item = ask(portal, portable=True)
    link, _secret = hand_over(portal, client, item)
    assert Client().get(change(link)).status_code == 404
