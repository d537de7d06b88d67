"""A test's recording is the same bytes in every process, and is shown without being held whole."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import attrs
import pytest
from regression.noting import IDENTITY, session_in

from replaykit.errors import SecretFoundError
from replaykit.regression.text import text_of_session
from replaykit.regression.writing import recording_bytes
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.opening import open_store
from replaykit.testing.contracts import make_part


@pytest.mark.parametrize("seed", ["0", "7"])
def test_another_process_writes_the_same(tmp_path: Path, seed: str) -> None:
    """With another hash seed, time zone, folder and locale."""
    other = {"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": str(tmp_path)}
    paths = os.pathsep.join(path for path in sys.path if path)

    done = subprocess.run(
        [sys.executable, "-c", "from regression.noting import write; write('runs.rpk')"],
        env={**os.environ, **other, "PYTHONPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )

    with session_in(":memory:") as session:
        assert done.stdout == recording_bytes(IDENTITY, [(session, None)])


def test_a_persons_data_counts_where_they_were_to_be_hidden() -> None:
    """By the rule sets that the session states, beside those for secrets."""
    with session_in(":memory:", redact=("secrets", "pii")) as session, pytest.raises(SecretFoundError, match="email"):
        recording_bytes(IDENTITY, [(session, None)], metadata={"to": "bob@example.com"})


def test_a_large_session_is_shown_without_being_held(tmp_path: Path, effort: Callable[[int], int]) -> None:
    """Results of half a megabyte each go through a few of them, however many there are."""
    text = "".join(f"This is sentence {number} of a long answer.\n" for number in range(12_000))
    count = 8 + effort(100)
    entries = [{"i": number, "k": "ask", "t": 1, "d": 0, "out": f"{number} {text}"} for number in range(count)]
    part = attrs.evolve(make_part(uuid4()), actions=entries)
    with closing(open_store(str(tmp_path / "t.rpk"))) as store:
        store.publish(part)
        session = Catalogue(store).get_session(part.opening.session_id)
        tracemalloc.start()
        try:
            lines = sum(1 for _ in text_of_session(session))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert lines > count * 12_000
    assert peak < 6 * len(text)
