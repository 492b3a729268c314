"""What people have said of the pairs of queues, counted by hand, on both databases."""

from __future__ import annotations

from queued_pairs import open_queue, store_pairs
from stored_labels import ANNA, BEN, judge

from db.labels.queueing.tallies import Tally, tallies


def test_verdicts_skips_people_and_agreement_are_told_apart_queue_by_queue(sessions):
    pairs = store_pairs(sessions, 3)
    queue, silent = open_queue(sessions, pairs[:2]), open_queue(sessions, pairs[2:], name="silent")
    judge(sessions, ANNA, pairs[0], "first")
    judge(sessions, BEN, pairs[0], "second")
    judge(sessions, ANNA, pairs[1], "skip")
    with sessions() as session:
        found = tallies(session, [queue, silent])
    assert found == {queue: Tally(2, 1, 2, 0.5), silent: Tally(0, 0, 0, None)}, "one vote each way"
