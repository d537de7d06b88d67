"""``replaykit demo``: the main job on real text, the docstrings of Python's own standard library."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from replaykit.cli.render import console, show_session
from replaykit.memory.memory import Memory, open_memory
from replaykit.plain_text import printable
from replaykit.policies import every

__all__ = ["docstrings", "run_demo"]

_SKIPPED = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__", "turtledemo"}
)

_QUESTIONS = (
    ("find", "parse a date from text"),
    ("find", "temporary directory that is removed"),
    ("ask", "How do I run a command in a subprocess and capture its output?"),
    ("find", "c++ NOT AND emoji \N{ELEPHANT}"),
    ("ask", "What does functools.lru_cache do?"),
    ("find", "compress bytes"),
    ("ask", "How can I wait for several coroutines at once?"),
)


def docstrings(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the docstrings of one source file as frames: read with ``ast``, so nothing is imported."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    module = path.stem if path.stem != "__init__" else path.parent.name
    waiting: list[tuple[str, Any]] = [(module, tree)]
    while waiting:
        name, node = waiting.pop(0)
        text = ast.get_docstring(node)
        if text:
            yield {"content": text, "title": name, "uri": f"python:{name}", "metadata": {"module": module}}
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                waiting.append((f"{name}.{child.name}", child))


def sources() -> list[Path]:
    """Return the source files of the standard library, tests and tools left out."""
    root = Path(sysconfig.get_paths()["stdlib"])
    return sorted(path for path in root.rglob("*.py") if not _SKIPPED.intersection(path.relative_to(root).parts))


def run_demo(path: str) -> None:
    """Fill the memory at *path* if it is empty, record a session and show it with the commands to try next."""
    out = console()
    with open_memory(path, metadata={"program": "replaykit demo"}) as memory:
        if len(memory) == 0:
            _fill(out, memory)
        else:
            out.print(f"{printable(path)} holds {len(memory):,} docstrings already.")
        with memory.session("demo", auto_checkpoint=every(actions=3)) as session:
            _work(memory, session)
        result = session.result
        out.print()
        if result is not None:
            show_session(out, result, 40)
    _next_commands(out, path)


def _fill(out: Console, memory: Memory) -> None:
    started = time.perf_counter()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=out
    ) as progress:
        files = sources()
        reading = progress.add_task("reading docstrings", total=len(files))
        frames: list[dict[str, Any]] = []
        for file in files:
            frames.extend(docstrings(file))
            progress.advance(reading)
        storing = progress.add_task("storing frames   ", total=len(frames))
        memory.put_many(frames, progress=lambda done: progress.update(storing, completed=done))
        progress.update(storing, completed=len(frames))
    out.print(f"{len(frames):,} docstrings are in {printable(memory.path)} ({time.perf_counter() - started:.1f} s).")


def _work(memory: Memory, session: Any) -> None:
    for kind, text in _QUESTIONS:
        if kind == "find":
            memory.find(text, k=5)
        else:
            memory.ask(text)
    note = memory.put("Checked the docs for subprocess and asyncio today.", title="note to self")
    memory.update(note, "Checked the docs for subprocess, asyncio and functools today.")
    memory.find("note to self docs", k=3)
    session.annotate(python=os.fspath(sysconfig.get_python_version()))


def _next_commands(out: Console, path: str) -> None:
    store = shlex.quote(printable(path))
    out.print("\nTry next:")
    for words in ("list {}", "show {} last", "show {} last 2", "info {}", "show {} last --json"):
        out.print(f"  {_program()} {words.format(store)}")


def _program() -> str:
    """Return how this program is called here: a virtual environment that is not active is not on the path."""
    called = sys.argv[0]
    if os.path.basename(called) == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m replaykit"
    found = shutil.which("replaykit")
    is_on_path = found is not None and os.path.exists(called) and os.path.samefile(found, called)
    if is_on_path or os.path.basename(called) != "replaykit":
        return "replaykit"
    return shlex.quote(os.path.relpath(called))
