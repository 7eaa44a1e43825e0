"""The access package: a ZIP of CSV and JSON, written and read as a stream, encrypted at rest in authenticated frames.

Memory does not grow with what is exported, and no plain text touches the disk. Each frame is AES-256-GCM under the
package's own key, with its number and whether it is the last as associated data, so that a frame that was changed,
moved or cut off is refused. Destroying the key destroys the package.
"""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import structlog
from django.template.loader import render_to_string
from django.utils import translation

from portal.core import keyring
from rights.connectors.base import ConnectorError, Seed, Snapshot
from rights.connectors.registry import open_snapshot
from rights.datamap import Collection, DataMap, Entity
from rights.kernel.decisions import LEGAL_SECRECY, REASONS

log = structlog.get_logger(__name__)

FRAME = 256 * 1024
_LENGTH = 4
CONTEXT = "rights.package"


@dataclass(frozen=True)
class Content:
    """One collection as exported: how many rows, and the SHA-256 of its CSV."""

    collection: Collection
    rows: int
    sha256: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Written:
    size: int
    sha256: str
    contents: tuple[Content, ...]
    gaps: tuple[str, ...]


class SealedWriter(io.RawIOBase):
    """A file object that seals what is written to it, frame by frame."""

    def __init__(self, file: BinaryIO, data_key: bytes) -> None:
        self._file = file
        self._key = data_key
        self._pending = bytearray()
        self._frames = 0
        self._digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]  # zipfile hands bytes, bytearray or memoryview
        self._pending += view
        while len(self._pending) > FRAME:
            self._emit(bytes(self._pending[:FRAME]), last=False)
            del self._pending[:FRAME]
        return view.nbytes

    def finish(self) -> str:
        """Write the last frame; the SHA-256 of the whole sealed file."""
        self._emit(bytes(self._pending), last=True)
        self._pending.clear()
        self._file.flush()
        return self._digest.hexdigest()

    def _emit(self, plain: bytes, *, last: bool) -> None:
        sealed = keyring.seal_under(self._key, plain, context=_frame_context(self._frames, last=last))
        frame = len(sealed).to_bytes(_LENGTH, "big") + sealed
        self._file.write(frame)
        self._digest.update(frame)
        self._frames += 1
        self.size += len(plain)


def read_sealed(path: Path, data_key: bytes) -> Iterator[bytes]:
    """The plain content of a sealed file, frame by frame. Raises keyring.SealBroken where it was changed or cut."""
    with path.open("rb") as file:
        number = 0
        header = file.read(_LENGTH)
        while header:
            sealed = file.read(int.from_bytes(header, "big"))
            header = file.read(_LENGTH)
            yield keyring.unseal_under(data_key, sealed, context=_frame_context(number, last=not header))
            number += 1
        if not number:
            raise keyring.SealBroken("The package is empty.")


def write_package(
    path: Path,
    *,
    data_key: bytes,
    seed: Seed,
    data_map: DataMap,
    request_id: UUID,
    reference: str,
    person: str,
    now: datetime,
) -> Written:
    """Write a person's package of all systems. A system that is down is named in `gaps`, with its collections."""
    contents: list[Content] = []
    gaps: list[str] = []
    temporary = path.with_suffix(".part")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with temporary.open("wb") as file:
        sink = SealedWriter(file, data_key)
        with zipfile.ZipFile(sink, "w", compression=zipfile.ZIP_DEFLATED) as archive:
            for system in data_map.systems:
                items = [item for item in data_map.of_system(system) if not item.confidential]
                try:
                    with open_snapshot(system, data_map, seed) as (snapshot, _):
                        contents.extend(_write_collection(archive, snapshot, item) for item in items)
                except ConnectorError as error:
                    log.warning("package_gap", system=system, reason=str(error))
                    gaps.append(system)
            _write_manifest(archive, contents, gaps, request_id=request_id, reference=reference, now=now)
            _write_index(archive, contents, gaps, data_map=data_map, reference=reference, person=person, now=now)
        digest = sink.finish()
    temporary.replace(path)
    return Written(size=sink.size, sha256=digest, contents=tuple(contents), gaps=tuple(gaps))


def exported_fields(item: Collection) -> tuple[str, ...]:
    """The fields of a collection that a package shows a value of: the map's, less the declared redactions."""
    return tuple(field.name for field in item.fields if field.name not in item.third_party)


