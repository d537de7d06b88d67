"""
The embedded memory, unrecorded: frames in one SQLite file, searched by words.

Each write call makes one generation.  What a write replaced is kept as an
older version of its frame.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Unpack
from uuid import UUID

from replaykit.errors import FrameNotFoundError, UsageError
from replaykit.memory import changes, demands, erasing, state_hash
from replaykit.memory.asking.asking import Asking
from replaykit.memory.asking.models import ModelChoice
from replaykit.memory.asking.options import AskOptions
from replaykit.memory.changes import Change, Version, changing, live_version, live_versions
from replaykit.memory.connection import Connection, translated
from replaykit.memory.duplicates import frame_with
from replaykit.memory.embedders import embedder_of
from replaykit.memory.fields import Fields, checked
from replaykit.memory.forking import fork, past
from replaykit.memory.frame_ids import FrameIds
from replaykit.memory.history import Moment, demand_kept, generation_of, hash_at, last_change, limit_of
from replaykit.memory.lineage import identity_of, lineage_of, shared_with
from replaykit.memory.pruning import give_back, prune
from replaykit.memory.ranking import Scored
from replaykit.memory.reembedding import reembed
from replaykit.memory.restoring import restore
from replaykit.memory.retrieval import Retrieval
from replaykit.memory.schema import change_next_id, load_generation, load_state
from replaykit.memory.search import snippet, words
from replaykit.memory.vectors import VectorStatus, status
from replaykit.model import Answer, Erasure, Frame, Hit, Lineage, Pruning, SearchResult, StateSnapshot

if TYPE_CHECKING:
    import apsw

__all__ = ["UNSET", "Engine", "Unset"]

_PROGRESS_EVERY = 256
_PAGE = 512


class Unset:
    """The type of `UNSET`."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()
"""Stands for an argument that was not given, where None has a meaning."""


