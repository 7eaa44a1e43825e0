"""Retention rules in versions, and the holds that outlive their request."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from rights.kernel import retention as kernel
from rights.models.requests import Request


class RetentionRule(models.Model):
    """One immutable version of a rule. Only active rules enter a plan."""

    code = models.CharField(max_length=40)
    version = models.PositiveSmallIntegerField(default=1)
    data_classes = models.JSONField(default=list)
    duration = models.CharField(max_length=12)
    count = models.CharField(max_length=16, choices=[(value.value, value.value) for value in kernel.Count])
    rank = models.CharField(max_length=12, choices=[(value.value, value.value) for value in kernel.Rank])
    entities = models.JSONField(default=list)
    citation = models.CharField(max_length=200)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)
    supersedes = models.CharField(max_length=40, blank=True)
    active = models.BooleanField(default=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["code", "version"], name="rule_version"),)

    def __str__(self) -> str:
        return self.to_kernel().label

    def to_kernel(self) -> kernel.Rule:
        return kernel.Rule(
            code=self.code,
            version=self.version,
            data_classes=tuple(self.data_classes),
            duration=self.duration,
            count=kernel.Count(self.count),
            rank=kernel.Rank(self.rank),
            citation=self.citation,
            effective_from=self.effective_from,
            effective_to=self.effective_to,
            entities=tuple(self.entities),
            active=self.active,
        )


class SubjectVault(models.Model):
    """The identifiers by which held records are found again, under a data key that dies with the last hold."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="vaults")
    data_key = models.BinaryField(null=True)
    identities = models.BinaryField(null=True)
    created_at = models.DateTimeField()
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "subject vaults"

    def __str__(self) -> str:
        return f"vault {self.id}"


class Hold(models.Model):
    """Records of one collection that share a trigger date and so a last day. No last day: open-ended."""

    vault = models.ForeignKey(SubjectVault, on_delete=models.CASCADE, related_name="holds")
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="holds")
    entity = models.CharField(max_length=40)
    system = models.CharField(max_length=64)
    collection = models.CharField(max_length=160)
    rule = models.CharField(max_length=48)
    key = models.CharField(max_length=40)
    trigger_on = models.DateField(null=True)
    last_day = models.DateField(null=True)
    count = models.BigIntegerField()
    created_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            # The daily release asks only for what has lapsed.
            models.Index(
                fields=["last_day", "id"],
                name="hold_lapsing",
                condition=Q(released_at__isnull=True, last_day__isnull=False),
            ),
            models.Index(fields=["vault", "collection"], name="hold_vault", condition=Q(released_at__isnull=True)),
        )

    def __str__(self) -> str:
        return f"{self.count} of {self.collection} until {self.last_day}"
