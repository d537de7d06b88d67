"""Where memvid's replay says matched for what differs, or the reverse, the verdict here is the true one."""

from __future__ import annotations

import pytest
from playback.verdict_cases import CASES, check

import replaykit
from replaykit import DivergenceType as Kind
from replaykit.errors import ReplaykitError, UsageError


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_is_the_true_one(name):
    check(CASES[name])


@pytest.fixture
def mv():
    with replaykit.open(":memory:") as memory:
        memory.put("The harbour lamp is red.")
        yield memory


def test_a_replay_during_a_recording_adds_nothing_to_it(mv):
    with mv.session("first"):
        mv.find("lamp")
    with mv.session("second") as second:
        assert mv.replay("first")

    assert len(second.result.actions) == 0


def test_each_ask_is_one_action_also_without_an_answer(mv):
    def fails(question, hits):
        raise RuntimeError("the model is gone")

    with mv.session("run") as session:
        mv.ask("lamp")
        mv.ask("nothing of this")
        with pytest.raises(UsageError):
            mv.ask("lamp", model="nobody")
        with pytest.raises(RuntimeError):
            mv.ask("lamp", model=fails)

    assert [action.action_type.name for action in session.result.actions] == ["ASK"] * 4


def test_frozen_context_asks_the_model_that_is_named(mv):
    asked = []

    def model(question, hits):
        asked.append([hit.text for hit in hits])
        return "It is blue."

    with mv.session("run"):
        mv.ask("Which colour has the harbour lamp?")
    mv.update(1, "Nothing of it is left.")
    [found] = mv.replay("run", audit_mode=True, model=model, skip_puts=True).divergences[:1]

    assert asked == [["The harbour lamp is red."]]
    assert (found.divergence_type, found.where) == (Kind.OUTPUT_MISMATCH, "answer.text")


def test_a_changed_recording_is_never_replayed(tmp_path):
    """Each byte of the query, wherever it lies, is under a checksum."""
    path = tmp_path / "runs.rpk"
    with replaykit.Recorder(path) as recorder, recorder.session() as session:
        session.record("find", arguments={"query": "harbour"}, output=[1])
    held = bytearray(path.read_bytes())
    at = held.index(b"harbour")
    held[at : at + 7] = b"bedroom"
    path.write_bytes(held)

    with replaykit.load(path) as recording:
        assert not recording.verify()
        with pytest.raises(ReplaykitError):
            list(recording.get_session("last").actions)


def test_every_call_has_its_duration(mv):
    with mv.session("run") as session:
        mv.put("one")
        mv.find("lamp")
        mv.ask("lamp")

    assert all(action.duration_ns > 0 for action in session.result.actions)
