"""The business systems: what stands between the workers and each, and how to stop erasures and let them go on."""

import argparse
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from portal.core import clock
from portal.core.clock import SHANGHAI
from rights.actions import gates
from rights.actions.gates import CannotSet
from rights.datamap import load_live_map
from rights.management.office import OfficeCommand, add_actor, find_account
from rights.models import Gate
from rights.queries import SystemState, stopped_gates, system_states

NONE, MOST = "none", 32_767  # what the smaller of the two columns holds


class Command(OfficeCommand):
    refusals = (CannotSet,)
    help = "The systems of the live data map: stop erasures, let them go on, count only (shadow mode), set limits."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        part = verbs.add_parser("list", help="Every system: whether it works, what waits and what failed.")
        part.add_argument("--json", action="store_true")
        part = verbs.add_parser("stop", help="Erase nothing more, from the next batch on; what is asked for waits.")
        part.add_argument("--reason", required=True, help="why; staff read it on every page of the desk")
        part.add_argument("--system", default=Gate.EVERY, metavar="KEY", help="only this one (default: all)")
        _add_rest(part)
        part = verbs.add_parser("resume", help="Let erasures go on where they were stopped.")
        part.add_argument("--system", default=Gate.EVERY, metavar="KEY", help="this one (default: the stop of all)")
        _add_rest(part)
        part = verbs.add_parser("shadow", help="Count only what would be done to a system, or take it live.")
        part.add_argument("mode", choices=("on", "off"))
        part.add_argument("--system", required=True, metavar="KEY")
        _add_rest(part)
        part = verbs.add_parser("limit", help="Bound the steps on a system; what is not given stays as it is.")
        part.add_argument("--system", required=True, metavar="KEY")
        for option, text in (("--at-once", "steps at the same time"), ("--per-minute", "steps begun in a minute")):
            # Absent and none are two things: only what is given is set.
            part.add_argument(
                option, type=_read_limit, default=argparse.SUPPRESS, metavar="N", help=f"{text}, or {NONE}"
            )
        _add_rest(part)

    def say(self, said: Mapping[str, Any]) -> None:
        for system in said["systems"]:
            self.stdout.write(_sentence(system))

    def _list(self, options: dict[str, Any]) -> dict[str, Any]:
        states = system_states(load_live_map(), now=clock.now())
        return {"systems": [_describe(state) for state in states.values()]}

    def _stop(self, options: dict[str, Any]) -> dict[str, Any]:
        by, key = find_account(options["by"]), _find(options["system"])
        gates.stop_erasures(system=key, reason=options["reason"], by=by, now=clock.now())
        return _one(key)

    def _resume(self, options: dict[str, Any]) -> dict[str, Any]:
        by, key = find_account(options["by"]), _find(options["system"])
        try:
            gates.resume_erasures(system=key, by=by, now=clock.now())
        except CannotSet as refused:
            stopped = ", ".join(gate.system for gate in stopped_gates() if gate.system != key)
            raise CannotSet(f"{refused} Stopped are: {stopped}." if stopped else str(refused)) from None
        return _one(key)

    def _shadow(self, options: dict[str, Any]) -> dict[str, Any]:
        by, key = find_account(options["by"]), _find_single(options["system"])
        gates.set_shadow(system=key, shadow=options["mode"] == "on", by=by, now=clock.now())
        return _one(key)

    def _limit(self, options: dict[str, Any]) -> dict[str, Any]:
        by, key = find_account(options["by"]), _find_single(options["system"])
        given = {name: options[name] for name in ("at_once", "per_minute") if name in options}
        if not given:
            raise CommandError(f"Give --at-once or --per-minute, each a number or {NONE}.")
        with transaction.atomic():
            # Of two who each set one of the limits, neither takes back what the other set.
            Gate.objects.get_or_create(pk=key)
            gate = Gate.objects.select_for_update().get(pk=key)
            limits = {"at_once": gate.at_once, "per_minute": gate.per_minute, **given}
            gates.set_limits(system=key, by=by, now=clock.now(), **limits)
        return _one(key)


def _add_rest(part: argparse.ArgumentParser) -> None:
    add_actor(part)
    part.add_argument("--json", action="store_true")


def _read_limit(text: str) -> int | None:
    """For argparse."""
    if text == NONE:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST):
        raise argparse.ArgumentTypeError(f"{text} is no limit; write a whole number from 1 to {MOST}, or {NONE}.")
    return int(text)


def _states() -> dict[str, SystemState]:
    return system_states(load_live_map(), now=clock.now())


def _one(key: str) -> dict[str, Any]:
    return {"systems": [_describe(_states()[key])]}


def _find(key: str) -> str:
    known = _states()
    if key not in known:
        raise CommandError(f"--system {key}: there is no such system. Known are: {', '.join(known)}.")
    return key


def _find_single(key: str) -> str:
    """Shadow mode and limits are one system's own."""
    if key == Gate.EVERY:
        known = ", ".join(name for name in _states() if name != Gate.EVERY)
        raise CommandError(f"--system {key}: name one system. Known are: {known}.")
    return _find(key)


def _describe(state: SystemState) -> dict[str, Any]:
    gate, systems = state.gate, load_live_map().systems
    return {
        "system": state.key,
        "label": systems[state.key].label("en") if state.key in systems else None,
        "stopped_since": _moment(gate.stopped_at),
        "stopped_by": gate.stopped_by.display_name if gate.stopped_by else None,
        "reason": gate.reason or None,
        "shadow": gate.shadow,
        "at_once": gate.at_once,
        "per_minute": gate.per_minute,
        "failures": gate.failures,
        "left_alone_until": _moment(state.rests_until),
        "waiting": state.waiting,
        "failed": state.failed,
    }


def _moment(value: datetime | None) -> str | None:
    return value.astimezone(SHANGHAI).isoformat(timespec="seconds") if value else None


def _sentence(system: dict[str, Any]) -> str:
    label = "all systems" if system["system"] == Gate.EVERY else system["label"] or "not in the live map"
    words = []
    if system["stopped_since"]:
        words.append(f"stopped since {system['stopped_since']} by {system['stopped_by']}: {system['reason']}")
    if system["failures"]:
        words.append(f"{system['failures']} failures in a row")
    if system["left_alone_until"]:
        words.append(f"left alone until {system['left_alone_until']}")
    if system["shadow"]:
        words.append("shadow mode")
    if system["at_once"]:
        words.append(f"at most {system['at_once']} steps at once")
    if system["per_minute"]:
        words.append(f"at most {system['per_minute']} steps a minute")
    return (
        f"{system['system']} ({label}): {'; '.join(words) or 'works'}; "
        f"steps waiting {system['waiting']}, failed {system['failed']}"
    )
