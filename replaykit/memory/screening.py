"""
What SQLite's own ``bm25()`` says of our scores: it needs no Python for each row.

Both add up the same share of each word, from 0 to ``k1 + 1``.  Ours counts it
by ``ln(1 + odds)``, SQLite's by ``ln(odds)``, or by 0.000001 where that is not
positive.  So one score bounds the other, closely where the words are rare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import attrs

__all__ = ["Screen", "Weighted"]

_LEAST_WEIGHT = 1e-6
_CLOSE = 2.0
"""Where a word counts more than so many times as much as in SQLite, its bound says more than the ratio."""

_EXACTNESS = 1 - 1e-9
"""Sums are added up in another order there."""


class Weighted(Protocol):
    """A word of the query."""

    @property
    def found(self) -> int:
        """How many frames have it."""

    @property
    def weight(self) -> float:
        """How much its share counts."""

    @property
    def bound(self) -> float:
        """What it can add to a score at most."""


@attrs.frozen
class Screen:
    """
    How the two scores of one query compare.

    Attributes:
        least: Our score is at least SQLite's times this.
        most: Our score is at most SQLite's times this, and *more*.
        more: What the words add at most of which SQLite's score says next to nothing.
    """

    least: float
    most: float
    more: float

    @classmethod
    def of(cls, terms: Sequence[Weighted], row_count: int) -> Screen:
        """Return the comparison for a query of *terms* in an index of *row_count* rows."""
        ratios = [term.weight / _weight_there(term.found, row_count) for term in terms]
        return cls(
            least=min(ratios),
            most=max((ratio for ratio in ratios if ratio <= _CLOSE), default=_CLOSE),
            more=sum(term.bound for term, ratio in zip(terms, ratios, strict=True) if ratio > _CLOSE),
        )

    def floor(self, score_there: float) -> float:
        """Return what we give at least to a row that SQLite gives *score_there*."""
        return score_there * self.least * _EXACTNESS

    def needed(self, score: float) -> float:
        """Return what SQLite gives at least to a row that we give *score*."""
        return (score - self.more) / self.most * _EXACTNESS


def _weight_there(found: int, row_count: int) -> float:
    odds = (row_count - found + 0.5) / (found + 0.5)
    return max(math.log(odds), _LEAST_WEIGHT) if odds > 0 else _LEAST_WEIGHT
