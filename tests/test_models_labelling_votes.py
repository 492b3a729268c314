"""A vote is what an annotator's showings agree on; a rule makes an outcome of votes; accuracies come out of votes."""

import math
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labelling.records import Verdict
from models.labelling.votes import (
    PRIOR_ACCURACY,
    VOTES,
    Rule,
    Vote,
    VoteTable,
    annotator_accuracies,
    annotator_vote,
    resolve,
)

VERDICTS: tuple[Verdict, ...] = ("first", "second", "tie", "both_bad", "skip", "unparsed")
RULES: tuple[Rule, ...] = ("majority", "unanimous", "weighted")
EXCHANGED: dict[Vote, Vote] = {"first": "second", "second": "first", "tie": "tie", "both_bad": "both_bad"}
GIVEN = st.dictionaries(st.integers(1, 6), st.sampled_from(VOTES), max_size=6)
WEIGHTS = st.dictionaries(st.integers(1, 6), st.floats(0.01, 0.99))


@pytest.mark.parametrize("verdict", VOTES)
def test_two_equal_answers_are_the_vote(verdict: Vote) -> None:
    assert annotator_vote({1: verdict, 2: verdict}, has_both_orders=True) == verdict


@pytest.mark.parametrize(("one", "other"), [pair for pair in product(VOTES, repeat=2) if pair[0] != pair[1]])
def test_a_flip_is_a_tie(one: Vote, other: Vote) -> None:
    assert annotator_vote({1: one, 2: other}, has_both_orders=True) == "tie"
    assert annotator_vote({1: one, 2: other}, has_both_orders=False) == "tie"


@pytest.mark.parametrize("verdict", VERDICTS)
def test_asked_in_both_orders_one_answer_is_no_vote(verdict: Verdict) -> None:
    assert annotator_vote({1: verdict}, has_both_orders=True) is None
    assert annotator_vote({1: verdict, 2: "unparsed"}, has_both_orders=True) is None
    assert annotator_vote({1: "skip", 2: verdict}, has_both_orders=True) is None


@pytest.mark.parametrize("verdict", VERDICTS)
def test_asked_once_the_answer_is_the_vote_unless_it_is_none(verdict: Verdict) -> None:
    expected = None if verdict in ("skip", "unparsed") else verdict
    assert annotator_vote({7: verdict}, has_both_orders=False) == expected
    assert annotator_vote({7: verdict, 9: "skip"}, has_both_orders=False) == expected
    assert annotator_vote({}, has_both_orders=False) is None


@given(st.sampled_from(VERDICTS), st.sampled_from(VERDICTS), st.booleans())
def test_a_vote_does_not_depend_on_which_order_was_asked_first(one: Verdict, other: Verdict, has_both: bool) -> None:
    vote = annotator_vote({1: one, 2: other}, has_both_orders=has_both)
    assert vote == annotator_vote({2: other, 1: one}, has_both_orders=has_both)
    assert vote == annotator_vote({1: other, 2: one}, has_both_orders=has_both)


@pytest.mark.parametrize(
    ("votes", "majority", "unanimous"),
    [
        (["first"], ("first", 1.0), ("first", 1.0)),
        (["first", "second"], ("contradiction", 0.5), ("contradiction", 0.5)),
        (["first", "first", "second"], ("first", 2 / 3), ("contradiction", 2 / 3)),
        (["tie", "tie", "both_bad", "second"], ("contradiction", 0.5), ("contradiction", 0.5)),
        (["both_bad", "both_bad"], ("both_bad", 1.0), ("both_bad", 1.0)),
        (["tie", "tie", "tie", "second"], ("tie", 0.75), ("contradiction", 0.75)),
    ],
)
def test_majority_and_unanimity_of_worked_cases(
    votes: list[Vote], majority: tuple[str, float], unanimous: tuple[str, float]
) -> None:
    given_votes = dict(enumerate(votes))
    assert resolve(given_votes, "majority", weights=None) == majority
    assert resolve(given_votes, "unanimous", weights=None) == unanimous


@pytest.mark.parametrize("rule", RULES)
def test_no_vote_has_no_outcome(rule: Rule) -> None:
    assert resolve({}, rule, weights=None) is None


def test_the_posterior_of_a_worked_case() -> None:
    # Odds against each other verdict: 0.9 → 3 · 9 = 27, 0.6 → 3 · 1.5 = 4.5; tie and both bad keep 1 each.
    outcome = resolve({1: "first", 2: "second"}, "weighted", weights={1: 0.9, 2: 0.6})
    assert outcome == ("first", pytest.approx(27 / (27 + 4.5 + 2)))
    # Two of 0.6 for the second: 4.5² = 20.25 against 27.
    outcome = resolve({1: "first", 2: "second", 3: "second"}, "weighted", weights={1: 0.9, 2: 0.6, 3: 0.6})
    assert outcome == ("first", pytest.approx(27 / (27 + 20.25 + 2)))
    assert resolve({2: "tie"}, "weighted", weights={2: 0.6}) == ("tie", pytest.approx(0.6))


