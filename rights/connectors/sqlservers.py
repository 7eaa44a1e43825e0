"""Which make of database an address is of."""

from collections.abc import Mapping

from sqlalchemy.engine import URL

from rights.connectors.base import Refused
from rights.connectors.sqldialect import Dialect
from rights.connectors.sqlpostgres import PostgreSQL

_DIALECTS: Mapping[str, Dialect] = {"postgresql": PostgreSQL(), "postgres": PostgreSQL()}


def find_dialect(address: URL) -> Dialect:
    """Raises Refused for one that is not known."""
    try:
        return _DIALECTS[address.drivername.partition("+")[0]]
    except KeyError:
        raise Refused(
            f"The portal does not speak to {address.drivername}. Addresses begin with {' or '.join(_DIALECTS)}."
        ) from None
