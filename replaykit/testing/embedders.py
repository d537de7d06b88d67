"""An embedding model for tests: deterministic, without dependencies, and without understanding."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

__all__ = ["HashedNgrams"]


class HashedNgrams:
    """
    Texts as counts of their runs of three letters, hashed into *dimension* places.

    Texts that share spelling are near to each other.  It counts the texts
    that it was given in ``embedded``.
    """

    def __init__(self, dimension: int = 64, *, name: str = "hashed-ngrams") -> None:
        self.name = name
        self.dimension = dimension
        self.embedded = 0

    def embed(self, texts: Sequence[str], /) -> list[list[float]]:
        """Return a vector of length 1 for each text."""
        self.embedded += len(texts)
        return [self._vector(f" {text.lower()} ") for text in texts]

    def _vector(self, text: str) -> list[float]:
        places = [0.0] * self.dimension
        for at in range(max(1, len(text) - 2)):
            places[zlib.crc32(text[at : at + 3].encode("utf-8", "surrogatepass")) % self.dimension] += 1
        length = math.sqrt(sum(count * count for count in places))
        return [count / length for count in places]
