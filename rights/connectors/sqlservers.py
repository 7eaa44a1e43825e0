"""Which make of database an address is of."""

from collections.abc import Mapping

from sqlalchemy.engine import URL, Connection

from rights.connectors.base import Refused
from rights.connectors.sqldialect import Dialect
from rights.connectors.sqlmariadb import MariaDB
from rights.connectors.sqlpostgres import PostgreSQL

_POSTGRESQL, _MARIADB = PostgreSQL(), MariaDB()
_DIALECTS: Mapping[str, Dialect] = {
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    "mariadb": _MARIADB,
    "mysql": _MARIADB,  # whoever runs MariaDB often says so; a MySQL is refused once it has told its version
}


def dialect_of(connection: Connection) -> Dialect:
    return _DIALECTS[connection.dialect.name]


def find_dialect(address: URL) -> Dialect:
    """Raises Refused for one that is not known."""
    try:
        return _DIALECTS[address.drivername.partition("+")[0]]
    except KeyError:
        raise Refused(
            f"The portal does not speak to {address.drivername}. Addresses begin with {' or '.join(_DIALECTS)}."
        ) from None
