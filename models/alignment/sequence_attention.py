"""Attention over sequences end to end in one row, each by itself: no padding on the CPU. Knows no batch and no head.

A sequence is a prompt and its responses. With one response it is read as any text; with several, by a mask of its own,
as small as it is long. What other rows get is transformers' own SDPA.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

ATTENTION = "antipode_sequences"  # its name among transformers' attentions


class Span(NamedTuple):
    """A sequence of a row, from `start` to before `end`. `mask` (1, 1, l, l): what sees what; None: all before it."""

    start: int
    end: int
    mask: Tensor | None


def set_attention(network: Any) -> None:
    """Give a model, bare or with adapters, the attention that takes `spans`; without them it is SDPA as before."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    network.set_attn_implementation(ATTENTION)


def spans_of(segments: Tensor, prompt_segments: Tensor) -> list[Span]:
    """The sequences of a row without padding, (n,) each: a token sees those before it of its segment and its prompt."""
    lengths = prompt_segments.unique_consecutive(return_counts=True)[1].tolist()
    spans: list[Span] = []
    start = 0
    for length in lengths:
        end = start + length
        own, prompt = segments[start:end], prompt_segments[start]
        mask = ((own[:, None] == own) | (own == prompt)).tril_()[None, None]
        has_one_response = int(own[-1] - prompt) <= 1  # segments are numbered along the row
        spans.append(Span(start, end, None if has_one_response else mask))
        start = end
    return spans


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    spans: Sequence[Span] | None = None,
    **terms: Any,
) -> tuple[Tensor, None]:
    """Attend within each span of a row (1, heads, n, e), to (1, n, heads, e)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if spans is None:
        attended: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **terms)
        return attended
    parts = []
    for span in spans:
        of_span = [states[:, :, span.start : span.end] for states in (query, key, value)]
        parts.append(sdpa_attention_forward(module, *of_span, span.mask, **terms)[0])
    return torch.cat(parts, dim=1), None
