"""memvid's sessions in a store of ours: whole, once, and told one by one."""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from click.testing import CliRunner, Result
from importers.samples import SIDE_FILE, expected, sample, segment_of, session_fields, unpack

import replaykit
from replaykit import errors, importing
from replaykit.cli.commands import program
from replaykit.format.entries import Sealing
from replaykit.importers.memvid.store import MemvidStore
from replaykit.importing import Cleaner, import_sessions
from replaykit.model import ImportReport
from replaykit.redactors import make_redactor
from replaykit.storage.opening import open_store
from replaykit.testing.contracts import make_part


def run(*words: object) -> Result:
    """Run ``replaykit`` with these words."""
    return CliRunner().invoke(program, [str(word) for word in words])


def statuses(report: ImportReport) -> list[str]:
    """Return what became of each session, in order."""
    return [item.status for item in report.items]


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("runs.rpk", ("01", "02", "04", "05", "06", "07", "08", "12", "17")),
        ("runs/", ("04", "08")),
        ("runs.mv", ("04", "08")),
    ],
)
def test_what_is_imported_is_what_was_recorded(target: str, names: tuple[str, ...], tmp_path: Path) -> None:
    """In any kind of store; a session says where it comes from, and the store verifies."""
    paths = unpack(tmp_path, *names)
    report = import_sessions(paths, target)

    assert report and set(statuses(report)) == {"imported", "lost"}
    with replaykit.load(target) as recording:
        assert recording.verify()
        for path in paths:
            for wanted in expected(path.name):
                session = recording.get_session(wanted["session_id"])
                found = session_fields(session)
                origin = found.pop("metadata")
                assert found == {key: wanted[key] for key in found}
                assert (origin["origin"], origin["origin_file"], origin["origin_version"]) == ("memvid", path.name, 1)


def test_order_is_that_of_ending(tmp_path: Path) -> None:
    """As the file has it."""
    paths = unpack(tmp_path, "03")
    import_sessions(paths, "runs.rpk")

    listed = [str(item.session_id) for item in replaykit.load("runs.rpk").list_sessions()]
    assert listed == [session["session_id"] for session in expected(paths[0].name)]


def test_what_no_store_can_hold_is_changed_and_told(tmp_path: Path) -> None:
    """Repeated sequences, repeated ids, a session without an end; extremes stay."""
    report = import_sessions(unpack(tmp_path, "11"), "runs.rpk")
    items = {item.name: item for item in report.items if item.status == "imported"}
    recording = replaykit.load("runs.rpk")

    assert {name: bool(item.reason) for name, item in items.items()} == {
        "all variants": False,
        None: True,
        "ends before it starts": False,
        "unordered duplicates": True,
        "same id as the second": True,
    }
    renumbered = recording.get_session("unordered duplicates")
    assert [(action.sequence, action.kind) for action in renumbered.actions] == [(0, "put"), (1, "put"), (2, "find")]
    assert renumbered.metadata["origin_changes"] and all("renumbered" in each.flags for each in renumbered.actions)
    unended = recording.list_sessions(state="interrupted")
    assert [item.ended_secs for item in unended] == [1700000000]
    whole = recording.get_session("all variants")
    assert whole.metadata["owner"] == "équipe" and whole.metadata["origin_session_version"] == 7
    assert whole.actions[15].action_type.frame_id == 2**64 - 1  # type: ignore[union-attr]
    assert (whole.actions[16].sequence, whole.actions[16].timestamp_secs) == (30, -5)
    assert recording.verify()


def test_an_active_session_is_imported_as_interrupted(tmp_path: Path) -> None:
    import_sessions(unpack(tmp_path, SIDE_FILE), "runs.rpk")
    (summary,) = replaykit.load("runs.rpk").list_sessions()

    assert (summary.state, summary.name, summary.action_count, summary.checkpoint_count) == (
        "interrupted",
        "activé",
        6,
        2,
    )


