"""Policies at several budgets: what is refused before, what the outcomes say of savings."""

from __future__ import annotations

import pytest
from alignment_world import tiny_model
from installed import installed
from policy_worlds import curate_candidates, study_config

from models.studies.trials import Outcome, Trial
from tasks.run_kinds import RunAtWork
from tasks.studies.kinds import STUDIES
from tasks.studies.policies.alignment_learner import find

LEVELS = {"easy": {50: 0.6, 100: 0.8, 200: 0.9}, "random": {50: 0.5, 100: 0.6, 200: 0.8}}


def outcome(arm, budget, seed):
    level = LEVELS[arm][budget]
    values = [level + 0.01 * ((7 * prompt + 3 * seed) % 5 - 2) for prompt in range(40)]
    by_prompt = {"prompts": list(range(40)), "accuracy": values}
    return Outcome(
        Trial(arm, "noisy", budget, seed), {"by_prompt": by_prompt, "curves": {}, "policy": budget + seed}, 1.0
    )


def test_a_strategy_that_needs_half_the_labels_saves_two():
    config = study_config("demo", "label-efficiency", learner="alignment", labels=("noisy",), budgets=(50, 100, 200))
    outcomes = [outcome(arm, budget, seed) for arm in LEVELS for budget in LEVELS[arm] for seed in range(5)]
    findings = find(RunAtWork(None, 1, config, None), outcomes)
    (table,) = next(section for section in findings.sections if section.title == "Labels saved against random").tables
    ((arm, _, at_100, at_200),) = table.rows
    assert arm == "easy" and at_100.startswith("≥ 2.00 [") and at_200.startswith("2.00 [1.")
    assert findings.answer.startswith("Above random in accuracy: easy, noisy, 50 labels by +0.1")


def test_more_labels_than_there_are_and_a_grid_of_labels_are_refused(tmp_path):
    with installed(tmp_path) as (settings, sessions):
        curate_candidates(sessions)
        config = study_config(tiny_model(tmp_path / "model"), "label-efficiency", learner="alignment", budgets=(1_000,))
        with pytest.raises(ValueError, match=r"training prompts hold \d+ pairs that truth labels, 1000 are asked for"):
            STUDIES["label-efficiency"].check(config, settings)
        with pytest.raises(ValueError, match="label_counts are for the learner head"):
            STUDIES["label-efficiency"].check(config.model_copy(update={"label_counts": (50, 100)}), settings)
