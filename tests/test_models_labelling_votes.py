"""A vote is what an annotator's showings agree on; a table holds everyone's."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labelling.records import Verdict
from models.labelling.votes import EXCHANGED, VOTES, Vote, VoteTable, annotator_vote

VERDICTS: tuple[Verdict, ...] = ("first", "second", "tie", "both_bad", "skip", "unparsed")


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


def test_a_table_gives_counts_and_votes_back() -> None:
    table = VoteTable((7, 5), np.array([[0, -1, 3], [0, -1, 1]], dtype=np.int8))
    assert table.counts.tolist() == [[2, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]]
    assert table.by_pair == [{7: "first", 5: "first"}, {}, {7: "both_bad", 5: "second"}]
    empty = VoteTable((), np.zeros((0, 2), dtype=np.int8))
    assert empty.counts.tolist() == [[0] * 4] * 2
    assert empty.by_pair == [{}, {}]


def test_exchanging_the_responses_exchanges_first_and_second_alone() -> None:
    assert [VOTES[code] for code in EXCHANGED] == ["second", "first", "tie", "both_bad"]
