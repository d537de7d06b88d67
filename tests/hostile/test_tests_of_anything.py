"""Whatever a recording holds, the test that is made of it is Python, or there is a typed error."""

from __future__ import annotations

import ast
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

from effort import effort
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from regression.forms import CODE

from replaykit.errors import ReplaykitError
from replaykit.format.entries import Opening, Part, Sealing
from replaykit.regression.new_tests import NewTest, new_test
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.opening import open_store

HERE = "code_of_anything"

_NAMES = st.sampled_from(
    [
        "q",
        "query",
        "k",
        "id",
        "text",
        "class",
        "x-y",
        "self",
        "args",
        "moment",
        "content",
        "frame_id",
        "words",
        "client",
    ]
)
_CLASSES = st.sampled_from(
    [*(f"{HERE}.{name}" for name in ("Color", "Doc", "Filter", "QuotaError", "None")), "ValueError", "os.PathLike", "x"]
    + [f"replaykit.model.results.{name}" for name in ("Hit", "Answer", "Frame")]
)
_TYPES = st.sampled_from(
    [
        "tuple",
        "set",
        "int",
        "decimal",
        "uuid",
        "date",
        "datetime",
        "timedelta",
        "path",
        "array",
        "object",
        "dict",
        "new",
    ]
)
_LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=9) | _CLASSES


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(_NAMES | st.text(max_size=3), inner, max_size=3)
    return (
        st.lists(inner, max_size=4)
        | fields
        | st.builds(lambda name, content: {"~t": name, "~v": content}, _TYPES, st.lists(inner, max_size=3))
        | st.builds(lambda cls, own: {"~t": "struct", "~v": [cls, own]}, _CLASSES | _LEAVES, fields)
        | st.builds(lambda cls, name: {"~t": "enum", "~v": [cls, name, 1]}, _CLASSES | _LEAVES, inner | st.just("RED"))
    )


_VALUES = st.recursive(_LEAVES, _containers, max_leaves=8)
_SOURCES = [HERE, f"{HERE}.Collection", f"{HERE}.AsyncCollection", "replaykit.Memory", "a.B", "a.class", "by hand", ""]
_CALLED = "search documents asearch atokens spend _inner Notes.look query many put find ask restore ask_stream a.b path"
_ACTIONS = st.fixed_dictionaries(
    {
        "k": st.sampled_from(["find", "put", "ask", "tool", "update", "put_many", "checkpoint", "newer"]),
        "nm": st.sampled_from(_CALLED.split()) | st.text(max_size=5),
        "src": st.sampled_from(_SOURCES) | st.text(max_size=5),
        "in": st.dictionaries(_NAMES | st.text(max_size=3), _VALUES, max_size=4),
    },
    optional={
        "out": _VALUES,
        "err": st.builds(
            lambda cls, message, given: {"~t": "error", "~v": [cls, message, given]},
            _CLASSES | _LEAVES,
            st.text(max_size=70) | _LEAVES,
            st.lists(_VALUES, max_size=2),
        ),
        "fl": st.lists(st.sampled_from(["stream", "async", "unreplayable", "cut", "abandoned"]), max_size=2),
    },
)


def made_of(actions: list[dict[str, Any]], name: str | None) -> NewTest:
    session_id = UUID(int=7)
    opening = Opening(session_id=session_id, name=name, created_ns=1, redaction="secrets/2")
    entries = [{"i": number, "t": number, "d": 0, **action} for number, action in enumerate(actions)]
    part = Part(number=0, opening=opening, actions=entries, sealing=Sealing(state="sealed", ended_ns=2))
    with closing(open_store(":memory:")) as store:
        store.publish(part)
        return new_test(Catalogue(store).get_session(session_id), "test_anything.py")


@settings(max_examples=effort(400), suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(actions=[{"k": "find", "nm": "path", "src": "replaykit.Memory", "in": {}}], name=None)
@example(actions=[{"k": "tool", "nm": "fork", "src": "replaykit.Memory", "in": {"path": "branch.mv"}}], name=None)
@example(actions=[{"k": "find", "nm": "search", "src": HERE, "in": {"q": {"~t": "text", "~v": []}}}], name=None)
@example(
    actions=[{"k": "ask", "nm": "ask", "src": "replaykit.Memory", "in": {"q": {"~t": "int", "~v": []}}}], name=None
)
@given(actions=st.lists(_ACTIONS, min_size=1, max_size=4), name=st.text(max_size=9) | st.none())
def test_a_recording_becomes_python_or_a_typed_error(
    own_folder: Path, actions: list[dict[str, Any]], name: str | None
) -> None:
    (own_folder / f"{HERE}.py").write_text(CODE)

    try:
        made = made_of(actions, name)
    except ReplaykitError:
        return

    tree = ast.parse(made.source)
    (test,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    assert test.name == made.name
    imported = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert ".fork(" not in made.source
    assert imported <= {HERE, "decimal", "uuid", "pathlib", "zoneinfo"}
