"""Workers look an account up as the web role does: by its digests, before they speak for its person."""

from django.db import migrations

from portal.core import rls


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_agents")]

    operations = [rls.grant("EXECUTE", "FUNCTION find_account(text[])", rls.WORKER)]