class Engine:
    """
    A memory in the file at *path*, or in RAM for ``:memory:``.

    Any thread may call it.  A forked child goes on with the same file; of a
    memory in RAM it has a copy.

    Raises:
        StoreNotFoundError: There is no file and *create* is false.
        NotAStoreError: The file is something else, or read only and without a memory.
        UnsupportedVersionError: A newer replaykit wrote it.
        StorageError: The system refuses the file.
    """

    def __init__(
        self,
        path: str,
        *,
        create: bool = True,
        read_only: bool = False,
        time_ns: Callable[[], int] = time.time_ns,
        connection: Connection | None = None,
        embedder: Any = None,
    ) -> None:
        self._retrieval = Retrieval(embedder, path=path)
        # One that is given is used as it is: a copy of another memory.
        self._connection = connection or Connection(path, create=create, read_only=read_only)
        self._time_ns = time_ns
        self._seen = threading.local()
        self._memory_id: UUID | None = None
        self._demand_own_vectors()
        if connection is None and not read_only:
            erasing.finish(self._connection, time_ns=time_ns)

    @property
    def path(self) -> str:
        """The path as it was given."""
        return self._connection.path

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
        Keep a new frame and return its id.

        It survives the end of the process once this returns.  With *dedupe*
        nothing is stored where live frames have equal content and fields: the
        lowest of their ids is returned.

        Raises:
            UsageError: A value has the wrong type or cannot be stored.
            ReadOnlyError: The memory was opened for reading.
            StorageError: It cannot be written; nothing of it is kept.
        """
        fields = checked(content, title=title, uri=uri, metadata=metadata)
        (vector,) = self._retrieval.vectors([fields])
        with self._adding(dedupe=dedupe) as add:
            return add(fields, vector)

    def put_many(
        self,
        items: Iterable[str | bytes | Mapping[str, Any]],
        *,
        progress: Callable[[int], None] | None = None,
        dedupe: bool = False,
    ) -> list[int]:
        """
        Keep all *items* or, when anything raises, none; return their ids in order.

        An item is a content, or a mapping with ``content`` and the keyword
        names of `put`.  *progress* is called now and then, and at the end,
        with how many are in.  Other calls wait until all are in, so *items*
        should not be slow to come; they may read this memory but not write.
        With *dedupe* an item that equals a live frame, or an item before it,
        gives that one's id.

        Raises:
            UsageError: An item cannot be stored; the message has its index.
        """
        if isinstance(items, (str, bytes, Mapping)):
            raise UsageError(f"put_many takes several items, not one {type(items).__name__}: use put")
        ids: list[int] = []
        ready = self._with_vectors(_item_fields(item, index) for index, item in enumerate(items))
        with self._adding(dedupe=dedupe) as add:
            for fields, vector in ready:
                ids.append(add(fields, vector))
                if progress is not None and len(ids) % _PROGRESS_EVERY == 0:
                    progress(len(ids))
            if progress is not None and len(ids) % _PROGRESS_EVERY:
                progress(len(ids))
        return ids

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
        Replace what is given of a frame; the rest and the id stay.

        Raises:
            FrameNotFoundError: There is no live frame *frame_id*.
            UsageError: A value has the wrong type or cannot be stored.
        """
        given = {"content": content, "title": title, "uri": uri, "metadata": metadata}
        computed: dict[str, bytes | None] = {}
        if self._retrieval.embedder is not None:
            before = self._live(frame_id).fields
            with translated(self.path):
                after = _updated(before, given)
            computed = self._retrieval.vectors_of_update(before, after)
        with self._writing() as change:
            old = self._live(frame_id)
            fields = _updated(old.fields, given)
            with self._reading() as connection:
                vector = self._retrieval.vector_of_update(connection, old, fields, computed)
            change.replace(old, fields, vector)

    def delete(self, frame_id: int) -> None:
        """
        Remove a frame; its id is never used again.

        Raises:
            FrameNotFoundError: There is no live frame *frame_id*.
        """
        with self._writing() as change:
            change.remove(self._live(frame_id))

    def erase(self, frame_id: int | Iterable[int]) -> Erasure:
        """
        Take a frame, or several, out of this memory, its past and its known forks, to the last byte.

        Raises:
            FrameNotFoundError: The memory never gave one of these ids; nothing is changed.
            LockedError: A file is in use; call again.
        """
        erasure = erasing.erase(self._connection, erasing.named_ids(frame_id), time_ns=self._time_ns)
        self._seen.generation = erasure.generation
        return erasure

    # -- reading ------------------------------------------------------------------

    def get(self, frame_id: int) -> Frame:
        """
        Return a frame.

        Raises:
            FrameNotFoundError: There is no live frame *frame_id*.
        """
        with self._reading() as connection:
            return live_version(connection, frame_id).frame()

    def __contains__(self, frame_id: object) -> bool:
        with self._reading() as connection:
            return changes.is_live(connection, frame_id)

    def __len__(self) -> int:
        with self._reading() as connection:
            return load_state(connection).frame_count

    def __bool__(self) -> bool:
        # An empty memory is still a memory: ``if memory:`` asks for None.
        return True

    def frames(self) -> Iterator[Frame]:
        """Return all frames as they are now, by ascending id; later writes do not show, but for erasures."""
        return self._frames_at(self.generation)

    def find(
        self, query: str, k: int = 10, *, mode: str = "auto", where: Mapping[str, Any] | None | Unset = UNSET
    ) -> SearchResult:
        """
        Return the *k* frames that answer best to *query*, among those whose metadata fits *where*.

        Equal scores are ordered by id.  A query without words finds nothing
        by words.  Frames of bytes are found by their titles.

        Raises:
            UsageError: *k* is not positive, *mode* is not set up, or *where* is no filter.
            EmbedderError: The embedding model failed.
        """
        _demand_text("query", query)
        _demand_positive(k)
        where = None if where is UNSET else where
        vector = self._retrieval.query_vector(mode, query)
        with self._reading() as connection:
            found, ran = self._retrieval.find(
                connection, query, k, mode=mode, vector=vector, where=where, state=load_state(connection)
            )
            return SearchResult(_hits(connection, found, words(query)), mode=ran)

    def ask(
        self, question: str, k: int = 6, *, model: ModelChoice = "extractive", **options: Unpack[AskOptions]
    ) -> Answer:
        """
        Answer *question* from the *k* frames that `find` gives for it.

        Raises:
            UsageError: *k* is not positive, *model* or *mode* is not set up, or *where* is no filter.
            EmbedderError: The embedding model failed.
            ProviderError: The model's server gave no answer.
        """
        return self.asking().ask(question, k, model=model, **options)

    def asking(self) -> Asking:
        """Return what does one ask, in any of its forms."""
        return Asking(self.find, self.last_generation)

    # -- vectors ------------------------------------------------------------------

    def reembed(self, embedder: Any = None, *, progress: Callable[[int], None] | None = None) -> int:
        """
        Compute the vectors that are lacking, or all where *embedder* is a new model; return how many.

        From then on the memory is searched with that model.

        Raises:
            UsageError: The memory was opened without an embedder, and none is given.
            EmbedderError: The model failed; what was computed before stays.
            ReadOnlyError: The memory was opened for reading.
        """
        chosen = embedder_of(embedder) or self._retrieval.embedder
        if chosen is None:
            raise UsageError("Which embedder? mv.reembed('semantic'), or give the object")
        done = reembed(self._connection, chosen, progress)
        self._retrieval.embedder = chosen
        return done

    def vector_status(self) -> VectorStatus:
        """Return which model the vectors are of, and how many live frames have or lack one."""
        with self._reading() as connection:
            return status(connection)

    # -- generations --------------------------------------------------------------

    @property
    def generation(self) -> int:
        """How many writes the memory has seen: 0 when fresh."""
        with self._reading():
            return self.last_generation()

    def last_generation(self) -> int:
        """Return the generation that this thread's last call made or read; before any, the present one."""
        seen: int | None = getattr(self._seen, "generation", None)
        return self.generation if seen is None else seen

    def frame_ids_at(self, generation: int) -> list[int]:
        """
        Return the ids of the frames that were live at *generation*, ascending.

        Raises:
            CheckpointNotFoundError: It was pruned.
        """
        with self._reading() as connection:
            demand_kept(connection, generation)
            return changes.frame_ids(connection, generation)

    def snapshot(self, *, with_ids: bool) -> tuple[StateSnapshot, bytes]:
        """
        Return the present state and its 32-byte hash.

        Equal frames under equal ids have equal hashes, whichever way they
        came there.  Without *with_ids*, ``frame_ids`` are read from this
        memory when looked at: as they are now, also after later writes.
        """
        with self._reading() as connection:
            state = load_state(connection)
            ids = FrameIds(self.frame_ids_at, state.generation, state.frame_count)
            snapshot = StateSnapshot(
                frame_count=state.frame_count,
                frame_ids=tuple(ids) if with_ids else ids,
                lex_index_hash=state_hash.digest(state.index_hash),
                wal_sequence=state.generation,
                generation=state.generation,
            )
            return snapshot, state_hash.digest(state.frames_hash)

    def state_hash_at(self, generation: int) -> bytes:
        """
        Return the 32-byte hash of what the memory held at *generation*.

        Raises:
            CheckpointNotFoundError: It cannot be gone back to.
        """
        with self._reading() as connection:
            return state_hash.digest(hash_at(connection, demand_kept(connection, generation)))

    def last_change(self, frame_id: object, since: int) -> str | None:
        """Return what happened to a frame after generation *since*, in words; None if nothing did."""
        with self._reading() as connection:
            return last_change(connection, frame_id, since)

    # -- replaying ----------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The connection that all calls go through."""
        return self._connection

    def over(self, connection: Connection) -> Engine:
        """Return an engine like this one over another connection, which stays the caller's."""
        embedder = self._retrieval.embedder
        return Engine(self.path, time_ns=self._time_ns, connection=connection, embedder=embedder)

    def frame_like(self, frame: Frame) -> int | None:
        """Return the lowest id of the live frames that hold the same as *frame*, None if none does."""
        try:
            fields = checked(frame.content, title=frame.title, uri=frame.uri, metadata=frame.metadata)
        except UsageError:
            # What a recording gives back may be what no frame can hold.
            return None
        with self._reading() as connection:
            return frame_with(connection, fields.fields_hash())

    def go_on_from(self, frame_ids: Iterable[int]) -> None:
        """Give the next frame the lowest of *frame_ids* that none has had yet: for replaying under recorded ids."""
        with self._connection.writing() as connection:
            change_next_id(connection, frame_ids)

    # -- going back ---------------------------------------------------------------

    def generation_of(self, moment: Moment) -> int:
        """
        Return the generation that *moment* means.

        Raises:
            CheckpointNotFoundError: It cannot be gone back to: pruned, unknown, of another memory.
        """
        with self._reading() as connection:
            return generation_of(connection, moment)

    def at(self, moment: Moment) -> Engine:
        """
        Return the memory as it was, for reading: a private copy, whatever becomes of this one.

        Raises:
            CheckpointNotFoundError: As `generation_of` says.
        """
        return self.over(past(self._connection, moment))

    def fork(self, path: str, *, at: Moment | None = None) -> Engine:
        """
        Make a branch in a new file with what is kept up to *at* (by default: all); return it, open for writing.

        Raises:
            UsageError: There is something at *path*.
            CheckpointNotFoundError: As `generation_of` says.
            StorageError: The file cannot be made; then there is none.
        """
        made = fork(self._connection, path, at, now_ns=self._time_ns())
        return Engine(path, time_ns=self._time_ns, connection=made, embedder=self._retrieval.embedder)

    def restore(self, moment: Moment) -> int:
        """
        Make a generation that holds what *moment* held; return it, or the present one if nothing differs.

        Raises:
            CheckpointNotFoundError: As `generation_of` says.
        """
        with self._writing() as change:
            with self._reading() as connection:
                restore(connection, change, generation_of(connection, moment))
            return change.generation

    def limit_of(self, moment: Moment) -> int:
        """Return the generation from which on all is as new as *moment*, as `history.limit_of` says."""
        with self._reading() as connection:
            return limit_of(connection, moment)

    def prune(self, keep: Iterable[int], before: int) -> Pruning:
        """Forget the generations below *before* that are not in *keep*, and what only they need."""
        with self._connection.writing() as connection:
            pruning = prune(connection, keep, before)
        with self._connection.lending() as connection:
            give_back(connection)
        return pruning

    @property
    def lineage(self) -> Lineage:
        """Where it comes from and which forks of it are known."""
        with self._reading() as connection:
            return lineage_of(connection, self.path)

    @property
    def memory_id(self) -> UUID | None:
        """Which memory it is; None where its file is of a release that gave none, and open for reading only."""
        if self._memory_id is None and not self._connection.is_stand_in:
            with self._connection.reading() as connection:
                self._memory_id = identity_of(connection)
        return self._memory_id

    def shared_with(self, memory_id: UUID) -> int | None:
        """Return up to which generation it has all that another memory had; None if it descends not from it."""
        with self._reading() as connection:
            return shared_with(connection, memory_id)

    # -- closing ------------------------------------------------------------------

    def freeze(self, refusal: str) -> None:
        """Refuse writes from now on with ReadOnlyError, which says *refusal*."""
        self._connection.freeze(refusal)

    def close(self) -> None:
        """Let go of the file; closing twice is fine, every other call then raises ClosedError."""
        self._connection.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Engine {self.path}>"

    # -- inside -------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        with self._connection.reading() as connection:
            self._seen.generation = load_generation(connection)
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Change]:
        with self._connection.writing() as connection, changing(connection, made_ns=self._time_ns()) as change:
            self._retrieval.prepare_write(connection)
            yield change
        self._seen.generation = change.generation

    @contextmanager
    def _adding(self, *, dedupe: bool) -> Iterator[Callable[[Fields, bytes | None], int]]:
        with self._writing() as change:
            if dedupe:
                change.prepare_to_add_once()
            yield change.add_once if dedupe else change.add

    def _demand_own_vectors(self) -> None:
        try:
            with self._connection.reading() as connection:
                self._retrieval.demand_fits(connection)
        except BaseException:
            self._connection.close()
            raise

    def _with_vectors(self, fields: Iterable[Fields]) -> Iterable[tuple[Fields, bytes | None]]:
        """Pair fields with their vectors, computed before anything waits for the write."""
        if self._retrieval.embedder is None:
            return ((each, None) for each in fields)
        listed = list(fields)
        return list(zip(listed, self._retrieval.vectors(listed), strict=True))

    def _live(self, frame_id: int) -> Version:
        with self._reading() as connection:
            return live_version(connection, frame_id)

    def _frames_at(self, generation: int) -> Iterator[Frame]:
        after = -1
        while True:
            with self._connection.reading() as connection:
                demand_kept(connection, generation)
                page = changes.frame_ids_after(connection, generation, after, _PAGE)
            for frame_id in page:
                with self._connection.reading() as connection:
                    frame = self._frame_at(connection, frame_id, generation)
                if frame is not None:
                    yield frame
            if len(page) < _PAGE:
                return
            after = page[-1]

    def _frame_at(self, connection: apsw.Connection, frame_id: int, generation: int) -> Frame | None:
        try:
            return changes.version_at(connection, frame_id, generation).frame()
        except FrameNotFoundError:
            # Erased since its page was read: of all writes this one shows.
            return None


