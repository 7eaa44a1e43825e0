"""Signs of life: who beat last, and when."""

from datetime import datetime

from portal.core.models import Heartbeat, beat

__all__ = ["beat", "last_beat"]


def last_beat(name: str) -> datetime | None:
    """When `name` was last alive; None if it never was."""
    return Heartbeat.objects.filter(name=name).values_list("at", flat=True).first()
