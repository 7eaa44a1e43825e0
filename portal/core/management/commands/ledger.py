"""`manage.py ledger verify`: recompute the ledger and compare it with the heads that were exported."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from portal.core import ledger


class Command(BaseCommand):
    help = "Check the ledger against itself and against its exported heads. Exit code 1 if anything is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["verify"])
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        report = ledger.verify()
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report) | {"sound": report.sound}, ensure_ascii=False))
        else:
            self.stdout.write(f"{report.entries} entries, {report.heads} heads.")
            for problem in report.problems:
                self.stdout.write(f"- {problem}")
            if report.unproven:
                self.stdout.write(
                    f"{report.unproven} entries are newer than the last head:"
                    " what was removed among them cannot be shown."
                )
            self.stdout.write("The ledger is sound." if report.sound else "The ledger is NOT sound.")
        if not report.sound:
            sys.exit(1)
