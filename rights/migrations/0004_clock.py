"""Limits and working days as data, and the table of moves that the database itself holds requests to."""

import json
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.utils import timezone

from portal.core.rls import WEB, append_only, protect

MOVES = (
    ("draft", "checking", "person staff worker"),
    ("draft", "waiting", "person staff worker"),
    ("draft", "closed", "person staff worker"),
    ("checking", "review", "worker"),
    ("checking", "waiting", "staff worker"),
    ("checking", "acting", "worker"),
    ("checking", "deferred", "worker"),
    ("checking", "closed", "person staff worker"),
    ("review", "waiting", "staff worker"),
    ("review", "acting", "staff worker"),
    ("review", "deferred", "staff worker"),
    ("review", "closed", "person staff worker"),
    ("waiting", "checking", "person staff worker"),
    ("waiting", "review", "person staff worker"),
    ("waiting", "closed", "person staff worker"),
    ("acting", "review", "staff worker"),
    ("acting", "deferred", "worker"),
    ("acting", "closed", "person worker"),
    ("deferred", "review", "worker"),
    ("deferred", "acting", "worker"),
    ("deferred", "closed", "person staff worker"),
)
"""As `kernel.states.TABLE` had them when this was written. A change there comes with a migration; a test compares."""

WEB_UPDATES = (
    "state", "details", "reference", "received_at", "ready_at", "started_on", "limit_days", "working_days", "plan",
    "priority", "review_reasons", "closed_at", "closing_key", "act_after", "check_after",
)  # fmt: skip
"""What drafting, submitting, answering and taking back write."""

AS_CLOSING = ("closed_at", "closing_key", "act_after", "check_after")
"""Of a request that was filed a person changes the state, and these together with taking it back."""

SET_PATH = "SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)"
"""The functions below keep this path, or a caller's temporary table could stand in for the table of moves."""

CHECK_MOVE = """
CREATE FUNCTION rights_check_move() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    actor text := CASE current_user WHEN 'portal_web' THEN 'person' WHEN 'portal_staff' THEN 'staff' END;
    allowed text[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'draft' THEN
            RAISE EXCEPTION 'a request begins as a draft, not as %', NEW.state USING ERRCODE = 'check_violation';
        END IF;
        IF actor = 'person' AND NOT (NEW.approved_plan IS NULL AND NEW.approved_at IS NULL AND NEW.received_at IS NULL
                                     AND NEW.reviewer_id IS NULL AND NEW.round = 0) THEN
            RAISE EXCEPTION 'a draft holds no decision' USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END IF;
    SELECT actors INTO allowed FROM rights_move WHERE before = OLD.state AND after = NEW.state;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a request cannot go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF actor IS NOT NULL AND NOT actor = ANY (allowed) THEN
        RAISE EXCEPTION 'a request does not go from % to % by %', OLD.state, NEW.state, current_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER begins_as_draft BEFORE INSERT ON rights_request FOR EACH ROW EXECUTE FUNCTION rights_check_move();
CREATE TRIGGER check_move BEFORE UPDATE ON rights_request
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION rights_check_move()
"""

KEEP_FILED = f"""
CREATE FUNCTION rights_keep_filed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    free text[] := ARRAY['state'];
BEGIN
    IF NEW.state = 'closed' AND OLD.state <> 'closed' THEN
        free := free || TG_ARGV::text[];
    END IF;
    IF (to_jsonb(NEW) - free) IS DISTINCT FROM (to_jsonb(OLD) - free) THEN
        RAISE EXCEPTION 'what was filed stays as it was filed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_filed BEFORE UPDATE ON rights_request
    FOR EACH ROW WHEN (OLD.state <> 'draft' AND current_user = '{WEB}')
    EXECUTE FUNCTION rights_keep_filed({", ".join(AS_CLOSING)})
"""


def fill_moves(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    move = apps.get_model("rights", "Move")
    move.objects.bulk_create(move(before=before, after=after, actors=actors.split()) for before, after, actors in MOVES)


def ship_calendar(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The year that was announced when this was written; later ones are imported."""
    year = json.loads((Path(__file__).parent.parent / "calendars" / "2026.json").read_text(encoding="utf-8"))
    apps.get_model("rights", "CalendarYear").objects.create(**year, imported_at=timezone.now())


class Migration(migrations.Migration):
    dependencies = [("rights", "0003_retention"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="CalendarYear",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("year", models.PositiveSmallIntegerField()),
                ("days_off", models.JSONField(default=list)),
                ("make_up", models.JSONField(default=list)),
                ("source", models.CharField(max_length=300)),
                ("imported_at", models.DateTimeField()),
                (
                    "imported_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"indexes": [models.Index(fields=["year", "-id"], name="calendar_year")]},
        ),
        migrations.CreateModel(
            name="KindLimit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("access", "access"),
                            ("correction", "correction"),
                            ("deletion", "deletion"),
                            ("withdrawal", "withdrawal"),
                            ("cancellation", "cancellation"),
                        ],
                        max_length=16,
                    ),
                ),
                ("days", models.PositiveSmallIntegerField()),
                ("working_days", models.BooleanField(default=False)),
                ("effective_from", models.DateField()),
                ("set_at", models.DateTimeField()),
                (
                    "set_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("days__gte", 1), ("days__lte", 30)), name="limit_days")
                ]
            },
        ),
        migrations.CreateModel(
            name="Move",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("before", models.CharField(max_length=16)),
                ("after", models.CharField(max_length=16)),
                (
                    "actors",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=8), size=None),
                ),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("before", "after"), name="move_once")]},
        ),
        migrations.AddField("question", "missing", models.BooleanField(db_default=False, default=False)),
        migrations.AddField("request", "check_owed_at", models.DateTimeField(null=True)),
        migrations.AddField("request", "clock_settled", models.BooleanField(db_default=False, default=False)),
        migrations.AddField("request", "resumed_at", models.DateTimeField(null=True)),
        migrations.AddField("request", "working_days", models.BooleanField(db_default=False, default=False)),
        migrations.AddIndex(
            "request",
            models.Index(
                condition=models.Q(("clock_settled", False), ("received_at__isnull", False), ("state", "closed")),
                fields=["closed_at"],
                name="request_unsettled",
            ),
        ),
        *protect("rights_calendaryear", web="true", worker_writes=False),
        *append_only("rights_calendaryear"),
        *protect("rights_kindlimit", web="true", worker_writes=False),
        *append_only("rights_kindlimit"),
        *protect("rights_move", web="true", staff_writes=False, worker_writes=False),
        migrations.RunPython(fill_moves, migrations.RunPython.noop),
        migrations.RunPython(ship_calendar, migrations.RunPython.noop),
        migrations.RunSQL(
            f"{SET_PATH}; {CHECK_MOVE}; {KEEP_FILED}",
            "DROP TRIGGER begins_as_draft ON rights_request; DROP TRIGGER check_move ON rights_request;"
            "DROP TRIGGER keep_filed ON rights_request;"
            "DROP FUNCTION rights_check_move; DROP FUNCTION rights_keep_filed",
        ),
        migrations.RunSQL(
            f"REVOKE UPDATE ON rights_request FROM {WEB}; "
            f"GRANT UPDATE ({', '.join(WEB_UPDATES)}) ON rights_request TO {WEB}",
            f"GRANT UPDATE ON rights_request TO {WEB}",
        ),
    ]
