"""A recorded function stays the function it was, in all four shapes."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import functools
import gc
import inspect
import multiprocessing
import pickle
import traceback
import types
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

import replaykit
from replaykit import ReplayAction, ReplaySession
from replaykit.errors import UsageError
from replaykit.intercept import scope


def recorded(call: Callable[[], Any], **options: Any) -> list[ReplayAction]:
    """Run *call* in a session of its own and return what was recorded."""
    with replaykit.session(store="runs.rpk", **options) as session:
        call()
    return list(result_of(session).actions)


def result_of(session: Any) -> ReplaySession:
    result = session.result
    assert isinstance(result, ReplaySession)
    return result


# -- functions of the module, as users have them ------------------------------------


@replaykit.records("find")
def search(query: str, k: int = 5) -> list[str]:
    """Find documents."""
    return [query] * k


@replaykit.records
async def fetch(url: str) -> str:
    """Fetch one."""
    await asyncio.sleep(0)
    return url.upper()


@replaykit.records("tool")
def echo(*received: Any) -> Iterator[Any]:
    """Yield what was sent."""
    try:
        given = yield "ready"
        while given != "stop":
            try:
                given = yield given
            except KeyError as error:
                given = yield f"caught {error}"
    finally:
        CLEANED.append("echo")
    return "done"


@replaykit.records()
async def stream(count: int) -> AsyncIterator[Any]:
    """Yield numbers and what was sent."""
    try:
        for number in range(count):
            try:
                got = yield number
                if got is not None:
                    yield ("got", got)
            except KeyError as error:
                yield f"caught {error}"
    finally:
        CLEANED.append("stream")


CLEANED: list[str] = []


@pytest.fixture(autouse=True)
def nothing_cleaned_yet() -> None:
    CLEANED.clear()


class Agent:
    """Methods of every kind."""

    name = "agent"

    def __init__(self, label: str = "a") -> None:
        self.label = label

    @replaykit.records("find")
    def search(self, query: str) -> str:
        """Search."""
        return f"{self.label}:{query}"

    @replaykit.records("tool")
    @classmethod
    def make_above(cls, label: str) -> Agent:
        return cls(label)

    @classmethod
    @replaykit.records("tool")
    def make_below(cls, label: str) -> Agent:
        return cls(label)

    @replaykit.records("tool")
    @staticmethod
    def add_above(a: int, b: int = 2) -> int:
        return a + b

    @staticmethod
    @replaykit.records("tool")
    def add_below(a: int, b: int = 2) -> int:
        return a + b

    @property
    @replaykit.records("tool")
    def shown(self) -> str:
        return f"<{self.label}>"

    @functools.cached_property
    @replaykit.records("tool")
    def length(self) -> int:
        return len(self.label)

    @replaykit.records("ask")
    async def ask(self, question: str) -> str:
        return question

    @replaykit.records("ask")
    def tokens(self, question: str) -> Iterator[str]:
        yield from question.split()


class Deeper(Agent):
    @replaykit.records("find")
    def search(self, query: str) -> str:
        return "deeper " + super().search(query)


# -- what it looks like -------------------------------------------------------------


@pytest.mark.parametrize("function", [search, fetch, echo, stream, Agent.search, Agent("a").search, Agent.make_above])
def test_it_looks_like_the_function(function: Any) -> None:
    """Name, documentation, module, signature and annotations are the function's own."""
    plain = function.__wrapped__
    plain = getattr(plain, "__func__", plain)

    assert plain.__name__ == function.__name__
    assert plain.__qualname__ == function.__qualname__
    assert plain.__doc__ == function.__doc__
    assert __name__ == function.__module__
    assert plain.__annotations__ == function.__annotations__
    assert [name for name in inspect.signature(plain).parameters if name not in ("self", "cls")] == [
        name for name in inspect.signature(function).parameters if name not in ("self", "cls")
    ]


