"""The embedded memory: `Memory`, the engine's operations with recording in front."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from replaykit.intercept.binding import Binder, binder_of
from replaykit.intercept.shapes import RUNNERS, Recorded
from replaykit.memory.engine import UNSET, Engine, Unset
from replaykit.memory.vectors import VectorStatus
from replaykit.model import Answer, Frame, ReplayConfig, SearchResult, StateSnapshot
from replaykit.operations import Operation
from replaykit.recording.engine import RecordingEngine
from replaykit.settings import Settings
from replaykit.surface import SessionSurface

__all__ = ["Memory", "open_memory"]

_SOURCE = "replaykit.Memory"
_OPERATIONS = {
    "put": Operation(kind="put", name="put", source=_SOURCE),
    "put_many": Operation(kind="put_many", name="put_many", source=_SOURCE, ignore=("progress",)),
    "update": Operation(kind="update", name="update", source=_SOURCE),
    "delete": Operation(kind="delete", name="delete", source=_SOURCE),
    "get": Operation(kind="find", name="get", source=_SOURCE, by_id=True),
    "find": Operation(kind="find", name="find", source=_SOURCE),
    "ask": Operation(kind="ask", name="ask", source=_SOURCE),
}


def _given(bind: Binder) -> Binder:
    """Leave out what was not given where None has a meaning: it is no value that could be stored."""

    def bind_given(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return {name: value for name, value in bind(*args, **kwargs).items() if value is not UNSET}

    return bind_given


def _chosen(**options: tuple[Any, Any]) -> dict[str, Any]:
    """Leave out what is as usual, given as (value, usual): a call then matches recordings older than the option."""
    return {name: value for name, (value, usual) in options.items() if type(value) is not type(usual) or value != usual}


class Memory(SessionSurface):
    """
    A memory in one file: no server, no key.

    Its sessions are kept in the same file unless a *store* was given.  Usable
    from any thread.  A closed memory raises `ClosedError`.
    """

    def __init__(self, engine: Engine, recording: RecordingEngine) -> None:
        self._frames = engine
        self._engine = recording
        recording.identity = self
        self._recorded = {
            name: Recorded(operation, _given(binder_of(getattr(engine, name))), self, engine.last_generation)
            for name, operation in _OPERATIONS.items()
        }

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return RUNNERS["plain"](self._recorded[name], getattr(self._frames, name), args, kwargs)

    # -- writing ------------------------------------------------------------------

    def put(
        self,
        content: str | bytes,
        *,
        title: str | None = None,
        uri: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """
        Store one frame; return its id.

        Raises:
            UsageError: The content is neither text nor bytes, or the metadata cannot be stored.
            StorageError: The file refuses (a full disk, a lock).
        """
        frame_id: int = self._call("put", content, title=title, uri=uri, metadata=metadata)
        return frame_id

    def put_many(
        self,
        items: Iterable[str | bytes | Mapping[str, Any]],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[int]:
        """
        Store many frames in one transaction; return their ids in order.

        An item is a content, or a dict with ``content`` and the keywords of
        `put`.  *progress* is called with the number stored so far.  Recorded
        as one action.

        Raises:
            UsageError: An item cannot be stored; then none is.
        """
        # A generator would be used up by the recording, or by the call.
        listed = items if isinstance(items, (list, tuple)) else list(items)
        frame_ids: list[int] = self._call("put_many", listed, progress=progress)
        return frame_ids

    def update(
        self,
        frame_id: int,
        content: str | bytes | Unset = UNSET,
        *,
        title: str | None | Unset = UNSET,
        uri: str | None | Unset = UNSET,
        metadata: Mapping[str, Any] | None | Unset = UNSET,
    ) -> None:
        """
        Give a frame new content or fields; it keeps its id, and what is not given stays.

        Raises:
            FrameNotFoundError: There is no such live frame.
            UsageError: A value cannot be stored.
        """
        given = {
            name: value
            for name, value in (("content", content), ("title", title), ("uri", uri), ("metadata", metadata))
            if value is not UNSET
        }
        self._call("update", frame_id, **given)

    def delete(self, frame_id: int) -> None:
        """
        Remove a frame.

        Raises:
            FrameNotFoundError: There is no such live frame.
        """
        self._call("delete", frame_id)

    # -- reading ------------------------------------------------------------------

    def get(self, frame_id: int) -> Frame:
        """
        Return one frame; recorded as a find with mode ``id``.

        Raises:
            FrameNotFoundError: There is no such live frame.
        """
        frame: Frame = self._call("get", frame_id)
        return frame

    def find(
        self, query: str, k: int = 10, *, mode: str = "auto", where: Mapping[str, Any] | None = None
    ) -> SearchResult:
        """
        Return the best *k* frames for *query*, best first, ties by id; any text is a query.

        *mode* is ``lex`` (by words), ``vec`` (by meaning), ``hybrid`` (both)
        or ``auto``: ``hybrid`` where an embedder is set up, else ``lex``.
        *where* keeps to the frames whose metadata fits, such as
        ``{"lang": "en", "year": {"$gte": 2020}}``.

        Raises:
            UsageError: *k* is not positive, *mode* is not set up (the message says how), or *where* is no filter.
            EmbedderError: The embedding model failed.
        """
        result: SearchResult = self._call("find", query, k, mode=mode, **_chosen(where=(where, None)))
        return result

    def ask(
        self,
        question: str,
        k: int = 6,
        *,
        model: str = "extractive",
        mode: str = "auto",
        where: Mapping[str, Any] | None = None,
    ) -> Answer:
        """
        Answer *question* from the best *k* frames; ``extractive`` needs no network and names the frames it used.

        *mode* and *where* choose the frames, as in `find`.

        Raises:
            UsageError: *k* is not positive, the model is unknown, *mode* is not set up, or *where* is no filter.
            EmbedderError: The embedding model failed.
        """
        answer: Answer = self._call(
            "ask", question, k, model=model, **_chosen(mode=(mode, "auto"), where=(where, None))
        )
        return answer

    def reembed(self, embedder: Any = None, *, progress: Callable[[int], None] | None = None) -> int:
        """
        Compute the vectors that are lacking, or all where *embedder* is a new model; return how many; not recorded.

        *progress* is called with the number computed so far.  What is done
        stays when it is interrupted.

        Raises:
            UsageError: The memory was opened without an embedder, and none is given.
            EmbedderError: The model failed.
            ReadOnlyError: The memory was opened for reading.
        """
        return self._frames.reembed(embedder, progress=progress)

    @property
    def vectors(self) -> VectorStatus:
        """Which embedding model the memory's vectors are of, and how many live frames have or lack one."""
        return self._frames.vector_status()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the live frames by ascending id; not recorded."""
        return self._frames.frames()

    def __len__(self) -> int:
        return len(self._frames)

    def __contains__(self, frame_id: object) -> bool:
        return frame_id in self._frames

    @property
    def generation(self) -> int:
        """How many writes this memory has seen; 0 when it is new."""
        return self._frames.generation

    @property
    def path(self) -> str:
        """Where it is, as it was opened."""
        return self._frames.path

    def snapshot(self) -> StateSnapshot:
        """Return what the memory holds now; its ids are read when they are looked at."""
        return self._frames.snapshot(with_ids=False)[0]

    # -- the end ------------------------------------------------------------------

    def close(self) -> None:
        """End open sessions, publish them and close the file; closing twice is fine."""
        self._engine.close()
        self._frames.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Memory {self.path}>"


def open_memory(
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    read_only: bool = False,
    embedder: Any = None,
    store: str | os.PathLike[str] | None = None,
    config: ReplayConfig | None = None,
    **options: Any,
) -> Memory:
    """
    Open the memory at *path* (``":memory:"`` for one in RAM), creating it if need be.

    *embedder* is ``"semantic"`` (a small model that runs offline, extra
    ``semantic``) or any `Embedder`: frames get vectors, and are found by
    meaning too.  Sessions are kept in the same file, or in *store*.  The options are those
    of a `Recorder`; ``config=ReplayConfig(auto_record=True)`` starts a session
    at once.

    Raises:
        StoreNotFoundError: There is no file and *create* is false.
        NotAStoreError: The file is something else; it is left as it is.
        StorageError: The system refuses the file.
        EmbedderMismatchError: Its vectors are another model's.
        UsageError: An option is unknown or wrong, or an extra is not installed.
    """
    settings = Settings.of({"config": config, **options})
    engine = Engine(os.fspath(path), create=create, read_only=read_only, embedder=embedder)
    recording = RecordingEngine(
        os.fspath(path) if store is None else store,
        settings,
        state_source=engine,
        frames_at=engine.frame_ids_at,
        # A store elsewhere must be readable without this memory.
        stores_ids=store is not None,
        # With a store elsewhere the sessions of a read-only memory are kept there.
        read_only=read_only and store is None,
    )
    memory = Memory(engine, recording)
    recording.start_if_asked()
    return memory
