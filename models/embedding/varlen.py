"""Mean hidden states of texts laid end to end, without padding: flash attention within each text, on a GPU.

Where there is no GPU the attention goes text by text, which is for the tests. Knows no tokenizer and no prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.embedding.packed import packs
from models.embedding.tokens import TokenSequence

ATTENTION = "antipode_varlen"  # its name among transformers' attentions
_PROBES = ([5, 9, 2, 7, 1, 8], [3], [4, 6, 2, 8, 9, 1, 7, 3, 5])
# Means of bfloat16 states differ by up to 4e-3 of their norm between two kernels; a model that ignores where a text
# begins, or reads ahead, is off by far more.
_PROBE_LIMIT = 0.05


def try_packing(network: Any) -> bool:
    """Set the model to read texts laid end to end, where it can, and takes nothing else then; whether it could.

    It can on a GPU in bfloat16 or float16, where every layer has plain full causal attention through transformers'
    interface. Windows are read from the configuration, since they show on long texts only; all else is measured.
    """
    config = network.config.get_text_config()
    is_windowed = any(getattr(config, name, None) is not None for name in ("sliding_window", "window_size"))
    kinds = set(getattr(config, "layer_types", None) or ["sliding" if is_windowed else "full_attention"])
    if network.device.type != "cuda" or network.dtype not in (torch.bfloat16, torch.float16):
        return False
    return kinds == {"full_attention"} and _packs_as_it_pads(network)


def varlen_means(network: Any, sequences: Sequence[TokenSequence], tokens_per_batch: int) -> NDArray[np.float32]:
    """The mean (m, d) of the response tokens' last hidden states (REAL eq. 7), summed in float32.

    Args:
        network: one that `try_packing`.
        sequences: m of them, each with a response token.
        tokens_per_batch: tokens of one forward pass, at most, unless one text alone is longer.
    """
    batches = packs([len(sequence.ids) for sequence in sequences], tokens_per_batch)
    with torch.inference_mode():
        # One copy to the host at the end: the GPU need not wait for Python between batches.
        means = torch.cat([_means(network, [sequences[place] for place in batch]) for batch in batches])
    vectors = np.empty(means.shape, np.float32)
    vectors[[place for batch in batches for place in batch]] = means.cpu().numpy()
    return vectors


def _means(network: Any, batch: Sequence[TokenSequence]) -> Tensor:
    lengths = np.array([len(sequence.ids) for sequence in batch])
    counts = np.array([sequence.response_length for sequence in batch])
    ends = lengths.cumsum()
    positions = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    is_response = positions >= np.repeat(lengths - counts, lengths)
    ids = np.concatenate([np.asarray(sequence.ids, np.int64) for sequence in batch])
    bounds = np.concatenate([[0], ends]).astype(np.int32)
    there = [
        _copied(array, network.device) for array in (ids[None], positions[None], np.flatnonzero(is_response), counts)
    ]
    cut = _copied(bounds, network.device)
    longest = int(lengths.max())
    states = network(
        input_ids=there[0],
        position_ids=there[1],
        use_cache=False,
        cu_seq_lens_q=cut,
        cu_seq_lens_k=cut,
        max_length_q=longest,
        max_length_k=longest,
    ).last_hidden_state[0]
    # Sums segment by segment, in order: adding each token to its text's sum would depend on the GPU's timing.
    return torch.segment_reduce(states[there[2]].float(), "mean", lengths=there[3], axis=0, unsafe=True)


def _copied(array: NDArray[Any], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each text: (1, heads, n, e), keys of fewer heads, to (1, n, heads, e).

    Raises:
        ValueError: if the layer wants what is left out here, which short probes might not show.
    """
    if wanted := [name for name in ("sliding_window", "softcap", "s_aux") if more.get(name) is not None]:
        raise ValueError(f"packed attention has no {', '.join(wanted)}; read these texts padded")
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    if query.is_cuda:
        # What torch.nn.attention.varlen calls; that module's own arguments change from one torch to the next.
        attended = torch.ops.aten._flash_attention_forward(
            q, k, v, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, 0.0, True, False, scale=scaling
        )[0]
        return attended[None], None
    lengths = cu_seq_lens_q.diff().tolist()
    each = [
        functional.scaled_dot_product_attention(*part, is_causal=True, scale=scaling, enable_gqa=True)  # type: ignore[misc]
        for part in zip(*(states.split(lengths, dim=2) for states in (query, key, value)), strict=True)
    ]
    return torch.cat(each, dim=2).transpose(1, 2), None


def set_packing(network: Any) -> None:
    """Give the model the attention that reads texts laid end to end."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attend)
    network.set_attn_implementation(ATTENTION)


def _packs_as_it_pads(network: Any) -> bool:
    """Whether packing gives the means that one text at a time gives; else the model's attention is what it was."""
    before = network.config._attn_implementation
    probes = [
        TokenSequence([token % network.config.get_text_config().vocab_size for token in ids], len(ids), False)
        for ids in _PROBES
    ]
    try:
        with torch.inference_mode():
            alone = [network(input_ids=torch.tensor([probe.ids], device=network.device)) for probe in probes]
            twin = torch.stack([output.last_hidden_state[0].float().mean(dim=0) for output in alone]).cpu().numpy()
        set_packing(network)
        difference = np.linalg.norm(varlen_means(network, probes, 1 << 10) - twin, axis=1) / np.linalg.norm(
            twin, axis=1
        )
        if (difference <= _PROBE_LIMIT).all():
            return True
    except (ValueError, RuntimeError, TypeError, KeyError, AttributeError):
        pass  # it knows no such attention, or no such arguments
    network.set_attn_implementation(before)
    return False
