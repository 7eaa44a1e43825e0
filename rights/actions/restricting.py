"""What stays after a deletion may only be stored from now on (PIPL art. 47): how its system learns of it."""

import time
from contextlib import closing

from django.db import transaction

from rights.actions.restrictions import digest_keys, write_register
from rights.actions.work import BY_HAND, FIRST_BATCH, Work, explain_unmoved, next_size, open_working
from rights.connectors.base import Refused
from rights.connectors.registry import connect

LOOK_ROWS = 100_000
"""How many keys one look takes into memory."""


def restrict(work: Work) -> None:
    """Mark what is held in its system, and write down which it is, as the data map states."""
    item = work.data_map.collections[work.step.collection]
    if item.flag:
        _flag(work)
    if item.is_registered:
        with (
            open_working(work) as (snapshot, reading),
            closing(snapshot.stream_restricted(reading.policies, item.key)) as pages,
        ):
            digests = digest_keys(pages, collection=item.key)
        with transaction.atomic():
            work.write()
            write_register(digests, request=work.request, collection=item.key)


def _flag(work: Work) -> None:
    """Mark what a look finds unmarked, until one finds nothing. To mark a record twice changes nothing, so unlike an
    erasure nothing has to be written down before."""
    step, before, size = work.step, None, FIRST_BATCH
    connector = connect(step.system, work.data_map)
    while True:
        with open_working(work) as (snapshot, reading):
            keys = snapshot.find_unflagged(reading.policies, step.collection, limit=LOOK_ROWS)
        if not keys:
            return
        if work.shadow:
            raise Refused(
                f"{step.system} is in shadow mode: {len(keys)} of {step.collection} would have been marked. {BY_HAND}"
            )
        if keys == before:
            raise Refused(explain_unmoved(work, "marked"))
        before = keys
        while keys:
            chosen, keys = keys[:size], keys[size:]
            begun = time.monotonic()
            connector.flag(reading.seed, reading.policies, step.collection, chosen)
            size = next_size(len(chosen), time.monotonic() - begun)
