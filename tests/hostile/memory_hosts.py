"""A small memory with all that one can have in its file, ways to damage it, and all that one can do with it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import replaykit
from replaykit.errors import ReplaykitError
from replaykit.memory.engine import Engine
from replaykit.testing.embedders import HashedNgrams

__all__ = ["EMBEDDER", "damaged", "leaks", "make_host", "tables_of"]

EMBEDDER = HashedNgrams(8)

Call = Callable[[Engine], Any]


def make_host(path: Path) -> None:
    """Make a memory with updates, deletes, a fork, a pruning, an erasure and vectors at *path*, without a log."""
    with replaykit.open(path, embedder=EMBEDDER) as memory:
        for number in range(6):
            memory.put(f"the river runs to stone {number}", title=f"river {number}", metadata={"n": number})
        memory.put(b"\x00\xff raw", title="bytes", uri="file:///raw")
        memory.put("once more", dedupe=True)
        memory.update(2, "a mountain instead")
        memory.delete(3)
        memory.fork(path.with_name("branch.mv")).close()
        memory.prune(before=4)
        memory.put("gone for good")
        memory.update(5, title="another title")
        memory.erase(9)
        memory.delete(4)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def tables_of(path: Path) -> dict[str, list[str]]:
    """Return the columns of each table of the memory that holds rows itself, those of the full-text index included."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name LIKE 'memory%' ORDER BY name"
        ).fetchall()
        return {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for (name,) in names}


def damaged(path: Path, *statements: str) -> bool:
    """Run *statements* on a file as any program could; return whether SQLite lets them through."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            for statement in statements:
                connection.execute(statement)
        except sqlite3.Error:
            return False
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return True


READS: dict[str, Call] = {
    "len": len,
    "iterate": lambda engine: list(engine.frames()),
    "get": lambda engine: [engine.get(frame_id) for frame_id in (1, 2)],
    "bytes": lambda engine: engine.get(7),
    "contains": lambda engine: 3 in engine,
    "lex": lambda engine: engine.find("river mountain raw", mode="lex"),
    "vec": lambda engine: engine.find("river", mode="vec"),
    "hybrid": lambda engine: engine.find('the "stone', k=2, mode="hybrid"),
    "where": lambda engine: engine.find("river", where={"n": {"$gte": 1}}),
    "where equal": lambda engine: engine.find("river", mode="vec", where={"n": 1}),
    "ask": lambda engine: engine.ask("where does the river run?"),
    "snapshot": lambda engine: tuple(engine.snapshot(with_ids=True)[0].frame_ids),
    "late ids": lambda engine: len(tuple(engine.snapshot(with_ids=False)[0].frame_ids)),
    "status": Engine.vector_status,
    "lineage": lambda engine: engine.lineage,
    "last change": lambda engine: [engine.last_change(frame_id, 5) for frame_id in (2, 3, 9)],
    "hashes": lambda engine: engine.state_hash_at(6),
}

WRITES: dict[str, Call] = {
    "put": lambda engine: engine.put("a river more", metadata={"n": 9}),
    "dedupe": lambda engine: engine.put("a river more", metadata={"n": 9}, dedupe=True),
    "update": lambda engine: engine.update(1, title="new"),
    "update bytes": lambda engine: engine.update(7, metadata={"n": 1}),
    "delete": lambda engine: engine.delete(6),
    "restore": lambda engine: engine.restore(8),
    "reembed": Engine.reembed,
    "erase": lambda engine: engine.erase([2, 8]),
    "prune": lambda engine: engine.prune([9], 11),
    "go on": lambda engine: engine.go_on_from([40]),
    "reembed anew": lambda engine: engine.reembed(HashedNgrams(4)),
}

PAST = (0, 4, 8, 12, 14)


def leaks(path: Path) -> Iterator[str]:
    """
    Do all that can be done with a copy of *path*; yield what raises anything but our errors, and what wrote unasked.
    """
    data = path.read_bytes()
    yield from _leaks_of("read only", lambda: _exercise(path, read_only=True))
    if path.read_bytes() != data:
        yield "reading changed the file"
    work = path.with_name("work.mv")
    shutil.copyfile(path, work)
    yield from _leaks_of("writing", lambda: _exercise(work, read_only=False))
    for extra in path.parent.glob("work.mv*"):
        extra.unlink()


def _leaks_of(name: str, call: Callable[[], Any]) -> Iterator[str]:
    try:
        found = call()
    except ReplaykitError:
        return
    except Exception as error:
        yield _described(name, error)
    else:
        if isinstance(found, list):
            yield from (f"{name}: {leak}" for leak in found if isinstance(leak, _Leak))


class _Leak(str):
    """What one call did wrong."""


def _described(name: str, error: Exception) -> str:
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = "" if at is None else f" ({Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno})"
    return f"{name}: {type(error).__name__}: {str(error)[:100]}{place}"


def _exercise(path: Path, *, read_only: bool) -> list[Any]:
    calls = {**READS, **_past_calls(path), **({} if read_only else WRITES)}
    found: list[Any] = []
    with replaykit.open(path, embedder=EMBEDDER, read_only=read_only) as memory:
        engine = memory._frames
        bisect = {"bisect": lambda _: memory.bisect("river", good=4), "prune all": lambda _: memory.prune()}
        for name, call in {**calls, **bisect}.items():
            found += map(_Leak, _leaks_of(name, lambda call=call: call(engine)))
    return found


def _past_calls(path: Path) -> dict[str, Call]:
    calls: dict[str, Call] = {f"at {moment}": lambda engine, moment=moment: _then(engine, moment) for moment in PAST}
    return {**calls, "fork": lambda engine: _forked(engine, path.with_name("made.mv"))}


def _then(engine: Engine, moment: int) -> None:
    with engine.at(moment) as then:
        for call in ("len", "iterate", "lex", "vec"):
            with contextlib.suppress(ReplaykitError):
                READS[call](then)


def _forked(engine: Engine, target: Path) -> None:
    try:
        with engine.fork(str(target)) as branch:
            branch.put("river in a branch")
            list(branch.frames())
    finally:
        for extra in target.parent.glob(f"{target.name}*"):
            extra.unlink()
