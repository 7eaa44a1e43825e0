"""A MariaDB of the test process's own, where the machine has one: in a folder of its own, without a network."""

import atexit
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
import pytest
from pymysql.constants import CLIENT

START_SECONDS = 60
NOBODY = 65534
"""The server refuses to run as root."""


@dataclass(frozen=True)
class MariaServer:
    socket: str

    def url(self, user: str, password: str) -> str:
        return f"mariadb://{user}:{password}@localhost/?unix_socket={quote(self.socket, safe='')}"

    def run(self, query: str, parameters: Sequence[object] = (), *, database: str | None = None) -> list[Any]:
        """Run as root; what the last statement returns."""
        with self.connect(database=database) as connection, connection.cursor() as cursor:
            cursor.execute(query, tuple(parameters) or None)
            rows = list(cursor.fetchall())
            while cursor.nextset():
                rows = list(cursor.fetchall())
            return rows

    @contextlib.contextmanager
    def connect(self, *, database: str | None = None) -> "Iterator[pymysql.Connection[Any]]":
        connection = pymysql.connect(
            unix_socket=self.socket,
            user="root",
            database=database,
            charset="utf8mb4",
            autocommit=True,
            client_flag=CLIENT.MULTI_STATEMENTS,
            init_command="SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,STRICT_ALL_TABLES', time_zone = '+08:00'",
        )
        try:
            yield connection
        finally:
            connection.close()


@cache
def start_mariadb() -> MariaServer:
    """Started once a process. Skips the test, and says what is missing, where there is no server."""
    server, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if not server or not install:
        pytest.skip("NOT TESTED ON MARIADB: no mariadbd in PATH (Debian: apt-get install mariadb-server)")
    folder = Path(tempfile.mkdtemp(prefix="portal-mariadb-"))
    # Of its own too: what is named for everybody else may be closed to whom it runs as.
    who: dict[str, Any] = {"env": {**os.environ, "TMPDIR": str(folder)}}
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        who |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    base = [f"--datadir={folder}/data", "--no-defaults"][::-1]
    subprocess.run(
        [install, *base, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who,
    )  # fmt: skip
    socket = f"{folder}/socket"
    arguments = [f"--socket={socket}", f"--pid-file={folder}/pid", "--skip-networking", "--innodb-buffer-pool-size=64M"]
    log = (folder / "log").open("wb")
    process = subprocess.Popen([server, *base, *arguments], cwd=folder, stdout=log, stderr=log, **who)
    atexit.register(_stop, process, folder)
    found = MariaServer(socket)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            found.run("SELECT 1")
        except pymysql.err.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text(errors="replace")) from None
            time.sleep(0.05)
        else:
            return found


def _stop(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


_WORDS = (
    (r"\btext\b", "varchar(190)"),
    (r"\btimestamptz\b", "timestamp(3) NULL"),
    (r"\btimestamp\b(?!\(| NULL)", "datetime(3)"),
    (r"\bbytea\b", "varbinary(20)"),
    (r"\bserial\b", "int AUTO_INCREMENT"),
    (r"date ('[0-9-]+') \+ (\w+)", r"\1 + INTERVAL \2 DAY"),
    (r"generate_series\(1, (\d+)\) (\w+)", r"(SELECT seq AS \2 FROM seq_1_to_\1) \2"),
    (r'REFERENCES ("[^"]+"|\w+)(?! ?\(|[\w."])', r"REFERENCES \1 (id)"),
)


def translate(query: str) -> str:
    """Statements that tests write for PostgreSQL, as MariaDB says the same."""
    for ours, theirs in _WORDS:
        query = re.sub(ours, theirs, query)
    return query
