"""The files of a process: the program keeps its share, nothing of it breaks where none is left, and none leaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = """
import asyncio, contextlib, json, os, resource, sys, warnings
import replaykit

warnings.simplefilter("ignore", replaykit.errors.ReplaykitWarning)
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(int(sys.argv[2]))]

@replaykit.records("find")
async def find(number):
    await asyncio.sleep(0)
    return [number]

async def request(recorder, number, everyone):
    async with recorder.session(f"request {number}"):
        await everyone.wait()
        found = await find(number)
    return found == [number]

async def serve(recorder):
    everyone = asyncio.Event()
    requests = [asyncio.create_task(request(recorder, number, everyone)) for number in range(100)]
    while recorder.stats()["skipped"] + recorder.stats()["open_sessions"] < 100:
        await asyncio.sleep(0)
    # Who syncs has its turn where no file can be opened.
    with contextlib.suppress(OSError):
        recorder.flush()
    everyone.set()
    answers = await asyncio.gather(*requests)
    for handle in taken:
        os.close(handle)
    return answers

recorder = replaykit.Recorder(sys.argv[1])
with recorder.session("first"):
    pass
recorder.flush()
answers = asyncio.run(serve(recorder))
recorder.flush()
stats = recorder.stats()
stored = [len(recorder.get_session(each.session_id).actions) for each in recorder.list_sessions()]
recorder.close()
print(json.dumps([all(answers), stats["lost"], stats["skipped"], stored]))
"""


@pytest.mark.parametrize(("location", "taken"), [("runs.rpk", 0), ("runs/", 40), ("notes.mv", 0)])
def test_sessions_beyond_the_limit_run_unrecorded(tmp_path: Path, location: str, taken: int) -> None:
    """With 40 files of the program's own there are too few for half of them: whatever opens is recorded."""
    done = subprocess.run(
        [sys.executable, "-c", SERVICE, str(tmp_path / location), str(taken)],
        capture_output=True,
        text=True,
        check=True,
    )

    right, lost, skipped, stored = json.loads(done.stdout)
    assert (right, lost, done.stderr) == (True, 0, "")
    assert skipped + len(stored) == 101
    # Half of 64, the first one, and one that the background makes ready in the same moment.
    assert 1 < len(stored) <= 34
    assert sorted(stored) == [0, *[1] * (len(stored) - 1)]


MANY_STORES = """
import gc, json, os, sys, threading
import replaykit

@replaykit.records("find")
def find(query):
    return [query]

def use(location):
    with replaykit.Recorder(location) as recorder:
        with recorder.session():
            find("a question")
        return recorder.list_sessions()

def held():
    for thread in threading.enumerate():
        if thread.name == "replaykit-background":
            thread.join()
    gc.collect()
    return len(os.listdir("/dev/fd")), threading.active_count()

use(sys.argv[1])
before = held()
for _ in range(8):
    use(sys.argv[1])
print(json.dumps([before, held()]))
"""


@pytest.mark.parametrize("location", ["runs.rpk", "runs/", "notes.mv"])
def test_stores_that_are_closed_hold_nothing(tmp_path: Path, location: str) -> None:
    """No file and no thread, however many a program opens and closes."""
    command = [sys.executable, "-c", MANY_STORES, str(tmp_path / location)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    before, after = json.loads(done.stdout)
    assert before == after
