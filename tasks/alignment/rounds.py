"""The steps of LD-Align's rounds (alg. 1): sample from the last policy, weigh by latent distance, train against it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from db.latent_distances import LatentDistance, add_distances, distances_of
from db.policies import start_of
from models.alignment.records import Example
from models.guide.distances import distance_weights
from models.records import StoredPrompt
from tasks.alignment.data import AlignmentAtWork, alignment_at_work, golden_example
from tasks.alignment.guides import GoldenPair, guided_distances
from tasks.alignment.plans import Plan
from tasks.alignment.reference import reading
from tasks.alignment.samples import comparison_samples, own_samples, policy_samples
from tasks.alignment.training import train_one
from tasks.alignment.training_settings import training_settings
from tasks.config.rounds import LdAlignConfig
from tasks.devices import keep_device
from tasks.named_models import NamedModel
from tasks.run_kinds import ALIGNMENT_IN_ROUNDS


@task(name="weigh", task_run_name="weigh round {round_number} of run {run_id}", cache_policy=NO_CACHE)
def weigh_round(run_id: int, round_number: int, last_id: int | None) -> None:
    """Sample from the last policy for every golden response's prompt, and store each pair's distance and weight.

    The guide is trained in the first round, on golden responses and the first policy's samples (LD-Align eq. 2), and
    serves all rounds. It is looked at before its distances weigh anything.

    Raises:
        GuideError: If the guide does without its latent vector, unless the configuration says to go on.
    """
    with alignment_at_work(run_id, ALIGNMENT_IN_ROUNDS.load_config) as run, keep_device():
        model = run.model(last_id)
        pairs = golden_pairs(run, model)
        with run.sessions() as session:
            stored_pairs = {
                (row.golden_response_id, row.sampled_response_id) for row in distances_of(session, run_id, round_number)
            }
        if stored_pairs == {(golden.response_id, sample.response_id) for golden, sample in pairs}:
            return
        if run.config.rounds.weights == "unit":
            distances, weights = np.zeros(len(pairs)), np.ones(len(pairs))
        else:
            first = _first(run, round_number, last_id)
            first_pairs = pairs if round_number == 1 else golden_pairs(run, first)
            distances = guided_distances(run, pairs, first, first_pairs)
            weights = _weights(run, pairs, distances, model)
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


def golden_pairs(run: AlignmentAtWork[LdAlignConfig], model: NamedModel) -> list[GoldenPair]:
    """Each golden response with the model's sample for its prompt."""
    assert run.data.golden is not None  # a run in rounds has them
    golden = {sample.prompt_id: sample for sample in run.data.golden.train}
    prompts = [StoredPrompt(sample.prompt_id, sample.prompt) for sample in golden.values()]
    samples = policy_samples(run, model, prompts, run.config.generate())
    return [(golden[sample.prompt_id], sample) for sample in samples]


def _examples(run: AlignmentAtWork[LdAlignConfig], round_number: int, model: NamedModel) -> list[Example]:
    """A round's pairs with their weights."""
    pairs = golden_pairs(run, model)
    with run.sessions() as session:
        distances = distances_of(session, run.run_id, round_number)
    weights = {(row.golden_response_id, row.sampled_response_id): row.weight for row in distances}
    return [
        golden_example(golden, sample, weight=weights[golden.response_id, sample.response_id])
        for golden, sample in pairs
    ]


def _weights(
    run: AlignmentAtWork[LdAlignConfig],
    pairs: Sequence[GoldenPair],
    distances: NDArray[np.float64],
    model: NamedModel,
) -> NDArray[np.float64]:
    """Weights w = s / S, S the mean over what the trainer takes: a mean other than 1 would be another learning rate.

    A pair that it leaves out (too long, say) has the weight 0.
    """
    examples = [golden_example(golden, sample) for golden, sample in pairs]
    with reading(run, model) as reader:
        taken = reader.fitting(examples, run.config.rounds.max_length)
    weights = np.zeros(len(pairs))
    weights[taken] = distance_weights(distances[taken])
    return weights
