"""The rows of the many: people whose relationships begin and end over ten years, in every system."""

from datetime import date, timedelta
from random import Random

from portal.demo.book import (
    Book,
    add_access_log,
    add_behaviour,
    add_bureau_report,
    add_loan,
    add_loan_customer,
    add_loan_face,
    add_payment,
    add_profile,
    add_real_name,
    add_repayments,
    add_wallet_customer,
    moment,
    monthly,
    noise,
)
from portal.demo.people import Person, make_card_no, make_name, make_person, make_phone
from rights.kernel.retention import add_months

DAY = timedelta(days=1)
_PURPOSES = (
    "recommendation", "statistics", "marketing_sms", "marketing_push", "sharing_duiba", "points", "face",
    "contacts", "app_list", "mi_card", "health", "fingerprint",
)  # fmt: skip
_MERCHANTS = ("便利店", "超市", "外卖", "打车", "书店", "药房", "电影院", "加油站")
_APPS = ("微信", "支付宝", "淘宝", "高德地图", "抖音", "网易云音乐", "知乎", "小红书")


def write_crowd(book: Book, *, people: int, today: date, seed: int) -> None:
    """Write down the rows of so many people; the same for the same arguments."""
    earlier: int | None = None
    for number in range(1, people + 1):
        random = Random(f"{seed}:{number}")
        who = make_person(random, number, today=today)
        opened = today - timedelta(days=random.randint(40, 3650))
        closed = opened + (today - opened) * 0.7 if random.random() < 0.12 else None
        _platform(book, random, who, opened, closed, today)
        if random.random() < 0.4:
            _loan(book, random, who, opened, closed, today)
        if random.random() < 0.6:
            earlier = _wallet(book, random, who, opened, closed, today, partner=earlier)
        if random.random() < 0.12:
            _wealth(book, random, who, opened, closed, today)
        if random.random() < 0.12:
            _insurance(book, random, who, opened, closed, today)
        if random.random() < 0.15:
            _micoin(book, random, who, opened, closed, today)
        if random.random() < 0.12:
            _mutual_aid(book, random, who, opened, closed, today)


def _between(random: Random, first: date, last: date) -> date:
    return first + timedelta(days=random.randint(0, max(0, (last - first).days)))


def _platform(book: Book, random: Random, who: Person, opened: date, closed: date | None, today: date) -> None:
    granted = tuple(purpose for purpose in _PURPOSES if random.random() < 0.4)
    refused = tuple(purpose for purpose in _PURPOSES[:4] if purpose not in granted)
    profile = add_profile(book, who, opened=opened, closed=closed, granted=granted, refused=refused)
    end = closed or today - DAY
    if random.random() < 0.5:
        add_real_name(book, who, verified=_between(random, opened, end), ended=closed)
    if closed:
        return
    if "recommendation" in granted:
        add_behaviour(book, profile, days=[end - timedelta(days=random.randint(0, 39)) for _ in range(20)])
    add_access_log(book, who, days=[end - timedelta(days=random.randint(0, 39)) for _ in range(3)])
    if "statistics" in granted:
        book.add(
            "platform.statistics_event",
            profile_id=profile,
            device_hash=f"h-{who.account_no}",
            risk_rating=random.randint(1, 5),
            event="screen",
            at=moment(end),
        )
    if "marketing_sms" in granted:
        book.add("platform.sms_campaign", profile_id=profile, phone=who.phone, campaign="会员日", sent_at=moment(end))
    if "marketing_push" in granted:
        book.add(
            "platform.push_token",
            profile_id=profile,
            token=f"mipush-{who.account_no}",
            oaid=f"oaid-{who.account_no}",
            registered_at=moment(opened),
        )
    if "points" in granted:
        book.add("platform.points", profile_id=profile, balance=random.randint(0, 900), updated_at=moment(end))
    if random.random() < 0.05:
        book.add(
            "platform.risk_device",
            account_no=who.account_no,
            imei=f"990000{int(who.account_no):09d}",
            oaid=None,
            network="4g",
            seen_at=moment(end),
        )
    if random.random() < 0.01:
        day = _between(random, max(opened, today - timedelta(days=60)), end)
        complaint = book.add(
            "platform.complaint",
            account_no=who.account_no,
            complaint_no=f"TS{who.account_no}-1",
            subject="退款没有到账",
            status="open",
            opened_on=day,
            closed_on=None,
        )
        book.add(
            "platform.complaint_message", complaint_id=complaint, author="用户", body="请处理。", written_at=moment(day)
        )


