"""Before a database that was restored from a backup serves again: erase once more what was erased since."""

import argparse
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime

from portal.core import clock
from rights.actions.erasures import replay
from rights.connectors.base import ConnectorError
from rights.datamap import load_live_map
from rights.kernel.clock import SHANGHAI


class Command(BaseCommand):
    help = (
        "Erase again, in a database restored from a backup, what was erased after the backup was made. Run it before "
        "the database serves; it may serve when this ends with 0."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("system", help="as the data map names it; the restored database is at its address")
        parser.add_argument("--made", required=True, type=_moment, metavar="MOMENT", help="when the backup was begun")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        data_map, system = load_live_map(), options["system"]
        if system not in data_map.systems:
            known = ", ".join(data_map.systems) or "none"
            raise CommandError(f"The live data map has no system {system}; it has {known}.")
        now = clock.now()
        if options["made"] > now:
            raise CommandError(f"--made {options['made'].isoformat()} has not come yet: when was the backup begun?")
        try:
            done = replay(system, data_map=data_map, since=options["made"], now=now)
        except ConnectorError as error:
            raise CommandError(f"{error} The database must not serve yet; run this again.") from None
        except KeyError as error:
            raise CommandError(
                f"A part of the log is under the index key v{error.args[0]}, which the keyring no longer has. Put that "
                "key back and run this again."
            ) from None
        if options["json"]:
            self.stdout.write(json.dumps([asdict(item) for item in done]))
            return
        for item in done:
            self.stdout.write(
                f"{item.collection}: {item.logged} in the log, {item.erased} were back and are erased again."
                + (f" {item.flagged} that may only be stored are marked again." if item.flagged else "")
            )
        if not done:
            self.stdout.write(f"Nothing of {system} was erased since. It may serve.")


def _moment(text: str) -> datetime:
    moment = parse_datetime(text if "T" in text else f"{text}T00:00")
    if moment is None:
        raise argparse.ArgumentTypeError(f"{text} is no moment; write it as 2026-12-18T09:00.")
    return moment if moment.tzinfo else moment.replace(tzinfo=SHANGHAI)
