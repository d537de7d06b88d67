"""
What a find by words costs in a large memory: exact search that rules frames out, against scoring every frame.

    python benchmarks/find.py [--quick | --frames N]

The texts are stretches of the docstrings of Python's own standard library, the
queries two to four neighbouring words of them, common ones included.  Both
searches answer each query in turn, in one process; CPU time is what counts.
Exits with 1 if the two ever differ, or if ruling out is not the faster one.
"""

from __future__ import annotations

import argparse
import ast
import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw

from replaykit.memory.engine import Engine
from replaykit.memory.script import spaced
from replaykit.memory.search import words

BATCH = 10_000
K = 10


def docstring_words() -> list[str]:
    """Return all words of the standard library's docstrings, in order."""
    found: list[str] = []
    for path in sorted(Path(os.__file__).parent.rglob("*.py")):
        if {"site-packages", "test", "tests", "idlelib"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                found += (ast.get_docstring(node) or "").split()
    return found


def texts(source: list[str], count: int, chance: random.Random) -> Iterator[str]:
    """Yield *count* stretches of *source* of 5 to 400 words, 30 in the middle."""
    for _ in range(count):
        length = min(400, max(5, int(chance.lognormvariate(3.4, 0.6))))
        begin = chance.randrange(len(source) - length)
        yield " ".join(source[begin : begin + length])


def queries(source: list[str], count: int, chance: random.Random) -> list[str]:
    """Return *count* stretches of two to four words."""
    begins = [chance.randrange(len(source) - 4) for _ in range(count)]
    return [" ".join(source[begin : begin + chance.randint(2, 4)]) for begin in begins]


def every_frame_scored(connection: apsw.Connection, query: str, frame_count: int) -> list[tuple[int, float]]:
    """Rank with SQLite's own bm25(), each word apart, weighted and summed."""
    bindings: list[Any] = []
    for word in words(query):
        phrase = f'"{spaced(word).strip()}"'
        found = connection.execute("SELECT count(*) FROM memory_index WHERE memory_index MATCH ?", (phrase,)).get
        if found:
            odds = (frame_count - found + 0.5) / (found + 0.5)
            bindings += [math.log1p(odds) / max(math.log(odds), 1e-6), phrase]
    if not bindings:
        return []
    part = "SELECT rowid AS frame_id, -bm25(memory_index) * ? AS score FROM memory_index WHERE memory_index MATCH ?"
    sql = (
        f"WITH scored AS MATERIALIZED ({' UNION ALL '.join([part] * (len(bindings) // 2))}) "
        "SELECT frame_id, round(sum(score), 9) AS total FROM scored "
        "GROUP BY frame_id ORDER BY total DESC, frame_id LIMIT ?"
    )
    return [(frame_id, score) for frame_id, score in connection.execute(sql, (*bindings, K))]


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what *call* gives and the CPU milliseconds that it took."""
    begun = time.process_time()
    result = call()
    return result, (time.process_time() - begun) * 1e3


def shown(name: str, samples: list[float]) -> str:
    """Return a row of the table."""
    ordered = sorted(samples)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9, 0.99)]
    return f"| {name} | {at[0]:.2f} | {at[1]:.2f} | {at[2]:.2f} |"


def main() -> int:
    """Build, measure, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--frames", type=int, default=100_000)
    given = parser.parse_args()
    count = 20_000 if given.quick else given.frames
    chance = random.Random(7)
    source = docstring_words()
    with Engine(":memory:") as memory:
        for begin in range(0, count, BATCH):
            memory.put_many(texts(source, min(BATCH, count - begin), chance))
        first, again, full, differing = [], [], [], []
        for query in queries(source, 60 if given.quick else 200, chance):
            first.append(timed(lambda query=query: memory.find(query, K))[1])
            result, took = timed(lambda query=query: memory.find(query, K))
            again.append(took)
            with memory._reading() as connection:
                expected, took = timed(lambda query=query: every_frame_scored(connection, query, count))
            full.append(took)
            if expected != [(hit.frame_id, hit.score) for hit in result]:
                differing.append(query)
    print(
        f"{count} frames, {len(full)} queries of 2 to 4 words, k={K}; CPU ms\n\n"
        "| find | p50 | p90 | p99 |\n|---|---|---|---|"
    )
    print(shown("new words", first), shown("words that were counted before", again), sep="\n")
    print(shown("scoring every frame, hits not read", full))
    print(f"\ndiffering results: {differing or 'none'}")
    return 1 if differing or sum(again) > sum(full) else 0


if __name__ == "__main__":
    sys.exit(main())
