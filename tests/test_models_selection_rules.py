"""Disjoint pairs, pairs of like length and the strategy that learns: worked cases and slow, obvious twins."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.selection import SHIPPED, Reason, select_several


def groups_of(seed, groups=20, largest=7):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, largest + 1, groups)
    rows = rng.standard_normal((int(sizes.sum()), 5)).astype(np.float32)
    repeats = np.flatnonzero(rng.random(len(rows)) < 0.1)
    rows[repeats] = rows[np.maximum(repeats - 1, 0)]
    return rows, np.concatenate([[0], np.cumsum(sizes)]), rng.integers(0, 30, len(rows))


def chosen(turns, group):
    return [(int(turn.first[group]), int(turn.second[group])) for turn in turns if turn.has_pair[group]]


@pytest.mark.parametrize("strategy", SHIPPED)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_disjoint_pairs_are_the_first_of_the_order_that_share_no_response(strategy, seed, count):
    rows, offsets, lengths = groups_of(seed)
    common = {"strategies": [strategy], "seed": 1, "lengths": lengths}
    every = select_several(rows, offsets, count=21, **common).turns[strategy]
    disjoint = select_several(rows, offsets, count=count, is_disjoint=True, **common).turns[strategy]
    assert len(disjoint) == count
    for group in range(len(offsets) - 1):
        expected, used = [], set()
        for pair in chosen(every, group):
            if not used & set(pair) and len(expected) < count:
                expected.append(pair)
                used |= set(pair)
        assert chosen(disjoint, group) == expected


def test_the_pairs_of_like_length_of_a_worked_case():
    # of six pairs the two of most alike length: (0, 1) and (2, 3), both 1.1; their cosines are 0.6 and 0
    rows = np.array([[1, 0], [0.6, 0.8], [-1, 0], [0, -1]], np.float32)
    lengths = np.array([10, 11, 40, 44])
    turns = select_several(
        rows, np.array([0, 4]), strategies=["closest_lengths_easy"], seed=0, count=3, lengths=lengths
    )
    # cosines 0.6 and 0; then the least similar of the others: (0, 2) at -1
    assert chosen(turns.turns["closest_lengths_easy"], 0) == [(2, 3), (0, 1), (0, 2)]


def test_of_eight_candidates_eight_pairs_are_of_like_length():
    rows = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    lengths = np.array([1, 1, 1, 1, 1, 100, 10_000, 1_000_000])  # ten pairs are equally long, all others far apart
    turns = select_several(rows, np.array([0, 8]), strategies=["closest_lengths_easy", "easy"], seed=0, count=28,
                           lengths=lengths).turns  # fmt: skip
    order = chosen(turns["closest_lengths_easy"], 0)
    assert set(order[:8]) == set(list(combinations(range(5), 2))[:8]), "of equal ratios the lower pair"
    assert order[8:] == [pair for pair in chosen(turns["easy"], 0) if pair not in order[:8]]


def test_an_empty_response_is_like_an_empty_one_alone():
    rows = np.eye(4, dtype=np.float32)
    turns = select_several(rows, np.array([0, 4]), strategies=["closest_lengths_easy"], seed=0,
                           lengths=np.array([0, 5, 0, 5]), count=2).turns  # fmt: skip
    assert chosen(turns["closest_lengths_easy"], 0) == [(0, 2), (1, 3)]


def head_of(weights):
    """Margins of a linear reward, with deviations that grow with the difference."""

    def head(rows):
        rewards = rows.astype(np.float64) @ weights
        gaps = np.abs(rows[:, None].astype(np.float64) - rows[None]).sum(axis=2)
        return rewards[:, None] - rewards, 0.5 * gaps

    return head


def twin_of_max_min(rows, head, is_open, count):
    """One pair after the other, with loops."""
    means, deviations = head(rows)
    left, order = set(is_open), []
    while left and len(order) < count:
        best, found = -np.inf, None
        for i in range(len(rows)):
            rivals = [j for j in range(len(rows)) if (min(i, j), max(i, j)) in left]
            if not rivals:
                continue
            bound, rival = min((means[i, j] - deviations[i, j], j) for j in rivals)
            if bound > best:
                best, found = bound, (min(i, rival), max(i, rival))
        order.append(found)
        left.remove(found)
    return order


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_max_min_lcb_chooses_as_its_twin_and_never_what_is_labelled(seed, count):
    rows, offsets, _ = groups_of(seed)
    rng = np.random.default_rng(seed)
    head = head_of(rng.standard_normal(5))
    every = [pair for start, end in pairwise(offsets.tolist()) for pair in combinations(range(start, end), 2)]
    labelled = np.array([pair for pair in every if rng.random() < 0.3], dtype=np.int64).reshape(-1, 2)
    is_labelled = set(map(tuple, labelled.tolist()))
    selection = select_several(rows, offsets, strategies=["max_min_lcb", "easy"], seed=0, count=count, head=head,
                               labelled=labelled[:, ::-1])  # fmt: skip
    easy = select_several(rows, offsets, strategies=["easy"], seed=0, count=21).turns["easy"]
    for group, (start, end) in enumerate(pairwise(offsets.tolist())):
        valid = set(chosen(easy, group)) - is_labelled
        is_open = {(i - start, j - start) for i, j in valid}
        expected = twin_of_max_min(rows[start:end], head, is_open, count) if is_open else []
        found = [(i - start, j - start) for i, j in chosen(selection.turns["max_min_lcb"], group)]
        assert found == expected
        assert chosen(selection.turns["easy"], group) == chosen(easy, group)[:count], "others choose as ever"


def test_max_min_lcb_of_a_worked_case():
    means = np.array([[0, 1, 3], [-1, 0, 2], [-3, -2, 0]], float)
    deviations = np.array([[0, 2, 1], [2, 0, 1], [1, 1, 0]], float)
    # lower bounds: 0: 1 - 2 = -1, 3 - 1 = 2; 1: -1 - 2 = -3, 2 - 1 = 1; 2: -4, -3. The worst of 0 is -1, of 1 is -3.
    head = lambda rows: (means, deviations)  # noqa: E731
    rows = np.eye(3, dtype=np.float32)
    turns = select_several(rows, np.array([0, 3]), strategies=["max_min_lcb"], seed=0, count=3, head=head).turns
    assert chosen(turns["max_min_lcb"], 0) == [(0, 1), (0, 2), (1, 2)]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_without_a_head_max_min_lcb_draws_as_random_does_among_what_is_not_labelled(seed):
    rows, offsets, _ = groups_of(seed)
    turns = select_several(rows, offsets, strategies=["max_min_lcb", "random"], seed=seed, count=4).turns
    for one, other in zip(turns["max_min_lcb"], turns["random"], strict=True):
        np.testing.assert_array_equal(one.first, other.first)
    first = turns["random"][0]
    labelled = np.stack([first.first, first.second], axis=1)[first.has_pair]
    again = select_several(rows, offsets, strategies=["max_min_lcb"], seed=seed, count=21, labelled=labelled).turns
    for group in range(len(offsets) - 1):
        left = chosen(again["max_min_lcb"], group)
        assert not set(left) & set(map(tuple, labelled.tolist()))
        assert len(left) == max(0, int(first.pair_count[group]) - 1)
    assert {Reason(code) for code in again["max_min_lcb"][0].reason[first.pair_count == 1]} <= {Reason.NO_FURTHER_PAIR}


def test_the_first_pair_is_the_same_whichever_other_strategies_are_asked_for():
    rows, offsets, lengths = groups_of(5)
    together = select_several(rows, offsets, strategies=list(SHIPPED), seed=0, lengths=lengths).turns
    for name in SHIPPED:
        alone = select_several(rows, offsets, strategies=[name], seed=0, lengths=lengths).turns[name]
        np.testing.assert_array_equal(alone[0].first, together[name][0].first)
        np.testing.assert_array_equal(alone[0].second, together[name][0].second)
