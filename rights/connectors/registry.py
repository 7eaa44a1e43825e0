"""The one place that knows every connector."""

from rights.connectors.base import Connector
from rights.connectors.sql import open_system
from rights.datamap import DataMap


def connect(system: str, data_map: DataMap) -> Connector:
    """The connector of a system of the map. Raises Unavailable or Refused."""
    return open_system(system, data_map)
