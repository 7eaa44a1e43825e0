"""Loading a data map. A faulty map changes nothing."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from django.db import transaction

from rights.datamap import DataMap, parse_documents, read_folder
from rights.models import DataMapVersion


def load_map(*, folder: Path, name: str, now: datetime) -> bool:
    """Make the folder's map the live one of its name; whether anything changed. Raises FaultyMap."""
    return store_documents(read_folder(folder), name=name, now=now)


def store_documents(documents: Mapping[str, str], *, name: str, now: datetime) -> bool:
    parsed: DataMap = parse_documents(documents)
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
