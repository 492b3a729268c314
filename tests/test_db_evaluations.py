"""Evaluations on both databases: pairs, who compares, which comparison counts, the view."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError
from stored_policies import open_align_run, open_policy
from stored_rows import add, all_prompt_ids, ids_by_text, row

from db import evaluations, policies
from db.engine import as_utc
from db.labels import judgements
from db.runs import CALIBRATE
from db.schema.base import utc_now
from db.schema.curation import Run
from db.schema.policies import Evaluation
from models.evaluation.measurements import (
    ComparisonSummary,
    HeldOut,
    Measurements,
    MeasurementsVersionError,
    RewardSummary,
)
from models.intervals import Interval
from models.labelling.records import AnnotatorIdentity, Judgement, PairKey

ANNA = AnnotatorIdentity("person", "anna")
JUDGE = AnnotatorIdentity("judge", "judge", has_both_orders=True)
KEYS = count()
RATE = Interval(0.6, 0.5, 0.7)
COMPARED = ComparisonSummary(0.6, 0.0, 0.4, RATE, 10, 10, wins=6, losses=4, length_controlled=None, unread=0)
MEASURED = Measurements(held_out=HeldOut("key", RewardSummary(RATE, RATE, RATE, Interval(1.6, 1.5, 1.7)), None))


@pytest.fixture
def two(sessions):
    """Two policies of one run."""
    run_id = open_align_run(sessions)
    return open_policy(sessions, run_id, "a").id, open_policy(sessions, run_id, "b").id


@pytest.fixture
def pairs(sessions):
    """Three pairs of a policy's response and the baseline's, the baseline's id lower in the second."""
    add(
        sessions,
        row(1, "a", "ours a", "theirs a"),
        row(2, "b", "theirs b", "ours b"),
        row(3, "c", "ours c", "theirs c"),
    )
    ids = ids_by_text(sessions)
    return [
        (prompt_id, ids[f"ours {name}"], ids[f"theirs {name}"])
        for prompt_id, name in zip(all_prompt_ids(sessions), "abc", strict=True)
    ]


def evaluation(sessions, policy_id, *, baseline_id=None, key=None, metrics=None, **changes):
    values = {"run_id": None, "settings": {"annotator": "judge"}}
    values |= {"baseline_model": None if baseline_id else "demo"} | changes
    with sessions.begin() as session:
        evaluation_id = evaluations.open_evaluation(
            session, key=key or f"{next(KEYS):064}", policy_id=policy_id, baseline_id=baseline_id, **values
        )
        if metrics is not None:
            evaluations.finish_evaluation(session, evaluation_id, metrics)
    return evaluation_id


def judge(sessions, identity, *made):
    with sessions.begin() as session:
        annotator_id = judgements.add_annotator(session, identity)
        judgements.add_judgements(session, annotator_id, made)
    return annotator_id


def judged(ours, theirs, verdict, left=None):
    """What the policy's side gets: win, lose, or a verdict as it is."""
    first, second = sorted((ours, theirs))
    names = {"win": "first" if ours == first else "second", "lose": "second" if ours == first else "first"}
    return Judgement(PairKey(first, second), left or first, names.get(verdict, verdict))


def test_the_same_comparison_is_one_evaluation(sessions, two):
    first = evaluation(sessions, two[0], key="e" * 64)
    assert evaluation(sessions, two[0], key="e" * 64) == first
    assert evaluation(sessions, two[0]) != first


def test_an_evaluation_has_one_baseline(sessions, two):
    for baseline in ({"baseline_id": two[1], "baseline_model": "demo"}, {"baseline_id": None, "baseline_model": None}):
        with pytest.raises(IntegrityError):
            evaluation(sessions, two[0], **baseline)


