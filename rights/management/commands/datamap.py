"""Data maps: check one against the live databases, load it, compare, draft one, and grant what it needs."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError

from portal.core import clock
from rights.actions.datamap import Report, check_map, compare_with_live, list_grants, load_map, suggest_map
from rights.connectors.base import ConnectorError
from rights.datamap import DataMap, FaultyMap, read_folder
from rights.datamap.diff import Change
from rights.datamap.parse import parse_mentioned

SHOWN_MISSING = 20


class Command(BaseCommand):
    help = "Data maps: check, load, diff, suggest, grants. A faulty map changes nothing."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        for verb, text in (
            ("check", "Name every fault of a map and of the databases it describes, and what the map leaves out."),
            ("load", "Check the map, show what changes, and make it the live one of its name."),
            ("diff", "Show what loading the map would change."),
            ("grants", "Print the least that the portal's role must be granted in each system."),
        ):
            part = verbs.add_parser(verb, help=text)
            part.add_argument("folder", type=Path, help="the map's folder: datasets/*.yml and governance.yml")
            part.add_argument("--json", action="store_true")
            if verb in {"load", "diff"}:
                part.add_argument("--name", help="under which name (default: the folder's)")
            if verb == "load":
                part.add_argument("--yes", action="store_true", help="replace a live map that differs without asking")
            if verb == "grants":
                part.add_argument("--role", help="the role (default: the one that each system's address names)")
        part = verbs.add_parser("suggest", help="Draft a map from a live schema.")
        part.add_argument("system", help="the system's name; its address is in SYSTEM_<NAME>_URL")
        part.add_argument("--schema", required=True)
        part.add_argument("--identity", action="append", default=[], metavar="TABLE.COLUMN=KIND")
        part.add_argument("--out", type=Path, help="the folder to write (default: print)")
        part.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json: bool = options["json"]
        if options["verb"] == "suggest":
            self._suggest(options)
            return
        try:
            parsed, mentioned = parse_mentioned(read_folder(options["folder"]))
            name = options.get("name") or options["folder"].resolve().name
            if options["verb"] == "diff":
                self._say_changes(compare_with_live(parsed, name=name), name)
            elif options["verb"] == "grants":
                self._grants(parsed, role=options["role"])
            else:
                report = check_map(parsed, mentioned)
                self._require_sound(report)
                if options["verb"] == "load":
                    self._load(parsed, report, name=name, options=options)
                else:
                    self._say(self._sound(parsed, report), self._sound_text(parsed, report))
        except FaultyMap as faulty:
            faults = [{"severity": "fault", **vars(fault)} for fault in faulty.faults]
            self._fail({"faults": faults, "warnings": []}, str(faulty))

    def _require_sound(self, report: Report) -> None:
        if report.faults:
            said = {"faults": [vars(item) for item in report.faults], "warnings": [vars(w) for w in report.warnings]}
            self._fail(said, "\n".join(str(item) for item in (*report.faults, *report.warnings)))

    def _load(self, parsed: DataMap, report: Report, *, name: str, options: dict[str, Any]) -> None:
        changes = compare_with_live(parsed, name=name)
        if changes and not options["yes"]:
            self._say_differences(changes)
            if self.as_json or not self._is_agreed(name):
                text = f"The live map {name} differs, and stays as it is. To replace it, add --yes."
                self._fail({"error": text, "changes": [vars(item) for item in changes]}, text)
        elif changes:
            self._say_differences(changes)
        changed = load_map(folder=options["folder"], name=name, now=clock.now())
        said = {**self._sound(parsed, report), "changed": changed, "changes": [vars(item) for item in changes or ()]}
        text = f"It is the live map {name} now." if changed else f"It was the live map {name} already."
        self._say(said, f"{self._sound_text(parsed, report)}\n{text}")

    def _is_agreed(self, name: str) -> bool:
        """Whether the person at the terminal says yes. Without a terminal nobody does."""
        try:
            return input(f"Replace the live map {name}? Type yes: ").strip().lower() == "yes"
        except (EOFError, OSError):
            return False

    def _sound(self, parsed: DataMap, report: Report) -> dict[str, Any]:
        coverage = [{**vars(item), "percent": item.percent} for item in report.coverage]
        return {
            "collections": len(parsed.collections),
            "systems": len(parsed.systems),
            "faults": [],
            "warnings": [vars(item) for item in report.warnings],
            "coverage": coverage,
        }

    def _sound_text(self, parsed: DataMap, report: Report) -> str:
        lines = [str(item) for item in report.warnings]
        lines.append(f"The map is sound: {len(parsed.collections)} collections in {len(parsed.systems)} systems.")
        for item in report.coverage:
            lines.append(f"{item.system}: {item.mentioned} of {item.columns} columns are mentioned ({item.percent} %).")
            if item.missing:
                more = f" and {len(item.missing) - SHOWN_MISSING} more" if len(item.missing) > SHOWN_MISSING else ""
                lines.append(f"  Not mentioned: {', '.join(item.missing[:SHOWN_MISSING])}{more}.")
        return "\n".join(lines)

    def _say_changes(self, changes: Sequence[Change] | None, name: str) -> None:
        if self.as_json:
            self._say({"name": name, "live": changes is not None, "changes": [vars(item) for item in changes or ()]})
        elif changes is None:
            self.stdout.write(f"There is no live map {name} yet: all of it would be new.")
        elif not changes:
            self.stdout.write(f"Nothing would change in the live map {name}.")
        else:
            self._say_differences(changes)

    def _say_differences(self, changes: Iterable[Change]) -> None:
        if self.as_json:
            return
        for item in changes:
            self.stdout.write(str(item))

    def _grants(self, parsed: DataMap, *, role: str | None) -> None:
        try:
            found = list_grants(parsed, role=role)
        except ConnectorError as error:
            self._fail({"error": str(error)}, str(error))
        text = "\n".join("\n".join([f"-- {system}", *statements]) for system, statements in found.items())
        self._say({"grants": found}, text)

    def _suggest(self, options: dict[str, Any]) -> None:
        try:
            identities = dict(_identity(text) for text in options["identity"])
            draft = suggest_map(system=options["system"], schema=options["schema"], identities=identities)
        except (ConnectorError, ValueError) as error:
            self._fail({"error": str(error)}, str(error))
        if folder := options["out"]:
            for name in draft.documents:
                if (folder / name).exists():
                    said = f"{folder / name} is there already; name another folder."
                    self._fail({"error": said}, said)
            for name, text in draft.documents.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text, encoding="utf-8")
            text = "\n".join([f"Written to {folder}.", *draft.todo])
            self._say({"written": [str(folder / name) for name in draft.documents], "todo": draft.todo}, text)
        else:
            text = "".join(f"# --- {name}\n{text}" for name, text in draft.documents.items())
            self._say({"documents": draft.documents, "todo": draft.todo}, text)

    def _say(self, said: dict[str, Any], text: str = "") -> None:
        self.stdout.write(self._told(said, text))

    def _told(self, said: dict[str, Any], text: str) -> str:
        return json.dumps(said, ensure_ascii=False) if self.as_json else text

    def _fail(self, said: dict[str, Any], text: str) -> NoReturn:
        """Not all is well: as JSON on the output, where its reader looks, or as text among the errors."""
        if not self.as_json:
            raise CommandError(text)
        self._say(said)
        sys.exit(1)


def _identity(text: str) -> tuple[tuple[str, str], str]:
    column, equals, kind = text.partition("=")
    table, dot, name = column.rpartition(".")
    if not (equals and dot and table and name and kind):
        raise ValueError(f"{text}: write --identity table.column=kind, such as customer.id_number=id_number.")
    return (table, name), kind