def test_a_bound_method_shows_no_self() -> None:
    assert list(inspect.signature(Agent().search).parameters) == ["query"]
    assert list(inspect.signature(Agent.make_above).parameters) == ["label"]
    assert list(inspect.signature(Agent().add_above).parameters) == ["a", "b"]


def test_inspect_sees_the_shape() -> None:
    """Frameworks decide by these whether to await or to iterate."""
    assert inspect.isfunction(search)
    assert inspect.iscoroutinefunction(fetch)
    assert asyncio.iscoroutinefunction(fetch)
    assert inspect.iscoroutinefunction(Agent("a").ask)
    assert inspect.isgeneratorfunction(echo)
    assert inspect.isgeneratorfunction(Agent("a").tokens)
    assert inspect.isasyncgenfunction(stream)
    assert not inspect.iscoroutinefunction(search)
    assert not inspect.isgeneratorfunction(search)


def test_what_it_hands_out_has_the_shape_and_the_name() -> None:
    """Warnings, task lists and tracebacks name the user's function."""
    waiting, iterating = fetch("x"), echo()
    try:
        assert inspect.iscoroutine(waiting)
        assert inspect.isgenerator(iterating)
        assert inspect.isasyncgen(stream(1))
        assert waiting.__qualname__ == "fetch"
        assert iterating.__qualname__ == "echo"  # type: ignore[attr-defined]
        assert stream(1).__qualname__ == "stream"  # type: ignore[attr-defined]
    finally:
        waiting.close()


# -- the result is the caller's -----------------------------------------------------


def test_a_result_is_the_very_object() -> None:
    """Identity survives, whether a session is open or not."""
    kept = object()
    give = replaykit.records("tool")(lambda value: value)

    assert give(kept) is kept
    with replaykit.session(store="runs.rpk"):
        assert give(kept) is kept


def test_a_call_outside_of_a_session_just_runs() -> None:
    assert search("a", k=2) == ["a", "a"]
    assert asyncio.run(fetch("a")) == "A"


def test_arguments_go_by_name_with_defaults() -> None:
    (action,) = recorded(lambda: search("a"))

    assert (action.kind, action.name, action.arguments) == ("find", "search", {"query": "a", "k": 5})
    assert action.output == ["a"] * 5


@pytest.mark.parametrize(
    ("call", "arguments", "output"),
    [
        (lambda: Agent().search("x"), {"query": "x"}, "a:x"),
        (lambda: Agent.search(Agent(), "x"), {"query": "x"}, "a:x"),
        (lambda: Agent().add_above(1), {"a": 1, "b": 2}, 3),
        (lambda: Agent.add_above(1), {"a": 1, "b": 2}, 3),
        (lambda: Agent().add_below(1), {"a": 1, "b": 2}, 3),
        (lambda: Agent.add_below(1), {"a": 1, "b": 2}, 3),
        (lambda: Agent("d").shown, {}, "<d>"),
        (lambda: Agent("d").length, {}, 1),
        (lambda: asyncio.run(Agent().ask("q")), {"question": "q"}, "q"),
        (lambda: list(Agent().tokens("a b")), {"question": "a b"}, ["a", "b"]),
    ],
)
def test_self_and_cls_are_no_arguments(call: Callable[[], Any], arguments: Any, output: Any) -> None:
    """Whatever the method is and however it is reached."""
    (action,) = recorded(call, adopt=True)

    assert (arguments, output) == (action.arguments, action.output)


@pytest.mark.parametrize("make", [Agent.make_above, Agent.make_below, Deeper.make_above, Deeper.make_below])
def test_a_classmethod_keeps_its_class(make: Any) -> None:
    """The decorator may stand above or below."""
    (action,) = recorded(lambda: make("x"))

    assert make("x").label == "x"
    assert action.arguments == {"label": "x"}


def test_an_overridden_method_gets_its_own_class() -> None:
    assert type(Deeper.make_above("x")) is Deeper
    assert type(Deeper.make_below("x")) is Deeper


