"""The folder listing is the architecture: each layer imports only from those before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import replaykit

_PACKAGE = Path(replaykit.__file__).parent
_LAYERS = [
    "_version errors logs",
    "model",
    "format",
    "protocols facts",
    "digests read_only plain_text",
    "operations redactors policies matchers plugins",
    "pipeline",
    "settings",
    "intercept storage importers",
    "reading",
    "recording",
    "playback",
    "surface",
    "memory adapters exporters",
    "rewinding running",
    "wrapping loading replaying importing",
    "instrumenting scanning",
    "suites asgi",
    "regression",
    "cli viewer testing pytest_plugin",
    "__main__",
]
_LAYER_OF = {name: level for level, names in enumerate(_LAYERS) for name in names.split()}
_MODULES = sorted(path for path in _PACKAGE.rglob("*.py") if path.parent != _PACKAGE or path.stem != "__init__")


def _part(path: Path) -> str:
    return path.relative_to(_PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of each import of ours, inside functions and for checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name"
            for alias in node.names:
                whole = node.module == "replaykit"
                yield node.lineno, f"replaykit.{alias.name}" if whole else str(node.module)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name


def test_each_module_imports_from_the_layers_before_it() -> None:
    """Or from its own part; nobody takes a name from ``replaykit/__init__``."""
    assert [problem for path in _MODULES for problem in _out_of_order(path)] == []


def _out_of_order(path: Path) -> Iterator[str]:
    part = _part(path)
    if part not in _LAYER_OF:
        yield f"{part} has no layer: give it one here"
        return
    for line, name in _imports(path):
        if name.split(".")[0] != "replaykit":
            continue
        other = (name.split(".") + [""])[1]
        if other not in _LAYER_OF:
            yield f"{path}:{line}: {name} is not a module: import it from its home"
        elif other != part and _LAYER_OF[other] >= _LAYER_OF[part]:
            yield f"{path}:{line}: {part} may not import {other}"


def test_there_is_no_drawer_for_everything() -> None:
    """Modules are words users say."""
    drawers = {"utils", "util", "core", "common", "base", "manager", "helpers", "misc"}

    assert [path for path in _MODULES if path.stem in drawers or path.parent.name in drawers] == []
