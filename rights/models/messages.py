"""What the person is told. A notice is written with the fact it tells and sent by a worker, once."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from portal.core.fields import EncryptedTextField
from rights.models.requests import Request


class Notice(models.Model):
    """One notice. `dedupe` makes a second one of the same fact impossible; subject and body are kept as sent."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notices")
    request = models.ForeignKey(Request, on_delete=models.CASCADE, null=True, related_name="notices")
    kind = models.CharField(max_length=32)
    dedupe = models.CharField(max_length=120, unique=True)
    params = models.JSONField(default=dict)
    second_contact = models.BooleanField(default=False)
    subject = EncryptedTextField(blank=True)
    body = EncryptedTextField(blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=["created_at", "id"], name="notice_unsent", condition=Q(sent_at__isnull=True)),
            models.Index(fields=["user", "-created_at"], name="notice_user"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at:%Y-%m-%d}"
