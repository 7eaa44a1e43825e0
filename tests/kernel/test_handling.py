"""The handling policy as data: what goes through, what a person looks at whatever it says, and data that is none."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from rights.kernel.handling import (
    SHIPPED,
    Circumstances,
    HandlingPolicy,
    UnfitPolicy,
    reminder_due,
    review_reasons,
    same_records,
)
from rights.kernel.plan import BlockerFact, Fate, Line, Plan
from rights.kernel.states import Kind

NOTHING_KNOWN = Circumstances()


def plan(*lines: tuple[str, Fate, int], unknown: tuple[str, ...] = (), blockers: tuple[BlockerFact, ...] = ()) -> Plan:
    return Plan(
        kind="deletion",
        as_of=date(2026, 11, 23),
        read_at=datetime(2026, 11, 23, tzinfo=UTC),
        lines=tuple(
            Line(name, fate, count, key="SHARED.OWNERS" if fate is Fate.PERSON else "OK.PURPOSE_END",
                 entity="shop", system="shop")
            for name, fate, count in lines
        ),
        unknown=unknown,
        blockers=blockers,
    )  # fmt: skip


def reasons(
    of: Plan, kind: Kind, *, policy: HandlingPolicy = SHIPPED, known: Circumstances = NOTHING_KNOWN
) -> list[str]:
    return review_reasons(of, kind=kind, policy=policy, known=known)


SMALL = HandlingPolicy.from_json({"through": {"deletion": {"without": ["person", "blocked"], "fewer_than": 100}}})
GOING = plan(("a", Fate.ERASE, 60), ("b", Fate.HOLD, 39))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.ACCESS, []),
        (Kind.WITHDRAWAL, []),
        (Kind.CORRECTION, []),
        (Kind.DELETION, ["POLICY.DELETION"]),
        (Kind.CANCELLATION, ["POLICY.CANCELLATION"]),
    ],
)
def test_the_shipped_policy_lets_through_what_the_issue_names(kind: Kind, expected: list[str]) -> None:
    assert reasons(GOING, kind) == expected


def test_an_identity_correction_is_looked_at_whatever_the_policy_says() -> None:
    assert reasons(GOING, Kind.CORRECTION, known=Circumstances(needs_evidence=True)) == ["NEED.EVIDENCE"]


def test_a_small_clear_deletion_goes_through_where_the_policy_says_so() -> None:
    assert reasons(GOING, Kind.DELETION, policy=SMALL) == []


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (plan(("a", Fate.ERASE, 100)), ["POLICY.DELETION"]),
        (plan(("a", Fate.ERASE, 60), ("b", Fate.HOLD, 40)), ["POLICY.DELETION"]),
        (plan(("a", Fate.BLOCKED, 1)), ["POLICY.DELETION"]),
        (plan(("a", Fate.PERSON, 1)), ["SHARED.OWNERS", "POLICY.DELETION"]),
        (plan(("a", Fate.ERASE, 1), unknown=("wealth",)), ["SYSTEM.UNKNOWN"]),
    ],
)
def test_a_plan_outside_the_conditions_is_looked_at(of: Plan, expected: list[str]) -> None:
    assert reasons(of, Kind.DELETION, policy=SMALL) == expected


def test_a_kind_that_the_policy_does_not_name_is_looked_at() -> None:
    for kind in set(Kind) - {Kind.DELETION}:
        assert reasons(GOING, kind, policy=SMALL) == [f"POLICY.{kind.upper()}"]


def test_a_line_without_records_stands_in_nobodys_way() -> None:
    assert reasons(plan(("a", Fate.PERSON, 0), ("b", Fate.BLOCKED, 0)), Kind.DELETION, policy=SMALL) == []


def test_a_dispute_is_judged_by_a_person_even_where_deletions_go_through() -> None:
    fact = BlockerFact("BLOCK.DISPUTE", "shop", "shop.case", 1, cancel="person")
    assert reasons(plan(blockers=(fact,)), Kind.DELETION, policy=SMALL) == ["BLOCK.DISPUTE"]
    assert reasons(plan(blockers=(fact,)), Kind.ACCESS) == [], "a hold never blocks access"


def test_a_dispute_is_judged_by_a_person_even_where_cancellations_go_through() -> None:
    dispute = BlockerFact("BLOCK.DISPUTE", "shop", "shop.case", 1, cancel="person")  # decisions, row 20
    loan = BlockerFact("BLOCK.LOAN", "shop", "shop.loan", 1)  # row 19: it clears by itself
    easy = HandlingPolicy.from_json({"through": {"cancellation": {}}})
    assert reasons(plan(blockers=(dispute, loan)), Kind.CANCELLATION, policy=easy) == ["BLOCK.DISPUTE"]


@pytest.mark.parametrize("condition", [{"without": ["person"]}, {"fewer_than": 100}])
def test_any_condition_is_beyond_judging_while_a_system_is_silent(condition: dict[str, Any]) -> None:
    policy = HandlingPolicy.from_json({"through": {"deletion": condition}})
    silent = plan(("a", Fate.ERASE, 1), unknown=("wealth",))
    assert reasons(silent, Kind.DELETION, policy=policy) == ["SYSTEM.UNKNOWN"]


def test_without_conditions_a_silent_system_has_nothing_to_say() -> None:
    policy = HandlingPolicy.from_json({"through": {"deletion": {}}})
    assert reasons(plan(("a", Fate.ERASE, 1), unknown=("wealth",)), Kind.DELETION, policy=policy) == []


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (Circumstances(of_deceased=True), ["DECEASED.REVIEW"]),
        (Circumstances(unchanged_copy=True), ["REPEAT.FEE_OR_REFUSE"]),
        (Circumstances(recent=3), []),
        (Circumstances(recent=4), ["REPEAT.ABUSE"]),
    ],
)
def test_what_the_decisions_leave_to_a_person(known: Circumstances, expected: list[str]) -> None:
    assert reasons(GOING, Kind.ACCESS, known=known) == expected


def test_the_number_of_repeats_is_the_policys() -> None:
    strict = HandlingPolicy.from_json({"repeats": 1})
    assert reasons(GOING, Kind.ACCESS, policy=strict, known=Circumstances(recent=2)) == ["REPEAT.ABUSE"]
    assert reasons(GOING, Kind.ACCESS, policy=strict, known=Circumstances(recent=1)) == []


def test_taking_a_consent_back_is_never_too_often() -> None:
    """As easily as it was given, also the tenth time (PIPL art. 15)."""
    assert reasons(GOING, Kind.WITHDRAWAL, known=Circumstances(recent=10)) == []


def test_a_request_counts_itself_among_the_recent_ones() -> None:
    assert NOTHING_KNOWN.recent == 1


def test_the_shipped_numbers_are_changed_on_purpose_only() -> None:
    """The months of a free copy are those of the decisions, row 4; the other numbers are the product's own choice."""
    assert SHIPPED.copy_months == 12
    assert (SHIPPED.repeats, SHIPPED.repeat_days, SHIPPED.fee_days) == (3, 30, 30)


