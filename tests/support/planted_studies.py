"""A study of nothing: its arms are the strategies, its figures are planted, and it writes down what it carries out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from models.intervals import Interval
from models.studies.findings import Findings, IntervalPlot, Section, Table
from models.studies.trials import Outcome, Trial
from tasks.config.studies import StudyConfig
from tasks.errors import TrialFailedError
from tasks.studies import kinds
from tasks.studies.study import Study, StudyAtWork, carried_out

LOG, PAUSE = "PLANTED_LOG", "PLANTED_PAUSE_S"
BAD, DIVERGING = "bad", "diverging"  # an arm that never works, and one that does not under the first seed
NAME = "label-efficiency"


def trials(study: StudyAtWork) -> list[Trial]:
    config = study.config
    return [Trial(arm, "truth", budget, seed) for seed in config.all_seeds for budget in config.budgets
            for arm in config.strategies]  # fmt: skip


def carry_out(study: StudyAtWork, missing: Sequence[Trial]) -> Iterator[Outcome]:
    for trial in missing:
        with Path(os.environ[LOG]).open("a") as log:
            log.write(f"{trial.words}\n")
        time.sleep(float(os.environ.get(PAUSE, "0")))
        yield carried_out(trial, lambda trial=trial: figures(trial, study.config))


def figures(trial: Trial, config: StudyConfig) -> dict[str, object]:
    if trial.arm == BAD or (trial.arm == DIVERGING and trial.seed == config.seed):
        raise TrialFailedError("nothing comes of it")
    return {"accuracy": 0.5 + trial.budget / 1000, "requests": 2, "cost": float("nan")}


def find(study: StudyAtWork, outcomes: Sequence[Outcome]) -> Findings:
    arms = sorted({outcome.trial.arm for outcome in outcomes})
    seeds = len({outcome.trial.seed for outcome in outcomes})
    plot = IntervalPlot("Accuracy", "share", tuple((arm, Interval(0.6, 0.5, 0.7)) for arm in arms))
    table = Table("Arms", ("arm", "accuracy"), tuple((arm, "0.6") for arm in arms), note="All alike.")
    section = Section("Accuracies", (f"{len(outcomes)} outcomes.",), (plot,), (table,))
    return Findings("Is anything better?", "Nothing is <better>.", (section,), (("Seeds", str(seeds)),))


PLANTED = Study(lambda config, settings: config, trials, carry_out, find)


def plant() -> None:
    kinds.STUDIES[NAME] = PLANTED


def log_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    """The command line of the product, with the planted study."""
    from flows.__main__ import main as command_line

    plant()
    sys.argv[0] = "antipode"
    command_line()


if __name__ == "__main__":
    main()
