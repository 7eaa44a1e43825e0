"""How files arrive: into memory alone, and no more of them than is ever taken.

Django's own handlers write larger files to /tmp in clear; here they lie nowhere before they are sealed.
"""

from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import FileUploadHandler

MB = 1024 * 1024


class InMemoryHandler(FileUploadHandler):
    """Keeps a byte more of a file than may be taken, and of all files of a request no more than a message has; what
    comes after is dropped as it arrives. A file that was cut has a `size` that nobody takes."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self._left = (settings.FILE_MB * MB + 1) * max(1, settings.MESSAGE_FILES)

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._kept = BytesIO()
        self._room = min(settings.FILE_MB * MB + 1, self._left)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._kept.write(raw_data[: max(0, self._room - self._kept.tell())])

    def file_complete(self, file_size: int) -> InMemoryUploadedFile:
        kept = self._kept.tell()
        self._left -= kept
        self._kept.seek(0)
        return InMemoryUploadedFile(
            self._kept,
            self.field_name,
            self.file_name or "",
            self.content_type or "",
            file_size if kept == file_size else max(file_size, settings.FILE_MB * MB + 1),
            self.charset,
            self.content_type_extra,
        )
