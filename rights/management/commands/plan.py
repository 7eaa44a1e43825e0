"""What a request would do to one person's records, or to everybody's, as of a day, without anybody asking for it."""

import argparse
import json
from collections.abc import Iterator
from datetime import datetime, time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_date

from portal.core import clock
from rights.connectors.base import ConnectorError
from rights.datamap import DataMap, FaultyMap, load_live_map, parse_documents, read_folder
from rights.kernel.clock import SHANGHAI
from rights.kernel.states import Kind
from rights.planning import Matter, explain_plan, make_plan
from rights.queries import active_rules
from rights.survey import CannotSurvey, identity_kind, shape, survey
from rights.wording import explain

SECONDS = 60.0


class Command(BaseCommand):
    help = "Print the plan of a request for one person, or a line for everybody; nothing is changed."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--map", type=Path, help="a map's folder, in place of the live maps")
        parser.add_argument("--kind", choices=[kind.value for kind in Kind], default=Kind.DELETION.value)
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("--subject", action="append", help="such as client_id=2; may be repeated")
        who.add_argument("--all", action="store_true", help="every subject; with --jsonl")
        parser.add_argument("--by", help="with --all: the kind of identity that tells subjects apart")
        parser.add_argument("--as-of", help="a day such as 2026-11-23 (default: today)")
        parser.add_argument("--json", action="store_true", help="one person's plan as JSON")
        parser.add_argument("--jsonl", action="store_true", help="a line of JSON for each subject")
        parser.add_argument("--language", choices=["zh-hans", "en"], default="zh-hans", help="of the sentences")
        parser.add_argument("--explain", action="store_true", help="the rule of each line, and the SQL that counts it")

    def handle(self, *args: Any, **options: Any) -> None:
        kind, now, data_map = Kind(options["kind"]), _moment(options["as_of"]), _map(options["map"])
        if options["all"]:
            self._tell_everybody(kind, now=now, data_map=data_map, options=options)
            return
        identities = dict(_identity(text) for text in options["subject"])
        matter = Matter(kind=kind, identities=identities)
        rules = active_rules()
        plan = make_plan(matter, data_map=data_map, rules=rules, now=now, wait=SECONDS)
        if options["json"] or options["jsonl"]:
            self.stdout.write(json.dumps(shape(plan, identities, data_map), ensure_ascii=False))
        else:
            for sentence in explain(plan, data_map, options["language"]):
                self.stdout.write(sentence)
        if options["explain"]:
            for line in plan.lines:
                dates = f" until {line.last_release} (first {line.first_release})" if line.last_release else ""
                told = f"-- {line.collection}: {line.fate} {line.count}{dates} {line.key} {line.rule or ''}"
                self.stdout.write(told.rstrip())
            for text in explain_plan(matter, data_map=data_map, rules=rules, now=now, patience=SECONDS):
                self.stdout.write(text)
        if plan.unknown:
            raise CommandError(f"These systems did not answer: {', '.join(plan.unknown)}.")

    def _tell_everybody(self, kind: Kind, *, now: datetime, data_map: DataMap, options: dict[str, Any]) -> None:
        if options["json"] or options["explain"]:
            raise CommandError("--all writes a line for each subject: use --jsonl, without --json and --explain.")
        try:
            identity = options["by"] or identity_kind(data_map)
            lines = survey(kind=kind, identity=identity, data_map=data_map, rules=active_rules(), now=now)
            for block in _blocks(lines):
                self.stdout.write(block)
        except CannotSurvey as error:
            raise CommandError(str(error)) from None
        except ConnectorError as error:
            raise CommandError(f"{error} Lines may be missing.") from None


def _blocks(lines: Iterator[str], size: int = 1000) -> Iterator[str]:
    """Lines joined, as one write a line takes longer than making it."""
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) == size:
            yield "\n".join(block)
            block.clear()
    if block:
        yield "\n".join(block)


def _map(folder: Path | None) -> DataMap:
    try:
        return parse_documents(read_folder(folder)) if folder else load_live_map()
    except FaultyMap as faulty:
        raise CommandError(str(faulty)) from None


def _identity(text: str) -> tuple[str, str]:
    kind, sign, value = text.partition("=")
    if not (kind and sign and value):
        raise CommandError(f"--subject {text}: write the kind and the value, such as client_id=2.")
    return kind, value


def _moment(text: str | None) -> datetime:
    if text is None:
        return clock.now()
    day = parse_date(text)
    if day is None:
        raise CommandError(f"--as-of {text} is no day; write it as 2026-11-23.")
    # Midday, so that the day is that day in Shanghai whatever is rounded.
    return datetime.combine(day, time(12), tzinfo=SHANGHAI)
