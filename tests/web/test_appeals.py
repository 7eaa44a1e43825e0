"""An appeal: filed once, reviewed by somebody who did not decide, and what comes of it; and the bad turns of that."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.urls import reverse

from accounts.models import User
from portal.core import clock as portal_clock
from portal.core import ledger, rls
from portal.core.models import LedgerEntry
from rights.actions import fulfil, review
from rights.actions.review import CannotDecide
from rights.actions.watch import watch_appeals
from rights.kernel.plan import Fate
from rights.kernel.states import Kind, State
from rights.models import Appeal, Notice, Package, Receipt, Relation, Request
from rights.notices import render_notice
from rights.queries import due_of
from rights.transitions import StaleRequest
from tests.business import TODAY, Business
from tests.conftest import Clock
from tests.web.test_desk import Desk, case_url, see
from tests.web.test_desk import words as desk_words
from tests.web.test_for_others import Browser, words

AsRole = Callable[[str], AbstractContextManager[None]]
FENG, ZHAO, QIAN, SUN = "feng-siqi", "support-zhao", "support-qian", "supervisor-sun"


@pytest.fixture
def desk(business: Business, django_as: AsRole, clock: Clock) -> Desk:
    return Desk(business, django_as, clock)


@pytest.fixture
def person(business: Business, django_as: AsRole) -> Iterator[Browser]:
    yield Browser(business, django_as, FENG)
    rls.reset()


@pytest.fixture
def refused(desk: Desk) -> Request:
    """A deletion that 赵宁 refused."""
    return refuse(desk, desk.file(FENG, Kind.DELETION, entities=[]))


def refuse(desk: Desk, item: Request, *, by: str = ZHAO) -> Request:
    reviewer = desk.user(by)
    with desk.django_as("worker"):
        review.refuse(
            item, reviewer=reviewer, key="GROUND.ANTI_FRAUD", text="正在核查，现在删除会妨碍。", now=portal_clock.now()
        )
    return desk.again(item)


def file(browser: Browser, item: Request, reason: str = "核查已经结束了。") -> Any:
    return browser.client.post(reverse("rights:appeal", args=[item.pk]), {"reason": reason})


def appeal_of(desk: Desk, item: Request) -> Appeal:
    with desk.django_as("owner"):
        return Appeal.objects.select_related("request__subject", "request__filed_by", "reviewer").get(request=item)


def told(desk: Desk, item: Request, *kinds: str) -> list[str]:
    with desk.django_as("owner"):
        found = Notice.objects.filter(request=item, user=item.subject_id, kind__in=kinds).order_by("pk")
        return list(found.values_list("kind", flat=True))


def test_a_walk_from_a_refusal_to_a_decision_that_was_overturned(desk: Desk, refused: Request, person: Browser) -> None:
    page = words(person.get("request", refused.pk))
    assert "最迟 2027 年 1 月 22 日提出" in page  # 60 days from 2026-11-23
    assert "正在核查，现在删除会妨碍。" in words(person.get("appeal", refused.pk))
    assert "请写明为什么不同意" in words(file(person, refused, "  "))
    assert file(person, refused)["Location"] == f"/requests/{refused.pk}/#appeal"
    assert file(person, refused, "另一个标签页").status_code == 302  # sent again
    appeal = appeal_of(desk, refused)
    assert appeal.reason == "核查已经结束了。"
    page = words(person.get("request", refused.pk))
    for part in ("你的申诉在复核，从 11 月 23 日起", "最迟 12 月 8 日告诉你结果", "核查已经结束了。"):
        assert part in page, part

    decider, other = desk.staff(ZHAO), desk.staff(SUN)
    queue = desk_words(see(other, "/desk/?view=appeals"))
    assert str(refused.reference) in queue
    assert "15 days left" in queue
    assert "has not decided the case" in desk_words(see(decider, case_url(refused)))
    sent = {"outcome": "overturned", "text": "核查确已结束，撤销原决定。"}
    assert decider.post(reverse("desk:appeal_decide", args=[refused.pk]), sent).status_code == 409
    assert appeal_of(desk, refused).outcome == ""
    decide = reverse("desk:appeal_decide", args=[refused.pk])
    assert other.post(decide, {"outcome": "overturned", "text": " "}).status_code == 422
    assert "核查已经结束了。" in desk_words(see(other, case_url(refused)))
    assert other.post(decide, sent).status_code == 302
    assert other.post(decide, sent).status_code == 404  # decided meanwhile: there is none to decide any more

    item = desk.again(refused)
    assert (item.state, item.reopened, item.closed_at, item.closing_key) == (State.REVIEW, 1, None, "")
    assert item.reviewer == desk.user(SUN)
    with desk.django_as("worker"):
        assert due_of(item, now=portal_clock.now()).on == (TODAY + timedelta(days=15)).date()
    assert "原决定已撤销，申请重新办理" in words(person.get("request", refused.pk))
    assert "was overturned, so somebody else decides" in desk_words(see(decider, case_url(refused)))

    with desk.django_as("worker"):  # and done after all
        plan = review.live_plan(item, now=portal_clock.now())
        lines = {line.collection: "keep" for line in plan.of(Fate.PERSON)}
        with pytest.raises((CannotDecide, StaleRequest)):
            review.approve(
                item, reviewer=desk_user(ZHAO, desk), key="OK.PURPOSE_END", text="", lines=lines, plan=plan,
                now=portal_clock.now(),
            )  # fmt: skip
        review.approve(
            item, reviewer=desk_user(SUN, desk), key="OK.PURPOSE_END", text="现在删除。", lines=lines, plan=plan,
            now=portal_clock.now(),
        )  # fmt: skip
        fulfil.advance(request_id=item.pk, now=portal_clock.now() + timedelta(minutes=15))
    item = desk.again(item)
    assert (item.state, item.closing_key) == (State.CLOSED, "OK.PURPOSE_END")
    assert told(desk, item, "refused", "appeal_received", "appeal_overturned", "approved", "closed") == [
        "refused", "appeal_received", "appeal_overturned", "approved", "closed",
    ]  # fmt: skip
    # Whoever overturned it has decided it since: the next appeal, against the new ending, is for a third one.
    assert file(person, item, "还有一部分没删。").status_code == 302
    assert "has not decided the case" in desk_words(see(other, case_url(item)))
    with desk.django_as("owner"):
        kinds = list(LedgerEntry.objects.filter(chain=item.pk).order_by("seq").values_list("kind", flat=True))
        assert [kind for kind in kinds if kind.startswith("appeal")] == [
            "appealed", "appeal_claimed", "appeal_overturned", "appealed",
        ]  # fmt: skip
        receipts = [row.fields for row in Receipt.objects.filter(request=item, event="decision").order_by("seq")]
    assert ['"rejected"' in receipts[0], '"accepted"' in receipts[1]] == [True, True]
    with desk.django_as("worker"):
        ledger.checkpoint(now=portal_clock.now())
        assert ledger.verify().problems == []


def desk_user(key: str, desk: Desk) -> User:
    account = desk.business.account(key).login
    found = User.objects.find_by("account_no", account)
    assert found is not None
    return found


def test_an_upheld_ending_stands_with_its_reason_and_the_ways_that_are_left(
    desk: Desk, refused: Request, person: Browser
) -> None:
    file(person, refused)
    sent = {"outcome": "upheld", "reason": "GROUND.ANTI_FRAUD", "text": "核查还在进行，见案号。"}
    assert desk.staff(SUN).post(reverse("desk:appeal_decide", args=[refused.pk]), sent).status_code == 302
    page = words(person.get("request", refused.pk))
    for part in ("维持原决定", "核查还在进行，见案号。", "个人信息保护法第 13 条", "向监管部门投诉", "向法院起诉"):
        assert part in page, part
    assert "申诉一次" not in page  # once per decision
    assert file(person, refused, "再来一次").status_code in {302, 422}
    assert appeal_of(desk, refused).outcome == "upheld"
    assert desk.again(refused).state == State.CLOSED
    with desk.django_as("owner"):
        notice = Notice.objects.get(request=refused, kind="appeal_upheld")
        statement = Receipt.objects.filter(request=refused, event="decision").order_by("-seq")[0].fields
    assert "第 50 条" in render_notice(notice, "zh-hans")[1]
    assert '"rejected"' in statement


def test_the_database_itself_lets_nobody_review_what_they_decided_or_whom_they_know(
    desk: Desk, refused: Request, person: Browser
) -> None:
    file(person, refused)
    appeal, zhao, sun = appeal_of(desk, refused), desk.user(ZHAO), desk.user(SUN)
    for role in ("staff", "worker", "owner"):
        with desk.django_as("web" if role == "staff" else role):
            if role == "staff":
                rls.acting_as(zhao.pk, staff=True)
            for barred in (zhao.pk, refused.subject_id):
                with pytest.raises(DatabaseError, match="knows nobody in it"), transaction.atomic():
                    Appeal.objects.filter(pk=appeal.pk).update(reviewer=barred)
            if role == "staff":
                rls.reset()
    client = desk.staff(SUN)
    client.post(reverse("desk:appeal_claim", args=[refused.pk]))
    assert appeal_of(desk, refused).reviewer == sun
    client.post(reverse("desk:relation", args=[refused.pk]))  # she finds that she knows them
    assert appeal_of(desk, refused).reviewer is None
    assert client.post(reverse("desk:appeal_claim", args=[refused.pk]), follow=True).status_code == 200
    assert appeal_of(desk, refused).reviewer is None
    with desk.django_as("worker"), pytest.raises(DatabaseError, match="knows nobody in it"), transaction.atomic():
        Appeal.objects.filter(pk=appeal.pk).update(reviewer=sun)
    with desk.django_as("owner"):
        assert Relation.objects.get().staff == sun
    later = desk.file(FENG, Kind.CANCELLATION, entities=["insurance"])
    assert "You have declared" in desk_words(see(client, case_url(later)))
    with desk.django_as("worker"), pytest.raises(DatabaseError, match="unless its ending was overturned"):
        Request.objects.filter(pk=refused.pk).update(state=State.REVIEW)


def test_the_time_for_an_appeal_and_its_own_limit(desk: Desk, refused: Request, person: Browser) -> None:
    desk.travel(TODAY + timedelta(days=61))
    person.sign_in()
    assert "不同意的话可以申诉一次" not in words(person.get("request", refused.pk))
    assert file(person, refused).status_code == 422
    desk.travel(TODAY + timedelta(days=60))
    person.sign_in()
    assert file(person, refused).status_code == 302
    filed = TODAY + timedelta(days=60)
    with desk.django_as("worker"):
        assert watch_appeals(now=filed + timedelta(days=15)) == 0  # the last day ends at 24:00
        assert [watch_appeals(now=filed + timedelta(days=16)) for _ in range(2)] == [1, 0]
    assert told(desk, refused, "appeal_late") == ["appeal_late"]
    desk.travel(filed + timedelta(days=16))
    person.sign_in()
    page = words(person.get("request", refused.pk))
    assert "你的申诉我们逾期了 1 天" in page
    assert (
        person.client.post(  # the thread stays open while the appeal is
            reverse("rights:message", args=[refused.pk]),
            {"text": "有结果了吗", "once": "6f3b1c1e-3a5e-4c1c-9c0d-3f1f0f6f4a11"},
        ).status_code
        == 302
    )


def test_what_cannot_be_appealed_against(desk: Desk, person: Browser, business: Business, django_as: AsRole) -> None:
    item = desk.file(FENG, Kind.DELETION, entities=[])
    assert file(person, item).status_code == 422  # it runs
    person.post("withdraw", item.pk)
    assert file(person, item).status_code == 422  # the person's own doing
    theirs = refuse(desk, desk.file("tang-jiayi", Kind.DELETION, entities=[]))
    assert file(person, theirs).status_code == 404
    with desk.django_as("owner"):
        assert not Appeal.objects.exists()


def test_an_overturned_copy_is_made_anew_for_the_companies_named(desk: Desk, person: Browser) -> None:
    item = desk.file(FENG, Kind.ACCESS, entities=["platform", "loan"])
    assert item.state == State.CLOSED
    file(person, item, "平台的部分遮错了。")
    sent = {"outcome": "overturned", "text": "重做平台的部分。", "entities": ["platform"]}
    client = desk.staff(ZHAO)  # nobody decided it before: it went through by itself
    assert client.post(reverse("desk:appeal_decide", args=[item.pk]), sent).status_code == 302
    item = desk.again(item)
    with desk.django_as("worker"):
        plan = review.live_plan(item, now=portal_clock.now())
        assert {line.entity for line in plan.lines} == {"platform"}
        review.approve(
            item, reviewer=desk_user(ZHAO, desk), key="OK.ACCESS", text="", lines={}, plan=plan, now=portal_clock.now()
        )
        fulfil.advance(request_id=item.pk, now=portal_clock.now() + timedelta(minutes=15))
        assert [(package.part, bool(package.data_key)) for package in Package.objects.order_by("part")] == [
            (1, True), (2, True),
        ]  # fmt: skip
    assert desk.again(item).state == State.CLOSED
    assert told(desk, item, "package") == ["package", "package"]
