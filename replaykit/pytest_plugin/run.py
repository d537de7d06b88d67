"""What one run of pytest knows of recordings: which tests have one, what came of them, what to say at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import attrs
import pytest

from replaykit.errors import ReplaykitError
from replaykit.intercept.tracebacks import without_our_frames
from replaykit.pytest_plugin.summary import Counts, github_annotations, summary_lines
from replaykit.regression.modes import chosen_mode
from replaykit.regression.places import Place, demand_folder, place_at, place_of
from replaykit.regression.recorded_test import Kept, PlayOptions, RecordedTest
from replaykit.regression.sessions import OpenRecordings
from replaykit.regression.stale import remove_stale, stale_recordings

__all__ = ["Run"]

_MARK = "replaykit"


@attrs.define
class _State:
    """A test that has a recording: how it went so far, and what it failed with."""

    recording: RecordedTest
    passed: bool = True


_STATE: pytest.StashKey[_State] = pytest.StashKey()


class Run:
    """
    The recordings of the tests of one process.

    Attributes:
        counts: What to say at the end; of all workers where there are some.
        sessions: The recordings whose sessions are tests, open until the end.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.counts = Counts()
        self.sessions = OpenRecordings()
        self._config = config
        self._current: RecordedTest | None = None
        with _told_in_a_line():
            demand_folder(config.getini("replaykit_recordings"))

    # -- one test -----------------------------------------------------------------

    @contextmanager
    def recording(self, item: pytest.Item, config: Mapping[str, Any]) -> Generator[RecordedTest]:
        """Open the recording of *item* and give it; afterwards calls are not answered any more."""
        with _told_in_a_line():
            recorded = self._recorded_test(item, {**config, **_marked(item)})
            recorded.start()
        item.stash[_STATE] = _State(recorded)
        self._current = recorded
        try:
            yield recorded
        finally:
            self._current = None
            recorded.stop()

    def _recorded_test(self, item: pytest.Item, options: dict[str, Any]) -> RecordedTest:
        asked = self._config.getoption("replay_mode")
        mode = chosen_mode(
            asked, os.environ.get("REPLAYKIT_MODE"), options.pop("mode", None), self._config.getini("replaykit_mode")
        )
        place = self._place_of(item, options.pop("path", None))
        updates = bool(self._config.getoption("replay_update"))
        return RecordedTest(place, mode, PlayOptions.of(options), proposes=updates, switch="pytest --replay-mode=")

    def _place_of(self, item: pytest.Item, path: str | os.PathLike[str] | None) -> Place:
        if path is not None:
            return place_at(item.path.parent / path)
        return place_of(item.path, _names(item), folder=self._config.getini("replaykit_recordings"))

    def refusal(self, fixture: str) -> Callable[[], AbstractContextManager[None]]:
        """Return what makes a block that lets no call of *fixture* through, if the test that runs has a recording."""
        if self._current is None:
            return nullcontext
        return partial(
            self._current.refusing,
            f"{fixture}, which several tests share: the call would be in the recording of whichever comes first. "
            "Give the fixture the scope function, or name the call in live=",
        )

    def called(self, item: pytest.Item) -> None:
        """
        Return if *item*, which passed, noticed all that was not answered.

        Raises:
            NoMatchError: It did not.
        """
        state = item.stash.get(_STATE, None)
        if state is not None:
            state.recording.demand_answered()

    def ended(self, item: pytest.Item, *, whole: bool = True) -> None:
        """
        Write the recording of *item* if all of it passed, its teardown too (*whole*), and count what it did.

        Raises:
            NoMatchError: Its teardown did not notice that a call was not answered.
            StorageError, CaptureError: It cannot be written.
        """
        state = item.stash.get(_STATE, None)
        if state is None:
            return
        recorded = state.recording
        try:
            with _told_in_a_line():
                kept = _kept(recorded) if whole and state.passed else "nothing"
            self.counts.count(recorded, kept, passed=whole and state.passed)
        finally:
            item.user_properties += _properties(recorded)
            recorded.close()
            del item.stash[_STATE]

    def show_only_theirs(self, call: pytest.CallInfo[None]) -> None:
        """Show one of our errors without frames of ours, so that it ends with the call that the test made."""
        excinfo = call.excinfo
        if excinfo is not None and isinstance(excinfo.value, ReplaykitError):
            trace = without_our_frames(excinfo.tb)
            assert trace is not None  # an exception that was caught has a traceback
            call.excinfo = pytest.ExceptionInfo.from_exc_info((excinfo.type, excinfo.value, trace))

    def reported(self, item: pytest.Item, call: pytest.CallInfo[None], report: Any) -> None:
        """Note how a phase of *item* went, and put into its report what helps."""
        state = item.stash.get(_STATE, None)
        if report.when == "teardown" and item.user_properties:
            # The report was made before there was anything to say.
            report.user_properties = list(item.user_properties)
        if state is None:
            return
        if not report.passed:
            state.passed = False
        if report.failed:
            recorded = state.recording
            report.sections.append(("replaykit", f"{recorded.path}, mode {recorded.mode}"))
        if report.failed and call.excinfo is not None:
            report.replaykit_failure = call.excinfo.exconly()

    # -- the whole run ----------------------------------------------------------------

    def finish(self, session: pytest.Session, items: Sequence[pytest.Item]) -> None:
        """Look for stale recordings, hand over the counts or set the exit code, and let go of files."""
        self.sessions.close()
        worker = getattr(self._config, "workerinput", {}).get("workerid", "")
        if worker in ("", "gw0") and items and not self._is_partial():
            self._look_for_stale(items)
        if worker:
            self._config.workeroutput["replaykit"] = self.counts.to_record()  # type: ignore[attr-defined]  # xdist's
        elif self._stale_policy == "fail" and self.counts.stale and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @property
    def _stale_policy(self) -> str:
        return str(self._config.getoption("replay_stale") or self._config.getini("replaykit_stale"))

    def _is_partial(self) -> bool:
        """Return whether this run looks at some tests of a module only, so that it knows nothing of the others."""
        option = self._config.getoption
        chosen = option("lf", False) or option("collectonly", False) or option("replay_shard", None)
        # What is a test at all is said anew: -o python_functions=...
        said_anew = any(said.startswith("python_") for said in option("override_ini", None) or ())
        return bool(chosen) or said_anew or any("::" in argument for argument in self._config.args)

    def _look_for_stale(self, items: Sequence[pytest.Item]) -> None:
        folder = self._config.getini("replaykit_recordings")
        try:
            used = {self._place_of(item, _marked(item).get("path")).path for item in items}
        except (ReplaykitError, TypeError):
            # A wrong mark fails its own test: which recording it means nobody knows.
            return
        self.counts.stale = stale_recordings({str(item.path) for item in items}, used, folder)
        if self._stale_policy == "delete":
            found, self.counts.stale = self.counts.stale, remove_stale(self.counts.stale)
            self.counts.removed = [path for path in found if path not in self.counts.stale]

    def add(self, record: Mapping[str, Any]) -> None:
        """Add the counts of a worker."""
        self.counts.add(Counts(**record))

    def summarise(self, terminal: pytest.TerminalReporter) -> None:
        """Print a line of counts, what is to be done, and on GitHub an annotation for each failure."""
        for line in summary_lines(self.counts, self._config.invocation_params.dir):
            terminal.write_line(line)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            failed = [*terminal.stats.get("failed", ()), *terminal.stats.get("error", ())]
            for line in github_annotations(failed):
                terminal.write_line(line)


