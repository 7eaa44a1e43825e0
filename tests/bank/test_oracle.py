"""Every client's deletion plan equals one worked out by hand in plain Python, on the bank and on a mutated one."""

import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from portal.core.clock import SHANGHAI
from rights.datamap import parse_documents, read_folder
from rights.kernel.plan import Fate, Plan
from rights.kernel.states import Kind
from rights.planning import Matter, make_plan
from rights.queries import active_rules
from tests.bank.conftest import Copy
from tests.bank.oracle import CLASSES, Bank, plan_all

DATAMAP = Path(__file__).resolve().parents[1] / "datamaps" / "pkdd99"
TODAY = date(2026, 11, 23)
DAYS = [
    TODAY,
    date(2027, 2, 28),  # five years after a 28 February
    date(2028, 2, 29),  # the day after five years from 28 February 2023, and not the day before 1 March
    date(2031, 6, 1),  # loans are released
]
LEAP_DAYS = [date(2029, 2, 28), date(2029, 3, 1)]  # the last day of what happened on 29 February 2024, and the next

pytestmark = [pytest.mark.role("worker"), pytest.mark.usefixtures("db")]


def print_plans(*arguments: str, as_of: date) -> Iterator[dict[str, Any]]:
    out = io.StringIO()
    call_command(
        "plan", "--map", str(DATAMAP), "--kind", "deletion", *arguments, "--as-of", as_of.isoformat(), stdout=out
    )
    return map(json.loads, out.getvalue().splitlines())


def differences(found: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]) -> list[str]:
    """What differs, by subject and collection; empty where all is equal, order and keys included. The first thirty."""
    wrong = [] if len(found) == len(expected) else [f"{len(found)} plans instead of {len(expected)}"]
    for ours, theirs in zip(found, expected, strict=False):
        wrong += _different(f"{theirs['subject']}", ours, theirs)
    return wrong[:30]


def _different(where: str, ours: Any, theirs: Any) -> list[str]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping) and ours.keys() == theirs.keys():
        return [wrong for key in theirs for wrong in _different(f"{where} {key}", ours[key], theirs[key])]
    return [] if ours == theirs else [f"{where}: {ours} instead of {theirs}"]


# --- the mutated bank is what it is meant to be


def test_the_mutated_bank_has_every_case(bank_mutated: Copy) -> None:
    bank = bank_mutated.rows
    owners: defaultdict[int, set[int]] = defaultdict(set)
    accounts: defaultdict[int, set[int]] = defaultdict(set)
    for _, client, account, kind in bank.dispositions:
        if kind == "OWNER":
            owners[account].add(client)
            accounts[client].add(account)
    joint = {account for account, found in owners.items() if len(found) > 1}
    alone = set(owners) - joint
    rights = Counter((client, account, kind) for _, client, account, kind in bank.dispositions)
    used = {account for _, _, account, _ in bank.dispositions}
    kinds = {number: kind for number, _, _, kind in bank.dispositions}
    leap_days = {account for account, day in bank.transactions if (day.month, day.day) == (2, 29)}
    cases = {
        "joint accounts": len(joint),
        "accounts of three": sum(len(found) > 2 for found in owners.values()),
        "clients of several accounts": sum(len(found) > 1 for found in accounts.values()),
        "clients of one account alone and one jointly": sum(
            bool(found & joint) and bool(found & alone) for found in accounts.values()
        ),
        "clients of nothing": len(set(bank.clients) - {client for _, client, _, _ in bank.dispositions}),
        "ownership given twice": sum(n > 1 and kind == "OWNER" for (_, _, kind), n in rights.items()),
        "use given twice": sum(n > 1 and kind == "DISPONENT" for (_, _, kind), n in rights.items()),
        "owner and disponent": sum(
            (client, account, "OWNER") in rights for client, account, kind in rights if kind == "DISPONENT"
        ),
        "cards of disponents": sum(kinds[number] == "DISPONENT" for number in bank.cards),
        "transactions of accounts without an owner": sum(
            account in used and account not in owners for account, _ in bank.transactions
        ),
        "transactions of nobody": sum(account not in used for account, _ in bank.transactions),
        "leap days alone": len(leap_days & alone),
        "leap days jointly": len(leap_days & joint),
        **{
            f"joint loans {status}": sum(loan.account in joint and loan.status == status for loan in bank.loans)
            for status in "ABCD"
        },
        "outstanding loans of others": sum(
            loan.account not in owners and loan.account in used and loan.status in "BCD" for loan in bank.loans
        ),
    }
    assert {name for name, number in cases.items() if number < 2} == {"transactions of nobody"}
    assert cases["transactions of nobody"] == 1


# --- all plans, as the command prints them


@pytest.mark.parametrize("day", [*DAYS, *LEAP_DAYS], ids=str)
def test_every_clients_plan_is_what_counting_by_hand_says(either_bank: Copy, day: date) -> None:
    expected = plan_all(either_bank.rows, as_of=day)
    assert len(expected) == 5369
    assert differences(list(print_plans("--all", "--jsonl", as_of=day)), expected) == []