def test_a_policy_survives_being_stored() -> None:
    strict = {"through": {"access": {"fewer_than": 1}}, "identity": ["name", "id_number"]}
    for policy in (SHIPPED, SMALL, HandlingPolicy.from_json(strict)):
        assert HandlingPolicy.from_json(policy.to_json()) == policy


def test_what_a_policy_does_not_say_is_as_shipped() -> None:
    assert HandlingPolicy.from_json({}) == SHIPPED


def test_the_least_that_each_number_may_be() -> None:
    """A first request is no repetition, no limit ends on the day it begins, and copies may always be free."""
    least = {"repeats": 1, "repeat_days": 1, "copy_months": 0, "fee_days": 1}
    read = HandlingPolicy.from_json(least)
    assert (read.repeats, read.repeat_days, read.copy_months, read.fee_days) == (1, 1, 0, 1)
    assert {name: read.to_json()[name] for name in least} == least


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"trough": {}}, "trough"),
        ({"years": 1, "trough": {}}, "trough"),  # the first by name
        ({"through": ["access"]}, "through"),
        ({"through": {"erasure": {}}}, "through.erasure"),
        ({"through": {"deletion": True}}, "through.deletion"),
        ({"through": {"deletion": {"fewer": 1}}}, "through.deletion"),
        ({"through": {"deletion": {"fewer_than": 0}}}, "through.deletion.fewer_than"),
        ({"through": {"deletion": {"fewer_than": "9"}}}, "through.deletion.fewer_than"),
        ({"through": {"deletion": {"without": ["persons"]}}}, "through.deletion.without"),
        ({"through": {"deletion": {"without": "person"}}}, "through.deletion.without"),
        ({"repeats": 0}, "repeats"),
        ({"repeats": True}, "repeats"),
        ({"repeat_days": 1.5}, "repeat_days"),
        ({"repeat_days": 0}, "repeat_days"),
        ({"copy_months": -1}, "copy_months"),
        ({"fee_days": 0}, "fee_days"),
        ({"identity": ["face"]}, "identity"),
        ({"identity": "name"}, "identity"),
        ({"identity": [["name"]]}, "identity"),
        ({"through": {"deletion": {"without": [{}]}}}, "through.deletion.without"),
    ],
)
def test_a_policy_that_cannot_be_names_its_fault(data: dict[str, Any], named: str) -> None:
    with pytest.raises(UnfitPolicy) as caught:
        HandlingPolicy.from_json(data)
    assert str(caught.value).startswith(f"{named}:")
    assert "write" in str(caught.value)


def test_plans_hold_the_same_records_by_collection_and_not_by_fate() -> None:
    assert same_records(plan(("a", Fate.KEEP, 3)), plan(("a", Fate.ERASE, 1), ("a", Fate.HOLD, 2)))
    assert same_records(plan(("a", Fate.KEEP, 3), ("b", Fate.KEEP, 0)), plan(("a", Fate.KEEP, 3)))
    assert not same_records(plan(("a", Fate.KEEP, 3)), plan(("a", Fate.KEEP, 4)))
    assert not same_records(plan(("a", Fate.KEEP, 3)), plan(("b", Fate.KEEP, 3)))


def test_what_could_not_be_read_is_not_known_to_be_the_same() -> None:
    silent = plan(("a", Fate.KEEP, 3), unknown=("wealth",))
    assert not same_records(silent, silent)


@pytest.mark.parametrize(("days", "due"), [(0, None), (6, None), (7, 7), (22, 7), (23, 23), (29, 23)])
def test_a_proof_is_asked_for_again_on_days_7_and_23(days: int, due: int | None) -> None:
    assert reminder_due(days=days) == due
