"""The handling policy in versions, the fees that were quoted, and the proofs that were seen."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from portal.core.fields import EncryptedTextField
from rights.kernel import handling as kernel
from rights.models.requests import Request


class PolicyVersion(models.Model):
    """One version of the handling policy, proposed by one administrator and approved by another; never overwritten.

    At most one is in force; while none is, the shipped one is. `rules` is `kernel.handling.HandlingPolicy` as JSON.
    """

    version = models.PositiveIntegerField(unique=True)
    rules = models.JSONField()
    basis = models.TextField()
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    in_force = models.BooleanField(default=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["in_force"], name="policy_one_in_force", condition=Q(in_force=True)),
            models.CheckConstraint(
                name="policy_in_force_is_approved",
                condition=Q(in_force=False) | Q(approved_at__isnull=False, ended_at__isnull=True),
            ),
            models.CheckConstraint(name="policy_four_eyes", condition=~Q(approved_by=F("proposed_by"))),
        )

    def __str__(self) -> str:
        return f"handling policy v{self.version}"

    def to_kernel(self) -> kernel.HandlingPolicy:
        return kernel.HandlingPolicy.from_json(self.rules)


class Fee(models.Model):
    """A cost-based fee for a further copy, in CNY; nothing is owed before it is accepted. The clock stands from the day
    it is quoted to the day it is accepted, declined or waived, or lapses unanswered."""

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="fees")
    amount = models.DecimalField(max_digits=8, decimal_places=2)
    reason = EncryptedTextField()
    quoted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    quoted_at = models.DateTimeField()
    answer_by = models.DateField()
    accepted_at = models.DateTimeField(null=True)
    declined_at = models.DateTimeField(null=True)
    waived_at = models.DateTimeField(null=True)
    lapsed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(name="fee_is_something", condition=Q(amount__gt=0)),
            models.UniqueConstraint(
                fields=["request"],
                name="fee_one_open",
                condition=Q(
                    accepted_at__isnull=True, declined_at__isnull=True, waived_at__isnull=True, lapsed_at__isnull=True
                ),
            ),
        )

    def __str__(self) -> str:
        return f"fee {self.pk}"

    @property
    def settled_at(self) -> datetime | None:
        return self.accepted_at or self.declined_at or self.waived_at or self.lapsed_at


class Proof(models.Model):
    """What a member of staff saw as proof of who asks, or that they may. The ledger has a commitment to the note."""

    request = models.OneToOneField(Request, on_delete=models.CASCADE, related_name="proof")
    note = EncryptedTextField()
    note_salt = models.CharField(max_length=64)
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"proof of {self.request_id}"
