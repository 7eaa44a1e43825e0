"""Every moment at which something can be killed: before and after each transaction of the portal's own database (a lone
writing is one), and each statement in the business system's.

Who works here is a process forked from the test, with its own connections. It ends by SIGKILL, so that nothing of it is
tidied up, or a server it works with does, and it goes on as well as it can.
"""

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
STRUCK = 3
"""How a process ends that struck and lives."""


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Counter:
    """Counts boundaries and strikes at one of them."""

    strike_at: int | None
    strike: Callable[[], object]
    has_struck: bool = False
    seen: list[Boundary] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def pass_by(self, sent: str, when: str) -> None:
        with self._lock:
            self.seen.append((_function_at_work(), sent, when))
            if self.strike_at is not None and len(self.seen) == self.strike_at + 1:
                self.has_struck = True
                self.strike()


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
    status, said = _Child(act, Counter(None, kill_myself)).wait()
    assert status == 0, said
    return [tuple(line.split("|")) for line in said.splitlines()]  # type: ignore[misc]


def run_and_strike(act: Callable[[], object], *, at: int, strike: Callable[[], object] = kill_myself) -> bool:
    """Run `act` in a process that strikes at that boundary; whether it did (it may have ended before)."""
    status, said = _Child(act, Counter(at, strike)).wait()
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) in {0, STRUCK}, said
    return os.waitstatus_to_exitcode(status) == STRUCK


@contextmanager
def run_and_stall(act: Callable[[], object], *, at: int) -> Iterator[None]:
    """Inside, `act` stands still at that boundary, in a process that afterwards goes on to its end."""
    child = _Child(act, Counter(at, lambda: os.kill(os.getpid(), signal.SIGSTOP)))
    assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1]), child.wait()[1]
    try:
        yield
    finally:
        os.kill(child.pid, signal.SIGCONT)
        status, said = child.wait()
    assert os.waitstatus_to_exitcode(status) == STRUCK, said


class _Child:
    """A process of its own, and what it says at its end."""

    def __init__(self, act: Callable[[], object], counter: Counter) -> None:
        read_end, write_end = os.pipe()
        wrapper = connections["default"]
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(read_end)
                # A browser's event loop of the parent's makes its thread's connections another thread's in the child.
                connections["default"] = wrapper
                code = _work(act, counter, write_end)
            finally:
                os._exit(code)
        os.close(write_end)
        self._pipe = os.fdopen(read_end)

    def wait(self) -> tuple[int, str]:
        with self._pipe as pipe:
            said = pipe.read()
        return os.waitpid(self.pid, 0)[1], said


def _work(act: Callable[[], object], counter: Counter, pipe: int) -> int:
    with ExitStack() as stack:
        try:
            _forget_inherited_connections()
            _watch(counter, stack)
            act()
        except BaseException:  # noqa: BLE001 - told to the test, which fails with it
            if counter.has_struck:
                return STRUCK  # whatever comes of a server that went away
            os.write(pipe, traceback.format_exc().encode())
            return 1
        seen = list(counter.seen)
    if counter.has_struck:
        return STRUCK
    os.write(pipe, "\n".join("|".join(item) for item in seen).encode())
    return 0


def _forget_inherited_connections() -> None:
    """They are the parent's: neither used nor said goodbye on."""
    connections["default"].connection = None
    sql._engine.cache_clear()


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
    """What a statement does, though it may begin with what it works out first."""
    found = re.search(r"^\s*(INSERT|UPDATE|DELETE)\s", statement, re.MULTILINE)
    return found[1] if found else statement.split(None, 1)[0]
