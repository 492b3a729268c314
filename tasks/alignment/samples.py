"""Responses of a policy, or of the model it started from, to prompts of a run; stored ones are not sampled again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from db import responses
from db.runs import skipped_prompt_ids
from db.samples import Sample, samples
from models.alignment.records import ScoreRequest
from models.records import StoredPrompt
from tasks.alignment.data import AlignmentAtWork
from tasks.alignment.training_settings import own_distribution
from tasks.config.curation import GenerateConfig, SampleConfig
from tasks.curation.generation import sample_with
from tasks.errors import NothingToDoError
from tasks.named_models import NamedModel


def comparison_samples(
    run: AlignmentAtWork[Any], model: NamedModel, prompts: Sequence[StoredPrompt] | None = None
) -> list[Sample]:
    """The responses of a model to the prompts that policies are compared on, or to these of them."""
    wanted = run.compared_prompts if prompts is None else prompts
    return policy_samples(run, model, wanted, run.config.evaluate.generate())


def own_samples(run: AlignmentAtWork[Any], model: NamedModel) -> list[Sample]:
    """Samples of the model's own distribution (temperature 1, top_p 1), as an estimate of KL needs them."""
    return policy_samples(run, model, run.compared_prompts, own_distribution(run.config.evaluate.generate()))


def sample_request(sample: Sample) -> ScoreRequest:
    """A model's sample as an estimate of KL has it scored: what was sampled, thought and all, whole or cut."""
    return ScoreRequest(sample.prompt, sample.text, sample.is_cut, is_sample=True, thought=sample.thought)


def policy_samples(
    run: AlignmentAtWork[Any], model: NamedModel, prompts: Sequence[StoredPrompt], generate: GenerateConfig
) -> list[Sample]:
    """The responses of a model to these prompts of the run, by prompt; what is missing is sampled."""
    with run.sessions() as session:
        too_long = skipped_prompt_ids(session, run.run_id)
    prompt_ids = {prompt.id for prompt in prompts} - too_long
    if not prompt_ids:
        raise NothingToDoError(f"every prompt is too long for {model.name} with {generate.max_tokens} response tokens")
    identity = sample_with(
        run,
        SampleConfig(seed=run.config.seed, model=run.config.model, generate=generate),
        model.name,
        model,
        chosen=lambda page: [prompt for prompt in page if prompt.id in prompt_ids],
    )
    with run.sessions.begin() as session:
        generator_id = responses.ensure_generator(session, identity)
        return samples(session, generator_id, sorted(prompt_ids), count=generate.responses_per_prompt)
