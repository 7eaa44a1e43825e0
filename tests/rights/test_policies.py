"""What the database itself keeps from a signed-in person: other people's rows, and acts that are not theirs.

Written in SQL as the web role, past every check of the product's own code.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import CheckViolation, InsufficientPrivilege

from accounts.authority import grant_authority
from accounts.models import User
from rights.actions import review
from rights.actions.submit import change_draft, start_draft, submit, take_back
from rights.kernel.states import Kind
from rights.models import Request
from tests.accounts.people import speak_for
from tests.rights.shop import NOW, Shop, State

Connection = psycopg.Connection[Any]
AsRole = Callable[[str], AbstractContextManager[Connection]]
OwnerSql = Callable[..., list[tuple[Any, ...]]]

TABLES = (
    "rights_request", "rights_question", "rights_decision", "rights_event", "rights_step", "rights_package",
    "rights_notice", "rights_correctionrecord", "rights_hold", "rights_subjectvault",
)  # fmt: skip


@pytest.fixture
def filled(shop: Shop, owner_sql: OwnerSql) -> Shop:
    """A row of the person's in every table, and by the same way one of the other person's."""
    for user in (shop.person, shop.other):
        number = 1 if user == shop.person else 2
        shop.add_customer(number, of=user)
        shop.add_orders(None, customer=number)
    with shop.as_("worker"):
        for user in (shop.person, shop.other):
            one = Shop(**{**vars(shop), "person": user})
            one.file(Kind.ACCESS)
            old = {"correction": "phone", "old": "19900000001", "new": "19900000002"}
            one.file(Kind.CORRECTION, items=[old])
            deletion = one.file()
            review.ask(deletion, reviewer=shop.reviewer, text="?", now=NOW)
            review.answer(one.look(deletion), text="!", actor=user, now=NOW)
            one.advance(one.approve(one.look(deletion), now=NOW), now=NOW + timedelta(minutes=15))
    for table in TABLES:
        assert owner_sql(f"SELECT count(*) FROM {table}")[0][0] >= 2, table
    return shop


@contextmanager
def speaking(as_role: AsRole, user: User | None) -> Iterator[Connection]:
    with as_role("web") as connection:
        connection.execute("SELECT set_config('app.user', %s, false)", [str(user.pk) if user else ""])
        yield connection


def visible(connection: Connection, table: str) -> set[Any]:
    return {row[0] for row in connection.execute(sql.SQL("SELECT id FROM {}").format(sql.Identifier(table)))}


OWNER_OF = {
    "rights_request": "SELECT id FROM rights_request WHERE subject_id = %s",
    "rights_notice": "SELECT id FROM rights_notice WHERE user_id = %s",
    "rights_subjectvault": "SELECT id FROM rights_subjectvault WHERE user_id = %s",
    "rights_hold": "SELECT h.id FROM rights_hold h JOIN rights_subjectvault v ON v.id = vault_id WHERE v.user_id = %s",
}


@pytest.mark.parametrize("table", TABLES)
def test_a_person_sees_every_row_of_their_own_and_none_of_anybody_elses(
    filled: Shop, as_role: AsRole, owner_sql: OwnerSql, table: str
) -> None:
    query = OWNER_OF.get(
        table, f"SELECT t.id FROM {table} t JOIN rights_request r ON r.id = request_id WHERE r.subject_id = %s"
    )
    mine = {row[0] for row in owner_sql(query, [filled.person.pk])}
    assert mine
    with speaking(as_role, filled.person) as connection:
        assert visible(connection, table) == mine


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("user", ["nobody", "unset", "unknown"])
def test_a_connection_that_speaks_for_nobody_sees_no_row(filled: Shop, as_role: AsRole, table: str, user: str) -> None:
    with as_role("web") as connection:
        if user != "unset":
            value = "" if user == "nobody" else str(uuid4())
            connection.execute("SELECT set_config('app.user', %s, false)", [value])
        assert visible(connection, table) == set()


@pytest.mark.parametrize("table", TABLES)
def test_staff_see_every_row(filled: Shop, as_role: AsRole, owner_sql: OwnerSql, table: str) -> None:
    with as_role("staff") as connection:
        assert len(visible(connection, table)) == owner_sql(f"SELECT count(*) FROM {table}")[0][0]


@pytest.mark.parametrize("table", [*TABLES, "rights_batch", "rights_consentevent", "rights_retentionrule"])
def test_the_web_role_may_delete_nothing(filled: Shop, as_role: AsRole, table: str) -> None:
    with speaking(as_role, filled.person) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(f"DELETE FROM {table}".encode())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rights_request SET check_after = NULL",
        "UPDATE rights_question SET answered_at = now()",
        "UPDATE rights_package SET downloads = 9",
        "UPDATE rights_notice SET read_at = now()",
    ],
)
def test_what_a_person_may_change_does_not_reach_anybody_elses_rows(
    filled: Shop, as_role: AsRole, owner_sql: OwnerSql, statement: str
) -> None:
    table = statement.split()[1]
    total = owner_sql(f"SELECT count(*) FROM {table}")[0][0]
    with speaking(as_role, filled.person) as connection:
        changed = connection.execute(statement.encode()).rowcount
        assert 0 < changed == len(visible(connection, table)) < total


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rights_decision SET outcome = 'approve'",
        "UPDATE rights_step SET state = 'done'",
        "UPDATE rights_hold SET released_at = now()",
        "UPDATE rights_subjectvault SET destroyed_at = now()",
        "UPDATE rights_event SET kind = 'approved'",
        "UPDATE rights_correctionrecord SET rows = 0",
        "UPDATE rights_retentionrule SET duration = 'P1M'",
        "SELECT * FROM rights_batch",
        (
            "INSERT INTO rights_decision (request_id, outcome, key, text, text_salt, lines, decided_at)"
            " SELECT id, 'approve', 'OK.ACCESS', '', '', '{}', now() FROM rights_request LIMIT 1"
        ),
        "INSERT INTO rights_hold SELECT * FROM rights_hold",
    ],
)
def test_what_staff_and_workers_decide_a_person_cannot_write_even_of_their_own(
    filled: Shop, as_role: AsRole, statement: str
) -> None:
    with speaking(as_role, filled.person) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement.encode())


def test_a_package_is_taken_and_ended_by_its_person_and_made_by_nobody_else(
    filled: Shop, as_role: AsRole, owner_sql: OwnerSql
) -> None:
    """What it holds was written by a worker; a copy for somebody else is the one kind a person may add."""
    with speaking(as_role, filled.person) as connection:
        for column in ("sha256 = 'x'", "size = 1", "made_at = now()", "request_id = request_id", "copy_of_id = id"):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(f"UPDATE rights_package SET {column}".encode())
        columns = "id, request_id, part, size, rows, sha256, made_at, expires_at, downloads, gaps, reason, reason_salt"
        rest = ", copy_of_id, receiver, address, secret, tries"
        for copy, secret in (("NULL", ""), ("id", "x")):
            made = (
                f"INSERT INTO rights_package ({columns}{rest}) SELECT gen_random_uuid(), request_id, 9, size, rows,"
                f" sha256, made_at, expires_at, 0, '[]', '', '', {copy}, '', '', '{secret}', 0 FROM rights_package"
            )
            if copy == "NULL":
                with pytest.raises(InsufficientPrivilege):
                    connection.execute(made.encode())
            else:
                assert connection.execute(made.encode()).rowcount == 1
    # Filed for somebody else, it is seen by whom it is about and not by who filed it.
    owner_sql("UPDATE rights_request SET filed_by_id = %s WHERE subject_id = %s", [filled.other.pk, filled.person.pk])
    with speaking(as_role, filled.other) as connection:
        theirs = {
            row[0] for row in owner_sql("SELECT id FROM rights_request WHERE subject_id = %s", [filled.person.pk])
        }
        assert theirs & visible(connection, "rights_request")
        rows = connection.execute("SELECT request_id FROM rights_package").fetchall()
        assert rows
        assert not theirs & {row[0] for row in rows}


def test_a_person_cannot_write_into_anybody_elses_request(filled: Shop, as_role: AsRole, owner_sql: OwnerSql) -> None:
    ((theirs,),) = owner_sql(
        "SELECT id FROM rights_request WHERE subject_id = %s AND kind = 'deletion'", [filled.other.pk]
    )
    with speaking(as_role, filled.person) as connection:
        for statement in (
            "INSERT INTO rights_event (request_id, kind, body, at) VALUES (%s, 'approved', '{}', now())",
            (
                "INSERT INTO rights_question (request_id, asked_by_id, text, asked_at, answer)"
                f" VALUES (%s, '{filled.person.pk}', '', now(), '')"
            ),
            (
                "INSERT INTO rights_notice (user_id, request_id, kind, dedupe, params, second_contact, subject, body,"
                f" created_at) VALUES ('{filled.other.pk}', %s, 'closed', 'x', '{{}}', false, '', '', now())"
            ),
        ):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement.encode(), [theirs])


FILE = (
    "INSERT INTO rights_request (id, kind, state, subject_id, filed_by_id, channel, details, created_at, limit_days,"
    " round, closing_key, review_reasons, priority)"
    " VALUES (%s, 'deletion', 'draft', %s, %s, 'online', '', now(), 15, 0, '', '[]', 5)"
)


def needed_columns(owner_sql: OwnerSql) -> set[str]:
    rows = owner_sql(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'rights_request'"
        " AND is_nullable = 'NO' AND column_default IS NULL"
    )
    return {name for (name,) in rows}


def test_a_person_files_for_themselves(filled: Shop, as_role: AsRole, owner_sql: OwnerSql) -> None:
    assert needed_columns(owner_sql) <= set(FILE.split("(", 1)[1].split(")")[0].replace(" ", "").split(",")), FILE
    with speaking(as_role, filled.person) as connection:
        connection.execute(FILE.encode(), [uuid4(), filled.person.pk, filled.person.pk])


def test_without_an_authority_a_request_is_filed_unproved_and_opens_nothing(filled: Shop, as_role: AsRole) -> None:
    """Decisions, row 27: it waits for its proof. It shows its filer itself, and no row of the person it is about."""
    pk = uuid4()
    with speaking(as_role, filled.person) as connection:
        before = {table: visible(connection, table) for table in TABLES}
        connection.execute(FILE.encode(), [pk, filled.other.pk, filled.person.pk])
        before["rights_request"].add(pk)
        assert {table: visible(connection, table) for table in TABLES} == before
        for table, column in (("accounts_user", "id"), ("accounts_identity", "user_id")):
            query = f"SELECT 1 FROM {table} WHERE {column} = %s"
            assert connection.execute(query.encode(), [filled.other.pk]).fetchall() == []


@pytest.mark.parametrize(
    "change",
    [
        "state = 'checking', received_at = now(), started_on = now(), reference = 'X'",
        "state = 'acting', received_at = now(), started_on = now(), reference = 'X'",
        "ready_at = now()",
        "started_on = now()",
        "plan = 'x'",
        "approved_plan = 'x'",
        "round = 1",
    ],
)
def test_what_is_not_proved_cannot_be_made_ready_by_who_filed_it(filled: Shop, as_role: AsRole, change: str) -> None:
    pk = uuid4()
    with speaking(as_role, filled.person) as connection:
        connection.execute(FILE.encode(), [pk, filled.other.pk, filled.person.pk])
        with pytest.raises((InsufficientPrivilege, CheckViolation)):
            connection.execute(f"UPDATE rights_request SET {change} WHERE id = %s".encode(), [pk])
        connection.execute(b"UPDATE rights_request SET state = 'closed' WHERE id = %s", [pk])


@pytest.mark.parametrize("column", ["subject_id", "filed_by_id", "kind", "channel"])
def test_what_is_not_proved_cannot_be_turned_into_another_matter(
    filled: Shop, as_role: AsRole, owner_sql: OwnerSql, column: str
) -> None:
    """Or a proof would be confirmed for somebody whom staff never looked at."""
    pk = uuid4()
    value = {"subject_id": filled.second.pk, "filed_by_id": filled.other.pk, "kind": "access", "channel": "letter"}
    with speaking(as_role, filled.person) as connection:
        connection.execute(FILE.encode(), [pk, filled.other.pk, filled.person.pk])
        with pytest.raises(InsufficientPrivilege):
            connection.execute(f"UPDATE rights_request SET {column} = %s WHERE id = %s".encode(), [value[column], pk])


def test_an_agent_whose_authority_ended_cannot_touch_what_runs(
    filled: Shop, as_role: AsRole, owner_sql: OwnerSql
) -> None:
    """Not even by making it look like one that was never proved."""
    ((running,),) = owner_sql(
        "SELECT id FROM rights_request WHERE subject_id = %s AND kind = 'deletion'", [filled.other.pk]
    )
    owner_sql("UPDATE rights_request SET filed_by_id = %s WHERE id = %s", [filled.person.pk, running])
    with speaking(as_role, filled.person) as connection:
        assert running in visible(connection, "rights_request")
        changed = connection.execute(
            b"UPDATE rights_request SET state = 'closed', plan = NULL, ready_at = NULL, started_on = NULL"
            b" WHERE id = %s",
            [running],
        )
        assert changed.rowcount == 0
        with pytest.raises(InsufficientPrivilege):
            connection.execute(b"UPDATE rights_request SET approved_plan = NULL, round = 0 WHERE id = %s", [running])


def test_of_an_unproved_request_the_person_is_told_that_it_was_filed_and_nothing_else(
    filled: Shop, as_role: AsRole
) -> None:
    tell = (
        "INSERT INTO rights_notice (user_id, request_id, kind, dedupe, params, second_contact, subject, body,"
        " created_at) VALUES (%s, %s, %s, %s, '{}', false, '', '', now())"
    )
    pk = uuid4()
    with speaking(as_role, filled.person) as connection:
        connection.execute(FILE.encode(), [pk, filled.other.pk, filled.person.pk])
        connection.execute(tell.encode(), [filled.other.pk, pk, "was_this_you", "a"])
        for kind in ("closed", "refused", "package", "fee_quoted"):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(tell.encode(), [filled.other.pk, pk, kind, kind])


def test_a_person_cannot_turn_their_own_request_into_one_about_another(filled: Shop, as_role: AsRole) -> None:
    with speaking(as_role, filled.person) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(b"UPDATE rights_request SET subject_id = %s", [filled.other.pk])


def make_agent(shop: Shop, *scope: str, **given: Any) -> None:
    """The person may ask for the other one."""
    with shop.as_("owner"):
        grant_authority(agent=shop.person, principal=shop.other, kind="agent", scope=scope, now=NOW, **given)


def test_an_agent_may_file_for_their_principal_and_for_nobody_else(filled: Shop, as_role: AsRole) -> None:
    make_agent(filled, "deletion")
    with speaking(as_role, filled.person) as connection:
        ready = FILE.replace("priority)", "priority, ready_at)").replace(", 5)", ", 5, now())")
        connection.execute(ready.encode(), [uuid4(), filled.other.pk, filled.person.pk])
        with pytest.raises(InsufficientPrivilege):
            connection.execute(ready.encode(), [uuid4(), filled.second.pk, filled.person.pk])


def test_an_authority_is_none_the_other_way_round(filled: Shop, as_role: AsRole) -> None:
    make_agent(filled, "deletion")
    ready = FILE.replace("priority)", "priority, ready_at)").replace(", 5)", ", 5, now())")
    with speaking(as_role, filled.person) as connection:
        connection.execute(ready.encode(), [uuid4(), filled.other.pk, filled.person.pk])
    with speaking(as_role, filled.other) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(ready.encode(), [uuid4(), filled.person.pk, filled.other.pk])


def test_a_revoked_authority_is_none(filled: Shop, as_role: AsRole, owner_sql: OwnerSql) -> None:
    make_agent(filled, "deletion")
    pk = uuid4()
    with speaking(as_role, filled.person) as connection:
        connection.execute(FILE.encode(), [pk, filled.other.pk, filled.person.pk])
        owner_sql("UPDATE accounts_authority SET revoked_at = now()")
        with pytest.raises(InsufficientPrivilege):
            connection.execute(b"UPDATE rights_request SET ready_at = now() WHERE id = %s", [pk])


# --- the same through the actions, as the web process runs them


def test_an_agents_request_is_the_principals_and_both_follow_it(shop: Shop) -> None:
    shop.add_customer(2, of=shop.other)
    make_agent(shop, "deletion")
    speak_for(shop.person)
    draft = start_draft(subject=shop.other, filed_by=shop.person, kind=Kind.DELETION, details={}, now=NOW)
    request = submit(request_id=draft.pk, now=NOW)
    assert request.state == State.CHECKING
    assert Request.objects.filter(pk=request.pk).exists()
    assert not request.notices.exists(), "what is told is told to the principal"
    speak_for(shop.other)
    assert Request.objects.filter(pk=request.pk).exists()
    assert {notice.kind for notice in request.notices.all()} == {"received", "was_this_you"}
    speak_for(shop.person)
    take_back(request, actor=shop.person, now=NOW)


@pytest.mark.parametrize(
    ("scope", "given", "kind"),
    [
        (["access"], {}, Kind.DELETION),
        (["deletion"], {"valid_until": NOW}, Kind.DELETION),
        ([], {}, Kind.ACCESS),
    ],
)
def test_an_agent_without_the_scope_or_past_its_day_files_what_waits_for_its_proof(
    shop: Shop, scope: list[str], given: dict[str, Any], kind: Kind
) -> None:
    make_agent(shop, *scope, **given)
    speak_for(shop.person)
    draft = start_draft(subject=shop.other, filed_by=shop.person, kind=kind, details={}, now=NOW)
    request = submit(request_id=draft.pk, now=NOW)
    assert (request.state, request.plan, request.started_on) == (State.WAITING, None, None)


def test_an_authority_that_ends_between_draft_and_submission_leaves_it_unproved(shop: Shop) -> None:
    make_agent(shop, "deletion", valid_until=NOW + timedelta(days=1))
    speak_for(shop.person)
    draft = start_draft(subject=shop.other, filed_by=shop.person, kind=Kind.DELETION, details={}, now=NOW)
    request = submit(request_id=draft.pk, now=NOW + timedelta(days=1))
    assert (request.state, request.plan, request.started_on) == (State.WAITING, None, None)


def test_every_moment_of_a_request_is_in_the_ledger_too(shop: Shop, owner_sql: OwnerSql) -> None:
    """The web process adds to the chain of a person's own request; of texts the ledger keeps commitments only."""
    shop.add_customer(1)
    speak_for(shop.person)
    draft = start_draft(subject=shop.person, filed_by=shop.person, kind=Kind.DELETION, details={}, now=NOW)
    change_draft(draft, details={"entities": ["shop"]})
    request = submit(request_id=draft.pk, now=NOW)
    with shop.as_("worker"):
        request = shop.advance(request, now=NOW)
        review.claim(request, reviewer=shop.reviewer, now=NOW)
        review.ask(request, reviewer=shop.reviewer, text="秘密的问题", now=NOW)
    speak_for(shop.person)
    review.answer(shop.look(request), text="秘密的回答", actor=shop.person, now=NOW)
    with shop.as_("worker"):
        review.extend(shop.look(request), reviewer=shop.reviewer, reason="秘密的理由", now=NOW)
        request = shop.approve(shop.look(request), now=NOW)
        request = shop.advance(request, now=NOW + timedelta(minutes=15))
    assert request.state == State.CLOSED
    kinds = [
        kind for (kind,) in owner_sql("SELECT kind FROM core_ledgerentry WHERE chain = %s ORDER BY id", [draft.pk])
    ]
    told = [
        kind for (kind,) in owner_sql("SELECT kind FROM rights_event WHERE request_id = %s ORDER BY id", [draft.pk])
    ]
    assert kinds == told
    expected = ["submitted", "to_review", "claimed", "asked", "answered"]
    expected += ["decided", "extended", "decided", "approved", "started"]
    assert kinds[: len(expected)] == expected
    assert kinds[-1] == "closed"
    (whole,) = owner_sql("SELECT string_agg(e::text, ' ') FROM core_ledgerentry e WHERE chain = %s", [draft.pk])[0]
    for secret in ("秘密", shop.person.account_no, "陈若兰", "19900000001"):
        assert secret not in whole
