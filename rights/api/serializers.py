"""What goes in and out, every field described and bounded. Unknown fields are refused by name."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from rights.datamap import load_live_map
from rights.kernel.plan import Fate
from rights.kernel.states import Kind, State

KEY_LENGTH = 80
TEXT_LENGTH = 2000
MANY = 1000
COUNT_MAX = 9_007_199_254_740_991
KINDS = [kind.value for kind in Kind]
STATES = [state.value for state in State]


class Strict(serializers.Serializer[Any]):
    """Refuses what it does not know: a misspelt field must not be lost in silence."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            writable = {name for name, field in self.fields.items() if not field.read_only}
            unknown = [str(name) for name in data if name not in writable]
            if unknown:
                known = ", ".join(sorted(writable)) or "–"
                raise serializers.ValidationError(
                    {name: [_("Unknown field. Known are: %(known)s.") % {"known": known}] for name in unknown[:20]}
                )
        return super().to_internal_value(data)


# --- signing in


class Credentials(Strict):
    login = serializers.CharField(max_length=64, help_text="Account number or mobile phone number.")
    password = serializers.CharField(
        max_length=256, trim_whitespace=False, write_only=True, help_text="The password of the account."
    )
    name = serializers.CharField(
        max_length=80, required=False, default="", allow_blank=True, help_text="What the token is for, for its owner."
    )


class Token(serializers.Serializer[Any]):
    token = serializers.CharField(
        max_length=200, help_text="Send it as `Authorization: Bearer <token>`. It is shown this once."
    )
    expires_at = serializers.DateTimeField(help_text="From then on it is refused; sign in again.")


# --- filing


class CorrectionItem(Strict):
    correction = serializers.CharField(max_length=KEY_LENGTH, help_text="What to correct, a key such as `phone`.")
    old = serializers.CharField(max_length=500, help_text="The value as it stands now.")
    new = serializers.CharField(max_length=500, help_text="What it should be.")

    def validate_correction(self, value: str) -> str:
        return _known(value, load_live_map().corrections)


class Details(Strict):
    """What exactly is asked for. Which fields a kind takes is said at each."""

    entities = serializers.ListField(
        child=serializers.CharField(max_length=KEY_LENGTH, help_text="Key of a company."),
        required=False,
        max_length=100,
        help_text="Deletion and cancellation: the companies, by key. Empty for a deletion: all of them.",
    )
    forfeits = serializers.ListField(
        child=serializers.CharField(max_length=KEY_LENGTH, help_text="Key of something of value."),
        required=False,
        max_length=100,
        help_text="Cancellation: what is expressly given up, such as points.",
    )
    waived = serializers.ListField(
        child=serializers.CharField(max_length=KEY_LENGTH, help_text="Key of something of value."),
        required=False,
        max_length=100,
        help_text="Cancellation: what stands in the way and is expressly waived, such as coins.",
    )
    portable = serializers.BooleanField(
        required=False, help_text="Access: only what can be moved to another company, derived data left out."
    )
    purposes = serializers.ListField(
        child=serializers.CharField(max_length=KEY_LENGTH, help_text="Key of a consent."),
        required=False,
        max_length=100,
        help_text="Withdrawal: the consents to withdraw, by key.",
    )
    items = serializers.ListField(
        child=CorrectionItem(),
        required=False,
        max_length=100,
        help_text="Correction: one item for each value that stands somewhere and should change.",
    )

    def validate_entities(self, value: list[str]) -> list[str]:
        known = load_live_map().entities
        return [_known(key, known) for key in value]

    def validate_forfeits(self, value: list[str]) -> list[str]:
        known = load_live_map().blockers
        return [_known(key, known) for key in value]

    def validate_waived(self, value: list[str]) -> list[str]:
        known = {key: item for key, item in load_live_map().blockers.items() if item.waivable}
        return [_known(key, known) for key in value]

    def validate_purposes(self, value: list[str]) -> list[str]:
        known = load_live_map().consents
        return [_known(key, known) for key in value]


def _known(key: str, known: Mapping[str, object]) -> str:
    if key not in known:
        raise serializers.ValidationError(
            _("%(key)s is not known. Known are: %(known)s.") % {"key": key, "known": ", ".join(sorted(known)) or "–"}
        )
    return key


FIELDS_OF = {
    Kind.ACCESS: frozenset({"portable"}),
    Kind.CORRECTION: frozenset({"items"}),
    Kind.DELETION: frozenset({"entities"}),
    Kind.WITHDRAWAL: frozenset({"purposes"}),
    Kind.CANCELLATION: frozenset({"entities", "forfeits", "waived"}),
}
OPTIONAL = frozenset({"portable", "waived"})
NEEDED = {Kind.CORRECTION: "items", Kind.WITHDRAWAL: "purposes", Kind.CANCELLATION: "entities"}


