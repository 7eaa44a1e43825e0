"""The register of a person's consents: how each use of their data and each recipient stands now, and since when.

What a business system has is the present state, as a person may also agree in an app. Before it stands what was said
here and is still on its way there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.identities import get_identities
from accounts.models import User
from rights.datamap import Collection, DataMap, Party, Text
from rights.kernel.clock import local_day
from rights.kernel.states import Kind, State
from rights.models import ConsentEvent, PrivacyPolicy, Request
from rights.models.consent import RECIPIENT, SIGNAL
from rights.records import ConsentState, read_consents

APP = "app"
"""The source of what a business system says and nobody said here."""


@dataclass(frozen=True)
class Standing:
    """How one use or one recipient stands. `given` None: the person was never asked, or nobody can tell now.

    `source` is one of ConsentEvent.Source, or APP. `version` is the privacy policy of that time. `pending`: it
    holds, and the systems are still being told. `events`: what was said here, the newest first.
    """

    given: bool | None = None
    since: datetime | None = None
    source: str = ""
    version: str = ""
    pending: bool = False
    events: tuple[ConsentEvent, ...] = ()


@dataclass(frozen=True)
class Ask:
    """A version of the policy asks for consent to a purpose, or again for one that has changed (`text`: how)."""

    purpose: str
    is_new: bool
    text: Text
    policy: PrivacyPolicy
    since: datetime | None = None
    """Since when the person has agreed to what the purpose was before."""


@dataclass(frozen=True)
class Received:
    """Somebody who receives data, with the collections that they receive. Only what rests on consent can be refused."""

    party: Party
    items: tuple[Collection, ...]

    @property
    def refusable(self) -> tuple[Collection, ...]:
        return tuple(item for item in self.items if item.basis_kind == "consent")


@dataclass(frozen=True)
class Register:
    """`policies`: as published, the newest first. `unknown`: systems that did not answer."""

    uses: Mapping[str, Standing]
    recipients: Mapping[str, Standing]
    asks: tuple[Ask, ...]
    policies: tuple[PrivacyPolicy, ...]
    signal: ConsentEvent | None
    unknown: tuple[str, ...]


def read_register(
    user: User, *, data_map: DataMap, now: datetime, identities: Mapping[str, str] | None = None
) -> Register:
    """Everything about one person. Business systems are asked, so call it outside a transaction. `identities`: where
    they were read already."""
    known = get_identities(user) if identities is None else identities
    states, unknown = read_consents(identities=known, data_map=data_map, now=now)
    found = {state.purpose: state for state in states}
    # In the order in which they were written: the clocks of two machines may differ.
    events = list(ConsentEvent.objects.filter(user=user).order_by("-id"))
    said: dict[str, list[ConsentEvent]] = {}
    for event in events:
        said.setdefault(event.purpose, []).append(event)
    policies = tuple(PrivacyPolicy.objects.order_by("-effective_on", "-id"))
    going = withdrawals_under_way(user)
    uses = {
        purpose: make_standing(found.get(purpose), said.get(purpose, ()), ended=going.get(purpose), policies=policies)
        for purpose in data_map.consents
    }
    recipients = {
        recipient_key(item.party.key): make_standing(
            None,
            said.get(recipient_key(item.party.key), ()),
            ended=going.get(recipient_key(item.party.key)),
            policies=policies,
            unsaid=True,
        )
        for item in list_recipients(data_map)
    }
    return Register(
        uses=uses,
        recipients=recipients,
        asks=tuple(_open_asks(uses, policies)),
        policies=policies,
        signal=next((event for event in events if event.purpose == SIGNAL), None),
        unknown=unknown,
    )


def make_standing(
    state: ConsentState | None,
    said: Sequence[ConsentEvent],
    *,
    ended: datetime | None,
    policies: Sequence[PrivacyPolicy],
    unsaid: bool | None = None,
) -> Standing:
    """From what a system says (None: nothing), what was said here (newest first), and when a withdrawal that is under
    way was filed. `unsaid`: how it stands where nobody has said anything."""
    events = tuple(said)
    last = next((event for event in events if changes_state(event)), None)
    if ended:
        return Standing(False, ended, ConsentEvent.Source.PORTAL, "", pending=True, events=events)
    if last and (state is None or state.given == last.given or last.settled_at is None):
        pending = last.settled_at is None
        return Standing(last.given, last.at, last.source, last.version, pending=pending, events=events)
    if state:
        return Standing(state.given, state.since, APP, _version_on(state.since, policies), events=events)
    return Standing(unsaid, events=events)


def changes_state(event: ConsentEvent) -> bool:
    """A refusal of what a new policy asks leaves what was agreed to before."""
    return event.given or event.source != ConsentEvent.Source.POLICY


def _version_on(moment: datetime | None, policies: Iterable[PrivacyPolicy]) -> str:
    if moment is None:
        return ""
    return next((policy.version for policy in policies if policy.effective_on <= local_day(moment)), "")


def _open_asks(uses: Mapping[str, Standing], policies: Sequence[PrivacyPolicy]) -> Iterable[Ask]:
    """What the newest version that asks about a purpose has not been answered, of those whom it concerns: for a new
    purpose who has not agreed to it, for a changed one who has agreed to what it was."""
    seen: set[str] = set()
    for policy in policies:
        for ask in policy.asks:
            purpose = ask["purpose"]
            if purpose in seen or purpose not in uses:
                continue
            seen.add(purpose)
            now = uses[purpose]
            answered = any(event.at >= policy.published_at for event in now.events)
            later = now.since is not None and now.since >= policy.published_at
            if now.given is None or answered or later or now.given == ask["new"]:
                continue
            yield Ask(purpose, ask["new"], Text(ask["zh"], ask["en"]), policy, now.since if now.given else None)


def withdrawals_under_way(user: User) -> dict[str, datetime]:
    """By purpose or recipient, when a withdrawal was filed that has not come to it yet. Nothing is given meanwhile, so
    it was said last."""
    filed = Request.objects.filter(subject=user, kind=Kind.WITHDRAWAL, received_at__isnull=False)
    found: dict[str, datetime] = {}
    for item in filed.exclude(state=State.CLOSED).order_by("received_at").prefetch_related("consent_events"):
        ended = {event.purpose for event in item.consent_events.all()}
        parties = map(recipient_key, item.details.get("recipients", ()))
        for key in (*item.details.get("purposes", ()), *parties):
            if item.received_at and key not in ended:
                found[key] = item.received_at
    return found


def recipient_key(party: str) -> str:
    """How an event names a recipient: handovers know a party by as many letters."""
    return f"{RECIPIENT}{party[:160]}"


def list_recipients(data_map: DataMap) -> list[Received]:
    """Whoever the map names as receiving something, in its order."""
    found: dict[str, tuple[Party, list[Collection]]] = {}
    for item in data_map.collections.values():
        for name in item.recipients:
            party = data_map.recipient(name)
            found.setdefault(party.key, (party, []))[1].append(item)
    return [Received(party, tuple(items)) for party, items in found.values()]


def ended_names(details: Mapping[str, Any], data_map: DataMap, language: str) -> list[str]:
    """What a withdrawal ends, by name: its purposes, then the recipients that are refused."""
    refused = set(details.get("recipients") or ())
    names = [
        data_map.consents[key].label(language) for key in details.get("purposes") or () if key in data_map.consents
    ]
    return names + [
        received.party.name(language) for received in list_recipients(data_map) if received.party.key in refused
    ]


def latest_version(policies: Sequence[PrivacyPolicy]) -> str:
    """Of the policy that people are shown."""
    return policies[0].version if policies else ""


def ends_with_signal(data_map: DataMap) -> tuple[list[str], list[Party]]:
    """What a browser's signal ends: the consents, and the recipients of what rests on others."""
    purposes = [key for key, consent in data_map.consents.items() if consent.signal == "withdraw"]
    shared = {key for key, consent in data_map.consents.items() if consent.signal}
    parties = [
        received.party
        for received in list_recipients(data_map)
        if any(item.consent in shared for item in received.refusable)
    ]
    return purposes, parties
