"""Which adapter reads and fills a store: found by the store's type, so that nothing of its library is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from replaykit.adapters.chroma import ChromaFrames
from replaykit.adapters.langchain import InMemoryFrames
from replaykit.adapters.memvid import MemvidFrames
from replaykit.errors import UsageError
from replaykit.protocols import Restorable

__all__ = ["restorable_of"]

_ADAPTERS: dict[str, Callable[[Any], Restorable]] = {
    "chromadb.api.models.Collection.Collection": ChromaFrames,
    "langchain_core.vectorstores.in_memory.InMemoryVectorStore": InMemoryFrames,
    "memvid_sdk.Memvid": MemvidFrames,
}


def restorable_of(target: Any, given: Any = True) -> Restorable:
    """
    Return what reads and fills *target*: *given*, or for True the adapter of its type, or *target* itself.

    Raises:
        UsageError: Nothing is known that could.
    """
    if given is not True:
        return _demanded(given, f"frames= is True or an object with frames() and restore(), not {given!r}")
    for cls in type(target).__mro__:
        adapter = _ADAPTERS.get(f"{cls.__module__}.{cls.__qualname__}")
        if adapter is not None:
            return adapter(target)
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
