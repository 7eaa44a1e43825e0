"""Errors as RFC 9457 problem details: each says what is wrong, where, and what to do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from rest_framework import exceptions, status
from rest_framework.response import Response

from accounts.standin import SignInDelayed, SignInRefused
from accounts.stepup import ExpiredCode, Throttled, UsedCode, WrongCode
from portal.core import clock
from rights.actions.review import CannotDecide
from rights.actions.submit import CannotSubmit, NotAuthorised
from rights.transitions import StaleRequest

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:privacy-rights-portal:problem:"


def problem(
    *, name: str, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """One problem. `name` is stable and for programs; `title` and `detail` are for people, in the caller's language."""
    body = {"type": f"{_TYPE}{name}", "title": title, "status": status, "detail": detail, **more}
    return Response(body, status=status, headers=dict(headers or {}), content_type=MEDIA_TYPE)


def handle_exception(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Every error of a view as a problem. What nobody foresaw is logged whole and told as nothing but a 500."""
    found = _of_the_domain(error) or _of_the_framework(error)
    if found is not None:
        return found
    log.exception("api_failed", exc_info=error)
    return problem(
        name="internal",
        status=status.HTTP_500_INTERNAL_SERVER_ERROR,
        title=_("Our fault"),
        detail=_("Something went wrong on our side. It was recorded; try again later."),
    )


def _of_the_domain(error: Exception) -> Response | None:
    match error:
        case SignInDelayed():
            return _delayed(error.retry_at, name="sign-in-delayed", title=_("Too many tries"))
        case SignInRefused():
            return problem(
                name="sign-in-refused",
                status=status.HTTP_401_UNAUTHORIZED,
                title=_("Not signed in"),
                detail=_("The number or the password is not right."),
                headers={"WWW-Authenticate": "Bearer"},
            )
        case Throttled():
            return _delayed(error.retry_at, name="codes-throttled", title=_("Too many codes"))
        case WrongCode():
            detail = (
                _("That code is not right; tries left: %(n)s.") % {"n": error.tries_left}
                if error.tries_left
                else _("That code is not right and cannot be tried again. Ask for a new one at code/.")
            )
            return _code_problem("wrong-code", detail, tries_left=error.tries_left)
        case ExpiredCode():
            return _code_problem("expired-code", _("There is no valid code. Ask for a new one at code/."))
        case UsedCode():
            return _code_problem("used-code", _("This code was used already. Ask for a new one at code/."))
        case NotAuthorised():
            return problem(
                name="not-authorised", status=status.HTTP_403_FORBIDDEN, title=_("Not allowed"), detail=_(str(error))
            )
        case CannotSubmit():
            return problem(
                name="cannot-submit",
                status=status.HTTP_409_CONFLICT,
                title=_("This cannot be done as it is"),
                detail=_(str(error)),
            )
        case StaleRequest() | CannotDecide():
            return problem(
                name="moved-on",
                status=status.HTTP_409_CONFLICT,
                title=_("The request has moved on"),
                detail=_("Get the request again: it is not in the state that this needs."),
            )
        case _:
            return None


def _code_problem(name: str, detail: str, **more: Any) -> Response:
    return problem(
        name=name,
        status=status.HTTP_422_UNPROCESSABLE_ENTITY,
        title=_("The code does not confirm"),
        detail=detail,
        errors=[{"field": "code", "detail": detail}],
        **more,
    )


def _delayed(retry_at: datetime, *, name: str, title: str) -> Response:
    seconds = max(1, int((retry_at - clock.now()).total_seconds()) + 1)
    return problem(
        name=name,
        status=status.HTTP_429_TOO_MANY_REQUESTS,
        title=title,
        detail=_("Try again in %(n)s seconds.") % {"n": seconds},
        headers={"Retry-After": str(seconds)},
    )


_TITLES = {
    status.HTTP_400_BAD_REQUEST: ("invalid", gettext_noop("Something is missing or wrong")),
    status.HTTP_401_UNAUTHORIZED: ("not-signed-in", gettext_noop("Not signed in")),
    status.HTTP_403_FORBIDDEN: ("forbidden", gettext_noop("Not allowed")),
    status.HTTP_404_NOT_FOUND: ("not-found", gettext_noop("Not found")),
    status.HTTP_405_METHOD_NOT_ALLOWED: ("method-not-allowed", gettext_noop("Not possible here")),
    status.HTTP_406_NOT_ACCEPTABLE: ("not-acceptable", gettext_noop("Not possible here")),
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: ("unsupported-media-type", gettext_noop("Not possible here")),
    status.HTTP_429_TOO_MANY_REQUESTS: ("throttled", gettext_noop("Too many tries")),
}


def _of_the_framework(error: Exception) -> Response | None:
    if isinstance(error, Http404):
        error = exceptions.NotFound(_("There is nothing here, or it is not yours to see."))
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    headers = {}
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(auth_header)
    name, title = _TITLES.get(error.status_code, ("error", gettext_noop("Something is missing or wrong")))
    if isinstance(error, exceptions.ValidationError):
        errors = list(_flatten(error.detail))
        listed = "; ".join(f"{item['field']}: {item['detail']}" if item["field"] else item["detail"] for item in errors)
        return problem(name=name, status=error.status_code, title=_(title), detail=listed, errors=errors)
    return problem(name=name, status=error.status_code, title=_(title), detail=str(error.detail), headers=headers)


def _flatten(detail: Any, path: str = "") -> list[dict[str, str]]:
    """Every message with the way to its field: items[0].new."""
    if isinstance(detail, Mapping):
        found = []
        for key, value in detail.items():
            if key == "non_field_errors":
                where = path
            elif isinstance(key, int):
                where = f"{path}[{key}]"
            else:
                where = f"{path}.{key}" if path else str(key)
            found += _flatten(value, where)
        return found
    if isinstance(detail, list | tuple):
        found = []
        for index, value in enumerate(detail):
            nested = isinstance(value, Mapping | list | tuple)
            found += _flatten(value, f"{path}[{index}]" if nested else path) if value else []
        return found
    return [{"field": path, "detail": str(detail)}]
