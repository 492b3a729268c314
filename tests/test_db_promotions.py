"""Promotions on both databases: what is in use, ways back, what never changes; and the views of policies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from stored_policies import finish, open_align_run, open_policy

from db import policies, promotions
from models.alignment.records import MetricPoint


@pytest.fixture
def three(sessions):
    """Three trained policies."""
    run_id = open_align_run(sessions)
    ids = [open_policy(sessions, run_id, key).id for key in "abc"]
    for policy_id in ids:
        finish(sessions, policy_id)
    return ids


def promote(sessions, policy_id):
    with sessions.begin() as session:
        return promotions.promote(session, policy_id, evaluation_id=None, is_forced=True, reason="better")


def roll_back(sessions):
    with sessions.begin() as session:
        return promotions.roll_back(session)


def in_use(sessions):
    with sessions() as session:
        return promotions.in_use(session)


def test_going_back_twice_goes_back_two(sessions, three):
    assert in_use(sessions) is None
    for policy_id in three:
        promote(sessions, policy_id)
        assert in_use(sessions) == policy_id
    a, b, c = three
    assert (roll_back(sessions), roll_back(sessions), in_use(sessions)) == ((c, b), (b, a), a)
    assert (roll_back(sessions), in_use(sessions)) == ((a, None), None)
    with pytest.raises(LookupError, match="no policy is in use"):
        roll_back(sessions)


def test_a_policy_that_comes_back_is_gone_back_from_once(sessions, three):
    a, b, c = three
    for policy_id in (a, b):
        promote(sessions, policy_id)
    roll_back(sessions)
    for policy_id in (c, a):
        promote(sessions, policy_id)
    assert [roll_back(sessions) for _ in range(3)] == [(a, c), (c, a), (a, None)]


def test_the_history_says_what_took_whose_place_and_why(sessions, three):
    a, b, _ = three
    assert promote(sessions, a) == promote(sessions, a)
    promote(sessions, b)
    roll_back(sessions)
    with sessions() as session:
        rows = promotions.history(session)
    assert [(one.action, one.policy_id, one.previous_id, one.is_forced, one.reason) for one in rows] == [
        ("promote", a, None, True, "better"),
        ("promote", b, a, True, "better"),
        ("rollback", a, b, False, f"back from policy {b}"),
    ]


def test_promotions_at_once_take_turns(sessions, three):
    with ThreadPoolExecutor(3) as at_once:
        list(at_once.map(lambda policy_id: promote(sessions, policy_id), three))
    back = [roll_back(sessions) for _ in three]
    assert {current for current, _ in back} == set(three)
    assert [previous for _, previous in back] == [current for current, _ in back[1:]] + [None]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE promotions SET reason = 'another'",
        "DELETE FROM promotions",
        "INSERT INTO promotions SELECT * FROM promotions",
    ],
)
def test_a_promotion_never_changes(sessions, three, statement):
    promote(sessions, three[0])
    with pytest.raises(DBAPIError), sessions.begin() as session:
        session.execute(text(statement))
    with sessions() as session:
        assert [one.reason for one in promotions.history(session)] == ["better"]


def test_no_insert_replaces_a_promotion(sessions, three):
    promote(sessions, three[0])
    is_sqlite = sessions.kw["bind"].dialect.name == "sqlite"
    statement = "INSERT OR REPLACE INTO promotions SELECT * FROM promotions" if is_sqlite else "TRUNCATE promotions"
    with pytest.raises(DBAPIError, match="promotions never change"), sessions.begin() as session:
        session.execute(text(statement))


def summary(sessions):
    with sessions() as session:
        rows = session.execute(text("SELECT * FROM policy_summary ORDER BY policy_id")).mappings().all()
    return [dict(one) for one in rows]


def test_the_summary_shows_the_last_held_out_values_and_what_is_in_use(sessions, three):
    a, b, _ = three
    with sessions.begin() as session:
        policies.add_metrics(
            session,
            a,
            [
                MetricPoint(0, "held_out", "margin", 0.0),
                MetricPoint(10, "held_out", "margin", 0.5),
                MetricPoint(10, "held_out", "accuracy", 0.75),
                MetricPoint(20, "train", "margin", 9.0),
            ],
        )
    assert [one["is_in_use"] for one in summary(sessions)] == [False, False, False]
    promote(sessions, b)
    found = summary(sessions)
    assert [one["is_in_use"] for one in found] == [False, True, False]
    assert [found[0][f"held_out_{name}"] for name in ("margin", "accuracy", "loss")] == [0.5, 0.75, None]
    assert (found[1]["held_out_margin"], found[1]["status"]) == (None, "trained")


def test_training_curves_name_policy_split_and_step(sessions, three):
    with sessions.begin() as session:
        policies.add_metrics(session, three[1], [MetricPoint(5, "held_out", "loss", 0.5)])
    with sessions() as session:
        found = session.execute(text("SELECT * FROM training_curves")).mappings().all()
    assert [dict(one) for one in found] == [
        {
            "policy_id": three[1], "policy": "aligned", "method": "dpo", "round": 1, "split": "held_out", "step": 5,
            "name": "loss", "value": 0.5,
        }
    ]  # fmt: skip
