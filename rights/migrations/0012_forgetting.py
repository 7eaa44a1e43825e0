"""A case that is past its time is forgotten with the holds that are over, whose history nobody else may take away."""

from django.db import migrations

from portal.core import rls

FORGET_HOLDS = """
CREATE FUNCTION forget_holds(request uuid) RETURNS void LANGUAGE sql AS $$
    DELETE FROM rights_holdrevision v USING rights_hold h
     WHERE v.hold_id = h.id AND h.request_id = forget_holds.request AND h.released_at IS NOT NULL;
    DELETE FROM rights_hold h WHERE h.request_id = forget_holds.request AND h.released_at IS NOT NULL
$$"""


class Migration(migrations.Migration):
    dependencies = [("rights", "0011_restricted")]

    operations = [rls.define(FORGET_HOLDS, signature="forget_holds(uuid)", roles=[rls.WORKER])]
