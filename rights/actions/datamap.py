"""Data maps: held against their live databases, compared with the live map, drafted, loaded. A faulty map changes
nothing."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import transaction

from portal.core.systems import variable_for
from rights.connectors.base import ConnectorError
from rights.connectors.registry import check_own, check_system, reach, read_system
from rights.connectors.sqlcatalog import LiveSchema
from rights.connectors.sqlcheck import DATABASE, Coverage, Finding, check_edges, measure_coverage
from rights.connectors.sqldraft import Draft, draft_map
from rights.connectors.sqlgrants import grant_system
from rights.datamap import DataMap, Fault, FaultyMap, parse_documents, read_folder
from rights.datamap.diff import Change, diff_maps
from rights.datamap.parse import GOVERNANCE
from rights.datamap.values import Mentioned
from rights.models import DataMapVersion


@dataclass(frozen=True)
class Report:
    """What the live databases say of a map. A system that does not answer is a fault and has no coverage."""

    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "fault")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "warning")


def check_map(parsed: DataMap, mentioned: Mapping[str, Mentioned]) -> Report:
    """Hold a map against its live databases, asked side by side."""

    def ask(system: str) -> tuple[LiveSchema, list[Finding]] | Finding:
        file = mentioned[system].file if system in mentioned else GOVERNANCE
        try:
            return check_system(system, parsed, dataset_file=file)
        except ConnectorError as error:
            return _silent(system, error)

    findings: list[Finding] = []
    schemas: dict[str, LiveSchema] = {}
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="check") as pool:
        for system, answer in zip(parsed.business_systems, pool.map(ask, parsed.business_systems), strict=True):
            if isinstance(answer, Finding):
                findings.append(answer)
            else:
                schemas[system], found = answer
                findings += found
    findings += [*check_edges(parsed, schemas), *_check_parties(parsed), *check_own(parsed)]
    coverage = tuple(
        measure_coverage(live, system=system, mentioned=mentioned[system].fields if system in mentioned else {})
        for system, live in schemas.items()
    )
    return Report(tuple(dict.fromkeys(findings)), coverage)


def _check_parties(parsed: DataMap) -> list[Finding]:
    """Whether those who are asked by machine can be: a warning each, as a partner may be away while a map is loaded."""
    findings = []
    for section, parties in (("systems", parsed.asked), ("recipients", parsed.recipients)):
        for party in parties.values():
            try:
                reach(party, channel=party.kind).check()
            except ConnectorError as error:
                remedy = "Set what it names, or press the partner; then check again."
                findings.append(Finding("warning", GOVERNANCE, f"{section}.{party.key}", str(error), remedy))
    return findings


def compare_with_live(parsed: DataMap, *, name: str) -> tuple[Change, ...] | None:
    """What loading the map would change against the live one of that name; None where there is none yet."""
    live = DataMapVersion.objects.filter(name=name, live=True).first()
    if live is None:
        return None
    try:
        return diff_maps(parse_documents(live.documents), parsed)
    except FaultyMap:
        # It was sound by the rules of an older release; whoever loads its successor must not be told of its faults.
        return (Change("map", name, "changed", "rules", "an older release's, no longer readable", "this release's"),)


def suggest_map(*, system: str, schema: str, identities: Mapping[tuple[str, str], str]) -> Draft:
    """A draft from the live schema. Raises ConnectorError, or ValueError where the schema gives none."""
    live = read_system(system, schema=schema)
    if not live.exists:
        raise ValueError(f"The database has no schema {schema}; it has {', '.join(live.other_schemas)}.")
    return draft_map(live, system=system, identities=identities)


def list_grants(parsed: DataMap, *, role: str | None) -> dict[str, list[str]]:
    """By system, the least its role needs: the role given, or else the one of its address. Raises ConnectorError."""
    found = {}
    for key, system in parsed.business_systems.items():
        live = read_system(key, schema=system.schema)
        found[key] = grant_system(parsed, live, system=key, role=role or live.role)
    return found


def _silent(system: str, error: ConnectorError) -> Finding:
    remedy = f"Set {variable_for(system)} to its address, or start the system; then check again."
    return Finding("fault", DATABASE, f"systems.{system}", str(error), remedy)


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
        live = parse_documents(other.documents)
        systems = {**live.systems, **live.asked}
        faults += [
            Fault(
                GOVERNANCE,
                f"systems.{key}",
                f"{key} is a system of the live map {other.name} already.",
                f"Load it under the name {other.name}, or give the system another name.",
            )
            for key in {**parsed.systems, **parsed.asked}
            if key in systems
        ]
    if faults:
        raise FaultyMap(faults)
