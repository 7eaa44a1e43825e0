"""What a person's pages know beside their own matter."""

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from rights.queries import unread_notices


def frame(request: HttpRequest) -> dict[str, object]:
    """How many notices are unread; asked only by a page that shows it."""
    user = getattr(request, "user", None)
    if not isinstance(user, User) or user.is_staff_role:
        return {}
    return {"unread_count": SimpleLazyObject(lambda: unread_notices(user))}
