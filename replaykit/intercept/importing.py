"""
Says when a module has been imported.

While somebody waits a finder stands first on ``sys.meta_path``; a module's
own loader and spec are back in their places before its code runs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from replaykit.intercept.tracebacks import leave_no_frame
from replaykit.logs import get_logger

__all__ = ["Told", "forget_import", "when_imported"]

log = get_logger("intercept")

Told = Callable[[ModuleType], None]
"""Called with a module once its code has run; with an empty one of its name for a namespace package."""


def when_imported(name: str, told: Told) -> None:
    """Have *told* called with the module *name*: now if it is there, else once it has been imported."""
    with _finder.lock:
        module = sys.modules.get(name)
        if module is None:
            _finder.wait(name, told)
            return
    told(module)


def forget_import(name: str, told: Told) -> None:
    """Call *told* no more; nothing happens if it does not wait."""
    with _finder.lock:
        _finder.forget(name, told)


class _Finder:
    """Finds with the finders behind it, and puts itself between a module that is waited for and its loader."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._waiting: dict[str, list[Told]] = {}

    def wait(self, name: str, told: Told) -> None:
        """Call *told* once *name* has been imported."""
        self._waiting.setdefault(name, []).append(told)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def forget(self, name: str, told: Told) -> None:
        """Call *told* no more."""
        waiting = self._waiting.get(name, [])
        if told in waiting:
            waiting.remove(told)
        self._leave_where_idle(name)

    def _leave_where_idle(self, name: str) -> None:
        if not self._waiting.get(name):
            self._waiting.pop(name, None)
        if not self._waiting and self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that is waited for, None of any other."""
        if name not in self._waiting:
            return None
        spec = self._found_behind(name, path, target)
        if spec is not None and spec.loader is None:
            # A namespace: there is no code to wait for.
            self._tell(ModuleType(name))
        elif spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _TellingLoader(spec.loader, self._tell)  # type: ignore[assignment]  # all that is asked of one
        return spec

    def _found_behind(self, *asked: Any) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(*asked)
            if spec is not None:
                return spec
        return None

    def _tell(self, module: ModuleType) -> None:
        with self.lock:
            told = self._waiting.pop(module.__name__, [])
            self._leave_where_idle(module.__name__)
        for each in told:
            try:
                each(module)
            except Exception as error:
                # The import is the program's: it succeeds without us.
                log.error("import_not_followed", imported=module.__name__, error=f"{type(error).__name__}: {error}")


_finder = _Finder()


class _TellingLoader:
    """Loads as *loader* does, and tells when that is done."""

    def __init__(self, loader: Any, tell: Told) -> None:
        self._loader = loader
        self._tell = tell

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the loader makes."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Let the loader run the module's code, with everything as if it had been called itself."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        try:
            self._loader.exec_module(module)
        except BaseException as error:
            leave_no_frame(error)
            raise
        self._tell(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
