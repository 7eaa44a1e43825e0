"""The deletion plan of every client of the bank, worked out by hand: row by row, in plain Python.

Nothing here comes from the product: no rule, no SQL, no date arithmetic. What it knows is what the data's README, the
retention table and the order of decisions say, so that it can be wrong only in other places than the engine.

The bank as of a day, under five years:
- a client's own are the client row, all their dispositions with the cards on them, and the accounts they are OWNER
  of with transactions, loans and orders;
- a loan with status B, C or D on an own account blocks clients, dispositions, accounts and loans;
- identity data is held without an end, transactions from their date, loans from their last day;
- what hangs on an account with two owners, and nothing holds, is for a person to decide; all else goes.

A record that stays keeps the record it refers to. Here that is so already: all that is referred to (client, disp,
account) is identity data, and that is blocked or held without an end whatever refers to it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import psycopg

YEARS = 5
OUTSTANDING = {"B", "C", "D"}
CLASSES = {
    "client": "KYC",
    "disp": "KYC",
    "account": "KYC",
    "trans": "TXN",
    "loan": "LOAN",
    "order": "none",
    "card": "none",
}
RULES = {"KYC": "AML-5-KYC", "TXN": "AML-5-TXN", "LOAN": "AML-5-TXN"}
BLOCKED_CLASSES = {"LOAN", "KYC"}


@dataclass(frozen=True)
class Loan:
    account: int
    status: str
    ends_on: date


@dataclass(frozen=True)
class Bank:
    """The bank's rows, no more columns than a plan needs."""

    clients: tuple[int, ...]
    dispositions: tuple[tuple[int, int, int, str], ...]
    """(disp_id, client_id, account_id, type)"""
    transactions: tuple[tuple[int, date], ...]
    """(account_id, date)"""
    loans: tuple[Loan, ...]
    orders: tuple[int, ...]
    """account_id"""
    cards: tuple[int, ...]
    """disp_id"""

    def with_transaction_moved(self, number: int, *, to: date) -> "Bank":
        """The same bank with one transaction on another day."""
        moved = list(self.transactions)
        moved[number] = (moved[number][0], to)
        return replace(self, transactions=tuple(moved))


def read_bank(connection: "psycopg.Connection[tuple[Any, ...]]") -> Bank:
    return Bank(
        clients=tuple(number for (number,) in connection.execute(b"SELECT client_id FROM pkdd99.client")),
        dispositions=tuple(connection.execute(b"SELECT disp_id, client_id, account_id, type FROM pkdd99.disp")),
        transactions=tuple(connection.execute(b"SELECT account_id, date FROM pkdd99.trans ORDER BY trans_id")),
        loans=tuple(Loan(*row) for row in connection.execute(b"SELECT account_id, status, ends_on FROM pkdd99.loan")),
        orders=tuple(number for (number,) in connection.execute(b'SELECT account_id FROM pkdd99."order"')),
        cards=tuple(number for (number,) in connection.execute(b"SELECT disp_id FROM pkdd99.card")),
    )


def years_later(start: date, years: int) -> date:
    """The corresponding day, else the month's last: only 29 February may have none."""
    if (start.month, start.day) == (2, 29):
        leap = (start.year + years) % 4 == 0 and ((start.year + years) % 100 != 0 or (start.year + years) % 400 == 0)
        return date(start.year + years, 2, 29 if leap else 28)
    return date(start.year + years, start.month, start.day)


@dataclass(frozen=True)
class Record:
    """What decides about one record. `held_from` None: its period has not begun."""

    shared: bool = False
    held_from: date | None = None


def plan_all(bank: Bank, *, as_of: date) -> list[dict[str, Any]]:
    """One plan for each client, in the order of their numbers, in the shape of `plan --all --jsonl`."""
    owners: defaultdict[int, set[int]] = defaultdict(set)
    own_accounts: defaultdict[int, set[int]] = defaultdict(set)
    own_dispositions: defaultdict[int, set[int]] = defaultdict(set)
    for disposition, client, account, kind in bank.dispositions:
        own_dispositions[client].add(disposition)
        if kind == "OWNER":
            owners[account].add(client)
            own_accounts[client].add(account)
    transactions = _grouped(bank.transactions)
    loans = _grouped((loan.account, loan) for loan in bank.loans)
    orders = _grouped((account, account) for account in bank.orders)
    cards = _grouped((disposition, disposition) for disposition in bank.cards)

    def records(client: int) -> Iterator[tuple[str, Record]]:
        yield "client", Record()
        for disposition in own_dispositions[client]:
            yield "disp", Record()
            for _ in cards.get(disposition, ()):
                yield "card", Record()
        for account in own_accounts[client]:
            shared = len(owners[account]) > 1
            yield "account", Record(shared)
            for day in transactions.get(account, ()):
                yield "trans", Record(shared, day)
            for loan in loans.get(account, ()):
                yield "loan", Record(shared, loan.ends_on)
            for _ in orders.get(account, ()):
                yield "order", Record(shared)

    plans = []
    for client in sorted(bank.clients):
        outstanding = any(
            loan.status in OUTSTANDING for account in own_accounts[client] for loan in loans.get(account, ())
        )
        found: dict[str, list[Record]] = {name: [] for name in CLASSES}
        for name, record in records(client):
            found[name].append(record)
        plans.append(
            {
                "subject": {"client_id": str(client)},
                "blockers": ["BLOCK.LOAN"] if outstanding else [],
                "collections": {
                    f"pkdd99.{name}": _collection(CLASSES[name], found[name], outstanding=outstanding, as_of=as_of)
                    for name in CLASSES
                },
            }
        )
    return plans


def _collection(data_class: str, records: Sequence[Record], *, outstanding: bool, as_of: date) -> dict[str, Any]:
    counts = dict.fromkeys(("erase", "mask", "hold", "blocked", "person"), 0)
    last_days = []
    for record in records:
        if outstanding and data_class in BLOCKED_CLASSES:
            counts["blocked"] += 1
        elif data_class == "KYC":
            counts["hold"] += 1
        elif record.held_from and as_of <= (until := years_later(record.held_from, YEARS)):
            counts["hold"] += 1
            last_days.append(until)
        elif record.shared:
            counts["person"] += 1
        else:
            counts["erase"] += 1
    return {
        **counts,
        "first_release": min(last_days).isoformat() if last_days else None,
        "last_release": max(last_days).isoformat() if last_days else None,
        "rule": RULES[data_class] if counts["hold"] else None,
        "key": _key(counts, data_class=data_class),
    }


def _key(counts: Mapping[str, int], *, data_class: str) -> str | None:
    """The most telling reason of a collection."""
    if counts["blocked"]:
        return "BLOCK.LOAN"
    if counts["person"]:
        return "SHARED.OWNERS"
    if counts["hold"]:
        return "HOLD.RELATION_ACTIVE" if data_class == "KYC" else "HOLD.AML"
    if counts["erase"]:
        return "OK.PERIOD_OVER" if data_class in RULES else "OK.PURPOSE_END"
    return None


def _grouped(pairs: Iterable[tuple[int, Any]]) -> dict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return dict(found)
