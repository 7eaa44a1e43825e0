"""Who can sign in to the demo: sixteen people with stories, and the staff."""

from dataclasses import dataclass, field
from datetime import date

from portal.demo.people import Person, make_card_no, make_id_number, make_phone

DEMO_PASSWORD = "demo-portal"  # noqa: S105 - printed on the sign-in page


@dataclass(frozen=True)
class DemoAccount:
    """A sign-in of the demo. `key` is its name in code; staff have no person behind them."""

    key: str
    login: str
    name: str
    story_zh: str
    story_en: str
    role: str
    phone: str
    email: str
    password: str = DEMO_PASSWORD
    language: str = "zh-hans"
    person: Person | None = None
    identities: dict[str, str] = field(default_factory=dict)
    confidential: bool = False

    def story(self, language: str) -> str:
        return self.story_en if language.startswith("en") else self.story_zh


@dataclass(frozen=True)
class DemoAuthority:
    """`agent` may ask for `principal` (keys of accounts) until so many days after the load; negative: it is over."""

    agent: str
    principal: str
    kind: str
    scope: tuple[str, ...]
    days_valid: int
    proof_note: str


def _person(
    number: int, key: str, name: str, gender: str, birth: date, zh: str, en: str, *,
    address: str = "北京市海淀区清河中街68号", job: str = "工程师", language: str = "zh-hans",
) -> DemoAccount:  # fmt: skip
    who = Person(
        account_no=str(880000 + number),
        name=name,
        id_number=make_id_number(birth=birth, number=number, gender=gender),
        phone=make_phone(number),
        email=f"{key}@mail.example",
        address=address,
        card_no=make_card_no(number),
        gender=gender,
        birth=birth,
        job=job,
    )
    return DemoAccount(
        key=key,
        login=who.account_no,
        name=name,
        story_zh=zh,
        story_en=en,
        role="subject",
        phone=who.phone,
        email=who.email,
        language=language,
        person=who,
        identities={
            "name": who.name,
            "id_number": who.id_number,
            "account_no": who.account_no,
            "phone": who.phone,
        },
    )


def _staff(number: int, key: str, name: str, role: str, zh: str, en: str, *, confidential: bool = False) -> DemoAccount:
    login = str(990000 + number)
    phone = make_phone(99_000_000 + number)
    return DemoAccount(
        key=key,
        login=login,
        name=name,
        story_zh=zh,
        story_en=en,
        role=role,
        phone=phone,
        email=f"{key}@desk.example",
        identities={"account_no": login, "name": name},
        confidential=confidential,
    )


