"""An embedded memory's file that is hostile or damaged: only our errors leave, and nothing of the file runs."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from effort import Figure, effort, sampled
from hostile.forging import at_most_seconds
from hostile.memory_hosts import EMBEDDER, damaged, leaks, make_host, tables_of

import replaykit
from replaykit.cli.commands import program
from replaykit.errors import DamagedError, ReplaykitError, UnsupportedVersionError

SECONDS = 60
PAGE = 4096


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small memory that has a bit of everything."""
    path = tmp_path_factory.mktemp("made") / "host.mv"
    make_host(path)
    return path.read_bytes()


@pytest.fixture
def host(made: bytes, tmp_path: Path) -> Path:
    """Such a memory, to be damaged."""
    path = tmp_path / "host.mv"
    path.write_bytes(made)
    return path


def demand_no_leak(path: Path, what: object) -> None:
    """Everything that can be done with the file ends in time, in success or in an error of ours."""
    with at_most_seconds(SECONDS):
        found = list(leaks(path))
    assert not found, f"after {what}: {found[:5]}"


def test_the_host_itself_is_whole(host: Path) -> None:
    """All calls that the other tests make succeed on it, or what they show is not the damage."""
    with replaykit.open(host, embedder=EMBEDDER) as memory:
        assert [hit.frame_id for hit in memory.find("mountain", mode="lex")] == [2]
        assert len(memory.find("river", mode="hybrid")) > 3
        assert memory.lineage.forks
        assert memory.vectors.stored
    demand_no_leak(host, "nothing")


# -- definitions ------------------------------------------------------------------

HELD = [
    "memory_state",
    "memory_contents",
    "memory_versions",
    "memory_generations",
    "memory_identity",
    "memory_forks",
    "memory_erasures",
    "memory_vectors",
    "memory_embedder",
    "memory_pruned",
]
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT x AS version, x AS id FROM n"


def definitions() -> Iterator[tuple[str, ...]]:
    """Yield what an attacker makes of a schema."""
    for table in HELD:
        yield (f"CREATE TRIGGER bad AFTER INSERT ON {table} BEGIN DELETE FROM memory_contents; END",)
        yield f"ALTER TABLE {table} RENAME TO hidden", f"CREATE VIEW {table} AS SELECT * FROM hidden"
        yield f"DROP TABLE {table}", f"CREATE VIEW {table} AS {ENDLESS}"
        yield f"DROP TABLE {table}", f"CREATE VIRTUAL TABLE {table} USING fts5(version, id)"
        yield f"DROP TABLE {table}", f"CREATE TABLE {table} (version, id)"
        yield (f"ALTER TABLE {table} ADD COLUMN made AS (zeroblob(900000000))",)
        yield (f"CREATE INDEX bad ON {table} (abs(1))",)
        yield (f"CREATE INDEX bad ON {table} (1) WHERE length(zeroblob(900000000)) > 0",)
    yield "DROP TABLE memory_index", "CREATE TABLE memory_index (title, body)"
    yield "DROP TABLE memory_index", "CREATE VIRTUAL TABLE memory_index USING fts5(title, body)"
    yield ("CREATE TABLE memory_extra (x)",)
    yield ("CREATE VIEW memory_view AS SELECT 1",)
    yield ("CREATE INDEX memory_other ON memory_versions (title)",)


def test_what_is_not_defined_as_ours_is_refused(made: bytes, host: Path) -> None:
    """On each way in, before anything of it is read, and the file stays."""
    cases = list(definitions())
    for number in sampled(range(len(cases)), 3_000, always=(0, 1)):
        statements = cases[number]
        host.write_bytes(made)
        assert damaged(host, *statements), statements
        before = host.read_bytes()
        for read_only in (True, False):
            with at_most_seconds(SECONDS), pytest.raises(DamagedError):
                replaykit.open(host, read_only=read_only)
        assert host.read_bytes() == before


@pytest.mark.parametrize("column", ["type", "name", "tbl_name", "sql"])
def test_a_schema_that_is_no_text_is_a_typed_error(column: str, made: bytes, host: Path) -> None:
    """Written past SQLite's own checks, for each of our definitions and for that of recordings."""
    for name in ("memory_state", "memory_by_frame", "memory_index", "replaykit_part"):
        for value in ("CAST(x'ff' AS TEXT)", "x'00'", "7"):
            host.write_bytes(made)
            statement = f"UPDATE sqlite_schema SET {column} = {value} WHERE name = '{name}'"
            if damaged(host, "PRAGMA writable_schema=ON", statement):
                demand_no_leak(host, statement)


