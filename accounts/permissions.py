"""The role matrix: who may do what. Pages and the API ask `can`; the decorators are for pages."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeGuard, TypeVar, cast

from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url

from accounts.models import User

View = TypeVar("View", bound=Callable[..., HttpResponseBase])

PERMISSIONS = frozenset(
    {
        "request.view",
        "request.claim",
        "request.decide",
        "console.view",
        "console.edit",
        "audit.view",
        "confidential.view",
    }
)

# Administrators set the rules and decide no cases; auditors see all and change nothing.
MATRIX: dict[str, frozenset[str]] = {
    "subject": frozenset(),
    "support": frozenset({"request.view", "request.claim", "request.decide"}),
    "supervisor": frozenset({"request.view", "request.claim", "request.decide", "console.view"}),
    "admin": frozenset({"request.view", "console.view", "console.edit"}),
    "auditor": frozenset({"request.view", "console.view", "audit.view"}),
}


def can(user: User | AnonymousUser, permission: str) -> bool:
    """Whether `user` may do this. Sign-in with a second factor is asked for beside it: see `staff_required`."""
    if permission not in PERMISSIONS:
        raise ValueError(f"Unknown permission {permission!r}.")
    if not user.is_authenticated or not user.is_active:
        return False
    if permission == "confidential.view":
        return bool(user.is_staff_role and user.confidential)
    return permission in MATRIX[user.role]


def is_verified_staff(user: User | AnonymousUser) -> TypeGuard[User]:
    """Signed in as staff with the second factor. Without django-otp's middleware nobody is."""
    if not user.is_authenticated or not user.is_staff_role:
        return False
    verified = getattr(user, "is_verified", None)
    return bool(verified and verified())


def subject_required(view: View) -> View:
    """A page for a signed-in person. Staff have no requests of their own here: they are turned away."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _to_sign_in(request, "accounts:sign-in")
        if request.user.is_staff_role:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return cast(View, inner)


def staff_required(permission: str) -> Callable[[View], View]:
    """A page for staff with `permission`, second factor included."""
    if permission not in PERMISSIONS:
        raise ValueError(f"Unknown permission {permission!r}.")

    def decorate(view: View) -> View:
        @wraps(view)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _to_sign_in(request, "accounts:sign-in")
            if not request.user.is_staff_role:
                raise PermissionDenied
            if not is_verified_staff(request.user):
                return _to_sign_in(request, "accounts:totp")
            if not can(request.user, permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return cast(View, inner)

    return decorate


def _to_sign_in(request: HttpRequest, page: str) -> HttpResponse:
    """To a sign-in page and back. Only a page that was read is come back to: a form that was sent is not there any
    more."""
    back = request.get_full_path() if request.method in {"GET", "HEAD"} else ""
    return redirect_to_login(back, resolve_url(page)) if back else redirect_to_login("/", resolve_url(page))
