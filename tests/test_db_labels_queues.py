"""Queues for people on both databases: leases, sides, overlap, skips, undoing, and many people at once."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from stored_rows import add, row

from db.engine import make_engine, make_session_factory
from db.labels import leases, queues
from db.labels.judgements import add_annotator, add_judgements
from db.schema.curation import Response
from db.schema.labels import Judgement as StoredJudgement
from db.schema.labels import Lease, Preference, QueueMember, QueuePair
from models.labelling.records import AnnotatorIdentity, Judgement, PairKey

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE_S = 600
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def store_pairs(sessions, count, prompt="prompt"):
    """The pairs of one prompt with just enough responses for `count` of them."""
    size = next(n for n in itertools.count(2) if n * (n - 1) // 2 >= count)
    add(sessions, row(1, prompt, *(f"{prompt} {n}" for n in range(size))), name=prompt)
    with sessions() as session:
        ids = session.scalars(select(Response.id).where(Response.text.startswith(f"{prompt} "))).all()
    return [PairKey(*two) for two in itertools.combinations(sorted(ids), 2)][:count]


def person(sessions, name, kind="person"):
    with sessions.begin() as session:
        return add_annotator(session, AnnotatorIdentity(kind, name))


def open_queue(sessions, pairs, k=1, name="queue", seed=0):
    with sessions.begin() as session:
        return queues.open_queue(session, name=name, pairs=pairs, judgements_per_pair=k, seed=seed)


def take(sessions, queue, who, now=NOW):
    with sessions.begin() as session:
        return queues.take_next(session, queue, who, now=now, lease_s=LEASE_S)


def judge(sessions, shown, who, verdict="left", *, queue=None, seconds=None, now=NOW):
    with sessions.begin() as session:
        return queues.record_verdict(
            session,
            shown.queue_id if queue is None else queue,
            who,
            pair=shown.pair,
            left_response_id=shown.left_response_id,
            verdict=verdict,
            seconds=seconds,
            now=now,
        )


def undo(sessions, queue, who, now=NOW):
    with sessions.begin() as session:
        return queues.undo_last(session, queue, who, now=now, lease_s=LEASE_S)


def progress(sessions, queue, who):
    with sessions() as session:
        return queues.queue_progress(session, queue, who)


def info(sessions, queue):
    with sessions() as session:
        return queues.get_queue(session, queue)


def places(sessions, queue):
    """A queue's pairs by position, with how many judged each and whether it is done."""
    with sessions() as session:
        query = select(QueuePair).filter_by(queue_id=queue).order_by(QueuePair.position)
        return [
            (PairKey(p.first_response_id, p.second_response_id), p.judgement_count, p.is_done)
            for p in session.scalars(query)
        ]


def judgements(sessions):
    with sessions() as session:
        query = select(StoredJudgement).order_by(StoredJudgement.id)
        return [
            (j.annotator_id, PairKey(j.first_response_id, j.second_response_id), j.left_response_id, j.verdict)
            for j in session.scalars(query)
        ]


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
    assert info(sessions, queue) == queues.QueueInfo(queue, "hard pairs", 1, 3, 3)
    assert progress(sessions, queue, ada) == queues.QueueProgress(3, 3, 3, 0, (2.0, 2.0, 2.0))


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
    assert info(sessions, queue) == queues.QueueInfo(queue, "one", 2, 4, 0)
    others = [open_queue(sessions, pairs, k=1), open_queue(sessions, pairs[1:], k=2)]
    assert len({queue, *others}) == 3
    with sessions() as session:
        assert [q.id for q in queues.list_queues(session)] == sorted((queue, *others), reverse=True)


@sqlite_only
def test_the_seed_draws_the_order(sessions):
    pairs = store_pairs(sessions, 40)
    orders = [[p for p, *_ in places(sessions, open_queue(sessions, pairs, k=k, seed=s))] for k, s in ((1, 0), (2, 0))]
    other = [p for p, *_ in places(sessions, open_queue(sessions, pairs, k=3, seed=1))]
    assert orders[0] == orders[1] != other
    assert pairs != orders[0]
    assert sorted(orders[0]) == sorted(other) == pairs


@sqlite_only
def test_what_cannot_be_a_queue_is_refused(sessions):
    (pair,) = store_pairs(sessions, 1)
    with pytest.raises(ValueError, match=r"at least 1 pair.*got 0 pairs"):
        open_queue(sessions, [])
    with pytest.raises(ValueError, match="judgements_per_pair = 0"):
        open_queue(sessions, [pair], k=0)
    with pytest.raises(ValueError, match="must be the lower one"):
        open_queue(sessions, [PairKey(pair[1], pair[0])])


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
    assert judge(sessions, first, ada, now=late), "a verdict that comes late is kept"
    assert judge(sessions, taken_over, bob, now=late)
    assert info(sessions, queue).done_count == 1


