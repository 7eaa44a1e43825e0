"""The second factor of staff: codes of an authenticator app (RFC 6238, 30 seconds, 6 digits)."""

import base64
import secrets
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django_otp.oath import hotp

from accounts.models import TotpDevice, User
from accounts.standin import find_account
from portal.core import rls

STEP = 30
DIGITS = 6
DRIFT = 1
"""Steps a telephone's clock may be off either way."""


class TotpRefused(Exception):
    """The code is not right, or was used. `retry_at` says when the next try counts."""

    def __init__(self, retry_at: datetime) -> None:
        super().__init__("The code is not right.")
        self.retry_at = retry_at


class TotpDelayed(TotpRefused):
    """Not looked at: too soon after a wrong one."""


def enrol(*, user: User, now: datetime, secret: str | None = None, name: str = "totp") -> TotpDevice:
    """Give `user` an authenticator. `secret` is hex, 20 bytes; the demo gives its own."""
    if not user.is_staff_role:
        raise ValueError("Only staff sign in with an authenticator.")
    secret = secret or secrets.token_hex(20)
    bytes.fromhex(secret)
    return TotpDevice.objects.create(user=user, name=name, secret=secret, created_at=now)


def verify_code(*, user: User, code: str, now: datetime) -> TotpDevice:
    """The device of `user` whose current code this is; each code counts once. Raises `TotpRefused` or `TotpDelayed`.

    Wrong codes double the wait for the next (1 s, 2 s, 4 s, at most 15 min): six digits do not stand up to a machine
    otherwise.
    """
    if not user.is_staff_role:
        raise ValueError("Only staff sign in with an authenticator.")
    refusal: TotpRefused
    with transaction.atomic(durable=True):
        # Locked, so that one code sent twice at once is accepted once and wrong ones are all counted.
        device = (
            TotpDevice.objects.select_for_update(of=("self",)).filter(user=user, confirmed=True).order_by("pk").first()
        )
        if device is None:
            raise TotpRefused(now)
        retry_at = _retry_at(device)
        if device.failures and now < retry_at:
            refusal = TotpDelayed(retry_at)
        elif (step := _matching_step(device, code, now)) is not None:
            device.last_step, device.failures, device.failed_at = step, 0, None
            device.save(update_fields=["last_step", "failures", "failed_at"])
            return device
        else:
            device.failures += 1
            device.failed_at = now
            device.save(update_fields=["last_step", "failures", "failed_at"])
            refusal = TotpRefused(_retry_at(device))
    raise refusal


def current_code(device: TotpDevice, now: datetime) -> str:
    """The code that an authenticator with this secret shows at `now`."""
    return _code(device, _step(now))


def show_code(account_no: str, *, now: datetime) -> str | None:
    """The current code of a demo account, for the outbox page. Refused outside demo mode."""
    if not settings.DEMO:
        raise ImproperlyConfigured("Second factors are shown in demo mode only.")
    user_id = find_account(account_no)
    if user_id is None:
        return None
    with rls.speaking_for(user_id, staff=False):
        device = TotpDevice.objects.filter(user_id=user_id, confirmed=True).order_by("pk").first()
    return current_code(device, now) if device else None


def enrolment_address(device: TotpDevice, *, label: str, issuer: str) -> str:
    """The otpauth address that authenticator apps read from a QR code."""
    secret = base64.b32encode(bytes.fromhex(device.secret)).decode().rstrip("=")
    query = urlencode({"secret": secret, "issuer": issuer, "digits": DIGITS, "period": STEP})
    return f"otpauth://totp/{quote(issuer)}:{quote(label)}?{query}"


def _matching_step(device: TotpDevice, code: str, now: datetime) -> int | None:
    """The step whose code this is, none older than the last one used. Every candidate is compared, in constant time
    each."""
    found = None
    for step in range(_step(now) - DRIFT, _step(now) + DRIFT + 1):
        if (
            secrets.compare_digest(_code(device, step), code.encode("ascii", "replace").decode())
            and step > device.last_step
        ):
            found = step
    return found


def _retry_at(device: TotpDevice) -> datetime:
    if device.failed_at is None:
        return device.created_at
    return device.failed_at + timedelta(seconds=min(2 ** min(device.failures - 1, 10), 900))


def _step(now: datetime) -> int:
    return int(now.timestamp()) // STEP


def _code(device: TotpDevice, step: int) -> str:
    return f"{hotp(bytes.fromhex(device.secret), step, DIGITS):0{DIGITS}d}"
