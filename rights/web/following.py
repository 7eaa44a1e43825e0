"""What a person follows: requests and their packages, consents, notices, what is held. Each page shows its user's own
rows; somebody else's address is not found."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from itertools import chain
from typing import Any, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from accounts import stepup
from accounts.forms import CodeForm
from accounts.identities import get_identities
from accounts.models import User
from accounts.permissions import subject_required
from portal.core import clock, keyring
from rights.actions import fees, review, submit
from rights.actions.steps import package_path
from rights.datamap import DataMap, load_live_map
from rights.exports import read_sealed
from rights.kernel.clock import local_day
from rights.kernel.decisions import LEGAL_SECRECY
from rights.kernel.plan import Plan
from rights.kernel.states import Kind, State
from rights.models import ConsentEvent, Hold, Notice, Package, Request
from rights.notices import render_notice
from rights.queries import backups_clear, open_fee, submitted_requests
from rights.records import ConsentState, read_consents
from rights.templatetags.look import hour, listed
from rights.transitions import StaleRequest
from rights.web import samples
from rights.web.for_others import about_request, asker_required, followed_requests, require_covered, whose
from rights.web.present import PlanLine, listed_parties, present_plan
from rights.web.present_handovers import present_passed
from rights.web.present_progress import (
    check_code,
    group_holds,
    lately_released,
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
    present_messages,
)
from rights.web.unproved import find_unproved, list_unproved, show_unproved

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


def _mine(request: HttpRequest, pk: UUID) -> Request:
    """A filed request of the signed-in user: theirs, or filed by them for somebody. Any other is a 404. Without who
    filed it, whose row the database shows to nobody else."""
    item = get_object_or_404(submitted_requests(_me(request)).select_related("subject"), pk=pk)
    require_covered(request, item)
    return item


# ---- requests ------------------------------------------------------------------------------------------------------


@subject_required
@never_cache
@require_safe
def requests(request: HttpRequest) -> HttpResponse:
    now, data_map, language = clock.now(), load_live_map(), _language()
    found = followed_requests(_me(request), now=now).prefetch_related("steps", "holds", "decisions")
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
def request_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    if item := find_unproved(request, pk):
        return show_unproved(request, item)
    return _show_request(request, _mine(request, pk), form=AnswerForm())


def _show_request(request: HttpRequest, item: Request, *, form: AnswerForm, status: int = 200) -> HttpResponse:
    now, data_map, language = clock.now(), load_live_map(), _language()
    plan = latest_plan(item)
    case = follow_case(item, data_map, language=language, now=now)
    outcome = present_outcome(item, plan=plan, data_map=data_map, language=language, today=local_day(now))
    planned = (
        present_plan(plan, data_map, language=language, today=local_day(now)) if plan and _shows_plan(item) else None
    )
    package = _package_of(request, item)
    context = {
        "case": case,
        "today": local_day(now),
        "asked": present_asked(item, data_map=data_map, language=language),
        "question": open_question(item) if item.state == State.WAITING else None,
        "fee": open_fee(item),
        "fee_url": reverse("rights:fee", args=[item.pk]),
        "answer_form": form,
        "answer_url": reverse("rights:answer", args=[item.pk]),
        "package": (
            {"url": reverse("rights:package", args=[item.pk]), "expires_on": local_day(package.expires_at)}
            if package and package.data_key and now < package.expires_at
            else None
        ),
        "steps": present_steps(item, plan=plan, data_map=data_map, language=language),
        "outcome": outcome,
        "passed": present_passed(item, language=language, today=local_day(now)),
        "plan": planned if planned and (planned.total or planned.unknown or planned.asked) else None,
        "decision": present_decision(item, language=language),
        "events": present_events(item, user=_me(request), data_map=data_map, language=language),
        "messages_thread": present_messages(item, user=_me(request)),
        "about": about_request(request, item),
        "withdraw_url": reverse("rights:withdraw", args=[item.pk]) if case.can_withdraw else "",
        "receipt_url": reverse("rights:receipt", args=[item.pk]),
        "appeal_url": "",
        "cleared": _cleared(item, data_map, language=language),
    }
    return render(request, "subject/request.html", context, status=status)


def _cleared(item: Request, data_map: DataMap, *, language: str) -> list[tuple[str, date]]:
    """By system, the day on which its backups are clear of what was erased."""
    return [(data_map.systems[key].label(language), day) for key, day in backups_clear(item, data_map).items()]


def _shows_plan(item: Request) -> bool:
    """Before the first round the plan says what becomes of which records; afterwards the outcome does."""
    return not item.round and item.state != State.CLOSED and Kind(item.kind) not in {Kind.ACCESS, Kind.CORRECTION}


@asker_required
@require_POST
def take_back(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop a request before its changes begin. A second tap finds it taken back and says nothing new."""
    item = find_unproved(request, pk) or _mine(request, pk)
    with suppress(submit.CannotSubmit, StaleRequest):  # the page itself says where the request stands now
        submit.take_back(item, actor=_me(request), now=clock.now())
    return redirect("rights:request", pk)


