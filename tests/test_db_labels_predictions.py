"""What a head expects of pairs, stored by run and shown in a view."""

from __future__ import annotations

from dataclasses import replace

import pytest
from labelling_steps import curate_breads, pair_keys
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from stored_labels import ANNA, judge, predictions_of

from db.labels.predictions import Prediction, forget_predictions, store_predictions


@pytest.fixture
def run_id(sessions):
    return curate_breads(sessions)


def expected(pair, probability=0.75, low=0.6, high=0.875, **changes):
    return replace(Prediction(*pair, probability, low, high, 1.25, 0.5, 40), **changes)


def view(sessions):
    with sessions() as session:
        return session.execute(text("SELECT * FROM predicted_preferences ORDER BY first_response_id")).mappings().all()


def test_what_is_stored_is_read_again_and_a_newer_prediction_takes_its_place(sessions, run_id):
    first, second, third, *_ = pair_keys(sessions, run_id)
    for probability in (0.75, 0.625):
        with sessions.begin() as session:
            store_predictions(session, run_id, [expected(first, probability), expected(second)])
    with sessions() as session:
        found = predictions_of(session, run_id, [third, second, first])
        assert predictions_of(session, run_id + 1, [first]) == {}
    assert found.keys() == {first, second}
    assert all(one.pair == pair and one.created_at.tzinfo for pair, one in found.items())
    assert replace(found[first], created_at=None) == expected(first, 0.625)
    with sessions.begin() as session:
        forget_predictions(session, run_id)
    assert view(sessions) == []


def test_no_pair_is_no_prediction(sessions, run_id):
    with sessions.begin() as session:
        store_predictions(session, run_id, [])
        assert predictions_of(session, run_id, []) == {}


def test_the_view_says_what_is_confident_and_what_was_said_since(sessions, run_id):
    first, second, third, *_ = pair_keys(sessions, run_id)
    with sessions.begin() as session:
        few = [expected(first), expected(second, 0.25, 0.1, 0.4), expected(third, 0.55, 0.3, 0.8)]
        store_predictions(session, run_id, few)
    judge(sessions, ANNA, second, "tie")
    rows = view(sessions)
    assert [bool(row["is_confident"]) for row in rows] == [True, True, False]
    assert [row["outcome"] for row in rows] == [None, "tie", None]
    assert [(row["first_response"], row["second_response"]) for row in rows[:1]] == [("rye bread 1", "wheat 1")]
    assert rows[0]["prompt"] == "prompt 1" and rows[0]["label_count"] == 40


def test_a_pair_the_wrong_way_round_is_refused(sessions, run_id):
    first, second = pair_keys(sessions, run_id)[0]
    with pytest.raises(IntegrityError), sessions.begin() as session:
        store_predictions(session, run_id, [expected((second, first))])