def _item_fields(item: str | bytes | Mapping[str, Any], index: int) -> Fields:
    try:
        if not isinstance(item, Mapping):
            return checked(item)
        given = dict(item)
        if "content" not in given:
            raise UsageError("content is missing")
        unknown = sorted(map(str, given.keys() - {"content", "title", "uri", "metadata"}))
        if unknown:
            raise UsageError(f"unknown key {unknown[0]!r}; put takes content, title, uri and metadata")
        return checked(given.pop("content"), **given)
    except UsageError as error:
        raise UsageError(f"item {index}: {error}") from error


def _updated(old: Fields, given: Mapping[str, Any]) -> Fields:
    before = {"content": old.content, "title": old.title, "uri": old.uri, "metadata": old.metadata_map()}
    return checked(**(before | {name: value for name, value in given.items() if value is not UNSET}))


def _hits(connection: apsw.Connection, found: list[Scored], query_words: tuple[str, ...]) -> tuple[Hit, ...]:
    live = live_versions(connection, [scored.frame_id for scored in found])
    for scored in found:
        if scored.frame_id not in live:
            raise demands.damage(f"the index has frame {scored.frame_id}, and the memory does not")
    return tuple(
        _hit(live[scored.frame_id].fields, scored, number, query_words) for number, scored in enumerate(found, 1)
    )


def _hit(fields: Fields, scored: Scored, number: int, query_words: tuple[str, ...]) -> Hit:
    return Hit(
        frame_id=scored.frame_id,
        rank=number,
        score=scored.score,
        title=fields.title,
        uri=fields.uri,
        snippet=snippet(fields.text, query_words),
        text=fields.text,
        metadata=fields.metadata_map(),
    )


def _demand_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{name} must be str, not {type(value).__name__}")


def _demand_positive(k: object) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k <= 0:
        raise UsageError(f"k must be a whole number above 0, not {k!r}")
