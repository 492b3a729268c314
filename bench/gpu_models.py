"""The models' part of bench/gpu.py: embedding, and a DPO step, of Llamas with random weights.

Operations are those that are needed, 2 a weight and token and the causal half of attention, three times that for a
training step: what is spent on padding, on a prompt read twice, or on computing something again, counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

from bench.gpu_timing import Size, seconds
from models.alignment.logps import response_logps
from models.alignment.losses import PairLogps, pairwise_losses
from models.alignment.pair_batches import collate
from models.alignment.tokens import TokenizedExample
from models.embedding.tokens import TokenSequence
from models.embedding.varlen import set_packing, try_packing, varlen_means

HH_RESPONSE = (3.445, 0.851)  # log-normal: a mean of 45 tokens and a 95th percentile of 127, as HH-RLHF's responses
HH_PROMPT = (4.6, 0.9)  # as bench/logps.py draws them
LONGEST = 500
PADDED_TEXTS = 64
BETA = 0.1


def config_of(size: Size) -> LlamaConfig:
    """A Llama of 1.1 billion weights at full size."""
    return LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_heads,
        max_position_embeddings=2048,
        attn_implementation="sdpa",
    )


def made(kind: Any, size: Size, device: str, dtype: torch.dtype) -> Any:
    """A model with random weights, made on the device."""
    torch.manual_seed(0)
    with torch.device(device):
        return kind(config_of(size)).to(dtype)


def drawn_lengths(parameters: tuple[float, float], count: int) -> list[int]:
    """Tokens of texts, 1 to 500."""
    drawn = np.random.default_rng(0).lognormal(*parameters, size=count)
    lengths: list[int] = np.clip(drawn, 1, LONGEST).astype(int).tolist()
    return lengths


def trunk_operations(size: Size, tokens: float, seen: float) -> float:
    """Of one forward pass without the head: `seen` is the number of (token, earlier token) pairs that attention has."""
    head = size.hidden // size.heads
    weights = size.hidden * (2 * size.hidden + 2 * size.key_heads * head + 3 * size.intermediate)
    return size.layers * (2 * weights * tokens + 4 * size.hidden * seen)


def embedding(size: Size, device: str, flop_per_s: float) -> dict[str, Any]:
    """Texts of two kinds of length: packed, and padded as transformers is used plainly."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    network = made(LlamaModel, size, device, dtype).eval()
    kinds = {
        "hh": drawn_lengths(HH_RESPONSE, size.texts),
        "long": [size.long_tokens] * size.long_texts,
    }
    generator = np.random.default_rng(0)
    texts = {
        name: [
            TokenSequence(generator.integers(0, size.vocabulary, length).tolist(), length, is_truncated=False)
            for length in lengths
        ]
        for name, lengths in kinds.items()
    }
    repeats = min(3, size.repeats)
    result: dict[str, Any] = {"attention_is_packed": False}
    padded_s = {
        (name, order): seconds(partial(padded_means, network, part), device, repeats)
        for name, sequences in texts.items()
        for order, part in (("given", sequences), ("sorted", sorted(sequences, key=lambda one: len(one.ids))))
    }
    checked = texts["hh"][: size.checked_texts]
    plain = padded_means(network, checked).float().cpu().numpy()
    result["attention_is_packed"] = try_packing(network)
    if not result["attention_is_packed"]:
        set_packing(network)
    for name, sequences in texts.items():
        lengths = np.array([len(sequence.ids) for sequence in sequences])
        needed = trunk_operations(size, lengths.sum(), (lengths**2).sum() / 2)
        own: dict[str, Any] = {"texts": len(lengths), "tokens": int(lengths.sum())}
        for order in ("given", "sorted"):
            taken = padded_s[name, order]
            own[f"padded_{order}"] = _rates(taken, needed / flop_per_s, lengths.sum())
        for budget in size.tokens_per_batch:
            taken = seconds(partial(varlen_means, network, sequences, budget), device, repeats)
            own[f"packed_{budget}"] = _rates(taken, needed / flop_per_s, lengths.sum())
            own[f"packed_{budget}"]["times_padded_given"] = padded_s[name, "given"] / taken
        result[name] = own
    ours = varlen_means(network, checked, size.tokens_per_batch[0])
    network.set_attn_implementation("sdpa")
    exact = padded_means(network.float().cpu(), checked).numpy()
    result["checked_texts"] = len(checked)
    result["largest_error"] = {"packed": _largest_error(ours, exact), "padded": _largest_error(plain, exact)}
    return result


def padded_means(network: Any, sequences: Sequence[TokenSequence]) -> torch.Tensor:
    """The peer: 64 texts at a time padded to the longest, transformers' forward, the mean over each text."""
    means = []
    with torch.inference_mode():
        for start in range(0, len(sequences), PADDED_TEXTS):
            part = [torch.tensor(sequence.ids) for sequence in sequences[start : start + PADDED_TEXTS]]
            ids = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
            mask = (torch.arange(ids.shape[1]) < torch.tensor([[len(one)] for one in part])).long().to(network.device)
            states = network(input_ids=ids.to(network.device), attention_mask=mask, use_cache=False).last_hidden_state
            means.append((states.float() * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))
    return torch.cat(means)


