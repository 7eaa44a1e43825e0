"""The sealed identifiers by which held records are found again, apart from the request that made the hold."""

import json
from collections.abc import Mapping
from datetime import datetime

from accounts.models import User
from portal.core import keyring
from rights.models import SubjectVault

CONTEXT = "rights.vault"


def vault_of(user: User, *, identities: Mapping[str, str], now: datetime) -> SubjectVault:
    """The person's open vault, made when the first hold needs it."""
    vault = SubjectVault.objects.filter(user=user, destroyed_at__isnull=True).first()
    if vault:
        return vault
    data_key = keyring.new_data_key()
    sealed = keyring.seal_under(data_key, json.dumps(dict(identities)).encode(), context=CONTEXT)
    return SubjectVault.objects.create(user=user, data_key=data_key, identities=sealed, created_at=now)


def open_vault(vault: SubjectVault) -> dict[str, str]:
    """The identifiers. Raises ValueError for a destroyed vault: then nothing can be found again, as intended."""
    if vault.data_key is None or vault.identities is None:
        raise ValueError("This vault was destroyed.")
    found: dict[str, str] = json.loads(
        keyring.unseal_under(bytes(vault.data_key), bytes(vault.identities), context=CONTEXT)
    )
    return found


def destroy_if_empty(vault: SubjectVault, *, now: datetime) -> bool:
    """Destroy the vault's key once nothing is held any more."""
    if vault.holds.filter(released_at__isnull=True).exists():
        return False
    return bool(
        SubjectVault.objects.filter(pk=vault.pk, destroyed_at__isnull=True).update(
            data_key=None, identities=None, destroyed_at=now
        )
    )
