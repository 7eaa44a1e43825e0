import uuid

import django.db.models.deletion
from django.db import migrations, models

import portal.core.fields
from portal.core.rls import APP_USER, STAFF, WEB, define, protect

OF_MY_REQUEST = "EXISTS (SELECT 1 FROM rights_request r WHERE r.id = request_id)"
# The secret is the person's own; who asked for them neither makes nor ends it.
OF_MINE = f"EXISTS (SELECT 1 FROM rights_request r WHERE r.id = request_id AND r.subject_id = {APP_USER})"  # noqa: S608
# For whoever has the secret and no account. It gives nothing that says whose records these are.
FIND_HELD = """
CREATE FUNCTION held_by_secret(digests text[]) RETURNS TABLE (
    reference text, received_at timestamptz, entity text, system text, collection text, rule text, key text,
    last_day date, count bigint, released_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT r.reference, r.received_at, h.entity, h.system, h.collection, h.rule, h.key, h.last_day, h.count,
           h.released_at
      FROM rights_statussecret s
      JOIN rights_request r ON r.id = s.request_id
      LEFT JOIN rights_hold h ON h.request_id = r.id
     WHERE s.digest = ANY (digests) AND s.revoked_at IS NULL
     ORDER BY h.last_day, h.id
$$"""


class Migration(migrations.Migration):
    dependencies = [("rights", "0008_package")]

    operations = [
        migrations.CreateModel(
            name="StatusSecret",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(max_length=80, unique=True)),
                ("made_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(null=True)),
                (
                    "request",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="status_secret", to="rights.request"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Receipt",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("event", models.CharField(max_length=12)),
                ("seq", models.PositiveIntegerField()),
                ("fields", portal.core.fields.EncryptedTextField()),
                ("salt", models.CharField(max_length=32)),
                ("at", models.DateTimeField()),
                (
                    "request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="receipts", to="rights.request"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("request", "seq", "event"), name="receipt_once")],
            },
        ),
        *protect("rights_receipt", web=OF_MY_REQUEST, web_inserts=True),
        *protect("rights_statussecret", web=OF_MINE, web_writes=True, staff=False),
        define(FIND_HELD, signature="held_by_secret(text[])", roles=[WEB, STAFF]),
    ]