PEOPLE: tuple[DemoAccount, ...] = (
    _person(
        1, "chen-ruolan", "陈若兰", "女", date(1988, 4, 12),
        "一笔贷款还清了，一笔还剩 4,260 元；钱包 2021 年就注销了，还有和家人一起付的款。什么情况都有一点。",
        "One loan repaid, another with CNY 4,260 left; her wallet closed in 2021; payments shared with family. "
        "A little of everything.",
        address="重庆市渝北区金开大道120号3单元502室", job="会计",
    ),
    _person(
        2, "zhou-mingyuan", "周明远", "男", date(1991, 9, 3),
        "有一笔贷款正在还，给过通讯录和应用列表的授权。",
        "A loan is running; he once allowed access to his contacts and installed apps.",
    ),
    _person(
        3, "lin-xiaoyun", "林晓芸", "女", date(1985, 1, 27),
        "贷款两年前还清，同一天不再是客户。记录还要依法保留三年左右。",
        "Her loan and her time as a customer ended two years ago. The law keeps the records about three years more.",
    ),
    _person(
        4, "he-jianwei", "何建伟", "男", date(1979, 6, 15),
        "贷款四年前还清并销户，保留期快要满了；三份保单都已到期；钱包账户被法院冻结。",
        "His loan and his time as a customer ended four years ago, that period is nearly over; three policies ended; "
        "a court has frozen his wallet.",
    ),
    _person(
        5, "song-lihua", "宋丽华", "女", date(1972, 11, 8),
        "贷款六年前还清并销户。保留期已满，可以全部删除。",
        "Her loan and her time as a customer ended six years ago. The period is over, all of it can go.",
        job="教师",
    ),
    _person(
        6, "luo-zihan", "罗子涵", "男", date(1999, 2, 20),
        "游戏账户里还剩 320 个米币。",
        "320 Mi Coins are left in his account.",
    ),
    _person(
        7, "zheng-guodong", "郑国栋", "男", date(1955, 3, 30),
        "还持有 52,300 元基金；也有一只早就赎回了。委托高文博代办查阅。",
        "He holds CNY 52,300 in a fund and has redeemed another. He has an agent, Gao Wenbo.",
        job="退休",
    ),
    _person(
        8, "xie-yutong", "谢雨桐", "女", date(1993, 7, 19),
        "有一件投诉还没有处理完。",
        "A complaint of hers is still open.",
    ),
    _person(
        9, "wu-jing", "吴静", "女", date(1984, 12, 2),
        "沈一诺的妈妈，是监护人；自己的零钱卡里还有 35.20 元。",
        "Mother and guardian of Shen Yinuo; CNY 35.20 are left on her own balance card.",
    ),
    _person(
        10, "shen-yinuo", "沈一诺", "女", date(2015, 5, 21),
        "未满 14 岁的孩子，事情由监护人吴静来办。",
        "A child under 14; her guardian Wu Jing acts for her.",
        job="学生",
    ),
    _person(
        11, "gao-wenbo", "高文博", "男", date(1982, 8, 14),
        "律师。替郑国栋查阅和更正有效，替宋丽华的授权已经过期。",
        "A lawyer: may see and correct for Zheng Guodong; his authority for Song Lihua has run out.",
        job="律师", language="en",
    ),
    _person(
        12, "feng-siqi", "冯思琪", "女", date(1996, 10, 9),
        "只同意过短信和推送营销，别的什么也没用过。",
        "She only ever agreed to marketing by text message and push.",
    ),
    _person(
        13, "chen-jianguo", "陈建国", "男", date(1958, 2, 11),
        "和女儿陈若兰一起付过款；还有一笔付款正在处理。",
        "Shares payments with his daughter Chen Ruolan; one payment of his is still being processed.",
        address="重庆市渝北区金开大道120号3单元502室", job="退休",
    ),
    _person(
        14, "han-zhiqiang", "韩志强", "男", date(1990, 1, 5),
        "账户正在做安全核查。",
        "A security check of his account is under way.",
        job="个体经营",
    ),
    _person(
        15, "xu-anran", "许安然", "女", date(2001, 3, 17),
        "刚注册，七家公司都没有她的数据。",
        "Has just registered; none of the seven companies holds anything about her.",
    ),
    _person(
        16, "tang-jiayi", "唐佳怡", "女", date(1987, 9, 28),
        "什么都用：保险、互助、公交卡、Mi Pay、门卡、eID、随星收、Mi Card、积分、福利和缴费。",
        "Uses everything else: insurance, mutual aid, transit card, Mi Pay, door card, eID, a shop, Mi Card, points, "
        "welfare orders and bills.",
        address="上海市浦东新区张江路88号2001室", job="个体经营",
    ),
)  # fmt: skip

STAFF: tuple[DemoAccount, ...] = (
    _staff(1, "support-zhao", "赵宁", "support", "客服，处理队列里的申请。", "Support: works through the queue."),
    _staff(2, "support-qian", "钱悦", "support", "客服，和赵宁一起值班。", "Support: shares the queue with Zhao Ning."),
    _staff(
        3, "supervisor-sun", "孙越", "supervisor", "主管，看全部申请和到期情况。",
        "Supervisor: sees all requests and what is due.",
    ),
    _staff(4, "admin-li", "李岚", "admin", "管理员，提出规则的改动。", "Admin: proposes changes of the rules."),
    _staff(
        5, "admin-zhou", "周牧", "admin", "另一位管理员，批准规则的改动。",
        "Another admin: approves changes of the rules.",
    ),
    _staff(
        6, "auditor-wu", "吴桐", "auditor", "审计，只看不改。", "Auditor: sees, changes nothing.", confidential=True
    ),
)  # fmt: skip

DEMO_ACCOUNTS: tuple[DemoAccount, ...] = PEOPLE + STAFF

AUTHORITIES: tuple[DemoAuthority, ...] = (
    DemoAuthority(
        "wu-jing", "shen-yinuo", "guardian",
        ("access", "correction", "deletion", "withdrawal", "cancellation"), 365, "出生医学证明（演示）",
    ),
    DemoAuthority("gao-wenbo", "zheng-guodong", "agent", ("access", "correction"), 180, "授权委托书（演示）"),
    DemoAuthority("gao-wenbo", "song-lihua", "agent", ("access", "deletion"), -30, "授权委托书，已过期（演示）"),
)  # fmt: skip


def demo_account(key: str) -> DemoAccount:
    """The account with this key; raises KeyError for an unknown one."""
    return {account.key: account for account in DEMO_ACCOUNTS}[key]


def person(key: str) -> Person:
    """The person behind an account; raises KeyError for an unknown one or for staff."""
    who = demo_account(key).person
    if who is None:
        raise KeyError(key)
    return who
