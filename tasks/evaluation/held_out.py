"""What a policy is measured on, and what of a comparison it was trained on. Knows no Prefect."""

from __future__ import annotations

from db import evaluations, prompt_uses
from db.engine import Session
from db.evaluations import EvaluationRecord
from db.policies import PolicyRecord
from db.prompts import stored_prompts
from tasks.alignment.lineage import lineage_of, measured_words


def held_out_words(session: Session, policy: PolicyRecord) -> str:
    """How many of the prompts that its run holds out a policy can be measured on, as one line."""
    lineage = lineage_of(session, [policy.id])
    roles = prompt_uses.uses_of(session, policy.run_id)
    held_out = stored_prompts(session, [id_ for id_, role in roles.items() if role == prompt_uses.HELD_OUT])
    left_out = sum(lineage.has_seen(prompt.prompt) for prompt in held_out)
    return measured_words(len(held_out) - left_out, left_out, lineage)


def seen_in_comparison(session: Session, evaluation: EvaluationRecord) -> int:
    """On how many of its prompts one of the models compared was trained, itself or what it began with.

    Comparisons of this version have none of them.
    """
    lineage = lineage_of(session, [evaluation.policy_id, evaluation.baseline_id])
    prompt_ids = {row[0] for row in evaluations.evaluation_pairs(session, evaluation.id)}
    return sum(lineage.has_seen(prompt.prompt) for prompt in stored_prompts(session, sorted(prompt_ids)))
