"""An assertion that is always on: what was synced once is never cut or written again."""

from __future__ import annotations

from collections.abc import Mapping

from replaykit.protocols import FileLayer
from replaykit.testing.files.wrapping import WrappedFiles

__all__ = ["GuardedFiles"]


class GuardedFiles(WrappedFiles):
    """
    Raises AssertionError where a file is cut, or would grow again, below what was synced of it.

    Hand ``watermarks`` of one life to the next one's *watermarks*, so that a
    recovery after a crash is held to what was promised before it.  Code under
    test may swallow the error: look at ``violations`` in the end.

    Attributes:
        watermarks: How many bytes of each path are synced, as far as was seen.
        violations: What was refused, as text.
    """

    def __init__(self, inner: FileLayer, watermarks: Mapping[str, int] | None = None) -> None:
        super().__init__(inner)
        self._paths: dict[int, str] = {}
        self.watermarks: dict[str, int] = dict(watermarks or {})
        self.violations: list[str] = []

    def open(self, path: str, *, write: bool, create: bool) -> int:
        """Open a file; a new one has nothing synced."""
        handle = self.inner.open(path, write=write, create=create)
        self._paths[handle] = path
        if create:
            self.watermarks[path] = 0
        return handle

    def append(self, handle: int, data: bytes) -> int:
        """Append, unless the file became shorter than what was synced."""
        self._demand_above(handle, self.inner.size(handle), "appends at")
        return self.inner.append(handle, data)

    def truncate(self, handle: int, size: int) -> None:
        """Cut, unless synced bytes would go."""
        self._demand_above(handle, size, "cuts to")
        self.inner.truncate(handle, size)

    def sync(self, handle: int) -> None:
        """Sync and remember how much."""
        # What is appended meanwhile by another thread may not be covered.
        size = self.inner.size(handle)
        self.inner.sync(handle)
        path = self._paths.get(handle, "")
        self.watermarks[path] = max(size, self.watermarks.get(path, 0))

    def close(self, handle: int) -> None:
        """Let go of the file."""
        self._paths.pop(handle, None)
        self.inner.close(handle)

    def remove(self, path: str) -> None:
        """Remove the name: what is named so next is another file."""
        self.inner.remove(path)
        self.watermarks.pop(path, None)

    def rename(self, source: str, target: str) -> None:
        """Rename: what was synced is synced under the new name."""
        self.inner.rename(source, target)
        self.watermarks[target] = self.watermarks.pop(source, 0)
        self._paths = {handle: target if path == source else path for handle, path in self._paths.items()}

    def _demand_above(self, handle: int, size: int, what: str) -> None:
        path = self._paths.get(handle, "")
        synced = self.watermarks.get(path, 0)
        if size < synced:
            self.violations.append(f"{path}: {what} {size}, and {synced} bytes are synced")
            raise AssertionError(self.violations[-1])
