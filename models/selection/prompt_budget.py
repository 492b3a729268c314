"""Which prompts a budget of labels is spent on: at random, evenly over clusters, or (for studies) the least similar.

All strategies of a run spend on the same prompts, so that they can be compared pair by pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.selection.draws import UInt64s, mixed, seed_word

Integers = NDArray[np.integer]


def prompt_words(keys: Sequence[str], *, seed: int) -> UInt64s:
    """A random word for each prompt of its content's key (64 hex digits) and the seed: order cannot change it."""
    return mixed(np.array([int(key[:16], 16) for key in keys], dtype=np.uint64) ^ seed_word(seed))


def drawn_prompts(
    words: UInt64s, pair_counts: Integers, budget: int, *, label_counts: Integers, clusters: Integers | None = None
) -> NDArray[np.int64]:
    """Draw prompts until their pairs use the budget up; those with fewer labels so far come first.

    With clusters every cluster is drawn from in proportion to its size, as nearly as whole prompts allow: the prompt at
    place r of n in its cluster comes at (r + 1/2) / n, prompts that cost nothing not counted.

    Args:
        words: (n,) uint64, a random word for each prompt; of equal ones the lower index comes first.
        pair_counts: (n,) how many labels each prompt would cost; one of 0 is never drawn.
        budget: labels in all; the draw ends before the prompt that would not fit.
        label_counts: (n,) labels that each prompt has.
        clusters: (n,) the cluster of each prompt, or None to draw from all alike.

    Returns:
        Sorted (m,) indices.
    """
    order = np.lexsort((words, label_counts))
    order = order[pair_counts[order] > 0]
    if clusters is not None:
        places = np.zeros(len(words))
        for cluster in np.unique(clusters[order]):
            own = order[clusters[order] == cluster]
            places[own] = (np.arange(len(own)) + 0.5) / len(own)
        order = order[np.lexsort((words[order], places[order]))]
    return np.sort(order[np.cumsum(pair_counts[order]) <= budget]).astype(np.int64)