def test_importing_twice_is_importing_once(tmp_path: Path) -> None:
    """Also from a copy under another name."""
    paths = unpack(tmp_path, "08", "11", "18")
    first = import_sessions(paths, "runs/")
    before = replaykit.load("runs/").list_sessions()
    copy = tmp_path / "copy.mv2"
    copy.write_bytes(sample("08"))
    again = import_sessions([*paths, copy], "runs/")

    assert first.count("imported") == again.count("skipped") - 3 == 9
    assert again and again.count("imported") == 0
    assert replaykit.load("runs/").list_sessions() == before


def test_an_import_that_was_killed_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it left of a session gives way to the whole."""
    paths = unpack(tmp_path, "05")
    monkeypatch.setattr(importing, "MAX_PART_ACTIONS", 10)
    with closing(MemvidStore(paths[0])) as source, closing(open_store("runs.rpk")) as store:
        parts = importing.parts_of(source.read(source.cards()[0].session_id), Cleaner(make_redactor(())))
        for part in itertools.islice(parts, 2):
            store.publish(part)
    assert [item.state for item in replaykit.load("runs.rpk").list_sessions()] == ["open"]

    assert statuses(import_sessions(paths, "runs.rpk")) == ["imported"]
    session = replaykit.load("runs.rpk").get_session()
    assert (session.state, len(session.actions)) == ("sealed", 34)
    assert replaykit.load("runs.rpk").verify()


SECRET = "sk-proj-" + "a1B2" * 12


def encoded(text: str) -> bytes:
    """Return *text* as memvid writes one."""
    return len(text.encode()).to_bytes(8, "little") + text.encode()


def with_secret(folder: Path) -> Path:
    """Return a side file in which a query, its preview and the session's name hold a secret."""
    session = segment_of("01")[32:].replace(encoded("alpha"), encoded(f"find {SECRET}"))
    session = session.replace(encoded("basic session"), encoded(SECRET))
    payload = session + bytes(8 * 3 + 2)
    path = folder / "secret.mv2.session"
    path.write_bytes(b"MV2ACTIV" + len(payload).to_bytes(8, "little") + payload)
    return path


def test_secrets_are_taken_out(tmp_path: Path) -> None:
    """As of any recording, before the first byte is written; what was hashed then is not what is there now."""
    path = with_secret(tmp_path)
    report = import_sessions([path], "clean.rpk")
    import_sessions([path], "whole.rpk", redact=())

    assert SECRET.encode() in path.read_bytes()
    session = replaykit.load("clean.rpk").get_session()
    (found,) = [action for action in session.actions if "redacted" in action.flags]
    assert SECRET not in repr((session.name, session.to_records(), session.metadata))
    assert found.action_type.query == found.input_preview == "find [redacted:openai]"  # type: ignore[union-attr]
    assert "secrets were taken out of 1 of its actions" in report.items[0].reason
    assert session.redaction not in ("", "none")
    assert import_sessions([path], "clean.rpk").count("skipped") == 1
    assert SECRET in repr(replaykit.load("whole.rpk").get_session().to_records())


def test_another_recording_under_its_id_is_kept(tmp_path: Path) -> None:
    """The tampered copy does not replace the original, and nobody is told that it was imported."""
    report = import_sessions(unpack(tmp_path, "01", "16"), "runs.rpk")

    assert statuses(report) == ["imported", "different"]
    assert not report
    assert "climate" in [action.input_preview for action in replaykit.load("runs.rpk").get_session().actions]


def test_what_is_lost_or_unreadable_is_told_and_the_rest_imported(tmp_path: Path) -> None:
    """A dropped session, an overwritten segment, no table of contents, no file, and something else."""
    other = tmp_path / "other.mv2"
    other.write_bytes(b"something else")
    report = import_sessions([*unpack(tmp_path, "13", "14", "15"), tmp_path / "no.mv2", other], "runs.rpk")

    told = [(Path(item.file).name[:2], item.status, item.sessions) for item in report.items]
    assert told == [
        ("13", "imported", 1), ("13", "lost", 1), ("14", "unreadable", 1), ("15", "unreadable", 1), ("15", "lost", 1),
        ("no", "unreadable", 1), ("ot", "unreadable", 1),
    ]  # fmt: skip
    assert all(item.reason for item in report.items[1:])
    assert [item.name for item in replaykit.load("runs.rpk").list_sessions()] == ["newer"]


