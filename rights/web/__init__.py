"""Pages: a person asks and follows, staff decide. Views read, call one act of the domain, and show."""

from django.http import HttpRequest
from django.utils.translation import get_language

from accounts.models import User


def person_of(request: HttpRequest) -> User:
    """Who is signed in. For views whose decorator lets nobody else through."""
    user = request.user
    if not user.is_authenticated:
        raise AssertionError("The view's decorator lets nobody through who is not signed in.")
    return user


def language_of_page() -> str:
    """The language in which the page is written."""
    return get_language() or "zh-hans"
