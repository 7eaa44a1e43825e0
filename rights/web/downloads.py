"""A sealed file as an answer: decrypted on the fly, whole or in ranges, so that a download can be taken up again."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from itertools import chain

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe

from portal.core import keyring
from portal.core.sealedfile import content_size, read_sealed
from rights.actions.packages import package_path
from rights.models import Package

_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*")
"""Longer numbers are no place in any file; a range with one is left aside, as a server may do with any."""


@dataclass(frozen=True)
class Span:
    """Bytes from `start` up to `stop`, which is not one of them."""

    start: int
    stop: int


class Unsatisfiable(Exception):
    """A range that begins behind the end."""


def parse_range(header: str, *, size: int) -> Span | None:
    """One range of a `Range` header (RFC 9110, 14.2). Raises Unsatisfiable.

    None where there is none to be honoured: another unit, no valid range, or several, which a server may answer whole.
    """
    found = _RANGE.fullmatch(header)
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        span = Span(max(size - int(last), 0), size)
    elif last and int(last) < int(first):
        return None
    else:
        span = Span(int(first), min(int(last) + 1, size) if last else size)
    if span.start >= span.stop:
        raise Unsatisfiable
    return span


def serve(request: HttpRequest, package: Package, *, name: str) -> tuple[HttpResponseBase, bool]:
    """The answer, and whether a download began with it: not so for a part that is taken up again.

    What is read from the portal's database is read before; while the answer streams, its connection speaks for nobody.
    Raises keyring.SealBroken or OSError where the file cannot be handed out.
    """
    path, size, etag = package_path(package.pk), package.size, f'"{package.sha256}"'
    modified = int(package.made_at.astimezone(UTC).timestamp())
    if content_size(path) != size:
        raise keyring.SealBroken("The sealed file is not as long as it was made.")
    conditional = get_conditional_response(request, etag=etag, last_modified=modified)
    if conditional is not None:
        return _labelled(conditional, etag=etag, modified=modified), False
    span = None
    if request.method == "GET" and _is_still(request.headers.get("If-Range"), etag=etag, modified=modified):
        try:
            span = parse_range(request.headers.get("Range", ""), size=size)
        except Unsatisfiable:
            refused = HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
            return _labelled(refused, etag=etag, modified=modified), False
    chosen = span or Span(0, size)
    frames = read_sealed(path, bytes(package.data_key or b""), start=chosen.start, stop=chosen.stop)
    first = next(frames)  # a broken file is told as a page, not as a download that stops
    answer = _stream(request, chain([first], frames), name=name, size=chosen.stop - chosen.start)
    if span:
        answer.status_code = 206
        answer["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    return _labelled(answer, etag=etag, modified=modified), request.method == "GET" and chosen.start == 0


def _is_still(if_range: str | None, *, etag: str, modified: int) -> bool:
    """Whether what the reader has the beginning of is this file; without `If-Range` it says so by asking."""
    if if_range is None:
        return True
    return if_range == etag if '"' in if_range else parse_http_date_safe(if_range) == modified


def _stream(request: HttpRequest, frames: Iterator[bytes], *, name: str, size: int) -> HttpResponseBase:
    if request.method == "HEAD":
        frames = iter(())
    response = StreamingHttpResponse(frames, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Content-Length"] = str(size)
    return response


def _labelled(response: HttpResponseBase, *, etag: str, modified: int) -> HttpResponseBase:
    response["ETag"] = etag
    response["Last-Modified"] = http_date(modified)
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = "no-store"
    return response
