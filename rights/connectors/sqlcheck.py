"""Holds a data map against the live databases it describes: what is missing, of the wrong type, forbidden or unsafe.

A fault keeps the map from being loaded; a warning is shown beside it.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from rights.connectors.sqlcatalog import LiveColumn, LiveIndex, LiveReference, LiveSchema, LiveTable, TableName
from rights.connectors.sqldialect import Dialect, Trouble
from rights.connectors.sqlgrants import Rights, grant_table, is_erased_by_delete, needed_rights
from rights.connectors.sqlmasks import mask_values, masked
from rights.connectors.sqlremedies import Remedies, remedies_for
from rights.connectors.sqlservers import dialect_of
from rights.connectors.sqltypes import are_comparable, can_identify, fits, type_name
from rights.datamap import Collection, DataMap, Edge, Mask, Predicate
from rights.datamap.parse import GOVERNANCE

DATABASE = "(database)"
UNHELD = frozenset({"none", "CONS"})
"""Classes of which nothing is kept once its purpose or consent has ended."""
TRIED_ROWS, TRIAL_SECONDS = 20, 2
Severity = Literal["fault", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing a live database says against a map. A fault stops the loading, a warning is shown."""

    severity: Severity
    file: str
    key: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.file}: {self.key}: {self.reason} {self.remedy}"


def may_stay(item: Collection, data_map: DataMap) -> bool:
    """Whether a record of the collection can outlive a deletion: held, kept, blocked or masked instead."""
    classes = {clause.data_class for clause in item.classes}
    blocked = any(item.entity in each.entities and classes & set(each.blocks) for each in data_map.blockers.values())
    return bool(
        classes - UNHELD or item.while_relationship or item.confidential or item.mask or item.restrict or blocked
    )


def stated_key(item: Collection) -> tuple[str, ...]:
    """What the map says names a record; the database's own primary key comes before it."""
    return item.key_fields or tuple(field.name for field in item.fields if field.primary_key)


def edge_pairs(edge: Edge) -> tuple[tuple[str, str], ...]:
    """The fields an edge joins, as (source field, target field)."""
    return tuple(zip(edge.source_fields, edge.target_fields, strict=True))


def check_system(
    connection: Connection, live: LiveSchema, *, system: str, data_map: DataMap, dataset_file: str
) -> list[Finding]:
    """Every finding about one system; masks and flags are tried on a few rows in a transaction that is rolled back."""
    unmaskable = dialect_of(connection).unmaskable
    checker = _Checker(live, system=system, data_map=data_map, dataset_file=dataset_file, unmaskable=unmaskable)
    found = list(checker.check())
    return [*found, *_try_changes(connection, live, [item for item in checker.sound if item.mask or item.flag])]


def check_edges(data_map: DataMap, schemas: Mapping[str, LiveSchema]) -> Iterator[Finding]:
    """Joins of columns whose types cannot be compared, also from one system to another. `schemas` by system."""
    for edge in data_map.edges:
        ends = []
        for collection in (edge.source, edge.target):
            item = data_map.collections[collection]
            table = schemas[item.system].tables.get(item.name) if item.system in schemas else None
            ends.append(table)
        source, target = ends
        if source is None or target is None:
            continue
        for source_field, target_field in edge_pairs(edge):
            one, other = source.columns.get(source_field), target.columns.get(target_field)
            if one and other and not are_comparable(one.type, other.type):
                yield Finding(
                    "fault",
                    GOVERNANCE,
                    f"edges {edge.source}.{source_field} → {edge.target}.{target_field}",
                    f"joins {type_name(one.type)} with {type_name(other.type)}, which cannot be compared.",
                    "Refer to a column of the same type, or take the reference out of the dataset.",
                )


