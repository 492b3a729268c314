"""Responses that a policy, or the model it started from, gives to prompts of a run; stored ones are read."""

from __future__ import annotations

from collections.abc import Sequence

from db import responses
from db.engine import Sessions
from db.runs import skipped_prompt_ids
from db.samples import Sample, samples
from models.records import StoredPrompt
from tasks.align_config import AlignmentSection
from tasks.align_data import evaluation_prompts
from tasks.config import GenerateConfig, SampleConfig
from tasks.errors import NothingToDoError
from tasks.generation import sample_with
from tasks.settings import Settings


def comparison_samples(
    sessions: Sessions, run_id: int, config: AlignmentSection, model: str, settings: Settings
) -> list[Sample]:
    """The responses of a model to the prompts that policies are compared on."""
    with sessions() as session:
        prompts = evaluation_prompts(session, config)
    return policy_samples(
        sessions, run_id, config, model, prompts, generate=config.evaluate.generate(), settings=settings
    )


def reference_samples(
    sessions: Sessions, run_id: int, config: AlignmentSection, model: str, settings: Settings
) -> list[Sample]:
    """Samples of the model's very distribution (temperature 1, all of it), as an estimate of KL needs them."""
    with sessions() as session:
        prompts = evaluation_prompts(session, config)
    generate = config.evaluate.generate().model_copy(update={"temperature": 1.0, "top_p": 1.0})
    return policy_samples(sessions, run_id, config, model, prompts, generate=generate, settings=settings)


def policy_samples(
    sessions: Sessions,
    run_id: int,
    config: AlignmentSection,
    model: str,
    prompts: Sequence[StoredPrompt],
    *,
    generate: GenerateConfig,
    settings: Settings,
) -> list[Sample]:
    """The responses of a model to these prompts of the run, by prompt; what is missing is sampled."""
    with sessions() as session:
        too_long = skipped_prompt_ids(session, run_id)
    wanted = {prompt.id for prompt in prompts} - too_long
    if not wanted:
        raise NothingToDoError(f"every prompt is too long for {model} with {generate.max_tokens} response tokens")
    identity = sample_with(
        sessions,
        run_id,
        SampleConfig(seed=config.seed, model=config.model, generate=generate),
        model,
        chosen=lambda page: [prompt for prompt in page if prompt.id in wanted],
        settings=settings,
    )
    with sessions.begin() as session:
        generator_id = responses.ensure_generator(session, identity)
        return samples(session, generator_id, sorted(wanted), count=generate.responses_per_prompt)
