"""
The table of values: what a recorded call takes and gives comes back equal.

Values go the whole way: a recorded tool returns them, the session is stored
and read back.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import itertools
import json
import math
import pathlib
import sys
import threading
import typing
import uuid
import zoneinfo
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import blake3
import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import replaykit
from replaykit.format.values import MAX_DEPTH, pack, plain, unpack
from replaykit.model import MAX_BODY_BYTES, Failure, Opaque, Structured
from replaykit.pipeline import Capture, RawCall, entry_of


@pytest.fixture(scope="module")
def mv() -> Iterator[replaykit.Memory]:
    """One memory for all examples."""
    with replaykit.open(":memory:", redact=(), on_loss="raise") as memory:
        yield memory


def returned(memory: replaykit.Memory, value: Any) -> replaykit.ReplayAction:
    """Record a tool that returns *value*; return its action as it was stored."""

    @replaykit.records("tool")
    def tool() -> Any:
        return value

    with memory.session() as session:
        assert tool() is value
    assert session.result is not None
    return session.result.actions[0]


def same(one: Any, other: Any) -> bool:
    """Equal and of equal types all the way down; NaN equals itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(same, one.items(), other.items()))
    return bool(one == other)


# -- round trips -------------------------------------------------------------------

texts = st.text(st.characters(codec=None, categories=None), max_size=20)
moments = st.datetimes(
    timezones=st.none()
    | st.just(datetime.UTC)
    | st.sampled_from([zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("America/New_York")])
)
keyable = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=10)
    | st.decimals(allow_nan=False, places=3)
    | st.uuids()
    | st.dates()
    | st.times()
    | moments
    | st.timedeltas()
    | st.text("ab/.", min_size=1, max_size=8).map(pathlib.PurePosixPath)
    | st.complex_numbers(allow_nan=False)
)
keys = st.recursive(keyable, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
leaves = keyable | st.floats() | st.sets(keys, max_size=4) | st.frozensets(keys, max_size=4)
markers = st.fixed_dictionaries({"~t": st.sampled_from(["tuple", "uuid", "dict", "int", "x"])}, optional={"~v": leaves})
trees = st.recursive(
    leaves | markers,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


@given(value=trees)
def test_values_come_back_equal(mv: replaykit.Memory, value: Any) -> None:
    """Whatever the table knows, nested in any way, also as keys."""
    action = returned(mv, value)

    assert same(action.output, value)
    assert action.flags == frozenset()


@given(value=trees)
def test_arguments_come_back_equal(mv: replaykit.Memory, value: Any) -> None:
    """By parameter name; the same table as for results."""
    with mv.session() as session:
        session.record("tool", name="f", arguments={"given": value})

    assert same(session.result.actions[0].arguments["given"], value)


@given(value=trees)
def test_an_entry_can_be_made_of_any_call(value: Any) -> None:
    """For each kind and each capture: the guesses never trip over what a user passed."""
    packed, arguments = pack(value), pack({"query": value, "content": value, "id": value})
    for kind in ("put", "put_many", "find", "ask", "update", "delete", "tool"):
        definition = {"kind": kind, "name": "f", "source": "s"}
        for capture in ("full", "preview", "hash"):
            call = RawCall(sequence=0, definition=definition, time_ns=0, arguments=arguments, output=packed)
            assert entry_of(call, capture=capture)["k"] == kind  # type: ignore[arg-type]  # one of three


@pytest.mark.parametrize(
    "value",
    [
        {"~t": "tuple", "~v": [1]},
        {"~t": "uuid", "~v": [b"x" * 16]},
        {"~v": 1},
        [{"~t": 5}],
        {"a": {"~t": "struct", "~v": ["os.system", {}]}},
        {("~t",): {"~t": None}},
    ],
)
def test_a_users_map_that_looks_like_ours_stays_the_users(mv: replaykit.Memory, value: Any) -> None:
    """It is never taken for a typed value."""
    assert same(returned(mv, value).output, value)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "pair \ud83d\ude00 apart"])
def test_lone_surrogates_come_back(mv: replaykit.Memory, text: str) -> None:
    """As value, as key, in a path and in an exception's message."""
    assert returned(mv, text).output == text
    assert returned(mv, {text: [text]}).output == {text: [text]}
    assert returned(mv, {text}).output == {text}
    assert returned(mv, ValueError(text)).output == Failure(type="ValueError", message=text, args=(text,))


