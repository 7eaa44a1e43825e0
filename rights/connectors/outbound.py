"""One HTTP call to a partner: bounded in time and size, never redirected, and only where it may go."""

import http.client
import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from portal.core.systems import UnknownSystem, Unset, system_setting, system_url
from rights.connectors.base import Refused, Unavailable

PATIENCE = 10.0
"""Seconds for a whole call."""
MOST = 1024 * 1024
TRANSIENT = frozenset({408, 425, 429})
"""Statuses below 500 that a later try may turn into another."""


@dataclass(frozen=True)
class Reply:
    """`headers` by their lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object. Raises Unavailable, as a broken answer says nothing about the request."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Unavailable("The answer is not a JSON object.")
        return found


def address_of(party: str) -> str:
    """Where a party is reached. Raises Unavailable where nobody has set it: its request waits meanwhile."""
    try:
        return system_url(party).rstrip("/")
    except UnknownSystem as error:
        raise Unavailable(str(error)) from error


def secret_of(party: str, setting: str = "SECRET") -> str:
    try:
        return system_setting(party, setting)
    except Unset as error:
        raise Unavailable(str(error)) from error


def join_own(base: str, url: str) -> str:
    """A URL that a party at `base` has named; only its own, else whoever answers could send our requests anywhere."""
    try:
        joined = urljoin(base, url)
        asked, known = urlsplit(joined), urlsplit(base)
        is_own = (asked.scheme, asked.hostname, asked.port) == (known.scheme, known.hostname, known.port)
    except ValueError:
        is_own = False
    if not is_own:
        raise Unavailable("The answer names an address that is not the partner's own.")
    return joined


def count_of(said: Any) -> int | None:
    """How many records a party says it were; None where that is no number of any."""
    return said if isinstance(said, int) and not isinstance(said, bool) and said >= 0 else None


def call(
    method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", patience: float = PATIENCE
) -> Reply:
    """Raises Unavailable where there is no answer in time or the partner is in trouble (5xx, 408, 425, 429), and
    Refused for an address that must not be called."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise Refused("The address of a partner has to be https.")
    ends = time.monotonic() + patience
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=patience, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=patience)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, path, body=body or None, headers=dict(headers or {}))
        answer = connection.getresponse()
        content = _read(answer, ends=ends)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"It cannot be reached ({type(error).__name__}).") from error
    finally:
        connection.close()
    if answer.status >= 500 or answer.status in TRANSIENT:
        raise Unavailable(f"It answered {answer.status}.")
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)


def _read(answer: http.client.HTTPResponse, *, ends: float) -> bytes:
    """The socket's own timeout begins anew with every byte, so the whole is timed here."""
    parts: list[bytes] = []
    size = 0
    while part := answer.read1(65536):
        size += len(part)
        if size > MOST:
            raise Unavailable("The answer is too long.")
        if time.monotonic() > ends:
            raise Unavailable("The answer did not come in time.")
        parts.append(part)
    return b"".join(parts)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
