"""Rankings by words and by meaning as one: reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Sequence

from replaykit.memory.ranking import SCORE_DIGITS, Scored

__all__ = ["RANK_OFFSET", "candidates", "fused"]

RANK_OFFSET = 60
"""How little the first ranks stand out: the usual value."""

_LEAST_CANDIDATES = 100


def candidates(k: int) -> int:
    """Return how many of each ranking count for the best *k*."""
    return max(_LEAST_CANDIDATES, 4 * k)


def fused(rankings: Sequence[Sequence[Scored]], k: int) -> list[Scored]:
    """
    Return the best *k* of several rankings, best first, equals by ascending id.

    A frame's score is the sum of ``1 / (RANK_OFFSET + rank)`` over the
    rankings that it is in; ranks start at 1.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, scored in enumerate(ranking, 1):
            scores[scored.frame_id] = scores.get(scored.frame_id, 0.0) + 1 / (RANK_OFFSET + rank)
    rounded = [Scored(frame_id, round(score, SCORE_DIGITS)) for frame_id, score in scores.items()]
    return sorted(rounded, key=lambda scored: (-scored.score, scored.frame_id))[:k]