def _write_collection(archive: zipfile.ZipFile, snapshot: Snapshot, item: Collection) -> Content:
    """One collection as CSV and as JSON lines. A ZIP takes one entry at a time, so the snapshot is read twice."""
    rows = snapshot.stream_rows(item.key, redact=item.third_party)
    columns = tuple(str(name) for name in next(iter(rows)))
    digest = hashlib.sha256()
    count = 0
    with archive.open(f"data/{item.key}.csv", "w", force_zip64=True) as sheet:
        for block in _blocks(chain([columns], ([_plain(value) for value in row] for row in rows))):
            text = io.StringIO()
            csv.writer(text, lineterminator="\r\n").writerows(block)
            data = text.getvalue().encode()
            sheet.write(data)
            digest.update(data)
            count += len(block)
    again = snapshot.stream_rows(item.key, redact=item.third_party)
    next(iter(again))
    with archive.open(f"data/{item.key}.jsonl", "w", force_zip64=True) as file:
        for block in _blocks(again):
            lines = (json.dumps(dict(zip(columns, map(_json, row), strict=True)), ensure_ascii=False) for row in block)
            file.write("".join(f"{line}\n" for line in lines).encode())
    return Content(collection=item, rows=count - 1, sha256=digest.hexdigest(), columns=columns)


def _write_manifest(
    archive: zipfile.ZipFile,
    contents: list[Content],
    gaps: list[str],
    *,
    request_id: UUID,
    reference: str,
    now: datetime,
) -> None:
    """`datapackage.json`, a Frictionless Data Package."""
    package = {
        "profile": "tabular-data-package",
        "name": f"access-{reference.lower()}" if reference else f"access-{request_id}",
        "id": str(request_id),
        "created": now.isoformat(),
        "secrecy": {"zh": LEGAL_SECRECY.zh, "en": LEGAL_SECRECY.en},
        "missing_systems": gaps,
        "resources": [
            {
                "profile": "tabular-data-resource",
                "name": content.collection.key.lower(),
                "path": f"data/{content.collection.key}.csv",
                "title": content.collection.label.zh,
                "encoding": "utf-8",
                "hash": f"sha256:{content.sha256}",
                "rows": content.rows,
                "redacted": [
                    {"field": name, "reason": REASONS["REDACT.THIRD_PARTY"].en}
                    for name in content.collection.third_party
                ],
                "schema": {"fields": [{"name": name, "type": "string"} for name in content.columns]},
            }
            for content in contents
        ],
    }
    archive.writestr("datapackage.json", json.dumps(package, ensure_ascii=False, indent=1))


def _write_index(
    archive: zipfile.ZipFile,
    contents: list[Content],
    gaps: list[str],
    *,
    data_map: DataMap,
    reference: str,
    person: str,
    now: datetime,
) -> None:
    """A page for people, in each language, that works without a network."""
    for language, name in (("zh-hans", "index.html"), ("en", "index.en.html")):
        context = {
            "case": {"ref": reference},
            "person": person,
            "made_at": now,
            "total": sum(content.rows for content in contents),
            "companies": [
                company
                for entity in data_map.entities.values()
                if (company := _company(entity, contents, language=language))["count"]
            ],
            "unknown": [data_map.systems[system].label(language) for system in gaps],
            "legal_secrecy": LEGAL_SECRECY.text(language),
        }
        with translation.override(language):
            archive.writestr(name, render_to_string("export/index.html", context))


def _company(entity: Entity, contents: list[Content], *, language: str) -> dict[str, Any]:
    """What the index says of one company; collections without rows are files but no news."""
    mine = [content for content in contents if content.collection.entity == entity.key and content.rows]
    comma = ", " if language == "en" else "、"
    return {
        "name": entity.name(language),
        "count": sum(content.rows for content in mine),
        "collections": [
            {
                "name": content.collection.label(language),
                "purpose": content.collection.purpose(language),
                "count": content.rows,
                "files": [
                    {"path": f"data/{content.collection.key}.{ending}", "label": label}
                    for ending, label in (("csv", "CSV"), ("jsonl", "JSON"))
                ],
                "redacted": comma.join(content.collection.third_party),
                "source": content.collection.source(language) if content.collection.source else "",
                "recipients": comma.join(recipient(language) for recipient in content.collection.recipients),
            }
            for content in mine
        ],
    }


def _blocks(rows: Iterable[Sequence[object]]) -> Iterator[list[Sequence[object]]]:
    rows = iter(rows)
    while block := list(islice(rows, 1000)):
        yield block


def _frame_context(number: int, *, last: bool) -> str:
    return f"{CONTEXT}:{number}:{'last' if last else 'more'}"


def _plain(value: object) -> object:
    match value:
        case None:
            return ""
        case datetime() | date():
            return value.isoformat()
        case bytes() | memoryview():
            return bytes(value).hex()
        case Decimal():
            return format(value, "f")
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _json(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str | dict | list) else _plain(value)
