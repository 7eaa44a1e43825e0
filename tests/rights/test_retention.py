"""Rules in versions: what two administrators make active, what it does to what is held, and what nobody can undo.

The dates are those of the domain: rows 9 to 11 of the decisions, and the table of retention rules as shipped.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, transaction

from portal.core import ledger
from portal.core.clock import SHANGHAI
from rights.actions import hold, redating, retention
from rights.actions.datamap import store_documents
from rights.actions.retention import RuleRefused, StalePreview
from rights.datamap import FaultyMap, parse_documents
from rights.kernel.plan import Fate
from rights.kernel.retention import Bound, Count, Rank, Rule, cutoff, last_day
from rights.kernel.states import Kind
from rights.models import Hold, HoldRevision, Notice, RelationshipEnd, Request, RetentionRule
from rights.queries import active_rules
from tests.rights.rulebook import Rulebook
from tests.rights.shop import DATASET, GOVERNANCE, NOW, Shop, State
from tests.rights.zoo import Zoos

pytestmark = pytest.mark.role("worker")

LATER = NOW + timedelta(minutes=15)


def at(year: int, month: int, day: int, hour: int = 9) -> datetime:
    return datetime(year, month, day, hour, tzinfo=SHANGHAI)


def deletion(shop: Shop) -> Request:
    """Filed, approved and done."""
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
    assert request.state == State.CLOSED
    return request


def lines(shop: Shop, collection: str) -> list[tuple[str, str, date | None, str | None]]:
    """What a deletion asked for now would do: fate, key, last day and rule."""
    plan = shop.plan(shop.file())
    return [(line.fate.value, line.key, line.last_release, line.rule) for line in plan.lines
            if line.collection == collection]  # fmt: skip


# ---- as shipped ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "classes", "trigger", "end", "active"),
    [
        ("AML-5-KYC", {"KYC"}, date(2021, 2, 28), date(2026, 2, 28), True),
        ("AML-5-TXN", {"TXN", "LOAN"}, date(2024, 2, 29), date(2029, 2, 28), True),
        ("AML-10-KYC", {"KYC"}, date(2022, 11, 23), date(2032, 11, 23), False),
        ("AML-10-TXN", {"TXN", "LOAN"}, date(2020, 11, 23), date(2030, 11, 23), False),
        ("ACC-30", {"ACCT"}, date(2020, 5, 17), date(2050, 12, 31), False),
        ("INS-5", {"INS"}, date(2022, 1, 31), date(2027, 1, 31), True),
        ("INS-10", {"INS-LONG"}, date(2016, 2, 29), date(2026, 2, 28), True),
        ("FUND", {"FUND"}, date(2020, 2, 29), date(2040, 2, 29), False),
        ("LOG", {"LOG"}, date(2026, 8, 31), date(2027, 2, 28), True),
    ],
)
def test_each_rule_is_shipped_as_the_domain_has_it(
    db: None, code: str, classes: set[str], trigger: date, end: date, active: bool
) -> None:
    row = RetentionRule.objects.get(code=code)
    assert set(row.data_classes) == classes
    assert row.state(date(2026, 11, 23)) == ("active" if active else "proposed")
    assert last_day(trigger, row.to_kernel()) == end
    assert row.trigger
    assert row.supersedes == {"AML-10-KYC": "AML-5-KYC", "AML-10-TXN": "AML-5-TXN"}.get(code, "")


def test_the_shipped_rules_are_the_table_and_no_more(db: None) -> None:
    assert RetentionRule.objects.count() == 9
    assert {rule.code for rule in active_rules()} == {"AML-5-KYC", "AML-5-TXN", "INS-5", "INS-10", "LOG"}


RULES = (
    Rule("FIVE", ("TXN",), "P5Y", ""),
    Rule("TEN", ("TXN",), "P10Y", ""),
    Rule("HALF", ("TXN",), "P6M", ""),
    Rule("FY", ("TXN",), "P30Y", "", count=Count.NEXT_JANUARY),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
@pytest.mark.parametrize(
    "today", [date(2026, 11, 23), date(2028, 2, 29), date(2027, 2, 28), date(2026, 12, 31), date(2027, 1, 1)]
)
def test_cutoffs_and_days_of_the_kernel_are_those_of_postgresql(
    owner_sql: Callable[..., list[tuple[Any, ...]]], rule: Rule, today: date
) -> None:
    """40 years of triggers, each day of them; the database adds the months by itself."""
    months = {"FIVE": 60, "TEN": 120, "HALF": 6, "FY": 360}[rule.code]
    end = "(t + make_interval(months => %s))::date"
    if rule.code == "FY":
        end = "(make_date(extract(year FROM t)::int + 1, 1, 1) + make_interval(months => %s))::date - 1"
    rows = owner_sql(
        f"SELECT t::date, {end} FROM generate_series('1990-01-01'::date, '2029-12-31', '1 day') t", [months]
    )
    edge = cutoff(rule, today=today)
    assert len(rows) == 14610
    assert all(last_day(trigger, rule) == day for trigger, day in rows)
    assert all((trigger >= edge) == (day >= today) for trigger, day in rows)


# ---- the rows of the table of decisions ----------------------------------------------------------------------------


def settle_and_close(shop: Shop, day: date) -> None:
    shop.add_customer(1, closed_on=day)
    shop.add_loan(0, settled_on=day)


def test_row_9_loan_and_relationship_ended_in_2022(shop: Shop, rulebook: Rulebook) -> None:
    settle_and_close(shop, date(2022, 11, 23))
    assert lines(shop, "shop.loan") == [("hold", "HOLD.AML", date(2027, 11, 23), "AML-5-TXN")]
    assert lines(shop, "shop.customer") == [("hold", "HOLD.AML", date(2027, 11, 23), "AML-5-KYC")]
    rulebook.activate("AML-10-TXN")
    rulebook.activate("AML-10-KYC")
    assert lines(shop, "shop.loan") == [("hold", "HOLD.AML", date(2032, 11, 23), "AML-10-TXN")]
    assert lines(shop, "shop.customer") == [("hold", "HOLD.AML", date(2032, 11, 23), "AML-10-KYC")]


def test_row_10_both_ended_in_2020(shop: Shop, rulebook: Rulebook) -> None:
    settle_and_close(shop, date(2020, 11, 23))
    assert lines(shop, "shop.loan") == [("erase", "OK.PERIOD_OVER", None, None)]
    assert lines(shop, "shop.customer") == [("erase", "OK.PERIOD_OVER", None, None)]
    rulebook.activate("AML-10-TXN")
    rulebook.activate("AML-10-KYC")
    assert lines(shop, "shop.loan") == [("hold", "HOLD.AML", date(2030, 11, 23), "AML-10-TXN")]
    assert lines(shop, "shop.customer") == [("hold", "HOLD.AML", date(2030, 11, 23), "AML-10-KYC")]


def test_row_11_the_loan_is_settled_and_the_account_still_open(shop: Shop) -> None:
    shop.add_customer(1)
    shop.add_loan(0, settled_on=date(2020, 11, 23))
    assert lines(shop, "shop.customer") == [("hold", "HOLD.RELATION_ACTIVE", None, "AML-5-KYC")]
    assert lines(shop, "shop.loan") == [("erase", "OK.PERIOD_OVER", None, None)]


# ---- activation and what is held -----------------------------------------------------------------------------------


@pytest.fixture
def held(shop: Shop) -> Request:
    """Orders held to 2026-12-01 (two) and 2027-02-10, and the file as long as they, by a customer who left in 2020."""
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(date(2021, 12, 1), date(2021, 12, 1), date(2022, 2, 10))
    return deletion(shop)


TEN_YEARS = {("shop.orders", date(2031, 12, 1)): 2, ("shop.orders", date(2032, 2, 10)): 1,
             ("shop.customer", date(2032, 2, 10)): 1}  # fmt: skip


def test_an_activated_successor_dates_live_holds_anew_and_tells_the_person_once(
    shop: Shop, rulebook: Rulebook, held: Request
) -> None:
    with rulebook.as_staff():
        seen = retention.preview_activation(RetentionRule.objects.get(code="AML-10-TXN"), now=NOW)
    assert (seen.subjects, seen.requests, seen.holds, seen.records) == (1, 1, 2, 3)
    assert (seen.first_day, seen.last_day, seen.retroactive) == (date(2031, 12, 1), date(2032, 2, 10), True)
    rulebook.activate("AML-10-TXN")
    assert retention.carry_out(now=LATER) == 3
    assert shop.held(held) == TEN_YEARS, "the file follows the last of its orders"
    assert set(Hold.objects.values_list("collection", "rule")) == {
        ("shop.orders", "AML-10-TXN"), ("shop.customer", "AML-5-KYC")
    }  # fmt: skip
    kept = HoldRevision.objects.filter(hold__collection="shop.orders").order_by("old_last_day")
    assert [(item.old_rule, item.old_last_day, item.rule, item.last_day) for item in kept] == [
        ("AML-5-TXN", date(2026, 12, 1), "AML-10-TXN", date(2031, 12, 1)),
        ("AML-5-TXN", date(2027, 2, 10), "AML-10-TXN", date(2032, 2, 10)),
    ]
    assert retention.carry_out(now=LATER) == 0
    told = Notice.objects.get(kind="redated")
    assert (told.user, told.params["until"]) == (shop.person, "2032-02-10")
    # Nothing goes on the days that were told first, and everything on the new ones.
    shop.tick(at(2027, 2, 11))
    assert (shop.count("orders"), shop.held(held)) == (3, TEN_YEARS)
    shop.tick(at(2031, 12, 2))
    assert shop.count("orders") == 1
    shop.tick(at(2032, 2, 11))
    assert (shop.count("orders"), shop.count("customer"), shop.held(held)) == (0, 0, {})


def test_what_had_been_released_is_not_revived(shop: Shop, rulebook: Rulebook, held: Request) -> None:
    shop.tick(at(2026, 12, 2))
    rulebook.activate("AML-10-TXN", now=at(2026, 12, 3))
    retention.carry_out(now=at(2026, 12, 3))
    assert shop.held(held) == {("shop.orders", date(2032, 2, 10)): 1, ("shop.customer", date(2032, 2, 10)): 1}
    over = Hold.objects.get(last_day=date(2026, 12, 1))
    assert over.released_at is not None
    assert over.revisions.count() == 0


def test_a_hold_that_had_ended_when_the_successor_took_effect_stays_with_its_predecessor(
    shop: Shop, rulebook: Rulebook, held: Request
) -> None:
    """Its system was away, so it is there still; that revives nothing."""
    rule = rulebook.propose("AML-7-TXN", duration="P7Y", data_classes=("TXN", "LOAN"), supersedes="AML-5-TXN",
                            effective_from=date(2026, 12, 2))  # fmt: skip
    rulebook.activate(rule)
    retention.carry_out(now=LATER)
    assert shop.held(held)["shop.orders", date(2027, 2, 10)] == 1, "it has not taken effect"
    retention.carry_out(now=at(2026, 12, 2))
    assert shop.held(held) == {
        ("shop.orders", date(2026, 12, 1)): 2,
        ("shop.orders", date(2029, 2, 10)): 1,
        ("shop.customer", date(2029, 2, 10)): 1,
    }
    shop.tick(at(2026, 12, 2))
    assert shop.count("orders") == 1


def test_a_shorter_successor_brings_the_dates_forward(shop: Shop, rulebook: Rulebook, held: Request) -> None:
    rulebook.activate(rulebook.propose("AML-4", duration="P58M", data_classes=("TXN", "LOAN"), supersedes="AML-5-TXN"))
    retention.carry_out(now=LATER)
    assert {day for name, day in shop.held(held) if name == "shop.orders"} == {date(2026, 10, 1), date(2026, 12, 10)}
    shop.tick(at(2026, 11, 24))
    assert shop.count("orders") == 1


def test_an_open_ended_hold_changes_its_rule_and_nothing_else(shop: Shop, rulebook: Rulebook) -> None:
    shop.add_customer(1)
    request = deletion(shop)
    rulebook.activate("AML-10-KYC")
    retention.carry_out(now=LATER)
    hold_ = Hold.objects.get(request=request)
    assert (hold_.rule, hold_.last_day, hold_.key) == ("AML-10-KYC", None, "HOLD.RELATION_ACTIVE")
    assert not Notice.objects.filter(kind="redated").exists()


def test_a_worker_that_dies_between_pages_is_followed_by_one_that_does_the_rest(
    shop: Shop, rulebook: Rulebook, held: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = deletion(shop)
    assert Hold.objects.filter(request=second).count() == 3
    rulebook.activate("AML-10-TXN")
    monkeypatch.setattr(redating, "PAGE", 1)
    told = redating.tell
    done: list[int] = []

    def die(*args: Any, **kwargs: Any) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(1)
        told(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(redating, "tell", die)
        with pytest.raises(KeyboardInterrupt):
            retention.carry_out(now=LATER)
    assert HoldRevision.objects.count() == 3, "one request is done, the other rolled back"
    retention.carry_out(now=LATER)
    assert shop.held(held) == shop.held(second) == TEN_YEARS
    assert (HoldRevision.objects.count(), Notice.objects.filter(kind="redated").count()) == (6, 2)


def test_two_workers_at_once_date_a_hold_anew_once(shop: Shop, rulebook: Rulebook, held: Request) -> None:
    rulebook.activate("AML-10-TXN")
    shop.in_threads(*[lambda: retention.carry_out(now=LATER)] * 3)
    assert shop.held(held) == TEN_YEARS
    assert HoldRevision.objects.count() == 3
    assert Notice.objects.filter(kind="redated").count() == 1


def test_a_release_after_the_activation_keeps_the_new_dates(shop: Shop, rulebook: Rulebook, held: Request) -> None:
    """The release was scheduled by the old date; it reads the rules again and finds the dates as they were revised."""
    hold.schedule_releases(now=at(2026, 12, 2))
    rulebook.activate("AML-10-TXN", now=at(2026, 12, 2))
    shop.tick(at(2026, 12, 2))
    assert (shop.count("orders"), shop.held(held)) == (3, TEN_YEARS)
    assert Hold.objects.filter(request=held, released_at__isnull=False).count() == 0


# ---- four eyes, and what never changes -----------------------------------------------------------------------------


def test_nobody_activates_what_they_proposed(shop: Shop, rulebook: Rulebook) -> None:
    row = rulebook.propose("NEW")
    with rulebook.as_staff():
        seen = retention.preview_activation(row, now=NOW)
        with pytest.raises(RuleRefused, match="another"):
            retention.activate(row, actor=rulebook.first, seen=seen, now=NOW)
        with pytest.raises(IntegrityError, match="rule_four_eyes"), transaction.atomic():
            RetentionRule.objects.filter(pk=row.pk).update(activated_by=rulebook.first, activated_at=NOW)
        with pytest.raises(IntegrityError, match="rule_activated_by_somebody"), transaction.atomic():
            RetentionRule.objects.filter(pk=row.pk).update(activated_at=NOW)
    row.refresh_from_db()
    assert row.state(date(2026, 11, 23)) == "proposed"


def test_a_shipped_proposal_needs_two_people_as_well(shop: Shop, rulebook: Rulebook) -> None:
    with rulebook.as_staff():
        row = RetentionRule.objects.get(code="AML-10-TXN")
        seen = retention.preview_activation(row, now=NOW)
        with pytest.raises(RuleRefused, match="first"):
            retention.activate(row, actor=rulebook.second, seen=seen, now=NOW)


def test_who_is_no_administrator_makes_no_rules(shop: Shop, rulebook: Rulebook) -> None:
    row = rulebook.propose("NEW")
    with rulebook.as_staff():
        seen = retention.preview_activation(row, now=NOW)
        with pytest.raises(RuleRefused, match="administrators"):
            retention.activate(row, actor=shop.reviewer, seen=seen, now=NOW)


def test_an_activation_on_numbers_that_have_changed_is_refused(shop: Shop, rulebook: Rulebook) -> None:
    row = rulebook.propose("AML-7-TXN", data_classes=("TXN", "LOAN"), supersedes="AML-5-TXN")
    with rulebook.as_staff():
        seen = retention.preview_activation(row, now=NOW)
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(date(2022, 2, 10))
    deletion(shop)
    with rulebook.as_staff(), pytest.raises(StalePreview, match=r"records: 0 → 1"):
        retention.activate(row, actor=rulebook.second, seen=seen, now=NOW)


@pytest.mark.parametrize("role", ["owner", "staff", "worker"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rights_retentionrule SET duration = 'P1M' WHERE code = 'AML-5-TXN'",
        "UPDATE rights_retentionrule SET effective_from = '2030-01-01' WHERE code = 'AML-5-TXN'",
        "UPDATE rights_retentionrule SET activated_at = NULL WHERE code = 'AML-5-TXN'",
        "DELETE FROM rights_retentionrule WHERE code = 'AML-5-TXN'",
    ],
)
def test_no_role_rewrites_a_rule(
    as_role: Callable[[str], AbstractContextManager[psycopg.Connection[Any]]], role: str, statement: str
) -> None:
    with as_role(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_history_of_holds_is_only_added_to(shop: Shop, rulebook: Rulebook, held: Request) -> None:
    rulebook.activate("AML-10-TXN")
    retention.carry_out(now=LATER)
    with pytest.raises(DatabaseError), transaction.atomic():
        HoldRevision.objects.update(old_last_day=None)
    with pytest.raises(DatabaseError), transaction.atomic():
        HoldRevision.objects.all()._raw_delete("default")


def test_each_step_of_a_rule_is_in_the_ledger(shop: Shop, rulebook: Rulebook) -> None:
    row = rulebook.activate(rulebook.propose("NEW"))
    retention.carry_out(now=NOW + timedelta(hours=1))
    retention.carry_out(now=NOW + timedelta(hours=2))
    kinds = [entry.kind for entry in ledger.read_chain(row.chain)]
    assert kinds == ["rule_proposed", "rule_activated", "rule_carried_out"]


def test_a_withdrawn_proposal_is_over_and_a_rule_in_force_cannot_be_withdrawn(shop: Shop, rulebook: Rulebook) -> None:
    row = rulebook.propose("NEW")
    with rulebook.as_staff():
        retention.withdraw(row, actor=rulebook.second, now=NOW)
        assert row.state(date(2026, 11, 23)) == "retired"
        with pytest.raises(RuleRefused, match="new version"):
            retention.withdraw(RetentionRule.objects.get(code="AML-5-TXN"), actor=rulebook.first, now=NOW)
    assert rulebook.propose("NEW").version == 2


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"duration": "5Y"}, "P5Y"),
        ({"duration": "P30D"}, "days"),
        ({"data_classes": ("TXNS",)}, "TXNS"),
        ({"data_classes": ()}, "class"),
        ({"data_classes": ("TXN", "TXN")}, "twice"),
        ({"entities": ("bank",)}, "bank"),
        ({"entities": ("shop", "shop")}, "twice"),
        ({"citation": " "}, "Cite"),
        ({"trigger": ""}, "starts"),
        ({"effective_to": date(2025, 12, 31)}, "end before"),
        ({"supersedes": "AML-6"}, "AML-6"),
        ({"supersedes": "NEW"}, "itself"),
        ({"supersedes": "INS-5"}, "INS-5"),
        ({"supersedes": "AML-10-TXN", "effective_from": date(2024, 1, 1)}, "AML-10-TXN"),
        ({"supersedes": "AML-10-TXN", "rank": Rank.INTERNAL}, "internal"),
        ({"supersedes": "AML-10-TXN", "bound": Bound.MAXIMUM}, "bound"),
        ({"bound": Bound.MAXIMUM, "duration": "P4Y"}, r"NEW \(P4Y\).*AML-5-TXN \(P5Y\)"),
    ],
)
def test_a_faulty_proposal_is_refused_and_says_why(
    shop: Shop, rulebook: Rulebook, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(RuleRefused, match=says):
        rulebook.propose("NEW", **fields)
    assert not RetentionRule.objects.filter(code="NEW").exists()


def test_a_minimum_above_a_maximum_in_force_is_refused_too(shop: Shop, rulebook: Rulebook) -> None:
    rulebook.activate(rulebook.propose("MOST", bound=Bound.MAXIMUM, duration="P3Y", data_classes=("FILE",)))
    with pytest.raises(RuleRefused, match=r"MOST \(P3Y\).*NEW \(P5Y\)"):
        rulebook.propose("NEW", duration="P5Y", data_classes=("FILE",))


def test_of_two_successors_for_the_same_records_only_one_can_be_active(shop: Shop, rulebook: Rulebook) -> None:
    seven = rulebook.propose("AML-7", data_classes=("TXN", "LOAN"), supersedes="AML-5-TXN")
    rulebook.activate("AML-10-TXN")
    with pytest.raises(RuleRefused, match="AML-10-TXN supersedes AML-5-TXN"):
        rulebook.activate(seven)
    with pytest.raises(RuleRefused, match="AML-10-TXN supersedes AML-5-TXN"):
        rulebook.propose("AML-8", data_classes=("TXN",), supersedes="AML-5-TXN")
    rulebook.propose("AML-12", data_classes=("TXN", "LOAN"), supersedes="AML-10-TXN")


def test_an_internal_rule_never_enters_a_persons_plan(shop: Shop, rulebook: Rulebook) -> None:
    rulebook.activate(rulebook.propose("OURS", duration="P50Y", rank=Rank.INTERNAL, data_classes=("KYC", "TXN")))
    settle_and_close(shop, date(2020, 11, 23))
    assert lines(shop, "shop.customer") == [("erase", "OK.PERIOD_OVER", None, None)]


# ---- triggers ------------------------------------------------------------------------------------------------------


def test_a_trigger_that_moved_later_gives_a_revision_and_a_fresh_date(shop: Shop, held: Request) -> None:
    shop.sql("UPDATE shop.orders SET paid_on = '2022-06-30' WHERE order_id = 1")
    shop.tick(at(2026, 12, 2))
    assert shop.sql("SELECT order_id FROM shop.orders ORDER BY 1") == [(1,), (3,)]
    kept = HoldRevision.objects.get(hold__collection="shop.orders")
    assert (kept.cause, kept.old_trigger_on, kept.old_last_day) == ("trigger", date(2021, 12, 1), date(2026, 12, 1))
    assert (kept.trigger_on, kept.last_day) == (date(2022, 6, 30), date(2027, 6, 30))
    assert Notice.objects.get(kind="redated").params["until"] == "2027-06-30"


def test_a_trigger_that_went_missing_makes_the_hold_open_ended_and_releases_nothing(shop: Shop, held: Request) -> None:
    shop.sql("UPDATE shop.orders SET paid_on = NULL WHERE order_id IN (1, 2)")
    shop.tick(at(2026, 12, 2))
    assert shop.count("orders") == 3
    assert shop.held(held)["shop.orders", None] == 2
    assert not Hold.objects.filter(request=held, collection="shop.orders", released_at__isnull=False).exists()


def test_a_period_that_begins_gives_the_open_ended_hold_its_date(shop: Shop) -> None:
    shop.add_customer(1)
    request = deletion(shop)
    shop.sql("UPDATE shop.customer SET closed_on = '2026-12-31'")
    shop.tick(at(2027, 1, 2))
    hold_ = Hold.objects.get(request=request)
    assert (hold_.last_day, hold_.key) == (date(2031, 12, 31), "HOLD.AML")
    assert hold_.revisions.get().old_last_day is None
    assert Notice.objects.get(kind="redated").params["until"] == "2031-12-31"


KEPT_HERE = GOVERNANCE.replace(
    '{class: KYC, trigger: closed_on, cutoff: opened_on, close: {set: {closed_on: "@today"}}, erase: {method: delete}}',
    '{class: KYC, trigger: "relationship:shop", cutoff: opened_on, erase: {method: delete}}',
)


def test_a_relationship_with_a_company_that_is_none_is_a_fault_of_the_map() -> None:
    wrong = KEPT_HERE.replace("relationship:shop", "relationship:bank")
    with pytest.raises(
        FaultyMap, match=r"collections.shop.customer.trigger: names the entity bank, which is not stated"
    ):
        parse_documents({"governance.yml": wrong, "datasets/shop.yml": DATASET})
    parsed = parse_documents({"governance.yml": KEPT_HERE, "datasets/shop.yml": DATASET})
    item = parsed.collections["shop.customer"]
    assert (item.trigger, item.trigger_entity) == (None, "shop")
    assert parsed.label_of("relationship:shop", "zh-hans") == "商店"


def test_the_portal_keeps_the_end_of_a_relationship_that_the_system_has_no_field_for(shop: Shop) -> None:
    with shop.as_("owner"):
        store_documents({"governance.yml": KEPT_HERE, "datasets/shop.yml": DATASET}, name="shop", now=NOW)
    shop.add_customer(1)
    assert lines(shop, "shop.customer") == [("hold", "HOLD.RELATION_ACTIVE", None, "AML-5-KYC")]
    request = shop.file(Kind.CANCELLATION, entities=["shop"])
    request = shop.advance(shop.approve(request, now=NOW), now=LATER)
    assert request.state == State.CLOSED
    assert RelationshipEnd.objects.get().ended_on == date(2026, 11, 23)
    assert shop.held(request) == {("shop.customer", date(2031, 11, 23)): 1}
    # Later plans know it too, and a customer who comes back and leaves again prolongs nothing.
    assert lines(shop, "shop.customer") == [("hold", "HOLD.AML", date(2031, 11, 23), "AML-5-KYC")]
    RelationshipEnd.objects.create(user=shop.person, request=shop.file(), entity="shop", ended_on=date(2030, 1, 1))
    shop.tick(at(2031, 11, 23))
    assert shop.count("customer") == 1
    shop.tick(at(2031, 11, 24))
    assert shop.count("customer") == 0


# ---- a maximum -----------------------------------------------------------------------------------------------------


def test_past_its_maximum_what_no_rule_holds_is_erased_and_waits_for_nobody(
    shop: Shop, rulebook: Rulebook, make_zoo: Zoos
) -> None:
    zoo = make_zoo(
        "CREATE TABLE deal (id int PRIMARY KEY, owner text, ended date);"
        "INSERT INTO deal VALUES (1, 'me', '2020-11-22'), (2, 'me', '2021-11-23'), (3, 'me', NULL);",
        {"deal": {"fields": ["id, pk", "owner, is account_no", "ended"], "class": "FUND", "trigger": "ended"}},
    )
    assert zoo.fates({"account_no": "me"}) == {("deal", "person"): 3}
    most = Rule("MOST", ("FUND",), "P5Y", "test", bound=Bound.MAXIMUM)
    with zoo.reading({"account_no": "me"}, rules=[most]) as (snapshot, policies):
        found = {count.fate: count.count for count in snapshot.count_fates(policies)}
    # 2025-11-22 is past; 2026-11-23 is today, which is still within; without an end nothing is past.
    assert found == {Fate.ERASE: 1, Fate.PERSON: 2}
