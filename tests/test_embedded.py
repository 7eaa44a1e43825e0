"""The embedded parts, on folders as people have them and after ends as they happen."""

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from portal import embedded
from portal.embedded import place
from tests.waiting import wait_until

BASE_DIR = Path(__file__).resolve().parent.parent

HOLD = """
import pathlib, sys
from portal import embedded
from portal.embedded import place
embedded.ensure(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of its own whose name has a space, short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="portal parts ") as name:
        Path(name).chmod(0o755)
        data_dir = Path(name) / "data"
        yield data_dir
        if data_dir.exists():
            embedded.release(data_dir)
            embedded.destroy(data_dir)


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def pid_of(folder: Path) -> int:
    return int((folder / "embedded" / "postgres" / "postmaster.pid").read_text().split("\n")[0])


def test_each_role_signs_in_as_itself_in_a_folder_with_a_space(folder: Path) -> None:
    found = embedded.ensure(folder)
    assert [ask(url, "SELECT current_user") for url in (found.database_url, found.database_web_url)] == [
        "portal_owner",
        "portal_web",
    ]
    assert ask(found.database_worker_url, "SELECT current_user") == "portal_worker"
    assert redis.Redis.from_url(found.redis_url).ping()


def test_nobody_signs_in_without_the_password(folder: Path) -> None:
    found = embedded.ensure(folder)
    for url in (found.superuser_url, found.database_web_url):
        with pytest.raises(psycopg.OperationalError, match=r"no password|password authentication failed"):
            psycopg.connect(psycopg.conninfo.make_conninfo(url, password=""))
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(psycopg.conninfo.make_conninfo(url, password="guessed"))
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(found.redis_url.replace(":", ":x", 2).replace("redis:x", "redis:")).ping()


def test_roles_are_no_more_than_they_should_be(folder: Path) -> None:
    found = embedded.ensure(folder)
    rows = """
        SELECT string_agg(concat_ws(' ', rolname, rolcanlogin, rolinherit, rolcreatedb, rolcreaterole), ', '
                          ORDER BY rolname)
        FROM pg_roles WHERE rolname ~ '^portal_' AND NOT rolsuper AND NOT rolbypassrls AND NOT rolreplication
    """
    assert ask(found.database_url, rows) == (
        "portal_owner t t t t, portal_staff f t f f, portal_web t f f f, portal_worker t t f f"
    )
    with psycopg.connect(found.database_web_url) as web:
        web.execute("SET ROLE portal_staff")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            web.execute("SET ROLE portal_owner")


def test_what_is_committed_is_on_disk_and_secrets_are_private(folder: Path) -> None:
    found = embedded.ensure(folder)
    assert ask(found.database_url, "SHOW fsync") == "on"
    assert ask(found.database_url, "SHOW synchronous_commit") == "on"
    assert redis.Redis.from_url(found.redis_url).config_get("appendonly") == {"appendonly": "yes"}
    assert stat.S_IMODE((folder / "passwords.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "embedded").stat().st_mode) == 0o700
    assert not (folder / "embedded" / "initial-password").exists()


def test_killed_hard_it_starts_again_with_what_was_committed(folder: Path) -> None:
    found = embedded.ensure(folder)
    with psycopg.connect(found.database_url, autocommit=True) as owner:
        owner.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    broker = redis.Redis.from_url(found.redis_url)
    broker.set("kept", "yes")
    broker.waitaof(1, 0, 5000)
    os.kill(pid_of(folder), signal.SIGKILL)
    os.kill(int((folder / "embedded" / "valkey" / "valkey.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not embedded.is_running(folder))

    again = embedded.ensure(folder)
    assert again == found
    assert ask(again.database_url, "SELECT count(*) FROM kept") == 1000
    assert redis.Redis.from_url(again.redis_url).get("kept") == b"yes"


def test_a_stale_process_id_that_another_process_bears_is_not_believed(folder: Path) -> None:
    found = embedded.ensure(folder)
    embedded.release(folder)
    assert not embedded.is_running(folder)
    for stale in (folder / "embedded" / "postgres" / "postmaster.pid", folder / "embedded" / "valkey" / "valkey.pid"):
        stale.write_text(f"{os.getpid()}\n")
    assert not embedded.is_running(folder)
    assert embedded.ensure(folder) == found


def test_the_last_to_leave_stops_the_servers(folder: Path) -> None:
    embedded.ensure(folder)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert embedded.release(folder) is False
    assert embedded.is_running(folder)
    other.communicate("")
    assert not embedded.is_running(folder)


def test_two_starts_at_once_share_one_server(folder: Path) -> None:
    script = "import sys, pathlib; from portal import embedded; print(embedded.ensure(pathlib.Path(sys.argv[1])))"
    starts = [
        subprocess.Popen([sys.executable, "-c", script, str(folder)], cwd=BASE_DIR, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first, second = (start.communicate()[0] for start in starts)
    assert first == second
    assert "portal_owner" in first


def test_a_folder_too_deep_for_a_socket_is_no_obstacle(folder: Path) -> None:
    deep = folder / ("x" * 90)
    found = embedded.ensure(deep)
    try:
        assert ask(found.database_url, "SELECT 1") == 1
    finally:
        embedded.release(deep)
        embedded.destroy(deep)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's folders are closed to the user the servers run as")
def test_a_folder_that_only_root_may_enter_keeps_its_permissions(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    data_dir = folder / "data"
    found = embedded.ensure(data_dir)
    try:
        assert ask(found.database_url, "SELECT 1") == 1
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        embedded.release(data_dir)
        embedded.destroy(data_dir)
    assert not (data_dir / "runtime-folder").exists()


def test_a_start_that_was_cut_short_while_making_the_database_begins_again(folder: Path) -> None:
    (folder / "embedded").mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(folder / "embedded", 65534, 65534)
    (folder / "embedded" / "postgres-new").mkdir()
    (folder / "embedded" / "postgres-new" / "PG_VERSION").write_text("18")
    assert ask(embedded.ensure(folder).database_url, "SELECT 1") == 1


def test_a_file_in_place_of_the_folder_is_said_in_one_line(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(embedded.EmbeddedError, match=r"is not a folder\. Set DATA_DIR") as caught:
        embedded.ensure(folder)
    assert "\n" not in str(caught.value)
    folder.unlink()


def test_a_full_disk_is_said_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(place, "write_private", refuse)
    with pytest.raises(embedded.EmbeddedError, match=r"^The disk is full: .*Free some space"):
        embedded.ensure(folder)
