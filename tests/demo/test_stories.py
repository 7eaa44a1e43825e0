"""Each blocker and each hold state has somebody among the named people, as the engine itself plans them."""

import pytest

from portal.demo.accounts import PEOPLE, demo_account
from rights.datamap import DataMap, parse_documents, read_folder
from rights.kernel.plan import Fate, Plan
from rights.kernel.states import Kind
from rights.planning import Matter, make_plan
from rights.queries import active_rules
from tests.demo.conftest import NOW, map_folder


@pytest.fixture
def data_map() -> DataMap:
    return parse_documents(read_folder(map_folder()))


_plans: dict[str, Plan] = {}


@pytest.fixture
def plans(db: None, systems: dict[str, str], data_map: DataMap) -> dict[str, Plan]:
    """By key, the live plan of a deletion of everything. Made once: every test sees the same rows."""
    rules = active_rules()
    for account in PEOPLE:
        if account.key not in _plans:
            matter = Matter(kind=Kind.DELETION, identities=demo_account(account.key).identities)
            plan = make_plan(matter, data_map=data_map, rules=rules, now=NOW, wait=30)
            assert not plan.unknown
            _plans[account.key] = plan
    return _plans


@pytest.mark.role("worker")
def test_each_blocker_stands_in_somebodys_way(plans: dict[str, Plan], data_map: DataMap) -> None:
    found = {fact.key: key for key, plan in plans.items() for fact in plan.blockers}
    assert set(found) == set(data_map.blockers)
    assert found["BLOCK.MICOIN"] == "luo-zihan"
    assert found["BLOCK.WEALTH"] == "zheng-guodong"
    assert found["BLOCK.DISPUTE"] == "xie-yutong"
    assert found["BLOCK.FRAUD"] == "han-zhiqiang"
    assert found["BLOCK.FREEZE"] == "he-jianwei"


@pytest.mark.role("worker")
def test_each_hold_state_has_somebody(plans: dict[str, Plan]) -> None:
    states = {(line.data_class, line.fate) for plan in plans.values() for line in plan.lines if line.count}
    for data_class in ("KYC", "TXN", "LOAN", "LOG", "INS"):
        assert (data_class, Fate.HOLD) in states, data_class
        assert (data_class, Fate.ERASE) in states, data_class
    assert ("FUND", Fate.PERSON) in states
    assert ("CONS", Fate.ERASE) in states
    assert ("FILE", Fate.BLOCKED) in states
    assert ("none", Fate.MASK) in states
    keys = {line.key for plan in plans.values() for line in plan.lines if line.count}
    assert {
        "HOLD.AML",
        "HOLD.LAW",
        "HOLD.RELATION_ACTIVE",
        "HOLD.NO_RULE",
        "SHARED.OWNERS",
        "OK.PERIOD_OVER",
        "OK.PURPOSE_END",
        "OK.BIOMETRIC_ERASED",
        "WITHDRAW.CONTRACT",
    } <= keys
    assert any(line.open_ended for plan in plans.values() for line in plan.lines)


@pytest.mark.role("worker")
def test_loans_that_ended_two_and_four_years_ago_are_held_and_six_years_ago_are_not(plans: dict[str, Plan]) -> None:
    fates = {
        key: {line.fate for line in plans[key].lines if line.collection in {"loan.customer", "loan.loan"}}
        for key in ("lin-xiaoyun", "he-jianwei", "song-lihua")
    }
    assert fates == {"lin-xiaoyun": {Fate.HOLD}, "he-jianwei": {Fate.HOLD}, "song-lihua": {Fate.ERASE}}


@pytest.mark.role("worker")
def test_nothing_is_held_about_xu_anran(plans: dict[str, Plan]) -> None:
    assert plans["xu-anran"].total == 0


@pytest.mark.role("worker")
def test_a_confidential_report_is_on_nobodys_plan(plans: dict[str, Plan]) -> None:
    assert not [line for plan in plans.values() for line in plan.lines if line.collection == "wallet.str_report"]
