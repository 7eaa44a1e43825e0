"""The rows that are to be loaded, by system and table, with the helpers that most people's rows are made of."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from hashlib import blake2b
from zoneinfo import ZoneInfo

from portal.demo.people import Person
from rights.kernel.retention import add_months

SHANGHAI = ZoneInfo("Asia/Shanghai")
Row = dict[str, object]


def moment(day: date, hour: int = 10, minute: int = 0) -> datetime:
    """A moment of that day in Shanghai."""
    return datetime.combine(day, time(hour, minute), tzinfo=SHANGHAI)


def years_before(today: date, years: int) -> date:
    """The corresponding day that many years earlier, else the month's last."""
    return add_months(today, -12 * years)


def monthly(first: date, count: int) -> Iterator[date]:
    """`count` days a month apart, from `first`."""
    for number in range(count):
        yield add_months(first, number)


def noise(label: str, size: int = 64) -> bytes:
    """Bytes that look like a biometric template or a scan and mean nothing; the same for the same label."""
    return blake2b(label.encode(), digest_size=size).digest()


class Book:
    """Rows as they are written down; `add` gives each its id, so that children can name their parent."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[int, Row]]] = defaultdict(list)

    def add(self, table: str, **values: object) -> int:
        """Write down one row of `system.table`; its id fills the table's primary key."""
        rows = self.rows[table]
        number = len(rows) + 1
        rows.append((number, values))
        return number

    def of_system(self, system: str) -> Mapping[str, list[tuple[int, Row]]]:
        prefix = f"{system}."
        return {name.removeprefix(prefix): rows for name, rows in self.rows.items() if name.startswith(prefix)}


def add_profile(
    book: Book,
    who: Person,
    *,
    opened: date,
    closed: date | None = None,
    granted: Iterable[str] = (),
    refused: Iterable[str] = (),
) -> int:
    """The person's account on the platform and what they agreed to or refused on the day it began."""
    profile = book.add(
        "platform.profile",
        account_no=who.account_no,
        nickname=f"小米用户{who.account_no}",
        phone=who.phone,
        email=who.email,
        avatar_url=f"https://img.example/{who.account_no}.png",
        opened_on=opened,
        closed_on=closed,
    )
    for yes, purposes in ((True, granted), (False, refused)):
        for purpose in purposes:
            book.add(
                "platform.consent", profile_id=profile, purpose=purpose, granted=yes, changed_at=moment(opened, 9, 30)
            )
    return profile


def add_real_name(book: Book, who: Person, *, verified: date, ended: date | None = None) -> None:
    book.add(
        "platform.real_name",
        account_no=who.account_no,
        name=who.name,
        id_number=who.id_number,
        gender=who.gender,
        occupation=who.job,
        nationality="CN",
        address=who.address,
        bank_card=who.card_no,
        id_image=noise(f"id image {who.account_no}"),
        verified_at=moment(verified),
        ended_on=ended,
    )


def add_loan_customer(book: Book, who: Person, *, opened: date, closed: date | None = None) -> int:
    return book.add(
        "loan.customer",
        account_no=who.account_no,
        id_number=who.id_number,
        name=who.name,
        phone=who.phone,
        email=who.email,
        address=who.address,
        industry="服务业",
        occupation=who.job,
        bank_card=who.card_no,
        face_checked_on=opened,
        opened_on=opened,
        closed_on=closed,
    )


def add_loan(
    book: Book,
    customer: int,
    *,
    contract: str,
    principal: int,
    granted: date,
    months: int,
    balance: str = "0.00",
    settled: date | None = None,
) -> int:
    return book.add(
        "loan.loan",
        customer_id=customer,
        contract_no=contract,
        principal=principal,
        balance=balance,
        granted_on=granted,
        due_on=add_months(granted, months),
        settled_on=settled,
    )


def add_repayments(book: Book, customer: int, who: Person, *, contract: str, days: Iterable[date], amount: str) -> None:
    for day in days:
        book.add(
            "loan.repayment",
            customer_id=customer,
            contract_no=contract,
            amount=amount,
            card_no=who.card_no,
            paid_on=day,
        )


def add_loan_face(book: Book, customer: int, who: Person, *, day: date) -> None:
    book.add(
        "loan.face",
        customer_id=customer,
        template=noise(f"loan face {who.account_no}"),
        provider="Face++",
        captured_at=moment(day),
    )


def add_bureau_report(book: Book, customer: int, *, score: int, fetched: date) -> None:
    book.add(
        "loan.bureau_report",
        customer_id=customer,
        source="央行征信",
        score=score,
        body={"accounts": 3, "overdue": 0},
        fetched_at=moment(fetched),
        decided_on=fetched + timedelta(days=1),
    )


def add_wallet_customer(
    book: Book, who: Person, *, opened: date, closed: date | None = None, frozen: date | None = None
) -> int:
    return book.add(
        "wallet.customer",
        account_no=who.account_no,
        name=who.name,
        id_number=who.id_number,
        phone=who.phone,
        address=who.address,
        frozen_on=frozen,
        opened_on=opened,
        closed_on=closed,
    )


def add_payment(
    book: Book,
    customer: int,
    who: Person,
    *,
    amount: str,
    merchant: str,
    created: date,
    ended: date | None,
) -> int:
    """One payment of the wallet; `ended` None: still being processed."""
    number = len(book.rows["wallet.payment"]) + 1
    return book.add(
        "wallet.payment",
        customer_id=customer,
        order_no=f"P{created:%Y%m%d}{number:07d}",
        amount=amount,
        merchant=merchant,
        card_no=who.card_no,
        status="done" if ended else "pending",
        created_at=moment(created, 12),
        ended_on=ended,
    )


def add_behaviour(book: Book, profile: int, *, days: Iterable[date]) -> None:
    pages = ("home", "loan", "wealth", "wallet", "insurance", "points")
    for number, day in enumerate(days):
        book.add(
            "platform.behaviour",
            profile_id=profile,
            at=moment(day, 8 + number % 14, number % 60),
            page=pages[number % len(pages)],
            action="view" if number % 3 else "click",
        )


def add_access_log(book: Book, who: Person, *, days: Iterable[date]) -> None:
    number = int(who.account_no) % 250
    for count, day in enumerate(days):
        book.add(
            "platform.access_log",
            account_no=who.account_no,
            ip=f"192.0.2.{(number + count) % 254 + 1}",
            device_id=f"device-{who.account_no}",
            browser="MIUI 12",
            path="/home",
            seen_at=moment(day, 7 + count % 15),
        )
