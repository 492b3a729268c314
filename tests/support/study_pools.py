"""Planted worlds for studies: pools whose utilities, lengths and embeddings stand in a known relation."""

from __future__ import annotations

import numpy as np

from models.selection import SHIPPED
from models.selection.draws import mixed, seed_word
from models.studies.annotators import Annotator, truth
from models.studies.head_trials import head_path, label_grid
from models.studies.pool import LabelledPairs, pool_of


def planted_pool(seed=0, *, prompts=200, candidates=6, dimension=32, spread=1.0, length_taste=0.0):
    """Candidates whose utility is linear in their embeddings, plus a taste for length that no embedding shows.

    With `spread` above 0 prompts differ in how far apart their responses lie, and so do the responses of one prompt.
    """
    rng = np.random.default_rng(seed)
    scale = np.exp(spread * rng.standard_normal((prompts, candidates, 1)) / 2)
    centres = rng.standard_normal((prompts, 1, dimension)) * 2
    vectors = centres + scale * rng.standard_normal((prompts, candidates, dimension))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    lengths = np.exp(5 + 0.5 * rng.standard_normal((prompts, candidates)))
    utilities = 4 * vectors @ rng.standard_normal(dimension) + length_taste * np.log(lengths)
    return pool_of(
        vectors.reshape(-1, dimension),
        np.arange(prompts + 1) * candidates,
        lengths.ravel().astype(np.int64),
        np.arange(prompts),
        utilities=utilities.ravel(),
    )


def labelled_pool(rows, shares, *, sizes=(3, 3, 3), dialogues=None, seed=0):
    """A small pool with these labels alone: (m, 2) rows and the share of votes for the first of each."""
    count = sum(sizes)
    vectors = np.random.default_rng(seed).standard_normal((count, 4))
    return pool_of(
        vectors,
        np.cumsum([0, *sizes]),
        np.arange(count) + 10,
        np.arange(len(sizes)) if dialogues is None else dialogues,
        labelled=LabelledPairs(np.array(rows), np.array(shares, dtype=float), np.full(len(rows), 3)),
    )


def similarities(pool, rows):
    """The cosine of each pair (m, 2)."""
    return np.einsum("md,md->m", *(pool.embeddings[side] for side in rows.T))


def flipped(pool, probability):
    """The truth, turned round with a probability that (m, 2) pairs are asked for; the same for a pair whoever asks."""
    true = truth(pool).answer

    def answer(rows, seed):
        lower, higher = np.sort(rows, axis=1).astype(np.uint64).T
        words = mixed(mixed(mixed(lower) ^ higher) ^ seed_word(seed))
        is_wrong = (words >> np.uint64(11)) * 2.0**-53 < probability(rows)
        said = true(rows, seed)
        return np.where(is_wrong, 1 - said, said)

    return Annotator("flipped", answer)


def studied_curves(lab, strategies, annotator, budgets, *, seeds):
    """Numbers of labels up to the largest budget, and figure → strategy → (counts, seeds, prompts)."""
    counts = label_grid(budgets, max(budgets))
    curves = {}
    for name in strategies:
        paths = [head_path(lab, SHIPPED[name], annotator, seed=seed, counts=counts) for seed in range(seeds)]
        for figure in paths[0][0].figures:
            points = zip(*paths, strict=True)
            curves.setdefault(figure, {})[name] = np.array([[one.figures[figure] for one in point] for point in points])
    return counts, curves
