"""Studies that train a policy a trial: equal arms are one policy, nothing is trained twice, what is stored stays."""

from __future__ import annotations

import pytest
from alignment_world import count_rows, tiny_model
from installed import installed
from policy_worlds import TWIN, carried_out_study, curate_candidates, study_config
from sqlalchemy import select

from db.schema.curation import Run
from db.studies.trials import add_outcome, outcomes_of
from tasks.errors import NoModelError
from tasks.run_kinds import STUDY, run_at_work
from tasks.studies.kinds import STUDIES
from tasks.studies.policies.trials import Workbench
from tasks.studies.reporting import study_report
from tasks.studies.running import carry_out_trials, open_study


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sessions, the configuration of a study of random under two names, its run and its outcomes."""
    folder = tmp_path_factory.mktemp("real-candidates")
    with installed(folder) as (_, sessions):
        curate_candidates(sessions)
        (folder / "twin.py").write_text(TWIN)
        config = study_config(
            tiny_model(folder / "model"),
            "real-candidates",
            strategies=("twin",),
            strategy_files=(str(folder / "twin.py"),),
        )
        yield sessions, config, *carried_out_study(sessions, config)


def by_arm(outcomes, arm):
    return [outcome.figures for outcome in sorted(outcomes, key=lambda one: one.trial) if outcome.trial.arm == arm]


def test_one_strategy_under_two_names_makes_the_same_policies(world):
    _, _, _, outcomes = world
    twins, randoms = by_arm(outcomes, "twin"), by_arm(outcomes, "random")
    assert [one["policy"] for one in twins] == [one["policy"] for one in randoms]
    assert len({one["policy"] for one in randoms}) == 2, "of each seed another"
    assert [one["by_prompt"] for one in twins] == [one["by_prompt"] for one in randoms]


def test_no_arm_trains_on_what_all_are_measured_on_and_all_get_as_many_labels(world):
    _, _, run_id, outcomes = world
    with run_at_work(run_id, STUDY) as study:
        bench = Workbench(study)
        training = {bench.candidates.prompt_ids[group] for group in bench.parts.training}
        held_out = sorted(bench.candidates.prompt_ids[group] for group in bench.parts.held_out)
    assert training.isdisjoint(held_out) and len(training) + len(held_out) == 8
    assert {tuple(one.figures["by_prompt"]["prompts"]) for one in outcomes} == {tuple(held_out)}
    assert {one.figures["labels"] for one in outcomes} == {len(training)}


def test_another_learners_study_of_the_same_pairs_trains_nothing_again(world):
    sessions, config, _, outcomes = world
    before = count_rows(sessions, "Policy"), count_rows(sessions, "Evaluation")
    changes = {"study": "label-efficiency", "learner": "alignment", "budgets": (outcomes[0].figures["labels"],)}
    _, again = carried_out_study(sessions, config.model_copy(update=changes))
    assert {one.trial.budget for one in again} == {outcomes[0].figures["labels"]}
    assert {one.figures["policy"] for one in again} == {one.figures["policy"] for one in outcomes}
    assert (count_rows(sessions, "Policy"), count_rows(sessions, "Evaluation")) == before


def test_a_study_that_was_stopped_goes_on_with_what_is_missing(world):
    sessions, config, _, _ = world
    run_id = open_study.fn(config.model_copy(update={"name": "stopped"}))
    with run_at_work(run_id, STUDY) as study:
        real = STUDIES["real-candidates"]
        first = next(real.carry_out(study, real.trials(study)))
        with sessions.begin() as session:
            add_outcome(session, run_id, first)
    assert open_study.fn(config.model_copy(update={"name": "stopped"})) == run_id
    carry_out_trials.fn(run_id)
    with sessions() as session:
        stored = outcomes_of(session, run_id)
    assert len(stored) == 4 and stored[first.trial.key].seconds == first.seconds


def test_the_report_says_no_more_than_equal_arms_allow(world):
    _, _, run_id, _ = world
    findings = study_report(run_id).findings
    assert findings.answer.startswith("Cannot tell: no arm differs from random in win rate")
    assert dict(findings.sizes)["Arms tried"] == "2: twin, random"
    assert dict(findings.sizes)["Trainings"] == "4, 2 of them different"
    titles = [section.title for section in findings.sections]
    assert titles == ["Each arm against random", "Each arm by itself", "Along training", "Samples side by side"]


def test_what_cannot_be_studied_is_told_before_a_run_is_opened(world):
    _, config, *_ = world
    for changes, words in (
        ({"strategies": ("eazy",)}, "eazy"),
        ({"data": config.data.model_copy(update={"run": "99"})}, "99"),
    ):
        with pytest.raises((ValueError, LookupError), match=words):
            open_study.fn(config.model_copy(update=changes))


@pytest.mark.parametrize("study", ["real-candidates", "real-pairs", "label-efficiency"])
def test_a_study_of_policies_without_a_model_is_refused_before_a_run_is_stored(world, study):
    sessions, config, *_ = world
    before = stored_runs(sessions)
    changes = {"study": study, "learner": "alignment", "budgets": (4,), "strategies": ("easy",)}
    unnamed = config.model_copy(update=changes | {"model": config.model.model_copy(update={"name": None})})
    with pytest.raises(NoModelError, match="no model is chosen; name the one that is to be aligned"):
        open_study.fn(unnamed)
    missing = config.model_copy(update=changes | {"model": config.model.model_copy(update={"name": "policy:99"})})
    with pytest.raises(LookupError, match="99"):
        open_study.fn(missing)
    assert stored_runs(sessions) == before


def stored_runs(sessions):
    with sessions() as session:
        return list(session.scalars(select(Run.id).order_by(Run.id)))
