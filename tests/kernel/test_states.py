"""The table of moves is what the law of a request allows; whatever it does not have is refused."""

from itertools import product

import pytest

from rights.kernel.states import MOVES, OPEN_STATES, TABLE, Actor, IllegalMove, State, draw_moves, require_move


def test_every_state_has_its_row() -> None:
    assert set(MOVES) == set(State)


def test_every_move_is_named_once_with_a_reason_and_somebody_who_makes_it() -> None:
    pairs = [(move.before, move.after) for move in TABLE]
    assert len(set(pairs)) == len(pairs)
    assert all(move.before is not move.after and move.reason and move.actors for move in TABLE)
    assert all(len(move.reason) < 70 and ":" not in move.reason for move in TABLE), "mermaid ends a label at a colon"


def test_a_closed_request_never_moves_again_unless_staff_overturn_how_it_ended() -> None:
    assert MOVES[State.CLOSED] == {State.REVIEW}
    (reopened,) = (move for move in TABLE if move.before is State.CLOSED)
    assert Actor.PERSON not in reopened.actors


def test_every_open_request_can_reach_its_end() -> None:
    for start in OPEN_STATES | {State.DRAFT}:
        seen, frontier = {start}, [start]
        while frontier:
            frontier = [after for state in frontier for after in MOVES[state] if after not in seen]
            seen |= set(frontier)
        assert State.CLOSED in seen


def test_nothing_goes_back_to_a_draft_and_only_a_draft_is_submitted() -> None:
    assert not any(State.DRAFT in after for after in MOVES.values())
    assert [state for state in State if State.CHECKING in MOVES[state]] == [State.DRAFT, State.WAITING]


def test_the_person_starts_answers_and_ends_and_does_nothing_else() -> None:
    """Approving, deferring and what follows are never the person's."""
    mine = {(move.before, move.after) for move in TABLE if Actor.PERSON in move.actors}
    starts = {(State.DRAFT, State.CHECKING), (State.DRAFT, State.WAITING)}
    answers = {(State.WAITING, State.CHECKING), (State.WAITING, State.REVIEW)}
    ends = {(state, State.CLOSED) for state in State if state is not State.CLOSED}
    assert mine == starts | answers | ends


@pytest.mark.parametrize(("before", "after"), [pair for pair in product(State, State) if pair[1] not in MOVES[pair[0]]])
def test_a_move_that_is_not_in_the_table_is_refused(before: State, after: State) -> None:
    with pytest.raises(IllegalMove, match=f"from {before} to {after}"):
        require_move(before, after)


def test_the_diagram_has_an_arrow_for_each_move_a_start_and_an_end() -> None:
    lines = [line.strip() for line in draw_moves().splitlines()]
    assert lines[0] == "stateDiagram-v2"
    arrows = {tuple(line.split(":")[0].split(" --> ")) for line in lines[1:]}
    expected = {(move.before.value, move.after.value) for move in TABLE}
    assert arrows == expected | {("[*]", "draft"), ("closed", "[*]")}
    assert len(lines) == len(TABLE) + 3
