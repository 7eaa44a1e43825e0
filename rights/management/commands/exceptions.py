"""Exceptions to retention: list them, propose one and see what it changes, approve another administrator's."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from accounts.models import User
from accounts.permissions import can
from portal.core import clock
from rights.actions import exceptions
from rights.actions.exceptions import ExceptionDraft, ExceptionPreview, ExceptionRefused
from rights.actions.retention import StalePreview
from rights.kernel.clock import local_day
from rights.kernel.retention import Effect
from rights.management.office import OfficeCommand, add_actor, add_assent, find_account, read_day, require_assent
from rights.models import Request, RetentionException


class Command(OfficeCommand):
    refusals = (ExceptionRefused, StalePreview)
    help = (
        "Exceptions to retention: one administrator proposes, another approves on what it would change. One that runs "
        "ends by its date; what an extension keeps is ended early by one with --effect release."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        part = verbs.add_parser("list", help="Every exception; confidential ones for whom they were opened to.")
        part.add_argument("--by", metavar="ACCOUNT", help="show also what is confidential, if it was opened to them")
        part.add_argument("--json", action="store_true")
        part = verbs.add_parser("propose", help="Write a proposal and show what it would change.")
        part.add_argument("--effect", type=Effect, choices=list(Effect), required=True)
        part.add_argument("--basis", required=True, help="on what it rests")
        part.add_argument("--evidence", required=True, help="sealed; only its digest is in the ledger")
        part.add_argument(
            "--expires", type=read_day, required=True, metavar="DAY", help="when it ends whatever happens"
        )
        part.add_argument("--until", type=read_day, metavar="DAY", help="the last day it holds (default: its end)")
        part.add_argument("--person", metavar="ACCOUNT")
        part.add_argument("--case", metavar="REFERENCE")
        part.add_argument("--collection", default="")
        part.add_argument("--class", dest="data_class", default="")
        part.add_argument("--entity", default="")
        part.add_argument("--confidential", action="store_true", help="the person must not learn of it")
        add_actor(part)
        part.add_argument("--json", action="store_true")
        for verb, text in (
            ("approve", "Show what it would change, and approve another's proposal."),
            ("withdraw", "Take a proposal off the list."),
        ):
            part = verbs.add_parser(verb, help=text)
            part.add_argument("exception", metavar="ID", help="as list names it; its first characters are enough")
            add_actor(part)
            part.add_argument("--json", action="store_true")
            if verb == "approve":
                add_assent(part)

    def say(self, said: Mapping[str, Any]) -> None:
        for item in said["exceptions"]:
            self.stdout.write(_sentence(item))
        if not said["exceptions"]:
            self.stdout.write("There is none.")

    def _list(self, options: dict[str, Any]) -> dict[str, Any]:
        viewer = find_account(options["by"]) if options["by"] else None
        return {"exceptions": [_describe(row) for row in _seen_by(viewer)]}

    def _propose(self, options: dict[str, Any]) -> dict[str, Any]:
        draft = ExceptionDraft(
            effect=options["effect"],
            basis=options["basis"],
            evidence=options["evidence"],
            expires_on=options["expires"],
            until=options["until"],
            subject=find_account(options["person"], option="--person") if options["person"] else None,
            request=_find_case(options["case"]) if options["case"] else None,
            **{name: options[name] for name in ("collection", "data_class", "entity", "confidential")},
        )
        row = exceptions.propose(draft, actor=find_account(options["by"]), now=clock.now())
        return self._with_preview(row, exceptions.preview(row, now=clock.now()), options)

    def _approve(self, options: dict[str, Any]) -> dict[str, Any]:
        actor = find_account(options["by"])
        row = _find(options["exception"], actor)
        seen = exceptions.preview(row, now=clock.now())
        if not options["json"]:
            self.stdout.write(_preview_sentence(seen))
        require_assent("Approve it?", is_given=options["yes"])
        exceptions.approve(row, actor=actor, seen=seen, now=clock.now())
        return {"exceptions": [_describe(row)], "changes": asdict(seen)}

    def _withdraw(self, options: dict[str, Any]) -> dict[str, Any]:
        actor = find_account(options["by"])
        row = _find(options["exception"], actor)
        exceptions.withdraw(row, actor=actor, now=clock.now())
        return {"exceptions": [_describe(row)]}

    def _with_preview(self, row: RetentionException, seen: ExceptionPreview, options: dict[str, Any]) -> dict[str, Any]:
        if not options["json"]:
            self.stdout.write(_preview_sentence(seen))
        return {"exceptions": [_describe(row)], "changes": asdict(seen)}


def _seen_by(viewer: User | None) -> list[RetentionException]:
    """Confidential ones only for whom they were opened to: to the others they do not exist."""
    rows = RetentionException.objects.select_related("subject", "request", "proposed_by", "approved_by")
    if viewer is None or not can(viewer, "confidential.view"):
        rows = rows.filter(confidential=False)
    return list(rows.order_by("proposed_at", "pk"))


def _find(text: str, viewer: User) -> RetentionException:
    found = [row for row in _seen_by(viewer) if str(row.pk).startswith(text.lower())]
    if len(found) != 1:
        what = "There is no exception" if not found else f"{len(found)} exceptions begin with"
        raise CommandError(f"{what} {text}; exceptions list names each.")
    return found[0]


def _find_case(reference: str) -> Request:
    found = Request.objects.filter(reference=reference.upper()).select_related("subject").first()
    if found is None:
        raise CommandError(f"--case {reference}: there is no such case.")
    return found


def _describe(row: RetentionException) -> dict[str, Any]:
    scope = {
        "person": row.subject.account_no if row.subject else "",
        "case": row.request.reference if row.request else "",
        "collection": row.collection,
        "class": row.data_class,
        "company": row.entity,
    }
    return {
        "id": str(row.pk),
        "effect": row.effect,
        "state": row.state(local_day(clock.now())),
        "scope": {name: value for name, value in scope.items() if value},
        "until": row.until.isoformat(),
        "expires_on": row.expires_on.isoformat(),
        "basis": row.basis,
        "confidential": row.confidential,
        "proposed_by": row.proposed_by.display_name,
        "approved_by": row.approved_by.display_name if row.approved_by else None,
    }


def _sentence(item: dict[str, Any]) -> str:
    scope = ", ".join(f"{name} {value}" for name, value in item["scope"].items())
    approved = f", approved by {item['approved_by']}" if item["approved_by"] else ""
    secret = " (confidential)" if item["confidential"] else ""
    return (
        f"{item['id']}: {item['state']}; {item['effect']} until {item['until']}, ends {item['expires_on']}; {scope}; "
        f"{item['basis']}{secret} (proposed by {item['proposed_by']}{approved})"
    )


def _preview_sentence(seen: ExceptionPreview) -> str:
    silent = f" Not known, as they do not answer: {', '.join(seen.unknown)}." if seen.unknown else ""
    return (
        f"It would change {seen.holds} holds with {seen.records} records of {seen.subjects} people, "
        f"{seen.plan_records} records of a plan made now, and {seen.open_cases} open cases.{silent}"
    )
