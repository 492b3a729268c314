"""Texts to token ids for embedding: what is fed, what is cut, in which batches. Knows no network and no engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.embedding import Context, EmbeddingRequest, Embeddings
from models.prompting import read_together, render_prompt
from models.records import Prompt
from models.thoughts import composed, template_marks

# A batch is closed early once padding would take more than this share of it ...
_PADDING_SHARE = 0.05
# ... and it already holds this share of the budget: smaller batches leave a GPU idle, which costs more than padding.
_EARLY_CLOSE_SHARE = 1 / 16


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """The ids fed for one request: the prompt's, if the context asks for it, then `response_length` of the response.

    `is_truncated`: tokens of prompt or response are left out; `is_response_truncated`: of the response.
    """

    ids: list[int]
    response_length: int
    is_truncated: bool
    is_response_truncated: bool = False


def tokenize(
    tokenizer: Any,
    requests: Sequence[EmbeddingRequest],
    *,
    context: Context,
    max_tokens: int,
    max_positions: int | None,
    template_arguments: Mapping[str, Any] | None = None,
) -> list[TokenSequence]:
    """Tokenise every request, in the order given.

    A response is encoded without special tokens, and a special token written out in its text ("</s>") is encoded as the
    plain characters it is. Both the response and its prompt are tokenised on their own and joined as ids, so that the
    response's ids are the same in both contexts.

    Args:
        tokenizer: a transformers tokenizer.
        requests: what to embed.
        context: whether the rendered prompt goes first, where a request has one.
        max_tokens: response tokens kept, from the start.
        max_positions: the most ids the model takes, None for no limit. The prompt is cut from the left to fit.
        template_arguments: what the chat template is given beside the prompt.

    Raises:
        ValueError: if the context wants a first token and the model has none, or the chat template refuses a prompt.
    """
    response_limit = max_tokens if max_positions is None else min(max_tokens, max_positions)
    if context == "prompt_and_response":
        return _behind_prompts(
            tokenizer,
            requests,
            response_limit=response_limit,
            max_positions=max_positions,
            template_arguments=template_arguments,
        )
    marks = template_marks(tokenizer.chat_template)
    responses = _response_ids(tokenizer, [composed(one.thought, one.text, marks=marks) for one in requests])
    if context == "response":
        return [
            TokenSequence(ids[:response_limit], len(ids[:response_limit]), *[len(ids) > response_limit] * 2)
            for ids in responses
        ]
    start = first_token(tokenizer)
    return [_joined(start, ids, response_limit=response_limit, max_positions=max_positions) for ids in responses]


def first_token(tokenizer: Any) -> list[int]:
    """The special token that begins whatever the model reads: its BOS, or where it has none its chat template's first.

    Raises:
        ValueError: if what it reads begins with no special token.
    """
    (start, *_) = render_prompt(tokenizer, Prompt.from_text("."), system_prompt=None)
    if start not in tokenizer.all_special_ids:
        raise ValueError(
            "embed.context start_and_response needs a model that begins a text with a special token, this one begins "
            f"with {tokenizer.decode([start])!r}; use the context response"
        )
    return [start]


def embeddings_of(sequences: Sequence[TokenSequence], vectors: NDArray[np.float32]) -> Embeddings:
    """The embeddings of all sequences, given the vectors (m, d) of those that have a response token, in order."""
    counts = np.array([sequence.response_length for sequence in sequences], dtype=np.int64)
    rows = np.full((len(sequences), vectors.shape[1]), np.nan, dtype=np.float32)
    rows[counts > 0] = vectors
    return Embeddings(
        vectors=rows,
        token_counts=counts,
        is_truncated=np.array([sequence.is_truncated for sequence in sequences], dtype=np.bool_),
    )


def check_limits(*, max_tokens: int, tokens_per_batch: int) -> None:
    """Refuse limits that leave nothing to embed.

    Raises:
        ValueError: if one is below 1.
    """
    for name, value in (("max_tokens", max_tokens), ("tokens_per_batch", tokens_per_batch)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def token_budget_batches(lengths: Sequence[int], tokens_per_batch: int) -> list[list[int]]:
    """Group positions of similar length so that a padded batch holds at most `tokens_per_batch` tokens.

    Longest first, so that a batch too large for the memory fails at once and not hours later. A sequence longer than
    the budget makes a batch of its own. Every position occurs exactly once; no batch is empty.

    Args:
        lengths: (n,) tokens of each sequence, at least 1.
        tokens_per_batch: batch size times longest length, at most.
    """
    batches: list[list[int]] = []
    tokens = 0
    for position in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        if not batches or not _fits(lengths, batches[-1], tokens, position, tokens_per_batch):
            batches.append([])
            tokens = 0
        batches[-1].append(position)
        tokens += lengths[position]
    return batches


def _fits(lengths: Sequence[int], batch: list[int], tokens: int, position: int, tokens_per_batch: int) -> bool:
    padded = lengths[batch[0]] * (len(batch) + 1)
    if padded > tokens_per_batch:
        return False
    padding = padded - tokens - lengths[position]
    return padding <= _PADDING_SHARE * padded or tokens < _EARLY_CLOSE_SHARE * tokens_per_batch


def _behind_prompts(
    tokenizer: Any,
    requests: Sequence[EmbeddingRequest],
    *,
    response_limit: int,
    max_positions: int | None,
    template_arguments: Mapping[str, Any] | None,
) -> list[TokenSequence]:
    prompts = {
        prompt: render_prompt(tokenizer, prompt, system_prompt=None, template_arguments=template_arguments)
        for prompt in {request.prompt for request in requests if request.prompt is not None}
    }
    read = [
        ([], [one.text])
        if one.prompt is None
        else read_together(tokenizer, prompts[one.prompt], [(one.thought, one.text)])
        for one in requests
    ]
    responses = _response_ids(tokenizer, [text for _, (text,) in read])
    return [
        _joined(prompt_ids, ids, response_limit=response_limit, max_positions=max_positions)
        for (prompt_ids, _), ids in zip(read, responses, strict=True)
    ]


def _response_ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    encoded = tokenizer(
        texts, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False
    )
    # Some vocabularies (unigram) can spell a special token from plain text. The token for unknown characters is text.
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    return [[token for token in ids if token not in special] for ids in encoded["input_ids"]]


def _joined(prompt: list[int], response: list[int], *, response_limit: int, max_positions: int | None) -> TokenSequence:
    response_ids = response[:response_limit]
    if not response_ids:
        return TokenSequence([], 0, is_truncated=False)
    room = len(prompt) if max_positions is None else min(len(prompt), max_positions - len(response_ids))
    # prompt[-room:] would be the whole prompt where no room is left.
    return TokenSequence(
        prompt[len(prompt) - room :] + response_ids,
        len(response_ids),
        is_truncated=len(response_ids) < len(response) or room < len(prompt),
        is_response_truncated=len(response_ids) < len(response),
    )
