"""Libraries are recorded as they are imported, and left exactly as they were."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from running.programs import write_library

import replaykit
from replaykit.errors import UsageError


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A library that is installed, has an adapter and is not imported yet."""
    finders = list(sys.meta_path)
    monkeypatch.syspath_prepend(str(write_library(tmp_path / "site")))
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path / "site"
    replaykit.uninstrument()
    assert sys.meta_path == finders
    for name in [
        name for name in sys.modules if name.startswith(("shelflib", "shelf_adapter", "otherlib", "other_adapter"))
    ]:
        del sys.modules[name]


def shelflib() -> ModuleType:
    return importlib.import_module("shelflib")


def calls(library: Any) -> list[tuple[str, str, str]]:
    """Use a shelf and one of a subclass in a session; return what was recorded."""
    with replaykit.session(store=":memory:") as session:
        library.Shelf().store("some text")
        library.LoudShelf().lookup("some")
    assert session.result is not None
    return [(action.kind, action.name, action.source.rpartition(".")[2]) for action in session.result.actions]


BOTH = [("put", "store", "Shelf"), ("find", "lookup", "LoudShelf")]


@pytest.mark.parametrize("names", [(), ("shelflib",)])
@pytest.mark.parametrize("is_imported", [True, False])
def test_a_library_is_recorded_whether_it_is_imported_or_will_be(names: tuple[str, ...], is_imported: bool) -> None:
    if is_imported:
        shelflib()

    replaykit.instrument(*names)
    replaykit.instrument(*names)

    assert calls(shelflib()) == BOTH


def test_it_is_left_as_it_was() -> None:
    """Its classes, the way in which modules are found, and what a later import gives."""
    finders = list(sys.meta_path)
    before = [dict(vars(cls)) for cls in (shelflib().Shelf, shelflib().LoudShelf)]
    replaykit.instrument("shelflib")
    assert [dict(vars(cls)) for cls in (shelflib().Shelf, shelflib().LoudShelf)] != before

    replaykit.uninstrument("shelflib")
    replaykit.uninstrument("shelflib")

    assert [dict(vars(cls)) for cls in (shelflib().Shelf, shelflib().LoudShelf)] == before
    assert sys.meta_path == finders
    assert calls(shelflib()) == []


def test_a_library_that_is_imported_after_the_end_is_not_recorded() -> None:
    replaykit.instrument()
    replaykit.uninstrument()

    assert calls(shelflib()) == []


def test_the_import_is_the_librarys_own() -> None:
    """Its loader and spec are its own before its first line runs; nobody waits for it any more."""
    plain = shelflib().__spec__
    for name in [name for name in sys.modules if name.startswith("shelflib")]:
        del sys.modules[name]
    replaykit.instrument("shelflib")

    spec = shelflib().__spec__

    assert plain is not None
    assert spec is not None
    assert (type(spec.loader), spec.origin) == (type(plain.loader), plain.origin)
    assert shelflib().__loader__ is spec.loader


def test_an_import_succeeds_whatever_follows_it() -> None:
    """What is told of it may fail; that is logged."""
    from replaykit.intercept.importing import when_imported

    def told(module: ModuleType) -> None:
        raise RuntimeError(module.__name__)

    when_imported("shelflib", told)

    assert shelflib().Shelf is not None


def test_an_import_that_fails_can_be_tried_again(site: Path) -> None:
    (site / "shelflib" / "__init__.py").write_text("raise RuntimeError('not yet')\n")
    importlib.invalidate_caches()
    replaykit.instrument("shelflib")
    with pytest.raises(RuntimeError, match="not yet"):
        shelflib()

    (site / "shelflib" / "__init__.py").write_text("from shelflib.shelves import LoudShelf, Shelf  # now\n")
    importlib.invalidate_caches()

    assert calls(shelflib()) == BOTH


