"""Asking for somebody else: a guardian for a child, an agent with a mandate, and those who have none."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.authority import principals_for
from accounts.models import Authority, User
from portal.core import clock as portal_clock
from portal.core import rls
from portal.core.models import OutboxMessage
from rights.actions import fulfil, submit
from rights.kernel.states import Kind, State
from rights.models import Request
from rights.queries import queue
from rights.web.for_others import followed_requests
from tests.business import TODAY, Business

AsRole = Callable[[str], AbstractContextManager[None]]
Travel = Callable[[datetime], None]
GUARDIAN, CHILD = "wu-jing", "shen-yinuo"
AGENT, PRINCIPAL, FORMER = "gao-wenbo", "zheng-guodong", "song-lihua"


class Browser:
    """A signed-in person's browser, and the engine that works beside it."""

    def __init__(self, business: Business, django_as: AsRole, key: str) -> None:
        self.business, self.django_as = business, django_as
        self.user = self.of(key)
        self.client = Client()
        self.sign_in()

    def sign_in(self) -> None:
        rls.acting_as(self.user.pk, staff=False)
        self.client.force_login(self.user, backend="accounts.standin.AccountBackend")
        rls.reset()

    def of(self, key: str) -> User:
        with self.django_as("owner"):
            found = User.objects.find_by("account_no", self.business.account(key).login)
        assert found is not None
        return found

    def get(self, name: str, *args: object, status: int = 200, about: object = "") -> Any:
        response = self.client.get(reverse(f"rights:{name}", args=args), {"for": str(about)} if about else {})
        assert response.status_code == status, response.content.decode()[:2000]
        return response

    def post(self, name: str, *args: object, status: int = 302, about: User | None = None, **data: Any) -> Any:
        address = reverse(f"rights:{name}", args=args) + (f"?{urlencode({'for': about.pk})}" if about else "")
        response = self.client.post(address, data)
        assert response.status_code == status, response.content.decode()[:2000]
        return response

    def ask(self, kind: str, about: User, **data: Any) -> str:
        """From the form to the receipt; the id."""
        draft = re.search(r"/ask/([0-9a-f-]{36})/check/$", self.post("start", kind, about=about, **data)["Location"])
        assert draft
        pk = draft[1]
        shown = self.get("check", pk)
        assert (about.masked_name in words(shown)) == (about.pk != self.user.pk)
        self.post("check", pk, seen=shown.context["form"]["seen"].value(), understood="on")
        if shown.context["stepup"]:
            page = self.get("stepup", pk)
            assert page.context["phone"] == self.user.masked_phone
            self.post("stepup", pk, code=self.code())
        self.get("done", pk)
        return pk

    def code(self) -> str:
        with self.django_as("owner"):
            sent = OutboxMessage.objects.filter(channel="sms").order_by("-created_at", "-pk")[0]
        assert sent.recipient == self.user.phone
        found = re.search(r"\d{6}", sent.body)
        assert found
        return found[0]

    def work(self, pk: str) -> Request:
        with self.django_as("worker"):
            fulfil.advance(request_id=Request(pk=pk).pk, now=portal_clock.now() + timedelta(seconds=5))
            return Request.objects.get(pk=pk)


def words(response: Any) -> str:
    main = response.content.decode().split("<main", 1)[1].split("</main>", 1)[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"</?(?:a|b|span|time)\b[^>]*>", "", main)))


@pytest.fixture
def browser_of(business: Business, django_as: AsRole) -> Iterator[Callable[[str], Browser]]:
    yield lambda key: Browser(business, django_as, key)
    rls.reset()


@pytest.fixture
def guardian(browser_of: Callable[[str], Browser]) -> Browser:
    return browser_of(GUARDIAN)


@pytest.fixture
def agent(browser_of: Callable[[str], Browser]) -> Browser:
    browser = browser_of(AGENT)
    browser.client.cookies["language"] = "zh-hans"
    return browser


# ---- a guardian and a child ----------------------------------------------------------------------------------------


def test_home_leads_a_guardian_to_the_childs_rights(guardian: Browser) -> None:
    child = guardian.of(CHILD)
    (row,) = guardian.get("home").context["represented"]
    assert (row.name, row.kind, row.until) == (child.masked_name, "监护人", "2027-11-23")
    page = guardian.client.get(row.url)
    assert page.context["kinds"] == [kind.value for kind in Kind]
    for kind in Kind:
        address = f"{reverse('rights:right', args=[kind])}?for={child.pk}"
        assert address in page.content.decode()
        right = guardian.client.get(address)
        assert child.masked_name in words(right)
        assert f"for={child.pk}" in right.context["start_url"]
        assert child.masked_name in words(guardian.client.get(right.context["start_url"]))


