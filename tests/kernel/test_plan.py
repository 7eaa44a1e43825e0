"""A plan is a value: it survives storing, and a fresh one is measured against the one that was approved."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

from rights.kernel.plan import BlockerFact, Excess, Fate, Line, Plan, exceeds


def line(fate: Fate, count: int, collection: str = "loan.loan") -> Line:
    return Line(collection=collection, fate=fate, count=count, key="OK.PURPOSE_END", entity="loan", system="loan")


def plan(*lines: Line) -> Plan:
    return Plan(kind="deletion", as_of=date(2026, 11, 23), read_at=datetime(2026, 11, 23, 2, tzinfo=UTC), lines=lines)


def test_a_plan_survives_storing_as_json() -> None:
    held = replace(
        line(Fate.HOLD, 24), rule="AML-5-TXN", first_release=date(2026, 12, 5), last_release=date(2031, 11, 5)
    )
    fact = BlockerFact("BLOCK.LOAN", "loan", "loan.loan", 1, blocks=("LOAN",), shown=({"balance": "4260.00"},))
    original = replace(plan(held, line(Fate.ERASE, 6)), blockers=(fact,), unknown=("wealth",), closing=("loan",))
    assert Plan.from_json(json.loads(json.dumps(original.to_json()))) == original


def test_erasing_what_was_approved_is_no_excess() -> None:
    assert exceeds(plan(line(Fate.ERASE, 6)), plan(line(Fate.ERASE, 6))) == ()


def test_blocked_lines_are_approved_for_the_day_they_clear() -> None:
    assert exceeds(plan(line(Fate.ERASE, 2)), plan(line(Fate.BLOCKED, 2))) == ()


def test_holds_may_lapse_between_approval_and_act() -> None:
    assert exceeds(plan(line(Fate.ERASE, 7)), plan(line(Fate.ERASE, 6), line(Fate.HOLD, 24))) == ()


def test_more_than_was_approved_goes_back_to_review() -> None:
    fresh = plan(line(Fate.ERASE, 7), line(Fate.ERASE, 1, "loan.face"))
    approved = plan(line(Fate.ERASE, 6), line(Fate.PERSON, 1, "loan.face"))
    assert exceeds(fresh, approved) == (Excess("loan.face", 0, 1), Excess("loan.loan", 6, 7))


def test_counts_add_up_over_fates() -> None:
    made = plan(line(Fate.ERASE, 6), line(Fate.HOLD, 24), line(Fate.PERSON, 1))
    assert (made.total, made.count(Fate.ERASE, Fate.HOLD)) == (31, 30)
