"""A fresh one-time code before what cannot be undone.

A code is bound to one user and one action (name what is confirmed as narrowly as the page does, such as
"submit:erasure"). Only a keyed digest of code, action and user is kept. It is valid for 5 minutes, for 5 tries, and
once.
"""

import hmac
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import OneTimeCode, User
from portal.core import keyring, outbox
from portal.core.models import OutboxMessage

VALID = timedelta(minutes=5)
TRIES = 5
CODES = 5
CODES_WINDOW = timedelta(minutes=15)


class CodeError(Exception):
    """A code that does not confirm."""


class WrongCode(CodeError):
    """Not the code of the newest message. With no tries left only a new code helps."""

    def __init__(self, tries_left: int) -> None:
        super().__init__(f"Wrong code, {tries_left} tries left.")
        self.tries_left = tries_left


class ExpiredCode(CodeError):
    """The code's 5 minutes are over, or none was sent for this action."""


class UsedCode(CodeError):
    """The code has confirmed this action before."""


class Throttled(CodeError):
    """Too many codes were sent. `retry_at` says when the next may be."""

    def __init__(self, retry_at: datetime) -> None:
        super().__init__(f"No code before {retry_at:%H:%M:%S}.")
        self.retry_at = retry_at


def issue_code(*, user: User, action: str, now: datetime) -> None:
    """Send a code for `action` to the user's phone. It ends the one sent before for the same action. Raises
    `Throttled`."""
    code = f"{secrets.randbelow(1_000_000):06d}"
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(
            pk=user.pk
        )  # one at a time, or two clicks pass the throttle together
        recent = list(
            OneTimeCode.objects.filter(user=user, created_at__gt=now - CODES_WINDOW)
            .order_by("-created_at")
            .values_list("created_at", flat=True)[:CODES]
        )
        if len(recent) >= CODES:
            raise Throttled(recent[-1] + CODES_WINDOW)
        OneTimeCode.objects.filter(user=user, action=action, used_at=None, superseded_at=None).update(superseded_at=now)
        row = OneTimeCode(user=user, action=action, created_at=now, expires_at=now + VALID)
        row.digest = keyring.blind_index("code", _bound(row, code))
        row.save(force_insert=True)
    with translation.override(user.language):
        body = _("Your code is %(code)s. It is valid for 5 minutes. Tell it to nobody, not even to us.") % {
            "code": code
        }
    outbox.deliver(channel=OutboxMessage.Channel.SMS, to=user.phone, subject="", body=body, now=now)


def confirm_code(*, user: User, action: str, code: str, now: datetime) -> None:
    """Use up the code for `action`, or raise a `CodeError`.

    Call it outside any transaction: a wrong try must count even though the caller then gives up, and inside one it
    would be rolled back with it. That is why the transaction here is durable.
    """
    error: CodeError | None = None
    with transaction.atomic(durable=True):
        row = (
            OneTimeCode.objects.select_for_update(of=("self",))
            .filter(user=user, action=action)
            .order_by("-created_at", F("superseded_at").asc(nulls_first=True))
            .first()
        )
        if row is None or (row.used_at is None and row.expires_at <= now):
            error = ExpiredCode()
        elif row.used_at is not None:
            error = UsedCode()
        elif row.tries >= TRIES:
            error = WrongCode(0)
        elif _matches(row, code):
            row.used_at = now
            row.save(update_fields=["used_at"])
        else:
            row.tries += 1
            row.save(update_fields=["tries"])
            error = WrongCode(TRIES - row.tries)
    if error is not None:
        raise error


def valid_until(*, user: User, action: str) -> datetime | None:
    """Until when the newest code for `action` is valid, for the page to say."""
    row = OneTimeCode.objects.filter(user=user, action=action, used_at=None, superseded_at=None).first()
    return row.expires_at if row else None


def forget_codes(*, now: datetime) -> int:
    """Delete codes that no longer count for anything, for workers."""
    deleted, _by_model = OneTimeCode.objects.filter(created_at__lte=now - timedelta(days=1)).delete()
    return deleted


def _matches(row: OneTimeCode, code: str) -> bool:
    """Under every live key, as the key may rotate between sending and confirming; in constant time."""
    matches = [
        hmac.compare_digest(row.digest, digest) for digest in keyring.blind_indexes("code", _bound(row, code.strip()))
    ]
    return any(matches)


def _bound(row: OneTimeCode, code: str) -> str:
    return f"{row.id}\n{row.user_id}\n{row.action}\n{code}"
