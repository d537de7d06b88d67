"""
False verdicts of memvid's own replay, shown with the real memvid-sdk, and the true ones of ours on the same runs.

Each run is recorded twice, by memvid's ``session_*`` and by us around the same memory; the same on the embedded memory
is in `playback.verdict_cases`.  What memvid never records by itself (deletions, updates, many puts, tools) is put into
its file by changing the type of a recorded action.

Not shown here, since only memvid's command line tool can be asked for it: that a session differs from itself, that
the exit code is 0 whatever differs, that automatic checkpoints come one call early.  Nor the same frames in another
order or with another text: memvid-sdk has no update that would leave ids as they are.
"""

from __future__ import annotations

import os

# The library reports home by default; the tests run offline.
os.environ.update(MEMVID_TELEMETRY="0", MEMVID_OFFLINE="1")

import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import memvid_sdk
import pytest
from libraries.chat_server import ChatServer, chat_server, json_reply
from libraries.memvid_sessions import (
    ASK,
    DELETE,
    PUT,
    PUT_MANY,
    TOOL_CALL,
    UPDATE,
    Both,
    Seed,
    Stored,
    recording,
    wrapped,
)
from playback.verdict_cases import CASES, check

import replaykit
from replaykit import DivergenceType as Kind

pytestmark = [pytest.mark.libraries, pytest.mark.filterwarnings("default")]

PATH = Path("a.mv2")


@pytest.fixture
def memory() -> Iterator[Any]:
    """An empty memvid memory whose calls we record."""
    found = wrapped(memvid_sdk.create(str(PATH)))
    yield found
    replaykit.recorder_of(found).close()
    if not found.closed:
        found.close()


def texts(*contents: str) -> list[dict[str, str]]:
    return [{"title": f"t{at}", "label": "x", "text": content} for at, content in enumerate(contents)]


def lamps(memory: Any) -> None:
    memory.put_many(texts("The harbour lamp one shines.", "The harbour lamp two shines."))


def reopened(both: Both, change: Callable[[Stored], None], *, removed: tuple[int, ...] = (), **options: Any) -> Seed:
    """Change what memvid stored of a run and have it replayed."""
    both.memory.close()
    change(Stored(PATH))
    again = memvid_sdk.use("basic", str(PATH))
    for frame_id in removed:
        again.remove(frame_id)
    seed = Seed(again.session_replay(both.theirs, **options))
    again.close()
    return seed


def frame(number: int) -> bytes:
    return struct.pack("<Q", number)


# -- writes -----------------------------------------------------------------------------


def test_puts_whose_frames_are_gone(memory: Any) -> None:
    """memvid: all matched, since the memory has some frames, removed ones included; we never pass what was not run."""
    with recording(memory) as both:
        ids = [memory.put(text=f"note {name}", title=name) for name in ("one", "two", "three")]
    for frame_id in ids:
        memory.remove(frame_id)
    seed = both.seed()

    assert (seed.is_success, seed.match_rate, seed.matched) == (True, 100.0, [("PUT", True)] * 3)
    assert both.replay().verdict == "nothing compared"
    check(CASES["puts whose frames are gone"])


def test_a_put_of_a_frame_that_never_was(memory: Any) -> None:
    """memvid: "Put verified", of frame 999 of one."""
    with recording(memory) as both:
        memory.put(text="one", title="one")
    seed = reopened(both, lambda stored: stored.replace(PUT, frame(999)))

    assert (seed.is_success, seed.texts) == (True, ["Put verified (seq 999, 1 frames total)"])
    check(CASES["a put of a frame that never was"])


def test_the_number_of_a_put_is_its_frames(memory: Any) -> None:
    """memvid records its log's number, which it then takes for a frame's elsewhere; we record what the put returned."""
    memory.put(text="zero", title="zero")
    with recording(memory) as both:
        given = memory.put(text="one", title="one")
    memory.close()

    assert (given, Stored(PATH).put_number) == ("1", 3)
    assert both.ours.actions[0].affected_frames == ("1",)


