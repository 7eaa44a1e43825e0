"""A file that somebody handed in, kept with the fact it belongs to."""

import uuid

from django.db import models

from portal.core.fields import EncryptedTextField


class SealedFile(models.Model):
    """`content` is the file's bytes in base64, sealed as a text is, so that it lies beside the fact it proves and is
    sealed anew with the keys. `sha256` of what is kept, with `salt`, opens the ledger's commitment. Written by
    `actions.files` alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = EncryptedTextField()
    media_type = models.CharField(max_length=40)
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    salt = models.CharField(max_length=64)
    content = EncryptedTextField()

    class Meta:
        abstract = True
