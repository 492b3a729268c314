"""What a configuration means today: which model, which prompts, which data. Knows no Prefect.

The steps that open a run ask here; the command line asks the same before it starts anything, so that a wrong name is
told at once.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session

from db import labelling, policies, preferences, promotions, runs, snapshots
from db.prompts import select_prompt_ids, source_names
from models.errors import ModelLoadError
from tasks.align_config import AlignConfig, AlignmentSection, DataConfig, EvaluationConfig
from tasks.config import CurateConfig, ModelConfig, SourceConfig
from tasks.database import open_database
from tasks.errors import NoModelError, NoPreferencesError, NothingToDoError
from tasks.label_config import LabelConfig
from tasks.ld_align_config import LdAlignConfig
from tasks.pairs import chosen_pairs
from tasks.resources import DEMO_MODEL, POLICY_PREFIX, SERVED_ELSEWHERE, generator_backend, resolve_model
from tasks.settings import Settings

PROMOTED = "promoted"
DEMO_SOURCE = "demo"
NO_PAIRS = "there are no pairs to export; make some: antipode curate"
NO_LABELS = "no pair is labelled yet; label some: antipode web, or antipode label"


def chosen_model(session: Session, model: ModelConfig, *, is_demo: bool = False) -> ModelConfig:
    """The model that is meant now: `promoted` becomes the policy in use, which another day is another one.

    Args:
        session: of the database.
        model: as configured.
        is_demo: the demo's own prompts are to be answered, which `demo` does where nothing is chosen.

    Raises:
        NoModelError: If none is chosen.
        LookupError: If the policy in use is meant, and there is none.
    """
    if not model.name and is_demo:
        return model.model_copy(update={"name": DEMO_MODEL})
    if not model.name:
        raise NoModelError(
            "no model is chosen; name the one that is to be aligned: --model.name with a hub name, a folder or "
            "policy:ID (`demo` is the small model that Antipode brings; it knows the demo's questions alone)"
        )
    if model.name != PROMOTED:
        return model
    policy_id = promotions.in_use(session)
    if policy_id is None:
        raise LookupError("no policy is in use; promote one: antipode promote ID, or name a model: --model.name")
    return model.model_copy(update={"name": f"{POLICY_PREFIX}{policy_id}"})


def chosen_curation(session: Session, config: CurateConfig) -> CurateConfig:
    """A curation with the model that is meant now.

    Raises:
        NoModelError: If a model is needed and none is chosen.
        LookupError: If the policy in use is meant, and there is none.
    """
    if not config.model.name and not config.needs_model:
        return config
    model = chosen_model(session, config.model, is_demo=config.source.name == DEMO_SOURCE)
    return config.model_copy(update={"model": model})


def chosen_prompts(session: Session, source: SourceConfig) -> list[int]:
    """The ids of the prompts that a source means, in the order of import.

    Raises:
        NothingToDoError: If there are none.
    """
    prompt_ids = select_prompt_ids(session, source=source.name, split=source.split, limit=source.limit)
    if not prompt_ids:
        raise NothingToDoError(_why_nothing(session, source))
    return prompt_ids


def chosen_base(session: Session, config: AlignmentSection) -> ModelConfig:
    """The model to align; `demo` where the preferences are of the demo's own prompts, or the references its own."""
    if isinstance(config, LdAlignConfig) and config.golden == "references":
        return chosen_model(session, config.model, is_demo=config.source.name == DEMO_SOURCE)
    return chosen_model(session, config.model, is_demo=_is_of_the_demo(session, config.data))


def check_curation(config: CurateConfig, settings: Settings) -> None:
    """Refuse a curation that cannot begin, with what opening it would say.

    Raises:
        NoModelError: If a model is needed and none is chosen.
        ModelLoadError: If a folder holds no model.
        NothingToDoError: If there is no prompt.
        LookupError: If there is no such policy.
    """
    with open_database(settings) as sessions, sessions() as session:
        config = chosen_curation(session, config)
        chosen_prompts(session, config.source)
    is_here = generator_backend(config.generate) not in SERVED_ELSEWHERE
    embeds = (config.embed.model or config.model.name,) if config.embed.backend != "hashed" else ()
    for name in dict.fromkeys((*(config.generator_models if is_here else ()), *embeds)):
        check_model(name, settings)


