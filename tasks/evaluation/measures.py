"""What measures a policy beside comparisons: implicit rewards, texts, drift of embeddings. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np

from db.samples import Sample, references
from models.alignment.records import Example
from models.embedding import Context, EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.embedding.isolated import IsolatedEmbedder
from models.evaluation.drift import embedding_drift
from models.evaluation.measurements import Drift, RewardSummary, TextScores
from models.evaluation.rewards import reward_summary
from models.evaluation.text_scores import text_scores
from models.exchange import PreferenceRow
from models.records import MAX_CANDIDATES
from tasks.alignment.data import AlignmentAtWork
from tasks.alignment.reference import response_logps
from tasks.alignment.training_settings import reference_dtype
from tasks.devices import device
from tasks.named_models import NamedModel
from tasks.progress import Advance, stage_progress

DRIFT_RESPONSES = 512
DRIFT_TOKENS = 512
DRIFT_BINS = 20
DRIFT_BATCH_TOKENS = 8_192
CONTEXTS: tuple[Context, ...] = ("response", "prompt_and_response")


def held_out_rewards(
    run: AlignmentAtWork[Any], policy: NamedModel, start: NamedModel, examples: Sequence[tuple[int, Example]]
) -> RewardSummary | None:
    """Margin, loss, accuracy and perplexity on the held-out examples (REAL eq. 10, 11), with intervals by prompt.

    None where no example has two responses that are short enough.
    """
    texts = [(example.prompt, text) for _, example in examples for text in (example.chosen, example.rejected)]
    requests = [(prompt, text) for prompt, text in texts if text is not None]
    optimize = run.config.optimize
    logps = [
        response_logps(run, model, requests, dtype=reference_dtype(optimize), max_length=optimize.max_length)
        for model in (policy, start)
    ]
    chosen = [(example.prompt, example.chosen) for _, example in examples]
    rejected = [(example.prompt, example.rejected or "") for _, example in examples]
    scored = [at for at in range(len(examples)) if all(chosen[at] in of and rejected[at] in of for of in logps)]
    if not scored:
        return None
    sums = [np.array([of[side[at]].logps for at in scored]) for of in logps for side in (chosen, rejected)]
    return reward_summary(
        *sums,
        beta=run.config.evaluate.reward_beta,
        chosen_token_counts=np.array([logps[0][chosen[at]].token_count for at in scored]),
        clusters=np.array([examples[at][0] for at in scored]),
    )


def scores_of_texts(run: AlignmentAtWork[Any], samples: Sequence[Sample]) -> TextScores | None:
    """BLEU-4 and ROUGE of responses against the chosen or golden ones of their prompts; None where there are none."""
    prompt_ids = {sample.prompt_id for sample in samples}
    with run.sessions() as session:
        golden_texts = {reference.prompt_id: reference.text for reference in references(session, sorted(prompt_ids))}
    for row in run.data.parts.held_out:
        golden_texts[row.prompt_id] = row.chosen if isinstance(row, PreferenceRow) else row.text
    compared = [(sample.text, golden_texts[sample.prompt_id]) for sample in samples if sample.prompt_id in golden_texts]
    if not compared:
        return None
    responses, golden = zip(*compared, strict=True)
    return text_scores(responses, golden)


def drift_of(run: AlignmentAtWork[Any], policy: NamedModel) -> dict[str, Drift]:
    """How far the embeddings of held-out responses moved from the base model's, read alone and after the prompt."""
    texts: dict[int, dict[EmbeddingRequest, None]] = {}
    for prompt_id, example in run.data.held_out_examples(())[: DRIFT_RESPONSES // 2]:
        requests_of_example = (
            EmbeddingRequest(example.prompt, text) for text in (example.chosen, example.rejected) if text is not None
        )
        texts.setdefault(prompt_id, {}).update(dict.fromkeys(requests_of_example))
    groups = [list(of_prompt)[:MAX_CANDIDATES] for of_prompt in texts.values()]
    requests = [request for group in groups for request in group]
    offsets = np.cumsum([0, *map(len, groups)])
    with stage_progress("drift", 2 * len(CONTEXTS) * len(requests), "embeddings") as advance:
        before, after = (_embed(run, model, requests, advance) for model in (run.base, policy))
    return {context: embedding_drift(before[context], after[context], offsets, bins=DRIFT_BINS) for context in CONTEXTS}


def _embed(
    run: AlignmentAtWork[Any], model: NamedModel, requests: Sequence[EmbeddingRequest], advance: Advance
) -> dict[Context, Any]:
    """The vectors of the requests in each context."""
    arguments = {
        "model": model.location,
        "revision": model.revision,
        "dtype": run.config.model.dtype,
        "context": CONTEXTS[0],
        "max_tokens": DRIFT_TOKENS,
        "tokens_per_batch": DRIFT_BATCH_TOKENS,
    }
    log_path = run.settings.artifact_root / "logs" / "drift.log"
    vectors: dict[Context, Any] = {}
    with (
        device() as process,
        closing(
            IsolatedEmbedder(HiddenStateEmbedder, arguments, log_path=log_path, timeout_s=None, start=process.start)
        ) as embedder,
    ):
        for context in CONTEXTS:
            vectors[context] = embedder.embed(requests, context).vectors
            advance(len(requests))
    return vectors
