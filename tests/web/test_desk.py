"""The desk through its pages: real engine, real business systems, read as a browser gets them."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from accounts import totp
from accounts.models import User
from portal.core import clock as portal_clock
from portal.core.models import LedgerEntry
from rights.actions import fulfil, review, submit
from rights.kernel.states import Kind, State
from rights.models import Decision, Question, Request, Step
from rights.web.keyset import read_page
from tests.business import TODAY, Business
from tests.conftest import Clock

AsRole = Callable[[str], AbstractContextManager[None]]
CHEN = "chen-ruolan"


@dataclass
class Desk:
    """What a test does beside the desk's pages, and the pages themselves."""

    business: Business
    django_as: AsRole
    travel: Clock

    def user(self, key: str) -> User:
        with self.django_as("owner"):
            found = User.objects.find_by("account_no", self.business.account(key).login)
        assert found is not None
        return found

    def staff(self, key: str, *, language: str = "en") -> Client:
        """Signed in with both factors, as staff do."""
        account = self.business.account(key)
        client = Client(headers={"accept-language": language})
        client.cookies["language"] = language
        client.post("/sign-in/", {"login": account.login, "password": account.password})
        client.cookies["language"] = language
        code = totp.show_code(account.login, now=portal_clock.now())
        answer = client.post("/sign-in/code/", {"code": code})
        assert answer.status_code == 302, answer.content.decode()[:500]
        return client

    def file(self, key: str, kind: Kind, **details: Any) -> Request:
        """Filed, and worked as far as it goes by itself."""
        user, now = self.user(key), portal_clock.now()
        with self.django_as("worker"):
            draft = submit.start_draft(subject=user, filed_by=user, kind=kind, details=details, now=now)
            filed = submit.submit(request_id=draft.pk, now=now)
        return self.work(filed)

    def work(self, item: Request) -> Request:
        with self.django_as("worker"):
            fulfil.advance(request_id=item.pk, now=portal_clock.now())
        return self.again(item)

    def again(self, item: Request) -> Request:
        with self.django_as("worker"):
            return Request.objects.select_related("subject", "filed_by", "reviewer").get(pk=item.pk)


@pytest.fixture
def desk(business: Business, django_as: AsRole, clock: Clock) -> Desk:
    return Desk(business, django_as, clock)


def case_url(item: Request, act: str = "case") -> str:
    return reverse(f"desk:{act}", args=[item.pk])


def see(client: Client, url: str, status: int = 200) -> str:
    answer = client.get(url)
    assert answer.status_code == status, answer.content.decode()[:2000]
    return answer.content.decode()


