"""The whole portal from one command: a bare machine runs it with its embedded parts and the demo."""

import fcntl
import hashlib
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

import redis
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from portal import embedded, processes
from portal.demo.accounts import DEMO_ACCOUNTS
from portal.management.commands.messages import compile_catalogues

READY_SECONDS = 90
LARGEST_LOG = 20_000_000  # bytes; a longer log starts afresh


class _StopError(Exception):
    """Somebody asked us to end."""


class Command(BaseCommand):
    help = "Run the portal: web, worker, beat, and on a bare machine PostgreSQL, Valkey and the demo."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        supervisor = processes.Supervisor(
            environment=dict(os.environ), data_dir=settings.DATA_DIR, port=settings.PORT, say=self._say
        )
        try:
            self._prepare(supervisor)
            supervisor.start()
            self._wait_ready(supervisor)
            self._say(describe())
            self._watch(supervisor)
        except _StopError:
            self._say("Stopping.")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            supervisor.stop()

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _prepare(self, supervisor: processes.Supervisor) -> None:
        """All that must be done before the first request, and nothing that is done already."""
        claim_data_dir(settings.DATA_DIR)
        processes.stop_leftovers(supervisor.record, data_dir=settings.DATA_DIR)
        check_port(settings.PORT)
        check_parts()
        if supervisor.log.exists() and supervisor.log.stat().st_size > LARGEST_LOG:
            supervisor.log.unlink()
        compile_catalogues()
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self._say("Making the database.")
            call_command("migrate", verbosity=0)
        collect_static()
        if settings.DEMO:
            call_command("demo", "load", stdout=StringIO())
        connection.close()

    def _wait_ready(self, supervisor: processes.Supervisor) -> None:
        deadline = time.monotonic() + READY_SECONDS
        url = f"http://127.0.0.1:{settings.PORT}/readyz"
        while not _answers(url):
            if supervisor.gives_up():
                raise SystemExit(
                    f"The portal does not start: {_last_line(supervisor.log)} (all of it: {supervisor.log})"
                )
            if time.monotonic() > deadline:
                raise SystemExit(f"The portal was not ready within {READY_SECONDS} s. See {supervisor.log}.")
            supervisor.look()
            time.sleep(0.1)

    def _watch(self, supervisor: processes.Supervisor) -> None:
        while True:
            time.sleep(1)
            supervisor.look()
            if os.environ.get("PORTAL_EMBEDDED") and not embedded.is_running(settings.DATA_DIR):
                self._say("The embedded database or broker ended; starting it again.")
                embedded.ensure(settings.DATA_DIR)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _stop(number: int, frame: FrameType | None) -> None:
    raise _StopError


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


_claims: list[int] = []


def claim_data_dir(data_dir: Path) -> None:
    """One portal per data folder; the claim ends with this process, however it ends."""
    handle = os.open(data_dir / "up", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(
            f"A portal runs from {data_dir} already. Stop it, or run a second one with another PORT and DATA_DIR."
        ) from None
    _claims.append(handle)


def check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise SystemExit(f"Port {port} needs more rights. Choose another: PORT=8001 make up") from None
        except OSError:
            raise SystemExit(
                f"Port {port} is taken by another program. Choose another: PORT={port + 1} make up"
            ) from None


def check_parts() -> None:
    """Both answer; where they do not, the person who set the address reads which one and why."""
    try:
        connection.ensure_connection()
    except OperationalError as error:
        raise SystemExit(f"The database of DATABASE_URL cannot be reached: {_first_line(error)}") from None
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise SystemExit(f"The broker of REDIS_URL cannot be reached: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def collect_static() -> None:
    """Collect, hash and compress the static files where they differ from last time."""
    mark = hashlib.sha256()
    for folder in settings.STATICFILES_DIRS:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                facts = path.stat()
                mark.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    note = settings.STATIC_ROOT / "collected"
    if note.exists() and note.read_text() == mark.hexdigest():
        return
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    note.write_text(mark.hexdigest())


def describe() -> str:
    """The one page that a person needs."""
    address = settings.PUBLIC_URL
    lines = ["", f"The portal is ready: {address}/", ""]
    if settings.DEMO:
        lines += [
            "Demo: everything in it is invented, and it answers on this machine only.",
            f"  Codes, mail and SMS of everyone: {address}/outbox/",
            f"  Desk for staff:                  {address}/desk/",
            "",
            f"  Sign in with any of these; the password is {DEMO_ACCOUNTS[0].password}",
        ]
        for account in DEMO_ACCOUNTS:
            lines.append(f"    {account.login:<12} {_pad(account.name, 8)} {account.role:<11} {account.story('en')}")
        lines.append("")
    lines += [f"Data: {settings.DATA_DIR}   Log: {settings.DATA_DIR / 'portal.log'}", "Stop: Ctrl-C", ""]
    return "\n".join(lines)


def _pad(text: str, width: int) -> str:
    """A Chinese character takes two columns of a terminal."""
    return text + " " * (width - sum(2 if ord(letter) > 0x2E7F else 1 for letter in text))