def test_super_is_a_call_inside() -> None:
    """The inherited method is a recorded call of the overriding one."""
    outer, inner = recorded(lambda: Deeper().search("x"))

    assert (outer.name, outer.parent, outer.output) == ("Deeper.search", None, "deeper a:x")
    assert ("Agent.search", outer.sequence, "a:x") == (inner.name, inner.parent, inner.output)


def test_recursion_nests() -> None:
    """Each level is the parent of the next."""

    @replaykit.records("tool")
    def down(n: int) -> int:
        return 0 if n == 0 else 1 + down(n - 1)

    actions = recorded(lambda: down(3))

    assert [action.parent for action in actions] == [None, 0, 1, 2]
    assert [action.output for action in actions] == [3, 2, 1, 0]


# -- whatever can be called -----------------------------------------------------------


class Greeter:
    """A callable object."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, name: str) -> str:
        self.calls += 1
        return f"hello {name}"


class AsyncGreeter:
    async def __call__(self, name: str) -> str:
        return f"hello {name}"


def test_a_callable_object_keeps_its_attributes() -> None:
    greet = replaykit.records("tool")(Greeter())

    (action,) = recorded(lambda: greet("Ada"))

    assert greet.calls == 1
    assert isinstance(greet, Greeter)
    assert (action.name, action.arguments) == ("Greeter", {"name": "Ada"})


def test_a_callable_object_may_be_async() -> None:
    greet = replaykit.records("tool")(AsyncGreeter())

    (action,) = recorded(lambda: asyncio.run(greet("Ada")))

    assert (action.output, action.arguments) == ("hello Ada", {"name": "Ada"})


@pytest.mark.parametrize(
    ("function", "args", "name", "arguments"),
    [
        (functools.partial(lambda a, b, c=3: a + b + c, 1), (2,), "<lambda>", {"b": 2, "c": 3}),
        (functools.partial(Greeter(), name="x"), (), "Greeter", {"name": "x"}),
        (lambda query: query, ("x",), "<lambda>", {"query": "x"}),
        (len, ([1, 2],), "len", {"obj": [1, 2]}),
        ("a,b".split, (",",), "str.split", {"sep": ",", "maxsplit": -1}),
        (Agent("x").search.__wrapped__, ("q",), "Agent.search", {"query": "q"}),
        (max, (1, 2), "max", {"args": (1, 2)}),
    ],
)
def test_it_takes_any_callable(function: Any, args: tuple[Any, ...], name: str, arguments: Any) -> None:
    """Partials, lambdas, builtins and bound methods, under the name of what they call."""
    (action,) = recorded(lambda: replaykit.records("tool")(function)(*args))

    assert (name, arguments) == (action.name, action.arguments)
    assert function(*args) == action.output


def test_a_context_manager_stays_one() -> None:
    """A decorator below ours may make something else of a generator function: that is what comes back."""

    @replaykit.records("tool")
    @contextlib.contextmanager
    def opened(name: str) -> Iterator[str]:
        yield name

    with replaykit.session(store="runs.rpk"), opened("x") as got:
        assert got == "x"
    with opened("y") as got:
        assert got == "y"


class Transaction:
    """Its calls are recorded; a commit fails."""

    @replaykit.records("tool")
    def __enter__(self) -> Transaction:
        return self

    @replaykit.records("tool")
    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if error is None:
            raise ConnectionError("commit")
        return isinstance(error, KeyError)


def test_an_exit_that_raises_or_swallows_does_so() -> None:
    """What the block raises and what its end raises reach the user as without us."""

    def work() -> None:
        with pytest.raises(ConnectionError, match="commit"), Transaction():
            pass
        with Transaction():
            raise KeyError("swallowed")
        with pytest.raises(ZeroDivisionError), Transaction():
            raise ZeroDivisionError

    actions = recorded(work)
    ends = [action for action in actions if action.name == "Transaction.__exit__"]
    assert [action.parent for action in actions] == [None] * 6
    assert [(action.output, action.error and action.error.message) for action in ends] == [
        (None, "commit"), (True, None), (False, None),
    ]  # fmt: skip


def test_a_plain_function_made_of_a_coroutine_stays_plain() -> None:
    """``functools.wraps`` around an async function does not make the wrapper async."""

    async def inner() -> int:
        return 3

    @replaykit.records("tool")
    @functools.wraps(inner)
    def run_it() -> int:
        return asyncio.run(inner())

    assert run_it() == 3
    assert [action.output for action in recorded(lambda: run_it())] == [3]


def test_a_plain_function_may_hand_out_a_coroutine() -> None:
    """The call goes on until it was awaited."""

    @replaykit.records("tool")
    def later(x: str) -> Any:
        return fetch.__wrapped__(x)  # type: ignore[attr-defined]

    (action,) = recorded(lambda: asyncio.run(_awaited(later, "x")))

    assert ("X", frozenset({"async"})) == (action.output, action.flags)


async def _awaited(function: Callable[..., Any], *args: Any) -> Any:
    return await function(*args)


# -- generators -----------------------------------------------------------------------


def drive(function: Callable[[], Any]) -> list[Any]:
    """Send, throw and finish; return all that came back."""
    generator = function()
    seen = [next(generator), generator.send("a"), generator.throw(KeyError("k")), generator.send("b")]
    try:
        generator.send("stop")
    except StopIteration as stop:
        seen.append(stop.value)
    return seen


def test_a_generator_is_driven_as_without_us() -> None:
    """Items, sent values, thrown exceptions and the return value."""
    expected = drive(echo.__wrapped__)  # type: ignore[attr-defined]
    assert expected == ["ready", "a", "caught 'k'", "b", "done"]

    (action,) = recorded(lambda: drive(echo))

    assert expected == drive(echo)
    assert expected[:-1] == action.output
    assert "stream" in action.flags


def averaging() -> Generator[Any, Any, str]:
    total: list[Any] = []
    try:
        while True:
            try:
                total.append((yield len(total)))
            except KeyError as error:
                total.append(error)
    finally:
        CLEANED.append("averaging")


@replaykit.records("tool")
def primed() -> Generator[Any, Any, str]:
    generator = averaging()
    next(generator)
    return generator


def test_a_generator_that_has_begun_goes_on_where_it_is() -> None:
    """What its consumer sends, throws or closes first reaches it, as if nobody stood between."""
    first: list[Any] = []

    def use() -> None:
        sent, thrown, left = primed(), primed(), primed()
        first.extend((sent.send("x"), sent.send("y"), thrown.throw(KeyError("k")), next(left), next(left)))
        CLEANED.clear()
        sent.close()
        assert CLEANED == ["averaging"]

    actions = recorded(use)
    assert first == [1, 2, 1, 1, 2]
    assert sorted(action.output for action in actions) == [[1], [1, 2], [1, 2]]


@types.coroutine
def switching(value: str) -> Generator[None, None, str]:
    yield
    return value


def test_what_is_awaited_is_recorded_as_awaited() -> None:
    """Also a generator that stands for a coroutine: decorated itself, or given back by a plain function."""
    decorated = replaykit.records("tool")(switching)

    @replaykit.records("tool")
    def given(value: str) -> Any:
        return switching(value)

    async def both() -> list[str]:
        return [await decorated("a"), await given("b")]

    assert asyncio.run(both()) == ["a", "b"]
    actions = recorded(lambda: asyncio.run(both()))
    assert [action.output for action in actions] == ["a", "b"]
    with replaykit.play("runs.rpk"):
        assert asyncio.run(both()) == ["a", "b"]


def test_a_callable_object_that_has_only_a_name_is_recorded() -> None:
    class Tool:
        __name__ = "search"

        async def __call__(self, query: str) -> list[str]:
            return [query]

    tool = replaykit.records("find")(Tool())
    assert asyncio.run(tool("x")) == ["x"]
    assert [action.output for action in recorded(lambda: asyncio.run(tool("x")))] == [["x"]]


def test_closing_a_generator_cleans_up_at_once() -> None:
    """The target sees GeneratorExit; the action has the items so far."""

    def leave() -> None:
        generator: Any = echo()
        next(generator)
        generator.close()
        assert CLEANED == ["echo"]

    (action,) = recorded(leave)

    assert (action.output, "abandoned" in action.flags) == (["ready"], True)


def test_an_exception_thrown_in_comes_out_and_is_recorded() -> None:
    def fail() -> None:
        generator: Any = echo()
        next(generator)
        with pytest.raises(ValueError, match="unknown"):
            generator.throw(ValueError("unknown"))

    (action,) = recorded(fail)

    assert action.error is not None
    assert action.error.type == "ValueError"
    assert action.output == ["ready"]


def test_yield_from_delegates_with_its_value() -> None:
    def outer() -> Iterator[Any]:
        return (yield from echo())

    assert drive(outer) == drive(echo)
    with replaykit.session(store="runs.rpk"):
        assert drive(outer)[-1] == "done"


def test_the_consumer_does_not_run_inside_the_generator() -> None:
    """A call between two items is no child of the stream; one that the generator makes is."""

    @replaykit.records("tool")
    def outer() -> Iterator[str]:
        for word in ("a", "b"):
            yield search(word, 1)[0]

    def consume() -> None:
        for word in outer():
            search(word.upper(), 1)

    actions = recorded(consume)

    assert [(action.arguments["query"], action.parent) for action in actions[1:]] == [
        ("a", 0),
        ("A", None),
        ("b", 0),
        ("B", None),
    ]


def test_a_session_inside_a_generator_is_open_in_its_steps_only() -> None:
    """Neither the consumer nor the outer session notices."""
    other = replaykit.Recorder("other.rpk")

    @replaykit.records("tool")
    def outer() -> Iterator[str]:
        with other.session("inner"):
            yield "1"
            search("in", 1)
            yield "2"

    def consume() -> None:
        for item in outer():
            search(item, 1)

    actions = recorded(consume)

    assert [action.name for action in actions] == ["outer", "search", "search"]
    assert [action.arguments for action in other.get_session("inner").actions] == [{"query": "in", "k": 1}]
    assert scope.CURRENT.get() is None
    other.close()


def test_an_exception_leaves_no_cycle_behind() -> None:
    """An exception that was thrown in is freed when its handler is left, without the garbage collector."""
    import weakref

    class Lost(Exception):
        """Weakly referenceable."""

    def throw() -> weakref.ref[Lost]:
        generator: Any = echo()
        next(generator)
        error = Lost()
        with contextlib.suppress(Lost):
            generator.throw(error)
        error.__traceback__ = None
        return weakref.ref(error)

    gc.disable()
    try:
        with replaykit.session(store="runs.rpk"):
            assert throw()() is None
    finally:
        gc.enable()


# -- coroutines -----------------------------------------------------------------------


def test_a_coroutine_that_is_never_awaited_warns_with_its_own_name() -> None:
    """And is not recorded: it never ran."""

    def forget() -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fetch("x")
            gc.collect()
        assert [str(item.message) for item in caught] == ["coroutine 'fetch' was never awaited"]

    assert recorded(forget) == []


def test_a_cancelled_task_is_recorded_as_cancelled() -> None:
    """The coroutine sees the cancellation; so does who awaits the task."""

    @replaykit.records("tool")
    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            CLEANED.append("cancelled")
            raise

    async def main() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    (action,) = recorded(lambda: asyncio.run(main()))

    assert CLEANED == ["cancelled"]
    assert "cancelled" in action.flags
    assert action.error is not None


def test_tasks_beside_each_other_do_not_become_parents() -> None:
    @replaykit.records("tool")
    async def both() -> list[str]:
        return list(await asyncio.gather(fetch("a"), fetch("b")))

    actions = recorded(lambda: asyncio.run(both()))

    assert [(action.name, action.parent) for action in actions] == [
        ("both", None),
        ("fetch", 0),
        ("fetch", 0),
    ]
    assert actions[0].output == ["A", "B"]


def test_a_coroutine_collected_elsewhere_leaves_that_context_alone() -> None:
    """Closing a suspended coroutine in another session's block does not end that block's session."""

    @replaykit.records("tool")
    async def suspended() -> None:
        await asyncio.Event().wait()

    def start() -> Any:
        with replaykit.session("first", store="first.rpk"):
            coroutine = suspended()
            contextvars.copy_context().run(lambda: _started(coroutine))
        return coroutine

    coroutine = start()
    with replaykit.session("second", store="second.rpk") as second:
        coroutine.close()
        search("still here")

    assert [action.name for action in result_of(second).actions] == ["search"]


def _started(coroutine: Any) -> None:
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        asyncio.events._set_running_loop(loop)
        try:
            coroutine.send(None)
        finally:
            asyncio.events._set_running_loop(None)


# -- async generators -----------------------------------------------------------------


async def drive_async(generator: Any) -> list[Any]:
    """Send, throw and finish; return all that came back."""
    seen = [await generator.asend(None), await generator.asend("x"), await generator.asend(None)]
    seen.append(await generator.athrow(KeyError("k")))
    seen += [item async for item in generator]
    return seen


def test_an_async_generator_is_driven_as_without_us() -> None:
    expected = asyncio.run(drive_async(stream.__wrapped__(4)))  # type: ignore[attr-defined]

    (action,) = recorded(lambda: asyncio.run(drive_async(stream(4))))

    assert expected == [0, ("got", "x"), 1, "caught 'k'", 2, 3]
    assert expected == asyncio.run(drive_async(stream(4)))
    assert expected == action.output


@pytest.mark.parametrize("how", ["break", "aclose", "athrow"])
def test_leaving_an_async_generator_cleans_up_at_once(how: str) -> None:
    async def leave() -> None:
        items: Any = stream(3)
        if how == "break":
            async with contextlib.aclosing(items):
                async for _ in items:
                    break
        else:
            await items.asend(None)
            if how == "aclose":
                await items.aclose()
            else:
                with pytest.raises(ValueError, match="out"):
                    await items.athrow(ValueError("out"))
        assert CLEANED == ["stream"]

    (action,) = recorded(lambda: asyncio.run(leave()))

    assert action.output == [0]
    assert ("abandoned" in action.flags) is (how != "athrow")


def test_an_async_generator_that_nobody_closes_is_closed_by_the_loop() -> None:
    """A bare ``break`` leaves it to the event loop, as without us."""

    async def leave() -> None:
        async for _ in stream(3):
            break

    recorded(lambda: asyncio.run(leave()))

    assert CLEANED == ["stream"]


# -- exceptions and contexts ------------------------------------------------------------


def _raises(message: str) -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError(message) from error


def test_an_exception_keeps_its_traceback_and_its_cause() -> None:
    """The very object, with the user's frames and ``raise ... from``."""
    failing = replaykit.records("tool")(_raises)

    with replaykit.session(store="runs.rpk") as session, pytest.raises(ValueError, match="outer") as caught:
        failing("outer")

    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "_raises"
    assert isinstance(caught.value.__cause__, KeyError)
    (action,) = result_of(session).actions
    assert action.error is not None
    assert (action.error.type, action.error.message) == ("ValueError", "outer")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), StopIteration("x"), GeneratorExit()])