def test_what_a_file_lost_since_it_was_imported_is_not_lost(tmp_path: Path) -> None:
    """That is what importing is for; the other session of the file is still told."""
    (path,) = unpack(tmp_path, "08")
    lost = next(item for item in import_sessions([path], "first.rpk").items if item.status == "lost")
    with closing(open_store("runs.rpk")) as store:
        store.publish(attrs.evolve(make_part(lost.session_id), sealing=Sealing(state="sealed", ended_ns=1)))

    assert import_sessions([path], "runs.rpk").count("lost") == 1


def test_an_open_session_of_somebody_else_is_never_deleted(tmp_path: Path) -> None:
    """Only what an import of the same bytes had begun gives way."""
    (path,) = unpack(tmp_path, "01")
    session_id = UUID(expected(path.name)[0]["session_id"])
    with closing(open_store("runs.rpk")) as store:
        store.publish(attrs.evolve(make_part(session_id, name="mine"), sealing=None))

    assert statuses(import_sessions([path], "runs.rpk")) == ["different"]
    assert [item.name for item in replaykit.load("runs.rpk").list_sessions()] == ["mine"]


def test_where_nothing_can_be_read_no_store_is_made(tmp_path: Path) -> None:
    import_sessions(unpack(tmp_path, "14", "15"), "runs.rpk")

    assert not Path("runs.rpk").exists()


def test_one_damaged_session_does_not_keep_the_others(tmp_path: Path) -> None:
    (path,) = unpack(tmp_path, "03")
    data = bytearray(path.read_bytes())
    data[data.rindex("сессия 11".encode())] = 0xFF
    path.write_bytes(data)
    report = import_sessions([path], "runs.rpk")

    assert (report.count("imported"), report.count("unreadable")) == (23, 1)


def test_no_name_of_memvids_is_taken_for_a_store(tmp_path: Path) -> None:
    """Neither a new file nor one of its own; nothing to import is an error too."""
    (path,) = unpack(tmp_path, "01")
    for files, target in (([path], "new.mv2"), ([path], path), ([], "runs.rpk")):
        with pytest.raises(errors.UsageError):
            import_sessions(files, target)

    assert path.read_bytes() == sample("01")


def test_an_imported_session_does_not_go_on(tmp_path: Path) -> None:
    """It would be half of one recorder and half of another."""
    import_sessions(unpack(tmp_path, SIDE_FILE), "runs.rpk")

    with replaykit.Recorder("runs.rpk") as recorder, pytest.raises(errors.UsageError, match="recorded by memvid"):
        recorder.resume_session("last")


# -- the command line -----------------------------------------------------------------------


def test_the_verb_reports_each_session(tmp_path: Path) -> None:
    """For people a line each, for machines fields; the exit code says the worst."""
    good = unpack(tmp_path, "01", "13")
    told = run("import", *good, "-o", "runs/")
    lines = told.output.splitlines()

    assert told.exit_code == 0
    assert [line.split()[0] for line in lines] == ["imported", "imported", "lost", "runs/:"]
    again = run("import", *good, "-o", "runs/", "--json")
    facts = json.loads(again.output)
    assert again.exit_code == 0
    assert {key: facts[key] for key in ("ok", "imported", "skipped", "lost")} == {
        "ok": True, "imported": 0, "skipped": 2, "lost": 1,
    }  # fmt: skip
    assert facts["sessions"][0]["session_id"] == expected(good[0].name)[0]["session_id"]
    assert run("import", *unpack(tmp_path, "16"), "-o", "runs/").exit_code == 1
    assert run("import", *unpack(tmp_path, "14"), "-o", "runs/").exit_code == 3
    assert run("import", good[0], "-o", "new.mv2").exit_code == 2