def _loan(book: Book, random: Random, who: Person, opened: date, closed: date | None, today: date) -> None:
    end = closed or today
    began = _between(random, opened, max(opened, end - timedelta(days=30)))
    customer = add_loan_customer(book, who, opened=began, closed=closed)
    for number in range(random.randint(1, 2)):
        granted = _between(random, began, max(began, end - timedelta(days=20)))
        months = random.choice((6, 12, 24))
        contract = f"XD{who.account_no}-{number + 1}"
        due = add_months(granted, months)
        runs = closed is None and due > today
        settled = None if runs else min(due, end)
        paid = [day for day in monthly(add_months(granted, 1), months) if day < (settled or today)]
        principal = random.randint(2, 50) * 1000
        balance = f"{principal * max(1, months - len(paid)) / months:.2f}" if runs else "0.00"
        add_loan(
            book, customer, contract=contract, principal=principal, granted=granted, months=months,
            balance=balance, settled=settled,
        )  # fmt: skip
        add_repayments(book, customer, who, contract=contract, days=paid, amount=f"{principal * 1.06 / months:.2f}")
    if random.random() < 0.5:
        add_bureau_report(book, customer, score=random.randint(400, 800), fetched=began)
    if closed:
        return
    for number in range(random.randint(0, 2)):
        book.add(
            "loan.contact",
            customer_id=customer,
            name=make_name(random, random.choice("男女")),
            phone=make_phone(50_000_000 + int(who.account_no) % 1_000_000 * 2 + number),
            relation=random.choice(("朋友", "同事", "家人")),
            collected_at=moment(began),
        )
    if random.random() < 0.5:
        add_loan_face(book, customer, who, day=began)
    if random.random() < 0.3:
        book.add("loan.app_list", customer_id=customer, apps=random.sample(_APPS, 3), collected_at=moment(began))


def _wallet(
    book: Book, random: Random, who: Person, opened: date, closed: date | None, today: date, *, partner: int | None
) -> int:
    """The wallet's rows; one in twenty shares payments with `partner`. The wallet customer's id."""
    customer = add_wallet_customer(book, who, opened=opened, closed=closed)
    end = closed or today - DAY
    for _ in range(random.randint(3, 24)):
        day = _between(random, opened, end)
        amount = f"{random.randint(200, 60000) / 100:.2f}"
        add_payment(book, customer, who, amount=amount, merchant=random.choice(_MERCHANTS), created=day, ended=day)
    if partner and random.random() < 0.05:
        day = _between(random, opened, end)
        book.add(
            "wallet.family_payment",
            customer_id=customer,
            joint_customer_id=partner,
            amount="88.00",
            purpose="水电煤",
            created_at=moment(day),
            ended_on=day,
        )
    if random.random() < 0.2:
        account = book.add(
            "wallet.change_account",
            customer_id=customer,
            card_no=make_card_no(20_000_000 + int(who.account_no)),
            ethnicity=random.choice(("汉族", "回族", "满族", "壮族")),
            bound_card=who.card_no,
            balance="0.00" if closed else f"{random.randint(0, 20000) / 100:.2f}",
            opened_on=opened,
            closed_on=closed,
        )
        for _ in range(4):
            book.add(
                "wallet.change_entry",
                change_account_id=account,
                amount="20.00",
                note="转入零钱",
                posted_at=moment(_between(random, opened, end)),
            )
    if random.random() < 0.15:
        card = book.add(
            "wallet.transit_card",
            customer_id=customer,
            card_no=f"CARD-{who.account_no}",
            city=who.address[:3],
            device_id=f"device-{who.account_no}",
            balance="0.00" if closed else f"{random.randint(0, 9000) / 100:.2f}",
            top_up_rule=None,
            opened_on=opened,
            closed_on=closed,
        )
        for _ in range(8):
            book.add(
                "wallet.transit_ride",
                transit_card_id=card,
                station_in="东站",
                station_out="人民公园",
                fare="3.00",
                rode_at=moment(_between(random, opened, end), random.randint(6, 22)),
            )
    if random.random() < 0.15:
        book.add(
            "wallet.utility_payment",
            customer_id=customer,
            kind="话费",
            utility_account=who.phone,
            address=None,
            amount="50.00",
            paid_at=moment(_between(random, opened, end)),
        )
    if random.random() < 0.01:
        book.add(
            "wallet.str_report",
            account_no=who.account_no,
            report_no=f"STR{who.account_no}-1",
            grounds="大额分散转出",
            filed_on=end,
        )
    return customer


