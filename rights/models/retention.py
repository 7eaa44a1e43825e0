"""Retention rules in versions, exceptions to them, and the holds that outlive their request."""

import uuid
from datetime import date

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from portal.core.fields import EncryptedTextField
from rights.kernel import retention as kernel
from rights.models.requests import Request

_CHAINS = uuid.UUID("7d0a1c0e-5f0b-5b5e-9a57-0c8f3d1f6b2a")


def four_eyes(name: str, *, first: str, second: str) -> models.CheckConstraint:
    """Who proposes does not approve, and what one person approved another one has proposed."""
    return models.CheckConstraint(
        name=name,
        condition=Q(**{f"{second}__isnull": True}) | (Q(**{f"{first}__isnull": False}) & ~Q(**{first: F(second)})),
    )


class RetentionRule(models.Model):
    """One version of a rule. Its content never changes (a trigger refuses it); what happens to it are facts:

    proposed by one admin, activated by another, withdrawn while it was a proposal. `shipped` rules came with the
    product: those it ships as proposals still need two admins. `redated_at`: all holds have the dates it gives.
    """

    code = models.CharField(max_length=40)
    version = models.PositiveSmallIntegerField(default=1)
    data_classes = models.JSONField(default=list)
    trigger = models.CharField(max_length=200, blank=True)
    duration = models.CharField(max_length=12)
    bound = models.CharField(
        max_length=8, choices=[(value.value, value.value) for value in kernel.Bound], default=kernel.Bound.MINIMUM.value
    )
    count = models.CharField(max_length=16, choices=[(value.value, value.value) for value in kernel.Count])
    rank = models.CharField(max_length=12, choices=[(value.value, value.value) for value in kernel.Rank])
    entities = models.JSONField(default=list)
    citation = models.CharField(max_length=200)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)
    supersedes = models.CharField(max_length=40, blank=True)
    shipped = models.BooleanField(default=False)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    proposed_at = models.DateTimeField(null=True)
    activated_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    activated_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)
    redated_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["code", "version"], name="rule_version"),
            four_eyes("rule_four_eyes", first="proposed_by", second="activated_by"),
            models.CheckConstraint(
                name="rule_activated_by_somebody",
                condition=Q(activated_at__isnull=True) | Q(shipped=True) | Q(activated_by__isnull=False),
            ),
            models.CheckConstraint(
                name="rule_not_both", condition=Q(activated_at__isnull=True) | Q(withdrawn_at__isnull=True)
            ),
            models.CheckConstraint(
                name="rule_ends_after_it_begins",
                condition=Q(effective_to__isnull=True) | Q(effective_to__gte=F("effective_from")),
            ),
        )

    def __str__(self) -> str:
        return self.to_kernel().label

    def state(self, today: date) -> str:
        """proposed, active or retired; never stored."""
        if self.withdrawn_at or (self.activated_at and self.effective_to and self.effective_to < today):
            return "retired"
        return "active" if self.activated_at else "proposed"

    @property
    def chain(self) -> uuid.UUID:
        """Its chain in the ledger."""
        return uuid.uuid5(_CHAINS, f"{self.code}/{self.version}")

    def to_kernel(self) -> kernel.Rule:
        return kernel.Rule(
            code=self.code,
            version=self.version,
            data_classes=tuple(self.data_classes),
            duration=self.duration,
            bound=kernel.Bound(self.bound),
            count=kernel.Count(self.count),
            rank=kernel.Rank(self.rank),
            citation=self.citation,
            effective_from=self.effective_from,
            effective_to=self.effective_to,
            entities=tuple(self.entities),
            supersedes=self.supersedes,
            active=self.activated_at is not None,
        )


