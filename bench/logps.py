"""Memory and time of response log-probabilities beside the full softmax, TRL's, and padded concatenated pairs.

    python -m bench.logps          # some 2 minutes of one core; writes bench/logps.json

The head alone: forward and backward through (v, 768), a fifth of the positions masked (ours drops them before the
head); the peak is resident memory above weights, states and the weight's gradient. Pairs: the forward pass of a random
Llama of 3 layers, d = 512, v = 8192, over 16 pairs at a time with lengths of HH-RLHF. One thread, process time, the
ways taken in turn, medians.
"""

from __future__ import annotations

import ctypes
import gc
import gzip
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import transformers
import trl
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import selective_log_softmax

from bench.machine import machine_words
from models.alignment.logps import chunked_logps, summed_logps
from models.alignment.pair_batches import collate
from models.alignment.tokens import TokenizedExample
from models.number_format import fast_format

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "hh_rlhf_harmless_base_test.jsonl.gz"
CHARACTERS_PER_TOKEN = 4.2
FAST = getattr(torch, fast_format().dtype)
HEADS = tuple((f"128k {dtype}".replace("torch.", ""), 128_000, dtype) for dtype in dict.fromkeys((torch.float32, FAST)))
POSITIONS = 1024
PAIRS, PAIRS_PER_BATCH, VOCABULARY = 16, 16, 8192
REPEATS = 3


