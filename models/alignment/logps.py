"""Summed log-probabilities of responses under a causal model, differentiable, without the full logits.

Only the states that predict a response token reach the head, and the head's logits exist a chunk at a time. The whole
computation runs inside the model's own forward, which gets its ordinary arguments: so wrappers (PEFT, DDP, FSDP,
autocast) keep working, and no model is changed once the call is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from models.alignment.pair_batches import collate_groups, model_inputs, one_row
from models.alignment.sequence_attention import ATTENTION, set_attention, spans_of

# A sixteenth of the vocabulary at a time keeps the peak, with its float32 copy, below an eighth of the full logits, and
# every product has all positions: blocks of positions wrote the weight's whole gradient once for each.
_BLOCKS = 16
_LEAST_COLUMNS = _LEAST_ROWS = 64

_IS_PLAIN: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


class PairLogps(NamedTuple):
    """Log-probabilities of a batch's responses, summed over their tokens in nats, float32; counts int64, all (b,).

    Both rejected fields are None for a batch without rejected responses.
    """

    chosen_logps: Tensor
    rejected_logps: Tensor | None
    chosen_token_counts: Tensor
    rejected_token_counts: Tensor | None


def response_logps(model: Any, batch: dict[str, Tensor]) -> PairLogps:
    """The summed log-probabilities of chosen and rejected given their prompt: log π(y|x) (REAL eq. 5).

    Args:
        model: a transformers causal model, bare or wrapped (PEFT, DistributedDataParallel, FSDP); the batch's device.
        batch: what `collate` makes.
    """
    sums, counts = summed_logps(model, batch), batch["token_counts"]
    if counts.shape[1] == 1:
        return PairLogps(sums[:, 0], None, counts[:, 0], None)
    return PairLogps(sums[:, 0], sums[:, 1], counts[:, 0], counts[:, 1])


def summed_logps(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """The summed log-probabilities, float32, in the shape of the batch's `token_counts`."""
    counts = batch["token_counts"]
    logps = _token_logps(model, batch)
    owners = torch.arange(counts.numel(), device=counts.device).repeat_interleave(
        counts.flatten(), output_size=len(logps)
    )
    return logps.new_zeros(counts.numel()).index_add(0, owners, logps).view(counts.shape)


def prepare_sharing(model: Any) -> bool:
    """Whether the responses of a prompt share its computation in this model, for which it is prepared.

    On a CPU a model behind transformers' attention interface then reads a batch as one row without padding; its
    attention to anything else stays SDPA. Where that changes its log-probabilities it is left as it was.
    """
    if sharing_obstacle(model) is not None:
        return False
    network = _unwrapped(model)
    is_on_cpu, attention = network.device.type == "cpu", network.config._attn_implementation
    if is_on_cpu and attention == "sdpa" and network.is_backend_compatible():
        set_attention(network)
        if _measured_obstacle(model, network.config.get_text_config().vocab_size) is not None:
            network.set_attn_implementation("sdpa")
    return True


def sharing_obstacle(model: Any) -> str | None:
    """Why the responses of a prompt cannot share its computation in this model, None if they can.

    They can where every layer has plain full attention that takes a mask and positions of ours. Windows are read from
    the configuration, since they show on long texts only; all else is measured on a few tokens.
    """
    config = _unwrapped(model).config.get_text_config()
    if config._attn_implementation not in ("sdpa", "eager"):
        return f"attention of the kind {config._attn_implementation!r} takes no mask of one's own"
    kinds = sorted(set(getattr(config, "layer_types", None) or []) - {"full_attention"})
    if kinds:
        return f"it has layers of the kind {', '.join(kinds)}"
    for name in () if getattr(config, "layer_types", None) else ("sliding_window", "window_size"):
        if (window := getattr(config, name, None)) is not None:
            return f"its configuration has {name} {window}"
    return _measured_obstacle(model, config.vocab_size)


