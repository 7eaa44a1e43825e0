"""`manage.py up`, as a newcomer meets it: started, stopped, killed, and in its way."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal import embedded
from tests.waiting import answers, wait_until

BASE_DIR = Path(__file__).resolve().parent.parent


class Portal:
    """One run of `up` in a folder."""

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        self.data_dir, self.port = data_dir, port or free_port()
        self.output = data_dir.parent / f"said-{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **changes: str) -> "Portal":
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=BASE_DIR,
                env=bare_environment(DATA_DIR=str(self.data_dir), PORT=str(self.port), **changes),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_ready(self, *, seconds: float = 90) -> "Portal":
        """Wait for the page that is printed once it is ready, or for an early end."""
        assert self.process is not None
        running = self.process
        try:
            wait_until(
                lambda: "Stop: Ctrl-C" in self.said or running.poll() is not None,
                seconds=seconds,
                what=lambda: self.said,
            )
            assert answers(f"http://127.0.0.1:{self.port}/readyz"), self.said
        except BaseException:
            self.signal(signal.SIGTERM)
            raise
        return self

    def signal(self, number: signal.Signals) -> int:
        """Give the signal to `up` alone and wait for its end; how long it took."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        return round(time.monotonic() - begun)

    def list_processes(self) -> list[str]:
        """Every process that was started with this data folder or works in it."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                told = f"DATA_DIR={self.data_dir}".encode() in (folder / "environ").read_bytes().split(b"\0")
                works = (folder / "cwd").readlink().is_relative_to(self.data_dir)
            except OSError:
                continue
            if state != "Z" and (told or works):
                found.append(command)
        return found


def bare_environment(**changes: str) -> dict[str, str]:
    """What a bare machine has: no address, no demo switch, nothing of this test run."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **changes}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_up(data_dir: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=BASE_DIR,
        env=bare_environment(**{"DATA_DIR": str(data_dir), "PORT": str(free_port()), **changes}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="portal up ") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "data"
        embedded.destroy(Path(name) / "data")


@pytest.mark.slow
def test_it_starts_stops_and_starts_again_on_the_same_data_after_a_hard_kill(folder: Path) -> None:
    portal = Portal(folder).start().wait_ready()
    assert f"http://127.0.0.1:{portal.port}/outbox/" in portal.said
    assert "陈若兰" in portal.said
    assert "demo-portal" in portal.said
    assert portal.signal(signal.SIGINT) <= 10
    assert portal.list_processes() == []

    portal = Portal(folder, port=portal.port).start().wait_ready(seconds=20)
    portal.signal(signal.SIGKILL)
    wait_until(lambda: not any("gunicorn" in line or "celery" in line for line in portal.list_processes()))

    portal = Portal(folder, port=portal.port).start().wait_ready(seconds=20)
    assert portal.signal(signal.SIGTERM) <= 10
    assert portal.list_processes() == []


def test_a_process_that_dies_is_started_again_and_said(folder: Path) -> None:
    portal = Portal(folder).start().wait_ready()
    try:
        web = next(folder for folder in Path("/proc").glob("[0-9]*") if is_web(folder, portal.port))
        os.kill(int(web.name), signal.SIGKILL)
        wait_until(lambda: "web ended (signal 9); starting it again" in portal.said)
        wait_until(lambda: answers(f"http://127.0.0.1:{portal.port}/readyz"))
    finally:
        portal.signal(signal.SIGINT)


def is_web(folder: Path, port: int) -> bool:
    try:
        return f"127.0.0.1:{port}".encode() in (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


@pytest.mark.slow
def test_a_second_one_on_the_same_folder_says_so_and_two_folders_run_side_by_side(folder: Path) -> None:
    first = Portal(folder).start().wait_ready()
    second = Portal(folder.parent / "second")
    try:
        result = run_up(folder)
        assert result.returncode == 1
        assert "A portal runs from" in result.stderr
        second.start().wait_ready()
        assert answers(f"http://127.0.0.1:{first.port}/readyz")
    finally:
        first.signal(signal.SIGINT)
        if second.process:
            second.signal(signal.SIGINT)
            embedded.destroy(second.data_dir)


def test_a_taken_port_is_said_in_one_line(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = run_up(folder, PORT=str(port))
    assert result.returncode == 1
    assert result.stderr == f"Port {port} is taken by another program. Choose another: PORT={port + 1} make up\n"


def test_a_folder_that_is_none_is_said_in_one_line(folder: Path) -> None:
    place = folder.parent / "file"
    place.write_text("")
    result = run_up(place)
    assert result.returncode == 1
    assert result.stderr == f"{place} is not a folder. Set DATA_DIR to a folder.\n"


def test_a_database_that_cannot_be_reached_is_said_in_one_line(folder: Path) -> None:
    nowhere = f"postgresql://owner:secret@127.0.0.1:{free_port()}/portal"
    result = run_up(folder, DATABASE_URL=nowhere, REDIS_URL="redis://127.0.0.1:1/0", DEMO="1")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "The database of DATABASE_URL cannot be reached" in result.stderr
    assert "secret" not in result.stderr


def test_production_without_addresses_is_said_in_one_line(folder: Path) -> None:
    result = run_up(folder, PRODUCTION="1")
    assert result.returncode == 1
    assert result.stderr.startswith("PRODUCTION is 1 but DATABASE_URL and REDIS_URL are not set")