def test_an_evaluation_names_its_baseline_and_its_annotator(sessions, two):
    by_policy = evaluation(sessions, two[0], baseline_id=two[1])
    by_model = evaluation(sessions, two[0], baseline_model="some/model")
    annotator_id = judge(sessions, JUDGE)
    with sessions.begin() as session:
        evaluations.set_annotator(session, by_policy, annotator_id)
    with sessions() as session:
        newest, oldest = evaluations.evaluations_of(session, two[0])
        assert evaluations.get_evaluation(session, by_policy) == oldest
        assert evaluations.evaluations_of(session, two[1]) == []
    assert (newest.id, newest.baseline, newest.annotator) == (by_model, "some/model", None)
    assert (oldest.id, oldest.baseline, oldest.annotator) == (by_policy, f"policy:{two[1]}", "judge")
    assert (oldest.annotator_id, oldest.metrics, oldest.finished_at) == (annotator_id, None, None)


def test_an_unknown_evaluation_is_named_with_a_hint(sessions):
    with sessions() as session, pytest.raises(LookupError, match="no evaluation 9; see: antipode policies"):
        evaluations.get_evaluation(session, 9)


def test_what_an_evaluation_comes_to_replaces_what_it_came_to_before(sessions, two):
    evaluation_id = evaluation(sessions, two[0], metrics=Measurements(COMPARED))
    with sessions.begin() as session:
        evaluations.finish_evaluation(session, evaluation_id, MEASURED)
    with sessions() as session:
        found = evaluations.get_evaluation(session, evaluation_id)
    assert found.metrics == MEASURED and found.finished_at is not None


def test_what_was_stored_before_there_was_a_version_is_read_and_another_version_is_refused(sessions, two):
    evaluation_id = evaluation(sessions, two[0], metrics=MEASURED)
    with sessions.begin() as session:
        row = session.get(Evaluation, evaluation_id)
        assert row.metrics["version"] == 2 and row.metrics["held_out"]["margin"] == 0.6
        row.metrics = {name: value for name, value in row.metrics.items() if name != "version"}
    with sessions() as session:
        assert evaluations.get_evaluation(session, evaluation_id).metrics == MEASURED
    with sessions.begin() as session:
        session.get(Evaluation, evaluation_id).metrics = {"version": 3}
    with sessions() as session, pytest.raises(MeasurementsVersionError, match="got version 3; update Antipode"):
        evaluations.evaluations_of(session, two[0])


def test_pairs_come_back_as_they_were_given_once(sessions, two, pairs):
    evaluation_id, other = evaluation(sessions, two[0]), evaluation(sessions, two[0])
    same_response = (pairs[0][0], pairs[0][1], pairs[0][1])
    with sessions.begin() as session:
        evaluations.add_evaluation_pairs(session, evaluation_id, pairs[::-1])
        evaluations.add_evaluation_pairs(session, evaluation_id, [*pairs, same_response])
        evaluations.add_evaluation_pairs(session, other, [])
    with sessions() as session:
        assert evaluations.evaluation_pairs(session, evaluation_id) == sorted([*pairs, same_response])
        assert evaluations.evaluation_pairs(session, other) == []


def test_the_comparison_finished_last_is_the_latest(sessions, two):
    policy_id, other = two
    rate = Measurements(COMPARED)
    people = evaluation(sessions, policy_id, baseline_id=other, metrics=rate)
    evaluation(sessions, policy_id, baseline_id=other, metrics=rate)
    with_model = evaluation(sessions, policy_id, metrics=rate)
    evaluation(sessions, policy_id, baseline_id=other, metrics=Measurements(held_out=HeldOut(None, None, None)))
    evaluation(sessions, policy_id, baseline_id=other)

    def latest(of=policy_id):
        with sessions() as session:
            found = evaluations.latest_comparison(session, of)
        return found and found.id

    assert (latest(), latest(other)) == (with_model, None)
    with sessions.begin() as session:  # people have compared more
        evaluations.finish_evaluation(session, people, rate)
    assert latest() == people


def test_the_comparison_finished_last_is_the_latest_though_the_clock_was_set_back(sessions, two):
    policy_id, _ = two
    first = evaluation(sessions, policy_id, metrics=Measurements(COMPARED))
    tomorrow = utc_now() + timedelta(days=1)
    with sessions.begin() as session:
        session.execute(update(Evaluation).filter_by(id=first).values(finished_at=tomorrow))
    second = evaluation(sessions, policy_id, metrics=Measurements(COMPARED))
    with sessions() as session:
        found = evaluations.latest_comparison(session, policy_id)
    assert found is not None and found.id == second and as_utc(found.finished_at) > tomorrow


