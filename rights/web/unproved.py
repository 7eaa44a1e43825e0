"""Requests that wait for a proof, as their filer and the person they are about follow them, and how one is filed.

Nothing of the person is read or shown here, not even a name: the database keeps their row closed, and a page must not
say more than that.
"""

from datetime import date
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.authority import NoAuthority, require_authority
from accounts.models import Authority, User
from accounts.permissions import subject_required
from portal.core import clock
from rights.actions.submit import ONLINE, CannotSubmit, closes_on, start_draft, submit
from rights.datamap import load_live_map
from rights.kernel.clock import local_day
from rights.kernel.decisions import reason
from rights.kernel.states import Kind, State
from rights.models import Request
from rights.queries import limit_of
from rights.templatetags.look import limit_text
from rights.web import language_of_page, person_of
from rights.web.present import title_of
from rights.web.thread import MessageForm, Thread, present_thread
from rights.wording import cite

OFFERED = (Kind.ACCESS, Kind.DELETION)
"""The kinds whose form asks for nothing that only the person's own data could answer."""


def offered_kinds(given: Authority | None, *, over: bool) -> list[str]:
    """What may be filed for a proof to follow: where an authority is over, or was for something else."""
    if given is None:
        return []
    return [kind.value for kind in OFFERED if over or kind not in given.scope]


@never_cache
@require_POST
@subject_required
def file_unproved(request: HttpRequest, kind: Kind, pk: UUID) -> HttpResponse:
    """File it as it is; it waits for its proof. A second tap finds the first one."""
    user, now = person_of(request), clock.now()
    try:
        require_authority(agent=user, principal_id=pk, kind=kind, now=now)
    except NoAuthority as refused:
        if refused.given is None or kind not in OFFERED:
            raise Http404 from None
    else:
        return redirect(f"{reverse('rights:right', args=[kind.value])}?for={pk}")
    waiting = _mine(user).filter(filed_by=user, subject=pk, kind=kind, state=State.WAITING)
    if found := waiting.first():
        return redirect("rights:request", found.pk)
    # By id alone, as their row may be closed.
    draft = start_draft(subject=User(pk=pk), filed_by=user, kind=kind, details={"entities": []}, now=now)
    try:
        sent = submit(request_id=draft.pk, now=now)
    except CannotSubmit as error:
        messages.error(request, str(error))
        return redirect("rights:requests")
    return redirect("rights:request", sent.pk)


def _mine(user: User) -> Any:
    return Request.objects.filter(Q(subject=user) | Q(filed_by=user), received_at__isnull=False, started_on=None)


def find_unproved(request: HttpRequest, pk: UUID) -> Request | None:
    """A request that waits for its proof, or ended without it; filed by the signed-in person or about them."""
    found: Request | None = _mine(person_of(request)).filter(pk=pk).first()
    return found


def list_unproved(request: HttpRequest) -> dict[str, list[dict[str, Any]]]:
    """What still waits for its proof, and what ended without one."""
    found = [present_unproved(request, item) for item in _mine(person_of(request)).order_by("-received_at", "-id")]
    return {
        "open": [case for case in found if not case["closed_at"]],
        "ended": [case for case in found if case["closed_at"]],
    }


def present_unproved(request: HttpRequest, item: Request) -> dict[str, Any]:
    why = reason((item.review_reasons or ["ID.UNVERIFIED"])[0])
    return {
        "ref": item.reference,
        "title": title_of(item, load_live_map(), language_of_page()),
        "url": reverse("rights:request", args=[item.pk]),
        "received_at": item.received_at,
        "closed_at": item.closed_at,
        "taken_back": item.closing_key == "WITHDRAWN",
        "until": _until(item),
        "about_me": item.subject_id == person_of(request).pk and item.filed_by_id != item.subject_id,
        "agent": why.key == "AGENT.UNAUTHORISED",
        "text": why.text(language_of_page()),
        "basis": cite(why.basis, language_of_page()),
    }


def _until(item: Request) -> date | None:
    return closes_on(item.received_at) if item.received_at else None


def may_prove(request: HttpRequest, item: Request) -> bool:
    """Whether the proof is the signed-in person's to bring, so that they write to staff about it."""
    return person_of(request).pk == (item.filed_by_id if item.channel == ONLINE else item.subject_id)


def thread_of(request: HttpRequest, item: Request, *, form: MessageForm | None = None) -> Thread:
    return present_thread(
        item,
        viewer=person_of(request),
        url=reverse("rights:message", args=[item.pk]),
        file_url=lambda file: reverse("rights:attachment", args=[item.pk, file.pk]),
        form=form,
        writes=True,
        before=request.GET.get("before", ""),
        now=clock.now(),
    )


def show_unproved(
    request: HttpRequest, item: Request, *, message_form: MessageForm | None = None, status: int = 200
) -> HttpResponse:
    # That of the day on which it is proved; as far as is known today.
    limit = limit_of(Kind(item.kind), on=local_day(clock.now()))
    context = {
        "case": present_unproved(request, item),
        "limit": limit_text(limit.days, working=limit.working_days),
        "thread": thread_of(request, item, form=message_form) if may_prove(request, item) else None,
        "withdraw_url": "" if item.state == State.CLOSED else reverse("rights:withdraw", args=[item.pk]),
    }
    return render(request, "subject/unproved.html", context, status=status)
