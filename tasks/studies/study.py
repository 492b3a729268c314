"""What a study is: four functions. Knows no particular one, and neither Prefect nor how trials are stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.alignment.errors import NothingToTrainError, TrainingDivergedError
from models.fingerprint import folder_hash
from models.protocols.question_files import read_questions
from models.studies.findings import Findings
from models.studies.trials import FAILED, Outcome, Trial
from tasks.config.studies import StudyConfig
from tasks.errors import NoPreferencesError, NothingToDoError, TrialFailedError
from tasks.evaluation.answers import questions_content
from tasks.run_kinds import RunAtWork
from tasks.settings import Settings

StudyAtWork = RunAtWork[StudyConfig]
# What says that this one trial cannot be done; whatever else is raised stops the study, which goes on later.
OF_ONE_TRIAL = (
    TrialFailedError, TrainingDivergedError, NothingToTrainError, NothingToDoError, NoPreferencesError
)  # fmt: skip


class Study(NamedTuple):
    """A kind of study.

    Attributes:
        check: refuses a configuration in one line before the run is opened; returns it with names whose meaning changes
            (`last`) replaced by what they mean now.
        trials: the whole design, in order; the same whenever it is asked, before the run is opened too.
        carry_out: the trials that are not stored yet; yields each as soon as it is done. Of figures that are called
            `tokens`, `requests` or `cost` the report gives the sums.
        find: what the outcomes say, without those that failed and their partners.
    """

    check: Callable[[StudyConfig, Settings], StudyConfig]
    trials: Callable[[StudyAtWork], Sequence[Trial]]
    carry_out: Callable[[StudyAtWork, Sequence[Trial]], Iterator[Outcome]]
    find: Callable[[StudyAtWork, Sequence[Outcome]], Findings]


def data_of(config: StudyConfig) -> list[object]:
    """What a study reads beside the database, as JSON: other questions or tasks are another study.

    Raises:
        SourceError: If the question file cannot be read as one.
    """
    file, folder = config.questions.file, config.benchmarks.include_path
    questions: list[object] = [] if file is None else [questions_content(read_questions(file))]
    return questions if folder is None else [*questions, {"tasks": folder_hash(Path(folder), has_hidden=False)}]


def carried_out(trial: Trial, work: Callable[[], dict[str, Any]]) -> Outcome:
    """Carry out one trial and say how long it took; one that cannot be done is an outcome too, and says why."""
    begun = time.monotonic()
    try:
        figures = work()
    except OF_ONE_TRIAL as error:
        figures = {FAILED: str(error) or type(error).__name__}
    return Outcome(trial, figures, time.monotonic() - begun)
