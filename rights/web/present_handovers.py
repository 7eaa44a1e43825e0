"""Whom a request was passed on to, in words: for the person who asked, and for staff who work the tasks."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.identities import get_identities
from accounts.models import User
from rights.actions.handovers import values_of
from rights.datamap import DataMap, Party
from rights.kernel.clock import local_day
from rights.models import Evidence, Handover, Request
from rights.queries import due_if_any
from rights.templatetags.look import day_text, records
from rights.web.present import listed_parties

SHOWN = (
    "id", "request", "step", "party", "name", "act", "channel", "collections", "state", "due_on", "sent_at",
    "settled_at", "count",
)  # fmt: skip
"""What the web role may read of a handover."""
VIEWS = ("open", "mine", "late", "returned", "done")


def handovers_of(request: Request) -> "QuerySet[Handover, Handover]":
    return Handover.objects.filter(request=request).only(*SHOWN).order_by("created_at", "party", "act")


def name_of(handover: Handover, language: str) -> str:
    return str(handover.name["en" if language.startswith("en") else "zh"])


def act_word(act: str) -> str:
    return {"erase": _("Delete"), "correct": _("Correct"), "stop": _("Stop the use")}[act]


# --- for the person


@dataclass(frozen=True)
class Passed:
    """Parties of which the same is true: `fate` is the mark, `word` where they stand, `text` the dates."""

    names: str
    act: str
    fate: str
    word: str
    text: str


def present_passed(request: Request, *, language: str, today: date) -> list[Passed]:
    """Everybody who was or will be told, those of whom the same is true together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for item in handovers_of(request):
        groups.setdefault((act_word(item.act), *_standing(item, today)), []).append(name_of(item, language))
    return [Passed(listed_parties(names), act, fate, word, text) for (act, fate, word, text), names in groups.items()]


def _standing(item: Handover, today: date) -> tuple[str, str, str]:
    sent = _("told on %(day)s") % {"day": day_text(local_day(item.sent_at))} if item.sent_at else ""
    due = {"day": day_text(item.due_on)}
    match item.state:
        case Handover.State.CONFIRMED:
            day = day_text(local_day(item.settled_at)) if item.settled_at else ""
            found = _found(item.count)
            confirmed = _("confirmed on %(day)s") % {"day": day}
            return "done", _("Confirmed"), _joined([sent if item.step_id is None else "", confirmed, found])
        case Handover.State.RETURNED:
            return "late", _("Not done yet"), _("They could not do it or did not agree; a case worker looks into it.")
        case _ if item.due_on < today:
            return (
                "late",
                _("Not answered yet"),
                _joined([sent, _("an answer was due by %(day)s; we press for it") % due]),
            )
        case Handover.State.SENT:
            return "wait", _("Not answered yet"), _joined([sent, _("an answer is due by %(day)s") % due])
        case _ if item.step_id is None:
            return "wait", _("To be told"), _("we tell them by %(day)s") % due
        case _:
            return "wait", _("Being done by hand"), _("an answer is due by %(day)s") % due


def _found(count: int | None) -> str:
    if count is None:
        return ""
    return records(count) if count else _("they found nothing")


def _joined(words: Iterable[str]) -> str:
    return " · ".join(word for word in words if word)


# --- for staff


@dataclass(frozen=True)
class TaskRow:
    """A task in the list."""

    url: str
    due_on: date
    late: bool
    party: str
    act: str
    ref: str
    case_url: str
    person: str
    standing: str
    channel: str
    owner: str
    error: str


def query_tasks(view: str, *, staff: User, today: date) -> "QuerySet[Handover, Handover]":
    """A view of the tasks, the first to be due first. Raises KeyError for a view that does not exist."""
    all_of = Handover.objects.select_related("request__subject", "owner").defer("note")
    running = all_of.filter(state__in=["ready", "sent"])
    return {
        "open": running,
        "mine": running.filter(owner=staff),
        "late": running.filter(due_on__lt=today),
        "returned": all_of.filter(state="returned").exclude(step__state="done"),
        "done": all_of.filter(state="confirmed"),
    }[view]


