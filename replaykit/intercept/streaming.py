"""Methods that may return their library's own stream object: the call goes on until that is over."""

from __future__ import annotations

import contextlib
import types
import weakref
from collections.abc import Callable
from typing import Any

import attrs

from replaykit.intercept.generators import async_generated, async_replayed, generated, replayed
from replaykit.intercept.handler import Answer, Ticket
from replaykit.intercept.recorded import Asking, Recorded
from replaykit.operations import Operation, StreamForm

__all__ = ["Streaming", "recorded_class"]


def recorded_class(operation: Operation) -> type[Recorded]:
    """Return what records a method with this row."""
    if operation.before is None and operation.settings is None:
        return Recorded if operation.stream is None else Streaming
    return Asking if operation.stream is None else _AskingStreaming


@attrs.frozen
class Streaming(Recorded):
    """A recorded method that may return its library's own stream object: the call goes on until that is over."""

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket | None:
        """Return the ticket of a call with these arguments, None if nothing observes it."""
        return _streaming(Recorded.begin(self, args, kwargs), self.operation.stream)


@attrs.frozen
class _AskingStreaming(Asking):
    """The same whose object is asked something."""

    def begin_on(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket | None:
        """Return the ticket of a call on *target*, None if nothing observes it."""
        return _streaming(Asking.begin_on(self, target, args, kwargs), self.operation.stream)


def _streaming(ticket: Ticket | None, form: StreamForm | None) -> Ticket | None:
    return ticket if ticket is None or form is None else _StreamTicket(ticket, form)


class _StreamTicket:
    """A call in flight whose result may be a stream object; its items go to the ticket behind it."""

    def __init__(self, ticket: Ticket, form: StreamForm) -> None:
        self.scope = ticket.scope
        self.answer = None if ticket.answer is None else _stood_in(ticket.answer, form)
        self.item, self.end, self.fail, self.mark_async = ticket.item, ticket.end, ticket.fail, ticket.mark_async
        self._ticket = ticket
        self._form = form

    def finish(self, result: Any) -> None:
        """The call returned: a stream goes on, anything else is the result."""
        iterator = getattr(result, self._form.iterator, None)
        if not isinstance(iterator, (types.GeneratorType, types.AsyncGeneratorType)):
            self._ticket.finish(result)
            return
        over = generated if isinstance(iterator, types.GeneratorType) else async_generated
        recorded: Any = over(self._ticket, iterator)  # type: ignore[arg-type]  # each takes its own
        setattr(result, self._form.iterator, recorded)
        # Its own, which closes the connection only, is called through the
        # class: kept in itself it would keep the object alive.
        closing = _closing if over is generated else _async_closing
        result.close = closing(type(result).close, weakref.ref(result), recorded)


def _stood_in(answer: Answer, form: StreamForm) -> Answer:
    if answer.items is None:
        return answer
    items = async_replayed(answer) if form.is_async else replayed(answer)
    return Answer(value=form.stand_in(items), is_async=answer.is_async)


def _closing(close: Callable[[Any], Any], stream: Callable[[], Any], items: Any) -> Callable[[], Any]:
    def closed() -> Any:
        try:
            return close(stream())
        finally:
            # Closed from within a step, it goes on to its own end.
            with contextlib.suppress(ValueError):
                items.close()

    return closed


def _async_closing(close: Callable[[Any], Any], stream: Callable[[], Any], items: Any) -> Callable[[], Any]:
    async def closed() -> Any:
        try:
            return await close(stream())
        finally:
            with contextlib.suppress(RuntimeError):
                await items.aclose()

    return closed
