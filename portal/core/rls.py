"""Row-level security: who a connection speaks for, and the policies that make the database hold to it.

The web role sees the rows of the person it speaks for and no others, by the session-level setting `app.user`; without
the setting it sees none. Staff pages run as another role, `portal_staff`, which has its own explicit policies: one
policy that says "staff or subject" would cost the index. Workers have their own login role.

The settings are session-level because a transaction-level one is gone once a transaction ends, and no transaction may
be open while a business system is asked. A connection outlives a request, so `RoleMiddleware` clears them before and
after each; what goes wrong between leaves a connection that sees nothing.

A streaming response is iterated after the middleware has cleared the settings: its generator must not query the
portal's own tables (it would see no rows), so read what it needs before returning it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import StateApps
from django.http import HttpRequest, HttpResponse

log = structlog.get_logger(__name__)

WEB, STAFF, WORKER = "portal_web", "portal_staff", "portal_worker"
ROLES = (WEB, STAFF, WORKER)

# After SET LOCAL a setting comes back as '' and not as NULL, hence nullif. As a sub-select it is computed once a query.
APP_USER = "(SELECT nullif(current_setting('app.user', true), '')::uuid)"
APP_CHAIN = "(SELECT nullif(current_setting('app.chain', true), '')::uuid)"


# --- at run time


def acting_as(user_id: UUID | None, *, staff: bool) -> None:
    """Let this connection speak for `user_id`, with the staff role or the role it signed in with."""
    role = f"SET ROLE {STAFF}" if staff else "RESET ROLE"
    with connection.cursor() as cursor:
        cursor.execute(role)
        cursor.execute("SELECT set_config('app.user', %s, false)", [str(user_id) if user_id else ""])


def reset() -> None:
    """Let this connection speak for nobody."""
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE; SELECT set_config('app.user', '', false)")


@contextmanager
def speaking_for(user_id: UUID | None, *, staff: bool) -> Iterator[None]:
    """Speak for `user_id` inside the block, then for whoever it was before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.user', true), current_user = %s", [STAFF])
        before, was_staff = cursor.fetchone()
    acting_as(user_id, staff=staff)
    try:
        yield
    finally:
        try:
            acting_as(UUID(before) if before else None, staff=was_staff)
        except DatabaseError:
            # A failed transaction takes the settings back by its rollback; outside one, nobody may borrow this
            # connection.
            if not connection.in_atomic_block:
                connection.close()


