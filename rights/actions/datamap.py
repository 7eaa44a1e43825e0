"""Loading a data map. A faulty map changes nothing."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from django.db import transaction

from rights.datamap import DataMap, Fault, FaultyMap, parse_documents, read_folder
from rights.datamap.parse import GOVERNANCE
from rights.models import DataMapVersion


def load_map(*, folder: Path, name: str, now: datetime) -> bool:
    """Make the folder's map the live one of its name; whether anything changed. Raises FaultyMap."""
    return store_documents(read_folder(folder), name=name, now=now)


def store_documents(documents: Mapping[str, str], *, name: str, now: datetime) -> bool:
    parsed: DataMap = parse_documents(documents)
    _require_own_systems(parsed, name=name)
    with transaction.atomic():
        live = DataMapVersion.objects.select_for_update().filter(name=name, live=True).first()
        if live and live.digest == parsed.digest:
            return False
        if live:
            DataMapVersion.objects.filter(pk=live.pk).update(live=False)
        DataMapVersion.objects.create(
            name=name, digest=parsed.digest, documents=dict(documents), loaded_at=now, live=True
        )
    return True


def _require_own_systems(parsed: DataMap, *, name: str) -> None:
    """Two maps of one system would each erase by their own rules; the later one would silently win."""
    faults = []
    for other in DataMapVersion.objects.filter(live=True).exclude(name=name).order_by("name"):
        systems = parse_documents(other.documents).systems
        faults += [
            Fault(
                GOVERNANCE,
                f"systems.{key}",
                f"{key} is a system of the live map {other.name} already.",
                f"Load it under the name {other.name}, or give the system another name.",
            )
            for key in parsed.systems
            if key in systems
        ]
    if faults:
        raise FaultyMap(faults)
