"""The tools of the command line: what they say, their exit codes, and that they change nothing unasked."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest
from click.testing import CliRunner, Result

import replaykit
from replaykit.cli.commands import program
from replaykit.cli.progress import _Bar
from replaykit.cli.render import console
from replaykit.cli.verdicts import size_text
from replaykit.format.entries import Part, Sealing
from replaykit.format.segment import ACTS
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.segment_file import SegmentFile, open_file
from replaykit.testing.contracts import make_action, make_part

READING = ("list", "show", "info", "verify", "doctor", "tail")
EVIL = "\x1b[31mred\x1b]0;title\x07 \u202etxet \u200b\r\nnext \x9b2J"
HIDDEN = set("\x1b\x07\x9b\u202e\u200b\r")
SECRET = "the-words-to-be-erased"


def run(*words: str, told: str | None = None) -> Result:
    """Run ``replaykit`` with these words."""
    return CliRunner().invoke(program, list(words), input=told)


def part_of(session_id: UUID, name: str, *, text: str = "Paris", actions: int = 3, lost: int = 0) -> Part:
    """Return a session of finds, whole enough to be shown."""
    entries = [
        {**make_action(number, text=text), "d": 5, "in": {"query": text}, "x": {"query": text, "mode": "", "k": 1}}
        for number in range(actions)
    ]
    sealing = Sealing(state="sealed", ended_ns=2, lost=lost)
    return attrs.evolve(make_part(session_id, name=name), actions=entries, sealing=sealing)


def filled(path: Path, names: tuple[str, ...] = ("first", "second", "third"), *, text: str = "Paris") -> list[UUID]:
    """Write a store file of a session with three actions per name, and close it."""
    ids = [uuid4() for _ in names]
    store = FileStore(path)
    for name, session_id in zip(names, ids, strict=True):
        store.publish(part_of(session_id, name, text=text))
    store.close()
    return ids


def damaged(path: Path) -> None:
    """Flip a byte of the first block of actions: it was on the device once."""
    segment = SegmentFile(open_file(SystemFiles(), str(path)))
    at = next(item.offset for item in segment.scan(12, segment.size()) if getattr(item, "kind", None) == ACTS)
    data = bytearray(path.read_bytes())
    data[at + 60] ^= 1
    path.write_bytes(data)


def everything(folder: Path) -> Mapping[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "runs.rpk"
    filled(path)
    return path


# -- verify -------------------------------------------------------------------------


def test_verify_says_that_all_is_accounted_for(store: Path) -> None:
    """Exit code 0, for people and for machines."""
    said, parsed = run("verify", str(store)), json.loads(run("verify", str(store), "--json").output)

    assert said.exit_code == 0
    assert said.output.startswith("ok ")
    assert "3 sessions, 9 actions, every byte accounted for" in said.output
    assert (parsed["ok"], parsed["sessions"], parsed["actions"], parsed["problems"]) == (True, 3, 9, [])
    assert parsed["bytes_read"] == store.stat().st_size


def test_verify_says_what_was_not_looked_at(store: Path) -> None:
    """A check of the bytes alone is no full one, and damage of them is found."""
    said, parsed = (
        run("verify", str(store), "--depth", "bytes"),
        run("verify", str(store), "--depth", "bytes", "--json"),
    )

    assert said.exit_code == 0
    assert "every byte accounted for; what actions hold was not decoded" in said.output
    assert json.loads(parsed.output)["depth"] == "bytes"
    damaged(store)
    assert run("verify", str(store), "--depth", "bytes").exit_code == 1


def test_verify_lists_problems(store: Path) -> None:
    """Exit code 1, a problem a line, and what to do next."""
    damaged(store)
    said = run("verify", str(store))
    parsed = run("verify", str(store), "--json")

    assert (said.exit_code, parsed.exit_code) == (1, 1)
    assert "checksum differs" in said.output
    assert f"replaykit doctor {store}" in said.output
    assert json.loads(parsed.output)["ok"] is False


def test_a_bar_comes_only_when_it_takes_a_while() -> None:
    """Quick work shows nothing; the clock is the caller's."""
    now = [0.0]
    bar = _Bar(console(err=True), "verifying", lambda: now[0])
    bar.advance(1, 10)
    assert not bar._progress.live.is_started
    now[0] = 1.0
    bar.advance(5, 10)
    assert bar._progress.live.is_started
    assert (bar._progress.tasks[0].completed, bar._progress.tasks[0].total) == (5, 10)
    bar.stop()
    assert not bar._progress.live.is_started


