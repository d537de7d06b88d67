"""The types are documentation that runs: checkers read ``api.py`` and agree with every line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_API = Path(__file__).with_name("api.py")
_ROOT = _API.parents[2]


def _checked(*command: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", *command, str(_API)], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.libraries
def test_mypy_agrees(tmp_path: Path) -> None:
    """Strictly, on what users see; the library's own modules have a check of their own."""
    code, output = _checked("mypy", "--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}")

    assert code == 0, output


@pytest.mark.libraries
def test_pyright_agrees() -> None:
    """The checker of many editors."""
    code, output = _checked("pyright")

    assert code == 0, output
