"""What was done in a case: its steps in the systems, and its moments in their order."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from rights.actions.gates import is_stopped
from rights.datamap import DataMap
from rights.models import Event, Request, Step
from rights.templatetags.look import iso_moment, listed
from rights.web.case_words import collection_label, is_chinese, reason_words, system_label

EVENTS_SHOWN = 100
STEPS_SHOWN = 200


@dataclass(frozen=True)
class StepRow:
    company: str
    data: str
    state: str
    kind: str
    done: int
    total: int
    note: str
    url: str
    link: str
    retry_url: str


def present_steps(request: Request, *, data_map: DataMap, now: datetime) -> list[StepRow]:
    """How far each system is; a failed step says why and can be tried again."""
    language = get_language() or "zh-hans"
    found = request.steps.order_by("round", "ordinal").exclude(verb__in=["release", "ask"], state=Step.State.DONE)
    return [_present_step(step, request, data_map, language, now=now) for step in found[:STEPS_SHOWN]]


_DONE_STATES = {"hold": "held", "erase": "erased", "mask": "erased", "release": "erased"}


def _present_step(step: Step, request: Request, data_map: DataMap, language: str, *, now: datetime) -> StepRow:
    note = ""
    match step.state:
        case Step.State.DONE:
            state = _DONE_STATES.get(step.verb, "done")
            note = ngettext("%(n)s record", "%(n)s records", step.done) % {"n": f"{step.done:,}"} if step.done else ""
        case Step.State.RUNNING:
            state = "acting"
        case Step.State.DEAD:
            state, note = "failed", step.error
        case _ if is_stopped(step):
            state, note = "halted", _("Erasures are stopped; why is said above.")
        case _ if step.error:
            state = "unreachable"
            note = _("again on %(at)s · %(error)s") % {"at": iso_moment(step.not_before), "error": step.error}
        case _:
            state = "queued"
    language_kind = "deletion" if step.verb in {"erase", "mask", "hold", "release"} else request.kind
    return StepRow(
        company=system_label(step.system, data_map, language),
        data=_step_name(step, data_map, language),
        state=state,
        kind=language_kind,
        done=step.done,
        total=step.expected,
        note=note,
        url="",
        link="",
        retry_url=reverse("desk:retry", args=[step.pk]) if step.state == Step.State.DEAD else "",
    )


def _step_name(step: Step, data_map: DataMap, language: str) -> str:
    if step.collection == "package":
        return verb_word(step.verb)
    return collection_label(step.collection, data_map, language)


def verb_word(verb: str) -> str:
    words = {
        "export": _("package"),
        "supplement": _("package, what was missing"),
        "correct": _("correction"),
        "consent": _("consent"),
        "stop": _("sharing"),
        "close": _("closing"),
        "erase": _("erasure"),
        "mask": _("blanking"),
        "hold": _("hold"),
        "restrict": _("storage only"),
        "release": _("release"),
        "ask": _("asked of others"),
    }
    return words.get(verb, verb)


@dataclass(frozen=True)
class EventRow:
    at: datetime
    text: str
    who: str
    now: bool
    url: str = ""
    link: str = ""


def present_events(request: Request, data_map: DataMap) -> list[EventRow]:
    """The timeline for staff, newest first, with the texts that were exchanged."""
    questions = {question.asked_at: question for question in request.questions.all()}
    answers = {question.answered_at: question for question in request.questions.all() if question.answered_at}
    appealed = {appeal.decided_at: appeal for appeal in request.appeals.all() if appeal.decided_at}
    decisions = {decision.decided_at: decision for decision in request.decisions.all()}
    rows: list[EventRow] = []
    for event in request.events.exclude(kind="message").select_related("actor").order_by("-at", "-pk")[:EVENTS_SHOWN]:
        text = event_words(event, data_map)
        if event.kind == "asked" and event.at in questions:
            if questions[event.at].missing:
                text = _("asked the person for what was missing")
            text = _joined(text, questions[event.at].text)
        elif event.kind == "answered" and event.at in answers:
            text = _joined(text, answers[event.at].answer)
        elif event.kind == "decided" and event.at in decisions:
            text = _joined(text, decisions[event.at].text)
        elif event.kind in {"appeal_upheld", "appeal_overturned"} and event.at in appealed:
            text = _joined(text, appealed[event.at].text or "")
        actor = event.actor
        if actor is not None and actor.is_staff_role:
            text = f"{actor.display_name} · {text}"
        rows.append(EventRow(at=event.at, text=text, who="", now=not rows))
    return rows


def _joined(lead: str, text: str) -> str:
    return f"{lead}{'：' if is_chinese() else ': '}{text}" if text else lead


def event_words(event: Event, data_map: DataMap) -> str:
    """One moment of a case in words; a kind without words of its own is shown by its key."""
    language = get_language() or "zh-hans"
    body: Mapping[str, Any] = event.body
    where = collection_label(str(body.get("collection", "")), data_map, language)
    words = {
        "submitted": _("received"),
        "to_review": _("came to the desk"),
        "accepted": _("goes on by itself"),
        "approved": _("approved"),
        "decided": {"approve": _("decided to approve"), "refuse": _("decided to refuse")}.get(
            str(body.get("outcome")), _("decided")
        ),
        "refused": _("refused"),
        "proof_asked": _("received, waits for a proof"),
        "proved": _("proof accepted"),
        "proof_lapsed": _("ended without a proof"),
        "fee_quoted": _("quoted a fee of ¥%(amount)s") % {"amount": body.get("amount", "")},
        "fee_accepted": _("the person accepted the fee"),
        "fee_waived": _("waived the fee"),
        "fee_declined": _("the person declined the fee"),
        "fee_lapsed": _("the fee was not answered"),
        "asked": _("asked the person"),
        "answered": _("the person answered"),
        "deferred": _("put off"),
        "unblocked": _("nothing is in the way any more"),
        "started": _("the changes began"),
        "step_done": "",
        "step_dead": _("failed: %(where)s") % {"where": where},
        "retried": _("tried again: %(where)s") % {"where": where},
        "plan_changed": _("the plan changed, back to the desk"),
        "claimed": _("claimed it"),
        "released_case": _("gave it back"),
        "extended": _("extended until %(day)s") % {"day": body["until"]} if "until" in body else _("extended"),
        "warned": _("due soon"),
        "breached": _("overdue"),
        "check_owed": _("what blocks it was not checked in time"),
        "told": _("passed on"),
        "told_again": _("passed on again"),
        "confirmed": _("confirmed by them"),
        "returned": _("returned"),
        "handover_late": _("no answer in time"),
        "supplement_late": _("a part of the package is missing past its date"),
        "evidence": _("filed evidence"),
        "appealed": _("appealed against the outcome"),
        "appeal_claimed": _("claimed the appeal"),
        "appeal_upheld": _("decided the appeal: it stands"),
        "appeal_overturned": _("decided the appeal: overturned, taken up again"),
        "appeal_breached": _("the appeal is overdue"),
        "relation_declared": _("declared to know somebody in the case"),
        "message_read": _("noted that a message needs no answer"),
        "taken_back": _("taken back by the person"),
        "disowned": _("stopped at the other contact, as not filed by the person"),
        "undone": _("took the decision back"),
        "package_fetched": _("a package was fetched"),
        "package_revoked": _("a package was destroyed before its day"),
        "handed_over": _("a copy for somebody else was made"),
        "closed": _("closed"),
    }
    if event.kind == "step_done":
        verb = verb_word(str(body.get("verb", "")))
        return _("%(verb)s done: %(where)s, %(n)s") % {
            "verb": verb, "where": where, "n": f"{int(body.get('count', 0)):,}",
        }  # fmt: skip
    text = words.get(event.kind, event.kind)
    if "party" in body:
        return f"{text} · {body['name']['en' if language.startswith('en') else 'zh']}"
    if event.kind == "deferred" and body.get("blockers"):
        return _joined(text, listed(reason_words(str(key), data_map) for key in body["blockers"]))
    return text