def test_times_of_other_zones_are_compared_as_the_same_clock(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, [pair])
    west = NOW.astimezone(timezone(timedelta(hours=-8)))
    assert take(sessions, queue, ada, west).shown_at == NOW
    assert take(sessions, queue, bob, NOW + timedelta(seconds=LEASE_S - 1)) is None
    east = (NOW + timedelta(seconds=LEASE_S)).astimezone(timezone(timedelta(hours=9)))
    assert take(sessions, queue, bob, east).pair == pair


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


def test_a_skip_does_not_count_and_the_pair_goes_to_someone_else(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, [pair])
    judge(sessions, take(sessions, queue, ada), ada, "skip", seconds=1.5, now=NOW + timedelta(seconds=9))
    assert take(sessions, queue, ada) is None
    assert places(sessions, queue) == [(pair, 0, False)]
    assert progress(sessions, queue, ada) == queues.QueueProgress(1, 0, 0, 1, (1.5,))
    judge(sessions, take(sessions, queue, bob), bob)
    assert places(sessions, queue) == [(pair, 1, True)]
    assert progress(sessions, queue, bob) == queues.QueueProgress(1, 1, 1, 0, ())


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


@sqlite_only
def test_a_pair_seen_from_the_other_side_is_judged_already(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, queue = person(sessions, "ada"), open_queue(sessions, [pair], k=2)
    with sessions.begin() as session:
        for left, expected in ((pair[0], True), (pair[1], False)):
            assert expected is queues.record_verdict(
                session, queue, ada, pair=pair, left_response_id=left, verdict="left", seconds=None, now=NOW
            )


@sqlite_only
def test_seconds_are_at_most_those_since_the_pair_was_given(sessions):
    pairs = store_pairs(sessions, 3)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs)
    for claimed, since in ((4.0, 10), (90.0, 10), (None, 10)):
        judge(sessions, take(sessions, queue, ada), ada, seconds=claimed, now=NOW + timedelta(seconds=since))
    assert progress(sessions, queue, ada).recent_seconds == (10.0, 4.0)


@sqlite_only
def test_only_the_last_twenty_times_are_recent(sessions):
    pairs = store_pairs(sessions, 22)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs)
    for at in range(22):
        judge(sessions, take(sessions, queue, ada), ada, seconds=float(at), now=NOW + timedelta(hours=1))
    assert progress(sessions, queue, ada).recent_seconds == tuple(float(at) for at in range(21, 1, -1))


@sqlite_only
def test_what_is_no_verdict_of_a_person_on_a_pair_of_the_queue_is_refused(sessions):
    pairs = store_pairs(sessions, 2)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs[:1])
    wanted = {"pair": pairs[0], "left_response_id": pairs[0][0], "verdict": "left", "seconds": None, "now": NOW}
    for change, error, message in (
        ({"verdict": "unparsed"}, ValueError, "must be one of left, right, tie, both_bad, skip, got 'unparsed'"),
        ({"left_response_id": pairs[1][1]}, ValueError, "the left response must be one of"),
        ({"pair": pairs[1]}, LookupError, rf"is not in queue {queue} \(queue\)"),
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
    first, second = [_judged(sessions, queue, ada, verdict) for verdict in ("left", "skip")]
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
        assert session.scalars(select(Lease)).one().annotator_id == ada
    for expected in (first, second, third):
        assert _judged(sessions, queue, ada, "right").pair == expected.pair, "what was taken back comes in order again"


def _judged(sessions, queue, who, verdict="left"):
    shown = take(sessions, queue, who)
    judge(sessions, shown, who, verdict)
    return shown


def test_undo_opens_a_done_pair_again_and_leaves_other_queues_and_people_alone(sessions):
    pairs = store_pairs(sessions, 2)
    ada, bob = person(sessions, "ada"), person(sessions, "bob")
    queue, other = open_queue(sessions, pairs, k=2), open_queue(sessions, pairs[:1], k=1)
    with sessions.begin() as session:
        for who in (ada, bob):
            queues.record_verdict(
                session, queue, who, pair=pairs[0], left_response_id=pairs[0][0], verdict="tie", seconds=None, now=NOW
            )
    assert (info(sessions, queue).done_count, info(sessions, other).done_count) == (1, 1)
    assert undo(sessions, other, ada) is None, "it was judged in the other queue"
    assert undo(sessions, queue, ada).pair == pairs[0]
    assert (info(sessions, queue).done_count, info(sessions, other).done_count) == (0, 1)
    assert [who for who, *_ in judgements(sessions)] == [bob]


def test_undo_takes_the_lease_of_another_but_not_their_verdict(sessions):
    (pair,) = store_pairs(sessions, 1)
    ada, bob, queue = person(sessions, "ada"), person(sessions, "bob"), open_queue(sessions, [pair], k=2)
    _judged(sessions, queue, ada)
    before_bob = take(sessions, queue, bob)
    assert undo(sessions, queue, ada).pair == pair
    assert take(sessions, queue, bob) is None
    assert judge(sessions, before_bob, bob)
    _judged(sessions, queue, ada)
    assert places(sessions, queue) == [(pair, 2, True)]


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
    assert _judged(sessions, queue, ada).pair == pairs[2]
    assert take(sessions, queue, ada) is None


def test_opening_a_queue_again_counts_what_was_imported_since(sessions):
    pairs = store_pairs(sessions, 2)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs)
    with sessions.begin() as session:
        add_judgements(session, ada, [Judgement(pairs[0], pairs[0][0], "first")])
    assert open_queue(sessions, pairs) == queue
    assert info(sessions, queue).done_count == 1