def test_a_side_file_beside_a_memory_is_named(tmp_path: Path) -> None:
    """It may belong to an earlier memory of that name, so it is not taken unasked."""
    (path,) = unpack(tmp_path, "17")
    Path(f"{path}.session").write_bytes(sample("18"))

    told = run("import", path, "-o", "runs/")
    assert f"{path}.session holds an active session" in told.output
    assert told.output.count("imported ") == 1


def test_the_reading_verbs_take_memvids_files(tmp_path: Path) -> None:
    """As they are, and nothing is written beside them."""
    first, tampered, lost, broken = unpack(tmp_path, "01", "16", "13", "14")

    listed = json.loads(run("list", first, "--json").output)
    assert [item["name"] for item in listed] == ["basic session"]
    shown = run("show", first, "last")
    assert "by memvid, cannot be played" in shown.output and "nothingmatches" in shown.output
    assert "climate" in run("show", first, "last", 6).output
    assert json.loads(run("show", first, "--json").output)["playable"]["verdict"] == "no"
    assert run("diff", first, first).exit_code == 0
    assert run("verify", first).exit_code == 0
    assert (run("verify", tampered).exit_code, run("doctor", tampered).exit_code) == (1, 1)
    assert "does not name any more" in run("doctor", lost).output
    facts = json.loads(run("info", first, "--json").output)
    assert (facts["format"], facts["health"], facts["sessions"], facts["memory"]) == ("memvid", "ok", 1, None)
    for verb in ("list", "show", "info", "verify"):
        assert run(verb, broken).exit_code == 3
    assert sorted(path.name[:2] for path in tmp_path.iterdir()) == ["01", "13", "14", "16"]


@pytest.mark.parametrize("words", [("recover", "-o", "new.rpk"), ("compact",), ("delete", "last", "--yes"), ("tail",)])
def test_the_other_verbs_say_what_to_do(words: tuple[str, ...], tmp_path: Path) -> None:
    verb, *rest = words
    (path,) = unpack(tmp_path, "01")
    told = run(verb, path, *rest)

    assert told.exit_code != 0
    assert "replaykit import" in told.output + told.stderr
    assert path.read_bytes() == sample("01")


# -- playing, replaying, comparing ------------------------------------------------------------


def test_play_is_refused_before_the_first_call(tmp_path: Path) -> None:
    """With the reasons; from the file and from a store."""
    (path,) = unpack(tmp_path, "01")
    import_sessions([path], "runs.rpk")

    for recording in (path, "runs.rpk", replaykit.load(path)):
        with pytest.raises(errors.PlaybackError, match="memvid kept no arguments.*base='live'"):
            replaykit.play(recording)
    for place in (path, "runs.rpk"):
        playable = replaykit.load(place).get_session().playable
        assert (playable.verdict, len(playable.reasons)) == ("no", 2)


class Answers:
    """A memory that gives the frames that it was told to give."""

    def __init__(self, frames: dict[str, list[int]]) -> None:
        self.frames = frames
        self.asked: list[tuple[str, int]] = []

    def find(self, query: str, *, k: int = 10) -> dict[str, Any]:
        """Return the frames for *query* as memvid's SDK does."""
        self.asked.append((query, k))
        return {"hits": [{"frame_id": frame, "score": 1.0} for frame in self.frames[query][:k]]}

    def put(self, text: str) -> str:
        """Never to be called."""
        raise AssertionError(text)


OPERATIONS = {"find": "find", "put": "put"}
RECORDED = {"alpha": [5, 5, 3], "beta": [4, 5], "nothingmatches": [], "climate": [3, 0]}