# -- doctor -------------------------------------------------------------------------


def test_doctor_says_one_finding_a_line(store: Path) -> None:
    """Severity first, then where, what and what next; exit code 1, and not a byte is changed."""
    damaged(store)
    store.chmod(0o644)
    before = everything(store.parent)
    said = run("doctor", str(store))
    parsed = json.loads(run("doctor", str(store), "--json").output)

    assert said.exit_code == 1
    severities = [line.split()[0] for line in said.output.splitlines()[:-1]]
    assert severities == ["damage", "damage", "warning", "note"]
    assert f"Next: replaykit recover {store} -o NEW" in said.output
    assert said.output.splitlines()[-1].endswith("3 findings to act on. Nothing was changed.")
    assert [finding["severity"] for finding in parsed["findings"]] == severities
    assert (parsed["ok"], parsed["worst"]) == (False, "damage")
    assert everything(store.parent) == before


def test_doctor_of_a_store_that_is_well(store: Path) -> None:
    """Exit code 0."""
    said = run("doctor", str(store))

    assert (said.exit_code, said.output.splitlines()[-1]) == (0, f"ok  {store}: nothing is wrong")


def test_doctor_of_an_unreadable_store(store: Path) -> None:
    """Exit code 3, and how to save what is in it."""
    data = bytearray(store.read_bytes())
    data[3] ^= 1
    store.write_bytes(data)
    said = run("doctor", str(store))

    assert said.exit_code == 3
    assert "3 session(s) in it can be recovered" in said.output


# -- recover ------------------------------------------------------------------------


def test_recover_of_a_whole_store(store: Path) -> None:
    """Exit code 0, each session whole, the source as it was."""
    before = store.read_bytes()
    target = store.with_name("new.rpk")
    said = run("recover", str(store), "-o", str(target))

    assert said.exit_code == 0, said.output
    assert [line.split()[-1] for line in said.output.splitlines()[1:4]] == ["whole"] * 3
    assert store.read_bytes() == before
    assert run("verify", str(target)).exit_code == 0


def test_recover_says_what_is_missing(store: Path) -> None:
    """Exit code 3; the damaged store stays byte for byte."""
    damaged(store)
    before = store.read_bytes()
    target = store.with_name("new.rpk")
    said = run("recover", str(store), "-o", str(target))

    assert said.exit_code == 3
    assert "first" in said.output
    assert "lacks 3 actions" in said.output
    assert "2 of 3 sessions whole, 3 actions known to be missing" in said.output
    assert store.read_bytes() == before
    target.unlink()
    parsed = json.loads(run("recover", str(store), "-o", str(target), "--json").output)
    assert (parsed["ok"], parsed["whole_sessions"], parsed["lost_actions"]) == (False, 2, 3)
    assert [item["name"] for item in parsed["in_target"]] == ["first", "second", "third"]


def test_recover_overwrites_nothing(store: Path) -> None:
    """A usage error, and what is there stays."""
    target = store.with_name("precious")
    target.write_bytes(b"precious")
    said = run("recover", str(store), "-o", str(target))

    assert said.exit_code == 2
    assert "nothing is overwritten" in said.stderr
    assert target.read_bytes() == b"precious"


