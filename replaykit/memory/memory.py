"""The embedded memory: `Memory`, the engine's operations with recording in front."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, Unpack

import attrs

from replaykit.errors import UsageError
from replaykit.intercept.binding import Binder, binder_of
from replaykit.intercept.recorded import Recorded
from replaykit.intercept.shapes import RUNNERS
from replaykit.memory.asking.models import ModelChoice
from replaykit.memory.asking.options import AskOptions
from replaykit.memory.asking.recorded import recorded_asks, run_ask
from replaykit.memory.asking.streams import AnswerStream, AsyncAnswerStream
from replaykit.memory.bisecting import bisect, find_arguments, with_writer
from replaykit.memory.engine import UNSET, Engine, Unset
from replaykit.memory.files import read_file
from replaykit.memory.history import Moment, of_another_memory
from replaykit.memory.holding import memory_of, sessions_with
from replaykit.memory.keeping import generations_to_keep
from replaykit.memory.replaying import SOURCE, Live, replay_target
from replaykit.memory.vectors import VectorStatus
from replaykit.model import (
    Answer,
    Bisection,
    Checkpoint,
    Erasure,
    Frame,
    Lineage,
    Pruning,
    ReplayAction,
    ReplayConfig,
    ReplayOptions,
    SearchResult,
    StateSnapshot,
)
from replaykit.operations import Operation
from replaykit.recording.engine import RecordingEngine
from replaykit.settings import Settings
from replaykit.surface import SessionSurface

__all__ = ["Memory", "open_memory"]

_OPERATIONS = {
    "put": Operation(kind="put", name="put", source=SOURCE, ignore=("dedupe",)),
    "put_many": Operation(kind="put_many", name="put_many", source=SOURCE, ignore=("progress", "dedupe")),
    "update": Operation(kind="update", name="update", source=SOURCE),
    "delete": Operation(kind="delete", name="delete", source=SOURCE),
    "erase": Operation(kind="delete", name="erase", source=SOURCE),
    "get": Operation(kind="find", name="get", source=SOURCE, by_id=True),
    "find": Operation(kind="find", name="find", source=SOURCE),
    # It returns a generation, which is no frame's id.
    "restore": Operation(kind="update", name="restore", source=SOURCE, ids="result.frame_ids"),
}

# A file that can be read is recorded as the put of what is in it, which plays
# and replays without the file.  Of another there is no content to hash.
_REFUSED_FILE = Operation(kind="put", name="put_file", source=SOURCE, content="arguments.content")


def _given(bind: Binder) -> Binder:
    """Leave out what was not given where None has a meaning: it is no value that could be stored."""

    def bind_given(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return {name: value for name, value in bind(*args, **kwargs).items() if value is not UNSET}

    return bind_given


def _by_generation(bind: Binder) -> Binder:
    """Say a moment by its generation, which a replay on a fork understands."""

    def bind_plain(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return {name: _generation(value) for name, value in bind(*args, **kwargs).items()}

    return bind_plain


def _meant(moment: Moment | None, generation: int | None) -> Moment:
    """
    Return the moment that is meant, by itself or by its generation.

    Raises:
        UsageError: It is a bare number, both were given, or neither.
    """
    if isinstance(moment, int):
        raise UsageError(
            f"{moment} alone may be a checkpoint's number or a generation: give the Checkpoint itself "
            f"(get_session(which).checkpoints has them), or generation={moment}"
        )
    if (moment is None) == (generation is None):
        raise UsageError("give a checkpoint, an action or a datetime, or generation=")
    return generation if moment is None else moment  # type: ignore[return-value]  # one of them was given


def _generation(moment: Any) -> Any:
    if isinstance(moment, Checkpoint):
        return moment.snapshot.generation
    return moment.generation if isinstance(moment, ReplayAction) else moment


def _chosen(**options: tuple[Any, Any]) -> dict[str, Any]:
    """Leave out what is as usual, given as (value, usual): a call then matches recordings older than the option."""
    return {name: value for name, (value, usual) in options.items() if type(value) is not type(usual) or value != usual}


class Memory(SessionSurface):
    """
    A memory in one file: no server, no key.

    Its sessions are kept in the same file unless a *store* was given.  Usable
    from any thread.  A closed memory raises `ClosedError`.
    """

    def __init__(self, engine: Engine, recording: RecordingEngine, *, present: Memory | None = None) -> None:
        self._frames = engine
        self._engine = recording
        self._present = present
        if present is None:
            recording.identity = self
        identity = present or self
        self._recorded = {
            name: Recorded(operation, identity, engine.last_generation, bind=bind(binder_of(getattr(engine, name))))
            for name, operation in _OPERATIONS.items()
            for bind in (_by_generation if name == "restore" else _given,)
        }
        self._recorded["put_file"] = Recorded(
            _REFUSED_FILE, self, engine.last_generation, bind=binder_of(self.put_file)
        )
        self._recorded |= recorded_asks(identity, SOURCE)

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
        dedupe: bool = False,
    ) -> int:
        """
        Store one frame; return its id.

        With *dedupe* nothing is stored where live frames have the same
        content, title, uri and metadata: the lowest of their ids is returned.

        Raises:
            UsageError: The content is neither text nor bytes, or the metadata cannot be stored.
            StorageError: The file refuses (a full disk, a lock).
        """
        frame_id: int = self._call("put", content, title=title, uri=uri, metadata=metadata, dedupe=dedupe)
        return frame_id

    def put_file(
        self,
        path: str | os.PathLike[str],
        *,
        title: str | None = None,
        uri: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        dedupe: bool = False,
        encoding: str | None = "utf-8",
    ) -> int:
        """
        Store what a file holds as one frame; return its id.

        The content is a text where the file decodes as *encoding* and has no
        NUL (a byte order mark is left out), else bytes; with *encoding* None
        always bytes.  The title is the file's name and the uri its ``file://``
        address unless they are given.  Recorded as the `put` that it makes.

        Raises:
            UsageError: There is no such file, or it cannot be read, is no regular file or larger than a frame
                may be.  Nothing is stored; recorded as ``put_file``.
            StorageError: The memory's own file refuses.
        """
        try:
            found = read_file(path, encoding=encoding)
        except UsageError as error:
            self._refuse_file(error, path, title=title, uri=uri, metadata=metadata, dedupe=dedupe, encoding=encoding)
        title, uri = found.name if title is None else title, found.uri if uri is None else uri
        return self.put(found.content, title=title, uri=uri, metadata=metadata, dedupe=dedupe)

    def _refuse_file(self, error: UsageError, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise *error*, recorded as the failed call that it is."""

        def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
            raise error

        RUNNERS["plain"](self._recorded["put_file"], refuse, args, kwargs)
        raise error

    def put_many(
        self,
        items: Iterable[str | bytes | Mapping[str, Any]],
        *,
        progress: Callable[[int], None] | None = None,
        dedupe: bool = False,
    ) -> list[int]:
        """
        Store many frames in one transaction; return their ids in order.

        An item is a content, or a dict with ``content`` and the keywords of
        `put`.  *progress* is called with the number stored so far; what it
        raises stops the call and nothing is stored.  With *dedupe* an item
        that equals a live frame or an earlier item gives that one's id.
        Recorded as one action.

        Raises:
            UsageError: An item cannot be stored; then none is.
        """
        # A generator would be used up by the recording, or by the call; what is one item is for the call to refuse.
        listed = items if isinstance(items, (list, tuple, str, bytes, Mapping)) else list(items)
        frame_ids: list[int] = self._call("put_many", listed, progress=progress, dedupe=dedupe)
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

    def erase(self, frame_id: int | Iterable[int]) -> Erasure:
        """
        Take a frame, or several, out of this memory, its past and its known forks, to the last byte.

        Also one that was deleted before.  A keyed hash of the content stays,
        which only this memory's key makes from the same content.  The file is
        rewritten, once for all frames of a call.  Killed on the way, a frame
        is whole still, or gone; the next opening for writing then overwrites
        what is left of its bytes.  Sessions keep what they recorded: the
        result names them, and ``delete_session(which, erase=True)`` erases one.

        Raises:
            FrameNotFoundError: The memory never gave one of these ids; nothing is changed.
            LockedError: Another process is using the file.  Erase again: the frames may be gone, but not
                their bytes.
            StorageError: The file cannot be rewritten (a full disk); likewise.
        """
        # A generator would be used up by the recording, or by the call.
        named = list(frame_id) if isinstance(frame_id, Iterable) and not isinstance(frame_id, str) else frame_id
        erasure: Erasure = RUNNERS["plain"](self._recorded["erase"], self._erase, (named,), {})
        return erasure

    def _erase(self, frame_id: int | list[int]) -> Erasure:
        erasure = self._frames.erase(frame_id)
        sessions = sessions_with(self._engine.lease.catalogue, erasure.frame_ids, source=SOURCE)
        return attrs.evolve(erasure, sessions=sessions)

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
        self, question: str, k: int = 6, *, model: ModelChoice = "extractive", **options: Unpack[AskOptions]
    ) -> Answer:
        """
        Answer *question* from the best *k* frames.

        *model* is ``"extractive"`` (offline: the frames' own sentences),
        ``"openai:NAME"``, ``"ollama:NAME"``, ``"vllm:NAME"``, ``"lmstudio:NAME"``,
        or a callable ``(question, hits) -> str``.  Options: ``mode`` and ``where`` as in `find`;
        for a server's model ``base_url``, ``api_key`` (never recorded),
        ``timeout_s`` (60), ``temperature``, ``max_tokens`` and ``system``
        (instructions in place of the usual ones).  Without hits no model is called.

        Raises:
            UsageError: *k* is not positive, the model is unknown, it or *mode* is not set up, or *where* is no filter.
            EmbedderError: The embedding model failed.
            ProviderError: The model's server gave no answer; nothing is tried again.
        """
        answer: Answer = self._ask("ask", question, k, model=model, **options)
        return answer

    async def ask_async(
        self, question: str, k: int = 6, *, model: ModelChoice = "extractive", **options: Unpack[AskOptions]
    ) -> Answer:
        """As `ask`, for an event loop; a callable may be async, and one that is not runs in a thread."""
        answer: Answer = await self._ask("ask_async", question, k, model=model, **options)
        return answer

    def ask_stream(
        self, question: str, k: int = 6, *, model: ModelChoice = "extractive", **options: Unpack[AskOptions]
    ) -> AnswerStream:
        """As `ask`, in pieces: iterate it, and then its ``answer`` is there; it raises while it is iterated."""
        return AnswerStream(self._ask("ask_stream", question, k, model=model, **options))

    def ask_stream_async(
        self, question: str, k: int = 6, *, model: ModelChoice = "extractive", **options: Unpack[AskOptions]
    ) -> AsyncAnswerStream:
        """As `ask_stream`, for ``async for``."""
        return AsyncAnswerStream(self._ask("ask_stream_async", question, k, model=model, **options))

    def _ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return run_ask(self._recorded[name], self._frames.asking(), *args, **kwargs)

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

    # -- going back ---------------------------------------------------------------

    def at(self, moment: Moment | None = None, *, generation: int | None = None) -> Memory:
        """
        Return this memory as it was, for reading: the hits, the order and the scores of then.

        *moment* is a checkpoint, a recorded action or a datetime (without a
        zone: local time); a *generation* is given by its name, since a bare
        number may as well be a checkpoint's.  It is a private copy that later
        writes, pruning and closing leave alone; it goes when it is closed or
        not referred to any more.  Its calls are recorded like this memory's.

        Raises:
            CheckpointNotFoundError: That state was pruned, never was, or is of another memory.
            UsageError: *moment* is none of these.
        """
        present = self._present or self
        return Memory(present._frames.at(self._own(_meant(moment, generation))), self._engine, present=present)

    def _own(self, moment: Moment) -> Moment:
        """
        Return *moment*, which is not an action that this memory's store has of another memory.

        Raises:
            CheckpointNotFoundError: It is.
        """
        if isinstance(moment, ReplayAction) and moment.generation is not None:
            memory_id = memory_of(self._engine.lease.catalogue, moment)
            shared = None if memory_id is None else self._frames.shared_with(memory_id)
            if memory_id is not None and (shared is None or shared < moment.generation):
                raise of_another_memory(moment, moment.generation)
        return moment

    def fork(self, path: str | os.PathLike[str], *, at: Moment | None = None, generation: int | None = None) -> Memory:
        """
        Make a branch in a new file and return it, open for writing.

        It has the frames, under their ids, and the history up to *at* (by
        default the present; see `at`), and no sessions.  It knows this memory
        as its parent, and unless this one is open for reading only, this one
        knows it: see `lineage`.  Killed at any moment, the file is whole or
        not there.

        Raises:
            UsageError: There is something at *path*; it is left as it is.
            CheckpointNotFoundError: As for `at`.
            StorageError: The file cannot be made; then there is none.
        """
        then = None if at is None and generation is None else self._own(_meant(at, generation))
        present = self._present or self
        if self._present is not None and then is None:
            then = self.generation
        return _recorded_memory(present._frames.fork(os.fspath(path), at=then), self._engine.settings)

    def restore(self, moment: Moment | None = None, *, generation: int | None = None) -> int:
        """
        Go back: make a new generation that holds what *moment* held (see `at`); return its number.

        What came later stays in the history, so that this can be undone.
        Without a difference there is no new generation.  Recorded as an
        update.

        Raises:
            CheckpointNotFoundError: As for `at`.
        """
        made: int = self._call("restore", self._own(_meant(moment, generation)))
        return made

    def prune(
        self, *, keep_checkpoints: int | Iterable[Checkpoint] | None = None, before: Moment | None = None
    ) -> Pruning:
        """
        Forget old versions of frames that nothing kept needs.

        Kept are the present, everything from *before* on (by default only
        the present), and checkpoints: all that are recorded here, with a
        number so many of the newest, or those that are given.  The room can
        be used by new frames; ``replaykit compact`` gives it to the system.

        Raises:
            CheckpointNotFoundError: A given checkpoint or *before* is none of this memory's, or was pruned.
            UsageError: *keep_checkpoints* is none of these.
        """
        # Asked for first: a checkpoint that is made meanwhile is not older.
        limit = self.generation if before is None else self._frames.limit_of(self._own(before))
        keep = generations_to_keep(self._engine.lease.catalogue, keep_checkpoints, self._frames.generation_of)
        return self._frames.prune(keep, limit)

    @property
    def lineage(self) -> Lineage:
        """Which memory this is, which one it was forked from and which forks of it are known."""
        return self._frames.lineage

    def bisect(
        self,
        find: str | ReplayAction,
        k: int = 10,
        *,
        mode: str = "auto",
        good: Moment | None = None,
        bad: Moment | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Bisection:
        """
        Return the write after which *find* gives something else: other hits, order or contents.

        *find* is a query or a recorded find.  It is known to be right at *good*
        (for a recorded find: then; else at the beginning) and to be wrong at
        *bad* (by default: now).  About log2 of the generations between are
        asked; where the answer changed several times, one of the changes is
        found.  Not recorded.

        Raises:
            UsageError: The answer is the same at both ends, or *find* is no find.
            CheckpointNotFoundError: *good* or *bad* cannot be gone back to.
        """
        arguments = find_arguments(find, k=k, mode=mode)
        is_known_then = good is None and isinstance(find, ReplayAction) and find.generation is not None
        known: Any = find if is_known_then else good
        begin = 0 if known is None else self._frames.generation_of(self._own(known))
        end = self.generation if bad is None else self._frames.generation_of(self._own(bad))
        if begin >= end and (good is None or bad is None):
            start = f"good={begin}" if good is not None else f"generation {begin}"
            stop = f"bad={end}" if bad is not None else f"generation {end}, the present one"
            raise UsageError(f"no write came after {start} and up to {stop}: there is nothing to look for")
        found = bisect(self._frames, lambda engine: engine.find(**arguments), good=begin, bad=end, progress=progress)
        return with_writer(found, self._engine.lease.catalogue)

    def replay_target(self, options: ReplayOptions, wrapped: Any = None) -> Live:
        """
        Return what a replay of calls of this memory runs on: itself, never a *wrapped* object.

        Raises:
            UsageError: One was given.
        """
        if wrapped is not None:
            raise UsageError("a memory replays on itself: replaykit.replay(session, target) takes another target")
        return replay_target(self._frames, options)

    # -- the end ------------------------------------------------------------------

    def close(self) -> None:
        """End open sessions, publish them and close the file; closing twice is fine."""
        if self._present is None:
            self._engine.close()
        self._frames.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._present is not None:
            return f"<Memory {self.path} as it was at generation {self.generation}>"
        return f"<Memory {self.path}>"


def _recorded_memory(
    engine: Engine, settings: Settings, *, store: str | None = None, read_only: bool = False
) -> Memory:
    recording = RecordingEngine(
        engine.path if store is None else store,
        settings,
        state_source=engine,
        frames_at=engine.frame_ids_at,
        # A store elsewhere must be readable without this memory.
        stores_ids=store is not None,
        # With a store elsewhere the sessions of a read-only memory are kept there.
        read_only=read_only and store is None,
        # Many a memory is opened to be asked and never records: compiling the
        # rules takes longer than opening a million frames.
        loads_rules=False,
    )
    return Memory(engine, recording)


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
    elsewhere = None if store is None else os.fspath(store)
    memory = _recorded_memory(engine, settings, store=elsewhere, read_only=read_only)
    memory._engine.start_if_asked()
    return memory
