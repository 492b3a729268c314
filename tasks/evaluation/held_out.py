"""What a policy is measured on, and what of a comparison it was trained on. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Iterable

from db import evaluations, prompt_uses
from db.engine import Session
from db.labels import snapshots
from db.policies import PolicyRecord
from db.prompts import first_turns
from models.records import Prompt
from tasks.alignment.lineage import lineage_of, measured_words, seen_prompts, seen_words


def held_out_words(session: Session, policy: PolicyRecord) -> str:
    """How many of the prompts that its run holds out a policy can be measured on, and which pairs, as one line."""
    lineage = lineage_of(session, [policy.id])
    roles = prompt_uses.uses_of(session, policy.run_id)
    held_out = [id_ for id_, role in roles.items() if role == prompt_uses.HELD_OUT]
    left_out = len(seen_prompts(session, held_out, lineage))
    words = measured_words(len(held_out) - left_out, left_out, lineage)
    query = {} if policy.snapshot_id is None else snapshots.snapshot_query(session, policy.snapshot_id)
    if strategies := query.get("strategies"):
        words += (
            f"; pairs of {', '.join(strategies)} alone, so that margin, loss and accuracy are not those of a policy of "
            "other pairs"
        )
    return words


def seen_questions(session: Session, texts: Iterable[str], policy_ids: Iterable[int | None]) -> str | None:
    """How many of the questions, by their first turns, these policies or what they began with were trained on.

    In words; None if they were trained on none. A protocol's score is of all its questions, so they are told of, not
    left out.
    """
    lineage = lineage_of(session, policy_ids)
    seen = sum(lineage.has_seen(Prompt.from_text(text)) for text in texts)
    return f"the score counts {seen_words(seen, lineage)}" if seen else None


def seen_in_comparisons(
    session: Session, evaluation_ids: Iterable[int], policy_ids: Iterable[int | None]
) -> dict[int, int]:
    """Evaluation id → on how many of its prompts one of the policies was trained, itself or what it began with.

    Comparisons of this version have none of them.
    """
    of_evaluations = {
        id_: {row[0] for row in evaluations.evaluation_pairs(session, id_)} for id_ in dict.fromkeys(evaluation_ids)
    }
    keys = first_turns(session, sorted(set().union(*of_evaluations.values())))
    trained_on = lineage_of(session, policy_ids, set(keys.values())).first_turns
    return {id_: sum(keys[prompt] in trained_on for prompt in prompts) for id_, prompts in of_evaluations.items()}
