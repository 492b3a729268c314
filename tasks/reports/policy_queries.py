"""What the command line and the report page read of policies. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from db import evaluations, gate_looks, latent_distances, policies, promotions
from db.engine import Session
from db.evaluations import EvaluationRecord
from db.labels import judgements, snapshots
from db.labels.labelling import pair_texts
from db.policies import PolicyRecord
from models.evaluation.measurements import HeldOut, Measurements
from models.files import report_file
from models.labelling.records import PairKey
from models.report.policy_contents import (
    Cost,
    EvaluationFigures,
    Gate,
    PolicyContents,
    Rate,
    ResponseExample,
    TextScore,
)
from tasks.database import open_database
from tasks.evaluation.held_out import held_out_words
from tasks.evaluation.promotion import gate_verdict
from tasks.settings import Settings

EXAMPLES = 6
TEXT_SCORE_NAMES = {
    "corpus_bleu_4": "corpus BLEU-4 (sacreBLEU 13a)",
    "word_rouge_1": "ROUGE-1, words (rouge-score)",
    "word_rouge_2": "ROUGE-2, words (rouge-score)",
    "word_rouge_l": "ROUGE-L, words (rouge-score)",
    "character_bleu_4": "character BLEU-4, mean of sentences (LLaMA-Factory, ASFT)",
    "token_rouge_1": "ROUGE-1, distinct tokens (LLaMA-Factory, ASFT)",
    "token_rouge_2": "ROUGE-2, distinct tokens (LLaMA-Factory, ASFT)",
    "token_rouge_l": "ROUGE-L, tokens (LLaMA-Factory, ASFT)",
}
MEGABYTE = 1e6
SHOWN_SETTINGS = ("beta", "learning_rate", "epochs", "batch_size", "max_length", "optimizer", "dtype", "seed", "lora")


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """A policy as the list shows it; figures are None, and prompts none, where nothing was compared."""

    policy: PolicyRecord
    is_in_use: bool
    comparison: EvaluationFigures | None
    prompt_ids: frozenset[int] = frozenset()


class EvaluationEnd(NamedTuple):
    """An evaluation, its comparison (None while nobody has compared), and what the gate says of the policy."""

    evaluation: EvaluationRecord
    figures: EvaluationFigures | None
    gate: Gate


def policy_lines(settings: Settings) -> list[PolicyLine]:
    """Every policy, newest first, with its newest comparison."""
    with open_database(settings) as sessions, sessions() as session:
        used = promotions.in_use(session)
        lines = []
        for policy in policies.list_policies(session):
            newest = evaluations.latest_comparison(session, policy.id)
            if newest is None:
                lines.append(PolicyLine(policy, policy.id == used, None))
                continue
            prompt_ids = frozenset(row[0] for row in evaluations.evaluation_pairs(session, newest.id))
            lines.append(PolicyLine(policy, policy.id == used, _figures(session, newest), prompt_ids))
        return lines


def policy_contents(policy_id: int, settings: Settings) -> PolicyContents:
    """Everything the database holds of a policy, as its page shows it.

    Raises:
        LookupError: If there is no such policy.
    """
    with open_database(settings) as sessions, sessions() as session:
        policy = policies.get_policy(session, policy_id)
        measurements = (evaluation.metrics for evaluation in evaluations.evaluations_of(session, policy_id))
        measured = next((metrics for metrics in measurements if metrics and metrics.held_out), Measurements())
        held_out = measured.held_out or HeldOut(None, None, None)
        snapshot = None if policy.snapshot_id is None else snapshots.snapshot_info(session, policy.snapshot_id)
        rounds = {policy.round: latent_distances.distances_of(session, policy.run_id, policy.round)}
        texts = {} if held_out.text_scores is None else held_out.text_scores._asdict()
        compared = evaluations.comparisons(session, policy_id)
        return PolicyContents(
            policy_id=policy.id,
            name=policy.name,
            method=policy.method,
            round=policy.round,
            base_model=policy.start_model,
            baseline=compared[0].baseline if compared else None,
            snapshot=None if snapshot is None else f"{snapshot.name} (snapshot {snapshot.id})",
            content_hash=None if snapshot is None else snapshot.content_hash,
            config=_config(policy),
            points=policies.metric_points(session, policy_id),
            held_out=held_out.rewards,
            measured_on=held_out_words(session, policy),
            metrics=_numbers(policy.metrics or {}) if held_out.rewards is None else {},
            evaluations=[_figures(session, evaluation) for evaluation in compared],
            text_scores=[
                TextScore(TEXT_SCORE_NAMES[name], score) for name, score in texts.items() if score is not None
            ],
            kl=measured.kl,
            drift=measured.drift or {},
            guide=latent_distances.check_of(session, policy.run_id) if policy.method == "ld_align" else None,
            latent_distances={number: [row.distance for row in rows] for number, rows in rounds.items() if rows},
            gate=_gate(session, policy_id),
            cost=_cost(policy),
            examples=_examples(session, compared[0]) if compared else (),
        )


def policy_page_path(policy_id: int, settings: Settings) -> Path:
    """Where a policy's page is."""
    return report_file(settings.artifact_root, "policy", policy_id)


