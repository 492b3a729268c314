"""An annotator beside a trusted one: rates by hand, by side and length, and what depends on nothing it should not."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.intervals import share
from models.labelling.records import PairKey
from models.quality.calibration import calibration
from models.quality.compared import Answer, ComparedPair
from models.quality.records import LabelledPair

EXCHANGED = {"first": "second", "second": "first", "tie": "tie", "both_bad": "both_bad", None: None}


def pair(number, trusted, *votes, lengths=(10, 5), prompt=None, strategies=("easy",)):
    """A pair; two votes are those of both orders, the first with the first response on the left."""
    fact = LabelledPair(PairKey(2 * number + 1, 2 * number + 2), "", strategies, 0.5, *lengths, prompt or number)
    answers = tuple(Answer(at == 0, vote) for at, vote in enumerate(votes) if vote)
    vote = votes[0] if len(set(votes)) == 1 else "tie"
    return ComparedPair(fact, trusted, vote, answers)


def exchanged(one):
    """The same with its two responses stored the other way round."""
    fact = one.pair._replace(first_length=one.pair.second_length, second_length=one.pair.first_length)
    answers = tuple(Answer(not answer.is_first_left, EXCHANGED[answer.vote]) for answer in one.answers)
    margin = None if one.margin is None else -one.margin
    return ComparedPair(fact, EXCHANGED[one.trusted], EXCHANGED[one.vote], answers, margin)


def rate(found, group):
    return next(one for one in found.groups if one.group == group)


def test_the_agreement_is_of_the_labels_on_which_both_prefer_a_side():
    pairs = [
        pair(1, "first", "first", "first"),
        pair(2, "first", "second", "second"),
        pair(3, "second", "second", "second", strategies=("hard",)),
        pair(4, "first", "first", "second"),  # it contradicts itself: a tie
        pair(5, "tie", "first", "first"),
        pair(6, "both_bad", "tie", "tie"),
        pair(7, "first", None),
    ]
    found = calibration(pairs, has_both_orders=True, seed=0)
    assert (found.trusted_pairs, found.judged_pairs, found.prompts) == (7, 6, 3)
    assert (found.overall.pairs, found.overall.labels) == (4, 3)
    assert found.overall.agreement == share([1, 0, 1], [1, 2, 3])
    assert (found.labels_of_ties.pairs, found.labels_of_ties.labels) == (2, 1)
    assert (rate(found, "easy").pairs, rate(found, "easy").agreement.value) == (3, 0.5)
    assert rate(found, "hard").agreement.value == 1.0
    assert found.correction is None, "too few pairs"


def test_asked_once_the_side_shows_and_asked_in_both_orders_it_is_a_tie():
    """Always the left one: right whenever the better one was shown there."""
    pairs = [pair(number, "first", "first", "second") for number in range(1, 9)]
    found = calibration(pairs, has_both_orders=True, seed=0)
    assert found.overall.labels == 0 and found.overall.agreement is None
    assert found.asked_once.labels == 16 and found.asked_once.agreement.value == 0.5
    assert rate(found, "the better one left").agreement.value == 1.0
    assert rate(found, "the better one right").agreement.value == 0.0


def test_an_annotator_that_goes_by_length_is_right_only_where_the_longer_is_better():
    pairs = [pair(1, "first", "first"), pair(2, "second", "first"), pair(3, "second", "second", lengths=(9, 10))]
    found = calibration(pairs, has_both_orders=False, seed=0)
    assert rate(found, "the longer is better").agreement.value == 1.0
    assert rate(found, "the shorter is better").agreement.value == 0.0
    assert found.takes_longer.value == 1.0 and found.trusted_takes_longer.value == pytest.approx(2 / 3)
    assert rate(found, "shorter/longer 0.8 or more").pairs == 1 and rate(found, "0.5 to 0.8").pairs == 2
    assert found.asked_once is None


def test_pairs_of_one_prompt_are_one_piece_of_evidence():
    apart = [pair(number, "first", "first" if number % 3 else "second") for number in range(1, 13)]
    together = [dataclasses.replace(one, pair=one.pair._replace(prompt_id=1)) for one in apart]
    alone = calibration(apart, has_both_orders=False, seed=0).overall.agreement
    clustered = calibration(together, has_both_orders=False, seed=0).overall.agreement
    assert clustered.value == alone.value and clustered.high - clustered.low > 1.5 * (alone.high - alone.low)


votes = st.sampled_from(["first", "second", "tie", None])


@given(st.lists(st.tuples(st.sampled_from(["first", "second", "tie"]), votes, votes, st.integers(0, 9)), max_size=12))
def test_no_figure_depends_on_which_response_is_stored_as_the_first(rows):
    pairs = [pair(at, trusted, *two, lengths=(5, length)) for at, (trusted, *two, length) in enumerate(rows, 1)]
    mirrored = [exchanged(one) if at % 2 else one for at, one in enumerate(pairs)]
    found = calibration(pairs, has_both_orders=True, seed=0)
    assert calibration(mirrored, has_both_orders=True, seed=0) == found


def test_no_pair_at_all_gives_no_figure_and_no_fault():
    found = calibration([], has_both_orders=False, seed=0)
    assert found.overall.agreement is None and found.takes_longer is None and found.correction is None
