"""The portal's own rows about a person: their account, requests, notices, consents.

They are read as the person, with their seals opened: row-level security limits the web role to them here too, and a
worker, who may see everybody's, is limited by the map's edges alone. No request changes them: it would destroy the
proof that it was kept. What becomes of them is a rule for everybody alike (`actions.upkeep`).
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from itertools import count
from typing import Any, NoReturn
from uuid import UUID

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.utils import DatabaseError, InterfaceError, OperationalError

from accounts.models import User
from accounts.normal import normalise
from portal.core import keyring
from rights.connectors.base import (
    Anchor,
    Column,
    CountWriter,
    Fact,
    FateCount,
    Form,
    HeldGroup,
    Key,
    Links,
    Policy,
    Refused,
    Seed,
    Subject,
    Unavailable,
)
from rights.connectors.rowtext import write_rows
from rights.datamap import Collection, Condition, DataMap, Edge
from rights.datamap.rules import Wrong
from rights.kernel.plan import Fate

ANSWER_SECONDS = 2
SHOWN = 200
IDENTITY = "account_no"
"""How the portal knows a person; everything else hangs on their account."""
_numbers = count(1)
_ASKED = "SELECT found FROM find_account(%s::text[]) found"
_SEEN = "SELECT id FROM accounts_user WHERE account_index = ANY (%s::text[])"
_SECRETS = frozenset({"data_key", "digest", "identities", "index", "keys", "password", "salt", "secret"})
_KINDS: "tuple[tuple[type[models.Field[Any, Any]], str], ...]" = (
    (models.BooleanField, "boolean"),
    (models.IntegerField, "integer"),
    (models.DecimalField, "number"),
    (models.DateTimeField, "datetime"),
    (models.DateField, "date"),
)


@dataclass(frozen=True)
class OwnSystem:
    """The portal as a system of the map: a collection is called as its table, a field as its column."""

    system: str
    data_map: DataMap

    @contextmanager
    def snapshot(self, seed: Seed, *, patience: float = ANSWER_SECONDS) -> Iterator["OwnSnapshot"]:
        # A connection of its own: the caller's speaks for somebody else, and writes while a package is read. Another
        # snapshot of the same thread may be open too.
        alias = f"own {next(_numbers)}"
        connections[alias] = connections[DEFAULT_DB_ALIAS].copy(alias)
        try:
            with ExitStack() as stack:
                with _translated():
                    stack.enter_context(transaction.atomic(using=alias))
                    person = _speak_for(seed.identities.get(IDENTITY, ""), alias=alias, patience=patience)
                yield OwnSnapshot(self.data_map, self.system, seed, person, alias)
        finally:
            connections[alias].close()
            del connections[alias]

    def find_obstacles(self, collection: str) -> list[str]:
        return []

    def erase_order(self) -> list[str]:
        return []

    def found_first(self) -> frozenset[str]:
        return frozenset()

    def erase(self, seed: Seed, policies: Mapping[str, Policy], collection: str, keys: Sequence[Key]) -> int:
        self._refuse()

    def flag(self, seed: Seed, policies: Mapping[str, Policy], collection: str, keys: Sequence[Key]) -> int:
        self._refuse()

    def flag_again(self, collection: str, keys: Sequence[Key]) -> int:
        self._refuse()

    def find_present(self, collection: str, keys: Sequence[Key]) -> list[Key]:
        self._refuse()

    def stream_keys(self, collection: str) -> Iterator[list[Key]]:
        self._refuse()

    def erase_again(self, collection: str, keys: Sequence[Key]) -> int:
        self._refuse()

    def count_rows(self, seed: Seed, collection: str, values: Mapping[str, str | None]) -> int:
        self._refuse()

    def correct(self, seed: Seed, collection: str, column: str, *, old: str, new: str) -> int:
        self._refuse()

    def set_fields(
        self, seed: Seed, collection: str, *, match: Mapping[str, Any], values: Mapping[str, Any], now: datetime,
        only_empty: bool = False,
    ) -> int:  # fmt: skip
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise Refused(f"The system {self.system} is the portal itself: no request changes its rows.")

    def check(self) -> None:
        if faults := list(find_faults(self.data_map)):
            raise Refused(" ".join(f"{key} {reason}" for key, reason, _remedy in faults))


@dataclass(frozen=True)
class OwnSnapshot:
    """`person`: whose account it is; None where nobody has it, so that there are no rows. `alias`: its connection."""

    data_map: DataMap
    system: str
    seed: Seed
    person: UUID | None
    alias: str

    def count_fates(self, policies: Mapping[str, Policy]) -> list[FateCount]:
        counts = {key: self._count(key) for key in policies}
        return [FateCount(key, policies[key].fixed or Fate.KEEP, count) for key, count in counts.items() if count]

    def read_values(self, collection: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        return list(self._read(self._rows(collection).values_list(*columns)[:SHOWN]))

    def list_columns(self, collection: str, *, redact: Sequence[str]) -> tuple[Column, ...]:
        return tuple(Column(field.attname, _kind_of(field)) for field in self._shown(collection, redact))

    def copy_rows(self, collection: str, *, redact: Sequence[str], form: Form, write: Callable[[bytes], object]) -> int:
        names = [field.attname for field in self._shown(collection, redact)]
        rows = self._read(self._rows(collection).order_by("pk").values_list(*names))
        return write_rows(names, rows, form=form, write=write)

    def _shown(self, collection: str, redact: Sequence[str]) -> "list[models.Field[Any, Any]]":
        item = self.data_map.collections[collection]
        described = {field.name for field in item.fields} - set(redact)
        shown = [field for field in _model_of(item)._meta.concrete_fields if field.attname in described]
        return sorted(shown, key=lambda field: not field.primary_key)

    def _rows(self, collection: str) -> "models.QuerySet[Any]":
        """The person's rows, up to the moment that bounds the request."""
        item = self.data_map.collections[collection]
        rows = _model_of(item)._base_manager.using(self.alias)
        mine = models.Q(pk=self.person) if _is_account(item) else models.Q(pk__in=[])
        for edge in self.data_map.edges:
            if edge.target == collection:
                found = self._rows(edge.source).values(*edge.source_fields)
                mine |= models.Q(**{f"{edge.target_fields[0]}__in": found})
        if item.cutoff and self.seed.scope_cutoff:
            mine &= models.Q(**{f"{item.cutoff}__lte": self.seed.scope_cutoff})
        return rows.filter(mine) if self.person else rows.none()

    def _count(self, collection: str) -> int:
        with _translated():
            return self._rows(collection).count()

    def _read(self, rows: "models.QuerySet[Any, tuple[Any, ...]]") -> Iterator[tuple[Any, ...]]:
        with _translated():
            yield from rows.iterator()

    # --- what only matters to those whose rows a request changes

    def read_facts(self, asked: Sequence[tuple[Condition, tuple[str, ...]]]) -> list[Fact]:
        if asked:
            raise Refused(
                f"The system {self.system} is the portal itself: nothing in it stands in the way of anything."
            )
        return []

    def read_links(self, edges: Sequence[Edge]) -> dict[Edge, Links]:
        return {edge: Links() for edge in edges}

    def read_anchors(self, policies: Mapping[str, Policy], edges: Sequence[Edge]) -> dict[Edge, tuple[Anchor, ...]]:
        return dict.fromkeys(edges, ())

    def list_subjects(self, conditions: Sequence[Condition | None]) -> list[frozenset[Subject]]:
        return [frozenset() for _ in conditions]

    def explain(self, policies: Mapping[str, Policy]) -> str:
        return "-- the portal's own rows: shown as they are, and changed by no request"

    def survey_fates(
        self, policies: Mapping[str, Policy], writers: Mapping[str, CountWriter], *, subjects: Sequence[Subject] | None
    ) -> Iterator[tuple[Subject, str]]:
        return iter(())

    def group_holds(self, policies: Mapping[str, Policy], collection: str) -> list[HeldGroup]:
        return []

    def find_keys(self, policies: Mapping[str, Policy], collection: str, *, limit: int | None = None) -> list[Key]:
        return []

    def page_keys(self, policies: Mapping[str, Policy], collection: str) -> Generator[list[Key], None, None]:
        yield from ()

    def find_unflagged(self, policies: Mapping[str, Policy], collection: str, *, limit: int) -> list[Key]:
        return []

    def stream_restricted(self, policies: Mapping[str, Policy], collection: str) -> Generator[list[Key], None, None]:
        yield from ()


