"""Messages of a case at the desk: staff answer, read the files, and say what needs no answer."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import staff_required
from portal.core import clock
from rights.actions.thread import settle_messages
from rights.models import Attachment, Request
from rights.web import person_of
from rights.web.desk import find_case, is_own_case, show_case
from rights.web.files import send_file
from rights.web.thread import send_message


@require_POST
@staff_required("request.decide")
def post_message(request: HttpRequest, pk: UUID) -> HttpResponse:
    item, now = _others_case(request, pk), clock.now()
    if form := send_message(request, item, now=now):
        return show_case(request, item, now=now, message_form=form, status=422)
    messages.success(request, _("The message was sent."))
    return redirect(f"{reverse('desk:case', args=[pk])}#messages")


@require_POST
@staff_required("request.decide")
def settle(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What the page showed needs no answer; what came after it still waits."""
    seen = request.POST.get("seen", "")
    read = settle_messages(
        _others_case(request, pk),
        staff=person_of(request),
        seen=int(seen) if seen.isascii() and seen.isdecimal() and len(seen) < 19 else 0,
        now=clock.now(),
    )
    if read:
        messages.success(request, _("Noted: no answer is needed."))
    else:
        messages.error(request, _("A message has come that you have not seen yet."))
    return redirect(f"{reverse('desk:case', args=[pk])}#messages")


@never_cache
@require_safe
@staff_required("request.view")
def read_attachment(request: HttpRequest, pk: UUID, file: UUID) -> HttpResponse:
    item = _others_case(request, pk)
    return send_file(get_object_or_404(Attachment, pk=file, message__request=item))


def _others_case(request: HttpRequest, pk: UUID) -> Request:
    item = find_case(pk)
    if is_own_case(item, person_of(request)):
        raise PermissionDenied
    return item