@asker_required
@require_POST
def answer(request: HttpRequest, pk: UUID) -> HttpResponse:
    item = _mine(request, pk)
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
def fee(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Accept or decline a quoted fee. A second tap finds it answered and says nothing new."""
    item, answered = _mine(request, pk), request.POST.get("answer")
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
    item = _mine(request, pk)
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


# ---- the access package --------------------------------------------------------------------------------------------


def _package_of(request: HttpRequest, item: Request) -> Package | None:
    """The package goes to the person alone, also where an agent asked for it (privacy policy, part 5)."""
    if item.subject_id != _me(request).pk:
        return None
    return Package.objects.filter(request=item).first()


def _require_package(request: HttpRequest, pk: UUID) -> tuple[Request, Package]:
    item = _mine(request, pk)
    package = _package_of(request, item)
    if package is None:
        raise Http404
    return item, package


def _action(item: Request) -> str:
    return f"package:{item.pk}"


def _is_gone(package: Package) -> bool:
    """Destroyed, past its day, or lost from the disk: in each case nothing can be handed out."""
    return (
        package.data_key is None or package.expires_at <= clock.now() or not package_path(package.request_id).exists()
    )


@asker_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def package(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What is in the package. POST sends a code, which the download asks for."""
    item, found = _require_package(request, pk)
    if request.method != "POST":
        return _show_package(request, item, found, form=CodeForm())
    if not _is_gone(found):
        try:
            stepup.issue_code(user=_me(request), action=_action(item), now=clock.now())
        except stepup.Throttled as error:
            form = CodeForm({})
            form.errors.clear()
            again = {"hour": hour(error.retry_at)}
            form.add_error(None, _("Too many codes were sent. The next one is possible from %(hour)s.") % again)
            return _show_package(request, item, found, form=form, status=429)
    return redirect("rights:package", pk)


@sensitive_post_parameters("code")
@asker_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def package_download(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The ZIP, against a fresh code. All that is read from the portal's database is read before the answer begins:
    while it streams the connection speaks for nobody."""
    item, found = _require_package(request, pk)
    if request.method != "POST":
        return redirect("rights:package", pk)
    if _is_gone(found):
        return _show_package(request, item, found, form=CodeForm(), status=410)
    form = CodeForm(request.POST)
    if not form.is_valid():
        return _show_package(request, item, found, form=form, status=422)
    try:
        stepup.confirm_code(user=_me(request), action=_action(item), code=form.cleaned_data["code"], now=clock.now())
    except stepup.CodeError as error:
        form.add_error("code", _code_problem(error))
        return _show_package(request, item, found, form=form, status=422)
    frames = read_sealed(package_path(item.pk), bytes(found.data_key or b""))
    try:
        first = next(frames)  # a broken file is told as a page, not as a download that stops
    except (OSError, keyring.SealBroken):
        form = CodeForm({})
        form.errors.clear()
        form.add_error(None, _("The file is damaged and was not handed out. Please ask for a new package."))
        return _show_package(request, item, found, form=form, status=500)
    Package.objects.filter(pk=found.pk).update(downloads=F("downloads") + 1)
    return _stream(chain([first], frames), name=f"access-{item.reference}.zip", size=found.size)


def _stream(frames: Iterator[bytes], *, name: str, size: int) -> StreamingHttpResponse:
    response = StreamingHttpResponse(frames, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Content-Length"] = str(size)
    response["Cache-Control"] = "no-store"
    return response


def _code_problem(error: stepup.CodeError) -> str:
    match error:
        case stepup.WrongCode(tries_left=left) if left:
            return ngettext(
                "That code is not right. %(n)s try left.", "That code is not right. %(n)s tries left.", left
            ) % {"n": left}
        case stepup.WrongCode():
            return _("That code is not right and has no tries left. Have another one sent.")
        case stepup.UsedCode():
            return _("That code was used already. Have another one sent.")
        case _:
            return _("That code is no longer valid. Have another one sent.")


def _show_package(
    request: HttpRequest, item: Request, found: Package, *, form: CodeForm, status: int = 200
) -> HttpResponse:
    now, data_map, language = clock.now(), load_live_map(), _language()
    case = follow_case(item, data_map, language=language, now=now)
    until = stepup.valid_until(user=_me(request), action=_action(item))
    context = {
        "case": case,
        "package": _describe_package(item, found, data_map=data_map, language=language),
        "gone": _is_gone(found),
        "form": form,
        "kept": "",
        "phone": _me(request).masked_phone,
        "valid_until": until if until and until > now else None,
        "resend_url": reverse("rights:package", args=[item.pk]),
        "download_url": reverse("rights:package_download", args=[item.pk]),
        "ask_url": reverse("rights:right", args=[Kind.ACCESS.value]),
        "legal_secrecy": LEGAL_SECRECY.text(language),
    }
    return render(request, "subject/package.html", context, status=status)


def _describe_package(item: Request, found: Package, *, data_map: DataMap, language: str) -> dict[str, Any]:
    """What is in it, from the plan made when asking. Counts by system are left out where records came or went between
    asking and packing, so that what is shown always adds up."""
    plan = Plan.from_json(item.plan) if item.plan else None
    counts: dict[str, int] = {}
    for line in plan.lines if plan else ():
        counts[line.collection] = counts.get(line.collection, 0) + line.count
    total = sum(item.steps.filter(verb="export").values_list("done", flat=True))
    adds_up = sum(counts.values()) == total
    inside = [each for each in data_map.collections.values() if not each.confidential and each.system not in found.gaps]
    filled = [each for each in inside if counts.get(each.key) or not adds_up]
    systems = [
        {
            "name": system.label(language),
            "state": "unknown" if system.key in found.gaps else "loaded",
            "records": sum(counts.get(each.key, 0) for each in data_map.of_system(system.key)) if adds_up else None,
            "note": data_map.entities[system.entity].name(language),
        }
        for system in data_map.systems.values()
    ]
    return {
        "files": 2 * len(inside) + 3,  # each collection as CSV and JSON; the manifest, the page in two languages
        "records": total,
        "size": _size_text(found.size),
        "made_at": found.made_at,
        "expires_on": local_day(found.expires_at),
        "downloads": found.downloads,
        "systems": systems,
        "redactions": [
            {"where": each.label(language), "what": listed(each.third_party)} for each in filled if each.third_party
        ],
        "sources": [{"data": each.label(language), "source": each.source(language)} for each in filled if each.source],
    }


def _size_text(size: int) -> str:
    """Such as 84 KB or 3.2 MB."""
    if size < 1_000_000:
        return f"{max(1, round(size / 1000))} KB"
    return f"{size / 1_000_000:.1f} MB"


# ---- consents ------------------------------------------------------------------------------------------------------


@subject_required
@never_cache
@require_safe
def consents(request: HttpRequest) -> HttpResponse:
    user, now, data_map, language = _me(request), clock.now(), load_live_map(), _language()
    states, unknown = read_consents(identities=get_identities(user), data_map=data_map, now=now)
    latest: dict[str, ConsentEvent] = {}
    for event in ConsentEvent.objects.filter(user=user).order_by("at", "id"):
        latest[event.purpose] = event
    open_withdrawals = submitted_requests(user).filter(subject=user, kind=Kind.WITHDRAWAL).exclude(state=State.CLOSED)
    pending = {purpose for item in open_withdrawals for purpose in item.details.get("purposes", ())}
    given = [state.purpose for state in states if state.given]
    taken_back = [
        event for purpose, event in latest.items() if not event.given and purpose not in given
        and purpose in data_map.consents
    ]  # fmt: skip
    context = {
        "given": [
            _given_consent(key, latest.get(key), pending=key in pending, data_map=data_map, language=language)
            for key in given
        ],
        "withdrawn": [
            {**_consent_name(event.purpose, data_map, language), "withdrawn_at": event.at}
            for event in sorted(taken_back, key=lambda event: event.at, reverse=True)
        ],
        "off": [_consent_name(purpose, data_map, language) for purpose in _never_given(states, latest)],
        "unknown": [data_map.systems[key].label(language) for key in unknown],
    }
    return render(request, "subject/consents.html", context)


def _never_given(states: list[ConsentState], latest: dict[str, ConsentEvent]) -> list[str]:
    """What the systems say is off and what was not withdrawn here: refused, or ended before this portal was there."""
    return [
        state.purpose for state in states
        if not state.given and not (state.purpose in latest and not latest[state.purpose].given)
    ]  # fmt: skip


def _consent_name(purpose: str, data_map: DataMap, language: str) -> dict[str, Any]:
    consent = data_map.consents[purpose]
    entity = data_map.collections[consent.collection].entity
    return {"label": consent.label(language), "company": data_map.entities[entity].name(language)}


def _given_consent(
    purpose: str, event: ConsentEvent | None, *, pending: bool, data_map: DataMap, language: str
) -> dict[str, Any]:
    consent = data_map.consents[purpose]
    recipients = [
        name(language) for item in data_map.collections.values() if item.consent == purpose for name in item.recipients
    ]
    return {
        **_consent_name(purpose, data_map, language),
        "given_at": event.at if event and event.given else None,
        "consequence": consent.consequence(language),
        "recipients": listed_parties(recipients),
        "kind": consent.kind,
        "purpose": purpose,
        "withdraw_url": reverse("rights:start", args=[Kind.WITHDRAWAL.value]),
        "immediate": consent.immediate,
        "pending": pending,
    }


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
    holds = list(Hold.objects.filter(vault__user=_me(request)).order_by("last_day", "collection"))
    lines = group_holds(holds, data_map=data_map, language=language)
    companies: dict[str, list[PlanLine]] = {}
    for item in lines:
        companies.setdefault(item.entity, []).append(replace(item.line, company=""))
    context = {
        "today": local_day(now),
        "total": sum(item.line.count for item in lines),
        "companies": [
            {
                "name": data_map.entities[key].name(language) if key in data_map.entities else key,
                "count": sum(line.count for line in found),
                "lines": found,
            }
            for key, found in companies.items()
        ],
        "released": lately_released(holds, data_map=data_map, language=language, now=now),
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
