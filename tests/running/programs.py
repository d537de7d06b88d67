"""Programs that are run twice, with `replaykit run` and without; and a library that has an adapter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

import replaykit

ROOT = Path(replaykit.__file__).parent.parent

LIBRARY = """
import os

class EmptyError(ValueError):
    pass

class Shelf:
    '''Remembers in a file, so that its processes share it.'''

    def __init__(self, path="shelf.txt"):
        self.path = path

    def store(self, text):
        if text == "":
            raise EmptyError("nothing to store")
        with open(self.path, "a") as file:
            file.write(text + "\\n")
        return len(text)

    def lookup(self, word):
        if os.environ.get("SHELF_IS_GONE"):
            raise ConnectionError("the shelf is gone")
        with open(self.path) as file:
            return [row for row in file.read().splitlines() if word in row]

    async def alookup(self, word):
        return self.lookup(word)


class LoudShelf(Shelf):
    def lookup(self, word):
        return [row.upper() for row in super().lookup(word)]
"""

ADAPTER = """
from replaykit import Adapter, MethodMap

ADAPTER = Adapter(classes={
    "shelflib.shelves.Shelf": MethodMap(operations={"store": "put", "lookup": "find", "alookup": "find"}),
    "shelflib.shelves.Gone": MethodMap(operations={"lookup": "find"}),
})
"""


def write_library(site: Path) -> Path:
    """Put the library ``shelflib`` and its adapter, a distribution of its own, into *site*; return that."""
    metadata = site / "shelf_adapter-1.dist-info"
    package = site / "shelflib"
    metadata.mkdir(parents=True)
    package.mkdir()
    (package / "__init__.py").write_text("from shelflib.shelves import EmptyError, LoudShelf, Shelf\n")
    (package / "shelves.py").write_text(LIBRARY)
    (site / "shelf_adapter.py").write_text(ADAPTER)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-adapter\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[replaykit.adapters]\nshelflib = shelf_adapter:ADAPTER\n")
    return site


@attrs.frozen
class Outcome:
    """All that the outside sees of a program."""

    status: int
    out: str
    err: str


@attrs.frozen(kw_only=True)
class Program:
    """
    Files by name, the words of its command line, what it reads, and a signal it is sent once it says ``ready``.
    """

    files: dict[str, str]
    words: Sequence[str]
    stdin: str = ""
    signal: int = 0
    flags: Sequence[str] = ()

    def run(self, folder: Path, *before: str, **variables: str) -> Outcome:
        """Run it in *folder*; *before* are the words between the interpreter and its own."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        environment = {**os.environ, "PYTHONPATH": f"{folder.parent / 'site'}{os.pathsep}{ROOT}", **variables}
        process = subprocess.Popen(
            [sys.executable, *self.flags, *before, *self.words],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Where the tests run in the background, Ctrl-C is ignored, and its children inherit that.
            preexec_fn=_heed_interrupts,
        )
        begun = ""
        if self.signal:
            begun = process.stdout.readline()  # type: ignore[union-attr]  # it is a pipe
            process.send_signal(self.signal)
        out, err = process.communicate(self.stdin, timeout=120)
        return Outcome(process.returncode, begun + out, err)


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


RECORDED = ("-m", "replaykit", "run", "-o", "../runs/")


def both_ways(program: Program, tmp_path: Path) -> tuple[Outcome, Outcome]:
    """Return what a program shows without us and with us, each in a new folder of the same name."""
    outcomes = []
    for before in ((), RECORDED):
        folder = tmp_path / "work"
        outcomes.append(program.run(folder, *before))
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    return outcomes[0], outcomes[1]


def script(text: str, *arguments: str, **more: object) -> Program:
    """Return a program of one file."""
    return Program(files={"agent.py": text}, words=("agent.py", *arguments), **more)  # type: ignore[arg-type]


STATE = """
import signal, sys
print(list(globals()), __name__, __file__, __spec__, __loader__.__class__, __loader__.name, __builtins__)
print(sys.argv, sys.path, sys.orig_argv, sys.flags, sys.warnoptions, sys.excepthook, sys.exit)
print([(s, signal.getsignal(s)) for s in signal.valid_signals()])
import os, threading
print(sorted(os.environ), os.getcwd(), threading.current_thread().name, sys.modules["__main__"].__dict__ is globals())
print(input(), sys.stdin.read(), sys.stdout.encoding, sys.stdout.line_buffering)
"""

USES_LIBRARY = """
import sys
from shelflib import LoudShelf, Shelf
shelf = Shelf()
print(shelf.store("some text"), shelf.lookup("some"), LoudShelf().lookup("some"), Shelf.lookup.__qualname__)
"""

