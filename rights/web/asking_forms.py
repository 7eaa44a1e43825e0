"""The form of each kind, with what stands beside its fields: what each company holds, what a choice would cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from accounts.identities import get_identities
from accounts.models import User
from portal.core import clock
from rights.actions.submit import Preview, matter_for, preview
from rights.datamap import DataMap, load_live_map
from rights.kernel.plan import GOING, Fate, Line, Plan
from rights.kernel.states import Kind
from rights.models import Request
from rights.records import read_consents, read_present, read_services
from rights.templatetags.look import listed, on_text, records
from rights.web import language_of_page
from rights.web.for_others import link
from rights.web.forms import (
    ALL,
    CHOSEN,
    EVERYTHING,
    CancellationForm,
    CorrectionForm,
    PurposesForm,
    Recorded,
    ScopeForm,
    group_recorded,
)
from rights.web.present import (
    CompanyView,
    mask_value,
    present_companies,
    present_forfeits,
    present_waivable,
    service_names,
)

Answers = Mapping[str, Any]


def preview_of(
    user: User,
    kind: Kind,
    *,
    now: datetime,
    entities: frozenset[str] = frozenset(),
    purposes: frozenset[str] = frozenset(),
) -> Preview:
    return preview(matter_for(user, kind=kind, entities=entities, purposes=purposes), now=now)


def named_company(request: HttpRequest, data_map: DataMap) -> frozenset[str]:
    """One company, where a link of the data map picture named it."""
    named = request.GET.get("company", "")
    return frozenset({named}) if named in data_map.entities else frozenset()


def running_services(request: HttpRequest, user: User, data_map: DataMap, *, now: datetime) -> list[str]:
    services, unknown = read_services(identities=get_identities(user), data_map=data_map, now=now)
    warn_unknown(request, unknown, data_map)
    return services


def warn_unknown(request: HttpRequest, unknown: tuple[str, ...], data_map: DataMap) -> None:
    """Silence of a system must not read as "nothing there"."""
    if unknown:
        names = listed(data_map.systems[key].label(language_of_page()) for key in unknown)
        text = _("%(names)s does not answer right now, so its part is missing here. Please look again later.")
        messages.warning(request, text % {"names": names})


@dataclass
class FormPage:
    """One kind's form with what its template wants beside it."""

    kind: Kind
    form: ScopeForm | PurposesForm | CancellationForm | CorrectionForm
    context: dict[str, Any]
    data_map: DataMap

    def is_valid(self) -> bool:
        return self.form.is_valid()

    def details(self) -> dict[str, Any]:
        """The answers as a request keeps them, in the map's order, so that equal answers are equal."""
        match self.form:
            case ScopeForm() as scope:
                return {"entities": _ordered(scope.entities, self.data_map)}
            case PurposesForm() as purposes:
                chosen = set(purposes.cleaned_data["purposes"])
                return {"purposes": [key for key in self.data_map.consents if key in chosen]}
            case CancellationForm() as cancellation:
                service = cancellation.cleaned_data["service"]
                entities = list(self.data_map.entities) if service == ALL else [service]
                waived = {"waived": cancellation.waived_keys} if cancellation.waived_keys else {}
                return {"entities": entities, "forfeits": cancellation.given_up, **waived}
            case CorrectionForm() as correction:
                return {"items": correction.items}


def form_page(request: HttpRequest, user: User, kind: Kind, *, draft: Request | None) -> FormPage:
    """The form about `user`, whoever fills it in."""
    data = request.POST if request.method == "POST" else None
    answers: Answers | None = draft.details if draft else None
    match kind:
        case Kind.ACCESS | Kind.DELETION:
            return _scope_page(request, user, kind, data, answers)
        case Kind.CORRECTION:
            return _correction_page(request, user, data, answers)
        case Kind.WITHDRAWAL:
            return _withdrawal_page(request, user, data, answers)
        case Kind.CANCELLATION:
            return _cancellation_page(request, user, data, answers)


