"""What an administrator publishes for everybody, from a checked file: a version of the privacy policy, and a notice of
a breach to those whom it concerns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import yaml
from django.db import transaction

from accounts.models import User
from accounts.permissions import can
from rights.datamap import load_live_map
from rights.models import Breach, PrivacyPolicy
from rights.notices import notify_each

LANGUAGES = ("zh", "en")
PARTS = ("happened", "data", "done", "advice", "contact")
"""What PIPL art. 57 has a notice say."""
EVERYBODY = "everybody"
NAMED = 10


class Faulty(ValueError):
    """A file that cannot be published; `problems` says all that is wrong with it and what to write."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class Refused(ValueError):
    """It may not be published; `str()` says why."""


@dataclass(frozen=True)
class PolicyFile:
    version: str
    effective_on: date
    changes: list[dict[str, str]]
    asks: list[dict[str, Any]]


@dataclass(frozen=True)
class BreachFile:
    """`accounts` None: everybody."""

    reference: str
    text: dict[str, dict[str, str]]
    accounts: tuple[str, ...] | None


# --- a version of the policy


def read_policy(text: str) -> PolicyFile:
    """`{version, effective_on, changes: [{zh, en}], asks: [{purpose, new, zh, en}]}`. Raises Faulty."""
    data, problems = _read(text, keys=("version", "effective_on", "changes", "asks"), optional=("asks",))
    version = _name(data, "version", problems)
    effective_on = data.get("effective_on")
    if not isinstance(effective_on, date) or isinstance(effective_on, datetime):
        problems.append("effective_on: write the day from which it applies, such as 2026-12-15.")
    changes = _entries(data, "changes", problems)
    if not changes and not problems:
        problems.append("changes: say in plain words what changed, at least one entry with zh and en.")
    asks = _entries(data, "asks", problems)
    known = load_live_map().consents
    seen: set[Any] = set()
    for number, ask in enumerate(asks, 1):
        purpose = ask.get("purpose")
        if purpose not in known:
            problems.append(f"asks {number}: purpose {purpose} is no consent of the data map: {', '.join(known)}.")
        elif purpose in seen:
            problems.append(f"asks {number}: {purpose} is asked about twice.")
        seen.add(purpose)
        if not isinstance(ask.get("new"), bool):
            problems.append(f"asks {number}: new: write true for a new purpose, false for one that changes.")
    if problems:
        raise Faulty(problems)
    return PolicyFile(
        version,
        effective_on,  # type: ignore[arg-type]  # checked above
        [{name: item[name] for name in LANGUAGES} for item in changes],
        [{name: item[name] for name in ("purpose", "new", *LANGUAGES)} for item in asks],
    )


def publish_policy(data: PolicyFile, *, by: User | None, now: datetime) -> bool:
    """Publish a version and tell everybody; whether it was new. `by` None: it is shipped with the demo.

    Raises Refused for who may not, and for another text of a version that is published.
    """
    _require_admin(by)
    with transaction.atomic():
        known = PrivacyPolicy.objects.filter(version=data.version).first()
        if known:
            if (known.effective_on, known.changes, known.asks) != (data.effective_on, data.changes, data.asks):
                raise Refused(f"Version {data.version} is published already and says something else: name a new one.")
            return False
        newest = PrivacyPolicy.objects.order_by("-effective_on").first()
        if newest and data.effective_on <= newest.effective_on:
            raise Refused(
                f"effective_on: version {newest.version} applies from {newest.effective_on}; write a later day."
            )
        PrivacyPolicy.objects.create(
            version=data.version,
            effective_on=data.effective_on,
            changes=data.changes,
            asks=data.asks,
            published_by=by,
            published_at=now,
        )
        params = {"version": data.version, "day": data.effective_on.isoformat()}
        notify_each(_people(), kind="policy_changed", params=params, once=data.version, now=now)
    return True


# --- a breach


