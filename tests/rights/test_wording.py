"""A plan in sentences: the figures of the worked example, in both languages, and every fate in words."""

from dataclasses import replace
from datetime import date

import pytest

from rights.datamap import DataMap, parse_documents
from rights.kernel.decisions import REASONS
from rights.kernel.plan import Fate, Line, Plan
from rights.kernel.states import Kind
from rights.models import RetentionRule
from rights.wording import GROUNDS, cite, explain, ground_words
from tests.rights.shop import DOCUMENTS, NOW

LINE = Line(collection="shop.orders", fate=Fate.ERASE, count=180, key="OK.PERIOD_OVER", entity="shop", system="shop")
HELD = replace(
    LINE, fate=Fate.HOLD, count=232, key="HOLD.AML", rule="AML-5-TXN",
    first_release=date(2026, 12, 1), last_release=date(2030, 3, 31),
)  # fmt: skip


@pytest.fixture(scope="module")
def data_map() -> DataMap:
    return parse_documents(DOCUMENTS)


def say(data_map: DataMap, *lines: Line, language: str = "en", kind: Kind = Kind.DELETION) -> list[str]:
    return explain(Plan(kind=kind, as_of=date(2026, 11, 23), read_at=NOW, lines=lines), data_map, language)


LAW = "反洗钱法；金融机构客户身份资料及交易记录保存规定"
LAW_EN = "Anti-Money Laundering Law; Provisions on the Keeping of Customer Identity Data and Transaction Records"


def test_some_go_and_some_are_kept(data_map: DataMap) -> None:
    (english,), (chinese,) = say(data_map, LINE, HELD), say(data_map, LINE, HELD, language="zh-hans")
    assert english == (
        "orders, 412 records: 180 can go now; 232 are kept, the last until 2030-03-31, because the law requires it "
        f"({LAW_EN}, AML-5-TXN). We hold it because the law requires it."
    )
    assert chinese == (
        "orders 412 条：180 条现在可以删除；232 条要保留，最晚到 2030-03-31，"
        f"因为法律要求（{LAW}，AML-5-TXN）。因法律要求持有。"
    )


def test_one_sentence_for_each_collection_in_the_plans_order(data_map: DataMap) -> None:
    visits = replace(LINE, collection="shop.visit", count=1, key="OK.PURPOSE_END")
    assert say(data_map, visits, LINE) == [
        "visit, 1 record: 1 can go now. We hold it by your consent.",
        "orders, 180 records: 180 can go now. We hold it because the law requires it.",
    ]
    assert say(data_map) == []
    assert say(data_map, replace(LINE, count=0)) == []


@pytest.mark.parametrize(
    ("line", "en", "zh"),
    [
        (replace(HELD, count=1), "1 kept until 2030-03-31,", "1 条保留到 2030-03-31，"),
        (replace(HELD, open_ended=2), "2 of them without a date yet", "其中 2 条还没有日期"),
        (
            replace(HELD, first_release=None, last_release=None, key="HOLD.RELATION_ACTIVE", open_ended=232),
            "have no date yet", "还没有日期",
        ),
        (replace(LINE, fate=Fate.MASK), "180 can be blanked out now", "180 条现在可以去掉指向你的内容"),
        (
            replace(LINE, fate=Fate.BLOCKED, key="BLOCK.LOAN", blockers=("BLOCK.LOAN",)),
            "180 wait, because: BLOCK.LOAN", "180 条要等，因为：BLOCK.LOAN",
        ),
        (replace(LINE, fate=Fate.PERSON, key="SHARED.OWNERS"), "180 need a person: These", "180 条由人工决定：这些"),
        (
            replace(LINE, collection="shop.consent", fate=Fate.KEEP, key="WITHDRAW.CONTRACT"),
            "180 stay in use, because: To keep your choices", "180 条还在使用，因为：记住你的选择",
        ),
        (replace(LINE, fate=Fate.RESTRICT, key="HOLD.TECHNICAL"), "180 are only stored: It", "180 条只存放：技术"),
        (replace(LINE, fate=Fate.REFUSE, key="NA.ANONYMISED"), "180 are not covered: The", "180 条不适用：数据"),
        (replace(LINE, fate=Fate.UNKNOWN, count=0, key="SYSTEM.UNKNOWN"), "not known: This", "还不知道：这个"),
    ],
)  # fmt: skip
def test_every_fate_in_both_languages(data_map: DataMap, line: Line, en: str, zh: str) -> None:
    (english,), (chinese,) = say(data_map, line), say(data_map, line, language="zh-hans")
    assert en in english
    assert zh in chinese
    assert english.endswith(".")
    assert chinese.endswith("。")
    assert ".." not in english
    assert "。。" not in chinese


def test_a_copy_is_handed_out(data_map: DataMap) -> None:
    (said,) = say(data_map, replace(LINE, fate=Fate.KEEP, key="OK.ACCESS"), kind=Kind.ACCESS)
    assert said.startswith("orders, 180 records: 180 are handed out:")


def test_consent_contract_and_law_are_told_apart(data_map: DataMap) -> None:
    said = {key: ground_words(data_map.collections[f"shop.{key}"], "en") for key in ("visit", "consent", "orders")}
    assert said == {
        "visit": "We hold it by your consent",
        "consent": "We hold it for our contract with you",
        "orders": "We hold it because the law requires it",
    }
    assert len({words for pair in GROUNDS.values() for words in pair}) == 2 * len(GROUNDS)


# --- the law after the reason


@pytest.mark.parametrize(
    ("basis", "english"),
    [
        ("个人信息保护法第 47 条", "Personal Information Protection Law, art. 47"),
        ("个人信息保护法第 13、19、47 条", "Personal Information Protection Law, arts. 13, 19, 47"),
        (
            "个人信息保护法第 13 条第 1 款第 2 项、第 16 条",
            "Personal Information Protection Law, art. 13(1)(2), art. 16",
        ),
        ("个人信息保护法第 50 条第 1 款", "Personal Information Protection Law, art. 50(1)"),
        ("GB/T 35273 8.7；隐私政策第五部分", "GB/T 35273 8.7; privacy policy, part 5"),
        ("保险法、网络安全法等", "Insurance Law, Cybersecurity Law and others"),
        ("反洗钱法（2024 修订）第 34 条", "Anti-Money Laundering Law (revised 2024), art. 34"),
        (LAW, LAW_EN),
        ("一部新的规定第 3 条", "一部新的规定, art. 3"),
    ],
)
def test_a_law_is_cited_in_the_language_of_the_page(basis: str, english: str) -> None:
    assert cite(basis, "en") == english
    assert cite(basis, "zh-hans") == basis


@pytest.mark.django_db
def test_no_shipped_citation_leaves_chinese_on_an_english_page() -> None:
    shipped = {rule.citation for rule in RetentionRule.objects.all()}
    assert "保险法第 87 条" in shipped
    left = {basis for basis in shipped | {item.basis for item in REASONS.values()} if has_chinese(cite(basis, "en"))}
    assert left == set()


def has_chinese(text: str) -> bool:
    return any("\u3000" <= sign <= "\u9fff" or "\uff00" <= sign <= "\uffef" for sign in text)
