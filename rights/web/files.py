"""Files over the web: how they come in, and how one is given out."""

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from django.utils.http import content_disposition_header

from rights.actions.files import read_file, refuse_large
from rights.models.files import SealedFile


def read_upload(file: "UploadedFile[Any]") -> bytes:
    """The bytes of an upload. Raises FileRefused for one that was cut as it arrived, being too large."""
    content: bytes = file.read()
    if file.size != len(content):
        raise refuse_large()
    return content


def send_file(file: SealedFile) -> HttpResponse:
    """As a download of the type that its own bytes showed: nothing of it runs in a page of ours."""
    headers = {
        "Content-Disposition": content_disposition_header(True, file.name or "file") or "attachment",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(read_file(file), content_type=file.media_type, headers=headers)
