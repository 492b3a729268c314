"""What a head is measured on: every figure against the slow, obvious way."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from study_pools import labelled_pool, planted_pool

from models.head import fit_head
from models.studies.held_out import FIGURES, held_out
from models.studies.pool import pool_of


def some_head(pool, seed=0):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, len(pool.embeddings), (60, 2))
    differences = pool.embeddings[pairs[:, 0]] - pool.embeddings[pairs[:, 1]]
    return fit_head(differences, (np.subtract(*pool.utilities[pairs].T) > 0).astype(float))


def test_the_figures_are_those_of_counting_pair_by_pair():
    pool = planted_pool(prompts=12, candidates=5)
    head, groups = some_head(pool), np.array([1, 4, 9])
    found = held_out(pool, groups, by_labels=False).measure(pool, head)
    assert set(found) == set(FIGURES)
    for at, group in enumerate(groups):
        rows = range(5 * group, 5 * group + 5)
        rights, alike, logs = [], [], []
        for one, other in combinations(rows, 2):
            better, worse = sorted((one, other), key=lambda row: -pool.utilities[row])
            probability = head.probabilities(pool.embeddings[[better]], pool.embeddings[[worse]]).mean[0]
            rights.append(probability > 0.5)
            logs.append(np.log(probability))
            if min(pool.lengths[[one, other]]) >= 0.8 * max(pool.lengths[[one, other]]):
                alike.append(probability > 0.5)
        assert found["accuracy"][at] == pytest.approx(np.mean(rights))
        assert found["log_probability"][at] == pytest.approx(np.mean(logs))
        assert found["accuracy_alike"][at] == pytest.approx(np.mean(alike)) if alike else True
        best = max(rows, key=lambda row: head.compare(pool.embeddings[[row]], pool.embeddings[[rows[0]]]).means[0])
        wins = [pool.utilities[best] > pool.utilities[row] for row in rows if row != best]
        assert found["win_rate"][at] == pytest.approx(np.mean(wins))


def test_without_a_head_every_pair_is_a_coin():
    pool = planted_pool(prompts=12)
    found = held_out(pool, np.arange(12), by_labels=False).measure(pool, None)
    assert (found["accuracy"] == 0.5).all()
    assert found["log_probability"] == pytest.approx(np.full(12, np.log(0.5)))
    assert found["win_rate"] == pytest.approx(np.full(12, 0.5))


def test_by_labels_only_labelled_pairs_count_and_no_best_response_is_known():
    pool = labelled_pool([[0, 1], [0, 2], [6, 7]], [1.0, 0.5, 0.0])
    measured = held_out(pool, np.arange(3), by_labels=True)
    assert measured.pairs.rows.tolist() == [[0, 1], [6, 7]]
    found = measured.measure(pool, None)
    assert set(found) == {"accuracy", "accuracy_alike", "log_probability"}
    assert np.isnan(found["accuracy"]).tolist() == [False, True, False]


def test_held_out_prompts_without_a_known_pair_are_refused():
    with pytest.raises(ValueError, match="none of the 2 held-out prompts has a label"):
        held_out(labelled_pool([[0, 1]], [1.0]), np.array([1, 2]), by_labels=True)
    alike = pool_of(np.eye(4), [0, 2, 4], [1] * 4, [0, 1], utilities=[1.0] * 4)
    with pytest.raises(ValueError, match="none of the 2 held-out prompts has a pair of differing scores"):
        held_out(alike, np.array([0, 1]), by_labels=False)


def test_a_win_rate_at_like_length_has_no_word_on_a_response_without_a_rival_of_its_length():
    lengths = [100, 10, 1, 50, 45, 48]
    pool = pool_of(np.random.default_rng(0).normal(size=(6, 3)), [0, 3, 6], lengths, [0, 1], utilities=range(6))
    found = held_out(pool, np.array([0, 1]), by_labels=False).measure(pool, some_head(pool))
    assert np.isnan(found["win_rate_alike"]).tolist() == [True, False]
    assert found["win_rate_alike"][1] == found["win_rate"][1]
