"""Answers questions from notes."""

from __future__ import annotations

from typing import Any


class Assistant:
    """Keeps notes in a vector store of LangChain, or in what stands for one."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def learn(self, *notes: str) -> int:
        """Keep *notes*; return how many."""
        return len(self._store.add_texts(list(notes), [{"length": len(note)} for note in notes]))

    def answer(self, question: str, notes: int = 2) -> str:
        """Return the *notes* that are nearest to *question*, the nearest first."""
        found = self._store.similarity_search(question, k=notes)
        if not found:
            return "I know nothing of that."
        return " ".join(f"{each.page_content} ({each.metadata['length']})" for each in found)

    def forget(self, *ids: str) -> None:
        """Let go of notes."""
        self._store.delete(list(ids))
