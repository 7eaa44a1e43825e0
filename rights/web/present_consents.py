"""How each use of a person's data and each recipient stands, in words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from rights.consents import APP, Received, Register, Standing, changes_state, list_recipients, recipient_key
from rights.datamap import Collection, DataMap
from rights.kernel.plan import GOING, Plan
from rights.models import ConsentEvent
from rights.templatetags.look import listed, records
from rights.web.present import listed_parties
from rights.wording import ground_words

SYSTEMS = ("ios", "android", "harmony")
Source = ConsentEvent.Source


@dataclass(frozen=True)
class Moment:
    at: datetime
    text: str


@dataclass(frozen=True)
class UseView:
    """A use that rests on consent. `text`: how it came to stand so; `stopped`: recipients that
    the person refused. `confirms`: whether ending or giving it asks once
    more on a page of its own, as something is lost or sensitive."""

    key: str
    label: str
    given: bool | None
    since: datetime | None
    text: str
    company: str = ""
    consequence: str = ""
    recipients: str = ""
    stopped: str = ""
    sensitive: bool = False
    marketing: bool = False
    pending: bool = False
    confirms: bool = False
    confirm_url: str = ""
    history: list[Moment] = field(default_factory=list)


def present_uses(register: Register, data_map: DataMap, *, language: str) -> list[UseView]:
    return [present_use(key, register, data_map, language=language) for key in data_map.consents]


def present_use(key: str, register: Register, data_map: DataMap, *, language: str) -> UseView:
    consent, standing = data_map.consents[key], register.uses[key]
    items = resting_on(key, data_map)
    parties = {data_map.recipient(name).key: name(language) for item in items for name in item.recipients}
    stopped = [party for party in parties if register.recipients[recipient_key(party)].given is False]
    entities = dict.fromkeys(item.entity for item in items)
    verb = "end" if standing.given else "give"
    return UseView(
        key=key,
        label=consent.label(language),
        given=standing.given,
        since=standing.since,
        text=_how(standing),
        company=listed(data_map.entities[entity].name(language) for entity in entities),
        consequence=consent.consequence(language),
        recipients=listed_parties(parties[party] for party in parties if party not in stopped),
        stopped=listed_parties(parties[party] for party in stopped),
        sensitive=any(item.sensitive for item in items),
        marketing=consent.kind == "marketing",
        pending=standing.pending,
        confirms=not consent.immediate,
        confirm_url=f"{reverse('rights:consent_confirm')}?{urlencode({'purpose': key, 'to': verb})}",
        history=present_history(standing),
    )


def resting_on(key: str, data_map: DataMap) -> list[Collection]:
    return [item for item in data_map.collections.values() if item.consent == key]


def _how(standing: Standing) -> str:
    """By which way it came to stand so, and under which version of the policy."""
    if standing.given is None:
        return ""
    words = {
        APP: _("in the app or service"),
        Source.PORTAL: _("here"),
        Source.POLICY: _("here, asked by a new policy"),
        Source.BROWSER: _("by your browser's signal"),
    }
    way = words.get(standing.source, "")
    if not standing.version:
        return way
    return _("%(way)s, policy of %(version)s") % {"way": way, "version": standing.version} if way else standing.version


def present_history(standing: Standing) -> list[Moment]:
    """Newest first. What a business system said before anything was said here comes last."""
    found = [Moment(event.at, _said(event)) for event in standing.events]
    if standing.source == APP and standing.since:
        text = _("Agreed in the app or service") if standing.given else _("Not agreed, in the app or service")
        found.append(Moment(standing.since, text))
    if standing.pending and not standing.given and standing.since:
        found.append(Moment(standing.since, _("You ended it; the systems are being told")))
    return sorted(found, key=lambda moment: moment.at, reverse=True)


def _said(event: ConsentEvent) -> str:
    version = {"version": event.version}
    match event.given, event.source:
        case True, Source.POLICY:
            return _("You agreed to what policy %(version)s asks") % version
        case True, _:
            return _("You agreed here (policy %(version)s)") % version if event.version else _("You agreed here")
        case False, Source.POLICY if not changes_state(event):
            return _("You did not agree to what policy %(version)s asks; nothing else changed") % version
        case False, Source.BROWSER:
            return _("Ended, as your browser asks for it")
        case _:
            return _("You ended it here")


@dataclass(frozen=True)
class AskView:
    """`was`: since when the person has agreed to what the purpose was before."""

    purpose: str
    label: str
    version: str
    is_new: bool
    text: str
    was: datetime | None
    effective_on: Any


def present_asks(register: Register, data_map: DataMap, *, language: str) -> list[AskView]:
    return [
        AskView(
            purpose=ask.purpose,
            label=data_map.consents[ask.purpose].label(language),
            version=ask.policy.version,
            is_new=ask.is_new,
            text=ask.text(language),
            was=ask.since,
            effective_on=ask.policy.effective_on,
        )
        for ask in register.asks
    ]


def present_erased(key: str, plan: Plan, data_map: DataMap, *, language: str) -> str:
    """What goes with a consent, in words; empty where nothing does."""
    lines = [
        line for line in plan.lines
        if line.count and line.fate in GOING and data_map.collections[line.collection].consent == key
    ]  # fmt: skip
    if not lines:
        return ""
    names = listed(data_map.collections[line.collection].label(language) for line in lines)
    return _("Deleted with it: %(names)s, %(records)s") % {
        "records": records(sum(line.count for line in lines)),
        "names": names,
    }


# --- recipients


@dataclass(frozen=True)
class RecipientView:
    """Somebody who receives data. `gets`: (what, why, on what it rests) of each kind that exists. `refusable`: whether
    some of it rests on consent; `partly`: and some does not."""

    key: str
    name: str
    gets: list[tuple[str, str, str]]
    refusable: bool
    partly: bool
    refused: bool
    pending: bool
    since: datetime | None
    history: list[Moment]


def present_recipients(
    register: Register, data_map: DataMap, *, held: Iterable[str], language: str
) -> list[RecipientView]:
    """Who receives what of the data that exists or that was agreed to, and whoever was refused before."""
    there = set(held)
    views = []
    for received in list_recipients(data_map):
        standing = register.recipients[recipient_key(received.party.key)]
        items = [
            item
            for item in received.items
            if item.key in there or (item.basis_kind == "consent" and _is_agreed(item, register))
        ]
        if not items and not standing.events and not standing.pending:
            continue
        views.append(_present_recipient(received, items or list(received.items), standing, language=language))
    return sorted(views, key=lambda view: (not view.refusable,))


def _is_agreed(item: Collection, register: Register) -> bool:
    return bool(item.consent and register.uses[item.consent].given)


def _present_recipient(
    received: Received, items: list[Collection], standing: Standing, *, language: str
) -> RecipientView:
    kinds = {item.basis_kind for item in items}
    return RecipientView(
        key=received.party.key,
        name=received.party.name(language),
        gets=[(item.label(language), item.purpose(language), ground_of(item, language)) for item in items],
        refusable="consent" in kinds,
        partly="consent" in kinds and len(kinds) > 1,
        refused=standing.given is False,
        pending=standing.pending,
        since=standing.since,
        history=present_history(standing),
    )


def ground_of(item: Collection, language: str) -> str:
    """On what it rests, as a clause."""
    return ground_words(item, language)


# --- what does not rest on consent


@dataclass(frozen=True)
class NeededView:
    company: str
    kinds: list[tuple[str, str, str]]


def present_needed(data_map: DataMap, *, held: Iterable[str], language: str) -> list[NeededView]:
    """By company, what is processed whatever the person agrees to: what, why, on what it rests."""
    there, found = set(held), dict[str, list[tuple[str, str, str]]]()
    for item in data_map.collections.values():
        if item.key in there and item.basis_kind != "consent" and not item.own and not item.confidential:
            row = (item.label(language), item.purpose(language), ground_of(item, language))
            found.setdefault(item.entity, []).append(row)
    return [NeededView(data_map.entities[entity].name(language), kinds) for entity, kinds in found.items()]


# --- permissions of a phone


def present_permissions(data_map: DataMap, *, language: str) -> list[dict[str, Any]]:
    return [
        {
            "label": item.label(language),
            "why": item.why(language),
            "used_by": item.used_by(language),
            "without": item.without(language),
            "places": [_place(system, item.names[system](language)) for system in SYSTEMS if system in item.names],
        }
        for item in data_map.permissions.values()
    ]


def _place(system: str, name: str) -> tuple[str, str]:
    """The system and the way through its settings."""
    ways: Mapping[str, str] = {
        "ios": _("Settings, Privacy & Security, %(name)s, then the app"),
        "android": _("Settings, Apps, the app, Permissions, %(name)s"),
        "harmony": _("Settings, Apps & services, Permission manager, %(name)s, then the app"),
    }
    names = {"ios": "iOS", "android": "Android", "harmony": "HarmonyOS"}
    return names[system], ways[system] % {"name": name}
