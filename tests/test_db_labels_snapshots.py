"""What a snapshot keeps is enough to read its rows again, on every database."""

from __future__ import annotations

from labelling_steps import curate_breads, pair_keys
from stored_labels import ANNA, judge, rows_of

from db.labels import snapshots


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
