"""What a configuration means today: which model, which prompts, which data. Knows no Prefect.

The steps that open a run ask here; the command line asks the same before it starts anything, so that a wrong name is
told at once.
"""

from __future__ import annotations

from pathlib import Path

from db import policies, promotions, responses, runs
from db.engine import Session, batches
from db.labels import labelling, preferences, snapshots
from db.prompts import select_prompt_ids, source_names
from models.errors import ModelLoadError
from tasks.align_config import AlignConfig, AlignmentSection, DataConfig, EvaluateConfig, EvaluationConfig
from tasks.config import DEMO_SOURCE, MIN_OWN_RESPONSES, CurateConfig, ModelConfig, SourceConfig
from tasks.database import open_database
from tasks.errors import NoModelError, NoPreferencesError, NothingToDoError
from tasks.exchange import NO_PAIRS, no_labels
from tasks.label_config import LabelConfig
from tasks.ld_align_config import LdAlignConfig
from tasks.pairs import chosen_pairs
from tasks.resources import DEMO_MODEL, POLICY_PREFIX, SERVED_ELSEWHERE, generator_backend, resolve_model
from tasks.settings import Settings

PROMOTED = "promoted"
PROMPTS_PER_LOOK = 5_000


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
        raise LookupError("no policy is in use; promote one: antipode promote ID, or name a model")
    return model.model_copy(update={"name": f"{POLICY_PREFIX}{policy_id}"})


def chosen_curation(session: Session, config: CurateConfig) -> tuple[CurateConfig, list[int]]:
    """A curation with the model that is meant now, and the ids of its prompts.

    Raises:
        NothingToDoError: If there is no prompt.
        NoModelError: If a model is needed and none is chosen.
        LookupError: If the policy in use is meant, and there is none.
    """
    prompt_ids = chosen_prompts(session, config.source)
    if config.model.name or "" in _models_at_work(session, config, prompt_ids):
        model = chosen_model(session, config.model, is_demo=config.source.name == DEMO_SOURCE)
        config = config.model_copy(update={"model": model})
    return config, prompt_ids


def chosen_prompts(session: Session, source: SourceConfig) -> list[int]:
    """The ids of the prompts that a source means, in the order of import.

    Raises:
        NothingToDoError: If there are none.
    """
    prompt_ids = select_prompt_ids(session, source=source.name, split=source.split, limit=source.limit)
    if not prompt_ids:
        raise NothingToDoError(_why_nothing(session, source))
    return prompt_ids


def loads_model(session: Session, config: CurateConfig, prompt_ids: list[int]) -> bool:
    """Whether a curation loads a model on this machine: to embed, or to generate."""
    return bool(_models_at_work(session, config, prompt_ids, is_loaded_here=True))


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
        config, prompt_ids = chosen_curation(session, config)
        names = _models_at_work(session, config, prompt_ids, is_loaded_here=True)
    for name in names:
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
        if not isinstance(config, LdAlignConfig) or config.golden == "chosen":
            _check_data(session, config.data)
        elif config.source.name is not None:
            chosen_prompts(session, config.source)
        name = chosen_base(session, config).name
        _check_evaluate(session, config.evaluate, settings)
    check_model(name, settings)


def check_evaluation(config: EvaluationConfig, settings: Settings) -> None:
    """Refuse a comparison that cannot begin.

    Raises:
        LookupError: If there is no such policy, or none is in use.
        ModelLoadError: If a folder holds no model.
    """
    with open_database(settings) as sessions, sessions() as session:
        policies.get_policy(session, config.policy)
        if config.against != "start":
            check_model(chosen_model(session, ModelConfig(name=config.against)).name, settings)
        _check_evaluate(session, config.evaluate, settings)


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
        if not any((folder / file).is_file() for file in ("config.json", "adapter_config.json")):
            raise ModelLoadError(name, "the folder holds no config.json; name one that save_pretrained wrote")
    elif name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise ModelLoadError(name, "there is no such folder")


def _models_at_work(
    session: Session, config: CurateConfig, prompt_ids: list[int], *, is_loaded_here: bool = False
) -> list[str]:
    """The names of the models that embed, and of those that generate if a prompt lacks responses of its own."""
    names = [config.embed.model or config.model.name] if config.embed.backend != "hashed" else []
    is_served = is_loaded_here and generator_backend(config.generate) in SERVED_ELSEWHERE
    if not is_served and _samples(session, config, prompt_ids):
        names += config.generator_models
    return list(dict.fromkeys(names))


def _samples(session: Session, config: CurateConfig, prompt_ids: list[int]) -> bool:
    """Whether something is to be sampled."""
    if config.generate.when == "never" or config.select.scope == "source_pairs":
        return False
    if config.generate.when == "always":
        return True
    for batch in batches(prompt_ids, PROMPTS_PER_LOOK):
        own = responses.own_response_counts(session, batch)
        if any(own.get(id_, 0) < MIN_OWN_RESPONSES for id_ in batch):
            return True
    return False


def _check_evaluate(session: Session, config: EvaluateConfig, settings: Settings) -> None:
    if config.source.name is not None or config.source.split is not None:
        chosen_prompts(session, config.source)
    if config.reward_model.name is not None:
        check_model(config.reward_model.name, settings)


def _check_data(session: Session, data: DataConfig) -> None:
    if data.snapshot is not None:
        snapshots.snapshot_info(session, data.snapshot)
        return
    run_id = None if data.run == "all" else runs.find_run(session, data.run)
    pairs = labelling.pair_keys(session, run_id, strategies=data.strategies)
    if not pairs:
        raise NoPreferencesError(NO_PAIRS)
    if not preferences.outcome_counts(session, preferences.STANDING_RULE, pairs):
        raise NoPreferencesError(no_labels(run_id))


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