def test_an_annotator_alone_settles_a_pair_only_when_right_more_often_than_not() -> None:
    for accuracy, expected in [(0.3, "contradiction"), (0.5, "contradiction"), (0.51, "second")]:
        assert resolve({1: "second"}, "weighted", weights={1: accuracy}) == (expected, pytest.approx(accuracy))
    assert resolve({1: "second"}, "weighted", weights={}) == ("second", pytest.approx(PRIOR_ACCURACY))


def test_a_verdict_nobody_gave_never_wins() -> None:
    votes: dict[int, Vote] = {1: "first", 2: "tie", 3: "both_bad"}  # each almost surely wrong: it must be the second
    # Odds of 0.01: 3 / 99 = 1 / 33 each, against 1 for the second.
    outcome = resolve(votes, "weighted", weights=dict.fromkeys(votes, 0.01))
    assert outcome == ("contradiction", pytest.approx(1 / 36))


@pytest.mark.parametrize("weights", [None, {1: 1.0}, {1: 0.0}, {1: 2.2}, {1: math.nan}])
def test_weights_that_are_no_accuracies_are_refused(weights: Mapping[int, float] | None) -> None:
    with pytest.raises(ValueError, match="accuracies"):
        resolve({1: "first"}, "weighted", weights=weights)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="'plurality'"):
        resolve({1: "first"}, "plurality", weights=None)  # type: ignore[arg-type]


@given(GIVEN, st.sampled_from(RULES), WEIGHTS)
def test_exchanging_first_and_second_exchanges_the_outcome(
    votes: dict[int, Vote], rule: Rule, weights: dict[int, float]
) -> None:
    outcome = resolve(votes, rule, weights=weights)
    mirrored = resolve({annotator: EXCHANGED[vote] for annotator, vote in votes.items()}, rule, weights=weights)
    if outcome is None:
        assert mirrored is None
        return
    names = {**EXCHANGED, "contradiction": "contradiction"}
    assert mirrored == (names[outcome[0]], outcome[1])
    assert resolve(dict(reversed(votes.items())), rule, weights=weights) == outcome


@given(GIVEN.filter(bool), WEIGHTS)
def test_the_posterior_is_bayes_rule_over_the_true_verdict(votes: dict[int, Vote], weights: dict[int, float]) -> None:
    likelihood = {}
    for truth in VOTES:
        likelihood[truth] = 1.0
        for annotator, vote in votes.items():
            accuracy = weights.get(annotator, PRIOR_ACCURACY)
            likelihood[truth] *= accuracy if vote == truth else (1 - accuracy) / 3
    best = max(likelihood[vote] for vote in votes.values()) / sum(likelihood.values())
    outcome = resolve(votes, "weighted", weights=weights)
    assert outcome is not None
    assert outcome[1] == pytest.approx(best)
    if best > 0.5 + 1e-6:
        assert outcome[0] in [vote for vote in votes.values() if likelihood[vote] == max(likelihood.values())]
    elif best < 0.5 - 1e-6:
        assert outcome[0] == "contradiction"


@given(st.lists(GIVEN, min_size=1, max_size=8))
def test_accuracies_agree_with_a_slow_and_obvious_em(votes: list[dict[int, Vote]]) -> None:
    expected = _slow_accuracies(votes)
    accuracies = annotator_accuracies(votes)
    assert accuracies == pytest.approx(expected, abs=1e-6)
    assert list(accuracies) == sorted(expected)
    assert all(0 < accuracy < 1 for accuracy in accuracies.values())


def test_a_pair_with_one_vote_says_nothing_of_accuracy() -> None:
    votes: list[dict[int, Vote]] = [{1: "first", 2: "tie", 3: "first"}] * 5
    assert annotator_accuracies(votes + [{2: "first"}] * 100) == annotator_accuracies(votes)


def test_two_sides_evenly_split_stay_equally_accurate() -> None:
    accuracies = annotator_accuracies([{1: "tie", 2: "second", 3: "tie", 4: "second"}] * 3)
    assert len({round(accuracy, 6) for accuracy in accuracies.values()}) == 1


