"""The desk's page of the business systems: whether each works, what waits for it, and the switch that stops erasures.

Whoever decides cases may stop them at once; who oversees the portal lets them go on (`rights.actions.gates`).
"""

from dataclasses import dataclass
from datetime import datetime

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import User
from accounts.permissions import staff_required
from portal.core import clock
from rights.actions import gates
from rights.datamap import DataMap, load_live_map
from rights.models import Gate
from rights.queries import SystemState, stopped_gates, system_states
from rights.templatetags.look import hour, iso_moment, listed
from rights.web import language_of_page, person_of


class StopForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        help_text=gettext_lazy("Staff read it on every page of the desk. People who asked for something do not."),
        max_length=Gate.REASON_LENGTH,
        widget=forms.Textarea({"rows": 3}),
        error_messages={"required": gettext_lazy("Write why nothing is to be erased.")},
    )


@dataclass(frozen=True)
class Word:
    """One thing that is true of a system: its mark, what it is, and what there is to say of it (may be empty)."""

    fate: str
    lead: str
    text: str = ""


@dataclass(frozen=True)
class Row:
    """A system as templates/desk/systems.html shows it; an address that is empty is not this reader's to follow."""

    name: str
    words: tuple[Word, ...]
    waiting: int
    failed: int
    stop_url: str
    resume_url: str


@dataclass(frozen=True)
class Halt:
    """A stop as the banner of every desk page tells it."""

    lead: str
    text: str


@never_cache
@require_safe
@staff_required("request.view")
def show_systems(request: HttpRequest) -> HttpResponse:
    """One row for all systems and one for each: its state in words, what waits for it, what failed."""
    now, data_map, viewer = clock.now(), load_live_map(), person_of(request)
    states = system_states(data_map, now=now)
    rows = [_row(state, every=states[Gate.EVERY], data_map=data_map, viewer=viewer) for state in states.values()]
    return render(request, "desk/systems.html", {"rows": rows, "updated_at": now})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@staff_required("request.view")
def stop(request: HttpRequest, key: str) -> HttpResponse:
    """What a stop will do, with the reason that it needs; then the stop."""
    viewer = person_of(request)
    if not gates.may_stop(viewer):
        raise PermissionDenied
    now, data_map = clock.now(), load_live_map()
    state = _state(key, data_map, now=now)
    form = StopForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            gates.stop_erasures(system=key, reason=form.cleaned_data["reason"], by=viewer, now=now)
        except gates.CannotSet as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("Nothing more is erased, from the next batch on."))
        return redirect("desk:systems")
    if state.gate.stopped_at:
        return redirect("desk:systems")
    context = {
        "title": _("Stop all erasures") if key == Gate.EVERY else _("Stop the erasures in one system"),
        "name": _name(key, data_map),
        "sentences": _stop_sentences(state, data_map, may_resume=gates.may_resume(viewer)),
        "form": form,
        "button": _("Stop the erasures"),
    }
    return render(request, "desk/systems_confirm.html", context, status=422 if form.is_bound else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@staff_required("request.view")
def resume(request: HttpRequest, key: str) -> HttpResponse:
    """What will go on, why it was stopped; then it goes on."""
    viewer = person_of(request)
    if not gates.may_resume(viewer):
        raise PermissionDenied
    now, data_map = clock.now(), load_live_map()
    state = _state(key, data_map, now=now)
    if request.method == "POST":
        try:
            gates.resume_erasures(system=key, by=viewer, now=now)
        except gates.CannotSet as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("The erasures go on."))
        return redirect("desk:systems")
    if not state.gate.stopped_at:
        return redirect("desk:systems")
    context = {
        "title": _("Let the erasures go on"),
        "name": _name(key, data_map),
        "sentences": _resume_sentences(state, data_map),
        "form": None,
        "button": _("Let the erasures go on"),
    }
    return render(request, "desk/systems_confirm.html", context)


def present_halts() -> list[Halt]:
    """What is stopped now, for the banner; nothing where nothing is."""
    stopped = list(stopped_gates())
    if not stopped:
        return []
    data_map = load_live_map()
    return [
        Halt(
            lead=_("Erasures are stopped in all systems.")
            if gate.system == Gate.EVERY
            else _("Erasures are stopped in %(name)s.") % {"name": _name(gate.system, data_map)},
            text=_stop_words(gate),
        )
        for gate in stopped
    ]