def _speak_for(account_no: str, *, alias: str, patience: float) -> UUID | None:
    """Begin one consistent view as the person with this account. Before this the web role sees nobody's rows."""
    digests = keyring.blind_indexes(IDENTITY, normalise(IDENTITY, account_no)) if account_no else []
    with connections[alias].cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(int(patience * 1000))])
        cursor.execute("SELECT has_function_privilege('find_account(text[])', 'EXECUTE')")
        (may_ask,) = cursor.fetchone() or (False,)
        # A worker sees every account and may not ask; the web role has to, as it sees none yet.
        cursor.execute(_ASKED if may_ask else _SEEN, [digests])
        found = cursor.fetchone()
        person: UUID | None = found[0] if found else None
        cursor.execute("SELECT set_config('app.user', %s, true)", [str(person or "")])
    return person


# --- what the map says of the portal, held against what there is


def find_faults(data_map: DataMap) -> Iterator[Wrong]:
    """Whatever the map says of the portal's own rows and the portal does not have, or does not do."""
    yield from _find_unknown(data_map)
    yield from _find_unwalked(data_map)
    yield from _find_acts(data_map)


def _find_unknown(data_map: DataMap) -> Iterator[Wrong]:
    for item in data_map.collections.values():
        if not item.own:
            continue
        where, model = f"collections.{item.key}", _models().get(item.name)
        if model is None:
            yield where, f"{item.name} is no table of the portal.", f"Name one of {', '.join(sorted(_models()))}."
            continue
        columns = {field.attname for field in model._meta.concrete_fields}
        for name in sorted({field.name for field in item.fields} - columns):
            yield where, f"{item.name} has no column {name}.", "Correct the dataset."
        for name in sorted({field.name for field in item.fields} & _SECRETS):
            yield where, f"{name} is a secret that nobody is shown.", "Take it out of the dataset."
        for field in item.fields:
            if field.identity and not (_is_account(item) and field.identity == IDENTITY):
                remedy = f"Lead to it from {User._meta.db_table}, whose identity is {IDENTITY}."
                yield where, f"{field.name} is no identity by which the portal knows a person.", remedy


