"""
What replaying costs beyond the calls themselves, what a played call costs, and whether many sessions give one verdict.

    python benchmarks/replay.py [--quick]

Overhead: the finds of a session, bare and replayed, in turn in one process,
on the memory as it is (`live`) and as it was (`now`); minima of several rounds,
CPU time.
Play: a session of 100,000 calls is made ready and answered with the function
absent, in order and shuffled, and one that is not recorded is missed; where vcrpy
is installed, its cassette of HTTP requests beside it, as many as it bears.
Many: sessions on two worker processes, twice.  Exits with 1 where the two
verdicts differ or a ratio leaves its wide bound.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import replaykit

WORDS = [
    f"{first}{second}" for first in "bcdfghklmnprst" for second in ("a", "el", "in", "or", "um", "ane", "ilo", "ers")
]
WIDE_RATIO = 3.0
"""What a replay may cost of the bare calls before this program fails; the aim is 1.2."""


@replaykit.records("find")
def search(query: str, k: int = 5) -> list[dict[str, Any]]:
    return [{"id": number, "score": 1.0 - number / 10, "text": f"{query} {number}"} for number in range(k)]


def seconds(call: Callable[[], Any]) -> float:
    """Return the CPU time of *call*: other programs on the machine do not count."""
    began = time.process_time()
    call()
    return time.process_time() - began


def sentence(chance: random.Random, length: int) -> str:
    return " ".join(chance.choices(WORDS, k=length))


# -- overhead -------------------------------------------------------------------------


def overhead(folder: Path, frames: int, finds: int, rounds: int) -> dict[str, float]:
    """Return the times of the bare calls and of their replays, in seconds."""
    chance = random.Random(5)
    queries = [sentence(chance, 3) for _ in range(finds)]
    with replaykit.open(folder / "notes.mv") as mv:
        mv.put_many([sentence(chance, 40) for _ in range(frames)])
        with mv.session("measured"):
            for query in queries:
                mv.find(query, k=10)

        def bare() -> None:
            for query in queries:
                mv.find(query, k=10)

        ways: dict[str, Callable[[], Any]] = {"bare": bare}
        for base in ("live", "now"):
            ways[base] = lambda base=base: mv.replay("measured", base=base)
            assert mv.replay("measured", base=base), "an untouched memory must replay wholly"
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                found[name].append(seconds(way))
    return {name: min(times) for name, times in found.items()}


# -- play -----------------------------------------------------------------------------


def played(folder: Path, count: int) -> dict[str, float]:
    """Return the seconds that a session of *count* calls takes to be ready, per played call and for a miss."""
    path = folder / "runs.rpk"
    with replaykit.Recorder(path) as recorder, recorder.session("long"):
        for number in range(count):
            search(f"query {number}")
    shuffled = random.Random(3).sample(range(count), count)
    took = {}
    with replaykit.load(path) as recording:
        took["set-up, from an open recording"] = min(
            seconds(lambda: replaykit.play(recording, session="long")) for _ in range(3)
        )
    took["set-up, from the path"] = min(seconds(lambda: replaykit.play(path, session="long")) for _ in range(3))
    for order, numbers in (("in order", range(count)), ("shuffled", shuffled)):
        with replaykit.play(path, session="long") as player:
            # Some first: the first call of a process loads the redaction rules.
            parts = [numbers[at : at + count // 10] for at in range(0, count, count // 10)]
            each = [seconds(lambda part=part: [search(f"query {number}") for number in part]) for part in parts]
            assert player.play_count == count
            took[f"a played call, {order}"] = min(each) / (count // 10)
            took["a miss"] = min(seconds(missed) for _ in range(3))
    return took


def missed() -> None:
    """Ask for what is not recorded."""
    try:
        search("query 7", k=6)
    except replaykit.errors.NoMatchError:
        return
    raise AssertionError


def vcr_played(folder: Path, count: int) -> tuple[float, float]:
    """Return vcrpy's: a cassette of *count* requests loaded, and each answered."""
    from vcr.cassette import Cassette
    from vcr.request import Request

    path = str(folder / "cassette.yaml")
    requests = [Request("GET", f"http://localhost/{number}", None, {}) for number in range(count)]
    cassette = Cassette(path)
    for number, request in enumerate(requests):
        body = {"string": f"query {number}".encode() * 20}
        cassette.append(request, {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": body})
    cassette._save()
    loaded: list[Any] = []
    setup = seconds(lambda: loaded.append(Cassette.load(path=path)))
    took = seconds(lambda: [loaded[0].play_response(request) for request in requests])
    return setup, took / count


# -- many -----------------------------------------------------------------------------


def many(folder: Path, sessions: int) -> tuple[list[float], bool]:
    """Return how long *sessions* sessions take on two workers, twice, and whether the verdicts are the same."""
    path = folder / "many.mv"
    chance = random.Random(7)
    with replaykit.open(path) as mv:
        texts = [sentence(chance, 20) for _ in range(200)]
        mv.put_many(texts)
        for number in range(sessions):
            with mv.session(f"session {number}"):
                for _ in range(2):
                    mv.find(sentence(chance, 2), k=5)
        # Other words would change every score; these change what some of the sessions saw.
        for number in range(3):
            mv.update(number + 1, " ".join(reversed(texts[number].split())))
    reports: list[replaykit.ReplayReport] = []
    times = []
    for _ in range(2):
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
            began = time.perf_counter()
            reports.append(replaykit.replay_all(path, path, executor=executor))
            times.append(time.perf_counter() - began)
    first, second = reports
    is_same = first.to_records() == second.to_records() and first.totals == second.totals
    print(f"  {first}")
    return times, is_same and len(first.results) == sessions


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="smaller: what CI runs")
    quick = parser.parse_args().quick
    failures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames, finds, rounds = (2_000, 100, 3) if quick else (5_000, 100, 5)
        times = overhead(folder, frames, finds, rounds)
        print(f"replay of {finds} finds among {frames:,} frames, us per find")
        for way, took in times.items():
            print(f"  {way:<6}{took / finds * 1e6:>10.1f}{took / times['bare']:>8.2f} x")
        failures += [f"{way} costs too much" for way in ("live", "now") if times[way] > WIDE_RATIO * times["bare"]]

        count = 5_000 if quick else 100_000
        print(f"play of {count:,} calls, CPU time")
        for what, took in played(folder, count).items():
            print(f"  {what:<34}{took * 1e6:>12,.1f} us")
        if importlib.util.find_spec("vcr") is not None:
            bears = 1_000 if quick else 5_000
            setup, each = vcr_played(folder, bears)
            print(f"  {f'vcrpy, {bears:,} requests: set-up':<34}{setup * 1e6:>12,.1f} us")
            print(f"  {'vcrpy: a played request':<34}{each * 1e6:>12,.1f} us")

        sessions = 100 if quick else 2_000
        print(f"replay_all of {sessions:,} sessions on 2 processes, twice")
        both, is_same = many(folder, sessions)
        print(f"  {both[0]:.1f} s, {both[1]:.1f} s; the same verdict: {is_same}")
        failures += [] if is_same else ["two runs came to different verdicts"]
    for failure in failures:
        print(f"FAILED: {failure}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
