"""
What starting costs: importing, the first recorded call, the command line, each in a fresh interpreter.

Bare Python stands beside them and is taken off; the programs take turns, their
compiled files and the system's cache are warm.  Milliseconds until the process
has ended, minimum and median; the least CPU time, which a busy machine changes
less; and the modules that are loaded.  ``tests/test_imports.py`` holds the counts to their budgets.

    python benchmarks/startup.py [--quick]

Peers are measured where they are installed, ``pip install -e '.[bench]'``.
Exits with 1 if importing replaykit is dearer than importing OpenTelemetry's SDK.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import attrs

import replaykit

SLOW_MS, SLOW_EVERY = 800, 5
"""A program that takes so long starts in each fifth round only."""

_COUNTED = "\nimport sys\nprint(len(sys.modules))"

RECORDED = """
import replaykit
@replaykit.records("find")
def search(query):
    return [query]
with replaykit.session("first", store="{store}"):
    search("x")
"""

MEMORY = """
import replaykit
with replaykit.open(":memory:") as memory:
    memory.put("Paris is the capital of France.")
    memory.find("capital")
"""

COMMAND = """
import sys
sys.argv = ["replaykit", {arguments}]
from replaykit.cli import main
try:
    main()
except SystemExit:
    pass
"""

TRACED = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=open("{store}.jsonl", "w"))))
with provider.get_tracer("first").start_as_current_span("find"):
    pass
provider.shutdown()
"""


@attrs.define
class Program:
    """What an interpreter is started with."""

    name: str
    code: str
    distribution: str | None = None
    """Whose package it needs; None for our own."""

    took_ms: list[float] = attrs.field(factory=list)
    cpu_ms: list[float] = attrs.field(factory=list)
    modules: int = 0

    @property
    def is_there(self) -> bool:
        try:
            return self.distribution is None or bool(version(self.distribution))
        except PackageNotFoundError:
            return False

    def sample(self) -> None:
        begun, computed = time.perf_counter(), _children_cpu_s()
        done = subprocess.run([sys.executable, "-c", self.code + _COUNTED], capture_output=True, text=True, check=True)
        self.took_ms.append((time.perf_counter() - begun) * 1e3)
        self.cpu_ms.append((_children_cpu_s() - computed) * 1e3)
        self.modules = int(done.stdout.split()[-1])


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


BARE = "python"
OURS = "import replaykit"
THEIRS = "import opentelemetry.sdk.trace"


def programs(folder: Path) -> list[Program]:
    """Return what is measured; stores are made in *folder*."""
    listed = folder / "listed.rpk"
    with replaykit.session("listed", store=str(listed)) as session:
        session.record("tool", name="first", output="kept")
    return [
        Program(BARE, ""),
        Program(OURS, "import replaykit"),
        Program("first session, one call", RECORDED.format(store=folder / "first.rpk")),
        Program("first memory, one find", MEMORY),
        Program("replaykit --version", COMMAND.format(arguments='"--version"')),
        Program("replaykit --help", COMMAND.format(arguments='"--help"')),
        Program("replaykit list", COMMAND.format(arguments=f'"list", "{listed}"')),
        Program(THEIRS, "import opentelemetry.sdk.trace", "opentelemetry-sdk"),
        Program("OpenTelemetry, one span", TRACED.format(store=folder / "spans"), "opentelemetry-sdk"),
        Program("import langfuse", "import langfuse", "langfuse"),
        Program("import langsmith", "from langsmith import traceable", "langsmith"),
        Program("import logfire", "import logfire", "logfire"),
        Program("import mlflow", "import mlflow", "mlflow"),
        Program("import vcr", "import vcr", "vcrpy"),
        Program("import memvid_sdk", "import memvid_sdk", "memvid-sdk"),
    ]


def show(found: Sequence[Program]) -> None:
    bare = found[0]
    least, median, cpu = min(bare.took_ms), statistics.median(bare.took_ms), min(bare.cpu_ms)
    titles = f"{'min ms':>9}{'median ms':>11}{'CPU ms':>9}{'modules':>9}"
    print(f"{f'{len(bare.took_ms)} starts of each':32}{titles}")
    print(f"{'python alone':32}{least:9.1f}{median:11.1f}{cpu:9.1f}{bare.modules:9}")
    for program in found[1:]:
        print(
            f"{program.name:32}{min(program.took_ms) - least:+9.1f}{statistics.median(program.took_ms) - median:+11.1f}"
            f"{min(program.cpu_ms) - cpu:+9.1f}{program.modules - bare.modules:+9}"
        )


def main() -> int:
    """Print the table; 1 if our import is the dearer one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few starts, for a check that it runs")
    starts = 5 if parser.parse_args().quick else 20
    # What is measured is the code beside this file, wherever an interpreter would look first.
    os.environ["PYTHONPATH"] = str(Path(replaykit.__file__).parent.parent)
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MEMVID_TELEMETRY": "0"}
    with tempfile.TemporaryDirectory() as folder:
        every = programs(Path(folder))
        found = [program for program in every if program.is_there]
        for program in found:
            # The first start compiles and fills the system's cache.
            program.sample()
            program.took_ms.clear()
            program.cpu_ms.clear()
        for number in range(starts):
            for program in found:
                if number % SLOW_EVERY == 0 or min(program.took_ms) < SLOW_MS:
                    program.sample()
    show(found)
    print("".join(f"\nnot measured: {program.name}: not installed" for program in every if program not in found))
    least = {program.name: min(program.took_ms) for program in found}
    if least[OURS] > least.get(THEIRS, least[OURS]):
        print("importing replaykit is dearer than importing OpenTelemetry's SDK")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
