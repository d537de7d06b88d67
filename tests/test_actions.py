"""What an action holds: hashes, previews, frames and facts, for each kind, shape of result and capture."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blake3
import cbor2
import pytest

import replaykit
from replaykit.model import ZERO_HASH, Failure


@pytest.fixture
def mv() -> Iterator[replaykit.Memory]:
    """A memory in RAM that fails the test when an action is lost."""
    with replaykit.open(":memory:", on_loss="raise") as memory:
        yield memory


class Found:
    """A hit of some other library."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def by_hand(memory: replaykit.Memory, kind: Any, arguments: dict[str, Any], output: Any = None, **how: Any) -> Any:
    with memory.session() as session:
        session.record(kind, name="f", arguments=arguments, output=output, **how)
    assert session.result is not None
    return session.result.actions[0]


def called(memory: replaykit.Memory, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a recorded function in a session; return its action."""
    with memory.session() as session:
        function(*args, **kwargs)
    assert session.result is not None
    return session.result.actions[0]


def b3(data: bytes) -> bytes:
    return blake3.blake3(data).digest()


# -- hashes and previews ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["put", "update"])
def test_a_write_hashes_its_content(mv: replaykit.Memory, kind: str) -> None:
    """The content alone, whatever else is passed."""
    action = by_hand(mv, kind, {"frame_id": 3, "title": "T", "content": "Paris"})

    assert (action.input_hash, action.input_preview) == (b3(b"Paris"), "Paris")


@pytest.mark.parametrize("kind", ["find", "ask"])
def test_a_question_hashes_its_query(mv: replaykit.Memory, kind: str) -> None:
    """As UTF-8; filters and limits are in the arguments."""
    action = by_hand(mv, kind, {"query": "où?", "k": 3})

    assert (action.input_hash, action.input_preview) == (b3("où?".encode()), "où?")


@pytest.mark.parametrize("kind", ["tool", "delete", "put_many"])
def test_other_calls_hash_their_encoded_arguments(mv: replaykit.Memory, kind: str) -> None:
    """The CBOR of the arguments as stored; the preview is readable."""
    arguments = {"frame_ids": [1, 2], "note": "n"}
    action = by_hand(mv, kind, arguments)

    assert action.input_hash == b3(cbor2.dumps(arguments))
    assert action.input_preview == '{"frame_ids": [1, 2], "note": "n"}'


def test_a_write_of_something_else_hashes_its_encoded_arguments(mv: replaykit.Memory) -> None:
    """Content that is neither text nor bytes is part of them."""
    arguments = {"collection": "notes", "documents": ["a", "b"]}

    assert by_hand(mv, "put", arguments).input_hash == b3(cbor2.dumps(arguments))


def test_no_arguments_have_the_zero_hash(mv: replaykit.Memory) -> None:
    """Nothing was given."""
    assert by_hand(mv, "tool", {}).input_hash == ZERO_HASH


def test_text_and_bytes_are_hashed_as_they_are(mv: replaykit.Memory) -> None:
    """Whoever has the output can check the hash."""
    assert by_hand(mv, "tool", {}, "réponse").output_hash == b3("réponse".encode())
    assert by_hand(mv, "tool", {}, b"\x00\x01").output_hash == b3(b"\x00\x01")


@pytest.mark.parametrize("output", [{"a": [1, 2.5, None, True]}, [], 0, False, ["x"]])
def test_other_outputs_are_hashed_as_stored(mv: replaykit.Memory, output: Any) -> None:
    """BLAKE3 of the CBOR; JSON-like values are stored as they are."""
    assert by_hand(mv, "tool", {}, output).output_hash == b3(cbor2.dumps(output))


def test_typed_outputs_are_hashed_with_their_type(mv: replaykit.Memory) -> None:
    """A tuple is not the list of its items."""
    stored = {"~t": "tuple", "~v": [1, 2]}
    action = by_hand(mv, "tool", {}, (1, 2))

    assert action.output_hash == b3(cbor2.dumps(stored))
    assert action.output_preview == "[1, 2]"


def test_hashes_are_taken_after_redaction(mv: replaykit.Memory) -> None:
    """Else a hash would tell a short secret."""
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    action = by_hand(mv, "put", {"content": f"key {secret}"}, f"stored {secret}")

    assert action.input_hash == b3(action.arguments["content"].encode()) != b3(f"key {secret}".encode())
    assert action.output_hash == b3(action.output.encode()) != b3(f"stored {secret}".encode())


def test_an_answer_is_previewed_by_its_text(mv: replaykit.Memory) -> None:
    """Of an answer with text or answer in it people want to read that."""
    assert by_hand(mv, "ask", {"query": "q"}, {"answer": "42", "hits": []}).output_preview == "42"
    assert by_hand(mv, "ask", {"query": "q"}, {"text": "43"}).output_preview == "43"


def test_previews_of_large_structures_are_short(mv: replaykit.Memory) -> None:
    """At most 512 characters however large the value is."""
    action = by_hand(mv, "tool", {"rows": ["é" * 100] * 1000}, {"rows": [{"n": n} for n in range(10_000)]})

    assert 0 < len(action.input_preview) <= 512
    assert 0 < len(action.output_preview) <= 512
    assert len(action.output["rows"]) == 10_000


def test_a_tool_has_the_hash_of_its_arguments(mv: replaykit.Memory) -> None:
    """In ``args_hash``, beside its name."""
    action = by_hand(mv, "tool", {"zone": "UTC"})

    assert action.action_type == replaykit.ToolCall(tool="f", args_hash=b3(cbor2.dumps({"zone": "UTC"})))


# -- query and content --------------------------------------------------------------


@pytest.mark.parametrize("name", ["query", "question", "q", "text", "prompt"])
@pytest.mark.parametrize("kind", ["find", "ask"])
def test_the_query_is_known_by_its_usual_names(mv: replaykit.Memory, kind: str, name: str) -> None:
    """Before any other text argument."""
    assert by_hand(mv, kind, {"collection": "notes", name: "who?"}).action_type.query == "who?"


def test_else_the_first_text_is_the_query(mv: replaykit.Memory) -> None:
    """Of arguments without a usual name."""
    assert by_hand(mv, "find", {"limit": 3, "needle": "hay", "field": "x"}).action_type.query == "hay"


def test_an_empty_query_is_not_replaced_by_another_text(mv: replaykit.Memory) -> None:
    """It was asked for."""
    action = by_hand(mv, "find", {"collection": "notes", "query": ""})

    assert (action.action_type.query, action.input_hash) == ("", ZERO_HASH)


def test_several_query_texts_are_lines(mv: replaykit.Memory) -> None:
    """As Chroma takes them."""
    assert by_hand(mv, "find", {"query_texts": ["one", "two"]}).action_type.query == "one\ntwo"


@pytest.mark.parametrize("name", ["content", "text", "document", "data"])
@pytest.mark.parametrize("value", ["body", b"\x00body"])
def test_the_content_is_known_by_its_usual_names(mv: replaykit.Memory, name: str, value: Any) -> None:
    """Before any other text argument; text or bytes."""
    data = value if isinstance(value, bytes) else value.encode()

    assert by_hand(mv, "put", {"collection": "notes", name: value}).input_hash == b3(data)


def test_else_the_first_text_is_the_content(mv: replaykit.Memory) -> None:
    """Of arguments without a usual name."""
    assert by_hand(mv, "put", {"n": 1, "note": "body", "tag": "x"}).input_hash == b3(b"body")


@pytest.mark.parametrize("name", ["k", "top_k", "limit", "n_results"])
def test_the_arguments_keep_the_limit(mv: replaykit.Memory, name: str) -> None:
    """Under the name that the function gives it."""
    assert by_hand(mv, "find", {"query": "q", name: 7}).arguments[name] == 7


def test_the_mode_is_known_from_the_argument_or_the_result(mv: replaykit.Memory) -> None:
    """``mode`` or ``search_type``; else what the result says."""
    assert by_hand(mv, "find", {"query": "q", "mode": "sem"}).action_type.mode == "sem"
    assert by_hand(mv, "find", {"query": "q", "search_type": "mmr"}).action_type.mode == "mmr"
    assert by_hand(mv, "find", {"query": "q"}, {"mode": "lex", "hits": []}).action_type.mode == "lex"


def test_provider_and_model_of_an_ask(mv: replaykit.Memory) -> None:
    """The provider as the caller wrote it, the model as the result resolved it."""
    action = by_hand(mv, "ask", {"query": "q", "model": "ollama"}, {"answer": "a", "model": "ollama:q4"})

    assert (action.action_type.provider, action.action_type.model) == ("ollama", "ollama:q4")


# -- frames ------------------------------------------------------------------------------

SHAPES: dict[str, tuple[Any, tuple[Any, ...], int]] = {
    "dicts with frame_id": ([{"frame_id": 2}, {"frame_id": 1}, {"frame_id": 2}], (2, 1, 2), 3),
    "dicts with id": ([{"id": "a", "score": 0.5}, {"id": "b"}], ("a", "b"), 2),
    "frame_id before id": ([{"id": "row", "frame_id": 4}], (4,), 1),
    "objects with frame_id": ([Found(frame_id=3), Found(frame_id=4)], (3, 4), 2),
    "objects with id": ([Found(id="x")], ("x",), 1),
    "hits": ({"hits": [{"frame_id": 1}], "took_ms": 3}, (1,), 1),
    "results": ({"results": [{"id": "m1", "memory": "text"}]}, ("m1",), 1),
    "matches": ({"matches": [{"id": "v1", "score": 0.9}]}, ("v1",), 1),
    "ids": ({"ids": ["a", "b"]}, ("a", "b"), 2),
    "Chroma, one query": (
        {"ids": [["a", "b"]], "documents": [["x", "y"]], "distances": [[0.1, 0.2]]},
        ("a", "b"),
        2,
    ),
    "Chroma, two queries": (
        {"ids": [["a"], ["b", "a"]], "documents": [["x"], ["y", "x"]]},
        ("a", "b", "a"),
        3,
    ),
    "Chroma get": ({"ids": ["a"], "embeddings": None, "documents": ["x"], "metadatas": [None]}, ("a",), 1),
    "pairs with scores": ([({"id": 1}, 0.5), ({"id": 2}, 1)], (1, 2), 2),
    "objects with scores": ([(Found(id="d"), 0.5)], ("d",), 1),
    "numbers": ([3, 1, 2], (3, 1, 2), 3),
    "a tuple": (({"id": 1}, {"id": 2}), (1, 2), 2),
    "one frame": ({"frame_id": 9, "content": "x"}, (9,), 1),
    "UUIDs": ([{"id": uuid.UUID(int=5)}], (str(uuid.UUID(int=5)),), 1),
    "some without id": ([{"id": 1}, {"text": "none"}], (1,), 2),
    "texts": (["first passage", "second passage"], (), 2),
    "one text": ("a passage", (), 0),
    "nothing": ([], (), 0),
    "None": (None, (), 0),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["find", "ask"])
def test_frames_are_found_in_the_usual_shapes(mv: replaykit.Memory, kind: str, shape: str) -> None:
    """In order, repeats kept; a passage of text is never taken for an id."""
    output, frames, count = SHAPES[shape]
    action = by_hand(mv, kind, {"query": "q"}, output)

    assert action.affected_frames == frames
    if kind == "find":
        assert action.action_type.result_count == count


@pytest.mark.parametrize(
    ("output", "frames"),
    [
        (5, (5,)),
        ("doc-1", ("doc-1",)),
        (uuid.UUID(int=3), (str(uuid.UUID(int=3)),)),
        (["a", "b"], ("a", "b")),
        ({"id": "m1"}, ("m1",)),
        ({"results": [{"id": "m1"}, {"id": "m2"}]}, ("m1", "m2")),
        ({"ids": ["x"]}, ("x",)),
        (Found(frame_id=8), (8,)),
        (True, ()),
        (None, ()),
        ("long " * 200, ()),
    ],
)
def test_a_put_gives_its_frames_back(mv: replaykit.Memory, output: Any, frames: tuple[Any, ...]) -> None:
    """Plain, in a list, or in one of the usual shapes."""
    action = by_hand(mv, "put", {"content": "body"}, output)

    assert action.affected_frames == frames
    assert action.action_type.frame_id == (frames[0] if frames else None)


def test_a_put_that_is_given_its_id(mv: replaykit.Memory) -> None:
    """Where nothing comes back, the argument says it; never the content itself."""
    assert by_hand(mv, "put", {"ids": ["a", "b"], "documents": ["x", "y"]}).affected_frames == ("a", "b")
    assert by_hand(mv, "put", {"content": "body"}).affected_frames == ()


@pytest.mark.parametrize("kind", ["update", "delete"])
@pytest.mark.parametrize(
    ("arguments", "frames"),
    [({"frame_id": 4, "content": "x"}, (4,)), ({"ids": ["a", "b"]}, ("a", "b")), ({"which": 7}, (7,))],
)
def test_updates_and_deletes_name_their_frames(
    mv: replaykit.Memory, kind: str, arguments: dict[str, Any], frames: tuple[Any, ...]
) -> None:
    """By the usual names, else by the first argument."""
    action = by_hand(mv, kind, arguments)

    assert action.affected_frames == frames
    assert action.action_type.frame_id == frames[0]


def test_content_is_no_id(mv: replaykit.Memory) -> None:
    """Where it comes first and no id is named, there is none."""
    assert by_hand(mv, "update", {"content": "short text"}).affected_frames == ()


def test_put_many_counts_its_frames(mv: replaykit.Memory) -> None:
    """Their ids where they are known, else the number of items."""
    assert by_hand(mv, "put_many", {"items": ["x", "y"]}, [1, 2]).action_type == replaykit.PutMany(
        frame_ids=(1, 2), count=2
    )
    assert by_hand(mv, "put_many", {"items": ["x", "y"]}).action_type == replaykit.PutMany(frame_ids=(), count=2)


def test_a_tool_has_no_frames_unless_told(mv: replaykit.Memory) -> None:
    """What a tool returns is not guessed about."""
    assert by_hand(mv, "tool", {}, [{"id": 1}]).affected_frames == ()
    assert by_hand(mv, replaykit.Operation(kind="tool", ids="result.*.id"), {}, [{"id": 1}]).affected_frames == (1,)


def test_frames_given_by_hand_win(mv: replaykit.Memory) -> None:
    """Over any guess; an empty list says that there are none."""
    assert by_hand(mv, "find", {"query": "q"}, [{"id": 1}], affected_frames=[5, "x"]).affected_frames == (
        5,
        "x",
    )
    assert by_hand(mv, "find", {"query": "q"}, [{"id": 1}], affected_frames=[]).affected_frames == ()


# -- places that are given ---------------------------------------------------------------


def test_places_are_paths(mv: replaykit.Memory) -> None:
    """Into arguments or result, dotted, ``*`` for each item."""

    @replaykit.records(
        "find",
        query="arguments.request.needle",
        ids="result.rows.*.key",
        k="request.max",
        mode="request.how",
        count="result.total",
    )
    def search(request: dict[str, Any], note: str = "not the query") -> Any:
        return {"rows": [{"key": "a"}, {"key": "b"}], "total": 40}

    action = called(mv, search, {"needle": "hay", "max": 2, "how": "fuzzy"})

    assert action.action_type == replaykit.Find(query="hay", mode="fuzzy", result_count=40)
    assert action.affected_frames == ("a", "b")


@pytest.mark.parametrize(
    ("request_", "frames"),
    [({"points": [{"id": 1}]}, (1,)), ({"ids": [2, 3]}, (2, 3)), ({"points": None, "ids": [4]}, (4,)), ({}, ())],
)
def test_the_first_of_several_paths_counts(mv: replaykit.Memory, request_: dict[str, Any], frames: tuple[int]) -> None:
    """That leads to more than None; also of a call that fails."""

    @replaykit.records("delete", ids="arguments.request.points.*.id | arguments.request.ids")
    def delete(request: dict[str, Any]) -> None:
        raise LookupError("gone")

    with mv.session() as session, pytest.raises(LookupError):
        delete(request_)

    (action,) = session.result.actions
    assert action.affected_frames == frames


def test_places_are_callables(mv: replaykit.Memory) -> None:
    """They get the call's own arguments and result; one that fails leaves the fact to the guess."""

    @replaykit.records(
        "find",
        query=lambda arguments, result: arguments["needle"].upper(),
        ids=lambda arguments, result: [row.key for row in result],
        count=lambda arguments, result: 1 / 0,
    )
    def search(needle: str) -> Any:
        return [Found(key="a"), Found(key="b")]

    action = called(mv, search, "hay")

    assert action.action_type == replaykit.Find(query="HAY", mode="", result_count=2)
    assert action.affected_frames == ("a", "b")


def test_callables_may_give_any_usual_id(mv: replaykit.Memory) -> None:
    """UUIDs and tuples of ids among them."""

    @replaykit.records("find", ids=lambda arguments, result: (uuid.UUID(int=1), 2, "c"))
    def search(query: str) -> None: ...

    assert called(mv, search, "q").affected_frames == (str(uuid.UUID(int=1)), 2, "c")


def test_a_path_that_leads_nowhere_finds_nothing(mv: replaykit.Memory) -> None:
    """No guess takes its place: a wrong path should show."""

    @replaykit.records("find", query="arguments.missing", ids="result.nothing.*.here")
    def search(needle: str) -> Any:
        return [{"id": 1}]

    action = called(mv, search, "hay")

    assert (action.action_type.query, action.affected_frames) == ("", ())


def test_the_content_of_a_put_may_be_anywhere(mv: replaykit.Memory) -> None:
    """By path or callable."""

    @replaykit.records("put", content="note.body", ids="result.stored.*.ref")
    def store(note: dict[str, str]) -> Any:
        return {"stored": [{"ref": 11}]}

    action = called(mv, store, {"title": "t", "body": "text"})

    assert (action.input_hash, action.affected_frames) == (b3(b"text"), (11,))


# -- what else an action says ----------------------------------------------------------------


def test_arguments_have_their_names_and_defaults(mv: replaykit.Memory) -> None:
    """Positional ones too; keyword arguments are merged in."""

    @replaykit.records("find")
    def search(query: str, k: int = 5, *, mode: str = "auto", **filters: Any) -> list[Any]:
        return []

    action = called(mv, search, "q", lang="fr")

    assert action.arguments == {"query": "q", "k": 5, "mode": "auto", "lang": "fr"}
    assert (action.kind, action.name.endswith("search"), action.source) == ("find", True, __name__)


def test_a_failed_call_keeps_input_and_error(mv: replaykit.Memory) -> None:
    """And no output; the exception reaches the caller as it is."""

    @replaykit.records("find")
    def search(query: str) -> Any:
        raise error

    error = LookupError("no index", 3)
    with mv.session() as session, pytest.raises(LookupError) as caught:
        search("hay")

    assert caught.value is error
    action = session.result.actions[0]
    assert action.error == Failure(type="LookupError", message="('no index', 3)", args=("no index", 3))
    assert (action.action_type.query, action.output, action.output_hash) == ("hay", None, ZERO_HASH)


def test_children_name_their_parent(mv: replaykit.Memory) -> None:
    """A call made by a recorded call is an action of its own, with the parent's sequence."""

    @replaykit.records("tool")
    def outer() -> None:
        mv.put("inside")
        inner()

    @replaykit.records("tool")
    def inner() -> None:
        mv.find("inside")

    with mv.session() as session:
        outer()
        mv.put("outside")

    assert [(action.kind, action.parent) for action in session.result.actions] == [
        ("tool", None),
        ("put", 0),
        ("tool", 0),
        ("find", 2),
        ("put", None),
    ]


def test_the_generation_of_the_memory_is_kept(mv: replaykit.Memory) -> None:
    """The one that a write made or a read saw; None for calls of anything else."""
    mv.put("before")
    with mv.session() as session:
        mv.put("one")
        mv.find("one")
        mv.put_many(["two", "three"])
        session.record("tool", name="f")

    assert session.result.start_generation == 1
    assert [action.generation for action in session.result.actions] == [2, 2, 3, None]


def test_streams_are_lists_of_their_items(mv: replaykit.Memory) -> None:
    """Flagged; ``abandoned`` when the consumer left, with the items so far and the error after them."""

    @replaykit.records("ask")
    def tokens(question: str) -> Iterator[str]:
        yield "a"
        yield "b"
        raise RuntimeError("cut off")

    with mv.session() as session:
        stream = tokens("q")
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # it is a generator
        with pytest.raises(RuntimeError, match="cut off"):
            list(tokens("q"))

    left, failed = session.result.actions
    assert (left.output, left.flags) == (["a"], {"stream", "abandoned"})
    assert (failed.output, failed.flags) == (["a", "b"], {"stream"})
    assert failed.error is not None and left.error is None


def test_a_cancelled_call_is_flagged(mv: replaykit.Memory) -> None:
    """It failed, and not by itself."""

    @replaykit.records("tool")
    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    started = asyncio.Event()

    async def run() -> Any:
        with mv.session() as session:
            task = asyncio.create_task(wait())
            await started.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return session.result

    action = asyncio.run(run()).actions[0]
    assert "cancelled" in action.flags
    assert action.error is not None


def test_repr_shows_no_payload(mv: replaykit.Memory) -> None:
    """Logs and tracebacks print it."""
    action = by_hand(mv, "put", {"content": "private words"}, "private answer")

    assert "private" not in repr(action)


# -- capture ------------------------------------------------------------------------------------

BODY = "Rosebud was the sled, all along the river"
ANSWER = "Xanadu keeps the secret of the last word"
PREFIX = "p" * 600


def _record_all_kinds(recorder: replaykit.Recorder) -> Any:
    """Pass `BODY` and `ANSWER`, behind more than a preview of padding, through every kind and way."""
    body, answer = PREFIX + BODY, PREFIX + ANSWER

    @replaykit.records("ask")
    def stream(question: str) -> Iterator[str]:
        yield answer

    @replaykit.records("tool")
    def fail(text: str) -> None:
        raise RuntimeError(text + answer, body)

    with recorder.session("capture") as session:
        for kind in ("put", "put_many", "find", "ask", "update", "delete", "tool"):
            session.record(kind, name="f", arguments={"text": body, "items": [body]}, output=answer)
            session.record(kind, name="f", arguments={"key": body, "id": body}, output=[answer, {"text": answer}])
        list(stream(body))
        with pytest.raises(RuntimeError):
            fail(body)
        # Still open: what is in the live log counts too.
        live = _bytes_below(Path("."))
    recorder.close()
    return session.id, live


def _bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def _unpacked(store: str) -> str:
    """Return everything that a reader can get of the recording, as text."""
    with replaykit.load(store) as recording:
        session = recording.get_session("capture")
        return repr(
            [
                (
                    dict(a.arguments),
                    a.output,
                    a.error,
                    a.action_type,
                    a.affected_frames,
                    a.input_preview,
                    a.output_preview,
                )
                for a in session.actions
            ]
        )


@pytest.mark.parametrize("store", ["runs.rpk", "runs/", "notes.mv"])
@pytest.mark.parametrize("capture", ["preview", "hash"])
def test_without_bodies_no_body_reaches_the_disk(store: str, capture: str) -> None:
    """Neither the store nor the live log ever has a byte of them beyond the previews."""
    if store.endswith(".mv"):
        replaykit.open(store).close()
    _, live = _record_all_kinds(replaykit.Recorder(store, capture=capture))

    stored = _bytes_below(Path("."))
    for secret in (BODY.encode(), ANSWER.encode()):
        assert secret not in live
        assert secret not in stored
    shown = _unpacked(store)
    assert BODY not in shown and ANSWER not in shown
    assert ("ppp" in shown) == (capture == "preview")


def test_with_bodies_they_are_there() -> None:
    """The search above would find them."""
    _, live = _record_all_kinds(replaykit.Recorder("runs.rpk", capture="full"))

    assert BODY.encode() in live
    assert BODY in _unpacked("runs.rpk")


@pytest.mark.parametrize("error", ["no index", {"code": 3}], ids=["text", "map"])
@pytest.mark.parametrize(("capture", "shown"), [("preview", "no index"), ("hash", "")])
def test_a_text_recorded_by_hand_as_an_error_is_kept(error: Any, capture: Any, shown: str) -> None:
    """With bodies it always was; without them the whole action was lost."""
    with replaykit.Recorder(":memory:", capture=capture) as recorder:
        with recorder.session() as session:
            session.record("tool", name="f", error=error)

        assert session.result.lost == 0
        expected = shown if isinstance(error, str) else ""
        assert session.result.actions[0].error == Failure(type="unknown", message=expected)


def test_preview_keeps_hashes_and_previews(mv: replaykit.Memory) -> None:
    """Plain hashes, facts and previews; no bodies, and the session says that it cannot be played."""
    with replaykit.Recorder("runs.rpk", capture="preview") as recorder:
        with recorder.session() as session:
            session.record("find", name="f", arguments={"query": "hay", "k": 2}, output=[{"id": 4}])
        action = session.result.actions[0]

        assert action.action_type == replaykit.Find(query="hay", mode="", result_count=1)
        assert (action.input_preview, action.input_hash, action.affected_frames) == ("hay", b3(b"hay"), (4,))
        assert (dict(action.arguments), action.output) == ({}, None)
        assert "unreplayable" in action.flags
        assert not session.result.playable
        assert "preview" in session.result.playable.reasons[0]


def test_hash_keeps_no_text() -> None:
    """Counts, frames and keyed hashes only."""
    with replaykit.Recorder("runs.rpk", capture="hash") as recorder:
        with recorder.session() as session:
            session.record("find", name="f", arguments={"query": "hay"}, output=[{"id": 4}])
            session.record("tool", name="g", error=ValueError("hay"))
        found, failed = session.result.actions

        assert found.action_type == replaykit.Find(query="", mode="", result_count=1)
        assert (found.input_preview, found.output_preview, found.affected_frames) == ("", "", (4,))
        assert failed.error == Failure(type="ValueError", message="", args=())


def test_hashes_are_keyed_by_store() -> None:
    """A short value cannot be guessed from its hash; within one store equal values have equal hashes."""
    hashes = {}
    for store in ("a.rpk", "b.rpk"):
        with replaykit.Recorder(store, capture="hash") as recorder:
            with recorder.session() as session:
                session.record("put", arguments={"content": "1234"})
                session.record("put", arguments={"content": "1234"})
                session.record("tool", name="f", arguments={"pin": "1234"})
            first, second, tool = session.result.actions
            assert first.input_hash == second.input_hash
            hashes[store] = (first.input_hash, tool.action_type.args_hash)

    assert set(hashes["a.rpk"]).isdisjoint(hashes["b.rpk"])
    assert b3(b"1234") not in {value for values in hashes.values() for value in values}


def test_a_secret_in_a_name_given_by_hand_is_redacted() -> None:
    """Names are as public as a listing."""
    with replaykit.Recorder("runs.rpk") as recorder, recorder.session() as session:
        session.record("tool", name="call sk-abcdefghijklmnopqrstuvwxyz012345")
    (action,) = session.result.actions

    assert "sk-abc" not in action.name


@pytest.mark.parametrize("capture", ["full", "preview"])
def test_a_secret_in_the_name_of_an_operation_is_redacted(capture: Any) -> None:
    """A tool may be named by its user; a play finds its calls all the same."""
    secret = "sk-abcdefghijklmnopqrstuvwxyz012345"

    @replaykit.records("tool", name=f"call {secret}")
    def call(number: int) -> int:
        return number + 1

    recorder = replaykit.Recorder("runs.rpk", capture=capture, redact=("secrets", lambda path, value: "hidden"))
    with recorder, recorder.session() as session:
        call(1)
        assert secret.encode() not in b"".join(path.read_bytes() for path in Path().glob("runs.rpk*"))
        recorder.flush()
    (action,) = session.result.actions

    assert action.name == action.action_type.tool == "call [redacted:openai]"
    if capture == "full":
        with replaykit.play(session.result):
            assert call(1) == 2


def test_k_is_kept_beside_the_seeds_fields() -> None:
    """memvid's FIND has no k: the action has it."""
    memory = replaykit.open(":memory:")
    with memory.session() as session:
        memory.find("x", k=3)
    (action,) = session.result.actions

    assert action.k == 3
    assert action.action_type == replaykit.Find(query="x", mode="auto", result_count=0)


@pytest.mark.parametrize(
    "wrong", [{"auto_checkpoint_interval": -1}, {"max_actions_per_session": 0}, {"auto_checkpoint_interval": "3"}]
)
def test_a_config_says_what_it_takes(wrong: dict[str, Any]) -> None:
    """With the name of the setting and the smallest number."""
    with pytest.raises(replaykit.errors.UsageError, match="at least"):
        replaykit.ReplayConfig(**wrong)


def test_a_result_can_be_read_after_the_close(tmp_path: Path) -> None:
    """The file has it."""
    with replaykit.open(tmp_path / "notes.mv") as memory, memory.session("s") as session:
        memory.put("a")

    assert [action.kind for action in session.result.actions] == ["put"]