def test_recover_where_there_is_nothing(tmp_path: Path) -> None:
    """Exit code 1, and no new store."""
    alien = tmp_path / "alien"
    alien.write_bytes(b"not a recording at all " * 40)
    said = run("recover", str(alien), "-o", str(tmp_path / "new.rpk"))

    assert said.exit_code == 1
    assert "Nothing could be recovered" in said.stderr
    assert not (tmp_path / "new.rpk").exists()


def test_recover_needs_a_target(store: Path) -> None:
    """A usage error."""
    assert run("recover", str(store)).exit_code == 2


# -- compact ------------------------------------------------------------------------


def test_compact_says_sizes_and_leaves_the_sessions(store: Path) -> None:
    """Smaller without what was deleted, with the same sessions."""
    assert run("delete", str(store), "second", "--yes").exit_code == 0
    before, size = run("list", str(store), "--json").output, store.stat().st_size
    said = run("compact", str(store))

    assert said.exit_code == 0
    assert f"{size_text(size)} before, {size_text(store.stat().st_size)} after" in said.output
    assert "2 sessions kept, 1 deleted before and dropped now" in said.output
    assert store.stat().st_size < size
    assert run("list", str(store), "--json").output == before
    parsed = json.loads(run("compact", str(store), "--json").output)
    assert (parsed["sessions"], parsed["published"]) == (2, 0)


def test_compact_of_a_store_in_use_is_refused(store: Path) -> None:
    """Exit code 3 with the reason: another process writes to it; reading goes on."""
    source = """
        import sys
        from replaykit.storage.file_store import FileStore

        held = FileStore(sys.argv[1])
        print("held", flush=True)
        sys.stdin.read()
    """
    words = [sys.executable, "-c", textwrap.dedent(source), str(store)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        said = [run("compact", str(store)), run("delete", str(store), "first", "--yes")]
        reading = [run("verify", str(store)).exit_code, run("doctor", str(store)).exit_code]
        holder.stdin.close()

    assert [each.exit_code for each in said] == [3, 3]
    assert all("is locked" in each.stderr for each in said)
    assert reading == [0, 0]


def test_compact_publishes_what_a_killed_process_left(tmp_path: Path) -> None:
    """The doctor says that the next writer does: this is one."""
    source = """
        import os, signal, replaykit
        recorder = replaykit.Recorder("runs.rpk")
        recorder.start_session("killed")

        @replaykit.records("find")
        def look(query):
            return []

        look("kept")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, timeout=60)
    store = str(tmp_path / "runs.rpk")
    assert run("doctor", store).exit_code == 1
    said = run("compact", store)

    assert "published first: 1 session" in said.output
    assert run("doctor", store).exit_code == 0
    (listed,) = json.loads(run("list", store, "--json").output)
    assert (listed["name"], listed["state"], listed["action_count"]) == ("killed", "interrupted", 1)


@pytest.mark.parametrize("words", [["compact"], ["delete", "last", "--yes"]])
def test_writing_verbs_make_no_store(words: list[str], tmp_path: Path) -> None:
    """Neither where there is nothing nor of an empty file."""
    empty = tmp_path / "empty.rpk"
    empty.touch()
    for path in (tmp_path / "nothing.rpk", empty):
        assert run(words[0], str(path), *words[1:]).exit_code == 3
    assert everything(tmp_path) == {str(empty): b""}


# -- delete -------------------------------------------------------------------------


def test_delete_without_a_terminal_needs_yes(store: Path) -> None:
    """A usage error, and nothing is deleted."""
    said = run("delete", str(store), "second")

    assert said.exit_code == 2
    assert "--yes" in said.stderr
    assert len(json.loads(run("list", str(store), "--json").output)) == 3


def test_delete_says_that_bytes_stay(store: Path) -> None:
    """The session is gone from listings; how to be rid of its bytes is said."""
    said = run("delete", str(store), "second", "--yes")

    assert said.exit_code == 0
    assert f"replaykit compact {store}" in said.output
    assert [item["name"] for item in json.loads(run("list", str(store), "--json").output)] == ["first", "third"]


@pytest.mark.parametrize("before", [False, True])
def test_erase_leaves_no_byte_and_says_what_it_cannot_reach(before: bool, tmp_path: Path) -> None:
    """Of a session in the store, and of one that was deleted before, by its id."""
    path = tmp_path / "runs.rpk"
    filled(path, ("kept",))
    store = FileStore(path)
    session_id, text = uuid4(), SECRET
    store.publish(part_of(session_id, SECRET, text=text, actions=1))
    store.close()
    which = SECRET
    if before:
        assert run("delete", str(path), SECRET, "--yes").exit_code == 0
        which = str(session_id)
    assert SECRET.encode() in path.read_bytes()
    said = run("delete", str(path), which, "--erase", "--yes")

    assert said.exit_code == 0, said.stderr
    assert SECRET.encode() not in path.read_bytes()
    assert all(word in said.output for word in ("SSD", "copy-on-write", "backups"))
    assert [item["name"] for item in json.loads(run("list", str(path), "--json").output)] == ["kept"]


def test_several_sessions_of_one_name_are_an_error(tmp_path: Path) -> None:
    """A usage error that lists the ids; nothing is deleted."""
    path = tmp_path / "runs.rpk"
    ids = filled(path, ("same", "same"))
    said = run("delete", str(path), "same", "--yes")

    assert said.exit_code == 2
    assert all(str(each) in said.stderr for each in ids)
    assert run("delete", str(path), str(ids[0]), "--yes").exit_code == 0
    assert len(json.loads(run("list", str(path), "--json").output)) == 1


def test_what_is_not_there_cannot_be_deleted(store: Path) -> None:
    """By a name or an id: a usage error."""
    for which in ("fourth", str(uuid4())):
        said = run("delete", str(store), which, "--yes")
        assert (said.exit_code, "not found" in said.stderr) == (2, True)
    assert run("delete", str(store), str(uuid4()), "--erase", "--yes").exit_code == 2


def answered(words: list[str], answer: bytes) -> tuple[int, str]:
    """Run ``replaykit`` at a terminal and type *answer*; return the exit code and what was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "replaykit", *words], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    os.write(ours, answer)
    shown, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return process.returncode, shown.decode()


