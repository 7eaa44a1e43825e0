"""The PostgreSQL server: made, started, recovered and stopped."""

import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from portal.embedded.place import (
    LOGIN_ROLES,
    SOCKET_NAME,
    SUPERUSER,
    EmbeddedError,
    Place,
    explain,
    make_folder,
    write_private,
)
from portal.embedded.server import (
    RECOVERY_SECONDS,
    START_SECONDS,
    last_words,
    process_in,
    raise_failed,
    read_pid,
    size,
    spawn,
    stop,
)

ROLES_SQL = Path(__file__).resolve().parents[2] / "docker" / "roles.sql"
DATABASE = "portal"


def postgres_pid(place: Place) -> int | None:
    pid = read_pid(place.cluster / "postmaster.pid")
    return pid if pid and process_in(pid, name="postgres", folder=place.cluster) else None


def start_postgres(place: Place, passwords: dict[str, str]) -> None:
    if not (place.cluster / "PG_VERSION").exists():
        _init_cluster(place, passwords[SUPERUSER])
    make_folder(place.sockets, place.account, 0o700)
    log = place.runtime / "postgres.log"
    since = size(log)
    process = None
    if postgres_pid(place) is None:
        # A stale id that another process now bears would keep PostgreSQL from starting. Its own check of the shared
        # memory still refuses to start beside the children of a killed server; they end within moments.
        for stale in (place.cluster / "postmaster.pid", place.sockets / f"{SOCKET_NAME}.lock"):
            stale.unlink(missing_ok=True)
        process = spawn(place, [str(place.postgres), "-D", str(place.cluster)], log=log)
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
    since = size(log)
    try:
        write_private(secret, password, place.account)
        process = spawn(
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
            raise_failed("The embedded database", log, since=since)
        _set_socket_folder(draft, place)
        draft.rename(place.cluster)
    except OSError as error:
        raise EmbeddedError(explain(error, place.runtime)) from None
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
    url = database_url(place, SUPERUSER, password, database="postgres")
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            recovering = "starting up" in str(error) or "recovery" in str(error) or "shutting down" in str(error)
        waited = time.monotonic() - begun
        if process is not None and process.poll() is not None:
            lingering = "shared memory block" in last_words(log, since=since)
            if not lingering or waited > START_SECONDS:
                raise_failed("The embedded database", log, since=since)
            time.sleep(0.2)
            since = size(log)
            process = spawn(place, [str(place.postgres), "-D", str(place.cluster)], log=log)
        elif waited > (RECOVERY_SECONDS if recovering else START_SECONDS):
            raise_failed("The embedded database", log, since=since)
        elif process is None and postgres_pid(place) is None:
            return _start_again(place, password, log=log)
        time.sleep(0.02)


def _start_again(place: Place, password: str, *, log: Path) -> None:
    """The server we meant to take over was just ending."""
    since = size(log)
    process = spawn(place, [str(place.postgres), "-D", str(place.cluster)], log=log)
    _wait_for_postgres(place, password, process, log=log, since=since)


def _make_roles(place: Place, passwords: dict[str, str]) -> None:
    with psycopg.connect(
        database_url(place, SUPERUSER, passwords[SUPERUSER], database="postgres"), autocommit=True
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


def stop_postgres(place: Place, *, mode: signal.Signals = signal.SIGINT) -> None:
    """A fast shutdown: open transactions are rolled back, everything committed is on disk."""
    pid = postgres_pid(place)
    if pid:
        stop(pid, how=mode, seconds=60, name="postgres", folder=place.cluster)


def database_url(place: Place, role: str, password: str, *, database: str = DATABASE) -> str:
    return f"postgresql://{role}:{quote(password, safe='')}@/{database}?host={quote(str(place.sockets), safe='')}"