PROGRAMS = {
    "failing": script(
        USES_LIBRARY + STATE + "def fail():\n    shelf.store('')\ntry:\n    1 / 0\nexcept Exception:\n    fail()\n",
        "--flag", "-m", "--", "x y", "",
        stdin="one line\nand the rest",
    ),
    "exit code": script("import sys\nsys.exit(3)\n"),
    "raised exit": script("raise SystemExit(300)\n"),
    "exit text": script("import sys\nprint('out')\nsys.exit('it is over')\n"),
    "argparse": script(
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--count', type=int)\n"
        "print(parser.parse_args())\n",
        "--count", "x",
    ),
    "own hook": script("import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno)\n1 / 0\n"),
    "broken hook": script("import sys\nsys.excepthook = None\n1 / 0\n"),
    "shown by the program": script(
        "import asyncio, logging, threading, traceback\nfrom shelflib import LoudShelf, Shelf\n"
        "def fail():\n    Shelf().store('')\n"
        "for call in (fail, LoudShelf('nothing').lookup, lambda: asyncio.run(Shelf('nothing').alookup('x'))):\n"
        "    try:\n        call() if call is fail else call('x') if call.__name__ == 'lookup' else call()\n"
        "    except Exception:\n        traceback.print_exc()\n        logging.exception('logged')\n"
        "thread = threading.Thread(target=fail, name='t')\nthread.start()\nthread.join()\n"
    ),
    "broken import": Program(
        files={
            "agent.py": "import traceback\ntry:\n    import shelflib\nexcept Exception:\n    traceback.print_exc()\n"
            "import shelflib\n",
            "shelflib/__init__.py": "def fail():\n    raise RuntimeError('broken')\nfail()\n",
        },
        words=("agent.py",),
    ),
    "syntax": script("x = 1\ndef f(:\n"),
    "interrupt": script("import signal\nsignal.raise_signal(signal.SIGINT)\n"),
    "terminated": script(
        "import signal\nprint('ready', flush=True)\nsignal.pause()\n", signal=signal.SIGTERM
    ),
    "handled": script(
        "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(7))\nprint('ready', flush=True)\n"
        "signal.pause()\n",
        signal=signal.SIGTERM,
    ),
    "asyncio": script(
        "import asyncio\nfrom shelflib import Shelf\nasync def main():\n    Shelf().store('a')\n"
        "    print(await asyncio.gather(*(Shelf().alookup('a') for _ in range(3))))\n"
        "    async with asyncio.TaskGroup() as group:\n        group.create_task(Shelf().alookup('a'))\n"
        "        raise LookupError('in a group')\nasyncio.run(main())\n"
    ),
    "pickle": script(
        "import dataclasses, pickle\n@dataclasses.dataclass\nclass Note:\n    text: str\n"
        "print(pickle.loads(pickle.dumps(Note('x'))), pickle.dumps(Note('x')), Note.__module__)\n"
    ),
    "threads and exit": script(
        "import atexit, os, threading\nfrom shelflib import Shelf\n"
        "atexit.register(lambda: print('atexit', Shelf().store('b')))\n"
        "def work():\n    threading.main_thread().join()\n    print('thread', Shelf().store('a'))\n"
        "threading.Thread(target=work).start()\nprint('main is over')\n"
    ),
    "module": Program(
        files={
            "pkg/__init__.py": "",
            "pkg/__main__.py": "import sys\nfrom .inner import fail\n"
            "print(sys.argv, sys.path, __package__, __spec__.name)\nfail()\n",
            "pkg/inner.py": "from . import __name__ as name\ndef fail():\n    raise KeyError(name)\n",
        },
        words=("-m", "pkg", "--x", "-o", "y"),
    ),
    "missing module": Program(files={"x.txt": ""}, words=("-m", "no_such_module_here")),
    "directory": Program(
        files={
            "app/__main__.py": "import sys, side\nprint(sys.argv, sys.path, __file__, side.X)\n1 / 0\n",
            "app/side.py": "X = 1\n",
        },
        words=("app", "z"),
    ),
    "flags": script(
        "import sys\nprint(sys.flags)\nassert False\nprint('optimised')\n", flags=("-O", "-X", "dev", "-W", "ignore")
    ),
    "import error": script(
        "import sys\nsys.meta_path.insert(0, type('F', (), {'find_spec': staticmethod(lambda *a: None)}))\n"
        "try:\n    import shelflib.nothing\nexcept ImportError as error:\n    print(error)\nimport shelflib\n"
        "print(shelflib.__loader__.__class__, shelflib.__spec__.loader is shelflib.__loader__)\n"
        "import shelflib.nothing\n"
    ),
    "spawned": script(
        "import multiprocessing\nfrom shelflib import Shelf\n"
        "def work(n):\n    return Shelf().store(f'child {n}'), __name__\n"
        "if __name__ == '__main__':\n    Shelf().store('parent')\n"
        "    with multiprocessing.get_context('spawn').Pool(2) as pool:\n        print(pool.map(work, range(4)))\n"
        "        pool.close()\n        pool.join()\n"
    ),
}  # fmt: skip
"""Programs by what they are about; the first is run in each run of the tests."""