def test_one_step_to_a_fixed_point_worked_by_hand() -> None:
    # Two who always agree on m pairs: certain to be right as m grows, so (m + 4) / (m + 5) of m = 100.
    accuracies = annotator_accuracies([{1: "first", 2: "first"}] * 50 + [{1: "tie", 2: "tie"}] * 50)
    assert accuracies == pytest.approx({1: 104 / 105, 2: 104 / 105}, abs=1e-4)


def test_accuracies_of_simulated_annotators_are_recovered() -> None:
    accuracies = {1: 0.95, 2: 0.8, 3: 0.65, 4: 0.5, 5: 0.25}
    estimated = annotator_accuracies(_simulated(accuracies, pair_count=4000, seed=3))
    for annotator, accuracy in accuracies.items():
        assert estimated[annotator] == pytest.approx(accuracy, abs=0.03)


def test_accuracies_are_recovered_where_each_pair_has_other_annotators() -> None:
    accuracies = {annotator: 0.9 if annotator % 2 else 0.6 for annotator in range(1, 11)}
    random = np.random.default_rng(1)
    votes = _simulated(accuracies, pair_count=6000, seed=5)
    thinned = [{int(one): given[int(one)] for one in random.choice(10, 3, replace=False) + 1} for given in votes]
    estimated = annotator_accuracies(thinned)
    for annotator, accuracy in accuracies.items():
        assert estimated[annotator] == pytest.approx(accuracy, abs=0.05)


def test_annotators_who_only_know_two_verdicts_come_out_somewhat_high() -> None:
    votes = _simulated(dict.fromkeys((1, 2, 3), 0.8), pair_count=20000, seed=2, verdict_count=2)
    for accuracy in annotator_accuracies(votes).values():
        assert accuracy == pytest.approx(0.83, abs=0.015)


def test_without_overlap_the_accuracy_is_the_priors() -> None:
    assert annotator_accuracies([]) == {}
    assert annotator_accuracies([{}, {}]) == {}
    assert annotator_accuracies([{4: "first"}, {4: "tie"}]) == {4: PRIOR_ACCURACY}
    assert annotator_accuracies([{4: "first"}, {2: "first"}, {4: "second"}]) == {2: PRIOR_ACCURACY, 4: PRIOR_ACCURACY}


@given(st.lists(GIVEN, max_size=8))
def test_accuracies_do_not_know_which_response_is_the_first(votes: list[dict[int, Vote]]) -> None:
    mirrored = [{annotator: EXCHANGED[vote] for annotator, vote in given.items()} for given in votes]
    assert annotator_accuracies(mirrored) == pytest.approx(annotator_accuracies(votes), abs=1e-6)


def test_a_table_gives_counts_and_votes_back() -> None:
    table = VoteTable((7, 5), np.array([[0, -1, 3], [0, -1, 1]], dtype=np.int8))
    assert table.counts.tolist() == [[2, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]]
    assert table.by_pair == [{7: "first", 5: "first"}, {}, {7: "both_bad", 5: "second"}]
    empty = VoteTable((), np.zeros((0, 2), dtype=np.int8))
    assert empty.counts.tolist() == [[0] * 4] * 2
    assert empty.by_pair == [{}, {}]


def _simulated(
    accuracies: Mapping[int, float], *, pair_count: int, seed: int, verdict_count: int = 4
) -> list[dict[int, Vote]]:
    random = np.random.default_rng(seed)
    votes = []
    for truth in random.integers(verdict_count, size=pair_count):
        wrong = (truth + random.integers(1, verdict_count, size=len(accuracies))) % verdict_count
        is_right = random.random(len(accuracies)) < list(accuracies.values())
        votes.append({one: VOTES[code] for one, code in zip(accuracies, np.where(is_right, truth, wrong), strict=True)})
    return votes


def _slow_accuracies(votes: Sequence[Mapping[int, Vote]]) -> dict[int, float]:
    accuracies = {annotator: 0.8 for given_votes in votes for annotator in given_votes}
    shared = [given_votes for given_votes in votes if len(given_votes) > 1]
    change = 1.0
    while change >= 1e-6:  # the same end: evenly split votes lie on a saddle, where EM would drift on roundings
        right = dict.fromkeys(accuracies, 4.0)
        total = dict.fromkeys(accuracies, 5.0)
        for given_votes in shared:
            likelihood = {
                truth: math.prod(
                    accuracies[one] if vote == truth else (1 - accuracies[one]) / 3 for one, vote in given_votes.items()
                )
                for truth in VOTES
            }
            for annotator, vote in given_votes.items():
                right[annotator] += likelihood[vote] / sum(likelihood.values())
                total[annotator] += 1
        previous = accuracies
        accuracies = {annotator: right[annotator] / total[annotator] for annotator in accuracies}
        change = max((abs(accuracies[one] - previous[one]) for one in accuracies), default=0.0)
    return accuracies
