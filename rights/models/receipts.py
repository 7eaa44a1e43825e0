"""What a person holds in hand: receipts of what was done, and the secret that shows what is still held."""

import uuid

from django.db import models

from portal.core.fields import EncryptedTextField
from rights.models.requests import Request


class Receipt(models.Model):
    """What the portal states of one event of a request. `seq` is its entry in the request's chain of the ledger, which
    commits to `fields` under `salt`; signatures and proofs are made when it is handed out."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="receipts")
    event = models.CharField(max_length=12)
    seq = models.PositiveIntegerField()
    fields = EncryptedTextField()
    salt = models.CharField(max_length=32)
    at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["request", "seq", "event"], name="receipt_once"),)

    def __str__(self) -> str:
        return f"{self.event} {self.at:%Y-%m-%d}"


class StatusSecret(models.Model):
    """The secret with which somebody without an account sees what a request still holds. Only a keyed digest of it is
    kept; a new one takes the place of the one before."""

    request = models.OneToOneField(Request, on_delete=models.CASCADE, related_name="status_secret")
    digest = models.CharField(max_length=80, unique=True)
    made_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"secret of {self.made_at:%Y-%m-%d}"
