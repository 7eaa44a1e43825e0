"""Check a data map against the live databases, or make it the live one."""

import argparse
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.core import clock
from portal.core.systems import UnknownSystem, system_url
from rights.actions.datamap import load_map
from rights.connectors.base import ConnectorError
from rights.connectors.registry import connect
from rights.datamap import DataMap, FaultyMap, parse_documents, read_folder


class Command(BaseCommand):
    help = "Data maps: check a folder against its live databases, or load it. A faulty map changes nothing."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        for verb, text in (
            ("check", "Name every fault of a map and of the databases it describes."),
            ("load", "Check the map and make it the live one of its name."),
        ):
            part = verbs.add_parser(verb, help=text)
            part.add_argument("folder", type=Path, help="the map's folder: datasets/*.yml and governance.yml")
            part.add_argument("--json", action="store_true")
            if verb == "load":
                part.add_argument("--name", help="under which name (default: the folder's)")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["folder"]
        try:
            parsed = parse_documents(read_folder(folder))
        except FaultyMap as faulty:
            raise CommandError(_told([vars(fault) for fault in faulty.faults], str(faulty), options)) from None
        faults = list(_ask_systems(parsed))
        if faults:
            text = "\n".join(
                f"{fault['file']}: {fault['key']}: {fault['reason']} {fault['remedy']}" for fault in faults
            )
            raise CommandError(_told(faults, text, options))
        said: dict[str, Any] = {"collections": len(parsed.collections), "systems": len(parsed.systems)}
        text = f"The map is sound: {said['collections']} collections in {said['systems']} systems."
        if options["verb"] == "load":
            name = options["name"] or folder.resolve().name
            try:
                said["changed"] = load_map(folder=folder, name=name, now=clock.now())
            except FaultyMap as faulty:
                raise CommandError(_told([vars(fault) for fault in faulty.faults], str(faulty), options)) from None
            text += f" It is the live map {name} now." if said["changed"] else f" It was the live map {name} already."
        self.stdout.write(json.dumps(said) if options["json"] else text)


def _ask_systems(parsed: DataMap) -> Any:
    """What the live databases say against the map."""
    for system in parsed.systems:
        try:
            system_url(system)
            connect(system, parsed).check()
        except UnknownSystem as error:
            yield {"file": "(environment)", "key": system, "reason": str(error), "remedy": ""}
        except ConnectorError as error:
            remedy = "Correct the dataset, or the database it describes."
            yield {"file": f"systems.{system}", "key": system, "reason": str(error), "remedy": remedy}


def _told(faults: list[dict[str, str]], text: str, options: dict[str, Any]) -> str:
    return json.dumps({"faults": faults}, ensure_ascii=False) if options["json"] else text
