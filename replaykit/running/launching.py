"""What ``python script.py`` and ``python -m module`` do before the program's first line, done for a program."""

from __future__ import annotations

import importlib.machinery
import io
import os
import pkgutil
import platform
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any

import attrs

from replaykit.errors import ReplaykitError, UsageError
from replaykit.intercept.tracebacks import leave_no_frame
from replaykit.running.ambient import Position
from replaykit.running.children import Task, Work
from replaykit.running.order import Order
from replaykit.settings import is_disabled

__all__ = ["Program", "launched", "status_of"]

EXIT_USAGE, EXIT_UNREADABLE = 2, 3

_MOST_ARGUMENTS = 100
_LONGEST_ARGUMENT = 500


@attrs.define
class Program:
    """
    A program that is about to run: ``call(*arguments())`` is its run.

    The caller makes that call itself, from a file's outermost frame, so that
    as few frames as possible are below the program's.
    """

    call: Callable[..., Any]
    arguments: Callable[[], tuple[Any, ...]]
    work: Work | None = None

    def ended(self, error: BaseException | None) -> None:
        """Note how the program ended; *error* is what it leaves uncaught, and is to be raised again."""
        if error is not None:
            leave_no_frame(error)
        if self.work is not None:
            self.work.annotate(exit_status=status_of(error))


def status_of(error: BaseException | None) -> str:
    """Return the exit status of a program that ends with *error*, as a shell shows it."""
    if error is None:
        return "0"
    if isinstance(error, KeyboardInterrupt):
        return "130"
    if not isinstance(error, SystemExit):
        return "1"
    if error.code is None:
        return "0"
    return str(error.code & 0xFF) if isinstance(error.code, int) else "1"


def launched(order: Order, arguments: Sequence[str], initial: Mapping[str, Any]) -> Program:
    """
    Return the program in *arguments*, with `sys` and ``__main__`` as the interpreter would have made them.

    *initial* are the variables of the present ``__main__``.  Where the store
    cannot be used the program is not run: a line says so, exit code 3; 2 for
    a session that is not there.
    """
    main = ModuleType("__main__")
    main.__dict__.clear()
    main.__dict__.update({name: value for name, value in initial.items() if name in _MAIN_NAMES})
    main.__dict__.update(__doc__=None)
    # The interpreter goes on to use the variables of the first one.
    sys.modules["replaykit.running.program"] = sys.modules["__main__"]
    sys.modules["__main__"] = main
    target, rest = arguments[0], arguments[1:]
    sys.orig_argv = [sys.orig_argv[0], *(["-m"] if order.is_module else []), *arguments]
    program = _module(target, rest) if order.is_module else _script(target, rest, main)
    program.work = _work(order, target, arguments)
    return program


_MAIN_NAMES = (
    "__name__",
    "__doc__",
    "__package__",
    "__loader__",
    "__spec__",
    "__annotations__",
    "__builtins__",
    "__file__",
    "__cached__",
)


def _work(order: Order, target: str, arguments: Sequence[str]) -> Work | None:
    if is_disabled() and not order.play:
        return None
    name = target if order.is_module else os.path.basename(os.path.normpath(target))
    task = Task(location=order.store, position=Position(name=name), play=order.play)
    try:
        return task.started({"argv": _shown(arguments), "python": platform.python_version()})
    except (ReplaykitError, OSError) as error:
        print(f"replaykit: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_UNREADABLE)


def _shown(arguments: Sequence[str]) -> list[str]:
    """Return the command line as it is kept: bounded, and without the bytes that are no text."""
    texts = (each.encode("utf-8", "backslashreplace").decode() for each in arguments[:_MOST_ARGUMENTS])
    return [text[:_LONGEST_ARGUMENT] for text in texts]


# -- python -m module -----------------------------------------------------------


def _module(name: str, arguments: Sequence[str]) -> Program:
    sys.argv = ["-m", *arguments]
    _look_first_in(os.getcwd())
    return Program(runpy._run_module_as_main, lambda: (name,))  # type: ignore[attr-defined]  # what `python -m` calls


# -- python script.py -------------------------------------------------------------


def _script(path: str, arguments: Sequence[str], main: ModuleType) -> Program:
    sys.argv = [path, *arguments]
    if pkgutil.get_importer(path) is not None:
        # A directory or an archive with a __main__.py.
        sys.path.insert(0, _absolute(path))
        return Program(runpy._run_module_as_main, lambda: ("__main__", False))  # type: ignore[attr-defined]
    _look_first_in(os.path.dirname(os.path.realpath(path)))
    whole = _absolute(path)
    main.__dict__.update(
        __file__=whole, __cached__=None, __loader__=importlib.machinery.SourceFileLoader("__main__", whole)
    )
    return Program(exec, lambda: (_code_of(whole), main.__dict__))


def _absolute(path: str) -> str:
    """Return *path* as the interpreter makes it absolute: not simplified."""
    return os.path.join(os.getcwd(), path[2:] if path.startswith("." + os.sep) else path)


def _look_first_in(folder: str) -> None:
    if not sys.flags.safe_path:
        sys.path.insert(0, folder)


def _code_of(path: str) -> CodeType:
    with io.open_code(path) as file:
        # What runpy calls: the code of a .pyc, else None.
        code: CodeType | None = pkgutil.read_code(file)
    if code is not None:
        return code
    with io.open_code(path) as file:
        return compile(file.read(), path, "exec", dont_inherit=True)
