"""What needs no account: checking a receipt, the keys and heads to check it with, and what a secret shows.

Nothing here changes anything, so no form carries a token against forgery; that also keeps a body that is too large from
being read at all.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from portal.core import clock, ledger, verify_receipt
from portal.core.throttle import is_too_often
from rights.datamap import load_live_map
from rights.kernel.clock import local_day
from rights.receipts import Checked, check, find_head, find_held, publish_keys
from rights.web import form_saying, language_of_page
from rights.web.present_progress import present_held
from rights.web.present_receipt import present_statement
from rights.web.receipts import answer_file

LETTER_LENGTH = 20_000
MOST_BYTES = verify_receipt.MOST_BYTES + 4 * LETTER_LENGTH + 16 * 1024
"""Of a whole request: a receipt, a letter, and the form around them."""
CHECKS, TRIES, WINDOW = 60, 20, 60
"""How many receipts one address may have checked, and secrets tried, within so many seconds."""
SCRIPT = Path(verify_receipt.__file__)


class ReceiptForm(forms.Form):
    """A receipt, as a file or as its text; and the letter that it may stand for."""

    file = forms.FileField(
        label=gettext_lazy("The receipt file"),
        required=False,
        help_text=gettext_lazy("Ends in .jsonld"),
        widget=forms.FileInput({"accept": ".jsonld,.json,application/ld+json,application/json"}),
    )
    receipt = forms.CharField(
        label=gettext_lazy("Or its text"),
        required=False,
        widget=forms.Textarea({"rows": 4, "spellcheck": "false", "autocomplete": "off"}),
    )
    letter = forms.CharField(
        label=gettext_lazy("The letter you were sent"),
        required=False,
        strip=False,
        max_length=LETTER_LENGTH,
        help_text=gettext_lazy("To prove that a decision said exactly this"),
        widget=forms.Textarea({"rows": 4}),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not cleaned.get("file") and not cleaned.get("receipt") and not self.errors:
            self.add_error("file", _("Choose the file, or paste its text below."))
        return cleaned

    @property
    def text(self) -> bytes:
        if file := self.cleaned_data["file"]:
            return bytes(file.read(verify_receipt.MOST_BYTES + 1))
        return str(self.cleaned_data["receipt"]).encode()


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Whether a receipt is genuine, what it states, and whether it is in the ledger; else what exactly is wrong."""
    if request.method != "POST":
        return _show(request, ReceiptForm())
    if _size(request) > MOST_BYTES:
        return _refuse(request, _("That is too large for a receipt, which has a few kilobytes."), status=413)
    if is_too_often(request, action="verify", times=CHECKS, seconds=WINDOW):
        return _refuse(request, _("Too many checks from your address. Try again in a minute."), status=429)
    form = ReceiptForm(request.POST, request.FILES)
    if not form.is_valid():
        return _show(request, form, status=422)
    text = form.text
    checked = check(text, letter=form.cleaned_data["letter"] or None)
    if "complete" in request.POST and checked.completed:
        return answer_file(checked.completed, name=f"receipt-{checked.completed['reference']}-proved")
    return _show(request, ReceiptForm(), checked=checked, text=text, letter=form.cleaned_data["letter"])


def _size(request: HttpRequest) -> int:
    length = request.META.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isdigit() else MOST_BYTES + 1


def _refuse(request: HttpRequest, text: str, *, status: int) -> HttpResponse:
    return _show(request, form_saying(ReceiptForm, text), status=status)


def _show(
    request: HttpRequest,
    form: ReceiptForm,
    *,
    checked: Checked | None = None,
    text: bytes = b"",
    letter: str = "",
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {"form": form}
    if checked:
        report, language = checked.report, language_of_page()
        head = report.head or (checked.inclusion["head"] if checked.inclusion else None)
        context |= {
            "checked": checked,
            "faults": [fault.explain(language) for fault in report.faults],
            "unreadable": any(fault.code == "unreadable" for fault in report.faults),
            "head": head,
            "head_at": datetime.fromisoformat(head["at"]) if head else None,
            "letter": letter,
            "statement": present_statement(report.document, data_map=load_live_map(), language=language)
            if report.genuine
            else None,
            "text": text.decode() if checked.completed else "",
        }
    return render(request, "public/verify.html", context, status=status)


# ---- what a receipt is checked with --------------------------------------------------------------------------------


@require_safe
def script(request: HttpRequest) -> HttpResponse:
    """The checker itself: the very file that checks here."""
    response = HttpResponse(SCRIPT.read_bytes(), content_type="text/x-python; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{SCRIPT.name}"'
    return response


@require_safe
def keys(request: HttpRequest) -> HttpResponse:
    """Every public key, old ones too."""
    return _public(publish_keys())


@require_safe
def head(request: HttpRequest, number: int) -> HttpResponse:
    """One signed head of the ledger, as exported."""
    found = find_head(number)
    if found is None:
        raise Http404
    return _public(found)


@require_safe
def extension(request: HttpRequest, old: int, new: int) -> HttpResponse:
    """The proof that the ledger under one head begins with all that was under an earlier one (RFC 6962, 2.1.2)."""
    heads = find_head(old), find_head(new)
    path = ledger.prove_extension(old=old, new=new) if all(heads) else None
    if path is None:
        raise Http404
    return _public({"old": heads[0], "new": heads[1], "path": [step.hex() for step in path]})


def _public(document: dict[str, Any]) -> JsonResponse:
    """For anybody's program to read, wherever it runs."""
    response = JsonResponse(document, json_dumps_params={"ensure_ascii": False, "indent": 1})
    response["Access-Control-Allow-Origin"] = "*"
    return response


# ---- what a secret shows -------------------------------------------------------------------------------------------


class SecretForm(forms.Form):
    secret = forms.CharField(
        label=gettext_lazy("Look-up code"),
        max_length=100,
        help_text=gettext_lazy("Five groups of five; it stands in the receipt after “secret”."),
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "autocapitalize": "characters"}),
        error_messages={"required": gettext_lazy("Type the look-up code.")},
    )


@sensitive_post_parameters("secret")
@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def status(request: HttpRequest) -> HttpResponse:
    """What is still held, until when and under which rule, for whoever has the secret of a receipt."""
    if request.method != "POST":
        return render(request, "public/status.html", {"form": SecretForm()})
    if _size(request) > MOST_BYTES:
        return _refuse_code(request, _("That is too large for a look-up code."), status=413)
    if is_too_often(request, action="status", times=TRIES, seconds=WINDOW):
        return _refuse_code(request, _("Too many tries from your address. Try again in a minute."), status=429)
    form = SecretForm(request.POST)
    if not form.is_valid():
        return render(request, "public/status.html", {"form": form}, status=422)
    found = find_held(form.cleaned_data["secret"])
    if found is None:
        form.add_error(
            "secret",
            _(
                "This code opens nothing: it is mistyped, was replaced or ended, or all that was held went more than "
                "three years ago and the request with it."
            ),
        )
        return render(request, "public/status.html", {"form": form}, status=422)
    now = clock.now()
    context = {
        "form": SecretForm(),
        "found": found,
        "now": now,
        "today": local_day(now),
        **present_held(found.holds, data_map=load_live_map(), language=language_of_page(), now=now, since=None),
    }
    return render(request, "public/status.html", context)


def _refuse_code(request: HttpRequest, text: str, *, status: int) -> HttpResponse:
    return render(request, "public/status.html", {"form": form_saying(SecretForm, text)}, status=status)
