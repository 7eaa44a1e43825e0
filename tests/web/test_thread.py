"""Messages about a request: a person and staff write to each other with files, and the bad turns of that."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from PIL import Image

from accounts.models import Authority, User
from portal.core import clock as portal_clock
from portal.core import ledger, rls
from portal.core.models import LedgerEntry
from rights.actions.forgetting import forget_own_rows
from rights.actions.watch import send_notices
from rights.kernel.states import Kind, State
from rights.models import Attachment, Message, Notice, Request
from tests.accounts.people import speak_for
from tests.business import TODAY, Business
from tests.conftest import Clock
from tests.web.test_desk import Desk, case_url, see
from tests.web.test_desk import words as desk_words
from tests.web.test_for_others import AGENT, FORMER, PRINCIPAL, Browser, words

AsRole = Callable[[str], AbstractContextManager[None]]
CHEN, FENG = "chen-ruolan", "feng-siqi"
PDF = b"%PDF-1.7 a contract"


@pytest.fixture
def desk(business: Business, django_as: AsRole, clock: Clock) -> Desk:
    return Desk(business, django_as, clock)


@pytest.fixture
def browser_of(business: Business, django_as: AsRole) -> Iterator[Callable[[str], Browser]]:
    yield lambda key: Browser(business, django_as, key)
    rls.reset()


@pytest.fixture
def item(desk: Desk) -> Request:
    filed = desk.file(FENG, Kind.DELETION, entities=[])
    assert filed.state == State.REVIEW
    return filed


@pytest.fixture
def person(browser_of: Callable[[str], Browser]) -> Browser:
    return browser_of(FENG)


def pdf(name: str = "合同.pdf", content: bytes = PDF) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="text/html")


def write(browser: Browser, item: Request, text: str = "", *files: SimpleUploadedFile, **data: Any) -> Any:
    """As the page's form does."""
    return browser.client.post(
        reverse("rights:message", args=[item.pk]), {"text": text, "once": uuid4(), "attachments": files, **data}
    )


def rows_of(desk: Desk, item: Request) -> list[Message]:
    with desk.django_as("owner"):
        return list(Message.objects.filter(request=item).order_by("pk"))


def test_a_walk_from_a_message_to_its_answer_and_back(desk: Desk, item: Request, person: Browser) -> None:
    page = person.get("request", item.pk)
    form = page.context["thread"].form
    given = {"text": "附上借款合同。\r\n请看第二页。", "once": form["once"].value(), "attachments": [pdf()]}
    assert write(person, item, **given)["Location"] == f"/requests/{item.pk}/#messages"
    assert write(person, item, **given).status_code == 302  # tapped twice
    (message,) = rows_of(desk, item)
    assert message.text == "附上借款合同。\n请看第二页。"

    staff = desk.staff("support-zhao")
    assert "new message" in desk_words(see(staff, "/desk/"))
    assert str(item.reference) in desk_words(see(staff, "/desk/?view=messages"))
    case = desk_words(see(staff, case_url(item)))
    for part in ("附上借款合同。", "the person", "合同.pdf", "PDF · 1 KB", "No answer is needed"):
        assert part in case, part
    with desk.django_as("owner"):
        file = Attachment.objects.get()
    address = reverse("desk:attachment", args=[item.pk, file.pk])
    download = staff.get(address)
    assert download.content == PDF
    assert download["Content-Type"] == "application/pdf"  # by its bytes, whatever the browser said
    assert download["Content-Disposition"].startswith("attachment; filename*=utf-8''")
    assert (download["X-Content-Type-Options"], "no-store" in download["Cache-Control"]) == ("nosniff", True)

    sent = staff.post(
        reverse("desk:message", args=[item.pk]),
        {"text": "收到，我们在核对。", "once": uuid4(), "seen": message.pk, "attachments": pdf("回函.pdf")},
    )
    assert sent.status_code == 302
    assert str(item.reference) not in desk_words(see(staff, "/desk/?view=messages"))
    with desk.django_as("worker"):
        send_notices(now=portal_clock.now())
        (notice,) = Notice.objects.filter(request=item, kind="message")
    assert (notice.user_id, notice.subject) == (item.subject_id, f"申请 {item.reference} 有新消息")
    assert "核对" not in str(notice.body)
    shown = words(person.get("request", item.pk))
    assert shown.index("收到，我们在核对。") < shown.index("附上借款合同。")  # the newest first
    for part in ("受理人", "回函.pdf"):
        assert part in shown, part
    with desk.django_as("owner"):
        theirs = Attachment.objects.exclude(pk=file.pk).get()
        entries = list(LedgerEntry.objects.filter(chain=item.pk, kind="message").order_by("seq"))
        raw = desk.business.stack.run_sql(
            "SELECT text FROM rights_message UNION ALL SELECT content FROM rights_attachment"
        )
    assert person.client.get(reverse("rights:attachment", args=[item.pk, theirs.pk])).content == PDF
    assert [entry.body for entry in entries] == [
        {"by": "person", "characters": 14, "files": 1},
        {"by": "staff", "characters": 9, "files": 1},
    ]
    assert set(entries[0].commitments) == {"text", "file.1"}
    assert not [value for (value,) in raw if "合同".encode() in bytes(value) or b"JVBERi" in bytes(value)]


