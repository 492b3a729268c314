"""The steps of LD-Align's rounds (alg. 1): sample from the last policy, weigh by latent distance, train against it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from db.latent_distances import LatentDistance, add_distances, distances_of
from db.policies import start_of
from db.samples import Sample
from models.alignment.records import Example
from models.guide import GuideSettings, GuideText
from models.guide.distances import distance_weights, latent_distances
from models.guide.isolated import IsolatedGuide
from models.records import StoredPrompt, content_key
from tasks.alignment.data import AlignmentAtWork, alignment_at_work, golden_example
from tasks.alignment.plans import Plan
from tasks.alignment.samples import comparison_samples, own_samples, policy_samples
from tasks.alignment.training import train_one
from tasks.alignment.training_settings import training_settings
from tasks.config.rounds import GUIDE_RATE_FROM_SCRATCH, GUIDE_RATE_PRETRAINED, GuideConfig, LdAlignConfig
from tasks.devices import device, keep_device
from tasks.named_models import NamedModel
from tasks.progress import say, step_progress
from tasks.run_kinds import ALIGNMENT_IN_ROUNDS

KEY_DIGITS = 16

GoldenPair = tuple[Sample, Sample]
"""A golden response and the policy's sample for the same prompt."""


@task(name="weigh", task_run_name="weigh round {round_number} of run {run_id}", cache_policy=NO_CACHE)
def weigh_round(run_id: int, round_number: int, last_id: int | None) -> None:
    """Sample from the last policy for every golden response's prompt, and store each pair's distance and weight.

    The guide is trained in the first round, on golden responses and the first policy's samples (LD-Align eq. 2), and
    serves all rounds.
    """
    with alignment_at_work(run_id, ALIGNMENT_IN_ROUNDS.load_config) as run, keep_device():
        pairs = _golden_pairs(run, run.model(last_id))
        with run.sessions() as session:
            stored_pairs = {
                (row.golden_response_id, row.sampled_response_id) for row in distances_of(session, run_id, round_number)
            }
        if stored_pairs == {(golden.response_id, sample.response_id) for golden, sample in pairs}:
            return
        distances = _distances(run, pairs, _first(run, round_number, last_id))
        weights = np.ones(len(pairs)) if run.config.rounds.weights == "unit" else distance_weights(distances)
        measured = zip(distances.tolist(), weights.tolist(), strict=True)
        rows = [
            LatentDistance(run_id, round_number, golden.prompt_id, golden.response_id, sample.response_id, *values)
            for (golden, sample), values in zip(pairs, measured, strict=True)
        ]
        with run.sessions.begin() as session:
            add_distances(session, rows)


@task(name="train round", task_run_name="train round {round_number} of run {run_id}", cache_policy=NO_CACHE)
def train_round(run_id: int, round_number: int, last_id: int | None, before_last_id: int | None) -> int:
    """Train the round's policy against the last one; return its id."""
    with alignment_at_work(run_id, ALIGNMENT_IN_ROUNDS.load_config) as run:
        return train_one(run, lambda: _plan(run, round_number, last_id, before_last_id))


def _plan(
    run: AlignmentAtWork[LdAlignConfig], round_number: int, last_id: int | None, before_last_id: int | None
) -> Plan:
    config, rounds = run.config, run.config.rounds
    start = run.model(last_id)
    examples = _examples(run, round_number, start)
    if rounds.has_previous and round_number > 1:
        examples = _examples(run, round_number - 1, run.model(before_last_id)) + examples
    first = _first(run, round_number, last_id)
    return Plan(
        method=config.method,
        round=round_number,
        start=start,
        first=first,
        settings=training_settings(
            config,
            rounds,
            config.method,
            beta=of_round(rounds.betas, round_number),
            learning_rate=of_round(rounds.learning_rates, round_number),
        ),
        optimize=rounds,
        train=examples,
        held_out=[example for _, example in run.data.held_out_examples(comparison_samples(run, first))],
        kl_samples=own_samples(run, first),
    )


