"""A package as the person would have it: decrypted and unzipped."""

import csv
import io
import json
import zipfile
from typing import Any

from portal.core.sealedfile import read_sealed
from rights.actions.packages import package_path
from rights.models import Package, Request


def open_package(request: Request, *, part: int = 1) -> zipfile.ZipFile:
    package = Package.objects.get(request=request, part=part, copy_of=None)
    content = b"".join(read_sealed(package_path(package.pk), bytes(package.data_key or b"")))
    return zipfile.ZipFile(io.BytesIO(content))


def read_manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(archive.read("datapackage.json"))
    return found


def read_tables(archive: zipfile.ZipFile) -> dict[str, list[dict[str, str]]]:
    """By resource, the rows of its CSV."""
    tables = [resource for resource in read_manifest(archive)["resources"] if resource["type"] == "table"]
    return {item["name"]: list(csv.DictReader(_read(archive, item["path"]))) for item in tables}


def _read(archive: zipfile.ZipFile, path: str) -> io.StringIO:
    return io.StringIO(archive.read(path).decode("utf-8-sig"), newline="")
