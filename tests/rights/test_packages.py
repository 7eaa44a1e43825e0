"""The access package: what is in it, that others can read and check it, and that nothing of it is left behind."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.db import transaction
from django.db.models import F
from psycopg import sql

from portal.core import keyring, rows
from portal.core.sealedfile import read_sealed
from rights.actions import packages
from rights.actions.packages import package_path
from rights.connectors.base import Unavailable
from rights.connectors.sql import SqlConnector, SqlSnapshot
from rights.kernel.decisions import REASONS
from rights.kernel.states import Kind, State
from rights.models import Notice, Package, Request, Step
from tests.rights.shop import NOW, Shop
from tests.rights.test_handovers import ARCHIVE, load
from tests.unpacking import open_package, read_manifest, read_tables

pytestmark = pytest.mark.role("worker")
FRICTIONLESS = Path(sys.executable).with_name("frictionless")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def files() -> list[str]:
    return sorted(path.name for path in (package_path(Request().pk).parent).iterdir())


@pytest.fixture(autouse=True)
def no_files() -> None:
    folder = package_path(Request().pk).parent
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture
def asked(shop: Shop) -> Request:
    """An access request with hard values: quotes, line breaks, an empty text beside none, a day that is none."""
    shop.add_customer(1)
    shop.sql("UPDATE shop.customer SET name = '陈\"若兰\",\n第二行', phone = '', closed_on = 'infinity'")
    shop.add_orders(date(2021, 12, 1), None, made_at=datetime(2020, 5, 6, 1, 2, 3, 456000, tzinfo=UTC))
    shop.add_loan(4260)
    shop.sql("INSERT INTO shop.consent VALUES (1, 'recommendation', true, '2026-01-02 03:04:05+08')")
    request = shop.file(Kind.ACCESS)
    assert request.state == State.CLOSED
    return request


# --- what is in it


def test_the_frictionless_validator_finds_it_valid(asked: Request, tmp_path: Path) -> None:
    """The command line of the standard's own authors: structure, types of every cell, row counts, sizes, hashes."""
    path = tmp_path / "package.zip"
    path.write_bytes(b"".join(_read(Package.objects.get(request=asked))))
    report = validate(path)
    assert report["valid"], report
    assert report["stats"]["tasks"] == len(read_manifest(open_package(asked))["resources"])


def test_the_frictionless_validator_finds_a_changed_value(asked: Request, tmp_path: Path) -> None:
    changed = tmp_path / "changed.zip"
    with open_package(asked) as whole, zipfile.ZipFile(changed, "w") as archive:
        for name in whole.namelist():
            data = whole.read(name)
            archive.writestr(name, data.replace(b"4260", b"4261") if name == "data/shop.loan.csv" else data)
    assert not validate(changed)["valid"]


