"""A file cut at any byte keeps every whole action before the cut, is called torn, and goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from uuid import UUID

import pytest
from effort import Figure, sampled
from hostile.memory_disk import MemoryDisk
from hostile.reading import NAME, committed, contents_of, notices, salvaged, salvaged_file
from hostile.samples import SHAPES, Truth, made, truth_of

import replaykit
from replaykit.errors import NotAStoreError
from replaykit.storage.file_store import FileStore
from replaykit.testing.contracts import make_part

shapes = pytest.mark.parametrize("shape", SHAPES)


def cuts_of(truth: Truth, *, share: int = 1) -> list[int]:
    """Return where to cut: near every boundary, and a sample of all bytes, in a light run one of *share* of that."""
    near = {edge + step for edge in truth.boundaries for step in range(-2, 3)}
    always = sorted(cut for cut in near if 0 <= cut <= truth.size)
    return sampled(range(truth.size), truth.size // share, always)


@shapes
def test_g5_a_reader_has_all_whole_commits_before_any_cut(shape: str, tmp_path: Path, figure: Figure) -> None:
    """By value; nothing is invented, and no error but that there is no head yet."""
    data = made(shape, tmp_path)
    truth = truth_of(data)
    cuts = cuts_of(truth)
    for cut in cuts:
        if cut < truth.head_end:
            with pytest.raises(NotAStoreError):
                committed(data[:cut])
            continue
        assert committed(data[:cut]) == truth.committed_before(cut), f"cut at {cut}"
    figure("G5", f"{shape}: {len(cuts)} cuts of {len(data)} bytes read, 0 wrong")


@shapes
def test_g5_salvage_has_all_whole_blocks_before_any_cut(shape: str, tmp_path: Path, figure: Figure) -> None:
    """Committed or not."""
    data = made(shape, tmp_path)
    truth = truth_of(data)
    cuts = cuts_of(truth, share=2)
    for cut in cuts:
        if cut < truth.head_end:
            # What is left of a head may still tell that it was one.
            with contextlib.suppress(NotAStoreError):
                assert salvaged(data[:cut]) == {}
            continue
        found = {session: actions for session, actions in salvaged(data[:cut]).items() if actions}
        assert found == truth.before(cut), f"cut at {cut}"
    figure("G5", f"{shape}: {len(cuts)} cuts of {len(data)} bytes salvaged, 0 wrong")


@shapes
def test_g5_a_cut_file_is_torn_never_corrupt_and_goes_on(shape: str, tmp_path: Path, figure: Figure) -> None:
    """A writer takes it, keeps what was whole, publishes behind it, and the file verifies."""
    data = made(shape, tmp_path)
    truth = truth_of(data)
    new = UUID(int=99)
    cuts = [cut for cut in cuts_of(truth, share=3) if cut >= truth.head_end]
    for cut in cuts:
        disk = MemoryDisk(**{NAME: data[:cut]})
        store = FileStore(NAME, files=disk)
        store.publish(make_part(new, range(2)))
        found = contents_of(store)
        assert list(found.pop(new.bytes)) == [0, 1]
        assert found == truth.committed_before(cut), f"cut at {cut}"
        store.close()
        assert not notices(bytes(disk.files[NAME])), f"cut at {cut}"
    figure("G5", f"{shape}: {len(cuts)} cut files went on, 0 called corrupt")


@shapes
def test_g5_the_public_door_says_the_same(shape: str, tmp_path: Path, figure: Figure) -> None:
    """``load`` in its three modes, on real files, which stay byte for byte."""
    data = made(shape, tmp_path)
    truth = truth_of(data)
    path = tmp_path / "cut.rpk"
    cuts = [cut for cut in sampled(range(truth.size), 2_000) if cut >= truth.head_end]
    for cut in cuts:
        path.write_bytes(data[:cut])
        with replaykit.load(path) as recording:
            assert {UUID(bytes=session) for session in truth.committed_before(cut)} == {
                each.session_id for each in recording.list_sessions()
            }
        found = {session: actions for session, actions in salvaged_file(path).items() if actions}
        assert found == truth.before(cut)
        assert path.read_bytes() == data[:cut]
    figure("G5", f"{shape}: {len(cuts)} cut files loaded")