def _kept(recorded: RecordedTest) -> Kept:
    """Write the recording of a test that passed; a miss in its teardown has not been asked for before."""
    recorded.demand_answered()
    return recorded.keep()


@contextmanager
def _told_in_a_line() -> Generator[None]:
    """Let one of our errors, for which no line of the test is to blame, fail it without a traceback."""
    try:
        yield
    except ReplaykitError as error:
        notes = getattr(error, "__notes__", ())
        told = "\n".join([f"{type(error).__name__}: {error}", *notes])
        raise pytest.fail.Exception(told, pytrace=False) from None


def _marked(item: pytest.Item) -> dict[str, Any]:
    """Return the options of all marks of *item*; the nearer one counts."""
    options: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers(_MARK))):
        options |= mark.kwargs
        if mark.args:
            options["path"] = mark.args[0]
    return options


def _names(item: pytest.Item) -> list[str]:
    chain = item.listchain()
    modules = [number for number, node in enumerate(chain) if isinstance(node, pytest.Module)]
    return [node.name for node in chain[modules[-1] + 1 :]] if modules else [item.name]


def _properties(recorded: RecordedTest) -> list[tuple[str, object]]:
    """Return what JUnit's XML says of a test."""
    return [
        ("replaykit.recording", os.path.relpath(recorded.path)),
        ("replaykit.mode", recorded.mode),
        ("replaykit.played", recorded.play_count),
        ("replaykit.recorded", recorded.recorded_count),
        ("replaykit.unused", len(recorded.unused)),
    ]
