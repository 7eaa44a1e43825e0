"""Who is asking: users and their verified identity, second factors, one-time codes, API tokens, and who may ask for
whom."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.masks import mask_account, mask_email, mask_name, mask_phone
from accounts.normal import normalise
from portal.core import keyring
from portal.core.fields import EncryptedTextField

KEY_VERSIONED = 128
"""Room for "v123:" and 64 hex digits."""


class UserManager(BaseUserManager["User"]):
    def create_user(
        self,
        *,
        account_no: str,
        password: str | None,
        display_name: str,
        now: datetime,
        role: str = "subject",
        phone: str = "",
        email: str = "",
        language: str = "zh-hans",
        confidential: bool = False,
        pk: UUID | None = None,
    ) -> "User":
        """Create an account. Refused where the number or the phone is taken under any live index key."""
        user = User(
            id=pk or uuid4(),
            role=role,
            display_name=display_name,
            email=email,
            language=language,
            confidential=confidential,
            created_at=now,
        )
        user.set_account_no(account_no)
        user.set_phone(phone)
        digests = keyring.blind_indexes("account_no", user.account_no)
        phones = keyring.blind_indexes("phone", user.phone) if user.phone else []
        if self.filter(Q(account_index__in=digests) | Q(phone_index__in=phones)).exists():
            raise ValueError("An account with this number or this phone exists.")
        user.set_password(password)
        user.save(using=self._db)
        return user

    def find_by(self, kind: str, value: str) -> "User | None":
        """The user with this account number or phone, for whoever may see all users; sign-in has a way of its own."""
        digests = keyring.blind_indexes(kind, normalise(kind, value))
        return self.filter(**{f"{_INDEX_COLUMN[kind]}__in": digests}).first()

    def get_by_natural_key(self, username: str | None) -> "User":
        user = self.find_by("account_no", username or "")
        if user is None:
            raise User.DoesNotExist
        return user


_INDEX_COLUMN = {"account_no": "account_index", "phone": "phone_index"}


class User(AbstractBaseUser):  # type: ignore[django-manager-missing]  # TotpDevice.objects comes from django-otp
    """A person with an account, or a member of staff. Names and numbers are sealed and found by a keyed digest."""

    class Role(models.TextChoices):
        SUBJECT = "subject", _("Person")
        SUPPORT = "support", _("Support")
        SUPERVISOR = "supervisor", _("Supervisor")
        ADMIN = "admin", _("Administrator")
        AUDITOR = "auditor", _("Auditor")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    role = models.CharField(max_length=12, choices=Role.choices, default=Role.SUBJECT)
    confidential = models.BooleanField(default=False, help_text=_("May see what is confidential."))
    account_no = EncryptedTextField()
    account_index = models.CharField(max_length=KEY_VERSIONED, unique=True)
    phone = EncryptedTextField(blank=True)
    phone_index = models.CharField(max_length=KEY_VERSIONED, unique=True, null=True)
    email = EncryptedTextField(blank=True)
    display_name = EncryptedTextField()
    language = models.CharField(max_length=8, choices=(("zh-hans", "简体中文"), ("en", "English")), default="zh-hans")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "account_index"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(role__in=["subject", "support", "supervisor", "admin", "auditor"]), name="user_role"
            ),
            models.CheckConstraint(condition=~Q(role="subject", confidential=True), name="user_confidential_is_staff"),
        )

    def __str__(self) -> str:
        return str(self.id)

    def set_account_no(self, value: str) -> None:
        self.account_no = normalise("account_no", value)
        self.account_index = keyring.blind_index("account_no", self.account_no)

    def set_phone(self, value: str) -> None:
        self.phone = normalise("phone", value)
        self.phone_index = keyring.blind_index("phone", self.phone) if self.phone else None

    @property
    def is_staff_role(self) -> bool:
        return self.role != self.Role.SUBJECT

    @property
    def masked_name(self) -> str:
        return mask_name(self.display_name)

    @property
    def masked_phone(self) -> str:
        return mask_phone(self.phone)

    @property
    def masked_email(self) -> str:
        return mask_email(self.email)

    @property
    def masked_account_no(self) -> str:
        return mask_account(self.account_no)

    # What Django's own tools ask. There are no permissions per model: `accounts.permissions` decides.

    @property
    def is_staff(self) -> bool:
        return self.role == self.Role.ADMIN

    @property
    def is_superuser(self) -> bool:
        return self.role == self.Role.ADMIN

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return self.is_active and self.is_superuser

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_superuser


class Identity(models.Model):
    """A verified fact by which a person is found in the business systems: name, ID number, a system's own client
    number."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    kind = models.CharField(max_length=32)
    value = EncryptedTextField()
    index = models.CharField(max_length=KEY_VERSIONED)
    verified_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "identities"
        constraints = (models.UniqueConstraint(fields=["user", "kind"], name="identity_one_of_a_kind"),)
        indexes = (models.Index(fields=["index"], name="identity_index"),)

    def __str__(self) -> str:
        return self.kind


