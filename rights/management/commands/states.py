"""The table of moves as a diagram, and whether a document shows the same."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rights.kernel.states import TABLE, draw_moves

START, END = "<!-- states -->", "<!-- /states -->"


class Command(BaseCommand):
    help = "Print the moves between the states of a request as a mermaid diagram."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--check", type=Path, metavar="FILE", help="compare with the block in FILE instead")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path | None = options["check"]
        block = f"{START}\n```mermaid\n{draw_moves()}\n```\n{END}"
        if file is not None:
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"{file} cannot be read: {error}.") from None
            found = re.search(f"{START}.*?{END}", text, re.DOTALL)
            if found is None:
                raise CommandError(f"{file} has no block between {START} and {END}.")
            if found.group() != block:
                raise CommandError(f"{file} shows other moves than the table: put in what `manage.py states` prints.")
        moves = [
            {"before": move.before, "after": move.after, "actors": sorted(move.actors), "reason": move.reason}
            for move in TABLE
        ]
        said = json.dumps({"moves": moves}) if options["json"] else block
        self.stdout.write(said if options["json"] or file is None else "The block shows the table.")
