"""The data maps that were loaded, each version whole."""

from django.db import models
from django.db.models import Q


class DataMapVersion(models.Model):
    """A data map as loaded: `documents` maps a file's name to its text. One version of a name is live."""

    name = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    documents = models.JSONField()
    loaded_at = models.DateTimeField()
    live = models.BooleanField(default=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["name"], name="datamap_one_live", condition=Q(live=True)),)

    def __str__(self) -> str:
        return f"{self.name} {self.digest[:8]}"
