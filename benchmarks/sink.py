"""
A server on this machine that takes what the peers would send to theirs, and keeps it in a folder, one file per request.

It answers one connection after the other, in the order in which they came, so
once `Sink.close` returns everything that had arrived before is in the folder.
A body that did not arrive whole, its sender being killed, is not kept.  ``GET
/call-N`` is answered with 0.9 KB that end in ``end-N``.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

__all__ = ["Sink", "arrived", "hits"]

_ABOUT = {"instance_flags": {"zstd_compression_enabled": True}}
"""What LangSmith's server says of itself, as far as its client asks."""


def hits(mark: str) -> list[dict[str, object]]:
    """Return 0.9 KB of hits that end with *mark*."""
    text = "The capital of this country is a city on a river that has many bridges. " * 2
    found: list[dict[str, object]] = [
        {"frame_id": number, "score": 0.9 - number / 10, "title": f"A title, number {number}", "text": text}
        for number in range(5)
    ]
    found[-1]["text"] = text + mark
    return found


class _Handler(BaseHTTPRequestHandler):
    folder: Path

    def do_POST(self) -> None:
        if self.path == "/stop":
            self.server.is_stopping = True  # type: ignore[attr-defined]  # `serve` reads it
        elif (body := self._body()) is not None:
            encoding = self.headers.get("Content-Encoding", "plain")
            number = sum(1 for _ in self.folder.iterdir())
            (self.folder / f"{number:06}.{encoding}").write_bytes(body)
        self._answer({})

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_GET(self) -> None:
        asked = self.path.removeprefix("/call-")
        self._answer(hits(f"end-{asked}") if asked != self.path else _ABOUT)

    def _body(self) -> bytes | None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            return self._chunks()
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def _chunks(self) -> bytes | None:
        body = b""
        while size := int(self.rfile.readline() or b"0", 16):
            chunk = self.rfile.read(size + 2)
            if len(chunk) < size + 2:
                return None
            body += chunk[:-2]
        return body

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


class _Server(HTTPServer):
    is_stopping = False
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""


def serve(folder: Path) -> None:
    """Print the port, and serve until ``POST /stop``."""
    _Handler.folder = folder
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_port, flush=True)
        while not server.is_stopping:
            server.handle_request()


class Sink:
    """The server in a process of its own; *folder* is made for it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._child = subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._child.stdout.readline())}"

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Return when all that had arrived is in the folder."""
        if self._child.poll() is None:
            urllib.request.urlopen(urllib.request.Request(f"{self.url}/stop", method="POST", data=b"")).close()
        self._child.communicate()


def arrived(folder: Path) -> Iterator[bytes]:
    """Yield the bodies in *folder*, decompressed."""
    for path in sorted(folder.iterdir()):
        body = path.read_bytes()
        if path.suffix == ".gzip":
            body = gzip.decompress(body)
        elif path.suffix == ".zstd":
            import zstandard

            body = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True).read()
        yield body


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
