"""A request and everything that hangs on it."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from portal.core.fields import EncryptedJSONField, EncryptedTextField
from rights.kernel.states import OPEN_STATES, Kind, State


class Request(models.Model):
    """One person's request. Facts only: due dates, lateness and the outcome are derived.

    `received_at` bounds it: records that came later are not its own. `ready_at` is when it was proved and complete; one
    that waits for its proof has none, and no clock. `started_on` is the day from which the limit counts, set anew when
    a blocker clears. `plan` is what the person saw when asking, `approved_plan` what was decided.
    While acting, `act_after` is set until the undo period is over and a round of steps starts; `check_after` is when a
    blocker or a system that was away is looked at again, and `check_owed_at` since when a system has kept the answer
    from us. `dispatched_at`: a tick has handed it to a worker, who has not come back from it yet. `resumed_at` is when
    we learnt that a blocker had cleared. `ready_at` is when the request was complete, if it was when filed; what it
    lacked is a `Question.missing`, whose answer starts the clock. `clock_settled` says that
    a tick has looked at the clock of a closed request for the last time. `unanswered_since`: since when a message of
    the person waits for staff. `reopened`: how often an appeal has brought it back.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    reference = models.CharField(max_length=20, unique=True, null=True)
    kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in Kind])
    state = models.CharField(max_length=16, default=State.DRAFT, choices=[(item.value, item.value) for item in State])
    subject = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="requests")
    filed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="filed_requests")
    channel = models.CharField(max_length=12, default="online")
    details = EncryptedJSONField(default=dict)
    plan = EncryptedJSONField(null=True)
    approved_plan = EncryptedJSONField(null=True)
    created_at = models.DateTimeField()
    received_at = models.DateTimeField(null=True)
    ready_at = models.DateTimeField(null=True)
    started_on = models.DateField(null=True)
    limit_days = models.PositiveSmallIntegerField(default=15)
    working_days = models.BooleanField(default=False, db_default=False)
    extended_at = models.DateTimeField(null=True)
    approved_at = models.DateTimeField(null=True)
    act_after = models.DateTimeField(null=True)
    round = models.PositiveSmallIntegerField(default=0)
    deferred_at = models.DateTimeField(null=True)
    resumed_at = models.DateTimeField(null=True)
    breached_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    clock_settled = models.BooleanField(default=False, db_default=False)
    closing_key = models.CharField(max_length=40, blank=True)
    review_reasons = models.JSONField(default=list)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="claimed_requests"
    )
    priority = models.PositiveSmallIntegerField(default=5)
    check_after = models.DateTimeField(null=True)
    check_owed_at = models.DateTimeField(null=True)
    dispatched_at = models.DateTimeField(null=True)
    unanswered_since = models.DateTimeField(null=True)
    reopened = models.PositiveSmallIntegerField(default=0, db_default=0)

    class Meta:
        indexes = (
            # What a tick looks at grows with what is open, not with what was ever filed.
            models.Index(
                fields=["state", "started_on", "id"],
                name="request_open",
                condition=Q(state__in=[state.value for state in sorted(OPEN_STATES)]),
            ),
            models.Index(fields=["check_after"], name="request_check", condition=Q(check_after__isnull=False)),
            models.Index(
                fields=["unanswered_since", "id"],
                name="request_unanswered",
                condition=Q(unanswered_since__isnull=False),
            ),
            models.Index(fields=["subject", "-created_at"], name="request_subject"),
            models.Index(
                fields=["closed_at"],
                name="request_unsettled",
                condition=Q(state=State.CLOSED.value, clock_settled=False, received_at__isnull=False),
            ),
        )
        constraints = (
            models.CheckConstraint(
                name="request_submitted_is_dated",
                condition=Q(state__in=[State.DRAFT, State.CLOSED])
                | Q(received_at__isnull=False, reference__isnull=False, started_on__isnull=False)
                # A request that still has to be proved was received and has no clock; nothing was read for it.
                | Q(
                    state=State.WAITING,
                    received_at__isnull=False,
                    reference__isnull=False,
                    ready_at__isnull=True,
                    plan__isnull=True,
                ),
            ),
            # Nobody can have somebody else told of the same unproved request over and over.
            models.UniqueConstraint(
                fields=["filed_by", "subject", "kind"],
                name="request_unproved_once",
                condition=Q(state=State.WAITING, started_on__isnull=True),
            ),
        )

    def __str__(self) -> str:
        return self.reference or f"draft {self.id}"

    @property
    def lacks_proof(self) -> bool:
        """Received, and never proved so far: no clock runs and no system was asked."""
        return self.received_at is not None and self.started_on is None


class Move(models.Model):
    """A move between two states, with who may make it; a trigger refuses a request any other. See `kernel.states`."""

    before = models.CharField(max_length=16)
    after = models.CharField(max_length=16)
    actors = ArrayField(models.CharField(max_length=8))

    class Meta:
        constraints = (models.UniqueConstraint(fields=["before", "after"], name="move_once"),)

    def __str__(self) -> str:
        return f"{self.before} to {self.after}"


class Question(models.Model):
    """A specific question to the person; the clock stands from the day it is asked to the day it is answered.

    `missing`: it asks for what the request lacked when it was filed; asked in time, its answer starts the clock.
    """

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="questions")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = EncryptedTextField()
    missing = models.BooleanField(default=False, db_default=False)
    asked_at = models.DateTimeField()
    answer = EncryptedTextField(blank=True)
    answered_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"question {self.pk}"


