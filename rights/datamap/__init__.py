"""The data map: where personal data lives, as Fides datasets, and what the law needs of it, as governance."""

from rights.datamap.diff import Change, diff_maps
from rights.datamap.faults import Fault, FaultyMap
from rights.datamap.live import load_live_map
from rights.datamap.parse import parse_documents, read_folder
from rights.datamap.values import (
    Blocker,
    ClassClause,
    Collection,
    Condition,
    Consent,
    Correction,
    DataMap,
    Edge,
    Entity,
    Field,
    Mask,
    Party,
    Permission,
    Predicate,
    System,
    Text,
    Unplanned,
)

__all__ = [
    "Blocker",
    "Change",
    "ClassClause",
    "Collection",
    "Condition",
    "Consent",
    "Correction",
    "DataMap",
    "Edge",
    "Entity",
    "Fault",
    "FaultyMap",
    "Field",
    "Mask",
    "Party",
    "Permission",
    "Predicate",
    "System",
    "Text",
    "Unplanned",
    "diff_maps",
    "load_live_map",
    "parse_documents",
    "read_folder",
]
