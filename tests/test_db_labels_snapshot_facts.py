"""What a snapshot is made of, counted, on every database; what came after it does not count."""

from __future__ import annotations

import pytest
from labelling_steps import curate_breads, own_row, pair_keys
from stored_labels import ANNA, BEN, judge, rows_of, take_snapshot
from stored_rows import add

from db.labels import snapshot_facts


@pytest.fixture
def snapshot_id(sessions):
    run_id = curate_breads(sessions)
    for pair in pair_keys(sessions, run_id):
        judge(sessions, ANNA, pair, "first")
    rows = rows_of(sessions, run_id)
    return take_snapshot(sessions, [rows[0]._replace(split="test", support=0.5), *rows[1:]], name="mine")


def test_rows_are_counted_by_strategy_split_model_and_source(sessions, snapshot_id):
    with sessions() as session:
        counts = snapshot_facts.count_rows(session, snapshot_id)
    assert counts.strategies == dict.fromkeys(("easy", "hard", "centroid", "random"), 6)
    assert counts.splits == {None: 5, "test": 1}
    assert counts.models == {None: (6, 6)}
    assert counts.sources == {"source": 6}
    assert counts.cut == 0 and counts.support == pytest.approx(5.5 / 6)
    assert len(counts.run_ids) == 1


def test_what_came_after_a_snapshot_does_not_count(sessions, snapshot_id):
    with sessions() as session:
        before = snapshot_facts.count_rows(session, snapshot_id)
        pairs = pair_keys(sessions, before.run_ids[0])
    judge(sessions, BEN, pairs[0], "second")
    add(sessions, own_row(1, "rye bread 1"), name="later", content_hash="1" * 64)
    with sessions() as session:
        assert snapshot_facts.count_rows(session, snapshot_id) == before
        found = snapshot_facts.judgements_before(session, snapshot_id, pairs)
    assert len(found) == 6 and len({one.annotator_id for one in found}) == 1


def test_a_snapshot_is_found_by_its_id_and_the_newest_of_a_name(sessions, snapshot_id):
    newer = take_snapshot(sessions, [], name="mine")
    with sessions() as session:
        assert snapshot_facts.find_snapshot(session, "mine") == newer != snapshot_id
        assert snapshot_facts.find_snapshot(session, str(snapshot_id)) == snapshot_id
        for unknown in ("other", "99", "9" * 40, ""):
            with pytest.raises(LookupError, match=f"there is no snapshot '{unknown}'; the newest is {newer}, 'mine'"):
                snapshot_facts.find_snapshot(session, unknown)


def test_where_there_is_no_snapshot_it_is_said_how_to_make_one(sessions):
    with sessions() as session, pytest.raises(LookupError, match="make one: antipode export FILE"):
        snapshot_facts.find_snapshot(session, "1")
