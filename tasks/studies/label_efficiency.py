"""The study `label-efficiency`: how many labels each strategy needs for the quality that random ones reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.studies.findings import Findings
from models.studies.trials import Outcome, Trial
from tasks.config.studies import StudyConfig
from tasks.settings import Settings
from tasks.studies.head_learner import carry_out as carry_out_with_heads
from tasks.studies.head_learner import path_trials
from tasks.studies.label_checks import checked_pool, with_counts
from tasks.studies.label_findings import answer_of, findings_of
from tasks.studies.measured import Measured
from tasks.studies.study import Study, StudyAtWork

QUESTION = "How many labels does each strategy need for the quality that pairs chosen at random reach?"


def check(config: StudyConfig, settings: Settings) -> StudyConfig:
    """The configuration with its run by its id and its numbers of labels, if such a study can be made of the run.

    Raises:
        ValueError: If a strategy is unknown, or the run has no or too few labels of a kind.
        LookupError: If there is no such run or annotator, or the run has embedded nothing.
        BrokenShardError: If a vector is missing or damaged.
    """
    return with_counts(*checked_pool(config, settings))


def trials(study: StudyAtWork) -> Sequence[Trial]:
    """Every strategy, labeller and seed at every number of labels."""
    return path_trials(study)


def carry_out(study: StudyAtWork, missing: Sequence[Trial]) -> Iterator[Outcome]:
    """Fit heads, path by path."""
    yield from carry_out_with_heads(study, missing)


def find(study: StudyAtWork, outcomes: Sequence[Outcome]) -> Findings:
    """What the outcomes say, labeller by labeller."""
    config = study.config
    measured = [Measured(outcomes, annotator, config.budgets) for annotator in config.labels]
    answer = " ".join(answer_of(one, config) for one in measured)
    return findings_of(QUESTION, answer, measured, config)


LABEL_EFFICIENCY = Study(check, trials, carry_out, find)
