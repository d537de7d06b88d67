"""What importing costs: names load on first use, heavy dependencies when they are needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


def _command(*arguments: str) -> set[str]:
    """Run the command line in a fresh interpreter; return which modules it has loaded."""
    return _loaded(
        f"sys.argv = ['replaykit', *{arguments!r}]\n"
        "from replaykit.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass"
    )


def _ours(loaded: set[str]) -> set[str]:
    return {name for name in loaded if name.partition(".")[0] == "replaykit"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "runs.rpk"


@pytest.fixture(scope="module")
def first_session(store: Path) -> set[str]:
    """Return what a program has loaded that has recorded one call."""
    return _loaded(
        "import replaykit\n"
        "@replaykit.records('find')\n"
        "def search(query): return [query]\n"
        f"with replaykit.session(store={str(store)!r}): search('x')"
    )


def test_a_session_loads_neither_logging_nor_the_command_line(first_session: set[str]) -> None:
    """Recording into a file needs no structlog, no click and no rich."""
    assert first_session & {"structlog", "click", "rich", "numpy"} == set()


def test_a_session_loads_neither_a_memory_nor_what_replays(first_session: set[str]) -> None:
    """Whoever records their own functions pays for no database and no search."""
    parts = {name.split(".")[1] for name in _ours(first_session) if "." in name}

    assert parts & {"memory", "playback", "importers", "cli"} == set()
    assert "apsw" not in first_session


def test_a_listing_loads_nothing_that_records(first_session: set[str], store: Path) -> None:
    """``replaykit list`` starts without proxies, without rules for secrets, without a database."""
    loaded = _command("list", str(store))
    parts = {name.split(".")[1] for name in _ours(loaded) if "." in name}

    assert parts & {"memory", "playback", "recording", "intercept", "redactors"} == set()
    assert loaded & {"wrapt", "asyncio", "hyperscan", "apsw", "structlog", "numpy"} == set()
    assert len(_ours(loaded)) <= 110


def test_the_start_of_a_session_stays_within_its_count_of_modules(first_session: set[str]) -> None:
    """It stands at 150 of ours and 343 with what they need; a module more is a decision, twenty are an accident."""
    assert len(_ours(first_session)) <= 155
    assert len(first_session - _loaded("")) <= 350


def test_a_session_makes_no_class_that_says_how_a_replay_went(first_session: set[str]) -> None:
    """The values that only reading and replaying know load when somebody asks for them."""
    replays = {"verdicts", "reports", "options", "rewinding", "stored"}

    assert first_session & {f"replaykit.model.{name}" for name in replays} == set()
    assert "statistics" not in first_session


def test_a_verb_loads_none_of_the_others() -> None:
    """Where nothing is asked for, nothing is loaded that does it."""
    loaded = _ours(_command("--version"))

    assert {name for name in loaded if name.startswith("replaykit.cli.")} == {
        "replaykit.cli.commands",
        "replaykit.cli.verbs",
        "replaykit.cli.words",
    }
    assert len(loaded) <= 25


def test_help_reads_no_store() -> None:
    """``replaykit --help`` loads the commands' names and texts, not what they work with."""
    loaded = _command("--help")
    parts = {name.split(".")[1] for name in _ours(loaded) if "." in name}

    assert parts & {"storage", "memory", "playback", "recording", "importers"} == set()
    assert loaded & {"wrapt", "asyncio", "hyperscan", "apsw", "structlog"} == set()
    assert len(_ours(loaded)) <= 45


def test_the_errors_and_the_data_load_no_dependency_but_attrs() -> None:
    """Whoever only catches or reads pays for neither database nor proxies."""
    loaded = _loaded("from replaykit import ReplaySession, errors")

    assert loaded & set(_HEAVY.split()) == set()