@pytest.mark.parametrize("table", [*HELD, "memory_index"])
def test_a_missing_table_is_a_typed_error(table: str, host: Path) -> None:
    """On opening, or where it is needed."""
    assert damaged(host, f"DROP TABLE {table}")
    demand_no_leak(host, f"DROP TABLE {table}")


def test_the_command_line_says_what_is_wrong(made: bytes, host: Path) -> None:
    """No traceback, nothing run, the file as it was."""
    for statements in list(definitions())[:3]:
        host.write_bytes(made)
        assert damaged(host, *statements)
        before = host.read_bytes()
        for command in ("info", "list"):
            with at_most_seconds(SECONDS):
                result = CliRunner().invoke(program, [command, str(host)])
            assert result.exception is None or isinstance(result.exception, SystemExit)
            assert host.read_bytes() == before


def test_a_file_that_turns_hostile_while_it_is_open_is_no_source_of_a_fork(host: Path, tmp_path: Path) -> None:
    """The copy is made through a connection that follows no view."""
    with replaykit.open(host) as memory:
        assert damaged(
            host,
            "ALTER TABLE memory_versions RENAME TO hidden",
            "CREATE VIEW memory_versions AS SELECT * FROM hidden",
        )
        with at_most_seconds(SECONDS), pytest.raises(ReplaykitError):
            memory.fork(tmp_path / "made.mv")
    assert not (tmp_path / "made.mv").exists()


def test_a_newer_memory_is_left_alone(host: Path) -> None:
    """Whatever else may stand in it."""
    assert damaged(host, "UPDATE memory_state SET version = 3", "CREATE TABLE memory_extra (x)")
    before = host.read_bytes()
    for read_only in (True, False):
        with pytest.raises(UnsupportedVersionError):
            replaykit.open(host, read_only=read_only)
    assert host.read_bytes() == before


def test_an_old_memory_that_claims_many_generations_is_refused(tmp_path: Path) -> None:
    """Bringing it up to date makes a row for each."""
    path = tmp_path / "old.mv"
    shutil.copy(Path(__file__).parent.parent / "golden" / "1.0-draft.mv", path)
    assert damaged(path, "UPDATE memory_state SET generation = 1000000000000")
    for read_only in (True, False):
        with at_most_seconds(SECONDS), pytest.raises(DamagedError, match=r"old\.mv.*generation"):
            replaykit.open(path, read_only=read_only)


# -- rows that lie ----------------------------------------------------------------

VALUES = (
    "NULL",
    "'text'",
    "x'00'",
    "-1",
    "0",
    "4611686018427387904",
    "9223372036854775807",
    "1.5",
    "CAST(x'ff' AS TEXT)",
    "x'eda080ff'",
    "printf('%200000s', 'x')",
    """'{"a":' || replace(hex(zeroblob(100000)), '0', '[')""",
    """'{"a":' || replace(hex(zeroblob(3000)), '0', '1') || '}'""",
)


def lies(path: Path) -> list[str]:
    """Return a statement for each value in each column, for all rows and for one, and for each table without rows."""
    found = []
    for table, columns in tables_of(path).items():
        found.append(f"DELETE FROM {table}")
        for column in columns:
            for value in VALUES:
                change = f"UPDATE OR IGNORE {table} SET {column} = {value}"
                found += [change, f"{change} WHERE rowid = (SELECT min(rowid) FROM {table})"]
    return found


def test_no_value_in_any_column_leaks(made: bytes, host: Path, figure: Figure) -> None:
    """SQLite holds any type in any column; each call fails in our words or succeeds."""
    statements = lies(host)
    tried = 0
    for number in sampled(range(len(statements)), len(statements)):
        host.write_bytes(made)
        if damaged(host, statements[number]):
            demand_no_leak(host, statements[number])
            tried += 1
    assert tried
    figure("threat 21", f"{tried} lying columns, 0 leaks")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE memory_state SET generation = 'text'",
        "UPDATE memory_state SET frame_count = -1",
        "UPDATE memory_versions SET metadata = '[1]'",
        "UPDATE memory_versions SET frame_id = 'text'",
        "UPDATE memory_contents SET content = 1.5",
    ],
)
def test_a_lie_that_counts_is_a_damaged_file(statement: str, host: Path) -> None:
    """The error names the file."""
    assert damaged(host, statement)
    with pytest.raises(DamagedError, match=r"host\.mv"), replaykit.open(host, read_only=True) as memory:
        assert len(memory) >= 0
        list(memory)


