"""A live log whose writer is gone, cut or flipped anywhere: one record at most is lost, and its bytes are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from effort import Figure, sampled
from hostile.live_logs import ACTIONS, abandoned_log, recovered, whole_records

from replaykit.format.records import ACTION, DEFINE


@pytest.fixture
def left(tmp_path: Path) -> tuple[object, bytes, bytes]:
    return abandoned_log(tmp_path)


def test_g6_a_cut_log_has_every_whole_record(left: tuple, figure: Figure) -> None:
    """At every byte; what is torn stands in a gap."""
    session_id, store, log = left
    truth = recovered(session_id, store, log)[0]
    assert list(truth) == list(range(ACTIONS))
    whole = whole_records(log)
    edges = [edge + step for start, end, _ in whole for edge in (start, end) for step in (-1, 0, 1)]
    cuts = sampled(range(1, len(log)), 2_000, [edge for edge in edges if 0 < edge < len(log)])
    for cut in cuts:
        actions, gaps, card, _ = recovered(session_id, store, log[:cut])
        expected = sum(1 for _, end, what in whole if what == ACTION and end <= cut)
        ended = {each: action for each, action in actions.items() if "unfinished" not in action.get("fl", ())}
        assert ended == {each: truth[each] for each in range(expected)}, f"cut at {cut}"
        assert all(action["in"] == truth[each]["in"] for each, action in actions.items())
        torn = max((end for _, end, _ in whole if end <= cut), default=0)
        assert b"".join(gap.data for gap in gaps) == log[torn:cut]
        assert card.state == "interrupted"
    figure("G6", f"{len(cuts)} cuts of a log of {len(log)} bytes, 0 wrong")


def test_g6_a_flip_in_a_log_loses_one_record_and_keeps_its_bytes(left: tuple, figure: Figure) -> None:
    """A record that defines a function is one that others need: they are kept as gaps."""
    session_id, store, log = left
    truth = recovered(session_id, store, log)[0]
    whole = whole_records(log)
    needed = [(start, end) for start, end, what in whole if what == DEFINE]
    bits = sampled(range(len(log) * 8), 12_000)
    for bit in bits:
        flipped = bytearray(log)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        actions, gaps, card, _ = recovered(session_id, store, bytes(flipped))
        right = [each for each, action in actions.items() if action == truth[each]]
        # An action of which one half is lost says so.
        halves = [action for each, action in actions.items() if action != truth[each]]
        assert all({"damaged", "unfinished"} & {*action["fl"]} for action in halves), f"wrong after bit {bit}"
        hit = next((start, end) for start, end, _ in whole if start <= bit >> 3 < end)
        kept = b"".join(gap.data for gap in gaps)
        assert flipped[slice(*hit)] in kept
        assert card.state == "interrupted"
        if hit not in needed:
            assert len(truth) - len(right) <= 1, f"bit {bit} cost {len(truth) - len(right)} actions"
    figure("G6", f"{len(bits)} flips in a log of {len(log)} bytes, 0 wrong, at most one record lost")