def preference_step(size: Size, device: str, flop_per_s: float) -> dict[str, Any]:
    """A DPO step of all weights, float32 under bfloat16 autocast, AdamW; and its loss beside the CPU's in float32."""
    examples = drawn_examples(size)
    result: dict[str, Any] = {"pairs": size.pairs, "tokens": sum(map(_tokens, examples))}
    needed = 3 * sum(pair_operations(size, example) for example in examples)
    ways = {
        "shared_prompt_all_at_once": (True, size.pairs),
        "shared_prompt": (True, size.pairs_per_forward),
        "padded_full_logits": (False, size.pairs_per_forward),
    }
    for name, (shares_prompt, per_forward) in ways.items():
        model = made(LlamaForCausalLM, size, device, torch.float32)
        step = _step(model, examples, per_forward, device, shares_prompt=shares_prompt)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        taken = seconds(step, device, min(3, size.repeats))
        result[name] = _rates(taken, needed / flop_per_s, result["tokens"]) | {"pairs_per_forward": per_forward}
        if device == "cuda":
            result[name]["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
            del model, step
            torch.cuda.empty_cache()
    base = result["padded_full_logits"]["seconds"]
    for name in ways:
        result[name]["times_padded"] = base / result[name]["seconds"]
    result["losses"] = losses_beside_cpu(size, device, examples[: size.checked_pairs])
    return result


def losses_beside_cpu(size: Size, device: str, examples: Sequence[TokenizedExample]) -> dict[str, float]:
    """The largest relative difference of the losses of some pairs from those of a CPU in float32."""
    model = made(LlamaForCausalLM, size, device, torch.float32).eval()
    with torch.no_grad():
        own = _losses(model, examples, device, shares_prompt=True)
        with torch.autocast(device, dtype=torch.bfloat16):
            fast = _losses(model, examples, device, shares_prompt=True)
        plain = _losses(model.cpu(), examples, "cpu", shares_prompt=False)
    return {
        "pairs": len(examples),
        "float32": float(((own.cpu() - plain) / plain).abs().max()),
        "bfloat16": float(((fast.cpu() - plain) / plain).abs().max()),
    }


def drawn_examples(size: Size) -> list[TokenizedExample]:
    """Pairs with lengths like HH-RLHF's and random tokens."""
    prompts = drawn_lengths(HH_PROMPT, size.pairs)
    responses = np.array(drawn_lengths(HH_RESPONSE, 2 * size.pairs)).reshape(2, -1)
    generator = np.random.default_rng(1)
    return [
        TokenizedExample(*(generator.integers(0, size.vocabulary, int(length)).tolist() for length in row))
        for row in zip(prompts, *responses, strict=True)
    ]


def pair_operations(size: Size, example: TokenizedExample) -> float:
    """Of a forward pass over prompt, chosen and rejected, each read once."""
    prompt, responses = len(example.prompt_ids), [len(example.chosen_ids), len(example.rejected_ids or [])]
    seen = prompt**2 / 2 + sum(prompt * length + length**2 / 2 for length in responses)
    head = 2 * size.hidden * size.vocabulary * sum(responses)
    return trunk_operations(size, _tokens(example), seen) + head


def _tokens(example: TokenizedExample) -> int:
    return len(example.prompt_ids) + len(example.chosen_ids) + len(example.rejected_ids or [])


def _losses(model: Any, examples: Sequence[TokenizedExample], device: str, *, shares_prompt: bool) -> torch.Tensor:
    """(b,) losses of DPO, against a reference of 0 for each response: half the size of a loss is the model's own."""
    batch = {
        name: value.to(device) for name, value in collate(examples, pad_token_id=0, shares_prompt=shares_prompt).items()
    }
    return _loss_of(batch, *_sums(model, batch, shares_prompt=shares_prompt))


def _sums(model: Any, batch: dict[str, torch.Tensor], *, shares_prompt: bool) -> tuple[Any, Any]:
    if shares_prompt:
        logps = response_logps(model, batch)
        return logps.chosen_logps, logps.rejected_logps
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    of_tokens = logits.float().log_softmax(dim=-1).flatten(0, 1)[batch["state_places"], batch["targets"]]
    counts = batch["token_counts"].flatten()
    owners = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    sums = of_tokens.new_zeros(len(counts)).index_add(0, owners, of_tokens).view(-1, 2)
    return sums[:, 0], sums[:, 1]


def _loss_of(batch: dict[str, torch.Tensor], chosen: Any, rejected: Any) -> torch.Tensor:
    counts = batch["token_counts"]
    zeros = torch.zeros_like(chosen)
    logps = PairLogps(chosen, rejected, counts[:, 0], counts[:, 1], zeros, zeros)
    return pairwise_losses("dpo", logps, beta=BETA, weights=torch.ones_like(chosen), margins=None).losses


def _step(
    model: Any, examples: Sequence[TokenizedExample], per_forward: int, device: str, *, shares_prompt: bool
) -> Callable[[], None]:
    """A step over all examples, so many pairs in a forward pass."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=device == "cuda")
    parts = [examples[start : start + per_forward] for start in range(0, len(examples), per_forward)]

    def step() -> None:
        optimizer.zero_grad()
        for part in parts:
            with torch.autocast(device, dtype=torch.bfloat16):
                losses = _losses(model, part, device, shares_prompt=shares_prompt)
            (losses.sum() / len(examples)).backward()
        optimizer.step()

    return step


def _rates(taken: float, at_full_rate: float, tokens: float) -> dict[str, float]:
    return {"seconds": taken, "tokens_per_s": float(tokens / taken), "share_of_gemm_rate": float(at_full_rate / taken)}


def _largest_error(got: np.ndarray[Any, Any], exact: np.ndarray[Any, Any]) -> float:
    """The largest ‖difference‖ / ‖exact‖ of a row."""
    return float((np.linalg.norm(got - exact, axis=1) / np.linalg.norm(exact, axis=1)).max())