def test_every_exception_reaches_the_caller(error: BaseException) -> None:
    """Also those that are no Exception."""

    @replaykit.records("tool")
    def stop() -> None:
        raise error

    with replaykit.session(store="runs.rpk"), pytest.raises(type(error)) as caught:
        stop()

    assert caught.value is error


def test_context_variables_set_inside_stay_visible() -> None:
    """The function runs in the caller's own context, as without us."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    @replaykit.records("tool")
    def choose() -> None:
        variable.set("plain")

    @replaykit.records("tool")
    async def choose_async() -> None:
        variable.set("async")

    async def main() -> str:
        await choose_async()
        return variable.get()

    with replaykit.session(store="runs.rpk"):
        choose()
        assert variable.get() == "plain"
        assert asyncio.run(main()) == "async"


def test_a_session_started_inside_goes_on_outside() -> None:
    """A recorded set-up function may start a session; the call that did so is over."""
    own = replaykit.Recorder("own.rpk")

    @replaykit.records("tool")
    def set_up() -> None:
        own.start_session("own")

    with replaykit.session(store="runs.rpk") as outer:
        set_up()
        search("own", 1)
        assert len(own.end_session().actions) == 1
        search("outer", 1)

    assert [(item.name, item.parent) for item in result_of(outer).actions] == [
        ("set_up", None),
        ("search", None),
    ]
    own.close()


# -- copies and pickles -----------------------------------------------------------------


@pytest.mark.parametrize("function", [search, fetch, echo, stream])
def test_a_copy_is_the_function_itself(function: Any) -> None:
    """As with plain functions; a pickle names it."""
    assert copy.copy(function) is function
    assert copy.deepcopy(function) is function
    assert copy.deepcopy({"f": [function]})["f"][0] is function


PICKLED = """
import pickle, sys, types
import replaykit

