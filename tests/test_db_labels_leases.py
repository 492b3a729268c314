"""Who is given which pair, on both databases: leases, overlap, sides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta, timezone

import pytest
from queued_pairs import LEASE_S, NOW, info, judge, judged, open_queue, person, places, store_pairs, take, undo
from sqlalchemy import select, text
from surroundings import on_postgresql, on_sqlite

from db.labels import leases, queues
from db.labels.judgements import add_judgements
from db.schema.labels import Lease
from models.labelling.records import Judgement, PairKey


def test_a_reload_shows_the_same_pair_with_the_same_sides_and_renews_the_lease(sessions):
    pairs = store_pairs(sessions, 10)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, pairs)
    shown = take(sessions, queue, ada)
    almost = NOW + timedelta(seconds=LEASE_S - 1)
    assert take(sessions, queue, ada, almost) == shown
    assert take(sessions, queue, bob, NOW + timedelta(seconds=LEASE_S + 1)).pair != shown.pair
    assert shown.shown_at == NOW and shown.shown_at.tzinfo == UTC


def test_a_pair_lies_before_one_person_until_the_lease_expires(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, [pair], k=2)
    first = take(sessions, queue, ada)
    late = NOW + timedelta(seconds=LEASE_S)
    assert take(sessions, queue, bob, late - timedelta(seconds=1)) is None
    taken_over = take(sessions, queue, bob, late)
    assert taken_over.pair == pair
    assert take(sessions, queue, ada, late) is None
    with pytest.raises(ValueError, match="not on this pair as it lies before you now"):
        judge(sessions, first, ada, now=late)
    assert judge(sessions, taken_over, bob, now=late)
    assert judged(sessions, queue, ada).pair == pair, "it waits for a second person"
    assert info(sessions, queue).done_count == 1


def test_a_verdict_that_comes_late_is_kept_while_nobody_has_taken_the_pair_over(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, queue = person(sessions, "ada"), open_queue(sessions, [pair])
    shown = take(sessions, queue, ada)
    assert judge(sessions, shown, ada, now=NOW + timedelta(days=1))


def test_times_of_other_zones_are_compared_as_the_same_clock(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, [pair])
    west = NOW.astimezone(timezone(timedelta(hours=-8)))
    assert take(sessions, queue, ada, west).shown_at == NOW
    assert take(sessions, queue, bob, NOW + timedelta(seconds=LEASE_S - 1)) is None
    east = (NOW + timedelta(seconds=LEASE_S)).astimezone(timezone(timedelta(hours=9)))
    assert take(sessions, queue, bob, east).pair == pair


def test_a_lease_given_before_the_clock_was_set_back_holds_nothing(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, [pair])
    take(sessions, queue, ada)
    assert take(sessions, queue, bob, NOW - timedelta(seconds=30)) is None  # bob's clock was read a moment earlier
    assert take(sessions, queue, bob, NOW - timedelta(days=1)).pair == pair


def test_the_second_person_meets_the_first_ones_pairs_first(sessions):
    pairs = store_pairs(sessions, 6)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, pairs, k=2)
    first = [take(sessions, queue, ada)]
    judge(sessions, first[0], ada)
    first.append(take(sessions, queue, ada))
    judge(sessions, first[1], ada)
    for expected in first:
        shown = take(sessions, queue, bob)
        assert shown.pair == expected.pair
        judge(sessions, shown, bob)
    assert [done for *_, done in places(sessions, queue)] == [True, True] + [False] * 4
    assert info(sessions, queue).done_count == 2


def test_pairs_that_others_held_come_again_when_the_end_is_reached(sessions):
    pairs = store_pairs(sessions, 3)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, pairs)
    held = take(sessions, queue, ada)
    for _ in range(2):
        judge(sessions, take(sessions, queue, bob), bob)
    assert take(sessions, queue, bob) is None
    assert take(sessions, queue, bob, NOW + timedelta(seconds=LEASE_S)).pair == held.pair


def test_undo_leaves_another_who_holds_the_pair_their_lease_and_there_is_room_for_both(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, bob, cy = (person(sessions, name) for name in ("ada", "bob", "cy"))
    queue = open_queue(sessions, [pair], k=2)
    judged(sessions, queue, ada)
    before_bob = take(sessions, queue, bob)
    before_ada = undo(sessions, queue, ada)
    assert before_ada.pair == pair
    assert take(sessions, queue, bob) == before_bob
    assert take(sessions, queue, cy) is None
    assert judge(sessions, before_bob, bob) and judge(sessions, before_ada, ada)
    assert places(sessions, queue) == [(pair, 2, True)]


@pytest.mark.parametrize("has_judged", [False, True])
def test_a_skip_whose_pair_has_gone_to_somebody_else_cannot_be_taken_back(sessions, has_judged):
    (pair,) = store_pairs(sessions, 1)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, [pair])
    judged(sessions, queue, ada, "skip")
    before_bob = take(sessions, queue, bob)
    if has_judged:
        judge(sessions, before_bob, bob)
    with pytest.raises(ValueError, match="has gone to somebody else; your skip stays"):
        undo(sessions, queue, ada)
    assert take(sessions, queue, ada) is None
    assert has_judged or judge(sessions, before_bob, bob)
    assert places(sessions, queue) == [(pair, 1, True)]


def test_a_pair_that_was_before_a_person_until_their_undo_is_theirs_no_more(sessions):
    pairs = store_pairs(sessions, 2)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, pairs)
    judged(sessions, queue, ada)
    second = take(sessions, queue, ada)
    undo(sessions, queue, ada)
    assert take(sessions, queue, bob).pair == second.pair
    with pytest.raises(ValueError, match="not on this pair as it lies before you now"):
        judge(sessions, second, ada)
    judged(sessions, queue, bob)
    judged(sessions, queue, ada)
    assert [count for _, count, _ in places(sessions, queue)] == [1, 1]


def test_a_pair_of_another_persons_page_is_refused(sessions):
    pairs = store_pairs(sessions, 2)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, pairs, k=2)
    before_ada = take(sessions, queue, ada)
    with pytest.raises(ValueError, match="not on this pair as it lies before you now"):
        judge(sessions, before_ada, bob)


@on_sqlite
def test_a_pair_held_and_judged_elsewhere_is_left_for_the_next(sessions):
    pairs = store_pairs(sessions, 2)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs, k=2)
    held = take(sessions, queue, ada)
    with sessions.begin() as session:
        add_judgements(session, ada, [Judgement(held.pair, held.pair[0], "first")])
    assert take(sessions, queue, ada).pair != held.pair


def test_a_pair_of_two_queues_is_held_once_and_counts_in_both(sessions):
    pairs = store_pairs(sessions, 2)
    ada, bob = person(sessions, "ada"), person(sessions, "bob")
    queue, other = open_queue(sessions, pairs), open_queue(sessions, pairs[:1])
    assert take(sessions, other, ada).pair == pairs[0]
    held_by_bob = take(sessions, queue, bob)
    assert held_by_bob.pair == pairs[1]
    assert take(sessions, queue, ada).pair == pairs[0], "their own lease moves with them"
    with sessions() as session:
        assert len(session.scalars(select(Lease)).all()) == 2
    judged(sessions, queue, ada)
    assert (info(sessions, queue).done_count, info(sessions, other).done_count) == (1, 1)
    assert take(sessions, other, bob) is None


def test_sides_fall_evenly_and_differ_between_people():
    pairs = [PairKey(n, n + 1) for n in range(1_000)]
    sides = [[leases.left_side("queue", pair, who) == pair[0] for pair in pairs] for who in (1, 2)]
    agree = [one == other for one, other in zip(*sides, strict=True)]
    for coin in (*sides, agree):
        assert 440 < sum(coin) < 560  # 3.8 standard deviations


@on_postgresql
def test_a_pair_that_is_being_given_out_is_waited_for_and_not_given_twice(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, [pair])
    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as session:
            assert queues.take_next(session, queue, ada, now=NOW, lease_s=LEASE_S).pair == pair
            waiting = pool.submit(take, sessions, queue, bob)
            with sessions() as other:
                is_waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
                while other.scalar(is_waiting) == 0:
                    assert not waiting.done()
        assert waiting.result() is None
