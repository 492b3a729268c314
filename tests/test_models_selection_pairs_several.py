"""Several pairs of each group, in turns: against slow, obvious twins in float64, and what every rule must keep."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.selection import SHIPPED, Reason, SelectedPairs, Strategy, select_pairs, select_several

Array = np.ndarray[Any, Any]
Pair = tuple[int, int]
STRATEGIES = tuple(SHIPPED)
DRAWN = ("random", "max_min_lcb")  # the latter without a head
TOLERANCE = 4e-6


def groups_of(seed: int, *, groups: int = 30, largest: int = 7, dimension: int = 5) -> tuple[Array, Array, Array]:
    """Embeddings of groups of different sizes, some of them with responses that are the same; offsets; lengths."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, largest + 1, groups)
    rows = rng.standard_normal((int(sizes.sum()), dimension)).astype(np.float32)
    repeats = np.flatnonzero(rng.random(len(rows)) < 0.15)
    rows[repeats] = rows[np.maximum(repeats - 1, 0)]
    return rows, np.concatenate([[0], np.cumsum(sizes)]), rng.integers(0, 6, len(rows))


def chosen(turns: list[SelectedPairs], group: int, start: int) -> list[Pair]:
    return [(int(turn.first[group]) - start, int(turn.second[group]) - start) for turn in turns if turn.has_pair[group]]


def smallest_first(costs: dict[Pair, float], count: int) -> list[Pair]:
    """One after the other, the first pair within the tolerance of the least that is left."""
    left, order = dict(costs), []
    while left and len(order) < count:
        least = min(left.values())
        order.append(next(pair for pair in sorted(left) if left[pair] <= least + TOLERANCE))
        del left[order[-1]]
    return order


def central_costs(unit: Array) -> dict[Pair, float]:
    """Of the pairs across the split of least inertia, the sum of the squared distances to the centres."""
    best: tuple[float, dict[Pair, float]] = (np.inf, {})
    for number in range(1, 2 ** (len(unit) - 1)):
        is_other = (2 * number >> np.arange(len(unit))) % 2 == 1
        centres = [unit[~is_other].mean(axis=0), unit[is_other].mean(axis=0)]
        distances = [((unit[i] - centres[int(is_other[i])]) ** 2).sum() for i in range(len(unit))]
        if sum(distances) < best[0] - TOLERANCE:
            across = [pair for pair in combinations(range(len(unit)), 2) if is_other[pair[0]] != is_other[pair[1]]]
            best = sum(distances), {(i, j): distances[i] + distances[j] for i, j in across}
    return best[1]


def most_alike(valid: dict[Pair, float], lengths: Array) -> list[Pair]:
    """Two of seven pairs, rounded up: those of the smallest ratio of the longer to the shorter, exactly."""

    def ratio(pair: Pair) -> Fraction | float:
        shorter, longer = sorted(int(lengths[end]) for end in pair)
        return Fraction(longer, shorter) if shorter else (1 if longer == 0 else np.inf)

    return sorted(valid, key=lambda pair: (ratio(pair), pair))[: math.ceil(2 * len(valid) / 7)]


def twin(rows: Array, lengths: Array, strategy: Strategy, count: int) -> list[Pair]:
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    cosines = {(i, j): float(unit[i] @ unit[j]) for i, j in combinations(range(len(rows)), 2)}
    valid = {pair: cosine for pair, cosine in cosines.items() if cosine < 1 - TOLERANCE}
    if strategy == "easy":
        return smallest_first(valid, count)
    if strategy == "hard":
        return smallest_first({pair: -cosine for pair, cosine in valid.items()}, count)
    if strategy == "longest_gap":
        return smallest_first({(i, j): -float(abs(lengths[i] - lengths[j])) for i, j in valid}, count)
    if strategy == "closest_lengths_easy":
        alike = most_alike(valid, lengths)
        order = smallest_first({pair: valid[pair] for pair in alike}, count)
        rest = {pair: cosine for pair, cosine in valid.items() if pair not in alike}
        return order + smallest_first(rest, count - len(order))
    across = {pair: cost for pair, cost in central_costs(unit).items() if pair in valid} if valid else {}
    order = smallest_first(across, count)
    return order + smallest_first({pair: valid[pair] for pair in valid if pair not in order}, count - len(order))


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name not in DRAWN])
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_every_rule_goes_on_as_its_twin_does(strategy: Strategy, seed: int, count: int) -> None:
    rows, offsets, lengths = groups_of(seed)
    turns = select_several(rows, offsets, strategies=[strategy], count=count, seed=0, lengths=lengths).turns[strategy]
    assert len(turns) == count
    for group, (start, end) in enumerate(pairwise(offsets.tolist())):
        found = chosen(turns, group, start)
        expected = twin(rows[start:end], lengths[start:end], strategy, count) if end - start > 1 else []
        assert found == expected, (group, rows[start:end])


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_no_pair_comes_twice_and_no_turn_depends_on_how_many_there_are(
    strategy: Strategy, seed: int, count: int
) -> None:
    rows, offsets, lengths = groups_of(seed)
    turns = select_several(rows, offsets, strategies=[strategy], count=count, seed=1, lengths=lengths).turns[strategy]
    one = select_pairs(rows, offsets, strategy=strategy, seed=1, lengths=lengths)
    for name in SelectedPairs.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(turns[0], name), err_msg=name)
    for group, start in enumerate(offsets[:-1].tolist()):
        found = chosen(turns, group, start)
        assert len(set(found)) == len(found) == min(count, int(one.pair_count[group]))
        assert [bool(turn.has_pair[group]) for turn in turns] == [turn < len(found) for turn in range(count)]
        if one.has_pair[group]:
            assert {turn.reason[group] for turn in turns[len(found) :]} <= {Reason.NO_FURTHER_PAIR}
        else:
            assert {turn.reason[group] for turn in turns} == {one.reason[group]}
    longer = select_several(rows, offsets, strategies=[strategy], count=count + 3, seed=1, lengths=lengths)
    for turn, same in zip(turns, longer.turns[strategy], strict=False):
        np.testing.assert_array_equal(turn.first, same.first)
        np.testing.assert_array_equal(turn.second, same.second)


def test_random_draws_without_replacement_and_alike() -> None:
    rows = np.random.default_rng(0).standard_normal((3_000 * 3, 4)).astype(np.float32)
    turns = select_several(rows, np.arange(0, len(rows) + 1, 3), strategies=["random"], count=2, seed=0).turns["random"]
    orders = Counter(tuple(chosen(turns, group, 3 * group)) for group in range(3_000))
    assert len(orders) == 6, "any two of three pairs, in either order"
    assert all(400 < count < 600 for count in orders.values()), "500 each; a standard deviation is 20"


def test_a_group_gets_at_least_one_pair() -> None:
    with pytest.raises(ValueError, match="at least 1 pair, got count = 0"):
        select_several(np.eye(4), np.array([0, 4]), strategies=["easy"], count=0, seed=0)
