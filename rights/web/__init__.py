"""Pages: a person asks and follows, staff decide. Views read, call one act of the domain, and show."""

from typing import TypeVar

from django import forms
from django.http import HttpRequest
from django.utils.translation import get_language

from accounts.models import User

F = TypeVar("F", bound=forms.Form)


def person_of(request: HttpRequest) -> User:
    """Who is signed in. For views whose decorator lets nobody else through."""
    user = request.user
    if not user.is_authenticated:
        raise AssertionError("The view's decorator lets nobody through who is not signed in.")
    return user


def language_of_page() -> str:
    """The language in which the page is written."""
    return get_language() or "zh-hans"


def form_saying(kind: type[F], text: str) -> F:
    """An empty form that says why what was sent was not taken."""
    form = kind({})
    form.errors.clear()
    form.add_error(None, text)
    return form
