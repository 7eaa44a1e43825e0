"""How often one address may do what needs no sign-in. A courtesy to everybody else: where the cache is away, nothing is
refused."""

import hashlib

import structlog
from django.core.cache import cache
from django.http import HttpRequest

log = structlog.get_logger(__name__)


def is_too_often(request: HttpRequest, *, action: str, times: int, seconds: int) -> bool:
    """Count this try of `action`; whether the address has had more than `times` of them within `seconds`."""
    address = request.META.get("REMOTE_ADDR", "")
    key = f"throttle:{action}:{hashlib.sha256(address.encode()).hexdigest()}"
    try:
        cache.add(key, 0, timeout=seconds)
        return int(cache.incr(key)) > times
    except ValueError:  # the window ended between the two: this is the first try of the next one
        return False
    except Exception as error:  # noqa: BLE001 - whatever the cache's client raises, a page must not fail for it
        log.warning("throttle_unavailable", error=type(error).__name__)
        return False
