"""The guard's rules on embeddings, and who stays, against slow, obvious twins."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.guard import (
    SWITCHED_RULES,
    Finding,
    is_boilerplate_length,
    least_nearness,
    left_out,
    nearness,
    prompt_counts,
)

seeds = st.integers(0, 2**32 - 1)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def slow_nearness(vectors, offsets):
    found = []
    for begin, end in pairwise(offsets):
        own = unit(vectors[begin:end].astype(np.float64))
        for one in own:
            cosines = sorted(float(one @ other) for other in own)
            found.append(cosines[len(cosines) // 2 - 1] if len(own) >= 4 else np.nan)
    return np.array(found)


@given(seeds, st.lists(st.integers(0, 13), min_size=1, max_size=12))
def test_nearness_is_that_of_the_slow_twin(seed, sizes):
    offsets = np.cumsum([0, *sizes])
    vectors = np.random.default_rng(seed).normal(size=(offsets[-1], 5)).astype(np.float16)
    np.testing.assert_allclose(nearness(vectors, offsets), slow_nearness(vectors, offsets), atol=2e-6)


def test_of_eight_the_fourth_smallest_counts_and_few_are_not_judged():
    degrees = np.radians([0, 10, 20, 30, 40, 50, 60, 180])
    vectors = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32)
    found = nearness(vectors, np.array([0, 8]))
    assert found[7] == pytest.approx(np.cos(np.radians(150)), abs=1e-6), "from 180 they are 180, 170, 160, 150 … away"
    assert found[0] == pytest.approx(np.cos(np.radians(40)), abs=1e-6), "from 0 they are 180, 60, 50, 40 … away"
    assert np.isnan(nearness(vectors[:3], np.array([0, 3]))).all()


def test_an_outlier_is_three_deviations_below_the_median_and_nobody_is_where_all_are_alike():
    values = np.linspace(0.5, 0.9, 41, dtype=np.float32)
    assert least_nearness(values) == pytest.approx(0.7 - 3 * 1.4826 * 0.1)
    assert least_nearness(np.append(values, np.full(99, np.nan, np.float32))) == least_nearness(values)
    assert least_nearness(values[:31]) is None, "a median of few says little"
    assert least_nearness(np.array([0.9] * 30 + [0.1] * 20, np.float32)) is None, "MAD 0"
    assert least_nearness(np.empty(0, np.float32)) is None


def repeated_world(seed, prompts=14, per_prompt=5):
    """Vectors of which some stand, nearly or exactly, under several prompts; ids are not in the prompts' order."""
    draw = np.random.default_rng(seed)
    fixed = draw.normal(size=(3, 8))
    rows, of = [], []
    for prompt in range(prompts):
        for _ in range(per_prompt):
            kind = draw.integers(0, 6)
            rows.append(
                fixed[kind] + draw.choice([0, 0.02, 0.2]) * draw.normal(size=8) if kind < 3 else draw.normal(size=8)
            )
            of.append(prompt * 10)
    ids = draw.permutation(np.arange(len(rows))) * 3 + 5
    return ids, np.array(of), unit(np.array(rows)).astype(np.float16)


def in_blocks(vectors, of, size=3):
    """The vectors by prompt, some prompts a block."""
    order = np.argsort(of, kind="stable")
    prompts = np.unique(of)
    for start in range(0, len(prompts), size):
        rows = order[np.isin(of[order], prompts[start : start + size])]
        yield vectors[rows], of[rows]


@given(seeds)
def test_counts_of_prompts_are_those_of_all_pairs(seed):
    _, of, vectors = repeated_world(seed)
    whole = unit(vectors.astype(np.float32))
    slow = [
        len({of[j] for j in range(len(of)) if np.einsum("d,d->", whole[i], whole[j]) >= 0.98}) for i in range(len(of))
    ]
    assert prompt_counts(vectors, lambda: in_blocks(vectors, of)).tolist() == slow


def test_a_text_under_very_many_prompts_is_counted_whole_and_compared_once():
    many, read = 700, []
    vectors = np.tile(np.array([[0.6, 0.8]], np.float16), (many, 1))

    def blocks():
        read.append(1)
        yield from in_blocks(vectors, np.arange(many), size=100)

    assert set(prompt_counts(vectors, blocks).tolist()) == {many}
    assert len(read) == 1
    assert prompt_counts(vectors[:0], blocks).shape == (0,)


def test_short_answers_are_no_boilerplate():
    for answer in ("Yes.", "No, it is not.", "Paris", "1, 2, 3, 4, 5, 6, 7, 8, 9", "True or false: false"):
        assert not is_boilerplate_length(answer)
    assert is_boilerplate_length("I would rather not answer that.") and is_boilerplate_length("我" * 25)


RULES = frozenset(SWITCHED_RULES)
BAD, WORSE = [Finding("outlier", 0.3)], [Finding("outlier", 0.1)]
WORST = [Finding("repetitive", 0.9), Finding("outlier", 0.4)]
APART = np.eye(4, dtype=np.float32)


def test_two_that_can_be_paired_stay_and_they_are_the_least_bad():
    assert left_out([[], [], BAD, WORST], APART, RULES) == [False, False, True, True]
    assert left_out([WORST, WORSE, BAD, []], APART, RULES) == [True, True, False, False], "the nearer outlier"
    assert left_out([WORST, BAD, WORST, WORSE], APART, RULES) == [True, False, True, False], "fewer rules broken"
    repetitive = [Finding("repetitive", 0.7)]
    assert left_out([repetitive, BAD, WORSE, repetitive], APART, RULES) == [True, False, False, True], (
        "the lighter rule"
    )
    assert left_out([BAD, BAD, BAD, BAD], APART, RULES) == [False, False, True, True], "the lower id"


def test_what_stays_differs():
    alike = np.ones((3, 3), np.float32)
    alike[2, :2] = alike[:2, 2] = 0.5
    assert left_out([[], [], BAD], alike, RULES) == [False, False, False], "two equal ones are no pair"
    assert left_out([BAD, BAD], np.ones((2, 2), np.float32), RULES) == [False, False], "nothing is there to protect"


def test_a_rule_that_is_off_leaves_nothing_out_and_pairs_of_sources_go_one_by_one():
    assert left_out([[], [], BAD, WORST], APART, RULES - {"outlier"}) == [False, False, False, True]
    assert left_out([[], [], BAD, WORST], APART, frozenset()) == [False] * 4
    assert left_out([BAD, WORST], None, RULES) == [True, True]


@given(seeds, st.integers(1, 7))
def test_who_is_left_out_broke_a_rule_and_a_prompt_that_had_a_pair_has_one(seed, count):
    draw = np.random.default_rng(seed)
    found = [
        [Finding(rule, float(draw.random())) for rule in SWITCHED_RULES if draw.random() < 0.4] for _ in range(count)
    ]
    vectors = unit(draw.integers(0, 2, (count, 3)) + 0.5)
    cosines = (vectors @ vectors.T).astype(np.float32)
    out = left_out(found, cosines, RULES)
    stay = [at for at in range(count) if not out[at]]
    had = any(cosines[i, j] < 0.999 for i in range(count) for j in range(i))
    assert all(found[at] for at in range(count) if out[at])
    assert any(cosines[i, j] < 0.999 for i in stay for j in stay) or not had
    if not had:
        assert stay == list(range(count))
