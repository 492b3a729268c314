"""How near a candidate is to its prompt's others, and how near is too far: outliers by median and MAD over the run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.selection.similarity import BLOCK_BYTES, as_float32, group_similarities

Nearness = NDArray[np.float32]

FEWEST_CANDIDATES = 4  # of a prompt: of two, neither is the outlier, and of three it is hard to say
FEWEST_JUDGED = 32  # of a run: four prompts of eight; a median of fewer says little
DEVIATIONS = 3.0
MAD_TO_DEVIATION = 1.4826  # of a normal distribution


def nearness(vectors: NDArray[np.floating], offsets: NDArray[np.integer]) -> Nearness:
    """m_i of each candidate: the (K // 2)th smallest cosine of its row of the prompt's Gram matrix, itself included.

    With K = 8 candidates that is the 4th smallest: a candidate is near where it is near to half of the others.

    Args:
        vectors: (n, d) float16, float32 or float64, none zero; those of a prompt in a row.
        offsets: (g + 1,) where the g prompts begin and end.

    Returns:
        (n,) float32 in [−1, 1]; NaN for candidates of a prompt that has fewer than 4.
    """
    found = np.full(len(vectors), np.nan, np.float32)
    starts, sizes = offsets[:-1].astype(np.int64), np.diff(offsets)
    for size in np.unique(sizes[sizes >= FEWEST_CANDIDATES]).tolist():
        of_size = starts[sizes == size]
        step = max(1, BLOCK_BYTES // (4 * size * max(vectors.shape[1], 4 * size)))
        for first in range(0, len(of_size), step):
            rows = of_size[first : first + step, None] + np.arange(size)
            similarity = group_similarities(as_float32(vectors[rows]))
            found[rows] = np.partition(similarity, size // 2 - 1, axis=1)[:, size // 2 - 1].T
    return found


def least_nearness(of_run: Nearness) -> float | None:
    """Below this an m is an outlier's: median − 3 · 1.4826 · MAD over the m of a run, NaN left out.

    None where nobody is to be judged: fewer than 32 candidates have an m, or at least half of them have the same one
    (MAD 0), so that any other would be an outlier.
    """
    judged = of_run[~np.isnan(of_run)].astype(np.float64)
    if len(judged) < FEWEST_JUDGED:
        return None
    median = float(np.median(judged))
    deviation = float(np.median(np.abs(judged - median)))
    return median - DEVIATIONS * MAD_TO_DEVIATION * deviation if deviation > 0 else None
