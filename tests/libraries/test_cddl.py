"""The CDDL of the format's page holds for real blocks; checked by a CDDL library of its own."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest
from cddl_verifier import Validator

from replaykit.format.block import Block
from replaykit.format.segment import ACTS, KINDS
from replaykit.storage.files import SystemFiles
from replaykit.storage.segment_file import SegmentFile, Tear, open_file

pytestmark = pytest.mark.libraries

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/format.md").read_text()
GOLDEN = sorted((ROOT / "tests/golden").glob("*.rpk")) + sorted((ROOT / "tests/golden").glob("*.mv"))
RULES = {int(number): name.lower() for number, name in re.findall(r"^\| (\d+) \| ([A-Z]+) \|", PAGE, re.MULTILINE)}


@pytest.fixture(scope="module")
def validator() -> Validator:
    """The page's CDDL, compiled once."""
    (cddl,) = re.findall(r"^```cddl\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return Validator(cddl)


def segments_in(path: Path, folder: Path) -> Iterator[Path]:
    if path.suffix == ".rpk":
        yield path
        return
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    for number, (body,) in enumerate(connection.execute("SELECT body FROM replaykit_part")):
        (folder / f"{number}.rpk").write_bytes(body)
        yield folder / f"{number}.rpk"
    connection.close()


def blocks_in(path: Path, folder: Path) -> list[Block]:
    blocks = []
    for each in segments_in(path, folder):
        segment = SegmentFile(open_file(SystemFiles(), str(each)))
        for item in segment.scan(12, segment.size()):
            assert not isinstance(item, Tear)
            if isinstance(item, Block):
                blocks.append(item)
    return blocks


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_every_block_of_a_recording_is_as_the_page_says(path: Path, validator: Validator, tmp_path: Path) -> None:
    """Of every kind that it has, and of every version so far."""
    for block in blocks_in(path, tmp_path):
        if block.kind in RULES:
            result = validator.validate(block.body(), RULES[block.kind])
            assert result.valid, f"{RULES[block.kind]} at {block.offset}: {result.errors}"


def test_every_kind_is_seen(tmp_path: Path) -> None:
    """The golden recordings hold each kind that the page has a rule for."""
    seen = {block.kind for path in GOLDEN for block in blocks_in(path, tmp_path)}
    assert set(RULES) == KINDS
    assert seen >= KINDS


def test_cards_of_a_memory_are_as_the_page_says(validator: Validator) -> None:
    """They stand in rows of their own."""
    connection = sqlite3.connect(f"file:{ROOT / 'tests/golden/1.1-draft.mv'}?immutable=1", uri=True)
    cards = connection.execute("SELECT card FROM replaykit_session").fetchall()
    connection.close()
    assert cards
    for (card,) in cards:
        assert validator.validate(card, "card").valid


@pytest.mark.parametrize("key", ["l", "s", "a", "b"])
def test_another_body_is_told(key: str, validator: Validator, tmp_path: Path) -> None:
    """The library does look: a key of another type, and one that the page does not know, are refused."""
    (first, *_) = [
        block for block in blocks_in(GOLDEN[1], tmp_path) if block.kind == ACTS and "b" in cbor2.loads(block.body())
    ]
    body = cbor2.loads(first.body())
    assert validator.validate(cbor2.dumps(body), "acts").valid
    assert not validator.validate(cbor2.dumps({**body, key: 1.5}), "acts").valid
    assert not validator.validate(cbor2.dumps({**body, "unknown": 1}), "acts").valid
