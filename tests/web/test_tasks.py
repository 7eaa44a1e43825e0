"""The desk's tasks and what the person sees of them, as browsers and programs get them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import ProgrammingError
from django.test import Client

from accounts.models import User
from portal.core import clock as portal_clock
from rights.kernel.states import Kind
from rights.models import Evidence, Handover, Request
from tests.accounts.people import speak_for
from tests.business import Business
from tests.conftest import Clock
from tests.web.test_desk import Desk, see, words

AsRole = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def desk(business: Business, django_as: AsRole, clock: Clock) -> Desk:
    return Desk(business, django_as, clock)


@pytest.fixture
def withdrawn(desk: Desk) -> Request:
    """A consent to sharing with 兑吧, withdrawn: it goes through by itself, and 兑吧 has to be told."""
    return desk.file("tang-jiayi", Kind.WITHDRAWAL, purposes=["sharing_duiba"])


def task_of(desk: Desk, item: Request) -> Handover:
    with desk.django_as("owner"):
        return Handover.objects.get(request=item, act="stop")


def sent(client: Client, address: str, **data: object) -> str:
    answer = client.post(address, data, follow=True)
    assert answer.status_code == 200, answer.content.decode()[:2000]
    return words(answer.content.decode())


def test_a_letter_from_the_list_to_the_recipients_answer(desk: Desk, withdrawn: Request) -> None:
    staff, task = desk.staff("support-zhao"), task_of(desk, withdrawn)
    assert "Duiba" in words(see(staff, "/desk/tasks/"))
    page, account = f"/desk/tasks/{task.pk}/", desk.business.account("tang-jiayi").login
    text = words(see(staff, page))
    assert "privacy mailbox" in text  # the instructions of the data map
    assert account not in text
    assert account in sent(staff, f"{page}claim/")
    assert "waits for an answer" in sent(staff, f"{page}told/")
    file = SimpleUploadedFile("answer.pdf", b"%PDF-1.7 we stopped", content_type="text/html")
    assert "answer.pdf" in sent(staff, f"{page}evidence/", file=file)
    assert "confirmed" in sent(staff, f"{page}done/", note="回信已存")
    assert str(withdrawn.reference) in words(see(staff, "/desk/tasks/?view=done"))
    with desk.django_as("owner"):
        filed = Evidence.objects.get().pk
    download = staff.get(f"/desk/evidence/{filed}/")
    assert download.content == b"%PDF-1.7 we stopped"
    assert download["Content-Type"] == "application/pdf"  # by its bytes, whatever the browser said
    assert download["Content-Disposition"].startswith("attachment")


def test_evidence_that_is_no_document_is_refused_and_says_why(desk: Desk, withdrawn: Request) -> None:
    staff, task = desk.staff("support-zhao"), task_of(desk, withdrawn)
    staff.post(f"/desk/tasks/{task.pk}/claim/")
    answer = staff.post(f"/desk/tasks/{task.pk}/evidence/", {"file": SimpleUploadedFile("a.pdf", b"<script>")})
    assert answer.status_code == 422
    assert "no PDF, PNG or JPEG" in words(answer.content.decode())


def test_the_person_sees_who_was_told_and_nothing_of_the_work(desk: Desk, withdrawn: Request) -> None:
    person = desk.business.account("tang-jiayi")
    client = Client(headers={"accept-language": "en"})
    client.cookies["language"] = "en"
    client.post("/sign-in/", {"login": person.login, "password": person.password})
    client.cookies["language"] = "en"
    page = f"/requests/{withdrawn.pk}/"
    assert "To be told we tell them by 30 November 2026" in words(see(client, page))
    staff, task = desk.staff("support-zhao"), task_of(desk, withdrawn)
    for act, data in (("claim", {}), ("told", {}), ("done", {"note": "a private note"})):
        staff.post(f"/desk/tasks/{task.pk}/{act}/", data)
    text = words(see(client, page))
    assert "told on 23 November 2026 · confirmed on 23 November 2026" in text
    assert "a private note" not in text
    (told,) = [
        row for row in client.get(f"/api/v1/requests/{withdrawn.pk}/").json()["passed_on"] if row["act"] == "stop"
    ]
    assert (told["name"], told["role"], told["progress"], told["due_on"]) == (
        "Duiba",
        "recipient",
        "confirmed",
        "2026-12-08",
    )


def test_the_database_shows_a_person_their_own_handovers_without_the_notes(desk: Desk, withdrawn: Request) -> None:
    with desk.django_as("owner"):
        me = User.objects.get(pk=withdrawn.subject_id)
        other = User.objects.find_by("account_no", desk.business.account("feng-siqi").login)
    assert other is not None
    speak_for(other)
    assert not Handover.objects.only("id", "party").exists()
    speak_for(me)
    assert Handover.objects.only("id", "party").exists()
    with pytest.raises(ProgrammingError, match="permission denied"):
        list(Handover.objects.only("note"))
    with pytest.raises(ProgrammingError, match="permission denied"):
        list(Evidence.objects.all())


def test_programs_of_staff_work_tasks_as_their_pages_do(desk: Desk, withdrawn: Request) -> None:
    staff, task = desk.staff("support-zhao"), task_of(desk, withdrawn)
    listed = staff.get("/api/v1/desk/tasks/").json()
    assert [row["title"] for row in listed if row["id"] == str(task.pk)] == ["Stop the use · Duiba"]
    address = f"/api/v1/desk/tasks/{task.pk}"
    assert staff.post(f"{address}/told/", content_type="application/json").status_code == 409  # not taken yet
    for act, body in (("claim", {}), ("told", {}), ("done", {"count": 2})):
        answer = staff.post(f"{address}/{act}/", body, content_type="application/json")
        assert answer.status_code == 200, answer.content
    assert (answer.json()["progress"], answer.json()["count"]) == ("confirmed", 2)


@pytest.mark.parametrize(("who", "page"), [("tang-jiayi", 403), ("auditor-wu", 200)])
def test_who_may_look_and_who_may_act(desk: Desk, withdrawn: Request, who: str, page: int) -> None:
    account, task = desk.business.account(who), task_of(desk, withdrawn)
    client = desk.staff(who) if page == 200 else Client()
    if page != 200:
        client.post("/sign-in/", {"login": account.login, "password": account.password})
    assert client.get("/desk/tasks/").status_code == page
    assert client.get("/api/v1/desk/tasks/").status_code == page
    assert client.post(f"/desk/tasks/{task.pk}/claim/").status_code == 403
    assert client.post(f"/api/v1/desk/tasks/{task.pk}/claim/", content_type="application/json").status_code == 403


def test_what_calls_back_without_a_signature_learns_nothing(desk: Desk, withdrawn: Request) -> None:
    for party in ("duiba", "nobody"):
        answer = Client().post(f"/api/v1/callbacks/{party}/", {"id": str(uuid4())}, content_type="application/json")
        assert (answer.status_code, answer.content) == (403, b"")
    assert Client().get("/api/v1/callbacks/duiba/").status_code == 405


def test_a_late_task_stands_out(desk: Desk, withdrawn: Request) -> None:
    desk.travel(portal_clock.now().replace(month=12, day=1))
    staff = desk.staff("support-zhao")
    assert task_of(desk, withdrawn).due_on == date(2026, 11, 30)
    assert "Duiba" in words(see(staff, "/desk/tasks/?view=late"))
