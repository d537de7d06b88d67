"""What publishing a part makes of a session's card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from replaykit.format.entries import Card, Part, Sealing

__all__ = ["card_after"]


def card_after(
    part: Part, before: Card | None, *, replaced: Iterable[Mapping[str, Any]] = (), checkpoint_count: int
) -> Card:
    """
    Return the card of a session once *part* is published.

    *replaced* are the earlier actions whose sequences the part repeats: they
    do not count any more.
    """
    kinds = Counter() if before is None else Counter(dict(before.by_kind))
    kinds.update({action["i"]: action["k"] for action in part.actions}.values())
    kinds.subtract(Counter(action["k"] for action in replaced))
    opening = part.opening
    card = Card(
        session_id=opening.session_id,
        name=opening.name,
        created_ns=opening.created_ns,
        ended_ns=None,
        state="open",
        action_count=kinds.total(),
        checkpoint_count=checkpoint_count,
        gaps=(0 if before is None else before.gaps) + sum(gap.is_loss for gap in part.gaps),
        metadata=dict(opening.metadata),
        parent_session=opening.parent_session,
        capture=opening.capture,
        redaction=opening.redaction,
        start_generation=opening.start_generation,
        parts=1 if before is None else before.parts + 1,
        log_through=part.log_through,
        by_kind={kind: count for kind, count in sorted(kinds.items()) if count > 0},
    )
    return card if part.sealing is None else _sealed(card, part.sealing)


def _sealed(card: Card, sealing: Sealing) -> Card:
    return attrs.evolve(
        card,
        state=sealing.state,
        ended_ns=sealing.ended_ns,
        ended_by=sealing.ended_by,
        duration_ns=sealing.duration_ns,
        lost=sealing.lost,
        late=sealing.late,
        metadata=dict(sealing.metadata),
    )
