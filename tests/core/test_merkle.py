"""Proofs against RFC 6962 read word by word, and against a verifier that shares no line with the prover."""

from collections.abc import Sequence
from hashlib import sha256

import pytest

from portal.core import merkle, verify_receipt

SIZES = range(1, 71)
LARGE = (255, 256, 257, 511, 600, 1000)


def leaf(number: int) -> bytes:
    return sha256(f"leaf {number}".encode()).digest()


def split(size: int) -> int:
    """ "Let k be the largest power of two smaller than n"."""
    found = 1
    while found * 2 < size:
        found *= 2
    return found


def mth(leaves: Sequence[bytes]) -> bytes:
    """Section 2.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """Section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*proof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*proof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


class Kept:
    """A tree as the ledger keeps it: leaves, and nodes of full subtrees only. Counts what is read."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = leaves
        self.read = 0

    def __call__(self, level: int, first: int, count: int) -> list[bytes]:
        width = 256**level
        assert (first + count) * width <= len(self.leaves), "read a subtree that is not full yet"
        self.read += count
        return [mth(self.leaves[start * width : (start + 1) * width]) for start in range(first, first + count)]


@pytest.mark.parametrize("size", [*SIZES, *LARGE])
def test_the_root_is_that_of_rfc_6962(size: int) -> None:
    tree = merkle.Tree()
    for number in range(size):
        tree.add(leaf(number))
    assert tree.root() == mth([leaf(number) for number in range(size)])
    assert len(tree.peaks) == size.bit_count()


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle.Tree().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", [*SIZES, *LARGE])
def test_every_inclusion_proof_is_that_of_rfc_6962_and_leads_to_the_root(size: int) -> None:
    leaves = [leaf(number) for number in range(size)]
    root = mth(leaves).hex()
    for index in range(size) if size <= 70 else (0, 1, 127, 128, 254, size - 2, size - 1):
        found = merkle.prove_inclusion(Kept(leaves), index=index, size=size)
        assert found == path(index, leaves)
        own = merkle.leaf_hash(leaves[index])
        assert verify_receipt.root_of(own, index=index, size=size, path=found) == root


@pytest.mark.parametrize("size", [2, 3, 7, 8, 33, 70])
def test_a_proof_of_one_place_leads_nowhere_from_another(size: int) -> None:
    leaves = [leaf(number) for number in range(size)]
    root = mth(leaves).hex()
    found = merkle.prove_inclusion(Kept(leaves), index=1, size=size)
    own = merkle.leaf_hash(leaves[1])
    for index in range(-1, size + 2):
        if index != 1:
            assert verify_receipt.root_of(own, index=index, size=size, path=found) != root
    assert verify_receipt.root_of(own, index=1, size=size, path=found[:-1]) != root
    assert verify_receipt.root_of(own, index=1, size=size, path=[*found, leaf(0)]) != root


@pytest.mark.parametrize("size", [*SIZES, 257, 600])
def test_every_consistency_proof_is_that_of_rfc_6962(size: int) -> None:
    leaves = [leaf(number) for number in range(size)]
    for old in range(1, size + 1) if size <= 70 else (1, 255, 256, 257, size - 1):
        assert merkle.prove_consistency(Kept(leaves), old=old, size=size) == proof(old, leaves)


def test_a_proof_reads_a_few_hundred_hashes_of_a_large_tree() -> None:
    """Of 70,000 leaves: at each level that is kept no more than its siblings below the next one."""
    leaves = [leaf(number) for number in range(70_000)]
    kept = Kept(leaves)
    assert len(merkle.prove_inclusion(kept, index=12_345, size=70_000)) == 17
    assert kept.read < 3 * 256


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_leaf_that_is_not_there_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        merkle.prove_inclusion(Kept([leaf(0)] * 3), index=index, size=size)


@pytest.mark.parametrize(("old", "size"), [(0, 3), (4, 3)])
def test_a_tree_continues_no_larger_one(old: int, size: int) -> None:
    with pytest.raises(ValueError, match="continue"):
        merkle.prove_consistency(Kept([leaf(0)] * 3), old=old, size=size)
