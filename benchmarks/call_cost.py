"""
What a recorded call costs the caller: bare, idle, recorded, and beside OpenTelemetry recording the same content.

OpenTelemetry runs twice: with its batches, which a killed process loses, and
with its simple processor, which writes each span to the file before the call
returns, as recording does.

All variants run in one process, those of one call interleaved in slices of a
few milliseconds, so that a slow phase of the machine hits all of them.  The table
shows microseconds per call beyond the bare call: minimum and median over the
slices.  Nothing may be lost meanwhile.

    python benchmarks/call_cost.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import dataclasses
import gc
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import replaykit
import replaykit.errors

SLICE_S = 0.003
BUDGETS = {"find": (8.0, 16.0), "ask": (25.0, 50.0), "idle": (1.0, 2.0), "unmapped": (1.0, 2.0)}
"""The design's figures, and the limits that this program enforces: twice those."""
OF_AN_OBJECT = " of an object"
BATCHED, SAFE = "OpenTelemetry", "OpenTelemetry, kill-safe"

_TITLES = [f"A title of some length, number {number}" for number in range(5)]
_TEXTS = [f"The capital of country {number} is a city on a river that has many bridges. " * 2 for number in range(5)]
_ANSWER = "Paris is the capital of France, and it lies on the Seine between two woods. " * 265


def find(query: str, k: int = 5) -> list[dict[str, Any]]:
    return [
        {"frame_id": number, "score": 0.9 - number / 10, "title": _TITLES[number], "text": _TEXTS[number]}
        for number in range(k)
    ]


@dataclasses.dataclass
class Found:
    """What a memory may give in place of a map."""

    frame_id: int
    score: float
    title: str
    text: str


def find_objects(query: str, k: int = 5) -> list[Found]:
    return [Found(number, 0.9 - number / 10, _TITLES[number], _TEXTS[number]) for number in range(k)]


def ask(question: str) -> dict[str, Any]:
    return {"answer": _ANSWER, "model": "extractive", "sources": [1, 2, 3]}


def put(content: str) -> int:
    return 7


async def find_async(query: str, k: int = 5) -> list[dict[str, Any]]:
    return find(query, k)


async def find_waiting(query: str, k: int = 5) -> list[dict[str, Any]]:
    await asyncio.sleep(0)
    return find(query, k)


def stream(count: int) -> Iterator[int]:
    yield from range(count)


