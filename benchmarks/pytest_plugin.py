"""
What do recordings cost a test run?

1,000 tests that each make one call, run by pytest three ways, turn by turn: the
plugin off, the plugin on and no test marked, each test playing its own
recording; and, where pytest-recording is installed, each test playing a
cassette of one HTTP request instead.  What is imported once is not counted.

    python benchmarks/pytest_plugin.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

AGENT = """
import replaykit

@replaykit.records("find")
def search(query):
    return [{"id": number, "text": f"{query} {number}"} for number in range(3)]

def bare(query):
    return [{"id": number, "text": f"{query} {number}"} for number in range(3)]
"""

TESTS = {
    "bare": """
import agent, pytest

@pytest.mark.parametrize("number", range({count}))
def test_one(number):
    assert agent.bare(f"q{{number}}")
""",
    "replaykit": """
import agent, pytest

@pytest.mark.replaykit
@pytest.mark.parametrize("number", range({count}))
def test_one(number):
    assert agent.search(f"q{{number}}")
""",
    "pytest-recording": """
import http.client, pytest

@pytest.mark.vcr
@pytest.mark.parametrize("number", range({count}))
def test_one(number):
    connection = http.client.HTTPConnection("127.0.0.1", 9)
    connection.request("GET", f"/q{{number}}")
    assert connection.getresponse().read()
""",
}

CASSETTE = """
interactions:
- request: {{body: null, headers: {{}}, method: GET, uri: 'http://127.0.0.1:9/q{number}'}}
  response: {{body: {{string: '[1, 2, 3]'}}, headers: {{}}, status: {{code: 200, message: OK}}}}
version: 1
"""


CLOCK = """
import time, agent, pytest
from pathlib import Path

FINISHED = []

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session):
    started = time.process_time()
    result = yield
    session.config.collecting = time.process_time() - started
    return result

def pytest_runtest_logfinish(nodeid):
    FINISHED.append(time.process_time())

def pytest_sessionfinish(session):
    # The first test pays for what is imported when a test asks for it.
    running = FINISHED[-1] - FINISHED[0] if FINISHED else 0.0
    Path(__file__).with_name("seconds").write_text(f"{session.config.collecting} {running}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few tests, few rounds: does it run, is it sane")
    quick = parser.parse_args().quick
    count, rounds = (100, 2) if quick else (1000, 7)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        variants = prepare(root, count)
        measure(root, variants, count, rounds, quick=quick)


def prepare(root: Path, count: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """Write the tests and their recordings; return what to run as (name, file, arguments)."""
    (root / "agent.py").write_text(AGENT)
    (root / "conftest.py").write_text(CLOCK)
    for name, source in TESTS.items():
        (root / f"test_{name.replace('-', '_')}.py").write_text(source.format(count=count))
    run(root, "test_replaykit.py", ("--replay-mode=once",))
    variants = [
        ("plugin off", "test_bare.py", ("-p", "no:replaykit")),
        ("plugin on, no test marked", "test_bare.py", ()),
        ("each test plays", "test_replaykit.py", ("--replay-mode=none",)),
    ]
    if importlib.util.find_spec("pytest_recording") is None:
        print("pytest-recording is not installed: not measured (pip install pytest-recording)")
        return variants
    cassettes = root / "cassettes" / "test_pytest_recording"
    cassettes.mkdir(parents=True)
    for number in range(count):
        (cassettes / f"test_one[{number}].yaml").write_text(CASSETTE.format(number=number))
    return [*variants, ("pytest-recording plays HTTP", "test_pytest_recording.py", ("-p", "recording"))]


def run(root: Path, file: str, arguments: tuple[str, ...]) -> tuple[float, float]:
    """Run the tests of *file* in a process; return CPU seconds: of collecting, of all but the first test."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "no:hypothesispytest",
        "-p", "no:asyncio",
        file, *arguments,
    ]  # fmt: skip
    subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
    collecting, running = (root / "seconds").read_text().split()
    return float(collecting), float(running)


def measure(
    root: Path, variants: list[tuple[str, str, tuple[str, ...]]], count: int, rounds: int, *, quick: bool
) -> None:
    """Run all variants in turn, and print the least and the median of each."""
    collecting: dict[str, list[float]] = {name: [] for name, _, _ in variants}
    running: dict[str, list[float]] = {name: [] for name, _, _ in variants}
    for _ in range(rounds):
        for name, file, arguments in variants:
            collected, ran = run(root, file, arguments)
            collecting[name].append(collected)
            running[name].append(ran)
    empty, bare = min(collecting["plugin off"]), min(running["plugin off"])
    print(f"{count} tests, {rounds} rounds; CPU time, least (median)")
    print(f"{'':<30}{'collecting, ms':>20}{'over off':>10}{'a test, ms':>18}{'added':>12}")
    for name, _, _ in variants:
        each = [seconds / (count - 1) * 1e3 for seconds in running[name]]
        share = 100 * (min(collecting[name]) / empty - 1)
        print(
            f"{name:<30}{1e3 * min(collecting[name]):>10.1f} ({1e3 * statistics.median(collecting[name]):.1f})"
            f"{share:>8.1f} %{min(each):>10.3f} ({statistics.median(each):.3f})"
            f"{min(each) - bare / (count - 1) * 1e3:>9.3f} ms"
        )
    played = (min(running["each test plays"]) - bare) / (count - 1) * 1e3
    if quick and played > 20:
        sys.exit(f"a played test adds {played:.1f} ms: something is very wrong")


if __name__ == "__main__":
    main()
