"""
The process that gets killed.

It imports replaykit once, then forks per request line, before any store is
opened, so that a kill costs milliseconds.  A request is a JSON map on one
line; what a child has to say goes into the named pipe that the request names.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import replaykit
from replaykit.format import records
from replaykit.format.values import pack
from replaykit.memory.engine import Engine
from replaykit.redactors import make_redactor
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.opening import open_store
from replaykit.storage.recovery import recover

__all__: list[str] = []

Request = dict[str, Any]
Say = Callable[[dict[str, Any]], None]


class Notebook:
    """A memory of the simplest kind."""

    def put(self, content: str) -> str:
        return f"note {content}"

    def find(self, query: str, k: int = 3) -> list[dict[str, Any]]:
        return [{"id": f"{query}/{index}", "score": 1.0 / (index + 1)} for index in range(k)]


@replaykit.records("tool")
def shout(text: str) -> dict[str, Any]:
    """A tool whose answer follows from its argument."""
    return {"said": text.upper(), "length": len(text)}


@replaykit.records("tool")
def wait_inside(say: Any, reader: int) -> None:
    """A tool that never comes back."""
    say({"inside": True})
    os.read(reader, 1)


class KillingFiles(SystemFiles):
    """The disk of a process that is killed when it asks for the operation number *at*; half of an append is done."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._left = at
        self.is_armed = False
        self.append = self._append  # type: ignore[method-assign]

    def _next(self) -> bool:
        if not self.is_armed:
            return False
        self._left -= 1
        return self._left < 0

    def _append(self, handle: int, data: bytes) -> int:
        if self._next():
            os.write(handle, data[: len(data) // 2])
            _die()
        return os.write(handle, data)

    def sync(self, handle: int) -> None:
        if self._next():
            _die()
        super().sync(handle)

    def remove(self, path: str) -> None:
        if self._next():
            _die()
        super().remove(path)

    def truncate(self, handle: int, size: int) -> None:
        if self._next():
            _die()
        super().truncate(handle, size)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# -- what a child does ---------------------------------------------------------


def record(request: Request, say: Say) -> None:
    """Record put, find and tool calls in several threads for ever; say each one that has returned."""
    recorder: Any
    if request["kind"] == "memory":
        recorder = notes = replaykit.open(request["store"], durability=request["durability"])
    else:
        recorder = replaykit.Recorder(request["store"], durability=request["durability"])
        notes = recorder.wrap(Notebook(), {"put": "put", "find": "find"})
    if request.get("resume"):
        say({"session": str(recorder.resume_session(request["resume"]))})
    else:
        say({"session": str(recorder.start_session(request["name"]))})
    threads = [threading.Thread(target=_calls, args=(notes, number, say)) for number in range(request["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _calls(notes: Any, thread: int, say: Say) -> None:
    for number in range(1_000_000):
        token = f"t{thread}n{number}"
        text = token + " " + "padding " * (number % 40)
        if number % 3 == 0:
            said: Any = notes.put(text)
        elif number % 3 == 1:
            said = [dict(hit) if isinstance(hit, dict) else hit.frame_id for hit in notes.find(text)]
        else:
            said = shout(text)
        say({"token": token, "kind": ("put", "find", "tool")[number % 3], "said": said})


def hang(request: Request, say: Say) -> None:
    """Be inside of one call when the kill comes."""
    recorder = replaykit.Recorder(request["store"])
    recorder.start_session("hanging")
    shout("before")
    reader, _ = os.pipe()
    wait_inside(say, reader)


def hold(request: Request, say: Say) -> None:
    """Have an open session, and wait."""
    recorder = replaykit.Recorder(request["store"])
    say({"session": str(recorder.start_session("held"))})
    shout("held")
    say({"held": True})
    signal.pause()


def end(request: Request, say: Say) -> None:
    """End a session and be killed at a file operation of its publishing; said is whether it was."""
    layer = KillingFiles(request["at"])
    recorder = replaykit.Recorder(request["store"])
    recorder._engine.lease.opened = FileStore(request["store"], files=layer)
    with recorder.session("ending") as session:
        for number in range(5):
            shout(f"call {number}")
        say({"session": str(session.id)})
        # From here on: END, the part, its sync, the removal of the log.
        layer.is_armed = True
    say({"left": True})
    recorder.flush()
    say({"survived": True})


def end_only(request: Request, say: Say) -> None:
    """Be killed after the END record, when nothing of the session is published."""

    class Silent(FileStore):
        def publish(self, part: Any) -> None:
            say({"publishing": True})
            signal.pause()

    recorder = replaykit.Recorder(request["store"])
    recorder._engine.lease.opened = Silent(request["store"])
    with recorder.session("ended") as session:
        shout("one")
        say({"session": str(session.id)})
    recorder.flush()


def recover_store(request: Request, say: Say) -> None:
    """Recover a store and be killed at a file operation of that."""
    layer = KillingFiles(request["at"])
    store = FileStore(request["store"], files=layer)
    layer.is_armed = True
    recover(store)
    say({"survived": True})


def tear(request: Request, say: Say) -> None:
    """Leave a log whose last record is torn in the middle."""
    recorder = replaykit.Recorder(request["store"])
    say({"session": str(recorder.start_session("torn"))})
    shout("whole")
    log = next(iter(open_store(request["store"]).logs()))
    record = records.sealed(records.map_body(records.NOTE, {"never": "whole"}))
    with open(log.path, "ab", buffering=0) as file:
        file.write(record[: len(record) - 1])
    say({"torn": True})
    _die()


def write(request: Request, say: Say) -> None:
    """Write into a memory for ever, one frame after another; say each call that has returned."""
    memory = replaykit.open(request["store"])
    if request["recorded"]:
        memory.start_session("writing")
    calls: dict[str, Callable[[int], Any]] = {
        "put": lambda number: memory.put(f"qq{number}z put"),
        "update": lambda number: memory.update(number, f"qq{number}z update"),
        "delete": memory.delete,
        "erase": memory.erase,
    }
    say({"opened": True})
    for number in range(request["first"], 1_000_000):
        calls[request["kind"]](number)
        say({"done": number})


def rewind(request: Request, say: Say) -> None:
    """Write, then fork, restore or prune, for ever; say what is begun, and each state that a call has returned with."""
    engine = Engine(request["store"])
    chance = random.Random(request["seed"])
    said = [_state_of(engine, say)]
    for number in itertools.count():
        for write in (_put_some, _change_some):
            write(engine, chance)
            said.append(_state_of(engine, say))
        _REWINDS[request["does"]](engine, chance, said, f"{request['store']}.{request['seed']}.{number}.branch.mv", say)
        said.append(_state_of(engine, say))


def _state_of(engine: Engine, say: Say) -> dict[str, Any]:
    snapshot, digest = engine.snapshot(with_ids=False)
    state = {"generation": snapshot.generation, "hash": digest.hex()}
    say(state)
    return state


def _put_some(engine: Engine, chance: random.Random) -> None:
    engine.put_many(f"frame {chance.random()} " + "word " * chance.randrange(200) for _ in range(20))


def _change_some(engine: Engine, chance: random.Random) -> None:
    ids = engine.frame_ids_at(engine.generation)
    engine.update(chance.choice(ids), f"changed {chance.random()}")
    engine.delete(chance.choice(ids))


def _fork(engine: Engine, chance: random.Random, said: list[dict[str, Any]], path: str, say: Say) -> None:
    state = chance.choice(said)
    say({"begun": "fork"})
    engine.fork(path, at=state["generation"]).close()
    say({"forked": path, "at": state})


def _restore(engine: Engine, chance: random.Random, said: list[dict[str, Any]], path: str, say: Say) -> None:
    state = chance.choice(said)
    say({"begun": "restore"})
    engine.restore(state["generation"])
    say({"restored": state["hash"]})


def _prune(engine: Engine, chance: random.Random, said: list[dict[str, Any]], path: str, say: Say) -> None:
    said[:] = chance.sample(said[:-1], k=min(3, len(said) - 1)) + said[-1:]
    say({"begun": "prune", "kept": [state["generation"] for state in said]})
    engine.prune([state["generation"] for state in said], engine.generation)
    say({"pruned": True})


_REWINDS = {"fork": _fork, "restore": _restore, "prune": _prune}


TASKS = {
    "record": record, "hang": hang, "hold": hold, "end": end, "end_only": end_only,
    "recover": recover_store, "tear": tear, "write": write, "rewind": rewind,
}  # fmt: skip


def serve() -> None:
    """Fork a child per line of standard input; say its process id, then how it ended."""
    # What each child would load by itself, a hundred milliseconds each time.
    make_redactor(("secrets",)).prepare()
    importlib.import_module("apsw")
    records.sealed(pack({}))
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _child(request)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(status, flush=True)


def _child(request: Request) -> None:
    status = 1
    try:
        pipe = os.open(request["pipe"], os.O_WRONLY)
        TASKS[request["task"]](request, lambda said: os.write(pipe, json.dumps(said).encode() + b"\n"))
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    serve()
