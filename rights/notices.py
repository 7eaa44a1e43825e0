"""What the person is told: each text in both languages, without personal data, and the row that carries it.

A notice is written in the transaction of the fact it tells; a worker sends it afterwards, once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from accounts.models import User
from portal.core import rows
from rights.models import Notice, Request


@dataclass(frozen=True)
class Also:
    """A sentence more, told where the notice was given `param`; its place in the body is `{also}`."""

    param: str
    zh: str
    en: str


@dataclass(frozen=True)
class Template:
    subject_zh: str
    body_zh: str
    subject_en: str
    body_en: str
    also: Also | None = None


_RIGHTS = "不同意的话可以申诉，由另一个人复核；也可以向监管部门投诉，或向法院起诉（个人信息保护法第 50 条）。"
_RIGHTS_EN = (
    "If you disagree, appeal and someone else reviews it; you may also complain to the regulator or sue "
    "(Personal Information Protection Law, art. 50)."
)

_COMPLAINT = "不同意的话可以申诉，也可以向监管部门投诉。"
_COMPLAINT_EN = "If you disagree, you may appeal or complain to the regulator."

TEMPLATES: dict[str, Template] = {
    "received": Template(
        "申请 {reference} 已收到",
        "你的申请 {reference} 已收到。我们最迟在 {due} 24:00 前办完并告诉你。现在不用做什么。",
        "Request {reference} received",
        "We have your request {reference}. We finish it and tell you by 24:00 on {due}. There is nothing to do now.",
    ),
    "was_this_you": Template(
        "有人用你的帐号提交了申请 {reference}",
        "是你本人的话不用理会。{also}也可以登录后在申请页面撤回。",
        "A request {reference} was filed from your account",
        "If it was you, do nothing. {also}You can also sign in and take it back on its page.",
        Also(
            "stop",
            "如果不是你，打开这个链接就能停下，不用登录：{stop} 。",
            "If it was not you, open this link to stop it; you need not sign in: {stop} . ",
        ),
    ),
    "question": Template(
        "申请 {reference} 需要你回答一个问题",
        "请登录查看并回答。回答前的天数不计入期限。",
        "Request {reference}: a question for you",
        "Please sign in and answer it. The days until you answer do not count.",
    ),
    "message": Template(
        "申请 {reference} 有新消息",
        "受理人给你写了消息。请登录，在申请页面查看和回复。",
        "Request {reference}: a new message",
        "A case worker has written to you. Sign in to read it and to answer on the page of your request.",
    ),
    "proof_needed": Template(
        "申请 {reference}：请补上证明",
        "我们已收到申请 {reference}，但还不能确认你有权提出。请登录查看需要什么证明。证明核实之前不计时，"
        "也不查看任何信息；到 {until} 仍没有证明就结束，之后可以重新申请。" + _COMPLAINT,
        "Request {reference}: please add a proof",
        "We have request {reference}, but it is not proved yet that you may make it. Sign in to see which proof is "
        "needed. Until it is checked no clock runs and nothing is looked up. Without a proof it ends on {until}; then "
        "you can ask again. " + _COMPLAINT_EN,
    ),
    "proof_reminder": Template(
        "申请 {reference} 还在等证明",
        "到 {until} 仍没有证明就结束，之后可以重新申请。需要什么证明，登录可以看到。" + _COMPLAINT,
        "Request {reference} still waits for a proof",
        "Without one it ends on {until}; you can then ask again. Sign in to see which proof is needed. "
        + _COMPLAINT_EN,
    ),
    "proof_lapsed": Template(
        "申请 {reference} 因没有证明已结束",
        "我们没有查看任何信息。有了证明，随时可以重新申请；原因写在申请页面里。" + _COMPLAINT,
        "Request {reference} ended without a proof",
        "Nothing was looked up. With a proof you can ask again at any time; the reason is on the page of the request. "
        + _COMPLAINT_EN,
    ),
    "proved": Template(
        "申请 {reference} 的证明已核实",
        "从今天开始计时，我们最迟在 {due} 24:00 前办完。",
        "Request {reference}: the proof was accepted",
        "The clock starts today; we finish it by 24:00 on {due}.",
    ),
    "filed_for_you": Template(
        "有人以你的名义提交了申请 {reference}",
        "对方还没有证明有权代你申请。在此之前我们不查看你的信息，也不告诉对方任何内容。不是你的意思，请登录撤回。",
        "Somebody filed request {reference} in your name",
        "They have not proved yet that they may. Until then we look up nothing about you and tell them nothing. If you "
        "do not want it, sign in and take it back.",
    ),
    "fee_quoted": Template(
        "申请 {reference}：再次提供副本要收费，请先决定",
        "这一份的成本费用是 {amount} 元，你接受之前不产生任何费用。请在 {until} 前登录接受或拒绝；等待的天数"
        "不计入期限。" + _COMPLAINT,
        "Request {reference}: a further copy has a fee; please decide first",
        "This copy costs {amount} yuan. Nothing is owed before you accept. Sign in by {until} to accept or decline; "
        "the days until then do not count. " + _COMPLAINT_EN,
    ),
    "fee_waived": Template(
        "申请 {reference}：费用已免",
        "我们不收这笔费用，申请继续办理。",
        "Request {reference}: the fee is waived",
        "Nothing is owed and the request goes on.",
    ),
    "fee_declined": Template(
        "申请 {reference} 已按你的选择结束",
        "你没有接受费用，所以没有提供副本，也不产生费用。随时可以重新申请。" + _COMPLAINT,
        "Request {reference} ended as you chose",
        "You did not accept the fee, so no copy was made and nothing is owed. You can ask again at any time. "
        + _COMPLAINT_EN,
    ),
    "fee_lapsed": Template(
        "申请 {reference} 因费用未答复已结束",
        "没有提供副本，也不产生费用。随时可以重新申请。" + _COMPLAINT,
        "Request {reference} ended, as the fee was not answered",
        "No copy was made and nothing is owed. You can ask again at any time. " + _COMPLAINT_EN,
    ),
    "extended": Template(
        "申请 {reference} 需要更多时间",
        "我们把期限延长一次，最迟在 {due} 24:00 前办完。原因写在申请页面里。" + _RIGHTS,
        "Request {reference} needs more time",
        "We extend the limit, once: we finish it by 24:00 on {due}. The reason is on the page of your request. "
        + _RIGHTS_EN,
    ),
    "approved": Template(
        "申请 {reference} 已同意",
        "我们会在 {due} 24:00 前办完，结果会再告诉你。",
        "Request {reference} was approved",
        "We finish it by 24:00 on {due} and tell you the result.",
    ),
    "refused": Template(
        "申请 {reference} 没有同意",
        "原因写在申请页面里。" + _RIGHTS,
        "Request {reference} was not approved",
        "The reason is on the page of your request. " + _RIGHTS_EN,
    ),
    "appeal_received": Template(
        "申请 {reference} 的申诉已收到",
        "由没有参与过原决定的人复核，最迟在 {due} 24:00 前告诉你结果。现在不用做什么。",
        "Request {reference}: we have your appeal",
        "Somebody who had no part in the decision reviews it and tells you the result by 24:00 on {due}. There is "
        "nothing to do now.",
    ),
    "appeal_upheld": Template(
        "申请 {reference} 的申诉结果：维持原决定",
        "原因写在申请页面里。你还可以向监管部门投诉，或向法院起诉（个人信息保护法第 50 条）。",
        "Request {reference}: the decision stands",
        "The reason is on the page of your request. You may still complain to the regulator or sue (Personal "
        "Information Protection Law, art. 50).",
    ),
    "appeal_overturned": Template(
        "申请 {reference} 的申诉结果：原决定已撤销",
        "申请重新办理，我们最迟在 {due} 24:00 前办完并告诉你。你不用重新申请。",
        "Request {reference}: the decision was overturned",
        "Your request is taken up again; we finish it and tell you by 24:00 on {due}. You need not ask again.",
    ),
    "appeal_late": Template(
        "申请 {reference} 的申诉我们逾期了",
        "我们没有在 {due} 前复核完，这是我们的责任。你现在就可以向监管部门投诉，或向法院起诉。",
        "Request {reference}: we are late with your appeal",
        "We did not decide it by {due}. That is our failure. You may complain to the regulator or sue today.",
    ),
    "appeal_case_late": Template(
        "案件 {reference} 的申诉已逾期",
        "期限是 {due}。已告诉当事人，并告知投诉途径。请立即安排没有参与过原决定的人复核。",
        "The appeal of case {reference} is late",
        "The limit was {due}. The person has been told, with the ways to complain. Have somebody who did not decide it "
        "review it now.",
    ),
    "deferred": Template(
        "申请 {reference} 有一部分要先等一等",
        "有件事还没有了结，登录可以看到是什么、怎么办。了结后自动继续，你不用重新申请。" + _RIGHTS,
        "Request {reference}: one part has to wait",
        "Something is not settled yet; sign in to see what, and what to do. Then it goes on by itself. " + _RIGHTS_EN,
    ),
    "resumed": Template(
        "申请 {reference} 继续办理",
        "之前拦着的事已经了结。我们最迟在 {due} 24:00 前办完。",
        "Request {reference} goes on",
        "What stood in the way is settled. We finish by 24:00 on {due}.",
    ),
    "closed": Template(
        "申请 {reference} 已办完",
        "删了什么、保留什么、保留到哪一天，还有收到过你信息的各方是否已被告知和确认，都写在申请页面里。"
        "到期的部分我们自己删除，你不用再申请。{also}" + _RIGHTS,
        "Request {reference} is done",
        "What was erased, what is kept and until which day, and whether those who received your data were told and "
        "have confirmed, is on the page of your request. What is kept is erased by us when its day has passed. {also}"
        + _RIGHTS_EN,
        Also(
            "backups",
            "删除的信息在备份里已隔离、不再使用，最迟在 {backups} 清除。",
            "The copies of what was erased are isolated in our backups, unused, and cleared by {backups}. ",
        ),
    ),
    "package": Template(
        "申请 {reference}：你的资料可以下载了",
        "请在 {until} 前登录下载，过后文件会销毁；需要时可以再申请。",
        "Request {reference}: your data is ready",
        "Sign in and download it by {until}; after that the file is destroyed. You can ask again.",
    ),
    "package_partly": Template(
        "申请 {reference}：你的资料可以下载了，还缺一部分",
        "{zh}没有答复，这部分一拿到就补给你并告诉你。其余的请在 {until} 前登录下载，过后文件会销毁；需要时可以再申请。",
        "Request {reference}: your data is ready, but for one part",
        "{en} did not answer; we add this part as soon as we have it, and tell you. Sign in and download the rest by "
        "{until}; after that the file is destroyed. You can ask again.",
    ),
    "package_added": Template(
        "申请 {reference}：缺的部分补上了",
        "请在 {until} 前登录下载，过后文件会销毁；需要时可以再申请。{also}",
        "Request {reference}: what was missing has been added",
        "Sign in and download it by {until}; after that the file is destroyed. You can ask again.{also}",
        Also(
            "en",
            "{zh}还没有答复，这部分一拿到就再补给你。",
            " {en} still did not answer; we add that part too as soon as we have it.",
        ),
    ),
    "package_revoked": Template(
        "申请 {reference} 的文件已提前销毁",
        "我们在到期前销毁了这个文件，原因写在申请页面里。需要时可以再申请。" + _RIGHTS,
        "Request {reference}: the file was destroyed early",
        "We destroyed the file before its day. The reason is on the page of your request. You can ask again. "
        + _RIGHTS_EN,
    ),
    "handover_made": Template(
        "申请 {reference}：为他人备的副本已备好",
        "对方可以用链接和口令领取一次，最迟到 {until}。如果不是你本人的意思，请马上登录撤销。",
        "Request {reference}: a copy for somebody else is ready",
        "They can fetch it once, with the link and the secret, by {until}. If it was not you, sign in and end it now.",
    ),
    "handover_fetched": Template(
        "申请 {reference}：副本已被领取",
        "有人用链接和口令打开了副本。链接一小时后失效，文件随之销毁。如果不是你指定的接收方，请马上登录销毁。",
        "Request {reference}: the copy is being fetched",
        "Somebody opened the copy with the link and the secret. In an hour the link ends and the file is destroyed. "
        "If it was not whom you named, sign in and destroy it now.",
    ),
    "handover_unused": Template(
        "申请 {reference}：副本没有人领取",
        "期限已过，副本已销毁。资料包还在的话，可以在申请页面再备一份。",
        "Request {reference}: nobody fetched the copy",
        "Its day has passed and it is destroyed. While your package is there you can have another made on the page of "
        "your request.",
    ),
    "handover_locked": Template(
        "申请 {reference}：副本因口令多次错误已销毁",
        "有人用链接输错了五次口令。没有内容被取走。需要时可以再备一份。",
        "Request {reference}: the copy was destroyed after wrong secrets",
        "Somebody had the link and tried five wrong secrets. Nothing was taken. You can have another copy made.",
    ),
    "breached": Template(
        "申请 {reference} 我们逾期了",
        "我们没有在 {due} 前办完，这是我们的责任。你的申请已排到最前。你现在就可以投诉或起诉。",
        "Request {reference}: we are late",
        "We did not finish by {due}. That is our failure. Your request now comes first. You may complain or sue today.",
    ),
    "withdrawn": Template(
        "申请 {reference} 已撤回",
        "我们没有再做任何改动。需要时可以重新申请。",
        "Request {reference} was taken back",
        "We changed nothing further. You can ask again at any time.",
    ),
    "released": Template(
        "依法保留的一部分信息已删除",
        "申请 {reference} 中保留到期的信息已经删除。登录可以看到还剩什么。",
        "Held records were erased",
        "Records of request {reference} whose period was over have been erased. Sign in to see what is left.",
    ),
    "redated": Template(
        "申请 {reference}：保留日期有变化",
        "你的一部分信息仍依法保留，日期有变化：最晚到 {until}。登录可以看到每一项的原因和日期。" + _RIGHTS,
        "Request {reference}: a date has changed",
        "Part of your data is still kept by law and its date has changed: {until} at the latest. Sign in to see the "
        "reason and date of each part. " + _RIGHTS_EN,
    ),
    "exception_ending": Template(
        "一项保留例外将于 {until} 结束",
        "到期后它自动结束，被它保留的记录按规则删除。仍然需要的话，请重新提出并由另一人批准。",
        "A retention exception ends on {until}",
        "It ends by itself; what it keeps is then erased by the rules. If it is still needed, propose a new one for "
        "somebody else to approve.",
    ),
    # Not written any more: the letter that a request is done says it. Those written before are still read.
    "backups": Template(
        "申请 {reference}：备份里的部分",
        "删除的信息在备份里已隔离、不再使用，最迟在 {day} 清除。" + _RIGHTS,
        "Request {reference}: the copies in our backups",
        "The copies of what was erased are isolated in our backups, unused, and cleared by {day}. " + _RIGHTS_EN,
    ),
    "sharing_stopped": Template(
        "申请 {reference}：已停止共享",
        "我们已停止共享，会把停止使用的要求转告收到过信息的各方：{zh}。",
        "Request {reference}: sharing has stopped",
        "Sharing has stopped. We pass on that they must stop to those who received your data: {en}.",
    ),
    "closed_late": Template(
        "申请 {reference} 结束时已逾期",
        "期限是 {due}，申请在这之后才结束，这是我们的责任。" + _RIGHTS,
        "Request {reference} ended late",
        "The limit was {due} and the request ended after it. That is our failure. " + _RIGHTS_EN,
    ),
    "case_late": Template(
        "案件 {reference} 已逾期",
        "期限是 {due}。已告诉当事人，并告知投诉途径。请立即处理。",
        "Case {reference} is late",
        "The limit was {due}. The person has been told, with the ways to complain. Please work it now.",
    ),
    "handover_late": Template(
        "案件 {reference}：{zh} 没有按时答复",
        "{due} 之前应当告知对方或收到答复，现在仍没有。请在工作台的任务里查看并催办；当事人看得到还没有答复。",
        "Case {reference}: {en} has not answered in time",
        "By {due} it should have been told or have answered. Look at the task on the desk and press for it; the person "
        "can see that there is no answer yet.",
    ),
    "supplement_late": Template(
        "案件 {reference} 的资料包过了到期日还缺一部分",
        "{zh}一直没有答复，申请已在 {due} 到期。请查看这个系统；它一恢复，缺的部分会自动补上并告知当事人。",
        "Case {reference}: a part of the package is missing past its date",
        "{en} has not answered, and the request was due on {due}. Look at the system; once it is back the part is "
        "added by itself and the person is told.",
    ),
    "check_owed": Template(
        "案件 {reference} 的阻碍没有按时复查",
        "自 {day} 起应当复查，24 小时内没有查到结果。请检查相关系统和定时任务；查到之前，当事人一直在等。",
        "Case {reference}: what blocks it was not checked in time",
        "It should have been checked on {day} and over 24 hours later nothing is known. Look at the system and at the "
        "scheduled work; until it is known, the person waits.",
    ),
    "calendar_missing": Template(
        "缺少 {year} 年的工作日历",
        "请导入 {year} 年的放假和调休安排。导入之前，按工作日计算的期限一律按日历日计算。",
        "The calendar of {year} is missing",
        "Please import the days off and make-up working days of {year}. Until then limits in working days count as "
        "calendar days.",
    ),
    "breach": Template(
        "你的个人信息发生了安全事件（{reference}）",
        "发生了什么：{happened_zh}\n涉及哪些信息：{data_zh}\n我们做了什么：{done_zh}\n你可以做什么：{advice_zh}\n"
        "联系我们：{contact_zh}",
        "An incident has affected your personal data ({reference})",
        "What happened: {happened_en}\nWhich data: {data_en}\nWhat we did: {done_en}\nWhat you can do: {advice_en}\n"
        "How to reach us: {contact_en}",
    ),
    "policy_changed": Template(
        "隐私政策有新版本：{version}",
        "新版本自 {day} 起生效。改了什么、哪些用途要重新征得你的同意，登录后在“我的同意”里可以看到。"
        "不回答就不算同意，也不影响你使用其他服务。",
        "The privacy policy has a new version: {version}",
        "It applies from {day}. Sign in and open your consents to see what changed and for which uses we need your "
        "consent again. Not to answer is not to agree, and your services go on.",
    ),
    "due_soon": Template(
        "案件 {reference} 将于 {due} 到期",
        "请尽快处理。",
        "Case {reference} is due on {due}",
        "Please work it now.",
    ),
}


def notify(
    *,
    user: User,
    kind: str,
    now: datetime,
    request: Request | None = None,
    params: Mapping[str, str] | None = None,
    once: str = "",
    second_contact: bool = False,
) -> None:
    """Write a notice, unless the same fact (`once`, by request and kind) was told before.

    An unknown kind raises KeyError.
    """
    TEMPLATES[kind]
    reference = request.reference if request and request.reference else ""
    # What was told of a request before an appeal brought it back is told anew of what becomes of it then.
    again = f":again{request.reopened}" if request and request.reopened else ""
    dedupe = f"{kind}:{request.pk if request else user.pk}:{once}{':2' if second_contact else ''}{again}"
    notice = Notice(
        user=user,
        request=request,
        kind=kind,
        dedupe=dedupe,
        params={"reference": reference, **(params or {})},
        second_contact=second_contact,
        created_at=now,
    )
    rows.add(notice, unless_known=True)


def notify_each(
    users: Iterable[UUID], *, kind: str, params: Mapping[str, str], once: str, now: datetime, page: int = 2000
) -> int:
    """The same to many, each once; how many people they were. An unknown kind raises KeyError."""
    TEMPLATES[kind]
    told, ids = 0, iter(users)
    while some := list(islice(ids, page)):
        Notice.objects.bulk_create(
            [
                Notice(user_id=pk, kind=kind, dedupe=f"{kind}:{pk}:{once}", params=dict(params), created_at=now)
                for pk in some
            ],
            ignore_conflicts=True,
        )
        told += len(some)
    return told


def render_notice(notice: Notice, language: str) -> tuple[str, str]:
    """Subject and body in the language given."""
    template, english = TEMPLATES[notice.kind], language.startswith("en")
    more = template.also
    sentence = (more.en if english else more.zh) if more and more.param in notice.params else ""
    given = {**notice.params, "also": sentence.format(**notice.params)}
    if english:
        return template.subject_en.format(**given), template.body_en.format(**given)
    return template.subject_zh.format(**given), template.body_zh.format(**given)