async def stream_async(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


class Notes:
    """What a wrapped object is measured on."""

    def find(self, query: str, k: int = 5) -> list[dict[str, Any]]:
        return find(query, k)

    def ask(self, question: str) -> dict[str, Any]:
        return ask(question)

    def put(self, content: str) -> int:
        return put(content)

    def unmapped(self, content: str) -> int:
        return put(content)


class OnItself(Notes):
    """What is recorded on the object itself: its class pays for it."""


# -- measuring ----------------------------------------------------------------


Batch = Callable[[int], None]
"""Makes so many calls."""


class Variant:
    """One way of calling; *enter* is held around each slice and must be cheap beside it."""

    def __init__(self, group: str, name: str, batch: Batch) -> None:
        self.group = group
        self.name = name
        self.batch = batch
        self.calls = 1
        self.samples: list[float] = []

    def calibrate(self) -> None:
        self.batch(20)
        started = time.perf_counter()
        self.batch(50)
        self.calls = max(5, int(SLICE_S / max(1e-7, (time.perf_counter() - started) / 50)))

    def sample(self) -> None:
        started = time.perf_counter()
        self.batch(self.calls)
        self.samples.append((time.perf_counter() - started) / self.calls * 1e6)


def repeated(function: Callable[..., Any], *args: Any) -> Batch:
    def batch(calls: int) -> None:
        for _ in range(calls):
            function(*args)

    return batch


def drained(function: Callable[..., Any], *args: Any) -> Batch:
    def batch(calls: int) -> None:
        for _ in range(calls):
            for _ in function(*args):
                pass

    return batch


def awaited(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *args: Any) -> Batch:
    def batch(calls: int) -> None:
        async def run() -> None:
            for _ in range(calls):
                await function(*args)

        loop.run_until_complete(run())

    return batch


def drained_async(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *args: Any) -> Batch:
    def batch(calls: int) -> None:
        async def run() -> None:
            for _ in range(calls):
                async for _ in function(*args):
                    pass

        loop.run_until_complete(run())

    return batch


# -- OpenTelemetry --------------------------------------------------------------


class Telemetry:
    """The same content as spans in a file of JSON lines, batched or each at once."""

    def __init__(self, path: Path, *, is_safe: bool) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

        self._file = open(path, "w")  # noqa: SIM115 - closed in `close`
        exporter = ConsoleSpanExporter(out=self._file, formatter=lambda span: span.to_json(indent=None) + "\n")
        self._provider = TracerProvider()
        self._provider.add_span_processor(
            SimpleSpanProcessor(exporter) if is_safe else BatchSpanProcessor(exporter, max_queue_size=1 << 16)
        )
        self._tracer = self._provider.get_tracer("benchmark")

    def traced(self, function: Callable[..., Any], dumps: Callable[[Any], str] = json.dumps) -> Callable[..., Any]:
        tracer, name = self._tracer, function.__name__

        def call(*args: Any, **kwargs: Any) -> Any:
            with tracer.start_as_current_span(name) as span:
                span.set_attribute("input", json.dumps([args, kwargs]))
                result = function(*args, **kwargs)
                span.set_attribute("output", dumps(result))
                return result

        return call

    def traced_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        tracer, name = self._tracer, function.__name__

        async def call(*args: Any, **kwargs: Any) -> Any:
            with tracer.start_as_current_span(name) as span:
                span.set_attribute("input", json.dumps([args, kwargs]))
                result = await function(*args, **kwargs)
                span.set_attribute("output", json.dumps(result))
                return result

        return call

    def traced_stream(self, function: Callable[..., Any]) -> Callable[..., Any]:
        tracer, name = self._tracer, function.__name__

        def call(*args: Any, **kwargs: Any) -> Any:
            with tracer.start_as_current_span(name) as span:
                span.set_attribute("input", json.dumps([args, kwargs]))
                items = []
                for item in function(*args, **kwargs):
                    items.append(item)
                    yield item
                span.set_attribute("output", json.dumps(items))

        return call

    def flush(self) -> None:
        self._provider.force_flush()

    def close(self) -> None:
        self._provider.shutdown()
        self._file.close()


# -- the variants -----------------------------------------------------------------


def variants(folder: Path, stack: ExitStack) -> tuple[list[Variant], Callable[[], int], Callable[[], None]]:
    """Return all variants, what ends the recording and counts what was lost, and what waits for what they leave."""
    recorder = stack.enter_context(replaykit.Recorder(folder / "runs.rpk", on_loss="ignore"))
    traced = {
        BATCHED: Telemetry(folder / "spans.jsonl", is_safe=False),
        SAFE: Telemetry(folder / "safe.jsonl", is_safe=True),
    }
    for telemetry in traced.values():
        stack.callback(telemetry.close)
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    notes = recorder.wrap(Notes())
    handle = recorder.session("measured", adopt=False)
    # Open in a context of its own: here the calls are nobody's, and idle.
    contextvars.copy_context().run(handle.__enter__)
    recorded = handle.carry
    rows: list[tuple[str, str, Batch]] = []
    for name, function, argument in (
        ("find", find, "the capital"),
        ("ask", ask, "which capital?"),
        ("put", put, "x" * 200),
    ):
        decorated = replaykit.records(name)(function)
        plain = getattr(Notes(), name)
        wrapped = getattr(notes, name)
        rows += [
            (name, "bare", repeated(function, argument)),
            (name, "decorated, idle", repeated(decorated, argument)),
            (name, "decorated, recorded", recorded(repeated(decorated, argument))),
            (name + OF_AN_OBJECT, "bare", repeated(plain, argument)),
            (name + OF_AN_OBJECT, "wrapped, idle", repeated(wrapped, argument)),
            (name + OF_AN_OBJECT, "wrapped, recorded", recorded(repeated(wrapped, argument))),
            *((name, label, repeated(each.traced(function), argument)) for label, each in traced.items()),
        ]
    instrumented = recorder.instrument(OnItself())
    with_fields = partial(json.dumps, default=dataclasses.asdict)
    rows += [
        ("five dataclasses", "bare", repeated(find_objects, "the capital")),
        (
            "five dataclasses",
            "decorated, recorded",
            recorded(repeated(replaykit.records("find")(find_objects), "the capital")),
        ),
        *(
            ("five dataclasses", label, repeated(each.traced(find_objects, with_fields), "the capital"))
            for label, each in traced.items()
        ),
        ("find of an object", "instrumented, recorded", recorded(repeated(instrumented.find, "the capital"))),
        ("unmapped method", "bare", repeated(Notes().unmapped, "x")),
        ("unmapped method", "wrapped, counted", recorded(repeated(notes.unmapped, "x"))),
    ]
    for name, coroutine in (("async find", find_async), ("async find that waits", find_waiting)):
        decorated = replaykit.records("find")(coroutine)
        rows += [
            (name, "bare", awaited(loop, coroutine, "the capital")),
            (name, "decorated, idle", awaited(loop, decorated, "the capital")),
            (name, "decorated, recorded", recorded(awaited(loop, decorated, "the capital"))),
            *((name, how, awaited(loop, each.traced_async(coroutine), "the capital")) for how, each in traced.items()),
        ]
    streamed = replaykit.records("find")(stream)
    rows += [
        ("generator of 10", "bare", drained(stream, 10)),
        ("generator of 10", "decorated, recorded", recorded(drained(streamed, 10))),
        *(("generator of 10", how, drained(each.traced_stream(stream), 10)) for how, each in traced.items()),
        ("async generator of 10", "bare", drained_async(loop, stream_async, 10)),
        (
            "async generator of 10",
            "decorated, recorded",
            recorded(drained_async(loop, replaykit.records("find")(stream_async), 10)),
        ),
    ]

    def end() -> int:
        handle.__exit__(None, None, None)
        recorder.flush()
        return handle.result.lost

    def settle() -> None:
        traced[BATCHED].flush()
        recorder.flush()

    return [Variant(*row) for row in rows], end, settle


def measure(found: list[Variant], seconds: float, settle: Callable[[], None]) -> None:
    """Sample all variants, those of one call side by side; *settle* waits for what they leave to do behind them."""
    families: dict[str, list[Variant]] = {}
    for variant in found:
        families.setdefault(variant.group.removesuffix(OF_AN_OBJECT), []).append(variant)
    for family in families.values():
        for variant in family:
            variant.calibrate()
        settle()
        gc.collect()
        until = time.perf_counter() + seconds / len(families)
        while time.perf_counter() < until:
            for variant in family:
                variant.sample()


# -- the table ------------------------------------------------------------------


def beyond_bare(found: list[Variant]) -> list[tuple[Variant, float, float]]:
    bare = {variant.group: variant for variant in found if variant.name == "bare"}
    return [
        (
            variant,
            min(variant.samples) - min(bare[variant.group].samples),
            statistics.median(variant.samples) - statistics.median(bare[variant.group].samples),
        )
        for variant in found
    ]


def times_cheaper(rows: list[tuple[Variant, float, float]], peer: str) -> dict[int, float]:
    """Return how many times as much *peer* adds as each recorded variant, by the variant's id."""
    theirs = {variant.group: least for variant, least, _ in rows if variant.name == peer}
    found = {}
    for variant, least, _ in rows:
        other = theirs.get(variant.group.removesuffix(OF_AN_OBJECT))
        if other is not None and variant.name.endswith("recorded"):
            found[id(variant)] = other / least
    return found


def show(rows: list[tuple[Variant, float, float]]) -> None:
    batched, safe = times_cheaper(rows, BATCHED), times_cheaper(rows, SAFE)
    print(f"{'':47} {'':8} {'':8} {'':8}  times cheaper than OpenTelemetry")
    print(f"{'call':22} {'how':24} {'min us':>8} {'+min':>8} {'+median':>8}  {'batched':>8} {'kill-safe':>9}")
    for variant, least, middle in rows:
        line = f"{variant.group:22} {variant.name:24} {min(variant.samples):8.2f}"
        if variant.name != "bare":
            line += f" {least:+8.2f} {middle:+8.2f}"
        if id(variant) in batched:
            line += f"  {batched[id(variant)]:8.1f} {safe[id(variant)]:9.1f}"
        print(line)


def over_limit(rows: list[tuple[Variant, float, float]]) -> list[str]:
    problems = []
    for variant, least, _ in rows:
        kind = variant.group.split(" ")[0]
        name = "idle" if variant.name.endswith("idle") else kind if variant.name.endswith("ed") else ""
        if name in BUDGETS and least > BUDGETS[name][1]:
            problems.append(f"{variant.group}, {variant.name}: +{least:.1f} us, limit +{BUDGETS[name][1]:.0f}")
    return problems


STREAMS_LEAST = 0.6
"""Ten items that are kept one by one cost about what OpenTelemetry's one span does: they may be so much dearer."""


def dearer_than_opentelemetry(rows: list[tuple[Variant, float, float]]) -> list[str]:
    """Return the recorded calls that add more than OpenTelemetry: a ratio, which a slow machine leaves alone."""
    ratios = times_cheaper(rows, BATCHED)
    return [
        f"{variant.group}, {variant.name}: dearer than OpenTelemetry"
        for variant, _, _ in rows
        if ratios.get(id(variant), 1.0) < (STREAMS_LEAST if "generator" in variant.group else 1.0)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds, for a check that it runs")
    options = parser.parse_args()
    # The idle calls are told that a session is open elsewhere.
    warnings.simplefilter("ignore", replaykit.errors.ReplaykitWarning)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        found, end, settle = variants(Path(folder), stack)
        measure(found, 4.0 if options.quick else 40.0, settle)
        rows = beyond_bare(found)
        lost = end()
    show(rows)
    assert lost == 0, f"{lost} actions were lost"
    print("\n".join(over_limit(rows)) or "within twice the design's budgets")
    problems = dearer_than_opentelemetry(rows)
    print("\n".join(problems), end="")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
