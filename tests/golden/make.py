"""Makes the golden recordings of the present format: ``python tests/golden/make.py``; run once per format version."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs

import replaykit
from replaykit.cli.as_json import jsonable
from replaykit.format.entries import Gap, Opening, Part, Sealing
from replaykit.format.strict import encode_body
from replaykit.storage.file_store import FileStore
from replaykit.storage.sqlite_store import SqliteStore

HERE = Path(__file__).parent
VERSION = "1.2-draft"
BEGAN_NS = 1_700_000_000_000_000_000
PRIVATE_KIND = 64


@replaykit.records
def tool(value: Any) -> Any:
    """Hand out what comes in."""
    return value


def record(memory: replaykit.Memory, surface: replaykit.Memory | replaykit.Recorder) -> None:
    """Record into *surface* one session of every kind of call and shape of value."""
    with surface.session("golden", auto_checkpoint=3, metadata={"made_by": "make.py"}):
        frame = memory.put("Paris is the capital of France.", title="France", metadata={"n": 1})
        memory.put_many(["Rome is in Italy.", {"content": b"\x00\xff", "title": "bytes"}])
        memory.find("capital", k=5)
        memory.ask("What is the capital of France?")
        memory.update(frame, title="La France")
        memory.delete(frame)
        tool((1, {2, 3}, decimal.Decimal("1.5"), datetime.date(2026, 1, 1), 2**70, "\ud800", {1: "x"}))
        tool({"password": "hunter2-is-hidden"})
        tool("A long answer. " * 1100)
        with contextlib.suppress(replaykit.errors.FrameNotFoundError):
            memory.get(frame)


def action(sequence: int, **more: Any) -> dict[str, Any]:
    """Return an action as a pipeline would make it, at a fixed time."""
    own = {"tool": "make.py", "args_hash": bytes(32)}
    entry = {"i": sequence, "k": "tool", "nm": "tool", "src": "make.py", "t": BEGAN_NS + sequence, "d": 5, "x": own}
    return {**entry, "in": {"n": sequence}, "out": [sequence, 0.5, None, b"\xff"], **more}


def checkpoint(number: int) -> dict[str, Any]:
    """Return a checkpoint behind action *number*, with all that one can have."""
    entry = {"c": number, "i": number, "t": BEGAN_NS, "sh": bytes(range(32)), "n": 2, "w": 3, "g": 4}
    return {**entry, "lex": bytes(32), "vec": bytes(32), "ids": [1, "two"]}


def parts(number: int, state: str | None) -> Iterator[Part]:
    """Yield the parts of a session: a value of its own, holes, a late call, a repeated one, a gap, checkpoints."""
    opening = Opening(
        session_id=UUID(int=number),
        name=f"by hand {number}",
        created_ns=BEGAN_NS,
        metadata={"n": number},
        parent_session=UUID(int=99),
        start_generation=0,
    )
    large = {"text": "A value that stands outside. " * 600}
    first = [
        action(0),
        action(1, out=large, g=1, f=[1, "two"]),
        action(3, **{"in": large}, p=1),
        action(700, fl=["cut"]),
    ]
    ending = None if state is None else Sealing(state=state, ended_ns=BEGAN_NS + 9, ended_by="block", lost=1, late=1)
    yield Part(number=0, opening=opening, actions=first, checkpoints=[checkpoint(0)])
    yield Part(
        number=1,
        opening=opening,
        actions=[action(2, p=1), action(3, err={"~t": "error", "~v": ["ValueError", "no", []]})],
        checkpoints=[checkpoint(1)],
        gaps=[Gap(offset=77, reason="checksum differs", data=b"\x00damaged\xff")],
    )
    yield Part(number=2, opening=attrs.evolve(opening, resumed=True), actions=[action(701)], sealing=ending)


def fill(store: FileStore | SqliteStore) -> None:
    """Publish a sealed, an interrupted and an open session, and one that is deleted."""
    for number, state in ((1, "sealed"), (2, "interrupted"), (3, None), (4, "sealed")):
        for part in parts(number, state):
            store.publish(part)
    store.delete(UUID(int=4))


def make_file(path: Path) -> None:
    """Write a store file that has a block of each kind, the origin of a compaction and a torn end."""
    with replaykit.open(":memory:") as memory, contextlib.closing(replaykit.Recorder(path)) as recorder:
        record(memory, recorder)
    with contextlib.closing(FileStore(path)) as store:
        store.compact()
        fill(store)
        store.append_blocks([(PRIVATE_KIND, encode_body({"from": "a newer release"}))])
    with path.open("ab") as file:
        file.write(b"\x88\x48the torn end of a write")
    FileStore(path).close()


def make_memory(path: Path) -> None:
    """Write a memory's own file with the same sessions."""
    with contextlib.closing(replaykit.open(path)) as memory:
        record(memory, memory)
    with contextlib.closing(SqliteStore(path)) as store:
        fill(store)


def main() -> None:
    """Write both files, and what this release reads in them."""
    folder = Path(tempfile.mkdtemp())
    make_file(folder / f"{VERSION}.rpk")
    make_memory(folder / f"{VERSION}.mv")
    for name in (f"{VERSION}.rpk", f"{VERSION}.mv"):
        shutil.copyfile(folder / name, HERE / name)
        with replaykit.load(folder / name) as recording:
            ids = [summary.session_id for summary in recording.list_sessions()]
            expected = [jsonable(recording.get_session(session_id)) for session_id in ids]
        (HERE / f"{name}.json").write_text(json.dumps(expected, indent=1) + "\n")
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
