"""Erasing, by one protocol: look (the matching keys, as they come), persist a batch of them sealed, act on those keys
and the plan's predicate in one transaction of the business system, look at those keys again, record and shred them;
repeat until a look is empty. A batch left open by a worker that died is finished first.
"""

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import closing

from django.db import transaction

from portal.core import keyring, rows
from rights.actions import gates
from rights.actions.erasures import log_of
from rights.actions.keys import keys_to_json, open_keys, seal_keys
from rights.actions.work import FIRST_BATCH, READ_AGAIN_SECONDS, Stopped, Work, explain_unmoved, next_size, open_working
from rights.connectors.base import Key, Refused
from rights.connectors.registry import connect
from rights.models import Batch
from rights.planning import Reading


def erase(work: Work) -> int:
    """Look, then act on what was seen batch by batch; until nothing that a look has seen is left. How many went."""
    step = work.step
    # A step that is claimed for the first time has left nothing open.
    if step.fence > 1 and (left_open := step.batches.filter(closed_at__isnull=True).first()):
        _act(work, _read_again(work), open_keys(bytes(left_open.keys or b"")), is_open=True)
    size, unmoved = FIRST_BATCH, False
    while True:
        before = step.done
        # The pages are closed before their connection is let go: a cursor left open would close itself on it later.
        with (
            open_working(work) as (snapshot, reading),
            closing(snapshot.page_keys(reading.policies, step.collection)) as pages,
        ):
            if unmoved and next(pages, None):
                # They may have stayed because they no longer might go; but this look lets them go again.
                raise Refused(explain_unmoved(work, "erased"))
            seen, size = _erase_pages(work, reading, pages, size=size)
        if step.done - before == seen:
            return step.done
        unmoved = step.done == before


def _erase_pages(work: Work, reading: Reading, pages: Iterable[Sequence[Key]], *, size: int) -> tuple[int, int]:
    """Act on what a look sees as it comes; how many keys it was, and what size a batch has by now."""
    read_at, seen = time.monotonic(), 0
    for page in pages:
        left = page
        while left:
            if seen and (why := gates.erasing_stopped(work.step.system)):
                raise Stopped(why)
            if time.monotonic() - read_at > READ_AGAIN_SECONDS:
                reading, read_at = _read_again(work), time.monotonic()
            # In even parts: a small rest costs as many writes of ours as a large batch.
            taken = math.ceil(len(left) / math.ceil(len(left) / size))
            size = next_size(taken, _act(work, reading, left[:taken]))
            left = left[taken:]
            seen += taken
    return seen, size


def _read_again(work: Work) -> Reading:
    """The policies as they are now: an exception that is approved meanwhile keeps what is not gone yet."""
    if why := gates.erasing_stopped(work.step.system):
        raise Stopped(why)
    with open_working(work) as (_, reading):
        return reading


def _act(work: Work, reading: Reading, keys: Sequence[Key], *, is_open: bool = False) -> float:
    """One batch by the protocol: persist the keys, act on them and the plan's predicate, look at them, record, shred.

    `is_open`: a worker that died had persisted them. Returns the seconds that acting took.
    """
    if not is_open:
        _open_batch(work, keys)
    connector = connect(work.step.system, work.data_map)
    begun = time.monotonic()
    connector.erase(reading.seed, reading.policies, work.step.collection, keys)
    seconds = time.monotonic() - begun
    left = set(connector.find_present(work.step.collection, keys))
    _close_batch(work, gone=[key for key in keys if key not in left] if left else keys)
    return seconds


def _open_batch(work: Work, keys: Sequence[Key]) -> None:
    text = keys_to_json(keys)
    batch = Batch(
        step=work.step,
        keys=seal_keys(text),
        count=len(keys),
        digest=keyring.blind_index("batch", text),
        opened_at=work.moment(),
    )
    with transaction.atomic():
        work.write()
        rows.add(batch)


def _close_batch(work: Work, *, gone: Sequence[Key]) -> None:
    """Of the step's open batch, of which there is never more than one: record what is absent now and shred the keys.

    The erasure log keeps their digests.
    """
    logged = log_of(gone, collection=work.step.collection) if gone else {}
    with transaction.atomic():
        work.write(done=work.step.done + len(gone))
        still_open = {"step": work.step.pk, "closed_at": None}
        rows.change(Batch, still_open, closed_at=work.moment(), gone=len(gone), keys=None, **logged)