def check_nightly(source: str | None, model: str | None, settings: Settings) -> None:
    """Refuse a source without prompts and a folder without a model before a service is started with them.

    Raises:
        NothingToDoError: If there is no prompt.
        ModelLoadError: If a folder holds no model.
        LookupError: If there is no such policy.
    """
    with open_database(settings) as sessions, sessions() as session:
        if source is not None:
            chosen_prompts(session, SourceConfig(name=source))
        name = chosen_model(session, ModelConfig(name=model)).name if model else None
    if name is not None:
        check_model(name, settings)


def check_labelling(config: LabelConfig, settings: Settings) -> None:
    """Refuse a labelling that cannot begin.

    Raises:
        LookupError: If there is no such curation run.
        NothingToDoError: If it has no pair that fits.
        ModelLoadError: If a folder holds no reward model.
    """
    with open_database(settings) as sessions, sessions() as session:
        chosen_pairs(session, config.pairs)
    if config.annotator == "reward_model" and config.reward_model.name:
        check_model(config.reward_model.name, settings)


def check_alignment(config: AlignConfig | LdAlignConfig, settings: Settings) -> None:
    """Refuse an alignment that cannot begin.

    Raises:
        NoModelError: If no model is chosen.
        ModelLoadError: If a folder holds no model.
        NoPreferencesError: If nothing is labelled.
        NothingToDoError: If a source has no prompt.
        LookupError: If there is no such run, snapshot or policy.
    """
    with open_database(settings) as sessions, sessions() as session:
        name = chosen_base(session, config).name
        if isinstance(config, LdAlignConfig) and config.golden == "references":
            chosen_prompts(session, config.source)
        else:
            _check_data(session, config.data)
        if config.evaluate.source.name is not None or config.evaluate.source.split is not None:
            chosen_prompts(session, config.evaluate.source)
    reward_model = config.evaluate.reward_model.name
    for model in filter(None, (name, reward_model)):
        check_model(model, settings)


def check_evaluation(config: EvaluationConfig, settings: Settings) -> None:
    """Refuse a comparison that cannot begin.

    Raises:
        LookupError: If there is no such policy, or none is in use.
        ModelLoadError: If a folder holds no model.
    """
    with open_database(settings) as sessions, sessions() as session:
        policies.get_policy(session, config.policy)
        against = config.against
        if against != "start":
            against = chosen_model(session, ModelConfig(name=against)).name
    if against != "start":
        check_model(against, settings)


def check_model(name: str, settings: Settings) -> None:
    """Refuse a policy that is not trained and a folder that holds no model; what the hub has, nobody asks here.

    Raises:
        LookupError: If there is no such policy.
        ModelLoadError: If there is no such folder, or no model in it.
    """
    if name == DEMO_MODEL:
        return
    if name.startswith(POLICY_PREFIX):
        resolve_model(name, ModelConfig(name=name), settings)
        return
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelLoadError(name, "the folder holds no config.json; name one that save_pretrained wrote")
    elif name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise ModelLoadError(name, "there is no such folder")


def _check_data(session: Session, data: DataConfig) -> None:
    if data.snapshot is not None:
        snapshots.snapshot_info(session, data.snapshot)
        return
    run_id = None if data.run == "all" else runs.find_run(session, data.run)
    pairs = labelling.pair_keys(session, run_id, strategies=data.strategies)
    if not pairs:
        raise NoPreferencesError(NO_PAIRS)
    if not preferences.outcome_counts(session, preferences.STANDING_RULE, pairs):
        raise NoPreferencesError(NO_LABELS)


def _is_of_the_demo(session: Session, data: DataConfig) -> bool:
    """Whether the preferences are of one curation of the demo's own prompts."""
    if data.snapshot is not None or data.run == "all":
        return False
    config = CurateConfig.model_validate(runs.get_run(session, runs.find_run(session, data.run)).config)
    return config.source.name == DEMO_SOURCE


def _why_nothing(session: Session, source: SourceConfig) -> str:
    names = source_names(session)
    if not names:
        return "there are no prompts yet; import some: antipode import FILE, or try: antipode demo"
    if source.name is not None and source.name not in names:
        return f"there is no source {source.name!r}; there are: {', '.join(names)}"
    return f"source {source.name or 'any'} has no prompt of split {source.split!r}"
