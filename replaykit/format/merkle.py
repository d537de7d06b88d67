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

__all__ = ["Edge", "MerkleTree", "Trees", "leaf_of"]

_HASH_BYTES = 32
_LEAF, _NODE, _BOTH = b"\x00", b"\x01", b"\x02"


def leaf_of(entry: bytes) -> bytes:
    """Return the leaf that an entry's bytes make."""
    return blake3(_LEAF + entry).digest()


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
        peaks = self._peaks
        for count, leaf in enumerate(leaves, self.count + 1):
            self.count = count
            peaks.append(leaf)
            while not count & 1:
                right = peaks.pop()
                peaks[-1] = blake3(_NODE + peaks[-1] + right).digest()
                count >>= 1  # noqa: PLW2901 - how many trees of the next size there are

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
