"""`real-candidates`: K candidates a prompt, each strategy pairs two of them, a policy each (REAL 5.3, figure 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.studies.findings import Findings
from models.studies.pool import Rows
from models.studies.trials import Outcome, Trial
from tasks.studies.choosing import arms_of, checked, rules_by_arm, strategy_pairs
from tasks.studies.policy_findings import findings_of
from tasks.studies.policy_trials import Workbench, carry_out_on
from tasks.studies.study import Study, StudyAtWork

COMPARED = ("win_rate", "like_length_win_rate", "accuracy", "margin")


def trials(study: StudyAtWork) -> list[Trial]:
    """Every strategy under every seed, a label for each training prompt."""
    config = study.config
    return [
        Trial(arm, annotator, seed=seed)
        for seed in config.all_seeds
        for annotator in config.labels
        for arm in arms_of(config)
    ]


def carry_out(study: StudyAtWork, missing: Sequence[Trial]) -> Iterator[Outcome]:
    """Train and measure a policy for each trial."""
    bench, rules = Workbench(study), rules_by_arm(study.config)

    def chosen(trial: Trial) -> Rows:
        annotator = bench.annotator(trial.annotator)
        count = bench.prompts_to_label(annotator)
        return strategy_pairs(bench, rules[trial.arm], annotator, seed=trial.seed, count=count)

    yield from carry_out_on(bench, missing, chosen)


def find(study: StudyAtWork, outcomes: Sequence[Outcome]) -> Findings:
    """What the outcomes say."""
    return findings_of(
        outcomes,
        question="With a label for each prompt, which two of its candidates should be labelled: does the policy get "
        "better than with two at random (REAL 5.3)?",
        names=COMPARED,
    )


REAL_CANDIDATES = Study(checked, trials, carry_out, find)
