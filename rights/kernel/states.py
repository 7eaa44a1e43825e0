"""The phases of a request and the moves between them, as data.

The state says where a request is, never how it came out: the outcome is derived from the lines of its plan.
"""

from enum import StrEnum


class Kind(StrEnum):
    """The five rights a person may use."""

    ACCESS = "access"
    CORRECTION = "correction"
    DELETION = "deletion"
    WITHDRAWAL = "withdrawal"
    CANCELLATION = "cancellation"


class State(StrEnum):
    DRAFT = "draft"
    CHECKING = "checking"
    REVIEW = "review"
    WAITING = "waiting"
    ACTING = "acting"
    DEFERRED = "deferred"
    CLOSED = "closed"


MOVES: dict[State, frozenset[State]] = {
    State.DRAFT: frozenset({State.CHECKING, State.WAITING, State.CLOSED}),
    State.CHECKING: frozenset({State.REVIEW, State.WAITING, State.ACTING, State.DEFERRED, State.CLOSED}),
    State.REVIEW: frozenset({State.WAITING, State.ACTING, State.DEFERRED, State.CLOSED}),
    State.WAITING: frozenset({State.CHECKING, State.REVIEW, State.ACTING, State.CLOSED}),
    State.ACTING: frozenset({State.REVIEW, State.DEFERRED, State.CLOSED}),
    State.DEFERRED: frozenset({State.REVIEW, State.ACTING, State.CLOSED}),
    State.CLOSED: frozenset(),
}

OPEN_STATES = frozenset(set(State) - {State.DRAFT, State.CLOSED})


class IllegalMove(ValueError):
    """A move that the table does not have."""

    def __init__(self, before: State, after: State) -> None:
        super().__init__(f"A request cannot go from {before} to {after}.")
        self.before, self.after = before, after


def require_move(before: State, after: State) -> None:
    """Raise `IllegalMove` unless the table allows going from `before` to `after`."""
    if after not in MOVES[before]:
        raise IllegalMove(before, after)
