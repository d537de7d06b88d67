"""
The embedded memory beside memvid-sdk and chromadb: putting many, putting one, finding; then a million frames.

    pip install -e '.[bench]'
    python benchmarks/memory.py [--quick] [--million] [--json]

All get the same texts and queries (see ``texts.py``), in turn.  A peer that is
slow puts as much as it can in its time; how much that was is shown, and its
finds are in that many frames.  chromadb compares vectors, which here are a
bag of words that costs next to nothing: its own model would be on top.  The
processor's time stands beside the clock's, which says little on a busy machine;
the budgets stand beside our figures.  Exits with 1 if a text or an action was
lost, or if a count (never a time) is past its budget.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import attrs
from contenders import Contender, Opened, contenders
from texts import queries, texts

import replaykit

MILLION_BATCH = 50_000
CHECKPOINT_CHANGES = 100
CHECKPOINT_BYTES = 1_024


@attrs.frozen(kw_only=True)
class Sizes:
    """How much is put and measured; *peer_s* is the time of a peer in each part."""

    many: int
    rounds: int
    single: int
    found_in: int
    million: int
    queries: int
    checkpoints: int
    openings: int
    peer_s: float


FULL = Sizes(
    many=10_000,
    rounds=5,
    single=1_000,
    found_in=100_000,
    million=1_000_000,
    queries=24,
    checkpoints=20,
    openings=7,
    peer_s=30,
)
QUICK = Sizes(
    many=1_000, rounds=2, single=50, found_in=2_000, million=5_000, queries=5, checkpoints=3, openings=2, peer_s=2
)


# -- figures --------------------------------------------------------------------------


class Report:
    """All figures of a run, and what went wrong."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self.rows: list[dict[str, Any]] = []
        self.problems: list[str] = []

    def heading(self, part: str, *columns: str) -> None:
        """Begin a table."""
        self._print(f"\n{part:44}" + "".join(f"{column:>12}" for column in columns))

    def row(self, part: str, name: str, **figures: float | None) -> None:
        """Add a line; None is a figure that there is none of."""
        self.rows.append({"part": part, "name": name, **figures})
        self._print(f"{name:44}" + "".join(map(_cell, figures.values())))

    def note_load(self) -> None:
        """Say how many processes share this machine's processors."""
        load, processors = os.getloadavg()[0], os.cpu_count() or 1
        self.rows.append({"part": "machine", "name": "load", "load": load, "processors": processors})
        self._print(f"\nload {load:.1f} on {processors} processors")

    def demand(self, is_right: bool, problem: str) -> None:
        """Note *problem* unless *is_right*."""
        if not is_right:
            self.problems.append(problem)

    def _print(self, line: str) -> None:
        if not self._quiet:
            print(line, flush=True)


def _cell(figure: float | None) -> str:
    if figure is None:
        return f"{'':12}"
    return f"{figure:12,.0f}" if figure >= 1_000 or figure == int(figure) else f"{figure:12.3f}"


@attrs.frozen
class Cost:
    """What calls took: seconds on the clock, and of the processor."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


def cost(call: Callable[..., object], *args: object) -> Cost:
    """Return what one call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    call(*args)
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def at_share(samples: Sequence[float], share: float) -> float:
    """Return the figure below which *share* of them are."""
    ascending = sorted(samples)
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))]


def spread(samples: Sequence[Cost]) -> dict[str, float]:
    """Return the least, the p50 and the p99 in milliseconds, and the p50 of the processor's time."""
    wall = [sample.wall_s * 1e3 for sample in samples]
    cpu_p50 = at_share([sample.cpu_s * 1e3 for sample in samples], 0.5)
    return {"least": min(wall), "p50": at_share(wall, 0.5), "p99": at_share(wall, 0.99), "cpu_p50": cpu_p50}


# -- (a) putting many -----------------------------------------------------------------


