"""The pytest plugin with real projects and beside other plugins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.libraries

SAMPLE = Path(__file__).parent.parent / "sample_project"


# -- a library that is taken out ------------------------------------------------------


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment like this one, with a LangChain of its own that can be uninstalled."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith("langchain_core"):
            (packages / entry.name).symlink_to(entry)
        elif entry.is_dir():
            shutil.copytree(entry, packages / entry.name, ignore=shutil.ignore_patterns("__pycache__"))
    return python


def run_sample(python: Path, project: Path, *arguments: str) -> str:
    """Run the sample project's tests; return what pytest printed."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [str(python), "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:recording", *arguments]
    ran = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_a_project_records_once_and_passes_with_its_store_uninstalled(environment: Path, tmp_path: Path) -> None:
    project = shutil.copytree(SAMPLE, tmp_path / "sample")
    committed = {path.name: path.read_bytes() for path in project.rglob("*.rpk")}
    shutil.rmtree(project / "tests" / "recordings")

    assert "12 recorded" in run_sample(environment, project, "--replay-mode=once")
    uninstall = [sys.executable, "-m", "pip", "--python", str(environment), "uninstall", "-y", "langchain-core"]
    subprocess.run(uninstall, check=True, capture_output=True)
    missing = subprocess.run([str(environment), "-c", "import langchain_core"], capture_output=True, check=False)
    assert missing.returncode == 1

    assert "12 played, 0 recorded, 0 unused" in run_sample(environment, project, "--replay-mode=none")
    recorded = {path.name for path in project.rglob("*.rpk")}
    assert recorded == set(committed)


# -- beside other plugins ---------------------------------------------------------


@pytest.fixture
def server() -> Iterator[str]:
    """Return the address of a server that counts its requests, from 1."""

    class Counting(BaseHTTPRequestHandler):
        count = 0

        def do_GET(self) -> None:
            type(self).count += 1
            body = str(self.count).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Counting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def run_in(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-q", "-p", "no:xdist", *arguments)


def test_beside_pytest_asyncio_in_loops_of_every_scope(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    pytester.makeini("[pytest]\nasyncio_mode = auto")
    pytester.makepyfile(
        test_async="""
            import asyncio, os, pytest, pytest_asyncio, replaykit

            @replaykit.records("find")
            async def lookup(query):
                assert not os.environ.get("OFFLINE")
                await asyncio.sleep(0)
                return [query]

            @pytest_asyncio.fixture
            async def warm():
                return await lookup("warm")

            @pytest.mark.replaykit
            async def test_function(warm):
                assert warm == ["warm"]
                assert await asyncio.gather(lookup("a"), lookup("b")) == [["a"], ["b"]]

            @pytest.mark.replaykit
            @pytest.mark.asyncio(loop_scope="module")
            async def test_module_loop():
                assert await asyncio.create_task(lookup("c")) == ["c"]

            @pytest.mark.replaykit
            @pytest.mark.asyncio(loop_scope="module")
            async def test_module_loop_again():
                assert await lookup("d") == ["d"]
        """
    )

    run_in(pytester).assert_outcomes(passed=3)
    monkeypatch.setenv("OFFLINE", "1")
    result = run_in(pytester, "--replay-mode=none")

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["replaykit: 5 played, 0 recorded, 0 unused"])


def test_beside_pytest_recording_each_records_its_own(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(
        test_both=f"""
            import urllib.request, pytest, replaykit

            def get(page):
                with urllib.request.urlopen("{server}" + page) as answer:
                    return answer.read().decode()

            @replaykit.records("find")
            def search(query):
                return [query, get(query)]

            @pytest.mark.vcr
            @pytest.mark.replaykit
            def test_both():
                assert [search("a"), get("b")] == [["a", "1"], "2"]
        """
    )

    run_in(pytester, "--record-mode=once").assert_outcomes(passed=1)
    run_in(pytester, "--replay-mode=none", "--record-mode=none", "--block-network").assert_outcomes(passed=1)

    assert sorted(path.suffix for path in pytester.path.rglob("*test_both/*")) == [".rpk", ".yaml"]


def test_a_stream_over_http_plays_with_the_server_gone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """Server-sent events through a real client: what an HTTP recorder reads to an end that does not come."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("SERVER", server)
    pytester.makepyfile(
        test_stream="""
            import os, pytest, replaykit, urllib.request

            @replaykit.records("tool")
            def events():
                while True:
                    with urllib.request.urlopen(os.environ["SERVER"]) as answer:
                        yield {"id": int(answer.read())}

            @pytest.mark.replaykit
            def test_stream():
                stream = events()
                assert [next(stream)["id"] for _ in range(3)] == [1, 2, 3]
                stream.close()
        """
    )

    run_in(pytester).assert_outcomes(passed=1)
    monkeypatch.setenv("SERVER", "http://127.0.0.1:9/")
    run_in(pytester, "--replay-mode=none").assert_outcomes(passed=1)
