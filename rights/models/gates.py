"""What stands between the workers and a business system: the switch, the limits, the circuit breaker, shadow mode."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q


class Gate(models.Model):
    """The gate of one system, or of all (`EVERY`). A system without a row is open and without limits.

    `stopped_at`: nothing is erased since then. `shadow`: what would be done is only counted. `at_once` and
    `per_minute` bound the steps on the system; None: no bound. After `failures` in a row that were too many, nothing is
    tried before `closed_until`.
    """

    EVERY = "*"
    REASON_LENGTH = 300

    system = models.CharField(max_length=64, primary_key=True)
    chain = models.UUIDField(default=uuid.uuid4, editable=False)
    stopped_at = models.DateTimeField(null=True)
    stopped_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=REASON_LENGTH, blank=True)
    shadow = models.BooleanField(default=False, db_default=False)
    at_once = models.PositiveSmallIntegerField(null=True)
    per_minute = models.PositiveIntegerField(null=True)
    failures = models.PositiveIntegerField(default=0, db_default=0)
    closed_until = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="gate_stop_is_somebodys", condition=Q(stopped_at__isnull=True) | Q(stopped_by__isnull=False)
            ),
            models.CheckConstraint(
                name="gate_limits_let_something_through",
                condition=(Q(at_once__isnull=True) | Q(at_once__gt=0))
                & (Q(per_minute__isnull=True) | Q(per_minute__gt=0)),
            ),
        )

    def __str__(self) -> str:
        return f"gate of {self.system}"

    @property
    def is_limited(self) -> bool:
        return self.at_once is not None or self.per_minute is not None
