"""Working days by year, and the limit of each kind from a day on. Rows are only added: the newest says what holds."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from rights.kernel.states import Kind


class CalendarYear(models.Model):
    """The days off and make-up working days of one year, as imported from its source; the newest import of a year
    holds. Without `imported_by` it came with the product."""

    year = models.PositiveSmallIntegerField()
    days_off = models.JSONField(default=list)
    make_up = models.JSONField(default=list)
    source = models.CharField(max_length=300)
    imported_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    imported_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=["year", "-id"], name="calendar_year"),)

    def __str__(self) -> str:
        return f"{self.year}: {self.source}"


class KindLimit(models.Model):
    """The limit of requests of a kind filed from a day on, in calendar or working days. Of two of one day the newer
    holds; a request keeps the one it was filed under."""

    kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in Kind])
    days = models.PositiveSmallIntegerField()
    working_days = models.BooleanField(default=False)
    effective_from = models.DateField()
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    set_at = models.DateTimeField()

    class Meta:
        constraints = (models.CheckConstraint(name="limit_days", condition=Q(days__gte=1, days__lte=30)),)

    def __str__(self) -> str:
        return f"{self.kind}: {self.days} {'working ' if self.working_days else ''}days from {self.effective_from}"
