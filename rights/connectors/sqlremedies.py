"""Statements for the owner of a database to run, in the words of its make."""

from collections.abc import Iterable, Sequence

from psycopg.sql import Identifier

from rights.connectors.sqlcatalog import LiveReference, LiveSchema


class Remedies:
    """As PostgreSQL has them."""

    def quote(self, *names: str) -> str:
        return Identifier(*names).as_string(None)

    def columns(self, names: Iterable[str]) -> str:
        return ", ".join(self.quote(name) for name in names)

    def role(self, name: str) -> str:
        return self.quote(name)

    def create_index(self, schema: str, table: str, columns: Sequence[str]) -> str:
        return f"CREATE INDEX ON {self.quote(schema, table)} ({self.columns(columns)});"

    def create_unique_index(self, schema: str, table: str, columns: Sequence[str]) -> str:
        return f"CREATE UNIQUE INDEX ON {self.quote(schema, table)} ({self.columns(columns)});"

    def drop_key(self, reference: LiveReference) -> str:
        return f"ALTER TABLE {self.quote(*reference.child)} DROP CONSTRAINT {self.quote(reference.name)};"

    def drop_action(self, reference: LiveReference) -> str:
        """The same key without what it does when its parent goes."""
        return f"{self.drop_key(reference)[:-1]}, {self._add_key(reference)}"

    def _add_key(self, reference: LiveReference) -> str:
        ours, theirs = self.columns(reference.columns), self.columns(reference.parent_columns)
        name, parent = self.quote(reference.name), self.quote(*reference.parent)
        return f"ADD CONSTRAINT {name} FOREIGN KEY ({ours}) REFERENCES {parent} ({theirs});"

    def take_writes(self, role: str) -> str:
        return f"ALTER ROLE {self.role(role)} SET default_transaction_read_only = off;"

    def grant_use(self, schema: str, role: str) -> str:
        return f"GRANT USAGE ON SCHEMA {self.quote(schema)} TO {self.role(role)};"

    def grant_entry(self, live: LiveSchema, role: str) -> list[str]:
        """What a role needs before anything on a table."""
        connect = f"GRANT CONNECT ON DATABASE {self.quote(live.database)} TO {self.role(role)};"
        return [connect, self.grant_use(live.name, role)]

    def grant(self, rights: Sequence[tuple[str, Sequence[str]]], schema: str, table: str, role: str) -> str:
        """`rights`: verbs, each with its columns, or none for all of them."""
        parts = [f"{verb} ({self.columns(names)})" if names else verb for verb, names in rights]
        return f"GRANT {', '.join(parts)} ON {self.quote(schema, table)} TO {self.role(role)};"


class MariaRemedies(Remedies):
    def quote(self, *names: str) -> str:
        return ".".join("`" + name.replace("`", "``") + "`" for name in names)

    def role(self, name: str) -> str:
        """An account is a name and the host it comes from."""
        user, at, host = name.rpartition("@")
        return f"{self.quote(user)}@{self.quote(host)}" if at else self.quote(name)

    def create_index(self, schema: str, table: str, columns: Sequence[str]) -> str:
        return f"ALTER TABLE {self.quote(schema, table)} ADD INDEX ({self.columns(columns)});"

    def create_unique_index(self, schema: str, table: str, columns: Sequence[str]) -> str:
        return f"ALTER TABLE {self.quote(schema, table)} ADD UNIQUE ({self.columns(columns)});"

    def drop_action(self, reference: LiveReference) -> str:
        """Two statements: in one, the old name would still be taken."""
        return f"{self.drop_key(reference)} ALTER TABLE {self.quote(*reference.child)} {self._add_key(reference)}"

    def take_writes(self, role: str) -> str:
        return "SET GLOBAL read_only = OFF;"

    def grant(self, rights: Sequence[tuple[str, Sequence[str]]], schema: str, table: str, role: str) -> str:
        """Whoever has no right on the whole of a table may not see of what types it is; this one changes nothing."""
        seen = [] if any(not names for _, names in rights) else [("REFERENCES", ())]
        return super().grant([*rights, *seen], schema, table, role)

    def grant_entry(self, live: LiveSchema, role: str) -> list[str]:
        return []  # a right on one of its tables lets a role in


def remedies_for(live: LiveSchema) -> Remedies:
    return MariaRemedies() if live.make == "mariadb" else Remedies()
