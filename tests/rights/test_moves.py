"""The database holds every role to the table of moves, tried pair by pair in raw SQL, and a person to less."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.core.management import CommandError, call_command
from psycopg.errors import CheckViolation, InsufficientPrivilege

from rights.kernel.states import TABLE, Actor, State
from tests.rights.shop import NOW, Shop
from tests.stack import BASE_DIR

Connection = psycopg.Connection[Any]
AsRole = Callable[[str], AbstractContextManager[Connection]]
OwnerSql = Callable[..., list[tuple[Any, ...]]]

PAIRS = [(before, after) for before, after in product(State, State) if before is not after]
ACTOR_OF = {"web": Actor.PERSON, "staff": Actor.STAFF}


def test_the_databases_table_is_the_kernels(db: None, owner_sql: OwnerSql) -> None:
    rows = owner_sql("SELECT before, after, actors FROM rights_move")
    assert {(before, after): set(actors) for before, after, actors in rows} == {
        (move.before, move.after): set(move.actors) for move in TABLE
    }


@pytest.fixture
def numbers(shop: Shop, as_role: AsRole) -> dict[State, UUID]:
    """A request in each state. They are put there past the trigger, as no table of moves leads to all by itself."""
    made = {state: uuid4() for state in State}
    with as_role("superuser") as connection:
        connection.execute("SET session_replication_role = replica")
        for state, pk in made.items():
            connection.execute(
                "INSERT INTO rights_request (id, reference, kind, state, subject_id, filed_by_id, channel, details,"
                " created_at, received_at, started_on, limit_days, round, closing_key, review_reasons, priority)"
                " VALUES (%s, %s, 'deletion', %s, %s, %s, 'online', '', %s, %s, %s, 15, 0, '', '[]', 5)",
                [pk, f"T-{state}", state, shop.person.pk, shop.person.pk, NOW, NOW, NOW.date()],
            )
        # Only what was overturned on appeal moves on from its end.
        connection.execute(
            "INSERT INTO rights_appeal (id, request_id, event_id, filed_by_id, reason, reason_salt, filed_at,"
            " reviewer_id, decided_at, outcome, key, text_salt, entities, text)"
            " VALUES (%s, %s, 0, %s, '', '', %s, %s, %s, 'overturned', '', '', '[]', '')",
            [uuid4(), made[State.CLOSED], shop.person.pk, NOW, shop.reviewer.pk, NOW],
        )
    return made


def try_move(connection: Connection, pk: UUID, after: State) -> bool | None:
    """Whether the database let it through; None where it was refused for who asked. Nothing stays."""
    try:
        with connection.transaction(force_rollback=True):
            cursor = connection.execute("UPDATE rights_request SET state = %s WHERE id = %s", [after, pk])
            assert cursor.rowcount == 1
            return True
    except CheckViolation as refused:
        assert f"to {after}" in str(refused)  # noqa: PT017 - that it was this check and no other
        return False
    except InsufficientPrivilege:
        return None


@pytest.mark.parametrize("role", ["owner", "superuser", "worker", "staff", "web"])
def test_each_pair_of_states_is_let_through_or_refused_as_the_kernel_has_it(
    shop: Shop, numbers: dict[State, UUID], as_role: AsRole, role: str
) -> None:
    expected: dict[tuple[State, State], bool | None] = dict.fromkeys(PAIRS, False)
    for move in TABLE:
        allowed = role not in ACTOR_OF or ACTOR_OF[role] in move.actors
        expected[move.before, move.after] = True if allowed else None
    with as_role(role) as connection:
        connection.execute("SELECT set_config('app.user', %s, false)", [str(shop.person.pk)])
        assert {pair: try_move(connection, numbers[pair[0]], pair[1]) for pair in PAIRS} == expected


def test_a_temporary_table_does_not_stand_in_for_the_table_of_moves(
    shop: Shop, numbers: dict[State, UUID], as_role: AsRole
) -> None:
    with as_role("owner") as connection:
        connection.execute("CREATE TEMP TABLE rights_move (before text, after text, actors text[])")
        connection.execute("INSERT INTO pg_temp.rights_move VALUES ('closed', 'draft', '{person}')")
        assert try_move(connection, numbers[State.CLOSED], State.DRAFT) is False


@pytest.mark.parametrize("role", ["web", "staff", "worker"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO rights_move (before, after, actors) VALUES ('closed', 'draft', '{person}')",
        "UPDATE rights_move SET actors = '{person}'",
        "DELETE FROM rights_move",
    ],
)
def test_nobody_but_a_migration_changes_the_table(db: None, as_role: AsRole, role: str, statement: str) -> None:
    with as_role(role) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement.encode())


FILE = (
    "INSERT INTO rights_request (id, kind, state, subject_id, filed_by_id, channel, details, created_at, limit_days,"
    " round, closing_key, review_reasons, priority{more})"
    " VALUES (%s, 'deletion', '{state}', %s, %s, 'online', '', now(), 15, 0, '', '[]', 5{values})"
)


@pytest.mark.parametrize("role", ["owner", "worker", "staff", "web"])
@pytest.mark.parametrize("state", list(State))
def test_a_request_begins_as_a_draft_whoever_writes_it(shop: Shop, as_role: AsRole, role: str, state: State) -> None:
    statement = FILE.format(state=state, more="", values="").encode()
    with as_role(role) as connection:
        connection.execute("SELECT set_config('app.user', %s, false)", [str(shop.person.pk)])
        if state is State.DRAFT:
            connection.execute(statement, [uuid4(), shop.person.pk, shop.person.pk])
        else:
            with pytest.raises(CheckViolation, match=f"not as {state}"):
                connection.execute(statement, [uuid4(), shop.person.pk, shop.person.pk])


@pytest.mark.parametrize(
    ("more", "values"),
    [
        (", approved_plan", ", 'x'"),
        (", approved_at", ", now()"),
        (", received_at", ", now()"),
        (", reviewer_id", ", '{person}'"),
    ],
)
def test_a_person_drafts_no_decision(shop: Shop, as_role: AsRole, more: str, values: str) -> None:
    statement = FILE.format(state="draft", more=more, values=values.format(person=shop.person.pk)).encode()
    with as_role("web") as connection:
        connection.execute("SELECT set_config('app.user', %s, false)", [str(shop.person.pk)])
        with pytest.raises(InsufficientPrivilege, match="no decision"):
            connection.execute(statement, [uuid4(), shop.person.pk, shop.person.pk])


# --- what a person may write of their own request


DECIDED = (
    "approved_plan = 'x'", "approved_at = now()", "extended_at = now()", "breached_at = NULL", "deferred_at = now()",
    "resumed_at = now()", "reviewer_id = subject_id", "round = 1", "clock_settled = true", "check_owed_at = now()",
    "filed_by_id = subject_id", "created_at = now()", "kind = 'access'", "channel = 'counter'", "subject_id = NULL",
)  # fmt: skip
FILED = (
    "details = 'x'", "plan = 'x'", "reference = 'X'", "received_at = now()", "ready_at = now()",
    "started_on = '2027-01-01'", "limit_days = 1", "working_days = true", "priority = 0", "review_reasons = '[1]'",
    "closed_at = now()", "closing_key = 'OK'", "act_after = now()", "check_after = now()",
)  # fmt: skip


def refusal(connection: Connection, change: str, pk: UUID) -> str:
    """What the database says to a change; nothing where it lets it through. Nothing stays."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(f"UPDATE rights_request SET {change} WHERE id = %s".encode(), [pk])
            return ""
    except InsufficientPrivilege as refused:
        return str(refused)