def read_breach(text: str) -> BreachFile:
    """`{reference, affected: everybody or account numbers, zh: {happened, data, done, advice, contact}, en: {…}}`.

    Raises Faulty.
    """
    data, problems = _read(text, keys=("reference", "affected", *LANGUAGES))
    reference = _name(data, "reference", problems)
    texts: dict[str, dict[str, str]] = {}
    for language in LANGUAGES:
        stated = data.get(language)
        parts = stated if isinstance(stated, Mapping) else {}
        problems += [
            f"{language}.{part}: is missing; the law has the notice say it (PIPL art. 57)."
            for part in PARTS
            if not _is_text(parts.get(part))
        ]
        problems += [f"{language}.{part}: there is no such part." for part in parts if part not in PARTS]
        texts[language] = {part: str(parts.get(part, "")).strip() for part in PARTS}
    affected = data.get("affected")
    accounts: tuple[str, ...] | None = None
    if affected != EVERYBODY:
        if not isinstance(affected, list) or not affected:
            problems.append("affected: write everybody, or a list of account numbers.")
        else:
            accounts = tuple(dict.fromkeys(str(item) for item in affected))
    if problems:
        raise Faulty(problems)
    return BreachFile(reference, texts, accounts)


def publish_breach(data: BreachFile, *, by: User, now: datetime) -> tuple[Breach, bool]:
    """Tell those whom it concerns, each once; the breach, and whether it was new.

    Raises Refused for who may not, and for another text under a reference that is published; Faulty for accounts that
    do not exist.
    """
    _require_admin(by)
    users = _people() if data.accounts is None else _find(data.accounts)
    with transaction.atomic():
        known = Breach.objects.filter(reference=data.reference).first()
        if known:
            if known.text != data.text:
                raise Refused(f"{data.reference} is published already and says something else: give it another name.")
            return known, False
        params = {f"{part}_{language}": data.text[language][part] for language in LANGUAGES for part in PARTS}
        params["reference"] = data.reference
        told = notify_each(users, kind="breach", params=params, once=data.reference, now=now)
        made = Breach.objects.create(
            reference=data.reference, text=data.text, told=told, published_by=by, published_at=now
        )
    return made, True


def _people() -> Any:
    people = User.objects.filter(role=User.Role.SUBJECT, is_active=True)
    return people.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=2000)


def _find(accounts: Sequence[str]) -> list[Any]:
    found = {account: User.objects.find_by("account_no", account) for account in accounts}
    if unknown := [account for account, user in found.items() if user is None]:
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        raise Faulty([f"affected: there is no account {', '.join(unknown[:NAMED])}{more}. Nobody was told."])
    return [user.pk for user in found.values() if user]


# --- reading


def _read(text: str, *, keys: Sequence[str], optional: Sequence[str] = ()) -> tuple[Mapping[str, Any], list[str]]:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise Faulty(
            [f"This is not YAML{f': line {mark.line + 1}, column {mark.column + 1}' if mark else ''}."]
        ) from None
    if not isinstance(data, Mapping):
        raise Faulty([f"Write a mapping with {', '.join(keys)}."])
    problems = [f"{key}: there is no such key; write {', '.join(keys)}." for key in data if key not in keys]
    problems += [f"{key}: is missing." for key in keys if key not in data and key not in optional]
    return data, problems


def _name(data: Mapping[str, Any], key: str, problems: list[str]) -> str:
    value = data.get(key)
    if isinstance(value, date | int | float) and not isinstance(value, bool):
        problems.append(f"{key}: put it in quotes, so that it is a text.")
    elif key in data and (not _is_text(value) or len(str(value)) > 40):
        problems.append(f"{key}: write a name of at most 40 characters.")
    return str(value or "").strip()


def _entries(data: Mapping[str, Any], key: str, problems: list[str]) -> list[Mapping[str, Any]]:
    items = data.get(key) or []
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        problems.append(f"{key}: write a list of entries, each with zh and en.")
        return []
    for number, item in enumerate(items, 1):
        problems += [f"{key} {number}: {name} is missing." for name in LANGUAGES if not _is_text(item.get(name))]
    return items


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _require_admin(user: User | None) -> None:
    if user and not can(user, "console.edit"):
        raise Refused("Only an administrator may publish this.")
