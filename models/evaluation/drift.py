"""How far a policy's embeddings of the same responses moved from the base model's (REAL appendix B.1).

Arrays in, figures out: the caller embeds the responses, once alone and once after their prompts. The question behind
it is whether pairs selected by the base model's embeddings would still be selected by the policy's.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.evaluation.measurements import Drift, Spread
from models.ranks import mean_ranks
from models.selection import pair_similarities, select_pairs

Floats = NDArray[np.floating]
_QUANTILES = (0.05, 0.5, 0.95)


def embedding_drift(base: Floats, policy: Floats, offsets: NDArray[np.integer], *, bins: int) -> Drift:
    """Compare the embeddings of the same responses by the base model and by the policy.

    A response that lacks a usable embedding under either model is left out under both, so both are measured on the
    same pairs. A response whose entries are all equal has no correlation but counts in all else.

    Args:
        base: (n, d) float, row i the base model's embedding of response i.
        policy: (n, d) float, row i the policy's embedding of the same response.
        offsets: (g + 1,) integers; rows offsets[i] up to offsets[i + 1] answer prompt i, 64 at most.
        bins: of the histograms, 1 or more.

    Raises:
        ValueError: if the two differ in shape or are no embeddings, the offsets do not fit, or `bins` is below 1.
    """
    if base.shape != policy.shape:
        raise ValueError(
            f"both models must embed the same responses, got {base.shape} by the base model and {policy.shape} by the "
            "policy; embed with models of one width and pass rows in one order"
        )
    rows = np.arange(len(base))
    is_usable = np.isfinite(pair_similarities(base, rows, rows)) & np.isfinite(pair_similarities(policy, rows, rows))
    usable = [np.where(is_usable[:, None], vectors, np.nan).astype(np.float64) for vectors in (base, policy)]
    easy = [select_pairs(vectors, offsets, strategy="easy", seed=0) for vectors in usable]
    has_both = easy[0].has_pair & easy[1].has_pair
    is_same = (easy[0].first == easy[1].first) & (easy[0].second == easy[1].second)
    first, second = _pairs(offsets, is_usable)
    pairs = [pair_similarities(vectors, first, second).astype(np.float64) for vectors in usable]
    edges = np.histogram_bin_edges(np.concatenate(pairs), bins) if first.size else np.zeros(0)
    counts = [np.histogram(cosines, edges)[0] if first.size else np.zeros(0, int) for cosines in pairs]
    return Drift(
        response_count=int(is_usable.sum()),
        left_out_count=int((~is_usable).sum()),
        correlation=_spread(row_correlations(usable[0][is_usable], usable[1][is_usable])),
        cosine=_spread(_row_cosines(usable[0][is_usable], usable[1][is_usable])),
        pair_count=first.size,
        similarity_edges=tuple(edges.tolist()),
        base_counts=tuple(counts[0].tolist()),
        policy_counts=tuple(counts[1].tolist()),
        base_similarity=_mean(pairs[0]),
        policy_similarity=_mean(pairs[1]),
        rank_correlation=rank_correlation(*pairs),
        easy_prompt_count=int(has_both.sum()),
        same_easy_share=_mean(is_same[has_both].astype(np.float64)),
    )


def row_correlations(left: Floats, right: Floats) -> Floats:
    """Pearson's r of row i of `left` with row i of `right`: (n, d) and (n, d) to (n,), NaN where a row is constant."""
    return _row_cosines(_centred(left), _centred(right))


def rank_correlation(left: Floats, right: Floats) -> float | None:
    """Spearman's ρ of two (m,) arrays, ties at their mean rank; None if m < 2 or one side is constant."""
    if len(left) < 2:
        return None
    correlation = float(row_correlations(mean_ranks(left)[None], mean_ranks(right)[None])[0])
    return correlation if np.isfinite(correlation) else None


def _centred(rows: Floats) -> Floats:
    # A constant row minus its mean leaves rounding errors instead of zeros.
    return np.where(np.ptp(rows, axis=1, keepdims=True) > 0, rows - rows.mean(axis=1, keepdims=True), 0.0)


def _row_cosines(left: Floats, right: Floats) -> Floats:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = np.einsum("id,id->i", left, right)
    return np.where(norms > 0, np.clip(products / np.where(norms > 0, norms, 1), -1, 1), np.nan)


def _pairs(offsets: NDArray[np.integer], is_usable: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of every two usable responses of one prompt."""
    row_pairs = [np.zeros((2, 0), np.int64)]
    for start, stop in pairwise(offsets):
        rows = start + np.flatnonzero(is_usable[start:stop])
        row_pairs.append(rows[np.stack(np.triu_indices(len(rows), 1))])
    first, second = np.concatenate(row_pairs, axis=1)
    return first, second


def _spread(values: Floats) -> Spread | None:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, median, high = np.quantile(finite, _QUANTILES).tolist()
    return Spread(float(finite.mean()), low, median, high)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None
