"""A failed test as GitHub shows it in the changes of a pull request."""

from __future__ import annotations

from replaykit.playback.reports import workflow_error

__all__ = ["annotation"]


def annotation(file: str, line: int, title: str, message: str) -> str:
    """
    Return the workflow command, a line, that marks *line* (from 1) of *file*, a path in the repository.

    Nothing in the texts can end the line or begin a command of its own.
    """
    return workflow_error(message, file=file, line=line, title=title)
