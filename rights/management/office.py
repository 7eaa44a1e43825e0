"""What the commands of administrators share: who acts, which day, and whether they agree to what they were shown."""

import argparse
import json
from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError
from django.utils import translation

from accounts.models import User


class OfficeCommand(BaseCommand):
    """A command of verbs: each answers with what `--json` prints, and `say` tells it in words."""

    refusals: ClassVar[tuple[type[Exception], ...]]
    """What says that it cannot be done so: its `problems`, else its text."""

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with translation.override("en"):
                said = getattr(self, f"_{options['verb']}")(options)
        except self.refusals as refused:
            raise CommandError("\n".join(getattr(refused, "problems", [str(refused)]))) from None
        if options["json"]:
            self.stdout.write(json.dumps(said, ensure_ascii=False))
        else:
            self.say(said)

    def say(self, said: Mapping[str, Any]) -> None:
        raise NotImplementedError


def find_account(account: str, *, option: str = "--by") -> User:
    user = User.objects.find_by("account_no", account)
    if user is None:
        raise CommandError(f"{option} {account}: there is no such account.")
    return user


def read_day(text: str) -> date:
    """For argparse."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no day; write it as 2027-11-23.") from None


def add_actor(part: argparse.ArgumentParser) -> None:
    part.add_argument("--by", required=True, metavar="ACCOUNT", help="account number of the administrator who does it")


def add_assent(part: argparse.ArgumentParser) -> None:
    part.add_argument("--yes", action="store_true", help="agree to what is shown, without being asked")


def require_assent(question: str, *, is_given: bool) -> None:
    """Ask at the terminal; without one nobody agrees."""
    if is_given:
        return
    try:
        agreed = input(f"{question} Type yes: ").strip().lower() == "yes"
    except (EOFError, OSError):
        agreed = False
    if not agreed:
        raise CommandError("Nothing was changed. To agree to what was shown, add --yes.")
