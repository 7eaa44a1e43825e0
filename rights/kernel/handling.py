"""The handling policy: which kinds of request go through without a person, as data, and why one has to look.

A policy opens ways through; what the decisions reserve for a person (records of two owners, an identity correction, a
relative of somebody who died, repetition) is looked at whatever it says.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from rights.kernel.plan import Fate, Plan
from rights.kernel.states import Kind

REMINDER_DAYS = (7, 23)
"""Days after receipt on which a missing proof is asked for again (decisions, rows 27 and 33)."""
PROOF_DAYS = 30
"""The day after receipt on which a request that was never proved is closed; it may be filed anew."""

WITH_FACTS_TO_JUDGE = frozenset({Kind.DELETION, Kind.CANCELLATION})


class UnfitPolicy(ValueError):
    """A policy that cannot be: `str()` names the entry, what is wrong with it and what to write."""


@dataclass(frozen=True)
class Passage:
    """What a plan must be for its kind to go through: none of the fates `without`, and fewer than `fewer_than` records
    in all (None: any number)."""

    without: frozenset[Fate] = frozenset()
    fewer_than: int | None = None

    def admits(self, plan: Plan) -> bool:
        return not plan.of(*self.without) and (self.fewer_than is None or plan.total < self.fewer_than)

    @property
    def has_conditions(self) -> bool:
        return bool(self.without) or self.fewer_than is not None


@dataclass(frozen=True)
class HandlingPolicy:
    """`through`: the kinds that go through, each with its conditions; a kind that is absent is always looked at.

    More than `repeats` of the same request within `repeat_days` days are looked at as abuse. An access request within
    `copy_months` months of an earlier copy, with nothing changed, is looked at too. A quoted fee waits `fee_days` days
    for an answer. `identity`: the verified facts a person must have, beside the account they signed in with.
    """

    through: Mapping[Kind, Passage] = field(default_factory=dict)
    repeats: int = 3
    repeat_days: int = 30
    copy_months: int = 12
    fee_days: int = 30
    identity: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "through": {
                kind.value: {"without": sorted(item.without), "fewer_than": item.fewer_than}
                for kind, item in self.through.items()
            },
            **{name: getattr(self, name) for name in _NUMBERS},
            "identity": list(self.identity),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "HandlingPolicy":
        """What is absent is as shipped. Raises UnfitPolicy naming the entry."""
        unknown = sorted(set(data) - {"through", "identity", *_NUMBERS})
        if unknown:
            raise UnfitPolicy(f"{unknown[0]}: no such entry; write through, identity, {', '.join(_NUMBERS)}.")
        through = data.get("through", SHIPPED.to_json()["through"])
        if not isinstance(through, Mapping):
            raise UnfitPolicy("through: write the kinds that go through, each with its conditions or {}.")
        identity = data.get("identity", [])
        if not _is_list_of(identity, {"name", "id_number"}):
            raise UnfitPolicy("identity: write a list of name and id_number.")
        numbers = {name: _number(name, data[name], least=least) for name, least in _NUMBERS.items() if name in data}
        return cls(
            through={_kind(key): _passage(key, item) for key, item in through.items()},
            identity=tuple(identity),
            **numbers,
        )


# By name, the least that makes sense: a first request is no repetition, and no limit ends on the day it begins.
_NUMBERS = {"repeats": 1, "repeat_days": 1, "copy_months": 0, "fee_days": 1}

SHIPPED = HandlingPolicy(through={kind: Passage() for kind in (Kind.ACCESS, Kind.WITHDRAWAL, Kind.CORRECTION)})
"""In force until two administrators make another: access, withdrawal and contact corrections go through."""


@dataclass(frozen=True)
class Circumstances:
    """What is known of a request beside its plan. `recent`: how often the same was asked within the policy's days, this
    time included."""

    needs_evidence: bool = False
    of_deceased: bool = False
    unchanged_copy: bool = False
    recent: int = 1


def review_reasons(plan: Plan, *, kind: Kind, policy: HandlingPolicy, known: Circumstances) -> list[str]:
    """Why a person has to look before anything is done, as reason keys; empty where the request goes through."""
    reasons = sorted({line.key for line in plan.of(Fate.PERSON)}) if kind is not Kind.ACCESS else []
    passage = policy.through.get(kind)
    if passage is None or not passage.admits(plan):
        reasons.append(f"POLICY.{kind.upper()}")
    elif passage.has_conditions and plan.unknown:
        # Unknown never counts as clear: the conditions cannot be judged by what a silent system may hold.
        reasons.append("SYSTEM.UNKNOWN")
    if kind in WITH_FACTS_TO_JUDGE:
        reasons += [fact.key for fact in plan.blockers if fact.cancel == "person"]
    if known.needs_evidence:
        reasons.append("NEED.EVIDENCE")
    if known.of_deceased:
        reasons.append("DECEASED.REVIEW")
    if known.unchanged_copy:
        reasons.append("REPEAT.FEE_OR_REFUSE")
    # Taking a consent back is as easy as giving it (PIPL art. 15), however often somebody changes their mind.
    if known.recent > policy.repeats and kind is not Kind.WITHDRAWAL:
        reasons.append("REPEAT.ABUSE")
    return reasons


def same_records(one: Plan, other: Plan) -> bool:
    """Whether two plans count the same records in every collection. Of two plans that knew everything: what one could
    not read is not known to be the same."""
    return not one.unknown and not other.unknown and _counts(one) == _counts(other)


def reminder_due(*, days: int) -> int | None:
    """Which reminder a proof missing for `days` days is due for: the latest, as an earlier one says nothing new."""
    return max((day for day in REMINDER_DAYS if day <= days), default=None)


def _counts(plan: Plan) -> Counter[str]:
    """Records by collection; to a counter a collection without any is as good as absent."""
    counts: Counter[str] = Counter()
    for line in plan.lines:
        counts[line.collection] += line.count
    return counts


def _kind(key: str) -> Kind:
    try:
        return Kind(key)
    except ValueError:
        raise UnfitPolicy(f"through.{key}: no such kind; write {', '.join(Kind)}.") from None


def _passage(key: str, item: object) -> Passage:
    if not isinstance(item, Mapping) or not set(item) <= {"without", "fewer_than"}:
        raise UnfitPolicy(f"through.{key}: write {{}} or the conditions without and fewer_than.")
    without, fewer_than = item.get("without") or [], item.get("fewer_than")
    if not _is_list_of(without, set(Fate)):
        raise UnfitPolicy(f"through.{key}.without: write a list of {', '.join(Fate)}.")
    if fewer_than is not None:
        fewer_than = _number(f"through.{key}.fewer_than", fewer_than, least=1)
    return Passage(frozenset(Fate(fate) for fate in without), fewer_than)


def _is_list_of(value: object, allowed: Collection[str]) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item in allowed for item in value)


def _number(name: str, value: object, *, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UnfitPolicy(f"{name}: write a whole number from {least} on.")
    return value
