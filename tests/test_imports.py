"""What importing costs: names load on first use, heavy dependencies when they are needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import replaykit

_ROOT = Path(replaykit.__file__).parent.parent
_HEAVY = "apsw structlog click rich wrapt hyperscan ormsgpack cbor2 blake3 numpy zstandard asyncio"


def _loaded(code: str) -> set[str]:
    """Run *code* in a fresh interpreter; return which modules it has loaded."""
    program = f"import sys\nsys.path.insert(0, {str(_ROOT)!r})\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_replaykit_loads_next_to_nothing() -> None:
    """No dependency, and of our own modules the version only."""
    loaded = _loaded("import replaykit")

    assert loaded & set(_HEAVY.split()) == set()
    assert {name for name in loaded if name.startswith("replaykit.")} == {"replaykit._version"}


def test_a_session_loads_neither_logging_nor_the_command_line() -> None:
    """Recording into a file needs no database, no structlog, no click and no rich."""
    loaded = _loaded(
        "import replaykit\n"
        "@replaykit.records('find')\n"
        "def search(query): return [query]\n"
        "with replaykit.session(store='runs.rpk'): search('x')"
    )

    assert loaded & {"structlog", "click", "rich", "numpy"} == set()


def test_the_errors_and_the_data_load_no_dependency_but_attrs() -> None:
    """Whoever only catches or reads pays for neither database nor proxies."""
    loaded = _loaded("from replaykit import ReplaySession, errors")

    assert loaded & set(_HEAVY.split()) == set()
