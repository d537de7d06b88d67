"""README and docs are executable: their Python runs, their commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click import Command, Context, Group
from click.testing import CliRunner
from importers.samples import sample

from replaykit.cli.commands import program

ROOT = Path(__file__).parent.parent
VERBS = program.list_commands(Context(program))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

NEEDING_LIBRARIES = frozenset({"celery.md", "fastapi.md"})
"""How-tos on frameworks that the light run does not have; `tests/libraries` runs them."""

_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def memvid_file(own_folder: Path) -> None:
    """What pages about memvid's files call ``old.mv2``."""
    (own_folder / "old.mv2").write_bytes(sample("01"))


def blocks(page: Path, language: str) -> list[str]:
    """Return the page's code blocks in *language*."""
    return [code for found, code in _BLOCK.findall(page.read_text()) if found == language]


def run_blocks(page: Path) -> None:
    """Run a page's Python in order in one namespace, as a reader would paste it."""
    namespace: dict[str, object] = {"__name__": "documentation"}

    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), namespace)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in NEEDING_LIBRARIES], ids=lambda page: page.name
)
def test_python_blocks_run_in_order(page: Path) -> None:
    run_blocks(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    """Each ``$ replaykit VERB --option`` of a page is a verb with these options."""
    for block in blocks(page, "console"):
        for line in block.splitlines():
            if not line.startswith("$ replaykit "):
                continue
            command, words = found(shlex.split(line.removeprefix("$ replaykit "), comments=True))
            known = {option for param in command.params for option in param.opts}
            used = {word.partition("=")[0] for word in words if word.startswith("-")}
            assert used <= known | {"--help"}, line


def found(words: list[str]) -> tuple[Command, list[str]]:
    """Return the verb, or the verb of a group, that *words* begin with, and the rest of them."""
    command: Command = program
    while isinstance(command, Group):
        known = command.get_command(Context(command), words[0])
        assert known is not None, words
        command, words = known, words[1:]
    return command, words


def test_the_commands_of_the_reference_run() -> None:
    """Each ends as its page says: with exit code 0, or with the one in its comment."""
    page = ROOT / "docs/reference/cli.md"
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), {"__name__": "documentation"})
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]

    for line in lines:
        words = shlex.split(line.removeprefix("$ replaykit "), comments=True)
        expected = re.search(r"# exit (\d)", line)
        done = CliRunner().invoke(program, words)
        assert done.exit_code == int(expected[1] if expected else 0), f"{line}: {done.output}{done.stderr}"
    # `run` becomes the program that it runs: tests/running has it.
    assert {line.split()[2] for line in lines} == set(VERBS) - {"demo", "run"}


def test_every_verb_is_in_the_readme() -> None:
    """A verb that the README does not name is one that nobody finds."""
    text = PAGES[0].read_text()

    assert [verb for verb in VERBS if f"replaykit {verb}" not in text] == []


def test_every_verb_has_help() -> None:
    """``--help`` of each verb works and says something."""
    for verb in VERBS:
        shown = CliRunner().invoke(program, [verb, "--help"])

        assert shown.exit_code == 0
        assert len(shown.output.splitlines()) > 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    """``tests/file.py::name`` in a page is a test that can be run."""
    for file, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", page.read_text()):
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """A relative link is a file of this project."""
    for target in re.findall(r"\]\(([^)#:]+?)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_guarantee_is_in_the_table_with_its_tests() -> None:
    """From G1 to G25, each with a test that carries its number or that the page names; two say why they have none."""
    page = (ROOT / "docs/explanation/guarantees.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| G")]
    single = {row[0]: row for row in rows if re.fullmatch(r"G\d+", row[0])}

    assert set(single) == {f"G{number}" for number in range(1, 26)}
    assert {name for name, row in single.items() if "::" not in row[2]} == {"G18", "G21"}
    named = set(re.findall(r"::(\w+)", page))
    numbered = [
        name
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        for name in re.findall(r"^def (test_g\d+_\w+)\(", file.read_text(), re.MULTILINE)
    ]
    assert sorted(name for name in numbered if name not in named) == []
