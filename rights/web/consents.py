"""The consent centre: what a person agreed to, who receives their data, and how each of it is ended or given."""

from collections.abc import Callable
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.permissions import subject_required
from portal.core import clock
from rights.actions import consents as acts
from rights.actions.submit import CannotSubmit, Preview
from rights.consents import ends_with_signal, list_recipients, read_register, recipient_key
from rights.datamap import DataMap, load_live_map
from rights.kernel.decisions import reason
from rights.kernel.states import Kind
from rights.models import PrivacyPolicy
from rights.web import language_of_page, person_of
from rights.web.asking_forms import preview_of, warn_unknown
from rights.web.present import listed_parties
from rights.web.present_consents import (
    present_asks,
    present_erased,
    present_needed,
    present_permissions,
    present_recipients,
    present_use,
    present_uses,
)

GPC_SINCE = date(2026, 11, 24)
"""Since when the portal honours the signal (`lastUpdate` of /.well-known/gpc.json)."""
SIGNAL_NOTED = "gpc_noted"


# --- pages


@subject_required
@never_cache
@require_safe
def consents(request: HttpRequest) -> HttpResponse:
    """Every use with its state, history and what follows; the rest by links."""
    user, now, data_map, language = person_of(request), clock.now(), load_live_map(), language_of_page()
    register = read_register(user, data_map=data_map, now=now)
    held = _held(preview_of(user, Kind.DELETION, now=now))
    uses = present_uses(register, data_map, language=language)
    others = [use for use in uses if not use.marketing]
    purposes, parties = ends_with_signal(data_map)
    recipients = present_recipients(register, data_map, held=held, language=language)
    context = {
        "asks": present_asks(register, data_map, language=language),
        "signal": register.signal,
        "signal_uses": [data_map.consents[key].label(language) for key in purposes],
        "signal_parties": listed_parties(party.name(language) for party in parties),
        "marketing": [use for use in uses if use.marketing and use.given is not None],
        "given": [use for use in others if use.given],
        "ended": [use for use in others if use.given is False and use.history and use.text],
        "never": [use.label for use in uses if use.given is None and not register.unknown],
        "recipients": len(recipients),
        "refused": sum(view.refused for view in recipients),
        "permissions": len(data_map.permissions),
        "policy": register.policies[0] if register.policies else None,
        "needed": present_needed(data_map, held=held, language=language),
        "unknown": [data_map.systems[key].label(language) for key in register.unknown],
    }
    return render(request, "subject/consents.html", context)


@subject_required
@never_cache
@require_safe
def sharing(request: HttpRequest) -> HttpResponse:
    """Who receives data of the person, what and why, and the switch for each."""
    user, now, data_map, language = person_of(request), clock.now(), load_live_map(), language_of_page()
    register = read_register(user, data_map=data_map, now=now)
    seen = preview_of(user, Kind.DELETION, now=now)
    warn_unknown(request, seen.plan.unknown, data_map)
    recipients = present_recipients(register, data_map, held=_held(seen), language=language)
    context = {
        "refusable": [view for view in recipients if view.refusable],
        "needed": [view for view in recipients if not view.refusable],
    }
    return render(request, "subject/sharing.html", context)


@require_safe
@subject_required
def permissions(request: HttpRequest) -> HttpResponse:
    """What the apps ask of a phone, why, and where each is switched off. The phone keeps the switches."""
    shown = present_permissions(load_live_map(), language=language_of_page())
    return render(request, "subject/permissions.html", {"permissions": shown})


@require_safe
@subject_required
def policies(request: HttpRequest) -> HttpResponse:
    """Each version of the policy: since when, what changed, and about which uses it asks."""
    data_map, language = load_live_map(), language_of_page()
    english = language.startswith("en")
    shown = [
        {
            "version": policy.version,
            "effective_on": policy.effective_on,
            "changes": [change["en" if english else "zh"] for change in policy.changes],
            "asks": [
                (_("%(name)s (new)") if ask["new"] else _("%(name)s (changed)"))
                % {"name": data_map.consents[ask["purpose"]].label(language)}
                for ask in policy.asks
                if ask["purpose"] in data_map.consents
            ],
        }
        for policy in PrivacyPolicy.objects.order_by("-effective_on", "-id")
    ]
    return render(request, "subject/policies.html", {"policies": shown})


