"""
Whole libraries, recorded as they are imported: each class and function that an adapter knows.

The session of the calling context takes the calls.  Nothing is imported for
it, and it is undone exactly.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from types import ModuleType

from replaykit.adapters.finding import adapter_of, supported_libraries
from replaykit.errors import UsageError
from replaykit.intercept.importing import forget_import, when_imported
from replaykit.logs import get_logger
from replaykit.operations import MethodMap

__all__ = ["instrument_libraries", "uninstrument_libraries"]

log = get_logger("adapters")

_libraries: dict[str, _Library] = {}
"""The libraries that are instrumented, by their top-level modules."""

_changing = threading.RLock()


def instrument_libraries(names: Iterable[str] = ()) -> None:
    """
    Record the libraries with these top-level modules, those that are imported and those that will be.

    Without *names* every library that has an adapter; one that is recorded
    already goes on.

    Raises:
        UsageError: No adapter is installed for a name; nothing has changed.
    """
    supported = supported_libraries()
    chosen = list(names) or sorted(supported)
    for name in chosen:
        if name not in supported:
            raise UsageError(
                f"no adapter is installed for {name!r}: there are those of {', '.join(sorted(supported)) or 'none'}. "
                "docs/how-to/write-an-adapter.md shows how to write one"
            )
    with _changing:
        for name in chosen:
            if name not in _libraries:
                _libraries[name] = _Library(name)
                _libraries[name].begin()


def uninstrument_libraries(names: Iterable[str] = ()) -> None:
    """Leave the libraries *names*, or all of them, as they were; one that is not recorded is left alone."""
    with _changing:
        for name in list(names) or list(_libraries):
            library = _libraries.pop(name, None)
            if library is not None:
                ended = library.end()
                for other in _libraries.values():
                    other.record_again(ended)


class _Library:
    """One library: which of its modules are waited for, and which classes are recorded."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: dict[str, dict[str, MethodMap]] = {}
        self._functions: dict[str, MethodMap] = {}
        self._classes: dict[type, MethodMap] = {}

    def begin(self) -> None:
        """Wait for the library; its adapter is loaded once it is imported."""
        when_imported(self._name, self._imported)

    def _imported(self, _module: ModuleType) -> None:
        adapter = adapter_of(self._name)
        if adapter is None:
            return
        for path, methods in adapter.classes.items():
            module, _, qualified = path.rpartition(".")
            if methods.operations or methods.chains:
                self._rows.setdefault(module, {})[qualified] = methods
        self._functions = dict(adapter.modules)
        for module in self._modules():
            when_imported(module, self._loaded)

    def _modules(self) -> frozenset[str]:
        return frozenset((*self._rows, *self._functions))

    def _loaded(self, module: ModuleType) -> None:
        rows_of_classes = self._rows.get(module.__name__, {})
        found = {getattr(module, name, None): rows for name, rows in rows_of_classes.items()}
        classes = {cls: rows for cls, rows in found.items() if isinstance(cls, type)}
        # What a subclass says of a method holds against what its bases say.
        for cls in sorted(classes, key=lambda each: len(each.__mro__)):
            self._record(cls, classes[cls])
        if module.__name__ in self._functions:
            from replaykit.intercept.instrumented_modules import instrument_module

            instrument_module(module, self._functions[module.__name__])

    def _record(self, cls: type, methods: MethodMap) -> None:
        # A program that uses no such library is spared a fifth of our start.
        from replaykit.intercept.instrumenting import instrument_class

        try:
            instrument_class(cls, methods)
        except UsageError as error:
            log.warning("class_not_recorded", library=self._name, error=str(error))
            return
        self._classes[cls] = methods

    def end(self) -> list[type]:
        """Record nothing of it any more; return the classes that were recorded."""
        forget_import(self._name, self._imported)
        for module in self._modules():
            forget_import(module, self._loaded)
        from replaykit.intercept.instrumented_modules import uninstrument_module
        from replaykit.intercept.instrumenting import uninstrument_class

        for module in self._functions.keys() & sys.modules.keys():
            uninstrument_module(sys.modules[module])

        classes = list(self._classes)
        for cls in reversed(classes):
            uninstrument_class(cls)
        return classes

    def record_again(self, ended: list[type]) -> None:
        """Record on what inherits from this library what another one has just ended for its own classes."""
        from replaykit.intercept.instrumenting import instrument_class

        for cls, methods in self._classes.items():
            if any(issubclass(other, cls) for other in ended):
                instrument_class(cls, methods)
