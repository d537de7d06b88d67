"""Platforms that lack what a store needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT_LOCKS = """
import sys
sys.modules["fcntl"] = sys.modules["resource"] = None
import replaykit
try:
    with replaykit.session(store=sys.argv[1]):
        pass
except replaykit.errors.UnsupportedPlatformError as error:
    print(error)
"""


def test_a_platform_without_file_locks_is_told_so(tmp_path: Path) -> None:
    """With one of our errors, not by a module that cannot be imported."""
    command = [sys.executable, "-c", WITHOUT_LOCKS, str(tmp_path / "runs.rpk")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "Linux or macOS" in done.stdout
    assert list(tmp_path.iterdir()) == []