def chunked_logps(states: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """The targets' log softmax(states · weightᵀ + bias), (n,) float32, with a sixteenth of the logits alive at a time.

    The softmax is taken in float32 for every dtype. The backward pass computes the logits again; it makes no gradient
    for a frozen weight.

    Args:
        states: (n, d); n may be 0.
        weight: (v, d).
        bias: (v,) or None.
        targets: (n,) int64.
    """
    kind = states.device.type
    if torch.is_autocast_enabled(kind):
        # Autocast does not reach into the function below; this is what it does to a linear layer.
        dtype = torch.get_autocast_dtype(kind)
        states, weight, bias = states.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    with torch.autocast(kind, enabled=False):
        logps: Tensor = _ChunkedLogps.apply(states, weight, bias, targets)
    return logps


class _ChunkedLogps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        # Not −∞, from which a block of logits that are all −∞ could not be told.
        highest = torch.full((len(states),), torch.finfo(torch.float32).min, device=states.device)
        sums, target_logits = torch.zeros_like(highest), torch.full_like(highest, torch.nan)
        for columns in _blocks(len(weight), _LEAST_COLUMNS):
            logits = _logits(states, weight, bias, columns)
            places, is_inside = _places(targets, columns)
            target_logits = torch.where(is_inside, logits.gather(1, places[:, None])[:, 0], target_logits)
            higher = torch.maximum(highest, logits.amax(dim=1))
            # In the logits' own memory; what was summed so far moves to the new highest logit.
            sums = sums * (highest - higher).exp_() + logits.sub_(higher[:, None]).exp_().sum(dim=1)
            highest = higher
            del logits
        # Apart: of large logits their sum would be rounded by more than the logarithm is.
        ctx.save_for_backward(states, weight, bias, targets, highest, sums.log())
        return (target_logits - highest) - sums.log()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, bias, targets, highest, log_sums = ctx.saved_tensors
        # The states' gradient is added up over the blocks, in float32; the others get each of their parts once.
        d_states, d_weight, d_bias = (
            torch.zeros_like(value, dtype=dtype) if is_needed else None
            for value, dtype, is_needed in zip(
                (states, weight, bias), (torch.float32, None, None), ctx.needs_input_grad, strict=False
            )
        )
        slope = gradient[:, None]
        with torch.autocast(states.device.type, enabled=False):
            for columns in _blocks(len(weight), _LEAST_COLUMNS):
                places, is_inside = _places(targets, columns)
                # ∂ log p(t) / ∂ logits = onehot(t) − softmax, in the logits' own memory.
                softmax = _logits(states, weight, bias, columns).sub_(highest[:, None]).sub_(log_sums[:, None]).exp_()
                d_logits = softmax.mul_(-slope).scatter_add_(1, places[:, None], slope * is_inside[:, None])
                del softmax
                d_logits = d_logits.to(weight.dtype)
                if d_states is not None:
                    d_states += d_logits @ weight[columns]
                if d_weight is not None:
                    torch.mm(d_logits.T, states, out=d_weight[columns])
                if d_bias is not None:
                    d_bias[columns] = d_logits.sum(dim=0)
                del d_logits
        return None if d_states is None else d_states.to(states.dtype), d_weight, d_bias, None


def _logits(states: Tensor, weight: Tensor, bias: Tensor | None, columns: slice) -> Tensor:
    """The logits (n, columns) float32, in memory of their own."""
    return functional.linear(states, weight[columns], None if bias is None else bias[columns]).float()


def _places(targets: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """Where each target lies within the columns, and whether it does; a GPU need not wait for either."""
    is_inside = (targets >= columns.start) & (targets < columns.stop)
    return (targets - columns.start).clamp_(0, columns.stop - columns.start - 1), is_inside


def _blocks(count: int, least: int) -> list[slice]:
    size = max(least, -(-count // _BLOCKS))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _token_logps(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """The log-probability (n,) float32 of every response token, in the batch's order."""
    network = _unwrapped(model)
    head = network.get_output_embeddings()
    is_plain = _is_plain(model, head, batch["input_ids"][:1, :2])
    attention = network.config.get_text_config()._attn_implementation
    if attention == ATTENTION and "segments" in batch and batch["input_ids"].device.type == "cpu":
        batch = one_row(batch)
        inputs = _row_inputs(batch)
    else:
        inputs = model_inputs(batch, takes_bool_mask=attention in ("sdpa", ATTENTION), dtype=network.dtype)
    places, targets = batch["state_places"], batch["targets"]

    def at_places(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (arguments[0].flatten(0, 1)[None, places],)

    def plain_head(states: Tensor) -> Tensor:
        return chunked_logps(states[0], head.weight, head.bias, targets)[None]

    with head.register_forward_pre_hook(at_places):
        if not is_plain:
            return _logps_of_logits(model(**inputs, use_cache=False).logits[0], targets)
        head.forward = plain_head
        try:
            return model(**inputs, use_cache=False).logits[0]
        finally:
            del head.forward


def _row_inputs(row: dict[str, Tensor]) -> dict[str, Any]:
    return {
        "input_ids": row["input_ids"],
        "position_ids": row["position_ids"],
        # Four axes: transformers hands a mask of that form on as it is.
        "attention_mask": torch.ones(1, 1, 1, 1, dtype=torch.bool),
        "spans": spans_of(row["segments"][0], row["prompt_segments"][0]),
    }


def _logps_of_logits(logits: Tensor, targets: Tensor) -> Tensor:
    def chunk_logps(chunk: Tensor, chunk_targets: Tensor) -> Tensor:
        return chunk.float().log_softmax(dim=1).gather(1, chunk_targets[:, None])[:, 0]

    chunks = [
        checkpoint(chunk_logps, logits[rows], targets[rows], use_reentrant=False)
        for rows in _blocks(len(logits), _LEAST_ROWS)
    ]
    return torch.cat(chunks)


def _is_plain(model: Any, head: nn.Module, ids: Tensor) -> bool:
    """Whether the model's logits are the head's linear layer and nothing else: no soft cap, no scale, no adapter.

    Measured once: numbers put in the head's place must come out of the model as they are.
    """
    if type(head).forward is not nn.Linear.forward or "forward" in vars(head):  # FSDP makes a class of its own
        return False
    if head not in _IS_PLAIN:
        marks = torch.linspace(-200.0, 200.0, ids.numel(), device=ids.device).view(*ids.shape, 1)
        head.forward = lambda _: marks
        try:
            with torch.no_grad():
                _IS_PLAIN[head] = torch.equal(model(input_ids=ids, use_cache=False).logits, marks)
        finally:
            del head.forward
    return _IS_PLAIN[head]


def _measured_obstacle(model: Any, vocabulary_size: int) -> str | None:
    ids = [place % vocabulary_size for place in range(1, 25)]
    groups: list[tuple[Sequence[int], Sequence[Sequence[int]]]] = [
        (ids[:4], [ids[4:12], ids[12:]]),
        (ids[9:], [ids[:3]]),
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            shared, apart = (
                summed_logps(
                    model,
                    {
                        key: value.to(_unwrapped(model).device)
                        for key, value in collate_groups(groups, pad_token_id=0, shares_prompt=shares_prompt).items()
                    },
                )
                for shares_prompt in (True, False)
            )
    except (ValueError, RuntimeError, TypeError, IndexError, AttributeError) as error:
        return f"it refuses a mask or positions of one's own: {type(error).__name__}: {error}"
    finally:
        model.train(was_training)
    difference = float((shared - apart).abs().max() / apart.abs().max())
    # bfloat16 rounds at 4e-3; a model that ignores the mask or the positions is off by far more once it is trained.
    limit = 1e-4 if _unwrapped(model).dtype == torch.float32 else 1e-2
    return None if difference <= limit else f"sharing changes its log-probabilities by {difference:.1e} of their size"


def _unwrapped(model: Any) -> Any:
    """The model inside data-parallel wrappers."""
    while hasattr(model, "module"):
        model = model.module
    return model
