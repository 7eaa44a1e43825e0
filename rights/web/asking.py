"""Asking, for all five kinds: the right, the live plan, the form, the check, the code, the receipt of it.

Answers live in the draft, so every page can be left and come back to. A draft belongs to who files it: another
person's is not found. It is about its subject, who may be somebody else (`rights.web.for_others`); the code always goes
to who files. Sending twice sends once.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import stepup as codes
from accounts.forms import CodeForm
from accounts.models import User
from portal.core import clock
from rights.actions.submit import (
    CannotSubmit,
    change_draft,
    matter_of,
    preview,
    start_draft,
    submit,
)
from rights.datamap import load_live_map
from rights.kernel.clock import local_day
from rights.kernel.decisions import LEGAL_SECRECY
from rights.kernel.plan import Plan
from rights.kernel.states import OPEN_STATES, Kind, State
from rights.models import Request
from rights.queries import due_if_filed, limit_of, submitted_requests
from rights.templatetags.look import hour, limit_text
from rights.web import language_of_page, person_of
from rights.web.asking_forms import (
    FormPage,
    form_page,
    named_company,
    preview_of,
    running_services,
)
from rights.web.asking_words import Final, answers_of, final_words, what_follows
from rights.web.for_others import about, about_request, asker_required, link, require_covered, subject_of
from rights.web.forms import CheckForm
from rights.web.present import Forfeit, present_case, present_forfeits, present_plan
from rights.web.unproved import find_unproved

WITH_PLAN = frozenset({Kind.DELETION, Kind.CANCELLATION})
"""The kinds whose plan is shown first, and that need a fresh code: they cannot be undone."""

READ_AND_WRITE = ["GET", "HEAD", "POST"]
SAME_DRAFT = timedelta(hours=1)
SECOND_TAP_SECONDS = 5.0


# ---- the right and its plan ----------------------------------------------------------------------------------------


@never_cache
@require_safe
@asker_required
def right(request: HttpRequest, kind: Kind) -> HttpResponse:
    """What the right is, and what will happen."""
    subject, now = subject_of(request, kind), clock.now()
    today = local_day(now)
    running = (
        submitted_requests(person_of(request))
        .filter(kind=kind, state__in=[state.value for state in OPEN_STATES], subject=subject)
        .first()
    )
    case = present_case(running, load_live_map(), language=language_of_page(), now=now) if running else None
    return render(
        request,
        "subject/right.html",
        {
            "kind": kind.value,
            "due": due_if_filed(kind, on=today),
            "today": today,
            "start_url": link(request, "plan" if kind in WITH_PLAN else "start", kind, subject),
            "about": about(request, subject, kind),
            "for_url": "" if subject == person_of(request) else reverse("rights:for", args=[subject.pk]),
            "open_case": case,
        },
    )


@never_cache
@require_safe
@asker_required
def plan(request: HttpRequest, kind: Kind) -> HttpResponse:
    """What would become of which records, before anything is asked."""
    if kind not in WITH_PLAN:
        return redirect(link(request, "right", kind, subject_of(request, kind)))
    subject, now = subject_of(request, kind), clock.now()
    data_map = load_live_map()
    today, language = local_day(now), language_of_page()
    entities, services = named_company(request, data_map), list[str]()
    if kind is Kind.CANCELLATION:
        services = running_services(request, subject, data_map, now=now)
        entities = frozenset(services)
    nothing = kind is Kind.CANCELLATION and not services
    seen = None if nothing else preview_of(subject, kind, now=now, entities=entities)
    company = {"company": next(iter(entities))} if kind is Kind.DELETION and entities else {}
    return render(
        request,
        "subject/plan.html",
        {
            "kind": kind.value,
            "today": today,
            "due": due_if_filed(kind, on=today),
            "read_at": now,
            "plan": present_plan(seen.plan, data_map, language=language, today=today) if seen else None,
            "services": [
                (key, entity.service(language)) for key, entity in data_map.entities.items() if key in services
            ],
            "form_url": link(request, "start", kind, subject, **company),
            "right_url": link(request, "right", kind, subject),
            "about": about(request, subject, kind),
            "legal_secrecy": LEGAL_SECRECY.text(language),
        },
    )


# ---- the form ------------------------------------------------------------------------------------------------------


@never_cache
@require_http_methods(READ_AND_WRITE)
@asker_required
def start(request: HttpRequest, kind: Kind) -> HttpResponse:
    """The form, empty. Nothing is kept before it is filled in."""
    subject = subject_of(request, kind)
    page = form_page(request, subject, kind, draft=None)
    if request.method == "POST" and page.is_valid():
        draft = _draft_with(person_of(request), subject, kind, page.details())
        return redirect("rights:check", draft.pk)
    return _show_form(request, page, subject)


@never_cache
@require_http_methods(READ_AND_WRITE)
@asker_required
def form(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The form as it was filled in, to change it."""
    draft = _find(request, pk)
    if draft.state != State.DRAFT:
        return redirect("rights:done", pk)
    page = form_page(request, draft.subject, Kind(draft.kind), draft=draft)
    if request.method == "POST" and page.is_valid():
        change_draft(draft, details=page.details())
        return redirect("rights:check", pk)
    return _show_form(request, page, draft.subject)


