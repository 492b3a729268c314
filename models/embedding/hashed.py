"""Embeddings without a model: words and character n-grams hashed into a fixed number of components, for dry runs.

Texts that share words are similar, which is all a dry run needs; it says nothing about what a language model sees.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.embedding import EmbeddingRequest, Embeddings
from models.thoughts import composed

_WORD = re.compile(r"\w+|[^\w\s]")
_NGRAM_SIZES = (3, 4)
# Every component of weight 1 may cancel in an unlucky text; this constant one keeps each vector's norm above zero.
_CONSTANT = 2.0**-7


class HashedEmbedder:
    """Feature hashing: the mean over a text's words of each word's signed, hashed features.

    Deterministic on every machine, the same vector for texts that differ only in case and white space.
    """

    def __init__(self, *, dimension: int) -> None:
        """Set the number of components.

        Raises:
            ValueError: if `dimension` is below 2.
        """
        if dimension < 2:
            raise ValueError(f"dimension must be at least 2, got {dimension}")
        self._dimension = dimension

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Embeddings:
        """Embed every response, in the order given; the prompt is not read, nothing is truncated.

        A token is a word or a punctuation mark; a text of white space alone has none, so its row is NaN.
        """
        texts = [_WORD.findall(composed(request.thought, request.text).casefold()) for request in requests]
        vectors = np.full((len(texts), self._dimension), np.nan, dtype=np.float32)
        for row, words in enumerate(texts):
            if words:
                vectors[row] = self._mean(words)
        return Embeddings(
            vectors=vectors,
            token_counts=np.array([len(words) for words in texts], dtype=np.int64),
            is_truncated=np.zeros(len(texts), dtype=np.bool_),
        )

    def close(self) -> None:
        """Nothing to give back."""

    def _mean(self, words: list[str]) -> NDArray[np.float64]:
        hashes = np.array([feature for word in words for feature in _features(word)], dtype=np.int64)
        signs = 1.0 - 2.0 * (hashes & 1)
        places = (hashes >> 1) % (self._dimension - 1) + 1
        mean: NDArray[np.float64] = np.bincount(places, weights=signs, minlength=self._dimension) / len(words)
        mean[0] = _CONSTANT
        return mean


@lru_cache(maxsize=1 << 16)
def _features(word: str) -> tuple[int, ...]:
    """32-bit hashes of the word itself and of its character n-grams, with marks at both ends."""
    marked = f"<{word}>"
    ngrams = [marked[start : start + size] for size in _NGRAM_SIZES for start in range(len(marked) - size + 1)]
    return tuple(zlib.crc32(feature.encode("utf-8", "surrogatepass")) for feature in (word, *ngrams))
