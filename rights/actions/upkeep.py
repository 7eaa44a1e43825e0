"""What the portal's own rows need now and then: what no longer counts is forgotten, old keys are replaced."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction

from accounts.identities import reindex
from accounts.standin import forget_attempts
from accounts.stepup import forget_codes
from accounts.tokens import forget_tokens
from portal.core import keyring
from portal.core.fields import reseal
from portal.core.heartbeat import beat, last_beat
from rights.actions.erasures import forget_cleared
from rights.actions.forgetting import forget_own_rows
from rights.datamap import load_live_map
from rights.models import Package, SubjectVault

HOUR = timedelta(hours=1)
PAGE = 500
DONE = "upkeep"


def keep_up(*, now: datetime) -> int:
    """At most once an hour; sooner only while a new key still has rows to reach. How many rows it concerned."""
    last = last_beat(DONE)
    if last is not None and timedelta() <= now - last < HOUR:
        return 0
    found = forget_attempts(now=now) + forget_codes(now=now) + forget_tokens(now=now)
    found += forget_cleared(data_map=load_live_map(), now=now) + forget_own_rows(now=now)
    moved = _replace_keys(now=now)
    if not moved:
        beat(DONE, now)
    return found + moved


def _replace_keys(*, now: datetime) -> int:
    """A page of each table whose rows are under an older key.

    Finding them reads whole tables, so it is done only until a key has reached them all: that is remembered by its
    version, and a new version starts anew.
    """
    moved = 0
    for purpose, tasks in (("index", [partial(reindex, limit=PAGE)]), ("seal", _sealing())):
        mark = f"{purpose} v{keyring.current_version(purpose)}"
        if last_beat(mark) is not None:
            continue
        found = sum(task() for task in tasks)
        if not found:
            beat(mark, now)
        moved += found
    return moved


def _sealing() -> list[Callable[[], int]]:
    writable = _writable(model._meta.db_table for model in apps.get_models())
    tasks: list[Callable[[], int]] = [
        partial(reseal, model, limit=PAGE) for model in apps.get_models() if model._meta.db_table in writable
    ]
    return [*tasks, partial(_rewrap, SubjectVault), partial(_rewrap, Package)]


def _writable(tables: Iterable[str]) -> set[str]:
    """Those a worker may change. The second factors of staff are not among them: the owner replaces their key."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM unnest(%s::text[]) name WHERE to_regclass(name) IS NOT NULL"
            " AND has_table_privilege(to_regclass(name), 'UPDATE')",
            [list(tables)],
        )
        return {name for (name,) in cursor.fetchall()}


def _rewrap(model: type[SubjectVault] | type[Package]) -> int:
    """Data keys under the current key; what they seal stays as it is."""
    header = keyring.current_seal_header()
    head = models.Func(
        models.F("data_key"), 1, len(header), function="substr", output_field=models.BinaryField()
    )  # fmt: skip
    with transaction.atomic():
        rows = model._default_manager.select_for_update(of=("self",), skip_locked=True).alias(head=head)
        stale: list[Any] = list(rows.filter(data_key__isnull=False).exclude(head=header)[:PAGE])
        for row in stale:
            row.data_key = keyring.rewrap_data_key(bytes(row.data_key or b""))
            row.save(update_fields=["data_key"])
    return len(stale)
