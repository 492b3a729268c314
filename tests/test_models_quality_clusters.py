"""Pairs of one prompt are dependent: intervals take prompts for independent, not pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.labelling.dawid_skene import fit_votes, resampled_accuracies
from models.labelling.records import PairKey
from models.labelling.votes import VOTES, VoteTable
from models.quality.agreement import NOMINAL, alpha, equal_couples, kappa, share_over_pairs
from models.quality.quality import Annotator, AnnotatorJudgement, LabelledPair, label_quality
from models.quality.reliability import accuracies

Array = np.ndarray[Any, Any]
TIMES = 4


def sided(random: np.random.Generator, prompts: int, *, of_a_prompt: int = 1) -> tuple[Array, Array]:
    """(3, pairs) votes for sides, right more often than not, alike on the pairs of a prompt; each pair's prompt."""
    truth = random.integers(2, size=prompts)
    is_right = random.random((3, prompts)) < np.array([0.9, 0.8, 0.7])[:, None]
    codes = np.where(is_right, truth, 1 - truth).repeat(of_a_prompt, axis=1)
    return codes, np.arange(prompts).repeat(of_a_prompt)


def counts_of(codes: Array) -> Array:
    return np.stack([(codes == value).sum(axis=0) for value in range(len(VOTES))], axis=1)


def test_a_pair_that_is_there_several_times_proves_no_more_than_once() -> None:
    codes, _ = sided(np.random.default_rng(0), 60)
    often, clusters = codes.repeat(TIMES, axis=1), np.arange(60).repeat(TIMES)
    once = share_over_pairs(*equal_couples(counts_of(codes)))
    share = share_over_pairs(*equal_couples(counts_of(often)), clusters)
    assert (share.value, share.low, share.high) == pytest.approx((once.value, once.low, once.high))
    assert share.count == TIMES * once.count
    coefficient, other = kappa(codes[0], codes[1], NOMINAL), kappa(often[0], often[1], NOMINAL, clusters)
    assert (other.value, other.low, other.high) == pytest.approx((coefficient.value, coefficient.low, coefficient.high))
    coefficient, other = alpha(counts_of(codes), NOMINAL), alpha(counts_of(often), NOMINAL, clusters)
    assert (other.low, other.high) == pytest.approx((coefficient.low, coefficient.high), abs=0.01)
    without = alpha(counts_of(often), NOMINAL)
    assert without.high - without.low < 0.7 * (other.high - other.low)


def test_the_interval_of_an_accuracy_draws_prompts() -> None:
    codes, clusters = sided(np.random.default_rng(1), 80, of_a_prompt=TIMES)
    table = VoteTable((1, 2, 3), codes.astype(np.int8))
    model = fit_votes(table.by_pair)
    by_prompt, by_pair = (accuracies(table, model, names) for names in (clusters, None))
    for one, other in zip(by_prompt, by_pair, strict=True):
        assert one.value == other.value and one.count == other.count
        assert one.high - one.low > 1.4 * (other.high - other.low), "twice as long, but for the percentiles"
    alone = np.arange(codes.shape[1])
    assert accuracies(table, model, alone) == by_pair, "prompts of one pair each are what pairs are"


def test_the_draws_of_prompts_are_those_of_a_loop() -> None:
    codes, clusters = sided(np.random.default_rng(2), 12, of_a_prompt=3)
    codes[2, ::5] = -1
    votes = VoteTable((1, 2, 3), codes.astype(np.int8)).by_pair
    found = resampled_accuracies(votes, clusters)
    random = np.random.default_rng(0)
    drawn = np.bincount(random.integers(12, size=12), minlength=12)
    again = [votes[place] for place in range(len(votes)) for _ in range(drawn[clusters[place]])]
    expected = resampled_accuracies(again)
    for annotator in (1, 2, 3):
        # The prior knows how often each verdict was given at all, which a sample of pairs changes a little.
        assert found[annotator][1] == pytest.approx(expected[annotator][0], abs=0.02)


def test_quality_takes_prompts_for_independent_wherever_it_has_an_interval() -> None:
    people = [Annotator(number, f"p{number}", "person", has_both_orders=False) for number in (1, 2, 3)]
    codes, clusters = sided(np.random.default_rng(3), 40, of_a_prompt=TIMES)
    alone = [
        LabelledPair(PairKey(2 * at + 1, 2 * at + 2), "p", ("easy",), at / 200, 9, 5 + at % 2)
        for at in range(len(clusters))
    ]
    together = [pair._replace(prompt_id=int(number)) for pair, number in zip(alone, clusters, strict=True)]
    judgements = [
        AnnotatorJudgement(person.id, pair.pair, pair.pair[at % 2], VOTES[codes[row, at]], None, None)
        for row, person in enumerate(people)
        for at, pair in enumerate(alone)
    ]
    wide, narrow = (label_quality(pairs, judgements, people, bins=2, suspect_count=0) for pairs in (together, alone))
    for figures in (
        lambda one: one.alpha,
        lambda one: one.ordinal_alpha,
        lambda one: one.by_strategy[0].agreement,
        lambda one: one.by_strategy[0].alpha,
        lambda one: one.by_similarity[0].agreement,
        lambda one: one.annotators[0].agreement_with_others,
        lambda one: one.annotators[0].longer,
        lambda one: one.annotators[0].accuracy,
        lambda one: one.agreements[0].agreement,
        lambda one: one.agreements[0].kappa,
    ):
        of_prompts, of_pairs = figures(wide), figures(narrow)
        assert of_prompts.value == of_pairs.value
        assert of_prompts.high - of_prompts.low > 1.3 * (of_pairs.high - of_pairs.low)