def present_tasks(rows: Iterable[Handover], *, today: date) -> list[TaskRow]:
    language = get_language() or "zh-hans"
    return [
        TaskRow(
            url=reverse("desk:task", args=[item.pk]),
            due_on=item.due_on,
            late=is_late(item, today),
            party=name_of(item, language),
            act=act_word(item.act),
            ref=item.request.reference or "",
            case_url=reverse("desk:case", args=[item.request_id]),
            person=item.request.subject.masked_name,
            standing=standing_word(item),
            channel=channel_word(item),
            owner=item.owner.display_name if item.owner else "",
            error=item.error,
        )
        for item in rows
    ]


def is_late(item: Handover, today: date) -> bool:
    return item.state in {"ready", "sent"} and item.due_on < today


def standing_word(item: Handover) -> str:
    words = {
        "ready": _("to be done") if item.step_id else _("to be told"),
        "sent": _("waits for an answer"),
        "confirmed": _("confirmed"),
        "returned": _("returned"),
    }
    return words[item.state]


def channel_word(item: Handover) -> str:
    if item.channel == "manual":
        return _("by hand") if item.step_id else _("by letter")
    return {"opendsr": "OpenDSR", "webhook": "Webhook"}[item.channel]


@dataclass(frozen=True)
class EvidenceRow:
    name: str
    size: int
    at: datetime
    by: str
    url: str


def present_evidence(item: Handover) -> list[EvidenceRow]:
    """The files of a task; their contents are not read for it."""
    files = Evidence.objects.filter(handover=item).defer("content").select_related("filed_by").order_by("filed_at")
    return [
        EvidenceRow(
            name=file.name or "",
            size=max(1, round(file.size / 1024)),
            at=file.filed_at,
            by=file.filed_by.display_name or "",
            url=reverse("desk:evidence", args=[file.pk]),
        )
        for file in files
    ]


def identities_of(item: Handover, party: Party) -> list[tuple[str, str]]:
    """By what the party finds the person: shown in full to whoever has the task, as the work cannot be done without."""
    known = get_identities(item.request.subject)
    words = {
        "account_no": _("Account number"), "phone": _("Mobile phone"), "id_number": _("ID number"), "name": _("Name"),
    }  # fmt: skip
    return [(words.get(kind, kind), known[kind]) for kind in party.identities if kind in known]


def corrections_of(item: Handover, data_map: DataMap, language: str) -> list[tuple[str, str, str]]:
    """What is to be corrected: its name, the old value, the new one."""
    if item.act != "correct":
        return []
    return [
        (
            data_map.corrections[value["field"]].label(language)
            if value["field"] in data_map.corrections
            else value["field"],
            value["old"],
            value["new"],
        )
        for value in values_of(item.request)
    ]


def task_facts(item: Handover, data_map: DataMap, *, language: str, now: datetime) -> dict[str, Any]:
    """What a task's page says of it."""
    request = item.request
    due = due_if_any(request, now=now) if request.closed_at is None else None
    labels = [data_map.label_of(key, language) for key in item.collections]
    return {
        "title": f"{act_word(item.act)} · {name_of(item, language)}",
        "ref": request.reference,
        "case_url": reverse("desk:case", args=[request.pk]),
        "person": request.subject.masked_name,
        "due_on": item.due_on,
        "case_due": due.on if due else None,
        "standing": standing_word(item),
        "channel": channel_word(item),
        "data": labels,
        "sent_at": item.sent_at,
        "settled_at": item.settled_at,
        "settled_by": item.settled_by.display_name if item.settled_by else "",
        "found": _found(item.count) if item.state == "confirmed" else "",
        "note": item.note,
        "error": item.error,
        "owner": item.owner.display_name if item.owner else "",
    }
