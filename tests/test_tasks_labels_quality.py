"""What is worth another look goes into a queue for people who have not judged it."""

from __future__ import annotations

import pytest
from labelling_steps import curate_breads, pair_keys
from sqlalchemy import text

from db.labels import judgements, preferences
from models.labelling.records import Judgement, person
from tasks.errors import NothingToDoError
from tasks.labels.quality import queue_second_look


@pytest.fixture
def run_id(sessions):
    return curate_breads(sessions)


def say(sessions, run_id, name, *verdicts):
    keys = pair_keys(sessions, run_id)
    with sessions.begin() as session:
        id_ = judgements.add_annotator(session, person(name))
        given = [Judgement(key, key[0], verdict) for key, verdict in zip(keys, verdicts, strict=False)]
        judgements.add_judgements(session, id_, given)
        preferences.recompute(session, keys)


def test_pairs_with_contradictory_votes_wait_for_one_person_more(settings, sessions, run_id):
    say(sessions, run_id, "anna", *["first"] * 6)
    say(sessions, run_id, "ben", "first", "second", "second")
    found = queue_second_look(run_id, "second look", strategies=(), settings=settings)
    assert (found.name, found.pairs, found.judgements_per_pair) == ("second look", 2, 3)
    with sessions() as session:
        held = session.execute(text("SELECT first_response_id, second_response_id, is_done FROM queue_pairs")).all()
    assert sorted(row[:2] for row in held) == sorted(map(tuple, pair_keys(sessions, run_id)[1:3]))
    assert not any(row.is_done for row in held)
    again = queue_second_look(run_id, "another name", strategies=(), settings=settings)
    assert again == found, "just these pairs are in a queue already"


def test_where_nobody_contradicts_anybody_there_is_nothing_to_look_at_again(settings, sessions, run_id):
    say(sessions, run_id, "anna", *["first"] * 6)
    with pytest.raises(NothingToDoError, match="no pair of run 1 is suspect"):
        queue_second_look(run_id, "second look", strategies=(), settings=settings)
