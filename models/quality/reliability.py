"""How sure an annotator's estimated accuracy is, from what the others said of each pair. Knows votes alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.intervals import CONFIDENCE, ratio
from models.labelling.dawid_skene import VoteModel
from models.labelling.votes import VoteTable
from models.quality.records import Share

_Floats = NDArray[np.float64]

# Two votes for the better side and two for the worse join those counted, as in every share of the figures.
_FURTHER = np.array([1.0, 1.0, -1.0, -1.0])
_ROUNDING = 1e-12  # squares of what sums of logarithms leave where both sides are equally probable


def accuracies(table: VoteTable, model: VoteModel) -> list[Share]:
    """For each annotator of the table, the share of its votes for a side that are for the better response.

    The value is the model's. The interval asks the others: with v = ±1 for the side voted for, and q the difference of
    the sides' probabilities by everyone else's votes (given that there is a vote for a side), v q has the mean
    (2a − 1) q². So Σ v q / Σ q² estimates 2a − 1, as a ratio over pairs; the others' tables are taken as known. An
    interval below 1/2 says that the annotator takes the worse side more often than the better one.

    `count`: the votes for a side on pairs with another's vote. Without one there is no value.
    """
    truths = np.flatnonzero(model.prevalence > 0)
    # (truths, pairs): log probability of each verdict and of all votes on a pair, one annotator after the other.
    terms = [
        _terms(model.tables.get(annotator, model.prior_table)[truths], codes)
        for annotator, codes in zip(table.annotators, table.codes, strict=True)
    ]
    scores = np.log(model.prevalence[truths])[:, None] + np.sum(terms, axis=0) if terms else np.zeros((0, 0))
    sizes = (table.codes >= 0).sum(axis=0)
    shares = []
    for annotator, codes, own in zip(table.annotators, table.codes, terms, strict=True):
        is_counted = ((codes == 0) | (codes == 1)) & (sizes > 1)
        if not is_counted.any():
            shares.append(Share(None, 0.0, 1.0, 0))
            continue
        for_a_side = model.tables[annotator][truths, :2].sum(axis=1, keepdims=True)
        lead = _lead(np.exp((scores - own)[:, is_counted]) * for_a_side)
        share = _share(np.where(codes[is_counted] == 0, lead, -lead), lead**2, model.side_accuracy(annotator))
        shares.append(share)
    return shares


def _terms(table: _Floats, codes: NDArray[np.int8]) -> _Floats:
    """(truths, pairs) log probability of an annotator's vote on each pair, 0 without one."""
    terms = np.zeros((len(table), len(codes)))
    terms[:, codes >= 0] = np.log(table[:, codes[codes >= 0]])
    return terms


def _lead(parts: _Floats) -> _Floats:
    """(pairs,) the probability of the first less that of the second; rows 0 and 1 are theirs."""
    lead: _Floats = (parts[0] - parts[1]) / parts.sum(axis=0)
    return lead


def _share(products: _Floats, squares: _Floats, value: float) -> Share:
    mean = squares.mean()
    if mean < _ROUNDING:  # the others say nothing of any side
        return Share(value, 0.0, 1.0, len(products))
    _, low, high = ratio(
        np.append(products, mean * _FURTHER),
        np.append(squares, np.full(len(_FURTHER), mean)),
        np.arange(len(products) + len(_FURTHER)),
        confidence=CONFIDENCE,
    )
    low, high = (1 + low) / 2, (1 + high) / 2
    return Share(value, max(0.0, min(low, value)), min(1.0, max(high, value)), len(products))