def test_many_puts_at_once(memory: Any) -> None:
    """
    memvid holds the numbers that its ``put_many`` gave out against frame ids, and misses frames that are there.

    It counts deleted frames and repeats as there: three times one that is gone is three.
    """
    ids = memory.put_many(texts("one", "two", "three"))
    with recording(memory) as both:
        memory.find("nothing12")
    held = struct.pack("<Q", 9) + b"nothing12" + struct.pack("<Q", 7) + b"Tantivy" + frame(0)

    def many(*numbers: int) -> Callable[[Stored], None]:
        fields = struct.pack("<5Q", 3, *numbers, 3)
        return lambda stored: stored.replace(PUT_MANY, fields, held)

    memory.close()
    original = PATH.read_bytes()
    told = {}
    for numbers, removed in ((tuple(map(int, ids)), ()), ((0, 0, 0), (0,))):
        PATH.write_bytes(original)
        seed = reopened(both, many(*numbers), removed=removed)
        told[numbers] = (seed.is_success, seed.texts)

    assert ids == ["1", "2", "3"]
    assert told == {(1, 2, 3): (False, ["Expected 3 frames, found 2"]), (0, 0, 0): (True, [""])}
    check(CASES["many puts at once"])
    check(CASES["many puts of which one is gone"])


@pytest.mark.parametrize(
    ("kind", "number", "removed", "is_success", "text", "case"),
    [
        (DELETE, 1, (1,), False, "Frame 1 still exists", "a deletion"),
        (DELETE, 50, (), True, "", "a deletion of a frame that never was"),
        (UPDATE, 1, (1,), True, "", "an update of a frame that is gone"),
    ],
    ids=["a true deletion fails", "one of a frame that never was passes", "an update of a removed frame passes"],
)
def test_deletions_and_updates(
    memory: Any, kind: int, number: int, removed: tuple[int, ...], is_success: bool, text: str, case: str
) -> None:
    """memvid takes removed frames for existing ones, so each verdict is the wrong way round."""
    for name in ("zero", "one"):
        memory.put(text=name, title=name)
    with recording(memory) as both:
        memory.put(text="two", title="two")
    seed = reopened(both, lambda stored: stored.replace(kind, frame(number)), removed=removed)

    assert (seed.is_success, seed.texts) == (is_success, [text])
    check(CASES[case])


def test_a_checkpoint_of_another_state(memory: Any) -> None:
    """memvid: "Checkpoint 0 verified" after its only frame is gone; we skip what the target cannot show."""
    with recording(memory) as both:
        given = memory.put(text="red paint", title="paint")
        memory.session_checkpoint()
        replaykit.recorder_of(memory).create_checkpoint()
    memory.remove(given)
    seed = both.seed()

    assert (seed.is_success, seed.texts[1]) == (True, "Checkpoint 0 verified")
    assert [item.status for item in both.replay().action_results] == ["skipped", "skipped"]
    check(CASES["a checkpoint of another state"])


# -- finds ------------------------------------------------------------------------------


def test_other_frames_as_many(memory: Any) -> None:
    """
    memvid compares how many there are.

    Its find may return one frame twice and leave another out, which varies from one memory to the next.
    """
    lamps(memory)
    with recording(memory) as both:
        found = {hit["frame_id"] for hit in memory.find("harbour lamp", k=2)["hits"]}
    memory.put_many(texts(*["harbour lamp harbour lamp"] * 3))
    seed, ours = both.seed(), both.replay()

    assert found <= {0, 1}
    assert (seed.is_success, seed.match_rate, seed.matched) == (True, 100.0, [("FIND", True)])
    assert (ours.verdict, ours.first_divergence.at_sequence) == ("failed", 0)
    assert ours.first_divergence.divergence_type is Kind.HITS_LOST
    assert found >= set(ours.first_divergence.frames)
    for name in (
        "other frames, as many",
        "the same frames in another order",
        "the same frames with another text",
    ):
        check(CASES[name])


