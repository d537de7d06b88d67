"""
How far two rankings agree: which hits were lost, are new, moved or scored otherwise.

Hits are told apart by their ids; the second hit of one id is another hit than
the first, and so is that of another query.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import attrs

from replaykit.model import FrameId
from replaykit.playback.hits import FoundHit
from replaykit.playback.subsequences import longest_ascending

__all__ = [
    "Move",
    "Order",
    "RetrievalDiff",
    "ScoreDrift",
    "agreement",
    "hit_keys",
    "kendall_tau",
    "only_in",
    "rank_biased_overlap",
    "retrieval_diff",
]

Order = Literal["exact", "ties", "set"]
"""Whether the order of hits counts: wholly, but among equal scores, or not at all."""

_PERSISTENCE = 0.9


@attrs.frozen(kw_only=True)
class Move:
    """A hit that stands elsewhere among those that both rankings have; ranks begin at 1."""

    id: FrameId
    recorded_rank: int
    seen_rank: int


@attrs.frozen(kw_only=True)
class ScoreDrift:
    """A hit with another score, None where one side has none; ranks begin at 1."""

    id: FrameId
    recorded: float | None
    seen: float | None
    recorded_rank: int
    seen_rank: int


@attrs.frozen(kw_only=True)
class RetrievalDiff:
    """
    Two rankings held against each other.

    Attributes:
        overlap: Hits that both have, over the length of the longer one; 1.0 for two empty ones.
        rbo: Rank-biased overlap, 0 to 1: differences at the top count more.
        tau: Kendall's tau of the hits that both have, -1 to 1; 1.0 for fewer than two.
        lost: Ids that only the recording has, in its order.
        new: Ids that were only seen, in the order seen.
        moved: The fewest hits that would have to move back.
        drifts: Hits that both have whose scores differ by more than was tolerated.
        largest_drift: The largest difference of scores, tolerated or not.
    """

    recorded_count: int
    seen_count: int
    overlap: float
    rbo: float
    tau: float
    lost: tuple[FrameId, ...] = ()
    new: tuple[FrameId, ...] = ()
    moved: tuple[Move, ...] = ()
    drifts: tuple[ScoreDrift, ...] = ()
    largest_drift: float = 0.0

    def to_record(self) -> dict[str, Any]:
        """Return it as a dict of plain values."""
        return attrs.asdict(self)


Key = tuple[FrameId, int, int]
"""A hit among others: its id, which query found it, and how many of that id that found before it."""


def retrieval_diff(
    recorded: Sequence[FoundHit],
    seen: Sequence[FoundHit],
    *,
    order: Order = "exact",
    score_tolerance: float = 0.0,
) -> RetrievalDiff:
    """Return how *seen* differs from *recorded*; both best first."""
    recorded_keys, seen_keys = hit_keys(recorded), hit_keys(seen)
    recorded_at = {key: at for at, key in enumerate(recorded_keys)}
    seen_at = {key: at for at, key in enumerate(seen_keys)}
    common = [key for key in seen_keys if key in recorded_at]
    drifts = [
        _drift(recorded, recorded_at[key], seen, seen_at[key]) for key in sorted(common, key=recorded_at.__getitem__)
    ]
    return RetrievalDiff(
        recorded_count=len(recorded),
        seen_count=len(seen),
        overlap=len(common) / max(len(recorded), len(seen), 1) if recorded or seen else 1.0,
        rbo=rank_biased_overlap(recorded_keys, seen_keys),
        tau=kendall_tau([recorded_at[key] for key in common]),
        lost=tuple(key[0] for key in recorded_keys if key not in seen_at),
        new=tuple(key[0] for key in seen_keys if key not in recorded_at),
        moved=() if order == "set" else _moves(common, recorded, recorded_at, seen_at, is_loose=order == "ties"),
        drifts=tuple(drift for drift in drifts if _distance(drift) > score_tolerance),
        largest_drift=max(map(_distance, drifts), default=0.0),
    )


@functools.lru_cache(maxsize=256)
def agreement(count: int) -> RetrievalDiff:
    """Return how a ranking of *count* hits differs from itself: in nothing."""
    hits = [FoundHit(id=number) for number in range(count)]
    return retrieval_diff(hits, hits)


def hit_keys(hits: Sequence[FoundHit]) -> list[Key]:
    """Return what tells each hit from the others."""
    seen: Counter[tuple[FrameId, int]] = Counter()
    keys = []
    for hit in hits:
        # That of the only query is also that of the first of several.
        found = hit.id, hit.query or 1
        keys.append((*found, seen[found]))
        seen[found] += 1
    return keys


def only_in(hits: Sequence[FoundHit], others: Sequence[FoundHit]) -> list[int]:
    """Return the positions of those of *hits* that are not among the *others*."""
    there = set(hit_keys(others))
    return [at for at, key in enumerate(hit_keys(hits)) if key not in there]


def _drift(recorded: Sequence[FoundHit], at: int, seen: Sequence[FoundHit], its: int) -> ScoreDrift:
    was, now = recorded[at], seen[its]
    return ScoreDrift(id=was.id, recorded=was.score, seen=now.score, recorded_rank=at + 1, seen_rank=its + 1)


def _distance(drift: ScoreDrift) -> float:
    if drift.recorded == drift.seen:
        return 0.0
    if drift.recorded is None or drift.seen is None:
        return math.inf
    if math.isnan(drift.recorded) and math.isnan(drift.seen):
        return 0.0
    difference = abs(drift.recorded - drift.seen)
    return math.inf if math.isnan(difference) else difference


def _moves(
    common: Sequence[Key],
    recorded: Sequence[FoundHit],
    recorded_at: dict[Key, int],
    seen_at: dict[Key, int],
    *,
    is_loose: bool,
) -> tuple[Move, ...]:
    places = _tied_places(recorded) if is_loose else list(range(len(recorded)))
    stays = set(longest_ascending([places[recorded_at[key]] for key in common]))
    return tuple(
        Move(id=key[0], recorded_rank=recorded_at[key] + 1, seen_rank=seen_at[key] + 1)
        for at, key in enumerate(common)
        if at not in stays
    )


def _tied_places(hits: Sequence[FoundHit]) -> list[int]:
    """Return for each hit where it may stand: neighbours with one score share a place."""
    places: list[int] = []
    for at, hit in enumerate(hits):
        is_tied = at > 0 and hit.score is not None and hit.score == hits[at - 1].score
        places.append(places[-1] if is_tied else at)
    return places


def kendall_tau(places: Sequence[int]) -> float:
    """
    Return Kendall's tau of a permutation, given by where each item stood before.

    (concordant - discordant) / pairs; 1.0 where there is no pair.
    """
    pairs = len(places) * (len(places) - 1) // 2
    if not pairs:
        return 1.0
    before: list[int] = []
    discordant = 0
    for place in places:
        discordant += len(before) - bisect_right(before, place)
        insort(before, place)
    return 1.0 - 2.0 * discordant / pairs


def rank_biased_overlap(first: Sequence[Any], second: Sequence[Any], *, persistence: float = _PERSISTENCE) -> float:
    """
    Return the extrapolated rank-biased overlap of two rankings without repeats.

    Webber, Moffat, Zobel: A similarity measure for indefinite rankings
    (2010), equation 32.  1.0 for two empty rankings, 0.0 for an empty and a
    full one.
    """
    shorter, longer = sorted((first, second), key=len)
    if not longer:
        return 1.0
    if not shorter:
        return 0.0
    overlaps = _overlaps(shorter, longer)
    depth, end = len(shorter), len(longer)
    at_depth, at_end = overlaps[depth - 1], overlaps[end - 1]
    total = math.fsum(overlap / rank * persistence**rank for rank, overlap in enumerate(overlaps, 1)) + math.fsum(
        at_depth * (rank - depth) / (depth * rank) * persistence**rank for rank in range(depth + 1, end + 1)
    )
    rest = ((at_end - at_depth) / end + at_depth / depth) * persistence**end
    return min(1.0, (1 - persistence) / persistence * total + rest)


def _overlaps(shorter: Sequence[Any], longer: Sequence[Any]) -> list[int]:
    """Return for each depth how many items both have down to it."""
    seen_short: set[Any] = set()
    seen_long: set[Any] = set()
    count, counts = 0, []
    for at, item in enumerate(longer):
        seen_long.add(item)
        if at < len(shorter):
            count += shorter[at] in seen_long
            seen_short.add(shorter[at])
            count += item in seen_short and item != shorter[at]
        else:
            count += item in seen_short
        counts.append(count)
    return counts
