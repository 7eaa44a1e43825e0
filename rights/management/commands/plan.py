"""What a request would do to one person's records, as of a day, without anybody asking for it."""

import argparse
import json
from datetime import datetime, time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_date

from portal.core import clock
from rights.datamap import DataMap, FaultyMap, load_live_map, parse_documents, read_folder
from rights.kernel.clock import SHANGHAI
from rights.kernel.states import Kind
from rights.planning import Matter, make_plan
from rights.queries import active_rules

SECONDS = 60.0


class Command(BaseCommand):
    help = "Print the plan of a request for one person; nothing is changed."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--map", type=Path, help="a map's folder, in place of the live maps")
        parser.add_argument("--kind", choices=[kind.value for kind in Kind], default=Kind.DELETION.value)
        parser.add_argument("--subject", required=True, action="append", help="such as client_id=2; may be repeated")
        parser.add_argument("--as-of", help="a day such as 2026-11-23 (default: today)")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        identities = dict(_identity(text) for text in options["subject"])
        matter = Matter(kind=Kind(options["kind"]), identities=identities)
        plan = make_plan(
            matter, data_map=_map(options["map"]), rules=active_rules(), now=_moment(options["as_of"]), wait=SECONDS
        )
        if options["json"]:
            self.stdout.write(json.dumps(plan.to_json(), ensure_ascii=False))
        else:
            for line in plan.lines:
                dates = f" until {line.last_release} (first {line.first_release})" if line.last_release else ""
                self.stdout.write(
                    f"{line.collection}: {line.fate} {line.count}{dates} {line.key} {line.rule or ''}".rstrip()
                )
        if plan.unknown:
            raise CommandError(f"These systems did not answer: {', '.join(plan.unknown)}.")


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
