"""Columns that are sealed at rest: text and JSON in Python, bytes in the database.

The context of a value is "app.Model.field", so that a sealed value copied into another column does not open there.
Nothing can be searched in them: what must be found has a blind index in a column of its own.
"""

import json
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.exceptions import FieldError
from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression
from django.db.models.lookups import Lookup, Transform

from portal.core import keyring

if TYPE_CHECKING:  # Django's fields take type arguments in their stubs only
    TextBase = models.TextField[str | None, str]
else:
    TextBase = models.TextField


class _Sealed:
    """What both fields share. `encode` and `decode` go between the Python value and text."""

    model: type[models.Model]
    name: str

    def get_internal_type(self) -> str:
        return "BinaryField"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "bytea"

    @property
    def context(self) -> str:
        return f"{self.model._meta.label}.{self.name}"

    def encode(self, value: Any) -> str:
        return str(value)

    def decode(self, text: str) -> Any:
        return text

    def get_prep_value(self, value: Any) -> Any:
        return value

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        if value is None or isinstance(value, bytes):
            return value
        return keyring.seal(self.encode(value).encode(), context=self.context)

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        if hasattr(value, "as_sql"):
            return value
        return self.get_db_prep_value(value, connection=connection)

    def from_db_value(self, value: Any, expression: Expression, connection: BaseDatabaseWrapper) -> Any:
        if value is None:
            return None
        return self.decode(keyring.unseal(bytes(value), context=self.context).decode())

    def get_lookup(self, lookup_name: str) -> "type[Lookup[Any]] | None":
        if lookup_name == "isnull":
            return models.lookups.IsNull
        self._refuse(lookup_name)

    def get_transform(self, lookup_name: str) -> type[Transform] | None:
        self._refuse(lookup_name)

    def _refuse(self, lookup_name: str) -> NoReturn:
        raise FieldError(f"{self.context} is sealed: no {lookup_name!r} look-up. Search its blind index.")


class EncryptedTextField(_Sealed, TextBase):
    """Text, sealed at rest."""

    description = "Sealed text"


class EncryptedJSONField(_Sealed, models.JSONField):  # type: ignore[misc]
    """JSON, sealed at rest as one value."""

    description = "Sealed JSON"

    def encode(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), cls=self.encoder)

    def decode(self, text: str) -> Any:
        return json.loads(text, cls=self.decoder)


def reseal(model: type[models.Model], *, limit: int = 500) -> int:
    """Seal again what is under older keys. Returns how many rows; once it is 0 for every model, old keys may go."""
    sealed = [field for field in model._meta.concrete_fields if isinstance(field, _Sealed)]
    if not sealed:
        return 0
    current = keyring.current_seal_header()
    heads = {
        f"{field.name}_head": models.Func(
            models.F(field.name), 1, len(current), function="substr", output_field=models.BinaryField()
        )
        for field in sealed
    }
    stale = models.Q()
    for name in heads:
        stale |= models.Q(**{f"{name}__isnull": False}) & ~models.Q(**{name: current})
    with transaction.atomic():
        rows = model._default_manager.select_for_update(of=("self",), skip_locked=True).alias(**heads).filter(stale)
        count = 0
        for row in rows[:limit]:
            row.save(update_fields=[field.name for field in sealed])
            count += 1
    return count
