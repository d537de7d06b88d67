"""The root of a session: the tree of RFC 9162, carried on from part to part, the same wherever it is copied."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from replaykit.format.merkle import Edge, MerkleTree, Trees
from replaykit.storage.copying import parts_of
from replaykit.storage.file_store import FileStore
from replaykit.storage.sqlite_store import SqliteStore
from replaykit.storage.stored_session import demand_roots
from replaykit.testing.contracts import make_part

ENTRIES = st.lists(st.binary(max_size=6), max_size=70)


def naive(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word for word."""
    if not entries:
        return blake3(b"").digest()
    if len(entries) == 1:
        return blake3(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return blake3(b"\x01" + naive(entries[:split]) + naive(entries[split:])).digest()


def tree_of(entries: list[bytes], edge: Edge | None = None) -> MerkleTree:
    tree = MerkleTree(edge)
    for entry in entries:
        tree.add(entry)
    return tree


@given(ENTRIES)
def test_the_root_is_that_of_the_standard(entries: list[bytes]) -> None:
    """For any number of leaves, none included."""
    assert naive(entries) == tree_of(entries).root()


@given(ENTRIES, st.data())
def test_a_tree_goes_on_from_its_edge(entries: list[bytes], data: st.DataObject) -> None:
    """However often it is stored and carried on, the root is that of all leaves."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(entries)), max_size=4)))
    edge = Edge()
    for start, stop in zip([0, *cuts], [*cuts, len(entries)], strict=True):
        edge = tree_of(entries[start:stop], edge).edge()
        assert edge.is_sound

    assert len(entries) == edge.count
    assert naive(entries) == MerkleTree(edge).root()


@given(st.integers(-3, 1 << 40), st.integers(0, 45), st.integers(-1, 1))
def test_an_edge_with_other_peaks_than_its_count_is_unsound(count: int, hashes: int, more: int) -> None:
    """As many whole hashes as the count has ones in binary."""
    edge = Edge(count, bytes(max(32 * hashes + more, 0)))

    assert edge.is_sound == (count >= 0 and len(edge.peaks) == 32 * bin(count).count("1"))


def test_leaves_nodes_and_sessions_cannot_stand_for_each_other() -> None:
    """Two leaves are not one leaf that holds their hashes; a checkpoint is no action."""
    first, second = (blake3(b"\x00" + entry).digest() for entry in (b"a", b"b"))
    assert tree_of([b"a", b"b"]).root() != tree_of([first + second]).root()
    actions, checkpoints = Trees(), Trees()
    actions.actions.add(b"a")
    checkpoints.checkpoints.add(b"a")
    assert actions.root() != checkpoints.root()


# -- wherever a session goes ----------------------------------------------------------

LARGE = "A long answer. " * 2000


def published(path: Path) -> tuple[UUID, FileStore]:
    """A session of three parts, with a large value, a late call, a repeated sequence and checkpoints."""
    session_id = uuid4()
    store = FileStore(path)
    checkpoints = [{"c": number, "i": number, "t": number} for number in range(3)]
    store.publish(make_part(session_id, range(40), state=None, checkpoints=checkpoints[:2]))
    store.publish(make_part(session_id, [39, 41], number=1, state=None, text=LARGE))
    store.publish(make_part(session_id, [40, 42], number=2, checkpoints=checkpoints[2:]))
    return session_id, store


def root_in(store: FileStore | SqliteStore, session_id: UUID) -> bytes | None:
    return demand_roots(store.read(session_id).pieces)


@pytest.fixture
def original(tmp_path: Path) -> Iterator[tuple[UUID, FileStore, bytes]]:
    session_id, store = published(tmp_path / "runs.rpk")
    with contextlib.closing(store):
        root = root_in(store, session_id)
        assert root is not None
        yield session_id, store, root


def test_the_root_is_that_of_the_entries_as_published(original: tuple[UUID, FileStore, bytes]) -> None:
    """Computed by hand from what the blocks hold: actions and checkpoints, in order of publishing."""
    session_id, store, root = original
    sequences = [*range(40), 39, 41, 40, 42]
    (piece,) = store.read(session_id).pieces
    raws = [raw for block in piece.index.actions for raw in piece.entries(block.place, 3).raws]
    checkpoints = [raw for place in piece.index.checkpoints for raw in piece.entries(place, 5).raws]

    assert len(sequences) == len(raws)
    assert blake3(b"\x02" + naive(raws) + naive(checkpoints)).digest() == root


def test_the_root_survives_compaction(original: tuple[UUID, FileStore, bytes]) -> None:
    """Blocks are cut and compressed anew; the entries stay."""
    session_id, store, root = original

    store.compact()

    assert root == root_in(store, session_id)


def test_the_root_survives_being_copied_elsewhere(original: tuple[UUID, FileStore, bytes], tmp_path: Path) -> None:
    """Into another file, and into a memory's own file, where it also survives compaction."""
    session_id, store, root = original
    with contextlib.closing(FileStore(tmp_path / "other.rpk")) as other:
        with contextlib.closing(SqliteStore(tmp_path / "notes.mv")) as memory:
            for part in parts_of(store.read(session_id)):
                other.publish(part)
                memory.publish(part)

            assert [root, root] == [root_in(other, session_id), root_in(memory, session_id)]
            memory.compact()
            assert root == root_in(memory, session_id)


def test_another_action_is_another_root(tmp_path: Path) -> None:
    """One changed byte anywhere in a session shows."""
    roots = set()
    for number, text in enumerate(("Paris", "paris")):
        with contextlib.closing(FileStore(tmp_path / f"{number}.rpk")) as store:
            session_id = UUID(int=1)
            store.publish(make_part(session_id, range(5), text=text))
            roots.add(root_in(store, session_id))
    assert len(roots) == 2