@subject_required
@never_cache
@require_safe
def confirm(request: HttpRequest) -> HttpResponse:
    """One use or recipient, with all that follows, where one tap would be too quick: something is lost, the data is
    sensitive, or the browser asks for the opposite."""
    user, now, data_map, language = person_of(request), clock.now(), load_live_map(), language_of_page()
    purpose, recipient = _named(request.GET, data_map)
    register = read_register(user, data_map=data_map, now=now)
    is_end, version = request.GET.get("to") == "end", request.GET.get("version", "")
    key = purpose or recipient_key(recipient)
    purposes, parties = ends_with_signal(data_map)
    context: dict[str, Any] = {
        "is_end": is_end,
        "purpose": purpose,
        "recipient": recipient,
        "version": version,
        "signal": register.signal
        if not is_end and key in {*purposes, *(recipient_key(party.key) for party in parties)}
        else None,
        "action": reverse(f"rights:consent_{'end' if is_end else 'answer' if version else 'give'}"),
        "back_url": reverse("rights:consent_sharing" if recipient else "rights:consents"),
    }
    if purpose:
        use = present_use(purpose, register, data_map, language=language)
        context |= {"use": use, "name": use.label}
        if is_end and use.given:
            seen = preview_of(user, Kind.WITHDRAWAL, now=now, purposes=frozenset({purpose}))
            context["erases"] = present_erased(purpose, seen.plan, data_map, language=language)
    else:
        context["name"] = _party_name(recipient, data_map, language)
    return render(request, "subject/consent_confirm.html", context)


# --- acts


@subject_required
@require_POST
def end(request: HttpRequest) -> HttpResponse:
    """End a use, or that a recipient receives data. A second tap finds it ended and says the same."""
    user, data_map = person_of(request), load_live_map()
    purpose, recipient = _named(request.POST, data_map)
    filed = _try(
        request,
        lambda: acts.withdraw(
            user=user,
            purposes=[purpose] if purpose else [],
            recipients=[recipient] if recipient else [],
            now=clock.now(),
        ),
    )
    if filed is not _REFUSED:
        messages.success(request, _ended_words(purpose, recipient, data_map, ref=filed.reference if filed else ""))
    return _back(purpose, recipient)


@subject_required
@require_POST
def give(request: HttpRequest) -> HttpResponse:
    """Agree to a use, or let a recipient receive data again."""
    user, data_map = person_of(request), load_live_map()
    purpose, recipient = _named(request.POST, data_map)
    try:
        changed = _try(
            request,
            lambda: acts.give(
                user=user,
                purpose=purpose,
                recipient=recipient,
                is_meant=request.POST.get("meant") == "1",
                now=clock.now(),
            ),
        )
    except acts.AgainstSignal:
        return _to_confirm(purpose=purpose, recipient=recipient)
    if changed is not _REFUSED:
        name = _name_of(purpose, recipient, data_map)
        messages.success(request, _("On, as of now: %(name)s. You can turn it off at any time.") % {"name": name})
    return _back(purpose, recipient)


