"""What a person is told of every refusal, part and deferral, and the grounds that a reviewer may choose."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from portal.core import rls
from rights.actions import review
from rights.actions.review import CannotDecide
from rights.kernel.decisions import LEGAL_SECRECY, REASONS, REFUSALS, Outcome
from rights.kernel.plan import BlockerFact, Fate, Line, Plan
from rights.kernel.states import Kind, State
from rights.models import Notice, Request
from rights.notices import TEMPLATES, render_notice
from rights.wording import cite
from tests.conftest import collect_static
from tests.rights.shop import NOW, Shop

GROUNDS = (
    "GROUND.PUBLIC",
    "GROUND.CONFIDENCE",
    "GROUND.NOT_REQUIRED",
    "GROUND.HARMS_OTHERS",
    "GROUND.ANTI_FRAUD",
    "GROUND.UNREALISTIC",
)
LAST_DAY = date(2031, 11, 5)
RIGHTS = {"zh-hans": ("监管部门", "法院", "个人信息保护法第 50 条"), "en": ("regulator", "court", "art. 50")}

# By key what ends the matter, as the law or the case has it: a date, or what the person or we can do.
A_DATE = {"HOLD.AML", "HOLD.LAW", "HOLD.BACKUP", "HOLD.LITIGATION", "HOLD.EXTENDED"}
REMEDIES = {
    "BLOCK.LOAN": ("还清后这部分自动继续", "Once it is"),
    "BLOCK.WEALTH": ("赎回后", "Once you redeem"),
    "BLOCK.WALLET": ("提现后", "Once you withdraw"),
    "BLOCK.MICOIN": ("用完、退款或明确放弃", "spent, refunded or expressly waived"),
    "BLOCK.PENDING": ("完成后", "Once it is done"),
    "BLOCK.POLICY": ("到期或退保后", "Once it ends"),
    "BLOCK.TRANSIT": ("用完或退卡后", "spent or refunded"),
    "BLOCK.FREEZE": ("解除后", "Once that ends"),
    "HOLD.RELATION_ACTIVE": ("注销服务后", "Once you cancel it"),
    "HOLD.NEEDED": ("另外申请删除", "ask to delete those too"),
    "HOLD.TECHNICAL": ("能删时删除并告诉你", "erase it once we can"),
    "WITHDRAW.CONTRACT": ("注销服务后", "once you cancel the service"),
    "SYSTEM.UNKNOWN": ("会再试", "try again"),
    "NA.ANONYMISED": ("申诉", "Appeal"),
    **dict.fromkeys(GROUNDS, ("申诉", "appeal")),
}
# Told elsewhere: as what ends a request that never ran (test_people), in the package (test_access), and to everybody
# alike.
NOT_ON_A_REQUEST = {
    "AGENT.UNAUTHORISED", "ID.UNVERIFIED", "FEE.DECLINED", "FEE.UNANSWERED", "REDACT.THIRD_PARTY", LEGAL_SECRECY.key,
    "OMIT.UNANSWERED", "OMIT.NOT_ASKED", "OMIT.NOT_CONNECTED", "OMIT.DERIVED", "OMIT.BASIS",
}  # fmt: skip
TOLD = sorted(
    key for key, item in REASONS.items()
    if item.outcome in {Outcome.REFUSE, Outcome.PARTLY, Outcome.DEFER} and key not in NOT_ON_A_REQUEST
)  # fmt: skip

FATES = {"BLOCK": Fate.BLOCKED, "HOLD": Fate.HOLD, "WITHDRAW": Fate.KEEP, "NA": Fate.REFUSE, "SYSTEM": Fate.UNKNOWN}


@pytest.fixture(scope="module", autouse=True)
def static_files() -> None:
    collect_static()


@pytest.fixture
def filed(shop: Shop) -> Request:
    """A deletion in review."""
    shop.add_customer()
    shop.add_visits(2)
    with shop.as_("worker"):
        return shop.file()


def plan_with(key: str) -> Plan:
    """A plan whose only reason is `key`."""
    fate = Fate.RESTRICT if key == "HOLD.TECHNICAL" else FATES[key.partition(".")[0]]
    line = Line(collection="shop.visit", fate=fate, count=2, key=key, entity="shop", system="shop")
    plan = Plan(kind=Kind.DELETION, as_of=date(2026, 11, 23), read_at=NOW, lines=(line,))
    match key:
        case "HOLD.BACKUP":
            gone = replace(line, fate=Fate.ERASE, key="OK.PURPOSE_END")
            return replace(plan, lines=(gone,), backups=(("shop", 30),))
        case "HOLD.AML" | "HOLD.LAW" | "HOLD.LITIGATION" | "HOLD.EXTENDED":
            return replace(plan, lines=(replace(line, first_release=LAST_DAY, last_release=LAST_DAY),))
        case "HOLD.RELATION_ACTIVE" | "HOLD.NEEDED":
            return replace(plan, lines=(replace(line, open_ended=2),))
        case "SYSTEM.UNKNOWN":
            return replace(plan, lines=(replace(line, count=0),), unknown=("shop",))
        case _ if fate is Fate.BLOCKED:
            fact = BlockerFact(key=key, entity="shop", collection="shop.loan", count=1)
            return replace(plan, lines=(replace(line, blockers=(key,)),), blockers=(fact,))
        case _:
            return plan


@contextmanager
def visiting(shop: Shop) -> Iterator[Client]:
    client = Client()
    rls.acting_as(shop.person.pk, staff=False)
    client.force_login(shop.person, backend="accounts.standin.AccountBackend")
    rls.reset()
    yield client


def read(shop: Shop, request: Request, language: str) -> str:
    with visiting(shop) as client:
        client.cookies["language"] = language
        page = client.get(reverse("rights:request", args=[request.pk]))
        assert page.status_code == 200
        return " ".join(page.content.decode().split())


def test_every_key_says_how_it_ends() -> None:
    assert set(TOLD) == A_DATE | set(REMEDIES)


@pytest.mark.parametrize("key", TOLD)
def test_a_person_reads_reason_citation_end_and_where_to_complain(
    shop: Shop, filed: Request, key: str, clock: Any
) -> None:
    clock(NOW)
    with shop.as_("worker"):
        if key in GROUNDS:
            _refuse(shop, filed, key)
        else:
            state = State.DEFERRED if REASONS[key].outcome is Outcome.DEFER else State.REVIEW
            plan = plan_with(key).to_json()
            Request.objects.filter(pk=filed.pk).update(plan=plan, state=state)
    for language, side in (("zh-hans", 0), ("en", 1)):
        page = read(shop, filed, language)
        reason = REASONS[key]
        assert reason.text(language).replace("'", "&#x27;") in page
        assert reason.basis
        assert cite(reason.basis, language) in page
        if key == "HOLD.BACKUP":  # due on 2026-12-08, and thirty days later clear
            assert ("2027-01-07", "7 January 2027")[side] in page
        elif key in A_DATE:
            assert ("2031-11-05", "5 November 2031")[side] in page
        else:
            assert REMEDIES[key][side] in page
        regulator, court, law = RIGHTS[language]
        assert regulator in page
        assert court in page
        assert law in page


def _refuse(shop: Shop, request: Request, key: str) -> None:
    """By a reviewer; what limits the form alone is chosen for an access, never for an erasure."""
    if key == "GROUND.UNREALISTIC":
        Request.objects.filter(pk=request.pk).update(kind=Kind.ACCESS)
    found = Request.objects.select_related("subject", "filed_by").get(pk=request.pk)
    review.refuse(found, reviewer=shop.reviewer, key=key, text="我们看过了，理由如下。", now=NOW)


@pytest.mark.parametrize("kind", ["refused", "deferred", "closed", "extended"])
def test_a_notice_of_what_was_not_done_says_where_to_complain(kind: str) -> None:
    params = {"reference": "DSR-261123-AAAAA", "due": "2026-12-08"}
    notice = Notice(kind=kind, params=params)
    for language, (regulator, court, law) in RIGHTS.items():
        subject, body = render_notice(notice, language)
        assert params["reference"] in subject
        assert regulator in body
        assert ("起诉" if court == "法院" else "sue") in body
        assert law in body
    assert kind in TEMPLATES


# ---- the grounds that a reviewer may choose -------------------------------------------------------------------------


def check_ground(shop: Shop, request: Request, key: str) -> None:
    """Chosen with a text it closes the request and is told; without one it does not."""
    with shop.as_("worker"):
        with pytest.raises(CannotDecide):
            review.refuse(request, reviewer=shop.reviewer, key=key, text=" ", now=NOW)
        review.refuse(request, reviewer=shop.reviewer, key=key, text="这样做会影响别人。", now=NOW)
        closed = shop.look(request)
        assert (closed.state, closed.closing_key) == (State.CLOSED, key)
        assert Notice.objects.filter(request=request, kind="refused").count() == 1
    assert shop.count("visit") == 2
    assert REASONS[key].outcome is Outcome.REFUSE


def test_ground_public(shop: Shop, filed: Request) -> None:
    check_ground(shop, filed, "GROUND.PUBLIC")


def test_ground_confidence(shop: Shop, filed: Request) -> None:
    check_ground(shop, filed, "GROUND.CONFIDENCE")


def test_ground_not_required(shop: Shop, filed: Request) -> None:
    check_ground(shop, filed, "GROUND.NOT_REQUIRED")


def test_ground_harms_others(shop: Shop, filed: Request) -> None:
    check_ground(shop, filed, "GROUND.HARMS_OTHERS")


def test_ground_anti_fraud(shop: Shop, filed: Request) -> None:
    check_ground(shop, filed, "GROUND.ANTI_FRAUD")


def test_ground_unrealistic_limits_the_form_of_a_correction(shop: Shop) -> None:
    shop.add_customer()
    shop.add_visits(2)
    with shop.as_("worker"):
        items = [{"correction": "name", "old": "陈若兰", "new": "陈若岚"}]
        request = shop.file(Kind.CORRECTION, items=items)
        assert request.state == State.REVIEW
    check_ground(shop, request, "GROUND.UNREALISTIC")


@pytest.mark.parametrize("kind", [Kind.DELETION, Kind.CANCELLATION])
def test_ground_unrealistic_never_for_an_erasure(shop: Shop, kind: Kind) -> None:
    shop.add_customer()
    with shop.as_("worker"):
        request = shop.file(kind, entities=["shop"])
        assert request.state == State.REVIEW
        with pytest.raises(CannotDecide):
            review.refuse(request, reviewer=shop.reviewer, key="GROUND.UNREALISTIC", text="太费事。", now=NOW)
        assert shop.look(request).state == State.REVIEW


@pytest.mark.parametrize("key", ["OK.ACCESS", "HOLD.AML", "BLOCK.LOAN", LEGAL_SECRECY.key, "GROUND.ELSE", ""])
def test_no_other_key_refuses(shop: Shop, filed: Request, key: str) -> None:
    with shop.as_("worker"), pytest.raises(CannotDecide):
        review.refuse(filed, reviewer=shop.reviewer, key=key, text="理由", now=NOW)


def test_the_grounds_are_those_of_the_table() -> None:
    assert set(REFUSALS) == {*GROUNDS, "NA.ANONYMISED"}