def fill(contender: Contender, memory: Opened, wanted: Sequence[str], limit_s: float) -> tuple[int, Cost]:
    """Put all of *wanted*, by a peer as many as fit into *limit_s*; return how many, and what it took."""
    done, taken = 0, Cost()
    # A list cannot be cut short once it was given: a peer shows first how fast it is.
    size = 10 if contender.is_peer else contender.at_once
    while done < len(wanted) and (not contender.is_peer or taken.wall_s < limit_s):
        batch = wanted[done : done + size]
        taken += cost(memory.put_many, batch)
        done += len(batch)
        fitting = int(done / taken.wall_s * max(0.0, limit_s - taken.wall_s))
        size = contender.at_once if not contender.is_peer else max(1, min(size * 8, fitting, contender.at_once))
    return done, taken


def measure_many(folder: Path, sizes: Sizes, report: Report) -> None:
    """Report texts a second into a fresh memory."""
    wanted = list(texts(sizes.many))
    rates: dict[str, list[Cost]] = {}
    counts: dict[str, int] = {}
    for _ in range(sizes.rounds):
        for contender in contenders():
            with opened(contender, folder) as memory:
                done, taken = fill(contender, memory, wanted, sizes.peer_s / sizes.rounds)
                demand_whole(report, contender, memory, wanted[:done])
            rates.setdefault(contender.name, []).append(Cost(taken.wall_s / done, taken.cpu_s / done))
            counts[contender.name] = done
    report.heading(f"put_many, {sizes.many:,} texts", "most /s", "median /s", "per cpu s", "budget", "texts")
    for name, found in rates.items():
        budget = 10_000 if name == "replaykit" else None
        rate = {
            "most": 1 / min(one.wall_s for one in found),
            "median": 1 / at_share([one.wall_s for one in found], 0.5),
            "per_cpu_s": 1 / min(one.cpu_s for one in found),
        }
        report.row("put_many", name, **rate, budget=budget, texts=counts[name])


@contextlib.contextmanager
def opened(contender: Contender, folder: Path) -> Iterator[Opened]:
    """Open a fresh memory in a folder of its own inside *folder*, and close it."""
    memory = contender.open(Path(tempfile.mkdtemp(dir=folder)))
    try:
        yield memory
    finally:
        memory.close()


def demand_whole(report: Report, contender: Contender, memory: Opened, put: Sequence[str]) -> None:
    """Check that all that was put is there; of ours also that texts are found word for word."""
    report.demand(memory.count() == len(put), f"{contender.name}: {memory.count()} of {len(put)} texts are there")
    if contender.is_peer:
        return
    for text in Random(3).sample(put, min(20, len(put))):
        report.demand(text in memory.find(text), f"{contender.name}: a text is not found by its words: {text!r}")


# -- (b) putting one ------------------------------------------------------------------


def measure_single(folder: Path, sizes: Sizes, report: Report) -> None:
    """Report the milliseconds of one put."""
    wanted = list(texts(sizes.single))
    samples: dict[str, list[Cost]] = {}
    with contextlib.ExitStack() as stack:
        field = [(one, stack.enter_context(opened(one, folder))) for one in contenders()]
        for number, text in enumerate(wanted):
            for contender, memory in field:
                mine = samples.setdefault(contender.name, [])
                if not contender.is_peer or sum(one.wall_s for one in mine) < sizes.peer_s:
                    mine.append(cost(memory.put, text))
                    report.demand(
                        number % 100 > 0 or memory.count() == len(mine), f"{contender.name}: a single put is lost"
                    )
    report.heading("put, one text", "least ms", "p50 ms", "p99 ms", "cpu p50", "budget p50", "puts")
    for name, mine in samples.items():
        budget = None if contender_is_peer(name) else 1.0
        report.row("put", name, **spread(mine), budget=budget, puts=len(mine))


def contender_is_peer(name: str) -> bool:
    """Return whether *name* is somebody else's memory."""
    return not name.startswith("replaykit")


# -- (c) finding ----------------------------------------------------------------------


