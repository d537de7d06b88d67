"""
Where recorded calls can be kept: how fast, how large, and what is left after ``kill -9`` and after one flipped bit.

Every store gets the same actions (see ``actions.py``), a round of each in
turn.  The crash is a child process that acknowledges each action through a
pipe when its write has returned, and is killed.  The damage is one flipped bit
at a random place of a copy of the file; an action that comes back different
without a word is silently wrong.  "Noticed" is an error while reading or what
the store's own check says (``verify()``, ``integrity_check``, a CRC).

    python benchmarks/stores.py [--quick]

Exits with 1 if replaykit lost an acknowledged action or gave back a wrong one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Protocol

import apsw
import attrs
from actions import Action, Agent, make_actions

import replaykit
from replaykit.errors import StorageError

for _name in [name for name in os.environ if name.startswith("OTEL_")]:
    # Whatever the environment says about exporters, samplers and limits.
    del os.environ[_name]

VICTIM_ACTIONS = 3_000
"""What a child writes before it waits to be killed."""


@attrs.frozen
class Reading:
    """What a file still gives: everything that is kept of each action, by number, and whether damage was noticed."""

    kept: dict[int, Any]
    noticed: bool


class Writer(Protocol):
    """A store that is open for writing."""

    def write(self, action: Action) -> None: ...

    def close(self) -> None: ...


class Contender(Protocol):
    """A way of keeping actions in a folder."""

    @property
    def name(self) -> str: ...

    def open(self, folder: Path) -> Writer: ...

    def read(self, folder: Path) -> Reading: ...

    def content(self, kept: Any) -> tuple[str, Any, Any]:
        """Return kind, arguments and output of one action as it was read."""


# -- replaykit --------------------------------------------------------------------


class _ReplaykitWriter:
    def __init__(self, path: Path, durability: str) -> None:
        self._agent = Agent()
        self._recorder = replaykit.Recorder(path, durability=durability, on_loss="raise")
        self._calls: Any = self._recorder.wrap(
            self._agent, {"put": "put", "find": "find", "ask": "ask", "tool": "tool"}
        )
        self._block = self._recorder.session("measured")
        self._block.__enter__()

    def write(self, action: Action) -> None:
        self._agent.output = action.output
        getattr(self._calls, action.kind)(**action.arguments)

    def close(self) -> None:
        self._block.__exit__(None, None, None)
        self._recorder.close()


@attrs.frozen
class Replaykit:
    """The recorder around an object, as a user has it."""

    durability: str
    store: str = "runs.rpk"

    @property
    def name(self) -> str:
        return f"replaykit, {self.durability}"

    def open(self, folder: Path) -> Writer:
        return _ReplaykitWriter(folder / self.store, self.durability)

    def read(self, folder: Path) -> Reading:
        """Recover what a crash left, as opening the store does, and read what is there."""
        noticed = False
        if any(folder.glob("*.live")):
            with replaykit.Recorder(folder / self.store) as recorder:
                noticed = _has_gaps(recorder)
        try:
            with replaykit.load(folder / self.store, recovery="salvage") as recording:
                kept, whole = _readable_actions(recording)
                return Reading(kept, noticed or not whole or not recording.verify())
        except StorageError:
            return Reading({}, noticed=True)

    def content(self, kept: Any) -> tuple[str, Any, Any]:
        return kept.kind, kept.arguments, kept.output


def _has_gaps(recorder: replaykit.Recorder) -> bool:
    """Return whether recovery kept bytes that were no records, or calls are missing between others."""
    noticed = False
    for summary in recorder.list_sessions():
        stored: Any = recorder.store.read(summary.session_id)
        sequences = stored.sequences
        noticed |= bool(stored.gaps) or any(number != place for place, number in enumerate(sequences))
    return noticed


def _readable_actions(recording: replaykit.Recording) -> tuple[dict[int, Any], bool]:
    """
    Return the actions that can be read, and whether all could be.

    One that is flagged says itself that a part of it is gone: it is not among them.
    """
    kept: dict[int, Any] = {}
    whole = True
    for summary in recording.list_sessions():
        try:
            actions = recording.get_session(summary.session_id).actions
        except StorageError:
            whole = False
            continue
        for place in range(len(actions)):
            try:
                action = actions[place]
            except StorageError:
                whole = False
                continue
            if action.flags & {"unfinished", "cut", "damaged"}:
                whole = False
            else:
                kept[action.sequence] = action
    return kept, whole


# -- SQLite -----------------------------------------------------------------------


class _SqliteWriter:
    def __init__(self, path: Path, synchronous: str, *, hot: bool) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(f"PRAGMA synchronous={synchronous}")
        if hot:
            self._connection.execute("PRAGMA wal_autocheckpoint=0")
        self._connection.execute("CREATE TABLE actions(number INTEGER PRIMARY KEY, body JSON)")

    def write(self, action: Action) -> None:
        self._connection.execute("INSERT INTO actions VALUES(?, ?)", (action.number, action.as_json()))

    def close(self) -> None:
        self._connection.close()


@attrs.frozen
class Sqlite:
    """A table with a JSON column in WAL mode, a transaction per action; *hot* leaves all of it in the WAL."""

    synchronous: str
    hot: bool = False

    @property
    def name(self) -> str:
        return f"SQLite WAL, {self.synchronous}"

    def open(self, folder: Path) -> Writer:
        return _SqliteWriter(folder / "runs.db", self.synchronous, hot=self.hot)

    def read(self, folder: Path) -> Reading:
        kept: dict[int, Any] = {}
        try:
            with contextlib.closing(apsw.Connection(str(folder / "runs.db"))) as connection:
                checked = connection.execute("PRAGMA integrity_check").fetchall()
                noticed = checked != [("ok",)]
                rows: list[Any] = connection.execute("SELECT number FROM actions").fetchall()
                for (number,) in rows:
                    try:
                        body: Any = connection.execute("SELECT body FROM actions WHERE number=?", (number,)).get
                        kept[number] = json.loads(body)
                    except (apsw.Error, ValueError, TypeError):
                        noticed = True
        except (apsw.Error, ValueError):
            return Reading(kept, noticed=True)
        return Reading(kept, noticed)

    def content(self, kept: Any) -> tuple[str, Any, Any]:
        return kept["kind"], kept["arguments"], kept["output"]


# -- MCAP ---------------------------------------------------------------------------


class _McapWriter:
    def __init__(self, path: Path) -> None:
        from mcap.writer import CompressionType
        from mcap.writer import Writer as McapFileWriter

        self._writer = McapFileWriter(str(path), compression=CompressionType.ZSTD)
        self._writer.start()
        schema = self._writer.register_schema(name="action", encoding="jsonschema", data=b'{"type": "object"}')
        self._channel = self._writer.register_channel(topic="actions", message_encoding="json", schema_id=schema)

    def write(self, action: Action) -> None:
        now = time.time_ns()
        self._writer.add_message(
            channel_id=self._channel,
            sequence=action.number,
            log_time=now,
            publish_time=now,
            data=action.as_json().encode(),
        )

    def close(self) -> None:
        self._writer.finish()  # type: ignore[no-untyped-call]  # the library has no annotation there


class Mcap:
    """A JSON message per action in zstd chunks of the usual size, 1 MiB."""

    name = "MCAP, zstd chunks"

    def open(self, folder: Path) -> Writer:
        return _McapWriter(folder / "runs.mcap")

    def read(self, folder: Path) -> Reading:
        """Read chunk by chunk, and go on after one that does not check."""
        from mcap.records import Chunk, Message
        from mcap.stream_reader import StreamReader, breakup_chunk

        kept: dict[int, Any] = {}
        noticed = False
        with open(folder / "runs.mcap", "rb") as file:
            try:
                for record in StreamReader(file, emit_chunks=True, validate_crcs=True).records:
                    if not isinstance(record, Chunk):
                        continue
                    try:
                        for item in breakup_chunk(record, validate_crc=True):
                            if isinstance(item, Message):
                                kept[item.sequence] = (item.log_time, item.publish_time, json.loads(item.data))
                    except Exception:
                        noticed = True
            except Exception:
                # Damage shows as anything from a struct.error to a ZstdError.
                noticed = True
        return Reading(kept, noticed)

    def content(self, kept: Any) -> tuple[str, Any, Any]:
        return kept[2]["kind"], kept[2]["arguments"], kept[2]["output"]


# -- OpenTelemetry --------------------------------------------------------------------


class _SpanWriter:
    def __init__(self, path: Path, *, batched: bool) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            ConsoleSpanExporter,
            SimpleSpanProcessor,
        )

        self._file = open(path, "w")  # noqa: SIM115 - closed in `close`
        exporter = ConsoleSpanExporter(out=self._file, formatter=lambda span: span.to_json(indent=None) + "\n")
        # With the default queue of 2,048 spans a hot loop drops most of them.
        queued = BatchSpanProcessor(exporter, max_queue_size=1 << 16) if batched else None
        processor = queued or SimpleSpanProcessor(exporter)
        self._provider = TracerProvider(resource=Resource({}))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("benchmark")

    def write(self, action: Action) -> None:
        with self._tracer.start_as_current_span(action.kind) as span:
            span.set_attribute("number", action.number)
            span.set_attribute("input", json.dumps(action.arguments))
            span.set_attribute("output", json.dumps(action.output))

    def close(self) -> None:
        self._provider.shutdown()
        self._file.close()


@attrs.frozen
class Spans:
    """A span per action, as JSON lines."""

    processor: str

    @property
    def name(self) -> str:
        return f"OpenTelemetry, {self.processor}"

    def open(self, folder: Path) -> Writer:
        return _SpanWriter(folder / "spans.jsonl", batched=self.processor == "batch")

    def read(self, folder: Path) -> Reading:
        kept: dict[int, Any] = {}
        noticed = False
        for line in (folder / "spans.jsonl").read_bytes().splitlines():
            try:
                span = json.loads(line)
                kept[span["attributes"]["number"]] = span
            except (ValueError, KeyError, TypeError):
                noticed = True
        return Reading(kept, noticed)

    def content(self, kept: Any) -> tuple[str, Any, Any]:
        attributes = kept["attributes"]
        return kept["name"], json.loads(attributes["input"]), json.loads(attributes["output"])


CONTENDERS: Sequence[Contender] = (
    Replaykit("always"),
    Replaykit("group"),
    Replaykit("os"),
    Sqlite("FULL"),
    Sqlite("NORMAL"),
    Mcap(),
    Spans("batch"),
    Spans("simple"),
)


# -- how fast, how large ------------------------------------------------------------------


@attrs.define
class Speed:
    """The rounds of one contender, in actions per second, and its size."""

    written: list[float] = attrs.field(factory=list)
    drained: list[float] = attrs.field(factory=list)
    bytes_per_action: float = 0.0


def measure_round(contender: Contender, actions: Sequence[Action], speed: Speed) -> None:
    """Write all *actions* into a fresh folder, and note how long it took."""
    with tempfile.TemporaryDirectory() as name:
        writer = contender.open(Path(name))
        begun = time.perf_counter()
        for action in actions:
            writer.write(action)
        written = time.perf_counter()
        writer.close()
        drained = time.perf_counter()
        speed.written.append(len(actions) / (written - begun))
        speed.drained.append(len(actions) / (drained - begun))
        speed.bytes_per_action = folder_bytes(Path(name)) / len(actions)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in *folder*."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure_speed(actions: Sequence[Action], rounds: int) -> dict[str, Speed]:
    """Return the speeds by name; the contenders take turns."""
    speeds = {contender.name: Speed() for contender in CONTENDERS}
    for _ in range(rounds):
        for contender in CONTENDERS:
            measure_round(contender, actions, speeds[contender.name])
    return speeds


def show_speed(speeds: dict[str, Speed], actions: int, rounds: int) -> None:
    print(f"{f'{rounds} rounds of {actions:,} actions':34}{'best/s':>9}{'median/s':>10}{'drained/s':>11}{'bytes':>7}")
    for name, speed in speeds.items():
        print(
            f"{name:34}{max(speed.written):9,.0f}{statistics.median(speed.written):10,.0f}"
            f"{max(speed.drained):11,.0f}{speed.bytes_per_action:7,.0f}"
        )


# -- kill -9 ----------------------------------------------------------------------------


def be_killed(contender: Contender, folder: Path) -> None:
    """In the child: write, acknowledge each action that is written, and wait for the end."""
    writer = contender.open(folder)
    for action in make_actions(VICTIM_ACTIONS):
        writer.write(action)
        os.write(1, b".")
    signal.pause()


def acknowledged_before_kill(contender: Contender, folder: Path, at: int) -> int:
    """Kill a child once it has acknowledged *at* actions; return how many it had when it was gone."""
    command = [sys.executable, __file__, "--victim", contender.name, str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child, child.stdout:
        heard = len(child.stdout.read(at))
        child.kill()
        heard += len(child.stdout.read())
    assert heard >= at, f"{contender.name}: the child ended by itself after {heard} actions"
    return heard


def measure_kills(kills: int, random: Random) -> dict[str, Counter[str]]:
    """Return what was acknowledged, found, lost and wrong, over all kills."""
    counts = {contender.name: Counter[str]() for contender in CONTENDERS}
    written = {action.number: action for action in make_actions(VICTIM_ACTIONS)}
    for _ in range(kills):
        for contender in CONTENDERS:
            with tempfile.TemporaryDirectory() as name:
                heard = acknowledged_before_kill(contender, Path(name), random.randint(100, VICTIM_ACTIONS // 2))
                kept = contender.read(Path(name)).kept
            count = counts[contender.name]
            wrong = sum(contender.content(each) != written[number].content for number, each in kept.items())
            found = sum(number in kept for number in range(heard))
            count.update(acknowledged=heard, found=found, lost=heard - found, wrong=wrong)
    return counts


def show_kills(counts: dict[str, Counter[str]], kills: int) -> None:
    columns = ("acknowledged", "found", "lost", "wrong")
    print(f"\n{f'kill -9, {kills} of each':34}" + "".join(f"{column:>13}" for column in columns))
    for name, count in counts.items():
        print(f"{name:34}" + "".join(f"{count[column]:13,}" for column in columns))


# -- one flipped bit --------------------------------------------------------------------


@attrs.frozen
class Target:
    """A file to damage: what is beside it, and who reads it."""

    name: str
    contender: Contender
    damaged: str
    hot: bool
    """Whether the files are those of a writer that was cut off."""


TARGETS = (
    Target("replaykit, closed file", Replaykit("group"), "*.rpk", hot=False),
    Target("replaykit, live log of a dead writer", Replaykit("group"), "*.live", hot=True),
    Target("SQLite, main file", Sqlite("FULL"), "*.db", hot=False),
    Target("SQLite, hot -wal", Sqlite("FULL", hot=True), "*-wal", hot=True),
    Target("MCAP", Mcap(), "*.mcap", hot=False),
    Target("OpenTelemetry JSON lines", Spans("batch"), "*.jsonl", hot=False),
)


@attrs.define
class Damage:
    """What became of the trials of one target."""

    outcomes: Counter[str] = attrs.field(factory=Counter)
    lost: int = 0
    ever_wrong: int = 0
    """Trials in which an action came back different, noticed or not."""


def files_of(target: Target, actions: Sequence[Action]) -> dict[str, bytes]:
    """Return the files that *actions* leave, by name."""
    with tempfile.TemporaryDirectory() as name:
        writer = target.contender.open(Path(name))
        for action in actions:
            writer.write(action)
        if not target.hot:
            writer.close()
        # SQLite's -shm is of no use to whoever comes after a crash.
        found = {path.name: path.read_bytes() for path in Path(name).iterdir() if not path.name.endswith("-shm")}
        if target.hot:
            writer.close()
    return found


class Trials:
    """Damages copies of one target."""

    def __init__(self, target: Target, actions: Sequence[Action]) -> None:
        self.target = target
        self.damage = Damage()
        self._files = files_of(target, actions)
        (self._damaged,) = [name for name in self._files if Path(name).match(target.damaged)]
        self._intact = self._read(self._files).kept
        content = target.contender.content
        assert [content(self._intact[action.number]) for action in actions] == [each.content for each in actions]

    def run_one(self, random: Random) -> None:
        """Flip one bit, read, and note the outcome."""
        data = bytearray(self._files[self._damaged])
        at = random.randrange(8 * len(data))
        data[at // 8] ^= 1 << at % 8
        found = self._read({**self._files, self._damaged: bytes(data)})
        right = sum(self._intact.get(number) == each for number, each in found.kept.items())
        wrong, lost = len(found.kept) - right, len(self._intact) - right
        self.damage.lost += lost
        self.damage.ever_wrong += wrong > 0
        self.damage.outcomes[outcome_of(wrong, lost, noticed=found.noticed)] += 1

    def _read(self, files: dict[str, bytes]) -> Reading:
        with tempfile.TemporaryDirectory() as name:
            for each, data in files.items():
                (Path(name) / each).write_bytes(data)
            return self.target.contender.read(Path(name))


def outcome_of(wrong: int, lost: int, *, noticed: bool) -> str:
    if noticed:
        return "noticed"
    return "silently wrong" if wrong else "silently lost" if lost else "harmless"


def measure_damage(actions: Sequence[Action], trials: int, random: Random) -> dict[str, Damage]:
    """Return the outcomes by target; the targets take turns."""
    targets = [Trials(target, actions) for target in TARGETS]
    for _ in range(trials):
        for each in targets:
            each.run_one(random)
    return {each.target.name: each.damage for each in targets}


def show_damage(damages: dict[str, Damage], actions: int, trials: int) -> None:
    columns = ("silently wrong", "silently lost", "noticed", "harmless")
    title = f"a flipped bit, {trials} of each, {actions} actions"
    print(f"\n{title:42}" + "".join(f"{column:>16}" for column in columns) + f"{'mean lost':>11}")
    for name, damage in damages.items():
        shares = "".join(f"{damage.outcomes[column] / trials:16.1%}" for column in columns)
        print(f"{name:42}{shares}{damage.lost / trials:11.1f}")


# -- all of it ----------------------------------------------------------------------------


def problems_of(counts: dict[str, Counter[str]], damages: dict[str, Damage]) -> Iterator[str]:
    """Yield what replaykit must never do."""
    for name, count in counts.items():
        if name.startswith("replaykit") and (count["lost"] or count["wrong"]):
            yield f"{name}: {count['lost']} acknowledged actions lost, {count['wrong']} wrong after kill -9"
    for name, damage in damages.items():
        if name.startswith("replaykit") and damage.ever_wrong:
            yield f"{name}: wrong actions in {damage.ever_wrong} trials with a flipped bit"


def compare(*, quick: bool) -> int:
    """Print the three tables; 1 if replaykit lost or changed an action."""
    random = Random(1)
    count, rounds = (300, 1) if quick else (1_000, 5)
    show_speed(measure_speed(list(make_actions(count)), rounds), count, rounds)
    kills = 1 if quick else 5
    counts = measure_kills(kills, random)
    show_kills(counts, kills)
    damaged, trials = (200, 20) if quick else (400, 200)
    damages = measure_damage(list(make_actions(damaged)), trials, random)
    show_damage(damages, damaged, trials)
    problems = list(problems_of(counts, damages))
    print("\n" + ("\n".join(problems) or "replaykit lost and changed nothing"))
    return 1 if problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few trials, for a check that it runs")
    parser.add_argument("--victim", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.victim is None:
        return compare(quick=options.quick)
    name, folder = options.victim
    be_killed(next(each for each in CONTENDERS if each.name == name), Path(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
