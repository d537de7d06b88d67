"""What memvid-sdk records now is read and imported, and runs again on its own memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

os.environ.update(MEMVID_TELEMETRY="0", MEMVID_OFFLINE="1")

import memvid_sdk

import replaykit
from replaykit.importing import import_sessions

pytestmark = pytest.mark.libraries

_FIND = {"find": "find", "put": "put"}


def recorded(path: Path) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """Record two sessions with memvid-sdk; return its own listing and the frames of each query."""
    found = {}
    memory = memvid_sdk.create(str(path))
    for name in ("first", "zweite 漢字"):
        memory.session_start(name)
        memory.put(text=f"Paris is the capital of France, {name}.", title="France")
        memory.put(text=f"Rome is the capital of Italy, {name}.", title="Italy")
        memory.session_checkpoint()
        for query in ("capital", "Rome", "nothing of it"):
            found[query] = [hit["frame_id"] for hit in memory.find(query, k=3)["hits"]]
        memory.session_end()
    listed = memory.session_list()
    memory.seal()
    memory.close()
    return listed, found


def test_what_it_records_is_read(tmp_path: Path) -> None:
    """Sessions, counts and frames as its own interface shows them; every hash that can be computed agrees."""
    listed, found = recorded(tmp_path / "a.mv2")
    before = (tmp_path / "a.mv2").read_bytes()

    with replaykit.load(tmp_path / "a.mv2") as recording:
        assert recording.verify()
        summaries = recording.list_sessions()
        finds = {
            action.action_type.query: list(action.affected_frames)
            for action in recording.get_session(listed[-1]["session_id"]).actions
            if isinstance(action.action_type, replaykit.Find)
        }
    assert [(str(item.session_id), item.name, item.action_count, item.checkpoint_count) for item in summaries] == [
        (item["session_id"], item["name"], item["action_count"], item["checkpoint_count"]) for item in listed
    ]
    assert finds == found
    assert import_sessions([tmp_path / "a.mv2"], "runs.rpk").count("imported") == 2
    assert (tmp_path / "a.mv2").read_bytes() == before


def test_its_finds_run_again_on_its_own_memory(tmp_path: Path) -> None:
    """They give what they gave, until a document that they found is gone."""
    recorded(tmp_path / "a.mv2")
    session = replaykit.load(tmp_path / "a.mv2").get_session("last")
    memory = memvid_sdk.use("basic", str(tmp_path / "a.mv2"))
    try:
        same = replaykit.replay(session, memory, operations=_FIND, base="live")
        memory.remove(session.actions[3].affected_frames[0])
        other = replaykit.replay(session, memory, operations=_FIND, base="live")
    finally:
        memory.close()

    assert (same.matched_actions, same.mismatched_actions) == (3, 0)
    assert not other and other.mismatched_actions > 0
    assert other.divergences[0].divergence_type.value == "hits_lost"
