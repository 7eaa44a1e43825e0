"""Asking for somebody else: whose matter a page is about, and why it may not be shown.

An address carries `?for=<the person's id>`; nothing is read of a person before an authority was found that covers it.
An agent follows what they filed for as long as that authority runs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce, wraps
from operator import or_
from typing import Any, TypeVar, cast
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.authority import NoAuthority, is_over, names_of_agents, require_authority
from accounts.models import Authority, User
from accounts.permissions import subject_required
from portal.core import clock
from rights.kernel.clock import local_day
from rights.kernel.decisions import reason
from rights.kernel.states import Kind
from rights.models import Request
from rights.queries import submitted_requests
from rights.templatetags.look import gap, on_text
from rights.web import language_of_page, person_of
from rights.web.unproved import offered_kinds
from rights.wording import cite

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


# ---- whose matter it is --------------------------------------------------------------------------------------------


def asker_required(view: View) -> View:
    """A page for a signed-in person, about their own matter or one they have authority for; else it says why not."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except NoAuthority as refused:
            return _refuse(request, refused.given)

    return cast(View, subject_required(inner))


def subject_of(request: HttpRequest, kind: str = "") -> User:
    """Whom the address is about: who is signed in, or whom they may ask for. Raises NoAuthority."""
    user, named = person_of(request), request.GET.get("for", "")
    if not named:
        return user
    try:
        principal_id = UUID(named)
    except ValueError:
        raise NoAuthority(None) from None
    if principal_id == user.pk:
        return user
    return require_authority(agent=user, principal_id=principal_id, kind=kind, now=clock.now()).principal


def require_covered(request: HttpRequest, item: Request) -> None:
    """Raise NoAuthority where a request is somebody else's and the authority it was filed by no longer covers it."""
    user = person_of(request)
    if item.subject_id != user.pk:
        require_authority(agent=user, principal_id=item.subject_id, kind=item.kind, now=clock.now())


def find_covered(request: HttpRequest, pk: UUID) -> Request:
    """A filed request of the signed-in user: theirs, or filed by them for somebody. Any other is a 404. Without who
    filed it, whose row the database shows to nobody else."""
    item = get_object_or_404(submitted_requests(person_of(request)).select_related("subject"), pk=pk)
    require_covered(request, item)
    return item


def followed_requests(user: User, *, given: Iterable[Authority]) -> QuerySet[Request]:
    """What was filed for a person, and what they filed for others while the authority given them covers it, newest
    first."""
    covered = [Q(subject=each.principal_id, kind__in=each.scope) for each in given]
    return submitted_requests(user).filter(reduce(or_, covered, Q(subject=user))).select_related("subject")


def link(request: HttpRequest, name: str, kind: Kind, subject: User, **query: str) -> str:
    """The address of a page of asking that stays with the person it is about."""
    if subject.pk != person_of(request).pk:
        query["for"] = str(subject.pk)
    address = reverse(f"rights:{name}", args=[kind.value])
    return f"{address}?{urlencode(query)}" if query else address


# ---- in words ------------------------------------------------------------------------------------------------------


def about(request: HttpRequest, subject: User, kind: str = "") -> str:
    """For whom this is, in words; empty where a person asks for themselves."""
    user = person_of(request)
    if subject.pk == user.pk:
        return ""
    words = _("You act for %(name)s. All data on this page is theirs.") % {"name": subject.masked_name}
    if kind == Kind.ACCESS:
        words += gap() + reason("OK.AGENT").text(language_of_page())
    return words


def about_request(request: HttpRequest, item: Request) -> str:
    """For whom it was filed, to who filed it; who filed it, to the person it is about."""
    if item.subject_id != person_of(request).pk:
        words = about(request, item.subject, item.kind)
        child = "OK.MINOR" in item.review_reasons
        return words + gap() + reason("OK.MINOR").text(language_of_page()) if child else words
    if item.filed_by_id == item.subject_id:
        return ""
    name = names_of_agents().get(item.filed_by_id)
    return _("%(name)s filed this for you.") % {"name": name} if name else _("Somebody else filed this for you.")


def whose(request: HttpRequest, item: Request) -> str:
    """The same in a list, in two words."""
    if item.subject_id != person_of(request).pk:
        return _("For %(name)s") % {"name": item.subject.masked_name}
    if item.filed_by_id == item.subject_id:
        return ""
    name = names_of_agents().get(item.filed_by_id)
    return _("Filed by %(name)s") % {"name": name} if name else _("Filed by somebody else")


@dataclass(frozen=True)
class Represented:
    """Somebody whom the person may ask for, as a row that leads there."""

    name: str
    kind: str
    account_no: str
    until: str
    url: str


def represented(given: Iterable[Authority]) -> list[Represented]:
    return [_present(each) for each in given]


def _present(given: Authority) -> Represented:
    return Represented(
        name=given.principal.masked_name,
        kind=str(Authority.Kind(given.kind).label),
        account_no=given.principal.masked_account_no,
        until=on_text(local_day(given.valid_until)) if given.valid_until else "",
        url=reverse("rights:for", args=[given.principal_id]),
    )


# ---- pages ---------------------------------------------------------------------------------------------------------


@never_cache
@require_safe
@asker_required
def rights_for(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What the signed-in person may ask for on behalf of this one."""
    given = require_authority(agent=person_of(request), principal_id=pk, now=clock.now())
    return render(
        request,
        "subject/for_other.html",
        {
            "person": _present(given),
            "kinds": [kind.value for kind in Kind if kind in given.scope],
            "query": f"?{urlencode({'for': str(pk)})}",
        },
    )


def _refuse(request: HttpRequest, given: Authority | None) -> HttpResponse:
    """Why not and what to do; of the person nothing, not even whether there is one."""
    refusal = reason("AGENT.UNAUTHORISED")
    over = given is not None and is_over(given, clock.now())
    context = {
        "text": refusal.text(language_of_page()),
        "basis": cite(refusal.basis, language_of_page()),
        "ended_on": local_day(given.valid_until) if given and given.valid_until and over else None,
        "covers": given.scope if given and not over else [],
        "file": [
            {
                "url": reverse("rights:file_unproved", args=[given.principal_id, kind]),
                "title": _("File access, proof follows") if kind == Kind.ACCESS else _("File deletion, proof follows"),
            }
            for kind in offered_kinds(given, over=over)
            if given
        ],
        "for_url": reverse("rights:for", args=[given.principal_id]) if given and not over else "",
    }
    return render(request, "subject/no_authority.html", context, status=403)
