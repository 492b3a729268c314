"""Tokenised examples to batches in which the responses of a prompt share its computation. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.alignment.tokens import TokenizedExample

PromptGroup = tuple[Sequence[int], Sequence[Sequence[int]]]
"""A prompt's ids and the ids of each of its responses, end token included."""

_OF_TOKENS = ("input_ids", "segments", "prompt_segments", "position_ids")


def collate(examples: Sequence[TokenizedExample], *, pad_token_id: int, shares_prompt: bool) -> dict[str, Tensor]:
    """The batch of some examples, chosen and rejected in the same forward pass.

    With `shares_prompt` an example is one sequence [prompt, chosen, rejected], and short ones are packed into one row:
    `segments` and `prompt_segments` (r, l) say which tokens see which, `position_ids` (r, l) start again at the
    prompt's end. Without, chosen and rejected are two rows padded on the right, with a plain `attention_mask`: slower,
    for models whose attention is not full.

    In both forms: `input_ids` (r, l); `state_places` (n,) where in the flattened rows the state lies that predicts the
    response token in `targets` (n,); `token_counts` (b, 2), or (b, 1) without rejected: each response's share of n, in
    order. All int64. r is not the number of examples, so the batch must not be split by rows (`nn.DataParallel`).

    Raises:
        ValueError: There is no example, or some have a rejected response and others have none.
    """
    groups = [
        (example.prompt_ids, [ids for ids in (example.chosen_ids, example.rejected_ids) if ids is not None])
        for example in examples
    ]
    sizes = {len(responses) for _, responses in groups}
    if len(sizes) != 1:
        raise ValueError(
            "a batch needs examples that all have a rejected response, or none of them, got responses per example "
            f"{sorted(sizes)}; make a batch of each kind"
        )
    batch = collate_groups(groups, pad_token_id=pad_token_id, shares_prompt=shares_prompt)
    return batch | {"token_counts": batch["token_counts"].view(len(examples), -1)}


def collate_groups(groups: Sequence[PromptGroup], *, pad_token_id: int, shares_prompt: bool) -> dict[str, Tensor]:
    """As `collate`, for any number of responses a prompt; `token_counts` is (responses,), in the groups' order."""
    sequences = groups if shares_prompt else [(prompt, [ids]) for prompt, responses in groups for ids in responses]
    lengths = [len(prompt) + sum(map(len, responses)) for prompt, responses in sequences]
    corners = _first_fit(lengths) if shares_prompt else [(row, 0) for row in range(len(lengths))]
    shape = (1 + max(row for row, _ in corners), max(lengths))
    input_ids = torch.full(shape, pad_token_id)
    segments, prompt_segments, position_ids = (torch.zeros(shape, dtype=torch.int64) for _ in range(3))
    state_places: list[int] = []
    segment = 0
    for (row, start), (prompt, responses) in zip(corners, sequences, strict=True):
        segment += 1
        prompt_segment, prompt_end = segment, start + len(prompt)
        _write(input_ids[row], start, prompt)
        segments[row, start:prompt_end] = segment
        position_ids[row, start:prompt_end] = torch.arange(len(prompt))
        end = prompt_end
        for response in responses:
            segment += 1
            begin, end = end, end + len(response)
            _write(input_ids[row], begin, response)
            segments[row, begin:end] = segment
            position_ids[row, begin:end] = torch.arange(len(prompt), len(prompt) + len(response))
            # The prompt's last state predicts the first token of every response.
            state_places += [row * shape[1] + column for column in (prompt_end - 1, *range(begin, end - 1))]
        prompt_segments[row, start:end] = prompt_segment
    responses = [ids for _, group in groups for ids in group]
    batch = {
        "input_ids": input_ids,
        "state_places": torch.tensor(state_places),
        "targets": torch.tensor([token for ids in responses for token in ids]),
        "token_counts": torch.tensor([len(ids) for ids in responses]),
    }
    if shares_prompt:
        return batch | {"segments": segments, "prompt_segments": prompt_segments, "position_ids": position_ids}
    return batch | {"attention_mask": (segments > 0).long()}


def model_inputs(batch: dict[str, Tensor], *, takes_bool_mask: bool, dtype: torch.dtype) -> dict[str, Tensor]:
    """What a causal model's forward takes of a batch.

    A token sees the tokens before it of its own segment and of its prompt; padding sees padding, so that no row of the
    mask (r, 1, l, l) is empty. The mask is bool where the model's attention takes one (SDPA), else 0 and the lowest
    number of `dtype`, to be added.
    """
    if "attention_mask" in batch:
        return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    queries, keys = batch["segments"][:, :, None], batch["segments"][:, None, :]
    mask = ((queries == keys) | (batch["prompt_segments"][:, :, None] == keys)).tril_()[:, None]
    if not takes_bool_mask:
        mask = torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
    return {"input_ids": batch["input_ids"], "attention_mask": mask, "position_ids": batch["position_ids"]}


def one_row(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch whose responses share their prompts, as one row (1, n) of its n tokens without padding."""
    is_token = batch["segments"].flatten() > 0
    places = is_token.cumsum(0) - 1
    rows = {name: batch[name].flatten()[is_token][None] for name in _OF_TOKENS}
    return batch | rows | {"state_places": places[batch["state_places"]]}


def _first_fit(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """The (row, column) where each sequence starts: longest first, each in the first row with room for it."""
    width = max(lengths)
    room: list[int] = []
    corners = [(0, 0)] * len(lengths)
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        row = next((row for row, free in enumerate(room) if free >= lengths[place]), len(room))
        if row == len(room):
            room.append(width)
        corners[place] = (row, width - room[row])
        room[row] -= lengths[place]
    return corners


def _write(row: Tensor, start: int, ids: Sequence[int]) -> None:
    row[start : start + len(ids)] = torch.tensor(ids)
