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

from portal.core import keyring
from portal.core.sealedfile import read_sealed
from rights.actions import packages
from rights.actions.packages import package_path
from rights.actions.work import LostLease, Work
from rights.connectors.base import Unavailable
from rights.connectors.sql import SqlConnector, SqlSnapshot
from rights.kernel.states import Kind, State
from rights.models import Notice, Package, Request, Step
from tests.rights.shop import NOW, Shop
from tests.unpacking import open_package, read_manifest, read_tables

pytestmark = pytest.mark.role("worker")
FRICTIONLESS = Path(sys.executable).with_name("frictionless")
HOUR = timedelta(hours=1)


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


def test_what_was_down_is_named_as_a_gap_and_added_when_it_is_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.add_customer(1)
    shop.add_visits(3)
    with monkeypatch.context() as patch:
        down(patch)
        now = NOW
        request = shop.file(Kind.ACCESS)
        for _ in range(packages.EXPORT_ATTEMPTS):
            now += timedelta(minutes=11)
            request = shop.advance(request, now=now)
        assert request.state == State.CLOSED
        first = request.packages.get()
        assert (first.part, first.gaps, first.rows) == (1, ["shop"], 0)
        (told,) = read_manifest(open_package(request))["omitted"]
        assert (told["what"], told["reason"]) == ("shop", "OMIT.UNANSWERED")
        assert request.notices.get(kind="package_partly").params["zh"] == "商店系统"
        # Still down an hour later: nothing fails, it is looked for again.
        shop.tick(now + HOUR)
        step = Step.objects.get(request=request, verb="supplement")
        assert (step.state, step.attempts) == (Step.State.READY, 0)
    later = step.not_before
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
    now, request = NOW, shop.file(Kind.ACCESS)
    assert request.packages.count() == 0
    assert files() == []
    for _ in range(packages.EXPORT_ATTEMPTS):
        now += timedelta(minutes=11)
        request = shop.advance(request, now=now)
    archive = open_package(request)
    assert [name for name in archive.namelist() if name.startswith("data/")] == []
    assert request.packages.get().gaps == ["shop"]


def test_near_the_due_date_a_package_waits_for_nobody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    down(monkeypatch)
    request = shop.file(Kind.ACCESS)
    assert request.packages.count() == 0
    request = shop.advance(request, now=datetime(2026, 12, 7, 9, 0, tzinfo=NOW.tzinfo))  # due on 2026-12-08
    assert (request.state, request.packages.get().gaps) == (State.CLOSED, ["shop"])


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
    kept = package_path(package.pk).read_bytes()
    shop.tick(NOW + timedelta(days=7, seconds=1))
    package.refresh_from_db()
    assert package.data_key is None
    assert files() == []
    assert kept, "and a copy of the file on a tape is noise without the key"


# --- copies for others


@pytest.fixture
def portable(shop: Shop) -> Package:
    shop.add_customer(1)
    shop.add_visits(3)
    request = shop.file(Kind.ACCESS, portable=True)
    return Package.objects.select_related("request__subject").get(request=request)


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
    assert files() == []
    assert not Package.objects.filter(data_key__isnull=False).exists()


# --- nothing is left behind


def test_a_worker_that_lost_its_step_ends_in_the_middle_of_a_table(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is looked at while rows pass; the connection it read on serves the next reader."""
    shop.add_customer(1)
    shop.add_visits(20_000)
    begun: list[str] = []
    real = SqlSnapshot.copy_rows

    def note(self: SqlSnapshot, collection: str, **asked: Any) -> int:
        begun.append(collection)
        return real(self, collection, **asked)

    def lose(work: Work, **fields: Any) -> None:
        if begun and begun[-1] == "shop.visit":
            raise LostLease("taken over")

    with monkeypatch.context() as patch:
        patch.setattr(packages, "PULSE_SECONDS", 0)
        patch.setattr(SqlSnapshot, "copy_rows", note)
        patch.setattr(Work, "write", lose)
        request = shop.file(Kind.ACCESS)
    assert begun[-1] == "shop.visit"
    assert files() == []
    assert request.packages.count() == 0
    request = shop.advance(request, now=NOW + HOUR)
    assert len(read_tables(open_package(request))["shop.visit"]) == 20_000


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


def test_a_failure_half_way_leaves_no_file(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.add_customer(1)

    def fail(*asked: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Package.objects, "create", fail)
    with pytest.raises(OSError, match="space"):
        shop.file(Kind.ACCESS)
    assert files() == []


def test_no_plain_text_is_written_anywhere_in_the_data_folder(asked: Request, shop: Shop) -> None:
    folder = package_path(asked.pk).parent
    raw = b"".join(path.read_bytes() for path in folder.iterdir())
    assert raw
    assert "若兰".encode() not in raw
    assert b"datapackage" not in raw
