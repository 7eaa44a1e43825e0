"""The words of the portal and their Chinese: extraction, merging and compilation without the system's gettext.

English is the msgid; the catalogue holds what `{% translate %}` and `gettext` name, no more and no less. It names files
without line numbers, so that it changes when words do.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import polib
from babel.messages.extract import extract
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation.template import templatize

BASE_DIR = Path(__file__).resolve().parents[3]
LOCALE_DIR = BASE_DIR / "portal" / "locale"
CATALOGUE = LOCALE_DIR / "zh_Hans" / "LC_MESSAGES" / "django.po"
CODE_FOLDERS = ("portal", "accounts", "rights")
TEMPLATE_FOLDERS = ("templates",)
CONTEXT_MARK = "\x04"  # between context and msgid, as in compiled catalogues

_CONTEXT_FIRST = ((1, "c"), 2)
KEYWORDS: dict[str, Any] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": _CONTEXT_FIRST,
    "pgettext_lazy": _CONTEXT_FIRST,
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
METADATA = {
    "Project-Id-Version": "privacy-rights-portal",
    "Language": "zh_Hans",
    "MIME-Version": "1.0",
    "Content-Type": "text/plain; charset=UTF-8",
    "Content-Transfer-Encoding": "8bit",
    "Plural-Forms": "nplurals=1; plural=0;",
}
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|(?<!\{)\{(\w*)[^{}]*\}(?!\})|%[sd]")


@dataclass
class Message:
    """One thing the source says, and where."""

    msgid: str
    plural: str = ""
    context: str | None = None
    files: set[str] = field(default_factory=set)

    @property
    def key(self) -> str:
        return f"{self.context}{CONTEXT_MARK}{self.msgid}" if self.context else self.msgid


def compile_catalogues() -> None:
    """Write each catalogue that is newer than its compiled form; whole, so that no process reads half of one."""
    for source in LOCALE_DIR.glob("*/LC_MESSAGES/*.po"):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            continue
        handle, draft = tempfile.mkstemp(dir=source.parent, prefix=".compiling-")
        os.close(handle)
        polib.pofile(str(source)).save_as_mofile(draft)
        Path(draft).chmod(0o644)
        Path(draft).replace(target)


def extract_messages() -> dict[str, Message]:
    """Everything the sources say, by key."""
    found: dict[str, Message] = {}
    for path, source in _read_sources():
        name = path.relative_to(BASE_DIR).as_posix()
        for _line, words, _comments, context in extract("python", BytesIO(source.encode()), keywords=KEYWORDS):
            msgid, plural = (words, "") if isinstance(words, str) else (words[0], words[1])
            if not msgid:
                continue
            message = Message(msgid=msgid, plural=plural, context=context)
            message = found.setdefault(message.key, message)
            message.plural = message.plural or plural
            message.files.add(name)
    return found


def _read_sources() -> Iterator[tuple[Path, str]]:
    for name in CODE_FOLDERS:
        for path in sorted((BASE_DIR / name).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path, path.read_text()
    folders = [BASE_DIR / name for name in TEMPLATE_FOLDERS]
    for folder in (*folders, *(path for name in CODE_FOLDERS for path in (BASE_DIR / name).rglob("templates"))):
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".html", ".txt"}:
                # What Django makes of a template keeps its indentation, which is none to Python.
                pseudo = templatize(path.read_text(), origin=str(path))
                yield path, "\n".join(line.strip() for line in pseudo.splitlines())


def read_catalogue() -> polib.POFile:
    return polib.pofile(str(CATALOGUE), wrapwidth=100) if CATALOGUE.exists() else polib.POFile(wrapwidth=100)


def key_of(entry: polib.POEntry) -> str:
    return f"{entry.msgctxt}{CONTEXT_MARK}{entry.msgid}" if entry.msgctxt else str(entry.msgid)


def update_catalogue(found: dict[str, Message], translations: dict[str, str | list[str]]) -> polib.POFile:
    """The catalogue of exactly what was found, with the translations it had and those given."""
    old = {key_of(entry): entry for entry in read_catalogue() if not entry.obsolete}
    new = polib.POFile(wrapwidth=100)
    new.metadata = METADATA
    for key, message in sorted(found.items(), key=lambda item: (min(item[1].files), item[0])):
        entry = polib.POEntry(msgid=message.msgid, occurrences=[(name, "") for name in sorted(message.files)])
        if message.context:
            entry.msgctxt = message.context
        if message.plural:
            entry.msgid_plural = message.plural
            entry.msgstr_plural = {0: ""}
        if re.search(r"%(\(\w+\))?[sd]", message.msgid + message.plural):
            entry.flags.append("python-format")
        known = _words_of(old[key]) if key in old else ""
        given = translations.get(key, known)
        words = given[0] if isinstance(given, list) else given
        if message.plural:
            entry.msgstr_plural = {0: words}
        else:
            entry.msgstr = words
        new.append(entry)
    return new


def _words_of(entry: polib.POEntry) -> str:
    return str(entry.msgstr_plural.get(0, "") if entry.msgid_plural else entry.msgstr)


def find_faults(found: dict[str, Message]) -> list[str]:
    """What keeps the catalogue from being whole, each as one line."""
    entries = {key_of(entry): entry for entry in read_catalogue() if not entry.obsolete}
    faults = [f"obsolete: {key!r}" for key in entries if key not in found]
    for key, message in found.items():
        entry = entries.get(key)
        where = ", ".join(sorted(message.files))
        if entry is None or not _words_of(entry):
            faults.append(f"missing: {key!r} ({where})")
        elif entry.fuzzy:
            faults.append(f"fuzzy: {key!r} ({where})")
        elif not _placeholders(_words_of(entry)) <= _placeholders(message.msgid) | _placeholders(message.plural):
            faults.append(f"names a value that the English does not: {key!r} ({where})")
        elif not message.plural and _placeholders(message.msgid) - _placeholders(_words_of(entry)):
            faults.append(f"leaves out a value that the English names: {key!r} ({where})")
    return sorted(faults)


def _placeholders(text: str) -> set[str]:
    return {match.group(0) if not match.group(1) else match.group(1) for match in PLACEHOLDER.finditer(text)}


class Command(BaseCommand):
    help = "Extract the words of the portal, keep their translations, and compile them."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; fail where words lack their Chinese")
        parser.add_argument("--compile", action="store_true", help="only compile what has changed")
        parser.add_argument(
            "--merge", type=Path, action="append", default=[], metavar="FILE.json",
            help='translations to take in: {"English": "中文"}, for a plural {"English": ["中文"]}',
        )  # fmt: skip

    def handle(self, *, check: bool, compile: bool, merge: list[Path], **options: Any) -> None:  # noqa: A002
        if compile:
            compile_catalogues()
            return
        found = extract_messages()
        if not check:
            self._write(update_catalogue(found, _read_translations(merge)), found)
        if faults := find_faults(found):
            raise CommandError("\n".join([*faults, f"{len(faults)} to mend, of {len(found)} messages."]))
        self.stdout.write(f"All {len(found)} messages have their Chinese.")

    def _write(self, catalogue: polib.POFile, found: dict[str, Message]) -> None:
        old = {key_of(entry) for entry in read_catalogue()}
        CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
        catalogue.save(str(CATALOGUE))
        compile_catalogues()
        self.stdout.write(f"{len(found.keys() - old)} new, {len(old - found.keys())} dropped.")


def _read_translations(files: list[Path]) -> dict[str, str | list[str]]:
    translations: dict[str, str | list[str]] = {}
    for path in files:
        try:
            given = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise CommandError(f"{path}: {error}") from None
        translations.update(given)
    return translations
