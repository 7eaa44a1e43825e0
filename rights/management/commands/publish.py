"""Publish a version of the privacy policy, or a notice of a breach, from a checked file."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from portal.core import clock
from rights.actions.publishing import Faulty, Refused, publish_breach, publish_policy, read_breach, read_policy
from rights.management.office import OfficeCommand, add_actor, add_assent, find_account, require_assent
from rights.models import Breach, PrivacyPolicy


class Command(OfficeCommand):
    help = "Publish a version of the privacy policy or a notice of a breach, or list what was published."
    refusals = (Faulty, Refused)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        for verb, text in (
            ("policy", "A version: what changed, and for which purposes consent is asked (again)."),
            ("breach", "To those whom it concerns: what happened, which data, what was done, what to do, whom to ask."),
        ):
            part = verbs.add_parser(verb, help=f"{text} A faulty file changes nothing.")
            part.add_argument("file", type=Path, help="NAME.yml")
            add_actor(part)
            add_assent(part)
            part.add_argument("--json", action="store_true")
        verbs.add_parser("list", help="What was published.").add_argument("--json", action="store_true")

    def _policy(self, options: dict[str, Any]) -> dict[str, Any]:
        data, admin = read_policy(_read(options["file"])), find_account(options["by"])
        asked = ", ".join(ask["purpose"] for ask in data.asks) or "none"
        require_assent(
            f"Version {data.version} applies from {data.effective_on}; purposes asked about: {asked}. Publish?",
            is_given=options["yes"],
        )
        return {"policy": data.version, "new": publish_policy(data, by=admin, now=clock.now())}

    def _breach(self, options: dict[str, Any]) -> dict[str, Any]:
        data, admin = read_breach(_read(options["file"])), find_account(options["by"])
        whom = "everybody" if data.accounts is None else f"{len(data.accounts)} accounts"
        require_assent(f"{data.reference} goes to {whom}. Publish?", is_given=options["yes"])
        made, is_new = publish_breach(data, by=admin, now=clock.now())
        return {"breach": made.reference, "new": is_new, "told": made.told}

    def _list(self, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "policies": [
                {"version": item.version, "effective_on": item.effective_on.isoformat(), "asks": len(item.asks)}
                for item in PrivacyPolicy.objects.order_by("effective_on")
            ],
            "breaches": [
                {"reference": item.reference, "told": item.told, "at": item.published_at.isoformat()}
                for item in Breach.objects.order_by("published_at")
            ],
        }

    def say(self, said: Mapping[str, Any]) -> None:
        if "new" in said:
            name = said.get("policy") or said.get("breach")
            self.stdout.write(f"{name} is published." if said["new"] else f"{name} was published already.")
            return
        for item in said["policies"]:
            self.stdout.write(
                f"Policy {item['version']} from {item['effective_on']}: {item['asks']} purposes asked about"
            )
        for item in said["breaches"]:
            self.stdout.write(f"Breach {item['reference']}: {item['told']} people told, {item['at']}")
        if not said["policies"] and not said["breaches"]:
            self.stdout.write("Nothing was published.")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}.") from None
