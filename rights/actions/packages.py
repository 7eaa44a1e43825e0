"""The access package from its making to its destruction: parts, copies for others, downloads, expiry, revocation.

A package is a sealed file named for its row. The file is there first and locked while it is written; the row that names
it and holds its key commits before the lock goes. So a file that can be locked and that no row names is one whose
writer failed or whose key is destroyed, and `sweep_files` removes it: a writer that fails cannot tell whether its row
committed.
"""

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max

from accounts.models import User
from portal.core import keyring, ledger, rows
from portal.core.sealedfile import SealedWriter, read_sealed
from rights.connectors.base import Unavailable
from rights.datamap import DataMap, Text
from rights.exportpages import Omission
from rights.exports import Order, write_package
from rights.kernel.clock import local_day
from rights.kernel.decisions import reason as reason_of
from rights.models import Package, Request, Step
from rights.notices import notify
from rights.planning import Matter
from rights.queries import due_of
from rights.transitions import record

if TYPE_CHECKING:
    from rights.actions.work import Work

PACKAGE_DAYS = 7
QUICK_TRIES = 3
"""How often a system that is away is asked within seconds; then once in `AWAY`."""
AWAY = timedelta(hours=1)
FETCH = timedelta(hours=1)
"""How long a confirmed person or receiver may fetch, and take up again, what they proved to be theirs."""
SECRET_TRIES = 5
_SECRET_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # noqa: S105 - letters that are not mistaken for one another
PAGE = 500


class Gone(Exception):
    """The package is destroyed already: past its day, revoked, or fetched."""


class WrongSecret(Exception):
    """Not the secret of this copy. With no tries left the copy is destroyed."""

    def __init__(self, tries_left: int) -> None:
        super().__init__(f"Wrong secret, {tries_left} tries left.")
        self.tries_left = tries_left


def package_path(package_id: UUID) -> Path:
    return _folder() / f"{package_id}.sealed"


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "packages"


# --- making


def pack(work: "Work") -> int:
    """A part of an access package; how many records it has. Later parts have what an earlier one lacked.

    A system that is away is waited for until shortly before the due date; then its gap is named, and a step of its own
    fills it once that system is back. Raises Unavailable while something is waited for, or nothing of it can be had.
    """
    request, params = work.request, work.step.params
    part: int = params.get("part", 1)
    systems = frozenset(params["systems"]) if "systems" in params else None
    # A step that is claimed for the first time has made nothing.
    if work.step.fence > 1 and (made := Package.objects.filter(request=request, part=part, copy_of=None).first()):
        return made.rows  # by a worker that died before it could say so
    package_id, data_key = uuid4(), keyring.new_data_key()
    order = Order(
        seed=work.matter.seed(now=work.now),
        data_map=work.data_map,
        includes=work.matter.concerns,
        request_id=request.pk,
        reference=request.reference or "",
        person=request.subject.masked_name,
        made_at=work.now,
        omissions=tuple(list_omissions(work.matter, work.data_map)) if systems is None else (),
        systems=systems,
        part=part,
    )
    with _new_file(package_id) as file:
        written = write_package(file, order, data_key=data_key, whole=lambda: systems is None and _may_wait(work))
        if systems is not None and systems <= set(written.gaps):
            raise Unavailable(f"These systems did not answer: {', '.join(written.gaps)}.")
        os.fsync(file.fileno())
        with transaction.atomic():
            work.write()
            package = Package(
                id=package_id,
                request=request,
                part=part,
                data_key=data_key,
                size=written.size,
                rows=written.rows,
                sha256=written.sha256,
                made_at=work.now,
                expires_at=work.now + timedelta(days=PACKAGE_DAYS),
                gaps=list(written.gaps),
            )
            rows.add(package)
            if written.gaps:
                _supplement_later(work, systems=written.gaps, part=part + 1)
            _tell_made(package, is_added=systems is not None, data_map=work.data_map, now=work.now)
    return written.rows


def _may_wait(work: "Work") -> bool:
    """The day before the last is kept for what may go wrong with the package itself."""
    return local_day(work.now) < due_of(work.request, now=work.now).on - timedelta(days=1)