def test_a_library_in_a_namespace_is_recorded(site: Path) -> None:
    """Its top-level module has no code of its own."""
    (site / "otherlib").mkdir()
    (site / "otherlib" / "inner.py").write_text("class Box:\n    def keep(self, x): return x\n")
    (site / "other_adapter.py").write_text(
        "from replaykit import Adapter, MethodMap\n"
        "ADAPTER = Adapter(classes={'otherlib.inner.Box': MethodMap(operations={'keep': 'put'})})\n"
    )
    listed = site / "shelf_adapter-1.dist-info" / "entry_points.txt"
    listed.write_text(listed.read_text() + "otherlib = other_adapter:ADAPTER\n")
    sys.path.append(str(site / "more"))

    replaykit.instrument("otherlib")
    with replaykit.session(store=":memory:") as session:
        importlib.import_module("otherlib.inner").Box().keep("x")

    assert [action.name for action in session.result.actions] == ["keep"]  # type: ignore[union-attr]  # it is recorded


def test_of_two_libraries_each_is_undone_alone(site: Path) -> None:
    """One that inherits from the other stays recorded, and so does what it inherits."""
    (site / "otherlib.py").write_text("import shelflib\nclass Box(shelflib.Shelf):\n    def keep(self, x): return x\n")
    (site / "other_adapter.py").write_text(
        "from replaykit import Adapter, MethodMap\n"
        "ADAPTER = Adapter(classes={'otherlib.Box': MethodMap(operations={'keep': 'put', 'lookup': 'tool'})})\n"
    )
    listed = site / "shelf_adapter-1.dist-info" / "entry_points.txt"
    listed.write_text(listed.read_text() + "otherlib = other_adapter:ADAPTER\n")
    sys.path.append(str(site / "more"))
    replaykit.instrument("shelflib", "otherlib")
    box = importlib.import_module("otherlib").Box()
    box.store("x")

    def kinds() -> list[str]:
        with replaykit.session(store=":memory:") as session:
            box.lookup("x"), box.keep("y"), box.store("z")
        return [action.kind for action in session.result.actions]  # type: ignore[union-attr]  # it is recorded

    assert kinds() == ["tool", "put", "put"]
    replaykit.uninstrument("otherlib")
    assert kinds() == ["find", "put"]


def test_unknown_names_and_senseless_orders_are_refused() -> None:
    with pytest.raises(UsageError, match="no adapter is installed for 'nolib': there are those of .*shelflib"):
        replaykit.instrument("shelflib", "nolib")
    with pytest.raises(UsageError, match="one object"):
        replaykit.instrument("shelflib", object())  # type: ignore[call-overload]  # what is tested
    with pytest.raises(UsageError, match="give its store="):
        replaykit.instrument(capture="hash")
    assert calls(shelflib()) == []


# -- the ambient session --------------------------------------------------------------


def test_a_process_is_recorded_from_now_on(tmp_path: Path) -> None:
    """In every thread; a session of the program takes its own calls, is its child, and is counted."""
    from threading import Thread

    replaykit.instrument(store="runs/")
    library = shelflib()
    library.Shelf().store("first")
    with replaykit.session("own", store="own.rpk") as own:
        library.Shelf().store("second")
        thread = Thread(target=library.Shelf().store, args=("third",))
        thread.start()
        thread.join()
    library.Shelf().store("fourth")
    replaykit.uninstrument()
    library.Shelf().store("after")

    with replaykit.load("runs") as recording:
        (summary,) = recording.list_sessions()
        ambient = recording.get_session(summary)
    assert [action.arguments["text"] for action in ambient.actions] == ["first", "fourth"]
    assert ambient.own_sessions == 1
    assert own.result is not None
    assert own.result.parent_session == ambient.session_id
    assert [action.arguments["text"] for action in own.result.actions] == ["second", "third"]


def test_contexts_that_no_session_of_the_program_adopts_are_the_ambient_sessions() -> None:
    """Without it they would be nobody's, and a warning would say so."""
    from threading import Thread

    replaykit.instrument(store="runs/")
    library = shelflib()
    with replaykit.session("request", store="own.rpk", adopt=False):
        thread = Thread(target=library.Shelf().store, args=("elsewhere",))
        thread.start()
        thread.join()
    replaykit.uninstrument()

    with replaykit.load("runs") as recording:
        assert [action.arguments["text"] for action in recording.get_session().actions] == ["elsewhere"]
