"""How certain labels are, worked by hand: agreement, accuracy, clarity, score gaps."""

from __future__ import annotations

import pytest

from models.labelling.records import PairKey
from models.quality.records import LabelledPair
from models.studies.certainty import MEASURES, Said, certainty

ONE, OTHER = PairKey(1, 2), PairKey(3, 4)


def pair(key=ONE, *, similarity=0.5, first=40, second=50, prompt_id=7):
    return LabelledPair(key, "prompt", ("easy",), similarity, first, second, prompt_id)


def value(measure, said, **options):
    found = certainty(measure, [pair()], {ONE: said}, **options)
    return found.values.tolist()


def test_agreement_is_the_share_of_couples_that_are_equal():
    assert value("agreement", Said({1: "first", 2: "first", 3: "tie"})) == [pytest.approx(1 / 3)]
    assert value("agreement", Said({1: "second", 2: "second"})) == [1.0]
    assert value("agreement", Said({1: "first", 2: "second"})) == [0.0]
    assert value("agreement", Said({1: "first"})) == []


def test_accuracy_counts_a_tie_half_and_needs_gold_for_a_side():
    votes = {1: "first", 2: "second", 3: "tie", 4: "first"}
    assert value("accuracy", Said(votes, gold="first")) == [(1 + 0 + 0.5 + 1) / 4]
    assert value("accuracy", Said(votes, gold="second"), annotator=2) == [1.0]
    assert value("accuracy", Said(votes, gold="first"), annotator=9) == []
    assert value("accuracy", Said(votes, gold="tie")) == []
    assert value("accuracy", Said(votes)) == []


def test_clarity_is_the_size_of_the_mean_grade():
    assert value("clarity", Said({1: "first", 2: "second"}, {1: 1.0, 2: 0.5})) == [0.25]
    assert value("clarity", Said({1: "second"}, {1: 0.5})) == [0.5]
    assert value("clarity", Said({1: "first"})) == []


def test_a_tie_of_who_grades_elsewhere_is_no_clarity_and_of_others_no_grade():
    said = {ONE: Said({1: "tie"}), OTHER: Said({1: "first", 2: "tie"}, {1: 1.0})}
    assert certainty("clarity", [pair(), pair(OTHER)], said).values.tolist() == [0.0, 1.0]


def test_score_gaps_have_no_sign():
    assert value("score gap", Said({}, scores=(2.0, 5.5))) == [3.5]
    assert value("score gap", Said({1: "first"})) == []


def test_a_pair_brings_its_similarity_length_ratio_and_prompt():
    found = certainty("agreement", [pair()], {ONE: Said({1: "first", 2: "first"})})
    assert (found.similarity.tolist(), found.length_ratio.tolist(), found.prompts.tolist()) == ([0.5], [0.8], [7])
    empty = certainty("agreement", [pair(first=0, second=0)], {ONE: Said({1: "tie", 2: "tie"})})
    assert empty.length_ratio.tolist() == [0.0]


def test_pairs_that_were_not_embedded_or_not_labelled_are_left_out():
    said = {ONE: Said({1: "first", 2: "first"}, {1: 1.0}, "first", (1.0, 2.0))}
    for measure in MEASURES:
        assert len(certainty(measure, [pair(similarity=None), pair(OTHER)], said).values) == 0
        assert len(certainty(measure, [pair()], said).values) == 1
