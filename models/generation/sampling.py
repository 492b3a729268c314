"""Sampling one token per row with a random stream per row, and reading where a row ends. Knows no model, no prompt."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from models.records import FinishReason, GeneratedResponse
from models.thoughts import parted

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


def warped_scores(scores: torch.Tensor, *, temperature: float, top_p: float) -> torch.Tensor:
    """Scores (rows, vocabulary) after temperature and top-p; tokens outside the nucleus get minus infinity.

    The nucleus is the smallest set of most probable tokens whose probabilities reach `top_p`: at least one token, and
    the token that crosses the threshold belongs to it.
    """
    import torch

    scores = scores / temperature
    if top_p >= 1.0:
        return scores
    ordered, order = scores.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    is_outside = probabilities.cumsum(dim=-1) - probabilities >= top_p
    return scores.masked_fill(torch.zeros_like(is_outside).scatter(-1, order, is_outside), -torch.inf)


class RowNoise:
    """A logits processor that turns the arg max of each row into a sample from the row's softmax.

    Adding independent Gumbel noise to log-probabilities makes their arg max a sample (the Gumbel-max trick). Row r
    draws from its own generator, exactly one number per vocabulary entry and step, so its noise does not depend on
    the other rows.
    """

    def __init__(self, seeds: Sequence[int], *, temperature: float, top_p: float, device: str) -> None:
        import torch

        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._temperature = temperature
        self._top_p = top_p

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (rows, vocabulary) float32, with noise; unchanged at temperature 0."""
        import torch

        if self._temperature == 0:
            return scores
        width, device = scores.shape[-1], scores.device
        # `rand` lies in [0, 1): noise is never plus infinity, which would let a token of no probability win.
        uniform = torch.stack([torch.rand(width, generator=generator, device=device) for generator in self._generators])
        gumbel = -torch.log(-torch.log(uniform))
        return warped_scores(scores, temperature=self._temperature, top_p=self._top_p) + gumbel


class StopStrings:
    """A stopping criterion that ends a row whose text holds a stop string."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], *, prompt_width: int) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._prompt_width = prompt_width
        # A byte-level token is at least one byte, a character at most four: this tail holds any string just completed.
        self._tail = 4 * max(map(len, stop), default=0) + 8

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """(rows,) bool: the rows that are done."""
        import torch

        if not self._stop:
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        rows = input_ids[:, self._prompt_width :][:, -self._tail :].tolist()
        texts = self._tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        is_done = [first_stop(text, self._stop) is not None for text in texts]
        return torch.tensor(is_done, device=input_ids.device)


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the first stop string begins in the text, or None."""
    return min((at for string in stop if (at := text.find(string)) >= 0), default=None)


def read_response(
    ids: Sequence[int],
    *,
    seed: int,
    decode: Callable[[Sequence[int]], str],
    end_ids: Collection[int],
    stop: Sequence[str],
    opened_by: str | None = None,
) -> GeneratedResponse:
    """The response in a row of sampled token ids, of which whatever follows its end is padding.

    Text and ids are cut at the first end token or stop string. `token_count` counts the end token and the tokens of
    the stop string, and a character of which only the first bytes were sampled is left off: both as vLLM does.
    `opened_by`: the mark with which the prompt opened a thought.
    """
    end = next((position for position, token in enumerate(ids) if token in end_ids), None)
    content = ids[:end]
    token_count = len(ids) if end is None else end + 1
    text = decode(content).rstrip("\ufffd")
    cut = first_stop(text, stop)
    if cut is not None:
        token_count = bisect.bisect_left(
            range(len(content)), True, key=lambda count: first_stop(decode(content[:count]), stop) is not None
        )
    reason: FinishReason = "length" if end is None and cut is None else "stop"
    return parted_response(text[:cut], seed=seed, token_count=token_count, finish_reason=reason, opened_by=opened_by)


def parted_response(
    text: str, *, seed: int, token_count: int, finish_reason: FinishReason, opened_by: str | None
) -> GeneratedResponse:
    """A sampled text as thought and answer; `opened_by` is the mark with which the prompt opened a thought."""
    parts = parted(text, opened_by=opened_by)
    return GeneratedResponse(parts.answer, seed, token_count, finish_reason, parts.thought)
