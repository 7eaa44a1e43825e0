"""The letters that a reviewer starts from, in the person's language."""

from datetime import date, datetime

from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from rights.datamap import DataMap
from rights.kernel.decisions import REASONS, Outcome
from rights.kernel.plan import GOING, Fate, Plan
from rights.kernel.states import Kind, State
from rights.models import Request
from rights.queries import due_of
from rights.templatetags.look import day_text, on_text
from rights.wording import cite


def approval_letter(request: Request, plan: Plan, *, data_map: DataMap, due: date) -> str:
    """The text a person gets with an approval, in their language: what goes, what waits, what stays, and until when."""
    with translation.override(request.subject.language):
        language = request.subject.language
        day = day_text(due)
        if request.kind in {Kind.CORRECTION, Kind.ACCESS}:
            return _("We agreed to your request and finish it by %(day)s, 24:00.") % {"day": day}
        parts = []
        going, blocked = plan.count(*GOING), plan.of(Fate.BLOCKED)
        deferred = State(request.state) is State.DEFERRED
        if request.kind == Kind.CANCELLATION and deferred:
            parts.append(_("We agreed to close the service."))
        elif going:
            parts.append(
                ngettext(
                    "%(n)s record can go; it is gone by %(day)s.",
                    "%(n)s records can go; they are gone by %(day)s.",
                    going,
                )
                % {"n": f"{going:,}", "day": day}
            )
        else:
            parts.append(_("We agreed to your request and finish it by %(day)s, 24:00.") % {"day": day})
        parts += [
            _blocked_words(key, plan, data_map, language=language)
            for key in dict.fromkeys(line.key for line in blocked)
        ]
        if held := plan.count(Fate.HOLD):
            last = plan.last_release
            text = (
                ngettext(
                    "%(n)s record stays by law, at the longest until %(day)s; we erase it ourselves afterwards.",
                    "%(n)s records stay by law, at the longest until %(day)s; we erase them ourselves afterwards.",
                    held,
                )
                if last
                else ngettext("%(n)s record stays by law.", "%(n)s records stay by law.", held)
            )
            parts.append(text % {"n": f"{held:,}", "day": on_text(last)})
        parts.append(_("If you disagree, appeal and someone else reviews it; you may also complain or sue."))
        return ("" if language.startswith("zh") else " ").join(parts)


def _blocked_words(key: str, plan: Plan, data_map: DataMap, *, language: str) -> str:
    """What waits for a fact: the reason's own words where it clears by itself, else how much waits for what."""
    if key in REASONS and REASONS[key].outcome is Outcome.DEFER:
        return REASONS[key].text(language)
    waiting = sum(line.count for line in plan.of(Fate.BLOCKED) if line.key == key)
    what = data_map.blockers[key].label(language) if key in data_map.blockers else key
    text = ngettext(
        "%(n)s record waits until this is settled: %(what)s.",
        "%(n)s records wait until this is settled: %(what)s.",
        waiting,
    )
    return text % {"n": f"{waiting:,}", "what": what}


def refusal_letter(request: Request, *, key: str) -> str:
    """The text of a refusal, in the person's language: the reason, its basis, what can be done about it."""
    with translation.override(request.subject.language):
        reason = REASONS[key]
        parts = [reason.text(request.subject.language)]
        if reason.basis:
            parts.append(_("Basis: %(basis)s.") % {"basis": cite(reason.basis, request.subject.language)})
        parts.append(_("If you disagree, appeal and someone else reviews it; you may also complain or sue."))
        return ("" if request.subject.language.startswith("zh") else " ").join(parts)


def extended_due(request: Request, *, now: datetime) -> date:
    """The limit if it were extended now."""
    return due_of(request, now=now, extended=True).on
