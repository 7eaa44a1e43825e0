"""The access package: a ZIP of CSV and JSON with a Data Package manifest, pages for people and a signature.

What is in a table is written by its database (COPY) and passes through compression and encryption in blocks: memory
does not grow with what is exported, and no plain text touches the disk. The manifest names every file with its hash and
is signed with the portal's key, so that `openssl` alone can check a package years later.
"""

import codecs
import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portal.core import keyring
from portal.core.sealedfile import SealedWriter
from rights.connectors.base import ConnectorError, Form, Seed, Snapshot, Unavailable
from rights.connectors.registry import open_snapshot
from rights.datamap import Collection, DataMap
from rights.exportpages import Content, FileFacts, Omission, render_pages
from rights.kernel.decisions import LEGAL_SECRECY, REASONS, Reason

log = structlog.get_logger(__name__)

LEVEL = 1
"""Of compression: a person waits for the package, and level 6 takes three times as long to save a tenth of it."""
SAMPLE = 20
"""How many rows of a table the page shows."""
_HEAD = 64 * 1024
_MEDIA = {".csv": "text/csv", ".jsonl": "application/jsonl", ".html": "text/html"}
_NO_DAY = ["", "infinity", "-infinity"]
"""What PostgreSQL writes for a day that is none; readers of the table take it as missing."""


@dataclass(frozen=True)
class Order:
    """What a package is to hold: whose records (`seed`) of which collections, and what it is called.

    `omissions` are those that were known beforehand. `systems` None: all; else those that an earlier part lacked. What
    is confidential is never in it, nor is a system that holds nothing else asked: neither its answer nor its silence
    may tell.
    """

    seed: Seed
    data_map: DataMap
    includes: Callable[[Collection], bool]
    request_id: UUID
    reference: str
    person: str
    made_at: datetime
    omissions: tuple[Omission, ...] = ()
    systems: frozenset[str] | None = None
    part: int = 1

    def of_system(self, system: str) -> list[Collection]:
        if self.systems is not None and system not in self.systems:
            return []
        return [item for item in self.data_map.of_system(system) if self.includes(item) and not item.confidential]


@dataclass(frozen=True)
class Written:
    """A finished package: bytes of the ZIP, the SHA-256 of the sealed file, and the systems that did not answer."""

    size: int
    sha256: str
    rows: int
    contents: tuple[Content, ...]
    gaps: tuple[str, ...]


class _Torn(Exception):
    """A system went away in the middle of a table."""

    def __init__(self, system: str) -> None:
        super().__init__(system)
        self.system = system


@dataclass
class _Entry:
    """One file of the ZIP: written, measured and hashed as it passes."""

    file: Any
    size: int = 0
    head: bytes = b""
    digest: Any = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.digest.update(data)
        self.size += len(data)
        if len(self.head) < _HEAD:
            self.head += data[: _HEAD - len(self.head)]


def write_package(
    file: BinaryIO, order: Order, *, data_key: bytes, whole: Callable[[], bool] = lambda: False
) -> Written:
    """Write a person's package, sealed under `data_key`.

    A system that is down is named in `gaps`. One that goes away in the middle of a table begins the package anew
    without it: nothing of it is handed out that only looks complete. `whole`, asked at the first of them: raise
    Unavailable instead.
    """
    away: frozenset[str] = frozenset()
    while True:
        file.seek(0)
        file.truncate()
        try:
            return _write_once(file, order, data_key=data_key, away=away, whole=whole)
        except _Torn as torn:
            away |= {torn.system}


