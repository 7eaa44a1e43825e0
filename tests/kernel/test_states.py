"""The table of moves is what the law of a request allows; whatever it does not have is refused."""

from itertools import product

import pytest

from rights.kernel.states import MOVES, OPEN_STATES, IllegalMove, State, require_move


def test_every_state_has_its_row() -> None:
    assert set(MOVES) == set(State)


def test_a_closed_request_never_moves_again() -> None:
    assert not MOVES[State.CLOSED]


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


@pytest.mark.parametrize(("before", "after"), [pair for pair in product(State, State) if pair[1] not in MOVES[pair[0]]])
def test_a_move_that_is_not_in_the_table_is_refused(before: State, after: State) -> None:
    with pytest.raises(IllegalMove, match=f"from {before} to {after}"):
        require_move(before, after)