def test_a_path_that_is_no_text_comes_back(mv: replaykit.Memory) -> None:
    """File names on Linux are bytes."""
    path = pathlib.Path("caf\udce9")

    assert returned(mv, path).output == path


def test_the_repeated_hour_of_a_clock_change_is_the_right_one(mv: replaykit.Memory) -> None:
    """The offset decides which of both it was."""
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    for fold in (0, 1):
        moment = datetime.datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=berlin)
        back = returned(mv, moment).output
        assert (back, back.utcoffset(), back.tzinfo) == (moment, moment.utcoffset(), berlin)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    y: Any


@attrs.define
class Slotted:
    frame_id: int
    _secret: str = "kept"


class Pair(typing.NamedTuple):
    left: int
    right: str


def test_objects_with_fields_come_back_as_structured(mv: replaykit.Memory) -> None:
    """Dataclass, attrs, named tuple: class name and fields, which are attributes again."""
    for value, fields in (
        (Point(1, Point(2, None)), {"x", "y"}),
        (Slotted(4), {"frame_id", "_secret"}),
        (Pair(1, "r"), {"left", "right"}),
    ):
        action = returned(mv, value)
        assert isinstance(action.output, Structured)
        assert action.output.type_name.endswith(type(value).__qualname__)
        assert set(action.output.fields) == fields
        assert action.flags == frozenset()
    assert returned(mv, Point(1, Point(2, "deep"))).output.y.y == "deep"


def test_enum_members_keep_class_name_and_value(mv: replaykit.Memory) -> None:
    """Also those that are numbers, and as keys."""
    for member in (Colour.RED, Level.HIGH):
        back = returned(mv, member).output
        assert (back.name, back.value, back.is_enum) == (member.name, member.value, True)
    assert list(returned(mv, {Colour.RED: 1}).output.values()) == [1]


def test_keys_of_different_types_stay_apart(mv: replaykit.Memory) -> None:
    """A date and its text, a number and its digits: no entry overwrites another."""
    day = datetime.date(2024, 2, 29)
    value = {day: 1, "2024-02-29": 2, 1: 3, "1": 4, Colour.RED: 5, "red": 6}

    assert len(returned(mv, value).output) == 6
    assert returned(mv, value).output[day] == 1


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise AssertionError("called")


class Count(int):
    pass


class Items(list[Any]):
    def __iter__(self) -> Any:
        raise AssertionError("iterated")


