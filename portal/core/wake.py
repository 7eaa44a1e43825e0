"""Waking workers. A wake-up is a courtesy: what it announces is already in the database, and the next tick finds it
anyway."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import structlog
from celery import current_app
from django.db import transaction

log = structlog.get_logger(__name__)


_at_work: ContextVar[Mapping[str, str] | None] = ContextVar("at_work", default=None)


@contextmanager
def at_work(**kwargs: str) -> Iterator[None]:
    """Inside, nobody is woken for this: whoever is at it looks again until nothing is left to do."""
    token = _at_work.set(kwargs)
    try:
        yield
    finally:
        _at_work.reset(token)


def wake(task: str, *, priority: int = 0, **kwargs: str) -> None:
    """Send `task` by its name once the transaction has committed, so that no worker looks for a row that is not there
    yet. `priority`: its place among what waits for a worker, 0 first (CELERY_BROKER_TRANSPORT_OPTIONS)."""
    if _at_work.get() == kwargs:
        return
    transaction.on_commit(partial(_send, task, kwargs, priority), robust=True)


def _send(task: str, kwargs: dict[str, str], priority: int) -> None:
    try:
        current_app.send_task(task, kwargs=kwargs, priority=priority, ignore_result=True, retry=False)
    except Exception as error:  # noqa: BLE001 - whatever the broker's transport raises, it may not undo what is committed
        log.warning("wake_failed", task=task, error=str(error))