def full(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Every position's logits, log_softmax, gather, mask."""
    logps = (states @ weight.T).log_softmax(dim=-1).gather(1, targets[:, None])[:, 0]
    return (logps * mask).sum()


def by_trl(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Every position's logits, then TRL's selective_log_softmax, mask."""
    return (selective_log_softmax((states @ weight.T)[None], targets[None])[0] * mask).sum()


def by_antipode(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The unmasked positions alone, a block of the vocabulary at a time."""
    return chunked_logps(states[mask], weight, None, targets[mask]).sum()


def resident(field: str) -> float:
    """VmRSS or VmHWM of this process, in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def measure_head(vocabulary: int, dtype: torch.dtype) -> dict[str, Any]:
    """Median seconds and peak MiB of each way, and the ratios to the full softmax."""
    torch.manual_seed(0)
    weight = (torch.randn(vocabulary, 768) / 28).to(dtype).requires_grad_()
    states = torch.randn(POSITIONS, 768).to(dtype).requires_grad_()
    targets, mask = torch.randint(vocabulary, (POSITIONS,)), torch.rand(POSITIONS) >= 0.2
    ways = {"full": full, "trl": by_trl, "antipode": by_antipode}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    peaks: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        for name, way in ways.items():
            weight.grad = states.grad = None
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # else free memory that was never given back hides the next peak
            before = resident("VmRSS") + sum(value.nbytes for value in (weight, states)) / 2**20
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            start = time.process_time()
            way(states, weight, targets, mask).backward()
            if repeat:  # the first is for warming up
                seconds[name].append(time.process_time() - start)
                peaks[name].append(resident("VmHWM") - before)
    result = summary(seconds) | {"peak_mib": {name: round(statistics.median(row)) for name, row in peaks.items()}}
    base_s, base_mib = result["seconds"]["full"], result["peak_mib"]["full"]
    result["times_of_full"] = {name: round(value / base_s, 2) for name, value in result["seconds"].items()}
    result["peak_of_full"] = {name: round(value / base_mib, 3) for name, value in result["peak_mib"].items()}
    return result


def summary(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Medians of seconds and their relative spread."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "spread": {name: round((max(row) - min(row)) / medians[name], 3) for name, row in seconds.items()},
    }


def pair_lengths() -> tuple[str, list[tuple[int, int, int]]]:
    """Tokens of prompt, chosen and rejected: of HH-RLHF where it is at hand (characters / 4.2), else log-normal."""
    if not DATA.exists():
        drawn = np.random.default_rng(0).lognormal((4.6, 3.6, 3.6), 0.9, size=(PAIRS, 3))
        return "log-normal", [tuple(row) for row in np.clip(drawn, 1, 500).astype(int).tolist()]
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        rows = [json.loads(next(lines)) for _ in range(PAIRS)]
    texts = [
        (*row["chosen"].rpartition("Assistant:")[::2], row["rejected"].rpartition("Assistant:")[2]) for row in rows
    ]
    lengths = [[1 + round(len(text) / CHARACTERS_PER_TOKEN) for text in row] for row in texts]
    return "HH-RLHF harmless-base test", [(prompt, chosen, rejected) for prompt, chosen, rejected in lengths]


def padded_full_logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Chosen and rejected as two padded rows, the logits of every position, log_softmax, gather."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    logps = logits.log_softmax(dim=-1).flatten(0, 1)[batch["state_places"], batch["targets"]]
    sums = torch.stack([part.sum() for part in logps.split(batch["token_counts"].flatten().tolist())])
    return sums.view(batch["token_counts"].shape)


def measure_pairs() -> dict[str, Any]:
    """Median seconds for all pairs by each way, pairs per second, ratios, and the largest difference per token."""
    source, lengths = pair_lengths()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=3,
        num_attention_heads=8,
        max_position_embeddings=2048,
        initializer_range=0.1,
    )
    model = LlamaForCausalLM(config).eval()
    examples = [TokenizedExample(*(torch.randint(VOCABULARY, (size,)).tolist() for size in row)) for row in lengths]
    batches: dict[bool, list[dict[str, torch.Tensor]]] = {
        shares: [
            collate(examples[start : start + PAIRS_PER_BATCH], pad_token_id=0, shares_prompt=shares)
            for start in range(0, PAIRS, PAIRS_PER_BATCH)
        ]
        for shares in (True, False)
    }
    ways: dict[str, Callable[[], list[torch.Tensor]]] = {
        "padded_full_logits": lambda: [padded_full_logits(model, batch) for batch in batches[False]],
        "padded": lambda: [summed_logps(model, batch) for batch in batches[False]],
        "shared_prompt": lambda: [summed_logps(model, batch) for batch in batches[True]],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    sums: dict[str, torch.Tensor] = {}
    for repeat in range(REPEATS + 1):
        for name, way in ways.items():
            start = time.process_time()
            with torch.no_grad():
                sums[name] = torch.cat(way())
            if repeat:
                seconds[name].append(time.process_time() - start)
    counts = torch.cat([batch["token_counts"] for batch in batches[True]])
    result = summary(seconds)
    ours_s = result["seconds"]["shared_prompt"]
    return result | {
        "lengths": {"source": source, "pairs": PAIRS, "tokens": sum(map(sum, lengths))},
        "positions_computed": {
            "padded": sum(batch["input_ids"].numel() for batch in batches[False]),
            "shared_prompt": sum(batch["input_ids"].numel() for batch in batches[True]),
        },
        "pairs_per_s": {name: round(PAIRS / value, 1) for name, value in result["seconds"].items()},
        "times_faster_than": {
            name: round(value / ours_s, 2) for name, value in result["seconds"].items() if name != "shared_prompt"
        },
        "largest_difference_per_token": {
            name: float(((sums[name] - sums["shared_prompt"]).abs() / counts).max())
            for name in ways
            if name != "shared_prompt"
        },
    }


def main() -> None:
    """Measure, print and write the results."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    results = {
        "machine": {
            "processor": machine_words(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "threads": 1,
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "trl": trl.__version__,
        },
        "positions": POSITIONS,
        "repeats": REPEATS,
        "head": {name: measure_head(vocabulary, dtype) for name, vocabulary, dtype in HEADS},
        "pairs": measure_pairs(),
    }
    text = json.dumps(results, indent=2)
    print(text)
    Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
