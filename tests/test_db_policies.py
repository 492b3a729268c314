"""Policies, their metrics, log-probabilities and latent distances on both databases."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from stored_policies import SETTINGS, finish, open_align_run, open_policy
from stored_rows import add, all_prompt_ids, ids_by_text, row

from db import policies, runs
from db.latent_distances import LatentDistance, add_distances, distances_of
from db.logps import add_logps, find_logps
from db.schema.policies import ResponseLogp
from models.alignment.records import MetricPoint, ResponseLogps


def test_the_same_training_is_one_policy(sessions):
    run_id, other_run = open_align_run(sessions), open_align_run(sessions, "o" * 64)
    first = open_policy(sessions, run_id, "a")
    assert (first.status, first.settings, first.folder) == (policies.TRAINING, SETTINGS, None)
    assert open_policy(sessions, other_run, "a", name="another name") == first
    assert open_policy(sessions, run_id, "b").id != first.id


def test_a_finished_policy_says_where_it_lies_and_what_it_took(sessions):
    policy_id = open_policy(sessions, open_align_run(sessions), "a").id
    finish(sessions, policy_id, margin=0.25, perplexity=math.inf, left_out=0)
    with sessions() as session:
        found = policies.get_policy(session, policy_id)
    assert (found.status, found.folder, found.seconds) == (policies.TRAINED, f"policies/{policy_id}/model", 1.5)
    assert found.peak_memory_bytes == 2**40
    assert found.metrics == {"margin": 0.25, "left_out": 0}
    assert found.finished_at is not None


def test_a_trained_policy_stays_trained_when_it_is_opened_again(sessions):
    run_id = open_align_run(sessions)
    policy_id = open_policy(sessions, run_id, "a").id
    finish(sessions, policy_id)
    assert open_policy(sessions, run_id, "a").status == policies.TRAINED


def test_a_failed_policy_goes_back_to_training(sessions):
    run_id = open_align_run(sessions)
    policy_id = open_policy(sessions, run_id, "a").id
    with sessions.begin() as session:
        policies.fail_policy(session, policy_id, "the disk is full")
    with sessions() as session:
        failed = policies.get_policy(session, policy_id)
    assert (failed.status, failed.error, failed.finished_at is None) == (policies.FAILED, "the disk is full", False)
    again = open_policy(sessions, run_id, "a")
    assert (again.id, again.status, again.error, again.finished_at) == (policy_id, policies.TRAINING, None, None)


def test_trainings_opened_at_once_are_one_policy(sessions):
    run_id = open_align_run(sessions)
    with ThreadPoolExecutor(4) as at_once:
        found = list(at_once.map(lambda _: open_policy(sessions, run_id, "a").id, range(4)))
    assert len(set(found)) == 1


def test_an_unknown_policy_is_named_with_a_hint(sessions):
    with sessions() as session:
        for unknown in (9, 2**40):
            with pytest.raises(LookupError, match=f"no policy {unknown}; see: antipode policies"):
                policies.get_policy(session, unknown)


def test_policies_are_listed_newest_first(sessions):
    run_id, other_run = open_align_run(sessions), open_align_run(sessions, "o" * 64)
    second = open_policy(sessions, run_id, "b", round=2).id
    start = open_policy(sessions, run_id, "a", round=0, method="sft").id
    other = open_policy(sessions, other_run, "c", parent_id=start).id
    with sessions() as session:
        assert [policy.id for policy in policies.list_policies(session)] == [other, start, second]
        assert policies.get_policy(session, other).parent_id == start


def test_the_database_itself_refuses_policies_of_nothing(sessions):
    run_id = open_align_run(sessions)
    for changes in ({"parent_id": 9}, {"snapshot_id": 9}, {"run_id": 9}):
        with pytest.raises(IntegrityError):
            open_policy(sessions, changes.pop("run_id", run_id), "a", **changes)


def points_of(sessions, policy_id):
    with sessions() as session:
        return policies.metric_points(session, policy_id)


def test_the_newest_value_of_a_step_wins_and_what_is_not_finite_is_left_out(sessions):
    policy_id = open_policy(sessions, open_align_run(sessions), "a").id
    first = [MetricPoint(1, "train", "loss", 0.7), MetricPoint(2, "train", "loss", 0.6)]
    again = [
        MetricPoint(2, "train", "loss", 0.5),
        MetricPoint(2, "held_out", "loss", 0.4),
        MetricPoint(2, "train", "margin", math.nan),
        MetricPoint(2, "held_out", "perplexity", math.inf),
    ]
    for points in (first, again, []):
        with sessions.begin() as session:
            policies.add_metrics(session, policy_id, points)
    assert points_of(sessions, policy_id) == [again[1], first[0], again[0]]


POINTS = st.builds(
    MetricPoint,
    st.integers(0, 3),
    st.sampled_from(["train", "held_out"]),
    st.sampled_from(["loss", "margin"]),
    st.floats(),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(POINTS, max_size=8), max_size=4))
def test_stored_metrics_are_what_a_dict_would_hold(sessions, batches):
    run_id = open_align_run(sessions)
    with sessions.begin() as session:
        runs.set_status(session, run_id, runs.COMPLETED)
        session.execute(text("DELETE FROM training_metrics"))
    policy_id = open_policy(sessions, run_id, "a").id
    expected = {}
    for points in batches:
        with sessions.begin() as session:
            policies.add_metrics(session, policy_id, points)
        expected |= {(one.split, one.name, one.step): one for one in points if math.isfinite(one.value)}
    assert points_of(sessions, policy_id) == [expected[key] for key in sorted(expected)]


def test_log_probabilities_are_kept_by_key_and_stay(sessions):
    first = {f"{n:064}": ResponseLogps(-n / 3, n) for n in range(6_000)}
    changed = dict.fromkeys(first, ResponseLogps(0.0, 0)) | {"n" * 64: ResponseLogps(-1.0, 2)}
    with sessions.begin() as session:
        add_logps(session, first)
        add_logps(session, changed)
        add_logps(session, {})
    with sessions() as session:
        assert find_logps(session, [*first, "unknown"]) == first
        assert find_logps(session, ["n" * 64]) == {"n" * 64: ResponseLogps(-1.0, 2)}
        assert find_logps(session, []) == {}
        assert len(session.scalars(select(ResponseLogp)).all()) == 6_001


def test_latent_distances_are_of_one_round_of_one_run(sessions):
    add(sessions, row(1, "a", "golden", "sampled"), row(2, "b", "other golden", "other sampled"))
    ids, (a, b) = ids_by_text(sessions), all_prompt_ids(sessions)
    run_id = open_align_run(sessions, kind=runs.LD_ALIGN)
    rows = [
        LatentDistance(run_id, 1, a, ids["golden"], ids["sampled"], 0.5, 0.8),
        LatentDistance(run_id, 1, b, ids["other golden"], ids["other sampled"], 1.5, 1.2),
    ]
    later = replace(rows[0], round=2, distance=0.1, weight=1.0)
    with sessions.begin() as session:
        add_distances(session, [*reversed(rows), later])
        add_distances(session, [replace(one, distance=9.0) for one in rows])
    with sessions() as session:
        assert distances_of(session, run_id, 1) == rows
        assert distances_of(session, run_id, 2) == [later]
        assert distances_of(session, run_id, 3) == distances_of(session, run_id + 1, 1) == []


def test_a_run_that_aligns_is_no_run_of_pairs(sessions):
    run_id = open_align_run(sessions, kind=runs.EVALUATE)
    with sessions() as session:
        assert runs.get_run(session, run_id).kind == "evaluate"
        with pytest.raises(LookupError, match=f"run {run_id} selected no pairs: its kind is evaluate; name a run that"):
            runs.find_run(session, str(run_id))
