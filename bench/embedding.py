"""Tokens per second of `HiddenStateEmbedder` beside sentence-transformers, and beside the machine's matrix product.

    pip install --no-deps sentence-transformers
    python -m bench.embedding          # some 6 minutes on one core; writes bench/embedding.json

Two loads: `window` is 96 responses as they arrive, `sorted_corpus` three blocks of 32 neighbours of a corpus sorted by
length, which a padded batch wastes nothing on. Ways: `antipode`; `antipode_padded`, the same without packed rows;
`sentence_transformers`, its `encode` at its own settings; `reference`, REAL's released script: the model with its head,
batches of 8 padded to 512 tokens, all hidden states kept (on 16 texts of the window, in float32).
One thread, process time, the ways taken in turn, medians. Every round measures the matrix product anew: `product`
counts the floating-point operations of the layers' linear parts per second as a share of it.
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
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a thread beside the one that is measured

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers import __version__ as peer_version
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bench.machine import machine_words
from models.embedding import EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.number_format import fast_format
from models.records import Prompt

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "hh_rlhf_harmless_base_test.jsonl.gz"
# An emulated bfloat16 takes 19 times as long.
DTYPES: tuple[str, ...] = tuple(dict.fromkeys(("float32", fast_format().dtype)))
WINDOW, REFERENCE_TEXTS, REPEATS, MAX_TOKENS = 96, 16, 5, 512
SIZE, INNER_SIZE, LAYERS = 768, 2048, 4  # the linear parts of a model of 12 layers and this size take the same share
FLOP_PER_TOKEN = 2 * LAYERS * (4 * SIZE * SIZE + 3 * SIZE * INNER_SIZE)

Way = Callable[[list[str]], NDArray[np.float32]]


def load_texts() -> tuple[str, list[str]]:
    """Responses of HH-RLHF where they are at hand, else random words of like lengths (log-normal, median 30)."""
    if DATA.exists():
        with gzip.open(DATA, "rt", encoding="utf-8") as lines:
            dialogues = [text for line in lines for text in map(json.loads(line).get, ("chosen", "rejected"))]
        responses = [dialogue.rpartition("\n\nAssistant:")[2].strip() for dialogue in dialogues]
        return "HH-RLHF harmless-base test", [text for text in responses if text]
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(3.3, 0.9, size=4000), 1, 400).astype(int)
    return "random words", [" ".join(f"w{word}" for word in random.integers(0, 999, size=size)) for size in lengths]


def save_model(folder: Path, texts: list[str]) -> None:
    """A random Llama of `LAYERS` layers and a byte-level tokenizer trained on the texts."""
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(texts, vocab_size=16_000, special_tokens=["</s>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trainer._tokenizer, eos_token="</s>", pad_token="</s>", model_max_length=MAX_TOKENS
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=SIZE,
        intermediate_size=INNER_SIZE,
        num_hidden_layers=LAYERS,
        num_attention_heads=SIZE // 64,
        max_position_embeddings=2048,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def loads(texts: list[str]) -> dict[str, list[str]]:
    """The texts of each load."""
    random = np.random.default_rng(7)
    by_length = sorted(texts, key=len)
    starts = [len(texts) * sixth // 6 - 16 for sixth in (1, 3, 5)]
    blocks = [text for start in starts for text in by_length[start : start + 32]]
    return {
        "window": [texts[place] for place in random.choice(len(texts), WINDOW, replace=False)],
        "sorted_corpus": [blocks[place] for place in random.permutation(len(blocks))],
    }


def ways(folder: Path, dtype: str) -> dict[str, Way]:
    """Each way to embed texts with the model in the folder."""
    packed, padded = (_embedder(folder, dtype) for _ in range(2))
    padded._packed = None
    layers = Transformer(str(folder), max_seq_length=MAX_TOKENS, model_kwargs={"dtype": getattr(torch, dtype)})
    peer = SentenceTransformer(modules=[layers, Pooling(SIZE)], device="cpu")
    return {
        "antipode": lambda texts: packed.embed(_requests(texts)).vectors,
        "antipode_padded": lambda texts: padded.embed(_requests(texts)).vectors,
        "sentence_transformers": lambda texts: _encoded(peer, texts),
    }


def reference(folder: Path) -> Way:
    """REAL's released way: padded to 512 tokens, with the head, all hidden states kept."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def means(texts: list[str]) -> NDArray[np.float32]:
        batches = [texts[start : start + 8] for start in range(0, len(texts), 8)]
        return np.concatenate([_padded_means(network, tokenizer, batch) for batch in batches])

    return means