def test_several_rows_where_there_is_one_are_typed_errors(made: bytes, host: Path) -> None:
    """Checks of a table can be switched off."""
    for table in ("memory_state", "memory_identity", "memory_embedder"):
        host.write_bytes(made)
        columns = ", ".join(tables_of(host)[table][1:])
        statement = f"INSERT INTO {table} SELECT 2, {columns} FROM {table}"
        assert damaged(host, "PRAGMA ignore_check_constraints=ON", statement)
        demand_no_leak(host, statement)


# -- the full-text index ----------------------------------------------------------

INDEX_COLUMNS = {"memory_index_data": "block", "memory_index_docsize": "sz", "memory_index_idx": "term"}


def index_rows(path: Path) -> list[tuple[str, str, int, bytes]]:
    """Return table, key column, key and value of each row that the full-text index keeps."""
    found = []
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table, column in INDEX_COLUMNS.items():
            key = "segid" if table == "memory_index_idx" else "id"
            found += [
                (table, key, number, value if isinstance(value, bytes) else b"")
                for number, value in connection.execute(f"SELECT {key}, {column} FROM {table}")
            ]
    return found


def spoilt(value: bytes, chance: random.Random) -> bytes | None:
    """Return *value* with some bytes changed, cut, replaced by random ones, or None where its row is to go."""
    how = chance.randrange(4)
    if how == 0:
        return None
    if how == 1:
        return value[: chance.randrange(len(value) + 1)]
    if how == 2 or not value:
        return chance.randbytes(chance.randrange(40))
    changed = bytearray(value)
    for _ in range(chance.randrange(1, 4)):
        changed[chance.randrange(len(changed))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    return bytes(changed)


def test_a_spoilt_index_gives_results_or_typed_errors(made: bytes, host: Path, figure: Figure) -> None:
    """Whatever stands in the pages of FTS5."""
    rows, chance = index_rows(host), random.Random(11)
    count = effort(500)
    for _ in range(count):
        table, key, number, value = chance.choice(rows)
        new = spoilt(value, chance)
        column = INDEX_COLUMNS[table]
        host.write_bytes(made)
        literal = None if new is None else f"x'{new.hex()}'"
        change = f"DELETE FROM {table}" if literal is None else f"UPDATE {table} SET {column} = {literal}"
        damaged(host, f"{change} WHERE {key} = {number}")
        demand_no_leak(host, (table, number, literal))
    figure("threat 21", f"{count} spoilt index rows, 0 leaks")


def test_an_index_that_counts_no_frames_is_damage(host: Path) -> None:
    """Its totals say 0 of all, while it has rows."""
    assert damaged(host, "UPDATE memory_index_data SET block = x'000000' WHERE id = 1")
    with replaykit.open(host, read_only=True) as memory, pytest.raises(ReplaykitError):
        memory.find("river")


# -- bytes ------------------------------------------------------------------------


def test_a_changed_byte_anywhere_never_leaks(made: bytes, host: Path, figure: Figure) -> None:
    """Nor ends the process."""
    changed = bytearray(made)
    places = sampled(range(len(made)), 500, always=(18, 100))
    for place in places:
        flip = 1 << (place % 8) if place % 3 else 255
        changed[place] ^= flip
        host.write_bytes(changed)
        changed[place] ^= flip
        demand_no_leak(host, f"a change of byte {place}")
    figure("threat 21", f"{len(places)} changed bytes in {len(made)}, 0 leaks")


def test_a_file_cut_at_a_page_or_with_a_tail_of_zeros_never_leaks(made: bytes, host: Path) -> None:
    """What a full disk or a lost write leaves."""
    pages = len(made) // PAGE
    for page in sampled(range(pages + 1), 300, always=(1,)):
        for data in (made[: page * PAGE], made[: page * PAGE].ljust(len(made), b"\0")):
            host.write_bytes(data)
            demand_no_leak(host, f"{len(data)} bytes, whole up to page {page}")
