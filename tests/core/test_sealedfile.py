"""Sealed files: what was changed, moved, left out or cut off is refused; any range is what it is of the whole."""

import io
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.core import keyring
from portal.core.sealedfile import FRAME, OVERHEAD, SealedWriter, content_size, read_sealed

STRIDE = FRAME + OVERHEAD
SIZES = [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 3 * FRAME + 17]
Sealed = tuple[Path, bytes, bytes]


@pytest.fixture(scope="module")
def seal(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Sealed]:
    """A sealed file of so many random bytes: its path, its key and what is in it."""
    made: dict[int, Sealed] = {}

    def make(size: int) -> Sealed:
        if size not in made:
            path, data_key, content = (
                tmp_path_factory.mktemp("sealed") / "file",
                keyring.new_data_key(),
                os.urandom(size),
            )
            with path.open("wb") as file:
                sink = SealedWriter(file, data_key)
                for start in range(0, size, 100_003):
                    sink.write(content[start : start + 100_003])
                sink.finish()
                assert sink.size == size
            made[size] = path, data_key, content
        return made[size]

    return make


def read(path: Path, data_key: bytes, **asked: int) -> bytes:
    return b"".join(read_sealed(path, data_key, **asked))


@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_read_and_nothing_of_it_is_on_the_disk(seal: Callable[[int], Sealed], size: int) -> None:
    path, data_key, content = seal(size)
    assert read(path, data_key) == content
    assert content_size(path) == size
    raw = path.read_bytes()
    assert all(content[start : start + 16] not in raw for start in range(0, size - 16, 4099))


def test_a_flipped_byte_at_every_boundary_is_refused(seal: Callable[[int], Sealed], tmp_path: Path) -> None:
    """The first and last byte of every nonce, text and tag."""
    path, data_key, _ = seal(3 * FRAME + 17)
    raw = path.read_bytes()
    places = {0, len(raw) - 1, len(raw) - 16, len(raw) - 17}
    for start in range(0, len(raw), STRIDE):
        places |= {start, start + 11, start + 12, start + STRIDE - 17, start + STRIDE - 16, start + STRIDE - 1}
    for place in sorted(place for place in places if place < len(raw)):
        broken = tmp_path / "broken"
        changed = bytearray(raw)
        changed[place] ^= 1
        broken.write_bytes(changed)
        with pytest.raises(keyring.SealBroken):
            read(broken, data_key)


@pytest.mark.parametrize(
    "frames",
    [[0, 1, 2], [1, 2, 3], [0, 2, 3], [1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 1, 3], [0, 1, 2, 3, 3], [0], [3], []],
    ids=str,
)
def test_frames_that_are_missing_moved_or_doubled_are_refused(
    seal: Callable[[int], Sealed], tmp_path: Path, frames: list[int]
) -> None:
    path, data_key, _ = seal(3 * FRAME + 17)
    raw = path.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(b"".join(raw[number * STRIDE : (number + 1) * STRIDE] for number in frames))
    with pytest.raises(keyring.SealBroken):
        read(other, data_key)


@pytest.mark.parametrize("kept", [1, 27, 28, STRIDE - 1, STRIDE, STRIDE + 1, 2 * STRIDE, 3 * STRIDE + 30])
def test_a_file_that_was_cut_or_grew_is_refused(seal: Callable[[int], Sealed], tmp_path: Path, kept: int) -> None:
    path, data_key, _ = seal(3 * FRAME + 17)
    raw = path.read_bytes()
    for name, content in (("cut", raw[:kept]), ("grown", raw + raw[:kept])):
        other = tmp_path / name
        other.write_bytes(content)
        with pytest.raises(keyring.SealBroken):
            read(other, data_key)


def test_another_files_frame_or_key_is_refused(seal: Callable[[int], Sealed], tmp_path: Path) -> None:
    path, _own_key, _ = seal(FRAME + 1)
    _, other_key, _ = seal(FRAME)
    with pytest.raises(keyring.SealBroken):
        read(path, other_key)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SIZES), st.data())
def test_any_split_into_ranges_gives_the_same_bytes(
    seal: Callable[[int], Sealed], size: int, data: st.DataObject
) -> None:
    path, data_key, content = seal(size)
    near = st.sampled_from([place + step for place in range(0, size + 1, FRAME) for step in (-1, 0, 1)])
    cuts = data.draw(st.lists(st.one_of(st.integers(0, size), near), max_size=6))
    places = [0, *sorted(min(max(cut, 0), size) for cut in cuts), size]
    for start, stop in pairwise(places):
        if start < stop:
            assert read(path, data_key, start=start, stop=stop) == content[start:stop]


def test_a_reader_gets_no_more_of_a_file_that_is_destroyed_meanwhile(tmp_path: Path) -> None:
    path, data_key = tmp_path / "file", keyring.new_data_key()
    with path.open("wb") as file:
        sink = SealedWriter(file, data_key)
        sink.write(bytes(2 * FRAME))
        sink.finish()
    frames = read_sealed(path, data_key)
    next(frames)
    path.unlink()
    with pytest.raises(keyring.SealBroken):
        next(frames)


def test_writing_holds_no_more_than_a_frame() -> None:
    sink = SealedWriter(io.BytesIO(), keyring.new_data_key())
    for _ in range(40):
        sink.write(bytes(50_000))
        assert len(sink._pending) <= FRAME
