"""Rules and exceptions that two people make, revisions of holds, and ends of relationships that the portal keeps."""

import uuid
from datetime import UTC, datetime

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

import portal.core.fields
from portal.core.rls import APP_USER, STAFF, WEB, WORKER, protect

MY_PRINCIPALS = f"SELECT principal_id FROM accounts_authority WHERE agent_id = {APP_USER} AND revoked_at IS NULL"  # noqa: S608
MINE = "{column} = " + APP_USER + " OR {column} = ANY (ARRAY(" + MY_PRINCIPALS + "))"

SHIPPED_AT = datetime(2026, 1, 1, tzinfo=UTC)
STARTS = {
    "KYC": "the end of the relationship with that entity",
    "TXN": "the end of that transaction or loan",
    "ACCT": "the end of the fiscal year",
    "INS": "the end of the contract",
    "INS-LONG": "the end of the contract",
    "FUND": "the account is closed",
    "LOG": "the record is made",
}

RULE_FACTS = "proposed_by_id proposed_at activated_by_id activated_at withdrawn_at redated_at"
EXCEPTION_FACTS = "approved_by_id approved_at withdrawn_at applied_at warned_at ended_at"
PLANNED_BY = (
    "id, effect, subject_id, request_id, collection, data_class, entity, until, label, key, approved_at, ended_at"
)
"""What a person's own plan needs of an exception: neither why, nor by whom, nor whether it is confidential."""

# History is added to; a worker marks what it has carried out of a rule and nothing else.
GRANTS = f"""
GRANT SELECT ({PLANNED_BY}) ON rights_retentionexception TO {WEB};
CREATE POLICY web_select ON rights_retentionexception FOR SELECT TO {WEB}
    USING (subject_id IS NULL OR {MINE.format(column="subject_id")});
REVOKE UPDATE, DELETE ON rights_holdrevision FROM {WORKER};
REVOKE DELETE ON rights_retentionexception, rights_retentionrule FROM {STAFF}, {WORKER};
GRANT UPDATE (redated_at) ON rights_retentionrule TO {WORKER};
"""  # noqa: S608 - names of columns and roles

IMMUTABLE = """
CREATE FUNCTION rights_refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    facts text[] := string_to_array(TG_ARGV[0], ' ');
    free text[] := string_to_array(TG_ARGV[1], ' ');
    fact text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a row of % is never deleted', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF to_jsonb(NEW) - facts - free IS DISTINCT FROM to_jsonb(OLD) - facts - free THEN
        RAISE EXCEPTION 'what a row of % says never changes: propose a new one', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOREACH fact IN ARRAY facts LOOP
        IF to_jsonb(OLD) ->> fact IS NOT NULL AND to_jsonb(OLD) -> fact IS DISTINCT FROM to_jsonb(NEW) -> fact THEN
            RAISE EXCEPTION '% of % was set before and stays', fact, TG_TABLE_NAME
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
"""


def _immutable(table: str, *, facts: str, free: str = "") -> migrations.RunSQL:
    """Let only `facts` change, each once from nothing; `free` columns may (a sealed text is sealed anew)."""
    return migrations.RunSQL(
        f"CREATE TRIGGER refuse_rewrite BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW"
        f" EXECUTE FUNCTION rights_refuse_rewrite('{facts}', '{free}')",
        migrations.RunSQL.noop,
    )


