"""The reasons a line of a plan or a decision may carry: stable keys, what they come to, their source, their texts.

A reading of statutes, not advice. Each text can be replaced without touching the code that uses its key.
"""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    FULFIL = "F"
    PARTLY = "P"
    REFUSE = "R"
    DEFER = "D"
    PERSON = "H"


@dataclass(frozen=True)
class Reason:
    """`zh` and `en` are what the person reads; `basis` is the citation that follows the reason, never replaces it."""

    key: str
    outcome: Outcome
    basis: str
    zh: str
    en: str

    def text(self, language: str) -> str:
        return self.en if language.startswith("en") else self.zh


_F, _P, _R, _D, _H = Outcome.FULFIL, Outcome.PARTLY, Outcome.REFUSE, Outcome.DEFER, Outcome.PERSON

REASONS: dict[str, Reason] = {
    reason.key: reason
    for reason in (
        Reason(
            "OK.ACCESS",
            _F,
            "个人信息保护法第 45 条",
            "你可以拿到我们持有的信息，包括依法保留的部分。",
            "You get what we hold about you, including what the law makes us keep.",
        ),
        Reason(
            "ACCESS.LEGAL_CONFIDENTIAL",
            _R,
            "个人信息保护法第 18、45 条",
            "法律要求保密的信息不在其中；这句话对每个人都一样。",
            "Information that the law keeps secret is not part of it; everybody is told this same sentence.",
        ),
        Reason(
            "REDACT.THIRD_PARTY",
            _P,
            "GB/T 35273 8.7",
            "其中属于别人的信息已经遮去。如果遮错了，告诉我们，由人工再看一次。",
            "What belongs to other people has been blanked out. If that is wrong, tell us and a person looks again.",
        ),
        Reason(
            "REPEAT.FEE_OR_REFUSE",
            _H,
            "GB/T 35273 8.7",
            "12 个月内你已拿到过一份，之后内容没有变化。",
            "You were given a copy within the last 12 months, and nothing has changed since.",
        ),
        Reason(
            "OK.CORRECT",
            _F,
            "个人信息保护法第 46 条",
            "已按你提供的内容更正。",
            "Corrected to what you gave us.",
        ),
        Reason(
            "NEED.EVIDENCE",
            _H,
            "个人信息保护法第 46 条",
            "姓名和证件号码要和核实过的身份一致，需要你提供证明，由人工核对。",
            "A name or ID number must match your verified identity. We need a proof, and a person checks it.",
        ),
        Reason(
            "OK.CORRECT_VERSIONED",
            _F,
            "个人信息保护法第 46 条",
            "已更正；原来的内容留在历史记录里。",
            "Corrected; the earlier value stays in the history.",
        ),
        Reason(
            "BLOCK.LOAN",
            _D,
            "个人信息保护法第 13 条第 1 款第 2 项",
            "还有一笔贷款没有还清。还清后这部分自动继续，你不用重新申请。",
            "A loan is not repaid yet. Once it is, this part goes on by itself; you need not ask again.",
        ),
        Reason(
            "BLOCK.DISPUTE",
            _H,
            "个人信息保护法第 13 条第 1 款第 2 项",
            "有一件投诉或争议还没有结束，需要人工判断。",
            "A complaint or dispute is still open, so a person decides.",
        ),
        Reason(
            "BLOCK.WEALTH",
            _D,
            "个人信息保护法第 13 条第 1 款第 2 项",
            "理财账户里还有持仓。赎回后自动继续。",
            "You still hold investments. Once you redeem them, this goes on by itself.",
        ),
        Reason(
            "BLOCK.WALLET",
            _D,
            "隐私政策第五部分",
            "零钱里还有余额。提现后自动继续。",
            "There is money left in your balance. Once you withdraw it, this goes on by itself.",
        ),
        Reason(
            "BLOCK.MICOIN",
            _D,
            "隐私政策第五部分",
            "还有米币没有用完。用完、退款或明确放弃后自动继续。",
            "There are Mi Coins left. Once they are spent, refunded or expressly waived, this goes on by itself.",
        ),
        Reason(
            "BLOCK.PENDING",
            _D,
            "个人信息保护法第 13 条第 1 款第 2 项",
            "有一笔交易还在处理。完成后自动继续。",
            "A transaction is still being processed. Once it is done, this goes on by itself.",
        ),
        Reason(
            "BLOCK.POLICY",
            _D,
            "个人信息保护法第 13 条第 1 款第 2 项",
            "有一份保单还在有效期内。到期或退保后自动继续。",
            "An insurance policy is still in force. Once it ends, this goes on by itself.",
        ),
        Reason(
            "BLOCK.TRANSIT",
            _D,
            "个人信息保护法第 13 条第 1 款第 2 项",
            "交通卡里还有余额。用完或退卡后自动继续。",
            "There is money left on your transit card. Once it is spent or refunded, this goes on by itself.",
        ),
        Reason(
            "BLOCK.FRAUD",
            _H,
            "个人信息保护法第 13 条",
            "账户安全核查还没有结束，需要人工判断。",
            "A security check of your account is not finished, so a person decides.",
        ),
        Reason(
            "BLOCK.FREEZE",
            _D,
            "个人信息保护法第 13 条",
            "账户目前被依法冻结。解除后自动继续。",
            "The account is frozen by law at present. Once that ends, this goes on by itself.",
        ),
        Reason(
            "HOLD.AML",
            _P,
            "反洗钱法；金融机构客户身份资料及交易记录保存规定",
            "法律要求保留到这一天。期间只存放、不使用，次日我们自己删除并告诉你。",
            "The law keeps these until that day. We store them, do not use them, erase them the next day and tell you.",
        ),
        Reason(
            "HOLD.RELATION_ACTIVE",
            _P,
            "反洗钱法",
            "你还在用这项服务，保留期从结束那天算起，所以现在没有日期。注销服务后就有日期。",
            "You still use this service. The period starts the day it ends, so there is no date yet. "
            "Once you cancel it there is one.",
        ),
        Reason(
            "HOLD.LAW",
            _P,
            "保险法、网络安全法等",
            "法律要求保留到这一天。期间只存放、不使用，次日我们自己删除并告诉你。",
            "The law keeps these until that day. We store them, do not use them, erase them the next day and tell you.",
        ),
        Reason(
            "HOLD.LITIGATION",
            _P,
            "个人信息保护法第 13、47 条",
            "处理法律纠纷或调查需要用到，暂不删除，最晚保留到这一天。期间只存放、不作他用。",
            "A legal claim or an investigation needs these, so they are not erased yet; that day is the latest. They "
            "are stored and used for nothing else.",
        ),
        Reason(
            "HOLD.NEEDED",
            _P,
            "个人信息保护法第 47 条",
            "还有与它相连、这次没有申请删除的记录，所以和它们一起保留。你可以另外申请删除它们。",
            "Records that you have not asked to delete hang on it, so it stays. You can ask to delete those too.",
        ),
        Reason(
            "HOLD.EXTENDED",
            _P,
            "个人信息保护法第 13、19、47 条",
            "因为特定的法定事由，保留期延长到这一天。期间只存放、不使用。",
            "For a particular reason in law these are kept longer, until that day. We store them and do not use them.",
        ),
        Reason(
            "HOLD.NO_RULE",
            _H,
            "个人信息保护法第 47 条",
            "这类信息还没有生效的保留规则，由人工决定。",
            "No retention rule is in force for this kind yet, so a person decides.",
        ),
        Reason(
            "HOLD.BACKUP",
            _P,
            "个人信息保护法第 47 条",
            "备份里的部分已隔离，不再使用，到清除日删除。",
            "The copy in our backups is isolated and unused until the day it is cleared.",
        ),
        Reason(
            "HOLD.TECHNICAL",
            _P,
            "个人信息保护法第 47 条",
            "技术上难以马上删除，已停止存放以外的一切使用。我们每天再看，能删时删除并告诉你。",
            "It is technically hard to erase at once; we have stopped every use except storing it. "
            "We look again every day, erase it once we can and tell you.",
        ),
        Reason(
            "SHARED.OWNERS",
            _H,
            "个人信息保护法第 45、47 条",
            "这些记录也属于另一个人，由人工决定。",
            "These records also belong to somebody else, so a person decides.",
        ),
        Reason(
            "SYSTEM.UNKNOWN",
            _D,
            "个人信息保护法第 50 条第 1 款",
            "这个系统暂时连不上，我们会再试，不影响到期日。",
            "This system cannot be reached right now. We try again; your date does not change.",
        ),
        Reason(
            "OMIT.UNANSWERED",
            _P,
            "个人信息保护法第 45 条",
            "没有答复。一有答复，我们就补上这部分并告诉你。",
            "No answer came. As soon as one does we add this part and tell you.",
        ),
        Reason(
            "OMIT.NOT_ASKED",
            _P,
            "个人信息保护法第 45 条",
            "你这次没有要这部分。随时可以另外申请。",
            "You did not ask for this part. You can ask for it at any time.",
        ),
        Reason(
            "OMIT.NOT_CONNECTED",
            _P,
            "个人信息保护法第 45 条",
            "没有接入这里，里面的信息不在资料包里。需要的话告诉我们，由人工查好给你。",
            "Not connected here, so what is held there is not in the package. Tell us if you want it, and a person "
            "gets it for you.",
        ),
        Reason(
            "OMIT.DERIVED",
            _P,
            "网络数据安全管理条例第 25 条",
            "由其他信息推算得出，不在可转移的范围内。随时可以申请查看。",
            "Worked out from other data, so it is not among what can be moved. You can ask to see it at any time.",
        ),
        Reason(
            "OMIT.BASIS",
            _P,
            "网络数据安全管理条例第 25 条",
            "不以你的同意或合同为依据，不在可转移的范围内。随时可以申请查看。",
            "Rests on neither your consent nor a contract, so it is not among what can be moved. You can ask to see it "
            "at any time.",
        ),
        Reason(
            "OK.PURPOSE_END",
            _F,
            "个人信息保护法第 47 条第 1 款第 1 项",
            "收集它的目的已经结束，或者只凭你的同意，所以可以删除。",
            "The purpose has ended, or it rests on your consent alone, so it can go.",
        ),
        Reason(
            "OK.PERIOD_OVER",
            _F,
            "个人信息保护法第 47 条第 1 款第 2 项",
            "法定保留期已满，可以删除。",
            "The period the law asks for is over, so it can go.",
        ),
        Reason(
            "OK.BIOMETRIC_ERASED",
            _F,
            "个人信息保护法第 47 条第 1 款第 3 项",
            "删除，只留下“通过过核验”这个结果。",
            "Erased; only the fact that a check was passed stays.",
        ),
        Reason(
            "OK.ALT_VERIFY",
            _F,
            "个人信息保护法第 16 条",
            "不再使用人脸；以后可以用短信验证码等其他方式核验。",
            "Your face is no longer used; other checks, such as a text-message code, remain.",
        ),
        Reason(
            "OK.MARKETING_OFF",
            _F,
            "个人信息保护法第 15、24 条",
            "已关闭，立即生效。以前的处理仍然合法。",
            "Off, as of now. Earlier processing stays lawful.",
        ),
        Reason(
            "OK.CONSENT_WITHDRAWN",
            _F,
            "个人信息保护法第 15 条",
            "同意已撤回，相关使用已停止。以前的处理仍然合法。",
            "Your consent is withdrawn and that use has stopped. Earlier processing stays lawful.",
        ),
        Reason(
            "WITHDRAW.CONTRACT",
            _P,
            "个人信息保护法第 13 条第 1 款第 2 项、第 16 条",
            "你还在用这项服务，提供服务需要它。注销服务后才能删除。",
            "You still use this service and it needs this. It can go once you cancel the service.",
        ),
        Reason(
            "OK.SHARING_STOPPED",
            _F,
            "个人信息保护法第 15、23 条",
            "已停止共享，停止使用的要求会转告收到过信息的公司。",
            "Sharing has stopped; that they must stop is passed on to those who received your data.",
        ),
        Reason(
            "OK.CANCELLED",
            _F,
            "网络数据安全管理条例第 24 条",
            "服务已注销；法律要求保留的部分从今天起算。",
            "The service is cancelled; the periods that the law asks for start today.",
        ),
        Reason(
            "OK.FORFEIT_CONFIRMED",
            _F,
            "隐私政策第五部分",
            "你已确认放弃剩余积分。",
            "You confirmed that the remaining points lapse.",
        ),
        Reason("OK.MINOR", _F, "个人信息保护法第 31 条", "孩子的信息优先处理。", "A child's data goes first."),
        Reason(
            "OK.AGENT",
            _F,
            "隐私政策第五部分",
            "代理人可以代为申请；资料交给本人。",
            "An agent may ask; what we hand out goes to the person.",
        ),
        Reason(
            "AGENT.UNAUTHORISED",
            _D,
            "隐私政策第五部分",
            "我们还没有看到有效的授权。请补上证明。",
            "We have not seen a valid authorisation. Please add a proof.",
        ),
        Reason(
            "DECEASED.REVIEW",
            _H,
            "个人信息保护法第 49 条",
            "近亲属的申请由人工核对证明。",
            "A close relative's request is checked by a person.",
        ),
        Reason(
            "REPEAT.ABUSE",
            _H,
            "GB/T 35273 8.7",
            "短时间内多次提出了相同的申请。",
            "The same request came several times in a short while.",
        ),
        Reason(
            "FEE.DECLINED",
            _D,
            "GB/T 35273 8.7；隐私政策第五部分",
            "你没有接受再次提供副本的费用，所以这次没有提供。随时可以重新申请。",
            "You did not accept the fee for a further copy, so it was not made. You can ask again at any time.",
        ),
        Reason(
            "FEE.UNANSWERED",
            _D,
            "GB/T 35273 8.7；隐私政策第五部分",
            "费用的询问没有在期限内得到回答，所以这次没有提供。随时可以重新申请。",
            "The fee was not answered in time, so the copy was not made. You can ask again at any time.",
        ),
        Reason(
            "NA.ANONYMISED",
            _R,
            "个人信息保护法第 4、73 条",
            "数据已无法对应到你，不再是个人信息。如果你认为仍能对应到你，可以申诉。",
            "The data can no longer be tied to you, so it is not personal information. "
            "Appeal if you think that it can.",
        ),
        Reason(
            "ID.UNVERIFIED",
            _D,
            "隐私政策第五部分",
            "我们还不能确认是你本人。请补上证明。",
            "We cannot tell yet that it is you. Please add a proof.",
        ),
        Reason(
            "OK.PORTABLE",
            _F,
            "网络数据安全管理条例第 25 条",
            "可以转移的信息已整理好。",
            "The data that can be moved is ready.",
        ),
        Reason(
            "OK.NOTHING_HELD",
            _F,
            "个人信息保护法第 45 条",
            "我们没有查到与这项申请有关的信息。",
            "We found nothing that this request concerns.",
        ),
        Reason(
            "GROUND.PUBLIC",
            _R,
            "个人信息保护法第 13 条第 1 款第 6 项",
            "这些信息是你自己公开或已经合法公开的。",
            "You or others have lawfully made this information public.",
        ),
        Reason(
            "GROUND.CONFIDENCE",
            _R,
            "隐私政策第五部分",
            "这些信息是他人在保密前提下提供的。",
            "Somebody gave us this information in confidence.",
        ),
        Reason(
            "GROUND.NOT_REQUIRED",
            _R,
            "隐私政策第五部分",
            "当地法律没有要求我们这样做。",
            "The law does not require us to do this.",
        ),
        Reason(
            "GROUND.HARMS_OTHERS",
            _R,
            "个人信息保护法第 45 条",
            "这样做会损害他人的隐私。",
            "Doing this would harm other people's privacy.",
        ),
        Reason(
            "GROUND.ANTI_FRAUD",
            _R,
            "个人信息保护法第 13 条",
            "这样做会让依法进行的反欺诈和安全保护失去作用。",
            "Doing this would defeat lawful protection against fraud.",
        ),
        Reason(
            "GROUND.UNREALISTIC",
            _R,
            "隐私政策第五部分",
            "你要求的提供方式在技术上代价过高，可以换一种方式。",
            "The way you asked for takes disproportionate effort; another format is possible.",
        ),
    )
}

LEGAL_SECRECY = REASONS["ACCESS.LEGAL_CONFIDENTIAL"]
"""The one sentence on legal secrecy that every package and every plan carries, for everybody."""

REFUSALS = tuple(key for key, item in REASONS.items() if item.outcome is Outcome.REFUSE and item is not LEGAL_SECRECY)


def reason(key: str) -> Reason:
    """The reason with this key; an unknown key raises KeyError, as a text must never be missing."""
    return REASONS[key]
