"""
What every store must do, as tests that a store's author runs.

::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self, tmp_path):
            with contextlib.closing(MyStore(tmp_path / "runs")) as store:
                yield store
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID, uuid4

import attrs

from replaykit.errors import SessionNotFoundError
from replaykit.format.entries import Card, Entry, Gap, Opening, Part, Sealing
from replaykit.protocols import Store

__all__ = ["StoreContract", "make_action", "make_part"]


def make_action(sequence: int, *, kind: str = "find", text: str = "Paris is in France.") -> dict[str, Any]:
    """Return an action entry as small as one may be, with some content."""
    return {"i": sequence, "k": kind, "t": 1_700_000_000_000_000_000 + sequence, "out": [{"text": text}]}


def make_part(
    session_id: UUID,
    sequences: Iterable[int] = (),
    *,
    number: int = 0,
    name: str | None = "a session",
    state: str | None = "sealed",
    checkpoints: Sequence[Entry] = (),
    gaps: Sequence[Gap] = (),
    text: str = "Paris is in France.",
) -> Part:
    """Return a part of the session; with *state* None it is not its last."""
    return Part(
        number=number,
        opening=Opening(session_id=session_id, name=name, created_ns=1, metadata={"at": "opening"}),
        actions=[make_action(sequence, text=text) for sequence in sequences],
        checkpoints=checkpoints,
        gaps=gaps,
        sealing=None if state is None else Sealing(state=state, ended_ns=2, metadata={"at": "end"}),
    )


def _sequences(store: Store, session_id: UUID) -> list[int]:
    return [action["i"] for action in store.read(session_id).actions()]


def _card(store: Store, session_id: UUID) -> Card:
    (card,) = [card for card in store.cards() if card.session_id == session_id]
    assert isinstance(card, Card)
    return card


class StoreContract:
    """Inherit from it and give a fixture ``store`` that yields an empty store open for writing."""

    def test_an_empty_store_lists_nothing(self, store: Store) -> None:
        """There is nothing before the first part."""
        assert list(store.cards()) == []
        assert list(store.logs()) == []

    def test_what_is_published_is_read_back(self, store: Store) -> None:
        """Opening, actions, checkpoints and card come back equal."""
        session_id = uuid4()
        checkpoint = {"c": 1, "i": 1, "t": 7}
        part = make_part(session_id, range(3), checkpoints=[checkpoint])

        store.publish(part)

        session = store.read(session_id)
        assert part.opening == session.opening
        assert list(part.actions) == list(session.actions())
        assert [checkpoint] == list(session.checkpoints)
        assert list(session.sequences) == [0, 1, 2]
        assert part.actions[1] == session.action(1)
        card = _card(store, session_id)
        assert card == session.card
        assert (card.state, card.action_count, card.checkpoint_count, card.ended_ns) == ("sealed", 3, 1, 2)
        assert card.by_kind == {"find": 3}
        assert card.metadata == {"at": "end"}

    def test_a_session_without_its_last_part_is_open(self, store: Store) -> None:
        """Until a sealing is published the card says open, with the opening's metadata."""
        session_id = uuid4()

        store.publish(make_part(session_id, range(2), state=None))

        card = _card(store, session_id)
        assert (card.state, card.ended_ns, card.metadata) == ("open", None, {"at": "opening"})
        assert _sequences(store, session_id) == [0, 1]

    def test_parts_are_one_session_in_order_of_sequence(self, store: Store) -> None:
        """A call that outlived its part is in a later one and is read at its place."""
        session_id = uuid4()
        store.publish(make_part(session_id, [0, 1, 3], state=None))
        store.publish(make_part(session_id, [2, 4], number=1, state=None))
        store.publish(make_part(session_id, [5], number=2))

        assert list(range(6)) == _sequences(store, session_id)
        assert list(range(6)) == list(store.read(session_id).sequences)
        card = _card(store, session_id)
        assert (card.action_count, card.parts, card.state) == (6, 3, "sealed")

    def test_a_part_may_have_no_actions(self, store: Store) -> None:
        """A new sealing alone replaces what the card says about the end."""
        session_id = uuid4()
        store.publish(make_part(session_id, range(2)))
        store.publish(make_part(session_id, number=1, state="interrupted"))

        card = _card(store, session_id)
        assert (card.state, card.action_count) == ("interrupted", 2)
        assert _sequences(store, session_id) == [0, 1]

    def test_the_later_of_two_equal_sequences_wins(self, store: Store) -> None:
        """A repeated sequence is counted and read once, as its newest part has it."""
        session_id = uuid4()
        store.publish(make_part(session_id, range(5), state=None, text="first"))
        store.publish(make_part(session_id, [2, 5], number=1, text="second"))

        session = store.read(session_id)
        assert session.action(2)["out"][0]["text"] == "second"
        assert list(range(6)) == _sequences(store, session_id)
        card = _card(store, session_id)
        assert (card.action_count, card.by_kind) == (6, {"find": 6})

    def test_listing_keeps_the_order_of_publishing(self, store: Store) -> None:
        """A session that gets a new part moves to the end."""
        first, second, third = ids = [uuid4() for _ in range(3)]
        for session_id in ids:
            store.publish(make_part(session_id, [0], state=None))
        store.publish(make_part(first, [1], number=1))

        assert [second, third, first] == [card.session_id for card in store.cards()]

    def test_many_sessions_are_all_listed(self, store: Store) -> None:
        """No session is lost among the steps in which catalogs are written."""
        ids = [uuid4() for _ in range(75)]
        for at, session_id in enumerate(ids):
            store.publish(make_part(session_id, [0], name=f"session {at}"))

        assert ids == [card.session_id for card in store.cards()]
        assert [f"session {at}" for at in range(75)] == [card.name for card in store.cards()]

    def test_an_unknown_session_is_not_found(self, store: Store) -> None:
        """Reading and deleting say so with the same error."""
        for ask in (store.read, store.delete):
            try:
                ask(uuid4())
            except SessionNotFoundError:
                continue
            raise AssertionError(f"{ask} found a session that does not exist")

    def test_a_missing_sequence_is_a_key_error(self, store: Store) -> None:
        """A hole is told from an action."""
        session_id = uuid4()
        store.publish(make_part(session_id, [0, 2]))

        for missing in (1, 3, -1):
            try:
                store.read(session_id).action(missing)
            except KeyError:
                continue
            raise AssertionError(f"sequence {missing} was never published")

    def test_deleting_hides_one_session_only(self, store: Store) -> None:
        """The others are listed and read as before; a second delete finds nothing."""
        kept, deleted = uuid4(), uuid4()
        for session_id in (kept, deleted):
            store.publish(make_part(session_id, range(2)))

        store.delete(deleted)

        assert [kept] == [card.session_id for card in store.cards()]
        assert _sequences(store, kept) == [0, 1]
        for ask in (store.read, store.delete):
            try:
                ask(deleted)
            except SessionNotFoundError:
                continue
            raise AssertionError("a deleted session was found")

    def test_a_deleted_session_can_be_published_anew(self, store: Store) -> None:
        """Nothing of what was deleted comes back with it."""
        session_id = uuid4()
        store.publish(make_part(session_id, range(5)))
        store.delete(session_id)

        store.publish(make_part(session_id, [7]))

        assert _sequences(store, session_id) == [7]
        assert (_card(store, session_id).action_count, _card(store, session_id).parts) == (1, 1)

    def test_logs_are_found_until_they_are_removed(self, store: Store) -> None:
        """A log in use has a writer and cannot be claimed; a closed one can."""
        session_id = uuid4()
        log = store.create_log(session_id)
        log.append(b"first ")
        log.append(b"second")

        (found,) = store.logs()
        assert (session_id, b"first second", 12) == (found.session_id, found.read(0, 100), found.size)
        assert found.has_writer()
        assert not found.claim()
        log.close()
        (found,) = store.logs()
        assert not found.has_writer()
        assert found.claim()
        found.remove()
        assert list(store.logs()) == []

    def test_threads_publish_side_by_side(self, store: Store) -> None:
        """Every part of every thread is there."""
        ids = [uuid4() for _ in range(4)]
        barrier = threading.Barrier(len(ids))

        def publish_all(session_id: UUID) -> None:
            barrier.wait()
            for number in range(5):
                store.publish(make_part(session_id, [number], number=number, state=None))

        threads = [threading.Thread(target=publish_all, args=(session_id,)) for session_id in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert set(ids) == {card.session_id for card in store.cards()}
        assert all(_sequences(store, session_id) == [0, 1, 2, 3, 4] for session_id in ids)

    def test_a_large_session_is_read_lazily(self, store: Store) -> None:
        """Any action is found by its sequence, also one that is very large."""
        session_id = uuid4()
        part = make_part(session_id, range(3000), state=None)
        store.publish(part)
        store.publish(make_part(session_id, [3000], number=1, text="x" * 3_000_000))

        session = store.read(session_id)
        assert len(session.sequences) == 3001
        assert part.actions[2900] == session.action(2900)
        assert len(session.action(3000)["out"][0]["text"]) == 3_000_000

    def test_verifying_tells_how_far_it_is(self, store: Store) -> None:
        """What is done never falls and ends at the total, which has every byte twice."""
        for _ in range(3):
            store.publish(make_part(uuid4(), range(50)))
        told: list[tuple[int, int]] = []

        verdict = store.verify(progress=lambda done, total: told.append((done, total)))

        assert verdict
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        assert told[-1] == (2 * verdict.bytes_read, 2 * verdict.bytes_read)
        assert {total for _, total in told} == {2 * verdict.bytes_read}
        assert len(told) > 3

    def test_verifying_the_bytes_says_how_deep_it_went(self, store: Store) -> None:
        """Sessions and actions are counted like in a full check."""
        store.publish(make_part(uuid4(), range(50)))

        full, of_bytes = store.verify(), store.verify(depth="bytes")

        assert full
        assert (full.depth, of_bytes.depth) == ("full", "bytes")
        assert attrs.evolve(of_bytes, depth="full") == full

    def test_a_deleted_session_can_be_erased(self, store: Store) -> None:
        """Deleting leaves bytes that erasing removes; what never was is not found."""
        kept, deleted = uuid4(), uuid4()
        for session_id in (kept, deleted):
            store.publish(make_part(session_id, range(2)))
        store.delete(deleted)

        store.erase(deleted)

        assert [kept] == [card.session_id for card in store.cards()]
        assert _sequences(store, kept) == [0, 1]
        try:
            store.erase(uuid4())
        except SessionNotFoundError:
            return
        raise AssertionError("a session that never was could be erased")

    def test_compacting_changes_nothing_that_is_read(self, store: Store) -> None:
        """Sessions, their order and what comes later are as before; what was deleted stays so."""
        first, second, deleted = ids = [uuid4() for _ in range(3)]
        for session_id in ids:
            store.publish(make_part(session_id, [0, 1, 3], state=None, text="x" * 20_000))
            store.publish(make_part(session_id, [2, 4], number=1, checkpoints=[{"c": 0, "i": 4, "t": 7}]))
        store.delete(deleted)
        cards, actions = list(store.cards()), [list(store.read(each).actions()) for each in (first, second)]

        store.compact()
        store.compact()

        assert [each.session_id for each in cards] == [each.session_id for each in store.cards()]
        assert [attrs.evolve(each, parts=0) for each in cards] == [
            attrs.evolve(each, parts=0) for each in store.cards()
        ]
        assert actions == [list(store.read(each).actions()) for each in (first, second)]
        assert store.verify()
        store.publish(make_part(second, [5], number=2))
        assert _sequences(store, second) == [0, 1, 2, 3, 4, 5]
        assert store.verify()

    def test_compacting_leaves_an_open_session_to_go_on(self, store: Store) -> None:
        """Its next part continues it."""
        session_id = uuid4()
        store.publish(make_part(session_id, [0, 1], state=None))

        store.compact()
        store.publish(make_part(session_id, [2], number=1))

        assert _sequences(store, session_id) == [0, 1, 2]
        assert (_card(store, session_id).state, bool(store.verify())) == ("sealed", True)

    def test_erasing_takes_one_session_only(self, store: Store) -> None:
        """The others are read as before."""
        kept, erased, other = ids = [uuid4() for _ in range(3)]
        for session_id in ids:
            store.publish(make_part(session_id, range(2)))

        store.erase(erased)

        assert [kept, other] == [card.session_id for card in store.cards()]
        assert _sequences(store, kept) == [0, 1]
        assert store.verify()
        try:
            store.read(erased)
        except SessionNotFoundError:
            return
        raise AssertionError("an erased session was found")

    def test_closing_twice_is_fine(self, store: Store) -> None:
        """The second close does nothing."""
        store.close()
        store.close()
