"""Blocks and records with right checksums and wrong contents: a typed error or a safe reading."""

from __future__ import annotations

import contextlib
import tracemalloc
from pathlib import Path
from typing import Any
from uuid import UUID

import ormsgpack
import pytest
from effort import Figure, effort, sampled
from hostile.forging import SESSION, Forgery, acts_body, at_most_seconds, card, plain_session
from hostile.live_logs import recovered
from hostile.memory_disk import MemoryBytes
from hostile.reading import salvaged
from hostile.samples import made, truth_of

import replaykit
from replaykit.digests import completed
from replaykit.errors import DamagedError, NotAStoreError, ReplaykitError, StorageError
from replaykit.format import records
from replaykit.format.actions import action_from_entry
from replaykit.format.block import Block
from replaykit.format.segment import ACTS, CKPT, GAP, OPEN, PART, SEAL, TOMB
from replaykit.format.strict import decode_body
from replaykit.format.thaw import thaw
from replaykit.regression.text import text_of_session
from replaykit.regression.writing import recording_bytes
from replaykit.storage.damaged_segments import surveyed
from replaykit.storage.recovering import recover_into
from replaykit.storage.segment_file import SegmentFile

WRONG: dict[str, Any] = {
    "nothing": None,
    "a truth": True,
    "a negative": -1,
    "the lowest": -(2**63),
    "the highest": 2**64 - 1,
    "a float": 1.5,
    "no number": float("nan"),
    "a text": "x",
    "bytes": b"x",
    "a list": [1, "x"],
    "a map": {"x": 1},
    "16 bytes": bytes(16),
}
ACTION_FIELDS = ("i", "t", "k", "nm", "src", "ih", "oh", "ip", "op", "f", "d", "in", "out", "err", "p", "g", "fl", "x")
CARD_FIELDS = (
    "s",
    "name",
    "t0",
    "t1",
    "st",
    "n",
    "c",
    "dur",
    "by",
    "lost",
    "late",
    "gaps",
    "meta",
    "par",
    "parts",
    "log",
)
CKPT_FIELDS = ("c", "i", "t", "sh", "n", "w", "g", "lex", "vec", "ids")


def read_everything(path: Path) -> None:
    """Look at all that a user can look at; only our errors may come."""
    for recovery in ("prefix", "salvage", "strict"):
        with contextlib.suppress(ReplaykitError):
            with replaykit.load(path, recovery=recovery) as recording:
                recording.verify()
                for summary in recording.list_sessions():
                    repr(summary)
                    with contextlib.suppress(ReplaykitError):
                        look_at(recording.get_session(summary.session_id))


def look_at(session: Any) -> None:
    repr(session)
    for action in session.actions:
        repr(action)
        _ = (action.timestamp_secs, action.duration_ms, action.kind, action.action_type.name, sorted(action.flags))
        _ = (len(action.input_hash), action.input_preview[:3], list(action.affected_frames), action.arguments.keys())
    for checkpoint in session.checkpoints:
        _ = (checkpoint.timestamp_secs, list(checkpoint.snapshot.frame_ids), len(checkpoint.state_hash))
    session.to_records()
    assert all(line.replace("\t", "").isprintable() for line in text_of_session(session))
    _ = (session.created_secs, session.ended_secs, dict(session.metadata))
    assert recording_bytes("a test", [(session, None)], metadata=session.metadata)


