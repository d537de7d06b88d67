"""
What a whole short session costs on a running event loop.

Run: ``python benchmarks/sessions.py [--quick]``.  A short session is what a
service records per request: opened, five calls, sealed.  The same block
without recording stands beside it, and plain arithmetic that takes as long:
what its slowest cases take is the machine's, not the recorder's.  All three
take turns.  Then sessions one after the other without a pause: they end faster
than they are published, and no more than some may wait, since each holds a
file open.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import warnings

import replaykit
from replaykit.recording.background import background_of

CALLS = 5
PAUSE_S = 0.002
MOST_WAITING = 2_000
"""Twice of what the background lets wait: a disk that hangs for a moment is no fault."""


@replaykit.records("find")
def find(query: str, k: int = 5) -> list[dict[str, object]]:
    """Give back 0.9 KB."""
    return [{"frame_id": n, "score": 1 / (n + 1), "title": "a title", "text": "lorem ipsum " * 9} for n in range(k)]


async def request(recorder: replaykit.Recorder, *, enabled: bool) -> float:
    """Return the milliseconds that a request's session takes on the loop."""
    begun = time.perf_counter()
    async with recorder.session("request", enabled=enabled):
        for number in range(CALLS):
            find(f"question {number}")
    return (time.perf_counter() - begun) * 1e3


def arithmetic(steps: int) -> float:
    """Return the milliseconds that some additions take."""
    begun, total = time.perf_counter(), 0
    for number in range(steps):
        total += number
    return (time.perf_counter() - begun) * 1e3


async def short_sessions(recorder: replaykit.Recorder, count: int) -> dict[str, list[float]]:
    """Return the milliseconds of requests with and without recording and of as much arithmetic, in turn."""
    warm, plain = [], []
    # Between pauses, as all that follows: a processor that was idle is slower.
    for _ in range(150):
        warm.append(await request(recorder, enabled=True))
        await asyncio.sleep(PAUSE_S)
        plain.append(arithmetic(10_000))
        await asyncio.sleep(PAUSE_S)
    steps = int(10_000 * statistics.median(warm[50:]) / statistics.median(plain[50:]))
    found: dict[str, list[float]] = {"not recorded": [], "recorded": [], "arithmetic, as long": []}
    for _ in range(count):
        for name, figures in found.items():
            is_plain = name.startswith("arithmetic")
            figures.append(arithmetic(steps) if is_plain else await request(recorder, enabled=name == "recorded"))
            await asyncio.sleep(PAUSE_S)
    return {name: sorted(figures) for name, figures in found.items()}


async def back_to_back(recorder: replaykit.Recorder, count: int) -> int:
    """Record sessions without a pause; return how many waited to be published at most."""
    most = 0
    for _ in range(count):
        await request(recorder, enabled=True)
        most = max(most, len(background_of(recorder._engine.lease.store)._ended))
    return most


def print_back_to_back(recorder: replaykit.Recorder, count: int) -> bool:
    """Print rates; return whether no more waited than may."""
    begun = time.perf_counter()
    waited = asyncio.run(back_to_back(recorder, count))
    ended = time.perf_counter()
    recorder.flush()
    drained = time.perf_counter()
    print(
        f"\n{count:,} of them without a pause: {count / (ended - begun):,.0f}/s, "
        f"{count / (drained - begun):,.0f}/s published, {waited} waited at most"
    )
    return waited <= MOST_WAITING


def main() -> int:
    """Print the tables; 1 if an action was lost, or too many sessions waited."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few sessions, for a check that it runs")
    quick = parser.parse_args().quick
    # The blocks that are not recorded stand beside an open session.
    warnings.simplefilter("ignore", replaykit.errors.ReplaykitWarning)
    with tempfile.TemporaryDirectory() as folder:
        recorder = replaykit.Recorder(f"{folder}/runs/")
        found = asyncio.run(short_sessions(recorder, 100 if quick else 2_000))
        print(f"{'a session of 5 calls on a loop':34}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
        for name, figures in found.items():
            p50, p99 = figures[len(figures) // 2], figures[int(len(figures) * 0.99)]
            print(f"{name:34}{p50:9.3f}{p99:9.3f}{figures[-1]:9.3f}")
        are_few = print_back_to_back(recorder, 300 if quick else 2_000)
        lost = sum(item.lost for item in recorder.list_sessions())
        recorder.close()
    print(f"\n{lost} actions lost")
    return 0 if are_few and not lost else 1


if __name__ == "__main__":
    raise SystemExit(main())
