"""Appeals against how a request ended, and whom staff have declared to know."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from portal.core.fields import EncryptedTextField
from rights.models.requests import Event, Request


class Appeal(models.Model):
    """An appeal against one ending of a request, told by `event`; of each ending there is one at most.

    Facts only: its due date and lateness are derived from `filed_at`. The database lets nobody be its reviewer who
    decided the request, whom it is about, who filed it, or who has declared to know either. `entities`: of an
    overturned ending, the companies whose part is done after all; empty for all that was asked.
    """

    class Outcome(models.TextChoices):
        UPHELD = "upheld"
        OVERTURNED = "overturned"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="appeals")
    event = models.OneToOneField(Event, on_delete=models.CASCADE, related_name="appeal")
    filed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = EncryptedTextField()
    reason_salt = models.CharField(max_length=64)
    filed_at = models.DateTimeField()
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    breached_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, blank=True, choices=Outcome.choices)
    key = models.CharField(max_length=40, blank=True)
    text = EncryptedTextField(blank=True)
    text_salt = models.CharField(max_length=64, blank=True)
    entities = models.JSONField(default=list)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["request"], name="appeal_one_open", condition=Q(decided_at__isnull=True)),
            models.CheckConstraint(
                name="appeal_decided_by_somebody",
                condition=Q(decided_at__isnull=True, outcome="")
                | (Q(decided_at__isnull=False, reviewer__isnull=False) & ~Q(outcome="")),
            ),
        )
        indexes = (models.Index(fields=["filed_at", "id"], name="appeal_open", condition=Q(decided_at__isnull=True)),)

    def __str__(self) -> str:
        return f"appeal of {self.filed_at:%Y-%m-%d}"


class Relation(models.Model):
    """A member of staff has declared to know a person: their cases are for others to decide."""

    staff = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    declared_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["staff", "person"], name="relation_once"),)

    def __str__(self) -> str:
        return f"relation of {self.staff_id}"
