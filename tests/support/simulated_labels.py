"""Labels of a reward that is known: pairs of unit embeddings, their true margins, and votes by Bradley and Terry."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit


class Simulated(NamedTuple):
    """Pairs: `differences` (n, d) float32, true `margins` (n,), `votes` (n,) of 1 (the first) and 0."""

    differences: np.ndarray
    margins: np.ndarray
    votes: np.ndarray


def simulated(seed, count, *, dimension=32, size=2.0, decay=1.0):
    """`size`: the standard deviation of a margin in nats; `decay`: how fast the spectrum of embeddings falls."""
    rng = np.random.default_rng(seed)
    scales = np.arange(1, dimension + 1) ** (-decay / 2)
    responses = rng.standard_normal((2, count, dimension)) * scales
    responses /= np.linalg.norm(responses, axis=-1, keepdims=True)
    differences = (responses[0] - responses[1]).astype(np.float32)
    weights = rng.standard_normal(dimension) * size / np.sqrt(np.mean(np.sum(differences**2, axis=1)))
    margins = differences @ weights
    return Simulated(differences, margins, (rng.random(count) < expit(margins)).astype(float))
