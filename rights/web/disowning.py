"""The page behind "was this you": whoever holds the other contact stops the request, without signing in."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal.core import clock, rls
from rights.actions.disowning import UnknownLink, read_link
from rights.actions.submit import CannotSubmit, take_back
from rights.kernel.states import State
from rights.models import Request
from rights.transitions import StaleRequest


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def disown(request: HttpRequest, token: str) -> HttpResponse:
    """Asks first: programs that look at mail open its links. A second tap finds it stopped."""
    try:
        person, pk = read_link(token)
    except UnknownLink:
        raise Http404 from None
    with rls.speaking_for(person, staff=False):
        item = _find(pk)
        if request.method == "POST":
            _stop(item)
            return redirect("rights:disown", token)
        context = {"reference": item.reference, "received_at": item.received_at, "standing": _standing(item)}
    return render(request, "public/disown.html", context)


def _find(pk: UUID) -> Request:
    """Filed, and not forgotten since."""
    found = Request.objects.filter(pk=pk, received_at__isnull=False).first()
    if found is None:
        raise Http404
    return found


def _stop(item: Request) -> None:
    try:
        take_back(item, actor=None, event="disowned", now=clock.now())
    except (CannotSubmit, StaleRequest):
        return  # the page itself says where the request stands now


def _standing(item: Request) -> str:
    """open: it can be stopped; stopped; begun: too late for that; closed: it ended otherwise."""
    if item.state != State.CLOSED:
        return "begun" if item.round else "open"
    return "stopped" if item.closing_key == "WITHDRAWN" else "closed"