# --- words


def _state(key: str, data_map: DataMap, *, now: datetime) -> SystemState:
    state = system_states(data_map, now=now).get(key)
    if state is None:
        raise Http404
    return state


def _name(key: str, data_map: DataMap) -> str:
    if key == Gate.EVERY:
        return _("All systems")
    return data_map.systems[key].label(language_of_page()) if key in data_map.systems else key


def _row(state: SystemState, *, every: SystemState, data_map: DataMap, viewer: User) -> Row:
    stopped = state.gate.stopped_at is not None
    return Row(
        name=_name(state.key, data_map),
        words=tuple(_words(state, every=every)),
        waiting=state.waiting,
        failed=state.failed,
        stop_url=reverse("desk:stop_system", args=[state.key]) if not stopped and gates.may_stop(viewer) else "",
        resume_url=reverse("desk:resume_system", args=[state.key]) if stopped and gates.may_resume(viewer) else "",
    )


def _words(state: SystemState, *, every: SystemState) -> list[Word]:
    """What is true of it, the gravest first."""
    gate, found = state.gate, []
    if gate.stopped_at:
        found.append(Word("late", _("Erasures stopped"), _stop_words(gate)))
    elif every.gate.stopped_at:
        found.append(Word("late", _("Erasures stopped"), _("with those of all systems")))
    if gate.failures:
        n = {"n": gate.failures}
        after = ngettext("after %(n)s failure in a row", "after %(n)s failures in a row", gate.failures) % n
        if state.rests_until:
            lead = _("Left alone until %(at)s") % {"at": hour(state.rests_until)}
        else:
            lead = _("Is being tried again")
        found.append(Word("wait", lead, after))
    if gate.shadow:
        found.append(Word("wait", _("Shadow mode"), _("what would be done is only counted")))
    if not found:
        # Of all systems together it cannot be said that they work: each says so itself.
        found.append(Word("use", _("Not stopped as a whole")) if state is every else Word("done", _("Works")))
    if gate.at_once:
        text = ngettext("at most %(n)s step at once", "at most %(n)s steps at once", gate.at_once)
        found.append(Word("use", _("Limited"), text % {"n": gate.at_once}))
    if gate.per_minute:
        text = ngettext("at most %(n)s step a minute", "at most %(n)s steps a minute", gate.per_minute)
        found.append(Word("use", _("Limited"), text % {"n": gate.per_minute}))
    return found


def _stop_words(gate: Gate) -> str:
    told = {
        "at": iso_moment(gate.stopped_at),
        "name": gate.stopped_by.display_name if gate.stopped_by else "–",
        "reason": gate.reason,
    }
    return _("Since %(at)s, by %(name)s, because: %(reason)s") % told


def _stop_sentences(state: SystemState, data_map: DataMap, *, may_resume: bool) -> list[str]:
    everywhere = state.key == Gate.EVERY
    name = {"name": _name(state.key, data_map)}
    found = [
        _("Nothing more is erased in any system from the next batch on.")
        if everywhere
        else _("Nothing more is erased in %(name)s from the next batch on.") % name,
        _(
            "What is erased already stays erased. Nobody else is asked to erase either. Copies, corrections, "
            "withdrawals of consent and the closing of services go on."
        ),
        _("What people see: their request waits; the clock goes on."),
    ]
    if not may_resume:
        found.append(_("You cannot take this back yourself: a supervisor or an administrator lets the erasures go on."))
    return found


def _resume_sentences(state: SystemState, data_map: DataMap) -> list[str]:
    others = {gate.system for gate in stopped_gates()} - {state.key}
    if Gate.EVERY in others:
        return [
            _stop_words(state.gate),
            _("All systems are stopped as well: nothing is erased here before they go on too."),
        ]
    waiting = gates.stopped_steps(state.key).exclude(system__in=others).count()
    text = ngettext(
        "What was approved is erased from now on: %(n)s step waits.",
        "What was approved is erased from now on: %(n)s steps wait.",
        waiting,
    )
    found = [_stop_words(state.gate), text % {"n": waiting}]
    if others:
        names = listed(_name(key, data_map) for key in sorted(others))
        found.append(_("These stay stopped: %(names)s.") % {"names": names})
    return found