class Tags(dict[str, Any]):
    def items(self) -> Any:
        raise AssertionError("called")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Text("t"), "t"),
        (Count(3), 3),
        (Items([1, 2]), [1, 2]),
        (Tags(a=1), {"a": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcdef")[::2], b"ace"),
        ({Text("k"): 1}, {"k": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_subclasses_are_kept_as_their_base(mv: replaykit.Memory, value: Any, kept: Any) -> None:
    """By the base's own methods: what the subclass overrides is not called."""
    assert same(returned(mv, value).output, kept)


def test_exceptions_are_values_too(mv: replaykit.Memory) -> None:
    """Class, message and arguments."""
    assert returned(mv, KeyError("k", 1)).output == Failure(type="KeyError", message="('k', 1)", args=("k", 1))


def test_our_own_results_come_back_as_themselves(mv: replaykit.Memory) -> None:
    """SearchResult, Hit and Answer are rebuilt."""
    frame_id = mv.put("Paris is the capital of France.", metadata={"tags": ["x"]})
    with mv.session() as session:
        hits, answer, frame = mv.find("capital"), mv.ask("Which capital?"), mv.get(frame_id)

    assert [action.output for action in session.result.actions] == [hits, answer, frame]


# -- depth and cycles ------------------------------------------------------------------

NESTERS: dict[str, Callable[[Any], Any]] = {
    "list": lambda inner: [inner],
    "dict": lambda inner: {"a": inner},
    "tuple": lambda inner: (inner,),
    "keys": lambda inner: {1: inner},
    "frozenset": lambda inner: frozenset([inner]),
    "dataclass": lambda inner: Point(0, inner),
    "exception": lambda inner: ValueError(inner) if isinstance(inner, int) else KeyError(inner),
}


def nested(nest: Callable[[Any], Any], depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = nest(value)
    return value


def in_small_thread(function: Callable[[], None]) -> None:
    """Run *function* in a thread with a stack of 256 kB."""
    size = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=function)
        thread.start()
    finally:
        threading.stack_size(size)
    thread.join()


@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "keys", "frozenset", "dataclass"])
def test_ten_thousand_levels_are_cut(mv: replaykit.Memory, kind: str) -> None:
    """In the main thread and in one with little stack: the call is kept, its flags say ``deep``."""
    value = nested(NESTERS[kind], 10_000)
    actions = [returned(mv, value)]
    in_small_thread(lambda: actions.append(returned(mv, value)))

    assert len(actions) == 2
    for action in actions:
        assert {"deep", "unreplayable"} <= action.flags
        assert action.error is None
        assert type(action.output) in (type(nested(NESTERS[kind], 1)), Structured)
    while isinstance(value, (list, dict)):
        # Taken apart by hand: freeing it at once would nest as deep.
        value = value.pop() if isinstance(value, list) else value.popitem()[1]


@given(depth=st.integers(1, 3 * MAX_DEPTH), kind=st.sampled_from(["list", "dict", "tuple", "keys", "dataclass"]))
def test_what_is_kept_has_at_most_64_levels(depth: int, kind: str) -> None:
    """As stored, whatever mix it is: the strict reader's limit is never met."""

    def levels(stored: Any) -> int:
        if isinstance(stored, dict):
            return 1 + max(map(levels, stored.values()), default=0)
        return 1 + max(map(levels, stored), default=0) if isinstance(stored, list) else 0

    notes: set[str] = set()
    stored = plain(unpack(pack(nested(NESTERS[kind], depth))), notes=notes)

    assert levels(stored) <= MAX_DEPTH + 2
    assert ("deep" in notes) or levels(stored) >= depth


def test_sixty_lists_are_kept_whole(mv: replaykit.Memory) -> None:
    """Below the limit nothing is cut."""
    value = nested(NESTERS["list"], MAX_DEPTH - 2)

    assert returned(mv, value).output == value


def test_cycles_are_cut(mv: replaykit.Memory) -> None:
    """Through lists, dicts and objects; flagged, the rest is kept."""
    looped: list[Any] = [1]
    looped.append(looped)
    mapped: dict[str, Any] = {"a": 1}
    mapped["me"] = mapped
    point = Point(1, None)
    point.y = [point]
    for value, first in ((looped, 1), (mapped, 1), (point, 1)):
        action = returned(mv, value)
        assert {"cycle", "unreplayable"} <= action.flags
        kept = action.output
        assert (kept[0] if isinstance(kept, list) else kept["a"] if isinstance(kept, dict) else kept.x) == first


def test_a_value_that_appears_twice_is_no_cycle(mv: replaykit.Memory) -> None:
    """Only a value inside itself is."""
    shared = ["\ud800"]

    action = returned(mv, [shared, shared, {1: shared}])
    assert action.output == [shared, shared, {1: shared}]
    assert action.flags == frozenset()


# -- foreign objects ----------------------------------------------------------------------

touched: list[str] = []


def _touch(name: str) -> Any:
    def touch(self: Any, *args: Any, **kwargs: Any) -> Any:
        touched.append(name)
        raise RuntimeError(f"{name} was used")

    return touch


_EVERY_USE = """
    __getattr__ __setattr__ __iter__ __len__ __bool__ __contains__ __getitem__ __call__ __eq__ __str__
    __repr__ __format__ __int__ __index__ __float__ __bytes__ __enter__ __reduce__ __reduce_ex__
    __getstate__ __copy__ __deepcopy__ __fspath__ __array__ __dir__ __sizeof__ __lt__ __next__ __await__
    keys items
"""


class Hostile:
    """Everything that can be done with it is counted, and raises."""

    def __init__(self) -> None:
        object.__setattr__(self, "frame_id", 7)

    for _name in _EVERY_USE.split():
        locals()[_name] = _touch(_name)
    __hash__ = object.__hash__
    id = property(_touch("id"))
    text = property(_touch("text"))
    __class__ = property(_touch("__class__"))  # type: ignore[assignment]  # that is the point


class HostileDict(UserDict[str, Any]):
    def __iter__(self) -> Any:
        touched.append("UserDict.__iter__")
        return super().__iter__()


class Meta(type):
    __hash__ = None  # type: ignore[assignment]  # a class that no table can look up

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("compared")

    def __getattr__(cls, name: str) -> Any:
        touched.append(f"metaclass {name}")
        raise AttributeError(name)


class Odd(metaclass=Meta):
    pass


class OwnDict:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]  # that is the point
        touched.append("__dict__")
        raise RuntimeError("__dict__ was read")


def generator() -> Iterator[int]:
    touched.append("generator")
    yield 1


@pytest.mark.parametrize(
    "make",
    [
        Hostile,
        HostileDict,
        Odd,
        OwnDict,
        lambda: iter([1, 2]),
        lambda: map(_touch("map"), [1]),
        object,
        lambda: print,
    ],
    ids=["hostile", "userdict", "metaclass", "own dict", "iterator", "map", "object", "function"],
)
def test_foreign_objects_are_never_touched(mv: replaykit.Memory, make: Callable[[], Any]) -> None:
    """Not iterated, not called, no property read: they become a marker with their class's name."""
    touched.clear()
    value = make()
    with mv.session() as session:
        session.record("find", name="f", arguments={"query": "q", "extra": value}, output=[value])

    action = session.result.actions[0]
    assert touched == []
    assert isinstance(action.output[0], Opaque)
    assert "unreplayable" in action.flags
    assert "lost" not in action.flags and session.result.lost == 0


def test_a_foreign_object_keeps_its_plain_id(mv: replaykit.Memory) -> None:
    """From its own dictionary or slots, where it is a number or a text; that is how frames are known."""
    action = returned(mv, [Hostile()])

    assert action.output[0].identity == {"frame_id": 7}


def test_an_iterator_is_not_used_up(mv: replaykit.Memory) -> None:
    """The caller gets all its items."""

    @replaykit.records("tool")
    def rows() -> Any:
        return iter([1, 2, 3])

    with mv.session():
        assert list(rows()) == [1, 2, 3]


class BrokenZone(datetime.tzinfo):
    def utcoffset(self, when: datetime.datetime | None) -> datetime.timedelta:
        raise RuntimeError("no such zone")


def test_a_broken_time_zone_costs_the_value_only(mv: replaykit.Memory) -> None:
    """The call is kept, the moment becomes a marker."""
    action = returned(mv, [datetime.datetime(2024, 1, 1, tzinfo=BrokenZone()), "kept"])

    assert isinstance(action.output[0], Opaque)
    assert action.output[1] == "kept"


def test_an_exception_whose_text_fails_is_kept(mv: replaykit.Memory) -> None:
    """With an empty message."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert returned(mv, Mute("x")).output == Failure(type=f"{__name__}.{Mute.__qualname__}", message="", args=("x",))


# -- time and size ---------------------------------------------------------------------------


def test_changes_after_the_call_do_not_show(mv: replaykit.Memory) -> None:
    """Arguments are as they were before the call, results as they were when it returned."""

    @replaykit.records("tool")
    def spoil(items: list[int], *, tags: dict[str, Any]) -> list[int]:
        items.append(99)
        tags["late"] = True
        return items

    given_items, tags = [1], {"a": [1]}
    with mv.session() as session:
        result = spoil(given_items, tags=tags)
        result.clear()
        tags.clear()

    action = session.result.actions[0]
    assert action.arguments == {"items": [1], "tags": {"a": [1]}}
    assert action.output == [1, 99]


class Growing:
    """A key in whose hash another thread gets its turn, which adds to the map."""

    def __init__(self, home: dict[Any, Any]) -> None:
        self.home, self.is_armed = home, False

    def __hash__(self) -> int:
        if self.is_armed:
            self.home[len(self.home)] = "late"
        return 7


def test_a_map_that_grows_while_it_is_recorded_is_kept(mv: replaykit.Memory) -> None:
    """Copying a map's entries runs the hash of its keys, and other threads in between."""
    cache: defaultdict[Any, Any] = defaultdict(list)
    key = Growing(cache)
    cache[key] = 1
    cache["b"] = 2
    key.is_armed = True

    kept = returned(mv, {"cache": cache}).output["cache"]

    assert isinstance(kept, dict)
    assert list(kept.values())[:2] == [1, 2]


def test_an_object_is_recorded_between_two_changes_of_another_thread() -> None:
    """All fields are of one moment: a change made in one step is there as a whole, or not at all."""
    names = [f"field_{number}" for number in range(300)]
    wide = dataclasses.make_dataclass("Wide", [(name, int, 0) for name in names])()
    start, is_over = threading.Barrier(2), threading.Event()

    def change() -> None:
        start.wait()
        for number in itertools.count():
            vars(wide).update(dict.fromkeys(names, number))
            if is_over.is_set():
                return

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=change)
    thread.start()
    try:
        start.wait()
        seen = [len(set(unpack(pack(wide))[2].values())) for _ in range(1000)]
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(interval)

    assert set(seen) == {1}