def _find_unwalked(data_map: DataMap) -> Iterator[Wrong]:
    """Edges are walked by one column each, inside the portal and without a circle."""
    before: dict[str, set[str]] = {}
    for edge in data_map.edges:
        ends = [data_map.collections[key].own for key in (edge.source, edge.target)]
        where = f"edges {edge.source} → {edge.target}"
        if any(ends) and not all(ends):
            yield where, "leads from the portal's own rows to another system's, or back.", "Set follow: false."
        elif all(ends) and (edge.when or len(edge.source_fields) > 1):
            yield where, "has a condition or several fields, which is for a database.", "Refer by one field alone."
        elif all(ends):
            before.setdefault(edge.target, set()).add(edge.source)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        yield f"edges {' → '.join(error.args[1])}", "go round in a circle.", "State direction: from."


def _find_acts(data_map: DataMap) -> Iterator[Wrong]:
    """What would read a fact of the portal's own rows, or change them."""
    acts = [
        *(
            (f"entities.{item.key}", item.relationship.collection)
            for item in data_map.entities.values()
            if item.relationship
        ),
        *((f"blockers.{item.key}", item.condition.collection) for item in data_map.blockers.values()),
        *((f"consents.{item.key}", item.collection) for item in data_map.consents.values()),
        *((f"corrections.{item.key}", name) for item in data_map.corrections.values() for name, _ in item.fields),
    ]
    for where, collection in acts:
        if data_map.collections[collection].own:
            yield where, f"names {collection}, and the portal's own rows are only shown.", "Name a company's system."


def _models() -> dict[str, type[models.Model]]:
    """By table."""
    return {model._meta.db_table: model for model in apps.get_models()}


def _model_of(item: Collection) -> type[models.Model]:
    try:
        return _models()[item.name]
    except KeyError:
        raise Refused(f"The portal has no table {item.name}.") from None


def _is_account(item: Collection) -> bool:
    return item.name == User._meta.db_table


# --- values as people and programs read them


def _kind_of(field: "models.Field[Any, Any]") -> str:
    """A column's type as Table Schema names it."""
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    return next((kind for known, kind in _KINDS if isinstance(target, known)), "string")


@contextmanager
def _translated() -> Iterator[None]:
    """A driver's errors as ours, without the values that its messages quote."""
    try:
        yield
    except (OperationalError, InterfaceError):
        raise Unavailable("The portal's own database did not answer in time.") from None
    except keyring.SealBroken:
        raise Refused("A sealed value of the portal cannot be opened.") from None
    except DatabaseError as error:
        raise Refused(f"The portal's own database refuses ({type(error).__name__}).") from None
