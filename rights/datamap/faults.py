"""What is wrong with a data map, said so that its owner can mend it."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a map. `remedy` says what to do about it; `line` is 0 where none can be told."""

    file: str
    key: str
    reason: str
    remedy: str
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.reason} {self.remedy}"


class FaultyMap(ValueError):
    """The map has faults; nothing of it was used."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


def suggest_one_of(word: object, known: Iterable[str], *, show_all: bool = True) -> str:
    """The remedy for a word that is none of `known`: the nearest first, then all of them if there are few enough."""
    names = sorted(known)
    near = get_close_matches(str(word), names, n=1)
    parts = [f"Did you mean {near[0]}?"] if near else []
    if show_all:
        parts.append(f"Use one of {', '.join(names)}.")
    return " ".join(parts) or "Correct the name."
