"""The processes the portal is made of: how each is started, kept alive and ended.

Each has a process group of its own, so that an interrupt at the terminal reaches whoever supervises and the children
are ended in order; each is told by the kernel when its parent dies, so that a hard kill leaves none behind.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1
STOP_SECONDS = 8
LONGEST_WAIT = 30.0

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Kind:
    """One kind of process. `name` is what a person reads, `role` what it signs in to the database as."""

    name: str
    role: str
    arguments: tuple[str, ...]


def name_kinds(*, port: int) -> tuple[Kind, ...]:
    """Web, worker and beat, on this machine's loopback address."""
    celery = ("-m", "celery", "--app", "portal.celery", "--quiet")
    web = (
        "-m", "gunicorn", "portal.wsgi:application",
        "--bind", f"127.0.0.1:{port}",
        "--worker-class", "gthread", "--workers", "1", "--threads", "8",
        "--graceful-timeout", "5", "--timeout", "60", "--keep-alive", "5",
        "--log-level", "warning", "--no-control-socket",
    )  # fmt: skip
    worker = ("worker", "--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
    return (
        Kind("web", "web", web),
        Kind("worker", "worker", (*celery, *worker)),
        Kind("beat", "worker", (*celery, "beat", "--loglevel", "WARNING", "--pidfile=")),
    )


def start(kind: Kind, *, environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start one process. The kernel ends it when the thread that called this ends, so call from one that lasts."""
    parent = os.getpid()

    def die_with_parent() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGTERM)

    with open(log, "ab", opener=_private) as output:
        return subprocess.Popen(
            [sys.executable, *kind.arguments],
            cwd=BASE_DIR,
            env={"DJANGO_SETTINGS_MODULE": "portal.settings", **environment, "PORTAL_ROLE": kind.role},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            umask=0o077,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one C call; no lock can be held that it needs
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def stop(processes: "list[subprocess.Popen[bytes]]", *, seconds: float = STOP_SECONDS) -> None:
    """End them all at once, politely first; what lingers is killed with all its children."""
    for process in processes:
        _signal_group(process.pid, signal.SIGTERM, whole=False)
    deadline = time.monotonic() + seconds
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        _signal_group(process.pid, signal.SIGKILL, whole=True)
        process.wait()


def _signal_group(pid: int, how: signal.Signals, *, whole: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if whole:
            os.killpg(pid, how)
        else:
            os.kill(pid, how)


@dataclass
class _Watched:
    kind: Kind
    process: "subprocess.Popen[bytes]"
    started: float
    failures: int = 0
    again_at: float | None = None


@dataclass
class Supervisor:
    """Keeps web, worker and beat running: one that ends is started again, waiting longer each time it fails at once."""

    environment: Mapping[str, str]
    data_dir: Path
    port: int
    say: Callable[[str], None]
    watched: list[_Watched] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.data_dir / "portal.log"

    @property
    def record(self) -> Path:
        return self.data_dir / "processes.json"

    def start(self) -> None:
        stop_leftovers(self.record, data_dir=self.data_dir)
        for kind in name_kinds(port=self.port):
            process = start(kind, environment=self.environment, log=self.log)
            self.watched.append(_Watched(kind, process, time.monotonic()))
        self._note()

    def look(self) -> None:
        """Start again what has ended."""
        now = time.monotonic()
        for each in self.watched:
            if each.again_at is None and each.process.poll() is not None:
                _signal_group(each.process.pid, signal.SIGKILL, whole=True)
                each.failures = each.failures + 1 if now - each.started < 60 else 1
                wait = min(LONGEST_WAIT, 2.0 ** (each.failures - 1) - 1)
                each.again_at = now + wait
                self.say(
                    f"{each.kind.name} ended ({_reason(each.process.returncode)}); starting it again in {wait:.0f} s."
                )
            if each.again_at is not None and now >= each.again_at:
                each.process = start(each.kind, environment=self.environment, log=self.log)
                each.started, each.again_at = now, None
                self._note()

    def gives_up(self) -> bool:
        """A part that ended three times in a row will not come up by itself."""
        return any(each.failures >= 3 for each in self.watched)

    def stop(self) -> None:
        stop([each.process for each in self.watched])
        self.watched.clear()
        self.record.unlink(missing_ok=True)

    def _note(self) -> None:
        """Who is running, for a start after a hard kill."""
        draft = self.record.with_suffix(".new")
        draft.write_text(json.dumps([each.process.pid for each in self.watched]))
        draft.replace(self.record)


def _reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"status {code}"


def stop_leftovers(record: Path, *, data_dir: Path) -> None:
    """End what a supervisor killed hard left behind. Ids are reused: only those with our data folder are ours."""
    try:
        pids = [pid for pid in json.loads(record.read_text()) if _is_ours(pid, data_dir)]
    except (FileNotFoundError, ValueError):
        return
    for pid in pids:
        _signal_group(pid, signal.SIGTERM, whole=False)
    deadline = time.monotonic() + STOP_SECONDS
    while any(_is_ours(pid, data_dir) for pid in pids):
        if time.monotonic() > deadline:
            for pid in pids:
                _signal_group(pid, signal.SIGKILL, whole=True)
            break
        time.sleep(0.05)
    record.unlink(missing_ok=True)


def _is_ours(pid: int, data_dir: Path) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return state != "Z" and b"DATA_DIR=" + os.fsencode(data_dir) in variables
