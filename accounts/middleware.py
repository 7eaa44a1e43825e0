"""Whom a request's connection speaks for. After Django's authentication and the OTP middleware."""

from collections.abc import Callable

from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse

from accounts.permissions import is_verified_staff
from portal.core import rls


class ActingMiddleware:
    """Take the staff role for staff whose second factor is verified; leave everyone else with what their own rows are.

    The user is loaded here, not lazily in the view, so that no query of a view runs before the connection speaks for
    somebody.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if SESSION_KEY in request.session:
            user = request.user
            if not user.is_authenticated:
                rls.reset()  # the session named a user and Django did not accept it
            elif is_verified_staff(user):
                rls.acting_as(user.pk, staff=True)
        return self.get_response(request)
