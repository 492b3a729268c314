"""Weights of suspect pairs: worked by hand, their bounds, and against brute force."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.quality.suspects import (
    contradiction_weights,
    disagreement_weights,
    unexpected_weights,
    worst_contradictions,
)


def test_disagreement_of_worked_cases() -> None:
    counts = np.array([[0, 0, 0, 0], [3, 0, 0, 0], [1, 1, 0, 0], [9, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 2]])
    assert disagreement_weights(counts).tolist() == pytest.approx([0, 0, 1, 0.6, 0.25, 1 / 6])


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 4), min_size=1, max_size=9))
def test_decisive_votes_on_both_sides_weigh_most(rows: list[tuple[int, int, int, int]]) -> None:
    weights = disagreement_weights(np.array(rows))
    for (first, second, tie, both_bad), weight in zip(rows, weights, strict=True):
        assert 0 <= weight <= 1
        assert (weight > 0.5) == (first > 0 and second > 0)
        assert (weight == 0) == (sum(count > 0 for count in (first, second, tie, both_bad)) < 2)


@given(
    st.lists(
        st.tuples(st.sampled_from([math.nan, -2.0, -1.0, 0.0, 1.0, 2.0]), st.integers(-1, 3), st.integers(0, 3)),
        min_size=1,
        max_size=9,
    )
)
def test_contradictions_agree_with_brute_force(rows: list[tuple[float, int, int]]) -> None:
    margins = np.array([margin for margin, _, _ in rows])
    own = np.array([code for _, code, _ in rows], dtype=np.int8)
    counts = np.array([[2 + (code == 0), seconds + (code == 1), 1, 1] for _, code, seconds in rows])
    weights = contradiction_weights(margins, own, counts)
    sizes = [abs(margin) for margin in margins if not math.isnan(margin)]
    for (margin, _, seconds), weight in zip(rows, weights, strict=True):
        against = seconds if margin > 0 else 2 if margin < 0 else 0
        rank = sum(size <= abs(margin) for size in sizes) / len(sizes) if sizes else 0
        assert weight == pytest.approx(rank * against / (2 + seconds))


def test_the_worst_contradiction_names_its_annotator_and_the_earlier_of_equals() -> None:
    codes = np.array([[0, 0, 1], [0, -1, 1], [1, -1, 1]], dtype=np.int8)
    counts = np.array([[2, 1, 0, 0], [1, 0, 0, 0], [0, 3, 0, 0]])
    margins = {0: np.array([1.0, math.nan, 2.0]), 1: np.array([1.0, math.nan, 2.0])}
    weights, rows = worst_contradictions(margins, codes, counts)
    # Pair 1: the smaller of two margins (1/2), one of two others against it. Pair 3: the larger, all others against.
    assert weights.tolist() == [0.25, 0.0, 1.0]
    assert rows.tolist() == [0, -1, 0]
    weights, rows = worst_contradictions({}, codes, counts)
    assert (weights.tolist(), rows.tolist()) == ([0.0] * 3, [-1] * 3)


def test_labels_that_others_speak_against_are_worked_by_hand() -> None:
    expected = np.array([0.05, 0.95, 0.95, 0.2, 0.02, math.nan, 0.01])
    counts = np.array(
        [[2, 0, 0, 0], [2, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 3, 0]]
    )
    assert unexpected_weights(expected, counts).tolist() == pytest.approx([0.95, 0, 0.95, 0, 0, 0, 0])
