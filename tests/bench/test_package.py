"""A package of a million rows against `COPY | gzip | openssl` of the same files, in the same run, and its memory.

The floor writes what the package holds: the table as CSV and as JSON lines. Beside it stands the CSV alone.
"""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from portal.core import keyring
from rights import exports
from rights.connectors.base import Seed
from rights.datamap import load_live_map
from rights.exports import Order, write_package
from tests.rights.shop import NOW, Shop

pytestmark = [pytest.mark.slow, pytest.mark.role("worker")]
MILLION = 1_000_000
ROUNDS = 2
MOST = 32 * 1024 * 1024
AS_CSV = "COPY (SELECT * FROM shop.visit WHERE customer_id = 1 ORDER BY visit_id) TO STDOUT (FORMAT csv, HEADER)"
AS_JSON = "COPY (SELECT row_to_json(v) FROM shop.visit v WHERE customer_id = 1 ORDER BY visit_id) TO STDOUT"


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """How many bytes above what it was at the start this process held at most, sampled every few milliseconds."""
    page, found, ended = os.sysconf("SC_PAGESIZE"), [0], threading.Event()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    begun = resident()

    def watch() -> None:
        while not ended.wait(0.005):
            found[0] = max(found[0], resident() - begun)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()


def write(shop: Shop, path: Path) -> exports.Written:
    order = Order(
        seed=Seed(identities={"account_no": shop.person.account_no}, today=NOW.date()),
        data_map=load_live_map(),
        includes=lambda item: item.key == "shop.visit",
        request_id=uuid4(),
        reference="DSR-261123-BENCH",
        person="陈**",
        made_at=NOW,
    )
    with path.open("w+b") as file:
        return write_package(file, order, data_key=keyring.new_data_key())


def by_hand(shop: Shop, folder: Path, *statements: str, level: int) -> None:
    for number, statement in enumerate(statements):
        command = (
            f'psql -qAtX "$URL" -c "{statement}" | gzip -{level} |'
            f" openssl enc -aes-256-ctr -pass pass:x -pbkdf2 -out {folder}/{number}.enc"
        )
        subprocess.run(["bash", "-o", "pipefail", "-c", command], env={**os.environ, "URL": shop.url}, check=True)


@pytest.mark.skipif(not all(map(shutil.which, ("psql", "gzip", "openssl"))), reason="PSQL, GZIP OR OPENSSL IS MISSING")
def test_a_package_of_a_million_rows_against_a_pipe(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.add_customer(1)
    shop.sql(
        "INSERT INTO shop.visit SELECT n, 1, 'page ' || n || ' ' || md5(n::text) FROM generate_series(1, %s) n",
        [MILLION],
    )
    shop.sql("ANALYZE shop.visit")
    write(shop, tmp_path / "warm")
    ours: list[float] = []
    floor: list[float] = []
    bare: list[float] = []
    usual: list[float] = []
    most = 0
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        with peak_memory() as above:
            written = write(shop, tmp_path / "package")
        ours.append(time.perf_counter() - begun)
        most = max(most, above[0])
        for times, statements, level in (
            (floor, (AS_CSV, AS_JSON), exports.LEVEL),
            (bare, (AS_CSV,), exports.LEVEL),
            (usual, (AS_CSV,), 6),
        ):
            begun = time.perf_counter()
            by_hand(shop, tmp_path, *statements, level=level)
            times.append(time.perf_counter() - begun)
    assert written.rows == MILLION
    assert most < MOST, f"{most / 1e6:.0f} MB above idle"
    with capsys.disabled():
        print(
            f"\npackage of a million rows: {min(ours):.1f} s, {written.size / 1e6:.0f} MB, {most / 1e6:.1f} MB above"
            f" idle; {min(ours) / min(floor):.2f} x COPY | gzip -{exports.LEVEL} | AES of the same two files"
            f" ({min(floor):.1f} s), {min(ours) / min(bare):.2f} x of its CSV alone ({min(bare):.1f} s),"
            f" {min(ours) / min(usual):.2f} x of its CSV alone by gzip -6 ({min(usual):.1f} s)"
        )
