"""What a data map asks of the portal's role on each table, and the GRANT statements that give it no more."""

from collections.abc import Sequence
from dataclasses import dataclass

from rights.connectors.sqlcatalog import LiveSchema
from rights.connectors.sqlremedies import remedies_for
from rights.datamap import Collection, DataMap


@dataclass(frozen=True)
class Rights:
    """What the portal's role has to be allowed on one table."""

    read: frozenset[str]
    change: frozenset[str]
    delete: bool


def is_erased_by_delete(item: Collection) -> bool:
    """Confidential records are no request's, so nothing of them is ever erased; restricted and anonymous ones stay."""
    return not (item.mask or item.confidential or item.restrict or item.anonymised)


def needed_rights(item: Collection, data_map: DataMap, live: LiveSchema) -> Rights:
    table = live.tables.get(item.name)
    read = {field.name for field in item.fields} | set(table.primary_key if table else item.key_fields)
    mine = (live.name, item.name)
    for reference in live.touching.get(mine, ()):
        # The walk of holds from a child to its parent reads both ends of the key.
        ends = (reference.child, reference.parent)
        if all(schema == live.name and f"{item.system}.{name}" in data_map.collections for schema, name in ends):
            read |= set(reference.columns) if reference.child == mine else set()
            read |= set(reference.parent_columns) if reference.parent == mine else set()
    change = {*item.mask, *item.close, *item.flag}
    for correction in data_map.corrections.values():
        change |= {column for collection, column in correction.fields if collection == item.key}
    for consent in data_map.consents.values():
        change |= {*consent.withdraw, *consent.give} if consent.collection == item.key else set()
    # Where a role is shown only what it has a right on, the map has to be believed.
    known = set(table.columns) if table and live.shows_all else read | change
    return Rights(frozenset(read & known), frozenset(change & known), is_erased_by_delete(item))


def grant_system(data_map: DataMap, live: LiveSchema, *, system: str, role: str) -> list[str]:
    """The least that the portal's role has to be granted for the map: statements for the owner of the database."""
    statements = remedies_for(live).grant_entry(live, role)
    for item in data_map.of_system(system):
        if item.name in live.tables or not live.shows_all:
            statements += [grant_table(needed_rights(item, data_map, live), live, item.name, role=role)]
    return statements


def grant_table(rights: Rights, live: LiveSchema, table: str, *, role: str) -> str:
    """One statement. Columns are named where not all of the table's are needed."""
    all_columns = set(live.tables[table].columns) if live.shows_all else set()
    parts: list[tuple[str, Sequence[str]]] = [
        (verb, () if names == all_columns else sorted(names))
        for verb, names in (("SELECT", rights.read), ("UPDATE", rights.change))
        if names
    ]
    if rights.delete:
        parts.append(("DELETE", ()))
    return remedies_for(live).grant(parts, live.name, table, role)
