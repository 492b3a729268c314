"""`label-efficiency --learner alignment`: strategies at equal budgets, a policy trained on each one's labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.studies.findings import Findings
from models.studies.pool import Rows
from models.studies.trials import Outcome, Trial
from tasks.config.studies import StudyConfig
from tasks.studies.choosing import arms_of, checked, rules_by_arm, strategy_pairs
from tasks.studies.policy_findings import findings_of
from tasks.studies.policy_trials import Workbench, carry_out_on
from tasks.studies.study import Study, StudyAtWork

COMPARED = ("win_rate", "like_length_win_rate", "accuracy", "margin")
QUESTION = "With the same number of labels, which strategy's pairs make a better policy than random ones?"


def trials(study: StudyAtWork) -> list[Trial]:
    """Every strategy at every budget under every seed; of a seed the smaller budgets first."""
    config = study.config
    return [
        Trial(arm, annotator, budget, seed)
        for seed in config.all_seeds
        for annotator in config.labels
        for budget in sorted(config.budgets)
        for arm in arms_of(config)
    ]


def carry_out(study: StudyAtWork, missing: Sequence[Trial]) -> Iterator[Outcome]:
    """Train and measure a policy for each trial."""
    bench, rules = Workbench(study), rules_by_arm(study.config)

    def chosen(trial: Trial) -> Rows:
        annotator = bench.annotator(trial.annotator)
        return strategy_pairs(bench, rules[trial.arm], annotator, seed=trial.seed, count=trial.budget)

    yield from carry_out_on(bench, missing, chosen)


def find(study: StudyAtWork, outcomes: Sequence[Outcome]) -> Findings:
    """What the outcomes say."""
    return findings_of(outcomes, question=QUESTION, names=COMPARED)


ALIGNMENT_LEARNER = Study(checked, trials, carry_out, find)


def by_learner(head: Study, alignment: Study) -> Study:
    """One study of both learners, each carried out by its own."""

    def of(config: StudyConfig) -> Study:
        return alignment if config.learner == "alignment" else head

    return Study(
        check=lambda config, settings: of(config).check(config, settings),
        trials=lambda study: of(study.config).trials(study),
        carry_out=lambda study, missing: of(study.config).carry_out(study, missing),
        find=lambda study, outcomes: of(study.config).find(study, outcomes),
    )