class RetentionException(models.Model):
    """An exception to the rules, for one person, one case, a collection, a class or a company, and always with an end.

    A case's exception names its person too. `until` is the last day it holds records through; `label` and `key` are
    what the person is shown, both empty for a confidential one, which then looks like any legal hold. The web role
    reads the columns that planning needs and no others (see the migration).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    effect = models.CharField(max_length=8, choices=[(value.value, value.value) for value in kernel.Effect])
    subject = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    request = models.ForeignKey(Request, on_delete=models.PROTECT, null=True, related_name="+")
    collection = models.CharField(max_length=160, blank=True)
    data_class = models.CharField(max_length=16, blank=True)
    entity = models.CharField(max_length=40, blank=True)
    until = models.DateField()
    expires_on = models.DateField()
    basis = models.CharField(max_length=300)
    evidence = EncryptedTextField()
    evidence_salt = models.CharField(max_length=64)
    confidential = models.BooleanField(default=False)
    label = models.CharField(max_length=16, blank=True)
    key = models.CharField(max_length=40, blank=True)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)
    applied_at = models.DateTimeField(null=True)
    warned_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            four_eyes("exception_four_eyes", first="proposed_by", second="approved_by"),
            models.CheckConstraint(
                name="exception_approved_by_somebody",
                condition=Q(approved_at__isnull=True) | Q(approved_by__isnull=False, withdrawn_at__isnull=True),
            ),
            models.CheckConstraint(name="exception_ends", condition=Q(until__lte=F("expires_on"))),
            models.CheckConstraint(
                name="exception_has_a_scope",
                condition=Q(subject__isnull=False) | ~Q(collection="") | ~Q(data_class="") | ~Q(entity=""),
            ),
            models.CheckConstraint(
                name="exception_case_names_its_person", condition=Q(request__isnull=True) | Q(subject__isnull=False)
            ),
            models.CheckConstraint(
                name="exception_confidential_is_neutral", condition=Q(confidential=False) | Q(label="", key="")
            ),
        )
        indexes = (
            models.Index(
                fields=["subject"], name="exception_live", condition=Q(approved_at__isnull=False, ended_at__isnull=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.effect} until {self.until}"

    def state(self, today: date) -> str:
        """proposed, active, ended or withdrawn; never stored."""
        if self.withdrawn_at:
            return "withdrawn"
        if self.ended_at or self.expires_on < today:
            return "ended"
        return "active" if self.approved_at else "proposed"

    def to_kernel(self) -> kernel.Exemption:
        return kernel.Exemption(
            effect=kernel.Effect(self.effect),
            until=self.until,
            collection=self.collection,
            data_class=self.data_class,
            entity=self.entity,
            label=self.label,
            key=self.key,
        )


class RelationshipEnd(models.Model):
    """When a person's relationship with a company ended, for systems that have no field of their own to say so."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="relationship_ends")
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="+")
    entity = models.CharField(max_length=40)
    ended_on = models.DateField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["request", "entity"], name="relationship_ends_once"),)
        indexes = (models.Index(fields=["user", "entity"], name="relationship_end_user"),)

    def __str__(self) -> str:
        return f"{self.entity} ended {self.ended_on}"


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
    """Records of one collection that share a trigger date and so a last day. No last day: open-ended.

    The row says what is so now; what it said before is in its revisions.
    """

    vault = models.ForeignKey(SubjectVault, on_delete=models.CASCADE, related_name="holds")
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="holds")
    entity = models.CharField(max_length=40)
    system = models.CharField(max_length=64)
    collection = models.CharField(max_length=160)
    rule = models.CharField(max_length=160)
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
            # A successor finds what its predecessor holds, request by request.
            models.Index(fields=["rule", "request"], name="hold_rule", condition=Q(released_at__isnull=True)),
        )

    def __str__(self) -> str:
        return f"{self.count} of {self.collection} until {self.last_day}"


class Restricted(models.Model):
    """A record that may only be stored from now on, by the keyed digest of its key: its system can ask whether it is.

    Kept as long as the request holds it; nobody without the portal's key can tell which record it is.
    """

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="restricted")
    collection = models.CharField(max_length=160)
    digest = models.BinaryField(max_length=16)

    class Meta:
        # What is asked is whether anybody's request restricts the record, so the request comes last.
        constraints = (models.UniqueConstraint(fields=["collection", "digest", "request"], name="restricted_once"),)
        verbose_name_plural = "restricted"

    def __str__(self) -> str:
        return f"a record of {self.collection}"


class HoldRevision(models.Model):
    """What a hold said before something changed it, and what it has said since. `cause` names the rule, the exception
    or the trigger that did; only added to."""

    hold = models.ForeignKey(Hold, on_delete=models.CASCADE, related_name="revisions")
    at = models.DateTimeField()
    cause = models.CharField(max_length=60)
    old_rule = models.CharField(max_length=160)
    old_key = models.CharField(max_length=40)
    old_trigger_on = models.DateField(null=True)
    old_last_day = models.DateField(null=True)
    rule = models.CharField(max_length=160)
    key = models.CharField(max_length=40)
    trigger_on = models.DateField(null=True)
    last_day = models.DateField(null=True)

    def __str__(self) -> str:
        return f"{self.old_last_day} → {self.last_day} ({self.cause})"
