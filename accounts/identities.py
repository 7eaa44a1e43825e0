"""The verified facts about a person, and the upkeep of their digests when the index key rotates."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q

from accounts.models import Identity, User
from accounts.normal import normalise
from portal.core import keyring, rows


def set_identity(*, user: User, kind: str, value: str, verified_at: datetime) -> Identity:
    """Record that `value` was verified; a newer verification replaces the older one."""
    value = normalise(kind, value)
    identity, _created = Identity.objects.update_or_create(
        user=user,
        kind=kind,
        defaults={"value": value, "index": keyring.blind_index(kind, value), "verified_at": verified_at},
    )
    return identity


def get_identities(user: User) -> dict[str, str]:
    """What a person is found by in the business systems: kind to value."""
    known = {"account_no": user.account_no} | ({"phone": user.phone} if user.phone else {})
    return known | {identity.kind: identity.value for identity in rows.find(Identity, user=user.pk)}


def find_users(kind: str, value: str) -> list[User]:
    """The users with this verified fact, whichever index key it was written under."""
    digests = keyring.blind_indexes(kind, normalise(kind, value))
    return list(User.objects.filter(identities__kind=kind, identities__index__in=digests).order_by("created_at"))


def reindex(*, limit: int = 500) -> int:
    """Rewrite digests of older index keys under the current one. Returns how many rows; 0 means the old keys may be
    retired."""
    current = f"v{keyring.current_version('index')}:"
    with transaction.atomic():
        stale = ~Q(account_index__startswith=current) | (
            Q(phone_index__isnull=False) & ~Q(phone_index__startswith=current)
        )
        users = list(User.objects.select_for_update(skip_locked=True, no_key=True).filter(stale)[:limit])
        for user in users:
            user.set_account_no(user.account_no)
            user.set_phone(user.phone)
            user.save(update_fields=["account_index", "phone_index"])
        identities = list(
            Identity.objects.select_for_update(skip_locked=True, no_key=True).exclude(index__startswith=current)[:limit]
        )
        for identity in identities:
            identity.index = keyring.blind_index(identity.kind, identity.value)
            identity.save(update_fields=["index"])
    return len(users) + len(identities)