def test_what_others_decide_a_person_cannot_write_even_in_a_draft(
    shop: Shop, numbers: dict[State, UUID], as_role: AsRole
) -> None:
    with as_role("web") as connection:
        connection.execute("SELECT set_config('app.user', %s, false)", [str(shop.person.pk)])
        for change in DECIDED:
            assert "permission denied" in refusal(connection, change, numbers[State.DRAFT]), change
        for change in FILED:
            assert refusal(connection, change, numbers[State.DRAFT]) == "", change


@pytest.mark.parametrize("state", [state for state in State if state is not State.DRAFT])
def test_what_was_filed_stays_as_it_was_filed(
    shop: Shop, numbers: dict[State, UUID], as_role: AsRole, state: State
) -> None:
    with as_role("web") as connection:
        connection.execute("SELECT set_config('app.user', %s, false)", [str(shop.person.pk)])
        for change in FILED:
            assert "as it was filed" in refusal(connection, change, numbers[state]), change


def test_a_person_who_takes_a_request_back_writes_its_end_and_nothing_more(
    shop: Shop, numbers: dict[State, UUID], as_role: AsRole
) -> None:
    taken = "UPDATE rights_request SET state = 'closed', closed_at = now(), closing_key = 'WITHDRAWN'{} WHERE id = %s"
    with as_role("web") as connection:
        connection.execute("SELECT set_config('app.user', %s, false)", [str(shop.person.pk)])
        with pytest.raises(InsufficientPrivilege, match="as it was filed"):
            connection.execute(taken.format(", priority = 0").encode(), [numbers[State.REVIEW]])
        assert connection.execute(taken.format("").encode(), [numbers[State.REVIEW]]).rowcount == 1


# --- the diagram


def test_the_diagram_in_the_architecture_is_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("states", "--check", str(BASE_DIR / "ARCHITECTURE.md"))
    assert "shows the table" in capsys.readouterr().out


def test_a_document_that_shows_other_moves_or_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "A.md"
    text = (BASE_DIR / "ARCHITECTURE.md").read_text()
    file.write_text(re.sub(r" *review --> acting.*\n", "", text))
    with pytest.raises(CommandError, match="other moves"):
        call_command("states", "--check", str(file))
    file.write_text(text.replace("<!-- states -->", ""))
    with pytest.raises(CommandError, match="no block"):
        call_command("states", "--check", str(file))
