from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import FieldError

from accounts.models import User
from portal.core import keyring
from portal.core.fields import EncryptedJSONField, reseal
from portal.core.models import OutboxMessage
from tests.accounts.people import NOW, AsRole, make_user

RunSql = Callable[..., list[tuple[Any, ...]]]


def test_a_sealed_column_holds_no_readable_text(db: None, django_as: AsRole, owner_sql: RunSql) -> None:
    make_user(django_as, display_name="陈若兰", phone="19900001234")
    ((row,),) = owner_sql("SELECT accounts_user::text FROM accounts_user")
    assert "19900001234" not in row
    assert "陈若兰".encode().hex() not in row
    assert b"19900001234".hex() not in row


def test_sealed_values_come_back_as_they_were(db: None, django_as: AsRole) -> None:
    user = make_user(django_as, display_name="陈若兰", email="")
    with django_as("owner"):
        again = User.objects.get(pk=user.pk)
    assert (again.display_name, again.email) == ("陈若兰", "")


def test_a_value_moved_to_another_column_does_not_open(db: None, django_as: AsRole, owner_sql: RunSql) -> None:
    user = make_user(django_as)
    owner_sql("UPDATE accounts_user SET email = display_name")
    with django_as("owner"), pytest.raises(keyring.SealBroken):
        User.objects.get(pk=user.pk)


def test_sealed_columns_cannot_be_searched(db: None) -> None:
    for lookup in ("phone", "phone__exact", "phone__contains", "phone__in"):
        with pytest.raises(FieldError, match="blind index"):
            User.objects.filter(**{lookup: "1"})
    assert not User.objects.filter(phone__isnull=True).exists()


def test_bulk_writes_are_sealed_too(db: None, owner_sql: RunSql) -> None:
    rows = [
        OutboxMessage(channel="sms", recipient="1", subject="", body=f"code {number}", created_at=NOW)
        for number in range(3)
    ]
    OutboxMessage.objects.bulk_create(rows)
    for row in rows:
        assert b"code" not in owner_sql("SELECT body FROM core_outboxmessage WHERE id = %s", [row.pk])[0][0]
    assert sorted(OutboxMessage.objects.values_list("body", flat=True)) == ["code 0", "code 1", "code 2"]


def test_bulk_updates_are_sealed_too(db: None, django_as: AsRole, owner_sql: RunSql) -> None:
    users = [make_user(django_as), make_user(django_as)]
    with django_as("owner"):
        for user in users:
            user.email = f"new-{user.account_no}@mail.example"
        User.objects.bulk_update(users, ["email"])
        User.objects.filter(pk=users[0].pk).update(display_name="王一")
        assert User.objects.get(pk=users[1].pk).email == users[1].email
    assert all(b"new-" not in email for (email,) in owner_sql("SELECT email FROM accounts_user"))
    with django_as("owner"):
        again = User.objects.get(pk=users[0].pk)
    assert again.display_name == "王一"


def test_json_is_sealed_as_one_value() -> None:
    field = EncryptedJSONField()
    assert field.decode(field.encode({"键": [1, None, "值"]})) == {"键": [1, None, "值"]}
    assert field.db_type(None) == "bytea"  # type: ignore[arg-type]


def test_after_resealing_the_old_key_may_go(db: None, django_as: AsRole) -> None:
    users = [make_user(django_as, display_name=name) for name in ("一", "二", "三")]
    old = keyring.current_version("seal")
    new = keyring.rotate("seal")
    with django_as("worker"):
        assert (reseal(User, limit=2), reseal(User), reseal(User)) == (2, 1, 0)
        keyring.retire("seal", old)
        assert {user.display_name for user in User.objects.all()} == {"一", "二", "三"}
    assert new > old
    assert len(users) == 3
