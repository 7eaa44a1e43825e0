"""What is asked of somebody whom no database connection reaches, and what staff filed as evidence of it."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from portal.core.fields import EncryptedTextField
from rights.models.files import SealedFile
from rights.models.requests import Request, Step


class Handover(models.Model):
    """One act asked of a party: of a system, for the `step` that waits for it, or of a recipient, who is told of it.

    `sent_at`: a recipient was told, or a machine has taken the request over. Being late is derived from `due_on`, which
    is by when a recipient has to be told and, once told, by when they have to answer. `count` None: they did not say.
    A machine is asked under a lease with a fencing token, as a step is run. `name` is what the party was called then.
    """

    class State(models.TextChoices):
        READY = "ready"
        SENT = "sent"
        CONFIRMED = "confirmed"
        RETURNED = "returned"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="handovers")
    step = models.ForeignKey(Step, on_delete=models.CASCADE, null=True, related_name="handovers")
    party = models.CharField(max_length=160)
    name = models.JSONField()
    act = models.CharField(max_length=8, choices=[(act, act) for act in ("erase", "correct", "stop")])
    channel = models.CharField(max_length=8, choices=[(kind, kind) for kind in ("manual", "opendsr", "webhook")])
    collections = models.JSONField(default=list)
    ordinal = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=9, choices=State.choices, default=State.READY)
    due_on = models.DateField()
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    alarmed_on = models.DateField(null=True)
    count = models.PositiveBigIntegerField(null=True)
    status_url = EncryptedTextField(blank=True)
    not_before = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    fence = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    note = EncryptedTextField(blank=True)
    note_salt = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = (
            # Of two workers who find the same thing to ask, one asks.
            models.UniqueConstraint(fields=["request", "party", "act", "ordinal"], name="handover_once"),
            models.UniqueConstraint(
                fields=["step"], name="handover_one_of_step", condition=Q(step__isnull=False) & ~Q(state="returned")
            ),
            models.CheckConstraint(
                name="handover_settled_is_dated",
                condition=Q(state__in=["ready", "sent"], settled_at__isnull=True)
                | Q(state__in=["confirmed", "returned"], settled_at__isnull=False),
            ),
            models.CheckConstraint(
                name="handover_sent_is_dated", condition=~Q(state="sent") | Q(sent_at__isnull=False)
            ),
        )
        indexes = (
            models.Index(fields=["due_on", "id"], name="handover_open", condition=Q(state__in=["ready", "sent"])),
        )

    def __str__(self) -> str:
        return f"{self.act} at {self.party}"


class Evidence(SealedFile):
    """A file that staff filed with a handover."""

    handover = models.ForeignKey(Handover, on_delete=models.CASCADE, related_name="evidence")
    filed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    filed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"evidence of {self.handover_id}"