def list_omissions(matter: Matter, data_map: DataMap) -> Iterator[Omission]:
    """What a request leaves out, each with its reason. Of what is confidential nothing is said, not even this."""
    for entity in data_map.entities.values():
        if matter.entities and entity.key not in matter.entities:
            yield Omission(entity.key, entity.name, reason_of("OMIT.NOT_ASKED"))
    for party in data_map.asked.values():
        if not matter.entities or party.entity in matter.entities:
            yield Omission(party.key, party.name, reason_of("OMIT.NOT_CONNECTED"))
    for item in data_map.collections.values():
        if item.confidential or (matter.entities and item.entity not in matter.entities):
            continue
        if item.anonymised:
            yield Omission(item.key, item.label, reason_of("NA.ANONYMISED"))
        elif matter.leaves_out(item):
            yield Omission(item.key, item.label, reason_of("OMIT.DERIVED" if item.derived else "OMIT.BASIS"))


def _supplement_later(work: "Work", *, systems: tuple[str, ...], part: int) -> None:
    request = Request.objects.select_for_update(of=("self",)).get(pk=work.request.pk)
    last = Step.objects.filter(request=request, round=work.step.round).aggregate(last=Max("ordinal"))["last"]
    Step.objects.create(
        request=request,
        verb="supplement",
        system=work.step.system,
        collection=work.step.collection,
        ordinal=last + 1,
        round=work.step.round,
        params={"systems": list(systems), "part": part},
        not_before=work.now + AWAY,
    )


def _tell_made(package: Package, *, is_added: bool, data_map: DataMap, now: datetime) -> None:
    names = name_systems(package.gaps, data_map)
    kind = "package_added" if is_added else "package_partly" if package.gaps else "package"
    notify(
        user=package.request.subject,
        request=package.request,
        kind=kind,
        params={
            "until": local_day(package.expires_at).isoformat(),
            **({"zh": names.zh, "en": names.en} if package.gaps else {}),
        },
        once="" if package.part == 1 else str(package.part),
        now=now,
    )


def name_systems(systems: Iterable[str], data_map: DataMap) -> Text:
    """What systems are called, one after another; one that the map does not have any more by its key."""
    labels = [data_map.systems[key].label if key in data_map.systems else Text(key, key) for key in systems]
    return Text("、".join(label.zh for label in labels), ", ".join(label.en for label in labels))


@contextmanager
def _new_file(package_id: UUID) -> Iterator[BinaryIO]:
    """A new file, locked, so that nobody takes it for a left-over while it is written."""
    path = package_path(package_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not path.exists():
            raise Unavailable("The file was swept away before it was locked.")
        yield file


# --- handing out


def live_packages(request: Request, *, now: datetime) -> list[Package]:
    """The parts that can be fetched now."""
    found = Package.objects.filter(request=request, copy_of=None, data_key__isnull=False, expires_at__gt=now)
    return [package for package in found.order_by("part") if package_path(package.pk).exists()]


def count_download(package: Package, *, actor: User | None, now: datetime) -> None:
    """Write down that a download began; one that is taken up again is not a second one."""
    with transaction.atomic():
        Package.objects.filter(pk=package.pk).update(downloads=F("downloads") + 1)
        body = {"part": package.part, "copy": package.copy_of_id is not None}
        record(package.request, event="package_fetched", now=now, actor=actor, body=body)


# --- a copy for somebody else (网络数据安全管理条例 25)


@dataclass(frozen=True)
class Handover:
    """A copy that was just made, and its secret, which is known only now."""

    package: Package
    secret: str


def hand_over(source: Package, *, receiver: str, address: str, now: datetime) -> Handover:
    """Seal a copy under a key of its own for whom the person names. Raises Gone or keyring.SealBroken.

    It ends no later than what it is a copy of.
    """
    if source.data_key is None or source.expires_at <= now or not package_path(source.pk).exists():
        raise Gone("The package is not there any more.")
    secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(12))
    package_id, data_key = uuid4(), keyring.new_data_key()
    with _new_file(package_id) as file:
        sink = SealedWriter(file, data_key)
        for frame in read_sealed(package_path(source.pk), bytes(source.data_key)):
            sink.write(frame)
        digest = sink.finish()
        os.fsync(file.fileno())
        with transaction.atomic():
            if not _lock(source, expires_at__gt=now):
                raise Gone("The package was destroyed while it was copied.")
            package = Package.objects.create(
                id=package_id,
                request=source.request,
                part=source.part,
                copy_of=source,
                receiver=receiver,
                address=address,
                secret=keyring.blind_index("handover", f"{package_id}:{secret}"),
                data_key=data_key,
                size=sink.size,
                rows=source.rows,
                sha256=digest,
                made_at=now,
                expires_at=source.expires_at,
            )
            record(source.request, event="handed_over", now=now, actor=source.request.subject, body={})
            _tell(package, "handover_made", until=local_day(package.expires_at).isoformat(), now=now)
    return Handover(package=package, secret=secret)


