"""The one way in which a file of somebody's is taken: bounded, of a type that its own bytes show, let through by the
scanner, without what a camera wrote into it, and sealed.
"""

import base64
import hashlib
import io
import subprocess
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import structlog
from django.conf import settings
from django.utils.translation import gettext as _
from PIL import Image, ImageOps

from portal.core.ledger import commit_to
from rights.models.files import SealedFile

log = structlog.get_logger(__name__)
MB = 1024 * 1024
PIXELS = 50_000_000
"""The largest picture that is opened: 200 MB of memory. Some hundred bytes can claim a billion pixels."""
NAME = 100
_REFUSED = 1
"""What a scanner's command ends with where it found something (clamdscan's own convention)."""


@dataclass(frozen=True)
class Type:
    """A type of file. `starts`: its own first bytes; `picture`: what Pillow calls it."""

    media_type: str
    ending: str
    starts: bytes
    picture: str = ""


TYPES = (
    Type("application/pdf", "pdf", b"%PDF-"),
    Type("image/png", "png", b"\x89PNG\r\n\x1a\n", "PNG"),
    Type("image/jpeg", "jpg", b"\xff\xd8\xff", "JPEG"),
)


class FileRefused(Exception):
    """The file is not taken and nothing of it is kept; `str()` says why and what to do."""


@dataclass(frozen=True)
class Taken:
    """A file as it is kept. `commitment` is what the ledger says of it."""

    name: str
    type: Type
    content: bytes
    sha256: str
    salt: str
    commitment: str

    def fields(self) -> dict[str, Any]:
        """What a `SealedFile` says of it."""
        return {
            "name": self.name,
            "media_type": self.type.media_type,
            "size": len(self.content),
            "sha256": self.sha256,
            "salt": self.salt,
            "content": base64.b64encode(self.content).decode(),
        }


def take_file(*, name: str, content: bytes) -> Taken:
    """Check a file and make it fit to be kept. Its name is only what it is called; the type goes by the content.

    Raises FileRefused. A scanner is asked: no transaction may be open.
    """
    if not content:
        raise FileRefused(_("The file is empty."))
    if len(content) > settings.FILE_MB * MB:
        raise refuse_large()
    kind = next((kind for kind in TYPES if content.startswith(kind.starts)), None)
    if kind is None:
        raise FileRefused(_("The file is no PDF, PNG or JPEG."))
    _scan(content)
    kept = _bare_picture(content, kind) if kind.picture else content
    digest = hashlib.sha256(kept).hexdigest()
    commitment = commit_to(digest)
    return Taken(clean_name(name, kind), kind, kept, digest, commitment.salt, commitment.digest)


def refuse_large() -> FileRefused:
    return FileRefused(_("The file is larger than %(n)s MB.") % {"n": settings.FILE_MB})


def read_file(file: SealedFile) -> bytes:
    return base64.b64decode(file.content or "")


def clean_name(name: str, kind: Type) -> str:
    """What a file is called, with the ending of its own type: one line, no folders, nothing that turns the writing
    round or hides what follows it."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(character for character in last if unicodedata.category(character)[0] != "C")
    stem = PurePosixPath(shown.strip(" .")).stem[:NAME].strip(" .")
    return f"{stem or 'file'}.{kind.ending}"


def _scan(content: bytes) -> None:
    """Have the scanner look at what arrived, before anything of ours opens it."""
    if not settings.SCAN_COMMAND:
        return
    try:
        done = subprocess.run(
            settings.SCAN_COMMAND, input=content, capture_output=True, timeout=settings.SCAN_SECONDS, check=False
        )
        code = done.returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        log.error("scanner_away", error=type(error).__name__)
        code = -1
    if code == _REFUSED:
        raise FileRefused(_("Our check for harmful content did not let this file through. It was not kept."))
    if code:
        raise FileRefused(_("Files cannot be checked right now, so it was not kept. Try again later."))


def _bare_picture(content: bytes, kind: Type) -> bytes:
    """The picture upright and drawn anew: where and with what it was taken, notes, and whatever lies behind it in the
    file are gone, and what is no picture does not come through."""
    try:
        with Image.open(io.BytesIO(content), formats=[kind.picture]) as image:
            if image.width * image.height > PIXELS:
                raise Image.DecompressionBombError
            upright = ImageOps.exif_transpose(image)
            if kind.picture == "JPEG" and upright.mode not in {"L", "RGB"}:
                upright = upright.convert("RGB")
            upright.info = {name: upright.info[name] for name in ("transparency",) if name in upright.info}
            drawn = io.BytesIO()
            upright.save(drawn, kind.picture, **({"quality": 90} if kind.picture == "JPEG" else {}))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise FileRefused(
            _("The picture has more than %(n)s million pixels. Make it smaller.") % {"n": PIXELS // 1_000_000}
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises for bytes that somebody made up
        log.info("picture_refused", error=type(error).__name__)
        raise FileRefused(_("The picture cannot be opened. Save it again, or send it as a PDF.")) from None
    return drawn.getvalue()
