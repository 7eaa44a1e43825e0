"""Plans, reasons and limits as plain values for the answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rights.datamap import DataMap, load_live_map
from rights.kernel.calendar import Calendar
from rights.kernel.decisions import LEGAL_SECRECY, REASONS
from rights.kernel.plan import GOING, STAYING, BlockerFact, Fate, Line, Plan
from rights.kernel.states import State
from rights.models import Handover, Request
from rights.queries import due_if_any
from rights.web.present import shown_values
from rights.web.present_handovers import name_of

TAKEN_BACK = {"zh": "你已撤回这项申请。", "en": "You took this request back."}


def describe_due(request: Request, *, now: datetime, calendar: Calendar | None = None) -> dict[str, Any] | None:
    """The limit of a request that runs; one that waits for its proof has none. `calendar` spares each row of a list
    its own look at it."""
    if request.received_at is None or request.state == State.CLOSED:
        return None
    due = due_if_any(request, now=now, calendar=calendar)
    if due is None:
        return None
    return {
        "on": due.on,
        "rolled": due.rolled,
        "days_left": due.days_left,
        "paused": due.paused,
        "deferred": due.deferred,
    }


def describe_reason(key: str, *, language: str) -> dict[str, str]:
    """A reason by its key, with its text; one that is not in the table says its key alone."""
    if key in REASONS:
        return {"key": key, "text": REASONS[key].text(language), "basis": REASONS[key].basis}
    texts: Mapping[str, str] = TAKEN_BACK if key == "WITHDRAWN" else {}
    return {"key": key, "text": texts.get("en" if language.startswith("en") else "zh", key), "basis": ""}


def describe_plan(plan: Plan, *, language: str) -> dict[str, Any]:
    """A plan, live or stored."""
    data_map = load_live_map()
    return {
        "kind": plan.kind,
        "as_of": plan.as_of,
        "read_at": plan.read_at,
        "going": plan.count(*GOING),
        "waiting": plan.count(Fate.BLOCKED, Fate.PERSON),
        "kept": plan.count(*STAYING),
        "lines": [_describe_line(line, data_map, language=language) for line in plan.lines],
        "blockers": [_describe_blocker(fact, data_map, language=language) for fact in plan.blockers],
        "unknown": list(plan.unknown),
        "asked": list(plan.asked),
        "legal_secrecy": LEGAL_SECRECY.text(language),
    }


def describe_handover(item: Handover, *, language: str) -> dict[str, Any]:
    """Somebody whom a request was passed on to, and what they said so far."""
    return {
        "name": name_of(item, language),
        "role": "recipient" if item.step_id is None else "system",
        "act": item.act,
        "progress": item.state,
        "due_on": item.due_on,
        "told_at": item.sent_at,
        "answered_at": item.settled_at,
        "count": item.count,
    }


def _describe_line(line: Line, data_map: DataMap, *, language: str) -> dict[str, Any]:
    item = data_map.collections.get(line.collection)
    return {
        "collection": line.collection,
        "name": item.label(language) if item else line.collection,
        "company": line.entity,
        "system": line.system,
        "fate": line.fate.value,
        "count": line.count,
        "reason": describe_reason(line.key, language=language),
        "rule": line.rule,
        "first_release": line.first_release,
        "last_release": line.last_release,
        "open_ended": line.open_ended,
        "blockers": list(line.blockers),
    }


def _describe_blocker(fact: BlockerFact, data_map: DataMap, *, language: str) -> dict[str, Any]:
    stated = data_map.blockers.get(fact.key)
    return {
        "key": fact.key,
        "company": fact.entity,
        "label": stated.label(language) if stated else fact.key,
        "count": fact.count,
        "shown": shown_values(fact),
        "fix_url": stated.fix_url if stated else "",
    }
