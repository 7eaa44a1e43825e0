"""What a person follows: requests and their packages, notices, what is held. Each page shows its user's own
rows; somebody else's address is not found."""

from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from accounts.authority import principals_for
from accounts.models import User
from accounts.permissions import subject_required
from portal.core import clock
from rights.actions import fees, review, submit
from rights.actions.packages import live_packages
from rights.datamap import DataMap, load_live_map
from rights.kernel.clock import local_day
from rights.kernel.states import Kind, State
from rights.models import Attachment, Hold, Notice, Package, Request
from rights.notices import render_notice
from rights.queries import backups_clear, open_fee, starts_clock
from rights.transitions import StaleRequest
from rights.web import samples
from rights.web.appeals import offer_of, present_appeals
from rights.web.files import send_file
from rights.web.for_others import about_request, asker_required, find_covered, followed_requests, whose
from rights.web.live import revalidated
from rights.web.present import present_plan
from rights.web.present_handovers import present_passed
from rights.web.present_progress import (
    LATELY,
    check_code,
    present_held,
    present_outcome,
    present_steps,
    receipt_rows,
)
from rights.web.present_request import (
    follow_case,
    latest_plan,
    open_question,
    present_asked,
    present_decision,
    present_events,
    present_settled_fee,
)
from rights.web.receipts import list_receipts
from rights.web.thread import MessageForm, send_message
from rights.web.unproved import find_unproved, list_unproved, may_prove, show_unproved, thread_of

DISPLAY_AGE = 365 * 24 * 3600


class AnswerForm(forms.Form):
    answer = forms.CharField(
        max_length=4000,
        label=gettext_lazy("Your answer"),
        widget=forms.Textarea({"rows": 5}),
        error_messages={"required": gettext_lazy("Write your answer.")},
    )


def _me(request: HttpRequest) -> User:
    return cast(User, request.user)


def _language() -> str:
    return get_language() or settings.LANGUAGE_CODE


# ---- requests ------------------------------------------------------------------------------------------------------


@subject_required
@never_cache
@require_safe
def requests(request: HttpRequest) -> HttpResponse:
    now, data_map, language = clock.now(), load_live_map(), _language()
    given = principals_for(_me(request), now)
    found = followed_requests(_me(request), given=given).prefetch_related("steps", "holds", "decisions")
    cases = [
        replace(follow_case(item, data_map, language=language, now=now), whose=whose(request, item)) for item in found
    ]
    context = {
        "running": [case for case in cases if not case.closed],
        "closed": [case for case in cases if case.closed],
        "unproved": list_unproved(request),
        "today": local_day(now),
    }
    return render(request, "subject/requests.html", context)


@asker_required
@never_cache
@require_safe
@revalidated
def request_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    if item := find_unproved(request, pk):
        return show_unproved(request, item)
    return _show_request(request, find_covered(request, pk), form=AnswerForm())


def _show_request(
    request: HttpRequest,
    item: Request,
    *,
    form: AnswerForm,
    message_form: MessageForm | None = None,
    status: int = 200,
) -> HttpResponse:
    now, data_map, language = clock.now(), load_live_map(), _language()
    prefetch_related_objects([item], "steps", "decisions")  # several parts of the page read them
    plan = latest_plan(item)
    case = follow_case(item, data_map, language=language, now=now)
    outcome = present_outcome(item, plan=plan, data_map=data_map, language=language, today=local_day(now))
    planned = (
        present_plan(plan, data_map, language=language, today=local_day(now)) if plan and _shows_plan(item) else None
    )
    question = open_question(item) if item.state == State.WAITING else None
    packages = live_packages(item, now=now) if item.subject_id == _me(request).pk else []
    context = {
        "case": case,
        "today": local_day(now),
        "asked": present_asked(item, data_map=data_map, language=language),
        "question": question,
        "question_starts": bool(
            question and question.missing and starts_clock(item, asked_on=local_day(question.asked_at))
        ),
        "fee": open_fee(item),
        "fee_settled": present_settled_fee(item),
        "fee_url": reverse("rights:fee", args=[item.pk]),
        "answer_form": form,
        "answer_url": reverse("rights:answer", args=[item.pk]),
        "package": (
            {
                "url": reverse("rights:package", args=[item.pk]),
                "expires_on": local_day(min(each.expires_at for each in packages)),
            }
            if packages
            else None
        ),
        "package_revoked": _revoked(item) if item.subject_id == _me(request).pk else None,
        "steps": present_steps(item, plan=plan, data_map=data_map, language=language),
        "outcome": outcome,
        "passed": present_passed(item, language=language, today=local_day(now)),
        "plan": planned if planned and (planned.total or planned.unknown or planned.asked) else None,
        "decision": present_decision(item, language=language),
        "events": present_events(item, user=_me(request), data_map=data_map, language=language),
        "thread": thread_of(request, item, form=message_form),
        "about": about_request(request, item),
        "withdraw_url": reverse("rights:withdraw", args=[item.pk]) if case.can_withdraw else "",
        "receipt_url": reverse("rights:receipt", args=[item.pk]),
        "receipts": list_receipts(item),
        "appeals": present_appeals(item, viewer_id=_me(request).pk, now=now),
        "appeal_offer": offer_of(item, now=now),
        "cleared": _cleared(item, data_map, language=language),
    }
    return render(request, "subject/request.html", context, status=status)


