"""The access package from its making to its destruction."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import transaction

from portal.core import keyring
from rights.connectors.base import Unavailable
from rights.exports import write_package
from rights.kernel.clock import local_day
from rights.models import Package
from rights.notices import notify

if TYPE_CHECKING:
    from rights.actions.steps import Work

PACKAGE_DAYS = 7
EXPORT_ATTEMPTS = 6
"""How often a package waits for a system that is away before it is handed out with the gap named."""


def export(work: "Work") -> int:
    path = package_path(work.request.pk)
    # Under a name of its own until it is known that this worker may still report: the key belongs to this file alone.
    draft = path.with_name(f"{work.request.pk}-{work.step.fence}.sealed")
    data_key = keyring.new_data_key()
    written = write_package(
        draft,
        data_key=data_key,
        seed=work.matter.seed(now=work.now),
        data_map=work.data_map,
        includes=work.matter.concerns,
        omitted=[key for key, item in work.data_map.collections.items() if work.matter.leaves_out(item)],
        request_id=work.request.pk,
        reference=work.request.reference or "",
        person=work.request.subject.masked_name,
        now=work.now,
    )
    if written.gaps and work.step.attempts < EXPORT_ATTEMPTS:
        draft.unlink(missing_ok=True)
        raise Unavailable(f"These systems did not answer: {', '.join(written.gaps)}.")
    until = work.now + timedelta(days=PACKAGE_DAYS)
    with transaction.atomic():
        work.write()
        Package.objects.update_or_create(
            request=work.request,
            defaults={
                "path": path.name,
                "data_key": data_key,
                "size": written.size,
                "sha256": written.sha256,
                "made_at": work.now,
                "expires_at": until,
                "gaps": list(written.gaps),
            },
        )
        notify(
            user=work.request.subject,
            request=work.request,
            kind="package",
            params={"until": local_day(until).isoformat()},
            now=work.now,
        )
        draft.replace(path)
    return sum(content.rows for content in written.contents)


def package_path(package_id: UUID) -> Path:
    return Path(settings.DATA_DIR) / "packages" / f"{package_id}.sealed"
