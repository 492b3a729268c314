"""What measures a policy beside comparisons: implicit rewards, texts, drift of embeddings. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.samples import Sample, references
from models.alignment.records import Example, ResponseLogps, ScoreRequest
from models.embedding import Context, EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.embedding.isolated import IsolatedEmbedder
from models.evaluation.drift import embedding_drift
from models.evaluation.kl import kl
from models.evaluation.measurements import Divergence, Divergences, Drift, RewardSummary, TextScores
from models.evaluation.rewards import reward_summary
from models.evaluation.text_scores import text_scores
from models.exchange import PreferenceRow
from models.records import MAX_CANDIDATES
from tasks.alignment.data import AlignmentAtWork
from tasks.alignment.reference import response_logps
from tasks.alignment.samples import own_samples, sample_request
from tasks.alignment.training_settings import reference_dtype
from tasks.devices import device
from tasks.named_models import NamedModel
from tasks.progress import Advance, stage_progress
from tasks.settings import Settings

DRIFT_RESPONSES = 512
DRIFT_TOKENS = 512
DRIFT_BINS = 20
DRIFT_BATCH_TOKENS = 8_192
CONTEXTS: tuple[Context, ...] = ("response", "prompt_and_response")


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Held-out examples with two responses that are short enough, under the policy and the model its run began with.

    Attributes:
        prompt_ids: (n,) whose examples they are.
        logps: of the policy's chosen, its rejected, the start's chosen, its rejected: (n,) sums in nats each.
        chosen_token_counts: (n,) tokens of the chosen responses.
    """

    prompt_ids: NDArray[np.int64]
    logps: tuple[NDArray[np.float64], ...]
    chosen_token_counts: NDArray[np.int64]

    def margins(self, beta: float) -> NDArray[np.float64]:
        """(n,) implicit rewards of the chosen less those of the rejected responses (REAL eq. 10)."""
        chosen, rejected = self.rewards(beta)
        return chosen - rejected

    def rewards(self, beta: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n,) implicit rewards β log(policy / start), of the chosen and of the rejected responses."""
        policy_chosen, policy_rejected, start_chosen, start_rejected = self.logps
        return beta * (policy_chosen - start_chosen), beta * (policy_rejected - start_rejected)


def held_out_rewards(
    run: AlignmentAtWork[Any], policy: NamedModel, start: NamedModel, examples: Sequence[tuple[int, Example]]
) -> RewardSummary | None:
    """Margin, loss, accuracy and perplexity on the held-out examples (REAL eq. 10, 11), with intervals by prompt.

    None where no example has two responses that are short enough.
    """
    scored = scored_pairs(run, policy, start, examples)
    if not len(scored.prompt_ids):
        return None
    return reward_summary(
        *scored.logps,
        beta=run.config.evaluate.reward_beta,
        chosen_token_counts=scored.chosen_token_counts,
        clusters=scored.prompt_ids,
    )


def scored_pairs(
    run: AlignmentAtWork[Any], policy: NamedModel, start: NamedModel, examples: Sequence[tuple[int, Example]]
) -> ScoredPairs:
    """The held-out examples that can be scored, pair by pair; what was scored before is not computed again."""
    pairs = [(prompt_id, example) for prompt_id, example in examples if example.rejected is not None]
    requests = [example.score_requests for _, example in pairs]
    optimize = run.config.optimize
    logps = [
        response_logps(
            run,
            model,
            chain.from_iterable(requests),
            dtype=reference_dtype(optimize),
            max_length=optimize.max_length,
            processes=optimize.processes,
        )
        for model in (policy, start)
    ]
    scored = [at for at, of_pair in enumerate(requests) if all(request in of for of in logps for request in of_pair)]
    return ScoredPairs(
        np.array([pairs[at][0] for at in scored], dtype=np.int64),
        tuple(np.array([of[requests[at][side]].logps for at in scored]) for of in logps for side in (0, 1)),
        np.array([logps[0][requests[at][0]].token_count for at in scored], dtype=np.int64),
    )


def divergences(run: AlignmentAtWork[Any], policy: NamedModel, start: NamedModel) -> Divergences:
    """KL both ways between the policy and `start`, the model its run began with, on samples of both."""
    reference, optimize = own_samples(run, start), run.config.optimize
    own = own_samples(run, policy)
    logps = [
        response_logps(
            run,
            model,
            dict.fromkeys(map(sample_request, [*reference, *own])),
            dtype=reference_dtype(optimize),
            max_length=optimize.max_length,
            processes=optimize.processes,
        )
        for model in (policy, start)
    ]
    return Divergences(
        from_reference=_divergence(reference, logps[1], logps[0]), from_policy=_divergence(own, logps[0], logps[1])
    )


def _divergence(
    samples: Sequence[Sample], own: Mapping[ScoreRequest, ResponseLogps], other: Mapping[ScoreRequest, ResponseLogps]
) -> Divergence | None:
    """KL between the model that gave these samples, whose log-probabilities are `own`, and another."""
    scored = [sample for sample in samples if sample_request(sample) in own and sample_request(sample) in other]
    if not scored:
        return None
    of_own, of_other = ([of[sample_request(sample)] for sample in scored] for of in (own, other))
    return kl(
        [found.logps for found in of_own],
        [found.logps for found in of_other],
        token_counts=[found.token_count for found in of_own],
        is_cut=[sample.is_cut for sample in scored],
        clusters=[sample.prompt_id for sample in scored],
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
        before, after = (
            embedded(model, requests, dtype=run.config.model.dtype, settings=run.settings, advance=advance)
            for model in (run.base, policy)
        )
    return {context: embedding_drift(before[context], after[context], offsets, bins=DRIFT_BINS) for context in CONTEXTS}


def embedded(
    model: NamedModel, requests: Sequence[EmbeddingRequest], *, dtype: str, settings: Settings, advance: Advance
) -> dict[Context, Any]:
    """The vectors (n, d) of the requests in each context; `advance` is told of each context's."""
    arguments = {
        "model": model.location,
        "revision": model.revision,
        "dtype": dtype,
        "context": CONTEXTS[0],
        "max_tokens": DRIFT_TOKENS,
        "tokens_per_batch": DRIFT_BATCH_TOKENS,
    }
    log_path = settings.artifact_root / "logs" / "drift.log"
    vectors: dict[Context, Any] = {}
    with (
        device(is_shared_out=True) as backends,
        closing(
            IsolatedEmbedder(HiddenStateEmbedder, arguments, log_path=log_path, timeout_s=None, start=backends.start)
        ) as embedder,
    ):
        for context in CONTEXTS:
            vectors[context] = embedder.embed(requests, context).vectors
            advance(len(requests))
    return vectors
