"""
What going back costs: a checkpoint, a view of then, a fork, a restore, a pruning.

Run: ``python benchmarks/rewind.py [--quick] [--frames N]``.  Beside them, in
the same run, what a user would do instead: copy the whole file while nobody
writes (shutil), or with SQLite's backup, and open the copy.  Such a copy has
to be made beforehand, at each point that one may want to go back to, and
takes as many bytes as the file; a view is made when it is wanted.
"""

from __future__ import annotations

import argparse
import glob
import itertools
import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import replaykit

FRAMES, QUICK_FRAMES = 100_000, 3_000
CHANGES = 1_000
WIDEST_RATIO = 200


def texts(count: int, chance: random.Random) -> list[str]:
    """Return *count* texts of about 300 characters; few words are frequent, many are rare."""
    vocabulary = [f"{chance.randrange(10**6):x}" for _ in range(20_000)]
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(vocabulary))))
    return [" ".join(chance.choices(vocabulary, cum_weights=weights, k=50)) for _ in range(count)]


def change(memory: replaykit.Memory, count: int, chance: random.Random) -> None:
    """Update, delete and put, in turn."""
    for number, text in enumerate(texts(count, chance)):
        frame_id = chance.randrange(1, len(memory))
        if frame_id not in memory or number % 3 == 2:
            memory.put(text)
        elif number % 3:
            memory.delete(frame_id)
        else:
            memory.update(frame_id, text)


def best(rounds: int, act: Callable[[], object], undo: Callable[[], object] = lambda: None) -> float:
    """Return the shortest time of *act* in seconds; *undo* is not measured."""
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        kept = act()
        found.append(time.perf_counter() - begun)
        if isinstance(kept, replaykit.Memory):
            kept.close()
        undo()
    return min(found)


def copied(source: str, target: str) -> replaykit.Memory:
    """Copy the file as it lies there, and open the copy."""
    shutil.copyfile(source, target)
    return replaykit.open(target)


def backed_up(source: str, target: str) -> replaykit.Memory:
    """Copy it with SQLite's backup, and open the copy."""
    origin, copy = sqlite3.connect(source), sqlite3.connect(target)
    origin.backup(copy)
    copy.close()
    origin.close()
    return replaykit.open(target)


def removed(path: str) -> Callable[[], None]:
    """Return what removes a database and what lies beside it."""
    return lambda: [os.unlink(each) for each in glob.glob(f"{glob.escape(path)}*")] and None


def checkpoints(memory: replaykit.Memory, path: str, rounds: int, chance: random.Random) -> tuple[float, float]:
    """Return seconds and bytes of the log of a checkpoint after 100 changes each."""
    seconds, sizes = [], []
    with memory.session("checkpoints") as session:
        (log,) = glob.glob(f"{glob.escape(path)}.*.live")
        for _ in range(rounds):
            change(memory, 100, chance)
            size, begun = os.path.getsize(log), time.perf_counter()
            session.checkpoint()
            seconds.append(time.perf_counter() - begun)
            sizes.append(os.path.getsize(log) - size)
    return min(seconds), min(sizes)


def answers(memory: replaykit.Memory, queries: list[str]) -> list[list[replaykit.Hit]]:
    """Return the hits of each query."""
    return [list(memory.find(query)) for query in queries]


def measured(folder: str, frames: int, rounds: int) -> tuple[dict[str, float], int, bool]:
    """Return seconds by what was done, the bytes of a checkpoint, and whether then and now answer alike."""
    chance, path, other = random.Random(4), f"{folder}/notes.mv", f"{folder}/other.mv"
    memory = replaykit.open(path)
    for begin in range(0, frames, 10_000):
        memory.put_many(texts(min(10_000, frames - begin), chance))
    queries = [" ".join(chance.choices(memory.get(1 + number).content.split(), k=3)) for number in range(20)]
    then, expected = memory.generation, answers(memory, queries)
    found = {"at, nothing later": best(rounds, lambda: memory.at(generation=then))}
    change(memory, CHANGES, chance)
    # Closed meanwhile: the system drops a process's locks on a file with the
    # first of its descriptors that is closed.
    memory.close()
    found["copy the file (shutil) and open"] = best(rounds, lambda: copied(path, other), removed(other))
    found["SQLite's backup and open"] = best(rounds, lambda: backed_up(path, other), removed(other))
    memory = replaykit.open(path)
    found[f"at, {CHANGES:,} later changes"] = best(rounds, lambda: memory.at(generation=then))
    found["fork of now"] = best(rounds, lambda: memory.fork(other), removed(other))
    found[f"fork, {CHANGES:,} later changes"] = best(
        rounds, lambda: memory.fork(other, generation=then), removed(other)
    )
    with memory.at(generation=then) as view, memory.fork(other, generation=then) as branch:
        is_same = answers(view, queries) == expected == answers(branch, queries)
    removed(other)()
    found["checkpoint after 100 changes"], size = checkpoints(memory, path, rounds, chance)
    now = memory.generation
    found[f"restore, {CHANGES:,} or more differ"] = best(1, lambda: memory.restore(generation=then))
    is_same = is_same and answers(memory, queries) == expected
    found["restore, forth again"] = best(1, lambda: memory.restore(generation=now))
    found["prune all of it"] = best(1, lambda: memory.prune(keep_checkpoints=0))
    memory.close()
    return found, int(size), is_same


def main() -> int:
    """Print the table; 1 if an answer differs, or a view takes far longer than a copy of the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small memory, for a check that it runs")
    parser.add_argument("--frames", type=int, default=FRAMES)
    chosen = parser.parse_args()
    frames = QUICK_FRAMES if chosen.quick else chosen.frames
    with tempfile.TemporaryDirectory() as folder:
        found, size, is_same = measured(folder, frames, 3 if chosen.quick else 5)
        total = sum(each.stat().st_size for each in Path(folder).glob("notes.mv*"))
    copy = found["copy the file (shutil) and open"]
    print(f"{frames:,} frames of 300 characters, file {total / 2**20:.0f} MiB{'ms':>20}{'times a copy':>14}")
    for name, seconds in found.items():
        print(f"{name:45}{seconds * 1e3:17.2f}{seconds / copy:14.2f}")
    print(f"\na checkpoint after 100 changes takes {size} bytes; a list of its ids would take {8 * frames:,}")
    print(f"answers then and now {'are equal' if is_same else 'DIFFER'}")
    return 0 if is_same and found[f"at, {CHANGES:,} later changes"] < WIDEST_RATIO * copy else 1


if __name__ == "__main__":
    raise SystemExit(main())
