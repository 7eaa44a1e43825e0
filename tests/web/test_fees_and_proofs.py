"""A fee and a missing proof on the pages: what the person, the filer and staff see, and what each button does."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import pytest
from django.urls import reverse

from accounts.models import Authority
from portal.core import clock as portal_clock
from portal.core import rls
from rights.actions import proofs
from rights.kernel.states import Kind, State
from rights.models import Fee, Package, Request
from tests.business import TODAY, Business
from tests.conftest import Clock
from tests.web.test_desk import Desk, case_url, see
from tests.web.test_desk import words as desk_words
from tests.web.test_for_others import AGENT, FORMER, PRINCIPAL, Browser, words

AsRole = Callable[[str], AbstractContextManager[None]]
CHEN = "chen-ruolan"


@pytest.fixture
def desk(business: Business, django_as: AsRole, clock: Clock) -> Desk:
    return Desk(business, django_as, clock)


@pytest.fixture
def browser_of(business: Business, django_as: AsRole) -> Iterator[Callable[[str], Browser]]:
    def open_browser(key: str) -> Browser:
        browser = Browser(business, django_as, key)
        browser.client.cookies["language"] = "zh-hans"
        return browser

    yield open_browser
    rls.reset()


# ---- a package that has to go --------------------------------------------------------------------------------------


def test_staff_destroy_a_package_for_a_reason_that_the_person_reads(
    desk: Desk, browser_of: Callable[[str], Browser]
) -> None:
    item = desk.file(CHEN, Kind.ACCESS, entities=[])
    client = desk.staff("support-zhao")
    assert "Destroy the package" in desk_words(see(client, case_url(item)))
    assert desk.staff("auditor-wu").post(case_url(item, "revoke_package"), {"reason": "x"}).status_code == 403
    client.post(case_url(item, "revoke_package"), {"reason": " "})
    with desk.django_as("owner"):
        assert Package.objects.get(request=item).data_key is not None
    client.post(case_url(item, "revoke_package"), {"reason": "其中混入了他人的记录"})
    with desk.django_as("owner"):
        package = Package.objects.get(request=item)
        assert package.data_key is None
        assert item.notices.filter(kind="package_revoked").count() == 1
    page = desk_words(see(client, case_url(item)))
    assert "a package was destroyed before its day" in page
    assert "Destroy the package" not in page
    person = browser_of(CHEN)
    assert "其中混入了他人的记录" in words(person.get("request", item.pk))
    assert "提前销毁" in words(person.get("package", item.pk))


# ---- a fee ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def quoted(desk: Desk) -> Request:
    """A copy asked for again and a fee quoted for it at the desk."""
    assert desk.file(CHEN, Kind.ACCESS, entities=[]).state == State.CLOSED
    item = desk.file(CHEN, Kind.ACCESS, entities=[])
    client = desk.staff("support-zhao")
    page = desk_words(see(client, case_url(item)))
    assert "the same copy again" in page
    assert "Quote a fee" in page
    answer = client.post(case_url(item, "quote_fee"), {"amount": "12.50", "reason": "制作和寄送"})
    assert answer["Location"] == case_url(item)
    page = desk_words(see(client, case_url(item)))
    assert "Waive the fee" in page
    assert "unanswered it ends after 2026-12-23" in page
    assert "waits for an answer to the fee of ¥12.50" in desk_words(see(client, "/desk/?view=waiting"))
    assert "Quote a fee" not in page
    assert "A fee was quoted" in page
    item = desk.again(item)
    assert (item.state, item.reviewer) == (State.WAITING, None)
    return item


def test_the_person_reads_the_fee_before_it_is_owed_and_accepts(
    quoted: Request, browser_of: Callable[[str], Browser]
) -> None:
    person = browser_of(CHEN)
    page = words(person.get("request", quoted.pk))
    for part in (
        "请在 12 月 23 日前决定",
        "今天答复的话",
        "¥12.50",
        "制作和寄送",
        "你接受之前不产生任何费用",
        "接受 ¥12.50",
        "不接受",
        "GB/T 35273 8.7",
        "投诉",
    ):
        assert part in page
    person.post("fee", quoted.pk, answer="accept")
    assert person.work(str(quoted.pk)).state == State.CLOSED
    page = words(person.get("request", quoted.pk))
    for part in ("费用已接受", "这份副本的费用", "¥12.50", "制作和寄送", "11 月 23 日已接受"):
        assert part in page
    with person.django_as("worker"):
        assert Package.objects.filter(request=quoted).exists()


def test_a_declined_fee_ends_the_request_with_its_reason(quoted: Request, browser_of: Callable[[str], Browser]) -> None:
    person = browser_of(CHEN)
    person.post("fee", quoted.pk, answer="decline")
    page = words(person.get("request", quoted.pk))
    for part in ("11 月 23 日没有接受，不产生费用", "没有接受再次提供副本的费用", "随时可以重新申请", "投诉", "申诉"):
        assert part in page
    assert "已结束，未提供副本" in words(person.get("requests"))
    person.post("fee", quoted.pk, answer="accept")
    with person.django_as("worker"):
        assert Request.objects.get(pk=quoted.pk).closing_key == "FEE.DECLINED"
        assert Fee.objects.get().accepted_at is None


@pytest.mark.parametrize("answer", ["", "perhaps"])
def test_an_answer_that_is_none_answers_nothing(
    quoted: Request, browser_of: Callable[[str], Browser], answer: str
) -> None:
    person = browser_of(CHEN)
    person.post("fee", quoted.pk, answer=answer)
    person.client.get(reverse("rights:fee", args=[quoted.pk]))
    with person.django_as("worker"):
        assert Request.objects.get(pk=quoted.pk).state == State.WAITING


def test_nobody_else_answers_a_fee(quoted: Request, browser_of: Callable[[str], Browser]) -> None:
    other = browser_of(PRINCIPAL)
    other.post("fee", quoted.pk, status=404, answer="accept")
    with other.django_as("worker"):
        assert Request.objects.get(pk=quoted.pk).state == State.WAITING


def test_staff_waive_a_fee(quoted: Request, desk: Desk) -> None:
    client = desk.staff("support-qian")
    client.post(case_url(quoted, "waive_fee"))
    assert desk.work(quoted).state == State.CLOSED
    assert "waived the fee" in desk_words(see(client, case_url(quoted)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"amount": "", "reason": "x"}, "Write an amount."),
        ({"amount": "0", "reason": "x"}, "Write an amount from 0.01"),
        ({"amount": "1.234", "reason": "x"}, "Amount in yuan"),
        ({"amount": "abc", "reason": "x"}, "Amount in yuan"),
        ({"amount": "5", "reason": ""}, "Write what the fee covers."),
    ],
)
def test_a_faulty_quote_says_what_is_wrong(desk: Desk, given: dict[str, str], said: str) -> None:
    desk.file(CHEN, Kind.ACCESS, entities=[])
    item = desk.file(CHEN, Kind.ACCESS, entities=[])
    client = desk.staff("support-zhao")
    client.post(case_url(item, "quote_fee"), given)
    assert said in desk_words(see(client, case_url(item)))
    assert desk.again(item).state == State.REVIEW


@pytest.mark.parametrize("act", ["quote_fee", "waive_fee", "confirm_proof"])
def test_only_those_who_decide_cases_do_these(quoted: Request, desk: Desk, act: str) -> None:
    for key in ("auditor-wu", "admin-li"):
        assert (
            desk.staff(key).post(case_url(quoted, act), {"amount": "1", "reason": "x", "note": "x"}).status_code == 403
        )
    assert desk.again(quoted).state == State.WAITING


# ---- a missing proof -----------------------------------------------------------------------------------------------


def test_whose_authority_is_over_files_and_sends_the_proof_later(
    desk: Desk, browser_of: Callable[[str], Browser], clock: Callable[[datetime], None]
) -> None:
    agent = browser_of(AGENT)
    former = agent.of(FORMER)
    refused = agent.get("right", "access", status=403, about=former.pk)
    assert [item["url"] for item in refused.context["file"]] == [
        reverse("rights:file_unproved", args=[former.pk, kind]) for kind in ("access", "deletion")
    ]
    sent = agent.post("file_unproved", former.pk, "deletion")
    assert agent.post("file_unproved", former.pk, "deletion")["Location"] == sent["Location"], "a second tap"
    page = words(agent.client.get(sent["Location"]))
    for part in ("我们还没有看到有效的授权", "到 12 月 23 日为止", "不查看任何信息", "投诉", "隐私政策第五部分"):
        assert part in page
    assert former.masked_name not in page
    with agent.django_as("worker"):
        (item,) = Request.objects.filter(subject=former)
    assert (item.state, item.plan, item.started_on) == (State.WAITING, None, None)

    listed = words(agent.get("requests"))
    assert str(item.reference) in listed
    assert "请在 12 月 23 日前补上证明" in listed
    assert former.masked_name not in listed
    assert agent.get("done", item.pk, status=302)["Location"] == sent["Location"]
    for name in ("receipt", "package"):
        agent.get(name, item.pk, status=404)
    agent.get("home")

    person = browser_of(FORMER)
    page = words(person.get("request", item.pk))
    for part in ("对方还没有证明有权代你提出", "到 2026 年 12 月 23 日自动结束", "不想的话，在这里撤回"):
        assert part in page
    assert "请补上证明" not in page, "that is for the one who filed it"
    assert "有人以你的名义提交了申请" in words(person.get("notices"))

    client = desk.staff("support-zhao")
    assert str(item.reference) in desk_words(see(client, "/desk/?view=unproved"))
    assert str(item.reference) not in desk_words(see(client, "/desk/?view=waiting"))
    page = desk_words(see(client, case_url(item)))
    assert "Confirm the proof" in page
    for part in (
        "nothing was looked up",
        "unproved, it ends by itself on 2026-12-23",
        "Missing: no valid authority.",
        "The authority ended on 2026-10-24.",
        "高**, who filed it, signed in with a password",
    ):
        assert part in page
    assert "one-time code" not in page, "none was asked for"
    client.post(case_url(item, "confirm_proof"), {"kind": "agent", "valid_until": "2027-01-31", "note": "委托书原件"})
    item = desk.work(item)
    assert (item.state, str(item.started_on)) == (State.REVIEW, "2026-11-23")
    with desk.django_as("owner"):
        given = Authority.objects.get(agent=agent.user, principal=former, revoked_at=None)
    assert given.scope == ["deletion"]
    # Valid on its last day and not on the next.
    assert given.valid_until == datetime(2027, 2, 1, tzinfo=portal_clock.SHANGHAI)
    agent.sign_in()
    assert former.masked_name in words(agent.get("request", item.pk))


@pytest.mark.parametrize("valid_until", ["2026-11-22", "someday"])
def test_a_confirmation_with_a_day_that_is_none_or_past_is_refused(
    desk: Desk, browser_of: Callable[[str], Browser], valid_until: str
) -> None:
    agent = browser_of(AGENT)
    pk = agent.post("file_unproved", agent.of(FORMER).pk, "access")["Location"].split("/")[2]
    item = desk.again(Request(pk=pk))
    client = desk.staff("support-zhao")
    client.post(case_url(item, "confirm_proof"), {"kind": "agent", "valid_until": valid_until, "note": "x"})
    assert desk.again(item).state == State.WAITING


def test_it_is_offered_for_what_an_authority_does_not_cover_and_for_nobody_else(
    browser_of: Callable[[str], Browser],
) -> None:
    agent = browser_of(AGENT)
    principal, stranger = agent.of(PRINCIPAL), agent.of(CHEN)
    refused = agent.get("right", "deletion", status=403, about=principal.pk)
    assert [item["url"] for item in refused.context["file"]] == [
        reverse("rights:file_unproved", args=[principal.pk, "deletion"])
    ]
    assert agent.post("file_unproved", principal.pk, "access")["Location"] == f"/rights/access/?for={principal.pk}"
    assert agent.get("right", "deletion", status=403, about=stranger.pk).context["file"] == []
    for kind in ("access", "deletion"):
        agent.post("file_unproved", stranger.pk, kind, status=404)
    agent.post("file_unproved", principal.pk, "correction", status=302)
    agent.post("file_unproved", agent.of(FORMER).pk, "correction", status=404)
    with agent.django_as("owner"):
        assert not Request.objects.filter(subject=stranger).exists()


def test_both_can_take_it_back_and_see_that_nothing_was_looked_up(browser_of: Callable[[str], Browser]) -> None:
    agent, person = browser_of(AGENT), browser_of(FORMER)
    for who in (agent, person):
        pk = agent.post("file_unproved", person.user.pk, "deletion")["Location"].split("/")[2]
        who.post("withdraw", pk)
        page = words(who.get("request", pk))
        assert "没有查看任何信息" in page
        assert "请补上证明" not in page
        assert "11 月 23 日已撤回" in page
        listed = who.get("requests").context["unproved"]
        assert listed["open"] == []
        assert pk in {case["url"].split("/")[2] for case in listed["ended"]}
        with agent.django_as("owner"):
            assert Request.objects.get(pk=pk).closing_key == "WITHDRAWN"


def test_what_ended_without_a_proof_says_why_and_what_then(
    desk: Desk, browser_of: Callable[[str], Browser], clock: Callable[[datetime], None]
) -> None:
    agent = browser_of(AGENT)
    former = agent.of(FORMER)
    pk = agent.post("file_unproved", former.pk, "deletion")["Location"].split("/")[2]
    clock(TODAY + timedelta(days=30))
    with agent.django_as("worker"):
        proofs.watch_proofs(now=portal_clock.now())
    agent.sign_in()
    page = words(agent.get("request", pk))
    for part in (
        "12 月 23 日结束，没有收到证明",
        "有了证明，随时可以重新提出",
        "我们还没有看到有效的授权",
        "隐私政策第五部分",
        "投诉",
    ):
        assert part in page
    client = desk.staff("support-zhao")
    item = desk.again(Request(pk=pk))
    assert "never proved" in desk_words(see(client, "/desk/?view=closed"))
    assert "ended without a proof" in desk_words(see(client, case_url(item)))
    assert agent.post("file_unproved", former.pk, "deletion")["Location"] != reverse("rights:request", args=[pk])