def mark_shipped(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """All there is came with the product; what it ships active is active from the start and dates every hold."""
    rule = apps.get_model("rights", "RetentionRule")
    rule.objects.filter(active=True).update(activated_at=SHIPPED_AT, redated_at=SHIPPED_AT)
    for item in rule.objects.all():
        item.shipped, item.trigger = True, STARTS.get(item.data_classes[0], "")
        item.save(update_fields=["shipped", "trigger"])


class Migration(migrations.Migration):
    dependencies = [
        ("rights", "0002_policies"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="HoldRevision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("cause", models.CharField(max_length=60)),
                ("old_rule", models.CharField(max_length=160)),
                ("old_key", models.CharField(max_length=40)),
                ("old_trigger_on", models.DateField(null=True)),
                ("old_last_day", models.DateField(null=True)),
                ("rule", models.CharField(max_length=160)),
                ("key", models.CharField(max_length=40)),
                ("trigger_on", models.DateField(null=True)),
                ("last_day", models.DateField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="RelationshipEnd",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("entity", models.CharField(max_length=40)),
                ("ended_on", models.DateField()),
            ],
        ),
        migrations.CreateModel(
            name="RetentionException",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "effect",
                    models.CharField(
                        choices=[("suspend", "suspend"), ("extend", "extend"), ("release", "release")], max_length=8
                    ),
                ),
                ("collection", models.CharField(blank=True, max_length=160)),
                ("data_class", models.CharField(blank=True, max_length=16)),
                ("entity", models.CharField(blank=True, max_length=40)),
                ("until", models.DateField()),
                ("expires_on", models.DateField()),
                ("basis", models.CharField(max_length=300)),
                ("evidence", portal.core.fields.EncryptedTextField()),
                ("evidence_salt", models.CharField(max_length=64)),
                ("confidential", models.BooleanField(default=False)),
                ("label", models.CharField(blank=True, max_length=16)),
                ("key", models.CharField(blank=True, max_length=40)),
                ("proposed_at", models.DateTimeField()),
                ("approved_at", models.DateTimeField(null=True)),
                ("withdrawn_at", models.DateTimeField(null=True)),
                ("applied_at", models.DateTimeField(null=True)),
                ("warned_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="activated_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="activated_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="bound",
            field=models.CharField(
                choices=[("minimum", "minimum"), ("maximum", "maximum")], default="minimum", max_length=8
            ),
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="proposed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="proposed_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="redated_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="shipped",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="trigger",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="withdrawn_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.RunPython(mark_shipped, migrations.RunPython.noop),
        migrations.RemoveField(
            model_name="retentionrule",
            name="active",
        ),
        migrations.AlterField(
            model_name="hold",
            name="rule",
            field=models.CharField(max_length=160),
        ),
        migrations.AddIndex(
            model_name="hold",
            index=models.Index(
                condition=models.Q(("released_at__isnull", True)), fields=["rule", "request"], name="hold_rule"
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("activated_by__isnull", True),
                    models.Q(
                        ("proposed_by__isnull", False),
                        models.Q(("proposed_by", models.F("activated_by")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="rule_four_eyes",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("activated_at__isnull", True), ("shipped", True), ("activated_by__isnull", False), _connector="OR"
                ),
                name="rule_activated_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("activated_at__isnull", True), ("withdrawn_at__isnull", True), _connector="OR"),
                name="rule_not_both",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("effective_to__isnull", True), ("effective_to__gte", models.F("effective_from")), _connector="OR"
                ),
                name="rule_ends_after_it_begins",
            ),
        ),
        migrations.AddField(
            model_name="holdrevision",
            name="hold",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="revisions", to="rights.hold"
            ),
        ),
        migrations.AddField(
            model_name="relationshipend",
            name="request",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="rights.request"),
        ),
        migrations.AddField(
            model_name="relationshipend",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="relationship_ends",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="retentionexception",
            name="approved_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="retentionexception",
            name="proposed_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="retentionexception",
            name="request",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="rights.request"
            ),
        ),
        migrations.AddField(
            model_name="retentionexception",
            name="subject",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddIndex(
            model_name="relationshipend",
            index=models.Index(fields=["user", "entity"], name="relationship_end_user"),
        ),
        migrations.AddConstraint(
            model_name="relationshipend",
            constraint=models.UniqueConstraint(fields=("request", "entity"), name="relationship_ends_once"),
        ),
        migrations.AddIndex(
            model_name="retentionexception",
            index=models.Index(
                condition=models.Q(("approved_at__isnull", False), ("ended_at__isnull", True)),
                fields=["subject"],
                name="exception_live",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionexception",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_by__isnull", True),
                    models.Q(
                        ("proposed_by__isnull", False),
                        models.Q(("proposed_by", models.F("approved_by")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="exception_four_eyes",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionexception",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_at__isnull", True),
                    models.Q(("approved_by__isnull", False), ("withdrawn_at__isnull", True)),
                    _connector="OR",
                ),
                name="exception_approved_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionexception",
            constraint=models.CheckConstraint(
                condition=models.Q(("until__lte", models.F("expires_on"))), name="exception_ends"
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionexception",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("subject__isnull", False),
                    models.Q(("collection", ""), _negated=True),
                    models.Q(("data_class", ""), _negated=True),
                    models.Q(("entity", ""), _negated=True),
                    _connector="OR",
                ),
                name="exception_has_a_scope",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionexception",
            constraint=models.CheckConstraint(
                condition=models.Q(("request__isnull", True), ("subject__isnull", False), _connector="OR"),
                name="exception_case_names_its_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionexception",
            constraint=models.CheckConstraint(
                condition=models.Q(("confidential", False), models.Q(("key", ""), ("label", "")), _connector="OR"),
                name="exception_confidential_is_neutral",
            ),
        ),
        *protect(
            "rights_holdrevision", web="EXISTS (SELECT 1 FROM rights_hold h WHERE h.id = hold_id)", staff_writes=False
        ),
        *protect("rights_relationshipend", web=MINE.format(column="user_id"), staff_writes=False),
        *protect("rights_retentionexception", web=None),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
        migrations.RunSQL(IMMUTABLE, "DROP FUNCTION rights_refuse_rewrite"),
        _immutable("rights_retentionrule", facts=RULE_FACTS),
        _immutable("rights_retentionexception", facts=EXCEPTION_FACTS, free="evidence"),
    ]
