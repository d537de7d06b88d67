"""
What redaction costs a recorded call: microseconds for packed payloads, clean and dirty.

Run: ``python benchmarks/redaction.py``.  Beside the scanner stands the obvious
alternative, a loop of compiled patterns over the packed bytes.  Every figure
is the least and the median of many short slices: trust the least, the rest is
the neighbours' noise.
"""

from __future__ import annotations

import pathlib
import re
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from replaykit.format.values import pack
from replaykit.redactors import make_redactor
from replaykit.redactors.rules import KEY_SCAN, RULES

SENTENCE = "The quick brown fox jumps over the lazy dog and walks home along the river. "
KEY = "sk-" + "a1B2" * 8


def hits(extra: str = "") -> Any:
    """Return what a search of five results gives: about 0.9 KB."""
    text = SENTENCE * 2
    return [{"id": n, "text": text[:130] + extra * (n == 3), "score": 0.5, "page": n} for n in range(5)]


def answer(extra: str = "") -> Any:
    """Return one long answer: about 20 KB."""
    return {"text": SENTENCE * 131 + extra + SENTENCE * 131, "model": "m", "max_tokens": 512}


def naive_test() -> Callable[[bytes], bool]:
    """Return the obvious test: each pattern in turn, with ``re``."""
    patterns = [re.compile(rule.scan, re.DOTALL | (re.I if rule.caseless else 0)) for rule in RULES]
    patterns.append(re.compile(KEY_SCAN.replace(rb"\z", rb"\Z"), re.DOTALL | re.I))
    return lambda data: any(pattern.search(data) for pattern in patterns)


def measured(call: Callable[[], object], slices: int = 60) -> str:
    """Return "least (median)" in microseconds."""
    begun = time.perf_counter()
    call()
    loops = max(1, int(0.003 / max(time.perf_counter() - begun, 1e-7)))
    figures = []
    for _ in range(slices):
        begun = time.perf_counter()
        for _ in range(loops):
            call()
        figures.append((time.perf_counter() - begun) / loops * 1e6)
    return f"{min(figures):9.2f} ({statistics.median(figures):.2f})"


def main() -> None:
    """Print the table."""
    begun = time.perf_counter()
    redactor = make_redactor()
    redactor.prepare()
    print(f"loading, once in a process: {(time.perf_counter() - begun) * 1e3:.0f} ms")
    naive = naive_test()
    print(f"{'payload':34}{'bytes':>7}  {'redactor us':>18}   {'re loop us (test only)':>22}")
    for name, value in (
        ("clean results", hits()),
        ("clean answer", answer()),
        ("results with a key in a text", hits(KEY)),
        ("results with a secret name", {"hits": hits(), "password": "hunter2"}),
        ("answer with a key in the middle", answer(KEY)),
        ("answer with code that looks like it", answer("token = something()\n")),
    ):
        packed = pack(value)
        ours = measured(lambda packed=packed: redactor.clean_packed(packed))  # type: ignore[misc]
        theirs = measured(lambda packed=packed: naive(packed), slices=20)  # type: ignore[misc]
        print(f"{name:34}{len(packed):7}  {ours:>18}   {theirs:>22}")


if __name__ == "__main__":
    main()
