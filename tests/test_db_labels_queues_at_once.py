"""Many people, windows and processes at a queue at once, on both databases."""

from __future__ import annotations

import itertools
import random
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context

import pytest
from queued_pairs import check_books, info, judge, open_queue, person, places, store_pairs, take, undo
from sqlalchemy import select

from db.engine import make_engine, make_session_factory
from db.schema.labels import Lease


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


def test_people_who_skip_and_take_back_at_once_never_judge_one_pair_twice(sessions):
    pairs = store_pairs(sessions, 12)
    people, queue = [person(sessions, f"person {n}") for n in range(6)], open_queue(sessions, pairs)

    def work(who):
        draw, old = random.Random(who), None
        for _ in range(25):
            shown = take(sessions, queue, who)
            with suppress(ValueError):  # what is refused was given to somebody else
                if draw.random() < 0.5:
                    undo(sessions, queue, who)
                for each in (old, shown):
                    if each is not None:
                        judge(sessions, each, who, draw.choice(("left", "tie", "skip")))
            old = shown

    with ThreadPoolExecutor(len(people)) as pool:
        for done in [pool.submit(work, who) for who in people]:
            done.result()
    assert max(count for _, count, _ in places(sessions, queue)) == 1
    check_books(sessions, queue, 1)


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