class NewRequest(Strict):
    kind = serializers.ChoiceField(choices=KINDS, help_text="Which right is used.")
    details = Details(required=False, help_text="What exactly is asked for.")
    subject = serializers.UUIDField(
        required=False, help_text="Whom it concerns, where you ask for somebody else with a valid authority."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind, details = Kind(attrs["kind"]), attrs.setdefault("details", {})
        unfit = sorted(name for name in details if name not in FIELDS_OF[kind])
        if unfit:
            text = _("A request of the kind %(kind)s does not take this.") % {"kind": kind.value}
            raise serializers.ValidationError({"details": {name: [text] for name in unfit}})
        needed = NEEDED.get(kind)
        if needed and not details.get(needed):
            text = _("A request of the kind %(kind)s needs at least one.") % {"kind": kind.value}
            raise serializers.ValidationError({"details": {needed: [text]}})
        return attrs


class Code(Strict):
    code = serializers.RegexField(
        r"^[0-9]{6}$", max_length=6, min_length=6, help_text="The 6 digits that were sent to the phone."
    )


class Answer(Strict):
    text = serializers.CharField(max_length=4000, help_text="The answer to the open question.")


class FeeAnswer(Strict):
    accept = serializers.BooleanField(help_text="True: the copy is made and the fee owed. False: neither.")


class PlanQuery(Strict):
    kind = serializers.ChoiceField(choices=KINDS, help_text="For which right the plan is made.")
    entity = serializers.ListField(
        child=serializers.CharField(max_length=KEY_LENGTH, help_text="Key of a company."),
        required=False,
        max_length=100,
        help_text="Only these companies; repeat it for several.",
    )
    purpose = serializers.ListField(
        child=serializers.CharField(max_length=KEY_LENGTH, help_text="Key of a consent."),
        required=False,
        max_length=100,
        help_text="For a withdrawal: these consents; repeat it for several.",
    )

    def validate_entity(self, value: list[str]) -> list[str]:
        known = load_live_map().entities
        return [_known(key, known) for key in value]

    def validate_purpose(self, value: list[str]) -> list[str]:
        known = load_live_map().consents
        return [_known(key, known) for key in value]


# --- showing


class Reason(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=KEY_LENGTH, help_text="Stable key of the reason.")
    text = serializers.CharField(max_length=TEXT_LENGTH, help_text="The reason in words, in the language of the call.")
    basis = serializers.CharField(max_length=500, allow_blank=True, help_text="The law or policy it rests on.")


def _count(text: str) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=0, max_value=COUNT_MAX, help_text=text)


class PlanLine(serializers.Serializer[Any]):
    collection = serializers.CharField(max_length=160, help_text="Key of the kind of data.")
    name = serializers.CharField(max_length=200, help_text="The kind of data in words.")
    company = serializers.CharField(max_length=KEY_LENGTH, help_text="Key of the company that holds it.")
    system = serializers.CharField(max_length=KEY_LENGTH, help_text="Key of the system it is in.")
    fate = serializers.ChoiceField(choices=[fate.value for fate in Fate], help_text="What becomes of the records.")
    count = _count("How many records.")
    reason = Reason(help_text="Why.")
    rule = serializers.CharField(
        max_length=200, allow_null=True, help_text="The retention rule that holds them, where one does."
    )
    first_release = serializers.DateField(allow_null=True, help_text="The first last day of a hold among them.")
    last_release = serializers.DateField(allow_null=True, help_text="The last day on which any of them is held.")
    open_ended = _count("How many of them have no date yet, because their period has not begun.")
    blockers = serializers.ListField(
        child=serializers.CharField(max_length=KEY_LENGTH, help_text="Key of a fact."),
        max_length=100,
        help_text="The facts in the way.",
    )


class Blocker(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=KEY_LENGTH, help_text="Stable key of the fact.")
    company = serializers.CharField(max_length=KEY_LENGTH, help_text="Key of the company that knows it.")
    label = serializers.CharField(max_length=500, help_text="The fact in words.")  # type: ignore[assignment]
    count = _count("How many records state it.")
    shown = serializers.ListField(
        child=serializers.CharField(max_length=500, help_text="One record's facts."),
        max_length=MANY,
        help_text="What the system says of it, such as the contract and the amount.",
    )
    fix_url = serializers.CharField(max_length=500, allow_blank=True, help_text="Where it can be settled.")