@sqlite_only
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
    _judged(sessions, queue, ada)
    assert (info(sessions, queue).done_count, info(sessions, other).done_count) == (1, 1)
    assert take(sessions, other, bob) is None


def test_sides_fall_evenly_and_differ_between_people():
    pairs = [PairKey(n, n + 1) for n in range(1_000)]
    sides = [[leases.left_side("queue", pair, who) == pair[0] for pair in pairs] for who in (1, 2)]
    agree = [one == other for one, other in zip(*sides, strict=True)]
    for coin in (*sides, agree):
        assert 440 < sum(coin) < 560  # 3.8 standard deviations


moves = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["take", "left", "right", "skip", "undo", "wait"])), max_size=40
)


@sqlite_only
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
            shown[who] = undo(sessions, queue, who, now)
            assert ([(who, shown[who].pair, shown[who].left_response_id)] if shown[who] else []) == [
                j[:3] for j in newest
            ]
        elif move != "wait" and shown.get(who):
            is_new = not any(j[:2] == (who, shown[who].pair) for j in judgements(sessions))
            assert judge(sessions, shown[who], who, move, now=now) is is_new
        for one, wanted in ((queue, k), (other, k + 1)):
            check_books(sessions, one, wanted)


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


def check_books(sessions, queue, wanted):
    by_pair = {}
    for who, pair, _, verdict in judgements(sessions):
        if verdict != "skip":
            by_pair.setdefault(pair, set()).add(who)
    placed = places(sessions, queue)
    for pair, count, is_done in placed:
        assert count == len(by_pair.get(pair, ()))
        assert is_done == (count >= wanted)
    assert info(sessions, queue).done_count == sum(done for *_, done in placed)


def test_many_people_at_once_label_every_pair_as_often_as_wanted(sessions):
    pairs, k = store_pairs(sessions, 15), 2
    people = [person(sessions, f"person {n}") for n in range(4)]
    queue = open_queue(sessions, pairs, k=k)
    guard, before = threading.Lock(), {}

    def work(who):
        while info(sessions, queue).done_count < len(pairs):
            shown = take(sessions, queue, who)
            if shown is None:
                time.sleep(0.01)
                continue
            with guard:
                assert before.setdefault(shown.pair, who) == who, "one pair lies before two people"
            with guard:
                del before[shown.pair]
            judge(sessions, shown, who)

    with ThreadPoolExecutor(len(people)) as pool:
        for done in [pool.submit(work, who) for who in people]:
            done.result()
    assert [count for _, count, _ in places(sessions, queue)] == [k] * len(pairs)
    check_books(sessions, queue, k)
    with sessions() as session:
        assert session.scalars(select(Lease)).all() == []


def test_two_windows_of_one_person_are_one_annotator(sessions):
    pairs = store_pairs(sessions, 10)
    ada, queue = person(sessions, "ada"), open_queue(sessions, pairs)

    def work():
        kept = 0
        while (shown := take(sessions, queue, ada)) is not None:
            kept += judge(sessions, shown, ada)
        return kept

    with ThreadPoolExecutor(2) as pool:
        assert sum(done.result() for done in [pool.submit(work) for _ in range(2)]) == len(pairs)
    check_books(sessions, queue, 1)


def label_alone(database_url, queue, who):
    """What a process of its own does: label until nothing is left."""
    engine = make_engine(database_url)
    sessions = make_session_factory(engine)
    seen = []
    while info(sessions, queue).done_count < info(sessions, queue).pair_count:
        shown = take(sessions, queue, who)
        if shown is not None and judge(sessions, shown, who):
            seen.append(shown.pair)
    engine.dispose()
    return seen


@pytest.mark.slow
def test_two_processes_never_label_the_same_pair(sessions, database_url):
    pairs = store_pairs(sessions, 20)
    people, queue = [person(sessions, name) for name in ("ada", "bob")], open_queue(sessions, pairs)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        labelled = [pool.submit(label_alone, database_url, queue, who) for who in people]
        assert sorted(itertools.chain(*(done.result() for done in labelled))) == pairs


@pytest.mark.parametrize("database_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
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