def _write_once(
    file: BinaryIO, order: Order, *, data_key: bytes, away: frozenset[str], whole: Callable[[], bool]
) -> Written:
    contents: list[Content] = []
    gaps: list[str] = []
    sink = SealedWriter(file, data_key)
    names = _names(order.data_map)
    with zipfile.ZipFile(sink, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for system in order.data_map.systems:
            items = order.of_system(system)
            begun = False
            try:
                if items and system in away:
                    gaps.append(system)
                elif items:
                    with open_snapshot(system, order.data_map, order.seed) as (snapshot, _):
                        begun = True
                        contents.extend(_write_collection(archive, snapshot, item, names) for item in items)
            except ConnectorError as error:
                log.warning("package_gap", system=system, reason=str(error))
                if whole():
                    raise Unavailable(str(error)) from None
                if begun:
                    raise _Torn(system) from None
                gaps.append(system)
        omissions = (*name_gaps(gaps, order.data_map), *order.omissions)
        pages = _write_pages(archive, order, contents, omissions)
        _write_manifest(archive, order, contents, omissions, pages)
    digest = sink.finish()
    return Written(
        size=sink.size,
        sha256=digest,
        rows=sum(content.rows for content in contents),
        contents=tuple(contents),
        gaps=tuple(gaps),
    )


def name_gaps(systems: Iterable[str], data_map: DataMap) -> list[Omission]:
    """The systems that did not answer, as what is left out."""
    known = [data_map.systems[key] for key in systems if key in data_map.systems]
    return [Omission(system.key, system.label, REASONS["OMIT.UNANSWERED"]) for system in known]


def _names(data_map: DataMap) -> Mapping[str, str]:
    """By collection, what its resource is called: as Data Package allows, and each once."""
    names: dict[str, str] = {}
    for key in data_map.collections:
        name = re.sub(r"[^-a-z0-9._]", "_", key.lower())
        names[key] = name if name not in names.values() else f"{name}_{len(names)}"
    return names


def _write_collection(
    archive: zipfile.ZipFile, snapshot: Snapshot, item: Collection, names: Mapping[str, str]
) -> Content:
    """One collection as CSV and as JSON lines. A ZIP takes one file at a time, so the snapshot is read twice."""
    name = names[item.key]

    def copy(entry: _Entry, form: Form) -> int:
        return snapshot.copy_rows(item.key, redact=item.third_party, form=form, write=entry.write)

    with _entry(archive, f"data/{name}.csv") as sheet:
        sheet.write(codecs.BOM_UTF8)  # without it a spreadsheet takes Chinese for something else
        rows = copy(sheet, "csv")
    with _entry(archive, f"data/{name}.jsonl") as lines:
        copy(lines, "json")
    return Content(
        collection=item,
        name=name,
        rows=rows,
        columns=snapshot.list_columns(item.key, redact=item.third_party),
        sheet=_facts(f"data/{name}.csv", sheet),
        lines=_facts(f"data/{name}.jsonl", lines),
        sample=tuple(json.loads(line) for line in lines.head.split(b"\n")[:-1][:SAMPLE]),
    )


@contextmanager
def _entry(archive: zipfile.ZipFile, path: str) -> Iterator[_Entry]:
    with archive.open(path, "w", force_zip64=True) as file:
        yield _Entry(file)


def _facts(path: str, entry: _Entry) -> FileFacts:
    return FileFacts(path=path, size=entry.size, sha256=entry.digest.hexdigest())


def _write_pages(
    archive: zipfile.ZipFile,
    order: Order,
    contents: Sequence[Content],
    omissions: Sequence[Omission],
) -> list[FileFacts]:
    """A page for people, in each language, that works without a network."""
    found = []
    pages = render_pages(
        contents,
        omissions,
        data_map=order.data_map,
        reference=order.reference,
        person=order.person,
        made_at=order.made_at,
        part=order.part,
        key_id=keyring.signing_key_id(),
    )
    for path, text in pages.items():
        with _entry(archive, path) as entry:
            entry.write(text.encode())
        found.append(_facts(path, entry))
    return found


def _write_manifest(
    archive: zipfile.ZipFile,
    order: Order,
    contents: Sequence[Content],
    omissions: Sequence[Omission],
    pages: Sequence[FileFacts],
) -> None:
    """`datapackage.json` (Data Package), its signature by the portal's key, and that key to check it with."""
    key = keyring.signing_key()
    manifest = {
        "profile": "data-package",
        "name": f"access-{order.reference.lower() or order.request_id}",
        "id": str(order.request_id),
        "created": order.made_at.isoformat(),
        "part": order.part,
        "secrecy": {"zh": LEGAL_SECRECY.zh, "en": LEGAL_SECRECY.en},
        "omitted": [{"what": item.what, "title": _texts(item.label), **_reason(item.reason)} for item in omissions],
        "signature": {
            "algorithm": "Ed25519",
            "path": "datapackage.json.sig",
            "public_key": "signing-key.pem",
            "key": keyring.signing_key_id(),
        },
        "resources": [
            *(resource for content in contents for resource in _resources(content)),
            *(_resource(page, name=page.path) for page in pages),
        ],
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
    archive.writestr("datapackage.json", text)
    archive.writestr("datapackage.json.sig", key.sign(text))
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    archive.writestr("signing-key.pem", pem)


def _resources(content: Content) -> list[dict[str, Any]]:
    """The CSV as a table with its types, and the same rows as JSON lines."""
    item = content.collection
    table = {
        **_resource(content.sheet, name=content.name),
        "profile": "tabular-data-resource",
        "type": "table",
        "title": item.label.zh,
        "description": item.label.en,
        "rows": content.rows,
        "redacted": [{"field": name, **_reason(REASONS["REDACT.THIRD_PARTY"])} for name in item.third_party],
        "schema": {
            "fields": [_field(column.name, column.kind) for column in content.columns],
            "missingValues": _NO_DAY,
        },
    }
    return [table, _resource(content.lines, name=f"{content.name}.jsonl")]


def _resource(facts: FileFacts, *, name: str) -> dict[str, Any]:
    return {
        "profile": "data-resource",
        "type": "file",
        "name": name,
        "path": facts.path,
        "mediatype": _MEDIA[facts.path[facts.path.rindex(".") :]],
        "encoding": "utf-8",
        "bytes": facts.size,
        "hash": f"sha256:{facts.sha256}",
    }


def _field(name: str, kind: str) -> dict[str, str]:
    # A moment is written as PostgreSQL writes it, with a space and an offset, and not in the one form of the default.
    return {"name": name, "type": kind, **({"format": "any"} if kind in {"date", "datetime"} else {})}


def _texts(text: Any) -> dict[str, str]:
    return {"zh": text.zh, "en": text.en}


def _reason(reason: Reason) -> dict[str, str]:
    return {"reason": reason.key, "basis": reason.basis, **_texts(reason)}
