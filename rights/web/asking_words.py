"""What the check and the receipt of a request say: the answers, what happens with which date, what cannot be undone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from rights.actions.submit import needs_evidence
from rights.datamap import DataMap
from rights.kernel.states import Kind
from rights.models import Request
from rights.templatetags.look import day_text, listed, next_day, on_text, records
from rights.web import language_of_page
from rights.web.present import PlanView, kept_words, mask_value, service_names, waiting_words

HOLDS_SHOWN = 3

def _final_words(kind: Kind) -> dict[str, str]:
    """What is said of that which cannot be undone, and what has to be ticked."""
    match kind:
        case Kind.DELETION:
            return {
                "lead": _("Deleted data cannot be brought back."),
                "text": _("Until we begin you can take the request back at any time."),
                "understood": _("I understand that deleted data cannot be brought back."),
            }
        case Kind.CANCELLATION:
            return {
                "lead": _("A service that is closed cannot be opened again."),
                "text": _("You can only apply for it anew. Until we begin you can take the request back at any time."),
                "understood": _("I understand that a closed service cannot be opened again."),
            }
        case _:
            return {"lead": "", "text": "", "understood": ""}


def _answers(draft: Request, data_map: DataMap, view: PlanView | None) -> list[dict[str, str]]:
    language, details = language_of_page(), draft.details
    change = reverse("rights:form", args=[draft.pk])

    def row(label: str, value: str, *, url: str = change) -> dict[str, str]:
        return {"label": label, "value": value, "url": url, "what": label}

    names = [data_map.entities[key].name(language) for key in details.get("entities") or () if key in data_map.entities]
    match Kind(draft.kind):
        case Kind.ACCESS:
            return [
                row(_("You want"), _("A copy of your data"), url=""),
                row(_("Companies"), listed(names) or _("All companies")),
            ]
        case Kind.DELETION:
            rows = [row(_("Companies"), listed(names) or _("All companies"))]
        case Kind.CANCELLATION:
            everywhere = len(names) > 1
            services = listed(service_names(details.get("entities") or (), data_map, language))
            rows = [row(_("Service to end"), _("All services of all companies") if everywhere else services)]
            if details.get("forfeits"):
                given_up = [
                    data_map.blockers[key].label(language) for key in details["forfeits"] if key in data_map.blockers
                ]
                rows.append(row(_("You give up"), listed(given_up)))
        case Kind.WITHDRAWAL:
            chosen = [data_map.consents[key] for key in details.get("purposes") or () if key in data_map.consents]
            return [row(consent.label(language), consent.consequence(language)) for consent in chosen]
        case Kind.CORRECTION:
            rows = [
                row(
                    data_map.corrections[item["correction"]].label(language),
                    f"{mask_value(item['correction'], item['old'])} → {item['new']}",
                )
                for item in details.get("items") or ()
                if item["correction"] in data_map.corrections
            ]
    return rows + (_sums(view, row=row) if view else [])


def _sums(view: PlanView, *, row: Any) -> list[dict[str, str]]:
    nothing = _("none")
    rows = [row(_("Goes now"), records(view.going.count) if view.going.count else nothing, url="")]
    if view.sum_waiting:
        rows.append(row(_("Has to wait"), waiting_words(view), url=""))
    if view.kept.count:
        rows.append(row(_("Kept by law"), kept_words(view), url=""))
    if view.in_use.count:
        rows.append(row(_("In use for your services"), records(view.in_use.count), url=""))
    if view.unknown:
        rows.append(row(_("Not known right now"), listed(view.unknown), url=""))
    return rows


def _what_follows(
    request: Request, data_map: DataMap, view: PlanView | None, *, due: date, sent: bool = False
) -> list[dict[str, Any]]:
    """What happens after sending, with dates, in the order in which it happens."""
    kind = Kind(request.kind)
    by_due = _("By %(day)s 24:00") % {"day": day_text(due)}
    first = (
        {
            "when": _("Now"),
            "text": _("You get a reference, and a message at your other contact in case it was not you."),
            "now": True,
        }
        if not sent
        else {"when": _("Now"), "text": _("There is nothing for you to do."), "now": True}
    )
    events: list[dict[str, Any]] = [first]
    match kind:
        case Kind.ACCESS:
            events += [
                {
                    "when": by_due,
                    "text": _("We collect the data from every system and tell you that the package is ready."),
                },
                {"when": _("Then"), "text": _("You download it here with a fresh code.")},
            ]
        case Kind.CORRECTION if needs_evidence(request):
            events += [
                {
                    "when": _("Within days"),
                    "text": _(
                        "A person compares it with your verified identity and asks you for a proof. The days on which we wait for it do not count."
                    ),
                },
                {"when": by_due, "text": _("We write the new value, read it back from each system and tell you.")},
            ]
        case Kind.CORRECTION:
            events.append(
                {
                    "when": by_due,
                    "text": _("We write the new value without a review, read it back from each system and tell you."),
                }
            )
        case Kind.WITHDRAWAL:
            chosen = [
                data_map.consents[key] for key in request.details.get("purposes") or () if key in data_map.consents
            ]
            if at_once := [consent.label(language_of_page()) for consent in chosen if consent.immediate]:
                events.append(
                    {"when": _("At once"), "text": _("Stops without a review: %(what)s.") % {"what": listed(at_once)}}
                )
            if any(not consent.immediate for consent in chosen):
                events.append(
                    {
                        "when": by_due,
                        "text": _(
                            "Every other use you chose stops, those who received your data are told to stop too, and what rests on that consent alone is deleted."
                        ),
                    }
                )
        case Kind.DELETION | Kind.CANCELLATION:
            events += _plan_events(kind, view, by_due=by_due)
    return events


def _plan_events(kind: Kind, view: PlanView | None, *, by_due: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    if view is None:
        return events
    waiting = listed(line.name for line in view.waiting.lines)
    if kind is Kind.CANCELLATION and waiting:
        text = _(
            "We wait for this: %(what)s. Once it is settled a fresh 15 days begin by themselves and we tell you the date."
        )
        events.append({"when": _("First"), "text": text % {"what": waiting}})
        events.append(
            {
                "when": _("Then"),
                "text": _("We close the service, delete what can go and tell you until when the rest is kept."),
            }
        )
        return events
    if kind is Kind.CANCELLATION:
        events.append({"when": by_due, "text": _("A person checks it, we close the service and delete what can go.")})
    else:
        given = {"records": records(view.going.count)}
        events.append(
            {
                "when": by_due,
                "text": _("A person checks the plan, then we delete %(records)s and look again to be sure.") % given
                if view.going.count
                else _("A person checks the plan and tells you the result."),
            }
        )
        if waiting:
            text = _("%(records)s go on by themselves: %(what)s.")
            events.append(
                {
                    "when": _("Once it is settled"),
                    "text": text % {"records": records(view.waiting.count), "what": waiting},
                }
            )
    ends: dict[date, int] = {}
    for line in view.kept.lines:
        if line.last_release:
            ends[line.last_release] = ends.get(line.last_release, 0) + line.count
    for day in sorted(ends)[:HOLDS_SHOWN]:
        text = _("Of what the law keeps, %(records)s are gone by this day. We tell you.")
        events.append({"when": on_text(next_day(day)), "text": text % {"records": records(ends[day])}})
    return events