def validate(path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [FRICTIONLESS, "validate", "--json", str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _read(package: Package, **asked: int) -> list[bytes]:
    return list(read_sealed(package_path(package.pk), bytes(package.data_key or b""), **asked))


def test_csv_and_json_hold_what_the_database_holds(asked: Request, shop: Shop) -> None:
    archive = open_package(asked)
    tables = read_tables(archive)
    assert tables["shop.customer"] == [
        {
            "customer_id": "1", "account_no": "100001", "name": '陈"若兰",\n第二行', "phone": "",
            "opened_on": "2020-01-01", "closed_on": "infinity",
        }
    ]  # fmt: skip
    assert [row["made_at"] for row in tables["shop.orders"]] == ["2020-05-06 09:02:03.456+08"] * 2, "Beijing time"
    assert [row["paid_on"] for row in tables["shop.orders"]] == ["2021-12-01", ""]
    assert tables["shop.consent"][0]["granted"] == "true"
    lines = {name: _lines(archive, name) for name in tables}
    assert lines["shop.customer"][0]["name"] == '陈"若兰",\n第二行'
    assert lines["shop.orders"][1]["paid_on"] is None
    assert lines["shop.orders"][0]["made_at"] == "2020-05-06T09:02:03.456+08:00"
    assert lines["shop.loan"] == [{"loan_id": 1, "customer_id": 1, "balance": 4260.00, "settled_on": None}]
    assert lines["shop.consent"][0]["granted"] is True
    assert {name: len(rows) for name, rows in lines.items()} == {name: len(rows) for name, rows in tables.items()}
    # An empty text and none are told apart where the format can: quoted, and bare.
    assert b',"",2020-01-01,infinity' in archive.read("data/shop.customer.csv")


def _lines(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(f"data/{name}.jsonl").decode().splitlines()]


def test_every_file_stands_in_the_signed_manifest_with_its_hash(asked: Request) -> None:
    archive = open_package(asked)
    text, signature = archive.read("datapackage.json"), archive.read("datapackage.json.sig")
    key = load_pem_public_key(archive.read("signing-key.pem"))
    key.verify(signature, text)  # type: ignore[union-attr, call-arg]
    assert keyring.key_id(key) == keyring.signing_key_id()  # type: ignore[arg-type]
    with pytest.raises(InvalidSignature):
        key.verify(signature, text.replace(b"shop", b"shap", 1))  # type: ignore[union-attr, call-arg]
    manifest = json.loads(text)
    assert manifest["signature"]["key"] == keyring.signing_key_id()
    named = {resource["path"]: resource for resource in manifest["resources"]}
    unnamed = {"datapackage.json", "datapackage.json.sig", "signing-key.pem"}
    assert set(archive.namelist()) == {*named, *unnamed}
    for path, resource in named.items():
        assert resource["hash"] == f"sha256:{hashlib.sha256(archive.read(path)).hexdigest()}"
        assert resource["bytes"] == archive.getinfo(path).file_size


@pytest.mark.skipif(not shutil.which("openssl"), reason="OPENSSL IS NOT HERE, so the signature is checked by us alone")
def test_openssl_alone_checks_the_signature(asked: Request, tmp_path: Path) -> None:
    open_package(asked).extractall(tmp_path)
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "signing-key.pem"]
    command += ["-sigfile", "datapackage.json.sig", "-in"]
    assert " ".join(command) in (tmp_path / "index.html").read_text(), "the page says how"
    good = subprocess.run([*command, "datapackage.json"], cwd=tmp_path, capture_output=True, check=False)
    assert good.returncode == 0, good.stderr
    bad = subprocess.run([*command, "index.html"], cwd=tmp_path, capture_output=True, check=False)
    assert bad.returncode != 0


# --- a system that is down


def down(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: SqlConnector, *asked: Any, **named: Any) -> Any:
        raise Unavailable("away")

    monkeypatch.setattr(SqlConnector, "snapshot", refuse)


LAST_BUT_ONE = datetime(2026, 12, 7, tzinfo=NOW.tzinfo)
"""The request is due on 2026-12-08; the day before is the first on which nobody is waited for any more."""


def wait_for(shop: Shop, request: Request, *, until: datetime) -> None:
    """A look each day, in the last hours whenever the step is due; the last one within the hour after `until`."""
    step, now = request.steps.get(verb="export"), NOW
    while now < until:
        shop.tick(now)
        assert request.packages.count() == 0, now
        step.refresh_from_db()
        assert now < step.not_before <= now + packages.AWAY, "it is looked for again soon"
        now = step.not_before if until - now < 3 * packages.AWAY else min(now + DAY, until - 2 * packages.AWAY)
    shop.tick(now)


def test_what_was_down_is_named_as_a_gap_and_added_when_it_is_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.add_customer(1)
    shop.add_visits(3)
    with monkeypatch.context() as patch:
        down(patch)
        request = shop.file(Kind.ACCESS)
        wait_for(shop, request, until=LAST_BUT_ONE)
        assert shop.look(request).state == State.CLOSED
        first = request.packages.get()
        assert (first.part, first.gaps, first.rows) == (1, ["shop"], 0)
        (told,) = read_manifest(open_package(request))["omitted"]
        assert (told["what"], told["reason"]) == ("shop", "OMIT.UNANSWERED")
        assert request.notices.get(kind="package_partly").params["zh"] == "商店系统"
        # Still down an hour later, and days later: nothing fails, it is looked for again.
        for _ in range(10):
            step = Step.objects.get(request=request, verb="supplement")
            assert (step.state, step.attempts < packages.QUICK_TRIES) == (Step.State.READY, True)
            shop.tick(step.not_before)
    later = Step.objects.get(request=request, verb="supplement").not_before
    assert later > LAST_BUT_ONE + 3 * HOUR
    shop.tick(later)
    second = request.packages.get(part=2)
    assert (second.gaps, second.rows, second.expires_at) == ([], 4, later + timedelta(days=7))
    assert len(read_tables(open_package(request, part=2))["shop.visit"]) == 3
    assert read_manifest(open_package(request, part=2))["omitted"] == []
    assert request.notices.filter(kind="package_added").count() == 1
    assert package_path(first.pk).exists(), "what was made first stays until its day"
    shop.tick(later + timedelta(days=2))
    assert request.packages.count() == 2
    assert shop.look(request).state == State.CLOSED


def test_a_system_that_is_back_in_time_leaves_no_gap(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked a few times within seconds, then once an hour; what waits says for whom, and nothing has failed."""
    shop.add_customer(1)
    with monkeypatch.context() as patch:
        down(patch)
        request = shop.file(Kind.ACCESS)
        waits = []
        for _ in range(2 * packages.QUICK_TRIES):
            step = request.steps.get(verb="export")
            assert (step.state, step.error) == (Step.State.READY, "away")
            shop.tick(step.not_before)
            waits.append(request.steps.get(verb="export").not_before - step.not_before)
    seconds = [wait for wait in waits if wait < timedelta(minutes=1)]
    assert set(waits) - set(seconds) == {HOUR}
    assert len(seconds) == 4
    later = LAST_BUT_ONE - timedelta(days=3)
    shop.tick(later)
    package = request.packages.get()
    assert (package.part, package.gaps, package.rows) == (1, [], 1)
    assert request.notices.get(kind__startswith="package").kind == "package"


def test_while_a_system_is_waited_for_nothing_else_is_written(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first gap ends the try: what would be thrown away is not read from the systems that answer."""
    shop.add_customer(1)
    written: list[str] = []
    real = SqlSnapshot.copy_rows

    def note(self: SqlSnapshot, collection: str, **asked: Any) -> int:
        written.append(collection)
        if len(set(written)) == 2:
            raise Unavailable("away in the middle")
        return real(self, collection, **asked)

    monkeypatch.setattr(SqlSnapshot, "copy_rows", note)
    request = shop.file(Kind.ACCESS)
    assert request.packages.count() == 0
    assert len(set(written)) == 2, "it stopped there, and was not begun anew without the system"


def test_a_system_that_goes_away_in_the_middle_of_a_table_leaves_nothing_half_in_the_package(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.add_customer(1)
    shop.add_visits(10)
    real = SqlSnapshot.copy_rows

    def break_off(self: SqlSnapshot, collection: str, **asked: Any) -> int:
        count = real(self, collection, **asked)
        if collection == "shop.visit":
            raise Unavailable("away in the middle")
        return count

    monkeypatch.setattr(SqlSnapshot, "copy_rows", break_off)
    request = shop.file(Kind.ACCESS)
    assert request.packages.count() == 0
    request = shop.advance(request, now=LAST_BUT_ONE)
    archive = open_package(request)
    assert [name for name in archive.namelist() if name.startswith("data/")] == []
    assert request.packages.get().gaps == ["shop"]


def test_near_the_due_date_a_package_waits_for_nobody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    down(monkeypatch)
    request = shop.file(Kind.ACCESS)
    assert request.packages.count() == 0
    request = shop.advance(request, now=LAST_BUT_ONE - timedelta(minutes=1))
    assert (request.state, request.packages.count()) == (State.ACTING, 0)
    request = shop.advance(request, now=LAST_BUT_ONE + HOUR)
    assert (request.state, request.packages.get().gaps) == (State.CLOSED, ["shop"])


def test_a_part_that_is_still_missing_past_the_due_date_raises_an_alarm_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    down(monkeypatch)
    request = shop.advance(shop.file(Kind.ACCESS), now=LAST_BUT_ONE)
    assert request.packages.get().gaps == ["shop"]
    alarms = Notice.objects.filter(kind="supplement_late")
    shop.tick(datetime(2026, 12, 8, 23, 59, tzinfo=NOW.tzinfo))
    assert not alarms.exists(), "the last day is not over"
    for day in (9, 10):
        shop.tick(datetime(2026, 12, day, tzinfo=NOW.tzinfo))
    told = alarms.get()
    assert told.user == shop.second
    assert told.params.items() >= {"due": "2026-12-08", "zh": "商店系统", "en": "Shop system"}.items()
    assert shop.events(request).count("supplement_late") == 1
    monkeypatch.undo()
    shop.tick(datetime(2026, 12, 11, tzinfo=NOW.tzinfo))
    assert shop.tick(datetime(2026, 12, 12, tzinfo=NOW.tzinfo))["lacking"] == 0


def test_a_system_that_is_only_asked_is_named_as_left_out(shop: Shop) -> None:
    """No connection reaches it, so the package cannot have what it holds, and says so in file and page."""
    load(shop, systems={"archive": ARCHIVE})
    shop.add_customer(1)
    request = shop.file(Kind.ACCESS)
    archive = open_package(request)
    (told,) = read_manifest(archive)["omitted"]
    assert (told["what"], told["reason"]) == ("archive", "OMIT.NOT_CONNECTED")
    reason = REASONS["OMIT.NOT_CONNECTED"]
    for page, name, text in (("index.html", "纸质档案", reason.zh), ("index.en.html", "Paper archive", reason.en)):
        said = archive.read(page).decode()
        assert name in said
        assert text in said


# --- the end of it


def test_a_package_is_revoked_by_the_person_at_once(asked: Request, shop: Shop) -> None:
    package = Package.objects.select_related("request__subject").get(request=asked)
    path = package_path(package.pk)
    packages.revoke(package, actor=shop.person, reason="", now=NOW + HOUR)
    package.refresh_from_db()
    assert (package.data_key, package.revoked_at, path.exists()) == (None, NOW + HOUR, False)
    assert "package_revoked" in shop.events(asked)
    assert not asked.notices.filter(kind="package_revoked").exists()
    with pytest.raises(packages.Gone):
        packages.revoke(package, actor=shop.person, reason="", now=NOW + HOUR)


def test_staff_revoke_for_a_reason_that_the_person_is_told(asked: Request, shop: Shop) -> None:
    package = Package.objects.select_related("request__subject").get(request=asked)
    with pytest.raises(ValueError, match="reason"):
        packages.revoke(package, actor=shop.reviewer, reason=" ", now=NOW)
    packages.revoke(package, actor=shop.reviewer, reason="含有他人的信息", now=NOW)
    package.refresh_from_db()
    assert (package.data_key, package.reason, package.revoked_by) == (None, "含有他人的信息", shop.reviewer)
    assert asked.notices.filter(kind="package_revoked").count() == 1


def test_an_expired_package_is_a_file_less_and_a_key_less(asked: Request, shop: Shop) -> None:
    package = Package.objects.get(request=asked)
    key = bytes(package.data_key or b"")
    assert _tables_with(key, shop) == ["rights_package"]
    shop.tick(NOW + timedelta(days=7))
    assert files() == [package_path(package.pk).name], "until the end of its last second"
    shop.tick(NOW + timedelta(days=7, seconds=1))
    package.refresh_from_db()
    assert package.data_key is None
    assert files() == []
    assert _tables_with(key, shop) == [], "and a copy of the file on a tape is noise"


# --- copies for others


@pytest.fixture
def portable(shop: Shop) -> Package:
    shop.add_customer(1)
    shop.add_visits(3)
    request = shop.file(Kind.ACCESS, portable=True)
    return Package.objects.select_related("request__subject").get(request=request)


def _tables_with(key: bytes, shop: Shop) -> list[str]:
    """The tables of the portal with a row that has these bytes."""
    with shop.stack.connect("superuser") as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return [
            name
            for (name,) in tables
            if connection.execute(
                sql.SQL("SELECT 1 FROM {} t WHERE t::text LIKE %s").format(sql.Identifier(name)), [f"%{key.hex()}%"]
            ).fetchone()
        ]


def make_copy(source: Package) -> packages.Handover:
    return packages.hand_over(source, receiver="乙公司", address="dpo@b.example", now=NOW)


def test_a_copy_has_the_same_content_under_a_key_of_its_own(portable: Package) -> None:
    made = make_copy(portable)
    assert b"".join(_read(made.package)) == b"".join(_read(portable))
    assert made.package.data_key != portable.data_key
    assert package_path(made.package.pk).read_bytes() != package_path(portable.pk).read_bytes()
    assert made.secret not in str(vars(made.package))


def test_a_copy_is_opened_once_and_ends_an_hour_later(portable: Package, shop: Shop) -> None:
    made = make_copy(portable)
    packages.open_handover(made.package, secret=made.secret.upper(), now=NOW)
    assert portable.request.notices.filter(kind="handover_fetched").count() == 1
    with pytest.raises(packages.Gone):
        packages.open_handover(made.package, secret=made.secret, now=NOW)
    shop.tick(NOW + HOUR + timedelta(seconds=1))
    made.package.refresh_from_db()
    assert made.package.data_key is None
    assert files() == [package_path(portable.pk).name], "the person's own package stays"
    assert not portable.request.notices.filter(kind="handover_unused").exists()


def test_five_wrong_secrets_destroy_the_copy(portable: Package) -> None:
    made = make_copy(portable)
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(packages.WrongSecret) as wrong:
            packages.open_handover(made.package, secret="222222222222", now=NOW)
        assert wrong.value.tries_left == left
    with pytest.raises(packages.Gone):
        packages.open_handover(made.package, secret=made.secret, now=NOW)
    assert files() == [package_path(portable.pk).name]
    assert portable.request.notices.filter(kind="handover_locked").count() == 1


def test_a_copy_nobody_fetched_ends_with_the_package_and_the_person_is_told(portable: Package, shop: Shop) -> None:
    make_copy(portable)
    shop.tick(NOW + timedelta(days=7, seconds=1))
    assert files() == []
    assert Notice.objects.filter(request=portable.request, kind="handover_unused").count() == 1


def test_revoking_a_package_takes_its_copies_along(portable: Package, shop: Shop) -> None:
    made = make_copy(portable)
    packages.revoke(portable, actor=shop.person, reason="", now=NOW)
    with pytest.raises(packages.Gone):
        packages.open_handover(made.package, secret=made.secret, now=NOW)
    assert files() == []


def test_no_copy_outlives_a_package_that_is_revoked_while_it_is_copied(
    portable: Package, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def revoke_midway(path: Path, data_key: bytes) -> Any:
        yield from read_sealed(path, data_key)
        packages.revoke(portable, actor=shop.person, reason="", now=NOW)

    monkeypatch.setattr(packages, "read_sealed", revoke_midway)
    with pytest.raises(packages.Gone):
        make_copy(portable)
    assert packages.sweep_files() == 1
    assert files() == []
    assert not Package.objects.filter(data_key__isnull=False).exists()


# --- nothing is left behind


def test_a_worker_that_lost_its_step_makes_no_package(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row is refused, its file is swept away, and the connection it read on serves the next reader."""
    shop.add_customer(1)
    shop.add_visits(20_000)
    real = SqlSnapshot.copy_rows

    def take_over(self: SqlSnapshot, collection: str, **asked: Any) -> int:
        count = real(self, collection, **asked)
        if collection == "shop.visit":
            # As another worker does once the lease is over.
            Step.objects.filter(verb="export").update(fence=F("fence") + 1, state=Step.State.READY, lease_until=None)
        return count

    with monkeypatch.context() as patch:
        patch.setattr(SqlSnapshot, "copy_rows", take_over)
        request = shop.file(Kind.ACCESS)
    assert request.packages.count() == 0
    assert len(files()) == 1
    assert packages.sweep_files() == 1
    request = shop.advance(request, now=NOW + HOUR)
    assert len(read_tables(open_package(request))["shop.visit"]) == 20_000
    assert files() == [package_path(request.packages.get().pk).name]


def test_two_workers_make_one_package(shop: Shop) -> None:
    shop.add_customer(1)
    request = shop.file(Kind.ACCESS)
    again = Step.objects.get(request=request, verb="export")
    Step.objects.filter(pk=again.pk).update(state="ready", finished_at=None)
    Request.objects.filter(pk=request.pk).update(state=State.CLOSED)
    shop.advance(request, now=NOW + HOUR)
    again.refresh_from_db()
    assert again.state == "done"
    assert Package.objects.count() == 1
    assert len(files()) == 1


CHILD = """
import os, sys
import django
django.setup()
from rights.actions import packages
from uuid import UUID
with packages._new_file(UUID(sys.argv[1])) as file:
    from portal.core import keyring
    from portal.core.sealedfile import SealedWriter
    sink = SealedWriter(file, keyring.new_data_key())
    sink.write(b"PLAIN TEXT OF A PERSON " * 100_000)
    file.flush()
    print("half", flush=True)
    sys.stdin.read()
"""


def test_a_writer_that_is_killed_half_way_leaves_no_plain_text_and_its_file_is_swept_away(shop: Shop) -> None:
    name = "0b1f9d0e-0000-4000-8000-000000000001"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert child.stdout
    assert child.stdin
    assert child.stdout.readline() == "half\n"
    assert files() == [f"{name}.sealed"]
    assert packages.sweep_files() == 0, "its writer is at it"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    child.stdin.close()
    left = package_path(Request().pk).with_name(f"{name}.sealed").read_bytes()
    assert len(left) > 1_000_000
    assert b"PLAIN TEXT" not in left
    assert shop.tick(NOW)["expired"] == 1
    assert files() == []


def test_what_a_failure_half_way_leaves_is_swept_away(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.add_customer(1)

    real = rows.add

    def fail(*added: Any, **named: Any) -> None:
        if any(isinstance(row, Package) for row in added):
            raise OSError(28, "No space left on device")
        real(*added, **named)

    monkeypatch.setattr(rows, "add", fail)
    with pytest.raises(OSError, match="space"):
        shop.file(Kind.ACCESS)
    assert packages.sweep_files() == 1
    assert files() == []


def test_a_worker_that_ends_right_after_its_row_committed_leaves_the_package_whole(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to COMMIT is lost, or the process is told to end: the row is there all the same."""
    shop.add_customer(1)

    def end(package: Package, **asked: Any) -> None:
        transaction.on_commit(lambda: sys.exit(1))

    with monkeypatch.context() as patch:
        patch.setattr(packages, "_tell_made", end)
        with pytest.raises(SystemExit):
            shop.file(Kind.ACCESS)
    package = Package.objects.get()
    assert packages.sweep_files() == 0
    assert files() == [package_path(package.pk).name]
    request = shop.advance(package.request, now=NOW + HOUR)
    assert request.state == State.CLOSED
    assert len(read_tables(open_package(request))["shop.customer"]) == 1


def test_no_plain_text_is_written_anywhere_in_the_data_folder(asked: Request, shop: Shop) -> None:
    folder = package_path(asked.pk).parent
    raw = b"".join(path.read_bytes() for path in folder.iterdir())
    assert raw
    assert "若兰".encode() not in raw
    assert b"datapackage" not in raw
