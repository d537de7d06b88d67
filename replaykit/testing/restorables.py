"""
What every store must do whose checkpoints restore, as tests that an adapter's author runs.

::

    class TestMyFrames(RestorableContract):
        @pytest.fixture
        def fresh(self, tmp_path):
            return lambda: MyFrames(MyStore())
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs

from replaykit.model import FrameId, StoredFrame
from replaykit.protocols import Restorable
from replaykit.rewinding.shadow import Shadow
from replaykit.storage.database import MEMORY

__all__ = ["SAMPLES", "RestorableContract"]

Fresh = Callable[[], Restorable]

SAMPLES = (
    StoredFrame(id="a", text="Paris is the capital of France.", metadata={"rank": 1, "source": "atlas"}),
    StoredFrame(id="b", text="Rome is the capital of Italy.", metadata={"rank": 2, "score": 0.5, "seen": True}),
    StoredFrame(id="c", text="Zürich ist keine Hauptstadt, 東京 はそうです。"),
)
"""Frames that a store with text ids, texts and flat metadata takes."""


class RestorableContract:
    """
    Inherit from it and give a fixture ``fresh``: a callable that returns an empty `Restorable` each time.

    Attributes:
        samples: At least three frames that the store takes, with different texts.
        keeps_ids: Whether the store takes the ids that it is given.
    """

    samples: ClassVar[Sequence[StoredFrame]] = SAMPLES
    keeps_ids: ClassVar[bool] = True

    def shown(self, frame: StoredFrame) -> tuple[Any, ...]:
        """Return what of a frame must come back equal; overridden where the store adds something of its own."""
        return frame.text, frame.title, frame.uri, dict(frame.metadata), frame.vector

    def content(self, frames: Sequence[StoredFrame]) -> list[tuple[Any, ...]]:
        """Return what must come back of *frames*, in one order."""
        return sorted((self._with_id(frame) for frame in frames), key=repr)

    def _with_id(self, frame: StoredFrame) -> tuple[Any, ...]:
        return (frame.id, *self.shown(frame)) if self.keeps_ids else self.shown(frame)

    def test_an_empty_store_has_no_frames(self, fresh: Fresh) -> None:
        """There is nothing before the first."""
        assert list(fresh().frames()) == []

    def test_what_is_put_in_is_read_back(self, fresh: Fresh) -> None:
        """Every field of every frame, and each id once."""
        store = fresh()

        store.restore(list(self.samples))

        found = list(store.frames())
        assert self.content(found) == self.content(self.samples)
        assert len({frame.id for frame in found}) == len(self.samples)

    def test_reading_changes_nothing(self, fresh: Fresh) -> None:
        """The same frames come each time."""
        store = fresh()
        store.restore(list(self.samples))

        assert list(store.frames()) == list(store.frames())

    def test_frames_may_come_one_at_a_time(self, fresh: Fresh) -> None:
        """An iterator that can be read once is enough."""
        store = fresh()

        store.restore(iter(self.samples))

        assert self.content(list(store.frames())) == self.content(self.samples)

    def test_what_is_not_wanted_goes(self, fresh: Fresh) -> None:
        """The store holds exactly what it is given, down to nothing."""
        store = fresh()
        store.restore(list(self.samples))
        kept = list(store.frames())[:1]

        store.restore(kept)
        assert self.content(list(store.frames())) == self.content(kept)

        store.restore([])
        assert list(store.frames()) == []

    def test_what_was_changed_is_as_before(self, fresh: Fresh) -> None:
        """A changed text, a changed title or metadata alone, and what was removed."""
        store = fresh()
        store.restore(list(self.samples))
        before = list(store.frames())
        changed = [
            attrs.evolve(before[0], text=before[1].text),
            attrs.evolve(before[1], metadata={**before[1].metadata, "more": "x"}),
        ]
        store.restore(changed)
        assert self.content(list(store.frames())) == self.content(changed)

        store.restore(before)

        assert self.content(list(store.frames())) == self.content(before)

    def test_what_is_there_keeps_its_id(self, fresh: Fresh) -> None:
        """Restoring what the store holds gives no frame another id."""
        store = fresh()
        store.restore(list(self.samples))
        before = list(store.frames())

        new_ids = store.restore(before)

        assert not new_ids
        assert list(store.frames()) == before

    def test_new_ids_are_told(self, fresh: Fresh) -> None:
        """Each frame is found under the id that it was given, or under the one that the map says."""
        store = fresh()

        new_ids = store.restore(list(self.samples)) or {}

        by_id: dict[FrameId, StoredFrame] = {frame.id: frame for frame in store.frames()}
        for sample in self.samples:
            assert self.shown(by_id[new_ids.get(sample.id, sample.id)]) == self.shown(sample)
        assert not (self.keeps_ids and new_ids)

    def test_equal_contents_have_equal_hashes(self, fresh: Fresh) -> None:
        """Whichever way they came there: put at once, or changed and put back."""
        store, shadow = fresh(), Shadow(MEMORY)
        store.restore(list(self.samples))
        first = shadow.keep(store.frames())
        before = list(store.frames())
        store.restore(before[1:])
        other = shadow.keep(store.frames())

        store.restore(before)

        again = shadow.keep(store.frames())
        shadow.close()
        assert other.state_hash != first.state_hash
        assert (again.state_hash == first.state_hash) == self.keeps_ids
