"""An appeal on the person's pages: the one question it asks, and where it stands."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal.core import clock
from rights.actions.appeals import MOST_TEXT, CannotAppeal, file_appeal
from rights.datamap import load_live_map
from rights.kernel.clock import LIMIT_DAYS, local_day
from rights.kernel.decisions import REASONS
from rights.models import Appeal, Request
from rights.queries import appeal_due, contested, last_day_to_object
from rights.templatetags.look import limit_text
from rights.web import language_of_page, person_of
from rights.web.for_others import about_request, asker_required, find_covered
from rights.web.present import title_of
from rights.web.present_request import present_decision
from rights.wording import cite


class AppealForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why you do not agree"),
        help_text=gettext_lazy("In your own words: what is wrong, and what should be done instead."),
        required=False,
        widget=forms.Textarea({"rows": 7, "maxlength": MOST_TEXT}),
    )


@dataclass(frozen=True)
class AppealView:
    """An appeal as the person follows it; `text`, `basis` and `decided_at` once it is decided."""

    reason: str
    filed_at: datetime
    due: date
    late: bool
    mine: bool
    outcome: str
    text: str
    basis: str
    decided_at: datetime | None


def present_appeals(item: Request, *, viewer_id: UUID, now: datetime) -> list[AppealView]:
    """All appeals of a request, the newest first."""
    return [_present(appeal, viewer_id=viewer_id, now=now) for appeal in item.appeals.order_by("-filed_at")]


def _present(appeal: Appeal, *, viewer_id: UUID, now: datetime) -> AppealView:
    reason = REASONS.get(appeal.key)
    return AppealView(
        reason=appeal.reason or "",
        filed_at=appeal.filed_at,
        due=appeal_due(appeal),
        late=appeal.decided_at is None and local_day(now) > appeal_due(appeal),
        mine=appeal.filed_by_id == viewer_id,
        outcome=appeal.outcome,
        text=appeal.text or "",
        basis=cite(reason.basis, language_of_page()) if reason else "",
        decided_at=appeal.decided_at,
    )


def offer_of(item: Request, *, now: datetime) -> dict[str, Any] | None:
    """Where to appeal and until when; None where there is nothing to appeal against now."""
    last = last_day_to_object(item)
    if last is None or contested(item, now=now) is None:
        return None
    return {"url": reverse("rights:appeal", args=[item.pk]), "until": last}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@asker_required
def appeal(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Why the person does not agree. Sent twice, or from two tabs, it is one appeal."""
    now, item = clock.now(), find_covered(request, pk)
    form = AppealForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        had = item.appeals.filter(decided_at=None).exists()
        try:
            file_appeal(item, actor=person_of(request), reason=form.cleaned_data["reason"], now=now)
        except CannotAppeal as error:
            form.add_error("reason", str(error))
        else:
            if not had:
                messages.success(request, _("We have your appeal."))
            return redirect(f"{reverse('rights:request', args=[pk])}#appeal")
    offer = offer_of(item, now=now)
    if offer is None and not form.errors:
        return redirect(f"{reverse('rights:request', args=[pk])}#appeal")
    context = {
        "title": title_of(item, load_live_map(), language_of_page()),
        "ref": item.reference,
        "request_url": reverse("rights:request", args=[pk]),
        "about": about_request(request, item),
        "decision": present_decision(item, language=language_of_page()),
        "form": form,
        "offer": offer,
        "limit": limit_text(LIMIT_DAYS, working=False),
        "days": settings.APPEAL_DAYS,
    }
    return render(request, "subject/appeal.html", context, status=422 if form.errors else 200)