def measure_finding(folder: Path, sizes: Sizes, report: Report) -> None:
    """Report the milliseconds of a find, for each class of queries."""
    wanted = list(texts(sizes.found_in))
    asked = queries(wanted[:20_000], sizes.queries)
    with contextlib.ExitStack() as stack:
        field: list[tuple[str, Opened, int]] = []
        for contender in contenders():
            memory = stack.enter_context(opened(contender, folder))
            done, _ = fill(contender, memory, wanted, sizes.peer_s)
            field.append((contender.name, memory, done))
        report_finds(report, "find", field, asked, budget=5.0)


def report_finds(
    report: Report,
    part: str,
    field: Sequence[tuple[str, Opened, int]],
    asked: dict[str, list[str]],
    *,
    budget: float,
) -> None:
    """Find all queries in all memories, in turn, twice; report the second time."""
    columns = ("least ms", "p50 ms", "p99 ms", "cpu p50", "budget p50", "frames", "refused")
    report.heading(f"{part}: 2 to 4 words, k=10", *columns)
    everything: dict[str, list[Cost]] = {}
    for name, listed in asked.items():
        find_all(field, listed)
        samples = find_all(field, listed)
        for who, _, frames in field:
            everything.setdefault(who, []).extend(samples[who])
            refused = len(listed) - len(samples[who])
            report.row(part, f"{name}: {who}", **spread(samples[who]), budget=None, frames=frames, refused=refused)
            report.demand(contender_is_peer(who) or not refused, f"{who}: {refused} queries were refused")
    for who, _, frames in field:
        limit = None if contender_is_peer(who) else budget
        report.row(part, f"all four, as many of each: {who}", **spread(everything[who]), budget=limit, frames=frames)


def find_all(field: Sequence[tuple[str, Opened, int]], listed: Sequence[str]) -> dict[str, list[Cost]]:
    """Return the milliseconds of each query in each memory; one that a memory refuses is left out."""
    samples: dict[str, list[Cost]] = {who: [] for who, _, _ in field}
    for query in listed:
        for who, memory, _ in field:
            # Some take the words and, or and not for operators.
            with contextlib.suppress(Exception):
                samples[who].append(cost(memory.find, query))
    return samples


# -- (d) a million --------------------------------------------------------------------

_OPENING = """
import sys, time
begun = time.perf_counter()
begun_cpu = time.process_time()
import replaykit
with replaykit.open(sys.argv[1], create=False) as memory:
    count = len(memory)
    first = time.perf_counter() - begun
    first_cpu = time.process_time() - begun_cpu
begun, begun_cpu = time.perf_counter(), time.process_time()
with replaykit.open(sys.argv[1], create=False) as memory:
    again = len(memory)
    print(first, first_cpu, time.perf_counter() - begun, time.process_time() - begun_cpu, again, count)
"""


def measure_million(folder: Path, sizes: Sizes, report: Report) -> None:
    """Report on a memory of a million frames: building, opening, checkpoints, finds and bytes."""
    place = folder / "million"
    place.mkdir()
    path = place / "notes.mv"
    sample: list[str] = []
    built, text_bytes = Cost(), 0
    with replaykit.open(path) as memory:
        arriving = texts(sizes.million)
        while batch := list(islice(arriving, MILLION_BATCH)):
            sample = sample or batch[:20_000]
            text_bytes += sum(map(len, batch))
            built += cost(memory.put_many, batch)
    report.heading(f"{sizes.million:,} frames", "", "per cpu s", "budget")
    rates = {"rate": sizes.million / built.wall_s, "per_cpu_s": sizes.million / built.cpu_s}
    report.row("million", "put_many, texts a second", **rates, budget=10_000)
    report.row("million", "bytes on disk a frame", bytes=path.stat().st_size / sizes.million)
    report.row("million", "bytes of text a frame", bytes=text_bytes / sizes.million)
    report_openings(path, sizes, report)
    report_checkpoints(path, sizes, report)
    with contextlib.closing(contenders()[0].open(place)) as again:
        asked = queries(sample, sizes.queries)
        report_finds(report, "find in the million", [("replaykit", again, again.count())], asked, budget=30.0)


