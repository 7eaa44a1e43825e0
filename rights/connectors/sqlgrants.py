"""What a data map asks of the portal's role on each table, and the GRANT statements that give it no more."""

from dataclasses import dataclass

from psycopg.sql import SQL, Composable, Identifier

from rights.connectors.sqlcatalog import LiveSchema, LiveTable
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
    table = live.tables[item.name]
    read = {field.name for field in item.fields} | set(table.primary_key)
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
        change |= {*consent.withdraw, *consent.given} if consent.collection == item.key else set()
    known = set(table.columns)
    return Rights(frozenset(read & known), frozenset(change & known), is_erased_by_delete(item))


def grant_system(data_map: DataMap, live: LiveSchema, *, system: str, role: str) -> list[str]:
    """The least that the portal's role has to be granted for the map: statements for the owner of the database."""
    statements = [
        SQL("GRANT CONNECT ON DATABASE {} TO {};").format(Identifier(live.database), Identifier(role)).as_string(None),
        SQL("GRANT USAGE ON SCHEMA {} TO {};").format(Identifier(live.name), Identifier(role)).as_string(None),
    ]
    for item in data_map.of_system(system):
        if table := live.tables.get(item.name):
            statements += [grant_table(needed_rights(item, data_map, live), table, role=role)]
    return statements


def grant_table(rights: Rights, table: LiveTable, *, role: str) -> str:
    """One statement. Columns are named where not all of the table's are needed."""
    parts: list[Composable] = []
    for verb, names in (("SELECT", rights.read), ("UPDATE", rights.change)):
        if names and names == set(table.columns):
            parts.append(SQL(verb))
        elif names:
            parts.append(SQL("{} ({})").format(SQL(verb), SQL(", ").join(Identifier(name) for name in sorted(names))))
    if rights.delete:
        parts.append(SQL("DELETE"))
    where = Identifier(table.schema, table.name)
    return SQL("GRANT {} ON {} TO {};").format(SQL(", ").join(parts), where, Identifier(role)).as_string(None)