def words(html: str) -> str:
    """What is read, without the marks, in one line."""
    body = html.split("</header>", 1)[-1]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def fields_of(html: str) -> dict[str, str]:
    """The decision form as the browser would send it untouched, its radio buttons apart."""
    form = re.search(r'<form[^>]*action="[^"]*/decide/".*?</form>', html, re.DOTALL)
    assert form, "there is no decision panel"
    found = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form[0]):
        found[name] = unescape(value)
    found["letter"] = unescape(re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", form[0], re.DOTALL)[1])  # type: ignore[index]
    chosen = re.search(r'<option value="([^"]*)" selected', form[0])
    found["reason"] = chosen[1] if chosen else ""
    found.pop("csrfmiddlewaretoken", None)
    return found


def decide(client: Client, item: Request, html: str = "", **answers: str) -> Any:
    """What was on the page, with the reviewer's choices."""
    page = html or see(client, case_url(item))
    return client.post(case_url(item, "decide"), {**fields_of(page), **answers})


LINES = {"line-wallet.family_payment": "keep", "line-wealth.holding": "refer"}


# --- the queue


def test_the_queue_shows_who_waits_for_what_and_a_claim_is_one_click(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    text = words(see(client, "/desk/"))
    assert str(item.reference) in text
    assert "15 days left" in text
    assert "Deletion · everything" in text
    assert "陈**" in text
    assert "陈若兰" not in text
    assert "joint records, every deletion is looked at" in text or "joint records" in text
    answer = client.post(case_url(item, "claim"), headers={"referer": "http://testserver/desk/?view=todo"})
    assert answer["Location"].endswith("/desk/?view=todo")
    assert desk.again(item).reviewer == desk.user("support-zhao")
    assert str(item.reference) in words(see(client, "/desk/?view=mine"))


def test_a_case_taken_by_one_is_not_taken_by_another(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    first, second = desk.staff("support-zhao"), desk.staff("support-qian")
    page = see(second, case_url(item))
    first.post(case_url(item, "claim"))
    second.post(case_url(item, "claim"))
    assert desk.again(item).reviewer == desk.user("support-zhao")
    answer = decide(second, item, page, outcome="approve", **LINES)
    assert answer.status_code == 409
    assert desk.again(item).state == State.REVIEW
    assert "belongs to 赵宁" in words(see(second, case_url(item)))


def test_views_kinds_and_people_are_filters_in_the_address(desk: Desk) -> None:
    deletion = desk.file(CHEN, Kind.DELETION, entities=[])
    other = desk.file("chen-jianguo", Kind.DELETION, entities=[])
    cancellation = desk.file(CHEN, Kind.CANCELLATION, entities=["loan"])
    client = desk.staff("supervisor-sun")

    def shown(query: str) -> set[str | None]:
        html = see(client, f"/desk/{query}")
        return {item.reference for item in (deletion, other, cancellation) if f">{item.reference}<" in html}

    assert cancellation.state == State.DEFERRED
    assert shown("") == {deletion.reference, other.reference, cancellation.reference}
    assert shown("?kind=cancellation") == {cancellation.reference}
    assert shown("?view=deferred") == {cancellation.reference}
    assert shown("?view=closed") == set()
    assert shown(f"?person={other.subject_id}") == {other.reference}
    for query in ("?view=nothing", "?kind=nothing", "?person=nothing"):
        assert client.get(f"/desk/{query}").status_code == 404


@pytest.mark.parametrize("what", ["reference", "lower", "account", "phone", "id_number", "nothing"])
def test_one_is_found_by_an_exact_number_only(desk: Desk, what: str) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client, account = desk.staff("support-zhao"), desk.business.account(CHEN)
    assert item.reference
    asked = {
        "reference": item.reference,
        "lower": item.reference.lower(),
        "account": account.login,
        "phone": account.phone,
        "id_number": account.identities["id_number"],
        "nothing": item.reference[:-1],
    }[what]
    answer = client.post("/desk/search/", {"q": asked})
    expected = {"reference": case_url(item), "lower": case_url(item), "nothing": "/desk/"}
    assert answer["Location"] == expected.get(what, f"/desk/?person={item.subject_id}")
    assert client.get("/desk/", {"q": item.reference})["Location"] == case_url(item)


def test_pages_follow_the_order_both_ways(desk: Desk) -> None:
    user, now = desk.user("xu-anran"), portal_clock.now()
    with desk.django_as("worker"):
        made = Request.objects.bulk_create(
            Request(
                kind="deletion", subject=user, filed_by=user, created_at=now, received_at=now,
                started_on=now.date() - timedelta(days=number % 4), reference=f"T-{number}", priority=number % 2,
            )
            for number in range(23)
        )  # fmt: skip
        for state in (State.CHECKING, State.REVIEW):  # the database knows no other way there
            Request.objects.filter(pk__in=[row.pk for row in made]).update(state=state)
        order = ("priority", "started_on", "received_at", "id")
        expected = list(Request.objects.order_by(*order).values_list("pk", flat=True))
        query = Request.objects.all()
        seen, cursor, pages = [], "", []
        for _ in range(10):
            page = read_page(query, order=order, cursor=cursor, size=5)
            pages.append(page)
            seen += [row.pk for row in page.rows]
            if not page.next:
                break
            cursor = page.next
        assert seen == expected
        assert [page.first for page in pages] == [1, 6, 11, 16, 21]
        back = read_page(query, order=order, cursor=pages[-1].previous, size=5)
        assert (back.rows, back.first) == (pages[-2].rows, 16)
        assert not pages[0].previous
        assert read_page(query, order=order, cursor=pages[1].previous, size=5).previous == ""
        for nonsense in ("x", "W10", "bnVsbA", "WzAsMSwieCIsInkiLCJ6IiwicSJd"):
            assert read_page(query, order=order, cursor=nonsense, size=5).rows == pages[0].rows
    assert len(made) == 23


# --- the case


def test_a_plain_case_is_opened_chosen_and_confirmed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "UNDO_SECONDS", 600)  # the walks' one second may be over before the page is read
    item = desk.file("xu-anran", Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    answer = decide(client, item, outcome="approve")
    assert answer["Location"] == case_url(item)
    item = desk.again(item)
    assert (item.state, item.reviewer) == (State.ACTING, desk.user("support-zhao"))
    assert "Decided. It can be taken back until" in words(see(client, case_url(item)))


def test_the_case_says_what_would_happen_and_what_a_person_must_judge(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    text = words(see(desk.staff("support-zhao"), case_url(item)))
    expected = (
        "陈**", "BLOCK.LOAN", "1,200 → 0", "¥4,260.00", "In the way: A loan is not repaid.", "Deletion · everything",
        "one-time code on 2026-11-23", "2026-12-08", "partly possible",
    )  # fmt: skip
    for said in expected:
        assert said in text, said
    assert "6 records" in text  # the joint payments
    account = desk.business.account(CHEN)
    for hidden in (account.name, account.phone, account.identities["id_number"]):
        assert hidden not in text


def test_every_line_that_needs_a_person_needs_a_choice(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    answer = decide(client, item, outcome="approve", **{"line-wallet.family_payment": "keep"})
    assert answer.status_code == 422
    assert "Choose keep, erase or refer." in words(answer.content.decode())
    assert fields_of(answer.content.decode())["reason"] == "OK.PURPOSE_END"
    assert desk.again(item).state == State.REVIEW
    assert decide(client, item, outcome="approve", **LINES).status_code == 302
    with desk.django_as("worker"):
        assert Decision.objects.get(request=item).lines == {
            "wallet.family_payment": "keep", "wealth.holding": "refer",
        }  # fmt: skip


def test_the_letter_is_the_persons_language_and_may_be_edited(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao", language="en")
    letter = fields_of(see(client, case_url(item)))["letter"]
    assert "12 月 8 日" in letter
    assert "还有一笔贷款没有还清" in letter
    decide(client, item, outcome="approve", letter="写给你的一封信。", **LINES)
    with desk.django_as("worker"):
        decision = Decision.objects.get(request=item)
        assert decision.text == "写给你的一封信。"
        entry = LedgerEntry.objects.get(chain=item.pk, kind="decided")
    assert "信" not in str(entry.body)


def test_what_changed_meanwhile_is_said_and_nothing_is_decided(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    page = see(client, case_url(item))
    desk.business.sql("loan", "UPDATE loan.loan SET balance = 0, settled_on = '2026-11-23' WHERE contract_no = 'L2'")
    answer = decide(client, item, page, outcome="approve", **LINES)
    assert answer.status_code == 409
    text = words(answer.content.decode())
    assert "Nothing was decided" in text
    assert "No longer in the way: A loan is not repaid." in text
    assert desk.again(item).state == State.REVIEW
    # The page now shows what is true, and its answers were kept: confirming it decides.
    shown = answer.content.decode()
    assert fields_of(shown)["letter"] == fields_of(page)["letter"]
    for name, value in {"outcome": "approve", **LINES}.items():
        assert re.search(rf'name="{re.escape(name)}"[^>]*value="{value}"[^>]*checked', shown), name
    again = decide(client, item, shown, outcome="approve", **LINES)
    assert again.status_code == 302
    assert desk.again(item).state == State.ACTING


def test_a_page_from_before_another_decision_decides_nothing(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    page = see(client, case_url(item))
    decide(client, item, page, outcome="ask", letter="是哪一笔？")
    answer = decide(client, item, page, outcome="refuse", reason="NA.ANONYMISED", letter="没有同意。")
    assert answer.status_code == 409
    assert desk.again(item).state == State.WAITING
    assert Question.objects.count() == 0  # as the web role, which sees nothing of staff's


def test_a_made_up_version_decides_nothing(desk: Desk) -> None:
    item = desk.file("xu-anran", Kind.DELETION, entities=[])
    other = desk.file("chen-jianguo", Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    foreign = fields_of(see(client, case_url(other)))["version"]
    for version in ("", "made-up", foreign):
        assert decide(client, item, outcome="approve", version=version).status_code == 409
    assert desk.again(item).state == State.REVIEW


def test_a_question_is_ones_own_words_and_stops_the_clock(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    untouched = decide(client, item, outcome="ask")
    assert untouched.status_code == 422
    assert "Write the question" in words(untouched.content.decode())
    assert decide(client, item, outcome="ask", letter="你指的是哪一笔付款？").status_code == 302
    item = desk.again(item)
    assert item.state == State.WAITING
    desk.travel(portal_clock.now() + timedelta(days=4))
    text = words(see(client, case_url(item)))
    assert "你指的是哪一笔付款？" in text
    assert "paused 4 days" in text
    assert "The clock stands until they answer." in text
    with desk.django_as("worker"):
        review.answer(item, text="六月那笔。", actor=item.subject, now=portal_clock.now())
    text = words(see(client, case_url(item)))
    assert "六月那笔。" in text
    assert "15 days left" in text


def test_a_refusal_shows_its_letter_before_it_goes(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    wrong = decide(client, item, outcome="refuse", reason="OK.PURPOSE_END")
    assert wrong.status_code == 422
    shown = decide(client, item, outcome="refuse", reason="NA.ANONYMISED")
    assert shown.status_code == 422
    letter = fields_of(shown.content.decode())["letter"]
    assert "数据已无法对应到你" in letter
    assert "第 4" in letter
    assert desk.again(item).state == State.REVIEW
    # Another reason than the letter's brings that reason's letter first.
    other = decide(client, item, shown.content.decode(), outcome="refuse", reason="GROUND.HARMS_OTHERS")
    assert other.status_code == 422
    final = decide(client, item, other.content.decode(), outcome="refuse", reason="GROUND.HARMS_OTHERS")
    assert final.status_code == 302
    item = desk.again(item)
    assert (item.state, item.closing_key) == (State.CLOSED, "GROUND.HARMS_OTHERS")
    assert "refused (GROUND.HARMS_OTHERS)" in words(see(client, "/desk/?view=closed"))
    assert "GROUND.UNREALISTIC" not in see(client, case_url(item))


def test_a_case_is_extended_once(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    assert decide(client, item, outcome="extend", letter="要向另一家公司核实。").status_code == 302
    text = words(see(client, case_url(item)))
    assert "extended on 2026-11-23" in text
    assert "2026-12-23" in text
    assert decide(client, item, outcome="extend", letter="再来一次。").status_code == 422


def test_an_approval_is_taken_back_within_its_time_and_not_after(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "UNDO_SECONDS", 600)  # as above
    item = desk.file("xu-anran", Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    decide(client, item, outcome="approve")
    client.post(case_url(item, "undo"))
    item = desk.again(item)
    assert (item.state, item.approved_plan) == (State.REVIEW, None)
    decide(client, item, outcome="approve")
    desk.travel(portal_clock.now() + timedelta(minutes=11))
    assert "Take the decision back" not in see(client, case_url(item))
    client.post(case_url(item, "undo"))
    assert desk.again(item).state == State.ACTING


def test_a_cancellation_that_waits_is_approved_beforehand(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.CANCELLATION, entities=["loan"])
    assert item.state == State.DEFERRED
    client = desk.staff("support-zhao")
    page = see(client, case_url(item))
    assert "for the day nothing is in the way" in words(page)
    assert "what was missing" not in words(page), "its clock does not run"
    assert decide(client, item, page, outcome="ask", letter="？").status_code == 422
    assert decide(client, item, page, outcome="approve", reason="OK.CANCELLED").status_code == 302
    item = desk.again(item)
    assert item.state == State.DEFERRED
    assert item.approved_at
    assert "approved beforehand" in words(see(client, "/desk/?view=deferred"))
    assert str(item.reference) not in see(client, "/desk/")
    assert "goes on by itself once nothing is in the way" in words(see(client, case_url(item)))


def test_a_system_that_is_silent_cannot_be_approved(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    item = desk.file("xu-anran", Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    page = see(client, case_url(item))
    monkeypatch.setenv("SYSTEM_WEALTH_URL", "postgresql://nobody:x@127.0.0.1:1/none")
    text = words(see(client, case_url(item)))
    assert "Not known right now:" in text
    assert "a system does not answer" in text
    assert re.search(r"not known +SYSTEM\.UNKNOWN", text)
    assert not re.search(r"\b0 +not known", text), "nobody counted"
    answer = decide(client, item, page, outcome="approve")
    assert answer.status_code == 409
    assert "does not answer now" in words(answer.content.decode())
    assert desk.again(item).state == State.REVIEW


def test_a_name_is_corrected_only_after_it_was_compared(desk: Desk) -> None:
    name = desk.business.account(CHEN).name
    item = desk.file(CHEN, Kind.CORRECTION, items=[{"correction": "name", "old": name, "new": "陈若岚"}])
    assert item.state == State.REVIEW
    client = desk.staff("support-zhao")
    text = words(see(client, case_url(item)))
    assert f"{name} → 陈若岚" in text
    assert "A proof of identity is needed." in text
    assert decide(client, item, outcome="approve").status_code == 302
    with desk.django_as("worker"):
        fulfil.advance(request_id=item.pk, now=portal_clock.now() + timedelta(minutes=11))
    assert desk.business.sql("platform", "SELECT count(*) FROM platform.real_name WHERE name = %s", [name]) == [(0,)]


def test_a_failed_step_is_tried_again_from_its_case(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=["wallet"])
    client = desk.staff("support-zhao")
    decide(client, item, outcome="approve", **{"line-wallet.family_payment": "keep"})
    desk.business.sql("wallet", "REVOKE DELETE ON wallet.payment FROM portal_wallet_connector")
    try:
        with desk.django_as("worker"):
            fulfil.advance(request_id=item.pk, now=portal_clock.now() + timedelta(minutes=11))
            dead = Step.objects.get(request=item, state="dead")
        assert str(item.reference) in see(client, "/desk/?view=failed")
        page = see(client, case_url(item))
        retry = reverse("desk:retry", args=[dead.pk])
        assert retry in page
        assert retry not in see(desk.staff("auditor-wu"), case_url(item))
    finally:
        desk.business.sql("wallet", "GRANT DELETE ON wallet.payment TO portal_wallet_connector")
    assert client.post(retry)["Location"] == case_url(item)
    with desk.django_as("worker"):
        dead.refresh_from_db()
        assert dead.state == "ready"
        fulfil.advance(request_id=item.pk, now=portal_clock.now() + timedelta(minutes=12))
        dead.refresh_from_db()
        assert (dead.state, dead.done) == ("done", 15)


# --- who may


def test_nobody_decides_their_own_case(desk: Desk) -> None:
    """Support who filed as a person, with the phone that their staff account has."""
    item = desk.file("xu-anran", Kind.DELETION, entities=[])
    phone = desk.business.account("xu-anran").phone
    with desk.django_as("owner"):
        staff = User.objects.find_by("account_no", desk.business.account("support-zhao").login)
        assert staff
        staff.identities.update_or_create(
            kind="phone", defaults={"value": phone, "index": "v1:x", "verified_at": portal_clock.now()}
        )
    own, other = desk.staff("support-zhao"), desk.staff("support-qian")
    page = see(other, case_url(item))
    assert "Nobody decides their own case." in words(see(own, case_url(item)))
    own.post(case_url(item, "claim"))
    assert decide(own, item, page, outcome="approve").status_code == 409
    item = desk.again(item)
    assert (item.state, item.reviewer) == (State.REVIEW, None)


@pytest.mark.parametrize("who", ["admin-li", "auditor-wu"])
def test_some_look_and_do_not_decide(desk: Desk, who: str) -> None:
    item = desk.file("xu-anran", Kind.DELETION, entities=[])
    page = see(desk.staff("support-zhao"), case_url(item))
    client = desk.staff(who)
    assert "does not decide them" in words(see(client, case_url(item)))
    assert case_url(item, "claim") not in see(client, "/desk/")
    assert decide(client, item, page, outcome="approve").status_code == 403
    for act in ("claim", "release", "undo"):
        assert client.post(case_url(item, act)).status_code == 403
    assert desk.again(item).state == State.REVIEW


def test_people_and_strangers_see_no_desk(desk: Desk) -> None:
    item = desk.file("xu-anran", Kind.DELETION, entities=[])
    stranger, person = Client(), Client()
    account = desk.business.account("xu-anran")
    person.post("/sign-in/", {"login": account.login, "password": account.password})
    for url in ("/desk/", case_url(item)):
        assert stranger.get(url)["Location"].startswith("/sign-in/")
        assert person.get(url).status_code == 403
    assert person.post(case_url(item, "decide"), {}).status_code == 403


def test_a_draft_is_no_case(desk: Desk) -> None:
    user, now = desk.user("xu-anran"), portal_clock.now()
    with desk.django_as("worker"):
        draft = submit.start_draft(subject=user, filed_by=user, kind=Kind.ACCESS, details={}, now=now)
    assert desk.staff("support-zhao").get(case_url(draft)).status_code == 404


def test_both_languages_speak_of_every_state(desk: Desk) -> None:
    """No message lacks its values, in either language, in any state."""
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")

    def look() -> None:
        for language in ("zh-hans", "en"):
            client.cookies["language"] = language
            for url in ("/desk/", "/desk/?view=acting", "/desk/?view=deferred", case_url(item)):
                assert "%(" not in see(client, url)

    look()
    decide(client, item, outcome="approve", **LINES)
    look()
    with desk.django_as("worker"):
        fulfil.advance(request_id=item.pk, now=portal_clock.now() + timedelta(minutes=11))
    assert desk.again(item).state == State.DEFERRED
    look()


# --- what was missing


@pytest.mark.parametrize(
    ("days", "told", "said", "due"),
    [
        # Filed on 11-23. Asked for within three days, the answer of 12-01 starts the clock; later, it only stood.
        (3, "Asked by 2026-11-26, the answer starts the clock.", "The clock starts with the answer.", "2026-12-16"),
        (4, "too late for the answer to start the clock", "The clock stands until it is answered.", "2026-12-12"),
    ],
)
def test_a_question_for_what_was_missing_starts_the_clock_if_it_is_in_time(
    desk: Desk, days: int, told: str, said: str, due: str
) -> None:
    item, day = desk.file(CHEN, Kind.DELETION, entities=[]), timedelta(days=1)
    desk.travel(TODAY + days * day)
    client = desk.staff("support-zhao")
    page = see(client, case_url(item))
    assert told in words(page)
    assert decide(client, item, page, outcome="ask", letter="请补上委托书。", missing="on").status_code == 302
    text = words(see(client, case_url(item)))
    assert said in text
    assert "asked the person for what was missing" in text
    with desk.django_as("worker"):
        assert Question.objects.get(request=item).missing
        desk.travel(TODAY + 8 * day)
        review.answer(desk.again(item), text="补上了。", actor=item.subject, now=portal_clock.now())
    assert f"by {due}" in words(see(desk.staff("support-zhao"), case_url(item)))


def test_a_question_for_something_else_is_none_for_what_was_missing(desk: Desk) -> None:
    item = desk.file(CHEN, Kind.DELETION, entities=[])
    client = desk.staff("support-zhao", language="zh-hans")
    page = see(client, case_url(item))
    assert "最迟 2026-11-26 问，从答复那天起计时。" in words(page)
    decide(client, item, page, outcome="ask", letter="是哪一笔？")
    with desk.django_as("worker"):
        assert not Question.objects.get(request=item).missing


def test_only_a_question_asks_for_what_was_missing(desk: Desk) -> None:
    item = desk.file("xu-anran", Kind.DELETION, entities=[])
    client = desk.staff("support-zhao")
    answer = decide(client, item, outcome="approve", missing="on")
    assert answer.status_code == 422
    assert "Only a question asks for what is missing." in words(answer.content.decode())
    assert desk.again(item).state == State.REVIEW


# --- a copy


def test_a_copy_is_counted_as_handed_out_and_nothing_stands_in_its_way(desk: Desk) -> None:
    """Chen's loan runs, which holds up what is erased and never what is handed out."""
    desk.file(CHEN, Kind.ACCESS, entities=[])
    item = desk.file(CHEN, Kind.ACCESS, entities=[])
    assert item.state == State.REVIEW
    text = words(see(desk.staff("support-zhao"), case_url(item)))
    assert "What is in the copy" in text
    assert re.search(r"[\d,]+ records go into the package; nothing is changed\.", text)
    assert "Can go" not in text
    assert "In the way" not in text


def test_the_queue_says_in_which_order_it_stands(desk: Desk) -> None:
    client = desk.staff("support-zhao")
    for view, order in {
        "todo": "The most urgent by law first",
        "unproved": "The longest waiting first",
        "closed": "The newest first",
    }.items():
        assert order in words(see(client, f"/desk/?view={view}"))