def evaluation_end(evaluation_id: int, settings: Settings) -> EvaluationEnd:
    """An evaluation, its figures and the gate's verdict on its policy."""
    with open_database(settings) as sessions, sessions() as session:
        evaluation = evaluations.get_evaluation(session, evaluation_id)
        figures = None if evaluation.comparison is None else _figures(session, evaluation)
        return EvaluationEnd(evaluation, figures, _gate(session, evaluation.policy_id))


def _figures(session: Session, evaluation: EvaluationRecord) -> EvaluationFigures:
    comparison = evaluation.comparison
    assert comparison is not None and evaluation.finished_at is not None
    controlled = comparison.length_controlled
    return EvaluationFigures(
        annotator=evaluation.annotator or "people",
        baseline=evaluation.baseline,
        win=comparison.wins,
        tie=comparison.ties,
        lose=comparison.losses,
        rate=Rate(*comparison.rate),
        length_controlled=None if controlled is None else Rate(*controlled),
        prompt_count=comparison.prompt_count,
        seed=evaluation.seed,
        compared_at=evaluation.finished_at,
        look=gate_looks.newest_look(session, evaluation.id),
    )


def _gate(session: Session, policy_id: int) -> Gate:
    verdict = gate_verdict(session, policy_id)
    if promotions.in_use(session) == policy_id:
        return Gate("in use", verdict.reason)
    return Gate("passed" if verdict.is_passed else "not passed", verdict.reason, verdict.next_step)


def _config(policy: PolicyRecord) -> list[tuple[str, str]]:
    values = ((name, policy.settings.get(name)) for name in SHOWN_SETTINGS)
    return [(name, str(value)) for name, value in values if value is not None]


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def _cost(policy: PolicyRecord) -> Cost | None:
    if not policy.seconds:
        return None
    return Cost(policy.seconds, policy.response_tokens / policy.seconds, (policy.peak_memory_bytes or 0) / MEGABYTE)


def _examples(session: Session, evaluation: EvaluationRecord) -> list[ResponseExample]:
    """Some of the compared pairs with their outcomes, from the policy's side."""
    examples = []
    first_of_prompt = {row[0]: row for row in reversed(evaluations.evaluation_pairs(session, evaluation.id))}
    for _, response_id, baseline_response_id in sorted(first_of_prompt.values())[:EXAMPLES]:
        pair = PairKey(min(response_id, baseline_response_id), max(response_id, baseline_response_id))
        (text,) = pair_texts(session, [pair])
        shown = text.shown(response_id)
        verdicts_by_annotator = judgements.showings(session, [pair]).get(pair, {})
        verdicts = [
            verdict
            for annotator_id, by_left in verdicts_by_annotator.items()
            if evaluation.annotator_id in {None, annotator_id}
            for verdict in by_left.values()
        ]
        if not verdicts:
            continue
        names = {
            "first": "win" if response_id < baseline_response_id else "lose",
            "second": "lose" if response_id < baseline_response_id else "win",
        }
        outcomes = {names.get(verdict, "tie") for verdict in verdicts}
        examples.append(
            ResponseExample(
                text.prompt.text, shown.right.text, shown.left.text, outcomes.pop() if len(outcomes) == 1 else "tie"
            )
        )
    return examples
