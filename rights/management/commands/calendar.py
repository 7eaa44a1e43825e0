"""The calendar of working days: import a year, or show the years that are known."""

import argparse
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from portal.core import clock
from rights.actions.calendar import CannotSet, FaultyCalendar, YearData, import_year, read_csv, read_json
from rights.models import CalendarYear


class Command(BaseCommand):
    help = "Working days: import the days off and make-up working days of a whole year, or show what is known."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        part = verbs.add_parser("import", help="Make a file what holds for its year. A faulty file changes nothing.")
        part.add_argument("file", type=Path, help="NAME.json, or NAME.csv with the columns day,kind (off or work)")
        part.add_argument("--by", required=True, metavar="ACCOUNT", help="account number of the administrator")
        part.add_argument("--year", type=int, help="of a CSV file")
        part.add_argument("--source", help="of a CSV file: the notice and its date")
        part.add_argument("--json", action="store_true")
        part = verbs.add_parser("show", help="The years that are known, each with its source.")
        part.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        said = self._import(options) if options["verb"] == "import" else self._show()
        if options["json"]:
            self.stdout.write(json.dumps(said, ensure_ascii=False))
            return
        for year in said["years"]:
            who = year["imported_by"] or "shipped"
            self.stdout.write(
                f"{year['year']}: {year['days_off']} days off, {year['make_up']} make-up working days; "
                f"{year['source']} ({who}, {year['imported_at']})"
            )
        if not said["years"]:
            self.stdout.write("No year is known.")

    def _import(self, options: dict[str, Any]) -> dict[str, Any]:
        admin = User.objects.find_by("account_no", options["by"])
        if admin is None:
            raise CommandError(f"--by {options['by']}: there is no such account.")
        try:
            row = import_year(_read(options), imported_by=admin, now=clock.now())
        except FaultyCalendar as faulty:
            raise CommandError(
                json.dumps({"faults": faulty.faults}, ensure_ascii=False) if options["json"] else str(faulty)
            ) from None
        except CannotSet as refused:
            raise CommandError(f"--by {options['by']}: {refused}") from None
        return {"years": [_describe(row)]}

    def _show(self) -> dict[str, Any]:
        newest = {row.year: row for row in CalendarYear.objects.select_related("imported_by").order_by("id")}
        return {"years": [_describe(newest[year]) for year in sorted(newest)]}


def _read(options: dict[str, Any]) -> YearData:
    file: Path = options["file"]
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}.") from None
    match file.suffix:
        case ".json":
            return read_json(text)
        case ".csv" if options["year"] and options["source"]:
            return read_csv(text, year=options["year"], source=options["source"])
        case ".csv":
            raise CommandError("A CSV file states neither its year nor its source; give --year and --source.")
        case _:
            raise CommandError(f"{file}: write the calendar as .json or .csv.")


def _describe(row: CalendarYear) -> dict[str, Any]:
    return {
        "year": row.year,
        "days_off": len(row.days_off),
        "make_up": len(row.make_up),
        "source": row.source,
        "imported_by": row.imported_by.display_name if row.imported_by else None,
        "imported_at": row.imported_at.isoformat(),
    }
