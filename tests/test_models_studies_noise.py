"""Does certainty fall with similarity? Worlds where it does, does not, and where only length makes it seem so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from models.intervals import Interval
from models.studies.noise import CertaintyOfPairs, Trend, answer_of, noise_of, pairs_to_tell, trend

PROMPTS, PAIRS_OF_EACH = 60, 3


def world(seed, *, slope, follows="similarity", prompts=PROMPTS, of_prompt=0.0):
    """Pairs on which two annotators agree with a probability that falls by `slope` along similarity, or length ratio.

    Similarity and length ratio go together; `of_prompt`: how much hard prompts have both likes and disagreement.
    """
    random = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(prompts), PAIRS_OF_EACH)
    hardness = random.normal(size=prompts)[clusters]
    ratio = random.uniform(0.2, 1, len(clusters))
    similarity = 0.5 * ratio + 0.5 * random.uniform(size=len(clusters)) + 0.1 * of_prompt * hardness
    along = {"similarity": similarity, "length": ratio, "prompt": of_prompt * hardness}[follows]
    chance = np.clip(0.75 - slope * (along - along.mean()), 0, 1)
    agrees = (random.uniform(size=len(clusters)) < chance).astype(np.float64)
    return CertaintyOfPairs(agrees, similarity, ratio, clusters)


def test_the_trend_of_all_pairs_is_spearmans():
    pairs = world(0, slope=0.8)
    found = trend(pairs, "all")
    assert found.correlation.value == pytest.approx(spearmanr(pairs.similarity, pairs.values).statistic)
    assert (found.pairs, found.prompts) == (180, 60)


def test_the_trend_with_length_held_is_the_partial_rank_correlation():
    pairs = world(0, slope=0.8)
    rho = spearmanr(np.stack([pairs.similarity, pairs.values, pairs.length_ratio]), axis=1).statistic
    by_hand = (rho[0, 1] - rho[0, 2] * rho[1, 2]) / np.sqrt((1 - rho[0, 2] ** 2) * (1 - rho[1, 2] ** 2))
    assert trend(pairs, "length_held").correlation.value == pytest.approx(by_hand)


def test_two_pairs_a_prompt_of_which_the_likest_is_always_the_noisier_trend_downwards_within_prompts():
    prompts = np.repeat(np.arange(20), 2)
    likeness = np.tile([0.1, 0.9], 20) + 0.001 * np.arange(40)
    pairs = CertaintyOfPairs(np.tile([1.0, 0.0], 20), likeness, np.ones(40), prompts)
    assert trend(pairs, "within_prompts").correlation.value < -0.99
    assert answer_of(trend(pairs, "within_prompts")) == "yes"


def test_the_worlds_are_told_apart():
    assert answer_of(trend(world(1, slope=0.9, prompts=200), "all")) == "yes"
    assert answer_of(trend(world(2, slope=-0.9, prompts=200), "all")) == "reversed"
    assert answer_of(trend(world(3, slope=0, prompts=1500), "all")) == "no"
    assert answer_of(trend(world(4, slope=0, prompts=20), "all")) == "cannot tell"


def test_what_length_alone_does_is_not_taken_for_similarity():
    pairs = world(5, slope=0.9, follows="length", prompts=1500)
    assert answer_of(trend(pairs, "all")) == "yes"
    assert answer_of(trend(pairs, "length_held")) == "no"
    assert answer_of(trend(pairs, "like_length")) != "yes"
    assert answer_of(trend(pairs, "within_prompts")) == "yes"
    assert answer_of(trend(pairs, "within_length_held")) == "no"


def test_what_hard_prompts_alone_do_is_not_there_within_prompts():
    pairs = world(6, slope=0.2, follows="prompt", of_prompt=1.0, prompts=1500)
    assert answer_of(trend(pairs, "all")) == "yes"
    assert answer_of(trend(pairs, "within_prompts")) == "no"


@pytest.mark.parametrize("view", ["all", "length_held", "within_prompts", "within_length_held"])
def test_nineteen_of_twenty_intervals_hold_a_trend_that_is_none(view):
    intervals = [trend(world(seed, slope=0, prompts=30), view).correlation for seed in range(200)]
    assert sum(low <= 0 <= high for _, low, high in intervals) >= 181  # 190 expected; 181: one in five hundred


def test_prompts_and_not_pairs_are_the_evidence():
    once = world(7, slope=0.3, prompts=40)
    parts = (once.values, once.similarity, once.length_ratio, once.prompts)
    twice = CertaintyOfPairs(*(np.concatenate([part, part]) for part in parts))
    assert trend(twice, "all").correlation == pytest.approx(trend(once, "all").correlation, abs=1e-6)


def test_of_few_prompts_and_of_what_does_not_vary_nothing_is_said():
    few = world(8, slope=0.5, prompts=9)
    assert trend(few, "all") is None
    with pytest.raises(ValueError, match="10 prompts or more, got 9"):
        noise_of(few)
    pairs = world(8, slope=0.5)
    always = CertaintyOfPairs(np.ones(180), pairs.similarity, pairs.length_ratio, pairs.prompts)
    assert noise_of(always).trends == {}
    single = CertaintyOfPairs(np.tile([0.0, 1.0], 90), pairs.similarity, pairs.length_ratio, np.arange(180))
    assert trend(single, "within_prompts") is None


def test_thirds_hold_all_pairs_and_say_how_certain_they_are():
    pairs = world(9, slope=0.9)
    found = noise_of(pairs)
    assert [third.pairs for third in found.thirds] == [60, 60, 60]
    assert found.thirds[0].certainty.value > found.thirds[2].certainty.value
    like = pairs.length_ratio >= 0.8
    assert sum(third.pairs for third in found.like_thirds) in (like.sum(), like.sum() - 1)  # none of a single prompt
    assert found.mean == pairs.values.mean()


def test_what_is_no_share_keeps_its_unit():
    pairs = world(10, slope=0.5)
    gaps = CertaintyOfPairs(10 * pairs.values + 3, pairs.similarity, pairs.length_ratio, pairs.prompts)
    assert all(3 <= third.certainty.value <= 13 for third in noise_of(gaps).thirds)
    assert noise_of(gaps).trends["all"] == noise_of(pairs).trends["all"]


def test_the_answer_is_no_more_than_the_interval_allows():
    def of(value, low, high, p):
        return Trend(Interval(value, low, high), p, pairs=100, prompts=50)

    assert answer_of(of(-0.3, -0.5, -0.1, 0.01)) == "yes"
    assert answer_of(of(-0.3, -0.5, -0.1, 0.01), p=0.06) == "cannot tell"  # of many comparisons
    assert answer_of(of(0.02, -0.05, 0.09, 0.6)) == "no"
    assert answer_of(of(0.02, -0.15, 0.2, 0.8)) == "cannot tell"


def test_pairs_to_come_by_hand():
    # half 0.2 must shrink to 0.1 / 1.43 for the interval of −0.1 to leave out 0: (2 × 1.43)² − 1 = 7.16 times 100 pairs
    found = Trend(Interval(-0.1, -0.3, 0.1), 0.3, pairs=100, prompts=50)
    assert pairs_to_tell(found) == 717
    assert pairs_to_tell(Trend(Interval(-0.19, -0.39, 0.01), 0.06, pairs=100, prompts=50)) < 150
