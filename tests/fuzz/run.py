"""
Fuzz the readers: ``python tests/fuzz/run.py [--runs N] [--target NAME] [--corpus FOLDER]``.

With atheris the search is guided by coverage; where it is not installed the
same changes are made at random.  An input that breaks a promise is written to
the folder and ends the run with 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

TIMEOUT_S = 20
RSS_MIB = 2048


def main() -> int:
    """Run each target in a process of its own."""
    options = _options()
    if options.child:
        return _run_child(options)
    from fuzz.targets import TARGETS

    names = [options.target] if options.target else list(TARGETS)
    failed = []
    for name in names:
        command = [sys.executable, __file__, "--child", "--target", name, "--runs", str(options.runs)]
        command += ["--corpus", options.corpus, "--seed", str(options.seed), *["--plain"] * options.plain]
        done = subprocess.run(command, check=False)
        print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
        failed += [name] if done.returncode else []
    print(f"{len(names)} targets, {options.runs} inputs each, {len(failed)} failed")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--target")
    parser.add_argument("--corpus", default="")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="change at random, without atheris")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_child(options: argparse.Namespace) -> int:
    corpus = Path(options.corpus or tempfile.mkdtemp()) / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    guided = importlib.util.find_spec("atheris") is not None and not options.plain
    return _guided(options, corpus) if guided else _at_random(options, corpus)


def _guided(options: argparse.Namespace, corpus: Path) -> int:
    import atheris

    with atheris.instrument_imports(include=["replaykit"]):
        from fuzz.targets import TARGETS
    target = TARGETS[options.target]
    for number, seed in enumerate(target.seeds(Path(tempfile.mkdtemp()))):
        (corpus / f"seed-{number}").write_bytes(seed)

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        return target.change(bytes(data), random.Random(seed))[:max_size]

    arguments = [sys.argv[0], f"-atheris_runs={options.runs}", f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={RSS_MIB}"]
    arguments += ["-max_len=65536", f"-seed={options.seed}", "-verbosity=0", f"-artifact_prefix={corpus}/", str(corpus)]
    atheris.Setup(arguments, target, custom_mutator=change)
    atheris.Fuzz()
    return 0


def _at_random(options: argparse.Namespace, corpus: Path) -> int:
    from fuzz.targets import TARGETS

    target = TARGETS[options.target]
    seeds = target.seeds(Path(tempfile.mkdtemp()))
    chance = random.Random(options.seed)
    for number in range(options.runs):
        data = chance.choice(seeds)
        for _ in range(chance.randint(1, 3)):
            data = target.change(data, chance)
        try:
            target(data)
        except BaseException:
            traceback.print_exc()
            found = corpus / f"crash-{number}"
            found.write_bytes(data)
            print(f"{options.target}: input {number} breaks a promise: {found}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
