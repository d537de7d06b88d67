"""
What redaction costs a recorded call: microseconds for packed payloads, clean and dirty.

Run: ``python benchmarks/redaction.py [--quick]``.  Beside the scanner stands the obvious
alternative, a loop of compiled patterns over the packed bytes.  Every figure
is the least and the median of many short slices: trust the least, the rest is
the neighbours' noise.
"""

from __future__ import annotations

import argparse
import json
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
from replaykit.redactors.rules import CURRENT, KEY_SCAN, RULES_OF

SENTENCE = "The quick brown fox jumps over the lazy dog and walks home along the river. "
KEY = "sk-" + "a1B2" * 8


def hits(extra: str = "") -> Any:
    """Return what a search of five results gives: about 0.9 KB."""
    text = SENTENCE * 2
    return [{"id": n, "text": text[:130] + extra * (n == 3), "score": 0.5, "page": n} for n in range(5)]


def answer(extra: str = "") -> Any:
    """Return one long answer: about 20 KB."""
    return {"text": SENTENCE * 131 + extra + SENTENCE * 131, "model": "m", "max_tokens": 512}


def records(count: int = 250) -> Any:
    """Return an answer in JSON with what a secret is called in each of its records: about 20 KB, hidden in each."""
    found = [{"id": n, "name": f"user {n}", "next_page_token": "CAUQAA", "etag": "abc"} for n in range(count)]
    return {"text": json.dumps(found)}


CODE = '''def load(path, token=None):
    """Load the config from path."""
    with open(path) as handle:
        config = json.load(handle)
    self.api_key = os.environ["OPENAI_API_KEY"]
    headers = {"Authorization": f"Bearer {self.api_key}"}
    tokens = [t for t in config["tokens"] if t.secret == secret]
    return client.get(url, headers=headers, max_tokens=5, password=password)
'''


def naive_test() -> Callable[[bytes], bool]:
    """Return the obvious test: each pattern in turn, with ``re``."""
    patterns = [
        re.compile(rule.scan, re.DOTALL | (re.I if rule.caseless else 0)) for rule in RULES_OF[CURRENT["secrets"]]
    ]
    patterns.append(re.compile(KEY_SCAN.replace(rb"\z", rb"\Z"), re.DOTALL | re.I))
    return lambda data: any(pattern.search(data) for pattern in patterns)


def measured(call: Callable[[], object], slices: int = 60) -> tuple[float, float]:
    """Return the least and the median time of a call in microseconds."""
    begun = time.perf_counter()
    call()
    loops = max(1, int(0.003 / max(time.perf_counter() - begun, 1e-7)))
    figures = []
    for _ in range(slices):
        begun = time.perf_counter()
        for _ in range(loops):
            call()
        figures.append((time.perf_counter() - begun) / loops * 1e6)
    return min(figures), statistics.median(figures)


def main() -> int:
    """Print the table; 1 if a clean payload costs more than a loop of regular expressions would."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few slices, for a check that it runs")
    slices = 5 if parser.parse_args().quick else 40
    begun = time.perf_counter()
    redactor, personal = make_redactor(), make_redactor(("secrets", "pii"))
    redactor.prepare()
    print(f"loading, once in a process: {(time.perf_counter() - begun) * 1e3:.0f} ms")
    personal.prepare()
    naive = naive_test()
    dearer = False
    print(f"{'payload':37}{'bytes':>7}  {'redactor us':>18}   {'re loop us (test only)':>22}")
    for name, value in (
        ("clean results", hits()),
        ("clean answer", answer()),
        ("results with a key in a text", hits(KEY)),
        ("results with a secret name", {"hits": hits(), "password": "hunter2"}),
        ("answer with a key in the middle", answer(KEY)),
        ("answer with code that looks like it", answer("token = something()\n")),
        ("a secret name in each of 250 records", records()),
        ("20 KB of code about secrets", {"text": CODE * 50}),
    ):
        packed = pack(value)
        ours = measured(lambda packed=packed: redactor.clean_packed(packed), slices)  # type: ignore[misc]
        theirs = measured(lambda packed=packed: naive(packed), slices // 2)  # type: ignore[misc]
        dearer = dearer or (name.startswith("clean") and ours[0] > theirs[0])
        print(f"{name:37}{len(packed):7}  {ours[0]:9.2f} ({ours[1]:.2f})   {theirs[0]:9.2f} ({theirs[1]:.2f})")
    for name, value in (
        ("clean results, pii too", hits()),
        ("clean answer, pii too", answer()),
        ("answer with an address, pii too", answer("bob@example.com")),
    ):
        packed = pack(value)
        ours = measured(lambda packed=packed: personal.clean_packed(packed), slices)  # type: ignore[misc]
        print(f"{name:37}{len(packed):7}  {ours[0]:9.2f} ({ours[1]:.2f})")
    return 1 if dearer else 0


if __name__ == "__main__":
    raise SystemExit(main())
