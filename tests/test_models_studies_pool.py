"""Pools of a study: what is refused, who is held out, which pairs are known."""

from __future__ import annotations

import numpy as np
import pytest
from study_pools import labelled_pool, planted_pool

from models.studies.pool import (
    LabelledPairs,
    are_alike,
    known_pairs,
    longer_wins,
    mean_by_group,
    owners,
    pool_of,
    split,
)


def test_embeddings_are_of_length_one_and_what_is_broken_is_in_no_pair():
    vectors = [[3.0, 4.0], [np.nan, 1.0], [0.0, 0.0], [1.0, 0.0]]
    pool = pool_of(vectors, [0, 4], [1, 1, 1, 1], [0], utilities=[1.0, 2.0, 3.0, 4.0])
    assert pool.embeddings.tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0], [0, 0], [1, 0]]
    assert pool.is_usable.tolist() == [True, False, False, True]
    assert known_pairs(pool, np.array([0]), by_labels=False).rows.tolist() == [[0, 3]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"embeddings": [1.0]}, r"embeddings \(n, d\)"),
        ({"offsets": [0, 3]}, "offsets must rise from 0 to the 2"),
        ({"lengths": [1]}, "2 lengths"),
        ({"lengths": [1, -1]}, "0 or more, got -1"),
        ({"dialogues": [1, 2]}, "1 dialogues"),
        ({"utilities": [1.0]}, "2 utilities"),
        ({"labelled": LabelledPairs([[0, 2]], [1.0], [1])}, "candidates 0 to 1"),
        ({"labelled": LabelledPairs([[0, 0]], [1.0], [1])}, "two candidates of one prompt"),
        ({"labelled": LabelledPairs([[0, 1]], [1.5], [1])}, r"within \[0, 1\]"),
        ({"labelled": LabelledPairs([[0, 1]], [1.0, 0.0], [1])}, "1 shares"),
        ({"labelled": LabelledPairs([[0, 1], [1, 0]], [1.0, 0.0], [1, 1])}, "there twice"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(change, why):
    parts = {"embeddings": [[1.0], [2.0]], "offsets": [0, 2], "lengths": [1, 1], "dialogues": [0]} | change
    with pytest.raises(ValueError, match=why):
        pool_of(**parts)


def test_prompts_of_one_dialogue_are_on_one_side_and_the_share_of_dialogues_is_held_out():
    pool = labelled_pool([], [], sizes=(1,) * 40, dialogues=np.repeat(np.arange(20), 2))
    parts = split(pool, 0.3, seed=0)
    assert sorted([*parts.training, *parts.held_out]) == list(range(40))
    assert len(parts.held_out) == 12
    assert not set(pool.dialogues[parts.training]) & set(pool.dialogues[parts.held_out])


def test_who_is_held_out_depends_on_the_seed_alone():
    pool = planted_pool(prompts=50)
    assert split(pool, 0.3, seed=1).held_out.tolist() == split(pool, 0.3, seed=1).held_out.tolist()
    assert split(pool, 0.3, seed=1).held_out.tolist() != split(pool, 0.3, seed=2).held_out.tolist()


@pytest.mark.parametrize(("share", "prompts", "why"), [(0.0, 9, "between 0 and 1"), (0.3, 1, "at least 2 dialogues")])
def test_what_cannot_be_split_is_refused(share, prompts, why):
    with pytest.raises(ValueError, match=why):
        split(planted_pool(prompts=prompts), share, seed=0)


def test_known_pairs_are_all_whose_utilities_differ():
    pool = pool_of(np.eye(4), [0, 1, 4], [10, 10, 8, 7], [0, 1], utilities=[9.0, 2.0, 2.0, 5.0])
    pairs = known_pairs(pool, np.array([1, 0]), by_labels=False)
    assert pairs.rows.tolist() == [[1, 3], [2, 3]] and pairs.groups.tolist() == [0, 0]
    assert pairs.is_first_better.tolist() == [False, False]
    assert pairs.is_alike.tolist() == [False, True]  # 7 of 10 and 7 of 8 characters


def test_labelled_pairs_are_turned_so_that_the_lower_comes_first_and_ties_are_left_out():
    pool = labelled_pool([[2, 0], [3, 4], [4, 5]], [1.0, 0.5, 0.7])
    pairs = known_pairs(pool, np.array([0, 1]), by_labels=True)
    assert pairs.rows.tolist() == [[0, 2], [4, 5]]
    assert pairs.is_first_better.tolist() == [False, True]
    assert pairs.groups.tolist() == [0, 1]


def test_a_pool_without_what_decides_says_what_to_do():
    with pytest.raises(ValueError, match="label pairs first"):
        known_pairs(planted_pool(prompts=3), np.array([0]), by_labels=True)
    with pytest.raises(ValueError, match="import scores"):
        known_pairs(labelled_pool([[0, 1]], [1.0]), np.array([0]), by_labels=False)


def test_like_length_is_four_fifths_or_more():
    rows = np.array([[0, 1], [0, 2], [3, 3]])
    assert are_alike(np.array([10, 8, 7, 0]), rows).tolist() == [True, False, True]


def test_means_by_group_leave_a_group_without_values_out():
    found = mean_by_group([1.0, 0.0, 1.0], np.array([0, 0, 2]), 3)
    assert found[[0, 2]].tolist() == [0.5, 1.0] and np.isnan(found[1])


def test_the_longer_wins_by_group():
    pool = pool_of(np.eye(3), [0, 3], [5, 9, 9], [0], utilities=[1.0, 3.0, 2.0])
    pairs = known_pairs(pool, np.array([0]), by_labels=False)
    assert longer_wins(pool, pairs, 1).tolist() == [pytest.approx((1 + 1 + 0.5) / 3)]


def test_candidates_know_their_group():
    pool = labelled_pool([], [], sizes=(2, 0, 3))
    assert owners(pool, np.array([0, 1, 2, 4])).tolist() == [0, 0, 2, 2]
