"""Merkle trees as RFC 6962 has them: roots, and proofs that need not read the whole tree.

0x00 stands before a leaf and 0x01 before a node, so that neither can pass for the other. What is kept of a tree beside
its leaves are the roots of its perfect subtrees of 256, 256², … leaves; with these any proof reads a few hundred
hashes, however large the tree.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

HEIGHT = 8
"""How many levels of the tree lie between two kept ones."""

Reader: TypeAlias = Callable[[int, int, int], Sequence[bytes]]
"""(level, first, count) → the roots of `count` perfect subtrees of 256**level leaves, from the `first` on. At level 0
these are leaf hashes."""


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass
class Tree:
    """An append-only tree, reduced to the roots of its perfect subtrees (one per 1 in the binary form of its size)."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def add(self, data: bytes) -> None:
        # The two hashes are written out: a ledger of millions of entries passes through here.
        node = hashlib.sha256(b"\x00" + data).digest()
        size = self.size
        while size & 1:
            node = hashlib.sha256(b"\x01" + self.peaks.pop() + node).digest()
            size >>= 1
        self.peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over the roots of equal perfect subtrees; as many as a power of two."""
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def prove_inclusion(read: Reader, *, index: int, size: int) -> list[bytes]:
    """The audit path of leaf `index` (from 0) in the tree of the first `size` leaves, from the leaf upwards (RFC 6962,
    section 2.1.1). Raises ValueError for a leaf that is not in it."""
    if not 0 <= index < size:
        raise ValueError(f"The tree of {size} leaves has no leaf {index}.")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(_root_of(read, middle, end))
            end = middle
        else:
            path.append(_root_of(read, begin, middle))
            begin = middle
    return path[::-1]


def prove_consistency(read: Reader, *, old: int, size: int) -> list[bytes]:
    """That the tree of `size` leaves begins with the tree of its first `old` ones (RFC 6962, section 2.1.2). Raises
    ValueError where there is nothing to prove."""
    if not 0 < old <= size:
        raise ValueError(f"A tree of {size} leaves cannot continue one of {old}.")
    path: list[bytes] = []
    begin, end, whole = 0, size, True
    while end != old:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(_root_of(read, middle, end))
            end = middle
        else:
            path.append(_root_of(read, begin, middle))
            begin, whole = middle, False
    # The old tree as a whole is known to whoever asks; a part of it is not.
    return path[::-1] if whole else [_root_of(read, begin, end), *path[::-1]]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _root_of(read: Reader, begin: int, end: int) -> bytes:
    """The root over leaves `begin` to `end`, a range that RFC 6962 splits off: a full one begins at a multiple of its
    size."""
    size = end - begin
    if size & (size - 1) == 0:
        kept, height = divmod(size.bit_length() - 1, HEIGHT)
        return fold(read(kept, begin >> HEIGHT * kept, 1 << height))
    middle = begin + _split(size)
    return node_hash(_root_of(read, begin, middle), _root_of(read, middle, end))
