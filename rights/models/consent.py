"""What the person agreed to and took back, and what a correction replaced."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from portal.core.fields import EncryptedTextField
from rights.models.requests import Request

RECIPIENT = "recipient:"
"""Before the key of a recipient: what is refused or allowed is that they receive data, whatever the purpose."""
SIGNAL = "signal:gpc"
"""A browser's Global Privacy Control, kept as one refusal that is carried out once."""


class ConsentEvent(models.Model):
    """Something a person said about a use of their data; the business system's flag is the present state.

    Only added to. `purpose` is a key of the data map's consents, RECIPIENT with a party's key, or SIGNAL. `version` is
    the privacy policy they had before them ("" where none was published). A refusal of source POLICY answers the
    question of a new version and leaves what was agreed to before. `settled_at`: when the systems had it; None while
    they are still told. `chain`: its entry in the ledger, where it is in no request's.
    """

    class Source(models.TextChoices):
        PORTAL = "portal"
        POLICY = "policy"
        BROWSER = "browser"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="consent_events")
    purpose = models.CharField(max_length=200)
    given = models.BooleanField()
    at = models.DateTimeField()
    source = models.CharField(max_length=8, choices=Source.choices, default=Source.PORTAL)
    version = models.CharField(max_length=40, blank=True)
    request = models.ForeignKey(Request, on_delete=models.PROTECT, null=True, related_name="consent_events")
    settled_at = models.DateTimeField(null=True)
    chain = models.UUIDField(null=True)

    class Meta:
        constraints = (
            # Two requests that carry the same signal at once record it once.
            models.UniqueConstraint(fields=["user"], name="consent_signal_once", condition=Q(purpose=SIGNAL)),
        )
        indexes = (
            models.Index(fields=["user", "purpose", "-at"], name="consent_user"),
            models.Index(fields=["at", "id"], name="consent_unsettled", condition=Q(settled_at__isnull=True)),
        )

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
