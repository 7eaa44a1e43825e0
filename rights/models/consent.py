"""What the person agreed to and took back, and what a correction replaced."""

from django.conf import settings
from django.db import models

from portal.core.fields import EncryptedTextField
from rights.models.requests import Request


class ConsentEvent(models.Model):
    """A consent given or taken back through the portal; the business system's flag is the present state."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="consent_events")
    purpose = models.CharField(max_length=64)
    given = models.BooleanField()
    at = models.DateTimeField()
    request = models.ForeignKey(Request, on_delete=models.PROTECT, null=True, related_name="consent_events")

    class Meta:
        indexes = (models.Index(fields=["user", "purpose", "-at"], name="consent_user"),)

    def __str__(self) -> str:
        return f"{self.purpose} {'given' if self.given else 'withdrawn'}"


class CorrectionRecord(models.Model):
    """The value before and after a correction, sealed: the old one stays in history (PIPL art. 46)."""

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="corrections")
    collection = models.CharField(max_length=160)
    field = models.CharField(max_length=80)
    old = EncryptedTextField()
    new = EncryptedTextField()
    rows = models.PositiveIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["request", "collection", "field"], name="correction_once"),)

    def __str__(self) -> str:
        return f"{self.collection}.{self.field}"
