"""The live data map: every live version's documents, parsed once per process and version."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from portal.core import rows
from rights.datamap.parse import parse_documents
from rights.datamap.values import Blocker, Correction, DataMap
from rights.models import DataMapVersion


def load_live_map() -> DataMap:
    """The live maps as one. Raises FaultyMap never: what is live was checked when it was loaded."""
    while True:
        with suppress(_Vanished):
            return _parse(rows.keys(DataMapVersion, live=True))


class _Vanished(Exception):
    """A version went between two looks. Part of a map must not be remembered as the map."""


@lru_cache(maxsize=4)
def _parse(versions: frozenset[int]) -> DataMap:
    found = list(DataMapVersion.objects.filter(pk__in=versions).order_by("name"))
    if len(found) < len(versions):
        raise _Vanished
    return join_maps([parse_documents(version.documents) for version in found])


def join_maps(maps: Sequence[DataMap]) -> DataMap:
    """Maps that share no system as one."""
    blockers: dict[str, Blocker] = {}
    corrections: dict[str, Correction] = {}
    for item in maps:
        for key, blocker in item.blockers.items():
            # Two maps may each have a BLOCK.LOAN of their own companies: both hold, under the one reason key.
            blockers[key if key not in blockers else f"{key}@{item.digest[:8]}"] = blocker
        for key, correction in item.corrections.items():
            before = corrections.get(key)
            corrections[key] = replace(correction, fields=(before.fields if before else ()) + correction.fields)
    return DataMap(
        digest="+".join(item.digest[:16] for item in maps),
        entities={key: value for item in maps for key, value in item.entities.items()},
        systems={key: value for item in maps for key, value in item.systems.items()},
        collections={key: value for item in maps for key, value in item.collections.items()},
        edges=tuple(edge for item in maps for edge in item.edges),
        blockers=blockers,
        consents={key: value for item in maps for key, value in item.consents.items()},
        corrections=corrections,
        asked={key: value for item in maps for key, value in item.asked.items()},
        recipients={key: value for item in maps for key, value in item.recipients.items()},
        permissions={key: value for item in maps for key, value in item.permissions.items()},
        unplanned=tuple(unplanned for item in maps for unplanned in item.unplanned),
    )
