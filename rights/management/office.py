"""What the commands of administrators share: who acts, which day, and whether they agree to what they were shown."""

import argparse
from datetime import date

from django.core.management.base import CommandError

from accounts.models import User


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
