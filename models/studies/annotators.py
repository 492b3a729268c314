"""Who labels in a study: the truth, somebody who sees it through noise, or the labels that there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from models.selection.draws import mixed, seed_word
from models.studies.pool import Floats, Pool, Rows

_STEPS = 60  # of halving; the temperature is exact to the last digits
_MOST_PAIRS = 100_000  # that a temperature is set by

# Pairs (m, 2) and the seed of the trial to what is said of each, (m,): 1 the first, 0 the second, 0.5 a tie, NaN
# where this annotator has no label.
Answer = Callable[[Rows, int], Floats]


class Annotator(NamedTuple):
    """A name, what it says of pairs, and whether labels (not utilities) decide what is right in its eyes."""

    name: str
    answer: Answer
    by_labels: bool = False


def truth(pool: Pool) -> Annotator:
    """The response of the larger utility; a tie where both are equal, which costs a label and teaches nothing.

    Raises:
        ValueError: if the pool has no utilities.
    """
    utilities = _utilities(pool)

    def answer(rows: Rows, _seed: int) -> Floats:
        return np.asarray((1 + np.sign(np.subtract(*utilities[rows].T))) / 2, dtype=np.float64)

    return Annotator("truth", answer)


def noisy(pool: Pool, agreement: float) -> Annotator:
    """Sees utilities through logistic noise: the first with probability σ((u_first − u_second) / temperature).

    The temperature is the one at which two such annotators agree on this share of random pairs of the pool's prompts,
    a prompt counting the same however many pairs it has. What is said depends on the pair and the seed alone, not on
    which strategy asks, in which order, or how often. Equal utilities are a tie, as for `truth`.

    Raises:
        ValueError: if the pool has no utilities, all are equal, or the agreement is not above 0.5 and below 1.
    """
    from scipy.special import expit

    utilities = _utilities(pool)
    temperature = _temperature(pool, utilities, agreement)

    def answer(rows: Rows, seed: int) -> Floats:
        ordered = np.sort(rows, axis=1)
        gaps = np.subtract(*utilities[ordered].T)
        words = mixed(mixed(mixed(ordered[:, 0].astype(np.uint64)) ^ ordered[:, 1].astype(np.uint64)) ^ seed_word(seed))
        is_lower = (words >> np.uint64(11)) * 2.0**-53 < expit(gaps / temperature)
        said = (is_lower == (rows[:, 0] < rows[:, 1])).astype(np.float64)
        return np.where(np.isnan(gaps), np.nan, np.where(gaps == 0, 0.5, said))

    return Annotator("noisy", answer)


def stored(pool: Pool) -> Annotator:
    """The majority of the votes that a pair has, a tie where there is none; no label where nobody voted.

    Raises:
        ValueError: if the pool has no labelled pair.
    """
    if pool.labelled is None or not len(pool.labelled.rows):
        raise ValueError("there is no label in the pool; label pairs first")
    count = len(pool.embeddings)
    rows, shares, _ = pool.labelled
    names = _names(rows, count)
    order = np.argsort(names)
    names, lower = names[order], np.where(rows[:, 0] < rows[:, 1], shares, 1 - shares)[order]

    def answer(rows: Rows, _seed: int) -> Floats:
        wanted = _names(rows, count)
        places = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
        share = np.where(rows[:, 0] < rows[:, 1], lower[places], 1 - lower[places])
        return np.where(names[places] == wanted, (1 + np.sign(share - 0.5)) / 2, np.nan)

    return Annotator("stored", answer, by_labels=True)


def _utilities(pool: Pool) -> Floats:
    if pool.utilities is None or np.isnan(pool.utilities).all():
        raise ValueError("there is no utility in the pool; import scores, or study the stored labels")
    return pool.utilities


def _names(rows: Rows, count: int) -> Rows:
    """One number for each pair, whichever comes first."""
    ordered = np.sort(rows, axis=1)
    return np.asarray(ordered[:, 0] * count + ordered[:, 1], dtype=np.int64)


def _temperature(pool: Pool, utilities: Floats, agreement: float) -> float:
    from scipy.special import expit

    if not 0.5 < agreement < 1:
        raise ValueError(f"two noisy annotators agree on a share of pairs above 0.5 and below 1, got {agreement:g}")
    gaps, weights = _gaps(pool, utilities)
    if not len(gaps):
        raise ValueError("all utilities of each prompt are equal: no pair has a better response")
    low, high = np.log(gaps.min()) - 10, np.log(gaps.max()) + 20
    for _ in range(_STEPS):
        middle = (low + high) / 2
        firsts = expit(gaps / np.exp(middle))
        agreed = float(weights @ (firsts**2 + (1 - firsts) ** 2))
        low, high = (middle, high) if agreed > agreement else (low, middle)
    return float(np.exp((low + high) / 2))


def _gaps(pool: Pool, utilities: Floats) -> tuple[Floats, Floats]:
    """By how much the utilities of pairs differ, and the weight of each pair; of a large pool every so many prompts."""
    sizes = np.diff(pool.offsets)
    step = 1 + int((sizes * (sizes - 1) // 2).sum()) // _MOST_PAIRS
    gaps, weights = [np.empty(0)], [np.empty(0)]
    for rows in pool.rows_of(np.arange(0, len(sizes), step)):
        first, second = np.triu_indices(len(rows), 1)
        own = np.abs(utilities[rows[first]] - utilities[rows[second]])
        own = own[own > 0]  # NaN is not
        gaps.append(own)
        weights.append(np.full(len(own), 1 / max(1, len(own))))
    together = np.concatenate(weights)
    return np.concatenate(gaps), together / max(float(together.sum()), 1e-300)
