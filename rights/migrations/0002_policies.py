"""Who may see and write which rows, and the retention rules that the product ships."""

from datetime import date

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from portal.core.rls import APP_USER, protect

MINE = f"subject_id = {APP_USER} OR filed_by_id = {APP_USER}"
MY_PRINCIPALS = f"SELECT principal_id FROM accounts_authority WHERE agent_id = {APP_USER} AND revoked_at IS NULL"  # noqa: S608
MINE_TO_WRITE = f"subject_id = {APP_USER} OR (filed_by_id = {APP_USER} AND subject_id = ANY (ARRAY({MY_PRINCIPALS})))"
OF_MY_REQUEST = "EXISTS (SELECT 1 FROM rights_request r WHERE r.id = request_id)"
"""Row-level security applies inside a policy too, so the sub-select sees the person's own requests only."""

AML = "反洗钱法；金融机构客户身份识别和客户身份资料及交易记录保存管理办法"
AML_2024 = "反洗钱法（2024 修订）第 34 条"
LONG_AGO = date(2007, 1, 1)
SHIPPED = (
    # code, classes, duration, count, citation, effective from, supersedes, active
    ("AML-5-KYC", "KYC", "P5Y", "anniversary", AML, LONG_AGO, "", True),
    ("AML-5-TXN", "TXN LOAN", "P5Y", "anniversary", AML, LONG_AGO, "", True),
    ("AML-10-KYC", "KYC", "P10Y", "anniversary", AML_2024, date(2025, 1, 1), "AML-5-KYC", False),
    ("AML-10-TXN", "TXN LOAN", "P10Y", "anniversary", AML_2024, date(2025, 1, 1), "AML-5-TXN", False),
    ("ACC-30", "ACCT", "P30Y", "next_january", "会计档案管理办法", date(2016, 1, 1), "", False),
    ("INS-5", "INS", "P5Y", "anniversary", "保险法第 87 条", date(2009, 10, 1), "", True),
    ("INS-10", "INS-LONG", "P10Y", "anniversary", "保险法第 87 条", date(2009, 10, 1), "", True),
    ("FUND", "FUND", "P20Y", "anniversary", "公开募集证券投资基金销售机构监督管理办法", date(2020, 10, 1), "", False),
    ("LOG", "LOG", "P6M", "anniversary", "网络安全法第 21 条", date(2017, 6, 1), "", True),
)


def ship_rules(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    rule = apps.get_model("rights", "RetentionRule")
    rule.objects.bulk_create(
        rule(
            code=code, data_classes=classes.split(), duration=duration, count=count, rank="law", citation=citation,
            effective_from=effective_from, supersedes=supersedes, active=active,
        )
        for code, classes, duration, count, citation, effective_from, supersedes, active in SHIPPED
    )  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("rights", "0001_initial"), ("core", "0001_initial"), ("accounts", "0001_initial")]

    operations = [
        *protect("rights_request", web=MINE, web_writes=True),
        *protect("rights_question", web=OF_MY_REQUEST, web_writes=True),
        *protect("rights_decision", web=OF_MY_REQUEST),
        *protect("rights_event", web=OF_MY_REQUEST, web_inserts=True),
        *protect("rights_step", web=OF_MY_REQUEST),
        *protect("rights_batch", web=None, staff_writes=False),
        *protect("rights_package", web=OF_MY_REQUEST, web_writes=True),
        *protect("rights_notice", web=f"user_id = {APP_USER}", web_writes=True),
        *protect("rights_consentevent", web=f"user_id = {APP_USER}", staff_writes=False),
        *protect("rights_correctionrecord", web=OF_MY_REQUEST, staff_writes=False),
        *protect("rights_subjectvault", web=f"user_id = {APP_USER}", staff_writes=False),
        *protect(
            "rights_hold", web="EXISTS (SELECT 1 FROM rights_subjectvault v WHERE v.id = vault_id)", staff_writes=False
        ),
        *protect("rights_retentionrule", web="true", worker_writes=False),
        *protect("rights_datamapversion", web="true"),
        # Seen is what I filed; written only what is about me, or about somebody I may ask for today.
        migrations.RunSQL(
            f"ALTER POLICY web_insert ON rights_request WITH CHECK ({MINE_TO_WRITE});"
            f"ALTER POLICY web_update ON rights_request WITH CHECK ({MINE_TO_WRITE})",
            migrations.RunSQL.noop,
        ),
        # What a person files stays: taking it back is a move, never a deletion.
        migrations.RunSQL(
            "REVOKE DELETE ON rights_request, rights_question, rights_package, rights_notice FROM portal_web",
            migrations.RunSQL.noop,
        ),
        # An agent files for somebody else, who is the one to be told.
        migrations.RunSQL(
            "CREATE POLICY web_insert_for_principal ON rights_notice FOR INSERT TO portal_web "
            "WITH CHECK (EXISTS (SELECT 1 FROM rights_request r WHERE r.id = request_id AND r.subject_id = user_id))",
            migrations.RunSQL.noop,
        ),
        migrations.RunPython(ship_rules, migrations.RunPython.noop),
    ]
