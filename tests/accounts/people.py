"""Users for tests. They are made as the owner: the web role can make none."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models import User
from portal.core import rls

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PASSWORD = "a long enough one"

AsRole = Callable[[str], AbstractContextManager[None]]
_numbers = count(1)


def make_user(django_as: AsRole, **given: Any) -> User:
    number = next(_numbers)
    fields: dict[str, Any] = {
        "account_no": f"{700000 + number}",
        "phone": f"1990000{number:04d}",
        "email": f"user{number}@mail.example",
        "display_name": "陈若兰",
        "password": PASSWORD,
        "now": NOW,
    } | given
    with django_as("owner"):
        return User.objects.create_user(**fields)


def speak_for(user: User | UUID | None) -> None:
    """The web role, as after `user` has signed in."""
    rls.acting_as(user.pk if isinstance(user, User) else user, staff=False)


def current_role() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, coalesce(current_setting('app.user', true), '')")
        role, user = cursor.fetchone()
        return role, user