@replaykit.records("find")
def search(query):
    return [query]

class Agent:
    label = "agent"
    @replaykit.records("find")
    def search(self, query):
        return [self.label, query]
    @replaykit.records("find")
    @classmethod
    def found(cls, query):
        return query
    @staticmethod
    @replaykit.records("find")
    def static(query):
        return query
    @replaykit.records("find")
    @staticmethod
    def outside(query):
        return query

Agent.borrowed = search
"""


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """An importable module, as a user's."""
    import importlib
    import sys

    (tmp_path / "pickled_agent.py").write_text(PICKLED)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("pickled_agent")
    del sys.modules["pickled_agent"]


def test_a_pickle_names_the_function(module: Any) -> None:
    """Functions, methods, classmethods and staticmethods travel as they do without us."""
    assert pickle.loads(pickle.dumps(module.search)) is module.search
    assert pickle.loads(pickle.dumps(module.Agent().search))("x") == ["agent", "x"]
    assert pickle.loads(pickle.dumps(module.Agent.found))("x") == "x"
    assert pickle.loads(pickle.dumps(module.Agent.static)) is module.Agent.static
    assert copy.deepcopy(module.Agent().search)("x") == ["agent", "x"]


def test_a_pickle_names_a_method_that_is_taken_from_its_class(module: Any) -> None:
    """A class gives another wrapper each time, which is no other method."""
    taken = pickle.loads(pickle.dumps(module.Agent.search))
    assert taken(module.Agent(), "x") == ["agent", "x"]
    assert taken.__wrapped__ is module.Agent.search.__wrapped__
    assert pickle.loads(pickle.dumps(module.Agent.outside))("x") == "x"
    assert pickle.loads(pickle.dumps(module.Agent.borrowed)).__wrapped__ is module.search.__wrapped__
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(module.Agent.outside, ["a"]) == ["a"]


