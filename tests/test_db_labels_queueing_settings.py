"""What is set for a queue while people label it, on both databases."""

from __future__ import annotations

import pytest
from queued_pairs import (
    check_books,
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
from stored_labels import stored
from surroundings import on_sqlite

from db.labels import queues
from db.labels.queueing import settings


def change(sessions, function, *arguments, **values):
    with sessions.begin() as session:
        return function(session, *arguments, **values)


def opened(sessions):
    with sessions() as session:
        return [queue.id for queue in queues.list_queues(session)]


def test_a_share_of_the_pairs_is_judged_by_two_people_and_the_others_by_one(sessions):
    pairs = store_pairs(sessions, 10)
    queue = open_queue(sessions, pairs, k=2, overlap=0.3)
    assert (info(sessions, queue).wanted_count, info(sessions, queue).overlap) == (13, 0.3)
    ada, bob = person(sessions, "ada"), person(sessions, "bob")
    for _ in range(10):
        judged(sessions, queue, ada)
    assert take(sessions, queue, ada) is None
    assert (info(sessions, queue).done_count, info(sessions, queue).judged_count) == (7, 10)
    shown = progress(sessions, queue, bob)
    assert (shown.judged_count, shown.wanted_count, shown.own_count) == (10, 13, 0)
    again = [judged(sessions, queue, bob).pair for _ in range(3)]
    assert take(sessions, queue, bob) is None
    assert sorted(again) == [pair for pair, count, _ in sorted(places(sessions, queue)) if count == 2]
    assert info(sessions, queue).done_count == 10
    assert open_queue(sessions, pairs, k=2, overlap=0.3) == queue != open_queue(sessions, pairs, k=2)


def test_the_overlap_of_a_queue_may_grow_and_shrink_while_judgements_stay(sessions):
    pairs = store_pairs(sessions, 10)
    queue, ada = open_queue(sessions, pairs), person(sessions, "ada")
    for _ in range(4):
        judged(sessions, queue, ada)
    change(sessions, settings.set_overlap, queue, judgements_per_pair=2, overlap=1.0)
    check_books(sessions, queue, 2)
    assert (info(sessions, queue).done_count, info(sessions, queue).wanted_count) == (0, 20)
    change(sessions, settings.set_overlap, queue, judgements_per_pair=3, overlap=0.5)
    assert info(sessions, queue).wanted_count == 5 * 3 + 5
    change(sessions, settings.set_overlap, queue, judgements_per_pair=1, overlap=1.0)
    check_books(sessions, queue, 1)
    assert len(judgements(sessions)) == 4


def test_a_closed_queue_takes_nothing_and_an_opened_one_goes_on(sessions):
    pairs = store_pairs(sessions, 2)
    queue, ada = open_queue(sessions, pairs), person(sessions, "ada")
    shown = take(sessions, queue, ada)
    change(sessions, settings.set_closed, queue, is_closed=True)
    for move in (
        lambda: take(sessions, queue, ada),
        lambda: judge(sessions, shown, ada),
        lambda: undo(sessions, queue, ada),
    ):
        with pytest.raises(ValueError, match=rf"queue {queue} \(queue\) is closed and takes no verdicts"):
            move()
    assert judgements(sessions) == []
    with sessions() as session:
        assert queues.queues_for(session, ada) == []
    change(sessions, settings.set_closed, queue, is_closed=False)
    judged(sessions, queue, ada)
    assert len(judgements(sessions)) == 1


def test_who_leaves_gives_the_pair_back_at_once_and_meets_it_again_if_it_is_free(sessions):
    queue = open_queue(sessions, store_pairs(sessions, 2))
    ada, bob = person(sessions, "ada"), person(sessions, "bob")
    shown = take(sessions, queue, ada)
    change(sessions, queues.leave, queue, ada)
    assert take(sessions, queue, bob).pair == shown.pair
    change(sessions, queues.leave, queue, bob)
    assert take(sessions, queue, ada).pair == shown.pair
    with pytest.raises(ValueError, match="not on this pair as it lies before you now"):
        judge(sessions, shown, bob)


def test_people_meet_the_queues_in_the_order_set_and_the_others_after_them(sessions):
    pairs = store_pairs(sessions, 3)
    first, second, third = (open_queue(sessions, [pair]) for pair in pairs)
    assert opened(sessions) == [third, second, first]
    change(sessions, settings.set_order, [first, third])
    assert opened(sessions) == [first, third, second]
    change(sessions, settings.set_order, [])
    assert opened(sessions) == [third, second, first]


def test_a_queue_is_renamed(sessions):
    queue = open_queue(sessions, store_pairs(sessions, 1))
    change(sessions, queues.rename, queue, " Hard\n pairs ")
    assert info(sessions, queue).name == "Hard pairs"
    change(sessions, queues.rename, queue, "Hard pairs")
    other = open_queue(sessions, store_pairs(sessions, 1, "other"), name="other")
    for name, words in (
        ("Hard  pairs", "queue 1 has the name 'Hard pairs'; take another"),
        ("x\x1b[31m", "without control characters"),
        ("x\u202ey", "without control characters"),
    ):
        with pytest.raises(ValueError, match=words):
            change(sessions, queues.rename, other, name)
    assert info(sessions, other).name == "other"


@on_sqlite
def test_what_cannot_be_set_is_refused_with_the_value(sessions):
    queue = open_queue(sessions, store_pairs(sessions, 1))
    refused = [
        (lambda: change(sessions, queues.rename, queue, " "), "1 to 200 characters, got ' ' of 0"),
        (
            lambda: change(sessions, settings.set_overlap, queue, judgements_per_pair=21, overlap=1),
            "1 to 20 judgements, got 21",
        ),
        (lambda: change(sessions, settings.set_overlap, queue, judgements_per_pair=2, overlap=2), "up to 1, got 2"),
        (lambda: change(sessions, settings.set_gold, queue, share=0.6, bar=None, has_stop=False), "0 to 0.5, got 0.6"),
        (lambda: change(sessions, settings.set_gold, queue, share=0.1, bar=2, has_stop=False), "must be 0 to 1, got 2"),
        (lambda: change(sessions, settings.set_gold, queue, share=0.1, bar=None, has_stop=True), "without a bar"),
    ]
    for attempt, words in refused:
        with pytest.raises(ValueError, match=words):
            attempt()
    for attempt in (
        lambda: change(sessions, queues.rename, 99, "x"),
        lambda: change(sessions, queues.leave, 99, 1),
        lambda: change(sessions, settings.set_order, [queue, 99]),
        lambda: change(sessions, settings.set_closed, 99, is_closed=True),
    ):
        with pytest.raises(LookupError, match=r"there is no queue 99; there are: 1 \(queue\)"):
            attempt()


def test_strength_and_comment_are_stored_where_a_queue_asks_for_them_and_refused_where_not(sessions):
    pairs = store_pairs(sessions, 2)
    queue, ada = open_queue(sessions, pairs), person(sessions, "ada")
    shown = take(sessions, queue, ada)
    for said in ({"strength": 0.5}, {"comment": "why"}):
        with pytest.raises(ValueError, match=f"queue {queue} takes no"):
            judge(sessions, shown, ada, **said)
    change(sessions, settings.set_options, queue, has_strength=True, has_comment=True)
    with pytest.raises(ValueError, match=r"takes no strength 0.5 with the verdict tie"):
        judge(sessions, shown, ada, "tie", strength=0.5)
    judge(sessions, shown, ada, strength=0.5, comment="clearer", guidelines_version=3)
    [judgement] = stored(sessions)
    assert (judgement.strength, judgement.rationale, judgement.guidelines_version) == (0.5, "clearer", 3)
    change(sessions, settings.set_options, queue, has_strength=False)
    assert (info(sessions, queue).has_strength, info(sessions, queue).has_comment) == (False, True)
