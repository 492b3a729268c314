"""The interval of an annotator's accuracy: whom it calls worse than chance, and whom it does not."""

import numpy as np
import pytest

from models.labelling.dawid_skene import fit_votes
from models.labelling.votes import VOTES, VoteTable
from models.quality.records import Share
from models.quality.reliability import accuracies


def test_an_annotator_worse_than_chance_is_told_from_those_who_know_something_and_one_who_guesses() -> None:
    random = np.random.default_rng(5)
    found = _shares(_sided(random, (0.9, 0.8, 0.2, 0.5), 600))
    assert [one.value for one in found] == pytest.approx([0.9, 0.8, 0.2, 0.5], abs=0.06)
    assert [one.high < 0.5 for one in found] == [False, False, True, False]
    assert [one.low > 0.5 for one in found] == [True, True, False, False]
    assert [one.count for one in found] == [600] * 4


@pytest.mark.parametrize(
    ("accuracies_of", "pair_count"), [((0.8, 0.8, 0.5), 1000), ((0.9, 0.6, 0.6), 100), ((0.9, 0.8, 0.7, 0.3), 200)]
)
def test_the_interval_covers_the_accuracy(accuracies_of: tuple[float, ...], pair_count: int) -> None:
    hits = np.zeros(len(accuracies_of))
    for seed in range(10):
        found = _shares(_sided(np.random.default_rng(seed), accuracies_of, pair_count))
        hits += [one.low <= truth <= one.high for one, truth in zip(found, accuracies_of, strict=True)]
    assert hits.min() >= 9


def test_nobody_else_can_tell_who_of_two_is_right() -> None:
    codes = _sided(np.random.default_rng(2), (0.9, 0.8, 0.7), 90)
    codes[2] = -1
    assert [(one.low, one.high) for one in _shares(codes)[:2]] == [(0.0, 1.0)] * 2
    codes = _sided(np.random.default_rng(2), (0.9, 0.8, 0.7), 90)
    codes[0, :45] = codes[2, 45:] = -1
    assert [(one.low, one.high) for one in _shares(codes)] == [(0.0, 1.0)] * 3, "the first never met the third"


def test_the_interval_is_never_shorter_than_of_votes_whose_rightness_is_known() -> None:
    found = _shares(np.zeros((3, 12), dtype=np.int64))
    assert all(one.low < 0.85 and one.high == 1.0 for one in found)


def test_a_guess_is_rarely_called_worse_than_chance() -> None:
    called = 0
    for seed in range(8):
        random = np.random.default_rng(seed)
        codes = _sided(random, (0.8, 0.8, 0.5), 100)
        codes[1, random.random(100) < 0.2] = VOTES.index("tie")
        called += _shares(codes)[2].high < 0.5
    assert called <= 1


def test_two_who_contradict_each_other_are_not_called_worse_than_chance_since_either_may_be() -> None:
    found = _shares(np.repeat([[0], [1]], 40, axis=1))
    assert [one.value for one in found] == pytest.approx([0.5] * 2, abs=0.05)
    assert all(one.high >= 0.5 for one in found)


def test_without_a_vote_for_a_side_beside_anothers_vote_there_is_no_accuracy() -> None:
    codes = np.array([[0, 2, -1], [-1, 2, 1], [-1, -1, -1]])
    assert _shares(codes) == [Share(None, 0.0, 1.0, 0)] * 3
    assert _shares(np.zeros((0, 3), dtype=np.int64)) == []


def test_others_who_only_say_tie_leave_the_accuracy_open() -> None:
    (one, _) = _shares(np.array([[0, 1, 0, 1], [2, 2, 2, 2]]))
    assert (one.low, one.high, one.count) == (0.0, 1.0, 4)


def _sided(random: np.random.Generator, accuracies_of: tuple[float, ...], pair_count: int) -> np.ndarray:
    truth = random.integers(2, size=pair_count)
    is_right = random.random((len(accuracies_of), pair_count)) < np.array(accuracies_of)[:, None]
    return np.where(is_right, truth, 1 - truth)


def _shares(codes: np.ndarray) -> list[Share]:
    table = VoteTable(tuple(range(len(codes))), codes.astype(np.int8))
    return accuracies(table, fit_votes(table.by_pair))
