"""The steps of LD-Align's rounds (alg. 1): sample from the last policy, weigh by latent distance, train against it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.orm import Session, sessionmaker

from db.latent_distances import LatentDistance, add_distances, distances_of
from db.samples import Sample
from models.alignment.records import Example
from models.guide import GuideSettings, GuideText
from models.guide.distances import distance_weights, latent_distances
from models.guide.isolated import IsolatedGuide
from models.records import StoredPrompt, content_key
from tasks.align_data import golden_parts, load_alignment
from tasks.config import GenerateConfig
from tasks.database import open_database
from tasks.devices import device
from tasks.ld_align_config import GUIDE_RATE_FROM_SCRATCH, GUIDE_RATE_PRETRAINED, GuideConfig, LdAlignConfig
from tasks.measures import held_out_examples
from tasks.policy_samples import comparison_samples, policy_samples, reference_samples
from tasks.progress import say, step_progress
from tasks.promotion import start_of
from tasks.resources import ResolvedModel, resolve_model
from tasks.settings import Settings
from tasks.training import Plan, StartModel, start_model, train_one, training_settings

KEY_DIGITS = 16

GoldenPair = tuple[Sample, Sample]
"""A golden response and the policy's own to the same prompt."""


@task(name="weigh", task_run_name="weigh round {round_number} of run {run_id}", cache_policy=NO_CACHE)
def weigh_round(run_id: int, round_number: int, last_id: int | None) -> None:
    """Sample from the last policy for every golden response's prompt, and store each pair's distance and weight.

    The guide is trained in the first round, on golden responses and the first policy's samples (LD-Align eq. 2), and
    serves all rounds.
    """
    settings = Settings()
    with open_database(settings) as sessions:
        config = _load(sessions, run_id)
        last = start_model(config, last_id, settings)
        pairs = _golden_pairs(sessions, run_id, config, last.name, settings)
        with sessions() as session:
            known = {
                (one.golden_response_id, one.sampled_response_id) for one in distances_of(session, run_id, round_number)
            }
        if known == {(golden.response_id, own.response_id) for golden, own in pairs}:
            return
        with sessions() as session:
            first_id = last_id if round_number == 1 or last_id is None else start_of(session, last_id)
        first = start_model(config, first_id, settings)
        distances = _distances(config, pairs, first, settings)
        weights = np.ones(len(pairs)) if config.rounds.weights == "unit" else distance_weights(distances)
        rows = [
            LatentDistance(run_id, round_number, golden.prompt_id, golden.response_id, own.response_id, *found)
            for (golden, own), found in zip(pairs, zip(distances.tolist(), weights.tolist(), strict=True), strict=True)
        ]
        with sessions.begin() as session:
            add_distances(session, rows)


@task(name="train round", task_run_name="train round {round_number} of run {run_id}", cache_policy=NO_CACHE)
def train_round(run_id: int, round_number: int, last_id: int | None, before_last_id: int | None) -> int:
    """Train the round's policy against the last one; return its id."""
    settings = Settings()
    with open_database(settings) as sessions:
        config = _load(sessions, run_id)
        start = start_model(config, last_id, settings)
        examples = _examples(sessions, run_id, config, round_number, start.name, settings)
        if config.rounds.has_previous and round_number > 1:
            before = start_model(config, before_last_id, settings)
            examples = _examples(sessions, run_id, config, round_number - 1, before.name, settings) + examples
        rounds = config.rounds
        own = comparison_samples(sessions, run_id, config, start.name, settings)
        plan = Plan(
            method=config.method,
            round=round_number,
            start=start,
            settings=training_settings(
                config,
                rounds,
                config.method,
                beta=of_round(rounds.betas, round_number),
                learning_rate=of_round(rounds.learning_rates, round_number),
            ),
            optimize=rounds,
            train=examples,
            held_out=[one for _, one in held_out_examples(sessions, config, own)],
            kl_samples=reference_samples(sessions, run_id, config, start.name, settings),
        )
        return train_one(sessions, run_id, plan, settings)


