"""An appeal as staff see it on the page of its case, with the form that decides it."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.permissions import can
from rights.actions.appeals import NARROWED
from rights.datamap import DataMap
from rights.kernel.clock import local_day
from rights.kernel.decisions import REASONS
from rights.kernel.states import Kind
from rights.models import Appeal, Request
from rights.queries import appeal_due, is_barred
from rights.web.desk_forms import APPROVALS, LETTER_LENGTH, refusals_of


class AppealDecisionForm(forms.Form):
    outcome = forms.ChoiceField(
        label=gettext_lazy("Outcome"),
        choices=[
            ("upheld", gettext_lazy("The decision stands")),
            ("overturned", gettext_lazy("Overturned: the request is taken up again")),
        ],
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose an outcome.")},
    )
    reason = forms.ChoiceField(label=gettext_lazy("Reason, where it stands"), required=False)
    entities = forms.MultipleChoiceField(
        label=gettext_lazy("Which companies' part, where it is overturned"),
        help_text=gettext_lazy("Choose none for all that was asked."),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    text = forms.CharField(
        label=gettext_lazy("What the person is told"),
        max_length=LETTER_LENGTH,
        widget=forms.Textarea({"rows": 6}),
        error_messages={"required": gettext_lazy("Write what the person is told.")},
    )

    def __init__(self, data: Any = None, *, item: Request, data_map: DataMap) -> None:
        super().__init__(data, auto_id="id_appeal_%s", initial={"reason": item.closing_key})
        kind, language = Kind(item.kind), get_language() or "zh-hans"
        keys = dict.fromkeys([item.closing_key, *refusals_of(kind), *APPROVALS[kind]])
        known = [key for key in keys if key in REASONS]
        self.fields["reason"] = forms.ChoiceField(
            label=self.fields["reason"].label,
            required=False,
            choices=[(key, f"{key} {REASONS[key].text(language)[:40]}") for key in known],
        )
        asked = item.details.get("entities") or list(data_map.entities)
        if kind in NARROWED and len(asked) > 1:
            companies = [(key, data_map.entities[key].name(language)) for key in asked if key in data_map.entities]
            self.fields["entities"].choices = companies  # type: ignore[attr-defined]
        else:
            del self.fields["entities"]


@dataclass(frozen=True)
class AppealBox:
    """See templates/desk/appeal.html. `form` None: `why` says why this reviewer cannot decide it."""

    reason: str
    filed_at: datetime
    due: date
    days_left: int
    owner: str
    form: AppealDecisionForm | None
    why: str
    decide_url: str
    claim_url: str
    release_url: str


def present_appeal(
    item: Request, *, reviewer: User, own: bool, form: AppealDecisionForm | None, data_map: DataMap, now: datetime
) -> AppealBox | None:
    """The appeal that waits for its decision; None where there is none."""
    appeal = item.appeals.filter(decided_at=None).select_related("reviewer").first()
    if appeal is None:
        return None
    why = _why_not(appeal, item, reviewer=reviewer, own=own)
    at, mine = [item.pk], appeal.reviewer_id == reviewer.pk
    return AppealBox(
        reason=appeal.reason or "",
        filed_at=appeal.filed_at,
        due=appeal_due(appeal),
        days_left=(appeal_due(appeal) - local_day(now)).days,
        owner=(appeal.reviewer.display_name or "") if appeal.reviewer else "",
        form=None if why else form or AppealDecisionForm(item=item, data_map=data_map),
        why=why,
        decide_url=reverse("desk:appeal_decide", args=at),
        claim_url="" if why or appeal.reviewer_id else reverse("desk:appeal_claim", args=at),
        release_url=reverse("desk:appeal_release", args=at) if mine else "",
    )


def _why_not(appeal: Appeal, item: Request, *, reviewer: User, own: bool) -> str:
    if not can(reviewer, "request.decide"):
        return _("Your role looks at cases and does not decide them.")
    if own or is_barred(item, reviewer):
        return _("An appeal goes to somebody who has not decided the case and knows nobody in it.")
    if appeal.reviewer_id not in {None, reviewer.pk}:
        return _("Somebody else has taken this appeal.")
    return ""
