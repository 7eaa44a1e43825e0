from django.db import migrations

from portal.core import rls

# Of those who act, or acted, for the signed-in person: the name and nothing else. Their rows stay their own.
MY_AGENTS = f"""
CREATE FUNCTION my_agents() RETURNS TABLE (id uuid, display_name bytea) LANGUAGE sql STABLE AS $$
    SELECT u.id, u.display_name FROM accounts_user u
    WHERE u.id IN (SELECT a.agent_id FROM accounts_authority a WHERE a.principal_id = {rls.APP_USER})
$$"""  # noqa: S608


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [rls.define(MY_AGENTS, signature="my_agents()", roles=[rls.WEB, rls.STAFF])]
