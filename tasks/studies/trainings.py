"""Trainings of a study: ordinary runs of `align` on snapshots of the study's own pairs. Knows no Prefect run.

All arms of a study begin with one fine-tuned model. Policies are known by their content, so that arms which chose the
same pairs, and a second study of the same data, train nothing twice. Labels that a study makes up (the truth seen
through noise) are rows of its snapshots alone: as judgements they would vote on what users train with.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from db import evaluations, policies
from db.evaluations import EvaluationRecord
from db.labels import snapshots
from db.labels.snapshots import Lineage
from models.evaluation.measurements import Measurements
from models.files import inside
from models.records import content_key
from models.storage.folders import SUMS
from tasks.alignment.data import AlignmentAtWork, alignment_at_work
from tasks.alignment.opening import open_alignment
from tasks.alignment.training import fine_tune, train_policy
from tasks.config.alignment import AlignConfig, DataConfig
from tasks.devices import keep_device
from tasks.evaluation.comparison import ComparedPair, compare, evaluate_policy, pair_margins, pair_scores
from tasks.evaluation.measures import scored_pairs
from tasks.run_kinds import ALIGNMENT, RunAtWork, load_alignment
from tasks.runs import working_on
from tasks.storage import objects_of

TRAIN_SPLIT, HELD_OUT_SPLIT = "train", "test"
NO_SHARE = 1e-15  # a snapshot of a study says of each row what it is for; nothing is held out beside that
ALIKE = 0.8  # shorter ÷ longer, in characters: of like length
LARGE_BYTES = 100 * 2**20  # of a trial's weights, which go once it is measured

Figures = dict[str, Any]


class Trained(NamedTuple):
    """What a training of a study left: the policy, its evaluation against the start, and its run."""

    policy_id: int
    evaluation_id: int
    run_id: int
    start_id: int | None


def store_snapshot(
    study: RunAtWork[Any], train: Sequence[Lineage], held_out: Sequence[Lineage], *, name: str
) -> DataConfig:
    """Store what a trial trains on and what it is measured on; return it as `align` takes it.

    Args:
        study: whose trial it is.
        train: preferences in the order in which they are trained on.
        held_out: preferences of other prompts, the same for all trials.
        name: of the trial.
    """
    rows = [row._replace(split=TRAIN_SPLIT) for row in train]
    rows += [row._replace(split=HELD_OUT_SPLIT) for row in held_out]
    digest = content_key("study", [(row.chosen_response_id, row.rejected_response_id) for row in rows])
    with study.sessions.begin() as session:
        snapshot_id = snapshots.add_snapshot(
            session, rows, name=name, content_hash=digest, query={"study": study.run_id}
        )
    return DataConfig(snapshot=snapshot_id, held_out_share=NO_SHARE)


def fine_tuned(config: AlignConfig) -> int | None:
    """Fine-tune the model that all arms begin with, or find it; return its id, None where none is wanted."""
    if not config.sft.epochs:
        return None
    run_id = open_alignment(config, ALIGNMENT)
    with working_on(run_id):
        return fine_tune.fn(run_id)


def trained(config: AlignConfig) -> Trained:
    """Fine-tune, train and evaluate as `align` does, or find what was done; return the ids."""
    run_id = open_alignment(config, ALIGNMENT)
    with working_on(run_id), keep_device():
        start_id = fine_tune.fn(run_id)
        policy_id = train_policy.fn(run_id, start_id)
        return Trained(policy_id, evaluate_policy.fn(run_id, policy_id, start_id), run_id, start_id)


def figures_of(made: Trained) -> Figures:
    """What a policy was measured by, as JSON: means, values by prompt to pair arms by, and the curves of its training.

    `by_prompt` holds lists beside its `prompts`, or `compared_prompts`: `margin`, `accuracy` (of the implicit reward),
    `chosen_reward`; `win_rate` (win + tie / 2), `like_length_win_rate` (None where no comparison is of like length),
    `reward_gain` (the annotator's score of the policy's response less that of the start's; None where it gives none).
    """
    with alignment_at_work(made.run_id, load_alignment) as run:
        policy, start = run.model(made.policy_id), run.model(made.start_id)
        _, pairs = compare(run, made.policy_id, start)
        with run.sessions() as session:
            evaluation = evaluations.get_evaluation(session, made.evaluation_id)
            record = policies.get_policy(session, made.policy_id)
            points = policies.metric_points(session, made.policy_id)
        compared = _of_comparisons(run, evaluation, pairs)
        scored = scored_pairs(run, policy, start, run.data.held_out_examples([pair.baseline for pair in pairs]))
        beta = run.config.evaluate.reward_beta
    margins = scored.margins(beta)
    curves = {
        name: [(point.step, point.value) for point in points if (point.split, point.name) == ("held_out", name)]
        for name in ("margin", "loss", "accuracy", "perplexity")
    }
    return {
        "policy": made.policy_id,
        "evaluation": made.evaluation_id,
        "train_seconds": record.seconds,
        **_means(evaluation.metrics or Measurements()),
        "chosen_reward": float(np.mean(scored.rewards(beta)[0])) if len(margins) else None,
        "curves": {name: curve for name, curve in curves.items() if curve},
        "by_prompt": {
            **_by_prompt(
                scored.prompt_ids, "prompts", margin=margins, accuracy=(np.sign(margins) + 1) / 2,
                chosen_reward=scored.rewards(beta)[0],
            ),
            **compared,
        },
    }  # fmt: skip


def drop_weights(study: RunAtWork[Any], policy_id: int) -> bool:
    """Remove the weights of a trial's policy if they are large; return whether they went.

    What was measured stays, and so do its responses. It is trained again should another study need it.
    """
    with study.sessions() as session:
        stored = policies.get_policy(session, policy_id).folder
    if stored is None:
        return False
    folder, objects = inside(study.settings.artifact_root, stored), objects_of(study.settings, stored)
    here = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    there = sum(objects.sizes().values()) if objects else 0
    if max(here, there) <= LARGE_BYTES:
        return False
    if objects:  # before the copy: killed between, they would be large here still, and go the next time
        objects.remove(SUMS)
        objects.remove("")
    if folder.is_dir():
        shutil.rmtree(folder)
    return True


def responses_of(made: Trained, count: int) -> list[tuple[str, str, str]]:
    """The first held-out prompts with what the start model and the policy answer: (prompt, start's, policy's)."""
    with alignment_at_work(made.run_id, load_alignment) as run:
        _, pairs = compare(run, made.policy_id, run.model(made.start_id))
    first = {pair.policy.prompt_id: pair for pair in reversed(pairs)}
    return [
        (pair.policy.prompt.text, pair.baseline.text, pair.policy.text) for _, pair in sorted(first.items())[:count]
    ]


def _means(metrics: Measurements) -> Figures:
    figures: Figures = {}
    if (comparison := metrics.comparison) is not None:
        figures |= {name: getattr(comparison, name) for name in ("win", "tie", "lose")}
        controlled = comparison.length_controlled
        figures |= {"win_rate": comparison.rate.value, "length_controlled": controlled and controlled.value}
    if metrics.held_out is not None and (rewards := metrics.held_out.rewards) is not None:
        figures |= {name: interval.value for name, interval in rewards.intervals.items()}
    if metrics.held_out is not None and (texts := metrics.held_out.text_scores) is not None:
        figures |= {"bleu_4": texts.corpus_bleu_4, "rouge_l": texts.word_rouge_l}
    if metrics.kl is not None and (kl := metrics.kl.from_policy) is not None:
        figures["kl"] = kl.per_response.value
    return figures


def _by_prompt(prompt_ids: Any, known_as: str, **values: Any) -> Figures:
    """Means by prompt, in the order of the prompts' ids; None where a prompt has no value."""
    ids, groups = np.unique(np.asarray(prompt_ids, dtype=np.int64), return_inverse=True)
    found: Figures = {known_as: ids.tolist()}
    for name, of_pairs in values.items():
        array = np.asarray(of_pairs, dtype=np.float64)
        has_value = ~np.isnan(array)
        sums = np.bincount(groups[has_value], array[has_value], minlength=len(ids))
        counts = np.bincount(groups[has_value], minlength=len(ids))
        found[name] = [
            round(float(total / count), 6) if count else None for total, count in zip(sums, counts, strict=True)
        ]
    return found


def _of_comparisons(run: AlignmentAtWork[Any], evaluation: EvaluationRecord, pairs: Sequence[ComparedPair]) -> Figures:
    """What the annotator said of the pairs, by prompt; nothing where it said nothing that can be read."""
    if not evaluation.comparison:
        return {}
    scores = pair_scores(run, pairs, evaluation.annotator_id)
    margins = pair_margins(run, pairs, evaluation.annotator_id)
    compared = [
        (pair.policy.prompt_id, score, score if _is_alike(pair.policy.text, pair.baseline.text) else np.nan, margin)
        for pair, score, margin in zip(pairs, scores, margins, strict=True)
        if score is not None
    ]
    if not compared:
        return {}
    ids, rates, alike, gains = zip(*compared, strict=True)
    return _by_prompt(ids, "compared_prompts", win_rate=rates, like_length_win_rate=alike, reward_gain=gains)


def _is_alike(one: str, other: str) -> bool:
    shorter, longer = sorted((len(one), len(other)))
    return shorter >= ALIKE * longer
