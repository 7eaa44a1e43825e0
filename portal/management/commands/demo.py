"""The demo's data: load it, start it afresh, move its clock."""

import argparse
import json
import os
import shutil
import time
from datetime import datetime
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections
from psycopg import sql

from portal.core import clock
from portal.demo.loading import load_demo
from portal.demo.systems import DemoError, drop_systems

PEOPLE = 2000
# What the portal wrote beside its database and what would contradict a new one.
LEFTOVERS = ("heads", "files", "packages", "exports", "clock-offset")


class Command(BaseCommand):
    help = "The demo's business systems, sign-ins and data map: load, reset, travel."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        for verb, text in (
            ("load", "Load what is missing; quick where nothing is."),
            ("reset", "Drop the portal's database and the business systems, and load the demo afresh."),
        ):
            part = verbs.add_parser(verb, help=text)
            part.add_argument("--people", type=int, default=PEOPLE, help=f"synthetic people (default {PEOPLE})")
            part.add_argument("--json", action="store_true")
        part = verbs.add_parser("travel", help="Move the demo's clock.")
        where = part.add_mutually_exclusive_group(required=True)
        where.add_argument("--to", help="a date or moment, such as 2026-12-18 or 2026-12-18T09:00 (Shanghai time)")
        where.add_argument("--back", action="store_true", help="to the real time")
        part.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("DEMO is not 1: there is no demo to load, and nothing was done.")
        try:
            said = getattr(self, f"_{options['verb']}")(**options)
        except DemoError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(said, ensure_ascii=False) if options["json"] else _as_text(said))

    def _load(self, *, people: int, **options: Any) -> dict[str, Any]:
        if people < 0:
            raise CommandError("--people must not be negative.")
        begun = time.monotonic()
        done = load_demo(
            admin_url=_owner_url(),
            prefix=_prefix(),
            data_dir=settings.DATA_DIR,
            people=people,
            now=clock.now(),
        )
        connection.close()
        return {
            "loaded": done.changed,
            "accounts": done.accounts,
            "data_map_changed": done.map_changed,
            "records": {system.system: sum(system.rows.values()) for system in done.systems if not system.already},
            "seconds": round(time.monotonic() - begun, 1),
        }

    def _reset(self, *, people: int, **options: Any) -> dict[str, Any]:
        begun = time.monotonic()
        drop_systems(admin_url=_url(dbname="postgres"), prefix=_prefix(), data_dir=settings.DATA_DIR)
        _renew_database()
        for name in LEFTOVERS:
            path = settings.DATA_DIR / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        call_command("migrate", verbosity=0, interactive=False)
        said = self._load(people=people, **options)
        return {**said, "seconds": round(time.monotonic() - begun, 1)}

    def _travel(self, *, to: str | None, back: bool, **options: Any) -> dict[str, Any]:
        if back:
            clock.travel_back()
        else:
            clock.travel_to(_read_moment(to or ""))
        return {"now": clock.now().astimezone(clock.SHANGHAI).isoformat(timespec="seconds")}


def _owner_url() -> str:
    """The address of the role that may make databases: the one this command's own tables belong to."""
    return os.environ["DATABASE_URL"]


def _url(**changes: str) -> str:
    return psycopg.conninfo.make_conninfo(_owner_url(), **changes)


def _prefix() -> str:
    """After the portal's own database, so that two portals on one server do not share business systems."""
    return f"{connection.settings_dict['NAME']}_"


def _renew_database() -> None:
    """Drop the portal's database and make it again. The portal must not be running: its connections are not ours to
    end."""
    name = sql.Identifier(str(connection.settings_dict["NAME"]))
    connections.close_all()
    with psycopg.connect(_url(dbname="postgres"), autocommit=True) as server:
        try:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
        except psycopg.errors.ObjectInUse:
            raise CommandError("The portal is running on this data. Stop it, then reset again.") from None
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name))


def _read_moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is not a date or moment such as 2026-12-18 or 2026-12-18T09:00.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=clock.SHANGHAI)


def _as_text(said: dict[str, Any]) -> str:
    if "now" in said:
        return f"The demo's clock says {said['now']}."
    if not said["loaded"]:
        return "The demo is loaded already."
    records = sum(said["records"].values())
    return f"The demo is loaded: {records:,} records, {said['accounts']} sign-ins, in {said['seconds']} s."