class _Checker:
    def __init__(
        self,
        live: LiveSchema,
        *,
        system: str,
        data_map: DataMap,
        dataset_file: str,
        unmaskable: Mapping[Mask, str],
    ) -> None:
        self.live = live
        self.unmaskable = unmaskable
        self.remedies = remedies_for(live)
        self.map = data_map
        self.system = system
        self.dataset_file = dataset_file
        self.items = {item.name: item for item in data_map.of_system(system)}
        self.sound: list[Collection] = []
        """Collections whose table is as the map says, and whose mask can be tried."""

    def check(self) -> Iterator[Finding]:
        if not self.live.exists:
            key = f"systems.{self.system}.schema"
            near = _near(self.live.name, self.live.other_schemas) or "Correct the name."
            yield Finding("fault", GOVERNANCE, key, f"The database has no schema {self.live.name}.", near)
            return
        if self.live.read_only:
            remedy = f"Name the server that takes writes, or {self.remedies.take_writes(self.live.role)}"
            reason = f"The database is read-only for {self.live.role}: nothing could be erased."
            yield Finding("fault", DATABASE, self.live.database, reason, remedy)
        if not self.live.may_use:
            grant = self.remedies.grant_use(self.live.name, self.live.role)
            yield Finding("fault", DATABASE, self.live.name, f"{self.live.role} may not use the schema.", grant)
        for item in self.items.values():
            table = self.live.tables.get(item.name)
            if table is None:
                yield self._missing_table(item)
                continue
            if table.unworkable:
                yield Finding("fault", GOVERNANCE, f"collections.{item.key}", table.unworkable, "")
                continue
            parts = (self._columns, self._key, self._kind, self._rights, self._masks, self._flags)
            found = [finding for part in parts for finding in part(item, table)]
            yield from found
            if (
                self.live.may_use
                and not self.live.read_only
                and all(finding.severity == "warning" for finding in found)
            ):
                self.sound.append(item)
        yield from self._predicates()
        yield from self._references()
        yield from self._secrets()
        yield from self._indexes()

    def _missing_table(self, item: Collection) -> Finding:
        remedy = _near(item.name, self.live.tables) or "Correct the name, or take the collection out of the map."
        remedy += self._unless_hidden(item)
        reason = f"{item.key} has no table {item.name} in the schema {self.live.name} of the live database."
        return Finding("fault", self.dataset_file, item.key, reason, remedy)

    def _unless_hidden(self, item: Collection) -> str:
        """What else to do where a role is not shown what it has no right on."""
        if self.live.shows_all:
            return ""
        needed = needed_rights(item, self.map, self.live)
        grant = grant_table(needed, self.live, item.name, role=self.live.role)
        return f" If it is there, {self.live.role} has no right on it: {grant}"

    def _columns(self, item: Collection, table: LiveTable) -> Iterator[Finding]:
        for field in item.fields:
            column = table.columns.get(field.name)
            key = f"{item.key}.{field.name}"
            if column is None:
                reason = f"{item.key} has no column {field.name} in the live database."
                remedy = _near(field.name, table.columns) or "Correct the name, or take the field out of the dataset."
                remedy += self._unless_hidden(item)
                yield Finding("fault", self.dataset_file, key, reason, remedy)
            elif field.identity and not can_identify(column.type):
                reason = f"is of type {type_name(column.type)}, which no {field.identity} can be compared with."
                yield Finding("fault", self.dataset_file, key, reason, "Name the column that holds the identity.")
        for name in ("trigger", "cutoff"):
            column = table.columns.get(getattr(item, name) or "")
            if column and not isinstance(column.type, sa.Date | sa.DateTime | sa.types.NullType):
                reason = f"{column.name} is of type {type_name(column.type)} and gives no day."
                remedy = "Name a column of type date or timestamp."
                yield Finding("fault", GOVERNANCE, f"collections.{item.key}.{name}", reason, remedy)

    def _key(self, item: Collection, table: LiveTable) -> Iterator[Finding]:
        if table.primary_key:
            return
        stated = stated_key(item)
        if not stated:
            what = "is a view, which has no key of its own" if table.is_view else "has no key"
            remedy = "Mark the fields that name a record as its primary_key."
            yield Finding("fault", self.dataset_file, item.key, f"{item.key} {what}.", remedy)
        elif not table.is_view and not any(
            index.unique and not index.partial and set(index.columns) <= set(stated) for index in table.indexes
        ):
            reason = f"Nothing keeps {', '.join(stated)} of {item.key} unique, and it is stated as the key."
            remedy = self.remedies.create_unique_index(table.schema, table.name, stated)
            yield Finding("warning", self.dataset_file, item.key, reason, remedy)

    def _kind(self, item: Collection, table: LiveTable) -> Iterator[Finding]:
        key = f"collections.{item.key}"
        if both := sorted(name for schema, name in table.under if schema == self.live.name and name in self.items):
            what = "is a partition of" if not table.is_view else "shows the rows of"
            reason = f"{what} {', '.join(both)}, which the map plans as well: every record would count twice."
            yield Finding("fault", GOVERNANCE, key, reason, "Take one of them out of the map.")
        if table.kind == "m":
            reason = "is a materialised view: a copy of other tables that nothing can be erased from."
            remedy = "Plan the tables it is made from, and refresh it after each erasure."
            yield Finding("fault", GOVERNANCE, key, reason, remedy)
        elif is_erased_by_delete(item) and not table.lets_delete:
            reason = "is a view that nothing can be deleted from."
            yield Finding("fault", GOVERNANCE, f"{key}.erase", reason, "Plan the table behind it.")
        elif (item.mask or item.flag) and not table.lets_change:
            reason = "is a view that nothing can be changed in."
            where = f"{key}.erase" if item.mask else f"{key}.restrict"
            yield Finding("fault", GOVERNANCE, where, reason, "Plan the table behind it.")

    def _rights(self, item: Collection, table: LiveTable) -> Iterator[Finding]:
        where = f"{table.schema}.{table.name}"
        if table.bound:
            reason = f"A row-level policy hides rows of {where} from {self.live.role}; what is hidden is not absent."
            remedy = f"ALTER ROLE {self.remedies.role(self.live.role)} BYPASSRLS;"
            yield Finding("fault", DATABASE, where, reason, remedy)
        needed = needed_rights(item, self.map, self.live)
        lacking = Rights(
            frozenset(name for name in needed.read & set(table.columns) if not table.columns[name].may_read),
            frozenset(name for name in needed.change & set(table.columns) if not table.columns[name].may_change),
            needed.delete and not table.may_delete,
        )
        if lacking.read or lacking.change or lacking.delete:
            said = [f"read {', '.join(sorted(lacking.read))}"] if lacking.read else []
            said += [f"change {', '.join(sorted(lacking.change))}"] if lacking.change else []
            said += ["delete its rows"] if lacking.delete else []
            reason = f"{self.live.role} may not {', nor '.join(said)}."
            yield Finding(
                "fault",
                DATABASE,
                where,
                reason,
                grant_table(lacking, self.live, item.name, role=self.live.role),
            )

    def _flags(self, item: Collection, table: LiveTable) -> Iterator[Finding]:
        for name, value in item.flag.items():
            column = table.columns.get(name)
            for reason, remedy in _against_mask(column, Mask("constant", value)) if column else ():
                yield Finding("fault", GOVERNANCE, f"collections.{item.key}.restrict", f"{name} {reason}", remedy)

    def _masks(self, item: Collection, table: LiveTable) -> Iterator[Finding]:
        key = f"collections.{item.key}.erase"
        for name, mask in item.mask.items():
            column = table.columns.get(name)
            for reason, remedy in _against_mask(column, mask) if column else ():
                yield Finding("fault", GOVERNANCE, f"{key}.{name}", f"{name} {reason}", remedy)
            if mask in self.unmaskable:
                reason = f"{name} cannot be masked as {mask} there: {self.unmaskable[mask]}"
                yield Finding("fault", GOVERNANCE, f"{key}.{name}", reason, "")
            if mask.kind == "hash" and name in item.guessable:
                reason = f"{name} is of a kind whose values can be tried out one by one: its hash hides nothing."
                yield Finding("warning", GOVERNANCE, f"{key}.{name}", reason, f"Write {name}: {{pseudonym: {name}}}.")
            if name in table.primary_key:
                reason = f"{name} is part of the primary key."
                yield Finding("fault", GOVERNANCE, f"{key}.{name}", reason, "Mask other fields, or delete the record.")
        for index in table.indexes:
            if index.unique and set(index.columns) != set(table.primary_key):
                yield from self._collision(item, table, index)

    def _collision(self, item: Collection, table: LiveTable, index: LiveIndex) -> Iterator[Finding]:
        """A second record masked with the same value, where the index lets a value be there once."""
        names = [name for name in index.columns if name and name in item.mask]
        rest = {name for name in index.columns if name not in item.mask}
        masks = [item.mask[name] for name in names]
        if not names or (index.nulls_distinct and any(mask.kind == "null" for mask in masks)):
            return
        if None not in rest and any(
            other.unique and not other.partial and None not in other.columns and set(other.columns) <= rest
            for other in table.indexes
        ):
            return
        where, listed = f"collections.{item.key}.erase.{names[0]}", ", ".join(names)
        if all(mask.keeps_apart for mask in masks):
            yield Finding(
                "warning",
                GOVERNANCE,
                where,
                f"{listed} must be unique ({index.name}); a value that comes back could not be masked.",
                'Mask it with "null" where the column allows it, or delete the record.',
            )
            return
        yield Finding(
            "warning" if index.partial else "fault",
            GOVERNANCE,
            where,
            f"{listed} must be unique ({index.name}); a second record could not be masked with it.",
            'Mask it with "null" where the column allows it, with a pseudonym, or delete the record.',
        )

    def _predicates(self) -> Iterator[Finding]:
        for key, collection, asked in self._asked():
            item = self.map.collections[collection]
            table = self.live.tables.get(item.name) if item.system == self.system else None
            for name, op, value in asked:
                column = table.columns.get(name) if table else None
                if column is None or op in {"is_null", "not_null"}:
                    continue
                for one in value if op == "in" else (value,):
                    if not fits(one, column.type):
                        reason = f"{name} is of type {type_name(column.type)}, which {one!r} does not fit."
                        yield Finding("fault", GOVERNANCE, key, reason, "Correct the value or the field.")

    def _asked(self) -> Iterator[tuple[str, str, list[tuple[str, str, Any]]]]:
        """Every value the map compares with or writes: (key, collection, [(field, operator, value)])."""
        for item in self.items.values():
            for clause in item.classes:
                yield f"collections.{item.key}.class", item.key, _triples(clause.when)
            yield (
                f"collections.{item.key}.close",
                item.key,
                [(name, "set", value) for name, value in item.close.items()],
            )
        for edge in self.map.edges:
            pairs = edge_pairs(edge)
            sources, targets = (",".join(pair[side] for pair in pairs) for side in (0, 1))
            yield f"edges {edge.source}.{sources} → {edge.target}.{targets}", edge.source, _triples(edge.when)
        for key, blocker in self.map.blockers.items():
            yield f"blockers.{key}.when", blocker.condition.collection, _triples(blocker.condition.when)
        for entity in self.map.entities.values():
            if entity.relationship:
                where = f"entities.{entity.key}.relationship"
                yield where, entity.relationship.collection, _triples(entity.relationship.when)
        for consent in self.map.consents.values():
            for part in ("match", "given", "give", "withdraw"):
                values = [(name, "set", value) for name, value in getattr(consent, part).items()]
                yield f"consents.{consent.key}.{part}", consent.collection, values

    @cached_property
    def _planned(self) -> dict[TableName, Collection]:
        """The collection of each table; a partition belongs to that of its parent."""
        planned = {(self.live.name, name): item for name, item in self.items.items()}
        for table in self.live.tables.values():
            if table.is_partition and (table.schema, table.name) not in planned:
                owners = [planned[base] for base in table.under if base in planned]
                if owners:
                    planned[(table.schema, table.name)] = owners[0]
        return planned

    def _references(self) -> Iterator[Finding]:
        for item in self.items.values():
            if item.name in self.live.tables and is_erased_by_delete(item):
                yield from self._pulled_along(item)

    def _pulled_along(self, item: Collection) -> Iterator[Finding]:
        """What deleting a record of the collection does to rows that refer to it, however far a cascade goes."""
        key = f"collections.{item.key}.erase"
        waiting = [(self.live.name, item.name)]
        seen = set(waiting)
        while waiting:
            parent = waiting.pop()
            for reference in self.live.touching.get(parent, ()):
                if reference.parent != parent:
                    continue
                child = self._planned.get(reference.child)
                name = ".".join(reference.child)
                if not reference.indexed:
                    yield _unindexed(reference, self.remedies)
                if reference.on_delete in {"NO ACTION", "RESTRICT"}:
                    if child is None:
                        reason = f"{name} refers to it ({reference.name}) and is not in the map: it may refuse erasure."
                        yield Finding("warning", GOVERNANCE, key, reason, f"Add {name} to the map.")
                    continue
                does = "deletes" if reference.on_delete == "CASCADE" else "cuts off"
                if child is not None and may_stay(child, self.map):
                    reason = (
                        f"Erasing it {does} records of {child.key} ({reference.name}, ON DELETE {reference.on_delete}),"
                        " which may have to be kept."
                    )
                    yield Finding("fault", GOVERNANCE, key, reason, self.remedies.drop_action(reference))
                elif child is None:
                    severity: Severity = "fault" if reference.on_delete == "CASCADE" else "warning"
                    reason = (
                        f"Erasing it {does} rows of {name} ({reference.name}, ON DELETE {reference.on_delete}), which"
                        " is not in the map, so that no plan shows them."
                    )
                    yield Finding(
                        severity,
                        GOVERNANCE,
                        key,
                        reason,
                        f"Add {name} to the map, or: {self.remedies.drop_action(reference)}",
                    )
                    if reference.on_delete == "CASCADE" and reference.child not in seen:
                        seen.add(reference.child)
                        waiting.append(reference.child)

    def _secrets(self) -> Iterator[Finding]:
        """Foreign keys of confidential records: the row they refer to cannot go while they are there, so that its plan
        would say "kept, without a date" to the persons who have one, and to nobody else."""
        for reference in self.live.references:
            child, parent = self._planned.get(reference.child), self._planned.get(reference.parent)
            if child is None or parent is None or not child.confidential or parent.confidential or parent.anonymised:
                continue
            yield Finding(
                "fault",
                GOVERNANCE,
                f"collections.{child.key}.confidential",
                f"refers to {parent.key} ({reference.name}), whose record has to stay while it is there: that would"
                " show that there is one.",
                f"{self.remedies.drop_key(reference)} -- and keep what it refers to by value",
            )

    def _indexes(self) -> Iterator[Finding]:
        """What the walk looks rows up by. An inbound foreign key has its warning already."""
        told = {(reference.child, reference.columns) for reference in self.live.references}
        asked: list[tuple[Collection, tuple[str, ...], str]] = [
            (item, (field.name,), f"the identity {field.identity}")
            for item in self.items.values()
            for field in item.fields
            if field.identity
        ]
        asked += [
            (self.map.collections[edge.target], tuple(target for _, target in edge_pairs(edge)), edge.source)
            for edge in self.map.edges
            if self.map.collections[edge.target].system == self.system
        ]
        for item, columns, looked_up_by in asked:
            table = self.live.tables.get(item.name)
            if table is None or table.is_view or not set(columns) <= set(table.columns):
                continue
            if (
                any(index.leads_with(columns) for index in table.indexes)
                or ((table.schema, table.name), columns) in told
            ):
                continue
            told.add(((table.schema, table.name), columns))
            where = f"{table.schema}.{table.name}.{','.join(columns)}"
            reason = f"has no index, and records are found there by {looked_up_by}: each look reads the whole table."
            yield Finding(
                "warning", DATABASE, where, reason, self.remedies.create_index(table.schema, table.name, columns)
            )


