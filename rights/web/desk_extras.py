"""What staff do beside a decision: quote or waive a fee for a further copy, confirm a proof, destroy a package. Each a
small form of its own beside the decision panel."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from accounts.models import Authority, User
from accounts.permissions import can, staff_required
from portal.core import clock
from rights.actions import fees, packages, proofs
from rights.actions.review import CannotDecide
from rights.datamap import load_live_map
from rights.kernel.clock import SHANGHAI, local_day
from rights.kernel.states import Kind, State
from rights.models import Request
from rights.queries import limit_of, open_fee
from rights.templatetags.look import limit_text, listed
from rights.transitions import StaleRequest
from rights.web import person_of
from rights.web.case_words import reason_words


class FeeForm(forms.Form):
    amount = forms.DecimalField(
        label=gettext_lazy("Amount in yuan"),
        max_digits=6,
        decimal_places=2,
        min_value=0,
        error_messages={"required": gettext_lazy("Write an amount.")},
    )
    reason = forms.CharField(
        label=gettext_lazy("What it covers"),
        help_text=gettext_lazy("The person reads this before they decide."),
        max_length=1000,
        widget=forms.Textarea({"rows": 3}),
        error_messages={"required": gettext_lazy("Write what the fee covers.")},
    )


class ProofForm(forms.Form):
    kind = forms.ChoiceField(
        label=gettext_lazy("They act as"), choices=Authority.Kind.choices, initial=Authority.Kind.AGENT
    )
    valid_until = forms.DateField(
        label=gettext_lazy("Valid until"),
        help_text=gettext_lazy("The last day, as the proof says."),
        required=False,
        widget=forms.DateInput({"type": "date"}),
        error_messages={"invalid": gettext_lazy("Write a date such as 2027-05-22.")},
    )
    note = forms.CharField(
        label=gettext_lazy("What was seen"),
        help_text=gettext_lazy("Kept with the case; the person does not see it."),
        max_length=1000,
        widget=forms.Textarea({"rows": 3}),
        error_messages={"required": gettext_lazy("Write what was seen as proof.")},
    )

    def __init__(self, data: Any = None, *, of_agent: bool) -> None:
        super().__init__(data)
        if not of_agent:
            del self.fields["kind"], self.fields["valid_until"]


class RevokeForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        help_text=gettext_lazy("The person reads this."),
        max_length=1000,
        widget=forms.Textarea({"rows": 3}),
        error_messages={"required": gettext_lazy("Write why it is destroyed.")},
    )


@dataclass(frozen=True)
class Extra:
    """One form beside the decision panel; `form` None: a button alone."""

    title: str
    text: str
    form: forms.Form | None
    url: str
    button: str


def extras_of(item: Request, *, reviewer: User, own: bool) -> list[Extra]:
    """What this reviewer may do with the case now. `own`: it is their own, so nothing."""
    taken = item.reviewer_id not in {None, reviewer.pk}
    if own or not can(reviewer, "request.decide"):
        return []
    if item.packages.filter(data_key__isnull=False, copy_of=None).exists():
        return [
            Extra(
                _("Destroy the package"),
                _("It can then not be downloaded any more, nor can copies of it. The person is told, with the reason."),
                RevokeForm(),
                reverse("desk:revoke_package", args=[item.pk]),
                _("Destroy the package"),
            )
        ]
    if taken:
        return []
    if item.state == State.REVIEW and "REPEAT.FEE_OR_REFUSE" in item.review_reasons and not item.fees.exists():
        return [
            Extra(
                _("Quote a fee"),
                _("The same copy was given before. The clock stands until the person answers; nothing is owed before."),
                FeeForm(),
                reverse("desk:quote_fee", args=[item.pk]),
                _("Quote the fee"),
            )
        ]
    if fee := open_fee(item):
        return [
            Extra(
                _("The fee of ¥%(amount)s") % {"amount": fee.amount},
                _("The person has not answered. Waive it to make the copy for nothing."),
                None,
                reverse("desk:waive_fee", args=[item.pk]),
                _("Waive the fee"),
            )
        ]
    if item.state == State.WAITING and item.lacks_proof:
        limit = limit_of(Kind(item.kind), on=local_day(clock.now()))
        given = {"what": _missing(item), "limit": limit_text(limit.days, working=limit.working_days)}
        return [
            Extra(
                _("Confirm the proof"),
                _("Missing: %(what)s. Once confirmed the case is checked and its limit of %(limit)s begins.") % given,
                ProofForm(of_agent=_is_of_agent(item)),
                reverse("desk:confirm_proof", args=[item.pk]),
                _("Confirm the proof"),
            )
        ]
    return []


def _missing(item: Request) -> str:
    data_map = load_live_map()
    return listed(reason_words(key, data_map) for key in item.review_reasons)


@require_POST
@staff_required("request.decide")
def quote_fee(request: HttpRequest, pk: UUID) -> HttpResponse:
    item, form = _case(pk), FeeForm(request.POST)
    if not form.is_valid():
        return _say_faults(request, form, pk)
    given = form.cleaned_data

    def act() -> None:
        fees.quote_fee(
            item, reviewer=person_of(request), amount=given["amount"], reason=given["reason"], now=clock.now()
        )

    return _do(request, act, pk, said=_("The fee was quoted. The clock stands until the person answers."))


@require_POST
@staff_required("request.decide")
def waive_fee(request: HttpRequest, pk: UUID) -> HttpResponse:
    item = _case(pk)
    return _do(
        request,
        lambda: fees.waive_fee(item, reviewer=person_of(request), now=clock.now()),
        pk,
        said=_("The fee was waived; the copy is being made."),
    )


@require_POST
@staff_required("request.decide")
def confirm_proof(request: HttpRequest, pk: UUID) -> HttpResponse:
    item = _case(pk)
    form = ProofForm(request.POST, of_agent=_is_of_agent(item))
    if not form.is_valid():
        return _say_faults(request, form, pk)
    given = form.cleaned_data
    day = given.get("valid_until")

    def act() -> None:
        proofs.confirm_proof(
            item,
            reviewer=person_of(request),
            note=given["note"],
            kind=Authority.Kind(given.get("kind") or Authority.Kind.AGENT),
            valid_until=datetime.combine(day + timedelta(days=1), time(), tzinfo=SHANGHAI) if day else None,
            now=clock.now(),
        )

    return _do(request, act, pk, said=_("The proof was confirmed. The clock starts today."))


@require_POST
@staff_required("request.decide")
def revoke_package(request: HttpRequest, pk: UUID) -> HttpResponse:
    item, form = _case(pk), RevokeForm(request.POST)
    if person_of(request).pk == item.subject_id:
        raise PermissionDenied
    if not form.is_valid():
        return _say_faults(request, form, pk)
    for package in item.packages.filter(data_key__isnull=False, copy_of=None):
        with suppress(packages.Gone):
            packages.revoke(package, actor=person_of(request), reason=form.cleaned_data["reason"], now=clock.now())
    messages.success(request, _("The package is destroyed."))
    return redirect("desk:case", pk)


def _case(pk: UUID) -> Request:
    cases = Request.objects.select_related("subject", "filed_by")
    return get_object_or_404(cases, pk=pk, received_at__isnull=False)


def _is_of_agent(item: Request) -> bool:
    return item.filed_by_id != item.subject_id and not item.filed_by.is_staff_role


def _do(request: HttpRequest, act: Any, pk: UUID, *, said: str) -> HttpResponse:
    try:
        act()
    except (CannotDecide, StaleRequest) as error:
        messages.error(request, str(error) if isinstance(error, CannotDecide) else _("The case has moved on."))
    else:
        messages.success(request, said)
    return redirect("desk:case", pk)


def _say_faults(request: HttpRequest, form: forms.Form, pk: UUID) -> HttpResponse:
    for name, faults in form.errors.items():
        label = form.fields[name].label if name in form.fields else ""
        for fault in faults:
            messages.error(request, f"{label}: {fault}" if label else str(fault))
    return redirect("desk:case", pk)
