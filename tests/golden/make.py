"""Makes the golden recording of the present format: ``python tests/golden/make.py``; run once per format version."""

from __future__ import annotations

import datetime
import decimal
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import replaykit
from replaykit.cli.as_json import jsonable

HERE = Path(__file__).parent
VERSION = "1.0-draft"


@replaykit.records
def tool(value: Any) -> Any:
    """Hand out what comes in."""
    return value


def main() -> None:
    """Record one session of every kind and shape, into a file and into a memory's own file."""
    folder = Path(tempfile.mkdtemp())
    memory = replaykit.open(folder / "golden.mv")
    recorder = replaykit.Recorder(folder / "golden.rpk")
    for surface in (memory, recorder):
        with surface.session("golden", auto_checkpoint=3, metadata={"made_by": "make.py"}):
            frame = memory.put("Paris is the capital of France.", title="France", metadata={"n": 1})
            memory.put_many(["Rome is in Italy.", {"content": b"\x00\xff", "title": "bytes"}])
            memory.find("capital", k=5)
            memory.ask("What is the capital of France?")
            memory.update(frame, title="La France")
            memory.delete(frame)
            tool((1, {2, 3}, decimal.Decimal("1.5"), datetime.date(2026, 1, 1), 2**70, "\ud800", {1: "x"}))
            tool({"password": "hunter2-is-hidden"})
            try:
                memory.get(frame)
            except replaykit.errors.FrameNotFoundError:
                pass
    recorder.close()
    memory.close()
    for name in ("golden.rpk", "golden.mv"):
        shutil.copyfile(folder / name, HERE / f"{VERSION}{Path(name).suffix}")
        with replaykit.load(folder / name) as recording:
            expected = jsonable(recording.get_session("golden"))
        (HERE / f"{VERSION}{Path(name).suffix}.json").write_text(json.dumps(expected, indent=1) + "\n")
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
