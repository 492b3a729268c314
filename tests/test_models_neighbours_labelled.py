"""Pairs that differ as labelled ones do, against all cosines of differences."""

from __future__ import annotations

import numpy as np
import pytest

from models.neighbours.labelled import LabelledDifferences


def slow_nearest(labelled, first, second):
    answers = []
    for a, b in zip(first.astype(float), second.astype(float), strict=True):
        best = (0.0, -1)
        for id_, one, other in labelled:
            difference, known = a - b, one.astype(float) - other.astype(float)
            norm = np.linalg.norm(difference) * np.linalg.norm(known)
            if norm and (cosine := abs(difference @ known) / norm) > best[0] + 1e-6:
                best = (cosine, id_)
        answers.append(best)
    return answers


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_labelled_pair_is_that_of_all_cosines(seed):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(60, 6)).astype(np.float16)
    ids = np.arange(5, 25)
    labelled = [(ids[:9], vectors[:9], vectors[20:29]), (ids[9:], vectors[9:20], vectors[29:40])]
    found, similarities = LabelledDifferences(labelled).nearest(vectors[10:50], vectors[:40])
    flat = [(int(id_), a, b) for block in labelled for id_, a, b in zip(*block, strict=True)]
    expected = slow_nearest(flat, vectors[10:50], vectors[:40])
    assert similarities == pytest.approx([cosine for cosine, _ in expected], abs=1e-5)
    assert found.tolist() == [id_ for _, id_ in expected]


def test_the_order_within_a_pair_does_not_matter_and_the_pair_itself_is_found():
    first, second = np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]])
    differences = LabelledDifferences([(np.array([3]), first, second)])
    for pair in ((first, second), (second, first)):
        ids, similarities = differences.nearest(*pair)
        assert ids.tolist() == [3] and similarities == pytest.approx([1.0])


def test_of_equally_near_ones_the_lowest_id_counts():
    first, second = np.array([[1.0, 0]] * 2), np.array([[0, 1.0]] * 2)
    ids, _ = LabelledDifferences(
        [(np.array([8]), second[:1], first[:1]), (np.array([9]), first[:1], second[:1])]
    ).nearest(first, second)
    assert ids.tolist() == [8, 8]


def test_equal_vectors_and_no_labels_are_like_nothing():
    one, other = np.array([[1.0, 0]]), np.array([[0, 1.0]])
    for differences in (LabelledDifferences([]), LabelledDifferences([(np.array([1]), one, one)])):
        ids, similarities = differences.nearest(one, other)
        assert (ids.tolist(), similarities.tolist()) == ([-1], [0.0])
    ids, similarities = LabelledDifferences([(np.array([1]), one, other)]).nearest(one, one)
    assert (ids.tolist(), similarities.tolist()) == ([-1], [0.0])
