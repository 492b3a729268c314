"""A model that only takes time: so many seconds a token, asleep. Its responses are as long as their seeds say.

Knows no Ray and no database; an actor imports it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.embedding import EmbeddingRequest, Embeddings
from models.records import GeneratedResponse, GenerationRequest

CHARACTERS_A_TOKEN = 4
MEAN_TOKENS = 200  # as PlanConfig.response_tokens


def token_counts(seeds: Sequence[int]) -> NDArray[np.int64]:
    """Lengths of an exponential distribution, (n,): their standard deviation is their mean."""
    mixed = np.array([seed % 2**64 for seed in seeds], dtype=np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):  # splitmix64's last steps
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    uniform = mixed.astype(np.float64) / 2**64
    counts: NDArray[np.int64] = (1 - (MEAN_TOKENS - 0.5) * np.log1p(-np.minimum(uniform, 1 - 2**-53))).astype(np.int64)
    return counts


class SleepingModel:
    """Samples and embeds."""

    def __init__(self, sampled_token_s: float, read_token_s: float, dimension: int) -> None:
        self._sampled_token_s, self._read_token_s, self._dimension = sampled_token_s, read_token_s, dimension

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
        """One response a seed, all different."""
        counts = [token_counts(request.seeds).tolist() for request in requests]
        time.sleep(sum(map(sum, counts)) * self._sampled_token_s)
        return [
            [
                GeneratedResponse(f"{seed} ".ljust(CHARACTERS_A_TOKEN * count, "x"), seed, count, "stop")
                for seed, count in zip(request.seeds, row, strict=True)
            ]
            for request, row in zip(requests, counts, strict=True)
        ]

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Embeddings:
        """Vectors that are all the same."""
        counts = np.array([len(request.text) // CHARACTERS_A_TOKEN for request in requests], dtype=np.int64)
        time.sleep(float(counts.sum()) * self._read_token_s)
        vectors = np.ones((len(requests), self._dimension), dtype=np.float32)
        return Embeddings(vectors, counts, np.zeros(len(requests), dtype=np.bool_))

    def close(self) -> None:
        """Nothing is held."""
