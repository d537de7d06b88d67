"""A recording around a block, a function or a `unittest.TestCase`: the same as with pytest, without it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Literal, TypeVar

from replaykit.errors import UsageError
from replaykit.recording.decorating import each_within
from replaykit.regression.modes import Mode, chosen_mode, said_for_all
from replaykit.regression.places import Place, place_at, place_of
from replaykit.regression.recorded_test import PlayOptions, RecordedTest

__all__ = ["RecordingMixin", "use_recording"]

F = TypeVar("F", bound=Callable[..., Any])


class use_recording:  # noqa: N801 - it is used as a function is, with and without parentheses of a call
    """
    Play the recording at *path* in a block, and record what the mode lets run: a context manager, or a decorator.

    ``with use_recording("recordings/paris.rpk") as recording:`` gives the
    `RecordedTest`; ``async with`` and decorated coroutine functions and
    generators work alike.  *mode* is one of VCR's record modes; pytest's ``--replay-mode`` and
    the environment variable ``REPLAYKIT_MODE`` win over it; by default
    ``none`` on a build server (``CI``), else ``once``.  Blocks of concurrent
    tasks and threads have each its own recording; a thread that is in none
    has the last that was opened.  A block that an exception leaves writes nothing.
    The options are those of `PlayOptions`.

    Raises:
        UsageError: The mode or an option is unknown; the block is open already.
        StorageError: The recording cannot be read or written.
        NoMatchError: A call was not answered, and the block went on all the same.
        SecretFoundError: What would be written holds a secret in spite of the redaction.
    """

    def __init__(self, path: str | os.PathLike[str], *, mode: Mode | None = None, **options: Any) -> None:
        self._place = place_at(path)
        self._mode = mode
        self._options = PlayOptions.of(options)
        # So that a wrong mode is an error here, not in the middle of a test.
        chosen_mode(mode)
        self._open: RecordedTest | None = None

    def __enter__(self) -> RecordedTest:
        if self._open is not None:
            raise UsageError("this block is open already: make another one with use_recording(...)")
        self._open = _started(self._place, self._mode, self._options)
        return self._open

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        recorded, self._open = self._open, None
        if recorded is not None:
            finish(recorded, passed=kind is None)

    async def __aenter__(self) -> RecordedTest:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.__exit__(kind, *rest)

    def __call__(self, function: F) -> F:
        """
        Return *function* so that each call of it uses the recording; a generator does so to its end.

        A generator that is left before its end writes nothing.

        Raises:
            UsageError: It is a class, or no function.
        """
        if isinstance(function, type):
            raise UsageError(
                f"use_recording() decorates functions, and {function.__name__} is a class: decorate its tests, or, if "
                "it is a unittest.TestCase, give it the base class replaykit.testing.RecordingMixin"
            )
        if not callable(function):
            raise UsageError(f"use_recording() decorates functions, not a {type(function).__name__}")
        return each_within(self._again, function)

    def _again(self) -> use_recording:
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, _open=None)
        return copy


def _started(place: Place, mode: Mode | None, options: PlayOptions) -> RecordedTest:
    said = said_for_all()
    recorded = RecordedTest(place, said.mode_of(mode), options, proposes=said.proposes, switch=said.switch)
    recorded.start()
    return recorded


def finish(recorded: RecordedTest, *, passed: bool) -> None:
    """
    Stop, write what is new if the test has *passed*, and close; what was recorded can still be looked at.

    Raises:
        NoMatchError: A call was not answered, and the test passed all the same.
        StorageError, CaptureError: The recording cannot be written.
    """
    with closing(recorded):
        recorded.stop()
        try:
            if passed:
                recorded.demand_answered()
                recorded.keep()
        finally:
            recorded.hold()


class RecordingMixin:
    """
    Gives each test of a `unittest.TestCase` a recording: ``class TestNotes(RecordingMixin, unittest.TestCase)``.

    The file is ``recordings/<module>/<class>.<test>.rpk`` beside the module.
    ``setUp`` begins it, so a ``setUp`` of one's own calls ``super().setUp()``
    first.  A test that fails, or is skipped, writes nothing, nor does one of
    which a subtest, the teardown or a cleanup fails.

    Attributes:
        recording: The `RecordedTest` of the test that runs.
        recording_mode: One of VCR's record modes; ``REPLAYKIT_MODE`` and pytest's ``--replay-mode`` win over it.
        recording_options: The options of `PlayOptions`.
    """

    recording: RecordedTest
    recording_mode: Mode | None = None
    recording_options: Mapping[str, Any] = {}
    _stage: Literal["before", "begun", "running", "returned"] = "before"

    def setUp(self) -> None:
        """Begin to play and record."""
        case: Any = self
        module = sys.modules[type(self).__module__].__file__
        assert module is not None  # a class of a test has a file
        place = place_of(module, [type(self).__qualname__, case._testMethodName])
        self.recording = _started(place, self.recording_mode, PlayOptions.of(self.recording_options))
        self._stage = "begun"
        super().setUp()  # type: ignore[misc]  # the TestCase beside this class has it

    def _callTestMethod(self, method: Any) -> None:  # noqa: N802 - unittest's name
        self._stage = "running"
        try:
            super()._callTestMethod(method)  # type: ignore[misc]  # as above
        except BaseException:
            # An expected failure is none for unittest.
            self._stage = "begun"
            raise
        self._stage = "returned"

    def doCleanups(self) -> bool:  # noqa: N802 - unittest's name
        """Run the cleanups, and after the last of them write the recording, if all of the test has passed."""
        case: Any = super()
        is_successful = bool(case.doCleanups())
        # A test may run its cleanups itself and go on.
        if self._stage in ("begun", "returned"):
            passed = is_successful and self._stage == "returned"
            self._stage = "before"
            # A cleanup itself, so that what it raises is the test's.
            case.addCleanup(finish, self.recording, passed=passed)
            is_successful = bool(case.doCleanups())
        return is_successful
