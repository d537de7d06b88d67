"""Recorded files of several shapes, and what is in them as a reader that shares no code with ours finds it."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import cbor2

import replaykit
from replaykit.format.block import LIVE_LEVEL
from replaykit.storage.file_store import FileStore
from replaykit.storage.options import StoreOptions
from replaykit.testing.contracts import make_action, make_part

try:
    from compression import zstd
except ImportError:
    from backports import zstd

__all__ = ["SHAPES", "Acts", "Truth", "made", "padded_to", "truth_of"]

Contents = dict[bytes, dict[int, dict[str, Any]]]
"""Actions by session and sequence."""

ACTS, BLOB, CATALOG, TOMB = 3, 4, 7, 9


def _noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def _sessions(path: Path) -> None:
    with replaykit.Recorder(path, redact=()) as recorder:
        for number in range(4):
            with recorder.session(f"session {number}", metadata={"number": number}) as session:
                for step in range(5):
                    session.record("find", name="search", arguments={"q": step}, output=[_noise(60, step).hex()])


def _blobs(path: Path) -> None:
    with replaykit.Recorder(path, redact=()) as recorder:
        for number in range(2):
            with recorder.session(f"large {number}") as session:
                session.record("tool", name="small", output="x")
                session.record("tool", name="large", output=_noise(17_000, number))
                session.record("tool", name="after", output="y")


def _checkpoints(path: Path) -> None:
    with replaykit.Recorder(path, redact=()) as recorder:
        with recorder.session("checked", auto_checkpoint=2) as session:
            for step in range(9):
                session.record("tool", name="step", arguments={"n": step}, output=step)
            session.checkpoint()


def _deleted_and_compacted(path: Path) -> None:
    ids = [UUID(int=number) for number in range(1, 6)]
    store = FileStore(path)
    for session_id in ids[:3]:
        store.publish(make_part(session_id, range(6), state=None))
        store.publish(make_part(session_id, [7, 6], number=1))
    store.delete(ids[1])
    store.compact()
    for session_id in ids[3:]:
        store.publish(make_part(session_id, range(3)))
    store.delete(ids[3])
    store.close()


def _padded(path: Path) -> None:
    store = FileStore(path, options=StoreOptions(align=512))
    for number in range(1, 5):
        store.publish(make_part(UUID(int=number), range(4), text=_noise(40, number).hex()))
    store.close()


SHAPES = {
    "sessions": _sessions,
    "blobs": _blobs,
    "checkpoints": _checkpoints,
    "deleted and compacted": _deleted_and_compacted,
    "padded": _padded,
}
"""Five files as recorders leave them, by what is particular about each."""


def made(shape: str, folder: Path) -> bytes:
    """Return the bytes of the file of this *shape*."""
    path = folder / f"{shape.replace(' ', '-')}.rpk"
    SHAPES[shape](path)
    return path.read_bytes()


def padded_to(size: int, folder: Path, *, sessions: int = 8, seed: int = 1) -> bytes:
    """Return a file of about *size* bytes: *sessions*, each of blocks that do not compress, and some large values."""
    path = folder / f"{size}-{seed}.rpk"
    store = FileStore(path, options=StoreOptions(block_bytes=16 << 10, level=LIVE_LEVEL))
    room = max(200, (size - sessions * 1200) // sessions)
    for number in range(1, sessions + 1):
        noise = random.Random(seed * 1000 + number)
        with_blob = number % 4 == 0 and room > 30_000
        small = room - 17_000 if with_blob else room
        actions = [{**make_action(each), "out": noise.randbytes(220)} for each in range(max(1, small // 270))]
        if with_blob:
            actions[0]["out"] = noise.randbytes(17_000)
        part = make_part(UUID(int=number), checkpoints=[{"c": 1, "i": 0, "t": 1}])
        store.publish(attrs.evolve(part, actions=actions))
    store.close()
    return path.read_bytes()


# -- an independent reader -----------------------------------------------------------


@attrs.frozen
class Acts:
    """A block of actions: where it begins and ends, whose it is, and its actions."""

    start: int
    end: int
    session: bytes
    actions: dict[int, dict[str, Any]]


@attrs.frozen
class Truth:
    """
    What is in a file.

    Attributes:
        boundaries: Where blocks and tails begin, and the end.
        commits: The ends of the catalogs.
        tombs: Where a session was deleted.
    """

    size: int
    head_end: int
    boundaries: list[int]
    acts: list[Acts]
    commits: list[int]
    tombs: list[tuple[int, bytes]]

    def before(self, cut: int) -> Contents:
        """Return the actions of whole blocks before *cut*, less those of deleted sessions."""
        found: Contents = {}
        for block in self.acts:
            if block.end <= cut:
                found.setdefault(block.session, {}).update(block.actions)
        for at, session in self.tombs:
            if at <= cut:
                found.pop(session, None)
        return found

    def committed_before(self, cut: int) -> Contents:
        """Return what the last whole commit before *cut* commits."""
        last = max((end for end in self.commits if end <= cut), default=0)
        return self.before(last)

    @property
    def whole(self) -> Contents:
        return self.before(self.size)


def truth_of(data: bytes) -> Truth:
    """Read *data* as any CBOR tool would: a sequence of items, after the label."""
    stream = io.BytesIO(data)
    stream.seek(12)
    truth = Truth(len(data), 0, [], [], [], [])
    blobs: dict[bytes, dict[int, bytes]] = {}
    head_end = 0
    while (start := stream.tell()) < len(data):
        item = cbor2.CBORDecoder(stream, read_size=1).decode()
        end = stream.tell()
        if item == 0:
            continue
        truth.boundaries.append(start)
        if type(item) is not list:
            continue
        head_end = head_end or end
        _, kind, codec, *_, packed, _ = item
        body = cbor2.loads(zstd.decompress(packed) if codec else packed.value)
        if kind == BLOB:
            blobs.setdefault(body["h"], {})[body["q"]] = body["b"]
        elif kind == CATALOG:
            truth.commits.append(end)
        elif kind == TOMB:
            truth.tombs.append((end, body["s"]))
        elif kind == ACTS:
            truth.acts.append(Acts(start, end, body["s"], {each["i"]: _whole(each, blobs) for each in body["a"]}))
    return attrs.evolve(truth, head_end=head_end, boundaries=[*truth.boundaries, len(data)])


def _whole(entry: dict[str, Any], blobs: dict[bytes, dict[int, bytes]]) -> dict[str, Any]:
    whole = {}
    for key, value in entry.items():
        if key in ("inb", "outb"):
            pieces = blobs[value[0]]
            whole[key[:-1]] = cbor2.loads(b"".join(pieces[number] for number in sorted(pieces)))
        else:
            whole[key] = value
    return whole
