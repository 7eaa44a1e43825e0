"""Delivery of mail and text messages: in demo mode to the outbox page, otherwise to Django's mail backend and the SMS
backend."""

from datetime import datetime
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import send_mail
from django.utils.module_loading import import_string

from portal.core import rows
from portal.core.models import OutboxMessage


class SmsBackend(Protocol):
    """What `settings.SMS_BACKEND` names: a callable that sends one text message or raises."""

    def __call__(self, *, to: str, body: str) -> None: ...


def together() -> int:
    """How many messages may be sent in one transaction with what says that they were. What a mail server has taken is
    not taken back with a transaction, so each has its own; the outbox page's are rows like any other."""
    return 100 if settings.DEMO else 1


def deliver(*, channel: str, to: str, subject: str, body: str, now: datetime) -> None:
    """Send one message. Raises what the backend raises: the caller knows whether to try again."""
    if channel not in OutboxMessage.Channel.values:
        raise ValueError(f"Unknown channel {channel!r}.")
    if settings.DEMO:
        rows.add(OutboxMessage(channel=channel, recipient=to, subject=subject, body=body, created_at=now))
    elif channel == OutboxMessage.Channel.EMAIL:
        send_mail(subject, body, None, [to])
    else:
        backend = getattr(settings, "SMS_BACKEND", None)
        if not backend:
            raise ImproperlyConfigured("SMS_BACKEND is not set: no text message can be sent.")
        send: SmsBackend = import_string(backend)
        send(to=to, body=body)
