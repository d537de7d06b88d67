"""Nothing in the package can run code, or build objects, from what it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import replaykit

PACKAGE = Path(replaykit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "jsonpickle",
    "yaml",
    "code",
    "codeop",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {
    ("yaml", "load"),
    ("numpy", "load"),
    ("importlib", "reload"),
    ("imp", "load_source"),
    ("os", "system"),
}
IMPORTS_BY_NAME = {
    "__init__.py": "the package's own table of lazy names",
    "adapters/model_clients.py": "the library's own name, and those in its adapter's table",
    "adapters/reviving.py": "a name from the adapter's own list, never one that only a recording has",
    "cli/verbs.py": "the command line's own table of verbs",
    "intercept/functions.py": "where a recorded method is, which pickle would import itself if it could name it",
    "model/__init__.py": "the package's own table of lazy names",
    "plugins.py": "entry points, which the user installed",
    "testing/__init__.py": "the package's own table of lazy names",
}
"""Where a module may be imported by a name that is no literal, and where that name comes from."""


EVALUATES = {
    "intercept/binding.py": "a lambda built from the signature of the user's own function",
    "running/launching.py": "the program that `replaykit run` was asked to run",
}
"""Where source is compiled, and what it is made of: never of what was read."""

UNPICKLES = {"running/children.py": "what this program hands to a process that it starts, over multiprocessing's pipe"}
"""Where pickles are opened, and who made them."""


def found_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").split(".")[0]}
        elif isinstance(node, ast.Call):
            yield from _call(path, node)
            continue
        else:
            continue
        allowed = {"pickle"} if path.relative_to(PACKAGE).as_posix() in UNPICKLES else set()
        yield from (f"line {node.lineno}: imports {name}" for name in names & FORBIDDEN_MODULES - allowed)


def _call(path: Path, node: ast.Call) -> Iterator[str]:
    called = node.func
    if isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS:
        if path.relative_to(PACKAGE).as_posix() in EVALUATES:
            return
        yield f"line {node.lineno}: calls {called.id}"
    by_name = (isinstance(called, ast.Name) and called.id == "import_module") or (
        isinstance(called, ast.Attribute) and called.attr == "import_module"
    )
    is_literal = bool(node.args) and isinstance(node.args[0], ast.Constant)
    if by_name and not is_literal and path.relative_to(PACKAGE).as_posix() not in IMPORTS_BY_NAME:
        yield f"line {node.lineno}: imports a module by a name that is no literal"
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        if (called.value.id, called.attr) in FORBIDDEN_METHODS:
            yield f"line {node.lineno}: calls {called.value.id}.{called.attr}"
        if called.attr in ("frombuffer", "load") and any(each.arg == "allow_pickle" for each in node.keywords):
            yield f"line {node.lineno}: allows pickles"


def test_no_module_runs_what_it_reads() -> None:
    """No pickle, marshal or YAML, no eval or exec, no import of a recorded name."""
    found = {path.relative_to(PACKAGE).as_posix(): list(found_in(path)) for path in MODULES}

    assert {module: lines for module, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "eval('1')",
        "exec(x)",
        "__import__(name)",
        "import yaml\nyaml.load(x)",
        "import importlib\nimportlib.import_module(name)",
        "numpy.load(x)",
    ],
)
def test_the_gate_sees_what_it_is_for(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that it forbids is found."""
    path = PACKAGE / "storage" / "made_up.py"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: source)
    assert list(found_in(path))
