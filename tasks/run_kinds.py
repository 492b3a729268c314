"""The kinds of runs, and one run at work: what its steps share. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from db import runs
from db.engine import Session, Sessions
from tasks.config.alignment import AlignConfig, AlignmentSection
from tasks.config.curation import CurateConfig
from tasks.config.evaluation import QuestionsConfig
from tasks.config.labels import CalibrateConfig, LabelConfig
from tasks.config.rounds import LdAlignConfig
from tasks.config.section import RunConfig
from tasks.config.studies import StudyConfig
from tasks.database import open_database
from tasks.number_formats import with_format
from tasks.settings import Settings

Config = TypeVar("Config", bound=RunConfig)


@dataclass(frozen=True, slots=True)
class RunKind(Generic[Config]):
    """A kind of run: its name in the database, and the function that reads its stored configuration."""

    name: str
    read: Callable[[Any], Config]

    def stored_config(self, session: Session, run_id: int) -> Config:
        """The configuration a run was opened with, its `auto` formats as they were given."""
        return self.read(runs.get_run(session, run_id).config)

    def load_config(self, session: Session, run_id: int) -> Config:
        """The same with every `auto` format replaced by the run's own."""
        return with_format(self.stored_config(session, run_id), runs.get_run(session, run_id).dtype)


CURATION = RunKind(runs.CURATE, CurateConfig.model_validate)
LABELLING = RunKind(runs.LABEL, LabelConfig.model_validate)
CALIBRATION = RunKind(runs.CALIBRATE, CalibrateConfig.model_validate)
ALIGNMENT = RunKind(runs.ALIGN, AlignConfig.model_validate)
ALIGNMENT_IN_ROUNDS = RunKind(runs.LD_ALIGN, LdAlignConfig.model_validate)
# A comparison has the configuration of the run that made the policy.
COMPARISON: RunKind[AlignmentSection] = RunKind(runs.EVALUATE, TypeAdapter(AlignConfig | LdAlignConfig).validate_python)
QUESTIONS = RunKind(runs.EVALUATE, QuestionsConfig.model_validate)
STUDY = RunKind(runs.STUDY, StudyConfig.model_validate)


def kind_of_alignment(session: Session, run_id: int) -> RunKind[AlignmentSection]:
    """The kind of a run that made a policy or measures one."""
    kinds: tuple[RunKind[Any], ...] = (ALIGNMENT, ALIGNMENT_IN_ROUNDS, COMPARISON)
    name = runs.get_run(session, run_id).kind
    return next(kind for kind in kinds if kind.name == name)


def load_alignment(session: Session, run_id: int) -> AlignmentSection:
    """The configuration of a run that made a policy or measures one, its number formats settled."""
    return kind_of_alignment(session, run_id).load_config(session, run_id)


@dataclass(frozen=True)
class RunAtWork(Generic[Config]):
    """A run as its steps see it: the database, which run it is, how it is configured, where things are."""

    sessions: Sessions
    run_id: int
    config: Config
    settings: Settings


@contextmanager
def run_at_work(run_id: int, kind: RunKind[Config]) -> Iterator[RunAtWork[Config]]:
    """Open the database for a step of a run.

    On SQLite the step keeps its connections: an idle one costs others nothing, and a new one reads the schema anew.
    """
    settings = Settings()
    with open_database(settings, keeps_connections=settings.database.startswith("sqlite")) as sessions:
        with sessions() as session:
            config = kind.load_config(session, run_id)
        yield RunAtWork(sessions, run_id, config, settings)