def _cleared(item: Request, data_map: DataMap, *, language: str) -> list[tuple[str, date]]:
    """By system, the day on which its backups are clear of what was erased."""
    return [(data_map.systems[key].label(language), day) for key, day in backups_clear(item, data_map).items()]


def _shows_plan(item: Request) -> bool:
    """Before the first round the plan says what becomes of which records; afterwards the outcome does."""
    return not item.round and item.state != State.CLOSED and Kind(item.kind) not in {Kind.ACCESS, Kind.CORRECTION}


def _revoked(item: Request) -> Package | None:
    """The last package that staff destroyed before its day, with their reason."""
    by_staff = item.packages.filter(revoked_at__isnull=False, copy_of=None).exclude(revoked_by=item.subject_id)
    return by_staff.exclude(revoked_by=None).order_by("-revoked_at").first()


@asker_required
@require_POST
def take_back(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop a request before its changes begin. A second tap finds it taken back and says nothing new."""
    item = find_unproved(request, pk) or find_covered(request, pk)
    with suppress(submit.CannotSubmit, StaleRequest):  # the page itself says where the request stands now
        submit.take_back(item, actor=_me(request), now=clock.now())
    return redirect("rights:request", pk)


@asker_required
@require_POST
def answer(request: HttpRequest, pk: UUID) -> HttpResponse:
    item = find_covered(request, pk)
    form = AnswerForm(request.POST)
    if not form.is_valid() and item.state == State.WAITING:
        return _show_request(request, item, form=form, status=422)
    if form.is_valid():
        with suppress(StaleRequest):  # answered already, from another tab; the page shows that answer
            review.answer(item, text=form.cleaned_data["answer"], actor=_me(request), now=clock.now())
            messages.success(request, _("Your answer has arrived. The clock goes on."))
    return redirect("rights:request", pk)


@asker_required
@require_POST
def post_message(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What the person writes to staff; sent twice it is one message. One that is not taken stays on the page."""
    item = _find_written(request, pk)
    if form := send_message(request, item, now=clock.now()):
        if item.lacks_proof:
            return show_unproved(request, item, message_form=form, status=422)
        return _show_request(request, item, form=AnswerForm(), message_form=form, status=422)
    messages.success(request, _("Your message was sent. We tell you when there is an answer."))
    return redirect(f"{reverse('rights:request', args=[pk])}#messages")


@asker_required
@never_cache
@require_safe
def attachment(request: HttpRequest, pk: UUID, file: UUID) -> HttpResponse:
    """A file of a message, for those who follow the request."""
    return send_file(get_object_or_404(Attachment, pk=file, message__request=_find_written(request, pk)))


def _find_written(request: HttpRequest, pk: UUID) -> Request:
    """A request whose messages are the signed-in person's to read and to write."""
    unproved = find_unproved(request, pk)
    if unproved is None:
        return find_covered(request, pk)
    if not may_prove(request, unproved):
        raise Http404
    return unproved


@asker_required
@require_POST
def fee(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Accept or decline a quoted fee. A second tap finds it answered and says nothing new."""
    item, answered = find_covered(request, pk), request.POST.get("answer")
    if answered not in {"accept", "decline"}:
        return redirect("rights:request", pk)
    with suppress(StaleRequest):  # answered already, or its day has passed; the page shows what became of it
        if answered == "accept":
            fees.accept_fee(item, actor=_me(request), now=clock.now())
            messages.success(request, _("You accepted the fee. The copy is being made."))
        else:
            fees.decline_fee(item, actor=_me(request), now=clock.now())
            messages.success(request, _("You declined the fee. Nothing is owed."))
    return redirect("rights:request", pk)


@asker_required
@never_cache
@require_safe
def receipt(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One page for paper: what was asked and decided, each fate with its count and dates, and the check code."""
    item = find_covered(request, pk)
    now, data_map, language = clock.now(), load_live_map(), _language()
    plan = latest_plan(item)
    today = local_day(now)
    outcome = present_outcome(item, plan=plan, data_map=data_map, language=language, today=today)
    planned = present_plan(plan, data_map, language=language, today=today) if plan and _shows_plan(item) else None
    rows = receipt_rows(outcome, planned)
    context = {
        "case": follow_case(item, data_map, language=language, now=now),
        "person": item.subject.masked_name,
        "about": about_request(request, item),
        "made_at": now,
        "asked": present_asked(item, data_map=data_map, language=language, values=False),
        "decision": present_decision(item, language=language),
        "rows": rows,
        "cleared": _cleared(item, data_map, language=language),
        "total": sum(row.line.count for row in rows),
        "code": check_code(item),
    }
    return render(request, "subject/receipt.html", context)


# ---- notices -------------------------------------------------------------------------------------------------------


@subject_required
@never_cache
@require_safe
def notices(request: HttpRequest) -> HttpResponse:
    language = _language()
    found = Notice.objects.filter(user=_me(request), second_contact=False).select_related("request")
    context = {
        "notices": [
            {
                "url": reverse("rights:notice", args=[item.pk]),
                "subject": _notice_text(item, language)[0],
                "at": item.created_at,
                "ref": item.request.reference if item.request else "",
                "unread": item.read_at is None,
            }
            for item in found.order_by("-created_at", "-id")[:200]
        ]
    }
    return render(request, "subject/notices.html", context)


@subject_required
@never_cache
@require_GET
def notice(request: HttpRequest, pk: int) -> HttpResponse:
    """One notice, read by being opened."""
    mine = Notice.objects.filter(user=_me(request), second_contact=False).select_related("request")
    item = get_object_or_404(mine, pk=pk)
    Notice.objects.filter(pk=item.pk, read_at__isnull=True).update(read_at=clock.now())
    subject, body = _notice_text(item, _language())
    case = item.request
    context = {
        "notice": {"subject": subject, "body": body, "at": item.created_at},
        "case": {"ref": case.reference, "url": reverse("rights:request", args=[case.pk])} if case else None,
    }
    return render(request, "subject/notice.html", context)


def _notice_text(item: Notice, language: str) -> tuple[str, str]:
    """As it was sent; what was not sent yet, in the language of the page."""
    return (item.subject, item.body) if item.sent_at else render_notice(item, language)


# ---- what is held --------------------------------------------------------------------------------------------------


@subject_required
@never_cache
@require_safe
def held(request: HttpRequest) -> HttpResponse:
    now, data_map, language = clock.now(), load_live_map(), _language()
    holds = Hold.objects.filter(vault__user=_me(request)).order_by("last_day", "collection")
    context = {
        "today": local_day(now),
        **present_held(list(holds), data_map=data_map, language=language, now=now, since=now - LATELY),
    }
    return render(request, "subject/held.html", context)


# ---- for everybody -------------------------------------------------------------------------------------------------


@require_safe
def channels(request: HttpRequest) -> HttpResponse:
    return render(request, "subject/channels.html")


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every part in every state, in demo mode only."""
    if not settings.DEMO:
        raise Http404
    return render(request, "subject/styleguide.html", samples.styleguide(now=clock.now()))


@require_POST
def display(request: HttpRequest) -> HttpResponse:
    """Remember light or dark, and contrast, in cookies of this browser."""
    back = request.POST.get("next", "")
    safe = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    response = redirect(back if safe else "/")
    for name, allowed in (("theme", {"light", "dark"}), ("contrast", {"more"})):
        value = request.POST.get(name, "")
        if value in allowed:
            response.set_cookie(
                name, value, max_age=DISPLAY_AGE, samesite="Lax", httponly=True, secure=request.is_secure()
            )
        else:
            response.delete_cookie(name, samesite="Lax")
    return response