def open_handover(package: Package, *, secret: str, now: datetime) -> None:
    """Let the receiver fetch the copy, once: it ends an hour later. Raises Gone or WrongSecret.

    A wrong try counts even though the caller gives up, so this is not to be called inside a transaction.
    """
    wrong: WrongSecret | None = None
    with transaction.atomic(durable=True):
        row = Package.objects.select_for_update(of=("self",)).select_related("request__subject").get(pk=package.pk)
        if row.data_key is None or row.expires_at <= now or row.opened_at is not None or row.copy_of_id is None:
            raise Gone("The copy is not there any more.")
        # As it was read out: with capitals, spaces and hyphens.
        typed = "".join(filter(str.isalnum, secret.lower()))
        if row.secret in keyring.blind_indexes("handover", f"{row.pk}:{typed}"):
            row.opened_at, row.expires_at = now, min(row.expires_at, now + FETCH)
            row.save(update_fields=["opened_at", "expires_at"])
            _tell(row, "handover_fetched", now=now)
        else:
            row.tries += 1
            row.save(update_fields=["tries"])
            wrong = WrongSecret(SECRET_TRIES - row.tries)
            if not wrong.tries_left:
                _destroy([row.pk], revoked_at=now)
                _tell(row, "handover_locked", now=now)
    if wrong is not None:
        raise wrong


def _tell(package: Package, kind: str, *, now: datetime, **params: str) -> None:
    notify(
        user=package.request.subject,
        request=package.request,
        kind=kind,
        params=params,
        once=str(package.pk),
        now=now,
    )


# --- the end


def revoke(package: Package, *, actor: User, reason: str, now: datetime) -> None:
    """Destroy a package, and the copies made of it, before its day. Staff give a reason, which the person is told.

    Raises Gone.
    """
    by_staff = actor.pk != package.request.subject_id
    if by_staff and not reason.strip():
        raise ValueError("Staff revoke a package for a reason.")
    commitment = ledger.commit_to(reason)
    with transaction.atomic():
        if not _lock(package):
            raise Gone("The package is not there any more.")
        copies = Package.objects.filter(copy_of=package.pk, data_key__isnull=False).values_list("pk", flat=True)
        ended = {"revoked_at": now, "revoked_by": actor, "reason": reason, "reason_salt": commitment.salt}
        _destroy([package.pk, *copies], **ended)
        record(
            package.request,
            event="package_revoked",
            now=now,
            actor=actor,
            body={"part": package.part, "copy": package.copy_of_id is not None, "by_staff": by_staff},
            commitments={"reason": commitment.digest},
        )
        if by_staff:
            _tell(package, "package_revoked", now=now)


def _lock(package: Package, **live: Any) -> bool:
    """Hold a package as it is until the transaction ends, if it is still there: no copy of what is being revoked."""
    rows = Package.objects.select_for_update(of=("self",)).filter(pk=package.pk, data_key__isnull=False, **live)
    return rows.first() is not None


def expire_packages(*, now: datetime) -> int:
    """Destroy the keys of packages past their day; without its key a file is noise, and it goes too."""
    with transaction.atomic():
        rows = Package.objects.filter(expires_at__lt=now, data_key__isnull=False)
        found = list(rows.select_related("request__subject").select_for_update(of=("self",), skip_locked=True)[:PAGE])
        _destroy([package.pk for package in found])
        for package in found:
            if package.copy_of_id and package.opened_at is None:
                _tell(package, "handover_unused", now=now)
    return len(found)


def _destroy(packages: list[UUID], **fields: Any) -> None:
    Package.objects.filter(pk__in=packages).update(data_key=None, **fields)
    # After the key, and only then: a file without a row that can open it is swept away if this process dies now.
    for pk in packages:
        transaction.on_commit(partial(package_path(pk).unlink, missing_ok=True))


def sweep_files() -> int:
    """Remove what a writer that failed left, and files whose key is destroyed; how many it was."""
    files = {UUID(path.stem): path for path in _folder().glob(f"{'[0-9a-f-]' * 36}.sealed")}
    if not files:
        return 0
    named = Package.objects.filter(pk__in=files, data_key__isnull=False).values_list("pk", flat=True)
    return sum(_sweep(pk, files[pk]) for pk in files.keys() - set(named))


def _sweep(package_id: UUID, path: Path) -> bool:
    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False  # it is being written
        # Looked up only now: its writer's row committed before the lock went.
        if not Package.objects.filter(pk=package_id, data_key__isnull=False).exists():
            path.unlink()
            return True
    return False
