"""API tokens: random, shown once, kept as a digest. `Authorization: Bearer <token>`."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.models import ApiToken, User
from portal.core import clock, rls

PREFIX = "prp_"
VALID = timedelta(hours=12)
FORGOTTEN_AFTER = timedelta(days=1)


def issue_token(
    *, user: User, now: datetime, name: str = "", second_factor: bool = False, valid: timedelta = VALID
) -> str:
    """A new token of `user`. It cannot be shown again: only its digest stays."""
    token = PREFIX + secrets.token_urlsafe(32)
    ApiToken.objects.create(
        user=user,
        digest=_digest(token),
        name=name,
        second_factor=second_factor and user.is_staff_role,
        created_at=now,
        expires_at=now + valid,
    )
    return token


def revoke_token(*, user: User, token: str, now: datetime) -> bool:
    """End a token of `user`. False if there is none to end."""
    return bool(ApiToken.objects.filter(user=user, digest=_digest(token), revoked_at=None).update(revoked_at=now))


def forget_tokens(*, now: datetime) -> int:
    """Delete tokens that ended a day ago, for workers."""
    ended = Q(expires_at__lte=now - FORGOTTEN_AFTER) | Q(revoked_at__lte=now - FORGOTTEN_AFTER)
    deleted, _by_model = ApiToken.objects.filter(ended).delete()
    return deleted


def check_token(token: str, *, now: datetime) -> ApiToken | None:
    """The token row, if the token is good; the connection then speaks for its user."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT find_token FROM find_token(%s)", [_digest(token)])
        row = cursor.fetchone()
    if row is None or row[0] is None:
        return None
    rls.acting_as(row[0], staff=False)
    found = ApiToken.objects.select_related("user").filter(digest=_digest(token)).first()
    if found is None or found.revoked_at or found.expires_at <= now or not found.user.is_active:
        rls.reset()
        return None
    if found.user.is_staff_role and found.second_factor:
        rls.acting_as(found.user_id, staff=True)
    return found


class TokenAuthentication(BaseAuthentication):
    """For DRF. The answer to every bad token is the same."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _space, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() not in {"bearer", "token"}:
            return None
        found = check_token(token.strip(), now=clock.now())
        if found is None:
            raise AuthenticationFailed(_("This token is not valid. Sign in again."))
        return found.user, found

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document names it."""

    target_class = "accounts.tokens.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
