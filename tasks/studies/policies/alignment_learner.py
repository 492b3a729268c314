"""`label-efficiency --learner alignment`: strategies at equal budgets, a policy trained on each one's labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from models.studies.findings import Findings, Section, Table
from models.studies.pool import Rows
from models.studies.savings import savings
from models.studies.trials import Outcome, Trial
from tasks.config.studies import StudyConfig
from tasks.settings import Settings
from tasks.studies.policies.choosing import RANDOM, arms_of, checked, rules_by_arm, strategy_pairs
from tasks.studies.policies.findings import FIGURES, findings_of, values_of
from tasks.studies.policies.trials import Workbench, carry_out_on
from tasks.studies.study import Study, StudyAtWork

SAVED_IN = ("win_rate", "accuracy")
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
    """What the outcomes say; with several budgets, what each strategy saves too."""
    tables = [
        table
        for annotator in study.config.labels
        for name in SAVED_IN
        if (table := _savings_table([one for one in outcomes if one.trial.annotator == annotator], annotator, name))
    ]
    more = (Section("Labels saved against random", tables=tuple(tables)),) if tables else ()
    return findings_of(outcomes, question=QUESTION, names=COMPARED, more=more)


def check(config: StudyConfig, settings: Settings) -> StudyConfig:
    """The configuration with its run by its id, if its prompts hold as many labels as the largest budget.

    Raises:
        LookupError: If there is no such run.
        ValueError: If a strategy is unknown, or the run has nothing or too little that these labels need.
        NothingToDoError: If there is nothing to measure on.
    """
    if config.label_counts:
        raise ValueError(
            "label_counts are for the learner head, a policy is trained at each of the budgets; leave it out"
        )
    return checked(config, settings, most_labels=max(config.budgets))


def _savings_table(outcomes: Sequence[Outcome], annotator: str, name: str) -> Table | None:
    """What each strategy saves at each budget in a figure; None with one budget, or where it was not measured."""
    budgets = sorted({one.trial.budget for one in outcomes})
    curves = [values_of([one for one in outcomes if one.trial.budget == each], name, outcomes) for each in budgets]
    arms = [arm for arm in curves[0] if all(arm in curve for curve in curves)] if curves else []
    if len(budgets) < 2 or RANDOM not in arms:
        return None
    stacked = {arm: np.stack([curve[arm] for curve in curves]) for arm in arms}
    baseline = stacked.pop(RANDOM)
    found = savings(stacked, baseline, budgets, budgets)
    return Table(
        f"Saving in {FIGURES[name].short}, {annotator}: labels that random needs over those the strategy needs",
        ("strategy", *(f"at {budget:,} labels [95 %]" for budget in budgets)),
        tuple((arm, *(found[arm, budget].words for budget in budgets)) for arm in stacked),
        note="Read off between the budgets that were tried; ≥ and ≤ say where these end.",
    )


ALIGNMENT_LEARNER = Study(check, trials, carry_out, find)


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
