"""What a snapshot is made of is read without its other columns: the same lineage and texts, on every database."""

from __future__ import annotations

from labelling_steps import curate_breads, pair_keys
from stored_labels import ANNA, BEN, judge, rows_of

from db.labels import snapshots
from models.exchange.trainers import content_hash


def test_lineage_and_texts_are_those_of_the_whole_rows(sessions):
    run_id = curate_breads(sessions)
    for at, pair in enumerate(pair_keys(sessions, run_id)):
        judge(sessions, ANNA, pair, "first" if at % 2 else "second")
        judge(sessions, BEN, pair, "first")
    rows = rows_of(sessions, run_id)
    assert rows
    with sessions() as session:
        found = snapshots.preference_texts(session, "majority", run_id=run_id, strategies=(), min_support=0.0)
        lineages, texts = zip(*found, strict=True)
    assert list(lineages) == [snapshots.lineage(row) for row in rows]
    assert [tuple(one) for one in texts] == [(row.prompt, row.chosen, row.rejected) for row in rows]
    assert content_hash(texts) == content_hash(rows)


def test_a_stored_snapshot_gives_the_rows_that_it_was_taken_of(sessions):
    run_id = curate_breads(sessions)
    for pair in pair_keys(sessions, run_id):
        judge(sessions, ANNA, pair, "second")
    rows = rows_of(sessions, run_id)
    with sessions.begin() as session:
        id_ = snapshots.add_snapshot(
            session, [snapshots.lineage(row) for row in rows], name="mine", content_hash="0", query={}
        )
    with sessions() as session:
        assert list(snapshots.snapshot_rows(session, id_)) == rows
