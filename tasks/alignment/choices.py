"""What an alignment means today: its model, its data; one that cannot begin is refused. Knows no Prefect.

The steps that open a run ask here; the command line asks before it starts anything, so that a wrong name is told at
once.
"""

from __future__ import annotations

from db import policies, runs
from db.engine import Session, Sessions
from db.labels import labelling, preferences, snapshots
from models.alignment.tracking import require_trackers
from models.labelling.rules import STANDING_RULE
from tasks.config.alignment import AlignConfig, AlignmentSection, DataConfig
from tasks.config.curation import DEMO_SOURCE, CurateConfig, ModelConfig
from tasks.config.evaluation import EvaluateConfig, EvaluationConfig
from tasks.config.rounds import LdAlignConfig
from tasks.curation.choices import chosen_prompts
from tasks.database import open_database
from tasks.errors import NoPreferencesError
from tasks.labels.exchange import NO_PAIRS, no_labels
from tasks.labels.labellers import judge_price
from tasks.named_models import check_model, chosen_model
from tasks.settings import Settings


def chosen_base(session: Session, config: AlignmentSection) -> ModelConfig:
    """The model to align; none named: `demo` for preferences or references of the demo's own prompts."""
    if isinstance(config, LdAlignConfig) and config.golden == "references":
        return chosen_model(session, config.model, is_demo=config.source.name == DEMO_SOURCE)
    return chosen_model(session, config.model, is_demo=_is_of_the_demo(session, config.data))


def check_alignment(config: AlignConfig | LdAlignConfig, settings: Settings) -> None:
    """Refuse an alignment that cannot begin.

    Raises:
        NoModelError: If no model is chosen.
        ModelLoadError: If a folder holds no model.
        NoPreferencesError: If nothing is labelled.
        NothingToDoError: If a source has no prompt.
        LookupError: If there is no such run, snapshot or policy.
        ValueError: If a judge's limit of money has no price.
        TrackerMissingError: If a tracker's package is not installed.
    """
    require_trackers(config.optimize.report_to)
    with open_database(settings) as sessions, sessions() as session:
        if not isinstance(config, LdAlignConfig) or config.golden == "chosen":
            _check_data(session, config.data)
        elif config.source.name is not None:
            chosen_prompts(session, config.source)
        name = chosen_base(session, config).name
        _check_evaluate(sessions, config.evaluate, settings)
        check_model(sessions, name, settings)


def check_evaluation(config: EvaluationConfig, settings: Settings) -> None:
    """Refuse a comparison that cannot begin.

    Raises:
        LookupError: If there is no such policy, or none is in use.
        ModelLoadError: If a folder holds no model.
    """
    with open_database(settings) as sessions, sessions() as session:
        policies.get_policy(session, config.policy)
        if config.against != "start":
            check_model(sessions, chosen_model(session, ModelConfig(name=config.against)).name, settings)
        _check_evaluate(sessions, config.evaluate, settings)


def _check_evaluate(sessions: Sessions, config: EvaluateConfig, settings: Settings) -> None:
    if config.annotator == "judge":
        judge_price(config.judge, settings)
    if config.source.name is not None or config.source.split is not None:
        with sessions() as session:
            chosen_prompts(session, config.source)
    if config.reward_model.name is not None:
        check_model(sessions, config.reward_model.name, settings)


def _check_data(session: Session, data: DataConfig) -> None:
    if data.snapshot is not None:
        snapshots.snapshot_info(session, data.snapshot)
        return
    run_id = None if data.run == "all" else runs.find_run(session, data.run)
    pairs = labelling.pair_keys(session, run_id, strategies=data.strategies)
    if not pairs:
        raise NoPreferencesError(NO_PAIRS)
    if not preferences.outcome_counts(session, STANDING_RULE, pairs):
        raise NoPreferencesError(no_labels(run_id))


def _is_of_the_demo(session: Session, data: DataConfig) -> bool:
    """Whether the preferences are of one curation of the demo's own prompts."""
    if data.snapshot is not None or data.run == "all":
        return False
    config = CurateConfig.model_validate(runs.get_run(session, runs.find_run(session, data.run)).config)
    return config.source.name == DEMO_SOURCE
