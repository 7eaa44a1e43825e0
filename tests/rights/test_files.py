"""What is taken of a file, and what is left of a picture."""

import io
import struct
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from rights.actions.files import MB, TYPES, FileRefused, clean_name, take_file

PDF = b"%PDF-1.7 a contract"
PLACE = "Chongqing 29.56N 106.55E"


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def photo(kind: str) -> bytes:
    """Red above blue, taken with the camera on its side; where, by whom and with what stands in it."""
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (20, 0, 40, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # turn right to see it upright
    exif[0x013B] = PLACE
    exif.get_ifd(0x8825)[2] = (29.0, 33.0, 36.0)
    stored, out = {"exif": exif, "icc_profile": PLACE.encode()}, io.BytesIO()
    if kind == "PNG":
        text = PngInfo()
        text.add_text("Author", PLACE)
        text.add_itxt("XML:com.adobe.xmp", PLACE)
        image.save(out, "PNG", pnginfo=text, **stored)
    else:
        image.save(out, "JPEG", quality=95, comment=PLACE, xmp=PLACE.encode(), **stored)
    return out.getvalue() + b"PK\x03\x04 " + PLACE.encode()  # and something behind its end


@pytest.mark.parametrize(("kind", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png")])
def test_a_picture_keeps_what_it_shows_and_nothing_of_where_it_was_taken(kind: str, media_type: str) -> None:
    given = photo(kind)
    assert PLACE.encode() in given
    taken = take_file(name="a.jpg", content=given)
    assert taken.type.media_type == media_type
    assert PLACE.encode() not in taken.content
    assert not [mark for mark in (b"Exif", b"eXIf", b"xmp", b"ICC", b"iCCP", b"tEXt", b"PK") if mark in taken.content]
    with Image.open(io.BytesIO(taken.content)) as seen:
        assert seen.size == (20, 40)  # upright, as its orientation said
        assert not seen.getexif()
        red, _green, blue = seen.convert("RGB").getpixel((10, 5))  # type: ignore[misc]
        assert red > 200 > 60 > blue


def png_of(width: int, height: int, data: bytes) -> bytes:
    """A PNG that claims a size, whatever its data are."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "empty", id="nothing"),
        pytest.param(b"MZ\x90 a program", "no PDF, PNG or JPEG", id="another type, whatever its name says"),
        pytest.param(b"<svg onload=alert(1)>", "no PDF, PNG or JPEG", id="what a browser would run"),
        pytest.param(PDF + b"." * 5 * MB, "larger than 5 MB", id="too large"),
        pytest.param(png_of(30_000, 30_000, zlib.compress(b"")), "50 million pixels", id="a bomb"),
        pytest.param(png_of(7_100, 7_100, zlib.compress(b"")), "50 million pixels", id="a smaller bomb"),
        pytest.param(b"\x89PNG\r\n\x1a\n<?php", "cannot be opened", id="only the first bytes of a picture"),
        pytest.param(photo("JPEG")[:400], "cannot be opened", id="half a picture"),
    ],
)
def test_what_is_not_taken_says_why(content: bytes, words: str) -> None:
    with pytest.raises(FileRefused, match=words):
        take_file(name="a.pdf", content=content)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param("import sys; sys.exit(b'contract' in sys.stdin.buffer.read())", "did not let", id="found"),
        pytest.param("import sys; sys.exit(2)", "later", id="it failed"),
        pytest.param("import time; time.sleep(60)", "later", id="it hangs"),
    ],
)  # fmt: skip
def test_what_the_scanner_refuses_or_cannot_look_at_is_not_kept(code: str, words: str, settings: Any) -> None:
    settings.SCAN_COMMAND, settings.SCAN_SECONDS = [sys.executable, "-c", code], 1
    with pytest.raises(FileRefused, match=words):
        take_file(name="a.pdf", content=PDF)


def test_what_the_scanner_lets_through_is_taken_and_one_that_is_missing_is_away(settings: Any) -> None:
    settings.SCAN_COMMAND = [sys.executable, "-c", "import sys; sys.stdin.buffer.read()"]
    assert take_file(name="a.pdf", content=PDF).content == PDF
    settings.SCAN_COMMAND = ["/no/such/scanner"]
    with pytest.raises(FileRefused, match="later"):
        take_file(name="a.pdf", content=PDF)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("合同 (1).PDF", "合同 (1).pdf"),
        ("../../etc/passwd", "passwd.pdf"),
        ("C:\\Users\\me\\scan.jpg", "scan.pdf"),
        ("in\u202efdp.exe", "infdp.pdf"),
        ("a\r\nSet-Cookie: b.pdf", "aSet-Cookie: b.pdf"),
        (".pdf", "pdf.pdf"),
        ("", "file.pdf"),
        ("长" * 400 + ".pdf", "长" * 100 + ".pdf"),
    ],
)
def test_a_name_is_only_what_the_file_is_called(name: str, shown: str) -> None:
    assert clean_name(name, TYPES[0]) == shown