class Plan(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=KINDS, help_text="For which right it was made.")
    as_of = serializers.DateField(help_text="The day it was made for.")
    read_at = serializers.DateTimeField(help_text="When the systems were read.")
    going = _count("Records that go.")
    waiting = _count("Records that wait for a fact or a person.")
    kept = _count("Records that stay, by law or because the service runs.")
    lines = serializers.ListField(child=PlanLine(), max_length=10_000, help_text="One line per kind of data and fate.")
    blockers = serializers.ListField(child=Blocker(), max_length=MANY, help_text="The facts in the way.")
    unknown = serializers.ListField(
        child=serializers.CharField(max_length=KEY_LENGTH, help_text="Key of a system."),
        max_length=MANY,
        help_text="Systems that did not answer; what they hold is not in the counts.",
    )
    asked = serializers.ListField(
        child=serializers.CharField(max_length=KEY_LENGTH, help_text="Key of a system."),
        max_length=MANY,
        help_text="Systems nobody can look into; they are asked to act, and what they hold is not in the counts.",
    )
    legal_secrecy = serializers.CharField(max_length=TEXT_LENGTH, help_text="The same sentence for everybody.")


class PassedOn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=TEXT_LENGTH, help_text="Who was asked or told.")
    role = serializers.ChoiceField(
        choices=["system", "recipient"], help_text="A system of ours, or somebody who received the data."
    )
    act = serializers.ChoiceField(choices=["erase", "correct", "stop"], help_text="What for.")
    progress = serializers.ChoiceField(
        choices=["ready", "sent", "confirmed", "returned"], help_text="How far it is; `sent`: told, not answered yet."
    )
    due_on = serializers.DateField(help_text="By when they are told or, once told, have to answer.")
    told_at = serializers.DateTimeField(allow_null=True, help_text="When they were told.")
    answered_at = serializers.DateTimeField(allow_null=True, help_text="When they answered.")
    count = serializers.IntegerField(
        min_value=0, max_value=2**53, allow_null=True, help_text="How many records it concerned, if they said so."
    )


class Due(serializers.Serializer[Any]):
    on = serializers.DateField(help_text="The last day of the limit, 24:00 in Shanghai.")
    rolled = serializers.DateField(allow_null=True, help_text="The day the law would allow, where it differs.")
    days_left = serializers.IntegerField(
        min_value=-100_000, max_value=100_000, help_text="Whole days until then; negative once late."
    )
    paused = serializers.BooleanField(help_text="Whether the clock stands until you answer a question.")
    deferred = serializers.BooleanField(help_text="Whether it waits for a fact to clear; a fresh limit starts then.")


class EventItem(serializers.Serializer[Any]):
    kind = serializers.CharField(max_length=32, help_text="What happened, a stable key.")
    at = serializers.DateTimeField(help_text="When.")
    by = serializers.ChoiceField(choices=["you", "staff", "system", "agent"], help_text="Who did it.")


class QuestionItem(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=TEXT_LENGTH * 2, help_text="What is asked.")
    asked_at = serializers.DateTimeField(help_text="Since when the clock stands.")


class FeeItem(serializers.Serializer[Any]):
    amount = serializers.DecimalField(max_digits=8, decimal_places=2, help_text="In yuan.")
    reason = serializers.CharField(max_length=TEXT_LENGTH, help_text="What it covers.")
    answer_by = serializers.DateField(help_text="The last day for an answer; then the request ends without a copy.")


class RequestItem(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="Its identifier.")
    reference = serializers.CharField(
        max_length=20, allow_null=True, help_text="The reference to quote; a draft has none."
    )
    kind = serializers.ChoiceField(choices=KINDS, help_text="Which right is used.")
    state = serializers.ChoiceField(choices=STATES, help_text="Where it is.")
    created_at = serializers.DateTimeField(help_text="When it was written.")
    received_at = serializers.DateTimeField(allow_null=True, help_text="When it was filed; empty for a draft.")
    closed_at = serializers.DateTimeField(allow_null=True, help_text="When it was closed.")
    due = Due(allow_null=True, help_text="The limit; a draft and a closed request have none.")
    code_needed = serializers.BooleanField(
        help_text="Whether it is a draft that is filed by sending the code to `submit/`."
    )


class RequestDetail(RequestItem):
    outcome = Reason(allow_null=True, help_text="How it came out, once closed.")
    question = QuestionItem(allow_null=True, help_text="An open question to you.")
    fee = FeeItem(allow_null=True, help_text="A fee that was quoted and waits for your answer; nothing is owed before.")
    plan = Plan(allow_null=True, help_text="What becomes of which records: as approved, else as when asking.")
    passed_on = serializers.ListField(
        child=PassedOn(), max_length=MANY, help_text="Systems that are asked, and recipients of the data."
    )
    events = serializers.ListField(child=EventItem(), max_length=MANY, help_text="What happened, newest first.")