def test_what_a_guardian_sees_and_files_is_the_childs(guardian: Browser, browser_of: Callable[[str], Browser]) -> None:
    child = guardian.of(CHILD)
    plan = guardian.get("plan", "deletion", about=child.pk)
    assert plan.context["plan"] == browser_of(CHILD).get("plan", "deletion").context["plan"]
    assert plan.context["plan"] != guardian.get("plan", "deletion").context["plan"]
    pk = guardian.ask("deletion", child, scope="everything")
    with guardian.django_as("owner"):
        filed = Request.objects.get(pk=pk)
    assert (filed.subject_id, filed.filed_by_id) == (child.pk, guardian.user.pk)
    assert filed.plan is not None
    assert sum(line["count"] for line in filed.plan["lines"]) == plan.context["plan"].total
    assert child.masked_name in words(guardian.get("request", pk))
    assert child.masked_name in words(guardian.get("receipt", pk))


def test_a_form_keeps_for_whom_it_is(guardian: Browser) -> None:
    child = guardian.of(CHILD)
    pk = guardian.post("start", "access", about=child, scope="everything")["Location"].split("/")[2]
    assert f"for={child.pk}" in guardian.get("form", pk).context["back_url"]
    assert guardian.post("start", "access", about=child, scope="everything")["Location"].split("/")[2] == pk
    own = guardian.post("start", "access", scope="everything")["Location"].split("/")[2]
    with guardian.django_as("owner"):
        assert Request.objects.get(pk=own).subject_id == guardian.user.pk


def test_a_childs_case_is_first_in_the_queue(guardian: Browser, browser_of: Callable[[str], Browser]) -> None:
    earlier = browser_of("chen-ruolan")
    guardian.work(earlier.ask("deletion", earlier.user, scope="everything"))
    pk = guardian.ask("deletion", guardian.of(CHILD), scope="everything")
    assert "孩子的信息优先处理" in words(guardian.get("done", pk))
    filed = guardian.work(pk)
    assert (filed.state, filed.priority) == (State.REVIEW, 1)
    assert filed.review_reasons[0] == "OK.MINOR"
    assert "POLICY.DELETION" in filed.review_reasons
    with guardian.django_as("owner"):
        reviewer = User.objects.filter(role="support")[0]
        assert str(queue("todo", reviewer=reviewer)[0].pk) == pk


def test_a_child_who_asks_alone_comes_first_too(browser_of: Callable[[str], Browser], clock: Travel) -> None:
    child = browser_of(CHILD)
    assert child.work(child.ask("access", child.user, scope="everything")).priority == 1
    clock(TODAY.replace(year=2029, month=5, day=21))
    assert child.work(child.ask("access", child.user, scope="everything")).priority == 5


def test_a_childs_access_still_needs_no_review(guardian: Browser) -> None:
    filed = guardian.work(guardian.ask("access", guardian.of(CHILD), scope="everything"))
    assert filed.state not in {State.REVIEW, State.CHECKING}
    assert filed.review_reasons == ["OK.MINOR"]


# ---- an agent ------------------------------------------------------------------------------------------------------


def test_an_agent_asks_within_the_scope_alone(agent: Browser) -> None:
    principal = agent.of(PRINCIPAL)
    (row,) = agent.get("home").context["represented"]
    assert row.name == principal.masked_name
    assert agent.client.get(row.url).context["kinds"] == ["access", "correction"]
    items = agent.get("start", "correction", about=principal.pk).context["items"]
    assert principal.masked_phone in [item["present"] for item in items]
    for name in ("right", "plan", "start"):
        refused = agent.get(name, "deletion", status=403, about=principal.pk)
        assert "我们还没有看到有效的授权" in words(refused)
        assert "查阅、复制" in words(refused)
        assert principal.masked_name not in words(refused)
    agent.post("start", "deletion", status=403, about=principal, scope="everything")
    with agent.django_as("owner"):
        assert not Request.objects.filter(subject=principal).exists()


def test_an_expired_authority_is_refused_with_the_reason(agent: Browser) -> None:
    former = agent.of(FORMER)
    for answer in (
        agent.get("for", former.pk, status=403),
        *(agent.get(name, "access", status=403, about=former.pk) for name in ("right", "plan", "start")),
        agent.post("start", "access", status=403, about=former, scope="everything"),
    ):
        text = words(answer)
        assert "我们还没有看到有效的授权。请补上证明。" in text
        assert "2026 年 10 月 24 日" in text
        assert former.masked_name not in text


