"""The store is LangChain's while a test records, and nobody's while it plays."""

from __future__ import annotations

from typing import Any

import pytest
from assistant import Assistant

import replaykit

OPERATIONS = {"add_texts": "put_many", "similarity_search": "find", "delete": "delete"}


@pytest.fixture
def store(replay_recording: Any) -> Any:
    if not replay_recording.is_recording:
        return replaykit.wrap(None, operations=OPERATIONS)
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from langchain_core.vectorstores import InMemoryVectorStore

    return replaykit.wrap(InMemoryVectorStore(DeterministicFakeEmbedding(size=16)), operations=OPERATIONS)


@pytest.fixture
def assistant(store: Any) -> Assistant:
    return Assistant(store)
