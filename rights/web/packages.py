"""The pages of an access package: what is in it, its download, its end, and copies for whom the person names."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core import signing
from django.core.validators import RegexValidator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import stepup
from accounts.forms import CodeForm
from portal.core import clock, keyring, rls
from rights.actions import packages
from rights.actions.packages import FETCH, Gone, WrongSecret, live_packages
from rights.actions.submit import stated_matter
from rights.datamap import DataMap, load_live_map
from rights.exportpages import present_omissions
from rights.exports import name_gaps
from rights.kernel.clock import local_day
from rights.kernel.decisions import LEGAL_SECRECY
from rights.kernel.plan import Plan
from rights.kernel.states import Kind
from rights.models import Package, Request
from rights.templatetags.look import hour, listed
from rights.web import form_saying, language_of_page, person_of
from rights.web.downloads import serve
from rights.web.for_others import asker_required, find_covered
from rights.web.present_request import follow_case

HANDOVER = "rights.handover"


class HandoverForm(CodeForm):
    receiver = forms.CharField(
        max_length=100,
        label=gettext_lazy("Who gets the copy"),
        help_text=gettext_lazy("The name of the company or person."),
        error_messages={"required": gettext_lazy("Write who gets the copy.")},
    )
    address = forms.CharField(
        max_length=200,
        label=gettext_lazy("Their address"),
        help_text=gettext_lazy("Mail, web or post: where you will send them the link."),
        error_messages={"required": gettext_lazy("Write where they can be reached.")},
    )
    field_order = ("receiver", "address", "code")


class SecretForm(forms.Form):
    secret = forms.CharField(
        max_length=40,
        label=gettext_lazy("Secret"),
        help_text=gettext_lazy("12 letters and digits, from the person whose data it is."),
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
        validators=[RegexValidator(r"^[\s0-9A-Za-z-]*$", gettext_lazy("A secret has letters and digits only."))],
        error_messages={"required": gettext_lazy("Enter the secret.")},
    )


# ---- what is in it, and its download -------------------------------------------------------------------------------


def _find(request: HttpRequest, pk: UUID) -> tuple[Request, list[Package]]:
    """The request and its parts. They go to the person alone, also where an agent asked for them (privacy policy 5)."""
    item = find_covered(request, pk)
    found = (
        list(item.packages.filter(copy_of=None).order_by("part")) if item.subject_id == person_of(request).pk else []
    )
    if not found:
        raise Http404
    return item, found


def _action(item: Request) -> str:
    return f"package:{item.pk}"


def _may_fetch_until(request: HttpRequest, key: str, *, now: datetime) -> datetime | None:
    """Until when this session may fetch what it has proved to be its reader's; None: it has to prove it again."""
    until = parse_datetime(str(request.session.get(key, "")))
    return until if until and until > now else None


