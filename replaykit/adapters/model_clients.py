"""
What the clients of OpenAI and Anthropic have in common, as one generator makes both: their models, streams and errors.

Results are recorded as the JSON that the server sent, and come back as the
library's own objects.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from replaykit.intercept.coverage import Method
from replaykit.intercept.recorded import Given
from replaykit.intercept.scope import observer_for
from replaykit.intercept.shapes import run, run_coroutine
from replaykit.logs import get_logger
from replaykit.model import Failure
from replaykit.operations import Operation, StreamForm

__all__ = ["Library", "TypeOf", "asked_when_entered", "entering"]

log = get_logger("adapters")

_REQUEST_ID = "_request_id"

_AWAY = ("extra_headers", "timeout")
"""Headers may hold a key, and neither changes what is answered."""

TypeOf = Callable[[Mapping[str, Any]], str]
"""Which of its types the library reads this JSON as: a dotted name below the library."""


@attrs.frozen
class Library:
    """One of them, by the name of its module."""

    name: str

    def asks(self, type_of: TypeOf, query: str, *, is_async: bool) -> Operation:
        """Return the row of a method that asks a model; it returns an answer, or a stream."""
        return attrs.evolve(
            self.calls(type_of), kind="ask", query=query, ids="result.none", stream=self._stream_form(is_async)
        )

    def calls(self, type_of: TypeOf) -> Operation:
        """Return the row of a method that calls the server for something else."""
        return Operation(
            kind="tool",
            omits=_AWAY,
            unset=("Omit", "NotGiven"),
            freeze=_json_of,
            thaw=lambda value: self._object_of(value, type_of),
            thaw_error=self._error_of,
        )

    def _object_of(self, value: Any, type_of: TypeOf) -> Any:
        if type(value) is not dict:
            return value
        models = importlib.import_module(f"{self.name}._models")
        data = {key: item for key, item in value.items() if key != _REQUEST_ID}
        made = models.construct_type(type_=self._named(type_of(data)), value=data)
        if _REQUEST_ID in value:
            models.add_request_id(made, value[_REQUEST_ID])
        return made

    def _named(self, name: str) -> Any:
        module, _, attribute = f"{self.name}.{name}".rpartition(".")
        return getattr(importlib.import_module(module), attribute)

    # -- streams ------------------------------------------------------------------------

    def _stream_form(self, is_async: bool) -> StreamForm:
        def stand_in(items: Any) -> Any:
            cls: Any = self._named("AsyncStream" if is_async else "Stream")
            made = cls.__new__(cls)
            made.response = _NoResponse()
            made._iterator = items
            made.close = _nothing_async if is_async else _nothing
            return made

        return StreamForm(iterator="_iterator", stand_in=stand_in, is_async=is_async)

    # -- errors -------------------------------------------------------------------------

    def _error_of(self, failure: Failure) -> BaseException | None:
        """Return the library's exception with the status and the body that its message tells, None for any other."""
        module, _, name = failure.type.rpartition(".")
        library = importlib.import_module(self.name)
        cls = getattr(library, name, None) if module.partition(".")[0] == self.name else None
        if not isinstance(cls, type) or not issubclass(cls, library.APIError):
            return None
        made: Any = cls.__new__(cls)  # type: ignore[call-overload]  # an exception class
        made.args = failure.args or (failure.message,)
        status, body = _told(failure.message)
        made.message, made.body, made.request, made.request_id = failure.message, body, None, None
        details = body if isinstance(body, dict) else {}
        made.code, made.param, made.type = (details.get(key) for key in ("code", "param", "type"))
        if issubclass(cls, library.APIStatusError):
            made.response = _NoResponse(status)
            made.status_code = status
        error: BaseException = made
        return error


def _json_of(value: Any) -> Any:
    """Return the JSON that *value* was read from; anything but a model of the library's as it is."""
    if not hasattr(type(value), "model_dump"):
        return value
    data = value.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
    request_id = getattr(value, _REQUEST_ID, None)
    return data if request_id is None else {**data, _REQUEST_ID: request_id}


def _told(message: str) -> tuple[int, Any]:
    """Return status and body of ``Error code: 429 - {...}``; 0 and None where it says neither."""
    found = re.match(r"Error code: (\d{3})(?: - (.*))?$", message, re.DOTALL)
    if found is None:
        return 0, None
    try:
        body = ast.literal_eval(found[2] or "None")
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return int(found[1]), None
    return int(found[1]), body


class _NoRequest:
    """Stands for the request of a call that was not made."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}


class _NoResponse:
    """Stands for the response of a call that was not made."""

    http_version = "HTTP/1.1"

    def __init__(self, status_code: int = 200) -> None:
        self.request = _NoRequest()
        self.status_code = status_code
        self.headers: dict[str, str] = {}

    def close(self) -> None:
        """There is no connection."""

    async def aclose(self) -> None:
        """There is no connection."""


def _nothing() -> None:
    """There is no connection to close."""


async def _nothing_async() -> None:
    """There is no connection to close."""


# -- what is entered to be asked ----------------------------------------------------------


def entering(name: str) -> Any:
    """
    Return what takes over a method *name* whose result asks the server when it is entered.

    It runs in a play, too, and its request is answered.
    """

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        manager = getattr(self.__wrapped__, name)(*args, **kwargs)
        recorded = self._self_recorded.get(name)
        if recorded is None or not asked_when_entered(manager, Given(recorded, args, kwargs)):
            _note(self._self_recorder, (type(self.__wrapped__).__name__, name))
        return manager

    method.__name__ = name
    return method


def asked_when_entered(manager: Any, given: Given) -> bool:
    """Have the request that *manager* makes when it is entered recorded as *given*; False where it has none."""
    found = [attribute for attribute in vars(manager) if attribute.endswith("__api_request")]
    if not found:
        return False
    request = getattr(manager, found[0])
    setattr(manager, found[0], _requesting(given, request) if callable(request) else _Awaitable(given, request))
    return True


def _note(recorder: Any, method: Method) -> None:
    observer = observer_for(recorder)
    if observer is not None:
        observer.note_uncovered(method)


def _requesting(given: Given, request: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: run(given, request, (), {})


@attrs.frozen
class _Awaitable:
    """A request that is recorded once it is awaited; *request* is the library's coroutine, or another of these."""

    given: Given
    request: Any

    def __await__(self) -> Any:
        return self.sent().__await__()

    async def sent(self) -> Any:
        """Send it, and return the answer."""
        send = self.request.sent if isinstance(self.request, _Awaitable) else lambda: self.request
        try:
            return await run_coroutine(self.given, send, (), {})
        finally:
            # In a play nobody awaited it.
            self.close()

    def close(self) -> None:
        """Leave it unsent."""
        self.request.close()