def test_sets_are_stored_in_one_order(mv: replaykit.Memory) -> None:
    """Whatever order they iterate in, equal sets have equal hashes."""
    words = [f"word{number}" for number in range(50)]
    forward, backward = set(words), set(reversed(words))

    assert returned(mv, forward).output_hash == returned(mv, backward).output_hash


def test_a_text_of_50_megabytes_is_cut(mv: replaykit.Memory) -> None:
    """Its head is kept and flagged; hash, preview and length stay true."""
    text = "0123456789" * 5_000_000
    action = returned(mv, text)

    assert action.output_hash == blake3.blake3(text.encode()).digest()
    assert action.output_preview == text[:512]
    assert {"cut", "unreplayable"} <= action.flags
    assert 512 <= len(action.output) < 1_000_000 and text.startswith(action.output)
    call = RawCall(sequence=0, definition={"kind": "tool", "name": "f", "source": ""}, time_ns=0, output=pack(text))
    assert entry_of(call)["out_n"] == 50_000_000


# What agents wait for: these entries are made before a call returns.
_FIND, _TOOL = ({"kind": kind, "name": "f", "source": "s"} for kind in ("find", "tool"))
_HITS = [{"frame_id": each, "text": "The capital of a country, and a river."} for each in range(20)]


@pytest.mark.parametrize(
    ("definition", "capture", "limit", "encoded", "shown"),
    [
        (_FIND, "hash", MAX_BODY_BYTES, 1, 0),
        (_TOOL, "hash", MAX_BODY_BYTES, 2, 0),
        (_FIND, "preview", MAX_BODY_BYTES, 1, 1),
        (_TOOL, "preview", MAX_BODY_BYTES, 2, 2),
        (_FIND, "full", 1000, 1, 1),
    ],
)
def test_what_is_hashed_is_encoded_once_and_what_is_not_kept_never(
    definition: dict[str, Any],
    capture: Capture,
    limit: int,
    encoded: int,
    shown: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arguments and result, for their hashes, the hash of a tool's arguments, the cut and the previews."""
    call = RawCall(0, definition, 0, arguments=pack({"query": "the capital", "k": 5}), output=pack(_HITS))
    made = []
    dumps, encode = cbor2.dumps, json.JSONEncoder.encode
    monkeypatch.setattr(cbor2, "dumps", lambda value: made.append("cbor") or dumps(value))
    monkeypatch.setattr(json.JSONEncoder, "encode", lambda self, value: made.append("json") or encode(self, value))

    entry = entry_of(call, capture=capture, limit=limit)

    assert (made.count("cbor"), made.count("json")) == (encoded, shown)
    assert blake3.blake3(dumps(_HITS)).digest() == entry["oh"]
    assert (definition is _FIND) == ("args_hash" not in entry["x"])
    assert entry["x"].get("args_hash", entry["ih"]) == entry["ih"]


@given(value=trees)
def test_hashes_are_those_of_a_capture_that_keeps_more(value: Any) -> None:
    """Only the texts are gone."""
    arguments = pack({"query": value, "content": value})
    for kind in ("put", "put_many", "find", "ask", "update", "delete", "tool"):
        definition = {"kind": kind, "name": "f", "source": "s"}
        call = RawCall(sequence=0, definition=definition, time_ns=0, arguments=arguments, output=pack(value))
        hashed, shown = entry_of(call, capture="hash"), entry_of(call, capture="preview")

        assert isinstance(shown.pop("ip"), str) and isinstance(shown.pop("op"), str)
        assert {**shown, "x": {**shown["x"], **hashed["x"]}} == hashed


def test_integers_and_decimals_of_any_size(mv: replaykit.Memory) -> None:
    """Beyond 64 bits, and beyond what int() reads from decimal digits."""
    for value in (
        2**63 - 1,
        2**63,
        2**64 - 1,
        2**64,
        -(2**63),
        -(2**63) - 1,
        10**6000,
        decimal.Decimal("1e-400"),
    ):
        assert returned(mv, value).output == value


def test_uuid_keys_and_values(mv: replaykit.Memory) -> None:
    """They stay UUIDs."""
    value = {uuid.UUID(int=5): uuid.UUID(int=6)}

    assert same(returned(mv, value).output, value)