def test_a_filtered_find_that_found_nothing(memory: Any) -> None:
    """memvid replays without the filter, finds what was hidden, and fails on an untouched memory."""
    access = {"acl_visibility": "restricted", "acl_tenant_id": "a", "acl_read_principals": '["alice"]'}
    memory.put(text="The harbour lamp shines.", title="lamp", metadata=access)
    with recording(memory) as both:
        bob = {"tenant_id": "a", "subject_id": "bob"}
        assert memory.find("harbour", acl_context=bob, acl_enforcement_mode="enforce")["hits"] == []
    seed = both.seed()

    assert (seed.is_success, seed.texts) == (False, ["Result count mismatch: expected 0, got 1"])
    assert both.replay().verdict == "passed"
    check(CASES["a filtered find that found nothing"])
    check(CASES["a filtered find that would find something"])


def test_a_find_by_meaning() -> None:
    """memvid does not record it, and what is not there matches wholly."""
    memory = wrapped(memvid_sdk.create(str(PATH), enable_vec=True))
    vectors = [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]]
    memory.put_many(texts("red fox", "blue dog"), embeddings=vectors)
    with recording(memory) as both:
        memory.find("fox", mode="sem", query_embedding=vectors[1])
    before = both.replay()
    memory.remove(1)
    seed, ours = both.seed(), both.replay()

    assert (both.summary["action_count"], seed.is_success, seed.match_rate) == (0, True, 100.0)
    assert before.verdict == "passed"
    assert (ours.verdict, ours.first_divergence.divergence_type) == ("failed", Kind.HITS_LOST)
    assert ours.first_divergence.frames == (1,)
    check(CASES["a find by meaning"])
    replaykit.recorder_of(memory).close()
    memory.close()


