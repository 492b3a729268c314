"""The study of drift on a tiny model: checkpoints are trainings that end early, and nothing is trained twice."""

from __future__ import annotations

import pytest
from alignment_world import QUICK, chosen_prompts, count_rows, tiny_model
from curation_steps import configured, curate
from installed import installed
from labelling_steps import curate_breads, label
from sqlalchemy import delete, func, select
from stored_rows import add

from db import policies
from db.schema.curation import Run
from db.schema.labels import Snapshot
from db.schema.policies import Policy
from db.schema.studies import StudyTrial
from db.studies.trials import outcomes_of
from models.demo.corpus import reference_response
from models.errors import ModelLoadError
from models.records import ImportedResponse, ImportedRow, Prompt
from tasks.config.studies import StudyConfig
from tasks.runs import recorded
from tasks.studies.embedding_drift import SHARES, START
from tasks.studies.reporting import study_report
from tasks.studies.running import carry_out_trials, open_study

POOR = ("No.", "I do not know, and I will not look.", "Ask somebody else about it, please.")


def config(run_id, model, **changes):
    values = {
        "study": "embedding-drift",
        "data": {"run": str(run_id)},
        "model": {"name": model, "dtype": "float32"},
        "sft": {"epochs": 1, "learning_rate": 1e-3},
        "train": QUICK | {"epochs": 4},
        "seeds": 2,
    }
    return StudyConfig.model_validate(values | changes)


def carried_out(study_config):
    study_id = open_study.fn(study_config)
    with recorded(study_id):
        carry_out_trials.fn(study_id)
    return study_id


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Preferences of prompts with four responses each, a tiny model, and a study of it."""
    folder = tmp_path_factory.mktemp("drift")
    with installed(folder) as (_, sessions):
        rows = [
            ImportedRow(
                number,
                Prompt.from_text(text),
                (ImportedResponse(reference_response(text), is_reference=True), *map(ImportedResponse, POOR)),
            )
            for number, text in enumerate(chosen_prompts(train=6, held_out=4, share=0.3), start=1)
        ]
        add(sessions, *rows)
        run_id = curate(configured(source={"has_references": True}, generate={"when": "never"}, guard={"none": True}))
        label(annotator="rubric", rubric={"temperature": 0})
        study_config = config(run_id, tiny_model(folder / "model"))
        yield sessions, study_config, carried_out(study_config)


def test_every_checkpoint_of_every_seed_is_measured_read_both_ways(world):
    sessions, _, study_id = world
    with sessions() as session:
        outcomes = list(outcomes_of(session, study_id).values())
    assert len(outcomes) == 1 + 2 * len(SHARES) and not any(one.failure for one in outcomes)
    assert all(set(one.figures["moved"]) == {"response", "prompt_and_response"} for one in outcomes)
    steps = {one.trial.arm: one.figures["steps"] for one in outcomes}
    assert steps[START] == 0 and sorted(steps.values()) == [0, *sorted({steps[arm] for arm in steps} - {0})]
    assert max(steps.values()) == 4 * min(value for value in steps.values() if value)


def test_a_shorter_training_is_the_beginning_of_the_longer_one(world):
    sessions, _, study_id = world
    with sessions() as session:
        outcomes = outcomes_of(session, study_id).values()
        of_seed = sorted((one for one in outcomes if one.trial.seed == 1), key=lambda one: one.figures["steps"])
        losses = [
            [
                point.value
                for point in policies.metric_points(session, one.figures["policy"])
                if (point.split, point.name) == ("train", "loss")
            ]
            for one in of_seed
        ]
    assert len(losses[0]) < len(losses[1]) < len(losses[2])
    assert losses[0] == pytest.approx(losses[2][: len(losses[0])], abs=1e-5)
    assert losses[1] == pytest.approx(losses[2][: len(losses[1])], abs=1e-5)


def test_the_report_says_whether_pairs_stay_chosen(world):
    _, _, study_id = world
    findings = study_report(study_id).findings
    assert "of the prompts keep their easy pair" in findings.answer
    assert [section.title for section in findings.sections] == [
        "Along training",
        "Similarities of pairs, y alone",
        "Similarities of pairs, (x, y)",
    ]
    assert len(findings.sections[0].tables[0].rows) == 2 * (1 + len(SHARES))


def test_a_second_study_of_the_same_trains_nothing(world):
    sessions, study_config, _ = world
    before = count_rows(sessions, Policy.__name__)
    carried_out(study_config.model_copy(update={"name": "again"}))
    assert count_rows(sessions, Policy.__name__) == before


def test_a_run_without_a_preference_is_refused_with_what_to_do(sessions, settings):
    run_id = curate_breads(sessions)
    with pytest.raises(ValueError, match=f"run {run_id} has no preference to train on; label its pairs first"):
        open_study.fn(config(run_id, "demo"))


def test_a_study_without_a_model_and_a_setting_it_does_not_read_are_refused(world):
    _, study_config, _ = world
    with pytest.raises(ValueError, match="no model is chosen"):
        open_study.fn(study_config.model_copy(update={"model": study_config.model.model_copy(update={"name": None})}))
    with pytest.raises(LookupError, match="none"):
        open_study.fn(config("none such", "demo"))
    with pytest.raises(ValueError, match="does not read budgets"):
        open_study.fn(study_config.model_copy(update={"budgets": (10,), "name": "anew"}))


def test_a_model_that_there_is_not_is_refused_before_a_run_is_stored(world, tmp_path):
    sessions, study_config, _ = world
    with sessions() as session:
        before = session.scalar(select(func.count()).select_from(Run))
    for name, error in (("policy:99", LookupError), (str(tmp_path), ModelLoadError), ("/no/such", ModelLoadError)):
        model = study_config.model.model_copy(update={"name": name})
        with pytest.raises(error):
            open_study.fn(study_config.model_copy(update={"model": model}))
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Run)) == before


def test_labels_that_come_while_it_goes_on_change_no_training(world):
    sessions, _, study_id = world
    label(annotator="rubric", rubric={"temperature": 1, "seed": 3})  # a vote more on every pair
    with sessions.begin() as session:
        session.execute(delete(StudyTrial).where(StudyTrial.run_id == study_id))  # as if none were done
    with recorded(study_id):
        carry_out_trials.fn(study_id)
    with sessions() as session:
        assert len(set(session.scalars(select(Policy.snapshot_id)))) == 1
        assert (
            session.scalar(select(func.count()).select_from(Snapshot).where(Snapshot.name == f"study {study_id}")) == 1
        )