def forged_with(entry: dict[str, Any] | None = None, checkpoint: Any = None, **says: Any) -> bytes:
    forgery = Forgery()
    opening = forgery.add(OPEN, {"s": SESSION.bytes, "t": 1})
    entries = [{"i": 0, "k": "tool", "t": 1, "d": 1, **(entry or {})}]
    acts = forgery.add(ACTS, acts_body(entries))
    places = []
    if checkpoint is not None:
        ckpt = forgery.add(CKPT, acts_body([checkpoint], key="c"))
        places = [ckpt.offset, ckpt.size]
    columns = {"o": [acts.offset], "z": [acts.size], "f": [0], "n": [1], "h": []}
    seal = forgery.add(SEAL, {"s": SESSION.bytes, "open": [opening.offset, opening.size], "idx": columns, "ck": places})
    forgery.catalog([{"pt": 1, "at": [seal.offset, seal.size], "card": {**card(c=len(places) // 2), **says}}])
    return forgery.bytes()


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_a_field_of_the_wrong_type_is_a_typed_error(value: Any, tmp_path: Path, figure: Figure) -> None:
    """In every field of an action, a card and a checkpoint, in every mode."""
    path = tmp_path / "forged.rpk"
    forged = [forged_with({key: value}) for key in ACTION_FIELDS]
    forged += [forged_with(**{key: value}) for key in CARD_FIELDS]
    whole = {"c": 1, "i": 0, "t": 1}
    forged += [forged_with(checkpoint={**whole, key: value}) for key in CKPT_FIELDS]
    taken = sampled(range(len(forged)), 1500)
    for number in taken:
        path.write_bytes(forged[number])
        read_everything(path)
        assert path.read_bytes() == forged[number]
    figure("G19", f"{len(taken)} of {len(forged)} forged files")


def test_a_field_that_is_missing_is_a_typed_error(tmp_path: Path) -> None:
    """A checkpoint of nothing, an action of nothing."""
    path = tmp_path / "forged.rpk"
    for checkpoint in ({}, {"c": 1}, {"c": 1, "i": 0}, [], None, 5):
        path.write_bytes(forged_with(checkpoint=checkpoint))
        read_everything(path)
    forgery = Forgery()
    plain_session(forgery, entries=[{}])
    path.write_bytes(forgery.bytes())
    read_everything(path)


BODIES: list[Any] = [
    *WRONG.values(),
    {},
    {"s": bytes(15)},
    {"s": bytes(16), "idx": 5},
    {"s": SESSION.bytes, "open": [0, 0]},
    {"s": SESSION.bytes, "open": [12, 2**63], "idx": {}},
    {"s": SESSION.bytes, "open": [12, 50], "idx": {}, "prev": [12, 50]},
    {"s": SESSION.bytes, "open": [12, 50], "idx": {"o": [0], "z": [9], "f": [0], "n": [1], "h": [[0]]}},
    {"s": SESSION.bytes, "open": [12, 50], "idx": {"o": [0], "z": [9], "f": [0], "n": [1], "h": [{}]}},
    {"s": SESSION.bytes, "open": [12, 50], "idx": {"o": [-5], "z": [9], "f": [0], "n": [1], "h": []}},
    {"s": SESSION.bytes, "open": [12, 50], "idx": {"o": [12, 0], "z": [50, 50], "f": [0, 0], "n": [9, 9], "h": []}},
    {"s": SESSION.bytes, "open": [12, 50], "idx": dict.fromkeys("ozfnh", []), "tree": [2**64 - 1, b"", 0, b""]},
    {"s": SESSION.bytes, "open": [12, 50], "idx": dict.fromkeys("ozfnh", []), "ck": [12], "gp": [12, 50]},
    {"n": 1 << 40, "base": 0, "add": [{"pt": 1, "s": bytes(16)}]},
    {"n": 1, "base": 0, "add": [{"pt": 1, "s": bytes(16)}] * 5},
    {"n": 1, "base": 0, "add": [5]},
    {"n": 2, "base": 13, "add": [{"pt": 1, "s": bytes(16)}]},
    {"n": 1, "base": 0, "add": [{"pt": 1, "at": [13, 1 << 40], "card": card()}]},
    {"n": 1, "base": 0, "add": [{"pt": 1, "at": [1, 1], "card": card(n=1 << 40)}]},
    {"n": 1, "base": 0, "add": [{"pt": 2**64 - 1, "at": [1, 1], "card": card()}]},
]


@pytest.mark.parametrize("kind", [OPEN, ACTS, 4, CKPT, SEAL, 7, GAP, TOMB, 12, PART, 99])
def test_any_body_under_any_kind_is_a_typed_error(kind: int, tmp_path: Path) -> None:
    """And a commit that names it is one too."""
    path = tmp_path / "forged.rpk"
    for body in BODIES:
        forgery = Forgery()
        place = forgery.add(kind, body)
        if kind == 7:
            forgery.fake_tail(place.offset, forgery.writer.previous[:4])
        else:
            forgery.catalog([{"pt": 1, "at": [place.offset, place.size], "card": card()}])
        path.write_bytes(forgery.bytes())
        with at_most_seconds(20):
            read_everything(path)


@pytest.mark.parametrize(
    "lengths", [b"", b"\0\0\0", b"\xff" * 4, b"\0\0\0\1" * 9, bytes(4) * 5, b"\0\0\0\x05\xff\xff\xff\xff"]
)
def test_forged_lengths_cut_nothing_out_of_place(lengths: bytes, tmp_path: Path) -> None:
    """The lengths must fit the entries, all of them."""
    forgery = Forgery()
    plain_session(forgery, l=lengths)
    path = tmp_path / "forged.rpk"
    path.write_bytes(forgery.bytes())
    with replaykit.load(path) as recording:
        assert not recording.verify()
        with pytest.raises(StorageError):
            list(recording.get_session(SESSION).actions)
    read_everything(path)


@pytest.mark.parametrize(
    "piece",
    [
        {"n": 3, "b": b"abc"},
        {"n": 1 << 60, "b": b"abc"},
        {"n": -1, "b": b"abc"},
        {"n": 3, "of": 1 << 60, "q": 1 << 60, "b": b"abc"},
        {"n": 3, "b": "abc"},
        {"n": 0, "b": b""},
    ],
)
def test_a_blob_that_is_not_what_its_hash_says_is_refused(piece: dict[str, Any], tmp_path: Path) -> None:
    """Salvage gives the action without it, and says so."""
    forgery = Forgery()
    blob = forgery.add(4, {"s": SESSION.bytes, "h": bytes(32), "q": 0, "of": 1, **piece})
    entry = {"i": 0, "k": "tool", "t": 1, "d": 1, "outb": [bytes(32), 3]}
    plain_session(forgery, entries=[entry], b=[bytes(32), blob.offset, blob.size])
    path = tmp_path / "forged.rpk"
    path.write_bytes(forgery.bytes())
    with replaykit.load(path) as recording, pytest.raises(DamagedError):
        list(recording.get_session(SESSION).actions)
    with replaykit.load(path, recovery="salvage") as recording:
        (action,) = recording.get_session(SESSION).actions
        assert "damaged" in action.flags and action.output is None


# -- places and files ----------------------------------------------------------------------


def test_blocks_of_another_file_or_place_are_no_ghosts(tmp_path: Path, figure: Figure) -> None:
    """Spliced in or moved, a block is damage: its sync value or its place is wrong."""
    mine, other = made("sessions", tmp_path), made("padded", tmp_path)
    truth, foreign = truth_of(mine), truth_of(other)
    ghosts = 0
    for at in truth.boundaries[2:]:
        for block in foreign.acts[:2]:
            spliced = mine[:at] + other[block.start : block.end] + mine[at:]
            found = salvaged(spliced)
            ghosts += sum(1 for session in found if session not in truth.whole)
        first = truth.acts[0]
        moved = mine[:at] + mine[first.start : first.end] + mine[at:]
        for session, actions in salvaged(moved).items():
            assert actions.items() <= truth.whole[session].items()
    figure("G19", f"{ghosts} ghosts")
    assert ghosts == 0


def test_a_recorded_copy_of_the_file_gives_no_ghosts_after_damage(tmp_path: Path, figure: Figure) -> None:
    """An action that recorded the bytes of its own file, then a flip in each byte of the block around it."""
    path = tmp_path / "own.rpk"
    with replaykit.Recorder(path, redact=()) as recorder:
        with recorder.session("inner") as session:
            session.record("tool", name="f", output="x")
        inner = session.id
        copy = path.read_bytes()
        with recorder.session("outer") as session:
            session.record("tool", name="read_file", output=copy)
        outer = session.id
    data = path.read_bytes()
    truth = truth_of(data)
    assert copy[200:400] in data or truth.whole[outer.bytes][0]["out"] == copy
    tried = 0
    for at in range(len(copy), len(data), max(1, 400 // effort(400))):
        flipped = bytearray(data)
        flipped[at] ^= 0x10
        for found in (salvaged(bytes(flipped)),):
            assert set(found) <= {inner.bytes, outer.bytes}
            assert all(actions.items() <= truth.whole[each].items() for each, actions in found.items())
        tried += 1
    figure("G19", f"{tried} flips, 0 ghosts")


def test_recovery_of_a_forged_file_leaves_it_and_verifies(tmp_path: Path) -> None:
    """Whatever can be read of it is copied; the forged file stays byte for byte."""
    path, target = tmp_path / "forged.rpk", tmp_path / "new.rpk"
    for entry in ({}, {"t": "x"}, {"fl": 5}, {"x": 5}, {"k": "newer"}):
        data = forged_with(entry)
        path.write_bytes(data)
        with contextlib.suppress(ReplaykitError):
            recover_into(path, target)
        assert path.read_bytes() == data
        target.unlink(missing_ok=True)


SENSELESS: list[tuple[int, Any]] = [
    (ACTS, {"i": 0, "t": 1, "d": 1}),
    (ACTS, {"i": 0, "k": 5}),
    (ACTS, {"i": 0, "k": "tool", "fl": 5, "outb": [bytes(32), 3]}),
    (ACTS, {"i": "x", "k": "tool"}),
    (CKPT, {"c": "x", "i": 0, "t": 1}),
    (CKPT, {}),
]


@pytest.mark.parametrize(("kind", "entry"), SENSELESS)
def test_senseless_entries_of_one_session_cost_no_other(kind: int, entry: dict[str, Any], tmp_path: Path) -> None:
    """Salvage and recovery take their block as damage."""
    honest = UUID(int=8)
    forgery = Forgery()
    forgery.add(OPEN, {"s": SESSION.bytes, "t": 1})
    forgery.add(kind, acts_body([entry], key="a" if kind == ACTS else "c"))
    forgery.add(OPEN, {"s": honest.bytes, "t": 1})
    forgery.add(ACTS, acts_body([{"i": 0, "k": "tool", "t": 1, "d": 1}], honest))
    path, target = tmp_path / "forged.rpk", tmp_path / "new.rpk"
    path.write_bytes(forgery.bytes())
    with replaykit.load(path, recovery="salvage") as recording:
        assert [each.sequence for each in recording.get_session(honest).actions] == [0]
    recover_into(path, target)
    with replaykit.load(target) as recording:
        assert [each.sequence for each in recording.get_session(honest).actions] == [0]


# -- values -----------------------------------------------------------------------------------


def colliding(count: int) -> list[Any]:
    """Return stored values whose hashes are all equal."""
    return [{"~t": "int", "~v": [hex((2**61 - 1) * (each + 1))]} for each in range(count)]


@pytest.mark.parametrize("kind", ["set", "frozenset", "dict"])
def test_keys_made_to_collide_cost_no_quadratic_time(kind: str) -> None:
    """A container of them is lost, the session is not; one of as many honest keys is read."""
    count = 4_000
    items = colliding(count)
    content = [[key, 1] for key in items] if kind == "dict" else items
    with at_most_seconds(20):
        assert isinstance(thaw({"~t": kind, "~v": content}), replaykit.Opaque)
    honest = [[each, 1] for each in range(count)] if kind == "dict" else list(range(count))
    assert len(thaw({"~t": kind, "~v": honest})) == count


@pytest.mark.parametrize(
    "name", ["scalar", "array", "datetime", "decimal", "struct", "error", "enum", "path", "dict", "int"]
)
@pytest.mark.parametrize(
    "content",
    [
        [],
        [[]],
        ["(" * 50, [1], b"x"],
        ["i4,i4", [1], b"\0" * 8],
        ["O", [1], b"\0" * 8],
        ["V0", [1], b""],
        ["i4", [2**62, 2**62], b""],
        ["f8", [-1], b"\0" * 8],
        ["\0", "\0", "\0"],
        ["2020-01-01T00:00:00", "../../etc/passwd"],
        ["1e999999999"],
        [{"~t": "set", "~v": [[]]}] * 3,
        [None, None, None],
        ["(2,3)i4", [1], bytes(24)],
        ["replaykit.model.Hit", {"frame_id": []}],
    ],
)
def test_a_typed_value_with_any_content_comes_back_as_something(name: str, content: list[Any]) -> None:
    """Total: what makes no sense is opaque."""
    thaw({"~t": name, "~v": content})


GADGETS = [
    {"~t": "struct", "~v": ["os.system", {"command": "touch pwned"}]},
    {"~t": "struct", "~v": ["subprocess.Popen", {"args": ["touch", "pwned"]}]},
    {"~t": "enum", "~v": ["builtins.eval", "name", "__import__('os').system('touch pwned')"]},
    {"~t": "object", "~v": ["pickle.loads", {"id": "cos\nsystem\n(S'touch pwned'\ntR."}]},
    {"~t": "error", "~v": ["builtins.SystemExit", "m", [1]]},
    {"__reduce__": ["os.system", ["touch pwned"]], "lc": 1, "type": "constructor", "id": ["os", "system"]},
    {"py/object": "os.system", "py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["touch pwned"]}]},
    "!!python/object/apply:os.system ['touch pwned']",
    b"\x80\x04\x95cposix\nsystem\nX\x0b\x00\x00\x00touch pwned\x85R.",
]


@pytest.mark.parametrize("gadget", GADGETS)
def test_what_other_formats_would_run_is_plain_data(gadget: Any, tmp_path: Path) -> None:
    """Names of classes and functions are text."""
    path = tmp_path / "forged.rpk"
    path.write_bytes(forged_with({"out": gadget, "in": {"x": gadget}, "err": gadget}))
    read_everything(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["forged.rpk"]


# -- live logs that lie --------------------------------------------------------------------------

OPENING = {
    "sid": SESSION.bytes,
    "name": "forged",
    "t": 1,
    "meta": {},
    "red": "",
    "cap": "full",
    "par": None,
    "gen": None,
}
STORE = Forgery().bytes()


def log_of(*bodies: bytes) -> bytes:
    return b"".join(map(records.sealed, bodies))


def recover_log(log: bytes) -> tuple[dict[int, Any], list[Any], Any]:
    with at_most_seconds(30):
        actions, gaps, found, disk = recovered(SESSION, STORE, log)
    assert found is not None
    assert f"memory.rpk.{SESSION.hex}.live" not in disk.files, "it was not recovered"
    return actions, gaps, found


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_a_log_with_a_wrong_field_is_recovered_around_it(value: Any, figure: Figure) -> None:
    """The record stands in a gap where it makes no sense; the entries after it are there."""
    after = records.map_body(records.ENTRY, {"i": 5, "k": "tool", "t": 1, "d": 1})
    opening = records.map_body(records.OPEN, OPENING)
    whole = {"i": 1, "k": "tool", "t": 1, "d": 1}
    cases = [log_of(records.map_body(records.OPEN, {**OPENING, key: value}), after) for key in OPENING]
    cases += [log_of(opening, records.map_body(records.ENTRY, {**whole, key: value}), after) for key in ACTION_FIELDS]
    for key in CKPT_FIELDS:
        checkpoint = {"c": 1, "i": 0, "t": 1, key: value}
        cases.append(log_of(opening, records.map_body(records.CHECKPOINT, checkpoint), after))
    for key in ("n", "row"):
        cases.append(log_of(opening, records.map_body(records.DEFINE, {"n": 1, "row": {}, key: value}), after))
    ending = {"state": "sealed", "ended_ns": 2, "metadata": {}, "lost": 0, "late": 0}
    for key in (*ending, "by", "ended_by"):
        cases.append(log_of(opening, after, records.map_body(records.END, {**ending, key: value})))
    cases.append(log_of(opening, records.map_body(records.NOTE, {"x": value}), after))
    taken = sampled(range(len(cases)), 2000)
    for number in taken:
        actions, _, found = recover_log(cases[number])
        assert 5 in actions
        assert found.session_id == SESSION
    figure("G19", f"{len(taken)} of {len(cases)} forged logs, 0 left behind")


@pytest.mark.parametrize(
    "payload", [b"\xc1", b"\xff" * 9, b"\xdd\xff\xff\xff\xff", b"\x91" * 600, ormsgpack.packb("x") * 3, b"\xc7\x00\x7f"]
)
def test_a_call_with_any_payload_is_recovered_around_it(payload: bytes) -> None:
    """Packed arguments and results that are none cost their own action only."""
    rows = [{}, {"kind": "find", "name": "f", "source": "s"}, {"kind": 5, "name": [], "paths": {"q": 1}}]
    after = records.map_body(records.ENTRY, {"i": 5, "k": "tool", "t": 1, "d": 1})
    for row in rows:
        call = records.action_body(
            records.ACTION, flags=0, operation=1, sequence=1, parent=-1, time_ns=1, arguments=payload, result=payload
        )
        log = log_of(
            records.map_body(records.OPEN, OPENING), records.map_body(records.DEFINE, {"n": 1, "row": row}), call, after
        )
        actions, _, _ = recover_log(log)
        assert 5 in actions


def test_a_log_cannot_speak_for_another_session() -> None:
    """Its name says whose it is; an opening of another session is damage."""
    other = UUID(int=99)
    log = log_of(
        records.map_body(records.OPEN, {**OPENING, "sid": other.bytes}),
        records.map_body(records.ENTRY, {"i": 5, "k": "tool", "t": 1, "d": 1}),
    )
    actions, gaps, found = recover_log(log)
    assert found.session_id == SESSION
    assert (list(actions), len(gaps)) == ([5], 1)


def test_calls_with_numbers_out_of_range_are_gaps() -> None:
    """Sequences and times of 64 bits that no recorder counts to."""
    bodies = [
        records.action_body(records.ACTION, flags=255, operation=2**32 - 1, sequence=sequence, parent=-5, time_ns=time)
        for sequence in (-1, -(2**63), 2**63 - 1)
        for time in (-(2**63), 2**63 - 1)
    ]
    after = records.map_body(records.ENTRY, {"i": 5, "k": "tool", "t": 1, "d": 1})
    define = records.map_body(records.DEFINE, {"n": 2**32 - 1, "row": {"kind": "tool", "name": "f", "source": ""}})
    for body in bodies:
        actions, _, _ = recover_log(log_of(records.map_body(records.OPEN, OPENING), define, body, after))
        assert 5 in actions


def test_nothing_of_a_recording_is_no_store() -> None:
    """An empty survey is an error of its own."""
    with pytest.raises(NotAStoreError):
        surveyed(MemoryBytes(bytes(10_000)))


LENGTHS = [bytes((major << 5 | 24 + step,)) + (size).to_bytes(1 << step, "big") for major in (2, 3, 4, 5)
           for step, size in ((1, 2**16 - 1), (2, 2**16), (2, 2**31), (3, 2**62))]  # fmt: skip


def test_a_huge_length_in_any_place_of_any_body_costs_nothing(tmp_path: Path, figure: Figure) -> None:
    """In front of any byte of what recorders wrote: refused before it is allocated."""
    bodies = []
    for shape in ("checkpoints", "deleted and compacted"):
        segment = SegmentFile(MemoryBytes(made(shape, tmp_path)))
        blocks = segment.scan(segment.head.end, segment.size())
        bodies += [block.body() for block in blocks if isinstance(block, Block)]
    cases = 0
    tracemalloc.start()
    try:
        for body in bodies:
            for at in sampled(range(len(body)), 400):
                for head in LENGTHS:
                    with contextlib.suppress(DamagedError):
                        decode_body(body[:at] + head + body[at:])
                    cases += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    figure("G19", f"{cases} bodies, {peak >> 10} KiB at most")
    assert peak < 16 << 20


@pytest.mark.parametrize("kind", ["find", "put", "tool"])
@pytest.mark.parametrize("content", [[], [1], [10**12], ["x"], [b"\xff"], {}, None], ids=repr)
def test_a_text_that_no_recorder_has_written_is_none(kind: str, content: Any) -> None:
    """What is shown of a call is read without its content, and without making room for what that claims."""
    stored = {"~t": "text", "~v": content}
    entry = {"i": 0, "k": kind, "t": 1, "d": 0, "in": {"query": stored, "content": stored}, "out": stored}

    with at_most_seconds(5):
        action = action_from_entry(completed(entry))

    assert (action.sequence, action.kind) == (0, kind)
