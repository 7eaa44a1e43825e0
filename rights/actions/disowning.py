"""The link in "was this you" at a person's other contact: it stops the request in one step, without signing in.

Whoever took over the account reads the first contact, perhaps, and not the other. The link names the person and the
request by numbers that say nothing, and is signed: only whom we sent it to has it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.urls import reverse

from rights.models import Request

_SIGNER = Signer(salt="rights.disowning")


class UnknownLink(Exception):
    """The link is not one of ours, or not whole."""


def stop_link(request: Request) -> str:
    """The address at which the subject stops the request."""
    numbers = urlsafe_b64encode(request.subject_id.bytes + request.pk.bytes).decode().rstrip("=")
    return settings.PUBLIC_URL + reverse("rights:disown", args=[_SIGNER.sign(numbers)])


def read_link(token: str) -> tuple[UUID, UUID]:
    """The person and the request that a link names. Raises UnknownLink."""
    try:
        numbers = urlsafe_b64decode(_SIGNER.unsign(token) + "==")
    except (BadSignature, ValueError):
        raise UnknownLink from None
    return UUID(bytes=numbers[:16]), UUID(bytes=numbers[16:])