class Authority(models.Model):
    """That one user may ask for another: an agent with a mandate, a guardian, a close relative of someone who died."""

    class Kind(models.TextChoices):
        AGENT = "agent", _("Agent")
        GUARDIAN = "guardian", _("Guardian")
        RELATIVE = "relative", _("Relative")

    agent = models.ForeignKey(User, on_delete=models.CASCADE, related_name="authorities")
    principal = models.ForeignKey(User, on_delete=models.CASCADE, related_name="represented_by")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    scope = models.JSONField(default=list, help_text=_("Kinds of request it covers."))
    valid_until = models.DateTimeField(null=True)
    proof_note = EncryptedTextField(blank=True)
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "authorities"
        constraints = (
            models.UniqueConstraint(
                fields=["agent", "principal"], condition=Q(revoked_at__isnull=True), name="authority_once"
            ),
            models.CheckConstraint(condition=~Q(agent=F("principal")), name="authority_for_another"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.agent_id} {self.principal_id}"


if TYPE_CHECKING:  # django-otp has no types

    class Device(models.Model):
        user = models.ForeignKey(User, on_delete=models.CASCADE)
        name = models.CharField(max_length=64)
        confirmed = models.BooleanField(default=True)

        class Meta:
            abstract = True
else:
    from django_otp.models import Device


class TotpDevice(Device):
    """A member of staff's authenticator. The secret is sealed; `accounts.totp` verifies, as it needs the caller's
    time."""

    secret = EncryptedTextField()
    last_step = models.BigIntegerField(default=-1)
    failures = models.PositiveIntegerField(default=0)
    failed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    if TYPE_CHECKING:
        objects: ClassVar[models.Manager["TotpDevice"]]

    class Meta(Device.Meta):
        abstract = False
        constraints = (models.UniqueConstraint(fields=["user", "name"], name="totpdevice_name"),)


class OneTimeCode(models.Model):
    """A code that was sent for one action. A row each: a new code ends the old one, and what happened to each stays
    known."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="codes")
    action = models.CharField(max_length=100)
    digest = models.CharField(max_length=KEY_VERSIONED)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    used_at = models.DateTimeField(null=True)
    superseded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["user", "action"],
                condition=Q(used_at__isnull=True, superseded_at__isnull=True),
                name="onetimecode_one_live",
            ),
        )
        indexes = (models.Index(fields=["user", "-created_at"], name="onetimecode_newest"),)

    def __str__(self) -> str:
        return f"{self.action} {self.created_at:%Y-%m-%d %H:%M}"


class ApiToken(models.Model):
    """A key to the API. Only its digest is kept. A token of staff counts as staff only if it was made after a second
    factor."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    digest = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=80, blank=True)
    second_factor = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=["user", "-created_at"], name="apitoken_newest"),)

    def __str__(self) -> str:
        return self.name or str(self.id)


class SignInAttempt(models.Model):
    """An attempt to sign in that has not succeeded. `key` is a keyed digest of what was typed and where it came
    from."""

    key = models.CharField(max_length=KEY_VERSIONED)
    at = models.DateTimeField()

    class Meta:
        indexes = (
            models.Index(fields=["key", "at"], name="signinattempt_key"),
            models.Index(fields=["at"], name="signinattempt_at"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}"
