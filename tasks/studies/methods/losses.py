"""The study of losses (ASFT tables 2 and 3, figures 1 and 2): methods side by side, from one start, on one set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import get_args

from models.studies.findings import Findings
from models.studies.methods.losses import losses_findings
from models.studies.trials import Outcome, Trial
from tasks.config.alignment import PairwiseMethod, TrainConfig
from tasks.config.studies import StudyConfig
from tasks.settings import Settings
from tasks.studies.methods.policy_starts import Start, arm_figures, checked_policies, method_config, start_of_arms
from tasks.studies.study import Study, StudyAtWork, carried_out
from tasks.studies.trainings import Figures, drop_weights, trained


def _check(config: StudyConfig, settings: Settings) -> StudyConfig:
    if unknown := [method for method in config.methods if method not in get_args(PairwiseMethod)]:
        raise ValueError(
            f"study losses trains on pairs; {', '.join(unknown)} trains in rounds: antipode study ld-align"
        )
    if config.train.method != TrainConfig.model_fields["method"].default:
        raise ValueError("study losses tries every one of `methods`; leave out train.method")
    return checked_policies(config, settings)


def _trials(study: StudyAtWork) -> list[Trial]:
    config = study.config
    return [Trial(method, seed=seed) for seed in config.all_seeds for method in config.methods]


def _carry_out(study: StudyAtWork, trials: Sequence[Trial]) -> Iterator[Outcome]:
    if not trials:
        return
    start = start_of_arms(study)
    for trial in trials:
        yield carried_out(trial, partial(_figures, study, start, trial))


def _figures(study: StudyAtWork, start: Start, trial: Trial) -> Figures:
    made = trained(method_config(start, trial.arm, trial.seed))
    figures = arm_figures(study, start, made, trial.seed)
    drop_weights(study, made.policy_id)
    return figures


def _find(_study: StudyAtWork, outcomes: Sequence[Outcome]) -> Findings:
    return losses_findings(outcomes)


LOSSES = Study(_check, _trials, _carry_out, _find)
