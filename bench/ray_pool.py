"""Four actors of a Ray cluster beside the local engine, on the same jobs: what sharing out costs.

    python -m bench.ray_pool      # some 4 minutes on two idle cores; extra `ray`; writes bench/ray_pool.json

The cluster is of this machine alone and is told that it has four cores, so that four actors of one thread each share
two; the local engine has one process of as many threads as there are cores. Two jobs: `embed` reads texts with a random
Llama, `generate` samples from the demo's model. Each round does both ways, in an order that changes, on the same items.

CPU seconds are those of all processes of a way, this one's share included; `overhead` is what Ray's way takes more,
`throughput` local CPU seconds over Ray's. Wall-clock ratios stand beside them and say little on a machine with other
work: four processes are given more of busy cores than one. The start of the actors is not in them, it is `start`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import psutil
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bench.machine import machine_words
from models.demo import MODEL_FOLDER
from models.demo.corpus import demo_prompts
from models.embedding import EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.generation.transformers_local import TransformersGenerator
from models.processes.isolation import Backends
from models.processes.ray_pool import RayPool
from models.processes.shared_process import SharedProcess
from models.records import GenerationRequest, Prompt, SamplingParameters

RESULTS = Path(__file__).with_suffix(".json")
ACTORS, ROUNDS = 4, 11
TEXTS, MAX_TOKENS = 256, 16
PROMPTS, SAMPLES = 256, 8  # prompts of a shard, responses of each: as the configuration has it
SIZE, LAYERS = 384, 4


class Job(NamedTuple):
    """What is asked of a backend."""

    build: Callable[..., Any]
    arguments: dict[str, Any]
    method: str
    items: list[Any]


class Spent(NamedTuple):
    """CPU seconds of all processes of a way, and wall-clock seconds."""

    cpu_s: float
    wall_s: float


def jobs(folder: Path) -> dict[str, Job]:
    """Each by its name."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(3.9, 0.6, size=TEXTS), 4, 200).astype(int)
    texts = [" ".join(f"w{word}" for word in random.integers(0, 999, size=size)) for size in lengths]
    _save_model(folder, texts)
    read = {"model": str(folder), "revision": None, "dtype": "float32", "context": "response"}
    sampling = SamplingParameters(temperature=1.0, top_p=1.0, max_tokens=MAX_TOKENS, stop=(), system_prompt=None)
    sample = {"model": str(MODEL_FOLDER), "parameters": sampling, "revision": None, "dtype": "float32"}
    return {
        "embed": Job(
            HiddenStateEmbedder,
            {**read, "max_tokens": 512, "tokens_per_batch": 4096},
            "embed",
            [EmbeddingRequest(Prompt.from_text(""), text) for text in texts],
        ),
        "generate": Job(
            TransformersGenerator,
            {**sample, "device": "cpu", "max_batch_tokens": 8192},
            "generate",
            [
                GenerationRequest(Prompt.from_text(text), tuple(range(SAMPLES)))
                for text in demo_prompts("train")[:PROMPTS]
            ],
        ),
    }


def _save_model(folder: Path, texts: list[str]) -> None:
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(texts, vocab_size=2_000, special_tokens=["</s>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trainer._tokenizer, eos_token="</s>", pad_token="</s>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=SIZE,
        intermediate_size=3 * SIZE,
        num_hidden_layers=LAYERS,
        num_attention_heads=SIZE // 64,
        max_position_embeddings=1024,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def cpu_seconds() -> dict[int, float]:
    """CPU seconds so far of this process and all that it started, by process."""
    own = psutil.Process()
    found = {}
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
    return found


def spent(work: Callable[[], Any]) -> Spent:
    """What it takes, of all processes; the other way's are idle meanwhile."""
    before, begun = cpu_seconds(), time.monotonic()
    work()
    wall_s = time.monotonic() - begun
    return Spent(sum(now - before.get(pid, 0.0) for pid, now in cpu_seconds().items()), wall_s)


def measure(job: Job, ways: dict[str, Backends]) -> dict[str, Any]:
    """Both ways in turn, after a round that is not counted."""
    backends = {}
    starts = {}
    load = os.getloadavg()[0]

    def begin(name: str) -> None:
        start = ways[name].start
        backends[name] = start(job.build, job.arguments, log_path=None, timeout_s=600)

    for name in ways:
        starts[name] = spent(lambda name=name: begin(name))  # type: ignore[misc]
    for backend in backends.values():
        backend.call(job.method, job.items)
    while len(ready := ways["ray"]._backend._ready) < ACTORS:  # type: ignore[attr-defined]
        backends["ray"].call(job.method, job.items[: len(ready)])
    rounds = []
    for number in range(ROUNDS):
        order = list(ways) if number % 2 else list(ways)[::-1]
        rounds.append({name: spent(lambda name=name: backends[name].call(job.method, job.items)) for name in order})  # type: ignore[misc]
    for backend in backends.values():
        backend.close()
    cpu = [one["local"].cpu_s / one["ray"].cpu_s for one in rounds]
    wall = [one["local"].wall_s / one["ray"].wall_s for one in rounds]
    return {
        "rounds": len(rounds),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "throughput": round(statistics.median(cpu), 3),
        "overhead": round(1 / statistics.median(cpu) - 1, 3),
        "throughput_spread": [round(min(cpu), 3), round(max(cpu), 3)],
        "wall_throughput": round(statistics.median(wall), 3),
        "wall_spread": [round(min(wall), 3), round(max(wall), 3)],
        "cpu_s": {name: round(statistics.median(one[name].cpu_s for one in rounds), 2) for name in ways},
        "start": {name: {"cpu_s": round(one.cpu_s, 1), "wall_s": round(one.wall_s, 1)} for name, one in starts.items()},
    }


def main() -> None:
    """Measure, print and write the results."""
    import ray

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("embed", "generate"), help="this job; the other's figures stay as they are")
    only = parser.parse_args().only
    begun = spent(lambda: ray.init("local", num_cpus=ACTORS, include_dashboard=False, log_to_driver=False))
    with tempfile.TemporaryDirectory() as name:
        pool, local = RayPool(actors=ACTORS), SharedProcess()
        try:
            ways: dict[str, Backends] = {"local": local, "ray": pool}
            chosen = {job: made for job, made in jobs(Path(name)).items() if only in (None, job)}
            found = {job: measure(made, ways) for job, made in chosen.items()}
        finally:
            pool.close()
            local.close()
            ray.shutdown()
    kept = json.loads(RESULTS.read_text()) if only else {}
    results = kept | {
        "machine": machine_words(),
        "versions": {"ray": ray.__version__, "torch": torch.__version__},
        "actors": ACTORS,
        "cluster_start": begun._asdict(),
        **found,
    }
    text = json.dumps(results, indent=2)
    print(text)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
