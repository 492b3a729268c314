"""Annotators of a study: the truth, the same through noise, labels that there are."""

from __future__ import annotations

import numpy as np
import pytest
from study_pools import labelled_pool, planted_pool

from models.studies.annotators import noisy, stored, truth
from models.studies.pool import known_pairs, pool_of


def test_the_truth_prefers_the_larger_utility_and_has_no_word_on_what_is_unknown():
    pool = pool_of(np.eye(4), [0, 4], [1] * 4, [0], utilities=[1.0, 2.0, 2.0, np.nan])
    said = truth(pool).answer(np.array([[0, 1], [1, 0], [1, 2], [0, 3]]), 0)
    assert said[:3].tolist() == [0.0, 1.0, 0.5] and np.isnan(said[3])


@pytest.mark.parametrize("agreement", [0.6, 0.7, 0.9])
def test_two_noisy_annotators_agree_as_often_as_was_asked(agreement):
    pool = planted_pool(prompts=400)
    pairs = known_pairs(pool, np.arange(400), by_labels=False).rows
    one, other = (noisy(pool, agreement).answer(pairs, seed) for seed in (1, 2))
    assert np.mean(one == other) == pytest.approx(agreement, abs=0.015)
    far = np.abs(np.subtract(*pool.utilities[pairs].T))
    assert np.mean((one == truth(pool).answer(pairs, 0))[far > np.median(far)]) > 0.5 + (agreement - 0.5) / 2


def test_noise_belongs_to_the_pair_whoever_asks_and_whichever_way_round():
    pool = planted_pool(prompts=50)
    pairs = known_pairs(pool, np.arange(50), by_labels=False).rows
    annotator = noisy(pool, 0.7)
    said = annotator.answer(pairs, 3)
    assert (annotator.answer(pairs[::-1], 3)[::-1] == said).all()
    assert (annotator.answer(pairs[:, ::-1], 3) == 1 - said).all()
    assert (annotator.answer(pairs, 4) != said).any()


def test_equal_utilities_are_a_tie_with_noise_too():
    pool = pool_of(np.eye(3), [0, 3], [1] * 3, [0], utilities=[1.0, 1.0, 2.0])
    assert noisy(pool, 0.7).answer(np.array([[0, 1]]), 0).tolist() == [0.5]


def test_stored_labels_are_majorities_and_what_nobody_labelled_has_none():
    pool = labelled_pool([[1, 0], [3, 5], [6, 7]], [2 / 3, 0.5, 0.0])
    annotator = stored(pool)
    said = annotator.answer(np.array([[1, 0], [0, 1], [5, 3], [6, 7], [7, 6], [0, 2], [7, 8]]), 0)
    assert said[:5].tolist() == [1.0, 0.0, 0.5, 0.0, 1.0]
    assert np.isnan(said[5:]).all()
    assert annotator.by_labels


def test_an_annotator_without_what_it_sees_is_refused():
    for make in (truth, lambda pool: noisy(pool, 0.7)):
        with pytest.raises(ValueError, match="import scores"):
            make(labelled_pool([[0, 1]], [1.0]))
    with pytest.raises(ValueError, match="label pairs first"):
        stored(planted_pool(prompts=3))
    with pytest.raises(ValueError, match=r"above 0.5 and below 1, got 0.5"):
        noisy(planted_pool(prompts=3), 0.5)
    alike = pool_of(np.eye(2), [0, 2], [1, 1], [0], utilities=[1.0, 1.0])
    with pytest.raises(ValueError, match="no pair has a better response"):
        noisy(alike, 0.7)
