"""The generation step: sample the responses that prompts lack, shard by shard, then fix the run's candidates."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import responses, runs
from models.errors import PromptTooLongError
from models.generation import Generator
from models.generation.plan import missing_samples, samples_wanted
from models.generation.seeds import sample_seed
from models.records import GenerationRequest, GeneratorIdentity, StoredPrompt, storable
from tasks.config.curation import CurateConfig, SampleConfig
from tasks.curation.choices import prompts_to_sample
from tasks.curation.engines import find_generator, generator_identity, make_generator
from tasks.devices import device
from tasks.named_models import NamedModel
from tasks.progress import Advance, stage_progress
from tasks.run_kinds import CURATION, RunAtWork, run_at_work
from tasks.runs import PROMPTS_PER_PAGE, prompt_pages

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _IncompletePrompt:
    """A prompt and the sample indices it still lacks."""

    prompt: StoredPrompt
    missing_indices: list[int]


@task(name="generate", task_run_name="generate for run {run_id}", cache_policy=NO_CACHE)
def generate(run_id: int) -> None:
    """Sample until every prompt of the run has its responses, each generator model after the other.

    Each shard is stored before the next is sampled, so that a run that was killed goes on where it was. An engine is
    started only if something is missing, and nothing is done once the run's candidates are fixed.
    """
    with run_at_work(run_id, CURATION) as run:
        with run.sessions() as session:
            if runs.get_run(session, run_id).has_fixed_candidates:
                return
        config, identities = run.config, list[GeneratorIdentity]()

        def chosen(page: list[StoredPrompt]) -> list[StoredPrompt]:
            return _to_sample(run, page)

        # Where nothing is to be sampled, the model need not exist.
        if any(chosen(page) for page in prompt_pages(run.sessions, run_id, PROMPTS_PER_PAGE)):
            for name in config.generator_models:
                local_model = find_generator(run.sessions, config, name, run.settings)
                identities.append(sample_with(run, config, name, local_model, chosen=chosen))
        _fix_candidates(run, identities)


def sample_with(
    run: RunAtWork[Any],
    config: SampleConfig,
    name: str,
    local_model: NamedModel | None,
    *,
    chosen: Callable[[list[StoredPrompt]], list[StoredPrompt]],
) -> GeneratorIdentity:
    """Sample with one model the responses that the chosen prompts of the run lack; return the generator's identity.

    `local_model` is None for a model that a server holds.
    """
    identity = generator_identity(config, name, local_model)
    stage = _GeneratorStage(run, config, identity, chosen)
    if total := stage.count_missing():
        with (
            device(is_used=local_model is not None) as process,
            stage_progress("generate", total, f"responses, {name}") as advance,
            closing(make_generator(config, name, local_model, run.settings, process)) as generator,
        ):
            stage.run(generator, advance)
    return identity


def _to_sample(run: RunAtWork[CurateConfig], page: list[StoredPrompt]) -> list[StoredPrompt]:
    """Which of these prompts the configuration generates for."""
    with run.sessions() as session:
        ids = set(prompts_to_sample(session, run.config, [prompt.id for prompt in page]))
    return [prompt for prompt in page if prompt.id in ids]


class _GeneratorStage:
    """One generator's part of the step."""

    def __init__(
        self,
        run: RunAtWork[Any],
        config: SampleConfig,
        identity: GeneratorIdentity,
        chosen: Callable[[list[StoredPrompt]], list[StoredPrompt]],
    ) -> None:
        self._sessions = run.sessions
        self._run_id = run.run_id
        self._chosen = chosen
        self._config = config
        self._identity = identity
        with run.sessions.begin() as session:
            self._generator_id = responses.ensure_generator(session, identity)

    def count_missing(self) -> int:
        pages = prompt_pages(self._sessions, self._run_id, PROMPTS_PER_PAGE)
        return sum(len(incomplete.missing_indices) for page in pages for incomplete in self._incomplete(page))

    def run(self, generator: Generator, advance: Advance) -> None:
        for page in prompt_pages(self._sessions, self._run_id, self._config.generate.prompts_per_shard):
            prompts = page
            # Each pass is one shard; later passes on the same page draw duplicates anew (extra_tries).
            while backlog := self._incomplete(prompts):
                prompts = self._sample(generator, backlog, advance)

    def _incomplete(self, page: list[StoredPrompt]) -> list[_IncompletePrompt]:
        generate = self._config.generate
        prompts = self._chosen(page)
        with self._sessions() as session:
            texts = responses.generated_texts(session, self._generator_id, [prompt.id for prompt in prompts])
        backlog = [
            _IncompletePrompt(
                prompt,
                missing_samples(
                    texts.get(prompt.id, {}), count=generate.responses_per_prompt, extra_tries=generate.extra_tries
                ),
            )
            for prompt in prompts
        ]
        return [incomplete for incomplete in backlog if incomplete.missing_indices]

    def _sample(self, generator: Generator, backlog: list[_IncompletePrompt], advance: Advance) -> list[StoredPrompt]:
        """Sample and store; return the prompts that could be sampled for."""
        try:
            sampled = generator.generate([self._request(incomplete) for incomplete in backlog])
        except PromptTooLongError as error:
            return self._leave_out(backlog, error)
        new_responses = [
            responses.NewResponse(incomplete.prompt, sample_index, replace(response, text=storable(response.text)))
            for incomplete, row in zip(backlog, sampled, strict=True)
            for sample_index, response in zip(incomplete.missing_indices, row, strict=True)
        ]
        with self._sessions.begin() as session:
            responses.add_generated(session, self._generator_id, self._identity, new_responses)
        advance(len(new_responses))
        return [incomplete.prompt for incomplete in backlog]

    def _leave_out(self, backlog: list[_IncompletePrompt], error: PromptTooLongError) -> list[StoredPrompt]:
        """Record the prompts that do not fit the model; return the others, which are tried again without them."""
        logger.warning("%d prompts are left out: %s", len(error.positions), error)
        too_long = {backlog[position].prompt.id for position in error.positions}
        reason = f"too long for {self._identity.model} with generate.max_tokens {self._config.generate.max_tokens}"
        with self._sessions.begin() as session:
            runs.set_skipped(session, self._run_id, dict.fromkeys(too_long, reason))
        return [incomplete.prompt for incomplete in backlog if incomplete.prompt.id not in too_long]

    def _request(self, incomplete: _IncompletePrompt) -> GenerationRequest:
        prompt = incomplete.prompt.prompt
        model = self._identity.model or ""
        seeds = tuple(sample_seed(self._config.seed, prompt.key, model, index) for index in incomplete.missing_indices)
        return GenerationRequest(prompt, seeds)


def _fix_candidates(run: RunAtWork[CurateConfig], identities: list[GeneratorIdentity]) -> None:
    """Say which responses the run may pair: own ones, and the samples that this configuration wanted."""
    generate = run.config.generate
    for page in prompt_pages(run.sessions, run.run_id, PROMPTS_PER_PAGE):
        sampled = [prompt.id for prompt in _to_sample(run, page)] if identities else []
        with run.sessions.begin() as session:
            counts: dict[int, dict[int, int]] = {}
            for identity in identities:
                generator_id = responses.ensure_generator(session, identity)
                texts = responses.generated_texts(session, generator_id, sampled)
                counts[generator_id] = {
                    id_: samples_wanted(
                        texts[id_], count=generate.responses_per_prompt, extra_tries=generate.extra_tries
                    )
                    for id_ in texts
                }
            responses.add_candidates(
                session,
                run.run_id,
                [prompt.id for prompt in page],
                sample_counts=counts,
                has_references=run.config.source.has_references,
            )
    with run.sessions.begin() as session:
        runs.fix_candidates(session, run.run_id)
