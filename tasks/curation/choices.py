"""What a curation means today: its model, its prompts; one that cannot begin is refused. Knows no Prefect.

The steps that open a run ask here; the command line asks before it starts anything, so that a wrong name is told at
once.
"""

from __future__ import annotations

from collections.abc import Sequence

from db import responses
from db.engine import Session, batches
from db.prompts import ensure_under_system_prompt, select_prompt_ids, source_names
from models.guesses import guess
from models.index.factory import check_factory
from tasks.config.curation import DEMO_SOURCE, MIN_OWN_RESPONSES, CurateConfig, ModelConfig, SourceConfig
from tasks.curation.benchmarks import open_benchmarks
from tasks.curation.engines import SERVED_ELSEWHERE, generator_backend, generator_price, vector_size
from tasks.curation.strategies import rules_of
from tasks.database import open_database
from tasks.errors import NothingToDoError
from tasks.named_models import check_model, chosen_model
from tasks.progress import say
from tasks.settings import Settings

PROMPTS_PER_LOOK = 5_000


def chosen_curation(session: Session, config: CurateConfig) -> tuple[CurateConfig, list[int]]:
    """A curation with its model by a lasting name, and the ids of its prompts.

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


def prompts_to_sample(session: Session, config: CurateConfig, prompt_ids: Sequence[int]) -> list[int]:
    """Which of these prompts the configuration generates for."""
    if config.generate.when == "never" or config.select.scope == "source_pairs":
        return []
    if config.generate.when == "always":
        return list(prompt_ids)
    own_counts = responses.own_response_counts(session, prompt_ids)
    return [id_ for id_ in prompt_ids if own_counts.get(id_, 0) < MIN_OWN_RESPONSES]


def opened_prompts(session: Session, config: CurateConfig, prompt_ids: Sequence[int]) -> list[int]:
    """The prompts that a new run works on: those it samples for, with its system message in front.

    What is labelled, exported and trained on later is then the prompt that was answered. Responses that a prompt
    brought were not written under the system message: they stay with the prompt without it, and this is told.
    """
    system_prompt = config.generate.system_prompt
    if system_prompt is None:
        return list(prompt_ids)
    told: dict[int, int] = {}
    with_own = 0
    for batch in batches(prompt_ids, PROMPTS_PER_LOOK):
        of_batch = ensure_under_system_prompt(session, prompts_to_sample(session, config, batch), system_prompt)
        changed = [id_ for id_, told_id in of_batch.items() if told_id != id_]
        has_references = config.source.has_references
        with_own += len(responses.own_response_counts(session, changed, has_references=has_references))
        told |= of_batch
    if with_own:
        say(
            f"{with_own:,} prompts brought responses that were not written under generate.system_prompt: these are no "
            "candidates beside those that are sampled under it"
        )
    return list(dict.fromkeys(told.get(id_, id_) for id_ in prompt_ids))


def loads_model(session: Session, config: CurateConfig, prompt_ids: list[int]) -> bool:
    """Whether a curation loads a model on this machine: to embed, or to generate."""
    return bool(_models_at_work(session, config, prompt_ids, is_loaded_here=True))


def check_curation(config: CurateConfig, settings: Settings) -> None:
    """Refuse a curation that cannot begin, with the errors that opening it would raise.

    Raises:
        NoModelError: If a model is needed and none is chosen.
        ModelLoadError: If a folder holds no model.
        NothingToDoError: If there is no prompt.
        LookupError: If there is no such policy.
        ValueError: If a limit of money is set and no price is known, a strategy is unknown, or index.factory makes no
            index of the vectors.
        SourceError: If a benchmark's file cannot be read.
    """
    open_benchmarks(config)
    with open_database(settings) as sessions:
        with sessions() as session:
            config, prompt_ids = chosen_curation(session, config)
            rules_of(config.select)
            for name in config.generator_models if generator_backend(config.generate) == "openai" else ():
                generator_price(config.generate, name, settings)
            names = _models_at_work(session, config, prompt_ids, is_loaded_here=True)
        for name in names:
            check_model(sessions, name, settings)
        if config.index.factory:
            check_factory(config.index.factory, vector_size(sessions, config, settings))


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
        if model:
            check_model(sessions, chosen_model(session, ModelConfig(name=model)).name, settings)


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
    """Whether any of the prompts is to be sampled for."""
    return any(prompts_to_sample(session, config, batch) for batch in batches(prompt_ids, PROMPTS_PER_LOOK))


def _why_nothing(session: Session, source: SourceConfig) -> str:
    names = source_names(session)
    if not names:
        return "there are no prompts yet; import some: antipode import FILE, or try: antipode demo"
    if source.name is not None and source.name not in names:
        return f"there is no source {source.name!r}; {guess(source.name, names)}there are: {', '.join(names)}"
    return f"source {source.name or 'any'} has no prompt of split {source.split!r}"
