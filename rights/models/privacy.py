"""What everybody is told: a version of the privacy policy, and that something happened to data. Only added to."""

from django.conf import settings
from django.db import models


class PrivacyPolicy(models.Model):
    """A version of the privacy policy. `changes`: what changed, in plain words, each with zh and en. `asks`: for which
    purposes consent is asked (again), each with purpose, new (whether the purpose is), zh and en."""

    version = models.CharField(max_length=40, unique=True)
    effective_on = models.DateField()
    changes = models.JSONField(default=list)
    asks = models.JSONField(default=list)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    published_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.version


class Breach(models.Model):
    """A leak, loss or alteration of data that people were told of (PIPL art. 57). `text`: zh and en, each with
    happened, data, done, advice and contact. `told`: how many people."""

    reference = models.CharField(max_length=40, unique=True)
    text = models.JSONField()
    told = models.PositiveIntegerField()
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    published_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.reference
