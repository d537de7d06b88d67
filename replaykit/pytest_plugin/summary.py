"""What a run says of its recordings at the end, on the terminal and to GitHub."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from replaykit.regression.annotations import annotation
from replaykit.regression.recorded_test import Kept, RecordedTest

__all__ = ["Counts", "github_annotations", "summary_lines"]


@attrs.define
class Counts:
    """What the tests of a run did with their recordings; plain values, since workers send it."""

    tests: int = 0
    played: int = 0
    recorded: int = 0
    unused: dict[str, int] = attrs.field(factory=dict)
    written: list[str] = attrs.field(factory=list)
    proposed: list[str] = attrs.field(factory=list)
    uncovered: dict[str, int] = attrs.field(factory=dict)
    without_form: dict[str, int] = attrs.field(factory=dict)
    stale: list[str] = attrs.field(factory=list)
    removed: list[str] = attrs.field(factory=list)

    def count(self, recorded: RecordedTest, kept: Kept, *, passed: bool = True) -> None:
        """Add one test, and what became of its recording."""
        self.tests += 1
        self.played += recorded.play_count
        self.recorded += recorded.recorded_count if kept != "nothing" else 0
        # A test that failed did not come to its other calls, and what one
        # test leaves of a shared recording others make.
        if passed and not recorded.place.is_shared and len(recorded.unused):
            self.unused[recorded.path] = len(recorded.unused)
        if kept == "recorded":
            self.written.append(recorded.path)
        elif kept == "proposed":
            self.proposed.append(recorded.path)
        self.uncovered = dict(Counter(self.uncovered) + Counter(recorded.uncovered))
        self.without_form = dict(Counter(self.without_form) + Counter(recorded.without_form))

    def add(self, other: Counts) -> None:
        """Add what another process has counted."""
        self.tests += other.tests
        self.played += other.played
        self.recorded += other.recorded
        self.unused |= other.unused
        self.written += other.written
        self.proposed += other.proposed
        self.stale += other.stale
        self.removed += other.removed
        self.uncovered = dict(Counter(self.uncovered) + Counter(other.uncovered))
        self.without_form = dict(Counter(self.without_form) + Counter(other.without_form))

    def to_record(self) -> dict[str, Any]:
        """Return it as a dict of plain values."""
        return attrs.asdict(self)


_MOST_NAMED = 10


def summary_lines(counts: Counts, folder: str | os.PathLike[str]) -> Iterator[str]:
    """Yield lines for the end of a run; paths are relative to *folder*."""
    if not (counts.tests or counts.stale or counts.removed):
        return
    unused = sum(counts.unused.values())
    yield f"replaykit: {counts.played} played, {counts.recorded} recorded, {unused} unused"
    yield from _named("calls that their tests make no more (--replay-mode=rewrite drops them):", counts.unused, folder)
    yield from _named("changed, waiting for `replaykit review`:", counts.proposed, folder)
    yield from _named("deleted, no test has them:", counts.removed, folder)
    yield from _named("stale, no test has them (--replay-stale=delete removes them):", counts.stale, folder)
    if counts.uncovered:
        yield f"  ran for real, since nothing says what they are: {_calls(counts.uncovered)}"
    number = sum(counts.without_form.values())
    if number:
        calls = f"{number} recorded calls were" if number > 1 else "1 recorded call was"
        yield (
            f"  {calls} given what has no stored form, and any other object of that class matches: "
            f"{_calls(counts.without_form)}"
        )


def _calls(counts: Mapping[str, int]) -> str:
    shown = [f"{name} ({count})" for name, count in sorted(counts.items())[:_MOST_NAMED]]
    return ", ".join([*shown, *([f"and {len(counts) - _MOST_NAMED} more"] if len(counts) > _MOST_NAMED else [])])


def _named(title: str, paths: Sequence[str] | Mapping[str, int], folder: str | os.PathLike[str]) -> Iterator[str]:
    if not paths:
        return
    yield f"  {title}"
    for path in sorted(paths)[:_MOST_NAMED]:
        count = f" ({paths[path]})" if isinstance(paths, Mapping) else ""
        yield f"    {os.path.relpath(path, folder)}{count}"
    if len(paths) > _MOST_NAMED:
        yield f"    and {len(paths) - _MOST_NAMED} more"


def github_annotations(reports: Sequence[Any]) -> Iterator[str]:
    """Yield a workflow command for each of *reports* that is of a test with a recording and failed."""
    for report in reports:
        message = getattr(report, "replaykit_failure", None)
        if message is not None:
            file, line, name = report.location
            yield annotation(file, (line or 0) + 1, name, message)
