"""Files encrypted at rest in authenticated frames, written as a stream and read from any place.

A frame is AES-256-GCM under the file's own data key, with its number and whether it is the last as associated data, so
that a frame that was changed, moved, left out or cut off is refused. All frames but the last hold `FRAME` bytes: where
a byte of the content lies follows from its number. Destroying the key destroys the file.
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from portal.core import keyring

FRAME = 256 * 1024
OVERHEAD = 28
"""What sealing adds to a frame: a nonce of 12 bytes and a tag of 16."""
_STRIDE = FRAME + OVERHEAD


class SealedWriter(io.RawIOBase):
    """A file object that seals what is written to it. `size`: bytes of content so far."""

    def __init__(self, file: BinaryIO, data_key: bytes) -> None:
        self._file = file
        self._key = data_key
        self._pending = bytearray()
        self._frames = 0
        self._digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]  # zipfile hands bytes, bytearray or memoryview
        self._pending += view
        while len(self._pending) > FRAME:
            self._emit(bytes(self._pending[:FRAME]), last=False)
            del self._pending[:FRAME]
        return view.nbytes

    def finish(self) -> str:
        """Write the last frame; the SHA-256 of the whole sealed file."""
        self._emit(bytes(self._pending), last=True)
        self._pending.clear()
        self._file.flush()
        return self._digest.hexdigest()

    def _emit(self, plain: bytes, *, last: bool) -> None:
        frame = keyring.seal_under(self._key, plain, context=_frame_context(self._frames, last=last))
        self._file.write(frame)
        self._digest.update(frame)
        self._frames += 1
        self.size += len(plain)


def read_sealed(path: Path, data_key: bytes, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The content of a sealed file from byte `start` up to `stop` (None: the end), frame by frame.

    Raises OSError where there is no file and keyring.SealBroken where it was changed, cut, or removed meanwhile: a
    reader that is at it when the file is destroyed gets no more of it.
    """
    with path.open("rb") as file:
        frames, size = _measure(file.seek(0, io.SEEK_END))
        stop = size if stop is None else min(stop, size)
        number = min(start // FRAME, frames - 1)
        file.seek(number * _STRIDE)
        while number < frames and (number * FRAME < stop or not stop):
            if not path.exists():
                raise keyring.SealBroken("The sealed file was destroyed.")
            context = _frame_context(number, last=number == frames - 1)
            plain = keyring.unseal_under(data_key, file.read(_STRIDE), context=context)
            begin = number * FRAME
            if part := plain[max(start - begin, 0) : stop - begin]:
                yield part
            number += 1


def content_size(path: Path) -> int:
    """How many bytes a sealed file holds."""
    return _measure(path.stat().st_size)[1]


def _measure(sealed: int) -> tuple[int, int]:
    """(frames, bytes of content) of a file of so many bytes."""
    frames = max(-(-sealed // _STRIDE), 1)
    size = sealed - frames * OVERHEAD
    if size < (frames - 1) * FRAME:
        raise keyring.SealBroken("The sealed file is cut short.")
    return frames, size


def _frame_context(number: int, *, last: bool) -> str:
    return f"sealed-file:{number}:{'last' if last else 'more'}"
