"""Made-up values for the style guide: every part in every state. Shown in demo mode only, to those who build pages."""

from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django import forms

from accounts.forms import CodeForm
from rights.kernel.clock import Pause, local_day
from rights.kernel.plan import Fate
from rights.web.present import CompanyView, KindMark, PlanLine, PlanView, Section


class TextForm(forms.Form):
    phone = forms.CharField(label="新手机号", help_text="11 位数字")
    address = forms.CharField(label="新地址", required=False)


def styleguide(*, now: datetime) -> dict[str, Any]:
    """The context of `templates/subject/styleguide.html`."""
    today = local_day(now)
    code_form, text_form = CodeForm({"code": "123456"}), TextForm({"phone": "138", "address": "重庆市渝北区"})
    code_form.is_valid()
    code_form.add_error("code", "验证码不对。还可以试 4 次。")
    text_form.is_valid()
    text_form.add_error("phone", "手机号应为 11 位数字。")
    asked = today - timedelta(days=7)
    return {
        "today": today,
        "read_at": now,
        "case": SimpleNamespace(
            started_on=today - timedelta(days=9), due=today + timedelta(days=10),
            pauses=(Pause(asked, asked + timedelta(days=4)),),
        ),
        "steps": _steps(),
        "plan": _plan(today),
        "companies": _companies(now, today),
        "events": _events(now),
        "answers": [
            {"label": "做什么", "value": "删除全部公司的全部信息", "url": "#", "what": "范围"},
            {"label": "哪些留下", "value": "依法保留的 50 条，最晚到 2031-11-05"},
        ],
        "form": code_form,
        "text_form": text_form,
    }  # fmt: skip


def _steps() -> list[dict[str, Any]]:
    told = (
        ("贷款", "人脸", "erased", "1 条"), ("贷款", "联系人", "queued", ""),
        ("平台帐号", "浏览和使用记录", "acting", ""),
        ("钱包和支付", "付款记录", "held", "25 条"), ("贷款", "借款合同", "blocked", "还有贷款未还清 · 2 条"),
        ("财富", "基金交易", "unreachable", "06:00 再试，不影响到期日。"), ("保险", "保单", "failed", ""),
        ("小额", "交易", "halted", "这里的删除暂停了，之后会自动继续，到期日不变。"),
        ("财富", "基金持仓", "person", ""), ("互助", "公示", "kept", ""),
    )  # fmt: skip
    return [
        {"company": company, "data": data, "state": state, "kind": "deletion", "done": 480, "total": 1200, "note": note}
        for company, data, state, note in told
    ]


def _events(now: datetime) -> list[dict[str, Any]]:
    told = (
        ("正在删除浏览和使用记录。", ""),
        ("受理人同意了。", "staff"),
        ("你回答了问题。", "you"),
        ("申请已收到。", "you"),
    )
    return [
        {"at": now - timedelta(hours=20 * number), "text": text, "who": who, "now": number == 0}
        for number, (text, who) in enumerate(told)
    ]


def _plan(today: date) -> PlanView:
    held = PlanLine(
        "付款记录", 25, Fate.HOLD, company="钱包和支付", text="支付和转账", basis="反洗钱法", rule="AML-5-TXN",
        first_release=today + timedelta(days=8), last_release=today + timedelta(days=79),
    )  # fmt: skip
    blocked = PlanLine(
        "还有贷款未还清", 3, Fate.BLOCKED, company="贷款", text="借款合同、贷款客户资料。还清后自动继续。",
        facts=(("还有贷款未还清", "L2 · ¥4,260.00"),), fix_url="#", fix_label="去还款",
    )  # fmt: skip
    return PlanView(
        going=Section((PlanLine("浏览和使用记录", 1200, Fate.ERASE, company="平台帐号", text="只凭你的同意收集"),)),
        waiting=Section((blocked,)),
        person=Section((PlanLine("亲情付记录", 6, Fate.PERSON, company="钱包和支付", text="也属于另一个人"),)),
        kept=Section((held,)),
        in_use=Section((PlanLine("帐号资料", 1, Fate.KEEP, company="平台帐号", text="帐号还在用", sensitive=True),)),
        unknown=(),
        matters=1,
    )


def _companies(now: datetime, today: date) -> list[CompanyView]:
    def mark(fate: Fate, year: int | None = None, *, sensitive: bool = False) -> KindMark:
        return KindMark(label="", count=1, fate=fate, sensitive=sensitive, last_year=year)

    def company(name: str, *kinds: KindMark, state: str = "loaded") -> CompanyView:
        return CompanyView(
            key=name, name=name, service=name, url="#" if kinds else "", count=len(kinds), summary="资料、记录",
            kinds=kinds, state=state, read_at=now,
        )  # fmt: skip

    year = today.year
    return [
        company("贷款公司", mark(Fate.ERASE), mark(Fate.BLOCKED), mark(Fate.HOLD, year + 5), mark(Fate.KEEP)),
        company("支付公司", *[mark(Fate.HOLD, year + 1, sensitive=True)] * 8, state="stale"),
        company("保险公司"),
        company("财富公司", state="unreachable"),
    ]