def test_a_stranger_and_nobody_are_refused_the_same_way(agent: Browser) -> None:
    stranger = agent.of("chen-ruolan")
    texts = [
        words(agent.get("plan", "deletion", status=403, about=named))
        for named in (str(stranger.pk), str(uuid4()), "nobody")
    ]
    assert "我们还没有看到有效的授权。请补上证明。" in texts[0]
    assert texts[0] == texts[1] == texts[2]
    agent.post("start", "access", status=403, about=stranger, scope="everything")
    agent.get("for", stranger.pk, status=403)


def test_a_draft_ends_with_the_authority(agent: Browser, clock: Travel) -> None:
    principal = agent.of(PRINCIPAL)
    draft = agent.post("start", "access", about=principal, scope="everything")["Location"].split("/")[2]
    filed = agent.ask("access", principal, scope="chosen", companies=["wealth"])
    agent.get("request", filed)
    clock(TODAY + timedelta(days=181))
    agent.sign_in()
    for name in ("form", "check"):
        agent.get(name, draft, status=403)
    agent.post("check", draft, status=403)
    for name in ("request", "receipt", "done"):
        agent.get(name, filed, status=403)
    agent.post("withdraw", filed, status=403)
    rls.acting_as(agent.user.pk, staff=False)
    assert list(followed_requests(agent.user, given=principals_for(agent.user, portal_clock.now()))) == []
    sent = submit.submit(request_id=Request(pk=draft).pk, now=portal_clock.now())
    assert (sent.state, sent.plan, sent.review_reasons) == (State.WAITING, None, ["AGENT.UNAUTHORISED"])


def test_the_principal_sees_it_and_alone_gets_the_package(agent: Browser, browser_of: Callable[[str], Browser]) -> None:
    principal = browser_of(PRINCIPAL)
    pk = agent.ask("access", principal.user, scope="everything")
    assert "资料交给本人" in words(agent.get("done", pk))
    assert "资料交给本人" in words(agent.get("request", pk))
    assert principal.user.masked_name in words(agent.get("requests"))
    assert agent.work(pk).state == State.CLOSED

    for name in ("package", "package_download"):
        agent.get(name, pk, status=404)
        agent.post(name, pk, status=404, code="123456")
    agent.get("package_file", pk, 1, status=404)
    assert agent.get("request", pk).context["package"] is None

    assert agent.user.masked_name in words(principal.get("requests"))
    followed = principal.get("request", pk)
    assert agent.user.masked_name in words(followed)
    assert followed.context["package"] is not None
    principal.post("package", pk)
    response = principal.client.post(reverse("rights:package_download", args=[pk]), {"code": principal.code()})
    assert response.status_code == 302
    response = principal.client.get(response["Location"])
    assert response.status_code == 200
    assert b"".join(response).startswith(b"PK")


def test_the_principal_can_take_back_what_an_agent_filed(
    guardian: Browser, browser_of: Callable[[str], Browser]
) -> None:
    pk = guardian.ask("deletion", guardian.of(CHILD), scope="everything")
    child = browser_of(CHILD)
    child.post("withdraw", pk)
    with guardian.django_as("owner"):
        assert Request.objects.get(pk=pk).closing_key == "WITHDRAWN"


def test_what_was_revoked_is_no_longer_there(agent: Browser) -> None:
    principal = agent.of(PRINCIPAL)
    filed = agent.ask("access", principal, scope="everything")
    with agent.django_as("owner"):
        Authority.objects.filter(principal=principal).update(revoked_at=TODAY)
    agent.get("right", "access", status=403, about=principal.pk)
    agent.get("request", filed, status=404)
    assert agent.get("home").context["represented"] == []
    assert agent.get("requests").context["running"] == []


# ---- the account page ----------------------------------------------------------------------------------------------


def test_the_account_page_says_who_may_act_for_whom(agent: Browser, browser_of: Callable[[str], Browser]) -> None:
    principal, former = browser_of(PRINCIPAL), agent.of(FORMER)
    page = agent.client.get(reverse("accounts:me"))
    assert page.context["given"] == []
    assert {item["name"]: item["over"] for item in page.context["held"]} == {
        principal.user.masked_name: False,
        former.masked_name: True,
    }
    assert "2027-05-22" in words(page)
    page = principal.client.get(reverse("accounts:me"))
    assert [item["name"] for item in page.context["given"]] == [agent.user.masked_name]
    assert page.context["held"] == []
    assert "查阅、复制" in words(page)
