import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import portal.core.fields
import rights.kernel.states
from portal.core.rls import APP_USER, protect

MY_PRINCIPALS = f"SELECT principal_id FROM accounts_authority WHERE agent_id = {APP_USER} AND revoked_at IS NULL"  # noqa: S608
OF_MY_REQUEST = "EXISTS (SELECT 1 FROM rights_request r WHERE r.id = request_id)"
MINE_TO_WRITE = f"subject_id = {APP_USER} OR (filed_by_id = {APP_USER} AND subject_id = ANY (ARRAY({MY_PRINCIPALS})))"
# What somebody may write about a person who gave them no authority: a request of their own that has not been proved. It
# holds nothing of that person, and an earlier one that was proved is out of reach even where the authority has ended.
UNPROVED = (
    f"filed_by_id = {APP_USER} AND state IN ('draft', 'waiting', 'closed') AND plan IS NULL AND approved_plan IS NULL"
    " AND ready_at IS NULL AND started_on IS NULL AND round = 0"
)
RULES = f"""
ALTER POLICY web_insert ON rights_request WITH CHECK ({MINE_TO_WRITE} OR ({UNPROVED} AND state <> 'closed'));
ALTER POLICY web_update ON rights_request USING ({MINE_TO_WRITE} OR ({UNPROVED})) WITH CHECK ({MINE_TO_WRITE} OR ({UNPROVED}));
ALTER POLICY web_insert_for_principal ON rights_notice WITH CHECK (EXISTS (
    SELECT 1 FROM rights_request r WHERE r.id = request_id AND r.subject_id = user_id
    AND (r.ready_at IS NOT NULL OR rights_notice.kind IN ('was_this_you', 'filed_for_you', 'withdrawn'))));
ALTER POLICY web_update ON rights_fee USING (EXISTS (
    SELECT 1 FROM rights_request r WHERE r.id = request_id
    AND (r.subject_id = {APP_USER} OR r.subject_id = ANY (ARRAY({MY_PRINCIPALS})))))
"""  # noqa: S608


class Migration(migrations.Migration):
    dependencies = [
        ("rights", "0004_clock"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Fee",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.DecimalField(decimal_places=2, max_digits=8)),
                ("reason", portal.core.fields.EncryptedTextField()),
                ("quoted_at", models.DateTimeField()),
                ("answer_by", models.DateField()),
                ("accepted_at", models.DateTimeField(null=True)),
                ("declined_at", models.DateTimeField(null=True)),
                ("waived_at", models.DateTimeField(null=True)),
                ("lapsed_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.PositiveIntegerField(unique=True)),
                ("rules", models.JSONField()),
                ("basis", models.TextField()),
                ("proposed_at", models.DateTimeField()),
                ("approved_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("in_force", models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name="Proof",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("note", portal.core.fields.EncryptedTextField()),
                ("note_salt", models.CharField(max_length=64)),
                ("confirmed_at", models.DateTimeField()),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="request",
            name="request_submitted_is_dated",
        ),
        migrations.AddConstraint(
            model_name="request",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", [rights.kernel.states.State["DRAFT"], rights.kernel.states.State["CLOSED"]]),
                    models.Q(
                        ("received_at__isnull", False), ("reference__isnull", False), ("started_on__isnull", False)
                    ),
                    models.Q(
                        ("plan__isnull", True),
                        ("ready_at__isnull", True),
                        ("received_at__isnull", False),
                        ("reference__isnull", False),
                        ("state", rights.kernel.states.State["WAITING"]),
                    ),
                    _connector="OR",
                ),
                name="request_submitted_is_dated",
            ),
        ),
        migrations.AddConstraint(
            model_name="request",
            constraint=models.UniqueConstraint(
                condition=models.Q(("started_on__isnull", True), ("state", rights.kernel.states.State["WAITING"])),
                fields=("filed_by", "subject", "kind"),
                name="request_unproved_once",
            ),
        ),
        migrations.AddField(
            model_name="fee",
            name="quoted_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="fee",
            name="request",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="fees", to="rights.request"
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="approved_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="proposed_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="proof",
            name="confirmed_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="proof",
            name="request",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE, related_name="proof", to="rights.request"
            ),
        ),
        migrations.AddConstraint(
            model_name="fee",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="fee_is_something"),
        ),
        migrations.AddConstraint(
            model_name="fee",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("accepted_at__isnull", True),
                    ("declined_at__isnull", True),
                    ("lapsed_at__isnull", True),
                    ("waived_at__isnull", True),
                ),
                fields=("request",),
                name="fee_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("in_force", True)), fields=("in_force",), name="policy_one_in_force"
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("in_force", False),
                    models.Q(("approved_at__isnull", False), ("ended_at__isnull", True)),
                    _connector="OR",
                ),
                name="policy_in_force_is_approved",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("approved_by", models.F("proposed_by")), _negated=True), name="policy_four_eyes"
            ),
        ),
        *protect("rights_policyversion", web="true", worker_writes=False),
        *protect("rights_fee", web=OF_MY_REQUEST, web_updates=["accepted_at", "declined_at"]),
        *protect("rights_proof", web=None),
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
    ]
