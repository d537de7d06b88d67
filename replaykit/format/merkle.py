"""
The root of a session: a Merkle tree over its entries, known by its right edge.

The tree has the shape of RFC 9162 section 2.1 with BLAKE3 for the hash: a leaf
is H(00 | bytes of the entry), a node H(01 | left | right).  Leaves come in
order of publishing, so that the root can be carried on from part to part, and
stays the same however blocks are cut, compressed or moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs
from blake3 import blake3

__all__ = ["Edge", "MerkleTree", "Trees", "leaf_of", "leaves_of"]

_HASH_BYTES = 32
_LEAF, _NODE, _BOTH = b"\x00", b"\x01", b"\x02"


def leaf_of(entry: bytes) -> bytes:
    """Return the leaf that an entry's bytes make."""
    return blake3(_LEAF + entry).digest()


def leaves_of(entries: Iterable[bytes]) -> list[bytes]:
    """Return the leaves that the bytes of *entries* make, in order."""
    leaves: list[bytes] = []
    hasher = blake3()
    # One hasher for all: to make another costs a fifth of what hashing a
    # usual entry does.
    reset, update, digest, keep = hasher.reset, hasher.update, hasher.digest, leaves.append
    for entry in entries:
        reset()
        update(_LEAF)
        update(entry)
        keep(digest())
    return leaves


@attrs.frozen
class Edge:
    """A tree as it is stored: how many leaves it has, and the roots of its perfect subtrees, largest first."""

    count: int = 0
    peaks: bytes = b""

    @property
    def is_sound(self) -> bool:
        """Whether there are as many peaks as so many leaves have."""
        return self.count >= 0 and len(self.peaks) == _HASH_BYTES * self.count.bit_count()


class MerkleTree:
    """A tree that leaves are added to; it keeps O(log n) hashes."""

    def __init__(self, edge: Edge | None = None) -> None:
        edge = edge or Edge()
        self.count = edge.count
        self._peaks = [edge.peaks[at : at + _HASH_BYTES] for at in range(0, len(edge.peaks), _HASH_BYTES)]

    def add(self, entry: bytes) -> None:
        """Add the leaf of an entry's bytes."""
        self.extend((leaf_of(entry),))

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add *leaves* in order."""
        roots = list(leaves)
        peaks, added, single = self._peaks.copy(), len(roots), []
        trees = self.count
        # Level by level, so that a million nodes are made in few steps of
        # Python: trees of one size are joined in pairs, a last one without
        # its pair is a peak.
        while roots:
            if trees & 1:
                roots.insert(0, peaks.pop())
            if len(roots) & 1:
                single.append(roots.pop())
            pairs = iter(roots)
            roots = [blake3(_NODE + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
            trees >>= 1
        self._peaks = [*peaks, *reversed(single)]
        self.count += added

    def edge(self) -> Edge:
        """Return what a later part continues from."""
        return Edge(self.count, b"".join(self._peaks))

    def root(self) -> bytes:
        """Return the hash of the whole tree; of a tree without leaves the hash of nothing."""
        if not self._peaks:
            return blake3(b"").digest()
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = blake3(_NODE + peak + root).digest()
        return root


class Trees:
    """The two trees of a session: over its actions and over its checkpoints."""

    def __init__(self, edges: Sequence[Edge] = ()) -> None:
        actions, checkpoints = edges or (Edge(), Edge())
        self.actions = MerkleTree(actions)
        self.checkpoints = MerkleTree(checkpoints)

    def edges(self) -> tuple[Edge, Edge]:
        """Return what a later part continues from."""
        return self.actions.edge(), self.checkpoints.edge()

    def root(self) -> bytes:
        """Return the session's root: H(02 | root of the actions | root of the checkpoints)."""
        return blake3(_BOTH + self.actions.root() + self.checkpoints.root()).digest()
