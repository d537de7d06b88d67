"""
Vectors of the frames, in the memory's own file, compared by sqlite-vec.

Each version of a frame has one vector of 32-bit floats, so that the past can be
searched as well.  All vectors of a memory come from one model, whose name and
dimension stand beside them.  The tables are made when the first vector is.
"""

from __future__ import annotations

import importlib.util
import math
import os
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

from replaykit.errors import EmbedderError, EmbedderMismatchError, UsageError
from replaykit.memory import demands
from replaykit.memory.fields import Fields
from replaykit.memory.ranking import Scored
from replaykit.memory.schema import FOREVER, VECTOR_TABLES
from replaykit.protocols import Embedder

if TYPE_CHECKING:
    import apsw

__all__ = [
    "MAX_DIMENSION",
    "VectorStatus",
    "checked_embedder",
    "demand_same_model",
    "embedded_text",
    "has_vectors",
    "keep_vector",
    "load_comparison",
    "make_vector_tables",
    "nearest",
    "status",
    "stored_vector",
    "vectors_of",
]

MAX_DIMENSION = 8_192
"""How many numbers a vector may have."""

SIMILARITY_DIGITS = 6
"""Similarities are rounded to what 32-bit floats carry."""

_BATCH = 64
_COMPARING: weakref.WeakSet[Any] = weakref.WeakSet()

_NEAREST_SQL = f"""
    SELECT frame_id, round(1.0 - vec_distance_cosine(vector, ?), {SIMILARITY_DIGITS}) AS score
    FROM memory_versions JOIN memory_vectors USING (version_id)
    WHERE until = {FOREVER} AND length(vector) = ? {{also}} ORDER BY score DESC, frame_id LIMIT ?
"""  # noqa: S608 - constants


@attrs.frozen(kw_only=True)
class VectorStatus:
    """
    Which model a memory's vectors are of, and how many live frames have one.

    Attributes:
        embedder: The model's name; None where there are no vectors.
        dimension: How many numbers each vector has.
        stored: How many live frames have a vector.
        lacking: How many have a text but no vector: `Memory.reembed` computes them.
    """

    embedder: str | None = None
    dimension: int = 0
    stored: int = 0
    lacking: int = 0


# -- the model ------------------------------------------------------------------


def checked_embedder(embedder: Any) -> Embedder:
    """
    Return *embedder*.

    Raises:
        UsageError: It is no embedder, or sqlite-vec is not there.
    """
    name, dimension = getattr(embedder, "name", None), getattr(embedder, "dimension", None)
    if not isinstance(name, str) or not name or not callable(getattr(embedder, "embed", None)):
        raise UsageError(
            "embedder must be 'semantic' or an object with name, dimension and embed(texts), "
            f"not {type(embedder).__name__}"
        )
    if isinstance(dimension, bool) or not isinstance(dimension, int) or not 0 < dimension <= MAX_DIMENSION:
        raise UsageError(f"an embedder's dimension is a whole number from 1 to {MAX_DIMENSION}, not {dimension!r}")
    _extension()
    return cast(Embedder, embedder)


def embedded_text(fields: Fields) -> str:
    """Return what a frame's vector is computed from; empty where it has none."""
    return "\n".join(part for part in (fields.title, fields.text) if part)


def vectors_of(embedder: Embedder, texts: Sequence[str]) -> Iterator[bytes | None]:
    """
    Yield the stored form of each text's vector, None for an empty one.

    Raises:
        EmbedderError: The model raised, or its vectors are not as it promised.
    """
    for begin in range(0, len(texts), _BATCH):
        batch = texts[begin : begin + _BATCH]
        found = iter(_embedded(embedder, [text for text in batch if text]))
        yield from (next(found) if text else None for text in batch)


def _embedded(embedder: Embedder, texts: list[str]) -> list[bytes]:
    if not texts:
        return []
    try:
        rows: Any = embedder.embed(texts)
        rows = rows.tolist() if hasattr(rows, "tolist") else list(rows)
    except Exception as error:
        raise EmbedderError(embedder.name, f"failed: {type(error).__name__}: {error}") from error
    if len(rows) != len(texts):
        raise EmbedderError(embedder.name, f"gave {len(rows)} vectors for {len(texts)} texts")
    return [_packed(embedder, row) for row in rows]


def _packed(embedder: Embedder, row: Any) -> bytes:
    try:
        vector = array("f", row.tolist() if hasattr(row, "tolist") else row)
    except (TypeError, ValueError, OverflowError) as error:
        raise EmbedderError(embedder.name, f"gave a vector that is no list of numbers: {error}") from error
    if len(vector) != embedder.dimension:
        raise EmbedderError(embedder.name, f"gave a vector of {len(vector)} numbers, not {embedder.dimension}")
    if not all(map(math.isfinite, vector)):
        raise EmbedderError(embedder.name, "gave a vector with a number that is not finite in 32 bits")
    return vector.tobytes()


