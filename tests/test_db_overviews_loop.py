"""The loop, counted: in both databases, and in how long at the size of a million responses."""

from __future__ import annotations

from curation_steps import configured, curate
from labelling_steps import OWN, label
from stored_labels import stored
from stored_policies import finish, open_align_run, open_policy
from stored_rows import add, row

from db import promotions, runs
from db.labels import judgements
from db.overviews import loop as loop_queries
from db.overviews.counted import Counted
from db.overviews.loop import known_names, loop_now
from models.labelling.records import AnnotatorIdentity, Judgement, PairKey
from models.records import ImportedResponse, ImportedRow, Prompt
from tasks.config.exchange import ExportConfig
from tasks.labels.exchange import take_snapshot


def scored(number):
    """A prompt with a better and a worse response."""
    responses = (ImportedResponse(f"rye bread {number}", score=8.0), ImportedResponse(f"wheat {number}", score=2.0))
    return ImportedRow(number, Prompt.from_text(f"prompt {number}"), responses)


def now(sessions):
    with sessions() as session:
        return loop_now(session)


def test_an_empty_database_is_an_empty_loop(sessions):
    loop = now(sessions)
    assert (loop.source_count, loop.prompt_count, loop.run_count, loop.policy_count) == (0, 0, 0, 0)
    assert (loop.run, loop.policy, loop.snapshot, loop.in_use, loop.queues, loop.labels) == (None,) * 4 + ((), {})


def test_every_place_is_counted(settings, sessions):
    add(sessions, *map(scored, range(1, 5)), name="mine")
    add(sessions, row(1, "another"), name="other")
    run_id = curate(configured(**OWN, source={"name": "mine"}, select={"strategies": ["easy"]}))
    label(pairs={"run": str(run_id)}, annotator="scores")
    taken = take_snapshot(sessions, ExportConfig(), name="first")
    of_training = open_align_run(sessions)
    begun = open_policy(sessions, of_training, "a", name="start", round=0)
    trained = open_policy(sessions, of_training, "b", name="aligned", parent_id=begun.id)
    finish(sessions, begun.id)
    finish(sessions, trained.id)
    open_policy(sessions, of_training, "c", name="in training")
    with sessions.begin() as session:
        promotions.promote(session, trained.id, evaluation_id=None, is_forced=True, reason="a test")
    loop = now(sessions)
    assert (loop.source_count, loop.prompt_count, loop.run_count) == (2, 5, 3)
    assert (loop.run.id, loop.run.status, loop.run.pair_count.count) == (run_id, "completed", 4)
    assert [run.id for run in loop.at_work] == [of_training]
    assert loop.labels == {"scores": loop.label_count} == {"scores": Counted(len(stored(sessions)), False)}
    assert loop.preference_count == Counted(taken.snapshot.row_count, False) and not loop.new_preference_count
    assert (loop.snapshot.name, loop.snapshot_count) == ("first", 1)
    assert (loop.policy.id, loop.policy.name, loop.policy_count, loop.in_use) == (trained.id, "aligned", 1, trained.id)
    assert loop.in_use_since.tzinfo and loop.labelled_at.tzinfo and loop.imported_at.tzinfo
    with sessions() as session:
        known = known_names(session)
    assert known.sources == ("other", "mine") and known.runs == ((run_id, "curation"),)
    assert known.policies == ((trained.id, "aligned, dpo"), (begun.id, "start, fine-tuned"))


def test_preferences_since_the_newest_policy_are_new(settings, sessions):
    add(sessions, *map(scored, range(1, 5)))
    run_id = curate(configured(**OWN, select={"strategies": ["easy"]}))
    finish(sessions, open_policy(sessions, open_align_run(sessions), "b").id)
    label(pairs={"run": str(run_id)}, annotator="scores")
    loop = now(sessions)
    assert loop.new_preference_count == loop.preference_count and loop.preference_count.count > 0


def test_labels_beside_many_of_a_calibration_are_counted_all_the_same(sessions, monkeypatch):
    """Where counting stops, what was said to measure a judge is taken off first."""
    add(sessions, row(1, "p", *"abcde"))
    pairs = [PairKey(1, other) for other in (2, 3, 4, 5)]
    with sessions.begin() as session:
        about = {"name": "c", "config": {}, "code_version": "0"}
        measuring = runs.open_run(session, kind=runs.CALIBRATE, config_key="c", **about)
        judge = judgements.add_annotator(session, AnnotatorIdentity("judge", "j"))
        for pair, run_id in zip(pairs, (measuring, measuring, measuring, None), strict=True):
            judgements.add_judgements(session, judge, [Judgement(pair, 1, "first")], run_id=run_id)
    monkeypatch.setattr(loop_queries, "MOST_COUNTED", 2)
    assert now(sessions).labels == {"judge": Counted(1, False)}
