"""
Which adapter knows an object: found by the modules of its classes, so that nothing of its library is imported.

An adapter is an entry point of the group ``replaykit.adapters``; ours are
registered like anyone's.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, cast

from replaykit.errors import UsageError
from replaykit.logs import get_logger
from replaykit.operations import Adapter, MethodMap
from replaykit.protocols import Restorable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "adapter_of", "map_of", "module_map_of", "restorable_of", "supported_libraries"]

log = get_logger("adapters")

GROUP = "replaykit.adapters"
"""The group of entry points that adapters are in; an entry's name is the top-level module of its library."""


def map_of(cls: type, given: Adapter | None = None) -> MethodMap | None:
    """
    Return what is known of the methods of *cls* and of its bases, None where nothing is.

    With a *given* adapter that one alone is asked, installed or not.  One
    that is installed and cannot be loaded is logged and counts as none.
    """
    found = None
    for base in cls.__mro__:
        adapter = given or _adapter_for(base.__module__)
        known = None if adapter is None else adapter.classes.get(f"{base.__module__}.{base.__qualname__}")
        if known is not None:
            found = known if found is None else found.over(known)
    return found


def module_map_of(name: str, given: Adapter | None = None) -> MethodMap | None:
    """Return what is known of the functions of the module *name*; as for `map_of`."""
    adapter = given or _adapter_for(name)
    return None if adapter is None else adapter.modules.get(name)


def _adapter_for(module: str) -> Adapter | None:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "__main__":
        return None
    return adapter_of(top)


def supported_libraries() -> frozenset[str]:
    """Return the top-level modules of the libraries that have an adapter, installed or not."""
    return frozenset(entry.name for entry in _entries(tuple(sys.path)))


def adapter_of(library: str) -> Adapter | None:
    """Return the adapter of the library with this top-level module, None where there is none that can be loaded."""
    return _loaded(library, tuple(sys.path))


@functools.lru_cache(maxsize=1024)
def _loaded(top: str, path: tuple[str, ...]) -> Adapter | None:
    for entry in _entries(path):
        if entry.name != top:
            continue
        try:
            adapter = entry.load()
        except Exception as error:
            # Somebody's adapter: the object can be recorded without it.
            log.warning("adapter_not_loaded", adapter=entry.value, error=f"{type(error).__name__}: {error}")
            continue
        if isinstance(adapter, Adapter):
            return adapter
        log.warning("adapter_not_loaded", adapter=entry.value, error=f"it is no Adapter but a {type(adapter).__name__}")
    return None


@functools.lru_cache(maxsize=4)
def _entries(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the registered adapters; *path* is where they were looked for."""
    # Loaded on first use: whoever records functions of their own asks for none.
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP))


# -- what reads and fills a store ---------------------------------------------------


def restorable_of(target: Any, given: Any = True) -> Restorable:
    """
    Return what reads and fills *target*: *given*, or for True what its adapter names, or *target* itself.

    Raises:
        UsageError: Nothing is known that could.
    """
    if given is not True:
        return _demanded(given, f"frames= is True or an object with frames() and restore(), not {given!r}")
    known = map_of(type(target))
    if known is not None and known.frames is not None:
        return known.frames(target)
    return _demanded(
        target,
        f"a {type(target).__name__} cannot be read and filled: give frames= an object with frames() and "
        "restore(frames), or give the class these methods",
    )


def _demanded(candidate: Any, refusal: str) -> Restorable:
    # A class is told from an instance: its methods are there, but bound to nothing.
    if isinstance(candidate, type) or not all(
        callable(getattr(candidate, name, None)) for name in ("frames", "restore")
    ):
        raise UsageError(refusal)
    return cast(Restorable, candidate)