@pytest.mark.parametrize("place", ["01_basic.mv2", "runs.rpk"])
def test_finds_run_again_on_a_live_memory(place: str, tmp_path: Path) -> None:
    """Frames are compared, one by one and in order; what else was recorded is passed over with its reason."""
    (path,) = unpack(tmp_path, "01")
    import_sessions([path], "runs.rpk")
    session = replaykit.load(place).get_session()
    memory = Answers(RECORDED)

    result = replaykit.replay(session, memory, operations=OPERATIONS, base="live")
    assert memory.asked == [("alpha", 3), ("beta", 2), ("nothingmatches", 1), ("climate", 2)]
    assert (result.matched_actions, result.mismatched_actions, result.skipped_actions) == (4, 0, 3)
    assert result.verdict == "incomplete"
    changed = Answers({**RECORDED, "beta": [5, 4], "nothingmatches": [9]})
    told = replaykit.replay(session, changed, operations=OPERATIONS, base="live").divergences
    assert [(item.at_sequence, item.divergence_type.value) for item in told] == [(3, "hits_moved"), (4, "hits_new")]


def test_asks_cannot_be_compared(tmp_path: Path) -> None:
    """memvid kept neither k nor the whole answer, and nobody's model is asked for nothing."""
    (path,) = unpack(tmp_path, "06")
    session = replaykit.load(path).get_session("panic")
    asks = [action for action in session.actions if action.kind == "ask"]

    result = replaykit.replay(session, {"ask": lambda question: pytest.fail("it was asked")}, base="live")
    assert result.incomparable_actions == len(asks) > 0
    assert not result


def test_on_the_embedded_memory(tmp_path: Path) -> None:
    """Live its finds run; without base='live' nothing can be compared, and it is said why."""
    (path,) = unpack(tmp_path, "01")
    session = replaykit.load(path).get_session()
    with replaykit.open("notes.mv") as mv:
        mv.put("alpha")
        live = replaykit.replay(session, mv, base="live")
        now = replaykit.replay(session, mv)

    assert live.mismatched_actions == 3 and live.matched_actions == 1
    assert now.incomparable_actions == 4 and now.matched_actions == 0
    assert "base='live'" in now.divergences[0].details


def test_comparing_looks_at_all_that_was_kept(tmp_path: Path) -> None:
    """Other frames, another query, another model: each is one difference; a session equals itself and its import."""
    first, second, tampered, all_types = unpack(tmp_path, "01", "05", "16", "11")
    import_sessions([first, all_types], "runs.rpk")

    for path in (first, second, all_types):
        recording = replaykit.load(path)
        for summary in recording.list_sessions():
            session = recording.get_session(summary)
            assert replaykit.compare(session, session).is_identical
    stored = replaykit.load("runs.rpk")
    for path in (first, all_types):
        for summary in replaykit.load(path).list_sessions():
            session = replaykit.load(path).get_session(summary)
            assert replaykit.compare(session, stored.get_session(summary.session_id)).is_identical
    one, other = replaykit.load(first).get_session(), replaykit.load(tampered).get_session()
    (found,) = replaykit.compare(one, other).differing_actions
    assert (found.at_sequence, found.where) == (6, "query")
    asked = replaykit.load(second).get_session()
    ask = next(action for action in asked.actions if action.kind == "ask")
    changes = {
        "model": attrs.evolve(ask, action_type=attrs.evolve(ask.action_type, model="another")),
        "output_hash": attrs.evolve(ask, output_hash=bytes(32)),
        "hits[0]": attrs.evolve(ask, affected_frames=(77, *ask.affected_frames[1:])),
    }
    for where, changed in changes.items():
        actions = [changed if action.sequence == ask.sequence else action for action in asked.actions]
        differing = replaykit.compare(asked, attrs.evolve(asked, actions=actions)).differing_actions
        assert where in {item.where for item in differing}


def test_an_import_is_compared_with_a_recording_of_ours(tmp_path: Path) -> None:
    """By query and frames, which both have."""
    (path,) = unpack(tmp_path, "01")
    memory = replaykit.wrap(Answers({**RECORDED, "beta": [5, 4]}), store="ours.rpk", operations={"find": "find"})
    with memory.session("ours"):
        for query in RECORDED:
            memory.find(query)
    found = replaykit.compare(replaykit.load(path).get_session(), replaykit.load("ours.rpk").get_session())

    assert found.matching_actions == 3
    assert {item.at_sequence for item in found.differing_actions} == {3}
    assert len(found.actions_only_in_a) == 3 and found.actions_only_in_b == ()