class RoleMiddleware:
    """First in the list: whatever happens in a request, its connection speaks for nobody before and after it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        _clear()
        try:
            return self.get_response(request)
        finally:
            _clear()


def _clear() -> None:
    """Reset an open connection; one that cannot be reset is closed, so that nobody borrows it as it is."""
    if connection.connection is None:
        return
    try:
        reset()
    except DatabaseError as error:
        log.warning("role_reset_failed", error=str(error))
        connection.close()


# --- in migrations


def require_roles(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Stop with a clear line where the roles are missing, or are such that policies would not bind them."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)])
        found = dict(cursor.fetchall())
    missing = [role for role in ROLES if role not in found]
    if missing:
        raise ImproperlyConfigured(
            f"The database has no role {', '.join(missing)}: run docker/roles.sql as a superuser, then migrate again."
        )
    if above := [role for role in ROLES if found[role]]:
        raise ImproperlyConfigured(
            f"The database role {', '.join(above)} bypasses row-level security; run docker/roles.sql as a superuser."
        )


def install() -> list[Operation]:
    """What every later migration leans on: the roles are there, the schema is open to them, changes can be refused."""
    return [
        migrations.RunPython(require_roles, migrations.RunPython.noop),
        _sql(
            f"""
            DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO {", ".join(ROLES)}', current_schema()); END $$;
            CREATE OR REPLACE FUNCTION portal_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION '% on % is refused: it can only be added to', TG_OP, TG_TABLE_NAME
                    USING ERRCODE = 'insufficient_privilege';
            END $$;
            """
        ),
    ]


def protect(
    table: str,
    *,
    web: str | None,
    web_writes: bool = False,
    web_inserts: bool | str = False,
    web_updates: Sequence[str] = (),
    staff: bool = True,
    staff_writes: bool = True,
    worker: bool = True,
    worker_writes: bool = True,
) -> list[Operation]:
    """Enable and force row-level security on `table`, with grants and policies per role.

    `web` is the predicate of the rows the web role sees (None: no access); with `web_writes` it may also insert, change
    and delete such rows, with `web_inserts` only insert them (a text there is the predicate of what may be inserted),
    and of the rows it sees change the columns in `web_updates`. Staff and workers see every row. The owner, as whom
    migrations and commands run, is bound by the same rules and has a policy of its own.
    """
    statements = [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"REVOKE ALL ON {table} FROM PUBLIC, {', '.join(ROLES)}",
        f"CREATE POLICY owner_all ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)",
    ]
    if web is not None:
        statements += [
            f"GRANT SELECT ON {table} TO {WEB}",
            f"CREATE POLICY web_select ON {table} FOR SELECT TO {WEB} USING ({web})",
        ]
    if web_writes or web_inserts:
        check = web_inserts if isinstance(web_inserts, str) else web
        if check is None:
            raise ValueError(f"{table}: the web role cannot write what no predicate allows.")
        statements += [
            f"GRANT INSERT ON {table} TO {WEB}",
            f"CREATE POLICY web_insert ON {table} FOR INSERT TO {WEB} WITH CHECK ({check})",
        ]
    if web_writes:
        statements += [
            f"GRANT UPDATE, DELETE ON {table} TO {WEB}",
            f"CREATE POLICY web_update ON {table} FOR UPDATE TO {WEB} USING ({web}) WITH CHECK ({web})",
            f"CREATE POLICY web_delete ON {table} FOR DELETE TO {WEB} USING ({web})",
        ]
    elif web_updates:
        statements += [
            f"GRANT UPDATE ({', '.join(web_updates)}) ON {table} TO {WEB}",
            f"CREATE POLICY web_update ON {table} FOR UPDATE TO {WEB} USING ({web}) WITH CHECK ({web})",
        ]
    for role, reads, writes in ((STAFF, staff, staff_writes), (WORKER, worker, worker_writes)):
        if reads:
            privileges = "SELECT, INSERT, UPDATE, DELETE" if writes else "SELECT"
            statements += [
                f"GRANT {privileges} ON {table} TO {role}",
                f"CREATE POLICY {role}_all ON {table} TO {role} USING (true) WITH CHECK (true)",
            ]
    return [_sql(";\n".join(statements))]


def append_only(table: str) -> list[Operation]:
    """Refuse UPDATE, DELETE and TRUNCATE on `table`: no role is granted them, and a trigger refuses the owner too."""
    return [
        _sql(
            f"""
            REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM PUBLIC, {", ".join(ROLES)};
            CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION portal_refuse_change();
            """
        )
    ]


def grant(privileges: str, table: str, *roles: str) -> Operation:
    """Plain grants, for tables that hold nothing about a person (migrations, content types) and for sessions."""
    return _sql(f"GRANT {privileges} ON {table} TO {', '.join(roles)}")


def define(function: str, *, signature: str, roles: Sequence[str]) -> Operation:
    """A SECURITY DEFINER function, which runs as the owner: with a search path of its own, or a caller's temporary
    table could stand in for a real one, and for the named roles only. `function` is the statement up to the body's
    `AS`, then the body."""
    head, _as, body = function.partition(" AS ")
    grants = f"GRANT EXECUTE ON FUNCTION {signature} TO {', '.join(roles)};" if roles else ""
    return _sql(
        f"""
        SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
        {head} SECURITY DEFINER SET search_path FROM CURRENT AS {body};
        REVOKE ALL ON FUNCTION {signature} FROM PUBLIC;
        {grants}
        """  # noqa: S608 - statements of migrations
    )


def _sql(statement: str) -> Operation:
    """Tables go with everything on them when a migration is undone, so nothing needs undoing here."""
    return migrations.RunSQL(statement, migrations.RunSQL.noop)
