"""What queues count, on both databases: labels from elsewhere, and the books after any moves."""

from __future__ import annotations

import time
from datetime import UTC, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from queued_pairs import (
    LEASE_S,
    NOW,
    check_books,
    info,
    judge,
    judged,
    judgements,
    open_queue,
    person,
    places,
    store_pairs,
    take,
    undo,
)
from sqlalchemy import select
from surroundings import on_sqlite

from db.labels.judgements import add_judgements
from db.schema.labels import Lease, QueueMember
from models.labelling.records import Judgement, PairKey


def test_labels_that_are_there_are_not_asked_for_again(sessions):
    pairs = store_pairs(sessions, 3)
    ada, bob, machine = person(sessions, "ada"), person(sessions, "bob"), person(sessions, "judge", kind="judge")
    with sessions.begin() as session:
        for who, pair, verdict in (
            (ada, pairs[0], "first"), (bob, pairs[0], "tie"), (ada, pairs[1], "skip"), (machine, pairs[2], "first"),
        ):  # fmt: skip
            add_judgements(session, who, [Judgement(pair, pair[0], verdict)])
    queue = open_queue(sessions, pairs, k=2)
    counts = {pair: (count, done) for pair, count, done in places(sessions, queue)}
    assert counts == {pairs[0]: (2, True), pairs[1]: (0, False), pairs[2]: (0, False)}
    assert info(sessions, queue).done_count == 1
    assert judged(sessions, queue, ada).pair == pairs[2]
    assert take(sessions, queue, ada) is None


def test_opening_a_queue_again_counts_what_was_imported_since(sessions):
    pairs = store_pairs(sessions, 2)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs)
    with sessions.begin() as session:
        add_judgements(session, ada, [Judgement(pairs[0], pairs[0][0], "first")])
    assert open_queue(sessions, pairs) == queue
    assert info(sessions, queue).done_count == 1


moves = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["take", "left", "right", "skip", "undo", "wait"])), max_size=40
)


@on_sqlite
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=moves, k=st.integers(1, 3), shared=st.integers(0, 6))
def test_whatever_people_do_the_books_are_right(sessions, moves, k, shared):
    """After every move the tables equal what a count of all judgements gives, and a pair is refused for a reason."""
    name = f"example {time.monotonic_ns()}"
    pairs = store_pairs(sessions, 6, prompt=name)
    people = [person(sessions, f"{who} of {name}") for who in ("ada", "bob", "cy")]
    queue, other = open_queue(sessions, pairs, k=k), open_queue(sessions, pairs[: shared or 1], k=k + 1)
    now, shown = NOW, {}
    for who, move in ((people[at], move) for at, move in moves):
        now += timedelta(seconds=LEASE_S if move == "wait" else 1)
        if move == "take":
            expected = expected_next(sessions, queue, who, now)
            shown[who] = take(sessions, queue, who, now)
            assert (shown[who] and shown[who].pair) == expected
        elif move == "undo":
            newest = [j for j in judgements(sessions) if j[0] == who][-1:]
            if newest and newest[0][3] == "skip" and not has_room(sessions, newest[0][1], who, k, now):
                with pytest.raises(ValueError, match="your skip stays"):
                    undo(sessions, queue, who, now)
                continue
            shown[who] = undo(sessions, queue, who, now)
            assert ([(who, shown[who].pair, shown[who].left_response_id)] if shown[who] else []) == [
                j[:3] for j in newest
            ]
        elif move != "wait" and shown.get(who):
            is_judged = any(j[:2] == (who, shown[who].pair) for j in judgements(sessions))
            if is_judged or shown[who].pair == holdings(sessions).get(who, (None,))[0]:
                assert judge(sessions, shown[who], who, move, now=now) is not is_judged
            else:
                with pytest.raises(ValueError, match="not on this pair as it lies before you now"):
                    judge(sessions, shown[who], who, move, now=now)
        assert max((count for _, count, _ in places(sessions, queue)), default=0) <= k
        for one, wanted in ((queue, k), (other, k + 1)):
            check_books(sessions, one, wanted)


def holdings(sessions):
    """What lies before each person, and until when."""
    with sessions() as session:
        return {
            lease.annotator_id: (PairKey(lease.first_response_id, lease.second_response_id), lease.expires_at)
            for lease in session.scalars(select(Lease))
        }


def has_room(sessions, pair, who, wanted, now):
    """Whether the pair waits for one more person than have judged it or hold it."""
    people = {by for by, of, _, verdict in judgements(sessions) if of == pair and verdict != "skip"}
    people |= {
        by
        for by, (of, until) in holdings(sessions).items()
        if of == pair and by != who and until.replace(tzinfo=UTC) > now
    }
    return len(people) < wanted


def expected_next(sessions, queue, who, now):
    """What `take_next` must give, by looking at everything."""
    with sessions() as session:
        stored = session.scalars(select(Lease)).all()
        member = session.get(QueueMember, (queue, who))
        cursor = member.position if member else 0
    judged = {pair for by, pair, *_ in judgements(sessions) if by == who}
    for lease in stored:
        pair = PairKey(lease.first_response_id, lease.second_response_id)
        if (lease.queue_id, lease.annotator_id) == (queue, who) and pair not in judged:
            return pair
    held = {
        PairKey(x.first_response_id, x.second_response_id)
        for x in stored
        if x.annotator_id != who and x.expires_at.replace(tzinfo=UTC) > now
    }
    placed = list(enumerate(places(sessions, queue), 1))
    free = [(at, p) for at, (p, _, done) in placed if not done and p not in judged and p not in held]
    return next((p for at, p in free if at > cursor), free[0][1] if free else None)
