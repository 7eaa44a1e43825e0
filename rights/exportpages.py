"""The pages of an access package: what is held where, as a picture and as tables, without a network or a script."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from typing import Any

from django.template.loader import render_to_string
from django.utils import translation

from rights.connectors.base import Column
from rights.datamap import Collection, DataMap, Text
from rights.kernel.decisions import LEGAL_SECRECY, REASONS, Reason
from rights.wording import cite

PAGES = {"index.html": "zh-hans", "index.en.html": "en"}
_LONGEST = 120
"""How much of a value the page shows; the files have all of it."""
_WIDTH, _LINE, _BAR = 320, 18, 8
"""Of the picture, in its own units: as wide as a small phone, so that its letters are never smaller than the text's."""


@dataclass(frozen=True)
class FileFacts:
    """A file of the package; `sha256` in hexadecimal."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Content:
    """One collection as exported: its rows as a sheet (CSV) and as lines (JSON), and the first of them."""

    collection: Collection
    name: str
    rows: int
    columns: tuple[Column, ...]
    sheet: FileFacts
    lines: FileFacts
    sample: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Omission:
    """What a package does not have and why. `what`: the key of a collection, a system or a company."""

    what: str
    label: Text
    reason: Reason


@dataclass(frozen=True)
class Bar:
    """One system in the picture: `top` and `width` in its units; `count` None where the system did not answer."""

    company: str
    label: str
    count: int | None
    top: int
    width: int


def render_pages(
    contents: Sequence[Content],
    omissions: Sequence[Omission],
    *,
    data_map: DataMap,
    reference: str,
    person: str,
    made_at: datetime,
    part: int,
    key_id: str,
) -> dict[str, str]:
    """By path, the page in each language."""
    pages: dict[str, str] = {}
    for path, language in PAGES.items():
        bars = list(_draw(contents, omissions, data_map=data_map, language=language))
        context = {
            "case": {"ref": reference},
            "person": person,
            "made_at": made_at,
            "part": part,
            "total": sum(content.rows for content in contents),
            "bars": bars,
            "picture": {"width": _WIDTH, "height": max((bar.top + 3 * _LINE for bar in bars), default=0)},
            "companies": list(_companies(contents, data_map=data_map, language=language)),
            "omissions": present_omissions(omissions, language),
            "redaction": _redaction_words(contents, language),
            "legal_secrecy": LEGAL_SECRECY.text(language),
            "key_id": key_id,
        }
        with translation.override(language):
            pages[path] = render_to_string("export/index.html", context)
    return pages


def present_omissions(omissions: Iterable[Omission], language: str) -> list[dict[str, str]]:
    """What is not in a package: each .names .why .basis. What is left out for the same reason stands together."""
    names: dict[Reason, list[str]] = {}
    for omission in omissions:
        names.setdefault(omission.reason, []).append(omission.label(language))
    comma = ", " if language == "en" else "、"
    return [
        {"names": comma.join(group), "why": reason.text(language), "basis": cite(reason.basis, language)}
        for reason, group in names.items()
    ]


def _draw(
    contents: Sequence[Content], omissions: Sequence[Omission], *, data_map: DataMap, language: str
) -> Iterator[Bar]:
    """A bar for each system that holds something or did not answer, under its company's name.

    Its length is the square root of its records: a system with one record is still seen beside one with a million.
    """
    counts: dict[str, int | None] = {item.what: None for item in omissions if item.what in data_map.systems}
    for content in contents:
        if content.rows:
            system = content.collection.system
            counts[system] = (counts.get(system) or 0) + content.rows
    most = max((count or 0 for count in counts.values()), default=0)
    top, company = 0, ""
    for key, stated in data_map.systems.items():
        if key not in counts:
            continue
        name = data_map.entities[stated.entity].name(language)
        count = counts[key]
        width = max(round(_WIDTH * sqrt(count / most)), 2) if count and most else 0
        yield Bar(
            company=name if name != company else "", label=stated.label(language), count=count, top=top, width=width
        )
        top += (3 if name != company else 2) * _LINE
        company = name


def _companies(contents: Sequence[Content], *, data_map: DataMap, language: str) -> Iterator[dict[str, Any]]:
    """What the page says of each company; collections without rows are files but no news."""
    comma = ", " if language == "en" else "、"
    for entity in data_map.entities.values():
        mine = [content for content in contents if content.collection.entity == entity.key and content.rows]
        if not mine:
            continue
        yield {
            "name": entity.name(language),
            "count": sum(content.rows for content in mine),
            "collections": [
                {
                    "name": content.collection.label(language),
                    "purpose": content.collection.purpose(language),
                    "count": content.rows,
                    "files": [(content.sheet.path, "CSV"), (content.lines.path, "JSON")],
                    "redacted": comma.join(content.collection.third_party),
                    "source": content.collection.source(language) if content.collection.source else "",
                    "recipients": comma.join(recipient(language) for recipient in content.collection.recipients),
                    "columns": [column.name for column in content.columns],
                    "rows": [[_cell(row.get(column.name)) for column in content.columns] for row in content.sample],
                }
                for content in mine
            ],
        }


def _cell(value: Any) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _redaction_words(contents: Sequence[Content], language: str) -> str:
    """Why parts are blanked out, by which rule, and what to do about it; empty where none is."""
    if not any(content.rows and content.collection.third_party for content in contents):
        return ""
    given = REASONS["REDACT.THIRD_PARTY"]
    basis = cite(given.basis, language)
    return f"{given.text(language)} ({basis})" if language == "en" else f"{given.text(language)}（{basis}）"