@subject_required
@require_POST
def answer(request: HttpRequest) -> HttpResponse:
    """Answer what a new version of the policy asks about one use. Only a yes is a yes."""
    user, data_map = person_of(request), load_live_map()
    purpose, _recipient = _named(request.POST, data_map)
    said, version = request.POST.get("answer"), request.POST.get("version", "")
    if not purpose or said not in {"yes", "no"}:
        raise Http404
    try:
        done = _try(
            request,
            lambda: acts.answer(
                user=user,
                purpose=purpose,
                version=version,
                agrees=said == "yes",
                is_meant=request.POST.get("meant") == "1",
                now=clock.now(),
            ),
        )
    except acts.AgainstSignal:
        return _to_confirm(purpose=purpose, version=version)
    if done is not _REFUSED:
        given = {"name": _name_of(purpose, "", data_map)}
        if said == "yes":
            messages.success(request, _("You agreed: %(name)s. You can turn it off at any time.") % given)
        else:
            messages.success(request, _("You did not agree: %(name)s. Everything else goes on as before.") % given)
    return redirect("rights:consents")


_REFUSED: Any = object()


def _try(request: HttpRequest, act: Callable[[], Any]) -> Any:
    """What the act gives; _REFUSED where it says why not. What needs a word more of the person is passed on."""
    try:
        return act()
    except acts.UnknownUse:
        raise Http404 from None
    except acts.AgainstSignal:
        raise
    except CannotSubmit as refused:
        messages.warning(request, str(refused))
        return _REFUSED


def _named(data: Any, data_map: DataMap) -> tuple[str, str]:
    """The purpose or the recipient that is named; one of them, and one that there is."""
    purpose, recipient = data.get("purpose", ""), data.get("recipient", "")
    known = {received.party.key for received in list_recipients(data_map) if received.refusable}
    if bool(purpose) == bool(recipient) or (purpose and purpose not in data_map.consents):
        raise Http404
    if recipient and recipient not in known:
        raise Http404
    return purpose, recipient


def _to_confirm(**named: str) -> HttpResponse:
    query = urlencode({name: value for name, value in named.items() if value} | {"to": "give"})
    return redirect(f"{reverse('rights:consent_confirm')}?{query}")


def _back(purpose: str, recipient: str) -> HttpResponse:
    return redirect("rights:consent_sharing" if recipient else "rights:consents")


def _ended_words(purpose: str, recipient: str, data_map: DataMap, *, ref: str) -> str:
    language = language_of_page()
    name = _name_of(purpose, recipient, data_map)
    if purpose and data_map.consents[purpose].kind == "marketing":
        return _("%(name)s: %(text)s") % {"name": name, "text": reason("OK.MARKETING_OFF").text(language)}
    if not ref:
        return _("Off: %(name)s. It was ended already.") % {"name": name}
    if recipient:
        text = _("%(name)s receives nothing more that rests on your consent, and is told to stop. Case %(ref)s.")
    else:
        text = _("Off, as of now: %(name)s. The systems and those who received the data are told. Case %(ref)s.")
    return text % {"name": name, "ref": ref}


def _name_of(purpose: str, recipient: str, data_map: DataMap) -> str:
    language = language_of_page()
    return data_map.consents[purpose].label(language) if purpose else _party_name(recipient, data_map, language)


def _party_name(key: str, data_map: DataMap, language: str) -> str:
    return next(received.party.name(language) for received in list_recipients(data_map) if received.party.key == key)


def _held(seen: Preview) -> set[str]:
    return {line.collection for line in seen.plan.lines if line.count} & set(seen.data_map.collections)


# --- Global Privacy Control


@require_safe
@cache_control(public=True, max_age=86400)
def gpc(request: HttpRequest) -> JsonResponse:
    """That the signal is honoured here, and since when (Global Privacy Control, section 4)."""
    return JsonResponse({"gpc": True, "lastUpdate": GPC_SINCE.isoformat()})


class GlobalPrivacyControl:
    """Notes that a signed-in person's browser asks not to share and not to profile. After ActingMiddleware.

    A session is noted once, so that the signal costs other requests nothing. Anything but exactly `1` is no signal.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.headers.get("Sec-GPC") == "1":
            user = request.user
            if isinstance(user, User) and not user.is_staff_role and SIGNAL_NOTED not in request.session:
                acts.note_signal(user, now=clock.now())
                request.session[SIGNAL_NOTED] = True
        return self.get_response(request)