def _scope_page(request: HttpRequest, user: User, kind: Kind, data: Any, answers: Answers | None) -> FormPage:
    data_map = load_live_map()
    offered = {system.entity for system in data_map.systems.values()}
    named = named_company(request, data_map)
    if data is not None and named and data.get("scope") == EVERYTHING and "companies" not in data:
        # From the plan of one company: everything there is everything of that company.
        data = MultiValueDict({"scope": [CHOSEN], "companies": sorted(named)})
    entities = answers["entities"] if answers is not None else (named or None)
    form = ScopeForm(data, companies=offered, entities=entities)
    # A form that is complete leads on: only a page that is shown asks the systems.
    companies = _companies_of(user, kind, form) if data is None or not form.is_valid() else []
    back = link(request, "plan" if kind is Kind.DELETION else "right", kind, user)
    return FormPage(kind, form, {"companies": companies, "back_url": back}, data_map)


def _companies_of(user: User, kind: Kind, form: ScopeForm) -> list[dict[str, Any]]:
    seen = preview_of(user, kind, now=clock.now())
    chosen = set(form["companies"].value() or ())
    return [
        {
            "value": company.key,
            "name": company.name,
            "text": _company_text(kind, company, [line for line in seen.plan.lines if line.entity == company.key]),
            "checked": company.key in chosen,
            "off": not company.kinds and company.state == "loaded",
        }
        for company in present_companies(seen.plan, seen.data_map, language=language_of_page())
    ]


def _company_text(kind: Kind, company: CompanyView, lines: Sequence[Line]) -> str:
    """Such as "Loans · 40 can go, 19 wait, 48 kept, at most until 2027-11-23"."""
    if company.state == "unreachable":
        return f"{company.service} · " + _("cannot be reached")
    if not company.count:
        return f"{company.service} · " + _("nothing about you")
    if kind is Kind.ACCESS:
        return f"{company.service} · {records(company.count)}"

    def count(*fates: Fate) -> int:
        return sum(line.count for line in lines if line.fate in fates)

    until = max((line.last_release for line in lines if line.last_release), default=None)
    kept = _("%(n)s kept, at most until %(day)s") if until else _("%(n)s kept, no date yet")
    counts = (
        (count(*GOING), _("%(n)s can go")),
        (count(Fate.BLOCKED, Fate.PERSON), _("%(n)s wait")),
        (count(Fate.HOLD), kept),
        (count(Fate.KEEP), _("%(n)s in use")),
    )
    return f"{company.service} · " + listed(
        text % {"n": f"{number:,}", "day": on_text(until)} for number, text in counts if number
    )


def _correction_page(request: HttpRequest, user: User, data: Any, answers: Answers | None) -> FormPage:
    data_map, language = load_live_map(), language_of_page()
    found, unknown = read_present(identities=get_identities(user), data_map=data_map, now=clock.now())
    warn_unknown(request, unknown, data_map)
    recorded = group_recorded(found)
    labels = {key: correction.label(language) for key, correction in data_map.corrections.items()}
    form = CorrectionForm(data, recorded=recorded, labels=labels, items=(answers or {}).get("items", ()))
    items = [
        {
            "label": labels[item.correction],
            "present": mask_value(item.correction, item.value),
            "field": form[item.name],
            "places": _places(item, data_map),
            "evidence": data_map.corrections[item.correction].kind == "identity",
        }
        for item in recorded
    ]
    back = link(request, "right", Kind.CORRECTION, user)
    return FormPage(Kind.CORRECTION, form, {"items": items, "back_url": back}, data_map)


def _places(item: Recorded, data_map: DataMap) -> str:
    language = language_of_page()
    entities = [data_map.collections[key].entity for key in item.collections]
    return listed(service_names(entities, data_map, language))


