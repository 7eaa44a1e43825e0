"""A party that no machine can ask: a task for staff, who do it or write a letter, and record what came of it."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from rights.connectors.base import Answer, Ask, Outcome, Refused
from rights.datamap import Party


class ManualTask:
    """Nothing leaves the portal: the desk has the task, its date and its alarm."""

    def __init__(self, party: Party) -> None:
        self.party = party

    def ask(self, ask: Ask, *, now: datetime) -> Answer:
        return Answer(Outcome.BY_HAND)

    def look(self, ask: Ask, *, now: datetime) -> Answer:
        return Answer(Outcome.BY_HAND)

    def take_back(self, ask: Ask, *, now: datetime) -> Answer:
        return Answer(Outcome.NOT_DONE)

    def read_callback(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> tuple[UUID, Answer]:
        raise Refused(f"{self.party.key} is asked by staff, so nothing is taken from it by machine.")

    def check(self) -> None:
        """There is nothing that could be away."""
