"""What the web process does after somebody has signed in, as the database role it then has."""

from collections.abc import Iterator
from contextlib import contextmanager

from accounts.models import User
from portal.core import rls
from tests.rights.shop import Shop


@contextmanager
def on_the_web(shop: Shop, user: User) -> Iterator[None]:
    """The web role speaking for `user`; staff take their own role, as after the second factor."""
    with shop.as_("web"):
        rls.acting_as(user.pk, staff=user.is_staff_role)
        try:
            yield
        finally:
            rls.reset()