class NoticeItem(serializers.Serializer[Any]):
    id = _count("Its number.")
    request = serializers.UUIDField(source="request_id", allow_null=True, help_text="The request it is about.")
    kind = serializers.CharField(max_length=32, help_text="What it tells, a stable key.")
    subject = serializers.CharField(max_length=500, help_text="The subject line.")
    body = serializers.CharField(max_length=TEXT_LENGTH * 2, help_text="The text.")
    created_at = serializers.DateTimeField(help_text="When it was written.")
    read_at = serializers.DateTimeField(allow_null=True, help_text="When you read it.")


class ProblemError(serializers.Serializer[Any]):
    field = serializers.CharField(
        max_length=200, allow_blank=True, help_text="The way to the field, such as `items[0].new`."
    )
    detail = serializers.CharField(max_length=TEXT_LENGTH, help_text="What is wrong with it.")


class Problem(serializers.Serializer[Any]):
    """RFC 9457 problem details."""

    type = serializers.CharField(max_length=200, help_text="A URN that names the kind of problem, for programs.")
    title = serializers.CharField(max_length=200, help_text="The kind of problem in words.")
    status = serializers.IntegerField(min_value=400, max_value=599, help_text="The HTTP status.")
    detail = serializers.CharField(max_length=TEXT_LENGTH * 4, help_text="What is wrong here, and what to do.")
    errors = serializers.ListField(  # type: ignore[assignment]
        child=ProblemError(), required=False, max_length=MANY, help_text="One entry for each field that is wrong."
    )
    tries_left = serializers.IntegerField(
        required=False, min_value=0, max_value=100, help_text="How often the code may be tried again."
    )


# --- receipts


class ReceiptItem(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="Its address is `requests/{id}/receipts/{this}/`.")
    event = serializers.ChoiceField(
        choices=["submission", "decision", "fulfilment", "hold", "release"], help_text="What it is a receipt of."
    )
    at = serializers.DateTimeField(help_text="When that happened.")


class ReceiptToCheck(Strict):
    receipt = serializers.DictField(help_text="The receipt, as it was downloaded.")
    letter = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        max_length=20_000,
        help_text="A letter that a decision is said to have been told by; checked against the receipt.",
    )


class ReceiptFault(serializers.Serializer[Any]):
    code = serializers.CharField(max_length=KEY_LENGTH, help_text="What is wrong, for programs.")
    about = serializers.CharField(
        max_length=TEXT_LENGTH, allow_blank=True, help_text="The field, key or head it is about; may be empty."
    )
    text = serializers.CharField(max_length=TEXT_LENGTH, help_text="The same in words.")


class CheckedReceipt(serializers.Serializer[Any]):
    genuine = serializers.BooleanField(help_text="This portal issued it, and nothing in it was changed.")
    in_ledger = serializers.BooleanField(help_text="A signed head of the ledger covers its entry.")
    lost = serializers.BooleanField(
        help_text="Signed by this portal, but the ledger does not have it: keep it, it is evidence."
    )
    key = serializers.CharField(
        max_length=KEY_LENGTH, allow_blank=True, help_text="The key it names; see `/.well-known/did.json`."
    )
    faults = serializers.ListField(child=ReceiptFault(), max_length=100, help_text="What is wrong; empty if genuine.")
    inclusion = serializers.DictField(
        allow_null=True, help_text="The inclusion proof (RFC 6962) with its signed head; add it to `proof` to keep it."
    )


class LookUpCode(Strict):
    code = serializers.CharField(max_length=100, help_text="The code, in capitals or not, with or without hyphens.")


class HeldItem(serializers.Serializer[Any]):
    collection = serializers.CharField(max_length=160, help_text="Key of the collection in the data map.")
    company = serializers.CharField(max_length=KEY_LENGTH, help_text="Key of the company that holds it.")
    count = serializers.IntegerField(min_value=0, max_value=COUNT_MAX, help_text="How many records.")
    rule = serializers.CharField(max_length=160, allow_blank=True, help_text="The retention rule that keeps them.")
    reason = Reason(help_text="Why they are kept.")
    last_day = serializers.DateField(allow_null=True, help_text="The last day held; empty where it has not begun.")
    released_at = serializers.DateTimeField(allow_null=True, help_text="When they were released; empty while held.")


class HeldStatus(serializers.Serializer[Any]):
    reference = serializers.CharField(max_length=20, help_text="The request that they were held under.")
    received_at = serializers.DateTimeField(help_text="When that was received.")
    holds = serializers.ListField(child=HeldItem(), max_length=MANY * 100, help_text="What is held and was released.")