def test_one_clients_plan_is_the_line_of_that_client(either_bank: Copy) -> None:
    expected = by_client(plan_all(either_bank.rows, as_of=TODAY))
    chosen = sample(either_bank.rows)[::8]
    found = [next(print_plans("--subject", f"client_id={client}", "--json", as_of=TODAY)) for client in chosen]
    assert differences(found, [expected[client] for client in chosen]) == []


# --- the live plan of one person, as pages show it

Planner = Callable[[int, date], dict[str, Any]]


@pytest.fixture
def live_plan() -> Planner:
    """A client's plan of a day by the way of the pages, in the shape of the command's line."""
    data_map, rules = parse_documents(read_folder(DATAMAP)), active_rules()

    def plan(client: int, day: date) -> dict[str, Any]:
        matter = Matter(kind=Kind.DELETION, identities={"client_id": str(client)})
        now = datetime.combine(day, time(10), tzinfo=SHANGHAI)
        return summarise(make_plan(matter, data_map=data_map, rules=rules, now=now, wait=30), client)

    return plan


TELLING = (Fate.BLOCKED, Fate.PERSON, Fate.HOLD, Fate.MASK, Fate.ERASE)
"""Whose reason is a collection's: the first that it has lines of."""


def summarise(plan: Plan, client: int) -> dict[str, Any]:
    collections = {}
    for name in CLASSES:
        lines = {line.fate: line for line in plan.lines if line.collection == f"pkdd99.{name}" and line.count}
        held = lines.get(Fate.HOLD)
        first, last = (held.first_release, held.last_release) if held else (None, None)
        collections[f"pkdd99.{name}"] = {
            **{fate.value: lines[fate].count if fate in lines else 0 for fate in TELLING},
            "first_release": first.isoformat() if first else None,
            "last_release": last.isoformat() if last else None,
            "rule": held.rule if held else None,
            "key": next((lines[fate].key for fate in TELLING if fate in lines), None),
        }
    return {
        "subject": {"client_id": str(client)},
        "blockers": sorted({fact.key for fact in plan.blockers}),
        "collections": collections,
    }


def by_client(plans: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {int(plan["subject"]["client_id"]): plan for plan in plans}


def sample(bank: Bank) -> list[int]:
    """Every hundredth client, and some of those whose accounts have not one owner, or more than two people."""
    holders: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for _, client, account, kind in bank.dispositions:
        holders[account].append((client, kind))
    odd = [
        client
        for found in holders.values()
        if len(found) > 2 or len({client for client, kind in found if kind == "OWNER"}) != 1
        for client, _ in found
    ]
    return sorted({*bank.clients[::100], *odd[::15]})


@pytest.mark.parametrize("day", [TODAY, LEAP_DAYS[1]], ids=str)
def test_a_persons_live_plan_is_what_counting_by_hand_says(either_bank: Copy, live_plan: Planner, day: date) -> None:
    chosen = sample(either_bank.rows)
    expected = by_client(plan_all(either_bank.rows, as_of=day))
    found = [live_plan(client, day) for client in chosen]
    assert differences(found, [expected[client] for client in chosen]) == []


# --- the comparison itself


@pytest.mark.parametrize(
    ("at", "moved_to", "as_of"),
    [
        (date(2021, 11, 23), date(2021, 11, 22), TODAY),  # held through today; would have lapsed yesterday
        (date(2021, 11, 22), date(2021, 11, 23), TODAY),  # lapsed yesterday; would be held through today
        (date(2024, 2, 29), date(2024, 3, 1), date(2029, 3, 1)),
        (date(2023, 3, 1), date(2023, 2, 28), date(2028, 2, 29)),
    ],
    ids=str,
)
def test_one_transaction_a_day_off_is_found(
    bank_mutated: Copy, live_plan: Planner, monkeypatch: pytest.MonkeyPatch, at: date, moved_to: date, as_of: date
) -> None:
    monkeypatch.setenv("SYSTEM_PKDD99_URL", bank_mutated.url)
    bank = bank_mutated.rows
    client, number = _transaction_of_a_sole_owner(bank, at)
    found = live_plan(client, as_of)
    right = by_client(plan_all(bank, as_of=as_of))[client]
    wrong = by_client(plan_all(bank.with_transaction_moved(number, to=moved_to), as_of=as_of))[client]
    assert differences([found], [right]) == []
    assert [text for text in differences([found], [wrong]) if "pkdd99.trans hold" in text]
    assert [text for text in differences([found], [wrong]) if "pkdd99.trans erase" in text]


def _transaction_of_a_sole_owner(bank: Bank, day: date) -> tuple[int, int]:
    """A client, and the place of a transaction of that day on an account which is theirs alone."""
    owners: defaultdict[int, set[int]] = defaultdict(set)
    for _, client, account, kind in bank.dispositions:
        if kind == "OWNER":
            owners[account].add(client)
    return next(
        (min(owners[account]), number)
        for number, (account, date_) in enumerate(bank.transactions)
        if date_ == day and len(owners[account]) == 1
    )
