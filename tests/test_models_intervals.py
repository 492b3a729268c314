"""Clustered intervals and reward summaries: worked by hand, against textbook formulas, and by how often they cover."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.rewards import reward_summary
from models.intervals import Interval, clustered_mean, prompt_mean, share, t_quantile

# Two-sided 95 % and 99 % quantiles from printed tables of Student's t.
T_TABLE = {1: (12.706, 63.657), 2: (4.303, 9.925), 3: (3.182, 5.841), 5: (2.571, 4.032), 10: (2.228, 3.169)}


@pytest.mark.parametrize("degrees_of_freedom", T_TABLE)
def test_t_quantiles_are_those_of_the_tables(degrees_of_freedom: int) -> None:
    t_95, t_99 = T_TABLE[degrees_of_freedom]
    assert t_quantile(0.95, degrees_of_freedom) == pytest.approx(t_95, abs=6e-4)
    assert t_quantile(0.99, degrees_of_freedom) == pytest.approx(t_99, abs=6e-4)


def test_the_mean_of_two_clusters_by_hand() -> None:
    # mean 3; residual sums −3 and 3; variance 2/1 · (9 + 9) / 4² = 2.25
    interval = clustered_mean([1, 2, 4, 5], [7, 7, 9, 9])
    half = 12.7062 * 1.5
    assert interval == pytest.approx((3.0, 3 - half, 3 + half), abs=1e-3)


def test_with_a_prompt_per_value_it_is_the_textbook_interval() -> None:
    values = np.random.default_rng(0).normal(size=30)
    interval = clustered_mean(values, np.arange(30), confidence=0.9)
    half = 1.69913 * values.std(ddof=1) / math.sqrt(30)  # t(29) at 90 %
    assert interval == pytest.approx((values.mean(), values.mean() - half, values.mean() + half), abs=1e-5)


def test_copies_of_a_prompts_values_tell_nothing_new() -> None:
    values, clusters = [0.2, 0.9, 0.4, 0.5], [1, 2, 3, 4]
    assert clustered_mean(values * 5, clusters * 5) == pytest.approx(clustered_mean(values, clusters), abs=1e-12)
    assert share(values * 5, clusters * 5) == pytest.approx(share(values, clusters), abs=1e-12)


def test_a_single_prompt_has_no_bounds() -> None:
    assert clustered_mean([1, 3], [5, 5]) == Interval(2.0, -math.inf, math.inf)
    assert clustered_mean([4], [5]) == Interval(4.0, -math.inf, math.inf)


@given(
    st.lists(st.tuples(st.floats(-100, 100), st.integers(0, 5)), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_order_and_names_of_prompts_do_not_matter(rows: list[tuple[float, int]], draw: object) -> None:
    shuffled = list(rows)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    expected = clustered_mean(*zip(*rows, strict=True))
    values, clusters = zip(*shuffled, strict=True)
    renamed = [f"prompt {cluster}" for cluster in clusters]
    assert clustered_mean(values, renamed) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(20), 4)
    covered = {"clustered": 0, "blind": 0, "share": 0}
    for _ in range(400):
        values = rng.normal(size=20)[clusters] + 0.5 * rng.normal(size=80)
        clustered, blind = clustered_mean(values, clusters), clustered_mean(values, np.arange(80))
        wins = share(rng.random(20) < 0.9, np.arange(20))
        covered["clustered"] += clustered.low <= 0 <= clustered.high
        covered["blind"] += blind.low <= 0 <= blind.high
        covered["share"] += wins.low <= 0.9 <= wins.high
    assert 0.92 <= covered["clustered"] / 400 <= 0.98
    assert covered["blind"] / 400 < 0.8  # what forgetting the prompts would cost
    assert covered["share"] / 400 >= 0.93


def test_a_share_by_hand() -> None:
    # 10 of 10: 12 of 14 with the four added; deviation √((12/14)(2/14)/13) = 0.09705, t(13) = 2.1604
    interval = share([1.0] * 10, range(10))
    assert interval == pytest.approx((1.0, 12 / 14 - 2.16037 * 0.0970495, 1.0), abs=1e-5)


def test_every_prompt_counts_the_same_in_a_share() -> None:
    assert share([1, 1, 1, 0], [1, 1, 1, 2]).value == 0.5
    assert clustered_mean([1, 1, 1, 0], [1, 1, 1, 2]).value == 0.75


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 50)), min_size=1, max_size=60))
def test_a_share_lies_inside_its_bounds_and_mirrors(rows: list[tuple[float, int]]) -> None:
    values, clusters = zip(*rows, strict=True)
    interval = share(values, clusters)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high
    mirrored = share([1 - value for value in values], clusters)
    assert mirrored == pytest.approx((1 - interval.value, 1 - interval.high, 1 - interval.low), abs=1e-9)


def test_values_that_are_no_shares_are_refused() -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 0 to 1.5"):
        share([0, 1.5], [1, 2])


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [
        ([], [], r"at least one, got shapes \(0,\) and \(0,\)"),
        ([1.0, 2.0], [1], r"got shapes \(2,\) and \(1,\)"),
        ([[1.0]], [[1]], r"got shapes \(1, 1\)"),
        ([1.0, math.nan, math.inf], [1, 2, 3], "2 of 3 are not"),
    ],
)
def test_broken_columns_are_refused(values: list[float], clusters: list[int], message: str) -> None:
    for function in (clustered_mean, share):
        with pytest.raises(ValueError, match=message):
            function(values, clusters)


def test_a_reward_summary_by_hand() -> None:
    # β 0.5: chosen rewards 1 and −1.5, rejected −0.5 and 0.5, margins 1.5 and −2
    summary = reward_summary(
        [-4, -9], [-3, -4], [-6, -6], [-2, -5], beta=0.5, chosen_token_counts=[4, 9], clusters=[1, 2]
    )
    losses = [math.log(1 + math.exp(-1.5)), math.log(1 + math.exp(2))]
    assert summary.margin.value == -0.25
    assert summary.margin == pytest.approx(clustered_mean([1.5, -2], [1, 2]))
    assert summary.loss == pytest.approx(clustered_mean(losses, [1, 2]))
    assert summary.accuracy == share([1, 0], [1, 2])
    assert summary.perplexity == pytest.approx((math.e, math.e, math.e))  # 1 nat a token in both responses


def test_perplexity_counts_tokens_not_responses() -> None:
    logps, counts, clusters = np.array([-2.0, -30.0, -8.0]), np.array([2, 10, 4]), np.array([1, 1, 2])
    summary = reward_summary(logps, logps, logps, logps, beta=0.1, chosen_token_counts=counts, clusters=clusters)
    # 40 nats over 16 tokens; residuals of the prompts 32 − 2.5·12 = 2 and 8 − 2.5·4 = −2, deviation √(2·8)/16
    # 2.5 − 12.7062·4/16 is below 0 nats a token: the bound is the least perplexity there is
    assert summary.perplexity == pytest.approx([math.exp(2.5), 1.0, math.exp(2.5 + 12.7062 * 4 / 16)], rel=1e-4)


@given(st.lists(st.tuples(st.floats(-50, 0), st.integers(1, 30), st.integers(0, 3)), min_size=1, max_size=8))
def test_a_perplexity_and_its_bounds_are_never_below_one(rows: list[tuple[float, int, int]]) -> None:
    logps, counts, clusters = (np.array(column) for column in zip(*rows, strict=True))
    found = reward_summary(
        logps, logps, logps, logps, beta=0.1, chosen_token_counts=counts, clusters=clusters
    ).perplexity
    assert 1 <= found.low <= found.value <= found.high


def test_a_policy_equal_to_its_reference_has_no_margin_and_half_the_accuracy() -> None:
    chosen, rejected = [-3.0, -4.0, -5.0], [-2.0, -9.0, -1.0]
    summary = reward_summary(
        chosen, rejected, chosen, rejected, beta=0.1, chosen_token_counts=[3, 3, 3], clusters=[1, 2, 3]
    )
    assert summary.margin == (0.0, 0.0, 0.0)
    assert summary.loss == pytest.approx((math.log(2),) * 3)
    assert summary.accuracy.value == 0.5


def test_a_summary_is_plain_json_without_infinities() -> None:
    summary = reward_summary([-800.0], [0.0], [0.0], [0.0], beta=1.0, chosen_token_counts=[1], clusters=[1])
    numbers = summary.as_dict()
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    assert list(numbers)[:4] == ["margin", "margin_low", "margin_high", "loss"]
    assert numbers["margin"] == -800.0
    assert numbers["loss"] == 800.0  # no overflow
    assert numbers["margin_low"] is numbers["margin_high"] is numbers["perplexity"] is None
    assert all(type(number) is float for number in numbers.values() if number is not None)


def test_log_probabilities_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 are not; the policy may have diverged"):
        reward_summary(
            [-1, math.nan], [-1, -1], [-1, -1], [-1, -1], beta=0.1, chosen_token_counts=[1, 1], clusters=[1, 2]
        )


def test_every_prompt_counts_the_same_in_a_mean_over_prompts_by_hand() -> None:
    # prompts' means 1 and 3; mean 2, deviation √2 / √2 = 1, t(1) = 12.706
    interval = prompt_mean([0, 1, 2, 3], [7, 7, 7, 9])
    assert interval == pytest.approx((2.0, 2 - 12.7062, 2 + 12.7062), abs=1e-3)
    assert prompt_mean([1, 3], [5, 5]) == Interval(2.0, -math.inf, math.inf)


def test_margin_loss_and_accuracy_are_all_means_over_prompts() -> None:
    # β 1, log-ratios of the rejected 0: margins 3, 1 and −1 of the first prompt, 2 of the second
    zero, margins, prompts = [0.0] * 4, [3.0, 1.0, -1.0, 2.0], [1, 1, 1, 2]
    summary = reward_summary(margins, zero, zero, zero, beta=1.0, chosen_token_counts=[1] * 4, clusters=prompts)
    losses = [math.log1p(math.exp(-margin)) for margin in margins]
    assert summary.margin == prompt_mean(margins, prompts) and summary.margin.value == pytest.approx((1 + 2) / 2)
    assert summary.loss.value == pytest.approx((sum(losses[:3]) / 3 + losses[3]) / 2)
    assert summary.accuracy.value == pytest.approx((2 / 3 + 1) / 2)


def test_a_margin_that_is_rounding_counts_a_half() -> None:
    summary = reward_summary(
        [-3.0 + 1e-6, -4.0],
        [-2.0] * 2,
        [-3.0, -4.0],
        [-2.0] * 2,
        beta=0.1,
        chosen_token_counts=[3] * 2,
        clusters=[1, 2],
    )
    assert summary.accuracy.value == 0.5


def test_an_interval_in_words_has_both_bounds_or_says_that_there_are_none():
    assert f"{Interval(0.52, 0.48, 0.564):.2f}" == "0.52 [0.48, 0.56]"
    assert f"{Interval(0.52, 0.48, 0.564):+.1f}" == "+0.5 [+0.5, +0.6]"
    assert f"{Interval(-0.2, -0.5, 0.1):+.1f}" == "−0.2 [−0.5, +0.1]", "a minus, no hyphen"
    assert f"{Interval(-0.001, -1, 0):.2f}" == "0.00 [−1.00, 0.00]", "what is rounded to nothing has no sign"
    assert f"{clustered_mean([0.5, 0.7], [0, 0]):.2f}" == "0.60 [no interval]"


def test_bounds_are_cut_to_what_the_quantity_can_be_and_no_bounds_stay_none():
    assert Interval(0.5, -0.2, 1.2).within(0, 1) == Interval(0.5, 0, 1)
    assert Interval(0.5, 0.4, 0.6).within(0, 1) == Interval(0.5, 0.4, 0.6)
    assert f"{Interval(0.5, -math.inf, math.inf).within(0, 1):.1f}" == "0.5 [no interval]"
