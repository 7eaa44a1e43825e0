"""What a reviewer fills in. The form knows which reasons fit which outcome, so that no decision leaves without one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django import forms
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from rights.datamap import DataMap
from rights.kernel.decisions import REASONS, REFUSALS
from rights.kernel.plan import Fate, Line, Plan
from rights.kernel.states import Kind

LETTER_LENGTH = 4000
APPROVALS: dict[Kind, tuple[str, ...]] = {
    Kind.ACCESS: ("OK.ACCESS", "REDACT.THIRD_PARTY", "OK.PORTABLE", "OK.MINOR", "OK.AGENT"),
    Kind.CORRECTION: ("OK.CORRECT", "OK.CORRECT_VERSIONED", "OK.MINOR", "OK.AGENT"),
    Kind.DELETION: (
        "OK.PURPOSE_END", "OK.PERIOD_OVER", "OK.BIOMETRIC_ERASED", "HOLD.AML", "HOLD.LAW", "HOLD.RELATION_ACTIVE",
        "HOLD.BACKUP", "HOLD.TECHNICAL", "OK.MINOR", "OK.AGENT", "OK.NOTHING_HELD",
    ),
    Kind.WITHDRAWAL: (
        "OK.CONSENT_WITHDRAWN", "OK.MARKETING_OFF", "OK.SHARING_STOPPED", "OK.ALT_VERIFY", "WITHDRAW.CONTRACT",
        "OK.MINOR", "OK.AGENT",
    ),
    Kind.CANCELLATION: ("OK.CANCELLED", "OK.FORFEIT_CONFIRMED", "OK.MINOR", "OK.AGENT", "OK.NOTHING_HELD"),
}  # fmt: skip
"""The reasons an approval of a kind may carry, the usual one first."""

# "Never for erasure": disproportionate effort limits formats of access, not what must go (decisions, row 32).
_NOT_FOR_ERASURE = frozenset({"GROUND.UNREALISTIC"})
_REPEATS = ("REPEAT.FEE_OR_REFUSE", "REPEAT.ABUSE")


def refusals_of(kind: Kind) -> tuple[str, ...]:
    """The reasons a refusal of a kind may carry."""
    unfit = _NOT_FOR_ERASURE if kind in {Kind.DELETION, Kind.CANCELLATION, Kind.WITHDRAWAL} else frozenset()
    return tuple(dict.fromkeys(key for key in (*REFUSALS, *_REPEATS) if key not in unfit))


@dataclass(frozen=True)
class Choice:
    """One outcome in the panel; see templates/desk/case.html."""

    value: str
    label: str
    text: str
    key: str
    checked: bool
    off: bool


OUTCOMES = ("approve", "ask", "refuse", "extend")


def outcome_choices(*, chosen: str, off: dict[str, str], texts: dict[str, str]) -> list[Choice]:
    """The outcomes with their keys. `off` says why one cannot be chosen, `texts` what one comes to."""
    labels = {
        "approve": _("Do as the plan says"),
        "ask": _("Ask the person"),
        "refuse": _("Refuse"),
        "extend": _("Extend once"),
    }
    return [
        Choice(
            value=value,
            label=labels[value],
            text=_aside(off.get(value) or texts.get(value, "")),
            key=str(number),
            checked=value == chosen and value not in off,
            off=value in off,
        )
        for number, value in enumerate(OUTCOMES, start=1)
    ]


def _aside(text: str) -> str:
    return _("(%(text)s)") % {"text": text} if text else ""


def line_field(collection: str) -> str:
    """The name of the form field that settles a collection."""
    return f"line-{collection}"


class DecisionForm(forms.Form):
    """One decision. `version` is what the reviewer saw; `ask_by` the last day on which asking for what is missing keeps
    the clock from having started at receipt (None: past)."""

    outcome = forms.ChoiceField(
        choices=[(value, value) for value in OUTCOMES],
        label=gettext_lazy("Outcome"),
        error_messages=dict.fromkeys(("required", "invalid_choice"), gettext_lazy("Choose an outcome.")),
    )
    reason = forms.ChoiceField(
        label=gettext_lazy("Reason"),
        error_messages=dict.fromkeys(("required", "invalid_choice"), gettext_lazy("Choose a reason of the list.")),
    )
    letter = forms.CharField(
        label=gettext_lazy("To the person"),
        max_length=LETTER_LENGTH,
        error_messages={"required": gettext_lazy("Write what the person is told.")},
        widget=forms.Textarea({"rows": 8}),
        help_text=gettext_lazy("The letter of an approval, a refusal or the question. For an extension: why."),
    )
    missing = forms.BooleanField(
        label=gettext_lazy("The question is for what was missing when it was filed"), required=False
    )
    version = forms.CharField(widget=forms.HiddenInput, max_length=60_000)

    def __init__(
        self,
        *args: Any,
        kind: Kind,
        persons: Sequence[Line],
        data_map: DataMap,
        off: Iterable[str],
        ask_by: date | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.kind, self.persons, self.off = kind, tuple(persons), frozenset(off)
        if "ask" in self.off:
            del self.fields["missing"]
        else:
            self.fields["missing"].help_text = (
                _("Asked by %(day)s, the answer starts the clock.") % {"day": ask_by.isoformat()}
                if ask_by
                else _("It is too late for the answer to start the clock, which only stands until then.")
            )
        language = get_language() or "zh-hans"
        self.approvals, self.refusals = APPROVALS[kind], refusals_of(kind)
        reason = self.fields["reason"]
        if isinstance(reason, forms.ChoiceField):
            reason.choices = [
                (_("To approve"), [(key, _named(key, language)) for key in self.approvals]),
                (_("To refuse"), [(key, _named(key, language)) for key in self.refusals]),
            ]
        for line in self.persons:
            label = data_map.collections[line.collection].label(language)
            self.fields[line_field(line.collection)] = forms.ChoiceField(
                label=_("%(name)s, %(n)s") % {"name": label, "n": f"{line.count:,}"},
                required=False,
                choices=[("keep", _("Keep")), ("erase", _("Erase")), ("refer", _("Refer to legal"))],
                widget=forms.RadioSelect,
                error_messages={"invalid_choice": _("Choose keep, erase or refer.")},
            )

    @property
    def line_fields(self) -> list[forms.BoundField]:
        return [self[line_field(line.collection)] for line in self.persons]

    @property
    def lines(self) -> dict[str, str]:
        """What is decided of each line that needs a person."""
        return {line.collection: self.cleaned_data[line_field(line.collection)] for line in self.persons}

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        outcome, key = data.get("outcome"), data.get("reason")
        if outcome in self.off:
            self.add_error("outcome", _("This outcome is not possible now."))
        if data.get("missing") and outcome != "ask":
            self.add_error("missing", _("Only a question asks for what is missing."))
        match outcome:
            case "approve":
                if key and key not in self.approvals:
                    self.add_error("reason", _("Choose a reason to approve."))
                for line in self.persons:
                    name = line_field(line.collection)
                    if not data.get(name) and name not in self.errors:
                        self.add_error(name, _("Choose keep, erase or refer."))
            case "refuse":
                if key and key not in self.refusals:
                    self.add_error("reason", _("Choose a reason to refuse."))
            case "ask" | "extend":
                # The prefilled letter is that of an approval: a question or a reason must be somebody's own words.
                words = str(data.get("letter", "")).strip()
                if words and words == str(self["letter"].initial or "").strip():
                    self.add_error(
                        "letter",
                        _("Write the question in place of this letter.")
                        if outcome == "ask"
                        else _("Write why more time is needed, in place of this letter."),
                    )
        return data


def persons_of(kind: Kind, plan: Plan | None) -> tuple[Line, ...]:
    """The lines that a reviewer must settle; where nothing is erased there are none."""
    from_plan = plan.of(Fate.PERSON) if plan and kind not in {Kind.ACCESS, Kind.CORRECTION} else ()
    return tuple({line.collection: line for line in from_plan}.values())


def _named(key: str, language: str) -> str:
    return f"{key} {REASONS[key].text(language)}"
