"""A server of the Model Context Protocol that keeps notes; run as a program it speaks over stdin and stdout."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError

__all__ = ["notes_server"]


def notes_server() -> Any:
    """Return a server without any notes."""
    server, notes = MCPServer("notes"), dict[str, str]()

    @server.tool()
    def remember(name: str, text: str) -> str:
        """Keep a note."""
        notes[name] = text
        return f"{len(notes)} kept"

    @server.tool()
    def search(word: str) -> list[dict[str, str]]:
        """Find the notes that have a word."""
        return [{"name": name, "text": text} for name, text in notes.items() if word in text]

    @server.tool()
    def forget(name: str) -> str:
        """Forget a note."""
        if name not in notes:
            raise ToolError(f"no note {name}")
        return notes.pop(name)

    @server.resource("notes://{name}")
    def note(name: str) -> str:
        """Return one note."""
        if name not in notes:
            raise ResourceNotFoundError(f"no note {name}")
        return notes[name]

    @server.resource("notes://all")
    def names() -> str:
        """Return the names of all notes."""
        return ", ".join(notes)

    @server.prompt()
    def ask(word: str) -> str:
        """Ask about a word."""
        return f"What do you know of {word}?"

    return server


if __name__ == "__main__":
    notes_server().run("stdio")
