"""What pages know beside their own matter."""

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from rights.queries import unread_notices
from rights.web.desk_systems import present_halts


def frame(request: HttpRequest) -> dict[str, object]:
    """How many notices a person has not read, and for staff where erasures are stopped; asked only by a page that
    shows it."""
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {}
    if user.is_staff_role:
        return {"halts": SimpleLazyObject(present_halts)}
    return {"unread_count": SimpleLazyObject(lambda: unread_notices(user))}
