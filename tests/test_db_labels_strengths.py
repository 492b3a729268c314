"""How strongly a response is preferred, from the judgements to the rows of a snapshot."""

from __future__ import annotations

import pytest
from curation_steps import configured, curate
from labelling_steps import OWN, own_row, pair_keys
from sqlalchemy import select
from stored_labels import ANNA, BEN, judge, rows_of, take_snapshot
from stored_rows import add

from db.labels import judgements, preferences, snapshots
from db.schema import labels
from models.exchange.trainers import as_record
from models.labelling.records import AnnotatorIdentity, Judgement

CARL = AnnotatorIdentity("person", "carl")
JUDGE = AnnotatorIdentity("judge", "both orders", has_both_orders=True)


@pytest.fixture
def run_id(sessions):
    add(sessions, own_row(1, "rye", "wheat"), own_row(2, "oats", "spelt"))
    return curate(configured(**OWN))


def strength_of(sessions, pair, rule="majority"):
    with sessions() as session:
        return preferences.preferences_of(session, rule, [pair])[pair].strength


def test_a_preference_is_as_strong_as_those_who_agree_say_on_average(sessions, run_id):
    pair, other = pair_keys(sessions, run_id)
    judge(sessions, ANNA, pair, "first", strength=0.5)
    assert strength_of(sessions, pair) == 0.5
    judge(sessions, BEN, pair, "first", strength=1.0)
    assert strength_of(sessions, pair) == 0.75
    judge(sessions, CARL, pair, "second", strength=0.1)
    assert strength_of(sessions, pair) == 0.75, "who disagrees does not count"
    judge(sessions, AnnotatorIdentity("person", "dora"), pair, "first")
    assert strength_of(sessions, pair) == 0.75, "who says nothing does not count"
    judge(sessions, ANNA, other, "first")
    assert strength_of(sessions, other) is None
    judge(sessions, BEN, other, "second", strength=1.0)
    assert strength_of(sessions, other) is None, "a contradiction has none"


def test_only_chosen_annotators_and_both_orders_count(sessions, run_id):
    pair = pair_keys(sessions, run_id)[0]
    judge(sessions, ANNA, pair, "first", strength=0.5)
    for left, strength in zip(pair, (0.2, 0.4), strict=True):
        judge(sessions, JUDGE, pair, "first", left=left, strength=strength)
    assert strength_of(sessions, pair) == pytest.approx((0.5 + 0.3) / 2)
    with sessions.begin() as session:
        ids = judgements.find_annotators(session, [ANNA.name])
        preferences.recompute(session, [pair], of=ids, name="anna alone")
    assert strength_of(sessions, pair, "anna alone") == 0.5


def test_a_changed_strength_changes_the_preference_but_no_snapshot(sessions, run_id):
    pair = pair_keys(sessions, run_id)[0]
    judge(sessions, ANNA, pair, "first", strength=0.5)
    rows = rows_of(sessions, run_id)
    assert [row.strength for row in rows] == [0.5]
    assert as_record(rows[0], "conversational")["strength"] == 0.5
    snapshot_id = take_snapshot(sessions, rows)
    assert take_snapshot(sessions, rows) == snapshot_id
    with sessions.begin() as session:
        annotator_id = judgements.add_annotator(session, ANNA)
        judgements.correct_judgements(session, annotator_id, [Judgement(pair, pair[0], "first", strength=1.0)])
        assert preferences.recompute(session, [pair]).changed == 1
    with sessions() as session:
        assert [row.strength for row in snapshots.snapshot_rows(session, snapshot_id)] == [0.5]
    assert [row.strength for row in rows_of(sessions, run_id)] == [1.0]
    assert take_snapshot(sessions, rows_of(sessions, run_id)) != snapshot_id, "other strengths are another snapshot"


def test_a_correction_keeps_the_queue_and_what_is_not_there_is_not_corrected(sessions, run_id):
    pair = pair_keys(sessions, run_id)[0]
    judge(sessions, ANNA, pair, "first", seconds=3.0)
    with sessions.begin() as session:
        stored = session.scalars(select(labels.Judgement)).one()
        annotator_id, id_ = stored.annotator_id, stored.id
        judgements.correct_judgements(session, annotator_id, [Judgement(pair, pair[1], "tie")])
        corrected = session.scalars(select(labels.Judgement)).one()
        assert (corrected.id, corrected.verdict, corrected.left_response_id) == (id_, "tie", pair[1])
        assert corrected.seconds is None
        with pytest.raises(LookupError, match="has no judgement of the pair"):
            judgements.correct_judgements(session, annotator_id + 1, [Judgement(pair, pair[1], "tie")])
