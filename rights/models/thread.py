"""What the person and staff write to each other about a request. Added to, never changed."""

from django.conf import settings
from django.db import models

from portal.core.fields import EncryptedTextField
from rights.models.files import SealedFile
from rights.models.requests import Request


class Message(models.Model):
    """One message. `once` is the form it was sent with: sent again, it is the same message. `salt` opens the ledger's
    commitment to the text, which may be empty where there are files."""

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="messages")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    by_staff = models.BooleanField()
    text = EncryptedTextField(blank=True)
    salt = models.CharField(max_length=64)
    once = models.UUIDField()
    at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["request", "once"], name="message_once"),)
        indexes = (
            models.Index(fields=["request", "-id"], name="message_thread"),
            models.Index(fields=["author", "at"], name="message_author"),
        )

    def __str__(self) -> str:
        return f"message {self.pk}"


class Attachment(SealedFile):
    """A file of a message."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attachments")

    def __str__(self) -> str:
        return f"attachment of {self.message_id}"
