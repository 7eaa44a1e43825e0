"""The first page: who holds what until when, what is running, what can be asked."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial

from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.authority import principals_for
from accounts.models import Authority
from accounts.permissions import subject_required
from portal.core import clock
from rights.actions.submit import Preview, matter_for, preview
from rights.consents import Register, read_register
from rights.kernel.clock import local_day
from rights.kernel.decisions import LEGAL_SECRECY
from rights.kernel.states import OPEN_STATES, Kind
from rights.notices import render_notice
from rights.queries import Law, held_of, unread_breaches
from rights.web import language_of_page, person_of
from rights.web.for_others import followed_requests, link, represented, whose
from rights.web.present import CaseView, CompanyView, going_kinds, present_case, present_companies
from rights.web.present_company import present_kinds

RUNNING_SHOWN = 10


@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponseBase:
    """A person's first page. Staff have none of their own and go to the cases."""
    if request.user.is_authenticated and request.user.is_staff_role:
        return redirect("desk:queue")
    return _show_home(request)


@subject_required
def _show_home(request: HttpRequest) -> HttpResponse:
    user, now = person_of(request), clock.now()
    language = language_of_page()
    matter, given = matter_for(user, kind=Kind.DELETION), principals_for(user, now)
    seen = preview(matter, now=now)
    register = read_register(user, data_map=seen.data_map, now=now, identities=matter.identities)
    companies = present_companies(seen.plan, seen.data_map, language=language, url_of=company_url)
    return render(
        request,
        "subject/home.html",
        {
            "today": local_day(now),
            "read_at": seen.plan.read_at,
            "answer": _answer(companies, unknown=len(seen.plan.unknown)),
            "running": _running(request, seen, given, language=language, now=now),
            "kinds": [kind.value for kind in Kind],
            "represented": represented(given),
            "companies": companies,
            "consents": _consents(register, seen),
            "asks": [seen.data_map.consents[ask.purpose].label(language) for ask in register.asks],
            "breaches": [
                (render_notice(notice, language)[0], reverse("rights:notice", args=[notice.pk]))
                for notice in unread_breaches(user)
            ],
            "held": held_of(user).aggregate(total=Sum("count"))["total"] or 0,
        },
    )


def company_url(entity: str) -> str:
    return reverse("rights:company", args=[entity])


@never_cache
@require_safe
@subject_required
def company(request: HttpRequest, key: str) -> HttpResponse:
    """What one company holds, kind by kind."""
    user, now, language, law = person_of(request), clock.now(), language_of_page(), Law()
    named, ask = frozenset({key}), partial(link, request, subject=user)
    seen = preview(matter_for(user, kind=Kind.DELETION, entities=named), now=now, law=law)
    found = present_companies(seen.plan, law.data_map, language=language, entities=named)
    if not found:
        raise Http404  # no such company, or none that has a system
    return render(
        request,
        "subject/company.html",
        {
            "today": local_day(now),
            "company": found[0],
            "unknown": [law.data_map.systems[system].label(language) for system in seen.plan.unknown],
            "kinds": present_kinds(seen.plan, law.data_map, entity=key, rules=law.rules, ask=ask, language=language),
            "access_url": ask("start", Kind.ACCESS, company=key),
            "delete_url": ask("plan", Kind.DELETION, company=key),
            "legal_secrecy": LEGAL_SECRECY.text(language),
        },
    )


def _answer(companies: list[CompanyView], *, unknown: int) -> dict[str, int]:
    return {
        "held": sum(bool(company.kinds) for company in companies),
        "all": len(companies),
        "kinds": sum(len(company.kinds) for company in companies),
        "records": sum(company.count for company in companies),
        "sensitive": sum(kind.sensitive for company in companies for kind in company.kinds),
        "going": going_kinds(companies),
        "unknown": unknown,
    }


def _running(
    request: HttpRequest, seen: Preview, given: Iterable[Authority], *, language: str, now: datetime
) -> list[CaseView]:
    followed = followed_requests(person_of(request), given=given)
    return [
        replace(present_case(item, seen.data_map, language=language, now=now), whose=whose(request, item))
        for item in followed.filter(state__in=[state.value for state in OPEN_STATES])[:RUNNING_SHOWN]
    ]


def _consents(register: Register, seen: Preview) -> dict[str, int]:
    """How many uses are agreed to, and with how many others the data that exists is shared."""
    given = [standing for standing in register.uses.values() if standing.given]
    held = {line.collection for line in seen.plan.lines if line.count} & set(seen.data_map.collections)
    recipients = {name.zh for key in held for name in seen.data_map.collections[key].recipients}
    # A use that rests on consent can always be refused; what a service needs does not rest on consent.
    return {"given": len(given), "optional": len(given), "shared": len(recipients)}