def _first(run: AlignmentAtWork[LdAlignConfig], round_number: int, last_id: int | None) -> NamedModel:
    """The model that the run's first round began with."""
    if round_number == 1 or last_id is None:
        return run.model(last_id)
    with run.sessions() as session:
        return run.model(start_of(session, last_id))


def of_round(values: Sequence[float], round_number: int) -> float:
    """The value of a round (1, 2, …); rounds beyond the values take the last one."""
    return values[min(round_number, len(values)) - 1]


def _golden_pairs(run: AlignmentAtWork[LdAlignConfig], model: NamedModel) -> list[GoldenPair]:
    """Each golden response with the model's sample for its prompt."""
    assert run.data.golden is not None  # a run in rounds has them
    golden = {sample.prompt_id: sample for sample in run.data.golden.train}
    prompts = [StoredPrompt(sample.prompt_id, sample.prompt) for sample in golden.values()]
    samples = policy_samples(run, model, prompts, run.config.generate())
    return [(golden[sample.prompt_id], sample) for sample in samples]


def _examples(run: AlignmentAtWork[LdAlignConfig], round_number: int, model: NamedModel) -> list[Example]:
    """A round's pairs with their weights."""
    pairs = _golden_pairs(run, model)
    with run.sessions() as session:
        distances = distances_of(session, run.run_id, round_number)
    weights = {(row.golden_response_id, row.sampled_response_id): row.weight for row in distances}
    return [
        golden_example(golden, sample, weight=weights[golden.response_id, sample.response_id])
        for golden, sample in pairs
    ]


def _distances(
    run: AlignmentAtWork[LdAlignConfig], pairs: Sequence[GoldenPair], first: NamedModel
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The latent distance of each pair, shape (n,); 0 where every weight is 1 and no guide is needed.

    One guide serves all rounds: it is named by what it was trained on, golden responses and samples of the first model.
    """
    config, settings = run.config, run.settings
    if config.rounds.weights == "unit":
        return np.zeros(len(pairs))
    texts = [GuideText(sample.prompt, sample.text, sample.is_cut) for pair in pairs for sample in pair]
    guide_settings = guide_settings_of(config.guide, run.base, dtype=config.rounds.dtype, seed=config.seed)
    golden = sorted((pair[0].prompt.key, pair[0].text) for pair in pairs)
    sampling = (first.fingerprint, config.seed, config.sample_temperature, config.max_tokens)
    cut = sorted((one.prompt.key, one.is_cut, two.is_cut) for one, two in pairs if one.is_cut or two.is_cut)
    # An earlier version gave cut texts an end; its guides of whole texts are found by their old name.
    key = content_key(guide_settings.key, run.base.fingerprint, golden, sampling, *([cut] if cut else []))
    folder = settings.artifact_root / "guides" / key[:KEY_DIGITS]
    log_path = settings.artifact_root / "logs" / "guide.log"
    with (
        device() as process,
        closing(IsolatedGuide(log_path=log_path, timeout_s=None, start=process.start)) as guide,
    ):
        with step_progress("guide", "training steps") as on_step:
            trained = guide.train(texts, guide_settings, folder, on_step=on_step)
        if trained.truncated_count:
            say(f"the guide read {trained.truncated_count:,} of {len(texts):,} responses cut; raise guide.max_length")
        latent = guide.encode(texts)
    return latent_distances(latent[0::2], latent[1::2])


def guide_settings_of(config: GuideConfig, policy: NamedModel, *, dtype: str, seed: int) -> GuideSettings:
    """The guide's settings; from scratch it reads by the tokenizer of the policy."""
    rate = GUIDE_RATE_PRETRAINED if config.base else GUIDE_RATE_FROM_SCRATCH
    values = config.model_dump() | {"learning_rate": config.learning_rate or rate}
    return GuideSettings(revision=None, tokenizer=config.base or policy.location, dtype=dtype, seed=seed, **values)
