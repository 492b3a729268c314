"""The generation step: sample the responses that prompts lack, shard by shard, then fix the run's candidates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import responses, runs
from db.engine import refresh_statistics
from models.chat.batches import MOST_LINES
from models.chat.budget import Budget
from models.generation import Generator, Receiver, Sample, StreamingGenerator, stream
from models.generation.openai_server import GenerationStoppedError
from models.generation.plan import missing_samples, samples_wanted
from models.generation.seeds import sample_seeds
from models.processes.isolation import Backends
from models.processes.ray_pool import LEAST_ITEMS
from models.records import GeneratedResponse, GenerationRequest, GeneratorIdentity, StoredPrompt, shortened, storable
from tasks.batches import batching_of
from tasks.budgets import budget_of
from tasks.config.curation import CurateConfig, SampleConfig
from tasks.curation.choices import prompts_to_sample
from tasks.curation.engines import find_generator, generator_identity, generator_price, make_generator
from tasks.database import keep
from tasks.devices import device
from tasks.errors import NothingToDoError
from tasks.named_models import NamedModel
from tasks.plan import PROMPTS_A_GPU
from tasks.progress import Advance, say, stage_progress
from tasks.run_kinds import CURATION, RunAtWork, run_at_work
from tasks.runs import PROMPTS_PER_PAGE, prompt_pages

logger = logging.getLogger(__name__)

OUT_OF_BUDGET = "the budget of generate was used up"


class _IncompletePrompt(NamedTuple):
    """A prompt and the sample indices it still lacks."""

    prompt: StoredPrompt
    missing_indices: list[int]


@task(name="generate", task_run_name="generate for run {run_id}", cache_policy=NO_CACHE)
def generate(run_id: int) -> None:
    """Sample until every prompt of the run has its responses, each generator model after the other.

    What an engine samples is stored shard by shard, what a server replies at once, so that a run that was killed goes
    on where it was. An engine is started only if something is missing, and nothing is done once the run's candidates
    are fixed.
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
        with run.sessions.begin() as session:
            refresh_statistics(session, "responses", "candidates")


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
        budget = _budget(run, config, name)
        url = config.generate.base_url or ""
        batching = batching_of(run, config.generate, purpose="generate", model=name, url=url)
        with (
            device(
                is_used=local_model is not None, is_shared_out=True, gpus=config.generate.tensor_parallel_size
            ) as backends,
            stage_progress("generate", total, f"responses, {name}") as advance,
            closing(
                make_generator(
                    config, name, local_model, run.settings, backends=backends, budget=budget, batching=batching
                )
            ) as generator,
        ):
            _say_if_small(config.generate.prompts_per_shard, total // config.generate.responses_per_prompt, backends)
            stage.run(generator, advance)
    return identity


def _say_if_small(per_shard: int, prompt_count: int, backends: Backends) -> None:
    """Say so where the models of a cluster get less of a shard than they need to be at work."""
    enough = LEAST_ITEMS * backends.at_once
    if backends.at_once > 1 and per_shard < min(enough, prompt_count):
        say(
            f"a shard of {per_shard} prompts is little for {backends.at_once} models, which wait for the last of each: "
            f"--generate.prompts_per_shard {PROMPTS_A_GPU * backends.at_once}"
        )


def _budget(run: RunAtWork[Any], config: SampleConfig, model: str) -> Budget:
    """What may be spent on a server; where nothing is, no request waits for a transaction that counts it."""
    generate, price = config.generate, generator_price(config.generate, model, run.settings)
    is_batch = generate.mode == "batch"
    is_counted = is_batch or generate.max_requests is not None or price.input or price.output
    return budget_of(run, generate) if is_counted else Budget(max_requests=None, max_cost=None)


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
        self._settings = run.settings
        self._run_id = run.run_id
        self._chosen = chosen
        self._config = config
        self._identity = identity
        self._too_long = f"too long for {identity.model} with generate.max_tokens {config.generate.max_tokens}"
        self._refused = f"refused for {identity.model}: "
        self._left_out: set[int] = set()
        with run.sessions.begin() as session:
            self._generator_id = responses.ensure_generator(session, identity)

    def count_missing(self) -> int:
        pages = prompt_pages(self._sessions, self._run_id, PROMPTS_PER_PAGE)
        return sum(len(incomplete.missing_indices) for page in pages for incomplete in self._incomplete(page))

    def run(self, generator: Generator | StreamingGenerator, advance: Advance) -> None:
        try:
            generate = self._config.generate
            of_batch = max(1, MOST_LINES // generate.responses_per_prompt)
            per_page = of_batch if generate.mode == "batch" else generate.prompts_per_shard
            for page in prompt_pages(self._sessions, self._run_id, per_page):
                # Each pass is one shard; later passes on the same page draw duplicates anew (extra_tries).
                while backlog := self._incomplete(page):
                    requests = [self._request(incomplete) for incomplete in backlog]
                    stream(generator, requests, self._receiver(backlog, advance))
        except GenerationStoppedError as error:
            if not error.is_out_of_budget:
                raise
            self._leave_out_the_rest()

    def _incomplete(self, page: list[StoredPrompt]) -> list[_IncompletePrompt]:
        generate = self._config.generate
        with self._sessions() as session:
            reasons = runs.skip_reasons(session, self._run_id, [prompt.id for prompt in page])
        left_out = {id_ for id_, reason in reasons.items() if reason.startswith((self._too_long, self._refused))}
        prompts = [prompt for prompt in self._chosen(page) if prompt.id not in left_out | self._left_out]
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

    def _receiver(self, backlog: list[_IncompletePrompt], advance: Advance) -> Receiver:
        """What stores the samples for these prompts as they come, and why some prompts get none."""

        def take(samples: Sequence[Sample]) -> None:
            new_responses = [
                responses.NewResponse(
                    backlog[sample.request].prompt,
                    backlog[sample.request].missing_indices[sample.seed],
                    _storable(sample.response),
                )
                for sample in samples
            ]

            def store() -> None:
                with self._sessions.begin() as session:
                    responses.add_generated(session, self._generator_id, self._identity, new_responses)

            keep(store, self._settings)  # a server's samples were paid for
            advance(len(new_responses))

        def leave_out(position: int, words: str | None) -> None:
            prompt, reason = backlog[position].prompt, self._too_long if words is None else self._refused + words
            logger.warning("a prompt is left out, %s: %r", reason, shortened(prompt.prompt.text, 80))
            self._left_out.add(prompt.id)
            with self._sessions.begin() as session:
                runs.set_skipped(session, self._run_id, {prompt.id: reason})

        return Receiver(take, leave_out)

    def _leave_out_the_rest(self) -> None:
        """Record why the prompts that lack responses do; those that have two are paired all the same."""
        say(
            "the budget is used up, since a request is sent only if the most it can cost still fits; prompts without "
            "responses are left out, and the same command again spends as much on them"
        )
        for page in prompt_pages(self._sessions, self._run_id, PROMPTS_PER_PAGE):
            reasons = {incomplete.prompt.id: OUT_OF_BUDGET for incomplete in self._incomplete(page)}
            with self._sessions.begin() as session:
                runs.set_skipped(session, self._run_id, reasons)

    def _request(self, incomplete: _IncompletePrompt) -> GenerationRequest:
        prompt = incomplete.prompt.prompt
        model, key = self._identity.model or "", prompt.key
        return GenerationRequest(prompt, sample_seeds(self._config.seed, key, model, incomplete.missing_indices))


def _storable(response: GeneratedResponse) -> GeneratedResponse:
    thought, text = None if response.thought is None else storable(response.thought), storable(response.text)
    is_same = (thought, text) == (response.thought, response.text)
    return response if is_same else replace(response, text=text, thought=thought)


def _fix_candidates(run: RunAtWork[CurateConfig], identities: list[GeneratorIdentity]) -> None:
    """Say which responses the run may pair: own ones, and the samples that this configuration wanted.

    Raises:
        NothingToDoError: If so many were cut that no prompt has two.
    """
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
                has_cut=run.config.select.has_cut,
            )
    _tell_what_is_left_out(run)
    with run.sessions.begin() as session:
        runs.fix_candidates(session, run.run_id)


def _tell_what_is_left_out(run: RunAtWork[CurateConfig]) -> None:
    """Say what leaving out the cut responses costs."""
    with run.sessions() as session:
        counts = responses.candidate_counts(session, run.run_id)
    if not counts.left_out:
        return
    limit = run.config.generate.max_tokens
    what = f"{counts.left_out:,} of {counts.responses:,} responses were cut at generate.max_tokens {limit:,}"
    advice = "raise --generate.max_tokens"
    if run.config.select.has_cut:  # what is left out all the same ended within its thought
        what = f"{counts.left_out:,} of {counts.responses:,} responses ended within their thought and have no answer"
    else:
        advice += ", or take them as far as they go: --select.has_cut"
    if not counts.paired:
        raise NothingToDoError(f"{what}, and no prompt has two whole ones that differ; {advice}")
    say(f"{what} and are left out: {counts.short:,} prompts have fewer than 2 that differ; {advice}")
