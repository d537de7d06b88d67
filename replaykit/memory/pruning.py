"""Takes away what no kept generation needs; what one needs is never touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from replaykit.memory.history import has_table
from replaykit.memory.schema import FOREVER, PRUNED_TABLE, load_generation
from replaykit.model import Pruning
from replaykit.storage.database import BUSY_TIMEOUT_MS

if TYPE_CHECKING:
    import apsw

__all__ = ["give_back", "prune"]

# A version is needed by a kept generation from `since` to before `until`.
_UNNEEDED = """
    INSERT INTO temp.unneeded SELECT version_id, content_id FROM memory_versions
    WHERE until < ? AND NOT EXISTS (
        SELECT 1 FROM memory_generations WHERE generation >= since AND generation < until
    )
"""

# Contents may be shared: by versions of a frame that differ in other fields.
_UNNEEDED_CONTENTS = """
    DELETE FROM memory_contents WHERE content_id IN (
        SELECT content_id FROM temp.unneeded EXCEPT SELECT content_id FROM memory_versions
    )
"""


def prune(connection: apsw.Connection, keep: Iterable[int], before: int) -> Pruning:
    """
    Forget the generations below *before* that are not in *keep*, and the versions that only they need.

    Part of the caller's transaction.  The present generation stays.
    """
    free_before = _free_bytes(connection)
    generations = _drop_generations(connection, keep, min(before, load_generation(connection)))
    versions = _drop_versions(connection)
    return Pruning(
        versions=versions,
        generations=generations,
        kept=connection.execute("SELECT count(*) FROM memory_generations").get,
        bytes=max(0, _free_bytes(connection) - free_before),
    )


def _drop_generations(connection: apsw.Connection, keep: Iterable[int], before: int) -> int:
    connection.execute("CREATE TEMP TABLE kept (generation INTEGER PRIMARY KEY)")
    connection.executemany("INSERT OR IGNORE INTO temp.kept VALUES (?)", ((each,) for each in keep))
    dropped = "generation < ? AND generation NOT IN (SELECT generation FROM temp.kept)"
    # When the pruned ones began stays known, so that a time that is gone is
    # not taken for the state before it.
    connection.execute(PRUNED_TABLE)
    connection.execute(
        f"INSERT OR IGNORE INTO memory_pruned SELECT generation, made_ns FROM memory_generations WHERE {dropped}",  # noqa: S608
        (before,),
    )
    connection.execute(f"DELETE FROM memory_generations WHERE {dropped}", (before,))  # noqa: S608 - our own words
    count = connection.changes()
    connection.execute(
        "DELETE FROM memory_pruned WHERE generation > 0 "
        "AND generation - 1 NOT IN (SELECT generation FROM memory_generations)"
    )
    connection.execute("DROP TABLE temp.kept")
    return count


def _drop_versions(connection: apsw.Connection) -> int:
    connection.execute("CREATE TEMP TABLE unneeded (version_id INTEGER PRIMARY KEY, content_id INTEGER NOT NULL)")
    connection.execute(_UNNEEDED, (FOREVER,))
    count = connection.changes()
    tables = ["memory_versions", *(["memory_vectors"] if has_table(connection, "memory_vectors") else [])]
    for table in tables:
        connection.execute(f"DELETE FROM {table} WHERE version_id IN (SELECT version_id FROM temp.unneeded)")  # noqa: S608
    connection.execute(_UNNEEDED_CONTENTS)
    connection.execute("DROP TABLE temp.unneeded")
    return count


def _free_bytes(connection: apsw.Connection) -> int:
    pages, size = (connection.execute(f"PRAGMA {name}").get for name in ("freelist_count", "page_size"))
    return int(pages) * int(size)


def give_back(connection: apsw.Connection) -> None:
    """Have the log beside the file emptied, unless somebody reads it now; outside of a transaction."""
    connection.set_busy_timeout(0)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
