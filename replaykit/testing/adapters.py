"""
What every adapter must do, as tests that its author runs on the real library.

::

    class TestNotes(AdapterContract):
        @pytest.fixture
        def fresh(self):
            return Notes

        def program(self, target):
            target.add("a", "Paris is the capital of France.")
            return [target.search("Paris", k=3)]

        expected = (
            Expected("put", "add", ids=("a",)),
            Expected("find", "search", query="Paris", ids=("a",), arguments={"k": 3}),
        )
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import attrs

from replaykit.model import FrameId, ReplayAction, ReplaySession
from replaykit.playback.player import play
from replaykit.wrapping import Recorder

__all__ = ["AdapterContract", "Expected"]

Fresh = Callable[[], Any]


@attrs.frozen
class Expected:
    """
    One action that a program leaves; what is None is not looked at.

    Attributes:
        ids: ``affected_frames``.
        arguments: Some of the call's arguments.
    """

    kind: str
    name: str
    query: str | None = attrs.field(default=None, kw_only=True)
    ids: tuple[FrameId, ...] | None = attrs.field(default=None, kw_only=True)
    arguments: Mapping[str, Any] = attrs.field(factory=dict, kw_only=True)

    def seen_in(self, action: ReplayAction) -> Expected:
        """Return what *action* has of all that is expected."""
        return Expected(
            action.kind,
            action.name,
            query=None if self.query is None else getattr(action.action_type, "query", None),
            ids=None if self.ids is None else tuple(action.affected_frames),
            arguments={name: action.arguments.get(name) for name in self.arguments},
        )


class AdapterContract:
    """
    Inherit from it and give a fixture ``fresh``, a `program` and what is `expected` of it.

    ``fresh`` is a callable that returns an object of the library each time:
    an empty store, always the same.  The adapter has to be installed: its
    entry point is tested, too.

    Attributes:
        expected: The top-level actions that `program` leaves, in order.
        expected_async: Those of `async_program`.
    """

    expected: ClassVar[Sequence[Expected]] = ()
    expected_async: ClassVar[Sequence[Expected]] = ()

    def program(self, target: Any) -> list[Any]:
        """
        Use *target* in every way that is recorded and return what came back.

        It must not ask for anything that differs from run to run, and reach
        what *target* hands out (collections, retrievers) through it.
        """
        return []

    async def async_program(self, target: Any) -> list[Any]:
        """Do the same by coroutines; a library without any leaves it out."""
        return []

    def wrapped(self, recorder: Recorder, target: Any) -> Any:
        """Return *target* recorded; overridden for an adapter that is not installed."""
        return recorder.wrap(target)

    def shown(self, results: Sequence[Any]) -> Any:
        """Return what of the *results* must be equal; overridden where ``==`` does not say."""
        return list(results)

    # -- the tests --------------------------------------------------------------------

    def test_results_are_the_same_with_and_without_us(self, fresh: Fresh) -> None:
        """Bare, wrapped outside of a session, and recorded."""
        bare = self.shown(self.program(fresh()))

        with Recorder(":memory:") as recorder:
            assert self.shown(self.program(self.wrapped(recorder, fresh()))) == bare
            with recorder.session():
                assert self.shown(self.program(self.wrapped(recorder, fresh()))) == bare

    def test_each_operation_is_recorded(self, fresh: Fresh) -> None:
        """Under its kind and name, with query, ids and arguments; nothing that was called is left out."""
        session, _ = self._recorded(self.program, fresh)

        assert self._seen(session, self.expected) == list(self.expected)
        assert dict(session.uncovered) == {}
        assert not session.lost

    def test_it_plays_with_the_store_gone(self, fresh: Fresh) -> None:
        """A fresh, empty store stands where the recorded one was; each recorded call is asked for."""
        session, results = self._recorded(self.program, fresh)

        with Recorder(":memory:") as recorder, play(session) as player:
            played = self.program(self.wrapped(recorder, fresh()))

        assert self.shown(played) == self.shown(results)
        assert player.all_played
        assert player.play_count == len(_top_level(session))

    def test_coroutines_are_recorded_and_play(self, fresh: Fresh) -> None:
        """What holds of `program` holds of `async_program`."""
        if type(self).async_program is AdapterContract.async_program:
            import pytest

            pytest.skip("the library has no coroutines")

        def run(target: Any) -> list[Any]:
            return asyncio.run(self.async_program(target))

        bare = self.shown(run(fresh()))
        session, results = self._recorded(run, fresh)
        with Recorder(":memory:") as recorder, play(session) as player:
            played = run(self.wrapped(recorder, fresh()))

        assert self.shown(results) == bare
        assert self.shown(played) == bare
        assert self._seen(session, self.expected_async) == list(self.expected_async)
        assert dict(session.uncovered) == {}
        assert player.all_played

    def _recorded(self, run: Callable[[Any], list[Any]], fresh: Fresh) -> tuple[ReplaySession, list[Any]]:
        """Return what is recorded when *run* is given a fresh target, and what it returns."""
        with Recorder(":memory:") as recorder:
            with recorder.session(adopt=True) as block:
                results = run(self.wrapped(recorder, fresh()))
            session = block.result
            assert session is not None
            # Read now: the store goes with its recorder.
            return attrs.evolve(session, actions=tuple(session.actions)), results

    def _seen(self, session: ReplaySession, expected: Sequence[Expected]) -> list[Expected]:
        """Return the recorded top-level actions, each with what is looked at of the one in its place."""
        actions = _top_level(session)
        wanted = [*expected, *[Expected("", "")] * len(actions)]
        return [each.seen_in(action) for each, action in zip(wanted, actions, strict=False)]


def _top_level(session: ReplaySession) -> list[ReplayAction]:
    return [action for action in session.actions if action.parent is None]
