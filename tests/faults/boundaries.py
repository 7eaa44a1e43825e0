"""Every moment at which a worker can be killed: before and after each transaction of the portal's own database
(a lone writing is one), and each statement in the business system's.

A worker here is a process forked from the test: it has its own connections and ends by SIGKILL, so that nothing of it
is tidied up.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from django.db import connections
from sqlalchemy import event
from sqlalchemy.engine import Engine

from rights.connectors import sql

WRITING = frozenset({"INSERT", "UPDATE", "DELETE"})
Boundary = tuple[str, str, str]
"""(the function of ours that was at work, what it sent, before or after)"""


@dataclass
class Counter:
    """Counts boundaries and kills the process at one of them."""

    kill_at: int | None
    seen: list[Boundary] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def pass_by(self, sent: str, when: str) -> None:
        with self._lock:
            self.seen.append((_function_at_work(), sent, when))
            if self.kill_at is not None and len(self.seen) == self.kill_at + 1:
                os.kill(os.getpid(), signal.SIGKILL)


def _function_at_work() -> str:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(("rights.", "portal.core")) and not frame.f_code.co_name.startswith("<"):
            return f"{name}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "?"


def run_and_count(act: Callable[[], object]) -> list[Boundary]:
    """The boundaries that `act` passes by, in a process of its own that lives."""
    status, said = _in_child(act, kill_at=None)
    assert status == 0, said
    return [tuple(line.split("|")) for line in said.splitlines()]  # type: ignore[misc]


def run_and_die(act: Callable[[], object], *, kill_at: int) -> bool:
    """Run `act` in a process that is killed at that boundary; whether it was (it may have ended before)."""
    status, said = _in_child(act, kill_at=kill_at)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert status == 0, said
    return False


def _in_child(act: Callable[[], object], *, kill_at: int | None) -> tuple[int, str]:
    read_end, write_end = os.pipe()
    wrapper = connections["default"]
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read_end)
            # A browser's event loop of the parent's makes its thread's connections another thread's in the child.
            connections["default"] = wrapper
            code = _work(act, kill_at, write_end)
        finally:
            os._exit(code)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    return os.waitpid(pid, 0)[1], said


def _work(act: Callable[[], object], kill_at: int | None, pipe: int) -> int:
    counter = Counter(kill_at)
    with ExitStack() as stack:
        try:
            _forget_inherited_connections()
            _watch(counter, stack)
            act()
        except BaseException:  # noqa: BLE001 - told to the test, which fails with it
            os.write(pipe, traceback.format_exc().encode())
            return 1
        seen = list(counter.seen)
    os.write(pipe, "\n".join("|".join(item) for item in seen).encode())
    return 0


def _forget_inherited_connections() -> None:
    """They are the parent's: neither used nor said goodbye on."""
    connections["default"].connection = None
    sql._engine.cache_clear()
    sql._graph.cache_clear()


def _watch(counter: Counter, stack: ExitStack) -> None:
    portal: Any = connections["default"]

    def around(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        verb = _verb(str(statement))
        if verb not in WRITING or portal.in_atomic_block:
            # Dying around a reading is dying after the last writing; inside a transaction, dying before its commit.
            return execute(statement, *rest)
        counter.pass_by(verb, "before")
        answer = execute(statement, *rest)
        counter.pass_by(verb, "after")
        return answer

    stack.enter_context(portal.execute_wrapper(around))
    commit = portal._commit

    def committing() -> None:
        counter.pass_by("COMMIT", "before")
        commit()
        counter.pass_by("COMMIT", "after")

    portal._commit = committing
    event.listen(Engine, "before_cursor_execute", lambda *args: counter.pass_by("business " + _verb(args[2]), "before"))
    event.listen(Engine, "after_cursor_execute", lambda *args: counter.pass_by("business " + _verb(args[2]), "after"))
    # The event comes before the commit itself; after it comes whatever is sent next.
    event.listen(Engine, "commit", lambda *args: counter.pass_by("business COMMIT", "before"))


def _verb(statement: str) -> str:
    return statement.split(None, 1)[0]