@asker_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def package(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What is in the package. POST sends a code, which the download asks for."""
    item, found = _find(request, pk)
    if request.method != "POST":
        return _show(request, item, found, form=CodeForm())
    if live_packages(item, now=clock.now()) and (form := _send_code(request, action=_action(item))):
        return _show(request, item, found, form=form, status=429)
    return redirect("rights:package", pk)


def _send_code(request: HttpRequest, *, action: str) -> CodeForm | None:
    """Send a code; a form that says why it could not be."""
    try:
        stepup.issue_code(user=person_of(request), action=action, now=clock.now())
    except stepup.Throttled as error:
        again = {"hour": hour(error.retry_at)}
        return form_saying(CodeForm, _("Too many codes were sent. The next one is possible from %(hour)s.") % again)
    return None


@sensitive_post_parameters("code")
@asker_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def package_download(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A fresh code opens the download for an hour, so that one that broke off can be taken up again."""
    item, found = _find(request, pk)
    if request.method != "POST":
        return redirect("rights:package", pk)
    live = live_packages(item, now=clock.now())
    if not live:
        return _show(request, item, found, form=CodeForm(), status=410)
    form = CodeForm(request.POST)
    if not _confirms(request, form, action=_action(item)):
        return _show(request, item, found, form=form, status=422)
    request.session[_action(item)] = (clock.now() + FETCH).isoformat()
    if len(live) > 1:
        return redirect("rights:package", pk)
    return redirect("rights:package_file", pk, live[0].part)


def _confirms(request: HttpRequest, form: CodeForm, *, action: str) -> bool:
    """Use the form's code up; where it does not confirm, the form says why."""
    if not form.is_valid():
        return False
    try:
        stepup.confirm_code(user=person_of(request), action=action, code=form.cleaned_data["code"], now=clock.now())
    except stepup.CodeError as error:
        form.add_error("code", _code_problem(error))
        return False
    return True


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


@asker_required
@never_cache
@require_safe
def package_file(request: HttpRequest, pk: UUID, part: int) -> HttpResponseBase:
    """The ZIP of one part, whole or in ranges, while the session's proof is fresh."""
    item, found = _find(request, pk)
    now = clock.now()
    chosen = next((each for each in live_packages(item, now=now) if each.part == part), None)
    if chosen is None:
        return _show(request, item, found, form=CodeForm(), status=410)
    if not _may_fetch_until(request, _action(item), now=now):
        return redirect("rights:package", pk)
    name = f"access-{item.reference}.zip" if part == 1 else f"access-{item.reference}-{part}.zip"
    try:
        response, begun = serve(request, chosen, name=name)
    except (OSError, keyring.SealBroken):
        return _show_damaged(request, item, found)
    if begun:
        packages.count_download(chosen, actor=person_of(request), now=now)
    return response


@asker_required
@require_POST
def package_revoke(request: HttpRequest, pk: UUID, package: UUID) -> HttpResponse:
    """Destroy a part, or a copy for somebody else, before its day. A second tap finds it gone and says nothing new."""
    item, _found = _find(request, pk)
    chosen = item.packages.select_related("request__subject").filter(pk=package).first()
    if chosen is None:
        raise Http404
    try:
        packages.revoke(chosen, actor=person_of(request), reason="", now=clock.now())
    except Gone:
        return redirect("rights:package", pk)
    messages.success(request, _("It is destroyed and cannot be fetched any more."))
    return redirect("rights:package", pk)


def _show(
    request: HttpRequest, item: Request, found: Sequence[Package], *, form: CodeForm, status: int = 200
) -> HttpResponse:
    now, data_map, language = clock.now(), load_live_map(), language_of_page()
    until = stepup.valid_until(user=person_of(request), action=_action(item))
    live = live_packages(item, now=now)
    fetch_until = _may_fetch_until(request, _action(item), now=now)
    context = {
        "case": follow_case(item, data_map, language=language, now=now),
        "package": _describe(item, found, data_map=data_map, language=language),
        "parts": [
            {
                "number": each.part,
                "records": each.rows,
                "size": _size_text(each.size),
                "made_at": each.made_at,
                "expires_on": local_day(each.expires_at),
                "downloads": each.downloads,
                "url": reverse("rights:package_file", args=[item.pk, each.part]) if fetch_until else "",
                "revoke_url": reverse("rights:package_revoke", args=[item.pk, each.pk]),
            }
            for each in live
        ],
        "gone": not live,
        "fetch_until": fetch_until,
        "form": form,
        "kept": "",
        "phone": person_of(request).masked_phone,
        "valid_until": until if until and until > now else None,
        "resend_url": reverse("rights:package", args=[item.pk]),
        "download_url": reverse("rights:package_download", args=[item.pk]),
        "handover_url": reverse("rights:handover", args=[item.pk]) if live and item.details.get("portable") else "",
        "ask_url": reverse("rights:right", args=[Kind.ACCESS.value]),
        "legal_secrecy": LEGAL_SECRECY.text(language),
    }
    return render(request, "subject/package.html", context, status=status)


def _show_damaged(request: HttpRequest, item: Request, found: Sequence[Package]) -> HttpResponse:
    form = form_saying(CodeForm, _("The file is damaged and was not handed out. Please ask for a new package."))
    return _show(request, item, found, form=form, status=500)


def _describe(item: Request, found: Sequence[Package], *, data_map: DataMap, language: str) -> dict[str, Any]:
    """What is in it, from the plan made when asking. Counts by system are left out where records came or went between
    asking and packing, so that what is shown always adds up."""
    plan = Plan.from_json(item.plan) if item.plan else None
    counts: dict[str, int] = {}
    for line in plan.lines if plan else ():
        counts[line.collection] = counts.get(line.collection, 0) + line.count
    total = sum(each.rows for each in found)
    adds_up = sum(counts.values()) == total
    gaps, matter = found[-1].gaps, stated_matter(item)
    asked = [each for each in data_map.collections.values() if matter.concerns(each)]
    inside = [each for each in asked if each.system not in gaps]
    filled = [each for each in inside if counts.get(each.key) or not adds_up]
    systems = [
        {
            "name": system.label(language),
            "state": "unknown" if system.key in gaps else "loaded",
            "records": sum(counts.get(each.key, 0) for each in data_map.of_system(system.key)) if adds_up else None,
            "note": data_map.entities[system.entity].name(language),
        }
        for system in data_map.systems.values()
        if any(each.system == system.key for each in asked)
    ]
    omissions = [*name_gaps(gaps, data_map), *packages.list_omissions(matter, data_map)]
    return {
        "records": total,
        "expires_on": local_day(found[-1].expires_at),
        "revoked_at": found[-1].revoked_at,
        "systems": systems,
        "omissions": present_omissions(omissions, language),
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


# ---- a copy for somebody whom the person names ---------------------------------------------------------------------


def _handover_action(item: Request) -> str:
    return f"handover:{item.pk}"


@sensitive_post_parameters("code")
@asker_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def handover(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Name a receiver and confirm with a code; the link and the secret are shown once, in the answer."""
    item, found = _find(request, pk)
    now = clock.now()
    live = live_packages(item, now=now)
    if not live or not item.details.get("portable"):
        return redirect("rights:package", pk)
    if request.method != "POST":
        return _show_handover(request, item, form=HandoverForm())
    if "send" in request.POST:
        if form := _send_code(request, action=_handover_action(item)):
            return _show_handover(request, item, form=form, status=429)
        return redirect("rights:handover", pk)
    typed = HandoverForm(request.POST)
    if not _confirms(request, typed, action=_handover_action(item)):
        return _show_handover(request, item, form=typed, status=422)
    named = {name: typed.cleaned_data[name] for name in ("receiver", "address")}
    try:
        made = [packages.hand_over(each, now=now, **named) for each in live]
    except Gone:
        return redirect("rights:package", pk)
    except (OSError, keyring.SealBroken):
        return _show_damaged(request, item, found)
    return _show_handover(request, item, form=HandoverForm(), made=made)


def _show_handover(
    request: HttpRequest,
    item: Request,
    *,
    form: forms.Form,
    made: Sequence[packages.Handover] = (),
    status: int = 200,
) -> HttpResponse:
    now = clock.now()
    until = stepup.valid_until(user=person_of(request), action=_handover_action(item))
    context = {
        "case": follow_case(item, load_live_map(), language=language_of_page(), now=now),
        "form": form,
        "kept": "",
        "phone": person_of(request).masked_phone,
        "valid_until": until if until and until > now else None,
        "made": [
            {"url": request.build_absolute_uri(_link(item, each.package)), "secret": each.secret} for each in made
        ],
        "copies": [
            {
                "receiver": each.receiver,
                "address": each.address,
                "made_at": each.made_at,
                "state": _state_of(each, now=now),
                "expires_at": each.expires_at,
                "revoke_url": (
                    reverse("rights:package_revoke", args=[item.pk, each.pk])
                    if each.data_key and each.expires_at > now
                    else ""
                ),
            }
            for each in item.packages.exclude(copy_of=None).order_by("-made_at", "id")
        ],
        "here": reverse("rights:handover", args=[item.pk]),
        "package_url": reverse("rights:package", args=[item.pk]),
    }
    return render(request, "subject/handover.html", context, status=status)


def _state_of(copy: Package, *, now: datetime) -> str:
    """ready, fetched, ended (by somebody, or by wrong secrets) or unused."""
    if copy.opened_at:
        return "fetched"
    if copy.revoked_at:
        return "ended"
    return "ready" if copy.data_key and copy.expires_at > now else "unused"


def _link(item: Request, copy: Package) -> str:
    """The address for the receiver. It names the person only as the database knows them, and is signed: whoever has it
    may try a secret, and nothing else."""
    token = signing.dumps([str(item.subject_id), str(copy.pk)], salt=HANDOVER)
    return reverse("rights:received", args=[token])


def _copy_of(token: str) -> tuple[UUID, UUID]:
    try:
        subject, copy = signing.loads(token, salt=HANDOVER)
        return UUID(subject), UUID(copy)
    except (signing.BadSignature, ValueError):
        raise Http404 from None


@sensitive_post_parameters("secret")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def received(request: HttpRequest, token: str) -> HttpResponse:
    """For the receiver, who has no account: the secret opens the copy, once."""
    subject, pk = _copy_of(token)
    now = clock.now()
    form = SecretForm(request.POST or None)
    with rls.speaking_for(subject, staff=False):
        copy = _receivable(pk, now=now)
    fetch_until = _may_fetch_until(request, f"received:{pk}", now=now)
    status = 410 if copy is None else 200
    if request.method == "POST" and copy is not None and not fetch_until:
        status = 422
        if form.is_valid():
            try:
                with rls.speaking_for(subject, staff=False):
                    packages.open_handover(copy, secret=form.cleaned_data["secret"], now=now)
            except Gone:
                copy, status = None, 410
            except WrongSecret as error:
                form.add_error("secret", _secret_problem(error))
            else:
                request.session[f"received:{pk}"] = (now + FETCH).isoformat()
                return redirect("rights:received_file", token)
    context = {
        "gone": copy is None or (copy.opened_at is not None and not fetch_until),
        "damaged": False,
        "form": form,
        "size": _size_text(copy.size) if copy else "",
        "expires_at": copy.expires_at if copy else None,
        "fetch_url": reverse("rights:received_file", args=[token]) if fetch_until else "",
    }
    return render(request, "subject/received.html", context, status=410 if context["gone"] else status)


def _secret_problem(error: WrongSecret) -> str:
    if not error.tries_left:
        return _("That secret is not right. The copy is destroyed; ask for another one.")
    return ngettext(
        "That secret is not right. %(n)s try left.", "That secret is not right. %(n)s tries left.", error.tries_left
    ) % {"n": error.tries_left}


def _receivable(pk: UUID, *, now: datetime) -> Package | None:
    found = Package.objects.select_related("request__subject").filter(pk=pk).exclude(copy_of=None).first()
    return found if found and found.data_key and found.expires_at > now else None


@never_cache
@require_safe
def received_file(request: HttpRequest, token: str) -> HttpResponseBase:
    """The ZIP for the receiver, whole or in ranges, for the hour after the secret was right."""
    subject, pk = _copy_of(token)
    now = clock.now()
    with rls.speaking_for(subject, staff=False):
        copy = _receivable(pk, now=now)
        if copy is None or not _may_fetch_until(request, f"received:{pk}", now=now):
            return redirect("rights:received", token)
        try:
            response, begun = serve(request, copy, name=f"portable-{copy.request.reference}.zip")
        except (OSError, keyring.SealBroken):
            return render(request, "subject/received.html", {"damaged": True}, status=500)
        if begun:
            packages.count_download(copy, actor=None, now=now)
    return response