def test_of_the_same_pairs_by_the_same_annotator_only_the_newest_comparison_is_listed(sessions, two, pairs):
    rate, by_people = Measurements(COMPARED), {"annotator": "people"}
    judge_id = judge(sessions, JUDGE)
    first, second, fewer, people, with_model = (
        evaluation(sessions, two[0], baseline_id=baseline_id, settings=settings)
        for baseline_id, settings in [(two[1], {})] * 3 + [(two[1], by_people), (None, {})]
    )
    evaluation(sessions, two[0], baseline_id=two[1], metrics=Measurements(held_out=HeldOut(None, None, None)))
    with sessions.begin() as session:
        for id_ in (first, second, fewer, people, with_model):
            evaluations.add_evaluation_pairs(session, id_, pairs[:2] if id_ == fewer else pairs)
        for id_ in (first, second, fewer, with_model):
            evaluations.set_annotator(session, id_, judge_id)

    def listed(newest):
        with sessions.begin() as session:
            evaluations.finish_evaluation(session, newest, rate)
            return [one.id for one in evaluations.comparisons(session, two[0])]

    assert [listed(id_) for id_ in (first, second, fewer, people, with_model)] == [
        [first], [second], [fewer, second], [people, fewer, second], [with_model, people, fewer, second],
    ]  # fmt: skip
    assert listed(first) == [first, with_model, people, fewer], "people may compare the same pairs again"


def test_an_evaluation_knows_the_seed_of_its_run(sessions, two):
    with sessions() as session:
        run_id = policies.get_policy(session, two[0]).run_id
        config = session.get(Run, run_id).config
    assert "seed" not in config
    with sessions.begin() as session:
        session.get(Run, run_id).config = config | {"seed": 0}
    ids = evaluation(sessions, two[0], run_id=run_id), evaluation(sessions, two[0])
    with sessions() as session:
        assert [evaluations.get_evaluation(session, id_).seed for id_ in ids] == [0, None]


def view(sessions):
    with sessions() as session:
        rows = session.execute(text("SELECT * FROM policy_evaluations ORDER BY evaluation_id")).mappings().all()
    return [(one["baseline"], one["annotator"], one["pairs"], one["wins"], one["ties"], one["losses"]) for one in rows]


def test_the_view_counts_judgements_from_the_side_of_the_policy(sessions, two, pairs):
    evaluation_id = evaluation(sessions, two[0], baseline_id=two[1])
    with sessions.begin() as session:
        evaluations.add_evaluation_pairs(session, evaluation_id, pairs)
    baseline = f"policy:{two[1]}"
    assert view(sessions) == [(baseline, None, 3, 0, 0, 0)]
    (_, a, theirs_a), (_, b, theirs_b), (_, c, theirs_c) = pairs
    by_judge = judge(
        sessions,
        JUDGE,
        judged(a, theirs_a, "win", left=a),
        judged(a, theirs_a, "win", left=theirs_a),
        judged(b, theirs_b, "win"),
        judged(c, theirs_c, "lose", left=c),
        judged(c, theirs_c, "skip", left=theirs_c),
    )
    judge(sessions, ANNA, judged(a, theirs_a, "tie"), judged(b, theirs_b, "lose"), judged(c, theirs_c, "both_bad"))
    assert view(sessions) == [(baseline, None, 3, 0, 2, 1)]  # nobody is named: people
    with sessions.begin() as session:
        evaluations.set_annotator(session, evaluation_id, by_judge)
    assert view(sessions) == [(baseline, "judge", 3, 3, 0, 1)]
    with sessions.begin() as session:
        session.execute(update(Run).values(kind=CALIBRATE))
        session.execute(text(f"UPDATE judgements SET run_id = 1 WHERE first_response_id = {min(a, theirs_a)}"))
    assert view(sessions) == [(baseline, "judge", 3, 1, 0, 1)], "what was said to measure the judge is no comparison"


def test_an_evaluation_without_pairs_is_in_the_view(sessions, two):
    evaluation(sessions, two[0])
    assert view(sessions) == [("demo", None, 0, 0, 0, 0)]
