import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from portal.core.rls import protect


class Migration(migrations.Migration):
    dependencies = [
        ("rights", "0005_handling"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Gate",
            fields=[
                ("system", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("chain", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("stopped_at", models.DateTimeField(null=True)),
                ("reason", models.CharField(blank=True, max_length=300)),
                ("shadow", models.BooleanField(db_default=False, default=False)),
                ("at_once", models.PositiveSmallIntegerField(null=True)),
                ("per_minute", models.PositiveIntegerField(null=True)),
                ("failures", models.PositiveIntegerField(db_default=0, default=0)),
                ("closed_until", models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name="request",
            name="dispatched_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="step",
            name="started_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="step",
            index=models.Index(condition=models.Q(("state", "running")), fields=["system"], name="step_running"),
        ),
        migrations.AddIndex(
            model_name="step",
            index=models.Index(fields=["system", "-started_at"], name="step_started"),
        ),
        migrations.AddField(
            model_name="gate",
            name="stopped_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddConstraint(
            model_name="gate",
            constraint=models.CheckConstraint(
                condition=models.Q(("stopped_at__isnull", True), ("stopped_by__isnull", False), _connector="OR"),
                name="gate_stop_is_somebodys",
            ),
        ),
        migrations.AddConstraint(
            model_name="gate",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("at_once__isnull", True), ("at_once__gt", 0), _connector="OR"),
                    models.Q(("per_minute__isnull", True), ("per_minute__gt", 0), _connector="OR"),
                ),
                name="gate_limits_let_something_through",
            ),
        ),
        migrations.AddField(model_name="batch", name="erased", field=models.BinaryField(null=True)),
        migrations.AddField(model_name="batch", name="log_key", field=models.PositiveSmallIntegerField(null=True)),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(("erased__isnull", False)), fields=["closed_at"], name="batch_in_log"
            ),
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.CheckConstraint(
                condition=models.Q(("erased__isnull", True), ("log_key__isnull", False), _connector="OR"),
                name="batch_log_names_its_key",
            ),
        ),
        *protect("rights_gate", web=None),
    ]
