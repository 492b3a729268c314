"""What the workbench's lists show: two sources, two curations with labels, a data set, policies that were compared."""

from __future__ import annotations

from chosen_pairs import store_chosen
from stored_labels import rows_of, take_snapshot
from stored_policies import finish, open_align_run, open_policy

from db import evaluations, policies, promotions
from db.labels import labelling, preferences
from models.alignment.records import MetricPoint
from models.evaluation.measurements import ComparisonSummary, Measurements
from models.intervals import Interval

RATE = Interval(0.7, 0.6, 0.8)


def labelled(sessions):
    """Two runs with pairs, every judged pair of them resolved; their ids, what each chose, and the data set's id."""
    chosen, *_ = store_chosen(sessions)
    run_ids = sorted(chosen)
    with sessions.begin() as session:
        for run_id in run_ids:
            preferences.recompute(session, labelling.pair_keys(session, run_id))
    rows = rows_of(sessions, run_ids[0])
    return run_ids, chosen, take_snapshot(sessions, rows)


def compared(sessions, snapshot_id):
    """Three trained policies: the second beat the first, who beat the model `demo`; the second is in use. Their ids."""
    run_id = open_align_run(sessions)
    ids = [
        open_policy(sessions, run_id, key, snapshot_id=snapshot_id, name=f"policy {key}", settings={"beta": beta}).id
        for key, beta in (("a", 0.1), ("b", 0.5), ("c", 0.1))
    ]
    for policy_id in ids:
        finish(sessions, policy_id, margin=0.25)
    with sessions.begin() as session:
        for policy_id in ids[:2]:
            points = [MetricPoint(step, "held_out", "margin", step / 10) for step in range(3)]
            policies.add_metrics(session, policy_id, points)
    compare(sessions, ids[0], baseline_model="demo")
    evaluation_id = compare(sessions, ids[1], baseline_id=ids[0])
    with sessions.begin() as session:
        promotions.promote(session, ids[1], evaluation_id=evaluation_id, is_forced=False, reason="it beats policy a")
    return ids


def compare(sessions, policy_id, rate=RATE, **baseline):
    """An evaluation of a policy, with this win rate on 50 prompts by people."""
    summary = ComparisonSummary(0.6, 0.2, 0.2, rate, 50, 50, 30, 10, length_controlled=None, unread=0)
    values = {"baseline_id": None, "baseline_model": None} | baseline
    with sessions.begin() as session:
        key = f"{policy_id} {baseline} {rate}"
        evaluation_id = evaluations.open_evaluation(
            session, key=key[:64], run_id=None, policy_id=policy_id, settings={}, **values
        )
        evaluations.finish_evaluation(session, evaluation_id, Measurements(summary))
    return evaluation_id
