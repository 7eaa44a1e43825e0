"""A plan is a value: it survives storing, and a fresh one is measured against the one that was approved."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

from rights.kernel.plan import GOING, STAYING, BlockerFact, Excess, Fate, Line, Plan, exceeds, without


def line(fate: Fate, count: int, collection: str = "loan.loan") -> Line:
    return Line(collection=collection, fate=fate, count=count, key="OK.PURPOSE_END", entity="loan", system="loan")


def plan(*lines: Line) -> Plan:
    return Plan(kind="deletion", as_of=date(2026, 11, 23), read_at=datetime(2026, 11, 23, 2, tzinfo=UTC), lines=lines)


def test_a_plan_survives_storing_as_json() -> None:
    held = replace(
        line(Fate.HOLD, 24), rule="AML-5-TXN", first_release=date(2026, 12, 5), last_release=date(2031, 11, 5)
    )
    fact = BlockerFact("BLOCK.LOAN", "loan", "loan.loan", 1, blocks=("LOAN",), shown=({"balance": "4260.00"},))
    original = replace(
        plan(held, line(Fate.ERASE, 6)),
        blockers=(fact, replace(fact, cancel="person", entities=("shop", "loan"), waivable=True)),
        unknown=("wealth",),
        closing=("loan",),
        running=("loan", "shop"),
        backups=(("loan", 30), ("shop", 7)),
        omitted=("loan.score",),
    )
    assert Plan.from_json(json.loads(json.dumps(original.to_json()))) == original


def test_a_plan_stored_before_some_things_were_known_has_none_of_them() -> None:
    original = plan(line(Fate.ERASE, 6))
    stored = {key: value for key, value in original.to_json().items() if key not in {"running", "backups", "omitted"}}
    assert Plan.from_json(stored) == original


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


def test_lines_of_a_fate_are_those_with_records_and_those_of_systems_that_did_not_answer() -> None:
    erased, unknown = line(Fate.ERASE, 6), line(Fate.UNKNOWN, 0)
    made = plan(erased, line(Fate.MASK, 0), line(Fate.HOLD, 24), unknown)
    assert made.of(Fate.ERASE, Fate.MASK, Fate.UNKNOWN) == (erased, unknown)


def test_the_last_release_is_that_of_the_line_held_longest() -> None:
    days = [date(2027, 2, 10), date(2031, 11, 5), date(2026, 12, 1)]
    held = [replace(line(Fate.HOLD, 1), last_release=day) for day in days]
    assert plan(*held, line(Fate.ERASE, 1)).last_release == date(2031, 11, 5)
    assert plan(line(Fate.ERASE, 1)).last_release is None


def test_a_cancellation_waits_for_facts_that_defer_and_not_for_those_a_person_decides_about() -> None:
    loan = BlockerFact("BLOCK.LOAN", "loan", "loan.loan", 1)
    dispute = BlockerFact("BLOCK.DISPUTE", "loan", "loan.dispute", 1, cancel="person")
    assert replace(plan(), blockers=(dispute, loan)).cancel_blockers == (loan,)


LOAN = BlockerFact("BLOCK.LOAN", "loan", "loan.loan", 1)
CANCELLED = replace(line(Fate.BLOCKED, 3), blockers=("BLOCK.LOAN",))


def test_a_plan_waits_while_a_line_is_blocked_by_a_fact_that_clears() -> None:
    assert replace(plan(CANCELLED), blockers=(LOAN,)).waits
    erased, named_twice = line(Fate.ERASE, 6), replace(CANCELLED, blockers=("BLOCK.WALLET", "BLOCK.LOAN"))
    assert replace(plan(erased, named_twice), blockers=(LOAN,)).waits, "one line and one of its facts are enough"


def test_a_plan_does_not_wait_for_what_blocks_none_of_its_lines() -> None:
    assert not plan(CANCELLED).waits, "the fact has cleared"
    assert not replace(plan(line(Fate.ERASE, 6)), blockers=(LOAN,)).waits
    assert not replace(plan(replace(CANCELLED, fate=Fate.HOLD)), blockers=(LOAN,)).waits
    other_key = replace(CANCELLED, blockers=("BLOCK.WALLET",))
    assert not replace(plan(other_key), blockers=(LOAN,)).waits
    other_company = replace(CANCELLED, entity="wallet")
    assert not replace(plan(other_company), blockers=(LOAN,)).waits


def test_a_plan_does_not_wait_for_what_a_person_decides() -> None:
    dispute = replace(LOAN, key="BLOCK.DISPUTE", cancel="person")  # decisions, row 20
    blocked = replace(CANCELLED, blockers=("BLOCK.DISPUTE",))
    assert not replace(plan(blocked), blockers=(dispute,)).waits


def test_a_plan_waits_for_a_fact_that_another_company_knows_of() -> None:
    """The account's company knows of the freeze, the loan's records are blocked by it."""
    freeze = BlockerFact("BLOCK.FREEZE", "platform", "platform.freeze", 1, entities=("loan", "shop"))
    frozen = replace(CANCELLED, blockers=("BLOCK.FREEZE",))
    assert replace(plan(frozen), blockers=(freeze,)).waits
    assert not replace(plan(replace(frozen, entity="platform")), blockers=(freeze,)).waits


def test_a_fact_concerns_the_companies_that_it_names_and_else_its_own() -> None:
    assert LOAN.concerns("loan")
    assert not LOAN.concerns("shop")
    elsewhere = replace(LOAN, entities=("shop",))
    assert elsewhere.concerns("shop")
    assert not elsewhere.concerns("loan")


def test_a_fact_cannot_be_given_up_unless_it_says_so() -> None:
    assert not LOAN.waivable  # of the table of decisions only row 23 may be waived


def test_backups_are_clear_so_many_days_after_the_erasure() -> None:
    made = replace(plan(), backups=(("loan", 30), ("shop", 7)))
    assert made.backups_clear_on(date(2026, 11, 23)) == (("loan", date(2026, 12, 23)), ("shop", date(2026, 11, 30)))


def test_a_plan_may_be_narrowed_to_some_of_its_lines() -> None:
    erased, held = line(Fate.ERASE, 6), line(Fate.HOLD, 24, "loan.repayment")
    assert without(plan(erased, held), lambda item: item.fate is Fate.HOLD) == plan(held)


def test_masking_counts_as_going_and_lines_of_a_collection_are_added_up() -> None:
    fresh = plan(line(Fate.ERASE, 3), line(Fate.MASK, 4))
    assert exceeds(fresh, plan(line(Fate.MASK, 7))) == ()
    assert exceeds(fresh, plan(line(Fate.MASK, 6))) == (Excess("loan.loan", 6, 7),)


def test_a_stored_fate_is_read_back_as_one() -> None:
    restored = Plan.from_json(json.loads(json.dumps(plan(line(Fate.ERASE, 6)).to_json())))
    assert restored.lines[0].fate is Fate.ERASE


def test_what_stays_by_law_or_by_contract_and_what_goes_are_told_apart() -> None:
    assert {Fate.ERASE, Fate.MASK} == GOING
    assert {Fate.HOLD, Fate.KEEP, Fate.RESTRICT, Fate.REFUSE} == STAYING  # the last two: decisions, rows 32 and 30


def test_a_line_without_a_hold_has_nothing_open_ended() -> None:
    assert line(Fate.ERASE, 6).open_ended == 0
