"""A plan in plain sentences, one per collection, in zh and en: how many records, what becomes of them, until when, why;
and the law after a reason, as each language cites it.

Pure words from values: no catalogue and no request, so that commands, pages and letters can say the same.
"""

import re
from collections.abc import Mapping
from itertools import groupby

from rights.datamap import Collection, DataMap
from rights.kernel.decisions import reason
from rights.kernel.plan import Fate, Line, Plan
from rights.kernel.states import Kind

GROUNDS: Mapping[str, tuple[str, str]] = {
    "consent": ("凭你的同意持有", "We hold it by your consent"),
    "contract": ("为履行和你的合同持有", "We hold it for our contract with you"),
    "law": ("因法律要求持有", "We hold it because the law requires it"),
    "interest": ("为处理相关事项持有", "We hold it to deal with the matter it is about"),
}
"""On what a collection rests (PIPL art. 13), by `Collection.basis_kind`."""


_SOURCES: Mapping[str, str] = {
    "金融机构客户身份识别和客户身份资料及交易记录保存管理办法": (
        "Measures for Customer Due Diligence and the Keeping of Customer Identity Data and Transaction Records"
    ),
    "金融机构客户身份资料及交易记录保存规定": (
        "Provisions on the Keeping of Customer Identity Data and Transaction Records"
    ),
    "公开募集证券投资基金销售机构监督管理办法": (
        "Measures for the Supervision of Distributors of Publicly Offered Securities Investment Funds"
    ),
    "会计档案管理办法": "Measures for the Administration of Accounting Records",
    "网络数据安全管理条例": "Network Data Security Regulation",
    "个人信息保护法": "Personal Information Protection Law",
    "网络安全法": "Cybersecurity Law",
    "反洗钱法": "Anti-Money Laundering Law",
    "隐私政策": "privacy policy",
    "保险法": "Insurance Law",
}
"""Sources as English pages name them, the longer names first."""

_PARTS = "一二三四五六七八九"


def cite(basis: str, language: str) -> str:
    """A citation in the language given. Of a source that is not known the name stays as it is."""
    if not _is_english(language):
        return basis
    text = basis
    for name, english in _SOURCES.items():
        text = text.replace(name, english)
    text = re.sub(r"（(\d{4}) 修订）", r" (revised \1)", text)
    text = re.sub(r"(^|、)?第 ([\d、]+) 条(?:第 (\d+) 款)?(?:第 (\d+) 项)?", _article, text)
    text = re.sub(rf"第([{_PARTS}])部分", lambda found: f", part {_PARTS.index(found[1]) + 1}", text)
    return text.replace("；", "; ").replace("、", ", ").replace("等", " and others")


def _article(found: "re.Match[str]") -> str:
    numbers = found[2].split("、")
    noun = "art." if len(numbers) == 1 else "arts."
    inner = "".join(f"({part})" for part in found.groups()[2:] if part)
    return f", {noun} {', '.join(numbers)}{inner}"


def ground_words(item: Collection, language: str) -> str:
    """On what the collection rests, as a clause without a full stop."""
    return GROUNDS[item.basis_kind][_is_english(language)]


def explain(plan: Plan, data_map: DataMap, language: str) -> list[str]:
    """One sentence for each collection of the plan that has records or could not be asked, in the plan's order.

    Such as "Repayments, 30 records: 6 can go now; 24 are kept, the last until 2031-11-05, because …".
    """
    sentences = []
    for key, group in groupby(plan.lines, key=lambda line: line.collection):
        lines = [line for line in group if line.count or line.fate is Fate.UNKNOWN]
        if lines and key in data_map.collections:
            sentences.append(_sentence(data_map.collections[key], lines, plan, data_map, language))
    return sentences


def _sentence(item: Collection, lines: list[Line], plan: Plan, data_map: DataMap, language: str) -> str:
    english = _is_english(language)
    total = sum(line.count for line in lines)
    parts = [_part(line, item, plan, data_map, language).rstrip("。.") for line in lines]
    ground = ground_words(item, language)
    if any(line.fate is Fate.UNKNOWN for line in lines):
        return (
            f"{item.label(language)}: {'; '.join(parts)}."
            if english
            else f"{item.label(language)}：{'；'.join(parts)}。"
        )
    if english:
        noun = "record" if total == 1 else "records"
        return f"{item.label(language)}, {total:,} {noun}: {'; '.join(parts)}. {ground}."
    return f"{item.label(language)} {total:,} 条：{'；'.join(parts)}。{ground}。"


def _part(line: Line, item: Collection, plan: Plan, data_map: DataMap, language: str) -> str:
    english, n = _is_english(language), f"{line.count:,}"
    given = reason(line.key)
    text = given.text(language)
    match line.fate:
        case Fate.ERASE:
            return f"{n} can go now" if english else f"{n} 条现在可以删除"
        case Fate.MASK:
            return f"{n} can be blanked out now" if english else f"{n} 条现在可以去掉指向你的内容"
        case Fate.HOLD:
            return _held(line, language)
        case Fate.BLOCKED:
            facts = [data_map.blockers[key].label(language) for key in line.blockers if key in data_map.blockers]
            cause = (", " if english else "、").join(facts) or text
            return f"{n} wait, because: {cause}" if english else f"{n} 条要等，因为：{cause}"
        case Fate.PERSON:
            return f"{n} need a person: {text}" if english else f"{n} 条由人工决定：{text}"
        case Fate.KEEP if plan.kind == Kind.ACCESS:
            return f"{n} are handed out: {text}" if english else f"{n} 条会交给你：{text}"
        case Fate.KEEP:
            cause = item.basis(language) if item.basis else text
            return f"{n} stay in use, because: {cause}" if english else f"{n} 条还在使用，因为：{cause}"
        case Fate.RESTRICT if item.flag:
            return (
                f"{n} are only stored, and their system marks them so: {text}"
                if english
                else f"{n} 条只存放，并在系统里标明：{text}"
            )
        case Fate.RESTRICT:
            return f"{n} are only stored: {text}" if english else f"{n} 条只存放：{text}"
        case Fate.REFUSE:
            return f"{n} are not covered: {text}" if english else f"{n} 条不适用：{text}"
        case Fate.UNKNOWN:
            return f"not known: {text}" if english else f"还不知道：{text}"


def _held(line: Line, language: str) -> str:
    """ "232 are kept, the last until 2030-03-31, because the law requires it (citation, rule)"."""
    english, n = _is_english(language), f"{line.count:,}"
    law = cite(reason(line.key).basis, language) + (
        f"，{line.rule}" if line.rule and not english else f", {line.rule}" if line.rule else ""
    )
    why = f"because the law requires it ({law})" if english else f"因为法律要求（{law}）"
    if line.last_release is None:
        return (
            f"{n} are kept and have no date yet, as their period begins when the service ends, {why}"
            if english
            else f"{n} 条要保留，期限从服务结束那天算起，还没有日期，{why}"
        )
    day = line.last_release.isoformat()
    undated = ""
    if line.open_ended:
        undated = (
            f", {line.open_ended:,} of them without a date yet"
            if english
            else f"，其中 {line.open_ended:,} 条还没有日期"
        )
    if line.count - line.open_ended == 1:
        return f"{n} kept until {day}{undated}, {why}" if english else f"{n} 条保留到 {day}{undated}，{why}"
    return (
        f"{n} are kept, the last until {day}{undated}, {why}"
        if english
        else f"{n} 条要保留，最晚到 {day}{undated}，{why}"
    )


def _is_english(language: str) -> bool:
    return language.startswith("en")
