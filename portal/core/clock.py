"""The one place where the time of day enters the product.

Only the edge (views, tasks, commands) calls `now`; everything below takes `now=`. In demo mode the clock can be moved,
so that five years of a hold can be watched in an afternoon: the offset is a file, because web, worker and beat must
move together.
"""

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

SHANGHAI = ZoneInfo("Asia/Shanghai")


def now() -> datetime:
    """The current moment in UTC, in demo mode moved by the offset in the data folder."""
    moment = datetime.now(UTC)
    if settings.DEMO:
        moment += _read_offset()
    return moment


def travel_to(moment: datetime) -> None:
    """Move the clock of every process that shares the data folder. Refused outside demo mode: a moved clock erases data
    early."""
    if not settings.DEMO:
        raise ImproperlyConfigured("The clock can be moved in demo mode only.")
    if moment.tzinfo is None:
        raise ValueError("A moment needs a time zone.")
    seconds = (moment - datetime.now(UTC)).total_seconds()
    path = _offset_path()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".clock-")
    with os.fdopen(descriptor, "w") as file:
        file.write(repr(seconds))
    os.replace(name, path)


def travel_back() -> None:
    """Give the clock back its real time."""
    _offset_path().unlink(missing_ok=True)


def _offset_path() -> Path:
    return Path(settings.DATA_DIR) / "clock-offset"


def _read_offset() -> timedelta:
    try:
        text = _offset_path().read_text()
    except FileNotFoundError:
        return timedelta()
    return timedelta(seconds=float(text))
