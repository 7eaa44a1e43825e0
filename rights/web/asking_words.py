"""What the check and the receipt of a request say: the answers, what happens with which date, what cannot be undone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date

from django.urls import reverse
from django.utils.translation import gettext as _

from rights.actions.submit import needs_evidence
from rights.datamap import DataMap
from rights.kernel.states import Kind
from rights.models import Request
from rights.templatetags.look import day_text, listed, next_day, on_text, records
from rights.web import language_of_page
from rights.web.present import Forfeit, PlanView, kept_words, mask_value, service_names, waiting_words

HOLDS_SHOWN = 3


@dataclass(frozen=True)
class Final:
    """What is said of that which cannot be undone, and what has to be ticked; empty where it can."""

    lead: str = ""
    text: str = ""
    understood: str = ""


def final_words(kind: Kind) -> Final:
    match kind:
        case Kind.DELETION:
            return Final(
                lead=_("Deleted data cannot be brought back."),
                text=_("Until we begin you can take the request back at any time."),
                understood=_("I understand that deleted data cannot be brought back."),
            )
        case Kind.CANCELLATION:
            return Final(
                lead=_("A service that is closed cannot be opened again."),
                text=_("You can only apply for it anew. Until we begin you can take the request back at any time."),
                understood=_("I understand that a closed service cannot be opened again."),
            )
        case _:
            return Final()


def answers_of(
    draft: Request, data_map: DataMap, view: PlanView | None, *, lapsing: Iterable[Forfeit] = ()
) -> list[dict[str, str]]:
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
            given_up = [item.label for item in lapsing if item.key in set(details.get("forfeits") or ())]
            given_up += [data_map.blockers[key].label(language) for key in details.get("waived") or ()]
            if given_up:
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


def _sums(view: PlanView, *, row: Callable[..., dict[str, str]]) -> list[dict[str, str]]:
    rows = [row(_("Goes now"), records(view.going.count) if view.going.count else _("none"), url="")]
    if view.sum_waiting:
        rows.append(row(_("Has to wait"), waiting_words(view), url=""))
    if view.kept.count:
        rows.append(row(_("Kept by law"), kept_words(view), url=""))
    if view.in_use.count:
        rows.append(row(_("In use for your services"), records(view.in_use.count), url=""))
    if view.restricted.count:
        rows.append(row(_("Only stored from now on"), records(view.restricted.count), url=""))
    if view.refused.count:
        rows.append(row(_("Not covered by this right"), records(view.refused.count), url=""))
    if view.unknown:
        rows.append(row(_("Not known right now"), listed(view.unknown), url=""))
    return rows


@dataclass(frozen=True)
class Moment:
    """Something that will happen, for parts/timeline.html."""

    when: str
    text: str
    now: bool = False


def what_follows(
    request: Request, data_map: DataMap, view: PlanView | None, *, due: date, limit: str, sent: bool = False
) -> list[Moment]:
    """What happens after sending, with dates, in the order in which it happens. `limit`: how long one is, in words."""
    by_due = _("By %(day)s 24:00") % {"day": day_text(due)}
    then = _then(request, data_map, view, by_due=by_due, limit=limit)
    if not sent:
        first = (
            _("You get a reference, and a message at your other contact in case it was not you.")
            if request.subject_id == request.filed_by_id
            else _("You get a reference, and %(name)s is told that you asked.") % {"name": request.subject.masked_name}
        )
        return [Moment(_("Now"), first, now=True), *then]
    if then and then[0].when == _("First"):
        # Something is in the way or a proof is needed: there may well be something for the person to do.
        return [replace(then[0], now=True), *then[1:]]
    return [Moment(_("Now"), _("There is nothing for you to do."), now=True), *then]


def _then(request: Request, data_map: DataMap, view: PlanView | None, *, by_due: str, limit: str) -> list[Moment]:
    match Kind(request.kind):
        case Kind.ACCESS if request.subject_id != request.filed_by_id:
            name = {"name": request.subject.masked_name}
            text = _("We collect the data from every system and tell %(name)s that the package is ready.") % name
            handed = _("%(name)s downloads it with a fresh code; nobody else can.") % name
            return [Moment(by_due, text), Moment(_("Then"), handed)]
        case Kind.ACCESS:
            text = _("We collect the data from every system and tell you that the package is ready.")
            return [Moment(by_due, text), Moment(_("Then"), _("You download it here with a fresh code."))]
        case Kind.CORRECTION if needs_evidence(request, data_map=data_map):
            proof = _(
                "A person compares it with your verified identity and asks you for a proof. "
                "The days on which we wait for it do not count."
            )
            written = _("We write the new value, read it back from each system and tell you.")
            return [Moment(_("First"), proof), Moment(by_due, written)]
        case Kind.CORRECTION:
            text = _("We write the new value without a review, read it back from each system and tell you.")
            return [Moment(by_due, text)]
        case Kind.WITHDRAWAL:
            return _stops(request, data_map, by_due=by_due)
        case Kind.DELETION:
            return [*_deletes(view, by_due=by_due), _forgotten()] if view else []
        case Kind.CANCELLATION:
            return _closes(view, by_due=by_due, limit=limit) if view else []


def _forgotten() -> Moment:
    """What becomes of the portal's own rows: see `actions.forgetting`. A cancellation is not promised this: its day may
    have to date what is kept."""
    text = _("Three years after the last thing that happens in your request we delete the request itself too.")
    return Moment(_("In the end"), text)


def _stops(request: Request, data_map: DataMap, *, by_due: str) -> list[Moment]:
    purposes = request.details.get("purposes") or ()
    chosen = [data_map.consents[key] for key in purposes if key in data_map.consents]
    at_once = [consent.label(language_of_page()) for consent in chosen if consent.immediate]
    moments = []
    if at_once:
        text = _("Stops without a review: %(what)s.")
        moments.append(Moment(_("At once"), text % {"what": listed(at_once)}))
    if len(at_once) < len(chosen):
        text = _(
            "The other uses stop, those who received your data are told to stop too, "
            "and what rests on that consent alone is deleted."
        )
    else:
        text = _("What rests on that consent alone is deleted from the systems.")
    return [*moments, Moment(by_due, text)]


def _deletes(view: PlanView, *, by_due: str) -> list[Moment]:
    if view.going.count:
        text = _("A person checks the plan, then we delete %(records)s and look again to be sure.")
        moments = [Moment(by_due, text % {"records": records(view.going.count)})]
    else:
        moments = [Moment(by_due, _("A person checks the plan and tells you the result."))]
    if view.waiting.lines:
        text = _("%(records)s go on by themselves: %(what)s.")
        given = {"records": records(view.waiting.count), "what": listed(line.name for line in view.waiting.lines)}
        moments.append(Moment(_("Once it is settled"), text % given))
    return moments + _releases(view)


def _closes(view: PlanView, *, by_due: str, limit: str) -> list[Moment]:
    if view.waiting.lines:
        text = _(
            "We wait for this: %(what)s. Once it is settled a new limit of %(limit)s begins by itself, "
            "and we tell you the date."
        )
        closed = _("We close the service, delete what can go and tell you until when the rest is kept.")
        what = listed(line.name for line in view.waiting.lines)
        return [Moment(_("First"), text % {"what": what, "limit": limit}), Moment(_("Then"), closed)]
    text = _("A person checks it, we close the service and delete what can go.")
    moments = [Moment(by_due, text), *_releases(view)]
    if view.looked_at:
        decided = _("A person decides whether it can go on: %(what)s.") % {"what": listed(view.looked_at)}
        moments.insert(0, Moment(_("First"), decided))
    return moments


def _releases(view: PlanView) -> list[Moment]:
    """The next days on which the law lets go of something."""
    ends: dict[date, int] = {}
    for line in view.kept.lines:
        if line.last_release:
            ends[line.last_release] = ends.get(line.last_release, 0) + line.count
    text = _("The last of %(records)s that the law kept are gone. We tell you.")
    return [
        Moment(on_text(next_day(day)), text % {"records": records(ends[day])}) for day in sorted(ends)[:HOLDS_SHOWN]
    ]
