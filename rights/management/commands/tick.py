"""What beat does, once: find what is due and do it here."""

import argparse
import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime

from portal.core import clock
from rights.actions import fulfil, watch
from rights.kernel.clock import SHANGHAI
from rights.models import Request


class Command(BaseCommand):
    help = "Do once what beat does at every tick; requests are advanced in this process."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--as-of", help="a moment such as 2026-12-18T09:00 (Shanghai time); with DEMO=1 only")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        now = _moment(options["as_of"])

        def advance(request: Request) -> None:
            fulfil.advance(request_id=request.pk, now=now)

        try:
            done = watch.tick(now=now, dispatch=advance)
        except ExceptionGroup as failed:
            raise CommandError("; ".join(_causes(failed))) from failed
        text = ", ".join(f"{name} {count}" for name, count in done.items())
        self.stdout.write(json.dumps(done) if options["json"] else text)


def _causes(failed: BaseExceptionGroup[BaseException]) -> list[str]:
    """Each failure by its kind; what it says may quote a record."""
    found: list[str] = []
    for error in failed.exceptions:
        found += _causes(error) if isinstance(error, BaseExceptionGroup) else [type(error).__name__]
    return [f"A part of the tick failed ({name})." for name in dict.fromkeys(found)]


def _moment(text: str | None) -> datetime:
    if text is None:
        return clock.now()
    if not settings.DEMO:
        raise CommandError("--as-of moves the clock and works with DEMO=1 only; nothing was done.")
    moment = parse_datetime(text if "T" in text else f"{text}T09:00")
    if moment is None:
        raise CommandError(f"--as-of {text} is no moment; write it as 2026-12-18T09:00.")
    return moment if moment.tzinfo else moment.replace(tzinfo=SHANGHAI)
