"""A person's receipts: to read, to keep as a file, and with the secret that shows what is still held."""

from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from portal.core import clock
from portal.core.verify_receipt import canonical
from rights.datamap import load_live_map
from rights.kernel.states import State
from rights.models import Receipt, Request, StatusSecret
from rights.queries import due_of
from rights.receipts import HOLD, MEDIA_TYPE, Fields, hand_out, make_secret, revoke_secret
from rights.web import language_of_page, person_of
from rights.web.for_others import about_request, asker_required, find_covered
from rights.web.present_receipt import present_statement, receipt_title
from rights.web.unproved import find_unproved


def list_receipts(item: Request) -> list[dict[str, Any]]:
    """The receipts of a request, newest first, for its page."""
    return [
        {
            "url": reverse("rights:signed_receipt", args=[item.pk, receipt.pk]),
            "title": receipt_title(receipt.event),
            "at": receipt.at,
        }
        for receipt in item.receipts.order_by("-seq", "-event").defer("fields")
    ]


@asker_required
@never_cache
@require_safe
def calendar_entry(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The due date for a person's own calendar (RFC 5545): a whole day, and no word of what was asked for."""
    item, now = find_covered(request, pk), clock.now()
    if item.ready_at is None or item.state in {State.DEFERRED, State.CLOSED}:
        raise Http404  # no day runs
    due = due_of(item, now=now).on
    url = request.build_absolute_uri(reverse("rights:request", args=[item.pk]))
    lines = (
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//privacy-portal//due//ZH", "BEGIN:VEVENT", f"UID:{item.pk}",
        f"DTSTAMP:{now.astimezone(UTC):%Y%m%dT%H%M%SZ}", f"DTSTART;VALUE=DATE:{due:%Y%m%d}",
        f"DTEND;VALUE=DATE:{due + timedelta(days=1):%Y%m%d}", "TRANSP:TRANSPARENT",
        "SUMMARY:" + _("%(reference)s: done by 24:00 today") % {"reference": item.reference},
        f"URL:{url}", "END:VEVENT", "END:VCALENDAR",
    )  # fmt: skip
    response = HttpResponse(
        "".join(f"{_fold(line)}\r\n" for line in lines), content_type="text/calendar; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{item.reference}.ics"'
    return response


def _fold(line: str) -> str:
    """No line is longer than 75 octets, and none is cut inside a character (RFC 5545, 3.1)."""
    folded, length = "", 0
    for character in line:
        size = len(character.encode())
        if length + size > 75:
            folded, length = f"{folded}\r\n ", 1
        folded, length = folded + character, length + size
    return folded


def _find(request: HttpRequest, pk: UUID, number: UUID) -> tuple[Request, Receipt]:
    item = find_unproved(request, pk) or find_covered(request, pk)
    return item, get_object_or_404(Receipt, request=item, pk=number)


def _may_have_secret(request: HttpRequest, item: Request, receipt: Receipt) -> bool:
    """The person alone: whoever asked for them loses sight with the authority, and a secret would outlast that."""
    return receipt.event == HOLD and item.subject_id == person_of(request).pk


@asker_required
@never_cache
@require_safe
def signed_receipt(request: HttpRequest, pk: UUID, number: UUID) -> HttpResponse:
    """One receipt to read, with what proves it."""
    item, receipt = _find(request, pk, number)
    document = hand_out(receipt, now=clock.now())
    secret = None
    if _may_have_secret(request, item, receipt):
        secret = StatusSecret.objects.filter(request=item, revoked_at__isnull=True).first()
    context = {
        "case": {"ref": item.reference, "url": reverse("rights:request", args=[item.pk])},
        "about": about_request(request, item),
        "statement": present_statement(document, data_map=load_live_map(), language=language_of_page()),
        "key": document["proof"][0]["verificationMethod"].rpartition("#")[2],
        "head": document["proof"][1]["head"] if len(document["proof"]) > 1 else None,
        "file_url": reverse("rights:receipt_file", args=[item.pk, receipt.pk]),
        "secret_url": reverse("rights:receipt_secret", args=[item.pk, receipt.pk])
        if _may_have_secret(request, item, receipt)
        else "",
        "secret": secret,
    }
    return render(request, "subject/signed_receipt.html", context)


@asker_required
@never_cache
@require_safe
def receipt_file(request: HttpRequest, pk: UUID, number: UUID) -> HttpResponse:
    """The receipt as a file."""
    item, receipt = _find(request, pk, number)
    return answer_file(hand_out(receipt, now=clock.now()), name=f"receipt-{item.reference}-{receipt.event}")


@asker_required
@never_cache
@require_POST
def receipt_secret(request: HttpRequest, pk: UUID, number: UUID) -> HttpResponse:
    """A new secret, in the file and nowhere else; or, with `end`, the end of the one that is out."""
    item, receipt = _find(request, pk, number)
    if not _may_have_secret(request, item, receipt):
        raise Http404
    now = clock.now()
    if "end" in request.POST:
        if revoke_secret(item, now=now):
            messages.success(request, _("The look-up code no longer opens anything."))
        return redirect("rights:signed_receipt", pk, number)
    document = hand_out(receipt, now=now, secret=make_secret(item, now=now))
    return answer_file(document, name=f"receipt-{item.reference}-{receipt.event}-with-code")


def answer_file(document: Fields, *, name: str) -> HttpResponse:
    """A receipt for download, in the spelling that was signed."""
    response = HttpResponse(canonical(document), content_type=MEDIA_TYPE)
    response["Content-Disposition"] = f'attachment; filename="{name}.jsonld"'
    response["Cache-Control"] = "no-store"
    return response
