"""What people say about uses of their data is only added to, versions of the privacy policy ask again, and breaches are
told."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import F

from portal.core.rls import APP_USER, WEB, WORKER, append_only, protect

# What was said stays as it was said: later only its case may be forgotten, and the systems may have been told.
KEEP = """
CREATE FUNCTION rights_keep_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) - '{request_id,settled_at}'::text[] <> to_jsonb(OLD) - '{request_id,settled_at}'::text[]
        OR NEW.request_id <> coalesce(OLD.request_id, '00000000-0000-0000-0000-000000000000')
        OR (OLD.settled_at IS NOT NULL AND NEW.settled_at IS DISTINCT FROM OLD.settled_at)
    THEN
        RAISE EXCEPTION 'UPDATE on rights_consentevent is refused: it can only be added to'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_consent BEFORE UPDATE ON rights_consentevent
    FOR EACH ROW EXECUTE FUNCTION rights_keep_consent();
"""
GRANTS = f"""
REVOKE UPDATE, DELETE ON rights_consentevent FROM {WORKER};
GRANT UPDATE (request_id, settled_at) ON rights_consentevent TO {WORKER};
GRANT INSERT ON rights_consentevent TO {WEB};
CREATE POLICY web_insert ON rights_consentevent FOR INSERT TO {WEB}
    WITH CHECK (user_id = {APP_USER} AND request_id IS NULL);
"""


def settle_earlier(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """All that was written down before was written with the systems' own flag."""
    apps.get_model("rights", "ConsentEvent").objects.update(settled_at=F("at"))


class Migration(migrations.Migration):
    dependencies = [
        ("rights", "0014_appeals"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Breach",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(max_length=40, unique=True)),
                ("text", models.JSONField()),
                ("told", models.PositiveIntegerField()),
                ("published_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="PrivacyPolicy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.CharField(max_length=40, unique=True)),
                ("effective_on", models.DateField()),
                ("changes", models.JSONField(default=list)),
                ("asks", models.JSONField(default=list)),
                ("published_at", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="consentevent",
            name="chain",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="consentevent",
            name="settled_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="consentevent",
            name="source",
            field=models.CharField(
                choices=[("portal", "Portal"), ("policy", "Policy"), ("browser", "Browser")],
                default="portal",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="consentevent",
            name="version",
            field=models.CharField(blank=True, max_length=40),
        ),
        migrations.AlterField(
            model_name="consentevent",
            name="purpose",
            field=models.CharField(max_length=200),
        ),
        migrations.AddIndex(
            model_name="consentevent",
            index=models.Index(
                condition=models.Q(("settled_at__isnull", True)), fields=["at", "id"], name="consent_unsettled"
            ),
        ),
        migrations.AddConstraint(
            model_name="consentevent",
            constraint=models.UniqueConstraint(
                condition=models.Q(("purpose", "signal:gpc")), fields=("user",), name="consent_signal_once"
            ),
        ),
        migrations.AddField(
            model_name="breach",
            name="published_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="privacypolicy",
            name="published_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.RunPython(settle_earlier, migrations.RunPython.noop),
        migrations.RunSQL(KEEP, "DROP TRIGGER keep_consent ON rights_consentevent; DROP FUNCTION rights_keep_consent"),
        migrations.RunSQL(
            GRANTS,
            f"DROP POLICY web_insert ON rights_consentevent; REVOKE INSERT ON rights_consentevent FROM {WEB};"
            f"GRANT UPDATE, DELETE ON rights_consentevent TO {WORKER}",
        ),
        *protect("rights_privacypolicy", web="true", worker_writes=False),
        *append_only("rights_privacypolicy"),
        *protect("rights_breach", web=None, worker_writes=False),
        *append_only("rights_breach"),
    ]