class Decision(models.Model):
    """What a reviewer decided, with the reason key, the text sent and, by collection, what a person had to decide.

    An extension has no key: its text is its reason.
    """

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="decisions")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)
    outcome = models.CharField(
        max_length=12, choices=[("approve", "approve"), ("refuse", "refuse"), ("extend", "extend")]
    )
    key = models.CharField(max_length=40)
    text = EncryptedTextField(blank=True)
    text_salt = models.CharField(max_length=64, blank=True)
    lines = models.JSONField(default=dict)
    decided_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.outcome} {self.key}"


class Event(models.Model):
    """A moment in the life of a request, told to the person in words made from `kind` and `body`."""

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=32)
    body = models.JSONField(default=dict)
    at = models.DateTimeField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        indexes = (models.Index(fields=["request", "-at", "-id"], name="event_request"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%Y-%m-%d}"


class Step(models.Model):
    """One act on one collection. Claimed by a lease with a fencing token, so that a stalled worker cannot report."""

    class State(models.TextChoices):
        READY = "ready"
        RUNNING = "running"
        DONE = "done"
        DEAD = "dead"

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="steps")
    verb = models.CharField(max_length=12)
    system = models.CharField(max_length=64)
    collection = models.CharField(max_length=160)
    ordinal = models.PositiveIntegerField()
    round = models.PositiveSmallIntegerField(default=1)
    params = EncryptedJSONField(default=dict)
    state = models.CharField(max_length=8, choices=State.choices, default=State.READY)
    not_before = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    fence = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    expected = models.BigIntegerField(default=0)
    done = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=80, blank=True)
    error = models.CharField(max_length=300, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["request", "round", "ordinal"], name="step_ordinal"),
            models.CheckConstraint(
                name="step_running_has_lease", condition=~Q(state="running") | Q(lease_until__isnull=False)
            ),
        )
        indexes = (
            models.Index(fields=["not_before", "id"], name="step_due", condition=Q(state__in=["ready", "running"])),
            models.Index(fields=["system"], name="step_running", condition=Q(state="running")),
            models.Index(fields=["system"], name="step_dead", condition=Q(state="dead")),
            models.Index(fields=["system", "-started_at"], name="step_started"),
        )

    def __str__(self) -> str:
        return f"{self.verb} {self.collection}"


class Batch(models.Model):
    """The intent of one bounded batch: the sealed keys it acts on, kept until it has looked at them again.

    A worker that dies between acting and recording leaves an open batch; the next one finishes it first. `erased` is
    what the erasure log keeps of it until the system's backups are clear: the keyed digests of the keys that went, one
    after another, under the index key `log_key`.
    """

    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="batches")
    keys = models.BinaryField(null=True)
    count = models.PositiveIntegerField()
    digest = models.CharField(max_length=80)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    gone = models.PositiveIntegerField(null=True)
    erased = models.BinaryField(null=True)
    log_key = models.PositiveSmallIntegerField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["step"], name="batch_one_open", condition=Q(closed_at__isnull=True)),
            models.CheckConstraint(
                name="batch_log_names_its_key", condition=Q(erased__isnull=True) | Q(log_key__isnull=False)
            ),
            models.CheckConstraint(
                name="batch_closed_is_shredded", condition=Q(closed_at__isnull=True) | Q(keys__isnull=True)
            ),
        )

        indexes = (models.Index(fields=["closed_at"], name="batch_in_log", condition=Q(erased__isnull=False)),)

    def __str__(self) -> str:
        return f"batch {self.pk} of {self.count}"


class Package(models.Model):
    """An access package on disk, sealed under its own data key; without the key nothing of it can be read.

    `part` 1 is the package; later ones add what systems that were down then gave afterwards (`gaps` names those still
    missing). A copy for somebody else whom the person named (`copy_of`, `receiver`) opens with a secret instead of a
    sign-in, of which only a keyed digest is kept.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="packages")
    part = models.PositiveSmallIntegerField(default=1)
    data_key = models.BinaryField(null=True)
    size = models.BigIntegerField()
    rows = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    downloads = models.PositiveIntegerField(default=0)
    gaps = models.JSONField(default=list)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    reason = EncryptedTextField(blank=True)
    reason_salt = models.CharField(max_length=64, blank=True)
    copy_of = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="copies")
    receiver = EncryptedTextField(blank=True)
    address = EncryptedTextField(blank=True)
    secret = models.CharField(max_length=80, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    opened_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["request", "part"], name="package_part_once", condition=Q(copy_of__isnull=True)
            ),
            models.CheckConstraint(
                name="package_copy_has_a_secret",
                condition=Q(copy_of__isnull=True, secret="") | (Q(copy_of__isnull=False) & ~Q(secret="")),
            ),
            models.CheckConstraint(
                name="package_revoked_is_shredded", condition=Q(revoked_at__isnull=True) | Q(data_key__isnull=True)
            ),
        )
        indexes = (models.Index(fields=["expires_at"], name="package_live", condition=Q(data_key__isnull=False)),)

    def __str__(self) -> str:
        return f"package {self.part} of {self.request_id}"