def _withdrawal_page(request: HttpRequest, user: User, data: Any, answers: Answers | None) -> FormPage:
    data_map, language, now = load_live_map(), language_of_page(), clock.now()
    states, unknown = read_consents(identities=get_identities(user), data_map=data_map, now=now)
    warn_unknown(request, unknown, data_map)
    given = [state.purpose for state in states if state.given]
    chosen = answers["purposes"] if answers is not None else request.GET.getlist("purpose")
    form = PurposesForm(data, purposes=given, chosen=chosen)
    purposes: list[dict[str, Any]] = []
    if given and (data is None or not form.is_valid()):
        seen = preview_of(user, Kind.WITHDRAWAL, now=now, purposes=frozenset(given))
        ticked = set(form["purposes"].value() or ())
        for key in given:
            consent = data_map.consents[key]
            lines = [
                line
                for line in seen.plan.lines
                if line.count and line.fate in GOING and data_map.collections[line.collection].consent == key
            ]
            resting = [item for item in data_map.collections.values() if item.consent == key]
            recipients = dict.fromkeys(name(language) for item in resting for name in item.recipients)
            names = listed(data_map.collections[line.collection].label(language) for line in lines)
            erased = {"records": records(sum(line.count for line in lines)), "names": names}
            purposes.append(
                {
                    "value": key,
                    "label": consent.label(language),
                    "company": listed(service_names([item.entity for item in resting], data_map, language)),
                    "consequence": consent.consequence(language),
                    "recipients": listed(recipients),
                    "immediate": consent.immediate,
                    "erases": _("Deleted with it: %(names)s, %(records)s") % erased if lines else "",
                    "checked": key in ticked,
                }
            )
    back = link(request, "right", Kind.WITHDRAWAL, user)
    return FormPage(Kind.WITHDRAWAL, form, {"purposes": purposes, "back_url": back}, data_map)


def _cancellation_page(request: HttpRequest, user: User, data: Any, answers: Answers | None) -> FormPage:
    data_map, language, now = load_live_map(), language_of_page(), clock.now()
    running = running_services(request, user, data_map, now=now)
    seen = preview_of(user, Kind.CANCELLATION, now=now, entities=frozenset(running)) if running else None
    forfeits = present_forfeits(seen.plan, data_map, language=language) if seen else []
    waivable = present_waivable(seen.plan, data_map, language=language) if seen else []
    chosen = list(answers["entities"]) if answers is not None else []
    form = CancellationForm(
        data,
        services=running,
        forfeits=forfeits,
        waivable=waivable,
        service=ALL if len(chosen) > 1 else chosen[0] if chosen else "",
        confirmed=(answers or {}).get("forfeits", ()),
        waived=(answers or {}).get("waived", ()),
    )
    service = form["service"].value()
    given_up = set(form["forfeits"].value() or ())
    waived = set(form["waived"].value() or ())
    services = [
        {
            "value": key,
            "name": data_map.entities[key].service(language),
            "company": data_map.entities[key].name(language),
            "blockers": _in_the_way(key, seen.plan, data_map),
            "held": _held_after(key, seen.plan),
            "checked": key == service,
        }
        for key in running
        if seen
    ]
    context = {
        "services": services,
        "all_checked": service == ALL,
        "forfeits": [{"value": item.key, "label": item.label, "checked": item.key in given_up} for item in forfeits],
        "waivable": [{"value": item.key, "label": item.label, "checked": item.key in waived} for item in waivable],
        "back_url": link(request, "plan", Kind.CANCELLATION, user),
    }
    return FormPage(Kind.CANCELLATION, form, context, data_map)


def _in_the_way(entity: str, plan: Plan, data_map: DataMap) -> str:
    language = language_of_page()
    facts = [fact for fact in plan.blockers if fact.entity == entity and fact.key in data_map.blockers]
    waits = [data_map.blockers[fact.key].label(language) for fact in facts if fact.cancel == "defer"]
    person = [data_map.blockers[fact.key].label(language) for fact in facts if fact.cancel == "person"]
    parts = [_("In the way: %(what)s") % {"what": listed(waits)}] if waits else []
    parts += [_("A person decides: %(what)s") % {"what": listed(person)}] if person else []
    return _("; ").join(parts)


def _held_after(entity: str, plan: Plan) -> str:
    lines = [line for line in plan.of(Fate.HOLD) if line.entity == entity]
    until = max((line.last_release for line in lines if line.last_release), default=None)
    if not until:
        return ""
    given = {"records": records(sum(line.count for line in lines)), "day": on_text(until)}
    return _("%(records)s kept by law, at most until %(day)s") % given


def _ordered(keys: list[str], data_map: DataMap) -> list[str]:
    return [key for key in data_map.entities if key in set(keys)]