def test_delete_asks_at_a_terminal(store: Path) -> None:
    """It says what would go; no is no, yes is yes."""
    refused, shown = answered(["delete", str(store), "second"], b"n\n")
    assert refused == 1
    assert "second, 3 actions, of" in shown
    assert len(json.loads(run("list", str(store), "--json").output)) == 3

    agreed, _ = answered(["delete", str(store), "second"], b"y\n")
    assert agreed == 0
    assert len(json.loads(run("list", str(store), "--json").output)) == 2


# -- tail ---------------------------------------------------------------------------


def test_tail_of_an_ended_session_shows_its_last_actions(store: Path) -> None:
    """And ends at once, with the state on standard error."""
    said = run("tail", str(store), "second", "-n", "2")

    assert said.exit_code == 0
    assert [line.split()[:2] for line in said.stdout.splitlines()] == [["1", "FIND"], ["2", "FIND"]]
    assert "sealed" in said.stderr


def test_tail_as_json_is_an_object_a_line(store: Path) -> None:
    """Each with the session that it belongs to."""
    lines = [json.loads(line) for line in run("tail", str(store), "second", "--json").stdout.splitlines()]

    assert [line["sequence"] for line in lines] == [0, 1, 2]
    assert len({line["session_id"] for line in lines}) == 1


def test_tail_without_an_open_session_says_what_to_do(store: Path) -> None:
    """A usage error that names --wait."""
    said = run("tail", str(store))

    assert said.exit_code == 2
    assert "--wait" in said.stderr


