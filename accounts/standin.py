"""The account stand-in: sign-in with an account number or phone and a password, behind the door where OpenID Connect
will come.

Before sign-in the web role sees no user at all. The one thing it may ask is whose account these digests are
(`find_account`); from then on the connection speaks for that user, and the user's own row is all it sees.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.backends import BaseBackend
from django.db import connection, transaction
from django.http import HttpRequest

from accounts.models import SignInAttempt, User
from accounts.normal import normalise
from portal.core import keyring, rls

ATTEMPTS = 10
WINDOW = timedelta(minutes=15)


class SignInRefused(Exception):
    """The number, the password or the account is not right; which of them is nobody's business."""


class SignInDelayed(SignInRefused):
    """Too many attempts on this number from this address."""

    def __init__(self, retry_at: datetime) -> None:
        super().__init__(f"Too many attempts until {retry_at:%H:%M}.")
        self.retry_at = retry_at


class AccountBackend(BaseBackend):
    """Django's door to the stand-in. `check_sign_in` is the throttled way to it."""

    def authenticate(
        self, request: HttpRequest | None, login: str | None = None, password: str | None = None, **credentials: Any
    ) -> User | None:
        if not login or password is None:
            return None
        user_id = find_account(login)
        if user_id is None:
            User().set_password(password)  # as much work as a wrong password: the time must not tell who has an account
            return None
        rls.acting_as(user_id, staff=False)
        user = User.objects.filter(pk=user_id).first()
        if user is not None and user.check_password(password) and user.is_active:
            return user
        rls.reset()
        return None

    def get_user(self, user_id: Any) -> User | None:
        """The user of a session. The connection speaks for them from here on, with the web role; see
        `ActingMiddleware`."""
        user_id = user_id if isinstance(user_id, UUID) else UUID(str(user_id))
        rls.acting_as(user_id, staff=False)
        user = User.objects.filter(pk=user_id).first()
        if user is not None and user.is_active:
            return user
        rls.reset()
        return None


def find_account(login: str) -> UUID | None:
    """Whose account number or phone this is. None too where two accounts match: guessing one of them would be worse."""
    digests = keyring.blind_indexes("account_no", normalise("account_no", login))
    digests += keyring.blind_indexes("phone", normalise("phone", login))
    with connection.cursor() as cursor:
        cursor.execute("SELECT find_account FROM find_account(%s::text[])", [digests])
        found = cursor.fetchall()
    return found[0][0] if len(found) == 1 else None


def check_sign_in(*, request: HttpRequest, login: str, password: str, now: datetime) -> User:
    """The user these credentials belong to. Raises `SignInRefused`, after too many attempts `SignInDelayed`.

    An attempt is written before the password is looked at and taken back when it was right, so that guesses sent all at
    once are counted too.
    """
    rls.acting_as(None, staff=False)
    address = request.META.get("REMOTE_ADDR", "")
    key = keyring.blind_index("attempt", f"{normalise('phone', login)}\n{address}")
    _note_attempt(key, now=now)
    user = AccountBackend().authenticate(request, login=login, password=password)
    if user is None:
        raise SignInRefused
    with transaction.atomic():
        _name_attempts(key)
        SignInAttempt.objects.filter(key=key).delete()
    return user


def _note_attempt(key: str, *, now: datetime) -> None:
    with transaction.atomic():
        _name_attempts(key)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
        SignInAttempt.objects.filter(key=key, at__lte=now - WINDOW).delete()
        times = list(SignInAttempt.objects.filter(key=key).order_by("-at").values_list("at", flat=True)[:ATTEMPTS])
        delayed = len(times) >= ATTEMPTS
        if not delayed:
            SignInAttempt.objects.create(key=key, at=now)
    if delayed:
        raise SignInDelayed(times[-1] + WINDOW)


def _name_attempts(key: str) -> None:
    """Attempts, too, are seen by the web role only where it names them; until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.attempt', %s, true)", [key])


def forget_attempts(*, now: datetime) -> int:
    """Delete attempts that no longer count, for workers."""
    deleted, _by_model = SignInAttempt.objects.filter(at__lte=now - WINDOW).delete()
    return deleted