def test_a_camera_picture_arrives_bare(desk: Desk, item: Request, person: Browser) -> None:
    image, out = Image.new("RGB", (8, 8), "red"), io.BytesIO()
    exif = image.getexif()
    exif[0x0110] = "A phone of mine"
    image.save(out, "JPEG", exif=exif)
    assert write(person, item, "看图", pdf("图.PNG", out.getvalue())).status_code == 302
    with desk.django_as("owner"):
        file = Attachment.objects.get()
    assert file.name == "图.jpg"
    got = person.client.get(reverse("rights:attachment", args=[item.pk, file.pk]))
    assert (got["Content-Type"], b"A phone of mine" in got.content) == ("image/jpeg", False)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        pytest.param([pdf("程序.pdf", b"MZ\x90")], "程序.pdf：文件不是 PDF、PNG 或 JPEG", id="another type"),
        pytest.param([pdf(content=PDF + b"." * 5 * 1024 * 1024)], "合同.pdf：文件超过 5 MB", id="too large"),
        pytest.param([pdf(), pdf("空.pdf", b"")], "空.pdf：这个文件是空的", id="one of them empty"),
        pytest.param([pdf()] * 6, "最多选 5 个文件", id="too many"),
        pytest.param([pdf("图.png", b"\x89PNG\r\n\x1a\n\0")], "图片打不开", id="no picture"),
    ],
)
def test_what_was_typed_survives_a_file_that_is_not_taken(
    desk: Desk, item: Request, person: Browser, files: list[SimpleUploadedFile], said: str
) -> None:
    for file in files:
        file.seek(0)
    answer = write(person, item, "请看附件 <b>", *files)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "请看附件 &lt;b&gt;</textarea>" in page
    assert said in words(answer), words(answer)
    assert "附件请重新选择" in page
    assert not rows_of(desk, item)


def test_a_scanner_that_is_away_keeps_the_text_and_takes_no_file(
    desk: Desk, item: Request, person: Browser, settings: Any
) -> None:
    settings.SCAN_COMMAND = ["/no/such/scanner"]
    answer = write(person, item, "请看附件", pdf())
    assert (answer.status_code, "暂时无法检查文件" in words(answer)) == (422, True)
    assert "请看附件</textarea>" in answer.content.decode()
    assert write(person, item, "不带附件").status_code == 302
    assert [row.text for row in rows_of(desk, item)] == ["不带附件"]


def test_bounds_of_text_pace_and_files(desk: Desk, item: Request, person: Browser, settings: Any) -> None:
    assert "写几句话，或选一个文件" in words(write(person, item, "  \n"))
    assert "最多写 4000 个字" in words(write(person, item, "长" * 4001))
    assert write(person, item, "行\r\n" * 1333).status_code == 302  # 3998 as they are counted, 5332 as they were sent
    settings.CASE_FILES_MB = 0
    assert "合计不能超过" in words(write(person, item, "x", pdf()))
    settings.MESSAGES_AN_HOUR = 1
    late = write(person, item, "还有一句")
    assert (late.status_code, "一小时内已发送 1 条消息" in words(late)) == (422, True)
    assert "还有一句</textarea>" in late.content.decode()
    assert len(rows_of(desk, item)) == 1


