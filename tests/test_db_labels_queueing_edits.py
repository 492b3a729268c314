"""Better responses that people write, on both databases: stored, taken back, exported, counted as new labels."""

from __future__ import annotations

import pytest
from curation_steps import configured, curate
from labelling_steps import pair_keys
from queued_pairs import info, judge, open_queue, person, take, undo
from sqlalchemy import select
from sqlalchemy import text as sql
from stored_labels import rows_of, stored
from stored_rows import add, row
from surroundings import on_sqlite

from db.labels.leases import Lease
from db.labels.new_labels import new_labels
from db.labels.preferences import preferences_of
from db.labels.queueing import edits, settings
from db.schema.curation import Generator, Response
from models.labelling.records import PairKey


@pytest.fixture
def queue(sessions):
    """A queue that takes edits, of the pairs of the first of two runs."""
    add(sessions, *(row(at, f"prompt {at}", f"a {at}", f"b {at}") for at in range(2)))
    queue_id = open_queue(sessions, pair_keys(sessions, curate(configured())))
    with sessions.begin() as session:
        settings.set_options(session, queue_id, has_editing=True)
    return queue_id


def save(sessions, shown, who, text, original_id=None):
    with sessions.begin() as session:
        showing = Lease(shown.pair, shown.left_response_id, shown.shown_at)
        original_id = original_id or shown.left_response_id
        return edits.save(
            session, shown.queue_id, who, showing=showing, original_id=original_id, text=text, guidelines_version=2
        )


def new(sessions, run_id=None, strategies=()):
    with sessions() as session:
        return new_labels(session, snapshot_id=None, run_id=run_id, strategies=strategies, min_support=0.0).new


def test_an_edit_is_a_response_of_its_own_that_its_author_prefers_and_the_pair_still_waits(sessions, queue):
    ada = person(sessions, "ada")
    shown = take(sessions, queue, ada)
    with sessions() as session:
        assert edits.texts(session, queue, ada) == {
            shown.left_response_id: shown.left, sum(shown.pair) - shown.left_response_id: shown.right
        }  # fmt: skip
    assert save(sessions, shown, ada, "better") is True
    [judgement] = stored(sessions)
    pair = PairKey(judgement.first_response_id, judgement.second_response_id)
    with sessions() as session:
        written = session.get_one(Response, pair.second_response_id)
        assert (pair.first_response_id, written.text) == (shown.left_response_id, "better")
        assert session.get_one(Generator, written.generator_id).backend == "person"
        assert preferences_of(session, "majority", [pair])[pair].outcome == "second"
    assert (judgement.verdict, judgement.annotator_id, judgement.guidelines_version) == ("second", ada, 2)
    assert info(sessions, queue).judged_count == 0
    assert take(sessions, queue, ada).pair == shown.pair
    assert undo(sessions, queue, ada) is None
    judge(sessions, shown, ada)
    assert info(sessions, queue).judged_count == 1


def test_an_edit_takes_the_place_of_the_one_before_and_the_original_takes_it_back(sessions, queue):
    ada = person(sessions, "ada")
    shown = take(sessions, queue, ada)
    for text in ("better", "still better"):
        assert save(sessions, shown, ada, text)
    [judgement] = stored(sessions)
    with sessions() as session:
        assert session.get_one(Response, judgement.second_response_id).text == "still better"
    assert save(sessions, shown, ada, shown.left) is False
    assert stored(sessions) == [] and rows_of(sessions, None) == []


def test_exports_and_new_labels_have_edits_of_all_runs_or_of_the_one_asked_for(sessions, queue):
    ada, bob = person(sessions, "ada"), person(sessions, "bob")
    shown = take(sessions, queue, ada)
    save(sessions, shown, ada, "better")
    [found] = rows_of(sessions, None)
    assert (found.chosen, found.rejected, found.strategies) == ("better", shown.left, ("edit",))
    assert (found.run_id, found.similarity, found.chosen_model) == (None, None, None)
    assert rows_of(sessions, 1) == rows_of(sessions, None, strategies=("edit", "easy")) == [found]
    pair = PairKey(found.rejected_response_id, found.chosen_response_id)
    with sessions() as session:
        assert edits.pair_keys(session, 1) == edits.pair_keys(session, None, strategies=("edit",)) == [pair]
        assert edits.pair_keys(session, 2) == edits.pair_keys(session, None, strategies=("easy",)) == []
    assert rows_of(sessions, 2) == rows_of(sessions, None, strategies=("easy",)) == []
    counts = [new(sessions, **asked) for asked in ({}, {"run_id": 1}, {"run_id": 2}, {"strategies": ("easy",)})]
    assert counts == [1, 1, 0, 0]
    judge(sessions, shown, ada)
    assert len(rows_of(sessions, None)) == new(sessions) == 2
    other = take(sessions, queue, bob)
    save(sessions, other, bob, "other", original_id=other.pair.second_response_id)
    assert len(rows_of(sessions, 1)) == 3


def test_what_an_author_says_of_their_edit_counts_in_the_queue_that_holds_it(sessions, queue):
    ada, bob = person(sessions, "ada"), person(sessions, "bob")
    shown = take(sessions, queue, ada)
    save(sessions, shown, ada, "better")
    with sessions() as session:
        [pair] = edits.pair_keys(session, None)
    other = open_queue(sessions, [pair], k=2)
    assert info(sessions, other).judged_count == 1
    judge(sessions, shown, ada, "skip")
    again = take(sessions, queue, bob)
    while again.pair != shown.pair:
        judge(sessions, again, bob, "skip")
        again = take(sessions, queue, bob)
    save(sessions, again, bob, "better", original_id=pair.first_response_id)
    assert (info(sessions, other).judged_count, info(sessions, other).done_count) == (2, 1)
    original = again.left if again.left_response_id == pair.first_response_id else again.right
    assert save(sessions, again, bob, original, original_id=pair.first_response_id) is False
    assert (info(sessions, other).judged_count, info(sessions, other).done_count) == (1, 0)


@on_sqlite
def test_the_edits_of_a_run_are_found_by_their_originals_and_not_among_all_its_pairs(sessions, queue):
    query = edits.edited_pairs(1, ()).compile(sessions.kw["bind"], compile_kwargs={"literal_binds": True})
    with sessions() as session:
        plan = [step[-1] for step in session.execute(sql(f"EXPLAIN QUERY PLAN {query}"))]
    assert not any("run_id" in step for step in plan)
    for column in ("first_response_id", "second_response_id"):
        assert any(step.startswith("SEARCH pairs") and f"({column}=?" in step for step in plan), plan


def test_what_is_no_edit_is_refused(sessions, queue):
    ada, bob = person(sessions, "ada"), person(sessions, "bob")
    shown = take(sessions, queue, ada)
    for who, text, words in (
        (ada, " \n", "1 to 16,000 characters, got 2"),
        (ada, "x" * 16_001, "got 16,001"),
        (bob, "better", "not of a pair as it lies before you now"),
    ):
        with pytest.raises(ValueError, match=words):
            save(sessions, shown, who, text)
    with pytest.raises(ValueError, match="not of a pair"):
        save(sessions, shown, ada, "better", original_id=max(shown.pair) + 1)
    with sessions.begin() as session:
        settings.set_options(session, queue, has_editing=False)
    with pytest.raises(ValueError, match=f"queue {queue} takes no edits"):
        save(sessions, shown, ada, "better")
    with sessions() as session:
        assert session.scalars(select(Response).filter_by(text="better")).all() == []
