"""Looks of the gate on both databases: what is one, what is none, that none is taken back; upgrades."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from stored_policies import open_align_run, open_policy

from db import evaluations, gate_looks
from db.engine import make_engine, make_session_factory
from db.migrations import downgrade, upgrade
from models.evaluation.measurements import ComparisonSummary, HeldOut, Measurements
from models.intervals import Interval

COMPARED = ComparisonSummary(
    0.6, 0.0, 0.4, Interval(0.6, 0.5, 0.7), 100, 100, wins=60, losses=40, length_controlled=None, unread=0
)


@pytest.fixture
def two(sessions):
    """Two policies of one run."""
    run_id = open_align_run(sessions)
    return open_policy(sessions, run_id, "a").id, open_policy(sessions, run_id, "b").id


def opened(sessions, policy_id, key, baseline_model="demo"):
    with sessions.begin() as session:
        return evaluations.open_evaluation(
            session, key=key, run_id=None, policy_id=policy_id, baseline_id=None, baseline_model=baseline_model,
            settings={},
        )  # fmt: skip


def compared(sessions, evaluation_id, **changes):
    with sessions.begin() as session:
        evaluations.finish_evaluation(session, evaluation_id, Measurements(replace(COMPARED, **changes)))


def taken(sessions, opponent="demo"):
    with sessions() as session:
        return [(one.look.number, one.policy_id, one.evaluation_id) for one in gate_looks.looks_at(session, opponent)]


def test_every_comparison_with_an_opponent_is_a_look_whoever_is_compared(sessions, two):
    first, second = two
    ids = [opened(sessions, policy_id, key) for policy_id, key in ((first, "1"), (second, "2"), (first, "3"))]
    other = opened(sessions, first, "4", baseline_model="another")
    for evaluation_id in (*ids, other):
        compared(sessions, evaluation_id)
    assert taken(sessions) == [(1, first, ids[0]), (2, second, ids[1]), (3, first, ids[2])]
    assert taken(sessions, "another") == [(1, first, other)]
    with sessions() as session:
        looks = [one.look for one in gate_looks.looks_at(session, "demo")]
        assert gate_looks.newest_look(session, ids[2]) == looks[2]
    assert [look.level for look in looks] == [0.05 / 2, 0.05 / 6, 0.05 / 12]
    assert looks[0].low == pytest.approx(0.5, abs=1e-9) and looks[0].low > looks[1].low > looks[2].low


def test_the_same_figures_are_one_look_and_labels_that_came_meanwhile_make_another(sessions, two):
    growing, other = opened(sessions, two[0], "1"), opened(sessions, two[1], "2")
    compared(sessions, growing)
    compared(sessions, growing)
    compared(sessions, other)
    with sessions.begin() as session:  # the same evaluation, measured otherwise too
        evaluations.finish_evaluation(session, growing, Measurements(COMPARED, HeldOut("key", None, None)))
    assert [number for number, *_ in taken(sessions)] == [1, 2]
    compared(sessions, growing, wins=61, losses=39)
    compared(sessions, growing)
    assert [(number, one) for number, _, one in taken(sessions)] == [
        (1, growing),
        (2, other),
        (3, growing),
        (4, growing),
    ]
    with sessions.begin() as session:
        evaluations.finish_evaluation(session, opened(sessions, two[0], "3"), Measurements())
    assert len(taken(sessions)) == 4, "nobody compared"


def test_two_who_look_at_once_take_two_looks(sessions, two):
    ids = [opened(sessions, two[0], f"{number}") for number in range(6)]
    with ThreadPoolExecutor(6) as at_once:
        list(at_once.map(lambda evaluation_id: compared(sessions, evaluation_id), ids))
    found = taken(sessions)
    assert [number for number, *_ in found] == [1, 2, 3, 4, 5, 6] and {one for *_, one in found} == set(ids)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE gate_looks SET level = 0.05",
        "DELETE FROM gate_looks",
        "INSERT INTO gate_looks SELECT * FROM gate_looks",
    ],
)
def test_a_look_is_never_taken_back(sessions, two, statement):
    compared(sessions, opened(sessions, two[0], "1"))
    with pytest.raises(DBAPIError), sessions.begin() as session:
        session.execute(text(statement))
    assert len(taken(sessions)) == 1


def test_what_was_compared_before_there_were_looks_counts_in_its_order(sessions, two, database_url):
    engine = make_engine(database_url)
    ids = [opened(sessions, two[0], key) for key in "123"]
    for evaluation_id in (ids[1], ids[0]):
        compared(sessions, evaluation_id)
    before = taken(sessions)
    downgrade(engine, "0009")
    upgrade(engine)
    with make_session_factory(engine)() as session:
        looks = gate_looks.looks_at(session, "demo")
    assert [(one.look.number, one.policy_id, one.evaluation_id) for one in looks] == before
    assert [number for number, *_ in before] == [1, 2] and before[0][2] == ids[1]
    assert [one.look.level for one in looks] == [0.05 / 2, 0.05 / 6]
