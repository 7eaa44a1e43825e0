"""The ten facts that may stand in the way: whom they concern, what they block, and that silence is none of them."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from portal.core.systems import variable_for
from rights.actions import fulfil
from rights.kernel.handling import SHIPPED, Circumstances, review_reasons
from rights.kernel.plan import Fate
from rights.kernel.states import Kind, State
from tests.decisions.office import LATER, NOW, Office, fates

pytestmark = pytest.mark.role("worker")


@dataclass(frozen=True)
class Case:
    """A fact, somebody for whom it holds, which of their collections it blocks, and what a company does to end it."""

    key: str
    who: str
    service: str
    blocks: frozenset[str]
    deed: str
    person: bool = False


# What must stay: a loan's contract, its assessment and who owes it (worked example: classes LOAN and KYC); a policy's
# own papers; the file of an open case; what a court has frozen; a holding that is still there. Money that is merely
# left keeps a service open, but none of what a deletion reaches: the records of a running account are held anyway.
CASES = [
    Case(
        "BLOCK.LOAN", "zhou-mingyuan", "loan",
        frozenset({"loan.loan", "loan.customer", "loan.bureau_report"}), "loan",
    ),
    Case("BLOCK.PENDING", "chen-jianguo", "wallet", frozenset(), "payment"),
    Case(
        "BLOCK.DISPUTE", "xie-yutong", "platform",
        frozenset({"platform.complaint", "platform.complaint_message"}), "complaint", person=True,
    ),
    Case("BLOCK.FREEZE", "he-jianwei", "wallet", frozenset({"wallet.customer", "wallet.payment"}), "freeze"),
    Case("BLOCK.WEALTH", "zheng-guodong", "wealth", frozenset({"wealth.holding"}), "fund"),
    Case(
        "BLOCK.POLICY", "tang-jiayi", "insurance",
        frozenset({"insurance.policyholder", "insurance.policy", "insurance.insured", "insurance.renewal"}), "policy",
    ),
    Case("BLOCK.WALLET", "wu-jing", "wallet", frozenset(), "change"),
    Case("BLOCK.MICOIN", "luo-zihan", "micoin", frozenset(), "micoin"),
    Case("BLOCK.TRANSIT", "tang-jiayi", "wallet", frozenset(), "transit"),
    Case(
        "BLOCK.FRAUD", "han-zhiqiang", "platform",
        frozenset({"platform.fraud_review", "platform.risk_device"}), "review", person=True,
    ),
]  # fmt: skip
ids = [case.key for case in CASES]


def test_the_ten_facts_are_all_that_the_map_knows(office: Office) -> None:
    stated = {key for key, item in office.data_map.blockers.items() if item.cancel != "forfeit"}
    assert stated == {case.key for case in CASES}
    assert len(CASES) == 10


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_deletion_is_blocked_where_it_must_be_and_nowhere_else(office: Office, case: Case) -> None:
    plan = office.plan(case.who)
    (fact,) = (fact for fact in plan.blockers if fact.key == case.key)
    assert (fact.entity, fact.count) == (case.service, 1)
    blocked = {line.collection for line in plan.of(Fate.BLOCKED) if case.key in line.blockers}
    assert blocked == case.blocks
    others = {line.collection for line in plan.lines if line.count} - case.blocks
    assert others
    office.settle(case.who, case.deed)
    after = office.plan(case.who)
    assert case.key not in {fact.key for fact in after.blockers}
    assert not [line for line in after.of(Fate.BLOCKED) if case.key in line.blockers]
    # What it did not block came to the same before, apart from the rows that the company itself has just written.
    moved = {
        "loan.repayment", "wallet.payment", "wealth.trade", "wallet.transit_card", "wallet.transit_ride"
    }  # fmt: skip
    before, now = fates(plan), fates(after)
    assert {key: before[key] for key in others - moved} == {key: now[key] for key in others - moved}


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_cancellation_is_stopped_for_its_own_service_and_no_other(office: Office, case: Case) -> None:
    services = frozenset(office.data_map.entities)
    whole = office.plan(case.who, Kind.CANCELLATION, entities=frozenset({case.service}))
    rest = office.plan(case.who, Kind.CANCELLATION, entities=services - {case.service})
    assert case.key not in {key for line in rest.lines for key in line.blockers}
    assert case.key not in review_reasons(rest, kind=Kind.CANCELLATION, policy=SHIPPED, known=Circumstances())
    if case.person:
        assert not whole.waits
        assert case.key in review_reasons(whole, kind=Kind.CANCELLATION, policy=SHIPPED, known=Circumstances())
        assert {line.collection for line in whole.of(Fate.BLOCKED)} == case.blocks
    else:
        assert whole.waits
        assert {line.fate for line in whole.lines if line.count} == {Fate.BLOCKED}
        assert case.key in whole.of(Fate.BLOCKED)[0].blockers


def away(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setenv(variable_for(system), "postgresql://nobody@127.0.0.1:9/none")


def test_system_unknown_is_never_clear_and_says_so(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    away(monkeypatch, "loan")
    plan = office.plan("zhou-mingyuan")
    assert plan.unknown == ("loan",)
    lines = [line for line in plan.lines if line.entity == "loan"]
    assert lines
    assert {(line.fate, line.key, line.count) for line in lines} == {(Fate.UNKNOWN, "SYSTEM.UNKNOWN", 0)}
    assert not [line for line in plan.lines if line.entity != "loan" and line.fate is Fate.UNKNOWN]


def test_system_unknown_at_submit_acts_on_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    away(monkeypatch, "loan")
    request = office.file("zhou-mingyuan", Kind.DELETION)
    assert request.state == State.REVIEW
    request = office.approve(request)
    assert request.state == State.ACTING
    assert not request.steps.exists()
    monkeypatch.delenv(variable_for("loan"))
    # The system answers again: it has a loan, and more goes than anybody has seen, so a person looks again.
    request = office.advance(request, now=LATER + timedelta(hours=1))
    assert request.state == State.REVIEW
    assert not request.steps.exists()


def test_system_unknown_never_ends_a_deferral(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    request = office.file("zhou-mingyuan", Kind.CANCELLATION, entities=["loan"])
    assert request.state == State.DEFERRED
    away(monkeypatch, "loan")
    tomorrow = NOW + timedelta(days=1, hours=1)
    request = office.advance(request, now=tomorrow)
    assert request.state == State.DEFERRED
    assert request.check_after
    assert request.check_after > tomorrow


def test_a_fact_that_comes_after_the_approval_stops_the_act(office: Office) -> None:
    """Facts are read again at each step: a coin bought after the approval defers the whole again."""
    office.settle("luo-zihan", "micoin")
    request = office.file("luo-zihan", Kind.CANCELLATION, entities=["micoin"])
    assert request.state == State.REVIEW
    login = office.business.account("luo-zihan").login
    office.business.sql("micoin", "UPDATE micoin.account SET balance = 5 WHERE account_no = %s", [login])
    plan = office.plan("luo-zihan", Kind.CANCELLATION, entities=frozenset({"micoin"}))
    assert plan.waits
    request = office.approve(request)
    assert request.state == State.DEFERRED
    assert office.business.count("micoin", "micoin.account", "account_no = %s AND closed_on IS NULL", [login]) == 1
    fulfil.advance(request_id=request.pk, now=LATER)
