"""What proofs are made of: kept nodes of the tree, and the web role's sight of leaves and heads.

Both are hashes and say nothing about anybody; heads are made to be shown around.
"""

from django.db import migrations, models

from portal.core import rls

SHOW = f"""
GRANT SELECT ON core_ledgerleaf, core_ledgerhead TO {rls.WEB};
CREATE POLICY web_select ON core_ledgerleaf FOR SELECT TO {rls.WEB} USING (true);
CREATE POLICY web_select ON core_ledgerhead FOR SELECT TO {rls.WEB} USING (true);
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="LedgerNode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("level", models.PositiveSmallIntegerField()),
                ("number", models.BigIntegerField()),
                ("hash", models.BinaryField(max_length=32)),
            ],
        ),
        migrations.AddConstraint(
            model_name="ledgerhead",
            constraint=models.UniqueConstraint(fields=("size",), name="ledgerhead_size"),
        ),
        migrations.AddConstraint(
            model_name="ledgernode",
            constraint=models.UniqueConstraint(fields=("level", "number"), name="ledgernode_place"),
        ),
        *rls.protect("core_ledgernode", web="true", staff_writes=False),
        *rls.append_only("core_ledgernode"),
        migrations.RunSQL(SHOW, migrations.RunSQL.noop),
    ]
