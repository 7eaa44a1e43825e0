"""Synthetic people whose numbers are well-formed and can belong to nobody.

- ID numbers have a true GB 11643 check digit and begin with 99: GB/T 2260 gives no province that code (they end at 82,
  and 91 is for foreigners' permits), so no such number can have been issued.
- Mobile numbers begin with 154, a range that no operator has been given.
- Card numbers pass Luhn and begin with 9999: in ISO/IEC 7812 a leading 9 is followed by a country's number, and
  ISO 3166 keeps 900 to 999 for private use, so that no bank has one.
- Mail goes to the reserved domain `.example` (RFC 2606).
"""

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
_GIVEN_MALE = "伟强磊军洋勇杰涛明超刚平辉鹏华飞斌宇浩凯健俊帆旭宁鑫波"
_GIVEN_FEMALE = "芳娜敏静丽艳娟霞秀兰玲燕红雪琳颖洁莹倩婷梅慧怡蕾佳悦欣"
_GIVEN_EITHER = "子文晓思雨嘉一若安志海春天永建国"
_CITIES = (
    ("北京市", "海淀区清河中街"),
    ("上海市", "浦东新区张江路"),
    ("重庆市", "渝北区金开大道"),
    ("广州市", "天河区体育东路"),
    ("成都市", "武侯区天府大道"),
    ("武汉市", "洪山区珞喻路"),
    ("西安市", "雁塔区科技路"),
    ("南京市", "鼓楼区中山北路"),
)
JOBS = ("教师", "护士", "工程师", "销售", "司机", "会计", "厨师", "公务员", "设计师", "个体经营")


@dataclass(frozen=True)
class Person:
    """Who somebody is in the business systems."""

    account_no: str
    name: str
    id_number: str
    phone: str
    email: str
    address: str
    card_no: str
    gender: str
    birth: date
    job: str = "工程师"


def id_check_digit(first_17: str) -> str:
    """The last character of an 18-digit ID number (GB 11643, ISO 7064 MOD 11-2)."""
    return _CHECKS[sum(int(digit) * weight for digit, weight in zip(first_17, _WEIGHTS, strict=True)) % 11]


def make_id_number(*, birth: date, number: int, gender: str) -> str:
    """An ID number of the unassigned province 99; `number` keeps people of one birthday apart, odd is male."""
    serial = (number // 10000 * 2) % 998 + (1 if gender == "男" else 2)
    first = f"99{number % 10000:04d}{birth:%Y%m%d}{serial:03d}"
    return first + id_check_digit(first)


def luhn_digit(payload: str) -> str:
    """The check digit that makes payload + digit pass Luhn (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(payload)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def make_card_no(number: int, *, digits: int = 16) -> str:
    """A card number that no bank can have issued."""
    payload = f"9999{number:0{digits - 5}d}"
    return payload + luhn_digit(payload)


def make_phone(number: int) -> str:
    """A mobile number of the unassigned range 154."""
    return f"154{number:08d}"


def make_name(random: Random, gender: str) -> str:
    """A Chinese name of two or three characters."""
    given = _GIVEN_MALE if gender == "男" else _GIVEN_FEMALE
    first = random.choice(_GIVEN_EITHER) if random.random() < 0.6 else ""
    return random.choice(_SURNAMES) + first + random.choice(given)


def make_address(random: Random) -> str:
    city, street = random.choice(_CITIES)
    return f"{city}{street}{random.randint(1, 399)}号{random.randint(1, 30)}0{random.randint(1, 6)}室"


def make_person(random: Random, number: int, *, today: date) -> Person:
    """The person with this number, 18 to 75 years old; the same for the same random state."""
    gender = random.choice("男女")
    birth = today - timedelta(days=random.randint(18 * 366, 75 * 365))
    return Person(
        account_no=str(70000000 + number),
        name=make_name(random, gender),
        id_number=make_id_number(birth=birth, number=number, gender=gender),
        phone=make_phone(10_000_000 + number),
        email=f"u{number}@mail.example",
        address=make_address(random),
        card_no=make_card_no(10_000_000 + number),
        gender=gender,
        birth=birth,
        job=random.choice(JOBS),
    )
