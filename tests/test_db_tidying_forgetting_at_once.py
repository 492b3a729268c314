"""Forgetting beside those who write: all come to their end, none is broken off."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from queued_pairs import judge, open_queue, person, store_pairs, take, undo
from sqlalchemy import text
from stored_rows import add, row

from db.tidying import forgetting, targets


@pytest.fixture
def queue(sessions):
    add(sessions, row(1, "gone", "x", "y"), name="gone")
    return open_queue(sessions, store_pairs(sessions, 3))


def forget(sessions, kind="source", named="gone"):
    with sessions.begin() as session:
        forgetting.take_turns(session)
        target = targets.find(session, kind, named)
        return forgetting.forget(session, target.table, target.ids, {})


def test_who_writes_to_two_tables_in_any_order_is_let_through(sessions, queue):
    person(sessions, "ada")
    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as session:
            session.execute(text("UPDATE queue_pairs SET judgement_count = 1"))
            forgetting_now = pool.submit(forget, sessions)
            time.sleep(0.3)  # it has locked what comes before
            session.execute(text("UPDATE annotators SET name = 'new'"))
            time.sleep(1.2)
        assert forgetting_now.result().rows["responses"] == 2
    with sessions() as session:
        assert session.scalars(text("SELECT name FROM annotators")).all() == ["new"]


def test_people_judge_while_others_are_forgotten(sessions, queue):
    ada, names = person(sessions, "ada"), [f"p{number}" for number in range(3)]
    for name in names:
        person(sessions, name)

    def work():
        for _ in range(10):
            judge(sessions, take(sessions, queue, ada), ada)
            undo(sessions, queue, ada)

    with ThreadPoolExecutor(1) as pool:
        judging = pool.submit(work)
        for name in names:
            forget(sessions, "person", name)
        judging.result()