# -- the tables -----------------------------------------------------------------


def has_vectors(connection: apsw.Connection) -> bool:
    """Return whether the memory has a model's vectors, however many."""
    return connection.table_exists("main", "memory_vectors") and connection.table_exists("main", "memory_embedder")


def make_vector_tables(connection: apsw.Connection, embedder: Embedder) -> None:
    """Make the tables unless they are there, and let the vectors be those of *embedder*."""
    for statement in VECTOR_TABLES:
        connection.execute(statement)
    connection.execute("INSERT OR REPLACE INTO memory_embedder VALUES (1, ?, ?)", (embedder.name, embedder.dimension))


def demand_same_model(connection: apsw.Connection, embedder: Embedder, path: str) -> bool:
    """
    Return whether the memory has vectors.

    Raises:
        EmbedderMismatchError: They are another model's.
    """
    stored = _stored_model(connection)
    given = (embedder.name, embedder.dimension)
    if stored is not None and stored != given:
        raise EmbedderMismatchError(path, stored, given)
    return stored is not None


def keep_vector(connection: apsw.Connection, version_id: int, vector: bytes) -> None:
    """Keep the vector of a version; part of the caller's transaction."""
    connection.execute("INSERT OR REPLACE INTO memory_vectors VALUES (?, ?)", (version_id, vector))


def stored_vector(connection: apsw.Connection, version_id: int) -> bytes | None:
    """Return the vector of a version, None where it has none."""
    if not has_vectors(connection):
        return None
    found = connection.execute("SELECT vector FROM memory_vectors WHERE version_id = ?", (version_id,)).get
    return None if found is None else demands.blob(found, "a vector")


def status(connection: apsw.Connection) -> VectorStatus:
    """Return which model the vectors are of, and how many live frames have one."""
    model = _stored_model(connection)
    texts = "(is_text AND content <> '' OR title <> '')"
    if model is None:
        return VectorStatus(lacking=_live(connection, texts, ""))
    join = "LEFT JOIN memory_vectors USING (version_id)"
    return VectorStatus(
        embedder=model[0],
        dimension=model[1],
        stored=_live(connection, "vector IS NOT NULL", join),
        lacking=_live(connection, f"vector IS NULL AND {texts}", join),
    )


def _live(connection: apsw.Connection, condition: str, join: str) -> int:
    sql = (
        f"SELECT count(*) FROM memory_versions JOIN memory_contents USING (content_id) {join} "  # noqa: S608 - ours
        f"WHERE until = {FOREVER} AND {condition}"
    )
    return int(connection.execute(sql).get)


def _stored_model(connection: apsw.Connection) -> tuple[str, int] | None:
    if not has_vectors(connection):
        return None
    row = connection.execute("SELECT name, dimension FROM memory_embedder").get
    if row is None:
        return None
    name, dimension = demands.columns(row, 2, "the model of its vectors")
    return demands.text(name, "the name of its model"), demands.whole(
        dimension, "the dimension of its vectors", least=1
    )


# -- comparing ------------------------------------------------------------------


def nearest(
    connection: apsw.Connection, vector: bytes, k: int, *, accepts: Callable[[str], bool] | None = None
) -> list[Scored]:
    """
    Return the *k* live frames with the highest cosine similarity to *vector*, equals by ascending id.

    With *accepts* only frames count whose stored metadata it accepts.  A
    vector of zeros is near to nothing.
    """
    import apsw

    load_comparison(connection)
    bindings: list[Any] = [vector, len(vector)]
    also = ""
    if accepts is not None:
        also = "AND replaykit_accepts(metadata, ?)"
        bindings.append(apsw.pyobject(accepts))
    rows = connection.execute(_NEAREST_SQL.format(also=also), (*bindings, min(k, FOREVER)))
    scored = [Scored(frame_id, score) for frame_id, score in rows if score is not None]
    demands.wholes([each.frame_id for each in scored], "the id of a frame")
    return scored


def load_comparison(connection: apsw.Connection) -> None:
    """
    Let *connection* compare vectors; needed once.

    Raises:
        UsageError: sqlite-vec is not installed.
    """
    if connection in _COMPARING:
        return
    connection.enable_load_extension(True)
    try:
        connection.load_extension(_extension())
    finally:
        connection.enable_load_extension(False)
    connection.create_scalar_function("replaykit_accepts", cast(Any, _accepts), 2)
    _COMPARING.add(connection)


def _accepts(metadata: str, accepts: Callable[[str], bool]) -> bool:
    return accepts(metadata)


def _extension() -> str:
    # Importing the package would import numpy: only its library is needed.
    found = importlib.util.find_spec("sqlite_vec")
    if found is None or not found.submodule_search_locations:
        raise UsageError("Vectors need sqlite-vec: pip install 'replaykit-memory[vectors]'")
    return os.path.join(found.submodule_search_locations[0], "vec0")
