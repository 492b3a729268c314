"""Embedding on the CPU without padding: sequences end to end in one row, attention by runs of equal length.

A model is packed only where a trial shows that its states are those of one sequence at a time. Its linear layers keep
their weights in the order that this machine multiplies fastest. Knows no tokenizer, and no batch with a padded row.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.embedding.tokens import TokenSequence
from models.number_format import is_of_intel

if TYPE_CHECKING:
    import torch

LOGGER = logging.getLogger(__name__)

# Tokens of one forward pass, at most: the states between two layers stay in the processor's cache. On an AMD EPYC
# (AVX-512) 512, 2048 and 8192 embed 2, 0 and 14 % fewer tokens a second in float32.
TOKENS_PER_PACK = 1024
_ATTENTION = "antipode_packed"
# Two of one length, so that a run of several is tried too; a token more or less makes no family safe.
_TRIAL_LENGTHS = (7, 4, 4, 1)


class Run(NamedTuple):
    """`sequences` neighbours of `length` tokens each, from the token `start` of the row on."""

    start: int
    sequences: int
    length: int


class PackedNetwork:
    """A trunk that reads many sequences as one row."""

    def __init__(self, network: Any, longest: int | None) -> None:
        """Hold a network that `packed` has prepared; `longest`: the most tokens a sequence may have, None: any."""
        self._network = network
        self._longest = longest

    def takes(self, length: int) -> bool:
        """Whether a sequence of that many tokens is read as it is alone: no longer than the model's window."""
        return self._longest is None or length <= self._longest

    def means(self, sequences: Sequence[TokenSequence]) -> torch.Tensor:
        """The mean hidden states (b, d) float32 over each sequence's response tokens (REAL eq. 7)."""
        import torch

        states = self.states([sequence.ids for sequence in sequences])
        lengths = np.array([len(sequence.ids) for sequence in sequences])
        counts = np.array([sequence.response_length for sequence in sequences])
        rows = np.repeat(np.cumsum(lengths) - counts, counts) + _positions(counts)
        if len(rows) < len(states):
            states = states[torch.from_numpy(rows)]
        owners = torch.from_numpy(np.repeat(np.arange(len(sequences)), counts))
        sums = torch.zeros(len(sequences), states.shape[1]).index_add_(0, owners, states.float())
        return sums / torch.from_numpy(counts)[:, None]

    def states(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """The last hidden states (tokens, d) of sequences, end to end; quickest with equal lengths side by side."""
        import torch

        lengths = [len(sequence) for sequence in ids]
        row = torch.tensor(list(itertools.chain.from_iterable(ids)))[None]
        # Four axes: transformers hands a mask of that form on as it is.
        no_mask = torch.empty(1, 1, 1, 1, dtype=torch.bool)
        return self._network(
            input_ids=row,
            attention_mask=no_mask,
            position_ids=torch.from_numpy(_positions(np.array(lengths)))[None],
            packed_runs=runs_of(lengths),
        ).last_hidden_state[0]


def packed(network: Any) -> PackedNetwork | None:
    """Prepare a trunk to read packed rows, in place; None where it has to read padded batches.

    None on another device than the CPU, for attention other than SDPA behind transformers' attention interface, for
    layers of a kind that is not known here, and where the trial's states differ from those of one sequence at a time.
    """
    if network.device.type != "cpu":
        return None
    reason = _why_padded(network)
    if reason is not None:
        LOGGER.debug("%s reads padded batches: %s", type(network).__name__, reason)
        return None
    prepack(network)
    return PackedNetwork(network, _window(network.config.get_text_config()))


def packs(lengths: Sequence[int], tokens_per_pack: int) -> list[list[int]]:
    """Group positions into packs of at most `tokens_per_pack` tokens in all, longest first.

    A sequence longer than that makes a pack of its own. Every position occurs exactly once; no pack is empty.
    """
    groups: list[list[int]] = []
    room = 0
    for position in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        if not groups or lengths[position] > room:
            groups.append([])
            room = tokens_per_pack
        groups[-1].append(position)
        room -= lengths[position]
    return groups


def runs_of(lengths: Sequence[int]) -> list[Run]:
    """Neighbours of equal length, as runs, in order."""
    runs: list[Run] = []
    start = 0
    for length, neighbours in itertools.groupby(lengths):
        runs.append(Run(start, len(list(neighbours)), length))
        start += runs[-1].sequences * length
    return runs


def _positions(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, … anew for every length."""
    positions: NDArray[np.int64] = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return positions


def _why_padded(network: Any) -> str | None:
    """Switch the network's attention to runs; say why not where its states would not be the same."""
    config = network.config
    if not network.is_backend_compatible() or config._attn_implementation != "sdpa":
        return "its attention is not SDPA behind transformers' attention interface"
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention"}:
        return f"layers of another kind: {', '.join(sorted(kinds))}"
    _register()
    reason = _why_states_differ(network)
    if reason is not None:
        network.set_attn_implementation("sdpa")
    return reason


def _why_states_differ(network: Any) -> str | None:
    """Try a packed row beside its sequences one at a time; leaves the attention by runs switched on."""
    import torch

    size = network.config.get_text_config().vocab_size
    ids = [[(7919 * (row + 1) + 31 * place) % size for place in range(n)] for row, n in enumerate(_TRIAL_LENGTHS)]
    with torch.inference_mode():
        try:
            alone = _alone(network, ids)
            network.set_attn_implementation(_ATTENTION)
            states = PackedNetwork(network, None).states(ids)
        except Exception as error:  # noqa: BLE001 (whatever a family makes of such a row: it is not known to be safe)
            return f"{type(error).__name__} in a packed row"
        difference = float((states - alone).abs().max() / alone.abs().max())
    # In half precision the order of a sum moves a state by a few parts in a hundred; a neighbour that is seen, by many.
    if difference <= (1e-4 if states.dtype == torch.float32 else 0.05):
        return None
    return f"states of a packed row differ by {difference:.1e} of the largest"


def _alone(network: Any, ids: Sequence[Sequence[int]]) -> torch.Tensor:
    """What `PackedNetwork.states` must equal: each sequence read by itself."""
    import torch

    return torch.cat([network(input_ids=torch.tensor([sequence])).last_hidden_state[0] for sequence in ids])


def _window(config: Any) -> int | None:
    """The most tokens that every layer sees whole, None for any number."""
    window: int | None = getattr(config, "sliding_window", None)
    return window  # a sequence that is no longer is seen whole, whichever layers have the window


def _register() -> None:
    """Make the attention by runs known to transformers; a padded batch gets the mask and the kernel it always had."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_ATTENTION, _attend)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    packed_runs: Sequence[Run] | None = None,
    **terms: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each sequence of a packed row (1, heads, tokens, d); a run of equal lengths is one batch."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if packed_runs is None:
        attended: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **terms)
        return attended
    parts = []
    for run in packed_runs:
        of_run = [_batch(states, run) for states in (query, key, value)]
        part, _ = sdpa_attention_forward(module, *of_run, None, **terms)
        parts.append(part.flatten(0, 1))
    return torch.cat(parts)[None], None


def _batch(states: torch.Tensor, run: Run) -> torch.Tensor:
    """The states (1, heads, tokens, d) of a run as (sequences, heads, length, d)."""
    of_run = states[0, :, run.start : run.start + run.sequences * run.length]
    return of_run.unflatten(1, (run.sequences, run.length)).transpose(0, 1)


def prepack(network: Any) -> None:
    """Give every plain linear layer its weights in oneDNN's order, in place of its own, where that is fastest.

    The network is then for reading alone: it cannot be trained, moved, or multiplied by under autocast.
    """
    import torch

    if not _can_prepack(network.dtype) or getattr(network, "_hf_peft_config_loaded", False):
        return  # adapters read the weights of the layers that they are beside
    for module in network.modules():
        if type(module) is torch.nn.Linear:
            weight = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach())
            module.forward = functools.partial(_multiply, weight, module.bias)
            module.weight = None  # one copy in memory


def _multiply(weight: torch.Tensor, bias: torch.Tensor | None, states: torch.Tensor) -> torch.Tensor:
    import torch

    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
    return product


def _can_prepack(dtype: torch.dtype) -> bool:
    """Whether this machine and this torch multiply fastest by reordered weights.

    Not in float32 by MKL on a CPU of Intel's, which embeds 7 to 14 % more tokens a second (docs/performance.md). The
    operators are torch's own, and private.
    """
    import torch

    if dtype == torch.float32 and torch.backends.mkl.is_available() and is_of_intel():
        return False
    states, weight = torch.ones(2, 16, dtype=dtype), torch.eye(16, dtype=dtype)
    try:
        product = _multiply(torch.ops.mkldnn._reorder_linear_weight(weight), None, states)
    except (AttributeError, RuntimeError) as error:
        LOGGER.debug("linear layers stay as they are: %s", error)
        return False
    return bool(torch.equal(product, states))
