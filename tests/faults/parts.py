"""The real parts that a test may stop, stall and kill: processes of the portal, servers of the test's own, a wire."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
import redis

from portal import embedded, processes
from portal.embedded.place import SUPERUSER, find_place, make_data_dir, read_passwords
from portal.embedded.postgres import database_url, postgres_pid, start_postgres, stop_postgres
from portal.embedded.valkey import valkey_pid
from tests.stack import PREFIX, Stack
from tests.waiting import answers, wait_until

START_SECONDS = 300
"""As long as a process may take to start on a machine where others work."""


class Portal:
    """Web, workers and beats as they run in production, each started, stalled and killed by itself."""

    def __init__(self, stack: Stack, **environment: str) -> None:
        self.stack = stack
        parts = stack.addresses.as_environment()
        limits = {"LEASE_SECONDS": "3", "CHECK_SECONDS": "1", "ANSWER_SECONDS": "2"}
        self.environment = {**os.environ, **parts, **limits, **environment}
        self.running: list[subprocess.Popen[bytes]] = []
        self._names: dict[int, str] = {}
        self._kinds = {kind.name: kind for kind in processes.name_kinds(port=stack.port)}

    @property
    def log(self) -> Path:
        return self.stack.data_dir / "portal.log"

    def start(self, *names: str) -> list["subprocess.Popen[bytes]"]:
        """Start a process of each kind that is named (web, worker, beat); a name may come more than once."""
        started = [processes.start(self._kinds[name], environment=self.environment, log=self.log) for name in names]
        self.running += started
        self._names |= {process.pid: name for process, name in zip(started, names, strict=True)}
        return started

    def have(self, **wanted: int) -> None:
        """So many of each kind, and no more; all of them are ready."""
        self.look()
        for name, count in wanted.items():
            mine = self.of(name)
            for process in mine[count:]:
                self.kill(process)
            self.start(*[name] * (count - len(mine)))
        for worker in self.of("worker"):
            self.wait_worker(worker)
        if self.of("web"):
            self.wait_web()

    def look(self) -> None:
        """Start again what has ended by itself, as a supervisor does: a worker that loses its broker while a process of
        its pool is gone ends with an error."""
        ended = [process for process in self.running if process.poll() is not None]
        for process in ended:
            self.running.remove(process)
        self.start(*[self._names[process.pid] for process in ended])

    def of(self, name: str) -> list["subprocess.Popen[bytes]"]:
        """The processes of a kind, the oldest first."""
        return [process for process in self.running if self._names[process.pid] == name]

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """kill -9 of the process alone. What it leaves behind is ended as its supervisor does before a new start."""
        process.kill()
        process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self.running.remove(process)

    @staticmethod
    def children(process: "subprocess.Popen[bytes]") -> list[int]:
        """The processes that it has forked and that live: of a worker its pool."""
        try:
            forked = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            return [int(pid) for pid in forked if _lives(pid)]
        except OSError:
            return []

    def wait_worker(self, process: "subprocess.Popen[bytes]") -> None:
        """Until it has its pool and has begun to listen."""
        wait_until(lambda: self.children(process), seconds=START_SECONDS, what="a worker's pool")

    def wait_web(self) -> None:
        wait_until(lambda: answers(f"{self.stack.base_url}/livez"), seconds=START_SECONDS, what="the web process")

    def stop(self) -> None:
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
        processes.stop(self.running)
        self.running.clear()


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Server:
    """A PostgreSQL of a test's own, in a folder that goes with it."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix=PREFIX)))

    def __post_init__(self) -> None:
        self.folder.chmod(0o711)
        self.place = find_place(make_data_dir(self.folder / "data"))
        self.passwords = read_passwords(self.place.data_dir)
        embedded.hold(self.place.data_dir)
        self.start()

    def start(self) -> None:
        start_postgres(self.place, self.passwords)

    def stop(self) -> None:
        stop_postgres(self.place)

    def crash(self) -> None:
        """kill -9 of the server and of every process that serves somebody."""
        pid = postgres_pid(self.place)
        assert pid is not None
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        wait_until(lambda: postgres_pid(self.place) is None, what="the end of the server")

    def restart(self) -> None:
        self.crash()
        self.start()

    def become_standby(self) -> None:
        """Start again as a server in recovery: it answers and writes nothing."""
        self.stop()
        (self.place.cluster / "standby.signal").touch()
        self.start()

    def become_primary(self) -> None:
        self.stop()
        (self.place.cluster / "standby.signal").unlink()
        self.start()

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def drop_connections(self) -> None:
        """Whoever comes back reads the settings anew."""
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'")

    def url(self, database: str) -> str:
        return database_url(self.place, SUPERUSER, self.passwords[SUPERUSER], database=database)

    def make_database(self, name: str, tables: str) -> str:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(tables.encode())
        return self.url(name)

    def destroy(self) -> None:
        embedded.destroy(self.place.data_dir)
        embedded.release(self.place.data_dir)
        shutil.rmtree(self.folder, ignore_errors=True)

    def copy_portal(self, stack: Stack) -> Stack:
        """The stack with a copy of its migrated database on this server; its broker and folder are the same."""
        tools = self.place.postgres.parent
        stack.clean()
        dump = subprocess.run(
            [tools / "pg_dump", "--dbname", stack.addresses.superuser_url], check=True, capture_output=True
        ).stdout
        subprocess.run(
            [tools / "psql", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", self.url("portal")],
            input=dump, check=True, capture_output=True,
        )  # fmt: skip
        owner, web, worker = (
            database_url(self.place, f"portal_{role}", self.passwords[f"portal_{role}"])
            for role in ("owner", "web", "worker")
        )
        redis_url = stack.addresses.redis_url
        return replace(stack, addresses=embedded.Addresses(owner, web, worker, redis_url, self.url("portal")))


@dataclass(frozen=True)
class Broker:
    """The Valkey of the stack, which starts again where it was."""

    stack: Stack

    def flush(self) -> None:
        with redis.Redis.from_url(self.stack.addresses.redis_url) as client:
            client.flushall()

    def crash(self) -> None:
        place = find_place(self.stack.data_dir)
        pid = valkey_pid(place)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: valkey_pid(place) is None, what="the end of the broker")

    def start(self) -> None:
        assert embedded.ensure(self.stack.data_dir) == self.stack.addresses, "the broker came back elsewhere"