def _wealth(book: Book, random: Random, who: Person, opened: date, closed: date | None, today: date) -> None:
    investor = book.add(
        "wealth.investor",
        account_no=who.account_no,
        name=who.name,
        id_number=who.id_number,
        phone=who.phone,
        email=who.email,
        region=who.address[:3],
        employer=None,
        class_ii_account=make_card_no(30_000_000 + int(who.account_no)),
        face_checked_on=opened,
        opened_on=opened,
        closed_on=closed,
    )
    holding = book.add(
        "wealth.holding",
        account_no=who.account_no,
        fund_code=f"{random.randint(1, 40):06d}",
        fund_name="星选组合",
        units="0.0000" if closed else "1200.0000",
        balance="0.00" if closed else f"{random.randint(100, 90000)}.00",
        total_return=f"{random.randint(-900, 4000)}.00",
        opened_on=opened,
        closed_on=closed,
    )
    for _ in range(random.randint(1, 6)):
        day = _between(random, opened, closed or today - DAY)
        book.add(
            "wealth.trade",
            holding_id=holding,
            side="buy",
            units="300.0000",
            amount="360.00",
            ordered_at=moment(day),
            settled_on=day,
        )
    book.add(
        "wealth.suitability",
        investor_id=investor,
        rating=random.choice(("C1", "C2", "C3", "C4")),
        answers={"risk": "middle"},
        assessed_on=opened,
        ended_on=closed,
    )


def _insurance(book: Book, random: Random, who: Person, opened: date, closed: date | None, today: date) -> None:
    holder = book.add(
        "insurance.policyholder",
        id_number=who.id_number,
        name=who.name,
        phone=who.phone,
        address=who.address,
        opened_on=opened,
        closed_on=closed,
    )
    long_term = random.random() < 0.3
    cover_to = add_months(opened, 36 if long_term else 12)
    ended = min(cover_to, closed) if closed else (cover_to if cover_to < today else None)
    policy = book.add(
        "insurance.policy",
        policyholder_id=holder,
        policy_no=f"BX{who.account_no}-1",
        product="医疗险",
        insurer="示例人寿",
        premium="320.00",
        status="ended" if ended else "in_force",
        signed_on=opened,
        cover_from=opened,
        cover_to=cover_to,
        long_term=long_term,
        ended_on=ended,
    )
    if random.random() < 0.5:
        book.add(
            "insurance.insured",
            policy_id=policy,
            name=make_name(random, "女"),
            id_number=who.id_number,
            relation="本人",
            added_on=opened,
            long_term=long_term,
            ended_on=ended,
        )


def _micoin(book: Book, random: Random, who: Person, opened: date, closed: date | None, today: date) -> None:
    account = book.add(
        "micoin.account",
        account_no=who.account_no,
        balance=0 if closed else random.choice((0, 0, 30, 120)),
        opened_on=opened,
        closed_on=closed,
    )
    for _ in range(random.randint(1, 10)):
        day = _between(random, opened, closed or today - DAY)
        book.add(
            "micoin.order",
            account_id=account,
            item="主题",
            coins=30,
            amount="3.00",
            device_id=f"device-{who.account_no}",
            paid_at=moment(day, random.randint(0, 23), random.randint(0, 59)),
        )


def _mutual_aid(book: Book, random: Random, who: Person, opened: date, closed: date | None, today: date) -> None:
    member = book.add(
        "mutualaid.member",
        account_no=who.account_no,
        name=who.name,
        id_number=who.id_number,
        phone=who.phone,
        address=who.address,
        opened_on=opened,
        closed_on=closed,
    )
    plan = book.add("mutualaid.plan", member_id=member, plan_name="大病互助", joined_on=opened, ended_on=closed)
    end = closed or today
    for number, day in enumerate(monthly(opened + DAY, 24)):
        if day < end:
            book.add("mutualaid.payment", plan_id=plan, round_no=number + 1, amount="3.20", paid_on=day)
    if random.random() < 0.1 and not closed:
        filed = _between(random, opened, today - DAY)
        claim = book.add("mutualaid.claim", member_id=member, amount="8000.00", filed_on=filed, closed_on=None)
        book.add(
            "mutualaid.medical_file",
            claim_id=claim,
            diagnosis="骨折",
            hospital="示例医院",
            document=noise(f"medical {who.account_no}"),
            received_at=moment(filed),
        )
