"""Which prompts a budget is spent on: against slow, obvious twins, and whatever the order they come in."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.selection import drawn_prompts, prompt_words


def keys_of(count):
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def twin(words, costs, budget, labels, clusters):
    """One prompt after the other until one does not fit."""
    order = sorted(range(len(words)), key=lambda at: (labels[at], words[at]))
    if clusters is not None:
        place = {}
        for cluster in set(clusters):
            own = [at for at in order if clusters[at] == cluster and costs[at]]
            place |= {at: (rank + 0.5) / len(own) for rank, at in enumerate(own)}
        order = sorted(place, key=lambda at: (place[at], words[at]))
    chosen = []
    for at in order:
        if costs[at] == 0:
            continue
        if costs[at] > budget:
            break
        budget -= costs[at]
        chosen.append(at)
    return sorted(chosen)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.booleans())
def test_a_budget_is_spent_as_its_twin_spends_it(seed, budget, has_clusters):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 40))
    words = prompt_words(keys_of(count), seed=seed)
    costs, labels = rng.integers(0, 4, count), rng.integers(0, 3, count)
    clusters = rng.integers(0, 4, count) if has_clusters else None
    drawn = drawn_prompts(words, costs, budget, label_counts=labels, clusters=clusters)
    assert drawn.tolist() == twin(words.tolist(), costs, budget, labels, clusters)
    assert costs[drawn].sum() <= budget
    order = rng.permutation(count)
    others = None if clusters is None else clusters[order]
    same = drawn_prompts(words[order], costs[order], budget, label_counts=labels[order], clusters=others)
    assert sorted(order[same].tolist()) == drawn.tolist(), "the order in which prompts come changes nothing"


def test_prompts_are_drawn_alike_whichever_others_there_are():
    words = prompt_words(keys_of(100), seed=1)
    ones, nothing = np.ones(100, int), np.zeros(100, int)
    first = set(drawn_prompts(words, ones, 30, label_counts=nothing).tolist())
    half = set(drawn_prompts(words[:50], ones[:50], 50, label_counts=nothing[:50]).tolist())
    assert half == set(range(50)) and len(first) == 30
    assert first != set(drawn_prompts(prompt_words(keys_of(100), seed=2), ones, 30, label_counts=nothing).tolist())
    assert set(drawn_prompts(words, ones, 40, label_counts=nothing).tolist()) > first, "more money, the same and more"


def test_a_random_draw_is_uniform():
    keys, ones, nothing = keys_of(40), np.ones(40, int), np.zeros(40, int)
    counts = np.zeros(40)
    for seed in range(2000):
        counts[drawn_prompts(prompt_words(keys, seed=seed), ones, 10, label_counts=nothing)] += 1
    assert np.abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


@pytest.mark.parametrize("budget", [8, 40, 200])
def test_an_even_draw_takes_from_every_cluster_by_its_size(budget):
    sizes = np.array([200, 100, 60, 40])
    clusters = np.repeat(np.arange(4), sizes)
    drawn = drawn_prompts(
        prompt_words(keys_of(400), seed=3),
        np.ones(400, int),
        budget,
        label_counts=np.zeros(400, int),
        clusters=clusters,
    )
    assert np.abs(np.bincount(clusters[drawn], minlength=4) - budget * sizes / 400).max() <= 1


def test_prompts_that_are_left_out_take_no_place_in_an_even_draw():
    clusters = np.repeat(np.arange(2), [200, 20])
    costs = np.ones(220, int)
    costs[10:200] = 0  # nearly the same as the first ten
    drawn = drawn_prompts(
        prompt_words(keys_of(220), seed=3), costs, 15, label_counts=np.zeros(220, int), clusters=clusters
    )
    assert np.bincount(clusters[drawn]).tolist() == [5, 10]


def test_prompts_without_a_label_come_first():
    labels = np.array([2, 0, 1, 0, 1])
    words, ones = prompt_words(keys_of(5), seed=0), np.ones(5, int)
    assert drawn_prompts(words, ones, 2, label_counts=labels).tolist() == [1, 3]
    assert drawn_prompts(words, ones, 4, label_counts=labels).tolist() == [1, 2, 3, 4]