def _padded_means(network: Any, tokenizer: Any, texts: list[str]) -> NDArray[np.float32]:
    fed = tokenizer(texts, padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    with torch.no_grad():
        states = network(fed["input_ids"], fed["attention_mask"], output_hidden_states=True).hidden_states[-1]
    mask = fed["attention_mask"][..., None]
    means: NDArray[np.float32] = ((states * mask).sum(dim=1) / mask.sum(dim=1)).numpy()
    return means


def _embedder(folder: Path, dtype: str) -> HiddenStateEmbedder:
    return HiddenStateEmbedder(
        str(folder), revision=None, dtype=dtype, context="response", max_tokens=MAX_TOKENS, tokens_per_batch=8192
    )


def _encoded(peer: SentenceTransformer, texts: list[str]) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = peer.encode(texts, convert_to_tensor=True).float().numpy()
    return vectors


def _requests(texts: list[str]) -> list[EmbeddingRequest]:
    return [EmbeddingRequest(Prompt.from_text(""), text) for text in texts]


def product_rate(dtype: str) -> float:
    """Floating-point operations a second of torch's own product of (2048, 768) and (768, 2048)."""
    states, weight = (torch.randn(INNER_SIZE, SIZE).to(getattr(torch, dtype)) for _ in range(2))
    start = time.process_time()
    for _ in range(8):
        torch.nn.functional.linear(states, weight)
    return 8 * 2 * INNER_SIZE * INNER_SIZE * SIZE / (time.process_time() - start)


def measure(folder: Path, dtype: str, texts: list[str]) -> dict[str, Any]:
    """One load in one number format."""
    named_ways = ways(folder, dtype)
    alone = np.concatenate([named_ways["antipode_padded"]([text]) for text in texts])
    tokens = int(_embedder(folder, dtype).embed(_requests(texts)).token_counts.sum())
    rates: list[float] = []
    seconds: dict[str, list[float]] = {way: [] for way in named_ways}
    vectors: dict[str, NDArray[np.float32]] = {}
    for _ in range(REPEATS):
        rates.append(product_rate(dtype))
        for way, embed in named_ways.items():
            start = time.process_time()
            vectors[way] = embed(texts)
            seconds[way].append(time.process_time() - start)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    rate = statistics.median(rates)
    return {
        "tokens": tokens,
        "tokens_per_s": {way: round(tokens / median) for way, median in medians.items()},
        "times_faster_than": {way: round(medians[way] / medians["antipode"], 2) for way in medians},
        "product_gflop_per_s": round(rate / 1e9, 1),
        "product": {way: round(FLOP_PER_TOKEN * tokens / median / rate, 3) for way, median in medians.items()},
        "spread": {way: round((max(values) - min(values)) / medians[way], 3) for way, values in seconds.items()},
        "largest_difference_from_alone": {way: float(np.abs(rows - alone).max()) for way, rows in vectors.items()},
        "lowest_cosine_with_alone": {way: lowest_cosine(alone, rows) for way, rows in vectors.items()},
    }


def measure_reference(folder: Path, texts: list[str]) -> dict[str, Any]:
    """How many times faster than REAL's released script, in float32."""
    embedder, means = _embedder(folder, "float32"), reference(folder)
    named_ways: dict[str, Way] = {"antipode": lambda texts: embedder.embed(_requests(texts)).vectors, "script": means}
    seconds: dict[str, list[float]] = {way: [] for way in named_ways}
    for _ in range(3):
        for way, embed in named_ways.items():
            start = time.process_time()
            embed(texts)
            seconds[way].append(time.process_time() - start)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    return {"times_faster_than": round(medians["script"] / medians["antipode"], 1), "texts": len(texts)}


def lowest_cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The lowest cosine between rows of two (n, d) arrays, in float64."""
    ours, theirs = first.astype(np.float64), second.astype(np.float64)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / norms).min())


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processor": machine_words(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "has_bfloat16": bool(torch.cpu._is_avx512_bf16_supported()),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "threads": 1,
    }


def main() -> None:
    """Measure, print and write the results."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    source, texts = load_texts()
    with tempfile.TemporaryDirectory() as name:
        save_model(Path(name), texts)
        results = {
            "machine": machine(),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "sentence_transformers": peer_version,
            },
            "source": source,
            "model": f"a random Llama, {LAYERS} layers, d = {SIZE}",
            **{
                dtype: {load: measure(Path(name), dtype, of_load) for load, of_load in loads(texts).items()}
                for dtype in DTYPES
            },
            "reference_script": measure_reference(Path(name), loads(texts)["window"][:REFERENCE_TEXTS]),
        }
    text = json.dumps(results, indent=2)
    print(text)
    Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
