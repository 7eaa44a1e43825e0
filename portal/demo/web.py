"""Pages of the demo alone: the outbox with everybody's codes and messages, the clock, the business systems."""

from datetime import datetime, timedelta

import psycopg
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.identities import get_identities
from accounts.models import User
from accounts.permissions import subject_required
from accounts.totp import STEP, show_code
from portal.core import clock
from portal.core.models import OutboxMessage
from portal.core.systems import UnknownSystem
from portal.demo.accounts import DEMO_ACCOUNTS, STAFF
from portal.demo.business import Chance, do_deed, find_chances
from rights.kernel.clock import local_day

SHOWN = 60
STEPS = (1, 15, 30, 365)


@never_cache
@require_GET
def outbox(request: HttpRequest) -> HttpResponse:
    """Everything the demo would have sent, newest first, and the staff's second factors. Open to whoever sits at this
    machine: the demo answers there alone."""
    now = clock.now()
    known = {address: account.name for account in DEMO_ACCOUNTS for address in (account.phone, account.email)}
    sent = OutboxMessage.objects.order_by("-created_at", "-pk")[:SHOWN]
    return render(
        request,
        "demo/outbox.html",
        {
            "now": now,
            "moved": _is_moved(now),
            "steps": STEPS,
            "seconds_left": STEP - int(now.timestamp()) % STEP,
            "staff": [
                {
                    "account": account,
                    "role": User.Role(account.role).label,
                    "code": show_code(account.login, now=now),
                }
                for account in STAFF
            ],
            "sent": [{"message": message, "name": known.get(message.recipient, "")} for message in sent],
            "shown": SHOWN,
        },
    )


@require_POST
def move_clock(request: HttpRequest) -> HttpResponse:
    """Let days pass, or go back to the real time."""
    days = request.POST.get("days", "")
    if days == "back":
        clock.travel_back()
    elif days in {str(step) for step in STEPS}:
        clock.travel_to(clock.now() + timedelta(days=int(days)))
    else:
        return HttpResponseBadRequest()
    return redirect("demo:outbox")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@subject_required
def systems(request: HttpRequest) -> HttpResponseBase:
    """What the companies' own systems know of the signed-in person that stands in the way, and the way out of it."""
    user = request.user
    if not user.is_authenticated:
        raise AssertionError("subject_required lets nobody else through")
    identities = get_identities(user)
    if request.method == "POST":
        try:
            done = do_deed(
                key=request.POST.get("deed", ""),
                row=int(request.POST.get("row", "")),
                identities=identities,
                today=local_day(clock.now()),
            )
        except (KeyError, ValueError):
            return HttpResponseBadRequest()
        except (psycopg.Error, UnknownSystem):
            messages.error(request, _("That system does not answer. Nothing was changed."))
        else:
            if done:
                messages.success(request, _("Done in the company's system. The portal notices it by itself."))
            else:
                messages.warning(request, _("There was nothing left to do."))
        return redirect("demo:systems")
    chances, silent = find_chances(identities)
    shown = [
        {"deed": chance.deed, "row": chance.row, "name": chance.name, "amount": _shown(chance)} for chance in chances
    ]
    return render(request, "demo/systems.html", {"chances": shown, "silent": silent})


def _shown(chance: Chance) -> str:
    """What is at stake, as the other pages write it: money, except where the system counts coins."""
    if chance.amount is None:
        return ""
    return f"{chance.amount:,}" if chance.deed.key == "micoin" else f"¥{chance.amount:,.2f}"


def _is_moved(now: datetime) -> bool:
    """Whether the demo's clock was moved; a minute is the time a slow page may take."""
    return abs(now - datetime.now(now.tzinfo)) > timedelta(minutes=1)
