"""Retention rules: list the versions, propose one, approve one that another administrator proposed."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from portal.core import clock
from rights.actions import retention
from rights.actions.retention import RuleDraft, RulePreview, RuleRefused, StalePreview
from rights.kernel.clock import local_day
from rights.kernel.retention import Bound, Count, Rank
from rights.management.office import OfficeCommand, add_actor, add_assent, find_account, read_day, require_assent
from rights.models import RetentionRule


class Command(OfficeCommand):
    refusals = (RuleRefused, StalePreview)
    help = "Retention rules in versions: one administrator proposes, another approves on what it would change."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        part = verbs.add_parser("list", help="Every version, with who proposed and who approved it.")
        part.add_argument("--json", action="store_true")
        part = verbs.add_parser("propose", help="Write the next version of a code; nothing is held by it yet.")
        part.add_argument("rule", metavar="CODE", help="such as AML-5-TXN")
        part.add_argument("--class", dest="classes", action="append", required=True, help="may be repeated")
        part.add_argument("--duration", required=True, help="such as P5Y or P6M")
        part.add_argument("--citation", required=True, help="the law or regulation it rests on")
        part.add_argument("--trigger", required=True, help="what starts the period, in words")
        part.add_argument("--from", dest="effective_from", type=read_day, required=True, metavar="DAY")
        part.add_argument("--to", dest="effective_to", type=read_day, metavar="DAY")
        part.add_argument("--bound", type=Bound, choices=list(Bound), default=Bound.MINIMUM)
        part.add_argument("--count", type=Count, choices=list(Count), default=Count.ANNIVERSARY)
        part.add_argument("--rank", type=Rank, choices=list(Rank), default=Rank.LAW)
        part.add_argument("--entity", dest="entities", action="append", default=[], help="default: every company")
        part.add_argument("--supersedes", default="", metavar="CODE", help="the other rule whose place it takes")
        self._add_common(part)
        part = verbs.add_parser("adopt", help="Propose a rule that the product ships as a proposal.")
        part.add_argument("rule", metavar="RULE", help="as list names it, such as AML-10-TXN")
        self._add_common(part)
        part = verbs.add_parser("approve", help="Show what it would change, and put another's proposal into force.")
        part.add_argument("rule", metavar="RULE", help='as list names it, such as "AML-5-TXN v2"')
        add_assent(part)
        self._add_common(part)
        part = verbs.add_parser("withdraw", help="Take a proposal off the list.")
        part.add_argument("rule", metavar="RULE")
        self._add_common(part)

    def _add_common(self, part: argparse.ArgumentParser) -> None:
        add_actor(part)
        part.add_argument("--json", action="store_true")

    def say(self, said: Mapping[str, Any]) -> None:
        for rule in said["rules"]:
            self.stdout.write(_sentence(rule))

    def _list(self, options: dict[str, Any]) -> dict[str, Any]:
        rows = RetentionRule.objects.select_related("proposed_by", "activated_by").order_by("code", "version")
        return {"rules": [_describe(row) for row in rows]}

    def _propose(self, options: dict[str, Any]) -> dict[str, Any]:
        draft = RuleDraft(
            code=options["rule"],
            data_classes=tuple(options["classes"]),
            entities=tuple(options["entities"]),
            **{
                name: options[name]
                for name in (
                    "duration", "citation", "trigger", "effective_from", "effective_to", "bound", "count", "rank",
                    "supersedes",
                )
            },
        )  # fmt: skip
        row = retention.propose(draft, actor=find_account(options["by"]), now=clock.now())
        return {"rules": [_describe(row)]}

    def _adopt(self, options: dict[str, Any]) -> dict[str, Any]:
        row = _find(options["rule"])
        retention.adopt(row, actor=find_account(options["by"]), now=clock.now())
        return {"rules": [_describe(row)]}

    def _approve(self, options: dict[str, Any]) -> dict[str, Any]:
        row, actor = _find(options["rule"]), find_account(options["by"])
        seen = retention.preview_activation(row, now=clock.now())
        if not options["json"]:
            self.stdout.write(_preview_sentence(row, seen))
        require_assent(f"Put {row} into force?", is_given=options["yes"])
        retention.activate(row, actor=actor, seen=seen, now=clock.now())
        changes = {name: value.isoformat() if hasattr(value, "isoformat") else value
                   for name, value in asdict(seen).items()}  # fmt: skip
        return {"rules": [_describe(row)], "changes": changes}

    def _withdraw(self, options: dict[str, Any]) -> dict[str, Any]:
        row = _find(options["rule"])
        retention.withdraw(row, actor=find_account(options["by"]), now=clock.now())
        return {"rules": [_describe(row)]}


def _find(label: str) -> RetentionRule:
    rows = {str(row): row for row in RetentionRule.objects.select_related("proposed_by", "activated_by")}
    if label not in rows:
        raise CommandError(f"There is no rule {label}. Known are: {', '.join(sorted(rows))}.")
    return rows[label]


def _describe(row: RetentionRule) -> dict[str, Any]:
    return {
        "rule": str(row),
        "state": row.state(local_day(clock.now())),
        "classes": row.data_classes,
        "duration": row.duration,
        "bound": row.bound,
        "entities": row.entities,
        "citation": row.citation,
        "effective_from": row.effective_from.isoformat(),
        "effective_to": row.effective_to.isoformat() if row.effective_to else None,
        "supersedes": row.supersedes,
        "shipped": row.shipped,
        "proposed_by": row.proposed_by.display_name if row.proposed_by else None,
        "approved_by": row.activated_by.display_name if row.activated_by else None,
    }


def _sentence(rule: dict[str, Any]) -> str:
    companies = ", ".join(rule["entities"]) or "every company"
    ends = f" to {rule['effective_to']}" if rule["effective_to"] else ""
    who = [f"{word} by {rule[key]}" for key, word in (("proposed_by", "proposed"), ("approved_by", "approved"))
           if rule[key]]  # fmt: skip
    return (
        f"{rule['rule']}: {rule['state']}; {rule['bound']} {rule['duration']} for {', '.join(rule['classes'])} of "
        f"{companies}, from {rule['effective_from']}{ends}; {rule['citation']} ({', '.join(who) or 'shipped'})"
    )


def _preview_sentence(row: RetentionRule, seen: RulePreview) -> str:
    back = " It reaches back before today, which is a reading of the law." if seen.retroactive else ""
    dates = f", the new last days {seen.first_day} to {seen.last_day}" if seen.first_day else ""
    return (
        f"{row} would date {seen.holds} holds anew: {seen.records} records of {seen.subjects} people{dates}; "
        f"{seen.open_ended} stay without a date. {seen.open_cases} open cases are planned again.{back}"
    )