def _unindexed(reference: LiveReference, remedies: Remedies) -> Finding:
    where = f"{'.'.join(reference.child)}.{','.join(reference.columns)}"
    reason = f"refers to {'.'.join(reference.parent)} without an index: each erased record reads the whole table."
    return Finding("warning", DATABASE, where, reason, remedies.create_index(*reference.child, reference.columns))


def _near(name: str, known: Iterable[str]) -> str:
    """A sentence with the names that were probably meant, or nothing."""
    lowered: dict[str, str] = {}
    for each in known:
        lowered.setdefault(each.lower(), each)
    found = [lowered[match] for match in get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    return f"Did you mean {' or '.join(found)}?" if found else ""


def _triples(predicates: Sequence[Predicate]) -> list[tuple[str, str, Any]]:
    return [(item.field, item.op, item.value) for item in predicates]


# --- masks


_WORDS = {"hash": "a hash", "pseudonym": "a pseudonym", "format": "a number"}


def _against_mask(column: LiveColumn, mask: Mask) -> Iterator[tuple[str, str]]:
    type_ = column.type
    is_text = isinstance(type_, sa.String) and not isinstance(type_, sa.Enum)
    room = type_.length if isinstance(type_, sa.String) and is_text else None
    known = not isinstance(type_, sa.types.NullType)  # of what is not known, the trial will tell
    if column.computed:
        yield "is computed by the database and cannot be written.", "Name the columns that it is computed from."
    elif mask.kind == "null":
        if not column.nullable:
            yield "may not be null.", "Mask it with {constant: …}, or delete the record."
    elif mask.kind == "constant":
        if not fits(mask.value, type_):
            yield f"is of type {type_name(type_)}, which the constant {mask.value!r} does not fit.", "Correct it."
        elif room is not None and len(str(mask.value)) > room:
            yield f"holds {room} characters, the constant has {len(str(mask.value))}.", "Shorten the constant."
    elif mask.kind == "date":
        if known and not isinstance(type_, sa.Date | sa.DateTime):
            yield f"is of type {type_name(type_)}, which holds no date.", 'Mask it with "null" or {constant: …}.'
    elif known and not is_text:
        reason = f"is of type {type_name(type_)}, and {_WORDS[mask.kind]} is written as text."
        yield reason, 'Mask it with "null" or {constant: …}.'
    elif room is not None and room < mask.length:
        reason = f"holds {room} characters, {_WORDS[mask.kind]} ({mask}) has {mask.length}."
        yield reason, f'Widen the column to {mask.length}, or mask it with "null" or {{constant: …}}.'


def _try_changes(connection: Connection, live: LiveSchema, items: Sequence[Collection]) -> list[Finding]:
    """Mask and flag a few rows of each collection for a moment: only the database knows its CHECKs and triggers."""
    found: list[Finding] = []
    if not items:
        return found
    dialect = dialect_of(connection)
    with dialect.act(connection, seconds=TRIAL_SECONDS) as connection:
        dialect.prepare_trial(connection)
        for item in items:
            found += _try_mask(connection, live.tables[item.name], item)
            found += _try_flag(connection, live.tables[item.name], item)
        connection.rollback()
    return found


def _try_mask(connection: Connection, live: LiveTable, item: Collection) -> Iterator[Finding]:
    """What the database says against masking a record; of several fields, those that it refuses alone are named."""
    trouble = _refused(connection, live, item, item.mask) if item.mask else None
    if trouble is None:
        return
    alone = {name: _refused(connection, live, item, {name: mask}) for name, mask in item.mask.items()}
    refused = {name: why for name, why in alone.items() if why is not None}
    if not refused or trouble.late:
        yield _refusal(item, trouble)
    for name, why in refused.items() if not trouble.late else ():
        yield _refusal(item, why, name)


def _try_flag(connection: Connection, live: LiveTable, item: Collection) -> Iterator[Finding]:
    flag = {name: Mask("constant", value) for name, value in item.flag.items()}
    trouble = _refused(connection, live, item, flag) if flag else None
    if trouble is not None and not trouble.late:
        reason = f"The database refuses the flag ({_by(trouble)})."
        yield Finding("fault", GOVERNANCE, f"collections.{item.key}.restrict", reason, "Use another field or value.")


def _refused(connection: Connection, live: LiveTable, item: Collection, masks: Mapping[str, Mask]) -> Trouble | None:
    dialect = dialect_of(connection)
    try:
        with connection.begin_nested():
            # Nothing of it stays, so a key of the moment will do.
            values = mask_values(masks.values(), key_of=lambda _: secrets.token_bytes(32))
            connection.execute(_trial(item, live, masks, dialect), values)
    except DBAPIError as error:
        return dialect.explain(error)
    except SQLAlchemyError as error:
        return Trouble(type(error).__name__)
    return None


def _trial(item: Collection, live: LiveTable, masks: Mapping[str, Mask], dialect: Dialect) -> sa.Update:
    columns = {name: column.type for name, column in live.columns.items()}
    keys = live.primary_key or stated_key(item)
    table = sa.table(live.name, *(sa.column(name, type_) for name, type_ in columns.items()), schema=live.schema)
    some = table.alias("some")
    chosen = sa.select(*(some.c[name] for name in keys)).limit(TRIED_ROWS)
    values = {name: masked(table.c[name], mask) for name, mask in masks.items()}
    return dialect.change_found(sa.update(table), [table.c[name] for name in keys], chosen).values(values)


def _by(trouble: Trouble) -> str:
    return f"the constraint {trouble.constraint}" if trouble.constraint else trouble.numbered


def _refusal(item: Collection, trouble: Trouble, field: str = "") -> Finding:
    """What the database said, without the values that its message quotes."""
    key = f"collections.{item.key}.erase"
    if trouble.late:
        reason = f"The mask could not be tried: the rows of {item.key} are busy ({trouble.code})."
        return Finding("warning", GOVERNANCE, key, reason, "Check again when the system is quiet.")
    if not field:
        reason = f"The database refuses the mask ({_by(trouble)})."
        return Finding("fault", GOVERNANCE, key, reason, "Mask other fields, or in another way.")
    reason = f"The database refuses the mask of {field}, {item.mask[field]} ({_by(trouble)})."
    return Finding("fault", GOVERNANCE, f"{key}.{field}", reason, f"Mask {field} in another way, or leave it out.")


# --- coverage


@dataclass(frozen=True)
class Coverage:
    """What of a live schema the datasets mention. `missing` holds tables and `table.column`s that they do not."""

    system: str
    columns: int
    mentioned: int
    missing: tuple[str, ...]

    @property
    def percent(self) -> float:
        return round(100 * self.mentioned / self.columns, 1) if self.columns else 100.0


def measure_coverage(live: LiveSchema, *, system: str, mentioned: Mapping[str, frozenset[str]]) -> Coverage:
    """`mentioned`: by table, the fields of the datasets. Views and partitions show what tables hold."""
    missing, columns, known = [], 0, 0
    for table in live.tables.values():
        if table.kind == "v" or table.is_partition:
            continue
        told = mentioned.get(table.name, frozenset()) & set(table.columns)
        columns += len(table.columns)
        known += len(told)
        if table.name not in mentioned:
            missing.append(table.name)
        else:
            missing += [f"{table.name}.{name}" for name in table.columns if name not in told]
    return Coverage(system, columns, known, tuple(missing))
