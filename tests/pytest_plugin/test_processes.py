"""A pytest of its own, which has no recordings."""

from __future__ import annotations

import sys

import pytest

IMPORTED = """
import sys, pytest
code = pytest.main(["-q", "-p", "no:cacheprovider", "test_plain.py"])
print("ours", sorted(name for name in sys.modules if name.startswith("replaykit")))
sys.exit(code)
"""


def test_a_run_that_does_not_use_it_imports_nothing_else_of_ours(project: pytest.Pytester) -> None:
    project.makepyfile(test_plain="def test_plain(): pass")

    result = project.run(sys.executable, "-c", IMPORTED)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["ours ['replaykit', 'replaykit._version', 'replaykit.pytest_plugin']"])
