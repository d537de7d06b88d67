"""For users and plug-in authors: a recording as a test, and what a store has to pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replaykit.regression.asserting import assert_replays as assert_replays
    from replaykit.regression.recorded_test import RecordedTest as RecordedTest
    from replaykit.regression.use import RecordingMixin as RecordingMixin
    from replaykit.regression.use import use_recording as use_recording

_WHERE = {
    "RecordedTest": "replaykit.regression.recorded_test",
    "RecordingMixin": "replaykit.regression.use",
    "assert_replays": "replaykit.regression.asserting",
    "use_recording": "replaykit.regression.use",
}

__all__ = ["RecordedTest", "RecordingMixin", "assert_replays", "use_recording"]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _WHERE:
        raise AttributeError(f"module 'replaykit.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
