"""Queues for people on both databases: verdicts and sides, skips, seconds, undoing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from queued_pairs import (
    NOW,
    info,
    judge,
    judged,
    judgements,
    open_queue,
    person,
    places,
    progress,
    store_pairs,
    take,
    undo,
)
from sqlalchemy import select
from surroundings import on_sqlite

from db.labels import queues
from db.labels.leases import Lease
from db.schema.curation import Response
from db.schema.labels import Lease as StoredLease
from db.schema.labels import Preference
from models.labelling.records import PairKey
from web.contents import queue_content


def test_a_queue_is_labelled_to_the_end(sessions):
    pairs = store_pairs(sessions, 3)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs, name="hard pairs")
    seen = []
    while (shown := take(sessions, queue, ada)) is not None:
        assert shown.prompt.text == "prompt"
        with sessions() as session:
            texts = {id_: session.get(Response, id_).text for id_ in shown.pair}
        assert shown.left == texts.pop(shown.left_response_id)
        assert [shown.right] == list(texts.values())
        assert judge(sessions, shown, ada, seconds=2.0, now=NOW + timedelta(seconds=5))
        seen.append(shown.pair)
    assert sorted(seen) == pairs
    assert seen == [pair for pair, *_ in places(sessions, queue)]
    shown = info(sessions, queue)
    assert (shown.id, shown.name, shown.judgements_per_pair, shown.pair_count, shown.done_count) == (
        queue, "hard pairs", 1, 3, 3
    )  # fmt: skip
    assert progress(sessions, queue, ada) == queues.QueueProgress(3, 3, 3, 3, 3, 0, (2.0, 2.0, 2.0))


def test_a_thought_lies_folded_before_its_answer_on_its_side(sessions):
    pairs = store_pairs(sessions, 1)
    with sessions.begin() as session:
        session.get(Response, pairs[0].first_response_id).thought = "hm"
    shown = take(sessions, open_queue(sessions, pairs), person(sessions, "ada"))
    is_left = shown.left_response_id == pairs[0].first_response_id
    assert (shown.left_thought, shown.right_thought) == (("hm", None) if is_left else (None, "hm"))
    content = queue_content(
        info(sessions, shown.queue_id), shown, progress(sessions, shown.queue_id, shown.queue_id)
    ).pair
    thinking, other = (content.left, content.right) if is_left else (content.right, content.left)
    assert thinking.startswith('<details class="thought"><summary>') and "<details" not in other


def test_a_verdict_on_a_side_is_stored_as_the_response_it_was_given_for(sessions):
    pairs = store_pairs(sessions, 6)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs)
    expected = []
    for verdict in ("left", "right", "left", "right", "tie", "both_bad"):
        shown = take(sessions, queue, ada)
        better = {"left": shown.left_response_id, "right": sum(shown.pair) - shown.left_response_id}.get(verdict)
        word = {shown.pair[0]: "first", shown.pair[1]: "second", None: verdict}[better]
        judge(sessions, shown, ada, verdict)
        expected.append((ada, shown.pair, shown.left_response_id, word))
    assert judgements(sessions) == expected
    with sessions() as session:
        outcomes = {(p.first_response_id, p.second_response_id): p.outcome for p in session.scalars(select(Preference))}
    assert outcomes == {pair: word for _, pair, _, word in expected}


def test_the_same_pairs_for_as_many_people_are_the_same_queue(sessions):
    pairs = store_pairs(sessions, 4)
    queue = open_queue(sessions, pairs, k=2, name="one")
    assert open_queue(sessions, [*reversed(pairs), pairs[0]], k=2, name="other", seed=1) == queue
    found = info(sessions, queue)
    assert (found.id, found.name, found.judgements_per_pair, found.pair_count, found.done_count) == (
        queue, "one", 2, 4, 0
    )  # fmt: skip
    others = [open_queue(sessions, pairs, k=1), open_queue(sessions, pairs[1:], k=2)]
    assert len({queue, *others}) == 3
    with sessions() as session:
        assert [q.id for q in queues.list_queues(session)] == sorted((queue, *others), reverse=True)


@on_sqlite
def test_the_seed_draws_the_order(sessions):
    pairs = store_pairs(sessions, 40)
    orders = [[p for p, *_ in places(sessions, open_queue(sessions, pairs, k=k, seed=s))] for k, s in ((1, 0), (2, 0))]
    other = [p for p, *_ in places(sessions, open_queue(sessions, pairs, k=3, seed=1))]
    assert orders[0] == orders[1] != other
    assert pairs != orders[0]
    assert sorted(orders[0]) == sorted(other) == pairs


@on_sqlite
def test_what_cannot_be_a_queue_is_refused(sessions):
    (pair,) = store_pairs(sessions, 1)
    with pytest.raises(ValueError, match=r"at least 1 pair.*got 0 pairs"):
        open_queue(sessions, [])
    with pytest.raises(ValueError, match="judgements_per_pair = 0"):
        open_queue(sessions, [pair], k=0)
    with pytest.raises(ValueError, match="must be the lower one"):
        open_queue(sessions, [PairKey(pair[1], pair[0])])


def test_a_skip_does_not_count_and_the_pair_goes_to_someone_else(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, [pair])
    judge(sessions, take(sessions, queue, ada), ada, "skip", seconds=1.5, now=NOW + timedelta(seconds=9))
    assert take(sessions, queue, ada) is None
    assert places(sessions, queue) == [(pair, 0, False)]
    assert progress(sessions, queue, ada) == queues.QueueProgress(1, 0, 1, 0, 0, 1, (1.5,))
    judge(sessions, take(sessions, queue, bob), bob)
    assert places(sessions, queue) == [(pair, 1, True)]
    assert progress(sessions, queue, bob) == queues.QueueProgress(1, 1, 1, 1, 1, 0, ())


def test_a_double_click_is_one_judgement(sessions):
    pairs = store_pairs(sessions, 2)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs, k=2)
    shown = take(sessions, queue, ada)
    assert judge(sessions, shown, ada, "left")
    following = take(sessions, queue, ada)
    assert not judge(sessions, shown, ada, "right")
    assert take(sessions, queue, ada) == following, "the second click leaves the pair that lies there now"
    assert len(judgements(sessions)) == 1
    assert info(sessions, queue).done_count == 0


@on_sqlite
def test_a_pair_seen_from_the_other_side_is_judged_already(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, queue = person(sessions, "ada"), open_queue(sessions, [pair], k=2)
    shown = take(sessions, queue, ada)
    assert judge(sessions, shown, ada)
    assert not judge(sessions, replace(shown, left_response_id=sum(pair) - shown.left_response_id), ada)


@on_sqlite
def test_seconds_are_at_most_those_since_the_pair_was_given(sessions):
    pairs = store_pairs(sessions, 3)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs)
    for claimed, since in ((4.0, 10), (90.0, 10), (None, 10)):
        judge(sessions, take(sessions, queue, ada), ada, seconds=claimed, now=NOW + timedelta(seconds=since))
    assert progress(sessions, queue, ada).recent_seconds == (10.0, 4.0)


@on_sqlite
def test_only_the_last_twenty_times_are_recent(sessions):
    pairs = store_pairs(sessions, 22)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs)
    for at in range(22):
        judge(sessions, take(sessions, queue, ada), ada, seconds=float(at), now=NOW + timedelta(hours=1))
    assert progress(sessions, queue, ada).recent_seconds == tuple(float(at) for at in range(21, 1, -1))


@on_sqlite
def test_what_is_no_verdict_of_a_person_on_a_pair_of_the_queue_is_refused(sessions):
    pairs = store_pairs(sessions, 2)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs[:1])
    shown = take(sessions, queue, ada)
    lease = Lease(shown.pair, shown.left_response_id, shown.shown_at)
    wanted = {"showing": lease, "verdict": "left", "seconds": None, "now": NOW}
    for change, error, message in (
        ({"verdict": "unparsed"}, ValueError, "must be one of left, right, tie, both_bad, skip, got 'unparsed'"),
        ({"showing": replace(lease, left_response_id=pairs[1][1])}, ValueError, "not on this pair as it lies before"),
        ({"showing": replace(lease, shown_at=NOW + timedelta(seconds=1))}, ValueError, "not on this pair as it lies"),
        ({"showing": replace(lease, pair=pairs[1])}, LookupError, rf"is not in queue {queue} \(queue\)"),
    ):
        with sessions.begin() as session, pytest.raises(error, match=message):
            queues.record_verdict(session, queue, ada, **(wanted | change))
    with sessions.begin() as session:
        for call in (
            lambda: queues.get_queue(session, 99),
            lambda: queues.take_next(session, 99, ada, now=NOW, lease_s=1),
            lambda: queues.undo_last(session, 99, ada, now=NOW, lease_s=1),
            lambda: queues.queue_progress(session, 99, ada),
            lambda: queues.record_verdict(session, 99, ada, **wanted),
        ):
            with pytest.raises(LookupError, match=rf"there is no queue 99; there are: {queue} \(queue\)"):
                call()
    assert judgements(sessions) == []


def test_undo_takes_the_newest_back_and_shows_it_as_it_was(sessions):
    pairs = store_pairs(sessions, 4)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs)
    assert undo(sessions, queue, ada) is None
    first, second = [judged(sessions, queue, ada, verdict) for verdict in ("left", "skip")]
    third = take(sessions, queue, ada)
    later = NOW + timedelta(seconds=30)
    back = undo(sessions, queue, ada, later)
    assert (back.pair, back.left_response_id, back.left) == (second.pair, second.left_response_id, second.left)
    assert back.shown_at == later
    assert undo(sessions, queue, ada).pair == first.pair
    assert undo(sessions, queue, ada) is None
    assert take(sessions, queue, ada).pair == first.pair, "the pair taken back is held"
    assert info(sessions, queue).done_count == 0
    with sessions() as session:
        assert session.scalars(select(Preference)).all() == []
        assert session.scalars(select(StoredLease)).one().annotator_id == ada
    for expected in (first, second, third):
        assert judged(sessions, queue, ada, "right").pair == expected.pair, "what was taken back comes in order again"


def test_undo_opens_a_done_pair_again_and_leaves_other_queues_and_people_alone(sessions):
    pairs = store_pairs(sessions, 2)
    ada, bob = person(sessions, "ada"), person(sessions, "bob")
    queue = open_queue(sessions, pairs, k=2)
    first = places(sessions, queue)[0][0]
    other = open_queue(sessions, [first], k=1)
    assert [judged(sessions, queue, who, "tie").pair for who in (ada, bob)] == [first, first]
    assert (info(sessions, queue).done_count, info(sessions, other).done_count) == (1, 1)
    assert undo(sessions, other, ada) is None, "it was judged in the other queue"
    assert undo(sessions, queue, ada).pair == first
    assert (info(sessions, queue).done_count, info(sessions, other).done_count) == (0, 1)
    assert [who for who, *_ in judgements(sessions)] == [bob]
