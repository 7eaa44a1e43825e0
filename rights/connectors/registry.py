"""The one place that knows every connector."""

from rights.connectors import sqlcheck
from rights.connectors.base import Connector
from rights.connectors.sql import open_system
from rights.connectors.sqlcatalog import LiveSchema, open_catalog, read_schema
from rights.connectors.sqlcheck import Finding
from rights.datamap import DataMap


def connect(system: str, data_map: DataMap) -> Connector:
    """The connector of a system of the map. Raises Unavailable or Refused."""
    return open_system(system, data_map)


def read_system(system: str, *, schema: str) -> LiveSchema:
    """A system's schema as it is now. Raises Unavailable or Refused."""
    with open_catalog(system) as connection:
        return read_schema(connection, schema)


def check_system(system: str, data_map: DataMap, *, dataset_file: str) -> tuple[LiveSchema, list[Finding]]:
    """A system's schema, and what it says against the map. Raises Unavailable or Refused."""
    with open_catalog(system) as connection:
        live = read_schema(connection, data_map.systems[system].schema)
        found = sqlcheck.check_system(connection, live, system=system, data_map=data_map, dataset_file=dataset_file)
        return live, found
