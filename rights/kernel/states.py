"""The phases of a request and the moves between them, as data.

The state says where a request is, never how it came out: the outcome is derived from the lines of its plan. The
database has the same table (`rights_move`) and refuses what it does not have, also from raw SQL; a test compares the
two, and the diagram in ARCHITECTURE.md is drawn from this one.
"""

from dataclasses import dataclass
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


class Actor(StrEnum):
    """Who makes a move. The database knows them by role; workers may make every move of the table."""

    PERSON = "person"
    STAFF = "staff"
    WORKER = "worker"


@dataclass(frozen=True)
class Move:
    before: State
    after: State
    actors: frozenset[Actor]
    reason: str


def _move(before: State, after: State, actors: str, reason: str) -> Move:
    return Move(before, after, frozenset(Actor(name) for name in actors.split()), reason)


_S = State
TABLE: tuple[Move, ...] = (
    _move(_S.DRAFT, _S.CHECKING, "person staff worker", "submitted"),
    _move(_S.DRAFT, _S.WAITING, "person staff worker", "filed, and still to be proved who asks"),
    _move(_S.DRAFT, _S.CLOSED, "person staff worker", "given up before it was submitted"),
    _move(_S.CHECKING, _S.REVIEW, "worker", "a person has to decide"),
    _move(_S.CHECKING, _S.WAITING, "staff worker", "asked for what is missing"),
    _move(_S.CHECKING, _S.ACTING, "worker", "goes through by itself"),
    _move(_S.CHECKING, _S.DEFERRED, "worker", "a fact stands in the way of all of it"),
    _move(_S.CHECKING, _S.CLOSED, "person staff worker", "taken back, or never proved"),
    _move(_S.REVIEW, _S.WAITING, "staff worker", "asked one specific question"),
    _move(_S.REVIEW, _S.ACTING, "staff worker", "approved"),
    _move(_S.REVIEW, _S.DEFERRED, "staff worker", "a fact stands in the way of all of it"),
    _move(_S.REVIEW, _S.CLOSED, "person staff worker", "refused, or taken back"),
    _move(_S.WAITING, _S.CHECKING, "person staff worker", "what was missing has come, or the fee is settled"),
    _move(_S.WAITING, _S.REVIEW, "person staff worker", "answered"),
    _move(_S.WAITING, _S.CLOSED, "person staff worker", "refused, taken back, or never answered"),
    _move(_S.ACTING, _S.REVIEW, "staff worker", "undone, or the plan grew beyond the approval"),
    _move(_S.ACTING, _S.DEFERRED, "worker", "only blocked lines are left"),
    _move(_S.ACTING, _S.CLOSED, "person worker", "every line is settled, or taken back before it began"),
    _move(_S.DEFERRED, _S.REVIEW, "worker", "the fact has cleared, nothing is approved yet"),
    _move(_S.DEFERRED, _S.ACTING, "worker", "the fact has cleared, approved for this day"),
    _move(_S.DEFERRED, _S.CLOSED, "person staff worker", "refused, or taken back"),
    _move(_S.CLOSED, _S.REVIEW, "staff worker", "how it ended was overturned on appeal"),
)

MOVES: dict[State, frozenset[State]] = {
    state: frozenset(move.after for move in TABLE if move.before is state) for state in State
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


def draw_moves() -> str:
    """The table as a mermaid state diagram."""
    arrows = [f"{move.before} --> {move.after}: {move.reason}" for move in TABLE]
    return "\n    ".join(["stateDiagram-v2", "[*] --> draft", *arrows, "closed --> [*]"])