def report_openings(path: Path, sizes: Sizes, report: Report) -> None:
    """Report how long opening takes in a fresh process, and once its code is loaded."""
    # Compiled code is kept, as it is where a package was installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(path.parent.parent / "compiled")
    command = [sys.executable, "-c", _OPENING, str(path)]
    rows = []
    for _ in range(sizes.openings + 1):
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        *taken, again, count = map(float, out.split())
        report.demand(again == count == sizes.million, f"{count:,.0f} frames are there after opening")
        rows.append((Cost(*taken[:2]), Cost(*taken[2:])))
    report.heading("  opening", "least ms", "p50 ms", "p99 ms", "cpu p50", "budget")
    for number, name in enumerate(("fresh process: import, open, count", "with the code loaded: open, count")):
        report.row("million", name, **spread([row[number] for row in rows[1:]]), budget=200.0)


def report_checkpoints(path: Path, sizes: Sizes, report: Report) -> None:
    """Report what a checkpoint after 100 changes takes and writes."""
    random = Random(4)
    taken, written, snapshots = [], [], []
    with replaykit.open(path) as memory:
        with memory.session("checkpoints") as session:
            for _ in range(sizes.checkpoints):
                change_some(memory, random)
                before = bytes_below(path.parent)
                taken.append(cost(session.checkpoint))
                written.append(bytes_below(path.parent) - before)
                snapshots.append(memory.snapshot())
        checkpoints = memory.get_session("last").checkpoints
    kept = [(checkpoint.snapshot.generation, checkpoint.snapshot.frame_count) for checkpoint in checkpoints]
    expected = [(snapshot.generation, snapshot.frame_count) for snapshot in snapshots]
    report.demand(kept == expected, "a checkpoint does not say what the memory held")
    report.heading(f"  checkpoint after {CHECKPOINT_CHANGES} changes", "least", "p50", "p99", "cpu p50", "budget")
    report.row("million", "milliseconds", **spread(taken), budget=1.0)
    report.row(
        "million",
        "bytes written",
        least=min(written),
        p50=at_share(written, 0.5),
        p99=max(written),
        cpu_p50=None,
        budget=CHECKPOINT_BYTES,
    )
    report.demand(max(written) <= CHECKPOINT_BYTES, f"a checkpoint wrote {max(written):,} bytes")


def change_some(memory: replaykit.Memory, random: Random) -> None:
    """Make 100 changes: puts, updates and deletes."""
    for number in range(CHECKPOINT_CHANGES):
        if number % 5 < 3:
            memory.put(f"a note of change {number}")
            continue
        frame_id = random.randrange(1, len(memory))
        while frame_id not in memory:
            frame_id = random.randrange(1, len(memory))
        if number % 5 == 3:
            memory.update(frame_id, f"an updated text {number}")
        else:
            memory.delete(frame_id)


def bytes_below(folder: Path) -> int:
    """Return how long all files in *folder* are: the memory's, its write-ahead log and the session's live log."""
    return sum(path.stat().st_size for path in folder.iterdir())


# -- all ------------------------------------------------------------------------------


def main() -> int:
    """Print all tables, or the figures as JSON; 1 if something was lost or a count is past its budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small memories, for a check that it runs")
    parser.add_argument("--million", action="store_true", help="a memory of a million frames in place of the others")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    report = Report(quiet=options.json)
    report.note_load()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.quick or not options.million:
            measure_many(folder, sizes, report)
            measure_single(folder, sizes, report)
            measure_finding(folder, sizes, report)
        if options.quick or options.million:
            measure_million(folder, sizes, report)
    report.note_load()
    if options.json:
        print(json.dumps({"figures": report.rows, "problems": report.problems}, indent=1))
    else:
        print("\n" + ("\n".join(report.problems) or "nothing was lost"))
    return 1 if report.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
