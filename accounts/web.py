"""Pages: signing in and out, the second factor of staff, the language, and who the portal thinks you are."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME, login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve, reverse
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.module_loading import import_string
from django.utils.translation import check_for_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_otp import login as otp_login

from accounts import authority as mandates
from accounts.authority import authorities_given, authorities_held, is_over, names_of_agents
from accounts.forms import CodeForm, SignInForm
from accounts.identities import get_identities
from accounts.masks import mask_id_number
from accounts.models import Authority, User
from accounts.permissions import is_verified_staff
from accounts.standin import SignInDelayed, SignInRefused, check_sign_in
from accounts.totp import TotpDelayed, TotpRefused, verify_code
from portal.core import clock

BACKEND = "accounts.standin.AccountBackend"


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """One error for every way a sign-in can fail; with the second factor still to come for staff."""
    back = _safe_next(request)
    if request.method == "POST":
        form = SignInForm(request.POST)
        if form.is_valid():
            return _try_sign_in(request, form, back)
        return _render_sign_in(request, form, back, status=422)
    if request.user.is_authenticated and (is_verified_staff(request.user) or not request.user.is_staff_role):
        return redirect(back or home_of(request.user))
    return _render_sign_in(request, SignInForm(), back)


def _try_sign_in(request: HttpRequest, form: SignInForm, back: str) -> HttpResponse:
    try:
        user = check_sign_in(
            request=request,
            login=form.cleaned_data["login"],
            password=form.cleaned_data["password"],
            now=clock.now(),
        )
    except SignInDelayed as error:
        form.add_error(None, _("Too many tries. You can try again at %(time)s.") % {"time": _hour(error.retry_at)})
        return _render_sign_in(request, form, back, status=429)
    except SignInRefused:
        form.add_error(None, _("The number or the password is not right."))
        return _render_sign_in(request, form, back, status=422)
    login(request, user, backend=BACKEND)
    if user.is_staff_role:
        response = redirect("accounts:totp")
        if back:
            response["Location"] += f"?{_query(back)}"
    else:
        response = redirect(back or home_of(user))
    _set_language(response, user.language)
    return response


def _render_sign_in(request: HttpRequest, form: SignInForm, back: str, *, status: int = 200) -> HttpResponse:
    context = {"form": form, "next": back, "hints": _hints()}
    return render(request, "accounts/sign_in.html", context, status=status)


@sensitive_post_parameters("code")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def totp(request: HttpRequest) -> HttpResponse:
    """The second factor. Until it is given the connection keeps the web role, whatever the user's role is."""
    back = _safe_next(request)
    user = request.user
    if not user.is_authenticated:
        return redirect("accounts:sign-in")
    if not user.is_staff_role or is_verified_staff(user):
        return redirect(back or home_of(user))
    status = 200
    form = CodeForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                device = verify_code(user=user, code=form.cleaned_data["code"], now=clock.now())
            except TotpDelayed as refused:
                wait = {"time": _hour(refused.retry_at, seconds=True)}
                form.add_error("code", _("Too many tries. You can try again at %(time)s.") % wait)
                status = 429
            except TotpRefused:
                form.add_error("code", _("That code is not right."))
            else:
                request.session.cycle_key()
                otp_login(request, device)
                return redirect(back or home_of(user))
    return render(request, "accounts/totp.html", {"form": form, "next": back}, status=status)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """By POST only: a picture on another site must not sign anybody out."""
    logout(request)
    return redirect("accounts:sign-in")


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Remember the language in a cookie, and with the account if somebody is signed in."""
    response = redirect(_safe_next(request) or "/")
    code = request.POST.get("language", "")
    if code in dict(settings.LANGUAGES) and check_for_language(code):
        _set_language(response, code)
        if request.user.is_authenticated:
            request.user.language = code
            request.user.save(update_fields=["language"])
    return response


@never_cache
@require_GET
def me(request: HttpRequest) -> HttpResponse:
    """Who the portal thinks you are, masked: enough to know yourself again."""
    user = request.user
    if not user.is_authenticated:
        response = redirect("accounts:sign-in")
        response["Location"] += f"?{_query(request.get_full_path())}"
        return response
    identities, names = get_identities(user), names_of_agents()
    return render(
        request,
        "accounts/me.html",
        {
            "person": user,
            "id_number": mask_id_number(identities.get("id_number", "")),
            "held": [_describe(item, item.principal.masked_name) for item in authorities_held(user)],
            "given": [_describe(item, names.get(item.agent_id, "")) for item in authorities_given(user)],
            "verified": user.identities.filter(kind__in=("name", "id_number")).order_by("verified_at").last(),
        },
    )


@require_POST
def end_mandate(request: HttpRequest, pk: int) -> HttpResponse:
    """A person ends what they let somebody do for them. A second tap finds it ended and says nothing new."""
    user = request.user
    if not user.is_authenticated:
        return redirect("accounts:sign-in")
    if mandates.end_mandate(principal=user, authority_id=pk, now=clock.now()):
        messages.success(request, _("It is ended: they can no longer ask for you or see anything of you here."))
    return redirect("accounts:me")


def _describe(given: Authority, name: str) -> dict[str, object]:
    return {
        "name": name,
        "kind": Authority.Kind(given.kind).label,
        "scope": given.scope,
        "until": given.valid_until and given.valid_until.astimezone(clock.SHANGHAI).date(),
        "over": is_over(given, clock.now()),
        "end_url": reverse("accounts:end-mandate", args=[given.pk]) if given.kind == Authority.Kind.AGENT else "",
    }


def home_of(user: User) -> str:
    """Where a user lands after signing in. These addresses are fixed; the pages behind them belong to a higher
    floor."""
    if not user.is_staff_role:
        return "/"
    return "/console/" if user.role in {User.Role.ADMIN, User.Role.AUDITOR} else "/desk/"


def _safe_next(request: HttpRequest) -> str:
    """The page to come back to: a path of this site that exists, and none that signs in or out."""
    target = request.POST.get(REDIRECT_FIELD_NAME) or request.GET.get(REDIRECT_FIELD_NAME) or ""
    if not target.startswith("/") or not url_has_allowed_host_and_scheme(target, allowed_hosts=None):
        return ""
    try:
        match = resolve(target.split("?", 1)[0].split("#", 1)[0])
    except Resolver404:
        return ""
    return (
        ""
        if match.view_name in {"accounts:sign-in", "accounts:sign-out", "accounts:totp", "accounts:language"}
        else target
    )


def _query(target: str) -> str:
    return urlencode({REDIRECT_FIELD_NAME: target})


class SignInHint(Protocol):
    """One sign-in that the demo offers."""

    @property
    def login(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...
    def story(self, language: str) -> str: ...


def _hints() -> list[dict[str, Any]]:
    """Demo sign-ins with their stories, from wherever `SIGN_IN_HINTS` says. Never outside demo mode."""
    if not settings.DEMO or not settings.SIGN_IN_HINTS:
        return []
    hints: Sequence[SignInHint] = import_string(settings.SIGN_IN_HINTS)
    groups = []
    for title, staff in ((_("People of the demo"), False), (_("Staff of the demo"), True)):
        people = [
            {
                "login": hint.login,
                "password": hint.password,
                "name": hint.name,
                "role": User.Role(hint.role).label if staff else "",
                "story": hint.story(translation.get_language() or settings.LANGUAGE_CODE),
            }
            for hint in hints
            if (hint.role != User.Role.SUBJECT) == staff
        ]
        if people:
            groups.append({"title": title, "people": people, "password": people[0]["password"]})
    return groups


def _set_language(response: HttpResponse, code: str) -> None:
    translation.activate(code)
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        code,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        samesite="Lax",
    )


def _hour(moment: datetime, *, seconds: bool = False) -> str:
    return f"{moment.astimezone(clock.SHANGHAI):{'%H:%M:%S' if seconds else '%H:%M'}}"
