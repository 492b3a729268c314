"""Tokens per second of `HiddenStateEmbedder` beside two plain ways to embed the same texts.

    python -m bench.embedding          # some 50 s on one core; writes bench/embedding.json

Peers, written here: `arrival_32` feeds padded batches of 32 texts as they come, the way a sentence encoder is used in
a loop; `padded_512` is the way of REAL's released script: the model with its head, batches of 8 padded to 512 tokens,
all hidden states kept. One thread, float32, process time, the ways taken in turn, medians.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import transformers
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoModel, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.embedding import EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.records import Prompt

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "hh_rlhf_harmless_base_test.jsonl.gz"
TEXT_COUNT = 128
REPEATS = 5


def load_texts() -> tuple[str, list[str]]:
    """Responses of HH-RLHF where they are at hand, else random words of like lengths (log-normal, median 30)."""
    if DATA.exists():
        with gzip.open(DATA, "rt", encoding="utf-8") as lines:
            dialogues = [json.loads(line)["chosen"] for line in lines]
        responses = [dialogue.rpartition("\n\nAssistant:")[2].strip() for dialogue in dialogues]
        return "HH-RLHF harmless-base test", [text for text in responses if text][:TEXT_COUNT]
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(3.3, 0.9, size=TEXT_COUNT), 1, 400).astype(int)
    return "random words", [" ".join(f"w{word}" for word in random.integers(0, 999, size=size)) for size in lengths]


def save_model(folder: Path, texts: list[str]) -> None:
    """A random Llama of 4 layers, d = 256, and a byte-level tokenizer trained on the texts."""
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(texts, vocab_size=4096, special_tokens=["</s>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trainer._tokenizer, eos_token="</s>", pad_token="</s>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=1024,
        initializer_range=0.1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def padded_means(network: Any, tokenizer: Any, texts: list[str], *, batch_size: int, padding: Any) -> np.ndarray:
    """Mean last hidden states (n, d) over padded batches in the order given."""
    means = []
    for start in range(0, len(texts), batch_size):
        batch = tokenizer(
            texts[start : start + batch_size],
            add_special_tokens=False,
            padding=padding,
            truncation=True,
            max_length=512,
            return_tensors="pt",
        )
        with torch.no_grad():
            states = network(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True
            ).hidden_states[-1]
        mask = batch["attention_mask"][..., None]
        means.append(((states * mask).sum(dim=1) / mask.sum(dim=1)).numpy())
    return np.concatenate(means)


def ways(folder: Path, texts: list[str]) -> tuple[dict[str, Callable[[], np.ndarray]], int]:
    """Each way to embed all texts, and the texts' tokens."""
    embedder = HiddenStateEmbedder(
        str(folder), revision=None, dtype="float32", context="response", max_tokens=512, tokens_per_batch=4096
    )
    requests = [EmbeddingRequest(Prompt.from_text(""), text) for text in texts]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    trunk = AutoModel.from_pretrained(folder, dtype=torch.float32)
    whole = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return {
        "antipode": lambda: embedder.embed(requests).vectors,
        "arrival_32": lambda: padded_means(trunk, tokenizer, texts, batch_size=32, padding=True),
        "padded_512": lambda: padded_means(whole, tokenizer, texts, batch_size=8, padding="max_length"),
    }, int(embedder.embed(requests).token_counts.sum())


def lowest_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The lowest cosine between rows of two (n, d) arrays."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / norms).min())


def main() -> None:
    """Measure, print and write the results."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    source, texts = load_texts()
    with tempfile.TemporaryDirectory() as name:
        save_model(Path(name), texts)
        named_ways, token_count = ways(Path(name), texts)
        seconds: dict[str, list[float]] = {way: [] for way in named_ways}
        vectors: dict[str, np.ndarray] = {}
        for _ in range(REPEATS):
            for way, embed in named_ways.items():
                start = time.process_time()
                vectors[way] = embed()
                seconds[way].append(time.process_time() - start)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    results = {
        "machine": {
            "processor": platform.machine(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "threads": 1,
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "texts": {"source": source, "count": len(texts), "tokens": token_count},
        "tokens_per_s": {way: round(token_count / median) for way, median in medians.items()},
        "times_faster_than": {
            way: round(medians[way] / medians["antipode"], 2) for way in medians if way != "antipode"
        },
        "spread": {way: round((max(values) - min(values)) / medians[way], 3) for way, values in seconds.items()},
        "lowest_cosine": {
            way: lowest_cosine(vectors["antipode"], vectors[way]) for way in medians if way != "antipode"
        },
    }
    text = json.dumps(results, indent=2)
    print(text)
    Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
