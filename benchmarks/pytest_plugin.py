"""
What do recordings cost a test run?

A run of 1,000 tests without recordings, with the plugin and without it, one
run after the other.  Then one run in which 1,000 tests that call nothing take
turns with 1,000 that play a recording of their own, and where pytest-recording
is installed with 1,000 that play a cassette of one HTTP request: what a test
adds is its time less that of its neighbour that calls nothing, so that a
machine whose speed drifts tells the same.

    python benchmarks/pytest_plugin.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
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

BARE = """
import agent, pytest

@pytest.mark.parametrize("number", range({count}))
def test_bare(number):
    assert agent.bare(f"q{{number}}")
"""

PLAYED = """
@pytest.mark.replaykit
@pytest.mark.parametrize("number", range({count}))
def test_played(number):
    assert agent.search(f"q{{number}}")
"""

CASSETTE_TEST = """
import http.client

@pytest.mark.vcr
@pytest.mark.parametrize("number", range({count}))
def test_cassette(number):
    connection = http.client.HTTPConnection("127.0.0.1", 9)
    connection.request("GET", f"/q{{number}}")
    assert connection.getresponse().read()
"""

CASSETTE = """
interactions:
- request: {{body: null, headers: {{}}, method: GET, uri: 'http://127.0.0.1:9/q{number}'}}
  response: {{body: {{string: '[1, 2, 3]'}}, headers: {{}}, status: {{code: 200, message: OK}}}}
version: 1
"""

CLOCK = """
import gc, json, time
import agent, pytest
from pathlib import Path

SECONDS = {}

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session):
    # Where a collection of garbage falls is chance, and it takes as long as all the rest.
    gc.collect()
    gc.disable()
    started = time.process_time()
    result = yield
    session.config.collecting = time.process_time() - started
    gc.enable()
    return result

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.callspec.params["number"])

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    started = time.process_time()
    result = yield
    SECONDS.setdefault(item.originalname, []).append(time.process_time() - started)
    return result

def pytest_sessionfinish(session):
    Path(__file__).with_name("seconds").write_text(json.dumps([session.config.collecting, SECONDS]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few tests, few rounds: does it run, is it sane")
    quick = parser.parse_args().quick
    count, rounds = (100, 2) if quick else (1000, 15)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        has_cassettes = prepare(root, count)
        measure_others(root, count, rounds)
        added = measure_tests(root, count, 1 if quick else 3, has_cassettes=has_cassettes)
    if quick and added > 20:
        sys.exit(f"a played test adds {added:.1f} ms: something is very wrong")


def prepare(root: Path, count: int) -> bool:
    """Write the tests and their recordings; return whether there are cassettes too."""
    (root / "agent.py").write_text(AGENT)
    (root / "conftest.py").write_text(CLOCK)
    (root / "test_bare.py").write_text(BARE.format(count=count))
    has_cassettes = importlib.util.find_spec("pytest_recording") is not None
    tests = [BARE, PLAYED, *([CASSETTE_TEST] if has_cassettes else [])]
    (root / "test_turns.py").write_text("".join(tests).format(count=count))
    cassettes = root / "cassettes" / "test_turns"
    cassettes.mkdir(parents=True)
    for number in range(count):
        (cassettes / f"test_cassette[{number}].yaml").write_text(CASSETTE.format(number=number))
    run(root, "test_turns.py", "--replay-mode=once", *_with_cassettes(has_cassettes))
    if not has_cassettes:
        print("pytest-recording is not installed: not measured (pip install pytest-recording)")
    return has_cassettes


def _with_cassettes(has_cassettes: bool) -> tuple[str, ...]:
    return ("-p", "recording") if has_cassettes else ()


def run(root: Path, file: str, *arguments: str) -> tuple[float, dict[str, list[float]]]:
    """Run the tests of *file* in a process; return CPU seconds: of collecting, and of each test by its function."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if "no:replaykit" not in arguments:
        command += ["-p", "replaykit.pytest_plugin"]
    subprocess.run([*command, file, *arguments], cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
    collecting, seconds = json.loads((root / "seconds").read_text())
    return collecting, seconds


def measure_others(root: Path, count: int, rounds: int) -> None:
    """Print what tests without recordings pay for the plugin."""
    off, on = [], []
    run(root, "test_bare.py")  # it is compiled
    for _ in range(rounds):
        off.append(run(root, "test_bare.py", "-p", "no:replaykit"))
        on.append(run(root, "test_bare.py"))
    print(f"{count} tests without recordings, {rounds} rounds; CPU time: least (median)")
    for name, runs in (("plugin off", off), ("plugin on", on)):
        collecting = [1e3 * seconds for seconds, _ in runs]
        tests = [1e3 * sum(seconds["test_bare"]) / count for _, seconds in runs]
        print(
            f"  {name:<12} collecting {min(collecting):6.1f} ms ({statistics.median(collecting):.1f})"
            f"    a test {min(tests):.3f} ms ({statistics.median(tests):.3f})"
        )
    pairs = [there[0] / here[0] for here, there in zip(off, on, strict=True)]
    print(f"  collecting, on over off, pair by pair: median {100 * statistics.median(pairs) - 100:+.1f} %")


def measure_tests(root: Path, count: int, rounds: int, *, has_cassettes: bool) -> float:
    """Print what a test with a recording adds to one without; return the milliseconds of ours."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        _, seconds = run(root, "test_turns.py", "--replay-mode=none", *_with_cassettes(has_cassettes))
        for name, each in seconds.items():
            # The first of each pays for what is imported once.
            found.setdefault(name, []).extend(each[1:])
    bare = found.pop("test_bare")
    print(f"{count} tests of each kind, in turns, {rounds} runs; CPU time of a test: least (median), in ms")
    print(f"  calls nothing             {1e3 * min(bare):.3f} ({1e3 * statistics.median(bare):.3f})")
    added = {}
    for name, title in (("test_played", "plays its recording"), ("test_cassette", "plays a cassette")):
        if name in found:
            beyond = [1e3 * (there - here) for here, there in zip(bare, found[name], strict=True)]
            added[name] = statistics.median(beyond)
            least, middle = 1e3 * min(found[name]), 1e3 * statistics.median(found[name])
            print(
                f"  {title:<24}  {least:.3f} ({middle:.3f}); "
                f"added: {least - 1e3 * min(bare):.3f} (pair by pair, median: {added[name]:.3f})"
            )
    return added["test_played"]


if __name__ == "__main__":
    main()
