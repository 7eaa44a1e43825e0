"""The rows of the sixteen named people. 陈若兰's dates are absolute, as a worked example counts on them; the
others' run with the day on which the demo is loaded."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta

from portal.demo.accounts import person
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
    years_before,
)
from portal.demo.people import Person, make_card_no, make_id_number, make_phone
from rights.kernel.retention import add_months

DAY = timedelta(days=1)


def write_stories(book: Book, *, today: date) -> None:
    """Write down everybody's rows. 许安然 has none: she is the person about whom nothing is held."""
    _chen_family(book, today)
    for key, write in _STORIES.items():
        write(book, person(key), today)


def _chen_family(book: Book, today: date) -> None:
    """陈若兰 to the letter of the worked example, and her father, who shares six payments with her."""
    chen, father = person("chen-ruolan"), person("chen-jianguo")
    profile = add_profile(book, chen, opened=date(2018, 3, 1), granted=("recommendation", "contacts", "face"))
    add_behaviour(book, profile, days=(date(2026, 11, 21) - timedelta(days=number // 2) for number in range(1200)))

    customer = add_loan_customer(book, chen, opened=date(2021, 5, 5))
    add_loan(
        book, customer, contract="L1", principal=18000, granted=date(2021, 5, 5), months=18, settled=date(2022, 11, 23)
    )
    add_loan(book, customer, contract="L2", principal=12000, granted=date(2025, 11, 5), months=18, balance="4260.00")
    add_repayments(book, customer, chen, contract="L1", days=monthly(date(2021, 6, 5), 18), amount="1058.00")
    add_repayments(book, customer, chen, contract="L2", days=monthly(date(2025, 12, 5), 12), amount="708.00")
    for number, (name, relation) in enumerate((("陈建国", "父亲"), ("苏敏", "同事"), ("田海燕", "朋友"))):
        book.add(
            "loan.contact",
            customer_id=customer,
            name=name,
            phone=make_phone(90_000_000 + number),
            relation=relation,
            collected_at=moment(date(2021, 5, 5)),
        )
    add_loan_face(book, customer, chen, day=date(2021, 5, 5))

    hers = add_wallet_customer(book, chen, opened=date(2018, 3, 1), closed=date(2021, 3, 1))
    early = (*monthly(date(2020, 1, 15), 14), date(2021, 11, 22))
    late = tuple(date(2021, 12, 1) + timedelta(days=number * 71 // 24) for number in range(25))
    for number, ended in enumerate(early + late):
        created = min(ended, date(2021, 2, 20))
        add_payment(book, hers, chen, amount=f"{28 + number}.50", merchant="永辉超市", created=created, ended=ended)

    his = add_wallet_customer(book, father, opened=date(2017, 8, 1))
    for number in range(6):
        book.add(
            "wallet.family_payment",
            customer_id=hers,
            joint_customer_id=his,
            amount=f"{120 + number}.00",
            purpose="水电煤",
            created_at=moment(date(2020, 5, 25 + number)),
            ended_on=date(2020, 6, 1),
        )
    add_profile(book, father, opened=date(2017, 8, 1), granted=("statistics",), refused=("recommendation",))
    for day in monthly(years_before(today, 1), 10):
        add_payment(book, his, father, amount="66.00", merchant="重庆轨道交通", created=day, ended=day + DAY)
    add_payment(book, his, father, amount="1280.00", merchant="家电商城", created=today - 2 * DAY, ended=None)

    book.add(
        "wealth.holding",
        account_no=chen.account_no,
        fund_code="000001",
        fund_name="星选货币一号",
        units="0.0000",
        balance="0.00",
        total_return="86.40",
        opened_on=date(2020, 6, 1),
        closed_on=date(2024, 5, 1),
    )


def _running_loan(book: Book, who: Person, today: date) -> None:
    opened = add_months(today, -9)
    profile = add_profile(
        book, who, opened=opened, granted=("recommendation", "contacts", "app_list", "face", "statistics", "loan_data")
    )
    add_behaviour(book, profile, days=(today - timedelta(days=number % 90 + 1) for number in range(180)))
    add_access_log(book, who, days=(add_months(today, -number) for number in range(1, 9)))
    add_real_name(book, who, verified=opened)
    customer = add_loan_customer(book, who, opened=opened)
    contract = "XD880002-1"
    granted = opened + 3 * DAY
    add_loan(book, customer, contract=contract, principal=30000, granted=granted, months=24, balance="12800.00")
    add_repayments(book, customer, who, contract=contract, days=monthly(add_months(granted, 1), 8), amount="1420.00")
    add_bureau_report(book, customer, score=688, fetched=opened)
    for number, (name, relation) in enumerate((("周海", "哥哥"), ("杜宇", "同事"))):
        book.add(
            "loan.contact",
            customer_id=customer,
            name=name,
            phone=make_phone(90_000_010 + number),
            relation=relation,
            collected_at=moment(opened),
        )
    add_loan_face(book, customer, who, day=opened)
    book.add(
        "loan.app_list", customer_id=customer, apps=["微信", "高德地图", "网易云音乐"], collected_at=moment(opened)
    )
    book.add(
        "platform.share_referral",
        profile_id=profile,
        shared_to="微信",
        page="贷款活动页",
        shared_at=moment(today - 20 * DAY),
    )


def _ended_loan(years: int) -> Callable[[Book, Person, date], None]:
    """A loan and the relationship with the loan company that ended on the same day, so many years ago."""

    def write(book: Book, who: Person, today: date) -> None:
        ended = years_before(today, years)
        opened = add_months(ended, -13)
        profile = add_profile(book, who, opened=opened, granted=("recommendation",), refused=("statistics",))
        add_behaviour(book, profile, days=(today - timedelta(days=number + 1) for number in range(30)))
        customer = add_loan_customer(book, who, opened=opened, closed=ended)
        contract = f"XD{who.account_no}-1"
        granted = add_months(ended, -12)
        add_loan(book, customer, contract=contract, principal=9600, granted=granted, months=12, settled=ended)
        days = monthly(add_months(granted, 1), 12)
        add_repayments(book, customer, who, contract=contract, days=days, amount="848.00")
        add_bureau_report(book, customer, score=640 + years, fetched=opened)

    return write


def _ended_policies(book: Book, who: Person, today: date) -> None:
    """A loan that ended four years ago, and policies that are over: one still held, one lapsed, one long cover; and a
    wallet that a court has frozen."""
    _ended_loan(4)(book, who, today)
    opened = years_before(today, 8)
    frozen = add_wallet_customer(book, who, opened=opened, frozen=today - 70 * DAY)
    for day in (years_before(today, 7), years_before(today, 6), today - 90 * DAY):
        add_payment(book, frozen, who, amount="58.00", merchant="五金店", created=day, ended=day)
    policies = (
        ("手机碎屏险", years_before(today, 3), years_before(today, 2), False),
        ("旅行意外险", years_before(today, 7), years_before(today, 6), False),
        ("定期寿险", opened, years_before(today, 6), True),
    )
    _insurance(book, who, opened=opened, policies=policies)


def _micoin(book: Book, who: Person, today: date) -> None:
    opened = years_before(today, 3)
    profile = add_profile(
        book,
        who,
        opened=opened,
        granted=("recommendation", "marketing_push", "statistics"),
        refused=("marketing_mail",),
    )
    add_behaviour(book, profile, days=(today - timedelta(days=number + 1) for number in range(60)))
    _push_token(book, profile, who, opened)
    account = book.add("micoin.account", account_no=who.account_no, balance=320, opened_on=opened, closed_on=None)
    for number, day in enumerate(monthly(opened + DAY, 34)):
        book.add(
            "micoin.order",
            account_id=account,
            item="游戏礼包" if number % 2 else "主题",
            coins=60,
            amount="6.00",
            device_id="device-880006",
            paid_at=moment(day, 23, 30),
        )
    for number in range(12):
        book.add(
            "micoin.risk_log",
            account_no=who.account_no,
            device_id="device-880006",
            ip="198.51.100.6",
            location="武汉市洪山区",
            seen_at=moment(add_months(today, -number) - DAY, 21),
        )


def _push_token(book: Book, profile: int, who: Person, day: date) -> None:
    book.add(
        "platform.push_token",
        profile_id=profile,
        token=f"mipush-{who.account_no}",
        oaid=f"oaid-{who.account_no}",
        registered_at=moment(day),
    )


def _wealth(book: Book, who: Person, today: date) -> None:
    opened = years_before(today, 7)
    add_profile(book, who, opened=opened, granted=("face",), refused=("recommendation", "marketing_sms"))
    add_real_name(book, who, verified=opened)
    investor = book.add(
        "wealth.investor",
        account_no=who.account_no,
        name=who.name,
        id_number=who.id_number,
        phone=who.phone,
        email=who.email,
        region="北京市",
        employer="已退休",
        class_ii_account=make_card_no(700_007),
        face_checked_on=opened,
        opened_on=opened,
        closed_on=None,
    )
    gone = years_before(today, 1)
    for code, name, balance, closed in (
        ("000002", "星选稳健债券", "52300.00", None),
        ("000003", "星选沪深指数", "0.00", gone),
    ):
        holding = book.add(
            "wealth.holding",
            account_no=who.account_no,
            fund_code=code,
            fund_name=name,
            units="0.0000" if closed else "48211.5000",
            balance=balance,
            total_return="2140.00",
            opened_on=opened,
            closed_on=closed,
        )
        for number in range(7):
            settled = years_before(today, 7 - number) + 30 * DAY
            if settled >= (closed or today):
                continue
            book.add(
                "wealth.trade",
                holding_id=holding,
                side="buy",
                units="6000.0000",
                amount="6800.00",
                ordered_at=moment(settled - 2 * DAY),
                settled_on=settled,
            )
    book.add(
        "wealth.suitability",
        investor_id=investor,
        rating="C2",
        answers={"years_of_experience": 8, "risk": "low"},
        assessed_on=years_before(today, 2),
        ended_on=None,
    )
    book.add(
        "wealth.face",
        investor_id=investor,
        template=noise("wealth face 880007"),
        provider="华宝智投",
        captured_at=moment(opened),
    )


def _dispute(book: Book, who: Person, today: date) -> None:
    opened = years_before(today, 2)
    add_profile(book, who, opened=opened, granted=("recommendation",))
    for number, (subject, day, closed) in enumerate(
        (("福利商品没有收到", today - 12 * DAY, None), ("登录短信迟到", opened + 40 * DAY, opened + 44 * DAY))
    ):
        complaint = book.add(
            "platform.complaint",
            account_no=who.account_no,
            complaint_no=f"TS880008-{number + 1}",
            subject=subject,
            status="closed" if closed else "open",
            opened_on=day,
            closed_on=closed,
        )
        book.add(
            "platform.complaint_message",
            complaint_id=complaint,
            author="用户",
            body=f"{subject}，请处理。",
            written_at=moment(day),
        )
    book.add(
        "platform.welfare_order",
        account_no=who.account_no,
        item="坚果礼盒",
        recipient_name=who.name,
        id_number=who.id_number,
        delivery_address=who.address,
        tax="12.00",
        ordered_at=moment(today - 30 * DAY),
        completed_on=None,
    )


def _guardian(book: Book, who: Person, today: date) -> None:
    opened = years_before(today, 4)
    add_profile(book, who, opened=opened, granted=("statistics",))
    customer = add_wallet_customer(book, who, opened=opened)
    account = book.add(
        "wallet.change_account",
        customer_id=customer,
        card_no=make_card_no(700_009),
        ethnicity="汉族",
        bound_card=who.card_no,
        balance="35.20",
        opened_on=opened,
        closed_on=None,
    )
    for day in monthly(opened + DAY, 12):
        book.add(
            "wallet.change_entry", change_account_id=account, amount="20.00", note="转入零钱", posted_at=moment(day)
        )


def _child(book: Book, who: Person, today: date) -> None:
    opened = years_before(today, 1)
    profile = add_profile(book, who, opened=opened, granted=("recommendation",))
    add_behaviour(book, profile, days=(today - timedelta(days=number + 1) for number in range(40)))
    account = book.add("micoin.account", account_no=who.account_no, balance=0, opened_on=opened, closed_on=None)
    book.add(
        "micoin.order",
        account_id=account,
        item="主题",
        coins=30,
        amount="3.00",
        device_id="device-880010",
        paid_at=moment(opened + 30 * DAY, 18),
    )


def _agent(book: Book, who: Person, today: date) -> None:
    opened = years_before(today, 2)
    add_profile(book, who, opened=opened, refused=("recommendation", "statistics"))
    add_access_log(book, who, days=(add_months(today, -number) for number in (1, 2, 8)))


def _marketing(book: Book, who: Person, today: date) -> None:
    opened = years_before(today, 1)
    profile = add_profile(book, who, opened=opened, granted=("marketing_sms", "marketing_push"))
    for number, day in enumerate(monthly(opened + DAY, 11)):
        book.add(
            "platform.sms_campaign",
            profile_id=profile,
            phone=who.phone,
            campaign=f"满减券第{number + 1}期",
            sent_at=moment(day),
        )
    _push_token(book, profile, who, opened)


def _fraud(book: Book, who: Person, today: date) -> None:
    opened = years_before(today, 1)
    profile = add_profile(book, who, opened=opened, granted=("face",))
    add_real_name(book, who, verified=opened)
    book.add(
        "platform.fraud_review",
        account_no=who.account_no,
        review_no="HC880014-1",
        status="open",
        opened_on=today - 9 * DAY,
        closed_on=None,
    )
    for number in range(14):
        book.add(
            "platform.risk_device",
            account_no=who.account_no,
            imei=f"99000000000{number:04d}",
            oaid=f"oaid-880014-{number}",
            network="wifi",
            seen_at=moment(add_months(today, -number) - DAY, 3),
        )
    book.add(
        "platform.risk_face",
        profile_id=profile,
        features=noise("risk face 880014"),
        hand_held_photo=noise("hand-held 880014"),
        captured_at=moment(today - 9 * DAY),
    )
    customer = add_wallet_customer(book, who, opened=opened)
    for number in range(9):
        day = today - timedelta(days=20 + number)
        add_payment(book, customer, who, amount="9900.00", merchant="转账", created=day, ended=day)
    for number in range(2):
        book.add(
            "wallet.str_report",
            account_no=who.account_no,
            report_no=f"STR880014-{number + 1}",
            grounds="短期内分散转出",
            filed_on=today - timedelta(days=8 - number),
        )


def _everything_else(book: Book, who: Person, today: date) -> None:
    opened = years_before(today, 8)
    profile = add_profile(
        book,
        who,
        opened=opened,
        granted=(
            "recommendation", "statistics", "face", "fingerprint", "health", "contacts", "points", "sharing_duiba",
            "mi_card", "marketing_sms",
        ),
        refused=("marketing_mail",),
    )  # fmt: skip
    add_real_name(book, who, verified=opened)
    _platform_extras(book, who, profile, today)
    _insurance(book, who, opened=opened, policies=[("百万医疗险", add_months(today, -4), None, False)])
    _mutual_aid(book, who, opened, today)
    _smart_cards(book, who, opened, today)


def _platform_extras(book: Book, who: Person, profile: int, today: date) -> None:
    add_access_log(book, who, days=(add_months(today, -number) for number in range(1, 13)))
    book.add(
        "platform.face",
        profile_id=profile,
        template=noise("platform face 880016"),
        provider="腾讯",
        captured_at=moment(years_before(today, 2)),
    )
    for number in range(24):
        book.add(
            "platform.statistics_event",
            profile_id=profile,
            device_hash="h-880016",
            risk_rating=2,
            event="screen",
            at=moment(today - timedelta(days=number + 1)),
        )
    for number in range(3):
        book.add(
            "platform.cookie",
            profile_id=profile,
            browser="Chrome",
            clicks=[{"x": 12, "y": 40 + number}],
            seen_at=moment(today - timedelta(days=number + 1)),
        )
    book.add(
        "platform.sms_campaign",
        profile_id=profile,
        phone=who.phone,
        campaign="会员日",
        sent_at=moment(today - 40 * DAY),
    )
    book.add("platform.points", profile_id=profile, balance=860, updated_at=moment(today - 5 * DAY))
    for number in range(2):
        book.add(
            "platform.points_redemption",
            profile_id=profile,
            item="视频会员月卡",
            points=500,
            redeemed_at=moment(today - timedelta(days=60 + number)),
        )
    book.add(
        "platform.mi_card",
        profile_id=profile,
        issuer="示例银行",
        income="18000.00",
        education="本科",
        marital_status="已婚",
        housing="自有",
        employer="张江某店",
        contact_name="唐文",
        contact_phone=make_phone(90_000_016),
        credit_limit="30000.00",
        last_bill="1264.30",
        applied_on=years_before(today, 2),
    )
    book.add(
        "platform.welfare_order",
        account_no=who.account_no,
        item="空气净化器",
        recipient_name=who.name,
        id_number=who.id_number,
        delivery_address=who.address,
        tax="88.00",
        ordered_at=moment(years_before(today, 3)),
        completed_on=years_before(today, 3) + 4 * DAY,
    )
    for place in ("微博", "QQ"):
        book.add(
            "platform.share_referral",
            profile_id=profile,
            shared_to=place,
            page="积分商城",
            shared_at=moment(today - 33 * DAY),
        )


def _insurance(
    book: Book, who: Person, *, opened: date, policies: Iterable[tuple[str, date, date | None, bool]]
) -> None:
    """The policyholder with policies: product, first day, day it ended (None: in force), whether longer than a year."""
    holder = book.add(
        "insurance.policyholder",
        id_number=who.id_number,
        name=who.name,
        phone=who.phone,
        address=who.address,
        opened_on=opened,
        closed_on=None,
    )
    for number, (product, start, ended, long_term) in enumerate(policies):
        policy = book.add(
            "insurance.policy",
            policyholder_id=holder,
            policy_no=f"BX{who.account_no}-{number + 1}",
            product=product,
            insurer="示例财险",
            premium="286.00",
            status="ended" if ended else "in_force",
            signed_on=start - DAY,
            cover_from=start,
            cover_to=ended or add_months(start, 12),
            long_term=long_term,
            ended_on=ended,
        )
        book.add(
            "insurance.insured",
            policy_id=policy,
            name=f"{who.name[0]}文",
            id_number=make_id_number(birth=date(2012, 6, 1), number=int(who.account_no) - 879900, gender="男"),
            relation="子女",
            added_on=start - DAY,
            long_term=long_term,
            ended_on=ended,
        )
        book.add(
            "insurance.renewal",
            policy_id=policy,
            device_id=f"device-{who.account_no}",
            amount="286.00",
            renewed_on=start,
            long_term=long_term,
            ended_on=ended,
        )


def _mutual_aid(book: Book, who: Person, opened: date, today: date) -> None:
    member = book.add(
        "mutualaid.member",
        account_no=who.account_no,
        name=who.name,
        id_number=who.id_number,
        phone=who.phone,
        address=who.address,
        opened_on=opened,
        closed_on=None,
    )
    plan = book.add(
        "mutualaid.plan",
        member_id=member,
        plan_name="大病互助",
        joined_on=opened,
        ended_on=years_before(today, 1),
    )
    for number, day in enumerate(monthly(opened + DAY, 80)):
        book.add("mutualaid.payment", plan_id=plan, round_no=number + 1, amount="3.20", paid_on=day)
    filed = years_before(today, 6) + 20 * DAY
    claim = book.add("mutualaid.claim", member_id=member, amount="20000.00", filed_on=filed, closed_on=filed + 60 * DAY)
    book.add(
        "mutualaid.medical_file",
        claim_id=claim,
        diagnosis="甲状腺结节术后",
        hospital="示例医院",
        document=noise("medical file 880016"),
        received_at=moment(filed),
    )
    book.add(
        "mutualaid.contact",
        member_id=member,
        name="唐文",
        phone=make_phone(90_000_016),
        relation="子女",
        collected_at=moment(opened),
    )
    book.add(
        "mutualaid.claim_notice",
        account_no=who.account_no,
        shown_name="唐*怡",
        city="上海市",
        illness="甲状腺疾病",
        amount="20000.00",
        published_on=filed + 45 * DAY,
    )


def _smart_cards(book: Book, who: Person, opened: date, today: date) -> None:
    customer = add_wallet_customer(book, who, opened=opened)
    for number in range(16):
        day = add_months(today, -5 * number) - DAY
        add_payment(book, customer, who, amount="45.90", merchant="咖啡店", created=day, ended=day)
    for linked, unlinked in ((years_before(today, 1), None), (opened, years_before(today, 6))):
        book.add(
            "wallet.mipay_token",
            customer_id=customer,
            device_card_no=make_card_no(800_016 + linked.year),
            issuer="示例银行",
            linked_on=linked,
            unlinked_on=unlinked,
        )
    card = book.add(
        "wallet.transit_card",
        customer_id=customer,
        card_no="SH-880016",
        city="上海市",
        device_id="device-880016",
        balance="23.40",
        top_up_rule="低于 10 元充 50 元",
        opened_on=years_before(today, 2),
        closed_on=None,
    )
    for number in range(20):
        book.add(
            "wallet.transit_ride",
            transit_card_id=card,
            station_in="张江高科",
            station_out="人民广场",
            fare="4.00",
            rode_at=moment(today - timedelta(days=3 * number + 1), 8, 15),
        )
    book.add(
        "wallet.door_card",
        customer_id=customer,
        uid_hash="uid-880016",
        imeiHash="imei-880016",
        cplc="CPLC-880016",
        fingerprint=noise("fingerprint 880016"),
        id_image=noise("door id image 880016"),
        created_at=moment(years_before(today, 2)),
    )
    book.add(
        "wallet.eid",
        customer_id=customer,
        name=who.name,
        id_number=who.id_number,
        bound_on=years_before(today, 2),
        ended_on=None,
    )
    shop = book.add(
        "wallet.merchant",
        customer_id=customer,
        shop_name="佳怡花店",
        location="121.5987,31.2054",
        settlement_card=who.card_no,
        face_checked_on=years_before(today, 3),
        opened_on=years_before(today, 3),
        closed_on=None,
    )
    book.add(
        "wallet.merchant_face",
        merchant_id=shop,
        template=noise("merchant face 880016"),
        captured_at=moment(years_before(today, 3)),
    )
    for number in range(10):
        book.add(
            "wallet.utility_payment",
            customer_id=customer,
            kind=("电费", "话费")[number % 2],
            utility_account=f"SH{7000 + number % 2}",
            address=who.address,
            amount="108.00",
            paid_at=moment(add_months(today, -8 * number) - DAY),
        )


_STORIES: dict[str, Callable[[Book, Person, date], None]] = {
    "zhou-mingyuan": _running_loan,
    "lin-xiaoyun": _ended_loan(2),
    "he-jianwei": _ended_policies,
    "song-lihua": _ended_loan(6),
    "luo-zihan": _micoin,
    "zheng-guodong": _wealth,
    "xie-yutong": _dispute,
    "wu-jing": _guardian,
    "shen-yinuo": _child,
    "gao-wenbo": _agent,
    "feng-siqi": _marketing,
    "han-zhiqiang": _fraud,
    "tang-jiayi": _everything_else,
}