def _draft_with(user: User, subject: User, kind: Kind, details: Mapping[str, Any]) -> Request:
    """A new draft, or the one that the same answers made a moment ago: a double tap makes one."""
    now = clock.now()
    recent = Request.objects.filter(
        kind=kind, state=State.DRAFT, filed_by=user, subject=subject, created_at__gt=now - SAME_DRAFT
    ).order_by("-created_at")[:1]
    for draft in recent:
        if draft.details == details:
            return draft
    return start_draft(subject=subject, filed_by=user, kind=kind, details=details, now=now)


def _show_form(request: HttpRequest, page: FormPage, subject: User) -> HttpResponse:
    status = 422 if page.form.errors else 200
    context = {"form": page.form, "about": about(request, subject, page.kind), **page.context}
    return render(request, f"subject/{page.kind}_form.html", context, status=status)


# ---- the check -----------------------------------------------------------------------------------------------------


@never_cache
@require_http_methods(READ_AND_WRITE)
@asker_required
def check(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The answers once more, what happens then, and what cannot be undone."""
    draft = _find(request, pk)
    if draft.state != State.DRAFT:
        return redirect("rights:done", pk)
    kind, seen = Kind(draft.kind), _digest(draft)
    final = final_words(kind)
    form = CheckForm(request.POST if request.method == "POST" else None, seen=seen, understood=final.understood)
    if request.method == "POST" and form.is_valid():
        if form.cleaned_data["seen"] != seen:
            messages.warning(request, _("Your answers were changed in another window. Please check them again."))
            return redirect("rights:check", pk)
        if kind not in WITH_PLAN:
            return _send(request, draft)
        request.session[_checked_key(draft)] = seen
        _issue(request, draft, only_if_none=True)
        return redirect("rights:stepup", pk)
    return _show_check(request, draft, form, final)


def _show_check(request: HttpRequest, draft: Request, form: CheckForm, final: Final) -> HttpResponse:
    kind, language, now = Kind(draft.kind), language_of_page(), clock.now()
    data_map = load_live_map()
    view, lapsing = None, list[Forfeit]()
    if kind in WITH_PLAN:
        seen = preview(matter_of(draft), now=now)
        lapsing = present_forfeits(seen.plan, data_map, language=language)
        view = present_plan(seen.plan, data_map, language=language, today=local_day(now))
        if kind is Kind.CANCELLATION and _costs_more(draft, lapsing):
            messages.warning(request, _("Something of value would lapse. Please say whether you give it up."))
            return redirect("rights:form", draft.pk)
    due, limit = due_if_filed(kind, on=local_day(now)), limit_of(kind, on=local_day(now))
    return render(
        request,
        "subject/check.html",
        {
            "kind": kind.value,
            "answers": answers_of(draft, data_map, view, lapsing=lapsing),
            "after": what_follows(
                draft, data_map, view, due=due, limit=limit_text(limit.days, working=limit.working_days)
            ),
            "form": form,
            "irreversible": final.lead,
            "irreversible_text": final.text,
            "stepup": kind in WITH_PLAN,
            "back_url": reverse("rights:form", args=[draft.pk]),
            "about": about_request(request, draft),
            "legal_secrecy": LEGAL_SECRECY.text(language) if kind in {*WITH_PLAN, Kind.ACCESS} else "",
        },
        status=422 if form.errors else 200,
    )


def _costs_more(draft: Request, lapsing: list[Forfeit]) -> bool:
    """Whether something lapses that nobody asked about, as its system was silent when the form was shown."""
    entities, given_up = set(draft.details["entities"]), set(draft.details.get("forfeits") or ())
    return any(item.entity in entities and item.key not in given_up for item in lapsing)


# ---- the code, and sending -----------------------------------------------------------------------------------------


@sensitive_post_parameters("code")
@never_cache
@require_http_methods(READ_AND_WRITE)
@asker_required
def stepup(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A fresh code, then it is sent."""
    draft = _find(request, pk)
    if draft.state != State.DRAFT:
        return redirect("rights:done", pk)
    if request.session.get(_checked_key(draft)) != _digest(draft):
        return redirect("rights:check", pk)
    if request.method != "POST":
        _issue(request, draft, only_if_none=True)
        return _show_stepup(request, draft, CodeForm())
    form, kept = CodeForm(request.POST), ""
    if form.is_valid():
        try:
            codes.confirm_code(
                user=person_of(request), action=_action(draft), code=form.cleaned_data["code"], now=clock.now()
            )
        except codes.UsedCode:
            # The first tap of two may still be on its way: its answer is the answer to both.
            if _was_sent(draft):
                return redirect("rights:done", pk)
            form.add_error("code", _("This code was used already. Have another sent below."))
        except codes.ExpiredCode:
            form.add_error("code", _("This code is no longer valid. Have another sent below."))
        except codes.WrongCode as wrong:
            if wrong.tries_left:
                form.add_error("code", _("That code is not right."))
                kept = ngettext(
                    "What you filled in is kept. %(n)s try left.",
                    "What you filled in is kept. %(n)s tries left.",
                    wrong.tries_left,
                ) % {"n": wrong.tries_left}
            else:
                form.add_error("code", _("That code is not right, and it has no tries left. Have another sent below."))
        else:
            return _send(request, draft)
    return _show_stepup(request, draft, form, kept=kept)


@never_cache
@require_POST
@asker_required
def resend(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Another code; the earlier one no longer works."""
    draft = _find(request, pk)
    if draft.state != State.DRAFT:
        return redirect("rights:done", pk)
    if request.session.get(_checked_key(draft)) != _digest(draft):
        return redirect("rights:check", pk)
    if _issue(request, draft, only_if_none=False):
        messages.success(request, _("A new code is on its way."))
    return redirect("rights:stepup", pk)


def _show_stepup(request: HttpRequest, draft: Request, form: CodeForm, *, kept: str = "") -> HttpResponse:
    user, now = person_of(request), clock.now()
    until = codes.valid_until(user=user, action=_action(draft))
    deletion = draft.kind == Kind.DELETION
    return render(
        request,
        "subject/stepup.html",
        {
            "form": form,
            "kept": kept,
            "phone": user.masked_phone,
            "valid_until": until if until and until > now else None,
            "resend_at": None,
            "submit_label": _("Send: delete what can go") if deletion else _("Send: end the service"),
            "reason": (
                _("Deleting cannot be undone, so we make sure that it is you.")
                if deletion
                else _("Ending a service cannot be undone, so we make sure that it is you.")
            ),
            "back_url": reverse("rights:check", args=[draft.pk]),
            "about": about_request(request, draft),
            "resend_url": reverse("rights:resend", args=[draft.pk]),
        },
        status=422 if form.errors else 200,
    )


def _issue(request: HttpRequest, draft: Request, *, only_if_none: bool) -> bool:
    """Send a code; says when the next may be sent where it was too many."""
    user, now = person_of(request), clock.now()
    until = codes.valid_until(user=user, action=_action(draft))
    if only_if_none and until and until > now:
        return False
    try:
        codes.issue_code(user=user, action=_action(draft), now=now)
    except codes.Throttled as throttled:
        text = _("Too many codes were sent. The next one is possible at %(time)s; what you filled in is kept.")
        messages.warning(request, text % {"time": hour(throttled.retry_at)})
        return False
    return True


def _send(request: HttpRequest, draft: Request) -> HttpResponse:
    """Submit, once. What is wrong with the answers is said where they can be changed."""
    try:
        sent = submit(request_id=draft.pk, now=clock.now())
    except CannotSubmit as error:
        messages.error(request, str(error))
        return redirect("rights:form", draft.pk)
    request.session.pop(_checked_key(draft), None)
    return redirect("rights:done", sent.pk)


def _was_sent(draft: Request) -> bool:
    """Whether the request that used the code comes to its end within a few seconds."""
    until = time.monotonic() + SECOND_TAP_SECONDS
    while time.monotonic() < until:
        if not Request.objects.filter(pk=draft.pk, state=State.DRAFT).exists():
            return True
        time.sleep(0.1)
    return False


def _action(draft: Request) -> str:
    return f"submit:{draft.pk}"


def _checked_key(draft: Request) -> str:
    return f"checked:{draft.pk}"


def _digest(draft: Request) -> str:
    """Of the answers, so that what was checked is what is sent."""
    return hashlib.sha256(json.dumps([str(draft.pk), draft.details], sort_keys=True).encode()).hexdigest()


# ---- received ------------------------------------------------------------------------------------------------------


@never_cache
@require_safe
@asker_required
def done(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The reference, the exact due date, and what happens next."""
    if find_unproved(request, pk):
        return redirect("rights:request", pk)
    case = _find(request, pk)
    if case.state == State.DRAFT:
        return redirect("rights:check", pk)
    if case.received_at is None:
        return redirect("rights:home")
    now, language = clock.now(), language_of_page()
    data_map = load_live_map()
    shown = present_case(case, data_map, language=language, now=now)
    view = None
    if case.plan and Kind(case.kind) in WITH_PLAN:
        view = present_plan(Plan.from_json(case.plan), data_map, language=language, today=local_day(now))
    waits = case.kind == Kind.CANCELLATION and view is not None and bool(view.waiting.lines)
    immediate = case.kind == Kind.WITHDRAWAL and shown.closed
    return render(
        request,
        "subject/done.html",
        {
            "case": replace(
                shown, immediate=immediate, deferred=shown.deferred or (waits and case.state == State.CHECKING)
            ),
            "after": what_follows(case, data_map, view, due=shown.due, limit=shown.limit, sent=True)
            if shown.due and not shown.closed
            else [],
            "receipt_url": reverse("rights:receipt", args=[case.pk]),
            "calendar_url": "" if immediate else reverse("rights:calendar_entry", args=[case.pk]),
            "other_contact": case.subject.masked_email if case.subject == case.filed_by else "",
            "about": about_request(request, case),
        },
    )


def _find(request: HttpRequest, pk: UUID) -> Request:
    """What the person files or filed; anybody else's does not exist."""
    found = Request.objects.filter(pk=pk, filed_by=person_of(request)).select_related("subject", "filed_by").first()
    if found is None:
        raise Http404
    require_covered(request, found)
    return found
