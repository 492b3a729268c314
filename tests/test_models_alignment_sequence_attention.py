"""The sequences of a row, worked by hand, and their attention against one sequence at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from models.alignment import sequence_attention
from models.alignment.pair_batches import collate_groups, one_row
from models.alignment.sequence_attention import spans_of

GROUPS = [((1, 2), [(3,), (4, 5)]), ((6,), [(7, 8)]), ((9,), [(8, 7), (6,), (5, 4)])]


def test_a_worked_row_of_three_sequences() -> None:
    row = one_row(collate_groups(GROUPS, pad_token_id=0, shares_prompt=True))
    assert row["input_ids"].tolist() == [[9, 8, 7, 6, 5, 4, 1, 2, 3, 4, 5, 6, 7, 8]]  # longest first, no padding
    assert row["position_ids"].tolist() == [[0, 1, 2, 1, 1, 2, 0, 1, 2, 2, 3, 0, 1, 2]]
    assert row["state_places"].tolist() == [7, 7, 9, 11, 12, 0, 1, 0, 0, 4]
    assert row["targets"].tolist() == [3, 4, 5, 7, 8, 8, 7, 6, 5, 4]
    spans = spans_of(row["segments"][0], row["prompt_segments"][0])
    assert [(span.start, span.end) for span in spans] == [(0, 6), (6, 11), (11, 14)]
    assert spans[2].mask is None  # a prompt and one response are read as any text
    assert spans[1].mask is not None
    assert spans[1].mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 0],
        [1, 1, 0, 1, 1],
    ]


def test_each_span_attends_as_it_does_alone() -> None:
    torch.manual_seed(0)
    row = one_row(collate_groups(GROUPS, pad_token_id=0, shares_prompt=True))
    spans = spans_of(row["segments"][0], row["prompt_segments"][0])
    query, key, value = (torch.randn(1, 2, 14, 8, requires_grad=True) for _ in range(3))
    attended, _ = sequence_attention._attend(
        nn.Module(), query, key, value, None, spans=spans, is_causal=True, scaling=0.3, dropout=0.0
    )

    def alone(start: int, end: int, mask: Tensor | None) -> Tensor:
        of_span = [states[:, :, start:end] for states in (query, key, value)]
        visible = torch.ones(end - start, end - start).tril().bool() if mask is None else mask
        return scaled_dot_product_attention(*of_span, attn_mask=visible, scale=0.3).transpose(1, 2)

    wanted = torch.cat([alone(*span) for span in spans], dim=1)
    torch.testing.assert_close(attended, wanted)
    slopes = torch.randn_like(wanted)
    got = torch.autograd.grad((attended * slopes).sum(), (query, key, value))
    for ours, theirs in zip(got, torch.autograd.grad((wanted * slopes).sum(), (query, key, value)), strict=True):
        torch.testing.assert_close(ours, theirs)