def of_round(values: Sequence[float], round_number: int) -> float:
    """The value of a round; the last one goes on."""
    return values[min(round_number, len(values)) - 1]


def _load(sessions: sessionmaker[Session], run_id: int) -> LdAlignConfig:
    with sessions() as session:
        config = load_alignment(session, run_id)
    assert isinstance(config, LdAlignConfig)
    return config


def _golden_pairs(
    sessions: sessionmaker[Session], run_id: int, config: LdAlignConfig, model: str, settings: Settings
) -> list[GoldenPair]:
    """Each golden response with one of the model's own."""
    with sessions() as session:
        golden = {one.prompt_id: one for one in golden_parts(session, config).train}
    prompts = [StoredPrompt(one.prompt_id, one.prompt) for one in golden.values()]
    generate = GenerateConfig(
        when="always",
        backend=config.evaluate.backend,
        responses_per_prompt=1,
        temperature=config.sample_temperature,
        max_tokens=config.max_tokens,
        max_model_len=config.evaluate.max_model_len,
    )
    own = policy_samples(sessions, run_id, config, model, prompts, generate=generate, settings=settings)
    return [(golden[one.prompt_id], one) for one in own]


def _examples(
    sessions: sessionmaker[Session],
    run_id: int,
    config: LdAlignConfig,
    round_number: int,
    model: str,
    settings: Settings,
) -> list[Example]:
    """A round's pairs with their weights."""
    pairs = _golden_pairs(sessions, run_id, config, model, settings)
    with sessions() as session:
        found = distances_of(session, run_id, round_number)
    weights = {(one.golden_response_id, one.sampled_response_id): one.weight for one in found}
    return [
        Example(golden.prompt, golden.text, own.text, weight=weights[golden.response_id, own.response_id])
        for golden, own in pairs
    ]


def _distances(
    config: LdAlignConfig, pairs: Sequence[GoldenPair], first: StartModel, settings: Settings
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The latent distance of each pair; 0 where no guide is asked for.

    One guide serves all rounds: it is named by what it was trained on, golden responses and samples of the first model.
    """
    if config.rounds.weights == "unit":
        return np.zeros(len(pairs))
    texts = [GuideText(one.prompt, one.text) for pair in pairs for one in pair]
    base = resolve_model(config.model.name, config.model, settings)
    guide_settings = guide_settings_of(config.guide, base, dtype=config.rounds.dtype, seed=config.seed)
    golden = sorted((pair[0].prompt.key, pair[0].text) for pair in pairs)
    sampling = (first.resolved.fingerprint, config.seed, config.sample_temperature, config.max_tokens)
    key = content_key(guide_settings.key, base.fingerprint, golden, sampling)
    folder = settings.artifact_root / "guides" / key[:KEY_DIGITS]
    log_path = settings.artifact_root / "logs" / "guide.log"
    with device(), closing(IsolatedGuide(log_path=log_path, timeout_s=None)) as guide:
        with step_progress("guide", "training steps") as on_step:
            trained = guide.train(texts, guide_settings, folder, on_step=on_step)
        if trained.truncated_count:
            say(f"the guide read {trained.truncated_count:,} of {len(texts):,} responses cut; raise guide.max_length")
        latent = guide.encode(texts)
    return latent_distances(latent[0::2], latent[1::2])


def guide_settings_of(config: GuideConfig, policy: ResolvedModel, *, dtype: str, seed: int) -> GuideSettings:
    """The guide's settings; from scratch it reads by the tokenizer of the policy."""
    rate = GUIDE_RATE_PRETRAINED if config.base else GUIDE_RATE_FROM_SCRATCH
    values = config.model_dump() | {"learning_rate": config.learning_rate or rate}
    return GuideSettings(revision=None, tokenizer=config.base or policy.location, dtype=dtype, seed=seed, **values)
