"""Dawid and Skene's model: worked by hand, against a slow and obvious EM, on simulated annotators of known truth."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.labelling.dawid_skene import PRIOR_ACCURACY, VoteModel, fit_votes
from models.labelling.rules import resolve
from models.labelling.votes import EXCHANGED, VOTES, Vote, VoteTable

MIRRORED: dict[Vote, Vote] = {vote: VOTES[code] for vote, code in zip(VOTES, EXCHANGED, strict=True)}
GIVEN = st.dictionaries(st.integers(1, 4), st.sampled_from(VOTES), max_size=4)
ALL_VOTES = st.lists(GIVEN, max_size=8)
Codes = NDArray[np.int64]


@pytest.mark.parametrize(
    ("accuracies", "right"),
    [((0.9, 0.6, 0.6), 0.907), ((0.95, 0.65, 0.65), 0.957), ((0.9, 0.8, 0.2), 0.924), ((0.8, 0.8, 0.8), 0.896)],
)
def test_of_two_verdicts_the_true_one_is_found_and_the_support_is_calibrated(
    accuracies: tuple[float, ...], right: float
) -> None:
    shares = [_right_and_support(*_sided(np.random.default_rng(seed), accuracies, 600)) for seed in range(12)]
    found, support = np.mean(shares, axis=0)
    assert found == pytest.approx(right, abs=0.006)
    assert support == pytest.approx(found, abs=0.03)


@pytest.mark.parametrize(("accuracies", "pair_count"), [((0.7,) * 3, 100), ((0.65,) * 5, 200)])
def test_of_annotators_who_are_alike_the_support_is_near_what_is_right_and_the_majority_is_not_better(
    accuracies: tuple[float, ...], pair_count: int
) -> None:
    shares, majority = [], []
    for seed in range(40):
        codes, truth = _sided(np.random.default_rng(seed), accuracies, pair_count)
        shares.append(_right_and_support(codes, truth))
        majority.append(((codes.mean(axis=0) > 0.5) == truth).mean())
    found, support = np.mean(shares, axis=0)
    assert support == pytest.approx(found, abs=0.05)  # over 400 seeds 0.020 and 0.014 above
    assert found > np.mean(majority) - 0.01


def test_an_annotator_who_knows_two_verdicts_beside_others_who_know_three_is_calibrated() -> None:
    # No pair is a tie, and the third annotator says tie on 15 % of them: its ties are no evidence for one.
    shares = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        codes, truth = _sided(random, (0.9, 0.75, 0.7), 600)
        codes[2, random.random(600) < 0.15] = VOTES.index("tie")
        shares.append(_right_and_support(codes, truth))
    found, support = np.mean(shares, axis=0)
    assert found > 0.89
    assert support == pytest.approx(found, abs=0.03)


def test_support_is_calibrated_where_each_pair_has_other_annotators_and_a_fifth_of_the_pairs_are_ties() -> None:
    shares = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        truth = random.choice(3, p=[0.4, 0.4, 0.2], size=1000)
        wrong = (truth + random.integers(1, 3, size=(10, 1000))) % 3
        accuracies = np.array([0.9, 0.6] * 5)[:, None]
        codes = np.where(random.random((10, 1000)) < accuracies, truth, wrong)
        codes[np.argsort(random.random((10, 1000)), axis=0) >= 3] = -1
        shares.append(_right_and_support(codes, truth))
    found, support = np.mean(shares, axis=0)
    assert found > 0.88
    assert support == pytest.approx(found, abs=0.03)


def test_an_annotator_worse_than_chance_is_found_out_and_its_votes_are_read_the_other_way_round() -> None:
    codes, _ = _sided(np.random.default_rng(4), (0.9, 0.8, 0.2), 600)
    model = fit_votes(_votes(codes))
    assert [model.side_accuracy(annotator) for annotator in range(3)] == pytest.approx([0.9, 0.8, 0.2], abs=0.07)
    assert model.beliefs({1: "first", 2: "second"})["first"] > model.beliefs({1: "first"})["first"]


def test_accuracies_of_simulated_annotators_are_recovered() -> None:
    accuracies = (0.95, 0.8, 0.65, 0.5, 0.25)
    codes, _ = _sided(np.random.default_rng(3), accuracies, 4000)
    model = fit_votes(_votes(codes))
    assert [model.side_accuracy(annotator) for annotator in range(5)] == pytest.approx(accuracies, abs=0.03)


def test_two_who_agree_on_a_share_of_the_pairs_worked_by_hand() -> None:
    # Equally accurate and independent they agree on a² + (1 − a)² = 0.68 of the pairs: a = 0.8, where the prior is too.
    model = fit_votes([{1: "first", 2: "first"}] * 17 + [{1: "second", 2: "first"}] * 8)
    assert [model.side_accuracy(annotator) for annotator in (1, 2)] == pytest.approx([0.8, 0.8], abs=1e-4)
    assert model.beliefs({1: "second", 2: "second"})["second"] == pytest.approx(0.64 / 0.68, abs=1e-4)
    assert model.beliefs({1: "first", 2: "second"})["first"] == 0.5


def test_two_who_only_contradict_each_other_cannot_be_told_apart() -> None:
    model = fit_votes([{1: "first", 2: "second"}] * 30 + [{1: "first", 2: "first"}] * 3)
    assert model.side_accuracy(1) == model.side_accuracy(2) >= 0.5
    assert resolve({1: "first", 2: "second"}, "weighted", model=model) == ("contradiction", 0.5)


@settings(max_examples=60, deadline=None)
@given(ALL_VOTES)
def test_tables_agree_with_a_slow_and_obvious_em(votes: list[dict[int, Vote]]) -> None:
    iterations = 15  # before roundings are felt, where the votes lie on a saddle
    own, shared = (_slow_model(votes, iterations, is_shared=is_shared) for is_shared in (False, True))
    compared = {annotator for pair_votes in votes if len(pair_votes) > 1 for annotator in pair_votes}
    gain = _slow_log_likelihood(own, votes) - _slow_log_likelihood(shared, votes)
    penalty = max(0, len(compared) - 1) * _slow_parameters(votes)
    assume(abs(gain - penalty) > 1e-3 or not penalty)
    slow = own if gain > penalty else shared
    model = _fitted(votes, iterations)
    assert model.prevalence == pytest.approx(slow.prevalence, abs=1e-5)
    assert sorted(model.tables) == sorted(slow.tables)
    for annotator, table in slow.tables.items():
        expected = table if annotator in compared else slow.prior_table
        assert model.tables[annotator] == pytest.approx(expected, abs=1e-5)
    for pair_votes in votes:
        assert list(model.beliefs(pair_votes).values()) == pytest.approx(_slow_beliefs(model, pair_votes), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(ALL_VOTES, st.data())
def test_neither_an_exchange_of_responses_nor_an_order_changes_a_digit(
    votes: list[dict[int, Vote]], data: st.DataObject
) -> None:
    model = fit_votes(votes)
    is_exchanged = data.draw(st.lists(st.booleans(), min_size=len(votes), max_size=len(votes)))
    exchanged = [
        {annotator: MIRRORED[vote] if is_swapped else vote for annotator, vote in reversed(pair_votes.items())}
        for pair_votes, is_swapped in zip(votes, is_exchanged, strict=True)
    ]
    other = fit_votes(data.draw(st.permutations(exchanged)))
    _assert_equal(model, other, {annotator: annotator for annotator in model.tables})
    renamed = fit_votes([{9 - annotator: vote for annotator, vote in pair_votes.items()} for pair_votes in votes])
    _assert_equal(model, renamed, {annotator: 9 - annotator for annotator in model.tables})
    for table in model.tables.values():
        assert (table == table[list(EXCHANGED)][:, list(EXCHANGED)]).all()


def test_a_pair_with_one_vote_says_nothing_of_accuracy() -> None:
    votes: list[dict[int, Vote]] = [{1: "first", 2: "second", 3: "first"}] * 5
    more = fit_votes(votes + [{2: "first"}] * 100)
    assert all((fit_votes(votes).tables[annotator] == more.tables[annotator]).all() for annotator in (1, 2, 3))


def test_without_overlap_the_accuracy_is_the_priors() -> None:
    assert fit_votes([]).tables == fit_votes([{}, {}]).tables == {}
    model = fit_votes([{4: "first"}, {2: "tie"}, {4: "second"}])
    assert [model.side_accuracy(annotator) for annotator in (2, 4)] == pytest.approx([4 / (4 + 1 / 2)] * 2)
    model = fit_votes([{4: "first"}, {2: "second"}])
    assert model.side_accuracy(2) == pytest.approx(PRIOR_ACCURACY)
    assert fit_votes([{1: "tie", 2: "tie"}] * 3).beliefs({1: "tie"}) == {
        "first": 0,
        "second": 0,
        "tie": 1,
        "both_bad": 0,
    }


def _sided(random: np.random.Generator, accuracies: Sequence[float], pair_count: int) -> tuple[Codes, Codes]:
    """(annotators, pairs) votes for first and second alone, and the true ones."""
    truth = random.integers(2, size=pair_count)
    is_right = random.random((len(accuracies), pair_count)) < np.array(accuracies)[:, None]
    return np.where(is_right, truth, 1 - truth), truth


def _votes(codes: Codes) -> list[dict[int, Vote]]:
    return VoteTable(tuple(range(len(codes))), codes.astype(np.int8)).by_pair


def _right_and_support(codes: Codes, truth: Codes) -> tuple[float, float]:
    votes = _votes(codes)
    model = fit_votes(votes)
    outcomes = [outcome for pair_votes in votes if (outcome := resolve(pair_votes, "weighted", model=model))]
    right = np.mean([outcome == VOTES[code] for (outcome, _), code in zip(outcomes, truth, strict=True)])
    return float(right), float(np.mean([support for _, support in outcomes]))


def _fitted(votes: Sequence[Mapping[int, Vote]], iterations: int) -> VoteModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.labelling.dawid_skene._ITERATIONS", iterations)
        return fit_votes(votes)


def _assert_equal(model: VoteModel, other: VoteModel, names: Mapping[int, int]) -> None:
    assert (model.prevalence == other.prevalence).all()
    assert all((table == other.tables[names[annotator]]).all() for annotator, table in model.tables.items())


def _slow_model(votes: Sequence[Mapping[int, Vote]], iterations: int, *, is_shared: bool) -> VoteModel:
    """EM by loops over pairs and over their mirror images, each counted as half a pair."""
    annotators = {annotator for pair_votes in votes for annotator in pair_votes}
    given_votes = [vote for pair_votes in votes for vote in pair_votes.values()]
    both = given_votes + [MIRRORED[vote] for vote in given_votes]
    frequency = np.array([both.count(vote) / max(1, len(both)) for vote in VOTES])
    prior = np.zeros((4, 4))
    for truth, weight in enumerate((0.25, 0.25, 5.0, 5.0)):
        others = sum(frequency[vote] for vote in range(4) if vote != truth)
        for vote in range(4):
            if frequency[truth] and vote == truth:
                prior[truth, vote] = weight * 0.8
            elif frequency[truth] and others:
                prior[truth, vote] = weight * 0.2 * frequency[vote] / others
    start = np.array([row / row.sum() if row.sum() else row for row in prior])
    tables = dict.fromkeys(annotators, start)
    shared = [pair_votes for pair_votes in votes if len(pair_votes) > 1]
    images = shared + [{annotator: MIRRORED[vote] for annotator, vote in pair.items()} for pair in shared]
    prevalence = frequency
    for _ in range(iterations if shared else 0):
        counts = {annotator: prior.copy() for annotator in annotators}
        found = frequency.copy()
        for pair_votes in images:
            beliefs = _slow_beliefs(VoteModel(prevalence, tables, start), pair_votes)
            found += np.array(beliefs) / 2
            for annotator, vote in pair_votes.items():
                counts[annotator][:, VOTES.index(vote)] += np.array(beliefs) / 2
        if is_shared:
            everyone = prior + sum(table - prior for table in counts.values())
            counts = dict.fromkeys(annotators, everyone)
        before = tables
        tables = {
            annotator: np.array([row / row.sum() if row.sum() else row for row in table])
            for annotator, table in counts.items()
        }
        prevalence = found / found.sum()
        if max(np.abs(tables[annotator] - before[annotator]).max() for annotator in annotators) < 1e-6:
            break
    return VoteModel(prevalence, tables, start)


def _slow_log_likelihood(model: VoteModel, votes: Sequence[Mapping[int, Vote]]) -> float:
    shared = [pair_votes for pair_votes in votes if len(pair_votes) > 1]
    return sum(math.log(sum(_slow_parts(model, pair_votes))) for pair_votes in shared)


def _slow_parameters(votes: Sequence[Mapping[int, Vote]]) -> int:
    """Free shares of a table by the kinds of vote that occur: sides, ties, both bad."""
    kinds = {"side" if vote in ("first", "second") else vote for pair in votes for vote in pair.values()}
    return {
        frozenset(): 0,
        frozenset({"side"}): 1,  # right or wrong
        frozenset({"tie"}): 0,
        frozenset({"both_bad"}): 0,
        frozenset({"tie", "both_bad"}): 2,  # one a row
        frozenset({"side", "tie"}): 3,  # right, wrong or tie; tie or a side
        frozenset({"side", "both_bad"}): 3,
        frozenset({"side", "tie", "both_bad"}): 7,
    }[frozenset(kinds)]


def _slow_beliefs(model: VoteModel, votes: Mapping[int, Vote]) -> list[float]:
    parts = _slow_parts(model, votes)
    return [part / sum(parts) if sum(parts) else 0.0 for part in parts]


def _slow_parts(model: VoteModel, votes: Mapping[int, Vote]) -> list[float]:
    return [
        float(model.prevalence[truth])
        * math.prod(float(model.tables[annotator][truth, VOTES.index(vote)]) for annotator, vote in votes.items())
        for truth in range(4)
    ]
