"""
One step with a real memvid memory whose model is a server: run as a program, which prints what came of it as JSON.

    python seed_asking.py record | replay | audit

memvid holds the interpreter's lock while it waits for a model, so the server
is in another process; ``http_proxy`` leads to it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import memvid_sdk
from libraries.memvid_sessions import Seed, recording, wrapped

import replaykit

MODEL = "ollama:q"


def record() -> dict[str, Any]:
    memory = wrapped(memvid_sdk.create("asked.mv2"))
    memory.put(text="The harbour lamp is red.", title="lamp")
    with recording(memory) as both:
        memory.ask("Which colour has the harbour lamp?", model=MODEL)
    return {"theirs": both.summary["action_count"], "ours": [action.kind for action in both.ours.actions]}


def replay(**options: Any) -> dict[str, Any]:
    memory = wrapped(memvid_sdk.use("basic", "asked.mv2"))
    (session,) = memory.session_list()
    try:
        theirs = Seed(memory.session_replay(session["session_id"], **options))
        told = {"theirs": theirs.is_success, "last": theirs.matched[-1], "text": theirs.texts[-1]}
    except BaseException as error:
        # A panic of memvid is no Exception.
        told = {"theirs": type(error).__name__}
    return told if options else told | _ours(memory)


def _ours(memory: Any) -> dict[str, Any]:
    session = replaykit.recorder_of(memory).get_session("last")
    result = replaykit.replay(session, memory, base="live")
    first = result.first_divergence
    shown = first and [first.at_sequence, first.action_type, first.divergence_type.value, first.where]
    return {"ours": result.verdict, "first": shown}


STEPS = {
    "record": record,
    "replay": replay,
    "audit": lambda: replay(audit=True, use_model=MODEL, diff=True),
}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]]()))