def test_tail_shows_actions_while_the_session_is_open(tmp_path: Path) -> None:
    """What was there, then each as it ends; Ctrl-C ends it as it ends any program."""
    path = str(tmp_path / "runs.rpk")

    @replaykit.records("find")
    def look(query: str) -> list[str]:
        return [query]

    # A shell's background jobs ignore Ctrl-C, and so do their children.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    heeding += "from replaykit.cli import main; main()"
    words = [sys.executable, "-c", heeding, "tail", path, "--json", "--interval", "0.01"]
    with replaykit.Recorder(path) as recorder, recorder.session("watched"):
        look("before")
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
            try:
                assert tail.stdout is not None
                for query in ("before", "after", "last"):
                    assert json.loads(tail.stdout.readline())["arguments"] == {"query": query}
                    look({"before": "after", "after": "last", "last": "unseen"}[query])
                tail.send_signal(signal.SIGINT)
                _, said = tail.communicate(timeout=60)
            finally:
                tail.kill()

    assert tail.returncode == 130
    assert "Traceback" not in said


def test_tail_ends_with_the_session(tmp_path: Path) -> None:
    """With --wait it is there before the store is; it shows all and ends with exit code 0."""
    path = str(tmp_path / "runs.rpk")

    @replaykit.records("find")
    def look(query: str) -> list[str]:
        return [query]

    words = [sys.executable, "-m", "replaykit", "tail", path, "--wait", "--interval", "0.01"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        with replaykit.Recorder(path) as recorder:
            with recorder.session("watched"):
                look("first")
                assert "first" in tail.stdout.readline()
                look("second")
            rest, said = tail.communicate(timeout=60)

    assert "second" in rest
    assert "sealed  2 actions" in said
    assert tail.returncode == 0


def test_tail_takes_no_number_of_an_action(store: Path) -> None:
    """A usage error that says -n."""
    assert "-n" in run("tail", str(store), "last", "1").stderr


# -- info ---------------------------------------------------------------------------


def test_info_says_whose_the_bytes_are(store: Path) -> None:
    """Sessions, what was deleted, the largest, health and durability."""
    assert run("delete", str(store), "second", "--yes").exit_code == 0
    facts = json.loads(run("info", str(store), "--json").output)

    assert (facts["health"], facts["because"]) == ("ok", "every byte is accounted for")
    assert facts["bytes"] == store.stat().st_size
    assert facts["dead_bytes"] > 0
    assert facts["session_bytes"] + facts["dead_bytes"] <= facts["bytes"]
    assert sorted(each["name"] for each in facts["largest"]) == ["first", "third"]
    sizes = [each["bytes"] for each in facts["largest"]]
    assert sizes == sorted(sizes, reverse=True)
    assert "kill -9" in facts["durability"]


def test_info_of_a_damaged_store_says_so(store: Path) -> None:
    """In one word, with the gravest reason."""
    damaged(store)
    facts = json.loads(run("info", str(store), "--json").output)

    assert facts["health"] == "damaged"
    assert "checksum differs" in facts["because"]
    assert "replaykit doctor" in facts["because"]


# -- all of them --------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["verify", "doctor", "tail", "compact"])
def test_what_is_missing_or_alien_is_exit_3(verb: str, tmp_path: Path) -> None:
    """Nothing, somebody's file, a link, a device: a sentence each, and not a byte changed or made."""
    (tmp_path / "alien.rpk").write_bytes(b"not a recording at all " * 40)
    (tmp_path / "link.rpk").symlink_to(tmp_path / "alien.rpk")
    os.mkfifo(tmp_path / "fifo.rpk")
    before, names = everything(tmp_path), sorted(os.listdir(tmp_path))
    for name in ("nothing.rpk", "alien.rpk", "link.rpk", "fifo.rpk"):
        said = run(verb, str(tmp_path / name))
        assert (said.exit_code, len(said.stderr.splitlines())) == (3, 1), said.stderr
    assert (everything(tmp_path), sorted(os.listdir(tmp_path))) == (before, names)


@pytest.mark.parametrize("verb", READING)
def test_reading_verbs_change_nothing(verb: str, tmp_path: Path) -> None:
    """Not a byte of a damaged store with a torn end, and no name beside it."""
    path = tmp_path / "runs.rpk"
    filled(path)
    damaged(path)
    with path.open("ab") as file:
        file.write(b"\x88\x48 torn")
    before = everything(tmp_path)
    run(verb, str(path))
    run(verb, str(path), "last")

    assert everything(tmp_path) == before


def test_no_recorded_text_steers_the_terminal(tmp_path: Path) -> None:
    """Names, queries and paths with escapes and bidi, in every verb, for people and for machines."""
    path = tmp_path / "evil\x1b[31m\u202e.rpk"
    filled(path, (EVIL, EVIL + "2", "plain"), text=EVIL)
    store = FileStore(path)
    store.publish(part_of(uuid4(), EVIL + "3", lost=1))
    store.close()
    hurt = tmp_path / "hurt\x9b2J\u202e.rpk"
    hurt.write_bytes(path.read_bytes())
    damaged(hurt)
    said = [run(verb, str(each), *more) for verb in READING for each in (path, hurt) for more in ([], ["--json"])]
    said += [run("tail", str(path), EVIL), run("show", str(path), EVIL), run("delete", str(path), EVIL, "--yes")]
    said += [run("recover", str(hurt), "-o", str(tmp_path / "new\x1b.rpk")), run("compact", str(path))]
    said += [run("delete", str(path), EVIL + "2", "--erase", "--yes"), run("recover", str(hurt), "-o", str(hurt))]
    said += [run("compact", str(hurt)), run("delete", str(path), "no\x1b[31m\u202e", "--yes")]

    for each in said:
        assert each.exception is None or isinstance(each.exception, SystemExit), each.exc_info
        assert not set(each.output) & HIDDEN, each.output
        assert not set(each.stderr) & HIDDEN, each.stderr


def test_a_store_without_a_name_is_the_default_one(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``REPLAYKIT_STORE`` counts for the tools too."""
    monkeypatch.setenv("REPLAYKIT_STORE", str(store))

    for verb in ("verify", "doctor", "info", "compact"):
        assert run(verb).exit_code == 0
    assert run("tail", "second").exit_code == 0


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 << 40, "3.0 TiB")]
)
def test_sizes_are_said_as_people_say_them(size: int, shown: str) -> None:
    assert size_text(size) == shown


def test_the_exit_codes_are_in_the_help() -> None:
    """Where somebody looks who writes a script."""
    shown = run("--help").output

    assert all(code in shown for code in ("0 ok", "1 a check failed", "2 wrong", "3 a store cannot be read"))


@pytest.mark.parametrize("location", ["runs/", "notes.mv"])
def test_the_tools_work_on_every_kind_of_store(location: str, tmp_path: Path) -> None:
    """A directory and a memory's own file: looked at, followed, made smaller, deleted from, erased from, recovered."""
    store = os.path.join(tmp_path, location)

    @replaykit.records("find")
    def look(query: str) -> list[str]:
        return [query]

    opened: Any = replaykit.open(store) if location.endswith(".mv") else replaykit.Recorder(store)
    for name in ("first", "second", "third"):
        with opened.session(name):
            look(f"{SECRET} {name}")
    opened.close()

    for verb in ("verify", "doctor", "info", "compact"):
        said = run(verb, store)
        assert said.exit_code == 0, said.output + said.stderr
    assert f"{SECRET} second" in run("tail", store, "second").stdout
    assert run("delete", store, "second", "--yes").exit_code == 0
    assert run("delete", store, "third", "--erase", "--yes").exit_code == 0
    assert [item["name"] for item in json.loads(run("list", store, "--json").output)] == ["first"]
    assert not any(f"{SECRET} third".encode() in held for held in everything(tmp_path).values())
    said = run("recover", store, "-o", str(tmp_path / "new.rpk"))
    assert said.exit_code == 0, said.output + said.stderr
    assert run("verify", str(tmp_path / "new.rpk")).exit_code == 0
