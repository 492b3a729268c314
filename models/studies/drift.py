"""Whether pairs that the base model's embeddings choose would be chosen later in training (REAL B.1, figure 6).

Arrays in, figures by prompt out: the caller embeds the same responses by both models.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

from models.evaluation.drift import rank_correlation, row_correlations
from models.selection import Strategy, pair_similarities, select_pairs

Floats = NDArray[np.floating]
KEPT_BY: tuple[Strategy, ...] = ("easy", "centroid", "hard")
BINS = 20
_BEYOND = 0.25  # of the base's range, to either side: similarities of a later model lie there too


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of the embeddings of the responses to g prompts; None where a prompt has no value.

    Attributes:
        prompts: ids, (g,).
        correlation: a prompt's mean of Pearson's r between a response's two embeddings, over their entries.
        kept: by strategy, 1 if both models choose the same pair of a prompt, else 0.
        by_chance: the share of prompts that would keep their pair if a later model chose at random.
        rank_correlation: Spearman's ρ of all pairs' similarities by either model; None where one side is constant.
        edges: of both histograms, the first and the last bin hold what lies beyond too.
        base_counts: pairs a bin by their cosine under the base model.
        counts: the same under the other.
        responses: that both models could embed.
    """

    prompts: tuple[int, ...]
    correlation: tuple[float | None, ...]
    kept: dict[str, tuple[float | None, ...]]
    by_chance: float
    rank_correlation: float | None
    edges: tuple[float, ...]
    base_counts: tuple[int, ...]
    counts: tuple[int, ...]
    responses: int


def moved(base: Floats, other: Floats, offsets: NDArray[np.integer], prompts: tuple[int, ...]) -> Moved:
    """Compare the embeddings of the same responses by the base model and by another.

    A response that lacks a usable embedding under either is left out under both.

    Args:
        base: (n, d) float, row i the base model's embedding of response i.
        other: (n, d) float, likewise.
        offsets: (g + 1,) integers; rows offsets[i] up to offsets[i + 1] answer prompt i.
        prompts: (g,) their ids.

    Raises:
        ValueError: if the shapes differ, or no prompt has two responses that both models can embed.
    """
    if base.shape != other.shape:
        raise ValueError(f"both models must embed the same responses, got {base.shape} and {other.shape}")
    rows = np.arange(len(base))
    is_usable = np.isfinite(pair_similarities(base, rows, rows)) & np.isfinite(pair_similarities(other, rows, rows))
    before, after = (np.where(is_usable[:, None], vectors, np.nan).astype(np.float64) for vectors in (base, other))
    first, second = _pairs(offsets, is_usable)
    if not len(first):
        raise ValueError("no prompt has two responses that both models can embed")
    similarities = [pair_similarities(vectors, first, second).astype(np.float64) for vectors in (before, after)]
    edges = _edges(similarities[0])
    counts = [np.histogram(np.clip(cosines, edges[0], edges[-1]), edges)[0] for cosines in similarities]
    correlations = np.full(len(base), np.nan)
    correlations[is_usable] = row_correlations(before[is_usable], after[is_usable])
    sizes = [int(is_usable[start:stop].sum()) for start, stop in pairwise(offsets.tolist())]
    return Moved(
        prompts=prompts,
        correlation=tuple(_mean(correlations[start:stop]) for start, stop in pairwise(offsets.tolist())),
        kept={strategy: _kept(before, after, offsets, strategy) for strategy in KEPT_BY},
        by_chance=float(np.mean([1 / comb(size, 2) for size in sizes if size > 1])),
        rank_correlation=rank_correlation(*similarities),
        edges=tuple(edges.tolist()),
        base_counts=tuple(counts[0].tolist()),
        counts=tuple(counts[1].tolist()),
        responses=int(is_usable.sum()),
    )


def _kept(before: Floats, after: Floats, offsets: NDArray[np.integer], strategy: Strategy) -> tuple[float | None, ...]:
    chosen = [select_pairs(vectors, offsets, strategy=strategy, seed=0) for vectors in (before, after)]
    is_same = (chosen[0].first == chosen[1].first) & (chosen[0].second == chosen[1].second)
    has_both = chosen[0].has_pair & chosen[1].has_pair
    return tuple(float(same) if has else None for same, has in zip(is_same, has_both, strict=True))


def _edges(similarities: Floats) -> Floats:
    low, high = float(similarities.min()), float(similarities.max())
    beyond = _BEYOND * max(high - low, 0.01)
    edges: Floats = np.linspace(max(-1.0, low - beyond), min(1.0, high + beyond), BINS + 1)
    return edges


def _pairs(offsets: NDArray[np.integer], is_usable: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of every two usable responses of one prompt."""
    found = [np.zeros((2, 0), np.int64)]
    for start, stop in pairwise(offsets.tolist()):
        rows = start + np.flatnonzero(is_usable[start:stop])
        found.append(rows[np.stack(np.triu_indices(len(rows), 1))])
    first, second = np.concatenate(found, axis=1)
    return first, second


def _mean(values: Floats) -> float | None:
    finite = values[np.isfinite(values)]
    return round(float(finite.mean()), 6) if len(finite) else None