def test_a_method_that_has_no_name_to_be_found_under_does_not_pickle() -> None:
    """As with plain methods of a class inside a function."""

    class Local:
        @replaykit.records("find")
        def search(self, query: str) -> list[str]:
            return [query]

    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(Local.search)


def test_a_pickled_partial_stays_recorded() -> None:
    """What has no name of its own travels with its row."""
    parse = replaykit.records("find")(functools.partial(int, base=2))
    made = pickle.loads(pickle.dumps(parse))

    (action,) = recorded(lambda: made("101"))

    assert (action.kind, action.name, action.output) == ("find", "int", 5)


def test_a_spawned_process_can_be_given_the_function(module: Any) -> None:
    """A pool pickles the function by name; the child finds the recorded one."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(module.search, ["a", "b"]) == [["a"], ["b"]]
        assert pool.map(module.Agent().search, ["a"]) == [["agent", "a"]]


# -- the decorator itself -----------------------------------------------------------------


def test_it_is_used_bare_called_or_with_a_kind() -> None:
    """All three give a function; without a kind it is a tool."""
    functions = [replaykit.records(len), replaykit.records()(len), replaykit.records("find")(len)]

    actions = recorded(lambda: [function([1]) for function in functions])

    assert [action.kind for action in actions] == ["tool", "tool", "find"]


def test_decorating_twice_records_once() -> None:
    """One call is one action, also with a classmethod in between."""

    class Twice:
        @replaykit.records
        @classmethod
        @replaykit.records("find")
        def search(cls, query: str) -> str:
            return query

    again = replaykit.records("tool")(search)

    assert again is search
    assert [action.kind for action in recorded(lambda: Twice.search("x"))] == ["find"]


@pytest.mark.parametrize("kind", ["fnd", "", "checkpoint"])
def test_an_unknown_kind_is_a_usage_error_with_the_known_ones(kind: str) -> None:
    with pytest.raises(UsageError, match="give one of put, put_many, find, ask"):
        replaykit.records(kind)


@pytest.mark.parametrize("places", [{"where": "x"}, {"quary": "arguments.q"}])
def test_an_unknown_place_is_a_usage_error_with_the_known_ones(places: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="Places are content, count, ids, k, mode, query"):
        replaykit.records("find", **places)


@pytest.mark.parametrize("what", [3, None, object()])
def test_what_is_no_function_is_a_usage_error(what: Any) -> None:
    with pytest.raises(UsageError, match="takes a"):
        replaykit.records(what)
    with pytest.raises(UsageError, match="takes a function"):
        replaykit.records("find")(what)


def test_a_place_must_be_a_path_or_a_callable() -> None:
    with pytest.raises(UsageError, match="query= is a dotted path or a callable"):
        replaykit.records("find", query=3)  # type: ignore[call-overload]


def test_places_say_what_a_call_was_about() -> None:
    """A path and a callable."""

    @replaykit.records("find", query="arguments.needle", ids=lambda arguments, result: [len(result)])
    def look(needle: str) -> str:
        return needle * 2

    (action,) = recorded(lambda: look("ab"))

    assert (action.action_type.query, action.affected_frames) == ("ab", (4,))  # type: ignore[union-attr]


# -- a session per call ---------------------------------------------------------------------


def test_a_session_as_a_decorator_opens_one_per_call() -> None:
    """For each of the four shapes."""
    recorder = replaykit.Recorder("runs.rpk")

    @recorder.session("plain")
    def plain() -> None:
        search("x", 1)

    @recorder.session("async")
    async def coroutine() -> None:
        search("x", 1)

    @recorder.session("generator")
    def generator() -> Iterator[int]:
        search("x", 1)
        got = yield 1
        yield got

    @recorder.session("async generator")
    async def agenerator() -> AsyncIterator[int]:
        search("x", 1)
        got = yield 1
        yield got

    async def consume() -> list[Any]:
        items: Any = agenerator()
        return [await items.asend(None), await items.asend(5), [item async for item in items]]

    plain()
    asyncio.run(coroutine())
    driven: Any = generator()
    assert [next(driven), driven.send(5), list(driven)] == [1, 5, []]
    assert asyncio.run(consume()) == [1, 5, []]
    sessions = recorder.list_sessions()
    assert [(item.name, item.action_count) for item in sessions] == [
        ("plain", 1),
        ("async", 1),
        ("generator", 1),
        ("async generator", 1),
    ]
    recorder.close()


def test_a_generator_in_a_session_does_not_put_its_consumer_there() -> None:
    recorder = replaykit.Recorder("runs.rpk")

    @recorder.session("inside", adopt=False)
    def generator() -> Iterator[int]:
        search("inside", 1)
        yield 1

    with replaykit.session("outside", store="other.rpk") as outside:
        for _ in generator():
            search("outside", 1)

    assert [action.arguments["query"] for action in result_of(outside).actions] == ["outside"]
    assert [action.arguments["query"] for action in recorder.get_session("last").actions] == ["inside"]
    recorder.close()
