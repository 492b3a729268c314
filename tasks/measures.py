"""What a policy is measured by beside comparisons: implicit rewards, texts, drift of embeddings. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from db.samples import Sample, references
from models.alignment.drift import embedding_drift
from models.alignment.measurements import Drift, RewardSummary, TextScores
from models.alignment.records import Example
from models.alignment.statistics import reward_summary
from models.alignment.text_scores import text_scores
from models.embedding import Context, EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.embedding.isolated import IsolatedEmbedder
from models.exchange import PreferenceRow
from tasks.align_config import AlignmentSection
from tasks.align_data import data_parts, preference_parts
from tasks.config import MAX_CANDIDATES
from tasks.devices import device
from tasks.progress import Advance, stage_progress
from tasks.reference import response_logps
from tasks.resources import ResolvedModel, resolve_model
from tasks.settings import Settings
from tasks.training import StartModel, optimize_config, reference_dtype

DRIFT_RESPONSES = 512
DRIFT_TOKENS = 512
DRIFT_BINS = 20
DRIFT_BATCH_TOKENS = 8_192
CONTEXTS: tuple[Context, ...] = ("response", "prompt_and_response")


def held_out_rewards(
    sessions: sessionmaker[Session],
    config: AlignmentSection,
    policy: StartModel,
    start: StartModel,
    examples: Sequence[tuple[int, Example]],
    *,
    settings: Settings,
) -> RewardSummary | None:
    """Margin, loss, accuracy and perplexity on `held_out_examples` (REAL eq. 10, 11), with intervals by prompt.

    None where no example has two responses that are short enough.
    """
    requests = [(one.prompt, text) for _, one in examples for text in (one.chosen, one.rejected) if text is not None]
    optimize = optimize_config(config)
    logps = [
        response_logps(
            sessions,
            model,
            requests,
            dtype=reference_dtype(optimize),
            max_length=optimize.max_length,
            settings=settings,
        )
        for model in (policy.resolved, start.resolved)
    ]
    chosen = [(one.prompt, one.chosen) for _, one in examples]
    rejected = [(one.prompt, one.rejected or "") for _, one in examples]
    kept = [at for at in range(len(examples)) if all(chosen[at] in of and rejected[at] in of for of in logps)]
    if not kept:
        return None
    sums = [np.array([found[of[at]].logps for at in kept]) for found in logps for of in (chosen, rejected)]
    return reward_summary(
        *sums,
        beta=config.evaluate.reward_beta,
        chosen_token_counts=np.array([logps[0][chosen[at]].token_count for at in kept]),
        clusters=np.array([examples[at][0] for at in kept]),
    )


def scores_of_texts(
    sessions: sessionmaker[Session], config: AlignmentSection, samples: Sequence[Sample]
) -> TextScores | None:
    """BLEU-4 and ROUGE of responses against the chosen or golden ones of their prompts; None where there are none."""
    wanted = {one.prompt_id for one in samples}
    with sessions() as session:
        known = {one.prompt_id: one.text for one in references(session, sorted(wanted))}
        for row in data_parts(session, config).held_out:
            known[row.prompt_id] = row.chosen if isinstance(row, PreferenceRow) else row.text
    compared = [(one.text, known[one.prompt_id]) for one in samples if one.prompt_id in known]
    if not compared:
        return None
    responses, golden = zip(*compared, strict=True)
    return text_scores(responses, golden)


def drift_of(
    sessions: sessionmaker[Session], config: AlignmentSection, policy: StartModel, *, settings: Settings
) -> dict[str, Drift]:
    """How far the embeddings of held-out responses moved from the base model's, read alone and after the prompt."""
    texts: dict[int, dict[EmbeddingRequest, None]] = {}
    for prompt_id, one in held_out_examples(sessions, config, ())[: DRIFT_RESPONSES // 2]:
        both = (EmbeddingRequest(one.prompt, text) for text in (one.chosen, one.rejected) if text is not None)
        texts.setdefault(prompt_id, {}).update(dict.fromkeys(both))
    groups = [list(of_prompt)[:MAX_CANDIDATES] for of_prompt in texts.values()]
    requests = [request for group in groups for request in group]
    offsets = np.cumsum([0, *map(len, groups)])
    base = resolve_model(config.model.name, config.model, settings)
    with stage_progress("drift", 2 * len(CONTEXTS) * len(requests), "embeddings") as advance:
        before, after = (_embed(model, requests, config, settings, advance) for model in (base, policy.resolved))
    return {context: embedding_drift(before[context], after[context], offsets, bins=DRIFT_BINS) for context in CONTEXTS}


def held_out_examples(
    sessions: sessionmaker[Session], config: AlignmentSection, baseline_samples: Sequence[Sample]
) -> list[tuple[int, Example]]:
    """The held-out examples with their prompts' ids.

    Golden references have no rejected response of their own: the baseline's sample takes its place, as in training.
    """
    with sessions() as session:
        has_preferences = config.data.snapshot is not None
        parts = preference_parts(session, config.data) if has_preferences else data_parts(session, config)
    sampled = {one.prompt_id: one.text for one in reversed(baseline_samples)}
    return [
        (row.prompt_id, Example(row.prompt, row.chosen, row.rejected))
        if isinstance(row, PreferenceRow)
        else (row.prompt_id, Example(row.prompt, row.text, sampled.get(row.prompt_id)))
        for row in parts.held_out
    ]


def _embed(
    model: ResolvedModel,
    requests: Sequence[EmbeddingRequest],
    config: AlignmentSection,
    settings: Settings,
    advance: Advance,
) -> dict[Context, Any]:
    """The vectors of the requests in each context."""
    arguments = {
        "model": model.location,
        "revision": model.revision,
        "dtype": config.model.dtype,
        "context": CONTEXTS[0],
        "max_tokens": DRIFT_TOKENS,
        "tokens_per_batch": DRIFT_BATCH_TOKENS,
    }
    log_path = settings.artifact_root / "logs" / "drift.log"
    isolated = IsolatedEmbedder(HiddenStateEmbedder, arguments, log_path=log_path, timeout_s=None)
    vectors: dict[Context, Any] = {}
    with device(), closing(isolated) as embedder:
        for context in CONTEXTS:
            vectors[context] = embedder.embed(requests, context).vectors
            advance(len(requests))
    return vectors
