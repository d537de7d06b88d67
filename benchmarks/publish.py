"""
Runs benchmarks and puts what they print into ``README.md`` beside them; draws the chart of the main comparison.

    python benchmarks/publish.py [--quick] [NAME ...]

Without names all that the README has a place for, one after the other.  A
benchmark that fails leaves its place as it was, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from machine import machine

_FOLDER = Path(__file__).parent
_README = _FOLDER / "README.md"
_MORE = {"peers": ["--json", str(_FOLDER / "peers.json"), "--chart", str(_FOLDER.parent / "docs" / "cost.svg")]}
_PLACE = "<!-- figures of {name}, written by publish.py -->\n"
_END = "<!-- end -->"


def places(text: str) -> list[str]:
    """Return the benchmarks that a README has a place for."""
    return re.findall(re.escape(_PLACE).replace(re.escape("{name}"), "(.+)"), text)


def placed(text: str, name: str, printed: str, *, how: str) -> str:
    """Return *text* with what a benchmark printed in its place, under a line that says *how* it ran."""
    before, mark, rest = text.partition(_PLACE.format(name=name))
    after = rest[rest.index(_END) :]
    return f"{before}{mark}{how}\n\n```text\n{printed.strip()}\n```\n{after}"


def conditions(more: Sequence[str]) -> str:
    """Return the day, the machine and what else it has to do: its load."""
    today, load = time.strftime("%Y-%m-%d", time.gmtime()), os.getloadavg()[0]
    return ", ".join([today, machine(), f"load {load:.0f} at the start", *more])


def run(name: str, more: Sequence[str]) -> str | None:
    """Return what a benchmark prints, or None if it fails."""
    print(f"{name} ...", flush=True)
    environment = os.environ | {"PYTHONPATH": str(_FOLDER.parent)}
    command = [sys.executable, str(_FOLDER / f"{name}.py"), *_MORE.get(name, ()), *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    print(done.stdout, flush=True)
    return done.stdout if done.returncode == 0 else None


def main() -> int:
    """Run what is asked for; 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *places(_README.read_text())])
    parser.add_argument("--quick", action="store_true", help="the quick runs, to see that it works")
    options = parser.parse_args()
    more = ["--quick"] if options.quick else []
    failed = []
    for name in options.names or places(_README.read_text()):
        how = conditions(more)
        printed = run(name, more)
        if printed is None:
            failed.append(name)
        else:
            # Read again each time: a long run leaves room for an editor.
            _README.write_text(placed(_README.read_text(), name, printed, how=how))
    print("failed: " + ", ".join(failed) if failed else "all is written")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
