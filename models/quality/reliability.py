"""How sure an annotator's estimated accuracy is. Knows votes alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.intervals import CONFIDENCE, t_quantile
from models.labelling.dawid_skene import VoteModel, resampled_accuracies
from models.labelling.votes import VoteTable
from models.quality.records import Share

_Floats = NDArray[np.float64]

_FURTHER = 2  # votes for the better side, and as many for the worse, join those counted, as in every share


def accuracies(table: VoteTable, model: VoteModel, clusters: NDArray[np.int64] | None = None) -> list[Share]:
    """For each annotator of the table, the share of its votes for a side that are for the better response.

    The value is the model's. The interval holds what tables of their own give for prompts drawn anew (a bootstrap over
    `clusters`, (pairs,) the prompt of each pair; None: each its own), by their percentiles and by the spread of their
    logits about the estimate, since either alone is too short near 1; and it is nowhere shorter than if it were known
    which response is better. An interval below 1/2 says that the annotator takes the worse side more often than the
    better one, if most annotators do not.

    It is all of 0 to 1 without two others with whom an annotator, and who with one another, share pairs on which both
    vote for a side: of two nobody can say which is right.

    `count`: the votes for a side on pairs with another's vote. Without one there is no value.
    """
    is_side = (table.codes == 0) | (table.codes == 1)
    counts = (is_side & ((table.codes >= 0).sum(axis=0) > 1)).sum(axis=1)
    weights = is_side.astype(np.float64)
    meets = (weights @ weights.T > 0) & ~np.eye(len(weights), dtype=bool)
    is_comparable = (meets & (meets.astype(np.float64) @ meets > 0)).any(axis=1)
    resampled = resampled_accuracies(table.by_pair, clusters)
    shares = []
    for row, annotator in enumerate(table.annotators):
        count = int(counts[row])
        value = model.side_accuracy(annotator) if count else None
        if value is None or not is_comparable[row]:
            shares.append(Share(value, 0.0, 1.0, count))
            continue
        bounds = (value, *_by_draws(resampled[annotator]), *_by_truth(value, count))
        shares.append(Share(value, max(0.0, min(bounds)), min(1.0, max(bounds)), count))
    return shares


def _by_draws(found: _Floats) -> tuple[float, ...]:
    """Percentiles of the draws, and the estimate's logit with their spread; the first of `found` is the estimate."""
    estimate, draws = found[0], found[1:]
    percentiles = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    spread = t_quantile(CONFIDENCE, len(draws) - 1) * _logit(draws).std(ddof=1)
    bounds = 1 / (1 + np.exp(-(_logit(estimate) + spread * np.array([-1, 1]))))
    return (*percentiles.tolist(), *bounds.tolist())


def _by_truth(value: float, count: int) -> tuple[float, float]:
    """The interval of Agresti and Coull of as many votes whose rightness is known."""
    total = count + 2 * _FURTHER
    middle = (count * value + _FURTHER) / total
    half = t_quantile(CONFIDENCE, total - 1) * math.sqrt(middle * (1 - middle) / (total - 1))
    return middle - half, middle + half


def _logit(shares: _Floats) -> _Floats:
    logits: _Floats = np.log(shares / (1 - shares))
    return logits
