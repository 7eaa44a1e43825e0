"""One server process: started in a session of its own, recognised for certain, stopped in order."""

import contextlib
import errno
import os
import signal
import subprocess
import time
from pathlib import Path

from portal.embedded.place import EmbeddedError, Place

START_SECONDS = 30
RECOVERY_SECONDS = 600  # replaying the log after a hard kill takes as long as it takes


def spawn(place: Place, command: list[str], *, log: Path) -> "subprocess.Popen[bytes]":
    """A server of its own session, so that an interrupt at the terminal reaches the portal first and it in order."""
    with log.open("ab") as output:
        if place.account:
            place.account.own(log)
        return subprocess.Popen(
            command,
            cwd=place.runtime,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=_environment(),
            user=place.account.uid if place.account else None,
            group=place.account.gid if place.account else None,
            extra_groups=[] if place.account else None,
            umask=0o077,
        )


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", "LANG": "C"}


def process_in(pid: int, *, name: str, folder: Path) -> bool:
    """Whether this process is our server: ids are reused, so its name and its working folder are compared too."""
    try:
        if Path(f"/proc/{pid}/comm").read_text().strip() != name:
            return False
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z" and Path(os.readlink(f"/proc/{pid}/cwd")) == folder
    except OSError:
        return False


def read_pid(path: Path) -> int | None:
    try:
        first = path.read_text().split("\n", 1)[0].strip()
    except OSError:
        return None
    return int(first) if first.isdigit() else None


def stop(pid: int, *, how: signal.Signals, seconds: float, name: str, folder: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
    deadline = time.monotonic() + seconds
    while process_in(pid, name=name, folder=folder):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)


def last_words(log: Path, *, since: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(since)
            said = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "ERROR", "error:", "# "))]
    return (telling or lines or [""])[-1]


def raise_failed(what: str, log: Path, *, since: int) -> None:
    words = last_words(log, since=since)
    if os.strerror(errno.ENOSPC) in words:
        raise EmbeddedError(
            f"The disk is full: {what} could not start in {log.parent}. Free some space and start again."
        )
    raise EmbeddedError(f"{what} did not start: {words or 'it said nothing'} (all of it: {log})")


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