def test_a_changed_query(memory: Any) -> None:
    """memvid replays a query that nobody asked, and its deep check of the file passes; ours is refused."""
    lamps(memory)
    with recording(memory) as both:
        memory.find("harbour", k=2)
    seed = reopened(both, lambda stored: stored.replace_text(b"harbour", b"shines."))
    replaykit.recorder_of(memory).close()
    stored = bytearray(Path("runs.rpk").read_bytes())
    stored[len(stored) // 2] ^= 1
    Path("runs.rpk").write_bytes(stored)

    assert seed.is_success
    assert memvid_sdk._verify(str(PATH), deep=True)["overall_status"] == "passed"
    assert not replaykit.load("runs.rpk").verify()


# -- asks -------------------------------------------------------------------------------


def test_an_ask_of_an_untouched_memory(memory: Any) -> None:
    """memvid records an ask without an answer as finds that nobody made, which it then finds otherwise."""
    for number in range(4):
        memory.put(text=f"The harbour lamp number {number} shines over the bay.", title=f"t{number}")
    with recording(memory) as both:
        memory.ask("Which harbour lamp shines?", context_only=True)
    seed, ours = both.seed(), both.replay()

    assert not seed.is_success
    assert {kind for kind, _ in seed.matched} == {"FIND"}
    assert len(seed.matched) > 1
    assert [action.kind for action in both.ours.actions] == ["ask"]
    assert ours.verdict == "passed", ours.to_records()
    check(CASES["an ask of an untouched memory"])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A model's server that memvid's Ollama requests are led to."""
    for name in ("HTTP_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with chat_server() as running:
        monkeypatch.setenv("http_proxy", running.url.removesuffix("/v1"))
        yield running


def answers(server: ChatServer, text: str) -> None:
    server.replies(json_reply({"model": "q", "response": text, "done": True}))


def asked(step: str) -> dict[str, Any]:
    script = Path(__file__).with_name("seed_asking.py")
    done = subprocess.run([sys.executable, str(script), step], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_ask_that_would_be_answered_otherwise(server: ChatServer) -> None:
    """memvid shows what was recorded and says matched; its audit asks no model, whichever is named."""
    answers(server, "It is red.")
    recorded = asked("record")
    before = len(server.seen)
    audited = asked("audit")
    requests = len(server.seen) - before
    answers(server, "It is blue.")
    replayed = asked("replay")

    assert recorded["ours"] == ["ask"]
    assert recorded["theirs"] > 2
    assert (audited["theirs"], audited["last"], requests) == (True, ["ASK", True], 0)
    assert "Context: VERIFIED" in audited["text"]
    assert replayed["theirs"]
    assert (replayed["ours"], replayed["first"]) == ("failed", [0, "ASK", "output_mismatch", "result.answer"])
    check(CASES["an ask that would be answered otherwise"])


def test_a_long_answer_beyond_ascii(server: ChatServer) -> None:
    """memvid panics: it cuts the answer within a character."""
    answers(server, "漢" * 90)
    asked("record")
    replayed = asked("replay")

    assert (replayed["theirs"], replayed["ours"]) == ("PanicException", "passed")
    check(CASES["a long answer beyond ASCII"])


def test_an_ask_without_an_answer_and_frames(memory: Any) -> None:
    """memvid: matched in a replay, mismatched in an audit, by a model that there is not; nothing was run."""
    lamps(memory)
    with recording(memory) as both:
        memory.find("nothing")
    plain = reopened(both, lambda stored: stored.replace(ASK, b""))
    audit = reopened(both, lambda stored: None, audit=True, use_model="nobody:nothing")

    assert (plain.is_success, plain.matched) == (True, [("ASK", True)])
    assert (audit.is_success, "nobody:nothing" in audit.texts[0]) == (False, True)


# -- sessions ---------------------------------------------------------------------------


def test_no_call_at_all(memory: Any) -> None:
    """memvid: 100 percent, for a session whose calls it did not record; here they are told."""
    memory.put(text="one", title="one")
    with recording(memory) as both:
        with pytest.raises(memvid_sdk.MemvidError):
            memory.find("")
        memory.remove(0)
    seed, ours = both.seed(), both.replay()

    assert (both.summary["action_count"], seed.is_success, seed.match_rate) == (0, True, 100.0)
    assert [(item.action_type, item.status) for item in ours.action_results] == [
        ("FIND", "matched"),
        ("DELETE", "skipped"),
    ]
    check(CASES["no call at all"])


def test_only_calls_that_cannot_be_run(memory: Any) -> None:
    """memvid: a success in which nothing matched."""
    lamps(memory)
    with recording(memory) as both:
        memory.find("nothing123")
    held = struct.pack("<Q", 10) + b"nothing123" + struct.pack("<Q", 7) + b"Tantivy" + frame(0)
    tool = struct.pack("<Q", 1) + b"f" + bytes(32)
    seed = reopened(both, lambda stored: stored.replace(TOOL_CALL, tool, held))

    assert (seed.is_success, seed.match_rate, seed.texts) == (True, 0.0, ["Tool call 'f' skipped"])
    check(CASES["only calls that cannot be run"])


def test_a_replay_during_a_recording(memory: Any) -> None:
    """memvid records the replay's finds as the user's."""
    lamps(memory)
    with recording(memory) as first:
        memory.find("harbour")
    with recording(memory) as second:
        first.seed()
    with replaykit.recorder_of(memory).session() as third:
        assert first.replay()

    assert (second.summary["action_count"], len(second.ours.actions)) == (1, 0)
    assert len(third.result.actions) == 0


def test_durations(memory: Any) -> None:
    """memvid: 0 for a put that took some milliseconds."""
    with recording(memory) as both:
        began = time.perf_counter_ns()
        memory.put(text="one", title="one")
        took_ns = time.perf_counter_ns() - began
    memory.close()

    assert took_ns > 1_000_000
    assert Stored(PATH).last_duration_ms == 0
    assert 1_000_000 < both.ours.actions[0].duration_ns <= took_ns