def test_nobody_else_reads_or_writes(
    desk: Desk, item: Request, person: Browser, browser_of: Callable[[str], Browser]
) -> None:
    write(person, item, "只给你们看", pdf())
    with desk.django_as("owner"):
        file = Attachment.objects.get()
    other = browser_of(CHEN)
    mine = desk.file(CHEN, Kind.DELETION, entities=[])
    assert write(other, item, "x").status_code == 404
    for pk in (item.pk, mine.pk):  # their case, and their file by way of one's own
        assert other.client.get(reverse("rights:attachment", args=[pk, file.pk])).status_code == 404
        assert other.client.get(reverse("desk:attachment", args=[pk, file.pk])).status_code == 403
    assert Client().get(reverse("rights:attachment", args=[item.pk, file.pk])).status_code == 302  # to the sign-in
    staff = desk.staff("support-zhao")
    assert staff.get(reverse("desk:attachment", args=[mine.pk, file.pk])).status_code == 404
    auditor = desk.staff("auditor-wu")
    assert auditor.post(reverse("desk:message", args=[item.pk]), {"text": "x", "once": uuid4()}).status_code == 403
    speak_for(other.user)
    assert not Message.objects.exists()
    assert not Attachment.objects.exists()
    with pytest.raises(DatabaseError, match="row-level security"):
        Message.objects.create(
            request_id=item.pk, author=other.user, by_staff=False, text="x", salt="", once=uuid4(), at=TODAY
        )


def test_what_was_written_stays_as_it_is_and_nobody_writes_as_the_other_side(
    desk: Desk, item: Request, person: Browser
) -> None:
    write(person, item, "第一句", pdf())
    for user, staff in ((person.user, False), (desk.user("support-zhao"), True)):
        rls.acting_as(user.pk, staff=staff)
        with pytest.raises(DatabaseError, match="permission denied"):
            Message.objects.update(text="另一句")
        with pytest.raises(DatabaseError, match="permission denied"):
            Attachment.objects.all().delete()
    rls.acting_as(person.user.pk, staff=False)
    with pytest.raises(DatabaseError, match="row-level security"):
        Message.objects.create(
            request_id=item.pk, author=person.user, by_staff=True, text="x", salt="", once=uuid4(), at=TODAY
        )
    with desk.django_as("worker"), pytest.raises(DatabaseError, match="only be added to"):
        Message.objects.update(at=TODAY)


def test_an_answer_does_not_settle_what_came_after_the_page_was_read(
    desk: Desk, item: Request, person: Browser
) -> None:
    write(person, item, "第一句")
    staff = desk.staff("support-zhao")
    page = staff.get(case_url(item)).context
    seen, version = page["thread"].form["seen"].value(), page["form"]["version"].value()
    write(person, item, "第二句")
    staff.post(reverse("desk:message", args=[item.pk]), {"text": "答复第一句", "once": uuid4(), "seen": seen})
    assert "new message" in desk_words(see(staff, "/desk/"))
    refused = staff.post(
        case_url(item, "decide"),
        {"outcome": "refuse", "reason": "GROUND.CONFIDENCE", "letter": "原因写在这里。", "version": version},
    )
    assert refused.status_code == 409
    assert "The person has written meanwhile." in desk_words(refused.content.decode())
    settle = reverse("desk:settle", args=[item.pk])
    assert "not seen yet" in desk_words(staff.post(settle, {"seen": seen}, follow=True).content.decode())
    newest = staff.get(case_url(item)).context["thread"].form["seen"].value()
    staff.post(settle, {"seen": newest})
    assert "new message" not in desk_words(see(staff, "/desk/"))


