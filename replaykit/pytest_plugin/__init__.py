"""
pytest: tests that play recordings.

This module is imported by every run of pytest where replaykit is installed,
so it imports nothing else of ours until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from replaykit.pytest_plugin.run import Run
    from replaykit.regression.recorded_test import RecordedTest

_MODES = ("once", "new_episodes", "none", "all", "rewrite", "off")
_MARK, _SESSIONS_MARK = "replaykit", "replaykit_sessions"
_RECORDING, _SESSION = "replay_recording", "replay_session"
_FOLLOWING = "replaykit-following"
_RUN: pytest.StashKey[Run] = pytest.StashKey()
_ITEMS: pytest.StashKey[Sequence[pytest.Item]] = pytest.StashKey()
_IS_BROKEN: pytest.StashKey[bool] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what is said of recordings at the command line and in the configuration file."""
    group = parser.getgroup("replaykit", "recordings of what a memory was asked")
    group.addoption("--replay-mode", choices=_MODES, help="what tests do with their recordings: VCR's record modes")
    group.addoption(
        "--replay-update",
        action="store_true",
        help="run everything, and put what differs beside the recordings; `replaykit review` shows and takes it",
    )
    group.addoption("--replay-shard", metavar="I/N", help="of recorded sessions that are tests only part I of N")
    group.addoption(
        "--replay-stale",
        choices=("report", "fail", "delete"),
        help="what becomes of recordings that no test has any more, in a run of all tests of their module",
    )
    parser.addini("replaykit_mode", "what tests do with their recordings")
    parser.addini("replaykit_stale", "what becomes of recordings that no test has any more", default="report")
    parser.addini("replaykit_recordings", "the folder of recordings beside a module", default="recordings")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known, and tell the recordings that tests open themselves what the command line says."""
    config.addinivalue_line(
        "markers",
        "replaykit(mode=None, path=None, **options): answer the recorded calls of this test from its recording; "
        "options are those of replaykit.use_recording",
    )
    config.addinivalue_line(
        "markers",
        "replaykit_sessions(path, name=None, state=None, where=None, shard=None): run this test once for each session "
        "of a store, which it takes as replay_session",
    )
    mode, updates = config.getoption("replay_mode"), config.getoption("replay_update")
    default = config.getini("replaykit_mode")
    if mode or updates or default:
        _say_to_all(config, mode=mode or "", default=default, proposes=updates)


def _say_to_all(config: pytest.Config, **said: Any) -> None:
    from replaykit.regression.modes import Said, saying

    stack = ExitStack()
    stack.enter_context(saying(Said(switch="pytest --replay-mode=", **said)))
    config.add_cleanup(stack.close)


def _run(config: pytest.Config) -> Run:
    """Return what this run knows of recordings; from its first test that has one on."""
    if _RUN not in config.stash:
        from replaykit.pytest_plugin.run import Run

        config.stash[_RUN] = Run(config)
        _follow_tests(config)
    return config.stash[_RUN]


def _follow_tests(config: pytest.Config) -> None:
    """Have the hooks called that are called for each test: a run without recordings does not pay for them."""
    if not config.pluginmanager.has_plugin(_FOLLOWING):
        from replaykit.pytest_plugin.following import Following

        config.pluginmanager.register(Following(lambda: config.stash.get(_RUN, None)), _FOLLOWING)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test per recorded session."""
    mark = metafunc.definition.get_closest_marker(_SESSIONS_MARK)
    if mark is not None:
        from replaykit.pytest_plugin.sessions import parametrize

        parametrize(metafunc, mark)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, Any]:
    """Note that some tests are not known."""
    report = yield
    # A module that is skipped as a whole has no tests to be known.
    if report.failed or (report.skipped and "::" in report.nodeid):
        collector.config.stash[_IS_BROKEN] = True
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """
    Have the recording of a marked test opened before its other fixtures.

    All tests are remembered, before some are deselected: their recordings are not stale.
    """
    config.stash[_ITEMS] = list(items)
    yield
    # Marks may be given by other plugins, so they are looked at last; once per
    # class and module, since there may be very many tests.
    above: dict[Any, bool] = {}
    for item in items:
        names: Sequence[str] = getattr(item, "fixturenames", ())
        if _has_mark(item) or _is_marked(item.parent, above):
            # The tests of one function share a list; not all of them need be marked.
            others = [name for name in names if name != _RECORDING]
            item.fixturenames = [_RECORDING, *others]  # type: ignore[attr-defined]  # where it is missing nobody reads it
        elif _RECORDING not in names and _SESSION not in names:
            continue
        _follow_tests(config)


def _has_mark(node: Any) -> bool:
    return any(mark.name == _MARK for mark in node.own_markers)


def _is_marked(node: Any, known: dict[Any, bool]) -> bool:
    """Return whether *node* or one above it has the mark; *known* holds the answers so far."""
    if node is None:
        return False
    if node not in known:
        known[node] = _has_mark(node) or _is_marked(node.parent, known)
    return known[node]


@pytest.fixture(scope="session")
def replay_config() -> Mapping[str, Any]:
    """Return what all tests pass to their recordings: override it with options of `replaykit.use_recording`."""
    return {}


@pytest.fixture
def replay_recording(request: pytest.FixtureRequest, replay_config: Mapping[str, Any]) -> Generator[RecordedTest]:
    """Give the test's recording, which answers its recorded calls: play_count, all_played, unused, path, mode."""
    with _run(request.config).recording(request.node, replay_config) as recording:
        yield recording


@pytest.fixture
def replay_session(request: pytest.FixtureRequest) -> Any:
    """Give the session that the test plays or records; in a test of recorded sessions the one that it is for."""
    reference = getattr(request, "param", None)
    if reference is None:
        from replaykit.regression.recorded_test import RecordedTestSession

        yield RecordedTestSession(request.getfixturevalue("replay_recording"))
        return
    yield _run(request.config).sessions.session(reference)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look for stale recordings; in a worker of pytest-xdist hand the counts over."""
    config = session.config
    items = [] if config.stash.get(_IS_BROKEN, False) else config.stash.get(_ITEMS, [])
    # No test that ran may have one, and yet there are some.
    run = _run(config) if _RUN in config.stash or _has_recordings(config, items) else None
    if run is not None:
        run.finish(session, items)


def _has_recordings(config: pytest.Config, items: Sequence[pytest.Item]) -> bool:
    """Return whether there is a recording beside a module of *items*."""
    folder = config.getini("replaykit_recordings")
    if folder in ("", ".", "..") or "/" in folder:
        # It is an error for the first test that has a recording.
        return False
    folders = {path.parent / folder for path in {item.path for item in items}}
    return any(next(each.glob("*/*.rpk"), None) is not None for each in folders if each.is_dir())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the counts of a worker of pytest-xdist."""
    counts = getattr(node, "workeroutput", {}).get("replaykit")
    if counts is not None:
        _run(node.config).add(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many calls were played and recorded, and what is unused, waits for a review or is stale."""
    run = config.stash.get(_RUN, None)
    if run is not None:
        run.summarise(terminalreporter)
