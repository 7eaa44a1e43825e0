"""Tables of the ground floor: the ledger, the outbox, heartbeats."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from portal.core.fields import EncryptedTextField


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value that is hashed and signed: sorted keys, no spaces, UTF-8, and no floats at all,
    as two programs may write the same float differently."""
    _refuse_floats(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _refuse_floats(value: Any) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"The key {key!r} of a ledger entry is not text.")
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
    elif not (value is None or isinstance(value, str | int)):
        raise TypeError(
            f"A ledger entry holds text, whole numbers, booleans, lists and maps, not {type(value).__name__}."
        )


if TYPE_CHECKING:  # Django's fields take type arguments in their stubs only

    class JSONTextBase(models.TextField[Any, Any]):
        _pyi_private_set_type: Any
        _pyi_private_get_type: Any
        _pyi_lookup_exact_type: Any

else:
    JSONTextBase = models.TextField


class CanonicalJSONField(JSONTextBase):
    """JSON kept as the exact text that was hashed, so that verifying never depends on how a database spells JSON."""

    def from_db_value(self, value: str | None, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        return None if value is None else json.loads(value)

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else canonical_json(value)


class LedgerEntry(models.Model):
    """One step of one matter. Added by `ledger.append` alone; a trigger checks its place and stamps its transaction."""

    chain = models.UUIDField()
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=64)
    at = models.DateTimeField()
    body = CanonicalJSONField()
    commitments = CanonicalJSONField()
    previous = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)
    # xid (xid8) exists in the database alone: filled by the trigger, read by the checkpointer.

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["chain", "seq"], name="ledgerentry_place"),
            models.CheckConstraint(condition=models.Q(seq__gte=1), name="ledgerentry_seq"),
            models.CheckConstraint(condition=models.Q(kind__regex=r"^[a-z0-9_.-]+$"), name="ledgerentry_kind"),
        )

    def __str__(self) -> str:
        return f"{self.chain} {self.seq} {self.kind}"


class LedgerLeaf(models.Model):
    """The place of an entry in the tree. Its own table, because entries cannot be changed and commit out of order."""

    number = models.BigIntegerField(primary_key=True)
    entry = models.OneToOneField(LedgerEntry, on_delete=models.PROTECT, related_name="leaf")
    hash = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return str(self.number)


class LedgerNode(models.Model):
    """The root of a full subtree of 256**level leaves, the `number`-th of its level. All of them follow from the
    leaves; they are kept so that a proof need not read these."""

    level = models.PositiveSmallIntegerField()
    number = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["level", "number"], name="ledgernode_place"),)

    def __str__(self) -> str:
        return f"{self.level}/{self.number}"


class LedgerHead(models.Model):
    """A signed state of the tree. `peaks` are the roots of its perfect subtrees, left to right: all a later head needs
    of it."""

    number = models.PositiveIntegerField(primary_key=True)
    size = models.BigIntegerField()
    root = models.BinaryField(max_length=32)
    peaks = models.BinaryField()
    previous = models.BinaryField(max_length=32)
    at = models.DateTimeField()
    key = models.CharField(max_length=16)
    signature = models.BinaryField(max_length=64)
    # upto (xid8) exists in the database alone: every transaction below it has been numbered.

    class Meta:
        constraints = (models.UniqueConstraint(fields=["size"], name="ledgerhead_size"),)

    def __str__(self) -> str:
        return f"{self.number} ({self.size})"


class OutboxMessage(models.Model):
    """A message that the demo delivers to its outbox page instead of to a phone or a mailbox."""

    class Channel(models.TextChoices):
        EMAIL = "email"
        SMS = "sms"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    channel = models.CharField(max_length=8, choices=Channel.choices)
    recipient = EncryptedTextField()
    subject = EncryptedTextField(blank=True)
    body = EncryptedTextField()
    created_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=["-created_at"], name="outboxmessage_newest"),)

    def __str__(self) -> str:
        return f"{self.channel} {self.created_at:%Y-%m-%d %H:%M}"


class Heartbeat(models.Model):
    """When a part of the product was last alive, as `/readyz` asks."""

    name = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


def beat(name: str, now: datetime) -> None:
    """Note that `name` is alive."""
    Heartbeat.objects.update_or_create(name=name, defaults={"at": now})
