"""The few statements that every step of every request sends, written once for each model.

Django composes a statement anew each time it is sent, which for a row or two takes longer than the database needs for
it. Here its text is made once, from the model's own fields; values go through them as ever, so what is sealed stays
sealed. For whatever is asked less often, or by more than equal columns, there are query sets.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from django.db import connection
from django.db.models import AutoField, Field, Model

M = TypeVar("M", bound=Model)


def add(*rows: Model, unless_known: bool = False) -> None:
    """Insert rows of any tables, in this order, in one way there and back; each then has its key.

    `unless_known`: a row that meets one with the same unique value is left out, and no key is read, as the role may not
    see the row.
    """
    texts: list[str] = []
    values: list[Any] = []
    for row in rows:
        text, fields = _insert(type(row))
        texts.append(f"{text} ON CONFLICT DO NOTHING" if unless_known else f"{text} RETURNING {_key(type(row))}")
        values += [field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields]
    if not texts:
        return
    with connection.cursor() as cursor:
        cursor.execute(";".join(texts), values)
        for row in rows:
            row._state.adding = False
            if not unless_known:
                (row.pk,) = cursor.fetchone()
                cursor.nextset()


def find(model: type[M], **where: Any) -> list[M]:
    """The rows that are as `where` says, in no order; a list there stands for any of its values."""
    read = model._meta.concrete_fields
    names, readers = [field.attname for field in read], _readers(model)
    found = _fetch(model, where, columns=tuple(field.name for field in read))
    return [model.from_db(connection.alias, names, _read(row, readers)) for row in found]


def keys(model: type[Model], **where: Any) -> frozenset[Any]:
    """The primary keys of the rows that `find` would give."""
    return frozenset(key for (key,) in _fetch(model, where, columns=("pk",)))


def _fetch(model: type[Model], where: Mapping[str, Any], *, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    many = tuple(name for name, value in where.items() if isinstance(value, list | tuple))
    text, fields = _select(model, columns, tuple(where), many)
    bound = [
        [_asked(field, each) for each in value] if isinstance(value, list | tuple) else _asked(field, value)
        for field, value in zip(fields, where.values(), strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute(text, bound)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def change(model: type[Model], where: Mapping[str, Any], **values: Any) -> bool:
    """Give the row that is as `where` says these values; whether there was one. `None` in `where`: is null."""
    given = {name: value for name, value in where.items() if value is not None}
    text, fields = _update(model, tuple(values), tuple(given), tuple(where.keys() - given.keys()))
    given_values = [value.pk if isinstance(value, Model) else value for value in values.values()]
    bound = [field.get_db_prep_save(value, connection) for field, value in zip(fields, given_values, strict=False)]
    bound += [_asked(field, value) for field, value in zip(fields[len(values) :], given.values(), strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(text, bound)
        return bool(cursor.rowcount)


@lru_cache(maxsize=64)
def _insert(model: type[Model]) -> tuple[str, tuple["Field[Any, Any]", ...]]:
    fields = tuple(field for field in model._meta.local_concrete_fields if not isinstance(field, AutoField))
    names = ", ".join(_columns(fields))
    places = ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {_table(model)} ({names}) VALUES ({places})", fields  # noqa: S608 - names of the model's own


Reader = tuple[int, Callable[..., Any]]


@lru_cache(maxsize=64)
def _select(
    model: type[Model], columns: tuple[str, ...], where: tuple[str, ...], many: tuple[str, ...]
) -> tuple[str, tuple["Field[Any, Any]", ...]]:
    asked = tuple(_field(model, name) for name in where)
    names = ", ".join(_columns(_field(model, name) for name in columns))
    places = ("= ANY(%s)" if name in many else "= %s" for name in where)
    tests = [f"{column} {place}" for column, place in zip(_columns(asked), places, strict=True)]
    chosen = f" WHERE {' AND '.join(tests)}" if tests else ""
    return f"SELECT {names} FROM {_table(model)}{chosen}", asked  # noqa: S608 - as above


@lru_cache(maxsize=64)
def _readers(model: type[Model]) -> tuple[Reader, ...]:
    read = enumerate(model._meta.concrete_fields)
    return tuple((place, field.from_db_value) for place, field in read if hasattr(field, "from_db_value"))


def _read(row: Sequence[Any], readers: Iterable[Reader]) -> list[Any]:
    values = list(row)
    for place, reader in readers:
        values[place] = reader(values[place], None, connection)
    return values


def _asked(field: "Field[Any, Any]", value: Any) -> Any:
    return field.get_db_prep_value(field.get_prep_value(value), connection, prepared=True)


@lru_cache(maxsize=256)
def _update(
    model: type[Model], values: tuple[str, ...], where: tuple[str, ...], empty: tuple[str, ...]
) -> tuple[str, tuple["Field[Any, Any]", ...]]:
    fields = tuple(_field(model, name) for name in (*values, *where))
    columns = _columns(fields)
    setting = ", ".join(f"{column} = %s" for column in columns[: len(values)])
    tests = [f"{column} = %s" for column in columns[len(values) :]]
    tests += [f"{column} IS NULL" for column in _columns(_field(model, name) for name in empty)]
    return f"UPDATE {_table(model)} SET {setting} WHERE {' AND '.join(tests)}", fields  # noqa: S608 - as above


def _field(model: type[Model], name: str) -> "Field[Any, Any]":
    found: Field[Any, Any] = model._meta.pk if name == "pk" else model._meta.get_field(name)  # type: ignore[assignment]
    return found


def _key(model: type[Model]) -> str:
    return connection.ops.quote_name(str(model._meta.pk.column))


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _columns(fields: Iterable["Field[Any, Any]"]) -> list[str]:
    return [connection.ops.quote_name(str(field.column)) for field in fields]
