"""Feature hashing: deterministic, blind to order of the batch, closer for texts that share words."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.embedding import EmbeddingRequest, Embeddings
from models.embedding.hashed import HashedEmbedder
from models.records import Prompt

ROOT = Path(__file__).resolve().parents[1]


def embed(*texts: str, dimension: int = 256) -> Embeddings:
    requests = [EmbeddingRequest(Prompt.from_text("any"), text) for text in texts]
    return HashedEmbedder(dimension=dimension).embed(requests)


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def test_a_worked_text() -> None:
    expected = np.zeros(8)
    for feature in ("a", "<a>", "!", "<!>"):
        number = zlib.crc32(feature.encode())
        expected[1 + (number >> 1) % 7] += (-1 if number % 2 else 1) / 2
    expected[0] = 2.0**-7
    result = embed("A !", dimension=8)
    np.testing.assert_allclose(result.vectors[0], expected, atol=1e-7)
    assert result.token_counts.tolist() == [2]
    assert result.vectors.dtype == np.float32


def test_texts_that_share_words_are_closer() -> None:
    vectors = embed(
        "The fox jumps over the dog.", "A fox jumped over a dog!", "Interest rates rose again in March."
    ).vectors
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2]) + 0.1


def test_case_and_white_space_do_not_matter() -> None:
    vectors = embed("One  two\nthree", " one TWO three ").vectors
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_a_text_without_words_is_nan() -> None:
    result = embed("", " \n\t", "x")
    assert np.isnan(result.vectors).all(axis=1).tolist() == [True, True, False]
    assert result.token_counts.tolist() == [0, 0, 1]


def test_no_texts_keep_the_dimension() -> None:
    assert embed(dimension=5).vectors.shape == (0, 5)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=6), st.integers(2, 40))
def test_a_row_depends_on_its_text_alone_and_is_never_zero(texts: list[str], dimension: int) -> None:
    together = embed(*texts, dimension=dimension)
    for text, vector, count in zip(texts, together.vectors, together.token_counts, strict=True):
        np.testing.assert_array_equal(embed(text, dimension=dimension).vectors[0], vector)
        assert np.isnan(vector).all() if count == 0 else np.linalg.norm(vector) > 0


def test_another_process_hashes_alike_and_loads_no_heavy_library() -> None:
    code = """
import sys
from models.embedding import EmbeddingRequest, Embeddings
from models.embedding.hashed import HashedEmbedder
from models.records import Prompt
print(HashedEmbedder(dimension=16).embed([EmbeddingRequest(Prompt.from_text("any"), "a fox")]).vectors.tolist())
assert not {"torch", "transformers"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(embed("a fox", dimension=16).vectors.tolist())


def test_one_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2, got 1"):
        HashedEmbedder(dimension=1)


def test_closing_twice_is_harmless() -> None:
    embedder = HashedEmbedder(dimension=4)
    embedder.close()
    embedder.close()