class Wire:
    """A line to a server's socket that breaks at one of the commits of transactions that may write.

    With `arrives` the server gets that commit and does it, but its answer is lost with the line; else it never comes.
    """

    def __init__(self, socket_path: Path) -> None:
        self.commits = 0
        self._socket_path = socket_path
        self._cut: tuple[int, bool] | None = None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    def mend(self) -> None:
        self.commits, self._cut = 0, None

    def cut_at(self, commit: int, *, arrives: bool) -> None:
        """Count anew, and break at the commit of this number, counted from 1."""
        self.commits, self._cut = 0, (commit, arrives)

    @property
    def was_cut(self) -> bool:
        return self._cut is not None and self.commits >= self._cut[0]

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._socket_path))
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._carry, args=(client, server, self._judge()), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, lambda data: None), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, breaks: Callable[[bytes], bool | None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                arrives = breaks(data)
                if arrives is not None:
                    _hang_up(source)  # first, so that no answer comes through
                if arrives is not False:
                    target.sendall(data)
                if arrives is not None:
                    # Of a commit that arrived the other thread still takes the answer, and then finds nobody to give
                    # it to.
                    return None if arrives else _hang_up(target)
        _hang_up(source)
        return _hang_up(target)

    def _judge(self) -> Callable[[bytes], bool | None]:
        """For one connection: whether what is sent still arrives; None where the line holds."""
        reads_only = False

        def judge(sent: bytes) -> bool | None:
            nonlocal reads_only
            if b"BEGIN" in sent:
                reads_only = b"READ ONLY" in sent
            if b"COMMIT" not in sent or reads_only:
                return None
            with self._lock:
                self.commits += 1
                return self._cut[1] if self._cut and self._cut[0] == self.commits else None

        return judge


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
