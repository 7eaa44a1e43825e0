"""What the database itself holds every role to."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from accounts.models import Identity, User
from portal.core import rls
from tests.accounts.people import NOW, AsRole, current_role, make_user, speak_for

RunSql = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[str], "AbstractContextManager[psycopg.Connection[Any]]"]

# Tables that hold nothing about a person, or (sessions) only what a secret key names.
UNPROTECTED = {"django_migrations", "django_session", "django_content_type"}
NOT_ABOUT_A_PERSON = {
    "core_heartbeat", "core_outboxmessage", "rights_retentionrule", "rights_datamapversion", "rights_move",
    "rights_calendaryear", "rights_kindlimit",
}  # fmt: skip


def test_every_table_that_a_role_may_touch_is_under_forced_row_level_security(db: None, owner_sql: RunSql) -> None:
    rows = owner_sql(
        """
        SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND EXISTS (
            SELECT FROM unnest(ARRAY['portal_web', 'portal_staff', 'portal_worker']) AS role
            WHERE has_any_column_privilege(role, c.oid, 'SELECT, INSERT, UPDATE'))
        """
    )
    assert len(rows) > 10
    assert {name for name, protected in rows if not protected} <= UNPROTECTED


def test_web_without_a_user_sees_no_row_of_anybody(db: None, django_as: AsRole, as_role: Connect) -> None:
    make_user(django_as)
    with as_role("web") as web:
        tables = web.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
            " AND has_table_privilege(oid, 'SELECT')"
        ).fetchall()
        seen = {name for (name,) in tables if web.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()}
    assert seen <= UNPROTECTED | NOT_ABOUT_A_PERSON


def test_web_sees_its_user_and_no_other(db: None, django_as: AsRole) -> None:
    me, other = make_user(django_as), make_user(django_as)
    with django_as("owner"):
        for user in (me, other):
            Identity.objects.create(user=user, kind="name", value="x", index="v1:x", verified_at=NOW)
    speak_for(me)
    assert list(User.objects.values_list("pk", flat=True)) == [me.pk]
    assert [identity.user_id for identity in Identity.objects.all()] == [me.pk]


def test_web_cannot_give_its_user_another_role(db: None, django_as: AsRole) -> None:
    me = make_user(django_as)
    speak_for(me)
    with pytest.raises(Exception, match="permission denied"):
        User.objects.filter(pk=me.pk).update(role="admin")


def test_web_cannot_make_users_or_identities(db: None, django_as: AsRole) -> None:
    me = make_user(django_as)
    speak_for(me)
    with pytest.raises(Exception, match="permission denied"):
        Identity.objects.create(user=me, kind="id_number", value="x", index="v1:x", verified_at=NOW)
    with pytest.raises(Exception, match="permission denied"):
        User.objects.create_user(account_no="1", password=None, display_name="x", now=NOW)


def test_staff_see_all_and_change_no_role(db: None, django_as: AsRole) -> None:
    me, other = make_user(django_as, role="support"), make_user(django_as)
    rls.acting_as(me.pk, staff=True)
    assert set(User.objects.values_list("pk", flat=True)) == {me.pk, other.pk}
    with pytest.raises(Exception, match="permission denied"):
        User.objects.filter(pk=me.pk).update(role="admin")


def test_staff_change_their_own_row_alone(db: None, django_as: AsRole) -> None:
    me, other = make_user(django_as, role="support"), make_user(django_as)
    rls.acting_as(me.pk, staff=True)
    assert User.objects.filter(pk=me.pk).update(language="en") == 1
    assert User.objects.filter(pk=other.pk).update(password="x") == 0


def test_reset_leaves_the_web_role_and_nobody(db: None, django_as: AsRole) -> None:
    rls.acting_as(make_user(django_as, role="support").pk, staff=True)
    assert current_role()[0] == "portal_staff"
    rls.reset()
    assert current_role() == ("portal_web", "")


def test_the_worker_cannot_become_staff_or_owner(db: None, as_role: Connect) -> None:
    with as_role("worker") as worker:
        for role in ("portal_staff", "portal_owner", "portal_web"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(f"SET ROLE {role}")


def test_web_inherits_nothing_of_staff(db: None, as_role: Connect) -> None:
    with as_role("web") as web:
        (inherits,) = web.execute("SELECT pg_has_role('portal_web', 'portal_staff', 'USAGE')").fetchone() or (None,)
    assert inherits is False


def run_request(view: Callable[[HttpRequest], HttpResponse]) -> HttpResponse:
    return rls.RoleMiddleware(view)(RequestFactory().get("/"))


def test_a_request_starts_and_ends_speaking_for_nobody(db: None, django_as: AsRole) -> None:
    staff = make_user(django_as, role="support")
    rls.acting_as(staff.pk, staff=True)  # what a request before it left behind
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(current_role())
        rls.acting_as(staff.pk, staff=True)
        return HttpResponse()

    run_request(view)
    assert seen == [("portal_web", "")]
    assert current_role() == ("portal_web", "")


def test_a_request_that_fails_ends_speaking_for_nobody(db: None, django_as: AsRole) -> None:
    staff = make_user(django_as, role="support")

    def view(request: HttpRequest) -> HttpResponse:
        rls.acting_as(staff.pk, staff=True)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        return HttpResponse()

    with pytest.raises(Exception, match="division by zero"):
        run_request(view)
    assert current_role() == ("portal_web", "")


def test_a_connection_that_cannot_be_reset_is_closed(db: None) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        rls.acting_as(uuid4(), staff=True)
        connection.connection.execute("BEGIN")
        with pytest.raises(psycopg.Error):
            connection.connection.execute("SELECT 1 / 0")
        return HttpResponse()

    run_request(view)
    assert connection.connection is None
    assert current_role() == ("portal_web", "")


def test_speaking_for_somebody_ends_with_the_block(db: None, django_as: AsRole) -> None:
    me, other = make_user(django_as), make_user(django_as)
    speak_for(me)
    with rls.speaking_for(other.pk, staff=False):
        assert current_role()[1] == str(other.pk)
    assert current_role() == ("portal_web", str(me.pk))
    with pytest.raises(ZeroDivisionError), rls.speaking_for(other.pk, staff=True):
        raise ZeroDivisionError
    assert current_role() == ("portal_web", str(me.pk))


def test_find_account_cannot_be_called_by_workers_and_is_not_led_astray(db: None, as_role: Connect) -> None:
    with as_role("worker") as worker, pytest.raises(psycopg.errors.InsufficientPrivilege):
        worker.execute("SELECT find_account(ARRAY['v1:x'])")
    with as_role("web") as web:
        # A caller's temporary table of the same name must not be what the function reads.
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            web.execute("CREATE TABLE accounts_user (id uuid, account_index text, phone_index text)")
        web.execute("CREATE TEMPORARY TABLE accounts_user (id uuid, account_index text, phone_index text)")
        web.execute("INSERT INTO accounts_user VALUES (gen_random_uuid(), 'v1:x', '')")
        assert web.execute("SELECT find_account(ARRAY['v1:x'])").fetchall() == []


def test_a_missing_role_is_named_with_the_file_that_makes_it(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rls, "ROLES", ("portal_web", "portal_missing"))

    class Editor:
        connection = connection

    with pytest.raises(ImproperlyConfigured, match=r"portal_missing: run docker/roles\.sql"):
        rls.require_roles(None, Editor())  # type: ignore[arg-type]
