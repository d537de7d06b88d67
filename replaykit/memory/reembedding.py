"""Computes the vectors that a memory lacks, in batches that are each kept as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from replaykit.memory.changes import versions_without_vector
from replaykit.memory.vectors import embedded_text, has_vectors, keep_vector, make_vector_tables, vectors_of

if TYPE_CHECKING:
    import apsw

    from replaykit.memory.connection import Connection
    from replaykit.protocols import Embedder

__all__ = ["reembed"]

_BATCH = 64


def reembed(connection: Connection, embedder: Embedder, progress: Callable[[int], None] | None) -> int:
    """
    Give each kept version of each frame a vector of *embedder*; return how many were computed.

    Vectors of another model are dropped first.  What is done stays when it
    is interrupted, and the next call goes on.

    Raises:
        EmbedderError: The model failed.
        ReadOnlyError: The memory was opened for reading.
    """
    with connection.writing() as database:
        _drop_others(database, embedder)
    done, after = 0, -1
    while True:
        with connection.reading() as database:
            batch = versions_without_vector(database, after, _BATCH)
        if not batch:
            return done
        vectors = list(vectors_of(embedder, [embedded_text(version.fields) for version in batch]))
        with connection.writing() as database:
            done += _keep(database, dict(zip((version.version_id for version in batch), vectors, strict=True)))
        after = batch[-1].version_id
        if progress is not None:
            progress(done)


def _drop_others(database: apsw.Connection, embedder: Embedder) -> None:
    if has_vectors(database):
        stored = database.execute("SELECT name, dimension FROM memory_embedder").get
        if stored == (embedder.name, embedder.dimension):
            return
        database.execute("DELETE FROM memory_vectors")
    make_vector_tables(database, embedder)


def _keep(database: apsw.Connection, vectors: dict[int, bytes | None]) -> int:
    """Keep what was computed of versions that are still there."""
    kept = 0
    for version_id, vector in vectors.items():
        there = database.execute("SELECT 1 FROM memory_versions WHERE version_id = ?", (version_id,)).get
        if vector is not None and there:
            keep_vector(database, version_id, vector)
            kept += 1
    return kept
