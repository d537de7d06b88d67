"""The compiled rules for secrets are kept like bytecode; whatever is found there, the same secrets are found."""

from __future__ import annotations

import os
import random
import stat
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hyperscan
import pytest

from replaykit.redactors.compiled import database_of

PATTERNS = [b"sk-[a-z]{4}", b"password"]
FLAGS = [hyperscan.HS_FLAG_DOTALL, hyperscan.HS_FLAG_CASELESS]
TEXT = b"my PassWord is sk-abcd"
ENDS = [(1, 11), (0, 22)]


class Library(types.SimpleNamespace):
    """Hyperscan, that counts what it compiles."""

    def __init__(self, **other: Any) -> None:
        super().__init__(**{**vars(hyperscan), **other})
        self.compiled = 0
        library = self

        class Database(hyperscan.Database):  # type: ignore[misc]  # it has no types
            def compile(self, **given: Any) -> None:
                library.compiled += 1
                super().compile(**given)

        self.Database = Database


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path / "cache"


def kept_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def ends_found(library: Any) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    database = database_of(library, PATTERNS, FLAGS)
    scratch = hyperscan.Scratch(database)
    database.scan(TEXT, lambda rule, _start, end, _flags, _context: found.append((rule, end)), scratch=scratch)
    return found


def test_they_are_compiled_once(folder: Path) -> None:
    library = Library()

    assert [ends_found(library) for _ in range(3)] == [ENDS] * 3
    assert library.compiled == 1
    [path] = kept_in(folder)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize(
    ("patterns", "flags"), [(PATTERNS[:1], FLAGS[:1]), (PATTERNS[::-1], FLAGS), (PATTERNS, FLAGS[::-1])]
)
def test_other_rules_are_others(folder: Path, patterns: list[bytes], flags: list[int]) -> None:
    library = Library()
    ends_found(library)
    database_of(library, patterns, flags)

    assert (library.compiled, len(kept_in(folder))) == (2, 2)


def flipped(data: bytes, at: int | None = None) -> bytes:
    at = random.Random(3).randrange(len(data)) if at is None else at
    return data[:at] + bytes([data[at] ^ 8]) + data[at + 1 :]


def flipped_unseen(data: bytes) -> bytes:
    """Change a byte that Hyperscan's own checksum leaves out: its 25th, behind our digest of 32."""
    damaged = flipped(data, 32 + 24)
    hyperscan.loadb(damaged[32:], hyperscan.HS_MODE_BLOCK)
    return damaged


@pytest.mark.parametrize(
    "damaged",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data + b"\0",
        lambda data: bytes(40),
        flipped,
        flipped_unseen,
    ],
    ids=["empty", "cut", "longer", "zeros", "a flipped bit", "one that Hyperscan does not see"],
)
def test_what_is_damaged_is_compiled_again(folder: Path, damaged: Callable[[bytes], bytes]) -> None:
    """And kept in its place."""
    library = Library()
    ends_found(library)
    [path] = kept_in(folder)
    sound = path.read_bytes()
    path.write_bytes(damaged(sound))

    assert ends_found(library) == ENDS
    assert library.compiled == 2
    assert path.read_bytes() == sound


def test_what_another_processor_or_release_has_compiled_is_not_used(folder: Path) -> None:
    ends_found(Library())

    def refuse(data: bytes, mode: int) -> Any:
        raise hyperscan.DatabasePlatformError("made for another one")

    library = Library(loadb=refuse)
    assert ends_found(library) == ENDS
    assert library.compiled == 1


def test_nothing_is_written_where_no_bytecode_may_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    assert ends_found(Library()) == ENDS
    assert kept_in(folder) == []


def test_an_interpreter_that_keeps_no_bytecode_compiles_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.implementation, "cache_tag", None)

    library = Library()
    assert [ends_found(library), ends_found(library)] == [ENDS] * 2
    assert (library.compiled, kept_in(folder)) == (2, [])


def test_a_folder_that_cannot_be_made_costs_time_only(folder: Path) -> None:
    folder.write_text("a file stands in its way")

    library = Library()
    assert [ends_found(library), ends_found(library)] == [ENDS] * 2
    assert library.compiled == 2
