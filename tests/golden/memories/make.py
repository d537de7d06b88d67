"""Makes the golden memory of the present tables: ``python tests/golden/memories/make.py``; run once per version."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import replaykit
from replaykit.cli.as_json import jsonable
from replaykit.memory.schema import VERSION
from replaykit.testing.embedders import HashedNgrams

HERE = Path(__file__).parent
QUERIES = ("capital", "river city", "fox")
MODES = ("lex", "vec", "hybrid")


def fill(mv: replaykit.Memory, folder: Path) -> None:
    """Make a history with each kind of write, a session, a fork, an erasure and a pruning."""
    with mv.session("golden") as session:
        paris = mv.put("Paris is the capital of France.", title="France", uri="a:1", metadata={"n": 1})
        mv.put_many(
            ["Rome is a city at a river.", {"content": b"\x00\xff", "title": "bytes"}, "a red fox", "gone soon"]
        )
        assert mv.put("a red fox", dedupe=True) == 4
        session.checkpoint()
        mv.find("capital", k=3)
        mv.ask("What is the capital of France?")
        mv.update(paris, "Paris, a city at a river.", metadata={"n": 2})
    mv.delete(2)
    mv.fork(folder / "branch.mv").close()
    mv.erase(mv.put("Lyon is a city, too."))
    mv.restore(mv.get_session("golden").checkpoints[0])
    mv.put("a blue fox")
    mv.prune(before=mv.generation)


def told(mv: replaykit.Memory) -> dict[str, Any]:
    """Return what a memory says of itself, now and at each generation that can be gone back to."""
    generations = {}
    for generation in range(mv.generation + 1):
        try:
            with mv.at(generation=generation) as then:
                generations[str(generation)] = state_of(then)
        except replaykit.errors.CheckpointNotFoundError:
            generations[str(generation)] = {"pruned": True}
    lineage = {"forks": len(mv.lineage.forks), "memory_id": mv.lineage.memory_id.hex}
    return {"now": state_of(mv), "generations": generations, "lineage": lineage}


def state_of(mv: replaykit.Memory) -> dict[str, Any]:
    """Return frames, hash and finds of a memory."""
    frames = [
        {"id": frame.frame_id, "content": frame.content, "title": frame.title, "uri": frame.uri}
        | {"metadata": frame.metadata, "created_ns": frame.created_ns, "hash": frame.content_hash}
        for frame in mv
    ]
    finds = {
        f"{mode} {query}": [[hit.frame_id, hit.score, hit.snippet] for hit in mv.find(query, 5, mode=mode)]
        for mode in MODES
        for query in QUERIES
    }
    snapshot, digest = mv._frames.snapshot(with_ids=True)
    told: dict[str, Any] = jsonable({"frames": frames, "finds": finds, "hash": digest, "ids": snapshot.frame_ids})
    return told


def main() -> None:
    """Write the memory, and what this release reads in it."""
    folder = Path(tempfile.mkdtemp())
    path = folder / f"{VERSION}.mv"
    with replaykit.open(path, embedder=HashedNgrams(16)) as mv:
        fill(mv, folder)
        expected = told(mv)
    shutil.copyfile(path, HERE / path.name)
    (HERE / f"{path.name}.json").write_text(json.dumps(expected, indent=1) + "\n")
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
