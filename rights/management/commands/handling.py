"""The handling policy: show what goes through without a person, propose a version, approve another's."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from portal.core import clock
from rights.actions.handling import CannotSet, approve_policy, propose_policy
from rights.kernel.handling import UnfitPolicy
from rights.management.office import OfficeCommand, add_actor, add_assent, find_account, require_assent
from rights.models import PolicyVersion
from rights.queries import policy_in_force


class Command(OfficeCommand):
    refusals = (CannotSet, UnfitPolicy)
    help = "The handling policy in versions: one administrator proposes, another approves."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        part = verbs.add_parser("show", help="What is in force, and every version. The shape of a file to propose.")
        part.add_argument("--json", action="store_true")
        part = verbs.add_parser("propose", help="Write the next version; what a file leaves out is as shipped.")
        part.add_argument("file", type=Path, help="NAME.json, such as what show prints as rules")
        part.add_argument("--basis", required=True, help="why it changes")
        add_actor(part)
        part.add_argument("--json", action="store_true")
        part = verbs.add_parser("approve", help="Show a version that another proposed, and put it into force.")
        part.add_argument("version", type=int)
        add_actor(part)
        add_assent(part)
        part.add_argument("--json", action="store_true")

    def say(self, said: Mapping[str, Any]) -> None:
        if "rules" in said:
            self.stdout.write(f"In force: {json.dumps(said['rules'], ensure_ascii=False)}")
        for version in said["versions"]:
            self.stdout.write(_sentence(version))

    def _show(self, options: dict[str, Any]) -> dict[str, Any]:
        rows = PolicyVersion.objects.select_related("proposed_by", "approved_by").order_by("version")
        return {"rules": policy_in_force().to_json(), "versions": [_describe(row) for row in rows]}

    def _propose(self, options: dict[str, Any]) -> dict[str, Any]:
        proposer = find_account(options["by"])
        rules = _read(options["file"])
        row = propose_policy(rules=rules, basis=options["basis"], proposer=proposer, now=clock.now())
        return {"versions": [_describe(row)]}

    def _approve(self, options: dict[str, Any]) -> dict[str, Any]:
        approver, number = find_account(options["by"]), options["version"]
        row = PolicyVersion.objects.filter(version=number).first()
        if row and not options["json"]:
            self.stdout.write(f"Now: {json.dumps(policy_in_force().to_json(), ensure_ascii=False)}")
            self.stdout.write(f"Then: {json.dumps(row.rules, ensure_ascii=False)}")
        if row:
            require_assent(f"Put version {number} into force?", is_given=options["yes"])
        return {"versions": [_describe(approve_policy(version=number, approver=approver, now=clock.now()))]}


def _read(file: Path) -> dict[str, Any]:
    try:
        rules = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} cannot be read: {error}.") from None
    if not isinstance(rules, dict):
        raise CommandError(f"{file}: write a JSON object, such as what show --json prints as rules.")
    return rules


def _describe(row: PolicyVersion) -> dict[str, Any]:
    state = "in force" if row.in_force else "ended" if row.ended_at else "approved" if row.approved_at else "proposed"
    return {
        "version": row.version,
        "state": state,
        "rules": row.rules,
        "basis": row.basis,
        "proposed_by": row.proposed_by.display_name,
        "approved_by": row.approved_by.display_name if row.approved_by else None,
    }


def _sentence(version: dict[str, Any]) -> str:
    approved = f", approved by {version['approved_by']}" if version["approved_by"] else ""
    return (
        f"{version['version']}: {version['state']}; {version['basis']} (proposed by {version['proposed_by']}{approved})"
    )