def test_a_closed_request_is_written_about_for_sixty_days_and_then_read(
    desk: Desk, item: Request, person: Browser
) -> None:
    person.post("withdraw", item.pk)
    desk.travel(TODAY + timedelta(days=60))
    person.sign_in()
    assert write(person, item, "还有一个问题").status_code == 302
    staff = desk.staff("support-zhao")
    assert str(item.reference) in desk_words(see(staff, "/desk/?view=messages"))
    desk.travel(TODAY + timedelta(days=61))
    person.sign_in()
    assert write(person, item, "再问一句").status_code == 422
    page = words(person.get("request", item.pk))
    assert "结束已超过 60 天，这里不能再写消息" in page
    assert "还有一个问题" in page
    assert len(rows_of(desk, item)) == 1
    with desk.django_as("worker"):
        Notice.objects.update(sent_at=TODAY)
        forget_own_rows(now=TODAY.replace(year=2030))
        assert not Message.objects.exists()
        assert not Attachment.objects.exists()
        ledger.checkpoint(now=portal_clock.now())
        assert ledger.verify().problems == []


def test_who_filed_for_somebody_writes_while_they_may_and_reads_no_longer_than_that(
    desk: Desk, browser_of: Callable[[str], Browser]
) -> None:
    agent, principal = browser_of(AGENT), browser_of(PRINCIPAL)
    pk = agent.ask(Kind.ACCESS, principal.user, scope="everything")
    item = agent.work(pk)
    answer = write(agent, item, "我代他问一句")
    assert answer.status_code == 302, words(answer)[-900:]
    assert "我代他问一句" in words(principal.get("request", pk))
    staff = desk.staff("support-zhao")
    staff.post(reverse("desk:message", args=[pk]), {"text": "请本人确认。", "once": uuid4()})
    with desk.django_as("owner"):
        told = set(Notice.objects.filter(request=item, kind="message").values_list("user", flat=True))
        assert told == {agent.user.pk, principal.user.pk}
        Authority.objects.filter(agent=agent.user).update(revoked_at=portal_clock.now())
    assert write(agent, item, "还在吗").status_code == 404
    staff.post(reverse("desk:message", args=[pk]), {"text": "只告诉本人。", "once": uuid4()})
    with desk.django_as("owner"):
        assert Notice.objects.filter(request=item, kind="message", user=agent.user).count() == 1


def test_a_proof_is_sent_by_who_has_to_bring_it_and_by_nobody_else(
    desk: Desk, browser_of: Callable[[str], Browser]
) -> None:
    agent, former = browser_of(AGENT), browser_of(FORMER)
    with desk.django_as("worker"):
        item = Request.objects.get(pk=_unproved(agent, former.user))
    assert item.lacks_proof
    assert "证明可以在这里上传" in words(agent.get("request", item.pk))
    assert write(agent, item, "授权书", pdf("授权书.pdf")).status_code == 302
    assert "授权书.pdf" in words(agent.get("request", item.pk))
    assert "授权书.pdf" not in words(former.get("request", item.pk))
    assert write(former, item, "x").status_code == 404
    staff = desk.staff("support-zhao")
    staff.post(reverse("desk:message", args=[item.pk]), {"text": "请补签字页。", "once": uuid4()})
    with desk.django_as("owner"):
        told = list(Notice.objects.filter(request=item, kind="message").values_list("user", flat=True))
    assert told == [agent.user.pk]


def _unproved(agent: Browser, about: User) -> str:
    """Filed under a mandate that is over, as the page of a refused one offers."""
    answer = agent.client.post(reverse("rights:file_unproved", args=[about.pk, Kind.DELETION.value]))
    assert answer.status_code == 302, answer.content.decode()[:500]
    return str(answer["Location"]).strip("/").rsplit("/", 1)[-1]


def test_questions_and_answers_stand_among_the_messages(desk: Desk, item: Request, person: Browser) -> None:
    write(person, item, "先说一句")
    staff = desk.staff("support-zhao")
    version = staff.get(case_url(item)).context["form"]["version"].value()
    asked = {"outcome": "ask", "reason": "OK.PURPOSE_END", "letter": "是哪一份合同？", "version": version}
    assert staff.post(case_url(item, "decide"), asked).status_code == 302
    desk.travel(portal_clock.now() + timedelta(days=1))
    person.sign_in()
    person.post("answer", item.pk, answer="第二份")
    entries = person.get("request", item.pk).context["thread"].entries
    assert [(entry.who, entry.text) for entry in entries] == [
        ("you", "第二份"), ("staff", "是哪一份合同？"), ("you", "先说一句"),
    ]  # fmt: skip
